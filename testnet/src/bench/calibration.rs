//! The kernel that every run begins and ends with: checking signatures, which is the least any validator has to do. It tells how
//! fast the machine is at this moment and whether both processors are really there.

use super::machine::cores;
use crate::error::TestnetError;
use hansa_ledger_signature::{Cache, PublicKey, SecretKey, Signature, Signed};
use std::time::{Duration, Instant};

/// Signatures in a batch, each of its own signer.
const BATCH: usize = 1_024;

/// How long each kernel runs.
const TIME: Duration = Duration::from_secs(2);

/// How far the machine may drift between the beginning and the end of a run that counts.
const DRIFT_MAX: f64 = 0.15;

/// How much two threads must do for the second processor to count as free.
const SPEED_UP_MIN: f64 = 1.7;

/// What the kernel found.
#[derive(Clone, Copy, Debug)]
pub(super) struct Calibration {
    /// Processor time of one signature in a batch on one thread, in microseconds.
    pub verify_us: f64,
    /// What two threads do in the time of one.
    pub speed_up: f64,
}

/// A message of about the size of a transfer.
#[derive(Clone)]
struct Message {
    signer: PublicKey,
    signature: Signature,
    bytes: Vec<u8>,
}

impl Signed for Message {
    fn signer(&self) -> PublicKey {
        self.signer
    }

    fn signature(&self) -> Signature {
        self.signature
    }

    fn signing_bytes(&self) -> Vec<u8> {
        self.bytes.clone()
    }
}

impl Calibration {
    /// Runs the kernel.
    ///
    /// # Errors
    /// When a thread panics.
    pub async fn take() -> Result<Self, TestnetError> {
        let measured = tokio::task::spawn_blocking(|| {
            let messages = messages();
            let one = signatures_per_second(&messages, 1);
            let two = signatures_per_second(&messages, 2.min(cores()));
            Self { verify_us: 1_000_000.0 / one, speed_up: two / one }
        });
        measured.await.map_err(|error| TestnetError::Broken(format!("the calibration stopped: {error}")))
    }

    /// Why a run between these two does not count, if it does not.
    pub fn doubt(before: &Self, after: &Self) -> Option<String> {
        let drift = (after.verify_us / before.verify_us - 1.0).abs();
        let speed_up = before.speed_up.min(after.speed_up);
        if drift > DRIFT_MAX {
            return Some(format!("the machine drifted by {:.0} % during the run", drift * 100.0));
        }
        (cores() > 1 && speed_up < SPEED_UP_MIN).then(|| {
            format!("two threads did {speed_up:.2} times the work of one: other programs used the machine")
        })
    }
}

fn messages() -> Vec<Message> {
    (0..BATCH)
        .map(|index| {
            let key = SecretKey::generate();
            let bytes = [index.to_le_bytes().as_slice(), &[7; 192]].concat();
            Message { signer: key.public_key(), signature: key.sign(&bytes), bytes }
        })
        .collect()
}

fn signatures_per_second(messages: &[Message], threads: usize) -> f64 {
    let batches = || {
        let (began, mut done) = (Instant::now(), 0usize);
        while began.elapsed() < TIME {
            // A new cache each time, for one that knows the batch would check nothing.
            let verdicts = Cache::new(BATCH).verify_all(messages.to_vec());
            assert!(verdicts.iter().all(Result::is_ok), "the kernel signed these messages itself");
            done += verdicts.len();
        }
        done as f64 / began.elapsed().as_secs_f64()
    };
    std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(batches)).collect();
        running.into_iter().map(|thread| thread.join().expect("the kernel's own signatures hold")).sum()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_on_a_shared_or_drifting_machine_does_not_count() {
        let calibration = |verify_us, speed_up| Calibration { verify_us, speed_up };
        let steady = calibration(13.0, 1.9);
        for (after, counts) in [
            (steady, true),
            (calibration(14.9, 1.8), true),
            (calibration(15.0, 1.9), false),
            (calibration(11.0, 1.9), false),
        ] {
            assert_eq!(Calibration::doubt(&steady, &after).is_none(), counts, "{after:?}");
        }
        assert_eq!(Calibration::doubt(&steady, &calibration(13.0, 1.6)).is_some(), cores() > 1);
    }
}
