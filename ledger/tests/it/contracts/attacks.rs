//! Attacks on the life of contracts, by their numbers in the list of attacks.

use super::leases::{failure, offered};
use super::*;
use hansa_contracts_abi::Failure;
use hansa_ledger::action::{CountersignUsage, LeaseUsage, fuel_kept};
use hansa_ledger::apply::{apply_block, build_block};
use hansa_ledger::contract::FUEL_PER_MODULE_BYTE;
use hansa_ledger::id::hash_of;
use hansa_ledger::params::Params;
use hansa_ledger::row::{AccountId, Payment};
use hansa_ledger::tables::ContractAliases;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// 18: storage is paid for and bounded, and looking into modules uses the block's fuel, also of those that are refused.
#[test]
fn attack_18_code_spam_is_priced_and_bounded() {
    let mut world =
        world_with(Params { contract_uploads_max: 3, block_fuel_max: 10_000_000, ..Params::testnet() });
    let before = cash(&world, "ES", "bsc");
    for number in 0..3 {
        upload(&mut world, "bsc", &format!("spam {number}"));
    }
    assert_eq!(world.act("bsc", module("spam 3")), Err(Rejection::TooManyUploads));
    assert_eq!(
        before - cash(&world, "ES", "bsc"),
        3 * 13_000,
        "every byte is paid for while it stands there"
    );
    // Others are not kept from it.
    upload(&mut world, "tallinn", "sound");
    // What one has no money for does not get in.
    world.accredit("FR", "cea", OrganisationClass::Research);
    assert_eq!(world.act("cea", module("sound too")), Err(Rejection::FundsInsufficient));
    // A block looks into so many bytes and no more, whatever comes of it, and leaves what is kept for final settlements; the
    // rest waits.
    let large = || UploadContract { code: vec![0xff; 60_000], ..module("") };
    let free = 10_000_000 - fuel_kept(world.params(), &world.runtime);
    let fits = free / (60_000 * FUEL_PER_MODULE_BYTE);
    assert!(fits < 10_000_000 / (60_000 * FUEL_PER_MODULE_BYTE), "what is kept would have room for one more");
    let several: Vec<_> = (0..fits + 1).map(|_| world.sign("tallinn", vec![large().into()])).collect();
    let proposer = crate::world::member("DE");
    let time = world.now.plus(1);
    let (block, outcome) =
        build_block(&world.state, &world.runtime, world.chain, proposer, time, &several, &mut || true)
            .unwrap();
    assert_eq!(block.transactions.len() as u64, fits, "what has no fuel left comes into a later block");
    let refused = |event: &Event| matches!(event, Event::ContractRefused { .. });
    assert!(outcome.receipts.transactions.iter().all(|receipt| receipt.events.iter().all(refused)));
}

/// 20: an alias that is re-pointed, an author that gives up, and a quorum of one change nothing that was signed.
#[test]
fn attack_20_no_upgrade_reaches_a_signed_lease() {
    let (mut world, code) = offered("carbon");
    for one in ["DE", "EE"] {
        point(&mut world, one, "eu.carbon", code).unwrap();
    }
    pass(&mut world, |world| world.now.plus(2_000));
    let id = lease(&mut world);
    let signed = lease_row(&world, id).agreement;
    start(&mut world, id);
    let evil = upload(&mut world, "tallinn", "traps");
    // One member alone lets nothing run and points nothing.
    approve(&mut world, evil, &["EE"]);
    idle(&mut world, 5_000);
    assert_eq!(row(&world, evil).state, ContractState::Validated);
    approve(&mut world, evil, &["DE"]);
    pass(&mut world, |world| row(world, evil).active_from.unwrap());
    point(&mut world, "EE", "eu.carbon", evil).unwrap();
    pass(&mut world, |world| world.now.plus(3_000));
    let alias = |world: &World| world.state.get::<ContractAliases>(&name("eu.carbon")).unwrap().code;
    assert_eq!(alias(&world), Some(code));
    // Two do, and the lease does not notice.
    point(&mut world, "FR", "eu.carbon", evil).unwrap();
    world.act("bsc", DeprecateContract { code }).unwrap();
    world.pass_until(|event| matches!(event, Event::AliasSet { .. }).then_some(()));
    assert_eq!(alias(&world), Some(evil));
    assert_eq!(lease_row(&world, id).agreement, signed);
    let settlement = match world.state.get::<Settlements>(&id).cloned() {
        Some(settlement) => settlement,
        None => until_settled(&mut world, id),
    };
    assert_eq!((settlement.contract, failure(&settlement)), (code, None));
    // No parameter lets one member decide.
    for [parameter, _, least, _] in Params::table() {
        if ["contract_approvals", "contract_quarantine_votes"].contains(&parameter.as_str()) {
            assert_eq!(least, "2", "{parameter}");
        }
    }
}

