//! What holds after every block, checked in every block, in release builds too. A breach is a fault of this program, so it
//! stops the node before it signs.

use crate::action::BlockInHand;
use crate::id::CodeHash;
use crate::journal::debit_headroom;
use crate::member::MemberCode;
use crate::money::Money;
use crate::row::{
    Account, AccountId, Class, Contract, ContractState, EntitlementKey, Lease, LeaseState, Member, OfferState,
};
use crate::state::State;
use crate::tables::{Accounts, Classes, Contracts, Entitlements, Leases, Members, Offers};
use std::collections::{BTreeMap, BTreeSet};

/// What a member's books must hold: issued - redeemed + position + confirmed, in uEUR. `None` on overflow.
fn owed(member: &Member) -> Option<i128> {
    i128::from(member.issued.0)
        .checked_sub(i128::from(member.redeemed.0))?
        .checked_add(member.position)?
        .checked_add(member.confirmed)
}

/// Checks the whole state: per member and in sum, balances = issued - redeemed + net position + confirmed clearing.
///
/// # Errors
/// Names the member whose books do not balance.
pub fn check_state(state: &State) -> Result<(), String> {
    let mut held: BTreeMap<MemberCode, i128> = BTreeMap::new();
    for (_, account) in state.rows::<Accounts>() {
        let sum = held.entry(account.home).or_default();
        *sum = sum.checked_add(i128::from(account.balance.0)).ok_or("the balances overflow")?;
    }
    let mut positions = 0i128;
    for (code, member) in state.rows::<Members>() {
        let held = held.remove(code).unwrap_or(0);
        let owed = owed(member).ok_or("a member's books overflow")?;
        if held != owed {
            return Err(format!("the accounts of {code} hold {held} uEUR and its books say {owed}"));
        }
        positions = positions.checked_add(member.position).ok_or("the positions overflow")?;
    }
    if let Some((code, _)) = held.first_key_value() {
        return Err(format!("accounts stand under {code}, which is no member"));
    }
    if positions != 0 {
        return Err(format!("the positions sum to {positions} uEUR instead of 0"));
    }
    Ok(())
}

