//! What this node has verified, shared by all its threads; no lock is held while signatures are checked.

use hansa_ledger_signature::{Cache, Lookup, SignatureError, Signed, Verified};
use std::sync::{Condvar, Mutex, MutexGuard};

/// The node's memory of verified signatures. Each signature is checked once on a node: what one thread has in hand, another
/// waits for.
pub(super) struct Signatures {
    cache: Mutex<Cache>,
    settled: Condvar,
}

/// Gives the claims of a lookup up when a check panics: the other threads would wait for them for ever.
struct Claims<'a, T: Signed> {
    signatures: &'a Signatures,
    lookup: Lookup<T>,
}

impl<T: Signed> Drop for Claims<'_, T> {
    fn drop(&mut self) {
        if self.lookup.has_claims() {
            self.signatures.lock().give_up(&mut self.lookup);
            self.signatures.settled.notify_all();
        }
    }
}

impl Signatures {
    /// Remembers up to `entries_max` signatures.
    pub(super) fn new(entries_max: usize) -> Self {
        Self { cache: Mutex::new(Cache::new(entries_max)), settled: Condvar::new() }
    }

    /// Signatures really checked since the start.
    pub(super) fn checks(&self) -> u64 {
        self.lock().checks()
    }

    /// Verifies values in batches, each with its own verdict, in the order given.
    pub(super) fn verify_all<T: Signed>(&self, values: Vec<T>) -> Vec<Result<Verified<T>, SignatureError>> {
        let mut claims = Claims { signatures: self, lookup: Lookup::new(values) };
        let mut cache = self.lock();
        loop {
            cache.claim(&mut claims.lookup);
            if claims.lookup.has_claims() {
                drop(cache);
                claims.lookup.check();
                cache = self.lock();
                cache.settle(&mut claims.lookup);
                self.settled.notify_all();
            } else if claims.lookup.is_open() {
                cache =
                    self.settled.wait(cache).expect("no thread panics while it holds the signature cache");
            } else {
                break;
            }
        }
        drop(cache);
        std::mem::replace(&mut claims.lookup, Lookup::new(Vec::new())).into_verdicts()
    }

    /// Claims for another thread, which a test plays.
    #[cfg(test)]
    pub(super) fn claim<T: Signed>(&self, lookup: &mut Lookup<T>) {
        self.lock().claim(lookup);
    }

    /// Settles what [`Self::claim`] claimed.
    #[cfg(test)]
    pub(super) fn settle<T: Signed>(&self, lookup: &mut Lookup<T>) {
        self.lock().settle(lookup);
        self.settled.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Cache> {
        self.cache.lock().expect("no thread panics while it holds the signature cache")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::executor::tests::key;
    use hansa_ledger_signature::{PublicKey, Signature};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    /// A signed number that looks at the cache's lock whenever its bytes are asked for.
    #[derive(Clone)]
    struct Letter {
        number: u64,
        signature: Signature,
        signatures: Arc<Signatures>,
        locked: Arc<AtomicU64>,
    }

    impl Signed for Letter {
        fn signer(&self) -> PublicKey {
            key("letters").public_key()
        }

        fn signature(&self) -> Signature {
            self.signature
        }

        fn signing_bytes(&self) -> Vec<u8> {
            if self.signatures.cache.try_lock().is_err() {
                self.locked.fetch_add(1, Ordering::Relaxed);
            }
            self.number.to_le_bytes().to_vec()
        }
    }

    fn letters(count: u64) -> Vec<Letter> {
        let (signatures, locked) = (Arc::new(Signatures::new(10_000)), Arc::new(AtomicU64::new(0)));
        let letter = |number: u64| Letter {
            number,
            signature: key("letters").sign(&number.to_le_bytes()),
            signatures: signatures.clone(),
            locked: locked.clone(),
        };
        (0..count).map(letter).collect()
    }

    #[test]
    fn the_cache_is_free_while_signatures_are_checked() {
        let letters = letters(20);
        assert!(letters[0].signatures.verify_all(letters.clone()).iter().all(Result::is_ok));
        assert_eq!(letters[0].locked.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn threads_that_verify_the_same_check_it_once() {
        let letters = letters(300);
        std::thread::scope(|scope| {
            for first in 0..4 {
                // Each in another order, so that none is always first.
                let mut mine = letters.clone();
                mine.rotate_left(first * 70);
                scope.spawn(move || {
                    let signatures = mine[0].signatures.clone();
                    for chunk in mine.chunks(20) {
                        assert!(signatures.verify_all(chunk.to_vec()).iter().all(Result::is_ok));
                    }
                });
            }
        });
        assert_eq!(letters[0].signatures.checks(), 300);
    }
}
