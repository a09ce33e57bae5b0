//! `hansa office`: approve what offices of members have proposed, and manage their keys.

use super::key::proof;
use crate::error::{Failure, Outcome};
use crate::printer::pairs;
use crate::session::{Session, awaits, short};
use crate::units::word_text;
use clap::{Args, Subcommand};
use hansa_ledger::action::{
    Action, ApproveOrder, CancelOrder, RemoveOfficeKey, SetOfficeKey, SetOfficeThreshold,
};
use hansa_ledger::event::Event;
use hansa_ledger::member::MemberCode;
use hansa_ledger::rejection::Rejection;
use hansa_ledger::row::{Office, Principal};
use hansa_ledger_signature::Signature;
use hansa_node_api::filter::OrderFilter;
use hansa_node_api::office::{OfficeInfo, OrderInfo};
use serde_json::json;

/// Approve what offices of members have proposed, and manage their keys.
#[derive(Debug, Args)]
pub struct OfficeArguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Show the offices of a member: their keys, and how many it takes to act
    Show {
        /// The member's code
        member: MemberCode,
    },
    /// List the orders that await approval
    Orders {
        /// Only those of this member
        #[arg(long, value_name = "CC")]
        member: Option<MemberCode>,
        /// Only those of this office
        #[arg(long)]
        office: Option<Office>,
    },
    /// Approve an order; signed by another key of the office that proposed it
    Approve {
        /// Order: id or beginning of it
        order: String,
    },
    /// Take an order back; signed by the key that proposed it
    Cancel {
        /// Order: id or beginning of it
        order: String,
    },
    /// Manage the keys of an office; ordered by the member's governance office
    #[command(subcommand)]
    Key(KeyVerb),
    /// Set how many keys it takes for an office to act; ordered by the member's governance office
    Threshold {
        /// registrar, treasury or governance
        office: Office,
        /// How many
        threshold: u32,
    },
}

#[derive(Debug, Subcommand)]
enum KeyVerb {
    /// Register one more key of an office
    Set {
        /// registrar, treasury or governance
        office: Office,
        /// The key: 64 hexadecimal characters, or the name of one of your keys
        public_key: String,
        /// Its holder's word, as `hansa key prove` prints it; made here if the key is one of yours
        #[arg(long, value_parser = proof, value_name = "PROOF")]
        proof: Option<Signature>,
    },
    /// Take a key of an office back for ever
    Remove {
        /// registrar, treasury or governance
        office: Office,
        /// The key: 64 hexadecimal characters, or the name of one of your keys
        public_key: String,
    },
}

impl OfficeArguments {
    pub(super) async fn run(self, session: &Session) -> Outcome {
        match self.verb {
            Verb::Show { member } => {
                let offices = session.client()?.offices(member).await?;
                session.printer.data(&offices, || text(session, &offices));
                Ok(())
            }
            Verb::Orders { member, office } => {
                let filter = OrderFilter { member, office, ..OrderFilter::default() };
                let orders = session.reader().await?.orders(&filter).await?;
                session.printer.data(&orders, || table(session, &orders));
                Ok(())
            }
            Verb::Approve { order } => approve(session, &order).await,
            Verb::Cancel { order } => {
                let order = session.find_order(&session.reader().await?, &order).await?.id;
                let sent = session.act(CancelOrder { order }).await?;
                session.tell_sent(&sent, json!({ "order": order }), &format!("cancelled order {order}"));
                Ok(())
            }
            Verb::Key(KeyVerb::Set { office, public_key, proof }) => {
                set_key(session, office, &public_key, proof).await
            }
            Verb::Key(KeyVerb::Remove { office, public_key }) => {
                let key = session.find_public_key(&public_key)?;
                let made = json!({ "office": office, "key": key });
                act(session, RemoveOfficeKey { office, key }, made).await
            }
            Verb::Threshold { office, threshold } => {
                let made = json!({ "office": office, "threshold": threshold });
                act(session, SetOfficeThreshold { office, threshold }, made).await
            }
        }
    }
}

/// Lets the governance office do something, or propose it.
async fn act(session: &Session, action: impl Into<Action>, made: serde_json::Value) -> Outcome {
    let action = action.into();
    let account = session.account().await?;
    let text = what(&action);
    let sent = session.send(&account, vec![action]).await?;
    session.tell_office(&account.client, &sent, made, &text).await
}

