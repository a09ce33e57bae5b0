//! Offers and requests.

use super::Row;
use super::people::NOBODY;
use crate::scene::{Scene, all_from, demand};
use crate::world::{member, name};
use hansa_ledger::action::{
    Action, AmendOffer, AnnounceOutage, CancelRequest, EndOutage, PlaceRequest, PostOffer, WithdrawOffer,
};
use hansa_ledger::id::{CodeHash, GrantId, OfferId, OrganisationId, OutageId, RequestId};
use hansa_ledger::market::{Calendar, LaneHint};
use hansa_ledger::member::CountrySet;
use hansa_ledger::money::Price;
use hansa_ledger::rejection::Rejection::*;
use hansa_ledger::row::{Alternative, Demand, Purpose, Purse, Source};
use hansa_ledger::time::Slot;

pub fn tables() -> Vec<(&'static str, Vec<Row>)> {
    vec![
        ("PostOffer", post()),
        ("AnnounceOutage", announce()),
        ("EndOutage", end_outage()),
        ("AmendOffer", amend()),
        ("WithdrawOffer", withdraw()),
        ("PlaceRequest", [place_shape(), place_constraints(), place_money()].concat()),
        ("CancelRequest", cancel()),
    ]
}

fn slot(scene: &Scene) -> u32 {
    scene.world.now.slot(1).0
}

/// The same number free from `from` to `to` slots from now.
fn free(scene: &Scene, from: i32, to: i32, accelerators: u32) -> Calendar {
    let at = |offset: i32| Slot(slot(scene).checked_add_signed(offset).unwrap());
    Calendar::constant(at(from), at(to), accelerators)
}

/// More changes than a calendar may have.
fn jagged(scene: &Scene) -> Calendar {
    let now = slot(scene);
    Calendar::from_steps(&(0..9).map(|step| (Slot(now + step), 8 - step)).collect::<Vec<_>>()).unwrap()
}

/// An offer of all that `cea` has, after a change.
fn offer(scene: &Scene, change: impl FnOnce(&mut PostOffer)) -> Action {
    let mut action = PostOffer {
        site: name("site"),
        class: name("a100-64"),
        ask: Price(1_000_000),
        calendar: free(scene, 0, 100, 16),
        owner: None,
        reserve_bps: None,
        reserve_cycle_slots: None,
        contract: scene.world.code,
        contract_params: borsh::to_vec(&hansa_contracts_spot::Params::default()).unwrap(),
        parties: Vec::new(),
    };
    change(&mut action);
    action.into()
}

