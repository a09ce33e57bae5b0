//! What the ledger makes sure of before it believes a contract.

use alloc::vec::Vec;
use core::fmt;

use borsh::{BorshDeserialize, BorshSerialize};

use crate::facts::Facts;
use crate::limits::{NOTE_BYTES_MAX, SPLIT_NOTES_MAX, SPLIT_PAYS_MAX, STATE_BYTES_MAX};
use crate::math;
use crate::split::{Note, Split};
use crate::terms::{Money, Party};

/// The rule that a split broke, in the order in which the rules are checked. The order is wire format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum SplitError {
    /// More payments than a split may have.
    TooManyPays,
    /// A party is paid twice, or parties do not rise.
    PartiesNotRising,
    /// A party is paid that the terms do not name.
    UnknownParty(Party),
    /// More notes than a split may have.
    TooManyNotes,
    /// A note is too long.
    NoteTooLong,
    /// The state is too long.
    StateTooLong,
    /// The payments add up to more than money of account can express.
    SumOverflow,
    /// The payments add up to more than is locked.
    OverLocked,
    /// What the ledger says was paid to the parties does not add up to what it says was paid in all.
    PaidDisagrees,
    /// A party would have to give back what it has received.
    Decreasing(Party),
    /// The operator receives anything but its fee.
    WrongFee,
    /// More is slashed than the stake or the terms allow.
    OverSlash,
    /// More is consumed than is left on the allowance, or there is none.
    OverQuota,
    /// The payments add up to more than the contract quoted.
    OverQuote,
}

impl fmt::Display for SplitError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SplitError::TooManyPays => write!(formatter, "more than {SPLIT_PAYS_MAX} payments"),
            SplitError::PartiesNotRising => formatter.write_str("a party is listed twice or out of order"),
            SplitError::UnknownParty(party) => write!(formatter, "the terms name no party {}", party.0),
            SplitError::TooManyNotes => write!(formatter, "more than {SPLIT_NOTES_MAX} notes"),
            SplitError::NoteTooLong => write!(formatter, "a note is longer than {NOTE_BYTES_MAX} bytes"),
            SplitError::StateTooLong => write!(formatter, "the state is longer than {STATE_BYTES_MAX} bytes"),
            SplitError::SumOverflow => {
                formatter.write_str("the payments add up to more than any amount of money")
            }
            SplitError::OverLocked => formatter.write_str("the payments add up to more than is locked"),
            SplitError::PaidDisagrees => formatter.write_str("the payments made so far do not add up"),
            SplitError::Decreasing(party) => {
                write!(formatter, "party {} would have to give back what it has received", party.0)
            }
            SplitError::WrongFee => formatter.write_str("the operator does not receive exactly its fee"),
            SplitError::OverSlash => formatter.write_str("more is slashed than the stake or the terms allow"),
            SplitError::OverQuota => formatter.write_str("more is consumed than is left on the allowance"),
            SplitError::OverQuote => formatter.write_str("the payments add up to more than was quoted"),
        }
    }
}

impl core::error::Error for SplitError {}

/// A split that the ledger may carry out. `paid so far + transfers + refund + held = locked`, always.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckedSplit {
    /// Cumulative payment per party, by rising party: what the ledger remembers as paid.
    pub pay: Vec<(Party, Money)>,
    /// What to move now, by rising party; no zero amounts.
    pub transfers: Vec<(Party, Money)>,
    /// What goes back to the requester now. Zero while the lease goes on.
    pub refund: Money,
    /// What stays locked. Zero once the lease is closed.
    pub held: Money,
    /// Taken from the provider's stake now.
    pub slash: Money,
    /// Taken from the requester's allowance now.
    pub consume: u128,
    /// What goes on record.
    pub notes: Vec<Note>,
    /// What the contract is told the next time.
    pub state: Vec<u8>,
}

