//! What the ledger tells the contract of a lease, and whom its answer pays.

use crate::member::MemberCode;
use crate::money::Money;
use crate::row::{AccountId, Closing, Lease, Purse};
use crate::time::TimeMs;
use hansa_contracts_abi::{
    Bps, Ctx, Escrow, Evidence, Facts, Party, Price, Reading, Role, Terms, Trigger, Unit, Usage, Window,
};

/// The terms of a lease as its contract sees them.
#[must_use]
pub fn terms(lease: &Lease) -> Terms {
    Terms {
        parties: roles(lease.sponsor.is_some(), lease.agreement.parties.len()),
        unit: Unit::AcceleratorSecond,
        units: u64::from(lease.quantity),
        start: lease.agreement.start.seconds(),
        end: lease.agreement.end.seconds(),
        price: Price { num: u128::from(lease.agreement.price.0), den: 3_600 },
        fee_bps: lease.agreement.fee_bps as Bps,
        sponsor_bps: sponsor_bps(lease.sources.iter().map(|source| (source.purse, source.share_bps))),
        slash_max: lease.stake.wide(),
        sla: Vec::new(),
    }
}

/// The parties of a lease: the three that every lease has, the sponsor where a grant pays, and whom the offer names.
#[must_use]
pub fn roles(sponsored: bool, named: usize) -> Vec<Role> {
    let sponsor = sponsored.then_some(Role::Sponsor);
    let first = [Role::Requester, Role::Provider, Role::Operator];
    first.into_iter().chain(sponsor).chain(std::iter::repeat_n(Role::Named, named)).collect()
}

/// The account that a party is paid on and its home, by the party's index. None for those whose pay stays in the escrow and
/// returns with the rest: the requester, the sponsor, and, where a grant pays, a named party of the requester's own group,
/// since a grant never becomes its holder's cash.
#[must_use]
pub fn recipient(lease: &Lease, party: Party) -> Option<(AccountId, MemberCode)> {
    match party {
        Party::REQUESTER => None,
        Party::PROVIDER => Some((lease.payee.clone(), lease.provider_home)),
        Party::OPERATOR => Some((AccountId::Fees, MemberCode::EU)),
        Party(index) => {
            let first = if lease.sponsor.is_some() { 4 } else { 3 };
            let named = usize::from(index).checked_sub(first)?;
            let named = lease.agreement.parties.get(named)?;
            let own = lease.sponsor.is_some() && named.group == lease.group;
            (!own).then_some((AccountId::Cash(named.organisation), named.home))
        }
    }
}

/// The part of every payment that comes out of grants, in basis points.
#[must_use]
pub fn sponsor_bps(sources: impl Iterator<Item = (Purse, u16)>) -> Bps {
    sources
        .filter(|(purse, _)| matches!(purse, Purse::Grant(_)))
        .fold(0, |sum: Bps, (_, share)| sum.saturating_add(share))
}

/// The most of the requester's home's money that a lease can still carry to other homes: all that is not paid yet where
/// anybody it pays is at home elsewhere, else the federation's fee.
#[must_use]
pub fn exposure(lease: &Lease) -> Money {
    let abroad = |home: MemberCode| home != lease.requester_home;
    if abroad(lease.provider_home) || lease.agreement.parties.iter().any(|party| abroad(party.home)) {
        let paid = lease.sources.iter().fold(0u64, |sum, source| sum.saturating_add(source.paid.0));
        return Money(lease.locked.0.saturating_sub(paid));
    }
    let fee = lease.locked.wide().saturating_mul(u128::from(lease.agreement.fee_bps)).div_ceil(10_000);
    let paid = lease.paid.iter().find(|(party, _)| *party == Party::OPERATOR.0);
    let left = fee.saturating_sub(paid.map_or(0, |(_, amount)| amount.wide()));
    Money::try_from(left).unwrap_or(lease.locked)
}

/// Why a contract is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// The lease goes on, and its provider claims what is countersigned.
    Claim,
    /// A dispute was opened: what nobody contests is paid.
    Dispute,
    /// The lease is closed.
    Closing(Closing),
}

/// What the ledger knows when it asks the contract of a lease that closes.
#[must_use]
pub fn facts(lease: &Lease, closing: Closing, height: u64, now_s: u64) -> Facts {
    facts_for(lease, Asked::Closing(closing), height, TimeMs(now_s.saturating_mul(1_000)))
}

/// What the ledger knows when it asks the contract of a lease.
#[must_use]
pub fn facts_for(lease: &Lease, asked: Asked, height: u64, now: TimeMs) -> Facts {
    // Usage that nobody contested in time counts as agreed. What is contested is the part above what is admitted; the same
    // time is promised once, so the contested part has none of its own. A provider that walks away before the end, or claims
    // a payment in between, is paid for what was countersigned only.
    let (certain, contested) = match asked {
        Asked::Claim | Asked::Closing(Closing::CancelledByProvider) => (lease.countersigned, 0),
        Asked::Dispute | Asked::Closing(Closing::Ruling) => {
            let admitted = lease.admitted().unwrap_or(lease.reported);
            let admitted = admitted.max(lease.usage_paid).min(lease.reported);
            (admitted, lease.reported.saturating_sub(admitted))
        }
        Asked::Closing(_) => (lease.reported, 0),
    };
    let (windows, readings) = windows(lease, asked, now, certain, contested);
    let cumulative = u128::from(certain).saturating_add(u128::from(contested));
    let paid = lease.paid.iter().fold(0u128, |sum, (_, amount)| sum.saturating_add(amount.wide()));
    let stake = lease.stake.wide().saturating_sub(lease.slashed.wide());
    Facts {
        abi: lease.agreement.contract_abi,
        terms: terms(lease),
        usage: Usage { windows, readings, cumulative },
        escrow: Escrow { locked: lease.locked.wide(), paid, stake },
        ctx: Ctx { height, now: now.seconds(), trigger: trigger(lease, asked), quota_left: None },
        state: lease.contract_state.clone(),
    }
}

