//! Real European systems: what a testnet's sites are modelled on.
//!
//! The data stand in `systems.csv` with their source, how far it can be trusted, and whether the system runs. A row without a
//! count of accelerators offers nothing, and neither does a system that is not in operation.

use hansa_ledger::member::MemberCode;
use hansa_ledger::money::Price;
use hansa_ledger::name::Name;
use hansa_ledger::row::Pool;
use serde::{Deserialize, Serialize};

/// The table as it is shipped.
pub const TABLE: &str = include_str!("systems.csv");

/// The ask of a testnet for an H100 of a public centre, in uEUR per accelerator-hour: the middle of 1.20 to 2.00 EUR, which
/// recovers the costs.
const ASK_PUBLIC_UEUR: u64 = 1_600_000;

/// The same of a private provider: the middle of 3.00 to 4.20 EUR.
const ASK_PRIVATE_UEUR: u64 = 3_600_000;

/// What begins the name of a private system.
const PRIVATE: &str = "Private:";

/// Families of accelerators: the word that names one, its memory in GB where the model does not say, and its ask in percent of
/// an H100's. The memory is that of the smallest variant.
const FAMILIES: [(&str, u32, u64); 6] = [
    ("mi430x", 432, 120),
    ("gh200", 96, 120),
    ("h200", 141, 120),
    ("h100", 80, 100),
    ("mi250x", 128, 60),
    ("a100", 40, 50),
];

/// How far a row can be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Confidence {
    /// Stated by the operator.
    High,
    /// Stated by others, or partly recalled.
    Medium,
    /// Recalled.
    Low,
}

/// How far a system has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It runs.
    Operational,
    /// It is being built up.
    Deploying,
    /// It is announced.
    Planned,
}

/// One row of the table.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct System {
    /// The country it stands in; `EU` where that is not decided.
    #[serde(rename = "country_code")]
    pub country: MemberCode,
    /// What it is called.
    pub system: String,
    /// Town, and in brackets who runs it.
    pub site: String,
    /// What its accelerators are.
    pub accelerator_model: Option<String>,
    /// How many it has.
    pub accelerators: Option<u32>,
    /// How many one node has.
    pub accelerators_per_node: Option<u32>,
    /// Where the figures come from.
    pub source: String,
    /// How far they can be trusted.
    pub confidence: Confidence,
    /// How far the system has come.
    pub status: Status,
}

/// What a system can offer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Capacity {
    /// The country it stands in.
    pub country: MemberCode,
    /// The system, as people call it.
    pub system: String,
    /// The same as a name on the ledger: the site.
    pub site: Name,
    /// Who runs it, as a name on the ledger.
    pub operator: Name,
    /// The resource class.
    pub class: Name,
    /// Accelerators.
    pub accelerators: u32,
    /// Accelerators of one node; 1 where that is not known.
    pub node_size: u32,
    /// Whose money built it.
    pub pool: Pool,
    /// What a testnet asks for an accelerator-hour.
    pub ask: Price,
}

/// Reads a table of systems.
///
/// # Errors
/// Names the line and what is wrong with it.
pub fn parse(text: &str) -> Result<Vec<System>, String> {
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    reader.deserialize().map(|row| row.map_err(|error| error.to_string())).collect()
}

/// What the systems of the shipped table can offer, in its order.
///
/// # Errors
/// As [`parse`].
pub fn capacities() -> Result<Vec<Capacity>, String> {
    Ok(parse(TABLE)?.iter().filter_map(System::capacity).collect())
}

impl System {
    /// What it can offer: nothing without a known accelerator and a count of them, nothing before it runs, and nothing as long
    /// as nobody knows in which country.
    #[must_use]
    pub fn capacity(&self) -> Option<Capacity> {
        let accelerators = self.accelerators.filter(|count| *count > 0)?;
        if self.status != Status::Operational || self.country.country_bit().is_none() {
            return None;
        }
        let (class, percent) = class(self.accelerator_model.as_deref()?)?;
        let (pool, ask) = match self.system.starts_with(PRIVATE) {
            true => (Pool::Private, ASK_PRIVATE_UEUR),
            false => (Pool::Public, ASK_PUBLIC_UEUR),
        };
        Some(Capacity {
            country: self.country,
            system: self.system.clone(),
            site: slug(without_brackets(&self.system).trim_start_matches(PRIVATE))?,
            operator: slug(in_brackets(&self.site).unwrap_or(&self.site))?,
            class,
            accelerators,
            node_size: self
                .accelerators_per_node
                .filter(|size| (1..=accelerators).contains(size))
                .unwrap_or(1),
            pool,
            ask: Price(ask * percent / 100),
        })
    }
}