/// Checks a contract's answer against what the ledger knows. The contract can neither mint, nor strand, nor hide, nor
/// redirect anything that passes.
///
/// `paid_so_far` holds what each party received from this lease in cumulative form (any order, each party once) and
/// adds up to `facts.escrow.paid`. `quote_lock` is what the contract quoted when the lease was awarded.
///
/// # Errors
/// The first [`SplitError`] in the order of that enum. The lease is then settled by its signed fallback.
pub fn check_split(
    split: &Split,
    facts: &Facts,
    paid_so_far: &[(Party, Money)],
    quote_lock: Money,
) -> Result<CheckedSplit, SplitError> {
    check_shape(split, facts)?;
    let total = sum(&split.pay)?;
    let rest = facts.escrow.locked.checked_sub(total).ok_or(SplitError::OverLocked)?;
    if sum(paid_so_far)? != facts.escrow.paid {
        return Err(SplitError::PaidDisagrees);
    }
    let transfers = increments(&split.pay, paid_so_far)?;
    check_fee(split, facts)?;
    if split.slash > facts.escrow.stake.min(facts.terms.slash_max) {
        return Err(SplitError::OverSlash);
    }
    if split.consume > facts.ctx.quota_left.unwrap_or(0) {
        return Err(SplitError::OverQuota);
    }
    if total > quote_lock {
        return Err(SplitError::OverQuote);
    }
    let (refund, held) = if facts.ctx.trigger.closes() { (rest, 0) } else { (0, rest) };
    Ok(CheckedSplit {
        pay: split.pay.clone(),
        transfers,
        refund,
        held,
        slash: split.slash,
        consume: split.consume,
        notes: split.notes.clone(),
        state: split.state.clone(),
    })
}

fn check_shape(split: &Split, facts: &Facts) -> Result<(), SplitError> {
    if split.pay.len() > SPLIT_PAYS_MAX {
        return Err(SplitError::TooManyPays);
    }
    if !split.pay.is_sorted_by(|a, b| a.0 < b.0) {
        return Err(SplitError::PartiesNotRising);
    }
    if let Some((party, _)) =
        split.pay.iter().find(|(party, _)| usize::from(party.0) >= facts.terms.parties.len())
    {
        return Err(SplitError::UnknownParty(*party));
    }
    if split.notes.len() > SPLIT_NOTES_MAX {
        return Err(SplitError::TooManyNotes);
    }
    if split.notes.iter().any(|note| note.bytes.len() > NOTE_BYTES_MAX) {
        return Err(SplitError::NoteTooLong);
    }
    if split.state.len() > STATE_BYTES_MAX {
        return Err(SplitError::StateTooLong);
    }
    Ok(())
}

fn sum(pay: &[(Party, Money)]) -> Result<Money, SplitError> {
    pay.iter().try_fold(0u128, |sum, (_, amount)| sum.checked_add(*amount)).ok_or(SplitError::SumOverflow)
}

/// What each party receives on top of what it has. A party that has received something must be listed again.
fn increments(
    pay: &[(Party, Money)],
    paid_so_far: &[(Party, Money)],
) -> Result<Vec<(Party, Money)>, SplitError> {
    for (party, before) in paid_so_far {
        if amount_of(pay, *party) < *before {
            return Err(SplitError::Decreasing(*party));
        }
    }
    let mut transfers = Vec::with_capacity(pay.len());
    for (party, now) in pay {
        let before = amount_of(paid_so_far, *party);
        let more = now.checked_sub(before).ok_or(SplitError::Decreasing(*party))?;
        if more > 0 {
            transfers.push((*party, more));
        }
    }
    Ok(transfers)
}

/// The operator's part is a term of the lease, whatever the template: its cumulative payment is the floored fee on all
/// that was earned. A template that names parties cannot earn past the fee by paying them in place of the provider.
fn check_fee(split: &Split, facts: &Facts) -> Result<(), SplitError> {
    let operator = amount_of(&split.pay, Party::OPERATOR);
    let earned = facts.terms.earned(&split.pay).map_err(|_| SplitError::SumOverflow)?;
    let fee = math::fee(earned, facts.terms.fee_bps).map_err(|_| SplitError::WrongFee)?;
    if operator == fee { Ok(()) } else { Err(SplitError::WrongFee) }
}

