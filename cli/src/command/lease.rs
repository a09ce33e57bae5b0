//! `hansa lease`: follow, end, pay and verify leases.

mod dispute;
mod extend;
pub mod fetch;
pub mod log;
#[cfg(test)]
pub(crate) mod tests;
pub mod usage;
mod verify;

use crate::config::Countersign;
use crate::error::{Failure, Outcome};
use crate::printer::pairs;
use crate::session::{Session, short};
use crate::units::{Duration, Limit, length, word, word_text};
use clap::{Args, Subcommand};
use hansa_ledger::action::{CancelLease, ContestUsage, EndLease, StartLease};
use hansa_ledger::id::LeaseId;
use hansa_ledger::name::Name;
use hansa_ledger::row::{AccountId, Lease, LeaseState, Payment};
use hansa_node_api::filter::LeaseFilter;
use hansa_node_api::lease::{JobInfo, LeaseInfo, SettlementInfo};
use hansa_node_api::{Client, Fault, Shown};
use serde_json::json;
use std::path::PathBuf;
use usage::{Verdict, usage_text};

/// Follow, end, pay and verify leases.
#[derive(Debug, Args)]
pub struct LeaseArguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List leases of your organisation, on either side
    List {
        /// awarded, active, ended or settled
        #[arg(long, value_parser = word::<LeaseState>)]
        state: Option<LeaseState>,
        /// Only this class
        #[arg(long)]
        class: Option<Name>,
        /// Those of everybody, as far as you may see them
        #[arg(long)]
        all: bool,
    },
    /// Show one lease, and how it was settled
    Show {
        /// Lease: id or beginning of it
        lease: String,
    },
    /// Show the log of a job, also while it runs
    Logs {
        /// Lease: id or beginning of it
        lease: String,
        /// Which job; the last one if not said
        #[arg(long)]
        job: Option<u32>,
        /// Show what comes, until the job has ended
        #[arg(long)]
        follow: bool,
    },
    /// Bring back what the jobs of a lease left behind, verified
    Fetch {
        /// Lease: id or beginning of it
        lease: String,
        /// Which job; every one that has ended if not said
        #[arg(long)]
        job: Option<u32>,
        /// Where to; `lease-ID` if not said
        #[arg(long, value_name = "DIR")]
        into: Option<PathBuf>,
    },
    /// End a lease early; only what was used is paid
    End {
        /// Lease: id or beginning of it
        lease: String,
        /// Final accelerator-seconds; given by the provider, and by nobody else
        #[arg(long, value_name = "SECONDS")]
        usage: Option<u64>,
    },
    /// Use a lease for longer: free slots that follow on it, at its own price
    Extend {
        /// Lease: id or beginning of it
        lease: String,
        /// By how long: `2h`, `90m`
        #[arg(long = "for", value_name = "LENGTH")]
        length: Duration,
        /// The most per accelerator-hour; the lease's own price if not said
        #[arg(long, value_name = "EUR/h")]
        max_price: Option<Limit>,
        /// Say what it would cost, and sign nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// Begin a lease: its capacity stands ready from now; signed by the provider. An agent does it by itself
    Start {
        /// Lease: id or beginning of it
        lease: String,
    },
    /// Report use of a lease that runs, and a figure for it; signed by the provider
    Report {
        /// Lease: id or beginning of it
        lease: String,
        /// Accelerator-seconds since it began
        #[arg(long, value_name = "SECONDS")]
        usage: u64,
        /// What you sign besides for the usage since the window before, in the unit of the tariff, such as gCO2/kWh
        #[arg(long, value_name = "FIGURE")]
        reading: Option<u32>,
    },
    /// Give a lease up before it has begun
    Cancel {
        /// Lease: id or beginning of it
        lease: String,
    },
    /// Countersign or contest reported usage, by the policy that is set
    Countersign {
        /// Lease: id or beginning of it
        lease: String,
        /// always, `within 5%`, ask or never; else the setting `countersign`, else ask
        #[arg(long)]
        policy: Option<Countersign>,
    },
    /// Contest the final usage
    Contest {
        /// Lease: id or beginning of it
        lease: String,
        /// Accelerator-seconds that are admitted
        #[arg(long, value_name = "SECONDS")]
        admit: u64,
    },
    /// Claim what is countersigned of a lease that runs; signed by the provider
    Claim {
        /// Lease: id or beginning of it
        lease: String,
    },
    /// Take the final usage to a panel of members, against a bond
    Dispute {
        /// Lease: id or beginning of it
        lease: String,
        /// Accelerator-seconds that you stand by
        #[arg(long, value_name = "SECONDS")]
        usage: u64,
        /// Why, by a number that those who read it agree on
        #[arg(long, default_value_t = 0, value_name = "CODE")]
        reason: u16,
    },
    /// Rule on a dispute as a member of its panel; signed by the member's registrar
    Rule {
        /// Lease: id or beginning of it
        lease: String,
        /// The provider's part of what is contested, such as `25%`
        #[arg(long, value_parser = dispute::part, value_name = "PART")]
        provider_part: u16,
    },
    /// Check a settlement against the members' signatures, and run its contract again
    Verify {
        /// Lease: id or beginning of it
        lease: String,
        /// The genesis you trust; else the setting `genesis`
        #[arg(long, value_name = "FILE")]
        genesis: Option<PathBuf>,
    },
}

