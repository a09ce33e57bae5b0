//! Who the members are: joining, leaving, limits and keys.
//!
//! A change in block h acts at h + 2: the members that sign h + 1 know the set that follows them. One block changes the set
//! once, and no change replaces a third of it, so that any set's quorum overlaps the next set's.

use crate::action::{BlockInHand, expiry};
use crate::block::Validator;
use crate::event::Event;
use crate::genesis::GenesisMember;
use crate::id::{OrderId, OrganisationId};
use crate::journal::debit_headroom;
use crate::member::MemberCode;
use crate::money::Money;
use crate::rejection::Rejection;
use crate::row::{Key, Member, Office, OfficeOrder, Organisation, Principal, Standing, ValidatorSet};
use crate::state::View;
use crate::tables::{Deadlines, Keys, Members, OfficeOrders, Offices, Organisations, ValidatorSets};
use hansa_ledger_signature::PublicKey;
use std::collections::BTreeSet;

/// How many heights after its block a change of the members acts.
const ACTS_AFTER: u64 = 2;

/// Refuses keys that no node may have.
///
/// # Errors
/// A weak key, or one for both duties.
pub fn check_node_keys(consensus: &PublicKey, network: &PublicKey) -> Result<(), Rejection> {
    if consensus.is_weak() || network.is_weak() {
        return Err(Rejection::KeyWeak);
    }
    if consensus == network { Err(Rejection::KeyInUse) } else { Ok(()) }
}

/// Refuses a member with an office that could never act, a weak key, or one key for two duties.
pub(super) fn check_member(member: &GenesisMember) -> Result<(), Rejection> {
    member.offices().into_iter().try_for_each(|(_, office)| office.check())?;
    let keys: Vec<PublicKey> = member.keys().collect();
    if keys.iter().any(PublicKey::is_weak) {
        return Err(Rejection::KeyWeak);
    }
    if keys.iter().collect::<BTreeSet<_>>().len() == keys.len() { Ok(()) } else { Err(Rejection::KeyInUse) }
}

impl BlockInHand<'_> {
    /// The latest set of members, by code: those who vote on proposals, though they may not sign yet.
    fn validators_latest(&self) -> &[Validator] {
        let latest = self.view.range::<ValidatorSets>(..).last();
        latest.map_or(&[], |(_, set)| set.members.as_slice())
    }

    /// The members with a vote, by code.
    pub(crate) fn voters(&self) -> Vec<MemberCode> {
        self.validators_latest().iter().map(|validator| validator.member).collect()
    }

    /// Changes the set that signs from the height after the next on. Gives that height.
    fn change_validators(&mut self, change: impl FnOnce(&mut Vec<Validator>)) -> Result<u64, Rejection> {
        let from = self.height.saturating_add(ACTS_AFTER);
        if self.view.get::<ValidatorSets>(&from).is_some() {
            return Err(Rejection::MembersChanging);
        }
        let before = self.validators_latest().to_vec();
        let mut members = before.clone();
        change(&mut members);
        members.sort_by_key(|validator| validator.member);
        if replaces_a_third(&before, &members) {
            return Err(Rejection::MembersOverlap);
        }
        self.view.put::<ValidatorSets>(from, ValidatorSet { members });
        Ok(from)
    }

    /// Keeps a member's row if its books allow the limits in it.
    pub(super) fn put_member(&mut self, code: MemberCode, row: Member) -> Result<(), Rejection> {
        if debit_headroom(&row).is_none() {
            return Err(Rejection::LimitTooLow);
        }
        let others = self.view.range::<Members>(..).filter(|(other, _)| **other != code);
        let limits = others.map(|(_, other)| other.issue_limit).try_fold(row.issue_limit, Money::checked_add);
        limits.ok_or(Rejection::LimitTooHigh)?;
        self.view.put::<Members>(code, row);
        Ok(())
    }

    /// Whether a key is free for this member: nobody else's, and no user's.
    fn check_free(&self, code: MemberCode, key: &PublicKey) -> Result<(), Rejection> {
        let has = |row: &Member| row.consensus_key == Some(*key) || row.network_key == Some(*key);
        let others = self.view.range::<Members>(..).any(|(other, row)| *other != code && has(row));
        let signs = |set: &ValidatorSet| set.members.iter().any(|one| one.member != code && one.key == *key);
        // A set that still signs counts as well: two members never share a key.
        let signed = self.view.range::<ValidatorSets>(..).any(|(_, set)| signs(set));
        if others || signed || self.view.get::<Keys>(key).is_some() {
            return Err(Rejection::KeyInUse);
        }
        Ok(())
    }

    pub(super) fn join(&mut self, member: &GenesisMember) -> Result<(), Rejection> {
        let code = member.code;
        if self.voters().contains(&code) {
            return Err(Rejection::MemberExists);
        }
        self.check_free(code, &member.consensus_key)?;
        self.check_free(code, &member.network_key)?;
        enter_offices(&mut self.view, member)?;
        // Who had left finds its books as it left them.
        let before = self.view.get::<Members>(&code).cloned();
        self.put_member(code, member.row(before.as_ref()))?;
        let key = member.consensus_key;
        let from = self.change_validators(|members| members.push(Validator { member: code, key }))?;
        self.emit(Event::MemberJoined { member: code, from });
        self.recount();
        Ok(())
    }

    pub(super) fn leave(&mut self, code: MemberCode) -> Result<(), Rejection> {
        if !self.voters().contains(&code) {
            return Err(Rejection::MemberUnknown);
        }
        let row = self.view.get::<Members>(&code).cloned().ok_or(Rejection::MemberUnknown)?;
        let from = self.change_validators(|members| members.retain(|one| one.member != code))?;
        self.view.put::<Members>(code, Member { consensus_key: None, network_key: None, ..row });
        self.close_offices(code);
        self.end_accreditations(code);
        self.emit(Event::MemberLeft { member: code, from });
        self.recount();
        Ok(())
    }

    /// Closes a member's offices: their keys sign no more, and what awaits approval lapses.
    fn close_offices(&mut self, code: MemberCode) {
        close_office_keys(&mut self.view, code);
        let orders: Vec<(OrderId, OfficeOrder)> = self
            .view
            .range::<OfficeOrders>(..)
            .filter(|(_, order)| order.member == code)
            .map(|(id, order)| (*id, order.clone()))
            .collect();
        for (id, order) in orders {
            self.close_order(id, &order);
            self.emit(Event::OrderLapsed { order: id });
        }
        for office in Office::ALL {
            self.view.remove::<Offices>(&(code, office));
        }
    }

    /// Ends the accreditations that a member gave: each by its own deadline, which is now, so that many of them do not make one
    /// block long. Open orders are closed and refunded then, and leases run on.
    fn end_accreditations(&mut self, home: MemberCode) {
        let accredited = |row: &Organisation| row.home == home && row.standing == Standing::Accredited;
        let rows: Vec<(OrganisationId, Organisation)> = self
            .view
            .range::<Organisations>(..)
            .filter(|(_, row)| accredited(row))
            .map(|(id, row)| (*id, row.clone()))
            .collect();
        for (id, row) in rows {
            self.view.remove::<Deadlines>(&expiry(id, row.accredited_until));
            self.view.put::<Deadlines>(expiry(id, self.now), ());
            self.view.put::<Organisations>(id, Organisation { accredited_until: self.now, ..row });
        }
    }

    /// Gives a member's node other keys.
    pub(crate) fn change_member_keys(
        &mut self,
        code: MemberCode,
        consensus_key: PublicKey,
        network_key: PublicKey,
    ) -> Result<(), Rejection> {
        if !self.voters().contains(&code) {
            return Err(Rejection::MemberUnknown);
        }
        let row = self.view.get::<Members>(&code).cloned().ok_or(Rejection::MemberUnknown)?;
        self.check_free(code, &consensus_key)?;
        self.check_free(code, &network_key)?;
        let from = self.change_validators(|members| {
            for one in members.iter_mut().filter(|one| one.member == code) {
                one.key = consensus_key;
            }
        })?;
        let (consensus_key, network_key) = (Some(consensus_key), Some(network_key));
        self.view.put::<Members>(code, Member { consensus_key, network_key, ..row });
        self.emit(Event::MemberKeysChanged { member: code, from });
        Ok(())
    }
}

