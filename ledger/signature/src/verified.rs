use crate::{PublicKey, Signature, SignatureError, verify_bytes};
use std::collections::{BTreeSet, VecDeque};

/// Something that carries a signature over its own canonical bytes.
pub trait Signed {
    /// Who signed.
    fn signer(&self) -> PublicKey;
    /// The signature.
    fn signature(&self) -> Signature;
    /// The canonical bytes that were signed: domain tag, chain id, content.
    fn signing_bytes(&self) -> Vec<u8>;
}

/// A value whose signature has been checked. Only this crate makes one, so holding it is the proof.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified<T>(T);

impl<T> Verified<T> {
    /// Gives the value up, and with it the proof.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> std::ops::Deref for Verified<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

/// What one node has verified: each signature is checked once, however often the bytes come by. Keyed by the hash of the whole
/// signed bytes, signature included; bounded, oldest forgotten first. Counts the checks that were really made.
#[derive(Debug)]
pub struct Cache {
    known: BTreeSet<[u8; 32]>,
    order: VecDeque<[u8; 32]>,
    entries_max: usize,
    checks: u64,
}

/// The most signatures that are checked in one batch: more gains nothing (13.4 us each at 1,024).
const BATCH_MAX: usize = 1_024;

impl Cache {
    /// An empty cache that remembers up to `entries_max` signatures (32 bytes each, twice).
    #[must_use]
    pub fn new(entries_max: usize) -> Self {
        Self { known: BTreeSet::new(), order: VecDeque::new(), entries_max, checks: 0 }
    }

    /// How many signatures were really checked since the start, by single or batch.
    #[must_use]
    pub fn checks(&self) -> u64 {
        self.checks
    }

    /// Whether these very bytes were verified before.
    #[must_use]
    pub fn knows<T: Signed>(&self, value: &T) -> bool {
        self.known.contains(&identity(value))
    }

    /// Verifies one value, or recognises it.
    ///
    /// # Errors
    /// As [`verify_bytes`]; a refused value is not remembered.
    pub fn verify<T: Signed>(&mut self, value: T) -> Result<Verified<T>, SignatureError> {
        let identity = identity(&value);
        if !self.known.contains(&identity) {
            self.checks = self.checks.saturating_add(1);
            verify_bytes(&value.signer(), &value.signing_bytes(), &value.signature())?;
            self.remember(identity);
        }
        Ok(Verified(value))
    }

    /// Verifies many values in batches, each with its own verdict, in the order given. A batch that fails is bisected, which by
    /// the ZIP-215 rule finds exactly what single checks would find.
    pub fn verify_all<T: Signed>(&mut self, values: Vec<T>) -> Vec<Result<Verified<T>, SignatureError>> {
        let identities: Vec<[u8; 32]> = values.iter().map(identity).collect();
        // The same bytes twice in one call are one signature.
        let mut seen = BTreeSet::new();
        let fresh: Vec<usize> = (0..values.len())
            .filter(|index| !self.known.contains(&identities[*index]) && seen.insert(identities[*index]))
            .collect();
        self.checks = self.checks.saturating_add(fresh.len() as u64);
        let mut refused = std::collections::BTreeMap::new();
        for chunk in fresh.chunks(BATCH_MAX) {
            bisect(&values, chunk, &mut refused);
        }
        for index in &fresh {
            if !refused.contains_key(index) {
                self.remember(identities[*index]);
            }
        }
        let refused: std::collections::BTreeMap<[u8; 32], SignatureError> =
            refused.into_iter().map(|(index, error)| (identities[index], error)).collect();
        values
            .into_iter()
            .zip(identities)
            .map(|(value, identity)| match refused.get(&identity) {
                Some(error) => Err(*error),
                None => Ok(Verified(value)),
            })
            .collect()
    }

    fn remember(&mut self, identity: [u8; 32]) {
        if !self.known.insert(identity) {
            return;
        }
        self.order.push_back(identity);
        if self.order.len() > self.entries_max
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
    }
}

/// Names the whole signed bytes. The signature is part of it, so another signature of the same content is checked on its own.
fn identity<T: Signed>(value: &T) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&value.signer().0).update(&value.signature().0).update(&value.signing_bytes());
    *hasher.finalize().as_bytes()
}

fn bisect<T: Signed>(
    values: &[T],
    indices: &[usize],
    refused: &mut std::collections::BTreeMap<usize, SignatureError>,
) {
    match indices {
        [] => {}
        [only] => {
            let value = &values[*only];
            if let Err(error) = verify_bytes(&value.signer(), &value.signing_bytes(), &value.signature()) {
                refused.insert(*only, error);
            }
        }
        many => {
            if !batch_holds(values, many) {
                let (left, right) = many.split_at(many.len() / 2);
                bisect(values, left, refused);
                bisect(values, right, refused);
            }
        }
    }
}

fn batch_holds<T: Signed>(values: &[T], indices: &[usize]) -> bool {
    let mut batch = ed25519_zebra::batch::Verifier::new();
    for index in indices {
        let value = &values[*index];
        let signature = ed25519_zebra::Signature::from(value.signature().0);
        let key = ed25519_zebra::VerificationKeyBytes::from(value.signer().0);
        batch.queue((key, signature, &value.signing_bytes()));
    }
    // The random weights of the batch equation never change the verdict on valid signatures, and pass an invalid one with a
    // chance below 2^-127.
    batch.verify(rand_core::OsRng).is_ok()
}