fn post() -> Vec<Row> {
    vec![
        ("a price between the ticks", "cea", |s| offer(s, |one| one.ask = Price(1_000_001)), PriceInvalid),
        ("the highest price there is", "cea", |s| offer(s, |one| one.ask = Price(u64::MAX)), PriceInvalid),
        ("nothing", "cea", |s| offer(s, |one| one.calendar = Calendar::default()), CalendarInvalid),
        (
            "nothing but the past",
            "cea",
            |s| offer(s, |one| one.calendar = free(s, -9, 0, 16)),
            CalendarInvalid,
        ),
        ("too many changes", "cea", |s| offer(s, |one| one.calendar = jagged(s)), CalendarInvalid),
        (
            "beyond the horizon",
            "cea",
            |s| offer(s, |one| one.calendar = free(s, 0, 15_552_001, 16)),
            CalendarInvalid,
        ),
        (
            "over the inventory",
            "cea",
            |s| offer(s, |one| one.calendar = free(s, 0, 9, 17)),
            OfferOverInventory,
        ),
        (
            "far over the inventory",
            "cea",
            |s| offer(s, |one| one.calendar = free(s, 0, 9, u32::MAX)),
            OfferOverInventory,
        ),
        (
            "thirteen parties",
            "cea",
            |s| offer(s, |one| one.parties = (0..13).map(|byte| OrganisationId([byte; 32])).collect()),
            PartiesInvalid,
        ),
        ("a party twice", "cea", |s| offer(s, |one| one.parties = vec![s.tartu; 2]), PartiesInvalid),
        ("itself as a party", "cea", |s| offer(s, |one| one.parties = vec![s.cea]), PartiesInvalid),
        ("a party that is gone", "cea", |s| offer(s, |one| one.parties = vec![s.gone]), OrganisationRevoked),
        ("a party of yesterday", "cea", |s| offer(s, |one| one.parties = vec![s.late]), OrganisationExpired),
        ("no such contract", "cea", |s| offer(s, |one| one.contract = CodeHash([3; 32])), ContractUnknown),
        (
            "a contract that is quarantined",
            "cea",
            |s| offer(s, |one| one.contract = s.contracts.stopped),
            ContractInactive,
        ),
        (
            "a contract that nobody has approved",
            "cea",
            |s| offer(s, |one| one.contract = s.contracts.public),
            ContractInactive,
        ),
        (
            "a contract that is archived",
            "cea",
            |s| offer(s, |one| one.contract = s.contracts.ended),
            ContractInactive,
        ),
        (
            "parameters too long",
            "cea",
            |s| offer(s, |one| one.contract_params = vec![0; 4_097]),
            ContractRefused,
        ),
        (
            "parameters that are none",
            "cea",
            |s| offer(s, |one| one.contract_params = vec![1]),
            ContractRefused,
        ),
        ("no such site", "cea", |s| offer(s, |one| one.site = name("elsewhere")), SiteUnknown),
        ("no such class there", "cea", |s| offer(s, |one| one.class = name("h100")), SiteUnknown),
        ("without any site", "tallinn", |s| offer(s, |_| ()), SiteUnknown),
        ("a part that nobody has", "cea", |s| offer(s, |one| one.owner = "MT".parse().ok()), SiteUnknown),
        (
            "whose part it is left open",
            "cea",
            |s| offer(s, |one| one.site = name("shared")),
            OfferOwnerMissing,
        ),
        (
            "more reserve than there is",
            "cea",
            |s| offer(s, |one| one.reserve_bps = Some(10_001)),
            ReserveInvalid,
        ),
        ("a cycle of nothing", "cea", |s| offer(s, |one| one.reserve_cycle_slots = Some(0)), ReserveInvalid),
        ("twice for one site", "bsc", |s| offer(s, |_| ()), OfferExists),
        ("by a bidder", "tallinn bidder", |s| offer(s, |_| ()), RoleMissing),
        ("by an office", "FR registrar", |s| offer(s, |_| ()), RoleMissing),
        ("by a revoked organisation", "gone", |s| offer(s, |_| ()), OrganisationRevoked),
        ("by an expired organisation", "late", |s| offer(s, |_| ()), OrganisationExpired),
        ("by someone never accredited", "stranger", |s| offer(s, |_| ()), UnknownKey),
    ]
}

/// An outage of all that `bsc` has, after a change.
fn outage(scene: &Scene, change: impl FnOnce(&mut AnnounceOutage)) -> Action {
    let now = scene.world.now.slot(1);
    let mut action = AnnounceOutage {
        site: name("site"),
        class: name("a100-64"),
        owner: None,
        start: now,
        end: Slot(now.0 + 10),
        accelerators: 64,
        planned: false,
    };
    change(&mut action);
    action.into()
}

fn announce() -> Vec<Row> {
    vec![
        ("of nothing", "bsc", |s| outage(s, |one| one.accelerators = 0), OutageInvalid),
        ("of more than there is", "bsc", |s| outage(s, |one| one.accelerators = 65), OutageInvalid),
        ("of no time", "bsc", |s| outage(s, |one| one.end = one.start), OutageInvalid),
        ("of the past", "bsc", |s| outage(s, |one| (one.start, one.end) = (Slot(1), Slot(2))), OutageInvalid),
        ("beyond the horizon", "bsc", |s| outage(s, |one| one.end = Slot(u32::MAX)), OutageInvalid),
        ("of no such site", "bsc", |s| outage(s, |one| one.site = name("other")), SiteUnknown),
        ("of a part nobody has", "bsc", |s| outage(s, |one| one.owner = "MT".parse().ok()), SiteUnknown),
        ("of another's site", "tallinn", |s| outage(s, |_| ()), SiteUnknown),
        (
            "of a site that two share",
            "cea",
            |s| outage(s, |one| one.site = name("shared")),
            OfferOwnerMissing,
        ),
        ("by a bidder", "tallinn bidder", |s| outage(s, |_| ()), RoleMissing),
    ]
}

