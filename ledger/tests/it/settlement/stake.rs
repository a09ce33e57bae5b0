//! A provider's stake: held at the award, slashed by the contract to those who pay, returned at the close.

use super::stage::{LOCKED, Setup, Stage, market, offer, wanted};
use crate::scene::place;
use crate::scripted::{Answer, SCRIPT, Script};
use crate::world::{member, name};
use hansa_ledger::action::{AccreditSite, ExtendLease, PostOffer, TransferCash};
use hansa_ledger::event::Event;
use hansa_ledger::id::{CodeHash, LeaseId};
use hansa_ledger::market::Reason;
use hansa_ledger::money::{Money, Price};
use hansa_ledger::params::Params;
use hansa_ledger::rejection::Rejection;
use hansa_ledger::row::{AccountId, OrganisationClass, Pool};
use hansa_ledger::tables::{FiguresTable, Leases, Offers, Requests};

fn staking(stake: u64, slash: u64) -> Setup {
    let closing = Answer::Due { bps: 10_000, slash };
    Setup { script: Some(Script { stake, closing, ..Script::default() }), ..Setup::default() }
}

#[test]
fn a_stake_is_held_from_the_award_on_and_returns_at_the_close() {
    for (home, cap) in [("ES", 9_000), ("EE", 0)] {
        let setup = Setup { provider_home: home, ..staking(9_000, 0) };
        let mut stage = Stage::awarded(&setup);
        assert_eq!([stage.provider(), stage.stake(), stage.row().stake.0], [991_000, 9_000, 9_000], "{home}");
        if home == "ES" {
            assert_eq!(stage.cap_held("ES"), cap, "the stake may go abroad");
        }
        stage.settle();
        assert_eq!((stage.provider(), stage.requester()), (1_000_000, 1_000_000), "{home}: nobody began it");
        stage.check_closed();
        assert_eq!(stage.settlement().stake.len(), 1);
        assert!([stage.world.position("EE"), stage.world.position("ES")].iter().all(|sum| *sum == 0));
    }
}

#[test]
fn what_is_slashed_goes_to_the_purses_that_pay_by_their_shares() {
    // Of 3,001 a quarter is 750 cash; the first source takes what does not divide.
    for (cash_bps, cash, grant) in [(10_000, 3_001, 0), (2_500, 751, 2_250), (0, 0, 3_001)] {
        let mut stage = Stage::reported(&Setup { cash_bps, ..staking(9_000, 3_001) }, 0);
        assert_eq!((stage.requester(), stage.grant()), (1_000_000 + cash, 1_000_000 + grant), "{cash_bps}");
        assert_eq!(stage.provider(), 1_000_000 - 3_001);
        // What went abroad stands in both members' books.
        assert_eq!([stage.world.position("ES"), stage.world.position("EE")], [-3_001, 3_001]);
        stage.check_closed();
        assert_eq!((stage.row().stake.0, stage.row().slashed.0), (9_000, 3_001));
        let events = stage.end(1, 0);
        assert_eq!(events, Err(Rejection::UsageFinal));
    }
}

#[test]
fn what_is_slashed_for_a_grant_that_has_closed_goes_to_its_budget_line() {
    let params = Params { lease_challenge_window_ms: 2_678_400_000, ..Setup::default().params };
    let mut stage = Stage::reported(&Setup { cash_bps: 0, params, ..staking(9_000, 3_000) }, 10);
    stage.world.pass_until(|event| matches!(event, Event::GrantClosed { .. }).then_some(()));
    stage.settle();
    let line = stage.world.balance(&AccountId::Line(member("EE"), name("line-1")));
    assert_eq!(line, 1_000_000 - 5_000 + 3_000);
    assert_eq!(stage.grant(), 0);
    stage.check_closed();
}

#[test]
fn more_than_the_stake_is_never_slashed() {
    // One uEUR more is no answer: the fallback decides, and it slashes nothing.
    let mut stage = Stage::reported(&staking(9_000, 9_001), 10);
    stage.countersign(10).unwrap();
    assert!(stage.settlement().failure.is_some());
    assert_eq!(stage.provider(), 1_000_000 + 4_950);
    stage.check_closed();
    let stage = Stage::reported(&staking(9_000, 9_000), 0);
    assert_eq!((stage.provider(), stage.requester()), (991_000, 1_009_000));
    assert!(stage.settlement().failure.is_none());
}

