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
                cache = self.settled.wait(cache).expect("no thread panics while it holds the signature cache");
            } else {
                break;
            }
        }
        drop(cache);
        std::mem::replace(&mut claims.lookup, Lookup::new(Vec::new())).into_verdicts()
    }

    fn lock(&self) -> MutexGuard<'_, Cache> {
        self.cache.lock().expect("no thread panics while it holds the signature cache")
    }
}