impl LeaseArguments {
    pub(super) async fn run(self, session: &Session) -> Outcome {
        match self.verb {
            Verb::List { state, class, all } => list(session, state, class, all).await,
            Verb::Show { lease } => show(session, &lease).await,
            Verb::Logs { lease, job, follow } => log::run(session, &lease, job, follow).await,
            Verb::Fetch { lease, job, into } => fetch_jobs(session, &lease, job, into).await,
            Verb::End { lease, usage } => {
                let lease = session.find_lease(&session.reader().await?, &lease).await?;
                let sent = session.act(EndLease { lease, cumulative: usage }).await?;
                session.tell_sent(&sent, json!({ "lease": lease }), &format!("ended lease {lease}"));
                Ok(())
            }
            Verb::Extend { lease, length, max_price, dry_run } => {
                extend::run(session, &lease, length, max_price, dry_run).await
            }
            Verb::Start { lease } => {
                let lease = session.find_lease(&session.reader().await?, &lease).await?;
                let sent = session.act(StartLease { lease }).await?;
                session.tell_sent(&sent, json!({ "lease": lease }), &format!("began lease {lease}"));
                Ok(())
            }
            Verb::Report { lease, usage, reading } => usage::report(session, &lease, usage, reading).await,
            Verb::Cancel { lease } => {
                let lease = session.find_lease(&session.reader().await?, &lease).await?;
                let sent = session.act(CancelLease { lease }).await?;
                session.tell_sent(&sent, json!({ "lease": lease }), &format!("cancelled lease {lease}"));
                Ok(())
            }
            Verb::Countersign { lease, policy } => countersign(session, &lease, policy).await,
            Verb::Contest { lease, admit } => {
                let lease = session.find_lease(&session.reader().await?, &lease).await?;
                let sent = session.act(ContestUsage { lease, admitted: admit }).await?;
                let made = json!({ "lease": lease, "admitted": admit });
                session.tell_sent(
                    &sent,
                    made,
                    &format!("contested lease {lease}, admitting {}", usage_text(admit)),
                );
                Ok(())
            }
            Verb::Claim { lease } => dispute::claim(session, &lease).await,
            Verb::Dispute { lease, usage, reason } => dispute::open(session, &lease, usage, reason).await,
            Verb::Rule { lease, provider_part } => dispute::rule(session, &lease, provider_part).await,
            Verb::Verify { lease, genesis } => verify::run(session, &lease, genesis.as_deref()).await,
        }
    }
}

