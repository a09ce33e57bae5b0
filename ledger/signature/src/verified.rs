use crate::{PublicKey, Signature, SignatureError, verify_bytes};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Something that carries a signature over its own canonical bytes.
pub trait Signed {
    /// Who signed.
    fn signer(&self) -> PublicKey;
    /// The signature.
    fn signature(&self) -> Signature;
    /// The canonical bytes that were signed: domain tag, chain id, content.
    fn signing_bytes(&self) -> Vec<u8>;
    /// What others signed and the value carries within its signed bytes; each is checked with the signature itself, so that
    /// a [`Verified`] value needs no check later.
    fn enclosed(&self) -> Vec<Enclosed> {
        Vec::new()
    }
}

/// A signature that a value carries within: somebody else's word, over bytes of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Enclosed {
    /// Who signed it.
    pub signer: PublicKey,
    /// The signature.
    pub signature: Signature,
    /// The canonical bytes that were signed: domain tag, chain id, content.
    pub signing_bytes: Vec<u8>,
}

/// Checks the signature of a value and every one it carries, one by one.
fn verify_value<T: Signed>(value: &T) -> Result<(), SignatureError> {
    verify_bytes(&value.signer(), &value.signing_bytes(), &value.signature())?;
    for enclosed in value.enclosed() {
        verify_bytes(&enclosed.signer, &enclosed.signing_bytes, &enclosed.signature)
            .map_err(|_| SignatureError::EnclosedMismatch)?;
    }
    Ok(())
}

/// How many signatures a check of a value checks.
fn signatures_of<T: Signed>(value: &T) -> u64 {
    1u64.saturating_add(value.enclosed().len() as u64)
}

/// A value whose signature has been checked, and every signature it carries within. Only this crate makes one, so holding it is the proof.
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
    /// Claimed by a [`Lookup`] and not settled yet.
    claimed: BTreeSet<[u8; 32]>,
    entries_max: usize,
    checks: u64,
}

/// Signatures on their way to a verdict, so that a cache shared by threads need not stay locked while signatures are checked:
///
/// 1. [`Cache::claim`] under the lock: recognises what is known, and claims what nobody has in hand;
/// 2. [`Lookup::check`] without the lock: checks a batch of what was claimed;
/// 3. [`Cache::settle`] under the lock: remembers what holds and gives the claims up; then from the start.
///
/// Without claims, but still open: another lookup has the rest in hand; wait for it to settle. A claim that is never settled
/// lets the others wait for ever, so it has to be settled on every way out.
#[derive(Debug)]
pub struct Lookup<T> {
    values: Vec<T>,
    identities: Vec<[u8; 32]>,
    open: Vec<usize>,
    claims: Vec<usize>,
    checked: Vec<usize>,
    /// Signatures checked and not counted in a cache yet.
    uncounted: u64,
    verdicts: BTreeMap<[u8; 32], Result<(), SignatureError>>,
}

impl<T: Signed> Lookup<T> {
    /// Values nothing is known of yet.
    #[must_use]
    pub fn new(values: Vec<T>) -> Self {
        let identities: Vec<[u8; 32]> = values.iter().map(identity).collect();
        let open = (0..values.len()).collect();
        Self {
            values,
            identities,
            open,
            claims: Vec::new(),
            checked: Vec::new(),
            uncounted: 0,
            verdicts: BTreeMap::new(),
        }
    }

    /// Whether there is something for [`Self::check`] to do.
    #[must_use]
    pub fn has_claims(&self) -> bool {
        !self.claims.is_empty()
    }

    /// Whether another lookup has something of this one in hand.
    #[must_use]
    pub fn is_open(&self) -> bool {
        !self.open.is_empty()
    }

    /// Checks the next batch of what is claimed.
    pub fn check(&mut self) {
        let rest = self.claims.split_off(self.claims.len().min(BATCH_MAX));
        let batch = std::mem::replace(&mut self.claims, rest);
        let mut refused = BTreeMap::new();
        bisect(&self.values, &batch, &mut refused);
        for index in &batch {
            self.uncounted = self.uncounted.saturating_add(signatures_of(&self.values[*index]));
            let verdict = refused.get(index).map_or(Ok(()), |error| Err(*error));
            self.verdicts.insert(self.identities[*index], verdict);
        }
        self.checked.extend(batch);
    }

    /// The verdicts, in the order of the values. What was given up without one is checked here, alone.
    #[must_use]
    pub fn into_verdicts(self) -> Vec<Result<Verified<T>, SignatureError>> {
        let Self { values, identities, verdicts, .. } = self;
        let judge = |(value, identity): (T, [u8; 32])| {
            match verdicts.get(&identity) {
                Some(verdict) => (*verdict)?,
                None => verify_value(&value)?,
            }
            Ok(Verified(value))
        };
        values.into_iter().zip(identities).map(judge).collect()
    }
}

