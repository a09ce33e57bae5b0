//! Sending transactions, and waiting until they are final.

use super::{ANSWER_TIME_MAX, Client, Wait};
use crate::bundle::{self, BundleVerdict};
use crate::chain::{FinalTransaction, TransactionInfo, TransactionStatus};
use crate::error::{ApiError, Fault};
use crate::peer::advert::Advert;
use hansa_ledger::id::TransactionId;
use hansa_ledger::rejection::Rejection;
use hansa_ledger::transaction::SignedTransaction;
use reqwest::Method;
use std::time::Duration;
use tokio::time::Instant;

/// The longest one call waits on the server.
const ONE_WAIT_MAX: Duration = Duration::from_secs(20);

/// How long to rest before a call that failed for the moment is made again.
const REST: Duration = Duration::from_millis(200);

impl Client {
    /// Sends a transaction; it waits on the node when this returns.
    ///
    /// # Errors
    /// [`ApiError::Refused`] with the ledger's number when the node refuses it.
    pub async fn submit(&self, transaction: &SignedTransaction) -> Result<TransactionId, ApiError> {
        let builder = self.bare(Method::POST, "/v1/transactions").body(transaction.encode());
        let info: TransactionInfo =
            self.json(self.send(builder.header("content-type", "application/octet-stream")).await?).await?;
        Ok(info.id)
    }

    /// Sends many transactions at once, in order; those that are not refused wait on the node when this returns. At most
    /// [`bundle::BUNDLE_TRANSACTIONS_MAX`] transactions and [`bundle::BUNDLE_BYTES_MAX`] bytes.
    ///
    /// # Errors
    /// As [`ApiError`], when nothing of the bundle was taken; refusals of single transactions stand in the verdicts.
    pub async fn submit_bundle(
        &self,
        transactions: &[SignedTransaction],
    ) -> Result<Vec<BundleVerdict>, ApiError> {
        let builder = self.bare(Method::POST, "/v1/bundles").body(bundle::encode(transactions));
        let verdicts: Vec<BundleVerdict> =
            self.json(self.send(builder.header("content-type", "application/octet-stream")).await?).await?;
        if verdicts.len() != transactions.len() {
            return Err(self.unreadable("/v1/bundles", "it does not have one verdict for each transaction"));
        }
        Ok(verdicts)
    }

    /// Publishes an advert through the node; it tells all members.
    ///
    /// # Errors
    /// [`ApiError::Refused`] when the node does not hold it to be one it may pass on.
    pub async fn advert(&self, advert: &Advert) -> Result<(), ApiError> {
        let builder = self.bare(Method::POST, "/v1/adverts").body(advert.encode());
        self.send(builder.header("content-type", "application/octet-stream")).await?;
        Ok(())
    }

    /// Sends a transaction and waits until it stands in a block; what became of it stands in the receipt. A node that cannot be
    /// reached for a while is asked again until time is up: the same bytes can only be executed once.
    ///
    /// # Errors
    /// [`ApiError::Refused`] when the node refuses it, so that it is in no block; [`ApiError::NotFinal`] when it was accepted
    /// and time is up; else why the node could not be asked.
    pub async fn submit_and_wait(
        &self,
        transaction: &SignedTransaction,
        timeout: Duration,
    ) -> Result<FinalTransaction, ApiError> {
        self.note_unproven("what became of the transaction that was sent");
        let id = transaction.id();
        let bytes = transaction.encode();
        let ends = Instant::now() + timeout;
        let mut accepted = false;
        loop {
            let left = ends.saturating_duration_since(Instant::now());
            let outcome = self.submit_once(&bytes, left.min(ONE_WAIT_MAX)).await;
            let outcome = match outcome {
                Err(error) if error.rejection() == Some(Rejection::AlreadyKnown) => {
                    self.wait_once(&id, left.min(ONE_WAIT_MAX), error).await
                }
                // Sent again after an answer was lost, it may be final already: then its nonce is used, by itself. If the
                // node does not know it, another transaction used the nonce, and nothing is to be waited for.
                Err(error) if is_final_or_never(&error) => self.wait_once(&id, Duration::ZERO, error).await,
                outcome => outcome,
            };
            match outcome {
                Ok(TransactionStatus::Final(done)) => return Ok(done),
                Ok(_) => accepted = true,
                Err(error) if is_passing(&error) => {
                    if Instant::now() + REST >= ends {
                        return Err(if accepted { ApiError::NotFinal { id } } else { error });
                    }
                }
                Err(error) => return Err(error),
            }
            if Instant::now() + REST >= ends {
                return Err(ApiError::NotFinal { id });
            }
            tokio::time::sleep(REST).await;
        }
    }

    async fn submit_once(&self, bytes: &[u8], wait: Duration) -> Result<TransactionStatus, ApiError> {
        let builder = self
            .bare(Method::POST, "/v1/transactions")
            .timeout(wait + ANSWER_TIME_MAX)
            .query(&waiting(wait))
            .header("content-type", "application/octet-stream")
            .body(bytes.to_vec());
        let info: TransactionInfo = self.json(self.send(builder).await?).await?;
        Ok(info.status)
    }

    /// Waits for a transaction that the node may know; `otherwise` when it does not.
    async fn wait_once(
        &self,
        id: &TransactionId,
        wait: Duration,
        otherwise: ApiError,
    ) -> Result<TransactionStatus, ApiError> {
        let builder = self
            .reading(Method::GET, &format!("/v1/transactions/{id}"))
            .timeout(wait + ANSWER_TIME_MAX)
            .query(&waiting(wait));
        let info: TransactionInfo = self.json(self.send(builder).await?).await?;
        if info.status == TransactionStatus::Unknown { Err(otherwise) } else { Ok(info.status) }
    }
}

fn waiting(wait: Duration) -> Wait {
    Wait { wait: "final", timeout_ms: u64::try_from(wait.as_millis()).unwrap_or(u64::MAX) }
}

/// Whether the refusal means that the transaction stands in a block already, or will stand in none.
fn is_final_or_never(error: &ApiError) -> bool {
    matches!(error.rejection(), Some(Rejection::NonceUsed | Rejection::Expired))
}

/// Whether the same call is worth making again.
fn is_passing(error: &ApiError) -> bool {
    match error {
        ApiError::Unreachable { .. } | ApiError::Timeout { .. } => true,
        _ => {
            error.rejection() == Some(Rejection::MempoolFull)
                || matches!(error.fault(), Some(Fault::Busy | Fault::NotReady | Fault::RequestTimeout))
        }
    }
}
