//! A part of a block body came in: put it together, and judge the whole.

use super::judge::Judged;
use super::pending::Waiting;
use super::{Host, PartMessage};
use crate::consensus::context::LedgerContext;
use crate::consensus::engine::FatalReason;
use malachitebft_app_channel::Reply;
use malachitebft_app_channel::app::types::PeerId;
use malachitebft_core_consensus::ProposedValue;
use tokio::time::Instant;

impl Host {
    /// Answers with the judged block when the part completes it, else with nothing. A block for the height after the tip is
    /// judged at once, also while the node pauses before it: found valid, it ends the pause. Later heights wait.
    pub(super) async fn received_proposal_part(
        &mut self,
        published_by: Option<PeerId>,
        part: PartMessage,
        reply: Reply<Option<ProposedValue<LedgerContext>>>,
    ) -> Result<(), FatalReason> {
        let value = if (self.hears)(&part) { self.take_part(published_by, part).await? } else { None };
        let _ = reply.send(value);
        Ok(())
    }

    async fn take_part(
        &mut self,
        publisher: Option<PeerId>,
        part: PartMessage,
    ) -> Result<Option<ProposedValue<LedgerContext>>, FatalReason> {
        let now = Instant::now();
        let streamed = match self.assembler.insert(publisher, part, now) {
            Ok(Some(streamed)) => streamed,
            Ok(None) => return Ok(None),
            Err(refusal) => {
                tracing::debug!(?publisher, %refusal, "refused a part");
                return Ok(None);
            }
        };
        let waiting = Waiting { publisher, since: now, streamed };
        let height = waiting.streamed.init.height;
        if height != self.turn.height {
            self.pending.keep(waiting, self.turn.height);
            return Ok(None);
        }
        match self.judge(&waiting.streamed, None).await? {
            Judged::Value(value) => {
                if value.validity.is_valid() {
                    self.pacing.proposal_valid(height);
                }
                Ok(Some(value))
            }
            Judged::Nothing | Judged::Mismatch => Ok(None),
            Judged::NotReady => {
                self.pending.keep(waiting, height);
                Ok(None)
            }
        }
    }
}
