//! Whole proposals that came before their height: few of each peer, few in all, until their turn.

use crate::consensus::limits::{PENDING_HEIGHTS_AHEAD_MAX, PENDING_MAX, PENDING_PER_PEER_MAX};
use crate::consensus::parts::Streamed;
use malachitebft_app_channel::app::types::PeerId;
use tokio::time::Instant;

/// A proposal that waits.
pub(super) struct Waiting {
    pub(super) publisher: Option<PeerId>,
    pub(super) since: Instant,
    pub(super) streamed: Streamed,
}

/// The proposals that wait, oldest first.
#[derive(Default)]
pub(super) struct Pending(Vec<Waiting>);

impl Pending {
    /// Keeps a proposal until the node has come to its height; `next` is the height whose turn it is. A peer over its share
    /// loses its own oldest, never another's.
    pub(super) fn keep(&mut self, waiting: Waiting, next: u64) -> bool {
        let height = waiting.streamed.init.height;
        if height < next || height > next.saturating_add(PENDING_HEIGHTS_AHEAD_MAX) {
            return false;
        }
        let of_peer = |other: &Waiting| other.publisher == waiting.publisher;
        if self.0.iter().filter(|other| of_peer(other)).count() >= PENDING_PER_PEER_MAX {
            let oldest = self.0.iter().position(of_peer);
            if let Some(oldest) = oldest {
                self.0.remove(oldest);
            }
        }
        if self.0.len() >= PENDING_MAX {
            return false;
        }
        self.0.push(waiting);
        true
    }

    /// Takes out what waited for `height`.
    pub(super) fn take(&mut self, height: u64) -> Vec<Waiting> {
        let (taken, kept) = std::mem::take(&mut self.0)
            .into_iter()
            .partition(|waiting| waiting.streamed.init.height == height);
        self.0 = kept;
        taken
    }

    /// Drops what waits for a height that is decided.
    pub(super) fn forget_below(&mut self, next: u64) {
        self.0.retain(|waiting| waiting.streamed.init.height >= next);
    }
}