#[test]
fn an_offer_that_cannot_stake_does_not_win_and_the_next_one_does() {
    let setup = Setup { provider_eur: 0, ..staking(9_000, 0) };
    let (mut world, grant) = market(&setup);
    let unfunded = offer(&world, &setup);
    world.run("bsc", vec![unfunded.clone().into()]).unwrap();
    let demand = wanted(&world, grant, 10_000);
    let request = place(&mut world, "one", demand);
    let cleared = |event: &Event| matches!(event, Event::BatchCleared { .. }).then_some(());
    world.pass_until(cleared);
    let row = world.state.get::<Requests>(&request).unwrap().clone();
    assert_eq!(row.unmatched[0].unmatched.reason, Reason::StakeUnfunded);
    assert!(world.state.get::<Leases>(&LeaseId::derive(&request)).is_none());
    // What nobody paid is no price, and nothing that aid is measured against.
    let class = world.state.get::<hansa_ledger::tables::Classes>(&name("a100-64")).unwrap();
    assert_eq!(class.price, None);
    let figures = world.state.get::<FiguresTable>(&(name("a100-64"), class.epoch)).unwrap();
    assert_eq!((figures.prices.len(), figures.trades), (0, 0));
    // The next batch leaves it out, and no further batch runs for it.
    world.pass_until(cleared);
    let row = world.state.get::<Requests>(&request).unwrap().clone();
    assert_eq!(row.unmatched[0].unmatched.reason, Reason::NoOfferOfClass);
    let class = |world: &crate::world::World| {
        world.state.get::<hansa_ledger::tables::Classes>(&name("a100-64")).unwrap().batch_due
    };
    assert_eq!(class(&world), None, "nothing loops");
    // A dearer offer that can stake is awarded.
    let mut other = world.fork();
    let provider = other.accredit("FR", "cea", OrganisationClass::Public);
    let site = AccreditSite {
        provider,
        site: name("site"),
        class: name("a100-64"),
        accelerators: 8,
        node_size: 4,
        tier: 2,
        certificates: 0b1,
        pool: Pool::Public,
        parts: Vec::new(),
    };
    other.run("FR registrar", vec![site.into()]).unwrap();
    other.deposit("FR", "cea", 1);
    let (contract, calendar) = (CodeHash(*blake3::hash(SCRIPT).as_bytes()), unfunded.calendar.clone());
    let calendar = calendar.min_with(&other.offer_of(8, 190).calendar);
    let dear = PostOffer {
        contract,
        contract_params: staking(9_000, 0).script.unwrap().params(),
        calendar,
        ..other.offer_of(8, 190)
    };
    other.run("cea", vec![dear.into()]).unwrap();
    let won = other.pass_until(|event| match event {
        Event::LeaseAwarded { provider, .. } => Some(*provider),
        _ => None,
    });
    assert_eq!(won, provider);
    // And the first one wins as soon as its provider has the money, at the next batch.
    world.deposit("ES", "bsc", 1);
    let demand = wanted(&world, grant, 10_000);
    place(&mut world, "one", demand);
    world.pass_until(|event| matches!(event, Event::LeaseAwarded { .. }).then_some(()));
    let offer = world.state.rows::<Offers>().next().unwrap().1;
    assert_eq!(offer.stake_short, Money::ZERO);
}

#[test]
fn an_extension_holds_what_the_longer_lease_asks_and_is_refused_without_the_cash() {
    let setup = staking(9_000, 0);
    let extend = |stage: &Stage| ExtendLease { lease: stage.lease, slots: 5, price_max: Price(u64::MAX) };
    let mut stage = Stage::active(&setup);
    stage.after(1, "one", extend(&stage)).unwrap();
    assert_eq!((stage.stake(), stage.row().locked.0), (9_000, LOCKED * 5 / 4), "the same stake is held once");
    stage.settle();
    stage.check_closed();
    // As much as is locked: 20,000, and 5,000 more for the longer lease.
    let script = Script { stake_bps: 10_000, ..Script::default() };
    let mut stage = Stage::active(&Setup { script: Some(script), ..Setup::default() });
    assert_eq!(stage.stake(), 20_000);
    let to = stage.world.organisation("EE", "one");
    stage.after(1, "bsc", TransferCash { to, amount: Money(980_000 - 4_999) }).unwrap();
    let mut short = stage.fork();
    assert_eq!(short.after(1, "one", extend(&stage)).map(|_| ()), Err(Rejection::StakeUnfunded));
    assert_eq!([short.stake(), short.row().locked.0], [20_000, LOCKED]);
    let back = stage.world.organisation("ES", "bsc");
    stage.after(1, "one", TransferCash { to: back, amount: Money(1) }).unwrap();
    stage.after(1, "one", extend(&stage)).unwrap();
    assert_eq!([stage.stake(), stage.provider(), stage.cap_held("ES")], [25_000, 0, 25_000]);
    stage.settle();
    stage.check_closed();
}
