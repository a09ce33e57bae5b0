//! Every reason why a lease is not extended.

use super::{begin, extend, leased, row, wide, world};
use crate::demand::batch;
use crate::scene::{demand, place};
use crate::world::{World, key, name};
use hansa_ledger::action::{
    AccreditSite, EndLease, ExtendLease, RevokeOrganisation, SetKey, SitePart, WithdrawOffer,
};
use hansa_ledger::id::LeaseId;
use hansa_ledger::market::LaneHint;
use hansa_ledger::money::{Money, Price};
use hansa_ledger::params::Params;
use hansa_ledger::possession::Possession;
use hansa_ledger::rejection::Rejection::{self, *};
use hansa_ledger::row::{Demand, OrganisationClass, Pool, Principal, Purse, Roles};
use hansa_ledger::tables::{Leases, OffersOpen};
use hansa_ledger::time::Slot;

/// The codes that only these tests meet.
pub const MET: [Rejection; 9] = [
    ExtensionAwaited,
    ExtensionOfReserve,
    ExtensionPriceLow,
    ExtensionPriceOver,
    ExtensionTooLong,
    ExtensionNotFree,
    ExtensionOfferChanged,
    ExtensionOverCap,
    CommercialCeiling,
];

/// What stands in the way, who signs, and what is answered.
type Row = (&'static str, fn() -> (World, &'static str, ExtendLease), Rejection);

fn plain(params: Params) -> (World, LeaseId) {
    let mut world = world(params);
    let lease = leased(&mut world, 8, 10);
    (world, lease)
}

fn active() -> (World, LeaseId) {
    let (mut world, lease) = plain(wide());
    begin(&mut world, lease);
    (world, lease)
}

fn sponsored() -> (World, &'static str, ExtendLease) {
    let mut world = world(wide());
    let grant = world.grant("EE", "tallinn", "grant-1", 10);
    let wanted = demand(&world, Purse::Grant(grant));
    let lease = LeaseId::derive(&place(&mut world, "tallinn", wanted));
    batch(&mut world);
    (world, "tallinn", extend(lease, 1))
}

/// Runs on reserve that nobody took, from which it may be interrupted.
fn released() -> (World, &'static str, ExtendLease) {
    let params = Params { reserve_bps_min: 10_000, release_slots: 86_400, ..wide() };
    let mut world = World::exactly(params);
    world.provider("ES", "bsc", 64, 180);
    world.accredit("EE", "tallinn", OrganisationClass::Sme);
    world.deposit("EE", "tallinn", 1_000);
    let wanted = Demand { interruptible: true, lane: LaneHint::Market, ..demand(&world, Purse::Cash) };
    let lease = LeaseId::derive(&place(&mut world, "tallinn", wanted));
    batch(&mut world);
    assert!(row(&world, &lease).released);
    (world, "tallinn", extend(lease, 1))
}

/// The pool may sell 201,830 accelerator-slots a year to large companies, and has sold 192,000.
fn ceiling() -> (World, &'static str, ExtendLease) {
    let mut world = World::with(wide());
    let provider = world.accredit("ES", "bsc", OrganisationClass::Public);
    let owner = "ES".parse().unwrap();
    let site = AccreditSite {
        provider,
        site: name("site"),
        class: name("a100-64"),
        accelerators: 64,
        node_size: 4,
        tier: 0,
        certificates: 0,
        pool: Pool::Public,
        parts: vec![SitePart { owner, accelerators: 64, commercial_ceiling_bps: 1 }],
    };
    world.act("ES registrar", site).unwrap();
    world.offer("bsc", 64, 180).unwrap();
    world.accredit("EE", "tallinn", OrganisationClass::Large);
    world.deposit("EE", "tallinn", 1_000);
    let lease = leased(&mut world, 64, 3_000);
    (world, "tallinn", extend(lease, 200))
}

/// 888 EUR of the 1,000 that the member may owe are held already.
fn dear() -> (World, &'static str, ExtendLease) {
    let mut world = World::with(wide());
    world.provider("ES", "bsc", 64, 100_000);
    world.accredit("EE", "tallinn", OrganisationClass::Sme);
    world.deposit("EE", "tallinn", 2_000);
    let wanted = Demand {
        quantity: 64,
        quantity_min: 64,
        slots: 50,
        limit: Price(1_000_000_000),
        ..demand(&world, Purse::Cash)
    };
    let lease = LeaseId::derive(&place(&mut world, "tallinn", wanted));
    batch(&mut world);
    (world, "tallinn", ExtendLease { lease, slots: 10, price_max: Price(1_000_000_000) })
}