/// Whether a third or more of the members would go or come at once. A member that changes its key stays who it is.
fn replaces_a_third(before: &[Validator], after: &[Validator]) -> bool {
    let without = |some: &[Validator], others: &[Validator]| {
        let stays = |one: &Validator| others.iter().any(|other| other.member == one.member);
        some.iter().filter(|one| !stays(one)).count()
    };
    let replaced = without(before, after).max(without(after, before));
    replaced > 0 && replaced.saturating_mul(3) >= before.len().max(after.len())
}

/// Registers the offices of a member and their keys. Keys that were its offices' before act again, and their nonces go on.
pub(crate) fn enter_offices(view: &mut View<'_>, member: &GenesisMember) -> Result<(), Rejection> {
    for (office, beginning) in member.offices() {
        for key in &beginning.keys {
            enter_office_key(view, member.code, office, *key)?;
        }
        view.put::<Offices>((member.code, office), beginning.row());
    }
    Ok(())
}

fn enter_office_key(
    view: &mut View<'_>,
    code: MemberCode,
    office: Office,
    key: PublicKey,
) -> Result<(), Rejection> {
    let fresh = Key::of_office(code, office);
    let before = view.get::<Keys>(&key);
    let signs = |row: &Member| row.consensus_key == Some(key) || row.network_key == Some(key);
    if before.is_some_and(|row| row.principal != fresh.principal)
        || view.range::<Members>(..).any(|(_, row)| signs(row))
        || view.range::<ValidatorSets>(..).any(|(_, set)| set.members.iter().any(|one| one.key == key))
    {
        return Err(Rejection::KeyInUse);
    }
    let nonce = before.map_or(0, |row| row.nonce);
    view.put::<Keys>(key, Key { nonce, ..fresh });
    Ok(())
}

/// Takes the keys of a member's offices back.
fn close_office_keys(view: &mut View<'_>, code: MemberCode) {
    let held = |row: &Key| matches!(row.principal, Principal::Office(member, _) if member == code);
    let keys: Vec<(PublicKey, Key)> = view
        .range::<Keys>(..)
        .filter(|(_, row)| held(row) && !row.revoked)
        .map(|(key, row)| (*key, row.clone()))
        .collect();
    for (key, row) in keys {
        view.put::<Keys>(key, Key { revoked: true, ..row });
    }
}
