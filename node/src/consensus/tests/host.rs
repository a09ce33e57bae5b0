//! The host's duties, one message at a time, without an engine.

use super::federation::{memory, validator_key, validators};
use super::ledger::{CHAIN, Ledger};
use crate::consensus::application::Origin;
use crate::consensus::codec::{LedgerCodec, PeerTips, peer_id};
use crate::consensus::context::{Address, BlockId, Height, LedgerContext, Proposal};
use crate::consensus::engine::Status;
use crate::consensus::host::missing::Notice;
use crate::consensus::host::{Host, HostParts, Offload};
use crate::consensus::limits::{MISSING_ATTEMPTS_MAX, MISSING_PAUSE};
use crate::consensus::pacing::Pacing;
use crate::consensus::parts::{Assembler, Fin, Init, Part, Streamed, split};
use crate::consensus::signing::{MemberSigner, MemberVerifier, parts_bytes, signed_proposal_bytes};
use hansa_ledger_signature::PublicKey;
use malachitebft_app_channel::app::streaming::StreamMessage;
use malachitebft_app_channel::app::types::LocallyProposedValue;
use malachitebft_app_channel::{AppMsg, NetworkMsg};
use malachitebft_core_consensus::{ProposedValue, Role};
use malachitebft_core_types::{Round, SignedProposal, Validity};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

/// Member 0 of 4 at height 1, answering.
pub(super) struct Desk {
    pub(super) ledger: Arc<Ledger>,
    messages: mpsc::Sender<AppMsg<LedgerContext>>,
    network: mpsc::Receiver<NetworkMsg<LedgerContext>>,
    stop: CancellationToken,
    tips: Arc<PeerTips>,
    notices: mpsc::Sender<Notice>,
    delivered: mpsc::UnboundedReceiver<ProposedValue<LedgerContext>>,
}

impl Desk {
    pub(super) async fn new() -> Self {
        let own = validator_key(0).public_key();
        Self::on(Ledger::new(validators(4), own, Arc::default())).await
    }

    async fn on(ledger: Arc<Ledger>) -> Self {
        let (messages, mut received) = mpsc::channel(1);
        let (network_sender, network) = mpsc::channel(64);
        let (ready, _) = oneshot::channel();
        let stop = CancellationToken::new();
        let tips = Arc::new(PeerTips::default());
        let (deliver, delivered) = mpsc::unbounded_channel();
        let host = Host::new(HostParts {
            application: Arc::clone(&ledger) as _,
            offload: Offload::Pool,
            signer: MemberSigner::new(CHAIN, validator_key(0), memory()),
            verifier: MemberVerifier::new(CHAIN),
            pacing: Pacing::new(ledger.own),
            tips: Arc::clone(&tips),
            network: network_sender,
            status: watch::Sender::new(Status::default()),
            ready,
            stop: stop.clone(),
            deliver: Box::new(move |value| deliver.send(value).unwrap()),
            hears: |_| true,
        });
        let notices = host.notices();
        tokio::spawn(async move { host.run(&mut received).await });
        let desk = Self { ledger, messages, network, stop, tips, notices, delivered };
        let (height, _) = desk.ask(|reply| AppMsg::ConsensusReady { reply }).await.unwrap();
        assert_eq!(height, Height(1));
        desk
    }

