//! Whether a demand may enter the book: what could never be matched is refused at once, with the reason.

use super::context::accredited;
use crate::demand::is_eligible;
use crate::id::OrganisationId;
use crate::market::LaneHint;
use crate::money::{Money, PRICE_TICK_UEUR, Price};
use crate::name::Name;
use crate::params::Params;
use crate::rejection::Rejection;
use crate::row::{Demand, Entitlement, EntitlementKey, Organisation, Pool, Purse, Site};
use crate::state::View;
use crate::tables::{Classes, Entitlements, Grants, Offers, Sites};
use crate::time::TimeMs;
use std::collections::BTreeSet;

/// The most classes a demand may name besides its own.
pub const ALTERNATIVES_MAX: usize = 7;

/// Refuses a demand that no state could accept.
pub(super) fn check_demand(demand: &Demand, params: &Params) -> Result<(), Rejection> {
    if demand.quantity == 0 || demand.quantity_min == 0 || demand.quantity_min > demand.quantity {
        return Err(Rejection::QuantityInvalid);
    }
    if demand.slots == 0 || demand.slots > params.lease_slots_max {
        return Err(Rejection::DurationInvalid);
    }
    if demand.start_max < demand.start_min {
        return Err(Rejection::WindowInvalid);
    }
    let classes: BTreeSet<&Name> = demand.classes().map(|(class, _)| class).collect();
    if demand.any_of.len() > ALTERNATIVES_MAX || classes.len() != demand.any_of.len().saturating_add(1) {
        return Err(Rejection::AlternativesInvalid);
    }
    for (_, limit) in demand.classes() {
        if !limit.is_on_tick() {
            return Err(Rejection::PriceInvalid);
        }
        if limit < Price(PRICE_TICK_UEUR) {
            return Err(Rejection::LimitBelowTick);
        }
    }
    let sources = &demand.sources;
    let distinct: BTreeSet<_> = sources.iter().map(|source| source.purse).collect();
    let whole: u32 = sources.iter().map(|source| u32::from(source.share_bps)).sum();
    let counted = !sources.is_empty() && sources.len() <= params.request_sources_max as usize;
    if !counted
        || distinct.len() != sources.len()
        || whole != 10_000
        || sources.iter().any(|s| s.share_bps == 0)
    {
        return Err(Rejection::SourcesInvalid);
    }
    if demand.lane == LaneHint::Reserve && sources.iter().any(|source| source.purse == Purse::Cash) {
        return Err(Rejection::ReserveIneligible);
    }
    Ok(())
}

/// Checks a demand against the state, and says who asks and how much it locks: the highest of its limits for the whole
/// length. A dry run asks the same.
///
/// # Errors
/// Why a request for it would be refused.
pub fn admit_demand(
    view: &View<'_>,
    params: &Params,
    now: TimeMs,
    id: OrganisationId,
    demand: &Demand,
) -> Result<(Organisation, Money), Rejection> {
    check_demand(demand, params)?;
    let organisation = accredited(view, now, &id)?;
    let slot = now.slot(params.slot_s);
    let horizon = slot.checked_add(params.horizon_slots).ok_or(Rejection::Overflow)?;
    if demand.start_max <= slot {
        return Err(Rejection::WindowInvalid);
    }
    if demand.start_max > horizon {
        return Err(Rejection::BeyondHorizon);
    }
    for (class, limit) in demand.classes() {
        admit_class(view, params, demand, class, limit)?;
    }
    admit_sources(view, now, id, demand)?;
    if demand.lane == LaneHint::Reserve && !is_eligible(params, now, &organisation, demand) {
        return Err(Rejection::ReserveIneligible);
    }
    let locked = locked(params, demand)?;
    if organisation.requests_open >= params.organisation_requests_max {
        return Err(Rejection::TooManyRequests);
    }
    Ok((organisation, locked))
}

/// The most that any of the alternatives may need.
fn locked(params: &Params, demand: &Demand) -> Result<Money, Rejection> {
    let seconds = u64::from(demand.slots)
        .checked_mul(u64::from(params.slot_s))
        .and_then(|seconds| seconds.checked_mul(u64::from(demand.quantity)))
        .ok_or(Rejection::Overflow)?;
    let highest = demand.classes().map(|(_, limit)| limit).max().unwrap_or(demand.limit);
    highest.charge(seconds).ok_or(Rejection::Overflow)
}

