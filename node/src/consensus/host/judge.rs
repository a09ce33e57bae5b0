//! Judge a whole proposal: proposer, signature, hash, execution; keep it on disk; only then tell the engine.

use super::record::Record;
use super::{Host, round_number};
use crate::consensus::application::{Origin, Verdict};
use crate::consensus::context::{Address, BlockId, Height, LedgerContext};
use crate::consensus::engine::FatalReason;
use crate::consensus::limits::PROPOSALS_PER_ROUND_MAX;
use crate::consensus::parts::Streamed;
use crate::consensus::signing::parts_bytes;
use bytes::Bytes;
use hansa_ledger_signature::Signature;
use malachitebft_core_consensus::ProposedValue;
use malachitebft_core_types::{Round, Validator as _, Validity};
use std::time::Duration;
use tokio::time::Instant;

/// A proposal that waited longer for its height was not seen live: the clock rule would judge the wait, not the proposer.
const LIVE_WAIT_MAX: Duration = Duration::from_millis(200);

/// What came of judging.
pub(super) enum Judged {
    /// For the engine: valid or refused by execution, and on disk.
    Value(ProposedValue<LedgerContext>),
    /// Nothing to tell: not its turn, untimely, or this node's own trouble.
    Nothing,
    /// The body is not the block it claims to be.
    Mismatch,
    /// The application cannot tell yet.
    NotReady,
}

impl Host {
    /// Judges a proposal for the turn's height.
    pub(super) async fn judge(
        &mut self,
        streamed: &Streamed,
        since: Option<Instant>,
    ) -> Result<Judged, FatalReason> {
        let init = &streamed.init;
        let Some(round) = self.rightful(streamed) else {
            return Ok(Judged::Nothing);
        };
        let origin = self.origin(init.height, round, init.pol_round, since);
        let key = (round, streamed.fin.id);
        if let Some(known) = self.judged.get(&key)
            && (known.validity.is_valid() || origin != Origin::Reproposed)
        {
            return Ok(Judged::Value(known.clone()));
        }
        let in_round = self.judged.keys().filter(|(other, _)| *other == round).count();
        if !self.judged.contains_key(&key) && in_round >= PROPOSALS_PER_ROUND_MAX {
            tracing::warn!(height = init.height, round, proposer = %init.proposer, "a proposer sent too many blocks for one round");
            return Ok(Judged::Nothing);
        }
        let value = ProposedValue {
            height: Height(init.height),
            round: init.round,
            valid_round: init.pol_round,
            proposer: Address(init.proposer),
            value: BlockId(streamed.fin.id),
            validity: Validity::Valid,
        };
        let signature = Some(streamed.fin.signature);
        self.check_and_keep(value, signature, streamed.body.clone(), round, origin).await
    }

    /// Executes and keeps a block whose proposer is settled.
    pub(super) async fn check_and_keep(
        &mut self,
        mut value: ProposedValue<LedgerContext>,
        signature: Option<Signature>,
        body: Bytes,
        round: u32,
        origin: Origin,
    ) -> Result<Judged, FatalReason> {
        let (height, proposer, id) = (value.height.0, value.proposer.0, value.value.0);
        let checked = body.clone();
        let verdict = self
            .blocking(move |application| application.check(height, round, &proposer, &id, &checked, origin))
            .await?;
        match verdict {
            Verdict::Valid => {}
            Verdict::Invalid(reason) => {
                tracing::warn!(height, round, %proposer, id = %value.value, reason, "refused a block");
                value.validity = Validity::Invalid;
                if origin == Origin::Synced {
                    // Nothing here binds the body to a member's signature, so it may not take room on the disk.
                    return Ok(Judged::Value(value));
                }
            }
            Verdict::Untimely(reason) => {
                tracing::warn!(height, round, %proposer, id = %value.value, reason, "no vote for a block: its time is not ours; check the clock");
                return Ok(Judged::Nothing);
            }
            Verdict::Mismatch(reason) => {
                tracing::warn!(height, round, %proposer, id = %value.value, reason, "dropped a body that is not the block it claims to be");
                return Ok(Judged::Mismatch);
            }
            Verdict::NotReady(reason) => {
                tracing::info!(height, round, id = %value.value, reason, "cannot judge a block yet");
                return Ok(Judged::NotReady);
            }
        }
        let record = Record::new(&value, signature).to_bytes();
        let saved = self
            .blocking(move |application| application.save_undecided(height, round, &id, &body, &record))
            .await?;
        if let Err(error) = saved {
            // A vote for a block that a crash can take away is worse than no vote.
            tracing::error!(height, round, id = %value.value, %error, "no vote for a block that could not be kept");
            self.end_if_broken(height).await?;
            return Ok(Judged::Nothing);
        }
        self.judged.insert((round, id), value.clone());
        Ok(Judged::Value(value))
    }

    /// Ends the node where nothing can be kept any more.
    pub(super) async fn end_if_broken(&self, height: u64) -> Result<(), FatalReason> {
        match self.blocking(move |application| application.broken()).await? {
            Some(error) => Err(FatalReason::KeepFailed { height, error }),
            None => Ok(()),
        }
    }

    /// Whether the member whose turn it is signed the stream. Gives the round.
    fn rightful(&self, streamed: &Streamed) -> Option<u32> {
        let init = &streamed.init;
        let round = round_number(init.round)?;
        let rightful = self.turn.members.proposer(init.height, round)?;
        let ordered = init.pol_round < init.round || init.pol_round.is_nil();
        let bytes =
            parts_bytes(self.verifier.chain_id(), init.height, init.round, init.pol_round, &streamed.fin.id);
        let rights = init.height == self.turn.height
            && ordered
            && rightful.address().0 == init.proposer
            && self.verifier.holds(&init.proposer, &bytes, &streamed.fin.signature);
        if !rights {
            tracing::debug!(height = init.height, round, proposer = %init.proposer, "dropped a proposal without right or signature");
        }
        rights.then_some(round)
    }

    /// Whether a proposal is seen live, proposed again, or has waited `since` for its height.
    pub(super) fn origin(&self, height: u64, round: u32, pol_round: Round, since: Option<Instant>) -> Origin {
        let status = *self.status.borrow();
        let past = status.height == height && round < status.round;
        if past || pol_round.is_defined() {
            Origin::Reproposed
        } else if since.is_some_and(|since| since.elapsed() > LIVE_WAIT_MAX) {
            Origin::Replayed
        } else {
            Origin::Live
        }
    }

    /// Judges what waited for the turn's height, and keeps the values for the next start of a round.
    pub(super) async fn judge_pending(&mut self) -> Result<(), FatalReason> {
        let height = self.turn.height;
        for waiting in self.pending.take(height) {
            match self.judge(&waiting.streamed, Some(waiting.since)).await? {
                Judged::Value(value) => {
                    if value.validity.is_valid() {
                        self.pacing.proposal_valid(height);
                    }
                    self.undelivered.push(value);
                }
                Judged::Nothing | Judged::Mismatch => {}
                Judged::NotReady => {
                    self.pending.keep(waiting, height);
                }
            }
        }
        Ok(())
    }
}
