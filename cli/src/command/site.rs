//! `hansa site`: accredit capacity at sites.

use crate::error::Outcome;
use crate::session::{Clock, Session, short};
use crate::units::{Moment, word};
use clap::{Args, Subcommand};
use hansa_ledger::action::{AccreditSite, AnnounceOutage, ConfirmSite, EndOutage, SitePart};
use hansa_ledger::event::Event;
use hansa_ledger::id::{OrganisationId, OutageId};
use hansa_ledger::member::MemberCode;
use hansa_ledger::name::Name;
use hansa_ledger::row::{Pool, PoolOwner};
use hansa_node_api::Shown;
use hansa_node_api::filter::SiteFilter;
use hansa_node_api::market::SiteInfo;
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
    /// Confirm what another member accredited; signed by a registrar of any other member
    Confirm(Confirm),
    /// Announce that accelerators are out of order or in maintenance; the leases it hits are named
    Outage(Outage),
    /// Say that an outage is over before its time
    Resume {
        /// The outage's id
        outage: OutageId,
    },
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
    /// An owner's part, where there are several: `FI=650`, `EU=350:2000` with a commercial ceiling in basis points; repeat it
    #[arg(long = "part", value_parser = part, value_name = "OWNER=COUNT")]
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
    /// How many accelerators were found
    #[arg(long)]
    accelerators: u32,
}

#[derive(Debug, Args)]
struct Outage {
    /// The place
    site: Name,
    /// The resource class
    #[arg(long)]
    class: Name,
    /// Whose part of it: a member, `EU` or `private`; may be left out where the site is one part
    #[arg(long)]
    owner: Option<PoolOwner>,
    /// How many accelerators are out
    #[arg(long)]
    accelerators: u32,
    /// From when
    #[arg(long, default_value = "now")]
    from: Moment,
    /// Until when
    #[arg(long)]
    until: Moment,
    /// Whether it is planned maintenance
    #[arg(long)]
    planned: bool,
}

/// A part of a site: `EU=350` or `EU=350:2000`, whose it is, how many, and its commercial ceiling in basis points.
fn part(text: &str) -> Result<SitePart, String> {
    let refuse =
        || format!("`{text}` is no part; write `OWNER=COUNT`, or `OWNER=COUNT:CEILING` in basis points");
    let (owner, rest) = text.split_once('=').ok_or_else(refuse)?;
    let (count, ceiling) = rest.split_once(':').unwrap_or((rest, "10000"));
    let accelerators = count.parse().map_err(|_| refuse())?;
    Ok(SitePart {
        owner: owner.parse()?,
        accelerators,
        commercial_ceiling_bps: ceiling.parse().map_err(|_| refuse())?,
    })
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
            Verb::Outage(outage) => outage.run(session).await,
            Verb::Resume { outage } => {
                let sent = session.act(EndOutage { outage }).await?;
                session.tell_sent(
                    &sent,
                    json!({ "outage": outage }),
                    &format!("the outage {outage} is over"),
                );
                Ok(())
            }
            Verb::List(list) => list.run(session).await,
        }
    }
}

impl Confirm {
    fn action(&self, provider: OrganisationId) -> ConfirmSite {
        let Self { site, class, accelerators, .. } = self;
        ConfirmSite { provider, site: site.clone(), class: class.clone(), accelerators: *accelerators }
    }

    async fn run(self, session: &Session) -> Outcome {
        let provider = session.find_organisation(&session.reader().await?, &self.provider).await?;
        let text = format!("confirmed {} of class {} at {}", self.accelerators, self.class, self.site);
        let made = json!({ "provider": provider, "site": self.site, "class": self.class });
        let sent = session.act(self.action(provider)).await?;
        session.tell_office(&session.reader().await?, &sent, made, &text).await
    }
}

impl Outage {
    /// An outage begins with the slot it falls into, and ends with the one in which it is over.
    fn action(self, clock: &Clock) -> AnnounceOutage {
        let start = self.from.from(clock.now).slot(clock.params.slot_s);
        let end = clock.slot_from(self.until.from(clock.now));
        let Self { site, class, owner, accelerators, planned, .. } = self;
        AnnounceOutage { site, class, owner, start, end, accelerators, planned }
    }

    async fn run(self, session: &Session) -> Outcome {
        let account = session.account().await?;
        let clock = session.clock(&account.client).await?;
        let sent = session.send(&account, vec![self.action(&clock).into()]).await?;
        let told = sent.done.receipt.events.iter().find_map(|event| match event {
            Event::OutageAnnounced { outage, leases, .. } => Some((*outage, leases.clone())),
            _ => None,
        });
        let (outage, leases) = told.unzip();
        let leases = leases.unwrap_or_default();
        let text = outage.map_or_else(String::new, |outage| {
            format!(
                "announced outage {outage}; it hits {} leases {}",
                leases.len(),
                leases.iter().map(short).collect::<Vec<_>>().join(" ")
            )
        });
        session.tell_sent(&sent, json!({ "outage": outage, "leases": leases }), text.trim());
        Ok(())
    }
}

impl Accredit {
    fn action(self, provider: OrganisationId) -> AccreditSite {
        AccreditSite {
            provider,
            site: self.site,
            class: self.class,
            accelerators: self.accelerators,
            node_size: self.node_size,
            tier: self.tier,
            certificates: self.certificates,
            pool: self.pool,
            parts: self.parts,
        }
    }

    async fn run(self, session: &Session) -> Outcome {
        let provider = session.find_organisation(&session.reader().await?, &self.provider).await?;
        let text = format!("accredited {} of class {} at {}", self.accelerators, self.class, self.site);
        let made = json!({ "provider": provider, "site": self.site, "class": self.class });
        let sent = session.act(self.action(provider)).await?;
        session.tell_office(&session.reader().await?, &sent, made, &text).await
    }
}