/// The class of a model: its family and memory in GB, and the family's ask in percent of an H100's.
fn class(model: &str) -> Option<(Name, u64)> {
    let lower = model.to_ascii_lowercase();
    let words: Vec<&str> = lower.split(|letter: char| !letter.is_ascii_alphanumeric()).collect();
    let (family, memory, percent) = FAMILIES.into_iter().find(|(family, ..)| words.contains(family))?;
    let stated = words.iter().find_map(|word| word.strip_suffix("gb")?.parse::<u32>().ok());
    let name = Name::new(&format!("{family}-{}", stated.unwrap_or(memory))).ok()?;
    Some((name, percent))
}

/// The text as a name on the ledger: lower case, a hyphen for everything else.
fn slug(text: &str) -> Option<Name> {
    let mut slug = String::new();
    for letter in text.chars() {
        if letter.is_ascii_alphanumeric() {
            slug.push(letter.to_ascii_lowercase());
        } else if !slug.ends_with('-') && !slug.is_empty() {
            slug.push('-');
        }
    }
    slug.truncate(hansa_ledger::name::NAME_BYTES_MAX);
    Name::new(slug.trim_end_matches('-')).ok()
}

fn in_brackets(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once('(')?;
    rest.split(')').next().filter(|inner| !inner.is_empty())
}

fn without_brackets(text: &str) -> &str {
    text.split('(').next().unwrap_or(text).trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_table_is_read_and_only_what_runs_and_is_counted_offers() {
        let systems = parse(TABLE).unwrap();
        let offered: Vec<String> = systems
            .iter()
            .filter_map(System::capacity)
            .map(|offered| {
                let Capacity { country, site, operator, class, accelerators, node_size, ask, .. } = offered;
                format!(
                    "{country} {operator} {site}: {accelerators} {class} in nodes of {node_size} at {ask}"
                )
            })
            .collect();
        assert_eq!(
            offered.join("\n"),
            "FI csc lumi: 11912 mi250x-128 in nodes of 4 at 0.96\n\
             IT cineca leonardo-booster: 13824 a100-64 in nodes of 4 at 0.80\n\
             ES bsc marenostrum-5-acc: 4480 h100-64 in nodes of 4 at 1.60\n\
             DE jsc jupiter-booster: 23752 gh200-96 in nodes of 4 at 1.92\n\
             LU luxprovide meluxina-accelerator: 800 a100-40 in nodes of 4 at 0.80\n\
             CZ it4innovations karolina: 576 a100-40 in nodes of 8 at 0.80\n\
             SI izum vega-gpu-partition: 240 a100-40 in nodes of 4 at 0.80\n\
             BG sofia-tech-park discoverer: 32 h200-141 in nodes of 1 at 1.92\n\
             PT macc deucalion-gpu-partition: 132 a100-40 in nodes of 4 at 0.80\n\
             FR idris jean-zay: 1456 h100-80 in nodes of 1 at 1.60\n\
             SE nsc berzelius: 480 a100-40 in nodes of 8 at 0.80\n\
             PL cyfronet helios-gpu-partition: 440 gh200-96 in nodes of 4 at 1.92\n\
             DK dcai gefion: 1528 h100-80 in nodes of 1 at 1.60"
        );
        for system in systems.iter().filter(|system| system.accelerators.is_none()) {
            assert_eq!(system.capacity(), None, "{}", system.system);
        }
        for system in &systems {
            assert!(!system.source.is_empty(), "{} has a source", system.system);
        }
    }

    #[test]
    fn rows_that_lack_something_offer_nothing_and_broken_ones_are_named() {
        let header = TABLE.lines().next().unwrap();
        for (row, offers) in [
            ("FI,A,B (C),NVIDIA H100,8,4,s,high,operational", true),
            ("FI,A,B (C),NVIDIA H100,,4,s,high,operational", false),
            ("FI,A,B (C),NVIDIA H100,0,4,s,high,operational", false),
            ("FI,A,B (C),,8,4,s,high,operational", false),
            ("FI,A,B (C),abacus,8,4,s,high,operational", false),
            ("FI,A,B (C),NVIDIA H100,8,4,s,high,planned", false),
            ("EU,A,B (C),NVIDIA H100,8,4,s,high,operational", false),
        ] {
            let systems = parse(&format!("{header}\n{row}\n")).unwrap();
            assert_eq!(systems[0].capacity().is_some(), offers, "{row}");
        }
        for row in ["XX,A,B,C,8,4,s,high,operational", "FI,A,B,C,many,4,s,high,operational", "FI,A,B"] {
            let error = parse(&format!("{header}\n{row}\n")).unwrap_err();
            assert!(error.contains("line: 2"), "{error}");
        }
    }
}
