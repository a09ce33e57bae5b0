//! When the next height starts: an idle federation makes nothing, and nobody is late when there is something to do.
//!
//! The engine waits for the answer to its `Finalized` message before it starts the next height. That answer is held until the
//! first of: the node's own reason ([`super::Application::work`]: a valid transaction, a ledger deadline, the heartbeat); the
//! rightful proposer's block for that height, signed and found valid; votes for it by one more member than may lie. So one noisy
//! member keeps nobody awake, and nodes that miss a reason follow those that have one.

use super::certificate::faults_max;
use super::context::{LedgerContext, Vote};
use super::limits::VOTE_FAILURES_PER_SECOND_MAX;
use super::signing::MemberVerifier;
use futures::future::BoxFuture;
use hansa_ledger_signature::{PublicKey, Signature};
use malachitebft_app_channel::app::engine::util::events::{Event, RxEvent};
use malachitebft_core_consensus::SignedConsensusMsg;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;
use tokio::time::Instant;

/// Why a height starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wake {
    /// The node's own reason.
    Work,
    /// The rightful proposer's valid block is here.
    Proposal,
    /// More members than may lie are voting.
    Votes,
}

/// What the pause between heights looks at. Cheap to clone; all clones see the same.
#[derive(Clone, Debug)]
pub struct Pacing {
    own: PublicKey,
    /// The height after the last finalized one, and who signs it.
    next: Arc<watch::Sender<(u64, Arc<BTreeSet<PublicKey>>)>>,
    /// The highest height each member has verifiably voted on.
    votes: Arc<watch::Sender<BTreeMap<PublicKey, u64>>>,
    /// The highest height with a valid proposal.
    proposal: Arc<watch::Sender<u64>>,
}

impl Pacing {
    /// For a node whose validator key is `own`: its own votes wake nobody here.
    #[must_use]
    pub fn new(own: PublicKey) -> Self {
        Self {
            own,
            next: Arc::new(watch::Sender::new((0, Arc::default()))),
            votes: Arc::new(watch::Sender::new(BTreeMap::new())),
            proposal: Arc::new(watch::Sender::new(0)),
        }
    }

    /// Sets the height whose start is paced next, and the members that sign it.
    pub fn expect(&self, height: u64, members: BTreeSet<PublicKey>) {
        self.votes.send_if_modified(|votes| {
            let before = votes.len();
            votes.retain(|member, _| members.contains(member));
            votes.len() != before
        });
        self.next.send_replace((height, Arc::new(members)));
    }

    /// Notes a proposal for `height` that is signed by the rightful proposer and valid.
    pub fn proposal_valid(&self, height: u64) {
        self.proposal.send_if_modified(|highest| {
            let higher = height > *highest;
            *highest = (*highest).max(height);
            higher
        });
    }

    /// Whether a vote is worth a signature check: for the expected height or above, by another member, and new.
    fn vote_matters(&self, vote: &Vote) -> bool {
        let (height, members) = &*self.next.borrow();
        let voter = vote.voter.0;
        vote.height.0 >= *height
            && voter != self.own
            && members.contains(&voter)
            && self.votes.borrow().get(&voter).is_none_or(|seen| seen < height)
    }

    /// Notes a vote whose signature holds.
    fn vote_verified(&self, voter: PublicKey, height: u64) {
        self.votes.send_modify(|votes| {
            let highest = votes.entry(voter).or_default();
            *highest = (*highest).max(height);
        });
    }

    /// Waits until `height`, the expected one, has a reason to start.
    pub async fn wait(&self, height: u64, work: BoxFuture<'static, ()>) -> Wake {
        let needed = faults_max(self.next.borrow().1.len()) + 1;
        let mut proposal = self.proposal.subscribe();
        let mut votes = self.votes.subscribe();
        tokio::select! {
            () = work => Wake::Work,
            _ = proposal.wait_for(|highest| *highest >= height) => Wake::Proposal,
            _ = votes.wait_for(|votes| {
                votes.values().filter(|voted| **voted >= height).count() >= needed
            }) => Wake::Votes,
        }
    }

    /// Follows the votes that reach the engine, until it stops. The engine reports them before it checks them, so each is
    /// checked here; how many bad ones are looked at is limited per second.
    pub async fn watch_votes(self, verifier: MemberVerifier, mut events: RxEvent<LedgerContext>) {
        let mut failures = Failures::default();
        loop {
            match events.recv().await {
                Ok(Event::Received(SignedConsensusMsg::Vote(vote))) => {
                    self.received(&verifier, &mut failures, &vote.message, &vote.signature);
                }
                // Votes are repeated by the members, so those lost to a slow moment come again.
                Ok(_) | Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return,
            }
        }
    }

    fn received(
        &self,
        verifier: &MemberVerifier,
        failures: &mut Failures,
        vote: &Vote,
        signature: &Signature,
    ) {
        if !self.vote_matters(vote) || failures.exhausted(Instant::now()) {
            return;
        }
        if verifier.vote_holds(vote, signature) {
            self.vote_verified(vote.voter.0, vote.height.0);
        } else {
            failures.count += 1;
        }
    }
}

