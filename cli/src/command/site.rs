//! `hansa site`: accredit capacity at sites.

use crate::error::Outcome;
use crate::session::{Session, short};
use crate::units::word;
use clap::{Args, Subcommand};
use hansa_ledger::action::AccreditSite;
use hansa_ledger::member::MemberCode;
use hansa_ledger::name::Name;
use hansa_ledger::row::Pool;
use hansa_node_api::filter::SiteFilter;
use serde_json::json;

/// Accredit capacity at sites.
#[derive(Debug, Args)]
pub struct SiteArguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Accredit the capacity of one class at a site; signed by the registrar of the member it stands in
    Accredit(Accredit),
    /// List accredited sites
    List(List),
}

#[derive(Debug, Args)]
struct Accredit {
    /// The place
    site: Name,
    /// Who may offer it: id, beginning of it, or name
    #[arg(long, value_name = "ORG")]
    provider: String,
    /// The resource class
    #[arg(long)]
    class: Name,
    /// How many accelerators; 0 takes the accreditation back
    #[arg(long)]
    accelerators: u32,
    /// Accelerators of one node
    #[arg(long, default_value_t = 1)]
    node_size: u32,
    /// Interconnect tier; higher is faster
    #[arg(long, default_value_t = 0)]
    tier: u8,
    /// Certificates it holds, as bits
    #[arg(long, default_value_t = 0)]
    certificates: u32,
    /// Whose money built it: public or private
    #[arg(long, default_value = "public", value_parser = word::<Pool>)]
    pool: Pool,
}

#[derive(Debug, Args)]
struct List {
    /// Only this class
    #[arg(long)]
    class: Option<Name>,
    /// Only this country
    #[arg(long)]
    country: Option<MemberCode>,
}

impl SiteArguments {
    pub(super) async fn run(self, session: &Session) -> Outcome {
        match self.verb {
            Verb::Accredit(accredit) => accredit.run(session).await,
            Verb::List(list) => list.run(session).await,
        }
    }
}

impl Accredit {
    async fn run(self, session: &Session) -> Outcome {
        let provider = session.find_organisation(&session.client()?, &self.provider).await?;
        let text = format!("accredited {} of class {} at {}", self.accelerators, self.class, self.site);
        let made = json!({ "provider": provider, "site": self.site, "class": self.class });
        let action = AccreditSite {
            provider,
            site: self.site,
            class: self.class,
            accelerators: self.accelerators,
            node_size: self.node_size,
            tier: self.tier,
            certificates: self.certificates,
            pool: self.pool,
            parts: Vec::new(),
        };
        let sent = session.act(action).await?;
        session.tell_sent(&sent, made, &text);
        Ok(())
    }
}

impl List {
    async fn run(self, session: &Session) -> Outcome {
        let filter = SiteFilter { class: self.class, country: self.country, ..SiteFilter::default() };
        let sites = session.client()?.sites(&filter).await?;
        session.printer.data(&sites, || {
            let rows = sites.iter().map(|one| {
                let (key, row) = (&one.key, &one.row);
                [
                    key.site.to_string(),
                    row.country.to_string(),
                    key.class.to_string(),
                    row.accelerators.to_string(),
                    row.node_size.to_string(),
                    row.tier.to_string(),
                    row.confirmed.to_string(),
                    short(&key.provider),
                ]
            });
            session
                .printer
                .table(["SITE", "COUNTRY", "CLASS", "COUNT", "NODE", "TIER", "CONFIRMED", "PROVIDER"], rows)
        });
        Ok(())
    }
}
