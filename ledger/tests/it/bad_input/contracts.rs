//! Contracts and the names that point to them.

use super::Row;
use crate::engine::script;
use crate::scene::Scene;
use crate::world::{key, name};
use hansa_ledger::action::{
    Action, ApproveContract, DeprecateContract, QuarantineContract, RenewContract, ResumeContract, SetAlias,
    SetKey, UploadContract,
};
use hansa_ledger::id::CodeHash;
use hansa_ledger::rejection::Rejection::*;
use hansa_ledger::row::Roles;

const NOBODY: CodeHash = CodeHash([3; 32]);

pub fn tables() -> Vec<(&'static str, Vec<Row>)> {
    vec![
        ("UploadContract", upload()),
        ("ApproveContract", approve()),
        ("DeprecateContract", deprecate()),
        ("RenewContract", renew()),
        ("QuarantineContract", quarantine()),
        ("ResumeContract", resume()),
        ("SetAlias", alias()),
    ]
}

fn module(code: Vec<u8>) -> Action {
    UploadContract { name: name("new"), code, budget_line: None }.into()
}

fn paid_by(line: &str) -> Action {
    UploadContract { name: name("new"), code: script("new"), budget_line: Some(name(line)) }.into()
}

fn upload() -> Vec<Row> {
    vec![
        ("nothing", "tallinn", |_| module(Vec::new()), ModuleSizeInvalid),
        ("a byte more than a module has", "tallinn", |_| module(vec![0; 65_537]), ModuleSizeInvalid),
        ("more than a transaction holds", "tallinn", |_| module(vec![0; 69_632]), TransactionTooLarge),
        ("what another waits with", "tallinn", |_| module(script("waiting")), ContractExists),
        ("what is quarantined", "tallinn", |_| module(script("stopped")), ContractExists),
        ("without the money for its bytes", "tartu", |_| module(script("new")), FundsInsufficient),
        ("one too many", "cea", |_| module(script("new")), TooManyUploads),
        ("from a line of another office's", "tallinn", |_| paid_by("line-2"), DepositSourceInvalid),
        ("from no line", "EE treasury", |_| module(script("new")), DepositSourceInvalid),
        ("from an empty line", "EE treasury", |_| paid_by("line-3"), FundsInsufficient),
        ("by a bidder", "tallinn bidder", |_| module(script("new")), RoleMissing),
        ("by a registrar", "EE registrar", |_| paid_by("line-2"), NotTreasury),
        ("by a governance office", "EE governance", |_| paid_by("line-2"), NotTreasury),
        ("by a revoked organisation", "gone", |_| module(script("new")), OrganisationRevoked),
        ("by an expired organisation", "late", |_| module(script("new")), OrganisationExpired),
        ("by someone never accredited", "stranger", |_| module(script("new")), UnknownKey),
    ]
}

fn approval(code: CodeHash) -> Action {
    ApproveContract { code }.into()
}

fn approve() -> Vec<Row> {
    vec![
        ("no such contract", "DE governance", |_| approval(NOBODY), ContractUnknown),
        ("an active one", "DE governance", |s| approval(s.world.code), ContractStateWrong),
        ("a quarantined one", "DE governance", |s| approval(s.contracts.stopped), ContractStateWrong),
        ("an archived one", "DE governance", |s| approval(s.contracts.ended), ContractStateWrong),
        ("a second time", "EE governance", |s| approval(s.contracts.waiting), VoteGiven),
        ("of one's own treasury", "EE governance", |s| approval(s.contracts.public), ContractOwnApproval),
        ("by a treasury", "ES treasury", |s| approval(s.contracts.waiting), NotGovernance),
        ("by the organisation that deployed it", "cea", |s| approval(s.contracts.waiting), NotGovernance),
    ]
}

fn end(code: CodeHash) -> Action {
    DeprecateContract { code }.into()
}

fn deprecate() -> Vec<Row> {
    vec![
        ("no such contract", "DE governance", |_| end(NOBODY), ContractUnknown),
        ("an archived one", "cea", |s| end(s.contracts.ended), ContractStateWrong),
        ("an archived one by vote", "DE governance", |s| end(s.contracts.ended), ContractStateWrong),
        ("of another organisation", "tallinn", |s| end(s.contracts.waiting), NotDeployer),
        ("of the genesis", "cea", |s| end(s.world.code), NotDeployer),
        ("of another office", "EE registrar", |s| end(s.contracts.public), NotDeployer),
        ("of another member's treasury", "ES treasury", |s| end(s.contracts.public), NotDeployer),
    ]
}

