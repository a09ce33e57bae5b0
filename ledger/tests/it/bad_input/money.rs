//! Grants, deposits and cash.

use super::Row;
use super::people::NOBODY;
use crate::scene::Scene;
use crate::world::name;
use hansa_ledger::action::{Action, AttestDeposit, IssueGrant, RedeemCash, TransferCash};
use hansa_ledger::money::Money;
use hansa_ledger::rejection::Rejection::*;
use hansa_ledger::row::Purpose;
use hansa_ledger::tables::Deposits;
use hansa_ledger::time::TimeMs;

pub fn tables() -> Vec<(&'static str, Vec<Row>)> {
    vec![
        ("IssueGrant", issue_grant()),
        ("AttestDeposit", attest_deposit()),
        ("RedeemCash", redeem()),
        ("TransferCash", transfer()),
    ]
}

fn grant(scene: &Scene, change: impl FnOnce(&mut IssueGrant)) -> Action {
    let mut action = IssueGrant {
        holder: scene.tallinn,
        reference: name("grant-2"),
        budget_line: name("line-1"),
        purpose: Purpose::Innovation,
        amount: Money(1),
        expires: scene.world.now.plus(3_600_000),
    };
    change(&mut action);
    action.into()
}

fn issue_grant() -> Vec<Row> {
    vec![
        ("nothing", "EE treasury", |s| grant(s, |one| one.amount = Money::ZERO), AmountZero),
        ("an organisation as treasury", "tallinn", |s| grant(s, |_| ()), NotTreasury),
        ("the registrar as treasury", "EE registrar", |s| grant(s, |_| ()), NotTreasury),
        ("another member's treasury", "FR treasury", |s| grant(s, |_| ()), NotTreasury),
        ("nobody as holder", "EE treasury", |s| grant(s, |one| one.holder = NOBODY), OrganisationUnknown),
        ("a revoked holder", "EE treasury", |s| grant(s, |one| one.holder = s.gone), OrganisationRevoked),
        ("an expired holder", "EE treasury", |s| grant(s, |one| one.holder = s.late), OrganisationExpired),
        (
            "over before it begins",
            "EE treasury",
            |s| grant(s, |one| one.expires = s.world.now),
            ValidityInvalid,
        ),
        (
            "past the end of time",
            "EE treasury",
            |s| grant(s, |one| one.expires = TimeMs(u64::MAX)),
            ValidityInvalid,
        ),
        (
            "a reference used before",
            "EE treasury",
            |s| grant(s, |one| one.reference = name("grant-1")),
            GrantExists,
        ),
        (
            "the reference of an expired grant",
            "EE treasury",
            |s| grant(s, |one| one.reference = name("short-1")),
            GrantExists,
        ),
        (
            "over the member's limit",
            "EE treasury",
            |s| grant(s, |one| one.amount = Money(1_000_000_000_000)),
            IssueLimit,
        ),
        (
            "more than can be counted",
            "EE treasury",
            |s| grant(s, |one| one.amount = Money(u64::MAX)),
            Overflow,
        ),
    ]
}

fn deposit(scene: &Scene, change: impl FnOnce(&mut AttestDeposit)) -> Action {
    let mut action =
        AttestDeposit { organisation: scene.tallinn, amount: Money(1), reference: name("bank-2") };
    change(&mut action);
    action.into()
}

fn attest_deposit() -> Vec<Row> {
    vec![
        ("nothing", "EE treasury", |s| deposit(s, |one| one.amount = Money::ZERO), AmountZero),
        ("an organisation as treasury", "tallinn", |s| deposit(s, |_| ()), NotTreasury),
        ("another member's treasury", "ES treasury", |s| deposit(s, |_| ()), NotTreasury),
        ("one order too many", "DE treasury 2", |s| deposit(s, |_| ()), TooManyOrders),
        ("nobody", "EE treasury", |s| deposit(s, |one| one.organisation = NOBODY), OrganisationUnknown),
        ("revoked", "EE treasury", |s| deposit(s, |one| one.organisation = s.gone), OrganisationRevoked),
        ("expired", "EE treasury", |s| deposit(s, |one| one.organisation = s.late), OrganisationExpired),
        (
            "attested before",
            "EE treasury",
            |s| {
                let reference =
                    s.world.state.rows::<Deposits>().map(|((_, reference), ())| reference.clone()).next();
                deposit(s, |one| one.reference = reference.unwrap())
            },
            DepositExists,
        ),
        (
            "over the member's limit",
            "EE treasury",
            |s| deposit(s, |one| one.amount = Money(1_000_000_000_000)),
            IssueLimit,
        ),
        (
            "more than can be counted",
            "EE treasury",
            |s| deposit(s, |one| one.amount = Money(u64::MAX)),
            Overflow,
        ),
    ]
}