    pub(super) async fn ask<T>(
        &self,
        message: impl FnOnce(oneshot::Sender<T>) -> AppMsg<LedgerContext>,
    ) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        self.messages.send(message(reply)).await.unwrap();
        answer.await.ok()
    }

    pub(super) async fn tell(&self, message: AppMsg<LedgerContext>) {
        self.messages.send(message).await.unwrap();
    }

    async fn started_round(&self, round: u32) -> Vec<ProposedValue<LedgerContext>> {
        let message = |reply_value| AppMsg::StartedRound {
            height: Height(1),
            round: Round::new(round),
            proposer: Address(self.ledger.own),
            role: Role::Validator,
            reply_value,
        };
        self.ask(message).await.unwrap()
    }

    async fn get_value(&self, round: u32) -> Option<LocallyProposedValue<LedgerContext>> {
        let message = |reply| AppMsg::GetValue {
            height: Height(1),
            round: Round::new(round),
            timeout: Duration::from_millis(300),
            reply,
        };
        self.ask(message).await
    }

    /// Hands in all parts as published by one peer; gives the answer to the last.
    pub(super) async fn receive(&self, streamed: &Streamed) -> Option<ProposedValue<LedgerContext>> {
        let mut last = None;
        for part in split(streamed) {
            last = self.receive_part(part).await;
        }
        last
    }

    async fn receive_part(&self, part: StreamMessage<Part>) -> Option<ProposedValue<LedgerContext>> {
        let peer = peer_id(&PublicKey([77; 32]));
        let message =
            |reply| AppMsg::ReceivedProposalPart { from: peer, published_by: Some(peer), part, reply };
        self.ask(message).await.unwrap()
    }

    /// The next whole stream that the host publishes.
    async fn published(&mut self) -> Streamed {
        let mut assembler = Assembler::default();
        loop {
            let next = tokio::time::timeout(Duration::from_secs(5), self.network.recv()).await;
            let NetworkMsg::PublishProposalPart(part) = next.unwrap().unwrap();
            let peer = peer_id(&PublicKey([1; 32]));
            if let Some(whole) = assembler.insert(Some(peer), part, Instant::now().into()).unwrap() {
                return whole;
            }
        }
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Height 1 as member `signer` streams it in `round` in the name of `proposer`.
pub(super) fn proposal(proposer: usize, signer: usize, round: u32, numbers: &[u64]) -> Streamed {
    let key = validator_key(proposer).public_key();
    let (id, body) = Ledger::block(1, CHAIN, key, numbers);
    let round = Round::new(round);
    let signature = validator_key(signer).sign(&parts_bytes(&CHAIN, 1, round, Round::Nil, &id));
    let init = Init { height: 1, round, pol_round: Round::Nil, proposer: key };
    Streamed { init, fin: Fin { id, signature }, body }
}

#[tokio::test]
async fn only_the_rightful_proposer_is_heard_and_only_execution_is_held_against_an_id() {
    let mut other_body = proposal(1, 1, 1, &[4]);
    other_body.body = Ledger::block(1, CHAIN, other_body.init.proposer, &[5]).1;
    let mut other_round = proposal(1, 1, 1, &[4]);
    other_round.init.round = Round::new(5);
    let mut later_polka = proposal(1, 1, 1, &[4]);
    later_polka.init.pol_round = Round::new(1);
    let mut no_round = proposal(1, 1, 1, &[4]);
    no_round.init.round = Round::Nil;
    let mut far = proposal(1, 1, 1, &[4]);
    far.init.height = u64::MAX;
    let table = [
        ("rightful", proposal(1, 1, 1, &[4]), Some(Validity::Valid)),
        ("refused by execution", proposal(1, 1, 1, &[]), Some(Validity::Invalid)),
        ("not its turn", proposal(2, 2, 1, &[4]), None),
        ("signed by another", proposal(1, 2, 1, &[4]), None),
        ("another body", other_body, None),
        ("another round than signed", other_round, None),
        ("a polka of its own round", later_polka, None),
        ("no round", no_round, None),
        ("a far height", far, None),
    ];
    for (name, streamed, expected) in table {
        let desk = Desk::new().await;
        let value = desk.receive(&streamed).await;
        assert_eq!(value.as_ref().map(|value| value.validity), expected, "{name}");
        let kept = desk.ledger.state().undecided.len();
        assert_eq!(kept, usize::from(expected.is_some()), "{name}: kept what was answered");
        if expected.is_none() {
            // Nothing of a forgery sticks to the honest block with the same id.
            let honest = desk.receive(&proposal(1, 1, 1, &[4])).await;
            assert_eq!(honest.map(|value| value.validity), Some(Validity::Valid), "after {name}");
        }
    }
}

#[tokio::test]
async fn a_proposer_that_sends_many_blocks_fills_no_disk() {
    let desk = Desk::new().await;
    for number in 1..=5 {
        let judged = desk.receive(&proposal(1, 1, 1, &[number])).await;
        assert_eq!(judged.is_some(), number <= 2, "block {number} of one round");
    }
    assert_eq!(desk.ledger.state().undecided.len(), 2);
}

#[tokio::test]
async fn blocks_seen_before_a_crash_come_back_when_their_round_starts() {
    let desk = Desk::new().await;
    let seen = desk.receive(&proposal(1, 1, 1, &[4])).await.unwrap();
    let refused = desk.receive(&proposal(2, 2, 2, &[])).await.unwrap();
    let again = Desk::on(Arc::clone(&desk.ledger)).await;
    assert_eq!(again.started_round(0).await, []);
    assert_eq!(again.started_round(1).await, [seen]);
    assert_eq!(again.started_round(2).await, [refused]);
}

#[tokio::test]
async fn a_proposer_that_crashed_proposes_the_same_again() {
    let mut desk = Desk::new().await;
    desk.ledger.submit(1);
    let first = desk.get_value(0).await.unwrap();
    let streamed = desk.published().await;
    assert_eq!(first.value, BlockId(streamed.fin.id));
    assert_eq!(desk.ledger.state().undecided.len(), 1, "it is kept before it is told");

    // More work arrives, so a new block would be another.
    desk.ledger.submit(2);
    let mut again = Desk::on(Arc::clone(&desk.ledger)).await;
    assert_eq!(again.get_value(0).await, Some(first));
    assert_eq!(again.published().await, streamed);
}

#[tokio::test]
async fn without_work_in_time_the_round_passes() {
    let desk = Desk::new().await;
    let asked = Instant::now();
    assert_eq!(desk.get_value(0).await, None, "the reply is dropped");
    assert!(asked.elapsed() < Duration::from_millis(250), "a third of the time, not all of it");

    let ledger = Arc::clone(&desk.ledger);
    let (value, ()) = tokio::join!(desk.get_value(4), async { ledger.submit(1) });
    assert!(value.is_some(), "work that comes while the proposer waits is proposed at once");
}

#[tokio::test]
async fn a_block_proposed_again_is_streamed_unchanged() {
    let mut desk = Desk::new().await;
    let original = proposal(1, 1, 1, &[4]);
    desk.receive(&original).await.unwrap();
    desk.started_round(4).await;
    let message = AppMsg::RestreamProposal {
        height: Height(1),
        round: Round::new(4),
        valid_round: Round::new(1),
        address: Address(desk.ledger.own),
        value_id: BlockId(original.fin.id),
    };
    desk.messages.send(message).await.unwrap();
    assert_eq!(desk.published().await, original);

    // A member that missed it judges it as proposed again: the clock rule is for live proposals.
    let late = Desk::new().await;
    late.ledger.state().untimely = true;
    assert_eq!(late.receive(&original).await, None, "live, its time is wrong");
    late.started_round(4).await;
    let value = late.receive(&original).await;
    assert_eq!(value.map(|value| value.validity), Some(Validity::Valid));
    let origins: Vec<Origin> = late.ledger.state().checks.iter().map(|(_, origin)| *origin).collect();
    assert_eq!(origins, [Origin::Live, Origin::Reproposed]);
}

/// The proposal message for a streamed block, by `signer`.
fn announcement(streamed: &Streamed, signer: usize) -> SignedProposal<LedgerContext> {
    let proposal = Proposal {
        height: Height(streamed.init.height),
        round: streamed.init.round,
        value: BlockId(streamed.fin.id),
        pol_round: streamed.init.pol_round,
        proposer: Address(streamed.init.proposer),
    };
    let signature = validator_key(signer).sign(&signed_proposal_bytes(&CHAIN, &proposal));
    SignedProposal::new(proposal, signature)
}

#[tokio::test]
async fn a_block_whose_parts_were_lost_is_fetched_judged_and_handed_to_the_engine() {
    let mut other_height = proposal(1, 1, 1, &[4]);
    other_height.init.height = 2;
    let mut again = proposal(1, 1, 1, &[4]);
    again.init.pol_round = Round::new(0);
    let mut disordered = proposal(1, 1, 1, &[4]);
    disordered.init.pol_round = Round::new(1);
    let table = [
        ("rightful", proposal(1, 1, 1, &[4]), 1, true),
        ("signed by another", proposal(1, 1, 1, &[4]), 2, false),
        ("not its turn", proposal(2, 2, 1, &[4]), 2, false),
        ("another height", other_height, 1, false),
        ("proposed again", again, 1, true),
        ("proposed again, from a round to come", disordered, 1, false),
        ("a round somewhat ahead", proposal(3, 3, 7, &[4]), 3, true),
        ("a round far ahead", proposal(1, 1, 9, &[4]), 1, false),
    ];
    for (name, streamed, signer, wanted) in table {
        let mut desk = Desk::new().await;
        desk.ledger.state().bodies.insert(streamed.fin.id, streamed.body.clone());
        // All of it came but the body.
        for part in split(&streamed).into_iter().filter(|part| part.sequence != 1) {
            assert_eq!(desk.receive_part(part).await, None);
        }
        for _ in 0..3 {
            desk.notices.send(Notice::Announced(announcement(&streamed, signer))).await.unwrap();
        }
        let delivered = tokio::time::timeout(Duration::from_millis(1_000), desk.delivered.recv()).await;
        let delivered = delivered.ok().flatten();
        assert_eq!(
            delivered.as_ref().map(|value| value.value.0),
            wanted.then_some(streamed.fin.id),
            "{name}"
        );
        assert_eq!(desk.ledger.state().fetches, usize::from(wanted), "{name}: asked once, or never");
        assert_eq!(
            desk.ledger.state().undecided.len(),
            usize::from(wanted),
            "{name}: kept before it is told"
        );
    }
}

/// Tells of a block that member `round` proposes again in `round`, and gives what the engine is handed.
async fn proposed_again(
    desk: &mut Desk,
    streamed: &Streamed,
    round: u32,
) -> Option<ProposedValue<LedgerContext>> {
    let mut again = streamed.clone();
    again.init.round = Round::new(round);
    again.init.pol_round = streamed.init.round;
    again.init.proposer = validator_key(round as usize).public_key();
    desk.notices.send(Notice::Announced(announcement(&again, round as usize))).await.unwrap();
    let delivered = tokio::time::timeout(Duration::from_millis(1_000), desk.delivered.recv()).await;
    delivered.ok().flatten()
}

#[tokio::test]
async fn a_locked_block_that_nobody_can_stream_again_reaches_who_lacks_it() {
    let first = proposal(1, 1, 1, &[4]);
    // Its parts were lost on the way to this member, so it has no signature over them.
    let mut locked = Desk::new().await;
    locked.ledger.state().bodies.insert(first.fin.id, first.body.clone());
    locked.notices.send(Notice::Announced(announcement(&first, 1))).await.unwrap();
    assert!(locked.delivered.recv().await.is_some());
    let message = AppMsg::RestreamProposal {
        height: Height(1),
        round: Round::new(4),
        valid_round: Round::new(1),
        address: Address(locked.ledger.own),
        value_id: BlockId(first.fin.id),
    };
    locked.tell(message).await;
    locked.started_round(4).await;
    assert!(locked.network.try_recv().is_err(), "it cannot be streamed again");
    assert_eq!(proposed_again(&mut locked, &first, 2).await, None, "who has it asks for nothing");
    assert_eq!(locked.ledger.state().fetches, 1);

    let mut late = Desk::new().await;
    late.ledger.state().bodies.insert(first.fin.id, first.body.clone());
    late.ledger.state().untimely = true;
    late.started_round(2).await;
    let value = proposed_again(&mut late, &first, 2).await.expect("the body is asked for");
    assert_eq!((value.value.0, value.validity), (first.fin.id, Validity::Valid));
    assert_eq!((value.round, value.valid_round), (Round::new(2), Round::new(1)));
    let origins: Vec<Origin> = late.ledger.state().checks.iter().map(|(_, origin)| *origin).collect();
    assert_eq!(origins, [Origin::Reproposed], "the clock rule is for live proposals");
}

#[tokio::test]
async fn a_block_that_came_in_parts_is_not_fetched_and_one_that_nobody_has_is_given_up() {
    let mut desk = Desk::new().await;
    let whole = proposal(1, 1, 1, &[4]);
    desk.notices.send(Notice::Announced(announcement(&whole, 1))).await.unwrap();
    assert!(desk.receive(&whole).await.is_some());
    let nowhere = proposal(2, 2, 2, &[5]);
    desk.notices.send(Notice::Announced(announcement(&nowhere, 2))).await.unwrap();
    let asked = || desk.ledger.state().fetches as u32;
    let until = Instant::now() + Duration::from_secs(10);
    while asked() < MISSING_ATTEMPTS_MAX {
        assert!(Instant::now() < until);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    tokio::time::sleep(MISSING_PAUSE * 3).await;
    assert_eq!(asked(), MISSING_ATTEMPTS_MAX, "the one that nobody has, and no more of it");
    assert!(desk.delivered.try_recv().is_err());
}

#[tokio::test]
async fn synced_blocks_say_whose_fault_it_is() {
    use malachitebft_app_channel::app::engine::host::SyncedValueOutcome as Outcome;
    let good = proposal(1, 1, 1, &[4]);
    let with_id = |id: [u8; 32], body: &[u8]| [&id[..], body].concat();
    let table: [(&str, u64, Vec<u8>, &str); 6] = [
        ("good", 1, with_id(good.fin.id, &good.body), "valid"),
        ("no id", 1, vec![1; 20], "peer"),
        ("no body", 1, good.fin.id.to_vec(), "peer"),
        ("another id", 1, with_id([1; 32], &good.body), "peer"),
        ("garbage", 1, with_id(*blake3::hash(b"garbage").as_bytes(), b"garbage"), "peer"),
        ("not our height", 3, with_id(good.fin.id, &good.body), "local"),
    ];
    for (name, height, bytes, expected) in table {
        let desk = Desk::new().await;
        let outcome = desk
            .ask(|reply| AppMsg::ProcessSyncedValue {
                height: Height(height),
                round: Round::new(1),
                proposer: Address(desk.ledger.own),
                value_bytes: bytes.into(),
                reply,
            })
            .await
            .unwrap();
        let said = match outcome {
            Outcome::Verdict(value) if value.validity.is_valid() => "valid",
            Outcome::Verdict(_) => "invalid",
            Outcome::PeerFault => "peer",
            Outcome::LocalTransientError => "local",
        };
        assert_eq!(said, expected, "{name}");
    }
}

#[tokio::test]
async fn a_synced_block_that_was_proposed_here_keeps_its_record() {
    use malachitebft_app_channel::app::engine::host::SyncedValueOutcome as Outcome;
    let desk = Desk::new().await;
    let block = proposal(1, 1, 1, &[4]);
    desk.receive(&block).await.unwrap();
    let kept = desk.ledger.state().undecided.clone();
    let synced = |reply| AppMsg::ProcessSyncedValue {
        height: Height(1),
        round: Round::new(1),
        proposer: Address(block.init.proposer),
        value_bytes: [&block.fin.id[..], &block.body[..]].concat().into(),
        reply,
    };
    let Some(Outcome::Verdict(value)) = desk.ask(synced).await else { panic!("no verdict") };
    assert_eq!((value.value, value.validity), (BlockId(block.fin.id), Validity::Valid));
    assert_eq!(desk.ledger.state().undecided, kept, "with the proposer's signature, and no fsync more");
    assert_eq!(desk.ledger.state().checks.len(), 1);
}

#[tokio::test]
async fn decided_blocks_are_served_within_bounds() {
    use crate::consensus::application::Application;
    use crate::consensus::limits::{SYNC_HEIGHTS_MAX, SYNC_RESPONSE_BYTES_MAX};
    let desk = Desk::new().await;
    let mut parent = CHAIN;
    for height in 1..=40 {
        let padding = if height > 30 { 1 << 19 } else { 0 };
        desk.ledger.state().padding = padding;
        desk.ledger.submit(height);
        let built = desk.ledger.build(height, 0, Duration::ZERO).unwrap().unwrap();
        desk.ledger.save_undecided(height, 0, &built.id, &built.body, &[]).unwrap();
        let certificate =
            crate::consensus::Certificate { height, round: 0, id: built.id, signatures: Vec::new() };
        desk.ledger.commit(height, &built.id, &certificate.to_bytes()).unwrap();
        assert_ne!(parent, built.id);
        parent = built.id;
    }
    let serve = |start: u64, end: u64| {
        desk.ask(move |reply| AppMsg::GetDecidedValues { range: Height(start)..=Height(end), reply })
    };
    let heights = |values: Vec<malachitebft_sync::RawDecidedValue<LedgerContext>>| {
        values.iter().map(|value| value.certificate.height.0).collect::<Vec<_>>()
    };
    assert_eq!(heights(serve(3, 5).await.unwrap()), [3, 4, 5]);
    let all = heights(serve(1, u64::MAX).await.unwrap());
    assert_eq!(all, (1..=SYNC_HEIGHTS_MAX as u64).collect::<Vec<_>>(), "bounded in number");
    let large = serve(31, 40).await.unwrap();
    let bytes: usize = large.iter().map(|value| value.value_bytes.len()).sum();
    assert!(bytes < SYNC_RESPONSE_BYTES_MAX && !large.is_empty() && large.len() < 10, "and bytes");
    assert_eq!(heights(serve(39, 60).await.unwrap()), [39, 40], "up to the tip");
    assert_eq!(heights(serve(41, 60).await.unwrap()), [0u64; 0]);
    assert_eq!(heights(serve(0, 5).await.unwrap()), [0u64; 0], "nothing before the first");
}

#[tokio::test]
async fn a_member_that_is_behind_does_not_pause() {
    use crate::consensus::certificate::precommit_bytes;
    use malachitebft_app_channel::app::engine::host::Next;
    use malachitebft_app_channel::app::types::codec::Codec;
    use malachitebft_core_types::{CommitCertificate, CommitSignature};
    for (peers_tip, pauses) in [(1, true), (2, false)] {
        let desk = Desk::new().await;
        let status = malachitebft_sync::Status::<LedgerContext> {
            peer_id: peer_id(&PublicKey([3; 32])),
            tip_height: Height(peers_tip),
            history_min_height: Height(1),
        };
        let codec = LedgerCodec::observing(Arc::clone(&desk.tips));
        let bytes = codec.encode(&status).unwrap();
        assert_eq!(codec.decode(bytes), Ok(status));

        let block = proposal(1, 1, 1, &[4]);
        let synced = |reply| AppMsg::ProcessSyncedValue {
            height: Height(1),
            round: Round::new(1),
            proposer: Address(block.init.proposer),
            value_bytes: [&block.fin.id[..], &block.body[..]].concat().into(),
            reply,
        };
        desk.ask(synced).await.unwrap();
        let signed = |index| {
            let key = validator_key(index);
            let signature = key.sign(&precommit_bytes(&CHAIN, 1, 1, &block.fin.id));
            CommitSignature::new(Address(key.public_key()), signature)
        };
        let certificate = CommitCertificate {
            height: Height(1),
            round: Round::new(1),
            value_id: BlockId(block.fin.id),
            commit_signatures: (1..4).map(signed).collect(),
        };
        let decided = |reply| AppMsg::Decided {
            certificate: certificate.clone(),
            extensions: Default::default(),
            reply,
        };
        desk.ask(decided).await.unwrap();
        assert_eq!(desk.ledger.ids(), [block.fin.id], "durable before the answer");
        let evidence = malachitebft_core_consensus::MisbehaviorEvidence {
            proposals: Default::default(),
            votes: Default::default(),
        };
        let finalized = |reply| AppMsg::Finalized {
            certificate: certificate.clone(),
            extensions: Default::default(),
            evidence,
            reply,
        };
        let next = tokio::time::timeout(Duration::from_millis(200), desk.ask(finalized)).await;
        assert_eq!(next.is_err(), pauses, "a peer says {peers_tip}");
        if let Ok(next) = next {
            assert!(matches!(next, Some(Next::Start(Height(2), _))), "never a restart");
        }
    }
}
