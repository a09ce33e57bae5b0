//! What is certain while a lease runs, and what the two sides cannot agree on: claims, disputes and rulings.

use crate::error::{Failure, Outcome};
use crate::printer::pairs;
use crate::session::Session;
use crate::units::{percent, percent_text, word_text};
use hansa_ledger::action::{ClaimPayment, OpenDispute, RuleDispute};
use hansa_ledger::event::Event;
use hansa_ledger::id::LeaseId;
use hansa_ledger::member::MemberCode;
use hansa_ledger::row::{Dispute, PANEL_MIN, Payment};
use hansa_ledger::time::TimeMs;
use hansa_node_api::lease::{DisputeInfo, InterimInfo};
use hansa_node_api::{Client, Fault};
use serde_json::json;

/// The provider's part of what is contested, in basis points: `25%`, and `0%` for none of it.
pub(super) fn part(text: &str) -> Result<u16, String> {
    if text.trim() == "0%" { Ok(0) } else { percent(text) }
}

pub(super) async fn claim(session: &Session, lease: &str) -> Outcome {
    let lease = session.find_lease(&session.reader().await?, lease).await?;
    let sent = session.act(ClaimPayment { lease }).await?;
    let paid = sent.done.receipt.events.iter().find_map(|event| match event {
        Event::LeasePaid { failed, payments, .. } => Some((*failed, payments)),
        _ => None,
    });
    let text = match paid {
        Some((false, payments)) => {
            let lines: Vec<String> = payments.iter().map(paid_text).collect();
            match lines.is_empty() {
                true => format!("nothing of lease {lease} is certain yet: nothing is paid"),
                false => format!("claimed on lease {lease}\n{}", lines.join("\n")),
            }
        }
        Some((true, _)) => format!("the contract of lease {lease} failed: nothing is paid before its end"),
        None => format!("claimed on lease {lease}; it is paid in one of the next blocks"),
    };
    session.tell_sent(&sent, json!({ "lease": lease }), &text);
    Ok(())
}

pub(super) async fn open(session: &Session, lease: &str, usage: u64, reason: u16) -> Outcome {
    let lease = session.find_lease(&session.reader().await?, lease).await?;
    let account = session.account().await?;
    let sent = session.send(&account, vec![OpenDispute { lease, usage, reason }.into()]).await?;
    let opened = sent.done.receipt.events.iter().find_map(|event| match event {
        Event::DisputeOpened { admitted, reported, bond, panel, due, .. } => Some(format!(
            "opened a dispute over lease {lease}: {admitted} to {reported} accelerator-seconds, with a bond of {bond} EUR\n{}",
            awaited(panel, *due)
        )),
        _ => None,
    });
    let text = opened.unwrap_or_else(|| format!("a dispute over lease {lease}"));
    session.tell_office(&account.client, &sent, json!({ "lease": lease, "usage": usage }), &text).await
}

pub(super) async fn rule(session: &Session, lease: &str, provider_bps: u16) -> Outcome {
    let lease = session.find_lease(&session.reader().await?, lease).await?;
    let account = session.account().await?;
    let sent = session.send(&account, vec![RuleDispute { lease, provider_bps }.into()]).await?;
    let decided = sent.done.receipt.events.iter().find_map(|event| match event {
        Event::DisputeDecided { provider_bps, .. } => Some(*provider_bps),
        _ => None,
    });
    let text = match decided {
        Some(bps) => {
            format!("the panel has decided: the provider gets {} of what is contested", part_text(bps))
        }
        None => format!("your ruling of {} is counted; nothing is decided yet", part_text(provider_bps)),
    };
    let made = json!({ "lease": lease, "provider_bps": provider_bps, "decided": decided });
    session.tell_office(&account.client, &sent, made, &text).await
}

/// The dispute over a lease; `None` where nobody opened one.
pub(super) async fn of(client: &Client, lease: &LeaseId) -> Outcome<Option<DisputeInfo>> {
    match client.dispute(lease).await {
        Ok(info) => Ok(Some(info)),
        Err(error) if error.fault() == Some(Fault::NotFound) => Ok(None),
        Err(error) => Err(Failure::from(error)),
    }
}

