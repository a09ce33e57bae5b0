//! What every verb has at hand: the user's settings and keys, and a node to ask.

mod find;
mod office;
mod reader;

use crate::args::Global;
use crate::config::{Config, NODE_DEFAULT, read_toml};
use crate::error::{Failure, Outcome};
use crate::keyfile::{Passphrase, Protection};
use crate::keystore::{Keystore, StoredKey, passphrase_from, passphrase_typed};
use crate::printer::Printer;
use crate::trust::Trust;
use hansa_ledger::action::Action;
use hansa_ledger::event::Event;
use hansa_ledger::genesis::Genesis;
use hansa_ledger::id::{OrganisationId, TransactionId};
use hansa_ledger::params::Params;
use hansa_ledger::rejection::Rejection;
use hansa_ledger::row::Principal;
use hansa_ledger::time::{Slot, TimeMs};
use hansa_ledger::transaction::SignedTransaction;
use hansa_ledger_signature::SecretKey;
use hansa_node_api::chain::FinalTransaction;
use hansa_node_api::peer::now_ms;
use hansa_node_api::{Account, Client, Fault};
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

pub use find::{IDS_SHOWN, short};
pub use office::awaits;

/// What every verb has at hand.
#[derive(Clone, Debug)]
pub struct Session {
    /// Writes.
    pub printer: Printer,
    global: Global,
    home: PathBuf,
    memory: Arc<Mutex<Memory>>,
    trust: Outcome<Option<Trust>>,
}

/// What a command remembers of its own run.
#[derive(Debug, Default)]
struct Memory {
    /// Keys that were unlocked, so that nobody types a passphrase twice.
    unlocked: Vec<SecretKey>,
    /// Whether the node said that the chosen key is nobody's.
    unregistered: bool,
}

/// A transaction that is final and was executed.
#[derive(Clone, Debug)]
pub struct Sent {
    /// What was signed.
    pub signed: SignedTransaction,
    /// Where it stands, and what it did.
    pub done: FinalTransaction,
}

/// A transaction as programs are told of it.
#[derive(Serialize)]
struct SentData<'a, T: Serialize> {
    transaction: TransactionId,
    height: u64,
    time: TimeMs,
    events: &'a [Event],
    #[serde(flatten)]
    made: T,
}

/// Which key is to be used.
enum Choice {
    Key(Box<StoredKey>),
    None,
    Several,
}

/// The federation's slots, and the time there.
#[derive(Clone, Debug)]
pub struct Clock {
    /// The parameters in force.
    pub params: Params,
    /// The later of this machine's clock and the last block's time: an idle federation makes no blocks.
    pub now: TimeMs,
}

impl Session {
    /// The session of a command line.
    ///
    /// # Errors
    /// When there is no place for the user's settings.
    pub fn new(global: Global, printer: Printer) -> Outcome<Self> {
        let from = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let home = global
            .home
            .clone()
            .or_else(|| from("HANSA_HOME"))
            .or_else(|| from("XDG_CONFIG_HOME").map(|folder| folder.join("hansa")))
            .or_else(|| from("HOME").map(|folder| folder.join(".config").join("hansa")));
        let home = home.ok_or_else(|| {
            Failure::refused("there is no place for keys and settings: HOME is not set")
                .hint("give `--home DIR`")
        })?;
        let trust = Trust::chosen(&global, &home);
        let printer = match &trust {
            Ok(Some(trust)) => printer.with_trust(trust.shared()),
            _ => printer,
        };
        Ok(Self { printer, global, home, memory: Arc::default(), trust })
    }

    /// Keeps what was verified for the next run, and the evidence of a fork. Where it cannot be kept, a warning says so.
    pub fn remember(&self) {
        if let Ok(Some(trust)) = &self.trust
            && let Err(failure) = trust.keep()
        {
            self.printer.warn(&failure.message);
        }
    }

    /// Where the user's settings stand.
    #[must_use]
    pub fn config_path(&self) -> PathBuf {
        self.home.join("config.toml")
    }

    /// The user's settings.
    ///
    /// # Errors
    /// Names the line and column of a mistake.
    pub fn config(&self) -> Outcome<Config> {
        Config::load(&self.config_path())
    }

    /// The user's keys.
    #[must_use]
    pub fn keystore(&self) -> Keystore {
        Keystore::new(&self.home)
    }

