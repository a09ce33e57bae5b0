//! From the upload to the archive, and the money that is held meanwhile.

use super::*;
use crate::world::{genesis, key, member, office};
use hansa_contracts_abi::ModuleRule;
use hansa_ledger::action::{IssueGrant, MODULE_BYTES_MAX, WithdrawOffer};
use hansa_ledger::params::Params;
use hansa_ledger::row::{AccountId, ContractVoteKind, Office, Principal, Purpose};
use hansa_ledger::tables::{ContractAliases, Deadlines};

#[test]
fn a_contract_lives_from_its_upload_to_the_archive_and_its_deposit_returns() {
    let mut world = world();
    let before = cash(&world, "ES", "bsc");
    let code = upload(&mut world, "bsc", "carbon");
    // 13 bytes of 1,000 uEUR each.
    assert_eq!(row(&world, code).deposit, Money(13_000));
    assert_eq!(world.balance(&AccountId::Deposit(code)), 13_000);
    assert_eq!(cash(&world, "ES", "bsc"), before - 13_000);
    assert_eq!(offer(&mut world, code), Err(Rejection::ContractInactive), "nobody has approved it");
    approve(&mut world, code, &["DE"]);
    assert_eq!(row(&world, code).state, ContractState::Validated, "one member is not enough");
    approve(&mut world, code, &["FR"]);
    assert_eq!(row(&world, code).state, ContractState::Approved);
    assert_eq!(row(&world, code).active_from, Some(world.now.plus(2_000)));
    pass(&mut world, |world| row(world, code).active_from.unwrap());
    offer(&mut world, code).unwrap();
    let row_now = row(&world, code);
    assert_eq!((row_now.state, row_now.offers), (ContractState::Active, 1));
    assert_eq!(row_now.expires_at.map(|end| end.0 > world.now.0 + 31_000_000_000), Some(true));
    let lease = lease(&mut world);
    let agreement = lease_row(&world, lease).agreement;
    assert_eq!(agreement.contract, code);
    assert_eq!(agreement.contract_tariff.map(|hash| hash.0), Some(*blake3::hash(b"carbon").as_bytes()));
    assert_eq!(row(&world, code).leases, 1);
    // It ends for new leases, and the one that runs goes on.
    world.act("bsc", DeprecateContract { code }).unwrap();
    assert_eq!(row(&world, code).state, ContractState::Deprecated);
    start(&mut world, lease);
    let settlement = settle(&mut world, lease, 4);
    assert_eq!((settlement.contract, settlement.failure), (code, None));
    let settled = row(&world, code);
    assert_eq!((settled.leases, settled.settlements, settled.state), (0, 1, ContractState::Deprecated));
    // Until nobody can object any more.
    let window = agreement.challenge_window_ms;
    assert_eq!(settled.free_from, world.now.plus(window));
    pass(&mut world, |_| settled.free_from);
    let ended = row(&world, code);
    assert_eq!((ended.state, ended.deposit), (ContractState::Archived, Money::ZERO));
    assert_eq!(world.balance(&AccountId::Deposit(code)), 0);
    use ContractState::{Active, Approved, Archived, Deprecated, Uploaded, Validated};
    assert_eq!(states(&ended), [Uploaded, Validated, Approved, Active, Deprecated, Archived]);
    assert!(has_code(&world, code), "what has settled a lease stays as evidence");
}

#[test]
fn a_contract_is_not_active_before_its_timelock() {
    let mut world = world();
    let code = upload(&mut world, "bsc", "carbon");
    approve(&mut world, code, &["DE", "EE"]);
    let action = offering(&world, code);
    let transaction = world.sign("bsc", vec![action]);
    let receipts = world.block(1_990, &[transaction]);
    assert_eq!(receipts.transactions[0].code, Rejection::ContractInactive.code());
    world.block(10, &[]);
    assert_eq!(row(&world, code).state, ContractState::Active);
}

#[test]
fn what_nobody_approves_in_time_leaves_nothing_and_its_deposit_returns() {
    let mut world = world();
    let before = cash(&world, "ES", "bsc");
    let code = upload(&mut world, "bsc", "carbon");
    approve(&mut world, code, &["DE"]);
    pass(&mut world, |world| row(world, code).approve_until);
    assert!(world.state.get::<Contracts>(&code).is_none() && !has_code(&world, code));
    assert_eq!(cash(&world, "ES", "bsc"), before);
    // It may come again, and the approval of then counts no more.
    upload(&mut world, "bsc", "carbon");
    approve(&mut world, code, &["EE"]);
    assert_eq!(row(&world, code).state, ContractState::Validated);
}

