//! The agent's configuration: one TOML file, read whole or refused with the line and column of what is wrong.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use hansa_ledger::genesis::Genesis;
use hansa_ledger::id::CodeHash;
use hansa_ledger::money::Price;
use hansa_ledger::name::Name;
use hansa_ledger::row::PoolOwner;
use hansa_node_api::job::LOG_BYTES_MAX;
use serde::Deserialize;

use crate::backend::LocalConfig;
use crate::error::AgentError;

/// The configuration of one provider agent.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Addresses of nodes, such as `http://127.0.0.1:8080`, in the order in which they are asked. The member's own node
    /// first; others step in while it is away.
    pub nodes: Vec<String>,
    /// The agent's own folder: journal, jobs and lock. Relative to the configuration's folder.
    pub data_dir: PathBuf,
    /// The federation's genesis, which pins the members whose signatures prove an award. Relative to the configuration's
    /// folder.
    pub genesis: PathBuf,
    /// How often usage is reported, in seconds.
    #[serde(default = "defaults::usage_interval_s")]
    pub usage_interval_s: u64,
    /// How often what is free is advertised, in seconds.
    #[serde(default = "defaults::advert_interval_s")]
    pub advert_interval_s: u64,
    /// How long before its end a job is told by SIGTERM, in seconds.
    #[serde(default = "defaults::notice_s")]
    pub notice_s: u64,
    /// The most bytes of one job's log that are kept.
    #[serde(default = "defaults::log_bytes_max")]
    pub log_bytes_max: u64,
    /// How long a settled lease's folder is kept, in seconds.
    #[serde(default = "defaults::retention_s")]
    pub retention_s: u64,
    /// Where jobs run.
    #[serde(default)]
    pub backend: BackendConfig,
    /// What is offered.
    #[serde(default)]
    pub inventory: Vec<InventoryEntry>,
    /// The file this was read from, to read it again on SIGHUP.
    #[serde(skip)]
    pub path: Option<PathBuf>,
}

/// Where jobs run.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum BackendConfig {
    /// On this machine, in the strongest sandbox it offers.
    Local {
        /// Run jobs even where there is no sandbox at all.
        #[serde(default)]
        allow_unsandboxed: bool,
        /// Whether jobs are told the numbers of the lease's accelerators, in `HANSA_ACCELERATORS`.
        #[serde(default = "defaults::yes")]
        accelerators_visible: bool,
        /// Further paths every job may read and execute, such as `/opt/cuda`.
        #[serde(default)]
        readable: Vec<PathBuf>,
        /// Device files every job may use.
        #[serde(default)]
        devices: Vec<PathBuf>,
    },
}

impl Default for BackendConfig {
    fn default() -> Self {
        Self::Local {
            allow_unsandboxed: false,
            accelerators_visible: true,
            readable: Vec::new(),
            devices: Vec::new(),
        }
    }
}

impl BackendConfig {
    /// What the local backend is made with.
    #[must_use]
    pub fn local(&self) -> LocalConfig {
        let Self::Local { allow_unsandboxed, readable, devices, .. } = self;
        LocalConfig {
            allow_unsandboxed: *allow_unsandboxed,
            readable: readable.clone(),
            devices: devices.clone(),
            ..LocalConfig::default()
        }
    }

    /// Whether jobs are told the numbers of the lease's accelerators.
    #[must_use]
    pub fn accelerators_visible(&self) -> bool {
        let Self::Local { accelerators_visible, .. } = self;
        *accelerators_visible
    }
}

/// Capacity of one class at one site.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InventoryEntry {
    /// The accredited place.
    pub site: Name,
    /// The resource class.
    pub class: Name,
    /// Whose part of it: `"private"` or a member's code. May be left out where the site is one part.
    #[serde(default, deserialize_with = "owner")]
    pub owner: Option<PoolOwner>,
    /// Accelerators that are offered, leased ones included.
    pub accelerators: u32,
    /// Accelerators of one node, as accredited.
    pub node_size: u32,
    /// Least price per accelerator-hour, in EUR: `"2.50"`.
    pub ask: Price,
    /// The contract that settles: its name in the genesis, or the hash of its code.
    #[serde(default = "defaults::contract")]
    pub contract: String,
    /// The contract's parameters in hexadecimal; left out they are those of `spot` without a minimum fee.
    #[serde(default)]
    pub contract_params: Option<String>,
    /// How far ahead capacity is offered, in seconds; the federation's horizon bounds it.
    #[serde(default = "defaults::horizon_s")]
    pub horizon_s: u64,
}

