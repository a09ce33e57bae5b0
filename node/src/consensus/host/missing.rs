//! Parts of a body that gossip lost: fetch the body from the members that have it, while its round still runs.
//!
//! The engine takes the block of a proposal as the answer to one of its parts, and a part that never comes is never answered. What
//! a member must vote on is known all the same, since the proposal itself names the block and is signed. If the parts do not
//! complete it soon after, the body is asked for over our own network, judged as if it had come in parts, and handed to the
//! engine's consensus actor in the message that the answer would have become.
//!
//! This holds for a block proposed again too. Whoever got it this way has no signature over its parts and cannot stream it again; if
//! only such members are left to propose it, who lacks it would never vote for it, and a locked block would stop the federation.

use super::judge::Judged;
use super::{Host, round_number};
use crate::consensus::application::Id;
use crate::consensus::context::{LedgerContext, Proposal};
use crate::consensus::engine::FatalReason;
use crate::consensus::limits::{
    BODY_BYTES_MAX, MISSING_ATTEMPTS_MAX, MISSING_FETCH_TIMEOUT, MISSING_PAUSE, PROPOSALS_PER_ROUND_MAX,
    ROUNDS_AHEAD_MAX,
};
use crate::consensus::signing::signed_proposal_bytes;
use bytes::Bytes;
use malachitebft_app_channel::app::engine::util::events::{Event, RxEvent};
use malachitebft_core_consensus::{ProposedValue, SignedConsensusMsg};
use malachitebft_core_types::{SignedProposal, Validator as _, Validity};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;

/// What the host is told beside the engine's messages.
#[allow(missing_docs)]
pub enum Notice {
    /// A proposal reached the engine. Its signature is not checked yet.
    Announced(SignedProposal<LedgerContext>),
    /// Its parts have had their time.
    Due { proposal: Proposal, attempt: u32 },
    /// A body that was asked for, or that nobody gave.
    Fetched { proposal: Proposal, attempt: u32, body: Option<Bytes> },
    /// Work that nobody waited for any more ended, and so must the node.
    Ended(FatalReason),
}

/// Hands a judged block to the engine outside of an answer.
pub type Deliver = Box<dyn Fn(ProposedValue<LedgerContext>) + Send + Sync>;

/// Passes on the proposals that reach the engine, until it stops.
pub async fn watch_proposals(mut events: RxEvent<LedgerContext>, notices: mpsc::Sender<Notice>) {
    loop {
        match events.recv().await {
            Ok(Event::Received(SignedConsensusMsg::Proposal(proposal))) => {
                // Whoever floods the engine with proposals costs this help only.
                let _ = notices.try_send(Notice::Announced(proposal));
            }
            Ok(_) | Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => return,
        }
    }
}

impl Host {
    pub(super) async fn notice(&mut self, notice: Notice) -> Result<(), FatalReason> {
        match notice {
            Notice::Announced(signed) => {
                self.announced(&signed);
                Ok(())
            }
            Notice::Due { proposal, attempt } => {
                self.due(proposal, attempt);
                Ok(())
            }
            Notice::Fetched { proposal, attempt, body } => self.fetched(proposal, attempt, body).await,
            Notice::Ended(reason) => Err(reason),
        }
    }

    /// Waits for the parts of a proposal by the member whose turn it is.
    fn announced(&mut self, signed: &SignedProposal<LedgerContext>) {
        let proposal = &signed.message;
        let Some(key) = self.is_wanted(proposal) else { return };
        let in_round = self.fetching.iter().filter(|(round, _)| *round == key.0).count();
        let ordered = proposal.pol_round < proposal.round;
        let near = key.0 <= self.round().saturating_add(ROUNDS_AHEAD_MAX);
        if !ordered || !near || self.fetching.contains(&key) || in_round >= PROPOSALS_PER_ROUND_MAX {
            return;
        }
        let Some(rightful) = self.turn.members.proposer(proposal.height.0, key.0) else { return };
        let bytes = signed_proposal_bytes(self.verifier.chain_id(), proposal);
        if *rightful.address() != proposal.proposer
            || proposal.proposer.0 == self.own
            || !self.verifier.holds(&proposal.proposer.0, &bytes, &signed.signature)
        {
            return;
        }
        self.fetching.insert(key);
        self.wait_for_parts(proposal.clone(), 0);
    }

    /// The round and id of a proposal for the turn's height whose block has not been judged. A block that is valid in one round
    /// is so for the engine in all.
    fn is_wanted(&self, proposal: &Proposal) -> Option<(u32, Id)> {
        let key = (round_number(proposal.round)?, proposal.value.0);
        let known = |((round, id), value): (&(u32, Id), &ProposedValue<LedgerContext>)| {
            *id == key.1 && (*round == key.0 || value.validity.is_valid())
        };
        (proposal.height.0 == self.turn.height && !self.judged.iter().any(known)).then_some(key)
    }

    /// The round of the turn's height that the engine works on.
    fn round(&self) -> u32 {
        let status = *self.status.borrow();
        if status.height == self.turn.height { status.round } else { 0 }
    }

    /// Leaves the parts a moment.
    fn wait_for_parts(&self, proposal: Proposal, attempt: u32) {
        let notices = self.notices.clone();
        self.beside(async move {
            tokio::time::sleep(MISSING_PAUSE).await;
            // An error means that the host has stopped; so it does below.
            let _ = notices.send(Notice::Due { proposal, attempt }).await;
        });
    }

    /// Asks for the body, unless the parts have come meanwhile.
    fn due(&self, proposal: Proposal, attempt: u32) {
        if self.is_wanted(&proposal).is_none() {
            return;
        }
        let (application, notices) = (self.application.clone(), self.notices.clone());
        self.beside(async move {
            let body = application.fetch_body(proposal.value.0, MISSING_FETCH_TIMEOUT).await;
            let _ = notices.send(Notice::Fetched { proposal, attempt, body }).await;
        });
    }

    /// Runs something until the host stops.
    fn beside(&self, work: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = work => {}
            }
        });
    }

    async fn fetched(
        &mut self,
        proposal: Proposal,
        attempt: u32,
        body: Option<Bytes>,
    ) -> Result<(), FatalReason> {
        let Some((round, _)) = self.is_wanted(&proposal) else { return Ok(()) };
        let height = proposal.height.0;
        let Some(body) = body.filter(|body| body.len() <= BODY_BYTES_MAX) else {
            if attempt + 1 < MISSING_ATTEMPTS_MAX {
                self.wait_for_parts(proposal, attempt + 1);
            }
            return Ok(());
        };
        tracing::info!(height, round, id = %proposal.value, "parts of a block were lost; a member gave the whole of it");
        let value = ProposedValue {
            height: proposal.height,
            round: proposal.round,
            valid_round: proposal.pol_round,
            proposer: proposal.proposer,
            value: proposal.value,
            validity: Validity::Valid,
        };
        // The clock rule holds as for parts: a proposer gains no time by holding some back.
        let origin = self.origin(height, round, value.valid_round, None);
        if let Judged::Value(value) = self.check_and_keep(value, None, body, round, origin).await? {
            if value.validity.is_valid() {
                self.pacing.proposal_valid(height);
            }
            (self.deliver)(value);
        }
        Ok(())
    }
}