/// 21: who stops a contract moves no money anywhere, and a minority cannot let it run again.
#[test]
fn attack_21_the_kill_switch_moves_no_money() {
    let (mut world, code) = offered("carbon");
    let [id, other] = [lease(&mut world), lease(&mut world)];
    start(&mut world, id);
    let sums = |world: &World| {
        let accounts = world.state.rows::<hansa_ledger::tables::Accounts>();
        accounts.map(|(account, row)| (account.clone(), row.balance)).collect::<Vec<_>>()
    };
    let before = sums(&world);
    quarantine(&mut world, code, "to our own advantage");
    assert_eq!(sums(&world), before, "stopping it pays nobody");
    world.act("DE governance", ResumeContract { code }).unwrap();
    assert_eq!(world.act("DE governance", ResumeContract { code }), Err(Rejection::VoteGiven));
    assert_eq!(world.act("bsc", ResumeContract { code }), Err(Rejection::NotGovernance));
    assert_eq!(row(&world, code).state, ContractState::Quarantined, "one member does not resume it");
    // Whatever happens, only who is a party of the lease is paid, and by the signed rule.
    let settlement = settle(&mut world, id, 4);
    assert_eq!(failure(&settlement), Some(Failure::Quarantined));
    let (provider, requester) = (world.organisation("ES", "bsc"), world.organisation("EE", "tallinn"));
    let to = |payments: &[Payment]| payments.iter().map(|payment| payment.to.clone()).collect::<Vec<_>>();
    assert_eq!(to(&settlement.payments), [AccountId::Cash(provider), AccountId::Fees]);
    assert_eq!(to(&settlement.refunds), [AccountId::Cash(requester)]);
    // What never began is paid back whole, in time.
    let locked = lease_row(&world, other).locked;
    let settlement = world.state.get::<Settlements>(&other).unwrap();
    assert_eq!(settlement.payments, []);
    assert_eq!(settlement.refunds.iter().map(|payment| payment.amount).collect::<Vec<_>>(), [locked]);
}

/// 22: a contract that fails on purpose gets its author the rule both sides signed, and a record that everybody sees.
#[test]
fn attack_22_failures_are_counted_and_settled_as_signed() {
    let (mut world, code) = offered("traps");
    for number in 1..=2 {
        let id = lease(&mut world);
        start(&mut world, id);
        let end = EndLease { lease: id, cumulative: Some(8) };
        let end = world.sign("bsc", vec![end.into()]);
        world.block(4_000, &[end]);
        let failed = |event: &Event| match event {
            Event::ContractFailed { failures, settlements, lease, .. } if *lease == id => {
                Some((*failures, *settlements))
            }
            _ => None,
        };
        assert_eq!(world.pass_until(failed), (number, number));
        let settlement = world.state.get::<Settlements>(&id).unwrap();
        assert_eq!(failure(settlement), Some(Failure::Trap));
        let paid: u64 = settlement.payments.iter().map(|payment| payment.amount.0).sum();
        assert_eq!(paid, 4_000, "what nobody contested is paid in the same block");
    }
    assert_eq!((row(&world, code).failures, row(&world, code).settlements), (2, 2));
    // The record outlives the contract.
    world.act("bsc", DeprecateContract { code }).unwrap();
    pass(&mut world, |world| row(world, code).free_from);
    assert_eq!(row(&world, code).state, ContractState::Archived);
    upload(&mut world, "bsc", "traps");
    assert_eq!(row(&world, code).failures, 2);
}