    /// The way to the node that was chosen, seeing what the public sees: see [`Session::reader`].
    ///
    /// # Errors
    /// When its address is none.
    pub fn client(&self) -> Outcome<Client> {
        let from_environment = || std::env::var("HANSA_NODE").ok().filter(|url| !url.is_empty());
        let url = match self.global.node.clone().or_else(from_environment) {
            Some(url) => url,
            None => self.config()?.node.unwrap_or_else(|| NODE_DEFAULT.to_owned()),
        };
        let client = Client::new(&url)?;
        Ok(match self.trust.clone()? {
            Some(trust) => client.with_trust(trust.light()),
            None => client,
        })
    }

    /// The key that was chosen, still locked.
    ///
    /// # Errors
    /// When none was chosen and there is not exactly one.
    pub fn chosen_key(&self) -> Outcome<StoredKey> {
        match self.choice()? {
            Choice::Key(key) => Ok(*key),
            Choice::None => {
                Err(Failure::refused("there is no key to sign with")
                    .hint("make one with `hansa key new NAME`"))
            }
            Choice::Several => Err(Failure::refused("there are several keys, and none was chosen")
                .hint("give `--key NAME`, or choose one for good with `hansa config set key NAME`")),
        }
    }

    fn choice(&self) -> Outcome<Choice> {
        let name = match self.global.key.clone() {
            Some(name) => Some(name),
            None => self.config()?.key,
        };
        if let Some(name) = name {
            return Ok(Choice::Key(self.keystore().find(&name)?.into()));
        }
        let mut keys = self.keystore().list()?;
        Ok(match (keys.pop(), keys.is_empty()) {
            (Some(key), true) => Choice::Key(key.into()),
            (None, _) => Choice::None,
            _ => Choice::Several,
        })
    }

    /// Takes the secret key out, once in a run.
    ///
    /// # Errors
    /// As [`StoredKey::unlock`].
    pub fn unlock(&self, stored: &StoredKey) -> Outcome<SecretKey> {
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted = stored.file.public_key;
        if let Some(key) = memory.unlocked.iter().find(|key| key.public_key() == wanted) {
            return Ok(key.clone());
        }
        let key = stored.unlock(|| self.passphrase(&stored.name))?;
        memory.unlocked.push(key.clone());
        Ok(key)
    }

    /// The passphrase of an existing key, from the file that was named or from the terminal.
    ///
    /// # Errors
    /// When there is neither.
    pub fn passphrase(&self, key: &str) -> Outcome<Passphrase> {
        match self.passphrase_file() {
            Some(path) => passphrase_from(&path),
            None => passphrase_typed(&format!("passphrase of key `{key}`: ")),
        }
    }

    /// The passphrase for a new key; on the terminal it is asked for twice.
    ///
    /// # Errors
    /// When there is none, or the two differ.
    pub fn passphrase_new(&self, key: &str) -> Outcome<Passphrase> {
        use age::secrecy::ExposeSecret as _;
        if let Some(path) = self.passphrase_file() {
            return passphrase_from(&path);
        }
        let one = passphrase_typed(&format!("passphrase for key `{key}`: "))?;
        let two = passphrase_typed("the same again: ")?;
        match one.expose_secret() == two.expose_secret() {
            true => Ok(one),
            false => Err(Failure::refused("the two passphrases differ").hint("try again")),
        }
    }

    /// The chosen key, unlocked, as an account of the federation of the chosen node.
    ///
    /// # Errors
    /// When the key cannot be opened or the node not reached.
    pub async fn account(&self) -> Outcome<Account> {
        let stored = self.chosen_key()?;
        let client = self.client()?;
        // The node is asked first: nobody should type a passphrase for a node that does not answer.
        let chain = client.status().await?.chain;
        let key = self.unlock(&stored)?;
        // Who types a passphrase to sign does not have to type it again to read.
        if stored.file.protection == Protection::Passphrase {
            self.keep_pass(&key, chain);
        }
        Ok(Account::new(key, chain, client))
    }

