//! A decided block came from a peer with its certificate: execute and keep it.

use super::judge::Judged;
use super::{Host, round_number};
use crate::consensus::application::Origin;
use crate::consensus::context::{Address, BlockId, Height, LedgerContext};
use crate::consensus::engine::FatalReason;
use crate::consensus::limits::BODY_BYTES_MAX;
use bytes::Bytes;
use malachitebft_app_channel::Reply;
use malachitebft_app_channel::app::engine::host::SyncedValueOutcome;
use malachitebft_core_consensus::ProposedValue;
use malachitebft_core_types::{Round, Validity};

impl Host {
    /// Answers with the verdict, or whose fault it is that there is none: bytes that are no block are the peer's; a full disk or
    /// a missing parent is ours. A certified block that this program refuses means that the program is too old: the node ends.
    pub(super) async fn process_synced_value(
        &mut self,
        height: u64,
        round: Round,
        proposer: Address,
        bytes: Bytes,
        reply: Reply<SyncedValueOutcome<LedgerContext>>,
    ) -> Result<(), FatalReason> {
        let outcome = self.synced_outcome(height, round, proposer, &bytes).await?;
        let _ = reply.send(outcome);
        Ok(())
    }

    async fn synced_outcome(
        &mut self,
        height: u64,
        round: Round,
        proposer: Address,
        bytes: &Bytes,
    ) -> Result<SyncedValueOutcome<LedgerContext>, FatalReason> {
        let Some(number) = round_number(round).filter(|_| height == self.turn.height) else {
            return Ok(SyncedValueOutcome::LocalTransientError);
        };
        let Some((id, _)) = bytes.split_first_chunk::<32>() else {
            return Ok(SyncedValueOutcome::PeerFault);
        };
        let body = bytes.slice(32..);
        if body.is_empty() || body.len() > BODY_BYTES_MAX {
            return Ok(SyncedValueOutcome::PeerFault);
        }
        let value = ProposedValue {
            height: Height(height),
            round,
            valid_round: Round::Nil,
            proposer,
            value: BlockId(*id),
            validity: Validity::Valid,
        };
        self.synced_verdict(value, body, number).await
    }
}

impl Host {
    async fn synced_verdict(
        &mut self,
        value: ProposedValue<LedgerContext>,
        body: Bytes,
        round: u32,
    ) -> Result<SyncedValueOutcome<LedgerContext>, FatalReason> {
        let height = value.height.0;
        let known = self.judged.get(&(round, value.value.0));
        if known.is_some_and(|known| known.validity.is_valid()) {
            // Judged, and on disk since it was proposed. Keeping it again would wait for the disk once more, and lose the
            // proposer's signature, which a certificate does not bring.
            self.synced_height = height;
            return Ok(SyncedValueOutcome::Verdict(value));
        }
        match self.check_and_keep(value, None, body, round, Origin::Synced).await? {
            Judged::Value(value) => {
                if value.validity.is_valid() {
                    self.synced_height = height;
                } else {
                    // The engine compares the id with the certificate's. If they are equal, this program is too old.
                    tracing::error!(height, id = %value.value, "a decided block is refused here; if this repeats, the program must be upgraded");
                }
                Ok(SyncedValueOutcome::Verdict(value))
            }
            Judged::Mismatch => Ok(SyncedValueOutcome::PeerFault),
            Judged::Nothing | Judged::NotReady => Ok(SyncedValueOutcome::LocalTransientError),
        }
    }
}
