//! Carries out the effects of the core: the log, the timers, the signer, the network and the host.

use super::{Halt, Log, Message, Parts};
use crate::wire::Wire;
use hansa_node::consensus::codec::LedgerCodec;
use hansa_node::consensus::context::{Address, Height, LedgerContext};
use hansa_node::consensus::signing::WITHHELD;
use malachitebft_app_channel::AppMsg;
use malachitebft_app_channel::app::engine::host::{Next, SyncedValueOutcome};
use malachitebft_app_channel::app::engine::util::events::Event;
use malachitebft_app_channel::app::engine::wal::{decode_entry, encode_entry};
use malachitebft_app_channel::app::types::core::{
    LinearTimeouts, NilOrVal, Round, Timeout, ValueOrigin, ValueResponse,
};
use malachitebft_app_channel::app::types::{PeerId, SignedConsensusMsg};
use malachitebft_core_consensus::{Effect, Input, LivenessMsg, Resumable as _, Resume};
use malachitebft_core_types::Value as _;
use malachitebft_signing::{Signer as _, VerifierExt as _};
use std::io;
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::oneshot;

/// The effects' side of the engine.
pub(super) struct Desk {
    pub(super) parts: Parts,
    log: Log,
    /// The height that the log was last started for.
    log_height: u64,
    codec: LedgerCodec,
    pub(super) timeouts: LinearTimeouts,
    pub(super) timers: Vec<(Timeout, u64)>,
    timer_next: u64,
    pub(super) recovering: bool,
    pub(super) validates: bool,
    pub(super) halt: Option<Halt>,
}

impl Desk {
    pub(super) fn new(parts: Parts, log: Log) -> Self {
        Self {
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
        }
    }

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

    pub(super) fn ask_ready(&self) {
        self.ask(
            |reply| AppMsg::ConsensusReady { reply },
            |(height, params)| Some(Message::Start(height, params)),
        );
    }

    pub(super) fn ask_part(&self, from: PeerId, part: hansa_node::consensus::host::PartMessage) {
        self.ask(
            |reply| AppMsg::ReceivedProposalPart { from, published_by: Some(from), part, reply },
            |value| value.map(|value| Message::Value(value, ValueOrigin::Consensus)),
        );
    }

    /// The engine tells of what it receives before it checks it.
    pub(super) fn tell(&self, input: &Input<LedgerContext>) {
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
    pub(super) fn fetch_log(&mut self, height: Height) -> io::Result<Vec<io::Result<Input<LedgerContext>>>> {
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

    pub(super) async fn perform(
        &mut self,
        effect: Effect<LedgerContext>,
    ) -> Result<Resume<LedgerContext>, Refused> {
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
                world.note(format_args!("{place} says {}", said(&message)));
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
                world
                    .note(format_args!("{place} streams {value_id} of round {valid_round} again in {round}"));
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

/// A statement in few words: what it is, its height and round, the beginning of the block's name, and whether it is not signed.
fn said(message: &SignedConsensusMsg<LedgerContext>) -> String {
    match message {
        SignedConsensusMsg::Vote(vote) => {
            let block = match vote.value {
                NilOrVal::Nil => "nil".to_owned(),
                NilOrVal::Val(id) => hex::encode(&id.0[..6]),
            };
            let withheld = if vote.signature == WITHHELD { ", unsigned" } else { "" };
            format!("{:?} {}/{} {block}{withheld}", vote.kind, vote.height.0, vote.round.as_i64())
        }
        SignedConsensusMsg::Proposal(proposal) => {
            let (round, pol_round) = (proposal.round.as_i64(), proposal.pol_round.as_i64());
            let block = hex::encode(&proposal.value.0[..6]);
            format!("Proposal {}/{round} {block} of {pol_round}", proposal.height.0)
        }
    }
}

/// An effect that was not carried out; why stands in [`Desk::halt`].
#[derive(Debug)]
pub(super) struct Refused;
