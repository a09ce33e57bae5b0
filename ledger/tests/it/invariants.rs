//! What may never be: every breach is found in the block that brings it, and no block is made of it.

use crate::scene::Scene;
use crate::world::{World, member, name};
use hansa_ledger::action::{AttestDeposit, BlockInHand, CancelLease, fuel_kept};
use hansa_ledger::apply::{apply_block, build_block, chain};
use hansa_ledger::id::{CodeHash, LeaseId};
use hansa_ledger::invariants::check_state;
use hansa_ledger::market::Calendar;
use hansa_ledger::member::MemberCode;
use hansa_ledger::money::Money;
use hansa_ledger::row::{
    Account, AccountId, Class, Contract, ContractState, Entitlement, EntitlementKey, Lease, LeaseState,
    Member, Offer,
};
use hansa_ledger::state::{State, View};
use hansa_ledger::tables::{Accounts, Classes, Contracts, Entitlements, Leases, Members, Offers};
use hansa_ledger::time::Slot;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What is done to the rows of a block in hand.
type Change = fn(&Scene, &mut View<'_>);

/// What the invariants say of a block that changes the rows so.
fn breach(scene: &Scene, change: Change) -> Result<(), String> {
    let world = &scene.world;
    let mut view = world.state.view();
    change(scene, &mut view);
    let block = BlockInHand {
        view,
        params: world.params(),
        height: chain(&world.state).height + 1,
        now: world.now.plus(1),
        runtime: &world.runtime,
        fuel: world.params().block_fuel_max,
        fuel_kept: fuel_kept(world.params(), &world.runtime),
        events: Vec::new(),
    };
    block.find_breach()
}

/// Breaches by what is said of them, with a part of the sentence.
fn check(breaches: &[(&str, Change)]) {
    let scene = Scene::new();
    for (number, (expected, change)) in breaches.iter().enumerate() {
        let found = breach(&scene, *change).expect_err(&format!("nothing is found in {number}: {expected}"));
        assert!(found.contains(expected), "{number}: `{found}` does not say `{expected}`");
    }
}

/// The same block without the fault, so that it is the fault that is found.
fn check_sound(sound: &[Change]) {
    let scene = Scene::new();
    for (number, change) in sound.iter().enumerate() {
        assert_eq!(breach(&scene, *change), Ok(()), "{number}");
    }
}

fn change_member(view: &mut View<'_>, code: &str, change: impl FnOnce(&mut Member)) {
    let mut row = view.get::<Members>(&member(code)).unwrap().clone();
    change(&mut row);
    view.put::<Members>(member(code), row);
}

fn change_lease(view: &mut View<'_>, id: LeaseId, change: impl FnOnce(&mut Lease)) {
    let mut row = view.get::<Leases>(&id).unwrap().clone();
    change(&mut row);
    view.put::<Leases>(id, row);
}

fn change_contract(view: &mut View<'_>, code: CodeHash, change: impl FnOnce(&mut Contract)) {
    let mut row = view.get::<Contracts>(&code).unwrap().clone();
    change(&mut row);
    view.put::<Contracts>(code, row);
}

/// Sets a balance, past the journal.
fn set_balance(view: &mut View<'_>, account: AccountId, home: MemberCode, amount: i128) {
    match u64::try_from(amount).unwrap() {
        0 => view.remove::<Accounts>(&account),
        balance => view.put::<Accounts>(account, Account { home, balance: Money(balance) }),
    }
}

/// Moves money between accounts of one home: the books stay balanced.
fn shift(view: &mut View<'_>, from: AccountId, to: AccountId, amount: u64) {
    let home = view.get::<Accounts>(&from).expect("there is money to move").home;
    let balance =
        |view: &View<'_>, account| i128::from(view.get::<Accounts>(account).map_or(0, |row| row.balance.0));
    let (rest, sum) = (balance(view, &from) - i128::from(amount), balance(view, &to) + i128::from(amount));
    set_balance(view, from, home, rest);
    set_balance(view, to, home, sum);
}

fn cash(scene: &Scene) -> AccountId {
    AccountId::Cash(scene.tallinn)
}

fn escrow(scene: &Scene, lease: LeaseId) -> AccountId {
    AccountId::Escrow(scene.world.state.get::<Leases>(&lease).unwrap().request, 0)
}

/// The provider's part of its site, and its row.
fn part(scene: &Scene) -> (EntitlementKey, Entitlement) {
    let mut parts = scene.world.state.rows::<Entitlements>();
    let (key, row) = parts.find(|(_, row)| row.offer == Some(scene.offer)).unwrap();
    (key.clone(), row.clone())
}

/// One lease more, that a grant pays, like the one that waits for its start.
fn add_sponsored(scene: &Scene, view: &mut View<'_>) {
    let lease = view.get::<Leases>(&scene.awarded).unwrap().clone();
    view.put::<Leases>(LeaseId([9; 32]), Lease { sponsor: Some(member("EE")), ..lease });
    change_contract(view, scene.world.code, |row| row.leases += 1);
}

fn count_batch(view: &mut View<'_>) {
    let class = name("a100-64");
    let row = view.get::<Classes>(&class).unwrap().clone();
    view.put::<Classes>(class, Class { epoch: row.epoch + 1, ..row });
}

#[test]
fn books_that_do_not_balance_are_found() {
    check(&[
        ("the books of EE are off by 1 uEUR", |scene, view| {
            let balance = view.get::<Accounts>(&cash(scene)).unwrap().balance.0;
            set_balance(view, cash(scene), member("EE"), i128::from(balance) + 1);
        }),
        ("the books of EE are off by 7 uEUR", |_, view| {
            set_balance(view, AccountId::Line(member("EE"), name("new")), member("EE"), 7);
        }),
        ("the books of EE are off by -", |scene, view| view.remove::<Accounts>(&cash(scene))),
        // The same money on the side of another member.
        ("the books of EE are off by -", |scene, view| {
            let balance = view.get::<Accounts>(&cash(scene)).unwrap().balance.0;
            set_balance(view, cash(scene), member("ES"), i128::from(balance));
        }),
        ("the books of DE are off by -3 uEUR", |_, view| {
            change_member(view, "DE", |row| row.issued.0 += 3);
        }),
        ("the books of DE are off by 3 uEUR", |_, view| {
            change_member(view, "DE", |row| row.redeemed.0 += 3);
        }),
        ("the books of DE are off by 3 uEUR", |_, view| change_member(view, "DE", |row| row.position -= 3)),
        ("the books of DE are off by -3 uEUR", |_, view| change_member(view, "DE", |row| row.confirmed += 3)),
        ("a member vanished", |_, view| view.remove::<Members>(&member("FR"))),
        ("a member's books overflow", |_, view| {
            change_member(view, "DE", |row| (row.position, row.confirmed) = (i128::MAX, 1));
        }),
    ]);
}

#[test]
fn positions_that_do_not_sum_up_and_debts_past_the_cap_are_found() {
    check(&[
        ("the positions moved by 5 uEUR in sum", |_, view| {
            change_member(view, "DE", |row| {
                (row.position, row.confirmed) = (row.position + 5, row.confirmed - 5)
            });
        }),
        ("the positions overflow", |_, view| {
            for code in ["DE", "FR"] {
                let wide = i128::MAX / 2 + 1;
                change_member(view, code, |row| (row.position, row.confirmed) = (wide, -wide));
            }
        }),
        ("DE may come to owe more than its debit cap", |_, view| {
            change_member(view, "DE", |row| row.locked.0 = row.debit_cap.0 + 1);
        }),
        ("DE may come to owe more than its debit cap", |_, view| {
            change_member(view, "DE", |row| {
                let owed = i128::from(row.debit_cap.0) + 1;
                (row.position, row.confirmed) = (-owed, owed);
            });
        }),
    ]);
    check_sound(&[|_, view| change_member(view, "DE", |row| row.locked.0 = row.debit_cap.0)]);
}

#[test]
fn money_left_on_a_settled_lease_is_found() {
    check(&[
        ("holds 5 uEUR instead of 0", |scene, view| {
            change_lease(view, scene.settled, |_| {});
            shift(view, cash(scene), escrow(scene, scene.settled), 5);
        }),
        // On the account of another source than its first.
        ("holds 5 uEUR instead of 0", |scene, view| {
            change_lease(view, scene.settled, |_| {});
            let AccountId::Escrow(request, _) = escrow(scene, scene.settled) else { panic!("an escrow") };
            shift(view, cash(scene), AccountId::Escrow(request, u8::MAX), 5);
        }),
        ("holds 0 uEUR instead of 5", |scene, view| {
            change_lease(view, scene.settled, |row| row.sources[0].held = Money(5));
        }),
        ("leaves 0.000005 EUR on Stake", |scene, view| {
            change_lease(view, scene.settled, |_| {});
            shift(view, cash(scene), AccountId::Stake(scene.settled), 5);
        }),
        ("leaves 0.000005 EUR on Bond", |scene, view| {
            change_lease(view, scene.settled, |_| {});
            shift(view, cash(scene), AccountId::Bond(scene.settled), 5);
        }),
    ]);
    check_sound(&[
        |scene, view| change_lease(view, scene.settled, |_| {}),
        |scene, view| {
            change_lease(view, scene.settled, |row| row.sources[0].held = Money(5));
            shift(view, cash(scene), escrow(scene, scene.settled), 5);
        },
    ]);
}

#[test]
fn capacity_sold_twice_is_found() {
    check(&[
        // The grant of the part shrinks under its leases and its offer.
        ("64 accelerators of site are leased or offered, and 63 are granted", |scene, view| {
            let (key, row) = part(scene);
            view.put::<Entitlements>(key, Entitlement { accelerators: 63, ..row });
        }),
        // A lease holds what the offer still has free.
        ("65 accelerators of site are leased or offered, and 64 are granted", |scene, view| {
            let (key, mut row) = part(scene);
            let free = view.get::<Offers>(&scene.offer).unwrap().market.points().last().unwrap().0;
            let more = Calendar::constant(Slot(free.0 - 1), free, 1);
            row.leased_market = row.leased_market.plus(&more);
            view.put::<Entitlements>(key, row);
        }),
        // The offer grows, and the part's own row stays as it was.
        ("and 64 are granted", |scene, view| {
            let offer = view.get::<Offers>(&scene.offer).unwrap().clone();
            let market = offer.market.plus(&offer.market);
            view.put::<Offers>(scene.offer, Offer { market, ..offer });
        }),
        ("and 64 are granted", |scene, view| {
            let offer = view.get::<Offers>(&scene.offer).unwrap().clone();
            let reserve = offer.reserve.plus(&offer.market);
            view.put::<Offers>(scene.offer, Offer { reserve, ..offer });
        }),
    ]);
    check_sound(&[|scene, view| {
        let (key, row) = part(scene);
        view.put::<Entitlements>(key, row);
    }]);
}

#[test]
fn public_money_without_a_batch_is_found() {
    check(&[
        ("which no batch awarded", add_sponsored),
        ("which was extended without a batch", |scene, view| {
            change_lease(view, scene.awarded, |row| row.slots += 1);
        }),
        ("which was extended without a batch", |scene, view| {
            count_batch(view);
            change_lease(view, scene.awarded, |row| row.slots += 1);
        }),
    ]);
    check_sound(&[
        |scene, view| {
            add_sponsored(scene, view);
            count_batch(view);
        },
        |scene, view| {
            change_lease(view, scene.awarded, |row| (row.slots, row.sponsor) = (row.slots + 1, None))
        },
    ]);
}

#[test]
fn a_contract_that_leaves_its_leases_or_its_deposit_is_found() {
    check(&[
        ("counts its leases wrong by -1", |scene, view| {
            change_contract(view, scene.world.code, |row| row.leases += 1);
        }),
        ("counts its leases wrong by 1", |scene, view| {
            add_sponsored(scene, view);
            count_batch(view);
            change_contract(view, scene.world.code, |row| row.leases -= 1);
        }),
        ("counts its leases wrong by -1", |scene, view| {
            view.remove::<Leases>(&scene.awarded);
        }),
        ("the deposit of contract", |scene, view| {
            change_contract(view, scene.contracts.waiting, |row| row.deposit.0 += 1);
        }),
        ("the deposit of contract", |scene, view| view.remove::<Contracts>(&scene.contracts.waiting)),
        ("the deposit of contract", |scene, view| {
            let home = view.get::<Accounts>(&AccountId::Deposit(scene.contracts.public)).unwrap().home;
            change_contract(view, scene.contracts.public, |_| {});
            let line = AccountId::Line(home, name("line-2"));
            shift(view, AccountId::Deposit(scene.contracts.public), line, 1);
        }),
        ("is archived, and leases still name it", |scene, view| {
            change_contract(view, scene.world.code, |row| row.state = ContractState::Archived);
        }),
    ]);
    check_sound(&[
        |scene, view| change_contract(view, scene.contracts.ended, |_| {}),
        |scene, view| {
            change_lease(view, scene.active, |row| row.state = LeaseState::Ended);
            change_contract(view, scene.world.code, |_| {});
        },
    ]);
}

/// The rows of the scene with a fault in them, past every block.
fn faulty(scene: &Scene, change: Change) -> State {
    let mut state = scene.world.state.clone();
    let mut view = state.view();
    change(scene, &mut view);
    let changes = view.into_changes(state.trie());
    let tip = state.tip();
    state.commit(changes, tip);
    state
}

#[test]
fn the_check_of_a_whole_state_finds_the_same_in_its_books() {
    let scene = Scene::new();
    assert_eq!(check_state(&scene.world.state), Ok(()));
    let cases: [(&str, Change); 5] = [
        ("the accounts of EE hold ", |_, view| {
            set_balance(view, AccountId::Line(member("EE"), name("new")), member("EE"), 7);
        }),
        ("accounts stand under SE, which is no member", |_, view| {
            set_balance(view, AccountId::Line(member("SE"), name("new")), member("SE"), 7);
        }),
        ("the positions sum to 5 uEUR instead of 0", |_, view| {
            change_member(view, "DE", |row| {
                (row.position, row.confirmed) = (row.position + 5, row.confirmed - 5)
            });
        }),
        ("a member's books overflow", |_, view| {
            change_member(view, "DE", |row| (row.position, row.confirmed) = (i128::MAX, 1));
        }),
        ("the positions overflow", |_, view| {
            for code in ["DE", "FR"] {
                let wide = i128::MAX / 2 + 1;
                change_member(view, code, |row| (row.position, row.confirmed) = (wide, -wide));
            }
        }),
    ];
    for (expected, change) in cases {
        let found = check_state(&faulty(&scene, change)).expect_err(expected);
        assert!(found.starts_with(expected), "`{found}` does not say `{expected}`");
    }
}

/// What stops a node that makes a block, and one that executes it.
fn check_stops(
    world: &mut World,
    state: &State,
    signer: &str,
    action: hansa_ledger::action::Action,
    expected: &str,
) {
    let (now, transaction) = (world.now.plus(1), world.sign(signer, vec![action]));
    let transactions = [transaction];
    let (runtime, id, header) = (&world.runtime, world.chain, world.draft_header(1));
    let built = catch_unwind(AssertUnwindSafe(|| {
        build_block(state, runtime, id, member("DE"), now, &transactions, &mut || true).map(|_| ())
    }));
    let applied = catch_unwind(AssertUnwindSafe(|| {
        apply_block(state, runtime, id, &header, &transactions).map(|_| ())
    }));
    for (what, outcome) in [("building", built), ("executing", applied)] {
        let panic = outcome.expect_err(&format!("{what} a block goes on after `{expected}`"));
        let text = panic.downcast_ref::<String>().unwrap();
        let start = format!("invariant broken at height {}: ", header.height);
        assert!(text.starts_with(&start) && text.contains(expected), "{what}: {text}");
    }
}

#[test]
fn a_breach_stops_who_makes_the_block_and_who_executes_it() {
    let scene = Scene::new();
    let mut world = scene.world.fork();
    let deposit =
        AttestDeposit { organisation: scene.tallinn, amount: Money(1), reference: name("one-more") };
    let cancel = CancelLease { lease: scene.awarded };
    // With rows as they should be both blocks are made.
    for (signer, action) in [("EE treasury", deposit.clone().into()), ("tallinn", cancel.clone().into())] {
        let transactions = [scene.world.fork().sign(signer, vec![action])];
        let time = world.now.plus(1);
        let made = build_block(
            &world.state,
            &world.runtime,
            world.chain,
            member("DE"),
            time,
            &transactions,
            &mut || true,
        );
        assert_eq!(made.map(|(_, outcome)| outcome.receipts.transactions[0].code), Ok(0));
    }
    let capped = faulty(&scene, |_, view| change_member(view, "EE", |row| row.debit_cap = Money(0)));
    check_stops(
        &mut world,
        &capped,
        "EE treasury",
        deposit.into(),
        "EE may come to owe more than its debit cap",
    );
    let bonded = faulty(&scene, |scene, view| shift(view, cash(scene), AccountId::Bond(scene.awarded), 5));
    assert_eq!(check_state(&bonded), Ok(()), "the books themselves are balanced");
    check_stops(&mut world, &bonded, "tallinn", cancel.into(), "leaves 0.000005 EUR on Bond");
}
