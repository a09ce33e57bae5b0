//! What a testnet's folder holds, and the record of it that lets another process find everything again.
//!
//! ```text
//! genesis.toml                the federation
//! state.json                  who is in it, ports, process ids
//! FR/                         one folder per member
//!   node.toml consensus.key network.key registrar.key treasury.key treasury-2.key treasury-3.key governance.key data/ node.log
//! providers/bsc/              one folder per provider
//!   agent.toml provider.key data/ agent.log
//! home/                       a user's home for `hansa --home`
//!   config.toml keys/startup-ee.key ...
//! ```

use crate::error::{TestnetError, file_error};
use crate::ports::Ports;
use crate::process::ProcessRecord;
use crate::proxy::Routes;
use crate::systems::Capacity;
use hansa_ledger::genesis::Genesis;
use hansa_ledger::id::{ChainId, OrganisationId};
use hansa_ledger::member::MemberCode;
use hansa_ledger::money::Money;
use hansa_ledger::name::Name;
use hansa_ledger::row::{Office, OrganisationClass, Purpose};
use hansa_ledger_signature::PublicKey;
use hansa_node::config::read_toml;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

/// Version of the record.
const VERSION: u32 = 1;

/// The paths of one testnet.
#[derive(Clone, Debug)]
pub struct Layout {
    folder: PathBuf,
}

/// What is known about a testnet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    /// Version of this record.
    version: u32,
    /// The federation's id.
    pub chain: ChainId,
    /// The members, in the order in which they were asked for.
    pub members: Vec<MemberRecord>,
    /// The providers.
    pub providers: Vec<ProviderRecord>,
    /// The users.
    pub users: Vec<UserRecord>,
    /// Whether agents run jobs even where this machine offers no sandbox at all.
    #[serde(default)]
    pub allow_unsandboxed: bool,
    /// The relays that lie between the members' nodes; none where they talk directly.
    #[serde(default, skip_serializing_if = "Routes::is_empty")]
    pub routes: Routes,
    /// What runs, by name: a member's code for its node, a provider's name for its agent.
    pub processes: BTreeMap<String, ProcessRecord>,
}

/// A member and where its node listens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemberRecord {
    /// Its code.
    pub code: MemberCode,
    /// The ports of its node.
    pub ports: Ports,
}

/// A provider: the organisation that runs one site.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProviderRecord {
    /// What the organisation is called.
    pub name: Name,
    /// Its register number in its member state.
    pub register_number: String,
    /// Its id.
    pub organisation: OrganisationId,
    /// Its key.
    pub key: PublicKey,
    /// What it offers.
    pub capacity: Capacity,
}

/// An organisation that uses the market.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UserRecord {
    /// What the organisation and its key are called.
    pub name: Name,
    /// Its home member.
    pub home: MemberCode,
    /// Its class.
    pub class: OrganisationClass,
    /// Its register number in its member state.
    pub register_number: String,
    /// Its id.
    pub organisation: OrganisationId,
    /// Its key.
    pub key: PublicKey,
    /// What public money it gets.
    pub grant: Option<GrantRecord>,
    /// What money of its own it has; zero for none.
    pub cash: Money,
}

/// A grant that a testnet issues.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GrantRecord {
    /// The issuer's reference.
    pub reference: Name,
    /// The budget line that pays.
    pub budget_line: Name,
    /// What it is for.
    pub purpose: Purpose,
    /// How much.
    pub amount: Money,
}

impl Layout {
    /// The testnet in `folder`, which need not be there yet. The path is made absolute, since children read it too.
    ///
    /// # Errors
    /// When there is no current folder to make it absolute with.
    pub fn new(folder: &Path) -> Result<Self, TestnetError> {
        let folder = std::path::absolute(folder).map_err(file_error("use the folder", folder))?;
        Ok(Self { folder })
    }

    /// The folder itself.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The genesis.
    #[must_use]
    pub fn genesis(&self) -> PathBuf {
        self.folder.join("genesis.toml")
    }

    /// The record.
    #[must_use]
    pub fn state(&self) -> PathBuf {
        self.folder.join("state.json")
    }

    /// The folder of a member.
    #[must_use]
    pub fn member(&self, code: MemberCode) -> PathBuf {
        self.folder.join(code.as_str())
    }

    /// The configuration of a member's node.
    #[must_use]
    pub fn node_config(&self, code: MemberCode) -> PathBuf {
        self.member(code).join("node.toml")
    }

    /// The files of the keys of a member's office.
    #[must_use]
    pub fn office_keys(&self, code: MemberCode, office: Office) -> Vec<PathBuf> {
        let names: &[&str] = match office {
            Office::Registrar => &["registrar.key"],
            Office::Treasury => &["treasury.key", "treasury-2.key", "treasury-3.key"],
            Office::Governance => &["governance.key"],
        };
        names.iter().map(|name| self.member(code).join(name)).collect()
    }

    /// The folder of a provider.
    #[must_use]
    pub fn provider(&self, name: &Name) -> PathBuf {
        self.folder.join("providers").join(name.as_str())
    }

    /// The configuration of a provider's agent.
    #[must_use]
    pub fn agent_config(&self, name: &Name) -> PathBuf {
        self.provider(name).join("agent.toml")
    }

