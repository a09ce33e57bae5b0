//! Answer the engine: one file per message of the engine, with the duties of each.
//!
//! The engine delivers one message at a time and waits for the answer, so every handler answers, soon, and keeps on disk what
//! the answer promises before it answers. What the application does runs on the blocking pool.

mod consensus_ready;
mod decided;
mod extend_vote;
mod finalized;
mod get_decided_values;
mod get_history_min_height;
mod get_value;
mod judge;
pub mod missing;
mod pending;
mod process_synced_value;
mod received_proposal_part;
mod record;
mod restream_proposal;
mod started_round;
mod verify_vote_extensions;

use super::application::{Application, Id, ValidatorInfo};
use super::codec::PeerTips;
use super::context::{LedgerContext, Members, linear_timeouts};
use super::engine::{FatalReason, Status};
use super::limits::{MEMBERS_MAX, NOTICES_MAX};
use super::pacing::Pacing;
use super::parts::{Assembler, Part, split};
use super::signing::{MemberSigner, MemberVerifier};
use hansa_ledger_signature::PublicKey;
use malachitebft_app_channel::app::engine::host::HeightParams;
use malachitebft_app_channel::{AppMsg, NetworkMsg};
use malachitebft_core_consensus::ProposedValue;
use malachitebft_core_types::{Round, ValidatorSet as _};
use missing::{Deliver, Notice};
use pending::Pending;
use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

/// Where the application's work is done, which may block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offload {
    /// On the runtime's pool for blocking work.
    Pool,
    /// At once, on the thread of the host: in a simulation, where nothing blocks and all has one order.
    Inline,
}

/// What the host is made of; see [`Host::new`].
#[allow(missing_docs)]
pub struct HostParts {
    pub application: Arc<dyn Application>,
    pub offload: Offload,
    pub signer: MemberSigner,
    pub verifier: MemberVerifier,
    pub pacing: Pacing,
    pub tips: Arc<PeerTips>,
    pub network: mpsc::Sender<NetworkMsg<LedgerContext>>,
    pub status: watch::Sender<Status>,
    pub ready: oneshot::Sender<()>,
    pub stop: CancellationToken,
    pub deliver: Deliver,
    pub hears: Hears,
}

/// Which parts the host hears: all, but in tests of what gossip loses.
pub type Hears = fn(&PartMessage) -> bool;

/// The height after the tip, and who signs it.
struct Turn {
    height: u64,
    validators: Vec<ValidatorInfo>,
    members: Members,
}

/// The node's answers to the engine.
pub struct Host {
    application: Arc<dyn Application>,
    offload: Offload,
    own: PublicKey,
    signer: MemberSigner,
    verifier: MemberVerifier,
    pacing: Pacing,
    tips: Arc<PeerTips>,
    network: mpsc::Sender<NetworkMsg<LedgerContext>>,
    status: watch::Sender<Status>,
    ready: Option<oneshot::Sender<()>>,
    stop: CancellationToken,
    turn: Turn,
    assembler: Assembler,
    pending: Pending,
    /// What was said of the blocks of the turn's height, by (round, id).
    judged: BTreeMap<(u32, Id), ProposedValue<LedgerContext>>,
    /// Judged when no part was waiting for an answer: goes to the engine when the next round starts.
    undelivered: Vec<ProposedValue<LedgerContext>>,
    /// The last height that came by value sync: no pause after it while peers say that there is more.
    synced_height: u64,
    /// The blocks of the turn's height whose parts are waited for, by (round, id).
    fetching: BTreeSet<(u32, Id)>,
    notices: mpsc::Sender<Notice>,
    noticed: Option<mpsc::Receiver<Notice>>,
    deliver: Deliver,
    hears: Hears,
}

impl Host {
    /// A host that has been told nothing yet.
    #[must_use]
    pub fn new(parts: HostParts) -> Self {
        let (notices, noticed) = mpsc::channel(NOTICES_MAX);
        Self {
            own: parts.signer.public_key(),
            application: parts.application,
            offload: parts.offload,
            signer: parts.signer,
            verifier: parts.verifier,
            pacing: parts.pacing,
            tips: parts.tips,
            network: parts.network,
            status: parts.status,
            ready: Some(parts.ready),
            stop: parts.stop,
            turn: Turn { height: 0, validators: Vec::new(), members: Members::new(&[]) },
            assembler: Assembler::default(),
            pending: Pending::default(),
            judged: BTreeMap::new(),
            undelivered: Vec::new(),
            synced_height: 0,
            fetching: BTreeSet::new(),
            notices,
            noticed: Some(noticed),
            deliver: parts.deliver,
            hears: parts.hears,
        }
    }

    /// Where the host is told of proposals.
    #[must_use]
    pub fn notices(&self) -> mpsc::Sender<Notice> {
        self.notices.clone()
    }