/// Cuts the usage at each window that the provider signed a figure for; what it reported without one is the last. The part of
/// a window that is contested is a window of its own behind it, with the same figure; the same time is promised once, so that
/// part has none of its own.
fn windows(
    lease: &Lease,
    asked: Asked,
    now: TimeMs,
    certain: u64,
    contested: u64,
) -> (Vec<Window>, Vec<Reading>) {
    let (mut windows, mut readings) = (Vec::new(), Vec::new());
    let metered =
        lease.windows.iter().map(|window| (window.until.min(now), window.cumulative, Some(window.reading)));
    let (mut used, mut promised, mut up) = (0u64, 0u64, 0u64);
    for (until, cumulative, reading) in metered.chain([(now, u64::MAX, None)]) {
        let used_by = cumulative.min(certain.saturating_add(contested)).max(used);
        let agreed = used_by.min(certain).saturating_sub(used.min(certain));
        let open = used_by.saturating_sub(used).saturating_sub(agreed);
        let promised_by = match reading {
            Some(_) => lease.committed_by(asked, now, until).max(promised),
            None => lease.committed(asked, now).max(promised),
        };
        let up_by = lease.up_s(until).max(up);
        let committed = promised_by.saturating_sub(promised);
        let up_secs = u32::try_from(up_by.saturating_sub(up)).unwrap_or(u32::MAX);
        let rest = reading.is_none() && !windows.is_empty();
        let mut push = |delivered: u64, committed: u64, source: Evidence| {
            let index = u32::try_from(windows.len()).unwrap_or(u32::MAX);
            windows.push(Window { index, delivered, committed, up_secs, source });
            readings.extend(reading.map(|value| Reading { index, value }));
        };
        if !rest || agreed > 0 || committed > 0 {
            push(agreed, committed, Evidence::Both);
        }
        if open > 0 {
            push(open, 0, Evidence::ProviderOnly);
        }
        (used, promised, up) = (used_by, promised_by, up_by);
    }
    (windows, readings)
}

fn trigger(lease: &Lease, asked: Asked) -> Trigger {
    let Asked::Closing(closing) = asked else { return Trigger::Interim };
    match closing {
        Closing::Final => Trigger::Final,
        Closing::Expired => Trigger::Expired,
        Closing::CancelledByRequester => Trigger::Cancelled { by: Party::REQUESTER },
        Closing::CancelledByProvider => Trigger::Cancelled { by: Party::PROVIDER },
        Closing::NoShow => Trigger::NoShow,
        Closing::Ruling => {
            Trigger::Ruling { provider_bps: lease.ruling.unwrap_or(lease.agreement.contest_provider_bps) }
        }
    }
}

impl Lease {
    /// When it began to be promised: when the provider began it, which it may do within the start window.
    fn promised_from(&self) -> TimeMs {
        self.started_at.unwrap_or(self.agreement.start)
    }

    /// Seconds in which its capacity was up by `now`.
    fn up_s(&self, now: TimeMs) -> u64 {
        let until = self.ended_at.unwrap_or(now).min(self.agreement.end).min(now);
        let started = self.started_at.map_or(until, |started| started.min(until));
        until.0.saturating_sub(started.0).checked_div(1_000).unwrap_or(0)
    }

    /// Accelerator-seconds that were promised: to the agreed end, or until the requester ended or cancelled it, or by `now`
    /// while it goes on; less what maintenance took that was announced long enough ahead.
    #[must_use]
    pub fn committed(&self, asked: Asked, now: TimeMs) -> u64 {
        self.committed_by(asked, now, TimeMs(u64::MAX))
    }

    /// The part of [`Self::committed`] that was promised until a moment.
    fn committed_by(&self, asked: Asked, now: TimeMs, moment: TimeMs) -> u64 {
        let from = self.promised_from();
        let end = self.agreement.end;
        let until = match asked {
            Asked::Claim => now.min(end),
            Asked::Closing(Closing::CancelledByRequester) => from,
            _ if self.ended_by_requester => self.ended_at.unwrap_or(end).min(end),
            _ => end,
        };
        let until = until.min(moment);
        let seconds = until.0.saturating_sub(from.0).checked_div(1_000).unwrap_or(0);
        let slot_ms = end.0.saturating_sub(self.agreement.start.0).checked_div(u64::from(self.slots));
        let slot_s = u32::try_from(slot_ms.unwrap_or(0).checked_div(1_000).unwrap_or(0)).unwrap_or(u32::MAX);
        let out = match slot_s {
            0 => 0,
            slot_s => {
                let out = self.maintenance.cut(from.slot(slot_s).max(self.start), until.slot(slot_s));
                out.area().saturating_mul(u128::from(slot_s))
            }
        };
        let promised = u128::from(seconds).saturating_mul(u128::from(self.quantity)).saturating_sub(out);
        u64::try_from(promised).unwrap_or(u64::MAX)
    }
}