/// 16 may be held in a slot, and another lease holds 12 from the end of this one on.
fn capped() -> (World, &'static str, ExtendLease) {
    let (mut world, lease) = plain(Params { cap_bps: 2_500, ..Params::testnet() });
    let first = row(&world, &lease).start.0 + 10;
    let next = Demand {
        quantity: 12,
        quantity_min: 12,
        start_min: Slot(first + 3),
        start_max: Slot(first + 3),
        ..demand(&world, Purse::Cash)
    };
    let next = LeaseId::derive(&place(&mut world, "tallinn", next));
    batch(&mut world);
    assert!(world.state.get::<Leases>(&next).is_some());
    // The three slots between them are free for it.
    world.act("tallinn", extend(lease, 3)).unwrap();
    (world, "tallinn", extend(lease, 1))
}

/// 48 of 64 are leased; another firm waits for 32 of them from three slots after the lease's end on, as `change` has it.
fn waiting(change: impl Fn(&mut Demand)) -> (World, LeaseId, LeaseId) {
    let mut world = world(wide());
    world.accredit("EE", "tartu", OrganisationClass::Sme);
    world.deposit("EE", "tartu", 1_000);
    let lease = leased(&mut world, 48, 10);
    let from = Slot(row(&world, &lease).start.0 + 13);
    let mut wanted = Demand {
        quantity: 32,
        quantity_min: 32,
        slots: 5,
        start_min: from,
        start_max: from,
        ..demand(&world, Purse::Cash)
    };
    change(&mut wanted);
    let awaited = LeaseId::derive(&place(&mut world, "tartu", wanted));
    (world, lease, awaited)
}

fn awaited() -> (World, &'static str, ExtendLease) {
    let (world, lease, _) = waiting(|_| {});
    (world, "tallinn", extend(lease, 4))
}

fn rows() -> Vec<Row> {
    vec![
        ("somebody waits for it", awaited, ExtensionAwaited),
        ("a grant pays", sponsored, ExtensionSponsored),
        ("released reserve", released, ExtensionOfReserve),
        ("the ceiling", ceiling, CommercialCeiling),
        ("the debit cap", dear, DebitCap),
        ("the group's cap", capped, ExtensionOverCap),
        (
            "another's",
            || {
                let (mut world, lease) = plain(wide());
                world.accredit("EE", "tartu", OrganisationClass::Sme);
                (world, "tartu", extend(lease, 1))
            },
            LeaseUnknown,
        ),
        (
            "by its provider",
            || {
                let (world, lease) = plain(wide());
                (world, "bsc", extend(lease, 1))
            },
            LeaseUnknown,
        ),
        (
            "by a treasurer",
            || {
                let (mut world, lease) = plain(wide());
                let key = key("clerk").public_key();
                let proof = clerk(&world);
                world
                    .act("tallinn", SetKey { key, roles: Roles::TREASURY, amount_max: None, proof })
                    .unwrap();
                (world, "clerk", extend(lease, 1))
            },
            RoleMissing,
        ),
        (
            "over what its key may bind",
            || {
                let (mut world, lease) = plain(wide());
                let key = key("clerk").public_key();
                let amount_max = Some(Money(3_999));
                let proof = clerk(&world);
                world.act("tallinn", SetKey { key, roles: Roles::BID, amount_max, proof }).unwrap();
                (world, "clerk", extend(lease, 1))
            },
            AmountOverKeyLimit,
        ),
        (
            "without accreditation",
            || {
                let (mut world, lease) = active();
                let organisation = world.organisation("EE", "tallinn");
                world.act("EE registrar", RevokeOrganisation { organisation }).unwrap();
                (world, "tallinn", extend(lease, 1))
            },
            OrganisationRevoked,
        ),
        (
            "ended",
            || {
                let (mut world, lease) = active();
                world.act("tallinn", EndLease { lease, cumulative: None }).unwrap();
                (world, "tallinn", extend(lease, 1))
            },
            LeaseStateWrong,
        ),
        (
            "over the price",
            || {
                let (world, lease) = plain(wide());
                (world, "tallinn", ExtendLease { price_max: Price(1_799_000), ..extend(lease, 1) })
            },
            ExtensionPriceOver,
        ),
        (
            "over the longest lease",
            || {
                let (world, lease) = plain(Params { lease_slots_max: 20, ..wide() });
                (world, "tallinn", extend(lease, 11))
            },
            ExtensionTooLong,
        ),
        (
            "over the longest lease by itself",
            || {
                let (world, lease) = plain(Params { lease_slots_max: 20, ..wide() });
                (world, "tallinn", extend(lease, 21))
            },
            ExtensionTooLong,
        ),
        (
            "beyond the horizon",
            || {
                let (world, lease) = plain(Params { horizon_slots: 4_000, ..wide() });
                (world, "tallinn", extend(lease, 3_999))
            },
            ExtensionTooLong,
        ),
        (
            "past what is offered",
            || {
                let (world, lease) = plain(wide());
                (world, "tallinn", extend(lease, 3_600))
            },
            ExtensionNotFree,
        ),
        (
            "by nothing",
            || {
                let (world, lease) = plain(wide());
                (world, "tallinn", extend(lease, 0))
            },
            DurationInvalid,
        ),
        (
            "more than the purse holds",
            || {
                let mut world = World::with(wide());
                world.provider("ES", "bsc", 64, 180);
                world.accredit("EE", "tallinn", OrganisationClass::Sme);
                world.deposit("EE", "tallinn", 1);
                let lease = leased(&mut world, 64, 15);
                (world, "tallinn", extend(lease, 20))
            },
            FundsInsufficient,
        ),
        (
            "a withdrawn offer",
            || {
                let (mut world, lease) = plain(wide());
                let ((_, offer), ()) = world.state.rows::<OffersOpen>().next().unwrap();
                let offer = *offer;
                world.act("bsc", WithdrawOffer { offer }).unwrap();
                (world, "tallinn", extend(lease, 1))
            },
            ExtensionOfferChanged,
        ),
    ]
}

