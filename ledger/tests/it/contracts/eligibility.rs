//! Who may have a lease, where the contract decides it.

use super::leases::{offered, reason};
use super::*;
use crate::engine::CALL;
use hansa_ledger::action::PlaceRequest;
use hansa_ledger::market::Reason;
use hansa_ledger::params::Params;
use hansa_ledger::row::{Demand, Purpose};

/// The contract's own reason that the request is told.
fn own_reason(world: &World, id: RequestId) -> Option<u32> {
    request(world, id).last_unmatched().and_then(|unmatched| unmatched.detail.admission)
}

/// A request of another organisation than `tallinn`.
fn ask_as(world: &mut World, home: &str, number: &str) -> RequestId {
    world.accredit(home, number, OrganisationClass::Sme);
    world.deposit(home, number, 10);
    let demand = cash_demand(world);
    place(world, number, demand)
}

#[test]
fn a_contract_decides_who_may_have_a_lease_and_says_why() {
    let (mut world, _) = offered("home=DE");
    let estonian = ask(&mut world);
    let german = ask_as(&mut world, "DE", "berlin");
    clear(&mut world);
    assert_eq!(request(&world, german).state, RequestState::Awarded);
    assert_eq!(request(&world, estonian).state, RequestState::Open);
    assert_eq!(
        (reason(&world, estonian), own_reason(&world, estonian)),
        (Some(Reason::NotAdmitted), Some(1_001))
    );
    let why = request(&world, estonian).last_unmatched().unwrap().to_string();
    assert!(why.contains("do not admit who asks") && why.contains("1001"), "{why}");
}

#[test]
fn who_one_contract_refuses_gets_the_offer_of_another() {
    let (mut world, _) = offered("home=DE");
    world.provider("FR", "cea", 16, 300);
    let id = lease(&mut world);
    assert_eq!(
        lease_row(&world, id).agreement.contract,
        world.code,
        "the dearer one, which admits everybody"
    );
}

#[test]
fn a_contract_sees_who_pays_and_what_for() {
    let (mut world, _) = offered("purpose=0");
    let in_cash = ask(&mut world);
    let grant = world.grant("EE", "tallinn", "grant-1", 10);
    let demand = Demand {
        purpose: Purpose::Innovation,
        sources: all_from(Purse::Grant(grant)),
        ..cash_demand(&world)
    };
    let granted = place(&mut world, "tallinn", demand);
    clear(&mut world);
    assert_eq!(request(&world, granted).state, RequestState::Awarded);
    assert_eq!(
        (reason(&world, in_cash), own_reason(&world, in_cash)),
        (Some(Reason::NotAdmitted), Some(1_002))
    );
}

#[test]
fn a_contract_that_cannot_tell_admits_nobody() {
    let (mut world, _) = offered("fails");
    let id = ask(&mut world);
    clear(&mut world);
    assert_eq!((reason(&world, id), own_reason(&world, id)), (Some(Reason::NotAdmitted), None));
}

#[test]
fn a_contract_is_asked_once_for_all_of_whom_the_same_is_attested() {
    let (mut world, _) = offered("home=EE");
    for _ in 0..5 {
        ask(&mut world);
    }
    ask_as(&mut world, "DE", "berlin");
    ask_as(&mut world, "DE", "bonn");
    let before = world.runtime.admits();
    clear(&mut world);
    // Twice each: built, and executed again by the second state; a start-up of Estonia, and two firms of Germany.
    assert_eq!(world.runtime.admits() - before, 2 * 2);
    // A contract without a say in it is not asked at all.
    let mut plain = super::world();
    let code = plain.code;
    offer(&mut plain, code).unwrap();
    ask(&mut plain);
    clear(&mut plain);
    assert_eq!(plain.runtime.admits(), 0);
}

#[test]
fn what_there_is_no_fuel_to_ask_is_asked_by_a_later_batch() {
    // Half of the block's fuel lets one of the two offers ask.
    let fuel = 4_000_000;
    let mut world = world_with(Params { block_fuel_max: fuel, ..Params::testnet() });
    let cost = fuel / 2 - CALL / 2;
    // The one that refuses comes first in the order of their hashes: always begun there, the other would never be asked.
    let refusing = format!("home=DE fuel={cost}");
    let admitting = (0..).map(|number| format!("home=EE fuel={cost} number={number}"));
    let admitting = admitting.into_iter().find(|words| hash(words) > hash(&refusing)).unwrap();
    let codes = [refusing, admitting].map(|words| {
        let code = upload(&mut world, "bsc", &words);
        activate(&mut world, code);
        code
    });
    offer(&mut world, codes[0]).unwrap();
    let mut second = offering(&world, codes[1]);
    world.provider("FR", "cea", 16, 180);
    let open = world.state.rows::<hansa_ledger::tables::Offers>().find(|(_, row)| {
        row.site == name("site")
            && row.contract == world.code
            && row.state == hansa_ledger::row::OfferState::Open
    });
    let open = *open.unwrap().0;
    world.act("cea", hansa_ledger::action::WithdrawOffer { offer: open }).unwrap();
    if let Action::PostOffer(post) = &mut second {
        post.calendar = Calendar::constant(world.now.slot(1), Slot(world.now.slot(1).0 + 3_000), 16);
    }
    world.act("cea", second).unwrap();
    let demand = cash_demand(&world);
    let events = world.act("tallinn", PlaceRequest { demand }).unwrap();
    let Some(Event::RequestPlaced { request: id, locked, .. }) =
        events.iter().find(|event| matches!(event, Event::RequestPlaced { .. }))
    else {
        panic!("{events:?}")
    };
    assert!(*locked > Money::ZERO);
    let mut reasons = Vec::new();
    for _ in 0..4 {
        clear(&mut world);
        if request(&world, *id).state == RequestState::Awarded {
            break;
        }
        reasons.extend(reason(&world, *id));
    }
    assert_eq!(request(&world, *id).state, RequestState::Awarded, "{reasons:?}");
    assert_eq!(lease_row(&world, LeaseId::derive(id)).agreement.contract, codes[1]);
}
