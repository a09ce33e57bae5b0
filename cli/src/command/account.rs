//! `hansa account show`: what an organisation holds.

use crate::error::Outcome;
use crate::printer::pairs;
use crate::session::{Session, short};
use crate::units::word_text;
use clap::{Args, Subcommand};
use hansa_ledger::row::{RequestState, Roles};
use hansa_node_api::filter::RequestFilter;
use hansa_node_api::market::RequestInfo;
use hansa_node_api::organisation::OrganisationDetail;
use serde_json::json;

/// Show what an organisation holds.
#[derive(Debug, Args)]
pub struct AccountArguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Show balances, grants, keys, quota and open requests
    Show {
        /// Organisation: id, beginning of it, or name; that of the chosen key if none is given
        organisation: Option<String>,
    },
}

/// The roles by name, in the order of their bits.
pub(super) const ROLES: [(&str, Roles); 6] = [
    ("bid", Roles::BID),
    ("offer", Roles::OFFER),
    ("operate", Roles::OPERATE),
    ("treasury", Roles::TREASURY),
    ("admin", Roles::ADMIN),
    ("contract", Roles::CONTRACT),
];

impl AccountArguments {
    pub(super) async fn run(self, session: &Session) -> Outcome {
        let Verb::Show { organisation } = self.verb;
        let client = session.reader().await?;
        let id = match organisation {
            Some(text) => session.find_organisation(&client, &text).await?,
            None => session.organisation(&client).await?,
        };
        let detail = client.organisation(&id).await?;
        let filter = RequestFilter {
            organisation: Some(id),
            state: Some(RequestState::Open),
            ..RequestFilter::default()
        };
        let requests = client.requests(&filter).await?;
        let data = json!({ "organisation": detail, "requests_open": requests });
        session.printer.data(&data, || text(session, &detail, &requests));
        Ok(())
    }
}

fn text(session: &Session, detail: &OrganisationDetail, requests: &[RequestInfo]) -> String {
    let row = &detail.organisation.row;
    let quota = detail
        .quota
        .as_ref()
        .map(|quota| format!("{} actions, {} bytes in epoch {}", quota.actions, quota.bytes, quota.epoch));
    let mut parts = vec![pairs(&[
        ("name", row.name.to_string()),
        ("id", detail.organisation.id.to_string()),
        ("home", row.home.to_string()),
        ("class", word_text(&row.class)),
        ("standing", format!("{} until {}", word_text(&row.standing), row.accredited_until)),
        ("cash", format!("{} EUR", detail.cash)),
        ("in escrow", format!("{} EUR", detail.escrowed)),
        ("quota used", quota.unwrap_or_else(|| "none".to_owned())),
    ])];
    if !detail.grants.is_empty() {
        let rows = detail.grants.iter().map(|grant| {
            let row = &grant.row;
            let state = if row.closed { "closed".to_owned() } else { row.expires.to_string() };
            let left = format!("{} of {}", grant.balance, row.amount);
            [
                short(&grant.id),
                row.reference.to_string(),
                left,
                word_text(&row.purpose),
                row.budget_line.to_string(),
                state,
            ]
        });
        parts.push(session.printer.table(["GRANT", "REFERENCE", "EUR", "PURPOSE", "LINE", "UNTIL"], rows));
    }
    let rows = detail.key_list.iter().map(|key| {
        let limit = key.row.amount_max.map_or("none".to_owned(), |limit| format!("{limit} EUR"));
        let standing = if key.row.revoked { "removed" } else { "good" };
        [
            key.key.to_string(),
            roles_text(key.row.roles),
            limit,
            key.next_nonce.to_string(),
            standing.to_owned(),
        ]
    });
    parts.push(session.printer.table(["KEY", "ROLES", "LIMIT", "NONCE", "STANDING"], rows));
    if !requests.is_empty() {
        parts.push(super::request::table(session, requests));
    }
    parts.join("\n\n")
}

fn roles_text(roles: Roles) -> String {
    if roles == Roles::ALL {
        return "all".to_owned();
    }
    let held = ROLES.iter().filter(|(_, role)| roles.includes(*role));
    held.map(|(name, _)| *name).collect::<Vec<_>>().join(",")
}
