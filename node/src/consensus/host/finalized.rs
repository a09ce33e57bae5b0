//! A height is over: keep late signatures and evidence, then pace the next height.

use super::Host;
use crate::consensus::application::Id;
use crate::consensus::context::{Height, LedgerContext};
use crate::consensus::engine::FatalReason;
use crate::consensus::evidence::evidence_records;
use malachitebft_app_channel::Reply;
use malachitebft_app_channel::app::engine::host::Next;
use malachitebft_core_consensus::MisbehaviorEvidence;
use malachitebft_core_types::CommitCertificate;

impl Host {
    /// Keeps what came late, then hands the reply to a task that answers when the next height has a reason to start. The answer
    /// is always to start: restarting a height would forget what was signed in it.
    pub(super) async fn finalized(
        &mut self,
        certificate: CommitCertificate<LedgerContext>,
        evidence: MisbehaviorEvidence<LedgerContext>,
        reply: Reply<Next<LedgerContext>>,
    ) -> Result<(), FatalReason> {
        let certificate = self.certificate(certificate).await?;
        let height = certificate.height;
        let chain_id: Id = *self.verifier.chain_id();
        let records = evidence_records(&chain_id, &evidence);
        if !records.is_empty() {
            tracing::error!(
                height,
                records = records.len(),
                "a member signed two things in one round; see the audit log"
            );
        }
        let bytes = certificate.to_bytes();
        self.blocking(move |application| application.finalize(height, &bytes, records))
            .await?
            .map_err(|error| FatalReason::FinalizeFailed { height, error })?;
        if self.turn.height != height + 1 {
            return Err(FatalReason::HeightsApart { finalized: height, next: self.turn.height });
        }
        let params = self.height_params().await?;
        let next = Next::Start(Height(height + 1), params);
        if self.synced_height == height && self.tips.any_above(height) {
            // The node is behind and catching up: a pause would only keep it behind.
            let _ = reply.send(next);
            return Ok(());
        }
        let (pacing, stop) = (self.pacing.clone(), self.stop.clone());
        let work = self.application.work();
        tokio::spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                wake = pacing.wait(height + 1, work) => {
                    tracing::debug!(height = height + 1, ?wake, "the next height starts");
                    let _ = reply.send(next);
                }
            }
        });
        Ok(())
    }
}
