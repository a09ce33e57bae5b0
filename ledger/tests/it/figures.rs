//! Public figures: what each batch of a class decided, and how concentrated it is.

use crate::demand::batch;
use crate::scene::{demand, place};
use crate::world::{World, name};
use hansa_ledger::event::Event;
use hansa_ledger::market::{Bucket, BucketPrice, Lane, LaneHint, Reason};
use hansa_ledger::money::Price;
use hansa_ledger::params::Params;
use hansa_ledger::row::{Demand, Figures, OrganisationClass, Purse, ReasonCount};
use hansa_ledger::tables::{Classes, FiguresTable, Organisations};
use hansa_ledger::time::Slot;

fn epochs(world: &World) -> Vec<u64> {
    world.state.rows::<FiguresTable>().map(|((_, epoch), _)| *epoch).collect()
}

fn last(world: &World) -> Figures {
    let class = name("a100-64");
    let epoch = world.state.get::<Classes>(&class).unwrap().epoch;
    world.state.get::<FiguresTable>(&(class, epoch)).unwrap().clone()
}

fn sized(world: &World, purse: Purse, quantity: u32) -> Demand {
    Demand { quantity, quantity_min: quantity, ..demand(world, purse) }
}

/// A Spanish site of 64 with a reserve; a firm with cash and a university with a grant.
fn scene(params: Params) -> (World, Purse) {
    let mut world = World::exactly(Params { cap_bps: 10_000, reserve_cap_bps: 10_000, ..params });
    world.provider("ES", "bsc", 64, 180);
    world.accredit("EE", "tallinn", OrganisationClass::Sme);
    world.accredit("EE", "tartu", OrganisationClass::Research);
    world.deposit("EE", "tallinn", 1_000);
    let grant = world.grant("EE", "tartu", "grant-1", 100);
    (world, Purse::Grant(grant))
}

#[test]
fn a_batch_leaves_its_prices_volumes_reasons_and_shares_for_everybody_to_read() {
    let (mut world, grant) = scene(Params::testnet());
    assert!(epochs(&world).is_empty());
    let wanted = sized(&world, Purse::Cash, 8);
    place(&mut world, "tallinn", wanted);
    for limit in [1_000, 2_000] {
        let cheap = Demand { limit: Price(limit), ..sized(&world, Purse::Cash, 4) };
        place(&mut world, "tallinn", cheap);
    }
    let reserved = Demand { lane: LaneHint::Reserve, ..sized(&world, grant, 4) };
    place(&mut world, "tartu", reserved);
    let events = batch(&mut world);
    let figures = last(&world);
    assert_eq!(epochs(&world), [1]);
    assert_eq!((figures.cleared_at, figures.capacity, figures.open), (world.now, 64, 2));
    assert_eq!((figures.trades, figures.reserve_volume), (2, 40));
    let price = BucketPrice { bucket: Bucket::Spot, price: Price(1_800_000), volume: 80 };
    assert_eq!(figures.prices, [price]);
    assert_eq!(figures.unmatched, [ReasonCount { reason: Reason::LimitBelowPrice, requests: 2 }]);
    // The same as the events of the block say.
    let count = |lane: Lane| {
        let of_lane =
            |event: &&Event| matches!(event, Event::LeaseAwarded { lane: found, .. } if *found == lane);
        events.iter().filter(of_lane).count()
    };
    assert_eq!((count(Lane::Reserve), count(Lane::Market)), (1, 1));
    let cleared =
        |event: &Event| matches!(event, Event::BatchCleared { epoch: 1, trades: 2, unmatched: 2, .. });
    assert!(events.iter().any(cleared));
    // Eight accelerators of twelve, and four.
    let held = &figures.concentration;
    assert_eq!((held.slot, held.held, held.groups), (Slot(world.now.slot(1).0 + 1), 12, 2));
    let group = |number| world.state.get::<Organisations>(&world.organisation("EE", number)).unwrap().group;
    let largest: Vec<_> = held.largest.iter().map(|part| (part.group, part.share_bps)).collect();
    assert_eq!(largest, [(group("tallinn"), 6_666), (group("tartu"), 3_333)]);
    assert_eq!(held.hhi_bps, 5_555);
}

#[test]
fn figures_count_what_was_carried_out_and_not_what_a_contract_refused() {
    let (mut world, _) = scene(Params::testnet());
    for _ in 0..2 {
        let wanted = sized(&world, Purse::Cash, 8);
        place(&mut world, "tallinn", wanted);
    }
    let class = name("a100-64");
    let book = hansa_ledger::batch::book(&world.state.view(), world.params(), world.chain, &class, world.now);
    let mut clearing = hansa_ledger::market::clear(&book);
    assert_eq!(clearing.trades.len(), 2);
    // One of them at a price that makes the contract ask for more than is locked.
    clearing.trades[1].price = Price(900_000_000);
    let (_, tally) = world.carry_out_tallied(clearing, None);
    assert_eq!(tally.count(), (1, vec![(Reason::ContractRefused, 1)]));
}

#[test]
fn figures_of_long_ago_are_forgotten() {
    let (mut world, _) = scene(Params { figures_epochs_max: 3, ..Params::testnet() });
    for epoch in 1..=6u64 {
        let cheap = Demand { limit: Price(1_000), ..sized(&world, Purse::Cash, 4) };
        place(&mut world, "tallinn", cheap);
        batch(&mut world);
        let kept: Vec<u64> = (epoch.saturating_sub(2).max(1)..=epoch).collect();
        assert_eq!(epochs(&world), kept);
        assert_eq!(u64::from(last(&world).open), epoch, "none of them is served");
    }
}