async fn list(session: &Session, state: Option<LeaseState>, class: Option<Name>, all: bool) -> Outcome {
    let client = session.reader().await?;
    let organisation = if all { None } else { Some(session.organisation(&client).await?) };
    let filter = LeaseFilter { organisation, class, state, ..LeaseFilter::default() };
    let leases = client.leases_shown(&filter).await?;
    session.printer.data(&leases, || {
        let rows = leases.iter().map(|one| match one {
            Shown::Whole(LeaseInfo { id, row }) => [
                short(id),
                row.class.to_string(),
                row.quantity.to_string(),
                row.site.to_string(),
                format!("{} EUR/h", row.agreement.price),
                row.agreement.start.to_string(),
                row.agreement.end.to_string(),
                state_text(row),
            ],
            Shown::Public(one) => [
                short(&one.id),
                one.class.to_string(),
                String::new(),
                one.site.to_string(),
                String::new(),
                one.start.to_string(),
                one.end.to_string(),
                word_text(&one.state),
            ],
        });
        session.printer.table(["LEASE", "CLASS", "COUNT", "SITE", "PRICE", "START", "END", "STATE"], rows)
    });
    Ok(())
}

async fn show(session: &Session, lease: &str) -> Outcome {
    let client = session.reader().await?;
    let id = session.find_lease(&client, lease).await?;
    let info = client.lease(&id).await?;
    let jobs = client.jobs(&id).await?;
    let settlement = settlement(&client, &id).await?;
    let interims = client.interims(&id).await?;
    let dispute = dispute::of(&client, &id).await?;
    let data = json!({
        "lease": info, "jobs": jobs, "interims": interims, "dispute": dispute, "settlement": settlement,
    });
    session.printer.data(&data, || {
        let mut parts = vec![lease_text(&info, &jobs)];
        if !interims.is_empty() {
            parts.push(dispute::interims_table(session, &interims));
        }
        if let Some(dispute) = &dispute {
            parts.push(dispute::dispute_text(&dispute.row));
        }
        if let Some(settlement) = &settlement {
            parts.push(money_table(session, &settlement.row.payments, &settlement.row.refunds));
        }
        parts.join("\n\n")
    });
    Ok(())
}

