//! One key's side of the ledger: builds, signs and sends its transactions.

use crate::chain::FinalTransaction;
use crate::client::Client;
use crate::error::ApiError;
use crate::peer::now_ms;
use hansa_ledger::action::Action;
use hansa_ledger::id::ChainId;
use hansa_ledger::rejection::Rejection;
use hansa_ledger::time::TimeMs;
use hansa_ledger::transaction::{SignedTransaction, Transaction};
use hansa_ledger_signature::{PublicKey, SecretKey};
use std::time::Duration;

/// How long a transaction may wait to be executed when nothing else is said.
pub const VALIDITY: Duration = Duration::from_secs(120);

/// How long a caller waits for a transaction to be final when nothing else is said.
pub const WAIT: Duration = Duration::from_secs(30);

/// A key, the federation it acts in, and a node to send through.
#[derive(Clone, Debug)]
pub struct Account {
    /// The key that signs.
    pub key: SecretKey,
    /// The federation.
    pub chain: ChainId,
    /// The way to a node.
    pub client: Client,
    /// How long a transaction may wait to be executed.
    pub validity: Duration,
    /// How long to wait until one is final.
    pub wait: Duration,
}

impl Account {
    /// An account with the usual times. Its client reads as its key.
    #[must_use]
    pub fn new(key: SecretKey, chain: ChainId, client: Client) -> Self {
        let client = client.with_reader(key.clone(), chain);
        Self { key, chain, client, validity: VALIDITY, wait: WAIT }
    }

    /// The public key.
    #[must_use]
    pub fn public_key(&self) -> PublicKey {
        self.key.public_key()
    }

    /// Signs a transaction with this nonce.
    #[must_use]
    pub fn sign(&self, nonce: u64, actions: Vec<Action>) -> SignedTransaction {
        let validity = u64::try_from(self.validity.as_millis()).unwrap_or(u64::MAX);
        let transaction = Transaction {
            chain: self.chain,
            signer: self.public_key(),
            nonce,
            valid_until: TimeMs(now_ms()).plus(validity),
            actions,
        };
        transaction.sign(&self.key)
    }

    /// Signs, sends, and waits until the transaction is final. Where another transaction of the key took the nonce meanwhile,
    /// it is signed once more with the next one.
    ///
    /// # Errors
    /// [`ApiError::Refused`] when the node or the ledger refuses it: nothing was done then. [`ApiError::NotFinal`] when it was
    /// accepted and time is up; it may still be executed until its validity ends.
    pub async fn send(&self, actions: Vec<Action>) -> Result<FinalTransaction, ApiError> {
        let (_, done) = self.send_signed(actions).await?;
        Ok(done)
    }

    /// As [`Self::send`], and gives the transaction too: the ids of what it made derive from its id.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub async fn send_signed(
        &self,
        actions: Vec<Action>,
    ) -> Result<(SignedTransaction, FinalTransaction), ApiError> {
        let key = self.public_key();
        let first = self.sign(self.client.next_nonce(&key).await?, actions.clone());
        let (signed, outcome) = match self.client.submit_and_wait(&first, self.wait).await {
            Err(error) if is_nonce_race(&error) => {
                let second = self.sign(self.client.next_nonce(&key).await?, actions);
                let outcome = self.client.submit_and_wait(&second, self.wait).await;
                (second, outcome)
            }
            outcome => (first, outcome),
        };
        let done = outcome?;
        match done.rejection() {
            Some(rejection) => Err(rejection.into()),
            None => Ok((signed, done)),
        }
    }
}

fn is_nonce_race(error: &ApiError) -> bool {
    matches!(error.rejection(), Some(Rejection::NonceUsed | Rejection::NonceGap))
}
