//! More than two thirds signed a block: make it the tip, durably, before the engine tells anyone.

use super::Host;
use super::judge::Judged;
use crate::consensus::application::{Id, Origin, ValidatorInfo};
use crate::consensus::certificate::Certificate;
use crate::consensus::context::{Address, BlockId, Height, LedgerContext};
use crate::consensus::engine::FatalReason;
use crate::consensus::limits::{BODY_BYTES_MAX, BODY_FETCH_TIMEOUT, DECIDED_JUDGE_ATTEMPTS_MAX};
use malachitebft_app_channel::Reply;
use malachitebft_core_consensus::ProposedValue;
use malachitebft_core_types::{CommitCertificate, Round, Validator as _, Validity};
use std::time::Duration;

impl Host {
    /// Commits, then answers, then judges what waits for the next height. A commit that fails ends the node without an answer.
    pub(super) async fn decided(
        &mut self,
        certificate: CommitCertificate<LedgerContext>,
        reply: Reply<()>,
    ) -> Result<(), FatalReason> {
        let certificate = self.certificate(certificate).await?;
        let (height, id) = (certificate.height, certificate.id);
        if !self.body_present(&certificate).await? {
            return Ok(());
        }
        let bytes = certificate.to_bytes();
        self.blocking(move |application| application.commit(height, &id, &bytes))
            .await?
            .map_err(|error| FatalReason::CommitFailed { height, error })?;
        let _ = reply.send(());
        if height == self.turn.height {
            self.turn_to(height + 1).await?;
            self.judge_pending().await?;
        }
        Ok(())
    }

    /// The engine's certificate in our form, checked again: it is what the node will show to others.
    pub(super) async fn certificate(
        &self,
        certificate: CommitCertificate<LedgerContext>,
    ) -> Result<Certificate, FatalReason> {
        let height = certificate.height.0;
        let mut signatures: Vec<_> =
            certificate.commit_signatures.iter().map(|signed| (signed.address.0, signed.signature)).collect();
        signatures.sort();
        let certificate = Certificate {
            height,
            round: certificate.round.as_u32().unwrap_or(0),
            id: certificate.value_id.0,
            signatures,
        };
        let validators = self.validators_of(height).await?;
        self.verifier
            .verify_certificate(&validators, &certificate)
            .map_err(|error| FatalReason::CertificateWrong { height, error })?;
        Ok(certificate)
    }

    async fn validators_of(&self, height: u64) -> Result<Vec<ValidatorInfo>, FatalReason> {
        if height == self.turn.height {
            return Ok(self.turn.validators.clone());
        }
        self.blocking(move |application| application.validators(height)).await
    }

    /// Sees to it that the decided body is kept: it is, or the peers give it. `false` when the node stops meanwhile.
    async fn body_present(&mut self, certificate: &Certificate) -> Result<bool, FatalReason> {
        let (height, id) = (certificate.height, certificate.id);
        let known = self.blocking(move |application| application.body(&id)).await?;
        match known {
            Ok(Some(_)) => return Ok(true),
            Ok(None) => {}
            Err(error) => return Err(FatalReason::CommitFailed { height, error }),
        }
        let mut judge_attempts = 0;
        loop {
            tracing::warn!(height, id = %hex::encode(id), "the decided block is not here; asking the peers for it");
            let fetch = self.application.fetch_body(id, BODY_FETCH_TIMEOUT);
            let body = tokio::select! {
                () = self.stop.cancelled() => return Ok(false),
                body = fetch => body,
            };
            match body {
                Some(body) if body.len() <= BODY_BYTES_MAX => {
                    match self.keep_decided(certificate, body).await? {
                        Judged::Value(value) if value.validity.is_valid() => return Ok(true),
                        Judged::Value(_) => return Err(FatalReason::VersionSkew { height, id }),
                        Judged::Mismatch => {}
                        Judged::NotReady | Judged::Nothing => {
                            judge_attempts += 1;
                            if judge_attempts == DECIDED_JUDGE_ATTEMPTS_MAX {
                                return Err(FatalReason::DecidedUnjudged { height, id });
                            }
                        }
                    }
                }
                Some(_) | None => {}
            }
            // A peer may answer at once with nothing: the questions are spaced.
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
    }

    async fn keep_decided(
        &mut self,
        certificate: &Certificate,
        body: bytes::Bytes,
    ) -> Result<Judged, FatalReason> {
        let id: Id = certificate.id;
        let Some(proposer) = self.turn.members.proposer(certificate.height, certificate.round) else {
            return Err(FatalReason::Members { height: certificate.height, count: 0 });
        };
        let value = ProposedValue {
            height: Height(certificate.height),
            round: Round::new(certificate.round),
            valid_round: Round::Nil,
            proposer: Address(*proposer.public_key()),
            value: BlockId(id),
            validity: Validity::Valid,
        };
        self.check_and_keep(value, None, body, certificate.round, Origin::Synced).await
    }
}
