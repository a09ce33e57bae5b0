//! The demand side of a batch: what an open request is entitled to, what its group has had, and what it may still get.

use crate::action::BlockInHand;
use crate::aid::aid_left;
use crate::id::{ChainId, GroupId, RequestId};
use crate::market::{BookParams, GroupShare, Hold, Lane, Order};
use crate::member::MemberCode;
use crate::money::{PRICE_TICK_UEUR, Price};
use crate::name::Name;
use crate::params::Params;
use crate::row::{
    Demand, GroupUsage, Lease, Organisation, OrganisationClass, Purpose, Purse, Request, Standing,
};
use crate::state::View;
use crate::tables::{Classes, Grants, Organisations, Usages};
use crate::time::{Slot, TimeMs};
use std::collections::{BTreeMap, BTreeSet};

/// Milliseconds in a day.
const DAY_MS: u64 = 86_400_000;

/// Basis points of a whole.
const WHOLE_BPS: u16 = 10_000;

/// Whether organisations of `class` may use the reserve at all.
#[must_use]
pub fn is_reserve_class(params: &Params, class: OrganisationClass) -> bool {
    let bit = match class {
        OrganisationClass::StartUp => 1,
        OrganisationClass::Sme => 2,
        OrganisationClass::Large => 4,
        OrganisationClass::Research => 8,
        OrganisationClass::Public => 16,
    };
    params.reserve_classes & bit != 0
}

/// Whether a demand of `organisation` may be served out of the reserve: the class is one the federation wants there, the
/// accreditation is valid, and grants alone pay.
#[must_use]
pub fn is_eligible(params: &Params, now: TimeMs, organisation: &Organisation, demand: &Demand) -> bool {
    let accredited = organisation.standing == Standing::Accredited && organisation.accredited_until > now;
    let granted = demand.sources.iter().all(|source| matches!(source.purse, Purse::Grant(_)));
    accredited && granted && is_reserve_class(params, organisation.class)
}

/// Whether a demand counts against the commercial ceilings of pools: a large company's, or industrial use paid in cash.
#[must_use]
pub fn is_commercial(class: OrganisationClass, demand: &Demand) -> bool {
    let cash = demand.sources.iter().any(|source| source.purse == Purse::Cash);
    class == OrganisationClass::Large || (demand.purpose == Purpose::Industrial && cash)
}

/// The member whose grant pays, wholly or in part: the issuer of the first grant. All grants of an organisation have one
/// issuer, its home.
#[must_use]
pub fn sponsor(view: &View<'_>, demand: &Demand) -> Option<MemberCode> {
    demand.sources.iter().find_map(|source| match source.purse {
        Purse::Grant(id) => view.get::<Grants>(&id).map(|grant| grant.issuer),
        Purse::Cash => None,
    })
}

/// The rules of a batch, as the parameters give them.
#[must_use]
pub fn book_params(params: &Params, chain: ChainId) -> BookParams {
    BookParams {
        tick: PRICE_TICK_UEUR,
        k_bps: params.k_bps,
        price_candidates: params.price_candidates,
        cap_bps: params.cap_bps,
        slot_s: params.slot_s,
        spot_slots: params.spot_slots,
        near_slots: params.near_slots,
        chain,
        limit_first: params.limit_first == 1,
        orders_max: 2_048,
        orders_per_group_max: 16,
        supplies_max: 256,
        reserve_price_cap: Price(params.reserve_price_cap),
        reserve_cap_bps: params.reserve_cap_bps,
        reserve_member_cap_bps: params.reserve_member_cap_bps,
        credit_ask_cap: (params.credit_ask_cap > 0).then_some(Price(params.credit_ask_cap)),
        release_slots: params.release_slots,
        release_lease_slots_max: params.release_lease_slots_max,
    }
}

/// What the orders of one book share, looked up once.
pub(crate) struct Demands<'v> {
    view: &'v View<'v>,
    params: &'v Params,
    now: TimeMs,
    class: &'v Name,
    /// When each group was first accredited; empty while no ramp is in force.
    since: BTreeMap<GroupId, TimeMs>,
    /// What each group met so far has used.
    shares: BTreeMap<GroupId, GroupShare>,
    /// What each group met so far may still get in aid.
    aid: BTreeMap<GroupId, Option<u128>>,
}

impl<'v> Demands<'v> {
    pub(crate) fn new(view: &'v View<'v>, params: &'v Params, now: TimeMs, class: &'v Name) -> Self {
        let since = if params.reserve_ramp_ms == 0 { BTreeMap::new() } else { accredited_since(view) };
        Self { view, params, now, class, since, shares: BTreeMap::new(), aid: BTreeMap::new() }
    }