#[test]
fn a_contract_that_is_not_active_yet_can_be_withdrawn() {
    for approved in [false, true] {
        for by_vote in [false, true] {
            let mut world = world();
            let before = cash(&world, "ES", "bsc");
            let code = upload(&mut world, "bsc", "carbon");
            if approved {
                approve(&mut world, code, &["DE", "EE"]);
            }
            let signers: &[&str] = if by_vote { &["DE governance", "FR governance"] } else { &["bsc"] };
            for signer in signers {
                world.act(signer, DeprecateContract { code }).unwrap();
            }
            assert!(world.state.get::<Contracts>(&code).is_none() && !has_code(&world, code));
            assert_eq!(cash(&world, "ES", "bsc"), before);
            let left = world.state.rows::<Deadlines>().any(|(deadline, ())| deadline.subject == code.0);
            assert!(!left, "nothing of it is due any more");
        }
    }
}

#[test]
fn a_member_deploys_by_its_treasury_out_of_a_budget_line() {
    let mut world = world();
    // Money comes onto the line when a grant expires.
    let action = IssueGrant {
        holder: world.organisation("EE", "tallinn"),
        reference: name("short"),
        budget_line: name("line-1"),
        purpose: Purpose::Innovation,
        amount: Money(50_000),
        expires: world.now.plus(100),
    };
    world.act("EE treasury", action).unwrap();
    pass(&mut world, |world| world.now.plus(200));
    let line = AccountId::Line(member("EE"), name("line-1"));
    assert_eq!(world.balance(&line), 50_000);
    let action = UploadContract { budget_line: Some(name("line-1")), ..module("carbon") };
    world.act("EE treasury", action).unwrap();
    let code = hash("carbon");
    assert_eq!(world.balance(&line), 50_000 - 13_000);
    let deployer = row(&world, code).deployer.unwrap();
    assert_eq!(deployer.principal, Principal::Office(member("EE"), Office::Treasury));
    assert_eq!(deployer.key, key("EE treasury").public_key());
    let own = world.act("EE governance", ApproveContract { code });
    assert_eq!(own, Err(Rejection::ContractOwnApproval));
    approve(&mut world, code, &["DE", "FR"]);
    pass(&mut world, |world| row(world, code).active_from.unwrap());
    world.act("EE treasury", DeprecateContract { code }).unwrap();
    world.block(1, &[]);
    assert_eq!(world.balance(&line), 50_000);
    assert!(!has_code(&world, code), "nothing was ever settled by it");
    assert_eq!(row(&world, code).state, ContractState::Archived);
}

#[test]
fn a_module_that_may_not_run_is_told_by_rule_and_byte_and_leaves_nothing() {
    let mut world = world();
    let before = cash(&world, "ES", "bsc");
    let action = UploadContract { code: b"imports something".to_vec(), ..module("") };
    let code = CodeHash(*blake3::hash(&action.code).as_bytes());
    let events = world.act("bsc", action).unwrap();
    let deployer = Principal::Organisation(world.organisation("ES", "bsc"));
    let rule = ModuleRule::Imports.number();
    assert_eq!(events, [Event::ContractRefused { code, deployer, rule, offset: 42 }]);
    assert!(world.state.get::<Contracts>(&code).is_none() && !has_code(&world, code));
    assert_eq!(cash(&world, "ES", "bsc"), before);
}

