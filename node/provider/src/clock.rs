//! The agent's clock, behind a seat so that tests decide the time.

use std::time::Duration;

use async_trait::async_trait;
use hansa_ledger::time::TimeMs;
use hansa_node_api::peer::now_ms;

/// The longest one sleep: a clock that is set while the agent sleeps is noticed after that.
const SLEEP_MAX: Duration = Duration::from_secs(1);

/// Tells the time and waits for it.
#[async_trait]
pub trait Clock: Send + Sync {
    /// Now.
    fn now(&self) -> TimeMs;

    /// Returns when it is `time` or later.
    async fn sleep_until(&self, time: TimeMs);
}

/// This machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

#[async_trait]
impl Clock for SystemClock {
    fn now(&self) -> TimeMs {
        TimeMs(now_ms())
    }

    async fn sleep_until(&self, time: TimeMs) {
        loop {
            let left = Duration::from_millis(time.0.saturating_sub(now_ms()));
            if left.is_zero() {
                return;
            }
            tokio::time::sleep(left.min(SLEEP_MAX)).await;
        }
    }
}