impl BlockInHand<'_> {
    /// Checks what the block changed: with a balanced state before it, the state after it is balanced.
    ///
    /// # Panics
    /// When money appeared or vanished, positions do not sum to what they did, a member is past its cap, or a settled lease
    /// still holds money.
    pub(crate) fn assert_invariants(&self) {
        if let Err(breach) = self.find_breach() {
            panic!("invariant broken at height {}: {breach}", self.height);
        }
    }

    /// Looks for what may never be in what the block changed.
    ///
    /// # Errors
    /// Says which rule is broken, by whom, and by how much.
    pub fn find_breach(&self) -> Result<(), String> {
        let mut drift: BTreeMap<MemberCode, i128> = BTreeMap::new();
        let mut count = |home: MemberCode, amount: i128| -> Result<(), String> {
            let sum = drift.entry(home).or_default();
            *sum = sum.checked_add(amount).ok_or("the changed balances overflow")?;
            Ok(())
        };
        for (id, after) in self.view.changed::<Accounts>() {
            if let Some(Account { home, balance }) = after {
                count(*home, i128::from(balance.0))?;
            }
            if let Some(Account { home, balance }) = self.view.before::<Accounts>(id) {
                count(*home, i128::from(balance.0).saturating_neg())?;
            }
        }
        let mut positions = 0i128;
        for (code, after) in self.view.changed::<Members>() {
            let after = after.ok_or("a member vanished")?;
            let before = self.view.before::<Members>(code);
            let owed_before = before.map_or(Some(0), owed).ok_or("a member's books overflow")?;
            let owed_after = owed(after).ok_or("a member's books overflow")?;
            count(*code, owed_before.saturating_sub(owed_after))?;
            positions = positions
                .checked_add(after.position.saturating_sub(before.map_or(0, |row| row.position)))
                .ok_or("the positions overflow")?;
            if debit_headroom(after).is_none() {
                return Err(format!("{code} may come to owe more than its debit cap"));
            }
        }
        if let Some((code, amount)) = drift.iter().find(|(_, amount)| **amount != 0) {
            return Err(format!("the books of {code} are off by {amount} uEUR"));
        }
        if positions != 0 {
            return Err(format!("the positions moved by {positions} uEUR in sum"));
        }
        self.find_stranded()?;
        self.find_oversold()?;
        self.find_unbatched()?;
        self.find_unpinned()
    }

    /// A contract counts every lease that is not settled and names it, and holds its deposit; none of its leases is left when
    /// its code is gone.
    fn find_unpinned(&self) -> Result<(), String> {
        let mut drift: BTreeMap<CodeHash, i128> = BTreeMap::new();
        let open = |lease: &Lease| lease.state != LeaseState::Settled;
        for (id, after) in self.view.changed::<Leases>() {
            if let Some(lease) = after.filter(|lease| open(lease)) {
                let count = drift.entry(lease.agreement.contract).or_default();
                *count = count.saturating_add(1);
            }
            if let Some(lease) = self.view.before::<Leases>(id).filter(|lease| open(lease)) {
                let count = drift.entry(lease.agreement.contract).or_default();
                *count = count.saturating_sub(1);
            }
        }
        for (code, after) in self.view.changed::<Contracts>() {
            let leases = |row: Option<&Contract>| i128::from(row.map_or(0, |row| row.leases));
            let counted = leases(after).saturating_sub(leases(self.view.before::<Contracts>(code)));
            let count = drift.entry(*code).or_default();
            *count = count.saturating_sub(counted);
            let held = self.balance(&AccountId::Deposit(*code));
            let deposit = after.map_or(Money::ZERO, |row| row.deposit);
            if held != deposit {
                return Err(format!("the deposit of contract {code} is {held} EUR instead of {deposit}"));
            }
            let ended = after.is_none_or(|row| row.state == ContractState::Archived);
            if ended && leases(after) > 0 {
                return Err(format!("contract {code} is archived, and leases still name it"));
            }
        }
        match drift.iter().find(|(_, count)| **count != 0) {
            Some((code, count)) => Err(format!("contract {code} counts its leases wrong by {count}")),
            None => Ok(()),
        }
    }

    /// No slot of an owner's part of a site has more leased and offered than it was granted.
    fn find_oversold(&self) -> Result<(), String> {
        let parts = self.view.changed::<Entitlements>().map(|(key, _)| key.clone());
        let sold = self.view.changed::<Offers>().filter_map(|(_, after)| after);
        let sold = sold.filter(|offer| offer.state == OfferState::Open);
        let sold = sold.map(|offer| EntitlementKey { site: offer.site_key(), owner: offer.pool });
        let keys: BTreeSet<EntitlementKey> = parts.chain(sold).collect();
        for key in keys {
            let Some(part) = self.view.get::<Entitlements>(&key) else { continue };
            let gross = self.gross(part).peak();
            if gross > part.accelerators {
                let (site, granted) = (&key.site.site, part.accelerators);
                return Err(format!(
                    "{gross} accelerators of {site} are leased or offered, and {granted} are granted"
                ));
            }
        }
        Ok(())
    }

    /// A lease that a grant pays comes out of a batch of its class: nobody is handed public money by agreement.
    fn find_unbatched(&self) -> Result<(), String> {
        for (id, after) in self.view.changed::<Leases>() {
            let Some(lease) = after.filter(|lease| lease.sponsor.is_some()) else { continue };
            let epoch = |class: Option<&Class>| class.map_or(0, |class| class.epoch);
            let before = epoch(self.view.before::<Classes>(&lease.class));
            let cleared = epoch(self.view.get::<Classes>(&lease.class)) > before;
            let slots = self.view.before::<Leases>(id).map(|before| before.slots);
            if slots.is_none() && !cleared {
                return Err(format!("a grant pays the lease {id}, which no batch awarded"));
            }
            if slots.is_some_and(|slots| slots != lease.slots) {
                return Err(format!("a grant pays the lease {id}, which was extended without a batch"));
            }
        }
        Ok(())
    }

    /// A settled lease holds no money but what is held back of the pay: no stake, and no bond.
    fn find_stranded(&self) -> Result<(), String> {
        for (id, after) in self.view.changed::<Leases>() {
            let Some(lease) = after.filter(|lease| lease.state == LeaseState::Settled) else { continue };
            let first = AccountId::Escrow(lease.request, 0);
            let last = AccountId::Escrow(lease.request, u8::MAX);
            let locked = self
                .view
                .range::<Accounts>(first..=last)
                .fold(0u128, |sum, (_, account)| sum.saturating_add(account.balance.wide()));
            let held = lease.held().wide();
            if locked != held {
                return Err(format!("the settled lease {id} holds {locked} uEUR instead of {held}"));
            }
            for account in [AccountId::Stake(*id), AccountId::Bond(*id)] {
                let left = self.balance(&account);
                if left != Money::ZERO {
                    return Err(format!("the settled lease {id} leaves {left} EUR on {account:?}"));
                }
            }
        }
        Ok(())
    }
}