fn renewal(code: CodeHash) -> Action {
    RenewContract { code }.into()
}

fn renew() -> Vec<Row> {
    vec![
        ("no such contract", "DE governance", |_| renewal(NOBODY), ContractUnknown),
        ("one that nobody has approved", "cea", |s| renewal(s.contracts.waiting), ContractStateWrong),
        ("an archived one", "cea", |s| renewal(s.contracts.ended), ContractStateWrong),
        ("one that has no end", "DE governance", |s| renewal(s.world.code), ContractStateWrong),
        ("of another organisation", "tallinn", |s| renewal(s.contracts.stopped), NotDeployer),
        ("by a treasury", "ES treasury", |s| renewal(s.contracts.stopped), NotDeployer),
    ]
}

fn stop(code: CodeHash, reason: &str) -> Action {
    QuarantineContract { code, reason: reason.to_owned() }.into()
}

fn quarantine() -> Vec<Row> {
    vec![
        ("no such contract", "DE governance", |_| stop(NOBODY, "why"), ContractUnknown),
        ("no reason", "DE governance", |s| stop(s.world.code, " "), ReasonInvalid),
        ("a long reason", "DE governance", |s| stop(s.world.code, &"x".repeat(201)), ReasonInvalid),
        ("a reason with control characters", "DE governance", |s| stop(s.world.code, "a\nb"), ReasonInvalid),
        (
            "one that nobody has approved",
            "DE governance",
            |s| stop(s.contracts.waiting, "why"),
            ContractStateWrong,
        ),
        ("a second time", "DE governance", |s| stop(s.contracts.stopped, "why"), ContractStateWrong),
        ("an archived one", "DE governance", |s| stop(s.contracts.ended, "why"), ContractStateWrong),
        ("by a treasury", "DE treasury", |s| stop(s.world.code, "why"), NotGovernance),
        ("by its deployer", "cea", |s| stop(s.contracts.stopped, "why"), NotGovernance),
    ]
}

fn go_on(code: CodeHash) -> Action {
    ResumeContract { code }.into()
}

fn resume() -> Vec<Row> {
    vec![
        ("no such contract", "DE governance", |_| go_on(NOBODY), ContractUnknown),
        ("an active one", "DE governance", |s| go_on(s.world.code), ContractStateWrong),
        ("an archived one", "DE governance", |s| go_on(s.contracts.ended), ContractStateWrong),
        ("a second time", "ES governance", |s| go_on(s.contracts.stopped), VoteGiven),
        ("by its deployer", "cea", |s| go_on(s.contracts.stopped), NotGovernance),
        ("by a registrar", "DE registrar", |s| go_on(s.contracts.stopped), NotGovernance),
    ]
}

fn point(alias: &str, code: CodeHash) -> Action {
    SetAlias { name: name(alias), code }.into()
}

fn alias() -> Vec<Row> {
    vec![
        ("to no contract", "DE governance", |_| point("eu.spot", NOBODY), ContractUnknown),
        ("to a quarantined one", "DE governance", |s| point("spot", s.contracts.stopped), ContractInactive),
        ("to one nobody approved", "DE governance", |s| point("spot", s.contracts.public), ContractInactive),
        ("to where it points", "DE governance", |s| point("spot", s.world.code), AliasCurrent),
        ("a second time", "EE governance", |s| point("eu.spot", s.world.code), VoteGiven),
        ("one too many", "DE governance", |s| point("eu.other", s.world.code), TooManyAliases),
        ("by a treasury", "ES treasury", |s| point("eu.spot", s.world.code), NotGovernance),
        ("by an organisation", "cea", |s| point("eu.spot", s.world.code), NotGovernance),
    ]
}

#[test]
fn a_deposit_over_the_limit_of_the_key_is_refused() {
    let mut scene = Scene::new();
    let set = SetKey {
        key: key("tallinn bidder").public_key(),
        roles: Roles::CONTRACT,
        amount_max: Some(hansa_ledger::money::Money(9_999)),
        proof: None,
    };
    scene.world.act("tallinn", set).unwrap();
    // Ten bytes of 1,000 uEUR each.
    assert_eq!(script("abc").len(), 10);
    assert_eq!(scene.world.act("tallinn bidder", module(script("abc"))), Err(AmountOverKeyLimit));
    assert!(scene.world.act("tallinn bidder", module(script("ab"))).is_ok());
}
