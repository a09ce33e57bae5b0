//! Token buckets: so much at once, so much per second after that.

use std::time::{Duration, Instant};

/// Holds up to `capacity` tokens and gains `per_second`.
#[derive(Debug)]
pub(super) struct Bucket {
    tokens: f64,
    capacity: f64,
    per_second: f64,
    filled: Instant,
}

impl Bucket {
    /// A full bucket that refills in `period`.
    pub(super) fn new(capacity: u32, period: Duration, now: Instant) -> Self {
        let capacity = f64::from(capacity);
        let per_second = capacity / period.as_secs_f64();
        Self { tokens: capacity, capacity, per_second, filled: now }
    }

    /// Takes `count` tokens, or none when there are not as many.
    pub(super) fn take(&mut self, count: u32, now: Instant) -> bool {
        let enough = self.has(count, now);
        if enough {
            self.tokens -= f64::from(count);
        }
        enough
    }

    /// Whether `count` tokens are there.
    pub(super) fn has(&mut self, count: u32, now: Instant) -> bool {
        let elapsed = now.saturating_duration_since(self.filled).as_secs_f64();
        self.filled = now;
        self.tokens = (self.tokens + elapsed * self.per_second).min(self.capacity);
        self.tokens >= f64::from(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_gives_its_fill_and_then_its_rate() {
        let start = Instant::now();
        let after = |milliseconds| start + Duration::from_millis(milliseconds);
        let mut bucket = Bucket::new(10, Duration::from_secs(1), start);
        let taken = |bucket: &mut Bucket, now| (0..100).filter(|_| bucket.take(1, now)).count();
        assert_eq!(taken(&mut bucket, start), 10);
        assert_eq!(taken(&mut bucket, after(99)), 0);
        assert_eq!(taken(&mut bucket, after(501)), 5);
        assert_eq!(taken(&mut bucket, after(90_000)), 10, "never above its capacity");
        assert!(!bucket.take(1, start), "time that runs backwards gives nothing");
        assert!(!Bucket::new(10, Duration::from_secs(1), start).take(11, start));
    }
}