fn redeem() -> Vec<Row> {
    vec![
        ("nothing", "tallinn", |_| RedeemCash { amount: Money::ZERO }.into(), AmountZero),
        (
            "more than there is",
            "tallinn",
            |_| RedeemCash { amount: Money(2_000_000_001) }.into(),
            FundsInsufficient,
        ),
        ("of a grant", "tartu", |_| RedeemCash { amount: Money(1) }.into(), FundsInsufficient),
        ("all there can be", "tallinn", |_| RedeemCash { amount: Money(u64::MAX) }.into(), FundsInsufficient),
        ("by a bidder", "tallinn bidder", |_| RedeemCash { amount: Money(1) }.into(), RoleMissing),
        ("by an office", "EE treasury", |_| RedeemCash { amount: Money(1) }.into(), RoleMissing),
        (
            "over the key's limit",
            "tallinn treasurer",
            |_| RedeemCash { amount: Money(1_000_001) }.into(),
            AmountOverKeyLimit,
        ),
    ]
}

fn transfer() -> Vec<Row> {
    vec![
        ("nothing", "tallinn", |s| TransferCash { to: s.tartu, amount: Money::ZERO }.into(), AmountZero),
        (
            "to oneself",
            "tallinn",
            |s| TransferCash { to: s.tallinn, amount: Money(1) }.into(),
            TransferToSelf,
        ),
        (
            "more than there is",
            "tallinn",
            |s| TransferCash { to: s.tartu, amount: Money(2_000_000_001) }.into(),
            FundsInsufficient,
        ),
        (
            "without cash",
            "tartu",
            |s| TransferCash { to: s.tallinn, amount: Money(1) }.into(),
            FundsInsufficient,
        ),
        (
            "to nobody",
            "tallinn",
            |_| TransferCash { to: NOBODY, amount: Money(1) }.into(),
            OrganisationUnknown,
        ),
        (
            "to a revoked payee",
            "tallinn",
            |s| TransferCash { to: s.gone, amount: Money(1) }.into(),
            OrganisationRevoked,
        ),
        (
            "to an expired payee",
            "tallinn",
            |s| TransferCash { to: s.late, amount: Money(1) }.into(),
            OrganisationExpired,
        ),
        (
            "by a revoked payer",
            "gone",
            |s| TransferCash { to: s.tartu, amount: Money(1) }.into(),
            OrganisationRevoked,
        ),
        (
            "by an expired payer",
            "late",
            |s| TransferCash { to: s.tartu, amount: Money(1) }.into(),
            OrganisationExpired,
        ),
        (
            "by a bidder",
            "tallinn bidder",
            |s| TransferCash { to: s.tartu, amount: Money(1) }.into(),
            RoleMissing,
        ),
        (
            "by an office",
            "EE treasury",
            |s| TransferCash { to: s.tartu, amount: Money(1) }.into(),
            RoleMissing,
        ),
        (
            "over the key's limit",
            "tallinn treasurer",
            |s| TransferCash { to: s.tartu, amount: Money(1_000_001) }.into(),
            AmountOverKeyLimit,
        ),
        (
            "abroad over the debit cap",
            "tallinn",
            |s| TransferCash { to: s.bsc, amount: Money(1_000_000_001) }.into(),
            DebitCap,
        ),
        (
            "abroad into what leases hold of the debit cap",
            "tallinn",
            |s| TransferCash { to: s.bsc, amount: Money(1_000_000_000) }.into(),
            DebitCap,
        ),
    ]
}