    /// A request as an order for the class; none when it does not ask for it.
    pub(crate) fn order(&mut self, id: RequestId, row: &Request) -> Option<Order> {
        let (view, params, now, class) = (self.view, self.params, self.now, self.class);
        let demand = &row.demand;
        let (index, (_, limit)) = demand.classes().enumerate().find(|(_, (name, _))| *name == class)?;
        let organisation = view.get::<Organisations>(&row.organisation)?;
        let share =
            *self.shares.entry(row.group).or_insert_with(|| group_share(view, params, row.group, class, now));
        let aid_left = *self.aid.entry(row.group).or_insert_with(|| aid_left(view, params, row.group, now));
        Some(Order {
            request: id,
            organisation: row.organisation,
            group: row.group,
            sequence: row.sequence,
            countries: demand.countries,
            certificates: demand.certificates,
            tier_min: demand.tier_min,
            quantity: demand.quantity,
            quantity_min: demand.quantity_min,
            slots: demand.slots,
            start_min: demand.start_min,
            start_max: demand.start_max,
            limit,
            usage: share.other.max(part_of(share.accelerator_seconds, capacity(view, class))),
            admitted_epoch: row.admitted_epochs.get(index).copied().unwrap_or(0),
            funding_home: row.home,
            own_group_excluded: demand.has_grant(),
            lane: demand.lane,
            eligible: is_eligible(params, now, organisation, demand),
            // Also where cash pays a part: what a grant pays into is bound by the cap on asks all the same.
            credit: sponsor(view, demand),
            interruptible: demand.interruptible,
            commercial: is_commercial(organisation.class, demand),
            reserve_cap_bps: self.reserve_cap_bps(row.group),
            aid_left,
        })
    }

    /// What the groups of the orders met have used.
    pub(crate) fn into_usage(self) -> BTreeMap<GroupId, GroupShare> {
        self.shares
    }

    fn reserve_cap_bps(&self, group: GroupId) -> u16 {
        let since = self.since.get(&group).copied().unwrap_or(self.now);
        ramped_cap_bps(self.params, self.now.0.saturating_sub(since.0))
    }
}

/// What a group that was first accredited `age_ms` ago may hold of a class for the reserve to give it more, in basis points
/// of the class's capacity: its part grows in a straight line to the whole of what the parameters allow any group, and
/// from then on has no bound of its own.
#[must_use]
pub fn ramped_cap_bps(params: &Params, age_ms: u64) -> u16 {
    if age_ms >= params.reserve_ramp_ms {
        return WHOLE_BPS;
    }
    let first = u128::from(params.reserve_ramp_bps_min.min(WHOLE_BPS));
    let rest = u128::from(WHOLE_BPS).saturating_sub(first);
    let grown = rest.saturating_mul(u128::from(age_ms)).checked_div(u128::from(params.reserve_ramp_ms));
    let part = first.saturating_add(grown.unwrap_or(rest));
    let whole = u128::from(params.cap_bps.min(params.reserve_cap_bps));
    let cap = whole.saturating_mul(part).checked_div(u128::from(WHOLE_BPS)).unwrap_or(whole);
    u16::try_from(cap).unwrap_or(WHOLE_BPS)
}

/// When the first of `groups` may hold one accelerator more of the reserve of a class of `capacity`, since it has grown older;
/// `None` if all hold what they ever may.
pub(crate) fn next_ramp(
    view: &View<'_>,
    params: &Params,
    now: TimeMs,
    capacity: u64,
    groups: &BTreeSet<GroupId>,
) -> Option<TimeMs> {
    if groups.is_empty() || params.reserve_ramp_ms == 0 {
        return None;
    }
    let since = accredited_since(view);
    let whole = params.cap_bps.min(params.reserve_cap_bps);
    let cap = |age_ms: u64| {
        let bps = ramped_cap_bps(params, age_ms).min(whole);
        u128::from(capacity).saturating_mul(u128::from(bps)).checked_div(10_000).unwrap_or(0)
    };
    let grows_at = |group: &GroupId| {
        let since = *since.get(group)?;
        let (mut fails, mut holds) = (now.0.saturating_sub(since.0), params.reserve_ramp_ms);
        let before = cap(fails);
        if fails >= holds || cap(holds) <= before {
            return None;
        }
        while holds.saturating_sub(fails) > 1 {
            let middle = fails.midpoint(holds);
            if cap(middle) > before { holds = middle } else { fails = middle }
        }
        Some(since.plus(holds))
    };
    groups.iter().filter_map(grows_at).min()
}

/// When the oldest organisation of each group was accredited. One whose accreditation was revoked lends its age to nobody.
fn accredited_since(view: &View<'_>) -> BTreeMap<GroupId, TimeMs> {
    let mut since: BTreeMap<GroupId, TimeMs> = BTreeMap::new();
    for (_, row) in view.range::<Organisations>(..).filter(|(_, row)| row.standing != Standing::Revoked) {
        let oldest = since.entry(row.group).or_insert(row.accredited_since);
        *oldest = row.accredited_since.min(*oldest);
    }
    since
}

/// What a live lease holds against caps.
#[must_use]
pub fn hold(row: &Lease) -> Hold {
    Hold {
        group: row.group,
        start: row.start,
        end: Slot(row.start.0.saturating_add(row.slots)),
        quantity: row.quantity,
        reserve: row.sponsor.filter(|_| row.lane == Lane::Reserve),
    }
}

