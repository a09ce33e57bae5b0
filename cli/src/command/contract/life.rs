//! The life of a contract on the ledger, from its upload to its end.

use crate::error::{Failure, Outcome};
use crate::printer::pairs;
use crate::session::{Session, short};
use crate::units::word_text;
use hansa_contracts_abi::{ModuleRefusal, Runtime as _};
use hansa_contracts_host::Host;
use hansa_ledger::action::{
    Action, ApproveContract, DeprecateContract, QuarantineContract, RenewContract, ResumeContract, SetAlias,
    UploadContract,
};
use hansa_ledger::event::Event;
use hansa_ledger::id::CodeHash;
use hansa_ledger::member::MemberCode;
use hansa_ledger::name::Name;
use hansa_ledger::row::{ContractState, Principal};
use hansa_ledger::time::TimeMs;
use hansa_node_api::lease::ContractInfo;
use serde_json::json;
use std::io::Read as _;
use std::path::Path;

/// The most that is read of a module: more than the ledger takes, so that what is too large is refused by its rule.
const READ_BYTES_MAX: u64 = 1 << 20;

/// What is done to a contract that is on the ledger.
pub(super) enum Step {
    Approve,
    Deprecate,
    Renew,
    Quarantine(String),
    Resume,
    Alias(Name),
}

impl Step {
    fn action(self, code: CodeHash) -> Action {
        match self {
            Self::Approve => ApproveContract { code }.into(),
            Self::Deprecate => DeprecateContract { code }.into(),
            Self::Renew => RenewContract { code }.into(),
            Self::Quarantine(reason) => QuarantineContract { code, reason }.into(),
            Self::Resume => ResumeContract { code }.into(),
            Self::Alias(name) => SetAlias { name, code }.into(),
        }
    }

    /// Signs it, and tells what came of it.
    pub(super) async fn take(self, session: &Session, contract: &str) -> Outcome {
        let account = session.account().await?;
        let code = session.find_contract(&account.client, contract).await?;
        let sent = session.send(&account, vec![self.action(code)]).await?;
        let lines: Vec<String> = sent.done.receipt.events.iter().filter_map(told).collect();
        let text = if lines.is_empty() { format!("contract {code}") } else { lines.join("\n") };
        session.tell_office(&account.client, &sent, json!({ "contract": code }), &text).await
    }
}

/// Brings a module onto the ledger. What the ledger would refuse is refused here, before it costs anything.
pub(super) async fn upload(session: &Session, file: &Path, name: Name, budget_line: Option<Name>) -> Outcome {
    let mut code = Vec::new();
    std::fs::File::open(file)
        .and_then(|file| file.take(READ_BYTES_MAX).read_to_end(&mut code))
        .map_err(|error| Failure::refused(format!("cannot read `{}`: {error}", file.display())))?;
    Host::new().validate(&code).map_err(|refusal| {
        Failure::refused(format!("`{}` is no contract that may run: {refusal}", file.display()))
            .hint(format!("`hansa contract check {}`", file.display()))
    })?;
    let hash = CodeHash(*blake3::hash(&code).as_bytes());
    let account = session.account().await?;
    let sent = session.send(&account, vec![UploadContract { name, code, budget_line }.into()]).await?;
    let refused = sent.done.receipt.events.iter().find_map(|event| match event {
        Event::ContractRefused { rule, offset, .. } => Some((*rule, *offset)),
        _ => None,
    });
    if let Some((rule, offset)) = refused {
        return Err(Failure::refused(format!(
            "the ledger refused the module, and nothing was kept: {}",
            ModuleRefusal { rule, offset }
        ))
        .hint("use the version of this program that the federation runs, and check the module with it"));
    }
    let lines: Vec<String> = sent.done.receipt.events.iter().filter_map(told).collect();
    session.tell_office(&account.client, &sent, json!({ "contract": hash }), &lines.join("\n")).await
}