fn owner<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<PoolOwner>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    text.map(|text| text.parse().map_err(serde::de::Error::custom)).transpose()
}

mod defaults {
    pub fn usage_interval_s() -> u64 {
        60
    }

    pub fn advert_interval_s() -> u64 {
        20
    }

    pub fn notice_s() -> u64 {
        30
    }

    pub fn log_bytes_max() -> u64 {
        super::LOG_BYTES_MAX
    }

    pub fn retention_s() -> u64 {
        7 * 86_400
    }

    pub fn horizon_s() -> u64 {
        30 * 86_400
    }

    pub fn contract() -> String {
        "spot".to_owned()
    }

    pub fn yes() -> bool {
        true
    }
}

impl Config {
    /// Reads the file at `path`. Relative paths in it are taken from its folder.
    ///
    /// # Errors
    /// [`AgentError::File`] when it cannot be read, [`AgentError::Config`] with line and column when it is wrong.
    pub fn load(path: &Path) -> Result<Self, AgentError> {
        let text = read(path)?;
        let mut config = Self::parse(&text).map_err(|error| match error {
            AgentError::Config { place, reason } => {
                AgentError::Config { place: format!("{}{place}", path.display()), reason }
            }
            other => other,
        })?;
        let folder = path.parent().unwrap_or(Path::new(""));
        config.data_dir = folder.join(&config.data_dir);
        config.genesis = folder.join(&config.genesis);
        config.path = Some(path.to_owned());
        Ok(config)
    }

    /// Reads the text of a configuration and checks it.
    ///
    /// # Errors
    /// [`AgentError::Config`] with line and column where the text is wrong.
    pub fn parse(text: &str) -> Result<Self, AgentError> {
        let config: Self = toml::from_str(text).map_err(|error| located(text, &error))?;
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), AgentError> {
        let refuse = |reason: String| Err(AgentError::Config { place: String::new(), reason });
        if self.nodes.is_empty() {
            return refuse("`nodes` is empty; name at least one node".to_owned());
        }
        for (name, value) in [
            ("usage_interval_s", self.usage_interval_s),
            ("advert_interval_s", self.advert_interval_s),
            ("log_bytes_max", self.log_bytes_max),
        ] {
            if value == 0 {
                return refuse(format!("`{name}` is zero"));
            }
        }
        if self.log_bytes_max > LOG_BYTES_MAX {
            return refuse(format!("`log_bytes_max` is over {LOG_BYTES_MAX}, the most a job's log may have"));
        }
        let mut places = BTreeSet::new();
        for entry in &self.inventory {
            let place = format!("{} / {}", entry.site, entry.class);
            if !places.insert((&entry.site, &entry.class)) {
                return refuse(format!("the inventory names {place} twice; put it into one entry"));
            }
            if entry.accelerators == 0 || entry.node_size == 0 || entry.node_size > entry.accelerators {
                return refuse(format!(
                    "{place}: give accelerators and a node size above zero, not above them"
                ));
            }
            if !entry.ask.is_on_tick() {
                return refuse(format!("{place}: the ask is no multiple of 0.001 EUR"));
            }
            if entry.horizon_s == 0 {
                return refuse(format!("{place}: `horizon_s` is zero"));
            }
            entry.params()?;
        }
        Ok(())
    }

    /// Reads the genesis that the configuration names.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn load_genesis(&self) -> Result<Genesis, AgentError> {
        let text = read(&self.genesis)?;
        toml::from_str(&text).map_err(|error| match located(&text, &error) {
            AgentError::Config { place, reason } => {
                AgentError::Config { place: format!("{}{place}", self.genesis.display()), reason }
            }
            other => other,
        })
    }
}