    /// Answers until the channel closes or [`HostParts::stop`] is cancelled.
    ///
    /// # Errors
    /// Why the node must end: from then on the engine gets no answer, so it signs nothing more.
    pub async fn run(
        mut self,
        messages: &mut mpsc::Receiver<AppMsg<LedgerContext>>,
    ) -> Result<(), FatalReason> {
        let Some(mut noticed) = self.noticed.take() else { return Ok(()) };
        loop {
            let stop = self.stop.clone();
            let message = tokio::select! {
                // In this order, so that a seed gives one history; whoever floods the notices costs them only.
                biased;
                () = stop.cancelled() => return Ok(()),
                message = messages.recv() => message,
                Some(notice) = noticed.recv() => {
                    self.notice(notice).await?;
                    continue;
                }
            };
            match message {
                Some(message) => self.handle(message).await?,
                None => return Ok(()),
            }
        }
    }

    async fn handle(&mut self, message: AppMsg<LedgerContext>) -> Result<(), FatalReason> {
        match message {
            AppMsg::ConsensusReady { reply } => self.consensus_ready(reply).await,
            AppMsg::StartedRound { height, round, reply_value, .. } => {
                self.started_round(height.0, round, reply_value).await
            }
            AppMsg::GetValue { height, round, timeout, reply } => {
                self.get_value(height.0, round, timeout, reply).await
            }
            AppMsg::ReceivedProposalPart { published_by, part, reply, .. } => {
                self.received_proposal_part(published_by, part, reply).await
            }
            AppMsg::RestreamProposal { height, value_id, .. } => {
                self.restream_proposal(height.0, value_id.0).await
            }
            AppMsg::ExtendVote { reply, .. } => {
                extend_vote::extend_vote(reply);
                Ok(())
            }
            AppMsg::VerifyVoteExtensions { extensions, reply, .. } => {
                verify_vote_extensions::verify_vote_extensions(extensions, reply);
                Ok(())
            }
            AppMsg::Decided { certificate, reply, .. } => self.decided(certificate, reply).await,
            AppMsg::Finalized { certificate, evidence, reply, .. } => {
                self.finalized(certificate, evidence, reply).await
            }
            AppMsg::GetDecidedValues { range, reply } => {
                self.get_decided_values(range.start().0, range.end().0, reply).await
            }
            AppMsg::GetHistoryMinHeight { reply } => self.get_history_min_height(reply).await,
            AppMsg::ProcessSyncedValue { height, round, proposer, value_bytes, reply } => {
                self.process_synced_value(height.0, round, proposer, value_bytes, reply).await
            }
        }
    }

    /// Runs `work` with the application, where it may block. Whoever does not wait to the end of it does not learn that it panicked.
    fn blocking<T, W>(&self, work: W) -> impl Future<Output = Result<T, FatalReason>> + Send + use<T, W>
    where
        T: Send + 'static,
        W: FnOnce(&dyn Application) -> T + Send + 'static,
    {
        let (application, offload) = (Arc::clone(&self.application), self.offload);
        async move {
            if offload == Offload::Inline {
                let ended = catch_unwind(AssertUnwindSafe(|| work(application.as_ref())));
                return ended.map_err(|panic| FatalReason::ApplicationPanicked(told(panic.as_ref())));
            }
            tokio::task::spawn_blocking(move || work(application.as_ref()))
                .await
                .map_err(|error| FatalReason::ApplicationPanicked(error.to_string()))
        }
    }

    /// Makes `height` the one whose blocks are judged. Called with tip + 1.
    async fn turn_to(&mut self, height: u64) -> Result<(), FatalReason> {
        let validators = self.blocking(move |application| application.validators(height)).await?;
        if validators.is_empty() || validators.len() > MEMBERS_MAX {
            return Err(FatalReason::Members { height, count: validators.len() });
        }
        let members = Members::new(&validators);
        self.pacing.expect(height, validators.iter().map(|member| member.key).collect());
        self.turn = Turn { height, validators, members };
        self.judged.clear();
        self.fetching.clear();
        self.undelivered.clear();
        self.pending.forget_below(height);
        Ok(())
    }

    /// What the engine needs to start the turn's height. Rules that this program does not know end the node here, before it has
    /// signed anything of that height.
    async fn height_params(&self) -> Result<HeightParams<LedgerContext>, FatalReason> {
        let height = self.turn.height;
        if let Some(version) = self.blocking(move |application| application.unknown_rules(height)).await? {
            return Err(FatalReason::UnknownRules { height, version });
        }
        let timeouts = self.blocking(move |application| application.timeouts(height)).await?;
        debug_assert!(self.turn.members.count() > 0);
        Ok(HeightParams::new(self.turn.members.clone(), linear_timeouts(&timeouts), None))
    }

    /// Streams a whole proposal to the peers, from a task: the engine's channel takes one part at a time.
    fn publish(&self, streamed: super::parts::Streamed) {
        let network = self.network.clone();
        tokio::spawn(async move {
            for message in split(&streamed) {
                // A closed channel means that the engine stopped; then nobody waits for the rest.
                if network.send(NetworkMsg::<LedgerContext>::PublishProposalPart(message)).await.is_err() {
                    return;
                }
            }
        });
    }
}

/// What a panic said.
fn told(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without a word").to_owned()
}

/// The number of a defined round.
fn round_number(round: Round) -> Option<u32> {
    round.as_u32()
}

/// The type of a part's stream message, for the handlers.
pub type PartMessage = malachitebft_app_channel::app::streaming::StreamMessage<Part>;