/// The wrong signatures seen within the current second.
#[derive(Debug, Default)]
struct Failures {
    since: Option<Instant>,
    count: u32,
}

impl Failures {
    fn exhausted(&mut self, now: Instant) -> bool {
        let current =
            self.since.is_some_and(|since| now.saturating_duration_since(since) < Duration::from_secs(1));
        if !current {
            *self = Self { since: Some(now), count: 0 };
        }
        self.count >= VOTE_FAILURES_PER_SECOND_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::consensus::context::{Address, Height};
    use hansa_ledger_signature::SecretKey;
    use malachitebft_core_types::{NilOrVal, Round, VoteType};

    const CHAIN: [u8; 32] = [7; 32];

    fn secret(index: u8) -> SecretKey {
        SecretKey::from_bytes([index + 1; 32])
    }

    fn vote(voter: u8, height: u64) -> Vote {
        Vote {
            kind: VoteType::Prevote,
            height: Height(height),
            round: Round::new(0),
            value: NilOrVal::Nil,
            voter: Address(secret(voter).public_key()),
        }
    }

    fn signature(vote: &Vote, signer: u8) -> Signature {
        secret(signer).sign(&crate::consensus::signing::signed_vote_bytes(&CHAIN, vote))
    }

    /// Sends `votes` (claimed voter, height, real signer) to member 0 of 4, which expects height 5, and says what woke it.
    async fn woken_by(votes: &[(u8, u64, u8)]) -> Option<Wake> {
        let pacing = Pacing::new(secret(0).public_key());
        pacing.expect(5, (0..4).map(|index| secret(index).public_key()).collect());
        let verifier = MemberVerifier::new(CHAIN);
        let mut failures = Failures::default();
        for (voter, height, signer) in votes {
            let vote = vote(*voter, *height);
            pacing.received(&verifier, &mut failures, &vote, &signature(&vote, *signer));
        }
        let wait = pacing.wait(5, Box::pin(std::future::pending()));
        tokio::time::timeout(Duration::from_millis(5), wait).await.ok()
    }

    #[tokio::test]
    async fn votes_wake_only_when_more_members_vote_than_may_lie() {
        type Row<'a> = (&'a str, &'a [(u8, u64, u8)], Option<Wake>);
        let table: [Row<'_>; 8] = [
            ("nobody", &[], None),
            ("one member", &[(1, 5, 1)], None),
            ("one member, often", &[(1, 5, 1), (1, 6, 1), (1, 7, 1)], None),
            ("two members", &[(1, 5, 1), (2, 5, 2)], Some(Wake::Votes)),
            ("two members, further on", &[(1, 9, 1), (2, 6, 2)], Some(Wake::Votes)),
            ("an old height", &[(1, 4, 1), (2, 4, 2), (3, 4, 3)], None),
            ("a forged second", &[(1, 5, 1), (2, 5, 1)], None),
            ("ourselves and strangers", &[(1, 5, 1), (0, 5, 0), (9, 5, 9)], None),
        ];
        for (name, votes, expected) in table {
            assert_eq!(woken_by(votes).await, expected, "{name}");
        }
    }

    #[tokio::test]
    async fn forgeries_beyond_the_limit_are_not_looked_at() {
        let pacing = Pacing::new(secret(0).public_key());
        pacing.expect(5, (0..4).map(|index| secret(index).public_key()).collect());
        let verifier = MemberVerifier::new(CHAIN);
        let mut failures = Failures::default();
        let forged = vote(2, 5);
        for _ in 0..VOTE_FAILURES_PER_SECOND_MAX {
            pacing.received(&verifier, &mut failures, &forged, &signature(&forged, 1));
        }
        let good = vote(2, 5);
        pacing.received(&verifier, &mut failures, &good, &signature(&good, 2));
        assert!(pacing.votes.borrow().is_empty(), "the limit of this second is used up");
        failures.since = Instant::now().checked_sub(Duration::from_secs(2));
        pacing.received(&verifier, &mut failures, &good, &signature(&good, 2));
        assert_eq!(pacing.votes.borrow().len(), 1, "the next second looks again");
    }

    #[tokio::test]
    async fn own_work_and_valid_proposals_wake() {
        let pacing = Pacing::new(secret(0).public_key());
        pacing.expect(5, (0..4).map(|index| secret(index).public_key()).collect());
        assert_eq!(pacing.wait(5, Box::pin(async {})).await, Wake::Work);
        pacing.proposal_valid(4);
        let wait = pacing.wait(5, Box::pin(std::future::pending()));
        assert!(tokio::time::timeout(Duration::from_millis(5), wait).await.is_err());
        pacing.proposal_valid(5);
        assert_eq!(pacing.wait(5, Box::pin(std::future::pending())).await, Wake::Proposal);
    }
}