#[test]
fn a_member_counts_once_however_many_keys_its_office_has() {
    let mut genesis = genesis(Params::testnet());
    genesis.members[1].governance = office(1, &["EE governance", "EE governance 2"]);
    let mut world = World::from(&genesis);
    world.accredit("ES", "bsc", OrganisationClass::Public);
    world.deposit("ES", "bsc", 10);
    let code = upload(&mut world, "bsc", "carbon");
    approve(&mut world, code, &["EE"]);
    let second = "EE governance 2";
    assert_eq!(world.act(second, ApproveContract { code }), Err(Rejection::VoteGiven));
    assert_eq!(row(&world, code).approvals, [member("EE")]);
    approve(&mut world, code, &["DE"]);
    pass(&mut world, |world| row(world, code).active_from.unwrap());
    let reason = "why".to_owned();
    world.act("EE governance", QuarantineContract { code, reason: reason.clone() }).unwrap();
    assert_eq!(world.act(second, QuarantineContract { code, reason }), Err(Rejection::VoteGiven));
    assert_eq!(row(&world, code).state, ContractState::Active);
    world.act("EE governance", DeprecateContract { code }).unwrap();
    assert_eq!(world.act(second, DeprecateContract { code }), Err(Rejection::VoteGiven));
    assert_eq!(row(&world, code).votes.len(), 2);
    assert!(row(&world, code).votes.iter().any(|vote| vote.kind == ContractVoteKind::Quarantine));
    point(&mut world, "EE", "eu.carbon", code).unwrap();
    let vote = SetAlias { name: name("eu.carbon"), code };
    assert_eq!(world.act(second, vote), Err(Rejection::VoteGiven));
}

#[test]
fn an_office_that_takes_two_keys_votes_by_an_order() {
    let mut genesis = genesis(Params::testnet());
    genesis.members[1].governance = office(2, &["EE governance", "EE governance 2"]);
    let mut world = World::from(&genesis);
    world.accredit("ES", "bsc", OrganisationClass::Public);
    world.deposit("ES", "bsc", 10);
    let code = upload(&mut world, "bsc", "carbon");
    let events = world.act("EE governance", ApproveContract { code }).unwrap();
    let [Event::OrderPlaced { order, .. }] = events.as_slice() else { panic!("{events:?}") };
    assert!(row(&world, code).approvals.is_empty());
    world.act("EE governance 2", hansa_ledger::action::ApproveOrder { order: *order }).unwrap();
    assert_eq!(row(&world, code).approvals, [member("EE")]);
}

#[test]
fn a_contract_expires_unless_it_is_renewed_and_never_before_its_last_lease() {
    let mut world = world_with(Params { contract_life_ms: 60_000, ..Params::testnet() });
    let code = upload(&mut world, "bsc", "carbon");
    activate(&mut world, code);
    let first = row(&world, code).expires_at.unwrap();
    offer(&mut world, code).unwrap();
    let begun = lease(&mut world);
    world.act("bsc", renew(code)).unwrap();
    let second = row(&world, code).expires_at.unwrap();
    assert!(second > first && second == world.now.plus(60_000));
    assert!(world.act("FR governance", renew(code)).is_ok(), "a member may keep it as well");
    let end = row(&world, code).expires_at.unwrap();
    start(&mut world, begun);
    let settlement = settle(&mut world, begun, 4);
    assert_eq!(settlement.failure, None);
    let wait = end.0 - world.now.0 - 5_000;
    idle(&mut world, wait);
    let last = lease(&mut world);
    start(&mut world, last);
    pass(&mut world, |_| end);
    assert_eq!(row(&world, code).state, ContractState::Deprecated, "it has expired");
    assert!(has_code(&world, code) && row(&world, code).leases == 1);
    until_settled(&mut world, last);
    let free = row(&world, code).free_from;
    let wait = free.0 - world.now.0 - 1;
    idle(&mut world, wait);
    assert_eq!(row(&world, code).state, ContractState::Deprecated, "its window is still open");
    world.block(1, &[]);
    assert_eq!(row(&world, code).state, ContractState::Archived);
}

#[test]
fn a_vote_that_decides_nothing_lapses() {
    let mut world = world();
    let code = upload(&mut world, "bsc", "carbon");
    activate(&mut world, code);
    let stop = || QuarantineContract { code, reason: "why".to_owned() };
    world.act("DE governance", stop()).unwrap();
    idle(&mut world, 60_000);
    world.act("EE governance", stop()).unwrap();
    assert_eq!(row(&world, code).state, ContractState::Active, "the first vote is too old");
    world.act("FR governance", stop()).unwrap();
    assert_eq!(row(&world, code).state, ContractState::Quarantined);
}

