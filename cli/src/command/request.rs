//! `hansa request`: follow your requests, and learn why they wait.

mod why;

use crate::error::Outcome;
use crate::printer::pairs;
use crate::session::{Session, short};
use crate::units::{length, percent_text, word, word_text};
use clap::{Args, Subcommand};
use hansa_ledger::action::CancelRequest;
use hansa_ledger::name::Name;
use hansa_ledger::row::{Purse, RequestState, Source};
use hansa_node_api::filter::RequestFilter;
use hansa_node_api::market::RequestInfo;
use serde_json::json;

/// Follow your requests, and learn why they wait.
#[derive(Debug, Args)]
pub struct RequestArguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List requests of your organisation
    List(List),
    /// Show one request
    Show {
        /// Request: id or beginning of it
        request: String,
    },
    /// Take an open request back; its money returns at once
    Cancel {
        /// Request: id or beginning of it
        request: String,
    },
    /// Tell why a request is not matched, class by class: what stands in the way, the numbers, and what would help
    Why {
        /// Request: id or beginning of it
        request: String,
    },
}

#[derive(Debug, Args)]
struct List {
    /// open, awarded, cancelled, expired or revoked
    #[arg(long, value_parser = word::<RequestState>)]
    state: Option<RequestState>,
    /// Only this class
    #[arg(long)]
    class: Option<Name>,
    /// Those of everybody whose requests you may see: of leases you provide, and to members of all
    #[arg(long)]
    all: bool,
}

impl RequestArguments {
    pub(super) async fn run(self, session: &Session) -> Outcome {
        let client = session.reader().await?;
        match self.verb {
            Verb::List(list) => list.run(session).await,
            Verb::Show { request } => {
                let id = session.find_request(&client, &request).await?;
                let request = client.request_info(&id).await?;
                let slot_s = client.params().await?.slot_s;
                session.printer.data(&request, || text(&request, slot_s));
                Ok(())
            }
            Verb::Cancel { request } => {
                let request = session.find_request(&client, &request).await?;
                let sent = session.act(CancelRequest { request }).await?;
                session.tell_sent(&sent, json!({ "request": request }), &format!("cancelled {request}"));
                Ok(())
            }
            Verb::Why { request } => {
                let id = session.find_request(&client, &request).await?;
                let why = client.request_why(&id).await?;
                let slot_s = client.params().await?.slot_s;
                session.printer.data(&why, || why::text(&why, slot_s));
                Ok(())
            }
        }
    }
}

impl List {
    async fn run(self, session: &Session) -> Outcome {
        let client = session.reader().await?;
        let organisation = if self.all { None } else { Some(session.organisation(&client).await?) };
        let filter =
            RequestFilter { organisation, class: self.class, state: self.state, ..RequestFilter::default() };
        let requests = client.requests(&filter).await?;
        session.printer.data(&requests, || table(session, &requests));
        Ok(())
    }
}

/// Requests as a table.
pub(super) fn table(session: &Session, requests: &[RequestInfo]) -> String {
    let rows = requests.iter().map(|one| {
        let (row, demand) = (&one.row, &one.row.demand);
        let became = row.lease.map(|lease| format!("lease {}", short(&lease)));
        let waits = row.last_unmatched().map(|unmatched| word_text(&unmatched.reason));
        [
            short(&one.id),
            demand.class.to_string(),
            demand.quantity.to_string(),
            format!("{} EUR/h", demand.limit),
            format!("{} EUR", row.locked),
            row.placed_at.to_string(),
            word_text(&row.state),
            became.or(waits).unwrap_or_default(),
        ]
    });
    session
        .printer
        .table(["REQUEST", "CLASS", "COUNT", "LIMIT", "LOCKED", "PLACED", "STATE", "OUTCOME"], rows)
}

fn text(request: &RequestInfo, slot_s: u32) -> String {
    let (row, demand) = (&request.row, &request.row.demand);
    let count = match demand.quantity_min == demand.quantity {
        true => demand.quantity.to_string(),
        false => format!("{} to {}", demand.quantity_min, demand.quantity),
    };
    let countries = demand.countries.countries().collect::<Vec<_>>().join(" ");
    let unmatched = row.last_unmatched().filter(|_| row.state == RequestState::Open);
    pairs(&[
        ("request", request.id.to_string()),
        ("state", word_text(&row.state)),
        ("class", demand.class.to_string()),
        ("accelerators", count),
        ("length", length(u64::from(demand.slots) * u64::from(slot_s) * 1_000)),
        ("start", format!("{} to {}", demand.start_min.begins(slot_s), demand.start_max.begins(slot_s))),
        ("limit", format!("{} EUR/h", demand.limit)),
        ("countries", if countries.is_empty() { "anywhere".to_owned() } else { countries }),
        ("purpose", word_text(&demand.purpose)),
        ("paid by", demand.sources.iter().map(source_text).collect::<Vec<_>>().join(", ")),
        ("locked", format!("{} EUR", row.locked)),
        ("job", demand.job.map(|job| job.to_string()).unwrap_or_default()),
        ("lease", row.lease.map(|lease| lease.to_string()).unwrap_or_default()),
        ("waits", unmatched.map(ToString::to_string).unwrap_or_default()),
    ])
}

fn source_text(source: &Source) -> String {
    format!("{} of {}", percent_text(source.share_bps), purse_text(&source.purse))
}

/// A purse as people read it.
pub(super) fn purse_text(purse: &Purse) -> String {
    match purse {
        Purse::Cash => "cash".to_owned(),
        Purse::Grant(grant) => format!("grant {}", short(grant)),
    }
}
