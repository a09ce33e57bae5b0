//! `hansa governance`: propose changes of the federation, and vote on them.

use crate::config::read_toml;
use crate::error::{Failure, Outcome};
use crate::printer::pairs;
use crate::session::{Session, short};
use crate::units::{Duration, money, word, word_text};
use clap::{Args, Subcommand, ValueEnum};
use hansa_ledger::action::{Propose, RotateKeys, Vote};
use hansa_ledger::event::Event;
use hansa_ledger::genesis::GenesisMember;
use hansa_ledger::governance::{delay_ms_min, is_fixed};
use hansa_ledger::member::MemberCode;
use hansa_ledger::money::Money;
use hansa_ledger::params::Params;
use hansa_ledger::rejection::Rejection;
use hansa_ledger::row::{Change, ParameterValue, ProposalState};
use hansa_node_api::filter::ProposalFilter;
use hansa_node_api::governance::ProposalInfo;
use hansa_node_api::status::NodeStatus;
use serde_json::json;
use std::path::PathBuf;

/// Propose changes of the federation, and vote on them.
#[derive(Debug, Args)]
pub struct GovernanceArguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Put a change to the vote; signed by a member's governance office
    Propose {
        #[command(subcommand)]
        change: ChangeVerb,
        /// How long it waits once it has passed; else the least its kind allows
        #[arg(long, global = true, value_name = "LENGTH")]
        after: Option<Duration>,
    },
    /// List proposals: those that are open or wait, or all
    List {
        /// Only these: open, passed, rejected, lapsed, activated or failed
        #[arg(long, value_parser = word::<ProposalState>)]
        state: Option<ProposalState>,
        /// Also those that are over
        #[arg(long)]
        all: bool,
    },
    /// Show a proposal and its votes
    Show {
        /// Proposal: id or beginning of it
        proposal: String,
    },
    /// Vote, or change your vote before the decision; signed by a member's governance office
    Vote {
        /// Proposal: id or beginning of it
        proposal: String,
        /// yes or no
        vote: Answer,
    },
    /// Change the keys of your member's node, without a vote: they act at the height after the next
    Rotate {
        /// Signs its votes: 64 hexadecimal characters, or the name of one of your keys
        #[arg(long, value_name = "KEY")]
        consensus_key: String,
        /// Its key on the network; may be the present one
        #[arg(long, value_name = "KEY")]
        network_key: String,
    },
    /// List the parameters with their values and bounds
    Parameters,
}

