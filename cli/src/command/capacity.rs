//! `hansa capacity list`: what can be had.

use crate::error::Outcome;
use crate::session::{Session, short};
use clap::{Args, Subcommand};
use hansa_ledger::member::MemberCode;
use hansa_ledger::name::Name;
use hansa_node_api::filter::CapacityFilter;

/// List what can be had.
#[derive(Debug, Args)]
pub struct CapacityArguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List capacity by class and site: what is offered, what is free, what providers say
    List {
        /// Only this class
        #[arg(long)]
        class: Option<Name>,
        /// Only this country
        #[arg(long)]
        country: Option<MemberCode>,
    },
}

impl CapacityArguments {
    pub(super) async fn run(self, session: &Session) -> Outcome {
        let Verb::List { class, country } = self.verb;
        let filter = CapacityFilter { class, country, ..CapacityFilter::default() };
        let capacity = session.reader().await?.capacity(&filter).await?;
        session.printer.data(&capacity, || {
            let rows = capacity.iter().map(|one| {
                let said = one.advert.as_ref().map(|advert| format!("{} of {}", advert.free, advert.total));
                [
                    one.class.to_string(),
                    one.site.to_string(),
                    one.country.to_string(),
                    one.accelerators.to_string(),
                    one.ask.map_or("not offered".to_owned(), |ask| format!("{ask} EUR/h")),
                    one.free_now.to_string(),
                    said.unwrap_or_default(),
                    one.tier.to_string(),
                    one.provider_name.as_ref().map_or_else(|| short(&one.provider), ToString::to_string),
                    one.offer.map(|offer| short(&offer)).unwrap_or_default(),
                ]
            });
            let header =
                ["CLASS", "SITE", "COUNTRY", "COUNT", "ASK", "FREE", "ADVERT", "TIER", "PROVIDER", "OFFER"];
            session.printer.table(header, rows)
        });
        Ok(())
    }
}
