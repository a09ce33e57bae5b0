//! The engine's consensus actor, driven directly: malachite's synchronous core, with every effect carried out on the simulated
//! network, clock and disk in the order and with the waits of `malachitebft-engine`.

use crate::disk::{Disk, DiskLog};
use crate::sync::Progress;
use crate::wire::Wire;
use crate::world::World;
use hansa_node::consensus::codec::LedgerCodec;
use hansa_node::consensus::context::{Address, Height, LedgerContext};
use hansa_node::consensus::signing::{MemberSigner, MemberVerifier};
use malachitebft_app_channel::AppMsg;
use malachitebft_app_channel::app::engine::host::{HeightParams, Next, SyncedValueOutcome};
use malachitebft_app_channel::app::engine::util::events::{Event, TxEvent};
use malachitebft_app_channel::app::engine::wal::{decode_entry, encode_entry};
use malachitebft_app_channel::app::metrics::Metrics;
use malachitebft_app_channel::app::types::core::{
    LinearTimeouts, Round, Timeout, ValidatorSet as _, ValueOrigin, ValueResponse,
};
use malachitebft_app_channel::app::types::{LocallyProposedValue, PeerId, ProposedValue, SignedConsensusMsg};
use malachitebft_app_channel::app::wal;
use malachitebft_core_consensus::{
    Effect, Input, LivenessMsg, Params, Resumable as _, Resume, State, ValuePayload,
};
use malachitebft_core_types::{ExtendedCommitCertificate, Value as _};
use malachitebft_signing::{Signer as _, VerifierExt as _};
use std::io;
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

type Log = wal::log::Log<DiskLog>;

/// What reaches the engine.
pub enum Message {
    /// A height may start.
    Start(Height, HeightParams<LedgerContext>),
    /// A vote, proposal or certificate came from a peer.
    Input(Input<LedgerContext>),
    /// A part of a block came from a peer.
    Part(PeerId, hansa_node::consensus::host::PartMessage),
    /// A timer ran out; the number tells it from one that was set anew.
    Timeout(Timeout, u64),
    /// The application has a block to propose.
    Propose(LocallyProposedValue<LedgerContext>),
    /// A block was judged.
    Value(ProposedValue<LedgerContext>, ValueOrigin),
    /// A peer gave a decided block.
    Synced(PeerId, bytes::Bytes, ExtendedCommitCertificate<LedgerContext>),
}

/// What the engine is made of.
pub struct Parts {
    /// The world it lives in.
    pub world: Rc<World>,
    /// Which node of it this is.
    pub place: usize,
    /// Where it is told things.
    pub inbox: mpsc::UnboundedSender<Message>,
    /// Who answers it.
    pub host: mpsc::Sender<AppMsg<LedgerContext>>,
    /// The member's signer.
    pub signer: MemberSigner,
    /// The member's verifier.
    pub verifier: MemberVerifier,
    /// What it tells of votes and proposals that it receives.
    pub events: TxEvent<LedgerContext>,
    /// Where catching up is told of progress.
    pub progress: mpsc::UnboundedSender<Progress>,
    /// The disk of its log.
    pub disk: Disk,
}

/// Why the engine does not go on. The node is ended and started again by its operator.
#[derive(Debug)]
pub enum Halt {
    /// Its log cannot be opened.
    Log(io::Error),
    /// It stopped itself for safety's sake: the log cannot be written, or cannot be believed.
    Safety(String),
    /// The core refused an input that it should take.
    Core(String),
}

/// The effects' side of the engine.
struct Desk {
    parts: Parts,
    log: Log,
    /// The height that the log was last started for.
    log_height: u64,
    codec: LedgerCodec,
    timeouts: LinearTimeouts,
    timers: Vec<(Timeout, u64)>,
    timer_next: u64,
    recovering: bool,
    validates: bool,
    halt: Option<Halt>,
}