    /// The organisation that the chosen key acts for. The key stays locked.
    ///
    /// # Errors
    /// When it acts for none.
    pub async fn organisation(&self, client: &Client) -> Outcome<OrganisationId> {
        let key = self.chosen_key()?.file.public_key;
        match client.key(&key).await {
            Ok(info) => match info.row.principal {
                Principal::Organisation(organisation) => Ok(organisation),
                Principal::Office(member, office) => Err(Failure::refused(format!(
                    "the chosen key is that of {member}'s {} and acts for no organisation",
                    crate::units::word_text(&office)
                ))
                .hint("choose another with `--key NAME`")),
            },
            Err(error) => Err(match error.fault() {
                Some(Fault::NotFound | Fault::PassKeyUnknown) => Rejection::UnknownKey.into(),
                Some(Fault::PassKeyRevoked) => Rejection::KeyRevoked.into(),
                // The node was asked without a pass, since it has refused one of this key.
                Some(Fault::ReadForbidden) if self.is_unregistered() => Rejection::UnknownKey.into(),
                _ => error.into(),
            }),
        }
    }

    /// Signs and sends, and waits until it is final.
    ///
    /// # Errors
    /// Why it was refused, or that it is not final yet.
    pub async fn send(&self, account: &Account, actions: Vec<Action>) -> Outcome<Sent> {
        let progress = self.printer.progress("waiting until the transaction is final");
        let outcome = account.send_signed(actions).await;
        progress.finish();
        let (signed, done) = outcome?;
        Ok(Sent { signed, done })
    }

    /// Opens the chosen key, signs one action, sends it, and waits until it is final.
    ///
    /// # Errors
    /// As [`Session::account`] and [`Session::send`].
    pub async fn act(&self, action: impl Into<Action>) -> Outcome<Sent> {
        let account = self.account().await?;
        self.send(&account, vec![action.into()]).await
    }

    /// Tells what a transaction did: `made` for programs, `text` for people.
    pub fn tell_sent(&self, sent: &Sent, made: impl Serialize, text: &str) {
        let data = SentData {
            transaction: sent.signed.id(),
            height: sent.done.height,
            time: sent.done.time,
            events: &sent.done.receipt.events,
            made,
        };
        self.printer.data(&data, || text.to_owned());
        self.printer.note(&format!("final in block {} (transaction {})", sent.done.height, sent.signed.id()));
    }

    /// The federation's slots, and the time there.
    ///
    /// # Errors
    /// When the node cannot be asked.
    pub async fn clock(&self, client: &Client) -> Outcome<Clock> {
        let params = client.params().await?;
        let time = match client.proven_time() {
            Some(time) => time,
            None => client.status().await?.time,
        };
        Ok(Clock { params, now: time.max(TimeMs(now_ms())) })
    }

    /// The genesis that the user trusts: from the argument, else from the settings.
    ///
    /// # Errors
    /// When none is set, or it cannot be read.
    pub fn genesis(&self, given: Option<&Path>) -> Outcome<Genesis> {
        if let (None, Some(genesis)) = (given, self.trust.clone()?.and_then(|trust| trust.genesis())) {
            return Ok(genesis);
        }
        let path = match given {
            Some(path) => Some(path.to_owned()),
            None => self.config()?.genesis,
        };
        let path = path.ok_or_else(|| {
            Failure::refused("no genesis is set, and without one there are no members whose signatures count")
                .hint("give `--genesis FILE`, or set it for good with `hansa config set genesis FILE`")
        })?;
        read_toml(&path)
    }

    fn passphrase_file(&self) -> Option<PathBuf> {
        let from_environment = || std::env::var_os("HANSA_PASSPHRASE_FILE").filter(|path| !path.is_empty());
        self.global.passphrase_file.clone().or_else(|| from_environment().map(PathBuf::from))
    }
}

impl Clock {
    /// The slot in hand.
    #[must_use]
    pub fn slot(&self) -> Slot {
        self.now.slot(self.params.slot_s)
    }

    /// The first slot that begins at `moment` or later.
    #[must_use]
    pub fn slot_from(&self, moment: TimeMs) -> Slot {
        let slot = moment.slot(self.params.slot_s);
        if slot.begins(self.params.slot_s) < moment { Slot(slot.0.saturating_add(1)) } else { slot }
    }

    /// When a slot begins.
    #[must_use]
    pub fn begins(&self, slot: Slot) -> TimeMs {
        slot.begins(self.params.slot_s)
    }
}
