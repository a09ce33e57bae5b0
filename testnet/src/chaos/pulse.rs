//! The pulse of a federation: when each block was first seen, and the gaps between them.

use crate::federation::Federation;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// How often each node is looked at; gaps are known this finely.
const LOOK_PAUSE: Duration = Duration::from_millis(20);

/// How long a look may take: a node that stands still answers never.
const LOOK_TIME_MAX: Duration = Duration::from_millis(1_000);

#[derive(Debug, Default)]
struct Seen {
    /// When a height was first seen at any node.
    tips: Vec<(Instant, u64)>,
    /// The last height seen at each node.
    heights: Vec<u64>,
}

/// Looks at all nodes until it is dropped.
#[derive(Debug)]
pub(super) struct Pulse {
    seen: Arc<Mutex<Seen>>,
    _looks: JoinSet<()>,
}

impl Pulse {
    pub fn start(federation: &Federation) -> Self {
        let nodes = federation.clients().len();
        let seen = Arc::new(Mutex::new(Seen { tips: Vec::new(), heights: vec![0; nodes] }));
        let mut looks = JoinSet::new();
        for (at, (_, client)) in federation.clients().iter().cloned().enumerate() {
            let seen = Arc::clone(&seen);
            looks.spawn(async move {
                loop {
                    if let Ok(Ok(status)) = timeout(LOOK_TIME_MAX, client.status()).await {
                        let mut seen = held(&seen);
                        seen.heights[at] = status.height;
                        if seen.tips.last().is_none_or(|(_, tip)| *tip < status.height) {
                            seen.tips.push((Instant::now(), status.height));
                        }
                    }
                    tokio::time::sleep(LOOK_PAUSE).await;
                }
            });
        }
        Self { seen, _looks: looks }
    }

    /// The greatest height seen anywhere.
    pub fn tip(&self) -> u64 {
        held(&self.seen).tips.last().map_or(0, |(_, height)| *height)
    }

    /// The gaps that began or ended between two moments, in milliseconds. One that has not ended counts up to `to`.
    pub fn gaps(&self, from: Instant, to: Instant) -> Vec<f64> {
        let seen = held(&self.seen);
        gaps(seen.tips.iter().map(|(at, _)| *at), from, to)
    }
}

fn gaps(moments: impl Iterator<Item = Instant>, from: Instant, to: Instant) -> Vec<f64> {
    let mut gaps = Vec::new();
    let mut before: Option<Instant> = None;
    for at in moments {
        if at > to {
            break;
        }
        if at > from {
            // The gap in which the fault began counts whole: its first part is what was on its way.
            gaps.push((at - before.unwrap_or(from)).as_secs_f64() * 1_000.0);
        }
        before = Some(at);
    }
    gaps.push((to - before.unwrap_or(from).min(to)).as_secs_f64() * 1_000.0);
    gaps
}

fn held(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_are_those_that_overlap_the_time_in_question() {
        let zero = Instant::now();
        let at = |ms| zero + Duration::from_millis(ms);
        let moments = [0, 100, 150, 700, 900].map(at);
        let seen = |from, to| {
            let found = gaps(moments.iter().copied(), at(from), at(to));
            found.into_iter().map(f64::round).collect::<Vec<_>>()
        };
        assert_eq!(seen(120, 800), [50.0, 550.0, 100.0]);
        assert_eq!(seen(200, 600), [450.0], "one that began before and goes on");
        assert_eq!(seen(900, 2_000), [1_100.0]);
        assert_eq!(gaps(std::iter::empty(), at(0), at(5)), [5.0]);
    }
}
