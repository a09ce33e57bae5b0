//! Whether the node may be relied on: it keeps what it is given, hears enough of the others, and is as far as they are.

use crate::consensus::certificate::faults_max;
use crate::executor::{Executor, clock};
use crate::network::{NetworkHandle, PeerId};
use hansa_ledger::apply::chain;
use hansa_ledger::block::validators;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;

/// A node is not ready while it is this much behind the time at which the next block was due.
const SILENCE_MS_MAX: u64 = 20_000;

/// How many heights a node may be below what the others say: blocks become final here and there at slightly different times.
const HEIGHTS_BEHIND_MAX: u64 = 2;

/// How often the others are asked for their height...
const ASK_PAUSE: Duration = Duration::from_secs(5);

/// ...and how often while this node has not caught up with them.
const ASK_PAUSE_BEHIND: Duration = Duration::from_millis(250);

/// What is known of one member's height.
#[derive(Clone, Copy, Debug, Default)]
struct Heard {
    height: Option<u64>,
    /// A question is on its way.
    asked: bool,
}

/// How far the connected members say they are. Each answers for itself over its own authenticated connection, so that one that
/// lies moves one claim.
#[derive(Debug)]
pub struct PeerHeights {
    height_at_start: u64,
    heard: Mutex<BTreeMap<PeerId, Heard>>,
}

impl PeerHeights {
    /// Nothing heard yet, at a node that started with this height.
    #[must_use]
    pub fn new(height_at_start: u64) -> Self {
        Self { height_at_start, heard: Mutex::default() }
    }

    /// What this member said last, while it is connected.
    #[must_use]
    pub fn height(&self, peer: &PeerId) -> Option<u64> {
        self.lock().get(peer).and_then(|heard| heard.height)
    }

    fn heights(&self) -> Vec<u64> {
        self.lock().values().filter_map(|heard| heard.height).collect()
    }

    /// Forgets who is gone, and gives those of `present` that wait for no answer.
    fn to_ask(&self, present: &[PeerId]) -> Vec<PeerId> {
        let mut heard = self.lock();
        heard.retain(|peer, _| present.contains(peer));
        let mut ask = Vec::new();
        for peer in present {
            let heard = heard.entry(*peer).or_default();
            if !std::mem::replace(&mut heard.asked, true) {
                ask.push(*peer);
            }
        }
        ask
    }

    fn answered(&self, peer: &PeerId, height: Option<u64>) {
        if let Some(heard) = self.lock().get_mut(peer) {
            *heard = Heard { height: height.or(heard.height), asked: false };
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<PeerId, Heard>> {
        self.heard.lock().expect("no thread panics while it holds the heights")
    }
}

/// What readiness depends on, at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Why the store keeps nothing, if so.
    pub store: Option<String>,
    /// Members of the federation, this one included.
    pub members: usize,
    /// Other members' nodes that are connected.
    pub peers_connected: usize,
    /// The heights that they said they have.
    pub heights: Vec<u64>,
    /// This node's height.
    pub height: u64,
    /// The height it started with.
    pub height_at_start: u64,
    /// Milliseconds since the next block has been due.
    pub late_ms: u64,
    /// What is being done about a snapshot of the ledger, if one is fetched.
    pub snapshot: Option<String>,
}

impl Standing {
    /// How the node stands now.
    #[must_use]
    pub fn of(executor: &Executor, network: &NetworkHandle, heights: &PeerHeights) -> Self {
        let store = executor.store().writable().err().map(|error| error.to_string());
        let (height, members) = {
            let state = executor.state();
            {
                let height = chain(&state).height;
                (height, validators(&state, height.saturating_add(1)).len())
            }
        };
        Self {
            store,
            members,
            peers_connected: network.peers().iter().filter(|peer| peer.member && peer.ready).count(),
            heights: heights.heights(),
            height,
            height_at_start: heights.height_at_start,
            late_ms: clock().0.saturating_sub(executor.due().0),
            snapshot: None,
        }
    }

    /// How many others make a decision with this node.
    fn others_needed(&self) -> usize {
        self.members.saturating_mul(2) / 3
    }

    /// The height that one honest member at least says it has: one more says so than may lie.
    fn height_claimed(&self) -> u64 {
        let mut heights = self.heights.clone();
        heights.sort_unstable_by(|one, other| other.cmp(one));
        heights.get(faults_max(self.members)).copied().unwrap_or(0)
    }

    /// Whether so few were heard that nobody knows how far the federation is. Who has taken part in a decision since the start
    /// knows it.
    fn is_unsure(&self) -> bool {
        self.heights.len() < self.others_needed() && self.height <= self.height_at_start
    }

    /// Whether the others are ahead by more than a block takes from one to the next.
    #[must_use]
    pub fn is_behind(&self) -> bool {
        self.height_claimed() > self.height.saturating_add(HEIGHTS_BEHIND_MAX)
    }

    /// Whether the node has blocks to fetch, or none has come for long.
    #[must_use]
    pub fn is_syncing(&self) -> bool {
        self.snapshot.is_some() || self.is_behind() || self.late_ms > SILENCE_MS_MAX
    }