async fn set_key(session: &Session, office: Office, text: &str, proof: Option<Signature>) -> Outcome {
    let account = session.account().await?;
    let principal = match session.principal(&account).await? {
        Some(Principal::Office(member, _)) => Principal::Office(member, office),
        _ => return Err(Rejection::NotGovernance.into()),
    };
    let (key, proof) = session.find_new_key(&account, text, proof, Some(principal)).await?;
    let proof = proof.ok_or_else(|| {
        Failure::refused("the key is registered already, or is not one of yours and came without a proof")
            .hint("have its holder make one: `hansa key prove NAME --office CC:OFFICE`, and give it as `--proof`")
    })?;
    let action = Action::from(SetOfficeKey { office, key, proof });
    let text = what(&action);
    let sent = session.send(&account, vec![action]).await?;
    session.tell_office(&account.client, &sent, json!({ "office": office, "key": key }), &text).await
}

async fn approve(session: &Session, text: &str) -> Outcome {
    let account = session.account().await?;
    let order = session.find_order(&account.client, text).await?;
    session.printer.note(&format!(
        "the {} of {} would: {}",
        order.row.office,
        order.row.member,
        what(&order.row.action)
    ));
    let id = order.id;
    let sent = session.send(&account, vec![ApproveOrder { order: id }.into()]).await?;
    let done = sent.done.receipt.events.iter().any(|event| matches!(event, Event::OrderExecuted { .. }));
    let (approvals, threshold) = sent
        .done
        .receipt
        .events
        .iter()
        .find_map(|event| match event {
            Event::OrderApproved { approvals, threshold, .. } => Some((*approvals, *threshold)),
            _ => None,
        })
        .unwrap_or((order.threshold, order.threshold));
    let text = match done {
        true => format!("order {id} is done: {}", what(&order.row.action)),
        false => awaits(&OrderInfo { counted: approvals, threshold, ..order }),
    };
    let made = json!({ "order": id, "executed": done, "missing": threshold.saturating_sub(approvals) });
    session.tell_sent(&sent, made, &text);
    Ok(())
}

fn text(session: &Session, offices: &[OfficeInfo]) -> String {
    let part = |office: &OfficeInfo| {
        let rows = office.key_list.iter().map(|key| {
            let standing = if key.row.revoked { "removed" } else { "good" };
            [key.key.to_string(), key.next_nonce.to_string(), standing.to_owned()]
        });
        let head = pairs(&[
            ("office", format!("{} of {}", office.office, office.member)),
            ("acts by", format!("{} of {} keys", office.threshold, office.keys)),
            ("open orders", office.orders.to_string()),
        ]);
        format!("{head}\n\n{}", session.printer.table(["KEY", "NONCE", "STANDING"], rows))
    };
    offices.iter().map(part).collect::<Vec<_>>().join("\n\n")
}

fn table(session: &Session, orders: &[OrderInfo]) -> String {
    let rows = orders.iter().map(|order| {
        let row = &order.row;
        [
            short(&order.id),
            row.member.to_string(),
            row.office.to_string(),
            what(&row.action),
            format!("{} of {}", order.counted, order.threshold),
            short(&row.proposer),
            row.due.to_string(),
        ]
    });
    session.printer.table(["ORDER", "MEMBER", "OFFICE", "WHAT", "APPROVED", "PROPOSER", "LAPSES"], rows)
}

/// What an action of an office does, as who approves it has to know.
fn what(action: &Action) -> String {
    match action {
        Action::IssueGrant(one) => format!(
            "issue grant {} of {} EUR from line {} for {} to {} until {}",
            one.reference,
            one.amount,
            one.budget_line,
            word_text(&one.purpose),
            one.holder,
            one.expires
        ),
        Action::AttestDeposit(one) => {
            format!("attest deposit {} of {} EUR for {}", one.reference, one.amount, one.organisation)
        }
        Action::AccreditOrganisation(one) => format!(
            "accredit {} ({}, number {}) with key {} until {}",
            one.name,
            word_text(&one.class),
            one.register_number,
            one.key,
            one.accredited_until
        ),
        Action::RevokeOrganisation(one) => format!("revoke {}", one.organisation),
        Action::AccreditSite(one) => {
            format!("accredit {} x {} at {} of {}", one.accelerators, one.class, one.site, one.provider)
        }
        Action::ConfirmSite(one) => {
            format!("confirm {} x {} at {} of {}", one.accelerators, one.class, one.site, one.provider)
        }
        Action::SetOfficeKey(one) => format!("add key {} to the {}", one.key, one.office),
        Action::RemoveOfficeKey(one) => format!("take key {} from the {}", one.key, one.office),
        Action::SetOfficeThreshold(one) => {
            format!("let the {} act by {} of its keys", one.office, one.threshold)
        }
        other => other.name().to_owned(),
    }
}