fn end_outage() -> Vec<Row> {
    vec![("no such outage", "bsc", |_| EndOutage { outage: OutageId([1; 32]) }.into(), OutageUnknown)]
}

fn amended(offer: OfferId, ask: Option<Price>, calendar: Option<Calendar>) -> Action {
    AmendOffer { offer, ask, calendar }.into()
}

fn amend() -> Vec<Row> {
    vec![
        ("a price between the ticks", "bsc", |s| amended(s.offer, Some(Price(1)), None), PriceInvalid),
        ("too many changes", "bsc", |s| amended(s.offer, None, Some(jagged(s))), CalendarInvalid),
        (
            "beyond the horizon",
            "bsc",
            |s| amended(s.offer, None, Some(free(s, 0, 15_552_001, 1))),
            CalendarInvalid,
        ),
        ("another's", "cea", |s| amended(s.offer, Some(Price(1_000)), None), OfferUnknown),
        ("no such offer", "bsc", |_| amended(OfferId([1; 32]), Some(Price(1_000)), None), OfferUnknown),
        (
            "leases and offer over the inventory",
            "bsc",
            |s| amended(s.offer, None, Some(free(s, 0, 700, 64))),
            OfferOverInventory,
        ),
        ("by a bidder", "tallinn bidder", |s| amended(s.offer, Some(Price(1_000)), None), RoleMissing),
    ]
}

fn withdraw() -> Vec<Row> {
    vec![
        ("another's", "cea", |s| WithdrawOffer { offer: s.offer }.into(), OfferUnknown),
        ("no such offer", "bsc", |_| WithdrawOffer { offer: OfferId([1; 32]) }.into(), OfferUnknown),
        ("by an office", "ES registrar", |s| WithdrawOffer { offer: s.offer }.into(), RoleMissing),
    ]
}

/// A sound request of `tallinn`, after a change.
fn request(scene: &Scene, change: impl FnOnce(&mut Demand)) -> Action {
    let mut demand = demand(&scene.world, Purse::Grant(scene.grant));
    change(&mut demand);
    PlaceRequest { demand }.into()
}

fn place_shape() -> Vec<Row> {
    vec![
        ("nothing", "tallinn", |s| request(s, |one| one.quantity = 0), QuantityInvalid),
        ("at least nothing", "tallinn", |s| request(s, |one| one.quantity_min = 0), QuantityInvalid),
        ("at least more than asked", "tallinn", |s| request(s, |one| one.quantity_min = 3), QuantityInvalid),
        ("for no time", "tallinn", |s| request(s, |one| one.slots = 0), DurationInvalid),
        ("for too long", "tallinn", |s| request(s, |one| one.slots = 86_401), DurationInvalid),
        ("for ever", "tallinn", |s| request(s, |one| one.slots = u32::MAX), DurationInvalid),
        (
            "latest before earliest",
            "tallinn",
            |s| {
                request(s, |one| {
                    one.start_min = Slot(slot(s) + 2);
                    one.start_max = Slot(slot(s) + 1);
                })
            },
            WindowInvalid,
        ),
        (
            "in the past",
            "tallinn",
            |s| {
                request(s, |one| {
                    one.start_min = Slot(1);
                    one.start_max = Slot(slot(s) - 1);
                })
            },
            WindowInvalid,
        ),
        ("in this slot", "tallinn", |s| request(s, |one| one.start_max = Slot(slot(s))), WindowInvalid),
        (
            "beyond the horizon",
            "tallinn",
            |s| request(s, |one| one.start_max = Slot(slot(s) + 15_552_001)),
            BeyondHorizon,
        ),
        (
            "at the end of time",
            "tallinn",
            |s| request(s, |one| one.start_max = Slot(u32::MAX)),
            BeyondHorizon,
        ),
        ("a price between the ticks", "tallinn", |s| request(s, |one| one.limit = Price(1)), PriceInvalid),
        ("for nothing", "tallinn", |s| request(s, |one| one.limit = Price(0)), LimitBelowTick),
        (
            "an alternative for nothing",
            "tallinn",
            |s| request(s, |one| one.any_of = vec![Alternative { class: name("h100"), limit: Price(0) }]),
            LimitBelowTick,
        ),
        (
            "its own class as an alternative",
            "tallinn",
            |s| request(s, |one| one.any_of = alternatives(&["a100-64"])),
            AlternativesInvalid,
        ),
        (
            "an alternative twice",
            "tallinn",
            |s| request(s, |one| one.any_of = alternatives(&["h100", "h100"])),
            AlternativesInvalid,
        ),
        (
            "too many alternatives",
            "tallinn",
            |s| request(s, |one| one.any_of = alternatives(&["a", "b", "c", "d", "e", "f", "g", "h"])),
            AlternativesInvalid,
        ),
        (
            "the reserve for cash",
            "tallinn",
            |s| {
                request(s, |one| {
                    one.lane = LaneHint::Reserve;
                    one.sources = all_from(Purse::Cash);
                })
            },
            ReserveIneligible,
        ),
        ("by an operator", "bsc offerer", |s| request(s, |_| ()), RoleMissing),
        ("by an office", "EE registrar", |s| request(s, |_| ()), RoleMissing),
        ("by a revoked organisation", "gone", |s| request(s, |_| ()), OrganisationRevoked),
        ("by an expired organisation", "late", |s| request(s, |_| ()), OrganisationExpired),
        ("by someone never accredited", "stranger", |s| request(s, |_| ()), UnknownKey),
    ]
}