/// What happened to a contract, on one line.
fn told(event: &Event) -> Option<String> {
    Some(match event {
        Event::ContractUploaded { code, name, deposit, .. } => {
            format!(
                "uploaded `{name}` as {code}, with a deposit of {deposit} EUR; members have to approve it"
            )
        }
        Event::ContractApproved { approvals, needed, .. } => {
            format!("{approvals} of {needed} approvals are given")
        }
        Event::ContractVoted { kind, votes, needed, .. } => {
            format!("{votes} of {needed} votes to {} it are given", word_text(kind))
        }
        Event::ContractMoved { state, .. } => format!("the contract is {}", word_text(state)),
        Event::ContractRenewed { expires_at, .. } => format!("new leases may use it until {expires_at}"),
        Event::ContractDepositReturned { amount, .. } => format!("its deposit of {amount} EUR went back"),
        Event::AliasVoted { alias, votes, needed, .. } => {
            format!("{votes} of {needed} votes for `{alias}` are given")
        }
        Event::AliasScheduled { alias, due, .. } => {
            format!("`{alias}` points to the contract from {due} on")
        }
        _ => return None,
    })
}

pub(super) async fn list(session: &Session) -> Outcome {
    let contracts = session.client()?.contracts().await?;
    session.printer.data(&contracts, || {
        let rows = contracts.iter().map(|one| {
            [
                one.name.to_string(),
                short(&one.hash),
                state_text(one),
                names(&one.aliases),
                one.bytes.to_string(),
                one.leases.to_string(),
                one.settlements.to_string(),
                one.failures.to_string(),
            ]
        });
        let head = ["CONTRACT", "HASH", "STATE", "ALIASES", "BYTES", "LEASES", "SETTLED", "FAILED"];
        session.printer.table(head, rows)
    });
    Ok(())
}

pub(super) async fn show(session: &Session, contract: &str) -> Outcome {
    let client = session.client()?;
    let code = session.find_contract(&client, contract).await?;
    let info = ContractInfo { code: None, ..client.contract(&code).await? };
    session.printer.data(&info, || text(&info));
    Ok(())
}

fn state_text(info: &ContractInfo) -> String {
    match info.quarantined_from {
        Some(from) => format!("{} ({})", word_text(&info.state), word_text(&from)),
        None => word_text(&info.state),
    }
}

fn names(names: &[Name]) -> String {
    names.iter().map(Name::as_str).collect::<Vec<_>>().join(" ")
}

fn text(info: &ContractInfo) -> String {
    let moment = |time: Option<TimeMs>| time.map(|time| time.to_string()).unwrap_or_default();
    let deployer = match &info.deployer {
        None => "the genesis".to_owned(),
        Some(Principal::Organisation(organisation)) => organisation.to_string(),
        Some(Principal::Office(member, office)) => format!("{} of {member}", word_text(office)),
    };
    let mut lines = vec![
        ("contract", info.name.to_string()),
        ("hash", info.hash.to_string()),
        ("state", state_text(info)),
        ("aliases", names(&info.aliases)),
        ("uploaded", format!("{} by {deployer}", info.uploaded_at)),
    ];
    if let Some(reason) = &info.reason {
        lines.push(("reason", reason.clone()));
    }
    if let Some(summary) = &info.summary {
        let admits = if summary.has_admit { ", decides who may have a lease" } else { "" };
        lines.push((
            "module",
            format!(
                "{} {}, {} bytes, {} functions, {} pages of memory{admits}",
                summary.name, summary.version, summary.bytes, summary.functions, summary.memory_pages
            ),
        ));
        lines.push(("tariff", summary.tariff.to_string()));
    }
    if info.state == ContractState::Validated {
        lines.push(("approve until", info.approve_until.to_string()));
    }
    let approvals: Vec<&str> = info.approvals.iter().map(MemberCode::as_str).collect();
    lines.extend([
        ("approved by", approvals.join(" ")),
        ("active from", moment(info.active_from)),
        ("new leases until", moment(info.expires_at)),
        ("deposit", format!("{} EUR", info.deposit)),
        ("rests on it", format!("{} leases, {} offers", info.leases, info.offers)),
        ("settled", format!("{} leases, {} of them after it failed", info.settlements, info.failures)),
    ]);
    let history = info.history.iter().map(|one| format!("{} {}", one.at, word_text(&one.state)));
    lines.push(("history", history.collect::<Vec<_>>().join(", ")));
    pairs(&lines)
}
