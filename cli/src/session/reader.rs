//! Reading as the chosen key: by a pass that is kept beside the keys, so that an encrypted key is unlocked once in twelve hours
//! and not at each look.

use super::{Choice, Session};
use crate::error::{Failure, Outcome};
use crate::keyfile::Protection;
use crate::keystore::{StoredKey, has_terminal};
use hansa_ledger::id::ChainId;
use hansa_ledger_signature::SecretKey;
use hansa_node_api::pass::PASS_LIFE;
use hansa_node_api::{ApiError, Client, Fault, ReadPass};
use std::sync::PoisonError;
use std::time::Duration;

/// A pass with less time left than this is made anew, so that it does not expire in the middle of a command.
const LEFT_MIN: Duration = Duration::from_secs(300);

impl Session {
    /// The way to the node that was chosen, seeing what the chosen key may see. Without a key, or where nobody is there to
    /// unlock it, what the public sees.
    ///
    /// # Errors
    /// When the node cannot be asked, the passphrase is wrong, or the key was taken back.
    pub async fn reader(&self) -> Outcome<Client> {
        let client = self.client()?;
        let Some(stored) = self.reading_key()? else { return Ok(client) };
        // The node is asked first: nobody should type a passphrase for a node that does not answer.
        let chain = client.status().await?.chain;
        let key = stored.file.public_key;
        if let Some(pass) = self.keystore().pass(&key, &chain).filter(|pass| pass.lives(LEFT_MIN)) {
            let reading = client.clone().with_pass(pass);
            match reading.without_trust().key(&key).await {
                Err(error) if is_spoilt(&error) => {}
                told => return self.judge(client, reading, told.err()),
            }
        }
        if !self.can_unlock(&stored) {
            self.printer.note(&format!(
                "the key `{}` is encrypted and nobody is there to unlock it: this is what the public sees",
                stored.name
            ));
            return Ok(client);
        }
        let pass = self.keep_pass(&self.unlock(&stored)?, chain);
        let reading = client.clone().with_pass(pass);
        let told = reading.without_trust().key(&key).await;
        self.judge(client, reading, told.err())
    }

    /// A pass of the chosen key for the federation of the chosen node: the one that is kept, else a new one.
    ///
    /// # Errors
    /// When there is no key, or it cannot be unlocked, or the node not asked.
    pub async fn pass(&self) -> Outcome<ReadPass> {
        let stored = self.chosen_key()?;
        let chain = self.client()?.status().await?.chain;
        let kept = self.keystore().pass(&stored.file.public_key, &chain);
        match kept.filter(|pass| pass.lives(LEFT_MIN)) {
            Some(pass) => Ok(pass),
            None => Ok(self.keep_pass(&self.unlock(&stored)?, chain)),
        }
    }

    /// Whether the node has said in this run that the chosen key is nobody's.
    pub(super) fn is_unregistered(&self) -> bool {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner).unregistered
    }

    /// Makes a pass and keeps it beside the keys. Where it cannot be kept it is good all the same, for this run.
    pub(super) fn keep_pass(&self, key: &SecretKey, chain: ChainId) -> ReadPass {
        let pass = ReadPass::make(key, chain, PASS_LIFE);
        if let Err(failure) = self.keystore().keep_pass(&pass) {
            self.printer.note(&failure.message);
        }
        pass
    }

    /// Whether the key opens without a passphrase, or somebody can be asked for it.
    fn can_unlock(&self, stored: &StoredKey) -> bool {
        stored.file.protection == Protection::None || self.passphrase_file().is_some() || has_terminal()
    }

    /// The key to read with; none where there is none, or none was chosen.
    fn reading_key(&self) -> Outcome<Option<StoredKey>> {
        let stored = match self.choice()? {
            Choice::Key(stored) => *stored,
            Choice::None => return Ok(None),
            Choice::Several => {
                self.printer.note("there are several keys and none was chosen: this is what the public sees");
                return Ok(None);
            }
        };
        Ok(Some(stored))
    }

    /// What to read with after the node was asked about the reader's own key.
    fn judge(&self, public: Client, reading: Client, error: Option<ApiError>) -> Outcome<Client> {
        let Some(error) = error else { return Ok(reading) };
        match error.fault() {
            Some(Fault::PassKeyUnknown) => {
                self.memory.lock().unwrap_or_else(PoisonError::into_inner).unregistered = true;
                self.printer.note("the chosen key is not registered here: this is what the public sees");
                Ok(public)
            }
            // A node that knows nothing of keys may still know what is asked for.
            Some(Fault::NotFound) => Ok(reading),
            _ => Err(Failure::from(error)),
        }
    }
}

/// Whether the node finds fault with the pass itself, so that another one may do.
fn is_spoilt(error: &ApiError) -> bool {
    matches!(
        error.fault(),
        Some(
            Fault::PassMalformed
                | Fault::PassExpired
                | Fault::PassTooLong
                | Fault::PassOtherChain
                | Fault::PassWrong
        )
    )
}