impl List {
    async fn run(self, session: &Session) -> Outcome {
        let filter = SiteFilter { class: self.class, country: self.country, ..SiteFilter::default() };
        let sites = session.reader().await?.sites_shown(&filter).await?;
        session.printer.data(&sites, || {
            let rows = sites.iter().map(|one| {
                let (key, country, counts, by, parts) = match one {
                    Shown::Whole(SiteInfo { key, row, parts }) => {
                        let counts = [row.accelerators, row.confirmed, row.node_size, u32::from(row.tier)];
                        (key, row.country, counts, row.confirmed_by, parts)
                    }
                    Shown::Public(one) => {
                        let counts = [one.accelerators, one.confirmed, one.node_size, u32::from(one.tier)];
                        (&one.key, one.country, counts, one.confirmed_by, &one.parts)
                    }
                };
                let [accelerators, confirmed, node_size, tier] = counts.map(|count| count.to_string());
                let owners = parts.iter().map(|part| format!("{} {}", part.owner, part.row.accelerators));
                let owners: Vec<String> = owners.collect();
                [
                    key.site.to_string(),
                    country.to_string(),
                    key.class.to_string(),
                    accelerators,
                    node_size,
                    tier,
                    by.map_or(confirmed.clone(), |member| format!("{confirmed} by {member}")),
                    owners.join(", "),
                    short(&key.provider),
                ]
            });
            session.printer.table(
                ["SITE", "COUNTRY", "CLASS", "COUNT", "NODE", "TIER", "CONFIRMED", "PARTS", "PROVIDER"],
                rows,
            )
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;
    use hansa_ledger::action::Action;
    use hansa_ledger::params::Params;
    use hansa_ledger::time::TimeMs;
    use serde_json::Value;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        site: SiteArguments,
    }

    /// What would be signed for these words, in JSON, at 2027-01-31T12:00:10Z in slots of 15 minutes.
    fn signed(words: &[&str]) -> Result<Value, String> {
        let line = Line::try_parse_from([&["site"], words].concat()).map_err(|error| error.to_string())?;
        let provider = OrganisationId([7; 32]);
        let clock = Clock { params: Params::default(), now: TimeMs(1_801_396_810_000) };
        let action: Action = match line.site.verb {
            Verb::Accredit(accredit) => accredit.action(provider).into(),
            Verb::Confirm(confirm) => confirm.action(provider).into(),
            Verb::Outage(outage) => outage.action(&clock).into(),
            Verb::Resume { outage } => EndOutage { outage }.into(),
            Verb::List(_) => return Err("nothing is signed".to_owned()),
        };
        Ok(serde_json::to_value(action).unwrap())
    }

    #[test]
    fn what_is_typed_is_what_is_signed() {
        let (provider, outage) = ("07".repeat(32), "ab".repeat(32));
        let table = [
            (
                "accredit lumi --provider csc --class mi250 --accelerators 1000 --node-size 4 --tier 3 --part FI=650 --part EU=350:2000",
                json!({
                    "action": "accredit_site", "provider": provider, "site": "lumi", "class": "mi250", "accelerators": 1000,
                    "node_size": 4, "tier": 3, "certificates": 0, "pool": "public",
                    "parts": [
                        { "owner": { "member": "FI" }, "accelerators": 650, "commercial_ceiling_bps": 10000 },
                        { "owner": { "member": "EU" }, "accelerators": 350, "commercial_ceiling_bps": 2000 },
                    ],
                }),
            ),
            (
                "confirm lumi --provider csc --class mi250 --accelerators 990",
                json!({
                    "action": "confirm_site", "provider": provider, "site": "lumi", "class": "mi250", "accelerators": 990,
                }),
            ),
            (
                "outage lumi --class mi250 --owner EU --accelerators 8 --until 2027-01-31T13:01Z --planned",
                json!({
                    "action": "announce_outage", "site": "lumi", "class": "mi250", "owner": { "member": "EU" },
                    "start": 2_001_552, "end": 2_001_557, "accelerators": 8, "planned": true,
                }),
            ),
            (&format!("resume {outage}"), json!({ "action": "end_outage", "outage": outage })),
        ];
        for (words, expected) in table {
            assert_eq!(signed(&words.split(' ').collect::<Vec<_>>()), Ok(expected), "{words}");
        }
    }

    #[test]
    fn what_is_no_part_owner_or_outage_is_told_how_to_write_it() {
        let accredit =
            ["accredit", "lumi", "--provider", "csc", "--class", "a", "--accelerators", "8", "--part"];
        for (part, said) in [
            ("FI", "`FI` is no part; write `OWNER=COUNT`"),
            ("FI=many", "`FI=many` is no part"),
            ("FI=8:most", "`FI=8:most` is no part"),
            ("XX=8", "XX"),
        ] {
            let refused = signed(&[&accredit[..], &[part]].concat()).unwrap_err();
            assert!(refused.contains(said), "{part}: {refused}");
        }
        let outage = ["outage", "lumi", "--class", "a", "--accelerators", "8"];
        assert!(signed(&outage).unwrap_err().contains("--until"));
        assert!(
            signed(&[&outage[..], &["--until", "soon"]].concat())
                .unwrap_err()
                .contains("`soon` is no moment")
        );
        assert!(signed(&["resume", "12"]).unwrap_err().contains("64 hexadecimal characters"));
        assert!(signed(&["confirm", "lumi", "--class", "a"]).unwrap_err().contains("--provider"));
    }
}