/// The most signatures that are checked in one batch: more gains nothing (13.4 us each at 1,024).
const BATCH_MAX: usize = 1_024;

impl Cache {
    /// An empty cache that remembers up to `entries_max` signatures (32 bytes each, twice).
    #[must_use]
    pub fn new(entries_max: usize) -> Self {
        Self {
            known: BTreeSet::new(),
            order: VecDeque::new(),
            claimed: BTreeSet::new(),
            entries_max,
            checks: 0,
        }
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
            self.checks = self.checks.saturating_add(signatures_of(&value));
            verify_value(&value)?;
            self.remember(identity);
        }
        Ok(Verified(value))
    }

    /// Verifies many values in batches, each with its own verdict, in the order given. A batch that fails is bisected, which by
    /// the ZIP-215 rule finds exactly what single checks would find.
    pub fn verify_all<T: Signed>(&mut self, values: Vec<T>) -> Vec<Result<Verified<T>, SignatureError>> {
        let mut lookup = Lookup::new(values);
        self.claim(&mut lookup);
        while lookup.has_claims() {
            lookup.check();
            self.settle(&mut lookup);
        }
        // What another lookup has in hand is checked again: this call cannot wait for it.
        self.checks = self.checks.saturating_add(self.unsettled(&lookup));
        lookup.into_verdicts()
    }

    /// Recognises what is known of a lookup's open values, and claims those that no lookup has in hand. The same bytes twice in
    /// one lookup are one signature.
    pub fn claim<T: Signed>(&mut self, lookup: &mut Lookup<T>) {
        let Lookup { identities, open, claims, verdicts, .. } = lookup;
        open.retain(|index| {
            let identity = identities[*index];
            if verdicts.contains_key(&identity) {
                return false;
            }
            if self.known.contains(&identity) {
                verdicts.insert(identity, Ok(()));
                return false;
            }
            let claimed = self.claimed.insert(identity);
            if claimed {
                claims.push(*index);
            }
            !claimed
        });
    }

    /// Remembers what [`Lookup::check`] found to hold, and gives up the claims on what it checked.
    pub fn settle<T: Signed>(&mut self, lookup: &mut Lookup<T>) {
        self.checks = self.checks.saturating_add(std::mem::take(&mut lookup.uncounted));
        for index in std::mem::take(&mut lookup.checked) {
            let identity = lookup.identities[index];
            self.claimed.remove(&identity);
            if lookup.verdicts.get(&identity).is_some_and(Result::is_ok) {
                self.remember(identity);
            }
        }
    }

    /// Gives up every claim of a lookup that will not be checked.
    pub fn give_up<T: Signed>(&mut self, lookup: &mut Lookup<T>) {
        self.settle(lookup);
        for index in std::mem::take(&mut lookup.claims) {
            self.claimed.remove(&lookup.identities[index]);
        }
    }

    fn unsettled<T: Signed>(&self, lookup: &Lookup<T>) -> u64 {
        let without = |index: &&usize| !lookup.verdicts.contains_key(&lookup.identities[**index]);
        lookup.open.iter().filter(without).map(|index| signatures_of(&lookup.values[*index])).sum()
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

/// Names the whole signed bytes, which whatever is enclosed stands in. The signature is part of it, so another signature of the same content is checked on its own.
fn identity<T: Signed>(value: &T) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&value.signer().0).update(&value.signature().0).update(&value.signing_bytes());
    *hasher.finalize().as_bytes()
}

fn bisect<T: Signed>(values: &[T], indices: &[usize], refused: &mut BTreeMap<usize, SignatureError>) {
    match indices {
        [] => {}
        [only] => {
            let value = &values[*only];
            if let Err(error) = verify_value(value) {
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

#[expect(clippy::disallowed_methods, reason = "the rule of `verify_bytes`, for many at once")]
fn batch_holds<T: Signed>(values: &[T], indices: &[usize]) -> bool {
    let mut batch = ed25519_zebra::batch::Verifier::new();
    for index in indices {
        let value = &values[*index];
        let signature = ed25519_zebra::Signature::from(value.signature().0);
        let key = ed25519_zebra::VerificationKeyBytes::from(value.signer().0);
        batch.queue((key, signature, &value.signing_bytes()));
        for enclosed in value.enclosed() {
            let signature = ed25519_zebra::Signature::from(enclosed.signature.0);
            let key = ed25519_zebra::VerificationKeyBytes::from(enclosed.signer.0);
            batch.queue((key, signature, &enclosed.signing_bytes));
        }
    }
    // The random weights of the batch equation never change the verdict on valid signatures, and pass an invalid one with a
    // chance below 2^-127.
    batch.verify(rand_core::OsRng).is_ok()
}