pub(crate) fn amount_of(pay: &[(Party, Money)], party: Party) -> Money {
    pay.iter().find(|(other, _)| *other == party).map_or(0, |(_, amount)| *amount)
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;
    use crate::facts::Trigger;
    use crate::terms::Role;
    use crate::testing::facts;

    const LOCK: Money = 1_000_000;

    /// 98,500 for the provider and 1,500 of fee, out of 1,000,000 locked.
    fn split() -> Split {
        let pay = vec![(Party::PROVIDER, 98_500), (Party::OPERATOR, 1_500)];
        Split { pay, slash: 0, consume: 0, notes: vec![], state: vec![] }
    }

    fn check(change: impl FnOnce(&mut Split, &mut Facts)) -> Result<CheckedSplit, SplitError> {
        let (mut split, mut facts) = (split(), facts());
        change(&mut split, &mut facts);
        check_split(&split, &facts, &[], LOCK)
    }

    #[test]
    fn a_sound_split_moves_the_difference_and_returns_the_rest_at_the_end() {
        let paid = [(Party::OPERATOR, 15), (Party::PROVIDER, 985)];
        let mut facts = facts();
        facts.escrow.paid = 1_000;
        let last = check_split(&split(), &facts, &paid, LOCK).unwrap();
        assert_eq!(last.transfers, [(Party::PROVIDER, 97_515), (Party::OPERATOR, 1_485)]);
        assert_eq!((last.refund, last.held), (900_000, 0));
        facts.ctx.trigger = Trigger::Interim;
        let interim = check_split(&split(), &facts, &paid, LOCK).unwrap();
        assert_eq!((interim.refund, interim.held), (0, 900_000));
        assert_eq!(interim.pay, split().pay);
        facts.escrow.paid = 100_000;
        let again = check_split(&split(), &facts, &split().pay, LOCK).unwrap();
        assert_eq!(again.transfers, []);
    }

    #[test]
    fn rule_1_shape() {
        let named = |count: u8| (0..count).map(|index| (Party(index), 0)).collect::<Vec<_>>();
        assert_eq!(check(|split, _| split.pay = named(17)), Err(SplitError::TooManyPays));
        assert!(
            check(|split, facts| {
                facts.terms.parties.resize(16, crate::Role::Named);
                split.pay = named(16);
            })
            .is_ok()
        );
        assert_eq!(check(|split, _| split.pay.swap(0, 1)), Err(SplitError::PartiesNotRising));
        assert_eq!(check(|split, _| split.pay[1].0 = Party::PROVIDER), Err(SplitError::PartiesNotRising));
        assert_eq!(check(|split, _| split.pay.push((Party(3), 0))), Err(SplitError::UnknownParty(Party(3))));
        let note = |length| Note { code: 1, bytes: vec![0; length] };
        assert!(check(|split, _| split.notes = vec![note(128); 8]).is_ok());
        assert_eq!(check(|split, _| split.notes = vec![note(0); 9]), Err(SplitError::TooManyNotes));
        assert_eq!(check(|split, _| split.notes = vec![note(129)]), Err(SplitError::NoteTooLong));
        assert!(check(|split, _| split.state = vec![0; 256]).is_ok());
        assert_eq!(check(|split, _| split.state = vec![0; 257]), Err(SplitError::StateTooLong));
    }

    #[test]
    fn rule_2_sums() {
        assert!(check(|_, facts| facts.escrow.locked = 100_000).is_ok());
        assert_eq!(check(|_, facts| facts.escrow.locked = 99_999), Err(SplitError::OverLocked));
        assert_eq!(check(|split, _| split.pay[0].1 = u128::MAX), Err(SplitError::SumOverflow));
        assert_eq!(check(|_, facts| facts.escrow.paid = 1), Err(SplitError::PaidDisagrees));
        let mut facts = facts();
        facts.escrow.paid = 98_501;
        let more = [(Party::PROVIDER, 98_501)];
        assert_eq!(check_split(&split(), &facts, &more, LOCK), Err(SplitError::Decreasing(Party::PROVIDER)));
        facts.escrow.paid = 1;
        let unlisted = [(Party::REQUESTER, 1)];
        assert_eq!(
            check_split(&split(), &facts, &unlisted, LOCK),
            Err(SplitError::Decreasing(Party::REQUESTER))
        );
    }

    #[test]
    fn rule_2_the_operator_receives_its_fee_and_nothing_else() {
        for fee in [0, 1_498, 1_501, 100_000] {
            assert_eq!(check(|split, _| split.pay[1].1 = fee), Err(SplitError::WrongFee), "fee {fee}");
        }
        assert_eq!(check(|split, _| split.pay.truncate(1)), Err(SplitError::WrongFee));
        assert_eq!(check(|_, facts| facts.terms.fee_bps = 10_001), Err(SplitError::WrongFee));
        let free = check(|split, facts| {
            facts.terms.fee_bps = 0;
            split.pay.truncate(1);
        });
        assert!(free.is_ok());
        // Floored: of 66, a fee of 150 basis points is nothing; of 67 it is one.
        assert!(check(|split, _| split.pay = vec![(Party::PROVIDER, 66)]).is_ok());
        assert_eq!(check(|split, _| split.pay = vec![(Party::PROVIDER, 67)]), Err(SplitError::WrongFee));
        assert!(check(|split, _| split.pay = vec![(Party::PROVIDER, 66), (Party::OPERATOR, 1)]).is_ok());
    }

    #[test]
    fn rule_2_the_fee_is_on_all_that_was_earned() {
        let with = |role, fee, amount| {
            check(|split, facts| {
                facts.terms.parties.push(role);
                split.pay[1].1 = fee;
                split.pay.push((Party(3), amount));
            })
        };
        // 98,500 and 98,500: 200,000 less the fee of 3,000.
        assert!(with(Role::Named, 3_000, 98_500).is_ok());
        assert_eq!(with(Role::Named, 1_500, 98_500), Err(SplitError::WrongFee));
        assert_eq!(with(Role::Named, 3_001, 98_500), Err(SplitError::WrongFee));
        // What returns to the sponsor or the requester bears no fee.
        assert!(with(Role::Sponsor, 1_500, 98_500).is_ok());
        assert_eq!(with(Role::Sponsor, 3_000, 98_500), Err(SplitError::WrongFee));
        assert!(check(|split, _| split.pay.insert(0, (Party::REQUESTER, 5_000))).is_ok());
    }

    #[test]
    fn rule_3_slash() {
        let with = |slash, stake, most| {
            check(|split, facts| {
                split.slash = slash;
                facts.escrow.stake = stake;
                facts.terms.slash_max = most;
            })
        };
        assert_eq!(with(5, 5, 9).map(|checked| checked.slash), Ok(5));
        assert_eq!(with(6, 5, 9), Err(SplitError::OverSlash));
        assert!(with(5, 9, 5).is_ok());
        assert_eq!(with(6, 9, 5), Err(SplitError::OverSlash));
    }

    #[test]
    fn rule_4_quota() {
        let with = |consume, left| {
            check(|split, facts| {
                split.consume = consume;
                facts.ctx.quota_left = left;
            })
        };
        assert_eq!(with(7, Some(7)).map(|checked| checked.consume), Ok(7));
        assert_eq!(with(8, Some(7)), Err(SplitError::OverQuota));
        assert_eq!(with(1, None), Err(SplitError::OverQuota));
    }

    #[test]
    fn rule_5_quote() {
        assert!(check_split(&split(), &facts(), &[], 100_000).is_ok());
        assert_eq!(check_split(&split(), &facts(), &[], 99_999), Err(SplitError::OverQuote));
    }
}
