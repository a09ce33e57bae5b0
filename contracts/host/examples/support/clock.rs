//! CPU time of this thread: what other work on the machine does not count into.

use rustix::time::{ClockId, clock_gettime};

/// Nanoseconds of CPU that this thread has used.
#[must_use]
pub fn cpu_ns() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)
}

/// The median over so many rounds of what one of `calls` calls takes, in nanoseconds. The first round only warms up.
pub fn median(rounds: usize, calls: u32, mut call: impl FnMut()) -> f64 {
    let mut times: Vec<f64> = (0..=rounds)
        .map(|_| {
            let began = cpu_ns();
            for _ in 0..calls {
                call();
            }
            (cpu_ns() - began) as f64 / f64::from(calls)
        })
        .skip(1)
        .collect();
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}