/// 25: whoever brings the same bytes first keeps nobody from using them, and has no power over who does.
#[test]
fn attack_25_squatting_on_a_hash_blocks_nobody() {
    let mut world = world();
    let squatter = |world: &mut World| upload(world, "tallinn", "carbon");
    let code = squatter(&mut world);
    assert_eq!(world.act("bsc", module("carbon")), Err(Rejection::ContractExists));
    // It is the same code: it can be approved and used all the same.
    let mut used = world.fork();
    activate(&mut used, code);
    assert!(offer(&mut used, code).is_ok());
    // Or two members clear the place, and who wrote it brings it.
    for one in ["DE", "EE"] {
        world.act(&format!("{one} governance"), DeprecateContract { code }).unwrap();
    }
    assert_eq!(upload(&mut world, "bsc", "carbon"), code);
    // An id follows from the content alone, and so does the account of the deposit: nothing can stand there before.
    assert_eq!(code.0, *blake3::hash(&crate::engine::script("carbon")).as_bytes());
    assert_eq!(world.balance(&AccountId::Deposit(code)), 13_000);
    let free = hash("another");
    assert_eq!(world.balance(&AccountId::Deposit(free)), 0);
}

/// 26: an id has one spelling.
#[test]
fn attack_26_ids_have_one_spelling() {
    let code = hash("carbon");
    let text = serde_json::to_string(&ApproveContract { code }).unwrap();
    assert_eq!(serde_json::from_str::<ApproveContract>(&text).unwrap().code, code);
    let hex = hex_of(&text);
    for wrong in [&hex[..62], &format!("{hex}00"), &format!(" {hex}"), &format!("0x{hex}"), ""] {
        let json = text.replace(&hex, wrong);
        assert!(serde_json::from_str::<ApproveContract>(&json).is_err(), "{json}");
    }
    // What is read from another case is the same 32 bytes, and not another contract.
    if let Ok(upper) = serde_json::from_str::<ApproveContract>(&text.replace(&hex, &hex.to_uppercase())) {
        assert_eq!(upper.code, code);
    }
    for wrong in ["EU.spot", "eu.Spot", "eu spot", "eu.spot\u{200b}", "еu.spot", ""] {
        assert!(hansa_ledger::name::Name::new(wrong).is_err(), "{wrong}");
    }
    // The deadline of an alias is of its name alone, and of nothing else that hashes alike.
    assert_ne!(hash_of("hansa/alias", &name("spot")), hash_of("hansa/class", &name("spot")));
}

fn hex_of(json: &str) -> String {
    json.split('"').find(|part| part.len() == 64).unwrap().to_owned()
}

