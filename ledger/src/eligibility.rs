//! Who may have a lease, as far as contracts decide it: asked once per contract, parameters, price and claims in a batch.
//!
//! The fuel comes out of the block's, and is at most half of what the batch finds, so that its awards can still be quoted.
//! Pairs are asked in a fixed order that begins elsewhere in each batch, so that what one has no fuel for comes first later.

use crate::action::{BlockInHand, FuelUse};
use crate::facts::roles;
use crate::id::{CodeHash, OfferId, RequestId};
use crate::market::{Bar, Book};
use crate::money::Price;
use crate::params::Params;
use crate::row::{Purse, Request};
use crate::state::View;
use crate::tables::{Contracts, Grants, Offers, Organisations, Requests};
use crate::time::TimeMs;
use hansa_contracts_abi as abi;
use hansa_contracts_abi::{Admission, Claims, Runtime, Terms};
use std::collections::{BTreeMap, BTreeSet};

/// A contract as an offer uses it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Rule {
    contract: CodeHash,
    params: Vec<u8>,
    ask: Price,
    named: usize,
}

/// What is attested of who asks.
#[must_use]
pub fn claims(view: &View<'_>, request: &Request) -> Option<Claims> {
    let organisation = view.get::<Organisations>(&request.organisation)?;
    let grant = request.demand.sources.iter().find_map(|source| match source.purse {
        Purse::Grant(id) => view.get::<Grants>(&id),
        Purse::Cash => None,
    });
    Some(Claims {
        home: organisation.home.bytes(),
        class: organisation.class as u8,
        sponsor: grant.map(|grant| grant.issuer.bytes()),
        purpose: grant.map(|grant| grant.purpose as u8),
    })
}

/// The terms that stand for all that an offer may come to: one accelerator for one slot at its price, paid by the sponsor
/// where there is one, with so many named parties.
#[must_use]
pub fn sample_terms(params: &Params, now: TimeMs, ask: Price, sponsored: bool, named: usize) -> Terms {
    let start = now.seconds();
    Terms {
        parties: roles(sponsored, named),
        unit: abi::Unit::AcceleratorSecond,
        units: 1,
        start,
        end: start.saturating_add(u64::from(params.slot_s)),
        price: abi::Price { num: u128::from(ask.0), den: 3_600 },
        fee_bps: params.fee_bps,
        sponsor_bps: if sponsored { 10_000 } else { 0 },
        slash_max: 0,
        sla: Vec::new(),
    }
}

/// Asks the contracts of a book who may have a lease, and writes into the book whom they refuse. Whether all were asked: fuel
/// may end before.
pub fn ask_contracts(
    view: &View<'_>,
    params: &Params,
    now: TimeMs,
    runtime: &dyn Runtime,
    fuel: &mut u64,
    book: &mut Book,
) -> bool {
    let rules = rules(view, book);
    if rules.is_empty() {
        return true;
    }
    let asking = asking(view, book);
    let groups: BTreeSet<Claims> = asking.values().copied().collect();
    let first = usize::try_from(book.epoch).unwrap_or(0).checked_rem(rules.len()).unwrap_or(0);
    let mut left = fuel.checked_div(2).unwrap_or(0);
    let before = left;
    let mut is_whole = true;
    for (number, (rule, _)) in rules.iter().enumerate().cycle().skip(first).take(rules.len()) {
        for (group, claims) in groups.iter().enumerate() {
            let bar = if left < runtime.fuel_per_call_max() {
                is_whole = false;
                Some(Bar::Unasked)
            } else {
                let terms = sample_terms(params, now, rule.ask, claims.sponsor.is_some(), rule.named);
                let outcome = runtime.admit(&rule.contract.0, &rule.params, &terms, claims);
                left = left.saturating_sub(outcome.fuel);
                match outcome.result {
                    Ok(Admission::Yes) => None,
                    Ok(Admission::No(reason)) => Some(Bar::Refused(Some(reason))),
                    // Who cannot tell does not let anybody in.
                    Err(_) => Some(Bar::Refused(None)),
                }
            };
            if let Some(bar) = bar {
                book.eligibility.barred.insert((place(group), place(number)), bar);
            }
        }
    }
    *fuel = fuel.saturating_sub(before.saturating_sub(left));
    let numbers: BTreeMap<Claims, u32> = groups.into_iter().zip(0u32..).collect();
    let number = |claims: &Claims| numbers.get(claims).copied();
    book.eligibility.claims =
        asking.iter().filter_map(|(request, claims)| Some((*request, number(claims)?))).collect();
    for (number, (_, offers)) in (0u32..).zip(rules) {
        book.eligibility.rules.extend(offers.into_iter().map(|offer| (offer, number)));
    }
    is_whole
}

fn place(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// The rules of the book's offers that have a say, each with the offers under it.
fn rules(view: &View<'_>, book: &Book) -> BTreeMap<Rule, Vec<OfferId>> {
    let mut rules: BTreeMap<Rule, Vec<OfferId>> = BTreeMap::new();
    for supply in &book.supplies {
        let Some(offer) = view.get::<Offers>(&supply.offer) else { continue };
        if view.get::<Contracts>(&offer.contract).is_some_and(|row| row.has_admit()) {
            let (contract, params) = (offer.contract, offer.contract_params.clone());
            let (ask, named) = (supply.ask, offer.parties.len());
            rules.entry(Rule { contract, params, ask, named }).or_default().push(supply.offer);
        }
    }
    rules
}

/// The claims of the book's requests.
fn asking(view: &View<'_>, book: &Book) -> BTreeMap<RequestId, Claims> {
    let requests = book.orders.iter().map(|order| order.request);
    requests.filter_map(|id| Some((id, claims(view, view.get::<Requests>(&id)?)?))).collect()
}

impl BlockInHand<'_> {
    /// [`ask_contracts`] with the fuel of this block.
    pub(crate) fn ask_contracts(&mut self, book: &mut Book) -> bool {
        let free = self.fuel_for(FuelUse::Other);
        let mut fuel = free;
        let is_whole = ask_contracts(&self.view, self.params, self.now, self.runtime, &mut fuel, book);
        self.burn_fuel(FuelUse::Other, free.saturating_sub(fuel));
        is_whole
    }
}
