//! Contracts on the ledger: how they come, who lets them run, who stops them, and how they leave.

mod attacks;
mod eligibility;
mod leases;
mod life;
mod properties;
mod transitions;

use crate::engine::script;
use crate::scene::{all_from, demand, place};
use crate::world::{World, name};
use hansa_ledger::action::{
    Action, ApproveContract, DeprecateContract, EndLease, PostOffer, QuarantineContract, RenewContract,
    ResumeContract, SetAlias, StartLease, TransferCash, UploadContract,
};
use hansa_ledger::event::Event;
use hansa_ledger::id::{CodeHash, LeaseId, RequestId};
use hansa_ledger::market::Calendar;
use hansa_ledger::money::{Money, Price};
use hansa_ledger::rejection::Rejection;
use hansa_ledger::row::{
    Contract, ContractState, Lease, OrganisationClass, Purse, Request, RequestState, Settlement,
};
use hansa_ledger::tables::{ContractCodes, Contracts, Leases, Requests, Settlements};
use hansa_ledger::time::{Slot, TimeMs};

pub fn hash(words: &str) -> CodeHash {
    CodeHash(*blake3::hash(&script(words)).as_bytes())
}

pub fn module(words: &str) -> UploadContract {
    UploadContract { name: name("script"), code: script(words), budget_line: None }
}

pub fn upload(world: &mut World, signer: &str, words: &str) -> CodeHash {
    let events = world.act(signer, module(words)).unwrap();
    assert!(matches!(events.last(), Some(Event::ContractUploaded { .. })), "{events:?}");
    hash(words)
}

pub fn approve(world: &mut World, code: CodeHash, members: &[&str]) {
    for one in members {
        world.act(&format!("{one} governance"), ApproveContract { code }).unwrap();
    }
}

/// Approves it and lets the timelock pass.
pub fn activate(world: &mut World, code: CodeHash) {
    approve(world, code, &["DE", "EE"]);
    let due = row(world, code).active_from.unwrap();
    world.block(due.0 - world.now.0, &[]);
    assert_eq!(row(world, code).state, ContractState::Active);
}

pub fn quarantine(world: &mut World, code: CodeHash, reason: &str) {
    for one in ["DE", "EE"] {
        let reason = reason.to_owned();
        world.act(&format!("{one} governance"), QuarantineContract { code, reason }).unwrap();
    }
    assert_eq!(row(world, code).state, ContractState::Quarantined);
}

pub fn resume(world: &mut World, code: CodeHash) {
    for one in ["DE", "EE"] {
        world.act(&format!("{one} governance"), ResumeContract { code }).unwrap();
    }
}

/// Ends an active contract that no lease names.
pub fn archive(world: &mut World, signer: &str, code: CodeHash) {
    world.act(signer, DeprecateContract { code }).unwrap();
    world.block(1, &[]);
    assert_eq!(row(world, code).state, ContractState::Archived);
}

pub fn row(world: &World, code: CodeHash) -> Contract {
    world.state.get::<Contracts>(&code).unwrap().clone()
}

pub fn has_code(world: &World, code: CodeHash) -> bool {
    world.state.get::<ContractCodes>(&code).is_some()
}

/// Four members; `bsc` of Spain with 64 accelerators that it does not offer, `tallinn` of Estonia with 100 EUR of its own.
pub fn world() -> World {
    world_with(hansa_ledger::params::Params::testnet())
}

pub fn world_with(params: hansa_ledger::params::Params) -> World {
    let mut world = World::with(params);
    world.provider("ES", "bsc", 64, 180);
    withdraw(&mut world);
    world.accredit("EE", "tallinn", OrganisationClass::StartUp);
    world.deposit("ES", "bsc", 100);
    world.deposit("EE", "tallinn", 100);
    world
}

/// Takes the open offer back.
pub fn withdraw(world: &mut World) {
    let open = world.state.rows::<hansa_ledger::tables::OffersOpen>().map(|((_, offer), ())| *offer).next();
    world.act("bsc", hansa_ledger::action::WithdrawOffer { offer: open.unwrap() }).unwrap();
}

/// An offer of everything `bsc` has under this contract.
pub fn offering(world: &World, code: CodeHash) -> Action {
    let now = world.now.slot(1);
    PostOffer {
        site: name("site"),
        class: name("a100-64"),
        ask: Price(1_800_000),
        calendar: Calendar::constant(now, Slot(now.0 + 3_600), 64),
        owner: None,
        reserve_bps: None,
        reserve_cycle_slots: None,
        contract: code,
        parties: Vec::new(),
        contract_params: borsh::to_vec(&hansa_contracts_spot::Params::default()).unwrap(),
    }
    .into()
}

pub fn offer(world: &mut World, code: CodeHash) -> Result<(), Rejection> {
    let action = offering(world, code);
    world.act("bsc", action).map(|_| ())
}