/// 24: a panic in the glue around the engine is no failure of the contract. It ends the block for who makes it and for who
/// executes it, so that no member counts other fuel, or pays by another rule, than the others.
#[test]
fn attack_24_a_panic_around_the_engine_ends_the_block_and_loses_no_fuel() {
    let (mut world, code) = offered("costs=7");
    let id = lease(&mut world);
    start(&mut world, id);
    let end = world.sign("bsc", vec![EndLease { lease: id, cumulative: Some(8) }.into()]);
    world.block(4_000, &[end]);
    let usages = vec![LeaseUsage { lease: id, cumulative: 8 }];
    let agree = [world.sign("tallinn", vec![CountersignUsage { usages }.into()])];
    let (time, proposer) = (world.now.plus(1), crate::world::member("DE"));
    let build = |world: &World| {
        build_block(&world.state, &world.runtime, world.chain, proposer, time, &agree, &mut || true).unwrap()
    };
    // What a member whose engine is sound makes of it.
    let (block, sound) = build(&world.fork());
    let (before, root) = (world.rows(), world.state.root());
    world.runtime.break_down(true);
    let header = &block.header;
    let apply = || apply_block(&world.state, &world.runtime, world.chain, header, &agree).map(drop);
    let built = catch_unwind(AssertUnwindSafe(|| drop(build(&world))));
    let applied = catch_unwind(AssertUnwindSafe(apply));
    assert!(built.is_err(), "no block is made without what the contract says and costs");
    assert!(applied.is_err(), "no block is executed without what the contract says and costs");
    assert_eq!((world.rows(), world.state.root()), (before, root), "nothing of it stays");
    // Started anew, the same node comes to the same block, and to the same fuel.
    world.runtime.break_down(false);
    let (again, outcome) = build(&world);
    assert_eq!(again.header, block.header);
    assert_eq!(outcome.changes.rows(), sound.changes.rows());
    world.block(1, &agree);
    let settlement = world.state.get::<Settlements>(&id).unwrap();
    assert_eq!((failure(settlement), settlement.fuel), (None, 7));
    assert_eq!((row(&world, code).settlements, row(&world, code).failures), (1, 0));
}

/// 27: counts go on where 32 bits end; those that are full refuse what is new, and keep nothing locked that stands.
#[test]
fn attack_27_counters_pass_32_bits_and_full_ones_neither_wrap_nor_lock() {
    let (mut world, code) = offered("traps");
    let after = |world: &mut World, count: u64| {
        let id = lease(world);
        change(world, code, |row| (row.settlements, row.failures) = (count, count));
        start(world, id);
        let settlement = settle(world, id, 4);
        assert_eq!(failure(&settlement), Some(Failure::Trap));
        // What the fallback pays does not depend on how often the contract was asked before.
        assert_eq!(settlement.payments.iter().map(|payment| payment.amount.0).sum::<u64>(), 4_000);
        (row(world, code).settlements, row(world, code).failures)
    };
    for (count, next) in [
        (0, 1),
        (u64::from(u32::MAX) - 1, u64::from(u32::MAX)),
        (u64::from(u32::MAX), 1 << 32),
        (1 << 32, (1 << 32) + 1),
        (u64::MAX - 1, u64::MAX),
        (u64::MAX, u64::MAX),
    ] {
        assert_eq!(after(&mut world.fork(), count), (next, next));
    }
    // Leases are counted up and down again, beyond 32 bits too, or the code would be archived under a lease.
    change(&mut world, code, |row| row.leases = u64::from(u32::MAX));
    let id = lease(&mut world);
    assert_eq!(row(&world, code).leases, 1 << 32);
    start(&mut world, id);
    settle(&mut world, id, 4);
    assert_eq!(row(&world, code).leases, u64::from(u32::MAX));
    // More leases than can be counted are not awarded.
    change(&mut world, code, |row| row.leases = u64::MAX);
    let request_id = ask(&mut world);
    clear(&mut world);
    assert_eq!(request(&world, request_id).state, RequestState::Open);
    assert_eq!(row(&world, code).leases, u64::MAX);
    // A deposit that no money can express is refused.
    let mut rich = world_with(Params { contract_deposit_byte: 1_000_000_000, ..Params::testnet() });
    assert_eq!(rich.act("bsc", module("carbon")), Err(Rejection::FundsInsufficient));
    assert_eq!(row(&rich, rich.code).deposit, Money::ZERO);
}

/// Changes a contract's row outside of any block.
fn change(world: &mut World, code: CodeHash, change: impl Fn(&mut Contract)) {
    let mut row = row(world, code);
    change(&mut row);
    let mut view = world.state.view();
    view.put::<Contracts>(code, row);
    let changes = view.into_changes(world.state.trie());
    let tip = world.state.tip();
    world.state.commit(changes.clone(), tip);
    world.twin.commit(changes, tip);
}