/// What a group has used of `class`, and its largest share of any other class.
fn group_share(view: &View<'_>, params: &Params, group: GroupId, class: &Name, now: TimeMs) -> GroupShare {
    let day = day_of(now);
    let first = Name::new("0").expect("a digit is a name");
    let mut share = GroupShare::default();
    for ((_, used_class), usage) in
        view.range::<Usages>((group, first)..).take_while(|((of, _), _)| *of == group)
    {
        let used = decayed(usage, day, params.usage_decay_q32);
        if used_class == class {
            share.accelerator_seconds = used;
        } else {
            share.other = share.other.max(part_of(used, capacity(view, used_class)));
        }
    }
    share
}

/// The accredited accelerators of a class, counted as at least one.
fn capacity(view: &View<'_>, class: &Name) -> u64 {
    view.get::<Classes>(class).map_or(1, |class| u64::from(class.capacity).max(1))
}

/// Usage as a share of a class, in parts per 10^9.
fn part_of(used: u64, capacity: u64) -> u64 {
    let share = u128::from(used).saturating_mul(1_000_000_000).checked_div(u128::from(capacity));
    u64::try_from(share.unwrap_or(0)).unwrap_or(u64::MAX)
}

/// Days since 1970-01-01 UTC.
pub(crate) fn day_of(now: TimeMs) -> u32 {
    u32::try_from(now.0.checked_div(DAY_MS).unwrap_or(0)).unwrap_or(u32::MAX)
}

/// Usage as it counts on `day`: multiplied by the decay once per day. After 1,000 days nothing is left.
pub(crate) fn decayed(usage: &GroupUsage, day: u32, decay_q32: u32) -> u64 {
    let days = day.saturating_sub(usage.day).min(1_000);
    (0..days).fold(usage.accelerator_seconds, |left, _| {
        let product = u128::from(left).saturating_mul(u128::from(decay_q32)) >> 32;
        u64::try_from(product).unwrap_or(u64::MAX)
    })
}

impl BlockInHand<'_> {
    /// Usage counts from the award, in both lanes, so that nobody is first in two batches for the capacity of one.
    pub(crate) fn count_usage(&mut self, lease: &Lease) {
        self.count_seconds(lease, lease.awarded_seconds(self.params.slot_s));
    }

    /// Counts so many accelerator-seconds of a lease from today on.
    pub(crate) fn count_seconds(&mut self, lease: &Lease, seconds: u64) {
        let day = day_of(self.now);
        let key = (lease.group, lease.class.clone());
        let before = self.view.get::<Usages>(&key);
        let used = before.map_or(0, |usage| decayed(usage, day, self.params.usage_decay_q32));
        let accelerator_seconds = used.saturating_add(seconds);
        self.view.put::<Usages>(key, GroupUsage { accelerator_seconds, day });
    }

    /// What a group was counted for at award and at extensions and did not use is taken off its account again: what was
    /// counted last first, since the slots not used are the last ones.
    pub(crate) fn return_usage(&mut self, lease: &Lease) {
        let mut unused = lease.awarded_seconds(self.params.slot_s).saturating_sub(lease.reported);
        let mut parts = Vec::new();
        for part in lease.parts().rev() {
            let accelerator_seconds = lease.seconds_of(part.slots, self.params.slot_s).min(unused);
            unused = unused.saturating_sub(accelerator_seconds);
            parts.push(GroupUsage { accelerator_seconds, day: day_of(part.awarded_at) });
        }
        let key = (lease.group, lease.class.clone());
        if let Some(mut usage) = self.view.get::<Usages>(&key).cloned() {
            // It has decayed with the rest of the account since the award.
            for unused in &parts {
                let unused = decayed(unused, usage.day, self.params.usage_decay_q32);
                usage.accelerator_seconds = usage.accelerator_seconds.saturating_sub(unused);
            }
            if usage.accelerator_seconds == 0 {
                self.view.remove::<Usages>(&key);
            } else {
                self.view.put::<Usages>(key, usage);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_groups_part_of_the_reserve_grows_in_a_straight_line_and_then_has_no_bound_of_its_own() {
        let params = Params {
            reserve_ramp_ms: 1_000,
            reserve_ramp_bps_min: 1_000,
            cap_bps: 2_000,
            reserve_cap_bps: 1_000,
            ..Params::default()
        };
        for (age_ms, cap_bps) in
            [(0, 100), (1, 100), (100, 190), (500, 550), (999, 999), (1_000, 10_000), (u64::MAX, 10_000)]
        {
            assert_eq!(ramped_cap_bps(&params, age_ms), cap_bps, "{age_ms}");
        }
        let at_once = Params { reserve_ramp_ms: 0, ..params };
        assert_eq!(ramped_cap_bps(&at_once, 0), 10_000);
    }

    #[test]
    fn usage_decays_by_the_day_and_is_gone_after_a_thousand() {
        let usage = GroupUsage { accelerator_seconds: 1_000_000, day: 100 };
        let half = 4_087_499_557;
        assert_eq!(decayed(&usage, 100, half), 1_000_000);
        // A half-life of 14 days; each day rounds down.
        let after = decayed(&usage, 114, half);
        assert!((499_980..=500_000).contains(&after), "{after}");
        assert_eq!(decayed(&usage, 5_000, half), 0);
    }
}