impl InventoryEntry {
    /// The code hash of the contract: by its name in the genesis, or as it stands.
    ///
    /// # Errors
    /// [`AgentError::Config`] when it is neither.
    pub fn contract_hash(&self, genesis: &Genesis) -> Result<CodeHash, AgentError> {
        let named = genesis.contracts.iter().find(|contract| contract.name.as_str() == self.contract);
        if let Some(contract) = named {
            return Ok(CodeHash(*blake3::hash(&contract.code).as_bytes()));
        }
        let mut hash = [0u8; 32];
        hex::decode_to_slice(&self.contract, &mut hash).map(|()| CodeHash(hash)).map_err(|_| {
            let known: Vec<&str> = genesis.contracts.iter().map(|contract| contract.name.as_str()).collect();
            AgentError::Config {
                place: String::new(),
                reason: format!(
                    "`{}` is no contract of the genesis ({}) and no code hash",
                    self.contract,
                    known.join(", ")
                ),
            }
        })
    }

    /// The contract's parameters as bytes.
    ///
    /// # Errors
    /// [`AgentError::Config`] when they are not hexadecimal.
    pub fn params(&self) -> Result<Vec<u8>, AgentError> {
        match &self.contract_params {
            // The spot tariff has one figure, a 128-bit minimum fee.
            None => Ok(vec![0; 16]),
            Some(text) => hex::decode(text).map_err(|error| AgentError::Config {
                place: String::new(),
                reason: format!(
                    "{} / {}: `contract_params` is not hexadecimal: {error}",
                    self.site, self.class
                ),
            }),
        }
    }
}

fn read(path: &Path) -> Result<String, AgentError> {
    std::fs::read_to_string(path).map_err(|error| AgentError::File { path: path.to_owned(), error })
}

/// Says where in `text` the error lies: `:line:column`.
fn located(text: &str, error: &toml::de::Error) -> AgentError {
    let place = error.span().map_or(String::new(), |span| {
        let before = text.get(..span.start).unwrap_or(text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
        format!(":{line}:{column}")
    });
    AgentError::Config { place, reason: error.message().to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
nodes = ["http://127.0.0.1:1"]
data_dir = "data"
genesis = "genesis.toml"

[backend]
kind = "local"
allow_unsandboxed = true

[[inventory]]
site = "marenostrum"
class = "h100"
accelerators = 8
node_size = 4
ask = "2.50"
"#;

    fn refusal(from: &str, to: &str) -> String {
        let text = GOOD.replacen(from, to, 1);
        assert_ne!(text, GOOD, "the row changes something");
        Config::parse(&text).unwrap_err().to_string()
    }

    #[test]
    fn a_good_file_is_read_with_its_defaults() {
        let config = Config::parse(GOOD).unwrap();
        assert_eq!(config.usage_interval_s, 60);
        assert!(config.backend.local().allow_unsandboxed);
        assert!(config.backend.accelerators_visible());
        let entry = &config.inventory[0];
        assert_eq!((entry.ask, entry.accelerators), (Price(2_500_000), 8));
        assert_eq!(entry.params().unwrap(), vec![0; 16]);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place() {
        for (from, to, expected) in [
            ("data_dir", "data_dirr", ":3:1"),
            ("ask = \"2.50\"", "ask = \"cheap\"", ":15:7"),
            ("node_size = 4", "node_size = \"x\"", ":14:13"),
            ("kind = \"local\"", "kind = \"moon\"", "moon"),
            ("[\"http://127.0.0.1:1\"]", "[]", "at least one node"),
            ("node_size = 4", "node_size = 9", "node size"),
            ("ask = \"2.50\"", "ask = \"2.5001\"", "0.001 EUR"),
            ("ask = \"2.50\"", "ask = \"2.50\"\ncontract_params = \"zz\"", "not hexadecimal"),
            ("ask = \"2.50\"", "ask = \"2.50\"\nspeed = 1", "unknown field `speed`"),
        ] {
            let message = refusal(from, to);
            assert!(message.contains(expected), "{to}: {message}");
        }
        let twice = format!("{GOOD}{}", &GOOD[GOOD.find("[[inventory]]").unwrap()..]);
        assert!(Config::parse(&twice).unwrap_err().to_string().contains("twice"));
    }
}