/// Refuses grants that are another's, over, or for another purpose.
fn admit_sources(view: &View<'_>, now: TimeMs, id: OrganisationId, demand: &Demand) -> Result<(), Rejection> {
    for source in &demand.sources {
        let Purse::Grant(grant_id) = source.purse else { continue };
        let grant = view.get::<Grants>(&grant_id).filter(|grant| grant.holder == id);
        let grant = grant.ok_or(Rejection::GrantUnknown)?;
        if grant.closed || grant.expires <= now {
            return Err(Rejection::GrantExpired);
        }
        if grant.purpose != demand.purpose {
            return Err(Rejection::GrantPurpose);
        }
    }
    Ok(())
}

/// Refuses a class that could never serve the demand, whatever the next batches bring.
fn admit_class(
    view: &View<'_>,
    params: &Params,
    demand: &Demand,
    class: &Name,
    limit: Price,
) -> Result<(), Rejection> {
    let row = view.get::<Classes>(class).ok_or(Rejection::ClassUnknown)?;
    let sites = || view.range::<Sites>(..).filter(|(key, _)| key.class == *class);
    // A request runs in one owner's part of one site.
    let parts = || view.range::<Entitlements>(..).filter(|(key, _)| key.site.class == *class);
    let compatible = || {
        parts().filter(|(key, _)| {
            view.get::<Sites>(&key.site).is_some_and(|site| meets(demand, site, key.owner.pool()))
        })
    };
    if compatible().all(|(_, part)| part.accelerators == 0) {
        return Err(Rejection::RequestImpossible);
    }
    // What a part of a site would give at least, in its nodes.
    let least = |key: &EntitlementKey| {
        let node = view.get::<Sites>(&key.site).map_or(1, |site| site.node_size);
        quantity_least(demand, node)
    };
    let fitting =
        || compatible().filter(|(key, part)| least(key) <= part.accelerators).map(|(key, _)| least(key));
    let Some(least) = fitting().min() else { return Err(Rejection::RequestOverSite) };
    let cap_bps = match demand.lane {
        LaneHint::Reserve => params.cap_bps.min(params.reserve_cap_bps),
        LaneHint::Any | LaneHint::Market => params.cap_bps,
    };
    // By what is accredited and not by what is offered now, as a batch has it: all of it may be offered yet, and only what could
    // not match even then can never match. A group may always hold one node, of the largest.
    let node = sites().map(|(_, site)| site.node_size).max().unwrap_or(1);
    let part = u64::from(row.capacity).saturating_mul(u64::from(cap_bps)).checked_div(10_000).unwrap_or(0);
    if u64::from(least) > part.max(u64::from(node)) {
        return Err(Rejection::RequestOverCap);
    }
    if demand.lane == LaneHint::Reserve {
        reserve_price_within(view, params, compatible(), row.epoch, limit)?;
    }
    Ok(())
}

/// The least that nodes of a size can give a demand: as much as it asks for, less whole nodes as long as that is enough.
fn quantity_least(demand: &Demand, node: u32) -> u32 {
    let most = demand.quantity.saturating_sub(demand.quantity_min.max(1));
    let fewer = most.checked_div(node.max(1)).unwrap_or(0).saturating_mul(node);
    demand.quantity.saturating_sub(fewer)
}

/// Whether a site meets the hard constraints; for the reserve alone it has to be public.
fn meets(demand: &Demand, site: &Site, pool: Pool) -> bool {
    demand.countries.admits(site.country)
        && site.certificates & demand.certificates == demand.certificates
        && site.tier >= demand.tier_min
        && (demand.lane != LaneHint::Reserve || pool == Pool::Public)
}

/// Refuses a limit below what the reserve of every open offer of these parts costs in batch `epoch`. Without an open offer there is no price
/// yet, and the request may wait for one.
fn reserve_price_within<'v>(
    view: &View<'_>,
    params: &Params,
    parts: impl Iterator<Item = (&'v EntitlementKey, &'v Entitlement)>,
    epoch: u64,
    limit: Price,
) -> Result<(), Rejection> {
    let asks = parts.filter_map(|(_, part)| part.offer.and_then(|id| view.get::<Offers>(&id)));
    match asks.map(|offer| offer.ask_in(epoch)).min() {
        Some(ask) if ask.min(Price(params.reserve_price_cap)) > limit => {
            Err(Rejection::ReservePriceOverLimit)
        }
        _ => Ok(()),
    }
}