#[test]
fn offers_that_name_a_contract_are_counted() {
    let mut world = world();
    let code = upload(&mut world, "bsc", "carbon");
    activate(&mut world, code);
    offer(&mut world, code).unwrap();
    assert_eq!(row(&world, code).offers, 1);
    let open = world.state.rows::<hansa_ledger::tables::OffersOpen>().map(|((_, offer), ())| *offer).next();
    world.act("bsc", WithdrawOffer { offer: open.unwrap() }).unwrap();
    assert_eq!(row(&world, code).offers, 0);
}

#[test]
fn an_alias_points_where_enough_members_want_once_its_time_has_come() {
    let mut world = world();
    let code = upload(&mut world, "bsc", "carbon");
    activate(&mut world, code);
    let alias = |world: &World, text: &str| world.state.get::<ContractAliases>(&name(text)).cloned();
    point(&mut world, "DE", "eu.carbon", code).unwrap();
    assert_eq!(alias(&world, "eu.carbon").unwrap().code, None);
    point(&mut world, "EE", "eu.carbon", code).unwrap();
    let pending = alias(&world, "eu.carbon").unwrap().pending.unwrap();
    assert_eq!((pending.code, pending.due), (code, world.now.plus(2_000)));
    assert_eq!(point(&mut world, "FR", "eu.carbon", code), Err(Rejection::AliasCurrent));
    pass(&mut world, |_| pending.due);
    assert_eq!(alias(&world, "eu.carbon").unwrap().code, Some(code));
    // A vote for another contract takes the first one back.
    let other = upload(&mut world, "bsc", "other");
    activate(&mut world, other);
    point(&mut world, "DE", "spot", code).unwrap();
    point(&mut world, "DE", "spot", other).unwrap();
    point(&mut world, "EE", "spot", code).unwrap();
    assert_eq!(alias(&world, "spot").unwrap().pending, None);
    // What is no longer active when the time comes is not pointed to.
    point(&mut world, "FR", "spot", code).unwrap();
    world.act("bsc", DeprecateContract { code }).unwrap();
    pass(&mut world, |world| world.now.plus(2_000));
    let spot = alias(&world, "spot").unwrap();
    assert_eq!((spot.code, spot.pending), (Some(world.code), None));
    // Votes that decide nothing are forgotten, and with them an alias that points nowhere.
    point(&mut world, "DE", "eu.next", other).unwrap();
    pass(&mut world, |world| world.now.plus(60_000));
    assert_eq!(alias(&world, "eu.next"), None);
}

#[test]
fn a_contract_is_tried_before_anybody_relies_on_it() {
    for (words, expected) in [
        ("carbon", Ok(())),
        ("sponsored", Ok(())),
        ("greedy", Err(Rejection::ContractRefused)),
        ("sponsored greedy", Err(Rejection::ContractRefused)),
    ] {
        let mut world = world();
        let code = upload(&mut world, "bsc", words);
        activate(&mut world, code);
        assert_eq!(offer(&mut world, code), expected, "{words}");
    }
}

/// The largest module is one that can come: it fits a transaction, a block and its fuel, with the longest name. One byte more
/// is refused as what it is.
#[test]
fn the_largest_module_can_be_uploaded_and_run() {
    let mut world = world();
    world.deposit("ES", "bsc", 100);
    let words = |bytes: usize| "x".repeat(bytes - script("").len());
    let named = |bytes| UploadContract { name: name(&"n".repeat(48)), ..module(&words(bytes)) };
    assert_eq!(named(MODULE_BYTES_MAX).code.len(), MODULE_BYTES_MAX);
    // The transaction is decoded within its limit, like any other.
    world.act("bsc", named(MODULE_BYTES_MAX)).unwrap();
    let code = hash(&words(MODULE_BYTES_MAX));
    activate(&mut world, code);
    assert_eq!(row(&world, code).summary.unwrap().bytes as usize, MODULE_BYTES_MAX);
    assert!(has_code(&world, code));
    assert_eq!(world.act("bsc", named(MODULE_BYTES_MAX + 1)), Err(Rejection::ModuleSizeInvalid));
    // A block of the smallest size there may be has room for the largest transaction.
    let bound = |name: &str, column: usize| {
        let table = Params::table();
        table.iter().find(|row| row[0] == name).unwrap()[column].parse::<usize>().unwrap()
    };
    assert!(bound("block_bytes_max", 2) >= bound("transaction_bytes_max", 3));
    assert!(bound("transaction_bytes_max", 1) >= MODULE_BYTES_MAX + 1_024);
}