#[test]
fn a_lease_is_extended_by_its_requester_within_every_bound_or_not_at_all() {
    let mut codes = vec![ExtensionPriceLow];
    for (what, make, expected) in rows() {
        let (mut world, signer, action) = make();
        let (lease, before) = (action.lease, world.rows());
        let row_before = row(&world, &lease);
        assert_eq!(world.act(signer, action), Err(expected), "{what}");
        assert_eq!(row(&world, &lease), row_before, "{what}: the lease is as it was");
        // What differs is the nonce, the quota and the chain's own row.
        let untouched = |rows: Vec<(u8, Vec<u8>, Vec<u8>)>| -> Vec<_> {
            rows.into_iter().filter(|(table, ..)| ![1, 5, 21].contains(table)).collect()
        };
        assert_eq!(untouched(world.rows()), untouched(before), "{what}: nothing is left half done");
        codes.push(expected);
    }
    assert!(MET.iter().all(|code| codes.contains(code)));
}

/// The clerk's word that its key is to act for the requester.
fn clerk(world: &World) -> Option<Possession> {
    Some(world.proof("clerk", Principal::Organisation(world.organisation("EE", "tallinn"))))
}

#[test]
fn an_extension_takes_nothing_that_somebody_waits_for() {
    let extended =
        |world: &World, lease: LeaseId, slots| world.fork().act("tallinn", extend(lease, slots)).map(|_| ());
    let (mut world, lease, awaited) = waiting(|_| {});
    assert_eq!(extended(&world, lease, 3), Ok(()), "what nobody waits for is free");
    assert_eq!(extended(&world, lease, 4), Err(ExtensionAwaited));
    batch(&mut world);
    assert!(world.state.get::<Leases>(&awaited).is_some(), "who waited has its turn");
    assert_eq!(extended(&world, lease, 4), Err(ExtensionNotFree));
    for (why, change) in [
        (
            "its limit is below the ask",
            &(|wanted: &mut Demand| wanted.limit = Price(1_700_000)) as &dyn Fn(&mut Demand),
        ),
        ("it accepts what is left", &|wanted| wanted.quantity_min = 16),
        ("it may begin later", &|wanted| wanted.start_max = Slot(wanted.start_min.0 + 40)),
    ] {
        let (world, lease, _) = waiting(change);
        assert_eq!(extended(&world, lease, 4), Ok(()), "{why}");
    }
}