fn place_constraints() -> Vec<Row> {
    vec![
        ("no such class", "tallinn", |s| request(s, |one| one.class = name("h100")), ClassUnknown),
        (
            "a country without a site",
            "tallinn",
            |s| request(s, |one| one.countries = CountrySet::of([member("DE")]).unwrap()),
            RequestImpossible,
        ),
        (
            "a certificate nobody has",
            "tallinn",
            |s| request(s, |one| one.certificates = 0b10),
            RequestImpossible,
        ),
        ("a tier nobody has", "tallinn", |s| request(s, |one| one.tier_min = 3), RequestImpossible),
        (
            "more than any site has",
            "tallinn",
            |s| {
                request(s, |one| {
                    one.quantity = 65;
                    one.quantity_min = 65;
                })
            },
            RequestOverSite,
        ),
        (
            "more than any site there has",
            "tallinn",
            |s| {
                request(s, |one| {
                    (one.quantity, one.quantity_min) = (17, 17);
                    one.countries = CountrySet::of([member("FR")]).unwrap();
                })
            },
            RequestOverSite,
        ),
        (
            // In nodes of four, 17 or more of 18 are 18, and the site has 16.
            "no number that whole nodes leave",
            "tallinn",
            |s| {
                request(s, |one| {
                    (one.quantity, one.quantity_min) = (18, 15);
                    one.countries = CountrySet::of([member("FR")]).unwrap();
                })
            },
            RequestOverSite,
        ),
        (
            // A quarter of 96.
            "more than one group may hold",
            "tallinn",
            |s| request(s, |one| (one.quantity, one.quantity_min) = (25, 25)),
            RequestOverCap,
        ),
        (
            "the reserve without a public site",
            "tallinn",
            |s| {
                request(s, |one| {
                    one.lane = LaneHint::Reserve;
                    one.countries = CountrySet::of([member("FR")]).unwrap();
                    one.tier_min = 1;
                })
            },
            RequestImpossible,
        ),
        (
            "the reserve below its price",
            "tallinn",
            |s| {
                request(s, |one| {
                    one.lane = LaneHint::Reserve;
                    one.limit = Price(999_000);
                })
            },
            ReservePriceOverLimit,
        ),
        (
            "an alternative nobody has",
            "tallinn",
            |s| request(s, |one| one.any_of = alternatives(&["h100"])),
            ClassUnknown,
        ),
        (
            "a certificate and a country that no one site has together",
            "tallinn",
            |s| {
                request(s, |one| {
                    one.certificates = 0b1;
                    one.countries = CountrySet::of([member("FR")]).unwrap();
                })
            },
            RequestImpossible,
        ),
    ]
}