/// Runs the engine until it halts or is dropped.
pub async fn run(parts: Parts, mut inbox: mpsc::UnboundedReceiver<Message>) -> Halt {
    let log = match Log::open_with("consensus.wal", parts.disk.clone()) {
        Ok(log) => log,
        Err(error) => return Halt::Log(error),
    };
    let mut desk = Desk {
        parts,
        log,
        log_height: 0,
        codec: LedgerCodec::default(),
        timeouts: LinearTimeouts::default(),
        timers: Vec::new(),
        timer_next: 0,
        recovering: false,
        validates: false,
        halt: None,
    };
    let mut core = None;
    let mut early = Vec::new();
    let metrics = Metrics::default();
    desk.ask_ready();
    while let Some(message) = inbox.recv().await {
        if core.is_none() && !matches!(message, Message::Start(..)) {
            if early.len() < 1_024 {
                early.push(message);
            }
            continue;
        }
        let starts = matches!(message, Message::Start(..));
        if let Err(halt) = handle(&mut core, &mut desk, &metrics, message).await {
            return halt;
        }
        if starts {
            for message in std::mem::take(&mut early) {
                if let Err(halt) = handle(&mut core, &mut desk, &metrics, message).await {
                    return halt;
                }
            }
        }
    }
    Halt::Core("nobody tells it anything any more".to_owned())
}

async fn process(
    core: &mut State<LedgerContext>,
    desk: &mut Desk,
    metrics: &Metrics,
    input: Input<LedgerContext>,
) -> Result<(), Halt> {
    let result: Result<(), malachitebft_core_consensus::Error<LedgerContext>> = malachitebft_core_consensus::process!(
        input: input,
        state: core,
        metrics: metrics,
        with: effect => desk.perform(effect).await
    );
    match (desk.halt.take(), result) {
        (Some(halt), _) => Err(halt),
        (None, Err(error)) => Err(Halt::Core(format!("{error:?}"))),
        (None, Ok(())) => Ok(()),
    }
}

async fn handle(
    core: &mut Option<State<LedgerContext>>,
    desk: &mut Desk,
    metrics: &Metrics,
    message: Message,
) -> Result<(), Halt> {
    if let Message::Start(height, params) = message {
        return start(core, desk, metrics, height, params).await;
    }
    let Some(core) = core else { return Ok(()) };
    let input = match message {
        Message::Start(..) => return Ok(()),
        Message::Input(input) => {
            desk.tell(&input);
            input
        }
        Message::Part(from, part) => {
            desk.ask_part(from, part);
            return Ok(());
        }
        Message::Timeout(timeout, number) => {
            let before = desk.timers.len();
            desk.timers.retain(|timer| *timer != (timeout, number));
            if desk.timers.len() == before {
                return Ok(());
            }
            Input::TimeoutElapsed(timeout)
        }
        Message::Propose(value) => Input::Propose(malachitebft_core_consensus::LocallyProposedValue::new(
            value.height,
            value.round,
            value.value,
        )),
        Message::Value(value, origin) => Input::ProposedValue(value, origin),
        Message::Synced(peer, bytes, certificate) => {
            Input::SyncValueResponse(ValueResponse::new(peer, bytes, certificate))
        }
    };
    process(core, desk, metrics, input).await
}

async fn start(
    core: &mut Option<State<LedgerContext>>,
    desk: &mut Desk,
    metrics: &Metrics,
    height: Height,
    params: HeightParams<LedgerContext>,
) -> Result<(), Halt> {
    let address = Address(desk.parts.signer.public_key());
    let core = core.get_or_insert_with(|| {
        let own = Params {
            address,
            threshold_params: Default::default(),
            value_payload: ValuePayload::ProposalAndParts,
            enabled: true,
        };
        State::new(LedgerContext, height, params.validator_set.clone(), own, 10, 500)
    });
    desk.validates = params.validator_set.get_by_address(&address).is_some();
    let entries = desk.fetch_log(height).map_err(Halt::Log)?;
    desk.timeouts = params.timeouts;
    let input = Input::StartHeight(
        height,
        params.validator_set,
        false,
        params.target_time,
        params.vote_extension_policy,
    );
    process(core, desk, metrics, input).await?;
    if !entries.is_empty() {
        desk.recovering = true;
        core.index_wal_entries(entries.iter().flatten());
        for entry in entries {
            let entry = entry.map_err(|error| Halt::Safety(format!("its log is damaged: {error}")))?;
            process(core, desk, metrics, entry).await.map_err(|halt| match halt {
                Halt::Core(reason) => Halt::Safety(format!("its log cannot be replayed: {reason}")),
                other => other,
            })?;
        }
        core.reset_entries_index();
        desk.recovering = false;
    }
    let _ = desk.parts.progress.send(Progress::Started(height.0));
    Ok(())
}