/// How a lease was settled; `None` as long as it was not.
pub async fn settlement(client: &Client, lease: &LeaseId) -> Outcome<Option<SettlementInfo>> {
    match client.settlement(lease).await {
        Ok(info) => Ok(Some(info)),
        Err(error) if error.fault() == Some(Fault::NotFound) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn lease_text(info: &LeaseInfo, jobs: &[JobInfo]) -> String {
    let row = &info.row;
    let agreement = &row.agreement;
    let moment =
        |time: Option<hansa_ledger::time::TimeMs>| time.map(|time| time.to_string()).unwrap_or_default();
    let done = jobs.iter().filter(|job| job.row.ended_at.is_some()).count();
    pairs(&[
        ("lease", info.id.to_string()),
        ("state", state_text(row)),
        ("request", row.request.to_string()),
        ("requester", row.requester.to_string()),
        ("provider", row.provider.to_string()),
        ("site", row.site.to_string()),
        ("accelerators", format!("{} of {}", row.quantity, row.class)),
        ("from", agreement.start.to_string()),
        ("to", format!("{} ({})", agreement.end, length(agreement.end.0.saturating_sub(agreement.start.0)))),
        ("price", format!("{} EUR/h, {} EUR locked", agreement.price, row.locked)),
        ("stake", format!("{} EUR, {} EUR of it slashed", row.stake, row.slashed)),
        ("begun", moment(row.started_at)),
        ("ended", moment(row.ended_at)),
        (
            "reported",
            format!("{}{}", usage_text(row.reported), if row.reported_final { ", final" } else { "" }),
        ),
        ("countersigned", usage_text(row.countersigned)),
        (
            "contested",
            row.contested.map(|admitted| format!("{} admitted", usage_text(admitted))).unwrap_or_default(),
        ),
        ("contest until", moment(row.challenge_due)),
        ("readings", usage::readings_text(row)),
        ("jobs", format!("{}, {done} ended", jobs.len())),
    ])
}

fn state_text(lease: &Lease) -> String {
    match lease.closing {
        Some(closing) => format!("{} ({})", word_text(&lease.state), word_text(&closing)),
        None => word_text(&lease.state),
    }
}

/// Who was paid what, and what went back.
fn money_table(session: &Session, payments: &[Payment], refunds: &[Payment]) -> String {
    let row = |kind: &str, payment: &Payment| {
        [kind.to_owned(), account_text(&payment.to), format!("{} EUR", payment.amount)]
    };
    let rows = payments.iter().map(|one| row("paid", one)).chain(refunds.iter().map(|one| row("back", one)));
    session.printer.table(["MONEY", "TO", "AMOUNT"], rows)
}

/// An account as people read it.
#[must_use]
pub fn account_text(account: &AccountId) -> String {
    match account {
        AccountId::Cash(organisation) => format!("cash of {}", short(organisation)),
        AccountId::Grant(grant) => format!("grant {}", short(grant)),
        AccountId::Line(member, line) => format!("budget line {line} of {member}"),
        AccountId::Escrow(request, source) => format!("escrow {source} of request {}", short(request)),
        AccountId::Deposit(code) => format!("deposit of contract {}", short(code)),
        AccountId::Fees => "fees of the federation".to_owned(),
        AccountId::Stake(lease) => format!("stake on lease {}", short(lease)),
        AccountId::Bond(lease) => format!("bond of the dispute over lease {}", short(lease)),
    }
}

/// The jobs of a lease: the one that was asked for, else all.
async fn chosen_jobs(client: &Client, lease: &LeaseId, number: Option<u32>) -> Outcome<Vec<JobInfo>> {
    let mut jobs = client.jobs(lease).await?;
    jobs.retain(|job| number.is_none_or(|number| job.job == number));
    match jobs.is_empty() {
        false => Ok(jobs),
        true => Err(Failure::from(hansa_ledger::rejection::Rejection::JobUnknown)),
    }
}

async fn fetch_jobs(session: &Session, lease: &str, number: Option<u32>, into: Option<PathBuf>) -> Outcome {
    let account = session.account().await?;
    let lease = session.find_lease(&account.client, lease).await?;
    let mut jobs = chosen_jobs(&account.client, &lease, number).await?;
    if number.is_none() {
        jobs.retain(|job| job.row.outputs.is_some());
    }
    let folder = into.unwrap_or_else(|| fetch::folder_of(&lease));
    let mut fetched = Vec::new();
    for job in &jobs {
        fetched.push(fetch::fetch(session, &account, job, &folder).await?);
    }
    session.printer.data(&fetched, || {
        let rows = fetched.iter().flat_map(|job| {
            job.files.iter().map(|file| {
                let path = job.folder.join(&file.path).display().to_string();
                [path, crate::units::bytes(file.bytes), short(&file.hash)]
            })
        });
        session.printer.table(["FILE", "SIZE", "BLAKE3"], rows)
    });
    if fetched.is_empty() {
        session.printer.note("no job of this lease has left anything behind yet");
    }
    Ok(())
}

async fn countersign(session: &Session, lease: &str, policy: Option<Countersign>) -> Outcome {
    let account = session.account().await?;
    let id = session.find_lease(&account.client, lease).await?;
    let row = account.client.lease(&id).await?.row;
    let policy = match policy {
        Some(policy) => policy,
        None => session.config()?.countersign.unwrap_or(Countersign::Ask),
    };
    let mut verdict = usage::verdict(policy, &row, None, || usage::asked(session.printer, &row));
    if matches!(verdict, Verdict::Contest(_)) && !row.reported_final {
        session.printer.note("only the final report can be contested; nothing is signed");
        verdict = Verdict::Silent;
    }
    let text = match verdict {
        Verdict::Countersign => format!("countersigned {}", usage_text(row.reported)),
        Verdict::Contest(admitted) => format!("contested, admitting {}", usage_text(admitted)),
        Verdict::Silent => "nothing was signed".to_owned(),
    };
    match usage::carry_out(session, &account, id, row.reported, verdict).await? {
        Some(sent) => session.tell_sent(&sent, json!({ "lease": id, "outcome": text }), &text),
        None => session.printer.data(&json!({ "lease": id, "outcome": text }), || text.clone()),
    }
    Ok(())
}