    /// Whether the node may be asked and counted on, and if not, why.
    #[must_use]
    pub fn unready_reason(&self) -> Option<String> {
        let needed = self.others_needed();
        if let Some(store) = &self.store {
            return Some(format!("it keeps nothing, and so votes for nothing: {store}"));
        }
        if let Some(snapshot) = &self.snapshot {
            return Some(format!("it {snapshot}"));
        }
        if self.peers_connected < needed {
            return Some(format!(
                "connected to {} other members, and {needed} are needed for a decision",
                self.peers_connected
            ));
        }
        if self.is_unsure() {
            return Some(format!(
                "{} other members have said how far they are, and {needed} have to",
                self.heights.len()
            ));
        }
        if self.is_behind() {
            return Some(format!(
                "it catches up: at height {}, and the others are at {}",
                self.height,
                self.height_claimed()
            ));
        }
        (self.late_ms > SILENCE_MS_MAX).then(|| {
            format!(
                "a block has been due for {} s; the node catches up or the federation stands still",
                self.late_ms / 1_000
            )
        })
    }
}

/// Tells the members how far this node is when they ask, and asks them, often while it has not caught up with them.
pub async fn follow_heights(
    executor: Arc<Executor>,
    network: NetworkHandle,
    heights: Arc<PeerHeights>,
    stop: CancellationToken,
) {
    let mut blocks = executor.follow();
    let mut peers = network.watch_peers();
    let tell = || network.set_tip(chain(&executor.state()).height);
    tell();
    let mut next = tokio::time::Instant::now();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            block = blocks.recv() => match block {
                Ok(record) => {
                    network.set_tip(record.header.height);
                    continue;
                }
                Err(RecvError::Lagged(_)) => {
                    tell();
                    continue;
                }
                Err(RecvError::Closed) => return,
            },
            // The sender goes with the network.
            changed = peers.changed() => if changed.is_err() { return },
            () = tokio::time::sleep_until(next) => {}
        }
        let present: Vec<PeerId> = network
            .peers()
            .into_iter()
            .filter(|peer| peer.member && peer.ready)
            .map(|peer| peer.peer_id)
            .collect();
        for peer in heights.to_ask(&present) {
            let (network, heights) = (network.clone(), heights.clone());
            tokio::spawn(async move { heights.answered(&peer, network.ask_tip(peer).await) });
        }
        let standing = Standing::of(&executor, &network, &heights);
        let behind = standing.is_unsure() || standing.is_behind();
        next = tokio::time::Instant::now() + if behind { ASK_PAUSE_BEHIND } else { ASK_PAUSE };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caught_up() -> Standing {
        Standing {
            store: None,
            members: 4,
            peers_connected: 3,
            heights: vec![50, 50, 50],
            height: 50,
            height_at_start: 50,
            late_ms: 0,
            snapshot: None,
        }
    }

    #[test]
    fn a_node_is_ready_only_when_it_keeps_hears_and_has_caught_up() {
        type Row<'a> = (&'a str, fn(&mut Standing), Option<&'a str>);
        let table: [Row<'_>; 16] = [
            ("caught up", |_| {}, None),
            ("the disk is full", |it| it.store = Some("the disk is low".into()), Some("the disk is low")),
            ("too few are connected", |it| it.peers_connected = 1, Some("connected to 1 other")),
            ("one is away", |it| (it.peers_connected, it.heights) = (2, vec![50, 50]), None),
            ("nobody has said a height", |it| it.heights.clear(), Some("0 other members have said")),
            ("one of two has", |it| it.heights = vec![50], Some("1 other members have said")),
            ("but it has decided", |it| (it.heights, it.height) = (vec![], 51), None),
            ("two heights behind", |it| it.heights = vec![52, 52, 52], None),
            (
                "three heights behind",
                |it| it.heights = vec![53, 53, 53],
                Some("at height 50, and the others are at 53"),
            ),
            ("one is far ahead", |it| it.heights = vec![u64::MAX, 50, 50], None),
            ("two are ahead", |it| it.heights = vec![70, 60, 50], Some("others are at 60")),
            ("it is ahead of the others", |it| it.height = 90, None),
            (
                "syncing, deciding or not",
                |it| (it.height, it.heights) = (60, vec![90; 3]),
                Some("it catches up"),
            ),
            (
                "it fetches a snapshot",
                |it| it.snapshot = Some("fetches the snapshot of height 9: 1 of 4 parts".into()),
                Some("it fetches the snapshot of height 9: 1 of 4 parts"),
            ),
            ("no block comes", |it| it.late_ms = 21_000, Some("due for 21 s")),
            ("alone", |it| (it.members, it.peers_connected, it.heights) = (1, 0, vec![]), None),
        ];
        for (name, change, expected) in table {
            let mut standing = caught_up();
            change(&mut standing);
            let reason = standing.unready_reason();
            assert_eq!(reason.is_some(), expected.is_some(), "{name}: {reason:?}");
            assert!(reason.unwrap_or_default().contains(expected.unwrap_or_default()), "{name}");
        }
    }

    #[test]
    fn heights_of_those_who_left_are_forgotten_and_nobody_is_asked_twice_at_once() {
        let [one, two] = [PeerId::random(), PeerId::random()];
        let heights = PeerHeights::new(0);
        assert_eq!(heights.to_ask(&[one, two]), [one, two]);
        assert!(heights.to_ask(&[one, two]).is_empty());
        heights.answered(&one, Some(5));
        heights.answered(&two, None);
        assert_eq!((heights.height(&one), heights.height(&two)), (Some(5), None));
        assert_eq!(heights.to_ask(&[one, two]), [one, two]);
        heights.answered(&one, None);
        assert_eq!(heights.height(&one), Some(5), "a member that does not answer stands where it stood");
        assert!(heights.to_ask(&[two]).is_empty());
        heights.answered(&one, Some(6));
        assert!(heights.heights().is_empty());
    }
}