impl Desk {
    /// Sends a question to the host, and has its answer handled where the engine would forward it.
    fn ask<T: 'static>(
        &self,
        question: impl FnOnce(oneshot::Sender<T>) -> AppMsg<LedgerContext>,
        then: impl FnOnce(T) -> Option<Message> + 'static,
    ) {
        let (reply, answer) = oneshot::channel();
        // The channel is as wide as the connector's mailbox, which is not bounded.
        let sent = self.parts.host.try_send(question(reply));
        if sent.is_err() {
            return;
        }
        let inbox = self.parts.inbox.clone();
        self.parts.world.spawn(self.parts.place, async move {
            if let Ok(answer) = answer.await
                && let Some(message) = then(answer)
            {
                let _ = inbox.send(message);
            }
        });
    }

    fn ask_ready(&self) {
        self.ask(
            |reply| AppMsg::ConsensusReady { reply },
            |(height, params)| Some(Message::Start(height, params)),
        );
    }

    fn ask_part(&self, from: PeerId, part: hansa_node::consensus::host::PartMessage) {
        self.ask(
            |reply| AppMsg::ReceivedProposalPart { from, published_by: Some(from), part, reply },
            |value| value.map(|value| Message::Value(value, ValueOrigin::Consensus)),
        );
    }

    /// The engine tells of what it receives before it checks it.
    fn tell(&self, input: &Input<LedgerContext>) {
        match input {
            Input::Vote(vote) => {
                self.parts.events.send(|| Event::Received(SignedConsensusMsg::Vote(vote.clone())));
            }
            Input::Proposal(proposal) => {
                self.parts.events.send(|| Event::Received(SignedConsensusMsg::Proposal(proposal.clone())));
            }
            _ => {}
        }
    }

    /// The entries of the log if it is of this height; else a log begun anew.
    fn fetch_log(&mut self, height: Height) -> io::Result<Vec<io::Result<Input<LedgerContext>>>> {
        if !self.validates {
            self.log_height = height.0;
            self.log.reset(height.0)?;
            return Ok(Vec::new());
        }
        if self.log_height == height.0 {
            return Ok(Vec::new());
        }
        self.log_height = height.0;
        if self.log.sequence() != height.0 {
            self.log.reset(height.0)?;
            return Ok(Vec::new());
        }
        let mut entries = Vec::new();
        let mut broken = None;
        if !self.log.is_empty() {
            for (index, entry) in self.log.iter()?.enumerate() {
                match entry {
                    Ok(bytes) => entries.push(decode_entry(&self.codec, io::Cursor::new(&bytes))),
                    Err(error) => {
                        entries.push(Err(error));
                        broken = Some(index as u64);
                        break;
                    }
                }
            }
        }
        if let Some(index) = broken {
            self.log.truncate(index)?;
        }
        Ok(entries)
    }

    fn append(&mut self, height: Height, entry: Input<LedgerContext>) -> io::Result<()> {
        if self.recovering || !self.validates || height.0 != self.log_height {
            return Ok(());
        }
        let mut bytes = Vec::new();
        encode_entry(entry, &self.codec, &mut bytes)?;
        if bytes.is_empty() { Ok(()) } else { self.log.append(&bytes) }
    }

    /// Waits until the log is durable. The engine hangs where it is if that fails, so nothing after it happens.
    fn flush(&mut self) -> Result<(), Refused> {
        if self.recovering || !self.validates {
            return Ok(());
        }
        let flushed = self.log.flush();
        self.or_halt(flushed)
    }

    fn or_halt(&mut self, result: io::Result<()>) -> Result<(), Refused> {
        result.map_err(|error| {
            self.halt = Some(Halt::Safety(error.to_string()));
            Refused
        })
    }

    fn set_timer(&mut self, timeout: Timeout) {
        let duration = self.timeouts.duration_for(timeout);
        self.timers.retain(|(other, _)| *other != timeout);
        self.timer_next += 1;
        let number = self.timer_next;
        self.timers.push((timeout, number));
        let inbox = self.parts.inbox.clone();
        self.parts.world.spawn(self.parts.place, async move {
            tokio::time::sleep(duration).await;
            let _ = inbox.send(Message::Timeout(timeout, number));
        });
    }

    async fn perform(&mut self, effect: Effect<LedgerContext>) -> Result<Resume<LedgerContext>, Refused> {
        if let Some(halt) = self.halt.take() {
            // Where the engine hangs, no effect follows.
            self.parts.world.halted(self.parts.place, halt);
            std::future::pending::<()>().await;
        }
        if self.parts.disk.dead().is_some() {
            std::future::pending::<()>().await;
        }
        match effect {
            Effect::CancelAllTimeouts(resume) => {
                self.timers.clear();
                Ok(resume.resume_with(()))
            }
            Effect::CancelTimeout(timeout, resume) => {
                self.timers.retain(|(other, _)| *other != timeout);
                Ok(resume.resume_with(()))
            }
            Effect::ScheduleTimeout(timeout, resume) => {
                self.set_timer(timeout);
                Ok(resume.resume_with(()))
            }
            Effect::WalAppend(height, entry, resume) => {
                let appended = self.append(height, entry);
                self.or_halt(appended)?;
                Ok(resume.resume_with(()))
            }
            Effect::StartRound(height, round, proposer, role, resume) => {
                self.flush()?;
                let (reply, answer) = oneshot::channel();
                let question = AppMsg::StartedRound { height, round, proposer, role, reply_value: reply };
                let _ = self.parts.host.try_send(question);
                for value in answer.await.unwrap_or_default() {
                    let _ = self.parts.inbox.send(Message::Value(value, ValueOrigin::Consensus));
                }
                self.parts.world.started_round(self.parts.place, height.0, round.as_i64());
                Ok(resume.resume_with(()))
            }
            other => self.perform_signed(other).await,
        }
    }

    /// What signs, checks and publishes.
    async fn perform_signed(
        &mut self,
        effect: Effect<LedgerContext>,
    ) -> Result<Resume<LedgerContext>, Refused> {
        use malachitebft_core_consensus::ConsensusMsg;
        use malachitebft_signing::Verifier as _;
        let verifier = self.parts.verifier.clone();
        match effect {
            Effect::SignVote(vote, resume) => {
                let signed = self.parts.signer.sign_vote(vote).await.map_err(|_| Refused)?;
                Ok(resume.resume_with(signed))
            }
            Effect::SignProposal(proposal, resume) => {
                let signed = self.parts.signer.sign_proposal(proposal).await.map_err(|_| Refused)?;
                Ok(resume.resume_with(signed))
            }
            Effect::VerifySignature(message, key, resume) => {
                let result = match &message.message {
                    ConsensusMsg::Vote(vote) => {
                        verifier.verify_signed_vote(vote, &message.signature, &key).await
                    }
                    ConsensusMsg::Proposal(proposal) => {
                        verifier.verify_signed_proposal(proposal, &message.signature, &key).await
                    }
                };
                Ok(resume.resume_with(result.is_ok_and(|result| result.is_valid())))
            }
            Effect::VerifyCommitCertificate(certificate, members, thresholds, resume) => Ok(resume
                .resume_with(
                    verifier
                        .verify_commit_certificate(&LedgerContext, &certificate, &members, thresholds)
                        .await,
                )),
            Effect::VerifyPolkaCertificate(certificate, members, thresholds, resume) => Ok(resume
                .resume_with(
                    verifier
                        .verify_polka_certificate(&LedgerContext, &certificate, &members, thresholds)
                        .await,
                )),
            Effect::VerifyRoundCertificate(certificate, members, thresholds, resume) => Ok(resume
                .resume_with(
                    verifier
                        .verify_round_certificate(&LedgerContext, &certificate, &members, thresholds)
                        .await,
                )),
            Effect::VerifyExtendedCommitCertificate(certificate, members, thresholds, policy, resume) => {
                let result = verifier
                    .verify_extended_commit_certificate(
                        &LedgerContext,
                        &certificate,
                        &members,
                        thresholds,
                        policy,
                    )
                    .await;
                Ok(resume.resume_with(result))
            }
            Effect::ExtendVote(_, _, _, _, resume) => Ok(resume.resume_with(None)),
            Effect::VerifyVoteExtension(_, _, _, _, _, _, resume) => {
                let refused = malachitebft_core_consensus::VoteExtensionError::InvalidSignature;
                Ok(resume.resume_with(Err(refused)))
            }
            other => self.perform_told(other),
        }
    }

    /// What tells the peers or the application.
    fn perform_told(&mut self, effect: Effect<LedgerContext>) -> Result<Resume<LedgerContext>, Refused> {
        let world = Rc::clone(&self.parts.world);
        let place = self.parts.place;
        match effect {
            Effect::PublishConsensusMsg(message, resume) => {
                self.flush()?;
                world.broadcast(place, &Wire::Consensus(message));
                Ok(resume.resume_with(()))
            }
            Effect::PublishLivenessMsg(message, resume) => {
                world.broadcast(place, &Wire::Liveness(message));
                Ok(resume.resume_with(()))
            }
            Effect::RepublishVote(vote, resume) => {
                world.broadcast(place, &Wire::Liveness(LivenessMsg::Vote(vote)));
                Ok(resume.resume_with(()))
            }
            Effect::RepublishRoundCertificate(certificate, resume) => {
                let message = LivenessMsg::SkipRoundCertificate(certificate);
                world.broadcast(place, &Wire::Liveness(message));
                Ok(resume.resume_with(()))
            }
            Effect::GetValue(height, round, timeout, resume) => {
                let timeout: Duration = self.timeouts.duration_for(timeout);
                self.ask(
                    |reply| AppMsg::GetValue { height, round, timeout, reply },
                    |value| Some(Message::Propose(value)),
                );
                Ok(resume.resume_with(()))
            }
            Effect::RestreamProposal(height, round, valid_round, address, value_id, resume) => {
                let question = AppMsg::RestreamProposal { height, round, valid_round, address, value_id };
                let _ = self.parts.host.try_send(question);
                Ok(resume.resume_with(()))
            }
            other => self.perform_decided(other),
        }
    }

    /// What ends a height.
    fn perform_decided(&mut self, effect: Effect<LedgerContext>) -> Result<Resume<LedgerContext>, Refused> {
        let world = Rc::clone(&self.parts.world);
        let place = self.parts.place;
        match effect {
            Effect::Decide(certificate, extensions, resume) => {
                self.flush()?;
                world.decided(place, certificate.height.0, &certificate.value_id.0);
                self.ask(
                    |reply| AppMsg::Decided { certificate, extensions, reply },
                    move |()| {
                        world.committed(place);
                        None
                    },
                );
                Ok(resume.resume_with(()))
            }
            Effect::Finalize(certificate, extensions, evidence, resume) => {
                self.ask(
                    |reply| AppMsg::Finalized { certificate, extensions, evidence, reply },
                    |next| match next {
                        Next::Start(height, params) | Next::Restart(height, params) => {
                            Some(Message::Start(height, params))
                        }
                    },
                );
                Ok(resume.resume_with(()))
            }
            Effect::CertRejectedSyncValue(_, height, _, resume) => {
                world.sync_failed(place, height.0, true);
                Ok(resume.resume_with(()))
            }
            Effect::CertVerifiedSyncValue(value, proposer, resume) => {
                self.ask_synced(value, proposer);
                Ok(resume.resume_with(()))
            }
            _ => Err(Refused),
        }
    }

    fn ask_synced(&self, value: ValueResponse<LedgerContext>, proposer: Address) {
        let world = Rc::clone(&self.parts.world);
        let place = self.parts.place;
        let certificate = value.certificate;
        let (height, round): (Height, Round) = (certificate.height, certificate.round);
        self.ask(
            |reply| AppMsg::ProcessSyncedValue {
                height,
                round,
                proposer,
                value_bytes: value.value_bytes,
                reply,
            },
            move |outcome| match outcome {
                SyncedValueOutcome::Verdict(mut proposed) if proposed.value.id() == certificate.value_id => {
                    proposed.round = round;
                    Some(Message::Value(proposed, ValueOrigin::Sync))
                }
                SyncedValueOutcome::Verdict(_) | SyncedValueOutcome::PeerFault => {
                    world.sync_failed(place, height.0, true);
                    None
                }
                SyncedValueOutcome::LocalTransientError => {
                    world.sync_failed(place, height.0, false);
                    None
                }
            },
        );
    }
}

/// An effect that was not carried out; why stands in [`Desk::halt`].
#[derive(Debug)]
struct Refused;