/// A request of `tallinn` for ten seconds of two accelerators, in cash.
pub fn ask(world: &mut World) -> RequestId {
    let demand = demand(world, Purse::Cash);
    place(world, "tallinn", demand)
}

pub fn request(world: &World, id: RequestId) -> Request {
    world.state.get::<Requests>(&id).unwrap().clone()
}

/// Lets the next batch pass.
pub fn clear(world: &mut World) {
    world.pass_until(|event| matches!(event, Event::BatchCleared { .. }).then_some(()));
}

/// A lease of `tallinn` under the contract that `bsc` offers.
pub fn lease(world: &mut World) -> LeaseId {
    let request_id = ask(world);
    clear(world);
    let request = request(world, request_id);
    assert_eq!(request.state, RequestState::Awarded, "{:?}", request.unmatched);
    LeaseId::derive(&request_id)
}

pub fn lease_row(world: &World, id: LeaseId) -> Lease {
    world.state.get::<Leases>(&id).unwrap().clone()
}

/// Begins it at its start.
pub fn start(world: &mut World, lease: LeaseId) {
    let begin = lease_row(world, lease).agreement.start;
    let transaction = world.sign("bsc", vec![StartLease { lease }.into()]);
    let wait = begin.0.saturating_sub(world.now.0).max(1);
    assert_eq!(world.block(wait, &[transaction]).transactions[0].code, 0);
}

/// Ends it after `seconds` with everything used, and lets the time to contest pass.
pub fn settle(world: &mut World, lease: LeaseId, seconds: u64) -> Settlement {
    let end = EndLease { lease, cumulative: Some(2 * seconds) };
    let transaction = world.sign("bsc", vec![end.into()]);
    assert_eq!(world.block(seconds * 1_000, &[transaction]).transactions[0].code, 0);
    until_settled(world, lease)
}

/// Lets deadlines pass until the lease is settled.
pub fn until_settled(world: &mut World, id: LeaseId) -> Settlement {
    let settled = |event: &Event| matches!(event, Event::LeaseSettled { lease, .. } if *lease == id);
    world.pass_until(|event| settled(event).then_some(()));
    world.state.get::<Settlements>(&id).unwrap().clone()
}

/// Lets so much time pass in one block, which does nothing else but move the smallest amount there is.
pub fn idle(world: &mut World, after_ms: u64) {
    let to = world.organisation("ES", "bsc");
    let transfer = TransferCash { to, amount: Money(1) };
    let transaction = world.sign("tallinn", vec![transfer.into()]);
    assert_eq!(world.block(after_ms, &[transaction]).transactions[0].code, 0);
}

/// Lets time pass, with a block at each deadline.
pub fn pass(world: &mut World, until: impl FnOnce(&World) -> TimeMs) {
    let until = until(world);
    while let Some(due) = hansa_ledger::deadline::next_deadline(&world.state).filter(|due| *due <= until) {
        world.block(due.0.saturating_sub(world.now.0).max(1), &[]);
    }
}

pub fn renew(code: CodeHash) -> Action {
    RenewContract { code }.into()
}

pub fn point(world: &mut World, one: &str, alias: &str, code: CodeHash) -> Result<Vec<Event>, Rejection> {
    world.act(&format!("{one} governance"), SetAlias { name: name(alias), code })
}

pub fn states(row: &Contract) -> Vec<ContractState> {
    row.history.iter().map(|moment| moment.state).collect()
}

pub fn cash(world: &World, home: &str, number: &str) -> u64 {
    world.balance(&hansa_ledger::row::AccountId::Cash(world.organisation(home, number)))
}

/// Two accelerators more than nothing, all in cash.
pub fn cash_demand(world: &World) -> hansa_ledger::row::Demand {
    let mut demand = demand(world, Purse::Cash);
    demand.sources = all_from(Purse::Cash);
    demand
}

#[test]
fn contracts_of_the_genesis_are_active_under_their_names_and_have_no_end() {
    let mut world = World::new();
    let before = row(&world, world.code);
    assert_eq!((before.state, before.expires_at, before.summary), (ContractState::Active, None, None));
    let alias = world.state.get::<hansa_ledger::tables::ContractAliases>(&name("spot")).unwrap();
    assert_eq!(alias.code, Some(world.code));
    // The first block looks into it.
    world.accredit("EE", "tallinn", OrganisationClass::StartUp);
    let after = row(&world, world.code);
    let summary = after.summary.unwrap();
    assert_eq!((summary.name.as_str(), summary.has_admit), ("spot", false));
    assert_eq!((after.deposit.0, after.deployer), (0, None));
    // The members that agreed to it can end it.
    for one in ["DE", "EE"] {
        world.act(&format!("{one} governance"), DeprecateContract { code: world.code }).unwrap();
    }
    world.block(1, &[]);
    assert_eq!(row(&world, world.code).state, ContractState::Archived);
}
