//! `hansa site`: accredit capacity at sites.

use crate::error::Outcome;
use crate::session::{Session, short};
use crate::units::word;
use clap::{Args, Subcommand};
use hansa_ledger::action::{AccreditSite, ConfirmSite, SitePart};
use hansa_ledger::member::MemberCode;
use hansa_ledger::name::Name;
use hansa_ledger::row::Pool;
use hansa_node_api::filter::SiteFilter;
use hansa_node_api::market::PartInfo;
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
    /// Confirm the capacity that another member accredited, so that it can be offered; signed by your member's registrar
    Confirm(Confirm),
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
    /// Whose money built it, where it is one pool: public or private
    #[arg(long, default_value = "public", value_parser = word::<Pool>)]
    pool: Pool,
    /// A part of it and whose it is, such as `ES=32`, `EU=16` or `private=8`; may be repeated. A third figure, as in
    /// `ES=32:2000`, is what commercial users may have of it in a year, in basis points
    #[arg(long = "part", value_name = "OWNER=COUNT", value_parser = part)]
    parts: Vec<SitePart>,
}

#[derive(Debug, Args)]
struct Confirm {
    /// The place
    site: Name,
    /// Who may offer it: id, beginning of it, or name
    #[arg(long, value_name = "ORG")]
    provider: String,
    /// The resource class
    #[arg(long)]
    class: Name,
    /// How many accelerators were found: as many as are accredited
    #[arg(long)]
    accelerators: u32,
}

fn part(text: &str) -> Result<SitePart, String> {
    let (owner, figures) = text
        .split_once('=')
        .ok_or_else(|| format!("`{text}` is not of the form OWNER=COUNT, such as ES=32"))?;
    let (count, ceiling) = figures.split_once(':').unwrap_or((figures, "10000"));
    let accelerators = count.parse().map_err(|_| format!("`{count}` is not a number of accelerators"))?;
    let commercial_ceiling_bps = ceiling.parse().map_err(|_| format!("`{ceiling}` is not basis points"))?;
    Ok(SitePart { owner: owner.parse()?, accelerators, commercial_ceiling_bps })
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
            Verb::Confirm(confirm) => confirm.run(session).await,
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
            parts: self.parts,
        };
        let sent = session.act(action).await?;
        session.tell_office(&session.client()?, &sent, made, &text).await
    }
}

impl Confirm {
    async fn run(self, session: &Session) -> Outcome {
        let Self { site, class, accelerators, .. } = self;
        let provider = session.find_organisation(&session.client()?, &self.provider).await?;
        let text = format!("confirmed {accelerators} of class {class} at {site}");
        let made = json!({ "provider": provider, "site": site, "class": class });
        let sent = session.act(ConfirmSite { provider, site, class, accelerators }).await?;
        session.tell_office(&session.client()?, &sent, made, &text).await
    }
}

impl List {
    async fn run(self, session: &Session) -> Outcome {
        let filter = SiteFilter { class: self.class, country: self.country, ..SiteFilter::default() };
        let sites = session.client()?.sites(&filter).await?;
        session.printer.data(&sites, || {
            let rows = sites.iter().map(|one| {
                let (key, row) = (&one.key, &one.row);
                let part = |part: &PartInfo| format!("{}={}", part.owner, part.row.accelerators);
                let parts: Vec<String> = one.parts.iter().map(part).collect();
                [
                    key.site.to_string(),
                    row.country.to_string(),
                    key.class.to_string(),
                    row.accelerators.to_string(),
                    row.confirmed.to_string(),
                    row.node_size.to_string(),
                    row.tier.to_string(),
                    parts.join(" "),
                    short(&key.provider),
                ]
            });
            let heads =
                ["SITE", "COUNTRY", "CLASS", "COUNT", "CONFIRMED", "NODE", "TIER", "PARTS", "PROVIDER"];
            session.printer.table(heads, rows)
        });
        Ok(())
    }
}