fn part_text(bps: u16) -> String {
    percent_text(bps)
}

fn paid_text(payment: &Payment) -> String {
    format!("{} EUR to {}", payment.amount, super::account_text(&payment.to))
}

fn members(codes: &[MemberCode]) -> String {
    codes.iter().map(MemberCode::as_str).collect::<Vec<_>>().join(" ")
}

/// Who decides an open dispute, and until when.
fn awaited(panel: &[MemberCode], due: TimeMs) -> String {
    match panel.len() {
        0..PANEL_MIN => format!(
            "fewer than {PANEL_MIN} members have no part in the lease, so nobody rules: it is decided as both signed at {due}"
        ),
        _ => format!("{} have until {due} to rule", members(panel)),
    }
}

/// A dispute for people.
pub(super) fn dispute_text(row: &Dispute) -> String {
    let votes = row.votes.iter().map(|vote| format!("{} {}", vote.member, part_text(vote.provider_bps)));
    let decided = match row.decided {
        None => format!("not yet: {}", awaited(&row.panel, row.due)),
        Some(bps) if row.ruled => format!("{} to the provider", part_text(bps)),
        Some(bps) => format!("{} to the provider, as both signed", part_text(bps)),
    };
    pairs(&[
        ("dispute", format!("by the {} at {}, reason {}", word_text(&row.by), row.opened_at, row.reason)),
        ("contested", format!("{} to {} accelerator-seconds", row.admitted, row.reported)),
        ("bond", format!("{} EUR", row.bond)),
        ("panel", members(&row.panel)),
        ("rulings", votes.collect::<Vec<_>>().join(", ")),
        ("decided", decided),
    ])
}

/// The settlements before the last one, for people.
pub(super) fn interims_table(session: &Session, interims: &[InterimInfo]) -> String {
    let rows = interims.iter().map(|one| {
        let paid = match &one.row.failure {
            Some(_) => "the contract failed: nothing".to_owned(),
            None => one.row.payments.iter().map(paid_text).collect::<Vec<_>>().join(", "),
        };
        [one.number.to_string(), one.row.height.to_string(), paid]
    });
    session.printer.table(["INTERIM", "BLOCK", "PAID"], rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hansa_ledger::money::Money;
    use hansa_ledger::row::{Disputant, PanelVote};

    #[test]
    fn a_part_may_be_nothing() {
        for (text, expected) in [("25%", Ok(2_500)), ("0%", Ok(0)), ("100%", Ok(10_000))] {
            assert_eq!(part(text), expected, "{text}");
        }
        for text in ["101%", "-1%", "25", ""] {
            assert!(part(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_dispute_says_who_decides_what_and_how_it_was_decided() {
        let (de, fr) = ("DE".parse().unwrap(), "FR".parse().unwrap());
        let es: MemberCode = "ES".parse().unwrap();
        let mut dispute = Dispute {
            by: Disputant::Requester,
            reason: 7,
            admitted: 100,
            reported: 400,
            bond: Money(2_000_000),
            bond_home: de,
            panel: vec![de, es, fr],
            votes: vec![PanelVote { member: fr, provider_bps: 2_500 }],
            opened_at: TimeMs(0),
            due: TimeMs(60_000),
            decided: None,
            ruled: false,
        };
        let open = dispute_text(&dispute);
        for part in
            ["by the requester", "reason 7", "100 to 400", "DE ES FR have until", "FR 25 %", "not yet"]
        {
            assert!(open.contains(part), "no `{part}` in\n{open}");
        }
        dispute.panel.pop();
        assert!(dispute_text(&dispute).contains("nobody rules: it is decided as both signed at"));
        dispute.decided = Some(5_000);
        assert!(dispute_text(&dispute).contains("50 % to the provider, as both signed"));
        dispute.ruled = true;
        assert!(!dispute_text(&dispute).contains("as both signed"));
    }
}