fn alternatives(classes: &[&str]) -> Vec<Alternative> {
    classes.iter().map(|class| Alternative { class: name(class), limit: Price(1_000_000) }).collect()
}

fn sources(scene: &Scene, shares: &[(Purse, u16)]) -> Action {
    let sources = shares.iter().map(|(purse, share_bps)| Source { purse: *purse, share_bps: *share_bps });
    request(scene, |one| one.sources = sources.collect())
}

fn place_money() -> Vec<Row> {
    vec![
        ("nobody pays", "tallinn", |s| sources(s, &[]), SourcesInvalid),
        (
            "too many pay",
            "tallinn",
            |s| {
                let all =
                    [(Purse::Cash, 1_000), (Purse::Grant(s.grant), 4_000), (Purse::Grant(s.research), 5_000)];
                sources(s, &all)
            },
            SourcesInvalid,
        ),
        ("a part nobody pays", "tallinn", |s| sources(s, &[(Purse::Cash, 9_999)]), SourcesInvalid),
        ("more than all of it", "tallinn", |s| sources(s, &[(Purse::Cash, 10_001)]), SourcesInvalid),
        (
            "a payer without a part",
            "tallinn",
            |s| sources(s, &[(Purse::Cash, 0), (Purse::Grant(s.grant), 10_000)]),
            SourcesInvalid,
        ),
        (
            "one purse twice",
            "tallinn",
            |s| sources(s, &[(Purse::Cash, 5_000), (Purse::Cash, 5_000)]),
            SourcesInvalid,
        ),
        (
            "no such grant",
            "tallinn",
            |s| request(s, |one| one.sources = all_from(Purse::Grant(GrantId(NOBODY.0)))),
            GrantUnknown,
        ),
        ("somebody else's grant", "tartu", |s| request(s, |_| ()), GrantUnknown),
        (
            "an expired grant",
            "tallinn",
            |s| request(s, |one| one.sources = all_from(Purse::Grant(s.expired))),
            GrantExpired,
        ),
        (
            "a grant for another purpose",
            "tallinn",
            |s| request(s, |one| one.purpose = Purpose::Industrial),
            GrantPurpose,
        ),
        (
            "one of two grants for another purpose",
            "tallinn",
            |s| sources(s, &[(Purse::Grant(s.grant), 5_000), (Purse::Grant(s.research), 5_000)]),
            GrantPurpose,
        ),
        (
            "the highest limit there is",
            "tallinn",
            |s| {
                request(s, |one| {
                    one.limit = Price(18_446_744_073_709_551_000);
                    one.slots = 3_600;
                })
            },
            Overflow,
        ),
        (
            "beyond the grant",
            "tallinn",
            |s| request(s, |one| one.limit = Price(18_000_000_000)),
            FundsInsufficient,
        ),
        (
            "beyond one of two purses",
            "tallinn",
            |s| {
                request(s, |one| {
                    one.limit = Price(20_000_000_000);
                    one.sources = vec![
                        Source { purse: Purse::Cash, share_bps: 1_000 },
                        Source { purse: Purse::Grant(s.grant), share_bps: 9_000 },
                    ];
                })
            },
            FundsInsufficient,
        ),
        (
            "without cash",
            "tartu",
            |s| request(s, |one| one.sources = all_from(Purse::Cash)),
            FundsInsufficient,
        ),
        ("over the key's limit", "tallinn bidder", |s| request(s, |_| ()), AmountOverKeyLimit),
        (
            "one request too many",
            "bsc",
            |s| request(s, |one| one.sources = all_from(Purse::Cash)),
            TooManyRequests,
        ),
    ]
}

fn cancel() -> Vec<Row> {
    vec![
        (
            "no such request",
            "tallinn",
            |_| CancelRequest { request: RequestId([1; 32]) }.into(),
            RequestUnknown,
        ),
        ("another's", "tartu", |s| CancelRequest { request: s.waiting }.into(), RequestUnknown),
        ("awarded", "tallinn", |s| CancelRequest { request: s.request }.into(), RequestUnknown),
        ("by a treasurer", "tallinn treasurer", |s| CancelRequest { request: s.waiting }.into(), RoleMissing),
    ]
}