    /// The key file of a provider.
    #[must_use]
    pub fn provider_key(&self, name: &Name) -> PathBuf {
        self.provider(name).join("provider.key")
    }

    /// The home of the users, as `hansa --home` takes it.
    #[must_use]
    pub fn home(&self) -> PathBuf {
        self.folder.join("home")
    }

    /// The key file of a user.
    #[must_use]
    pub fn user_key(&self, name: &Name) -> PathBuf {
        self.home().join("keys").join(format!("{name}.key"))
    }

    /// The log of a member's node or a provider's agent, by name.
    #[must_use]
    pub fn log(&self, process: &str) -> PathBuf {
        match process.parse::<MemberCode>() {
            Ok(code) => self.member(code).join("node.log"),
            Err(_) => self.folder.join("providers").join(process).join("agent.log"),
        }
    }

    /// Whether there is a testnet in the folder.
    #[must_use]
    pub fn exists(&self) -> bool {
        self.state().exists()
    }

    /// Takes the folder for the process that starts and stops things in it; held until the file is dropped.
    pub(crate) fn lock(&self) -> Result<File, TestnetError> {
        let path = self.folder.join("lock");
        let file = File::create(&path).map_err(file_error("make", &path))?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(std::fs::TryLockError::WouldBlock) => Err(TestnetError::Refused(format!(
                "another `hansa testnet up` holds `{}`; end it with Ctrl-C, or choose another folder with `--dir`",
                self.folder.display()
            ))),
            Err(std::fs::TryLockError::Error(error)) => {
                Err(TestnetError::File { action: "lock", path, error })
            }
        }
    }

    /// Reads the genesis.
    ///
    /// # Errors
    /// Names the file, and for a mistake in it the line and column.
    pub fn read_genesis(&self) -> Result<Genesis, TestnetError> {
        read_toml(&self.genesis(), "genesis").map_err(|error| TestnetError::Refused(error.to_string()))
    }

    /// Reads the record.
    ///
    /// # Errors
    /// When there is none, or it is of another version.
    pub fn read_state(&self) -> Result<State, TestnetError> {
        let path = self.state();
        let text = match std::fs::read_to_string(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(TestnetError::Refused(format!(
                    "there is no testnet in `{}`; make one with `hansa testnet up`, or name its folder with `--dir`",
                    self.folder.display()
                )));
            }
            read => read.map_err(file_error("read", &path))?,
        };
        let refuse =
            |reason: String| TestnetError::Refused(format!("`{}` cannot be used: {reason}", path.display()));
        let state: State = serde_json::from_str(&text).map_err(|error| refuse(error.to_string()))?;
        match state.version {
            VERSION => Ok(state),
            other => {
                Err(refuse(format!("it is of version {other}, and this program knows version {VERSION}")))
            }
        }
    }

    /// Writes the record in one step: a reader finds the old or the new one.
    ///
    /// # Errors
    /// When it cannot be written; then the old one stands.
    pub fn write_state(&self, state: &State) -> Result<(), TestnetError> {
        let text = serde_json::to_string_pretty(state).expect("a record of text and numbers is always JSON");
        write_whole(&self.state(), &text)
    }

    /// Changes the record as it stands on the disk, which other processes change too.
    pub(crate) fn change_state(&self, change: impl FnOnce(&mut State)) -> Result<State, TestnetError> {
        let mut state = self.read_state()?;
        change(&mut state);
        self.write_state(&state)?;
        Ok(state)
    }
}

impl State {
    /// A testnet in which nothing runs.
    #[must_use]
    pub fn new(
        chain: ChainId,
        members: Vec<MemberRecord>,
        providers: Vec<ProviderRecord>,
        users: Vec<UserRecord>,
    ) -> Self {
        let processes = BTreeMap::new();
        let routes = Routes::new();
        Self {
            version: VERSION,
            chain,
            members,
            providers,
            users,
            allow_unsandboxed: false,
            routes,
            processes,
        }
    }

    /// The address of a member's interface.
    #[must_use]
    pub fn api(&self, code: MemberCode) -> Option<String> {
        let record = self.members.iter().find(|record| record.code == code)?;
        Some(api_address(record.ports))
    }

    /// The names of everything that can run: members first, then providers.
    pub fn names(&self) -> impl Iterator<Item = String> + '_ {
        let members = self.members.iter().map(|member| member.code.to_string());
        members.chain(self.providers.iter().map(|provider| provider.name.to_string()))
    }

    /// The process the user means: a member's code in any case, or a provider's name.
    ///
    /// # Errors
    /// Lists the names there are.
    pub fn process(&self, text: &str) -> Result<String, TestnetError> {
        self.names().find(|name| name.eq_ignore_ascii_case(text)).ok_or_else(|| {
            let names: Vec<String> = self.names().collect();
            TestnetError::Refused(format!(
                "there is no `{text}` in this testnet; choose one of {}",
                names.join(" ")
            ))
        })
    }
}

/// The address of an interface.
pub(crate) fn api_address(ports: Ports) -> String {
    format!("http://127.0.0.1:{}", ports.api)
}

/// Writes a file in one step.
pub(crate) fn write_whole(path: &Path, text: &str) -> Result<(), TestnetError> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let draft = path.with_file_name(name);
    std::fs::write(&draft, text).map_err(file_error("write", &draft))?;
    std::fs::rename(&draft, path).map_err(file_error("write", path))
}