#[derive(Debug, Subcommand)]
enum ChangeVerb {
    /// Change parameters, all of those named or none
    Parameters {
        /// Such as `fee_bps=150`
        #[arg(required = true, value_parser = parameter, value_name = "NAME=VALUE")]
        values: Vec<ParameterValue>,
    },
    /// Change what a member may issue and owe
    Limits {
        /// Its code
        member: MemberCode,
        /// The most it may have issued and not redeemed
        #[arg(long, value_parser = money, value_name = "EUR")]
        issue_limit: Money,
        /// The most it may owe others
        #[arg(long, value_parser = money, value_name = "EUR")]
        debit_cap: Money,
    },
    /// Let a member join, or come back
    Join {
        /// The member as a genesis would name it (TOML)
        file: PathBuf,
    },
    /// Have a member leave: it loses vote, seat and offices; its position stays, and leases run on to their end
    Leave {
        /// Its code
        member: MemberCode,
    },
    /// Give a member's node other keys, where it cannot do so itself
    Keys {
        /// Its code
        member: MemberCode,
        /// Signs its votes: 64 hexadecimal characters, or the name of one of your keys
        #[arg(long, value_name = "KEY")]
        consensus_key: String,
        /// Its key on the network
        #[arg(long, value_name = "KEY")]
        network_key: String,
    },
    /// Follow other rules from a height on; programs that do not know them stop before it
    Upgrade {
        /// The protocol version
        protocol_version: u32,
        /// The first block that follows it
        #[arg(long)]
        height: u64,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Answer {
    Yes,
    No,
}

fn parameter(text: &str) -> Result<ParameterValue, String> {
    let refuse = || format!("`{text}` is no change of a parameter; write it as `fee_bps=150`");
    let (name, value) = text.split_once('=').ok_or_else(refuse)?;
    let value = value.replace('_', "").parse().map_err(|_| refuse())?;
    // Told here, with the bounds, though the ledger would refuse it as well.
    Params::default().set(name, value).map_err(|error| error.to_string())?;
    Ok(ParameterValue { name: name.to_owned(), value })
}

impl GovernanceArguments {
    pub(super) async fn run(self, session: &Session) -> Outcome {
        match self.verb {
            Verb::Propose { change, after } => propose(session, change, after).await,
            Verb::List { state, all } => list(session, state, all).await,
            Verb::Show { proposal } => {
                let client = session.client()?;
                let id = session.find_proposal(&client, &proposal).await?;
                let info = client.proposal(&id).await?;
                session.printer.data(&info, || text(&info));
                Ok(())
            }
            Verb::Vote { proposal, vote: answer } => vote(session, &proposal, answer).await,
            Verb::Rotate { consensus_key, network_key } => {
                let consensus_key = session.find_public_key(&consensus_key)?;
                let network_key = session.find_public_key(&network_key)?;
                let sent = session.act(RotateKeys { consensus_key, network_key }).await?;
                let from = sent.done.height.saturating_add(2);
                let text = format!(
                    "the node signs with {consensus_key} from height {from} on; start it again with its new keys"
                );
                session.tell_sent(&sent, json!({ "from": from }), &text);
                Ok(())
            }
            Verb::Parameters => parameters(session).await,
        }
    }
}

async fn propose(session: &Session, change: ChangeVerb, after: Option<Duration>) -> Outcome {
    let change = change.read(session)?;
    let account = session.account().await?;
    let params = account.client.params().await?;
    let activate_after_ms = after.map_or_else(|| delay_ms_min(&change, &params), |after| after.0);
    if let Some(warning) = unknown_rules(&change, &account.client.status().await?) {
        session.printer.warn(&warning);
    }
    let sent = session.send(&account, vec![Propose { change, activate_after_ms }.into()]).await?;
    let made = sent.done.receipt.events.iter().find_map(|event| match event {
        Event::ProposalMade { proposal, voting_ends, .. } => Some((*proposal, *voting_ends)),
        _ => None,
    });
    let (proposal, ends) = made.ok_or_else(|| {
        Failure::failed("the node gave a receipt without the proposal").hint("ask another node with `--node`")
    })?;
    let text = format!(
        "proposed {proposal}\nthe members vote until {ends}; a proposal is no vote: `hansa governance vote {} yes`",
        short(&proposal)
    );
    session.tell_sent(&sent, json!({ "proposal": proposal }), &text);
    Ok(())
}

impl ChangeVerb {
    fn read(self, session: &Session) -> Outcome<Change> {
        Ok(match self {
            Self::Parameters { values } => Change::Parameters { values },
            Self::Limits { member, issue_limit, debit_cap } => {
                Change::MemberLimits { member, issue_limit, debit_cap }
            }
            Self::Join { file } => {
                let member: GenesisMember = read_toml(&file)?;
                Change::MemberJoin { member }
            }
            Self::Leave { member } => Change::MemberLeave { member },
            Self::Keys { member, consensus_key, network_key } => Change::MemberKeys {
                member,
                consensus_key: session.find_public_key(&consensus_key)?,
                network_key: session.find_public_key(&network_key)?,
            },
            Self::Upgrade { protocol_version, height } => Change::Upgrade { protocol_version, height },
        })
    }
}

/// What to tell somebody who is about to vote for rules that the node in question does not know.
fn unknown_rules(change: &Change, node: &NodeStatus) -> Option<String> {
    let Change::Upgrade { protocol_version, height } = change else { return None };
    if node.protocol_versions.contains(protocol_version) {
        return None;
    }
    Some(format!(
        "the node of {} does not know protocol version {protocol_version} and would stop before height {height}; install a program that does before then",
        node.member
    ))
}

async fn vote(session: &Session, proposal: &str, answer: Answer) -> Outcome {
    let client = session.client()?;
    let id = session.find_proposal(&client, proposal).await?;
    let info = client.proposal(&id).await?;
    let approve = answer == Answer::Yes;
    if approve && let Some(warning) = unknown_rules(&info.row.change, &client.status().await?) {
        session.printer.warn(&warning);
    }
    let sent = session.act(Vote { proposal: id, approve }).await?;
    let decided = sent.done.receipt.events.iter().find_map(|event| match event {
        Event::ProposalMoved { state, activates_at, .. } => Some((*state, *activates_at)),
        _ => None,
    });
    let text = match decided {
        Some((_, Some(at))) => format!("the proposal has passed and is carried out at {at}"),
        Some((state, None)) => format!("the proposal is {}", word_text(&state)),
        None => "your vote is counted; nothing is decided yet".to_owned(),
    };
    let state = decided.map_or(ProposalState::Open, |(state, _)| state);
    session.tell_sent(&sent, json!({ "proposal": id, "approve": approve, "state": state }), &text);
    Ok(())
}

async fn list(session: &Session, state: Option<ProposalState>, all: bool) -> Outcome {
    let filter = ProposalFilter { state, ..ProposalFilter::default() };
    let mut proposals = session.client()?.proposals(&filter).await?;
    let waits = |one: &ProposalInfo| matches!(one.row.state, ProposalState::Open | ProposalState::Passed);
    proposals.retain(|one| all || state.is_some() || waits(one));
    proposals.sort_by_key(|one| one.row.proposed_at);
    session.printer.data(&proposals, || {
        let rows = proposals.iter().map(|one| {
            [
                short(&one.id),
                one.row.proposer.to_string(),
                summary(&one.row.change),
                word_text(&one.row.state),
                format!("{} of {}", one.row.approvals.len(), one.members),
                one.row.refusals.len().to_string(),
                one.row.activates_at.unwrap_or(one.row.voting_ends).to_string(),
            ]
        });
        session.printer.table(["PROPOSAL", "BY", "CHANGE", "STATE", "YES", "NO", "UNTIL"], rows)
    });
    Ok(())
}

/// A change on one line.
fn summary(change: &Change) -> String {
    match change {
        Change::Parameters { values } => {
            let values: Vec<String> =
                values.iter().map(|one| format!("{}={}", one.name, one.value)).collect();
            values.join(" ")
        }
        Change::MemberLimits { member, issue_limit, debit_cap } => {
            format!("{member} may issue {issue_limit} EUR and owe {debit_cap} EUR")
        }
        Change::MemberJoin { member } => format!("{} joins", member.code),
        Change::MemberLeave { member } => format!("{member} leaves"),
        Change::MemberKeys { member, .. } => format!("other keys for the node of {member}"),
        Change::Upgrade { protocol_version, height } => {
            format!("protocol version {protocol_version} from height {height} on")
        }
    }
}

fn codes(members: &[MemberCode]) -> String {
    let codes: Vec<&str> = members.iter().map(MemberCode::as_str).collect();
    if codes.is_empty() { "nobody".to_owned() } else { codes.join(" ") }
}

fn text(info: &ProposalInfo) -> String {
    let row = &info.row;
    let needed = info.members.saturating_mul(2) / 3 + 1;
    let mut lines = vec![
        ("proposal", info.id.to_string()),
        ("by", row.proposer.to_string()),
        ("change", summary(&row.change)),
        ("state", word_text(&row.state)),
        ("approve", codes(&row.approvals)),
        ("refuse", codes(&row.refusals)),
        ("needed", format!("{needed} of {} members", info.members)),
        ("vote ends", row.voting_ends.to_string()),
    ];
    if let Some(at) = row.activates_at {
        lines.push(("carried out", at.to_string()));
    }
    if let Some(rejection) = row.failure.and_then(Rejection::from_code) {
        lines.push(("failed", format!("{rejection} ({}, code {})", rejection.name(), rejection.code())));
    }
    pairs(&lines)
}

async fn parameters(session: &Session) -> Outcome {
    let params = session.client()?.params().await?;
    let rows: Vec<_> = Params::table()
        .into_iter()
        .map(|[name, default, least, most]| {
            let value = params.get(&name).unwrap_or_default();
            let fixed = is_fixed(&name);
            (name, value, default, least, most, fixed)
        })
        .collect();
    let data: Vec<_> = rows
        .iter()
        .map(|(name, value, default, least, most, fixed)| {
            json!({ "name": name, "value": value, "default": default, "least": least, "most": most, "fixed": fixed })
        })
        .collect();
    session.printer.data(&data, || {
        let rows = rows.iter().map(|(name, value, _, least, most, fixed)| {
            let bounds = if *fixed { "fixed at genesis".to_owned() } else { format!("{least} to {most}") };
            [name.clone(), value.to_string(), bounds]
        });
        session.printer.table(["PARAMETER", "VALUE", "BOUNDS"], rows)
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_of_parameters_are_read_and_checked_where_they_are_typed() {
        let read = |name: &str, value| Ok(ParameterValue { name: name.to_owned(), value });
        for (text, expected) in [
            ("fee_bps=150", read("fee_bps", 150)),
            ("batch_ms=30_000", read("batch_ms", 30_000)),
            ("fee_bps", Err("`fee_bps` is no change of a parameter; write it as `fee_bps=150`".to_owned())),
            (
                "fee_bps=-1",
                Err("`fee_bps=-1` is no change of a parameter; write it as `fee_bps=150`".to_owned()),
            ),
            ("fee=1", Err("there is no parameter `fee`".to_owned())),
            ("slot_s=2", Err("parameter `slot_s` is fixed at genesis".to_owned())),
            ("fee_bps=9999", Err("parameter `fee_bps` would be 9999, and must be from 0 to 2000".to_owned())),
        ] {
            assert_eq!(parameter(text), expected, "{text}");
        }
    }

    #[test]
    fn who_votes_for_rules_its_node_does_not_know_is_warned() {
        let status = |versions: &str| -> NodeStatus {
            let zeros = "0".repeat(64);
            let text = format!(
                r#"{{"member":"EE","federation":"test","chain":"{zeros}","version":"0","protocol_version":1,
                "protocol_versions":{versions},"height":0,"round":0,"block":"{zeros}","state_root":"{zeros}",
                "time":"2027-01-01T00:00:00Z","transactions":0,"peers_connected":0,"members":1,
                "mempool_transactions":0,"mempool_bytes":0,"syncing":false,"ready":true,"unready_reason":null,
                "peer_address":"","started":"2027-01-01T00:00:00Z","signature_checks":0,"fsyncs":0}}"#
            );
            serde_json::from_str(&text).unwrap()
        };
        let upgrade = Change::Upgrade { protocol_version: 2, height: 100 };
        let warning = unknown_rules(&upgrade, &status("[1]")).unwrap();
        assert!(warning.contains("the node of EE does not know protocol version 2"), "{warning}");
        assert!(warning.contains("before height 100"), "{warning}");
        assert_eq!(unknown_rules(&upgrade, &status("[1,2]")), None);
        let leave = Change::MemberLeave { member: "EE".parse().unwrap() };
        assert_eq!(unknown_rules(&leave, &status("[1]")), None);
    }
}
