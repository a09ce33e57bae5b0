//! Transactions that wait for a block: bounded, ordered by arrival, each signer's by nonce.
//!
//! Nothing enters before its shape, its standing against the last state and its signature are checked, in this order, and
//! nothing is remembered of what is refused.

use hansa_ledger::apply::{admit, params};
use hansa_ledger::id::{ChainId, TransactionId};
use hansa_ledger::rejection::Rejection;
use hansa_ledger::row::Principal;
use hansa_ledger::state::State;
use hansa_ledger::tables::Keys;
use hansa_ledger::time::TimeMs;
use hansa_ledger::transaction::SignedTransaction;
use hansa_ledger_signature::{Cache, PublicKey, Verified};
use std::collections::BTreeMap;

/// How many transactions, and how large together, may wait.
#[derive(Clone, Copy, Debug)]
pub struct MempoolLimits {
    /// Bytes of all that wait.
    pub bytes_max: usize,
    /// Transactions of one organisation or office.
    pub principal_transactions_max: usize,
    /// How far a nonce may run ahead of the first one missing.
    pub nonce_gap_max: u64,
}

impl Default for MempoolLimits {
    fn default() -> Self {
        Self { bytes_max: 64 << 20, principal_transactions_max: 16_384, nonce_gap_max: 1_024 }
    }
}

/// Transactions in wait.
#[derive(Debug)]
pub struct Mempool {
    limits: MempoolLimits,
    signers: BTreeMap<PublicKey, Queue>,
    arrivals: BTreeMap<u64, (PublicKey, u64)>,
    ids: BTreeMap<TransactionId, u64>,
    principals: BTreeMap<Principal, usize>,
    arrival_next: u64,
    bytes: usize,
    ready: usize,
}

#[derive(Debug)]
struct Queue {
    principal: Principal,
    /// The nonce the ledger expects next.
    next: u64,
    entries: BTreeMap<u64, Entry>,
}

#[derive(Debug)]
struct Entry {
    transaction: Verified<SignedTransaction>,
    id: TransactionId,
    arrival: u64,
    bytes: usize,
}

impl Queue {
    fn is_ready(&self) -> bool {
        self.entries.contains_key(&self.next)
    }
}

impl Mempool {
    /// An empty one.
    #[must_use]
    pub fn new(limits: MempoolLimits) -> Self {
        Self {
            limits,
            signers: BTreeMap::new(),
            arrivals: BTreeMap::new(),
            ids: BTreeMap::new(),
            principals: BTreeMap::new(),
            arrival_next: 0,
            bytes: 0,
            ready: 0,
        }
    }

    /// Whether a transaction waits that a block could hold now.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.ready > 0
    }

    /// How many wait, and their bytes together.
    #[must_use]
    pub fn size(&self) -> (usize, usize) {
        (self.ids.len(), self.bytes)
    }

    /// Whether this one waits.
    #[must_use]
    pub fn contains(&self, id: &TransactionId) -> bool {
        self.ids.contains_key(id)
    }

    /// The nonce a signer's next transaction should carry: after what is final and what waits without a gap.
    #[must_use]
    pub fn nonce_next(&self, signer: &PublicKey, final_next: u64) -> u64 {
        let Some(queue) = self.signers.get(signer) else { return final_next };
        let mut next = final_next;
        while queue.entries.contains_key(&next) {
            next += 1;
        }
        next
    }

    /// Checks what needs no signature check: whether it is worth one.
    ///
    /// # Errors
    /// Why the transaction is not taken.
    pub fn precheck(
        &self,
        state: &State,
        chain: &ChainId,
        now: TimeMs,
        transaction: &SignedTransaction,
        bytes: usize,
    ) -> Result<Principal, Rejection> {
        let params = params(state);
        if bytes > params.transaction_bytes_max as usize {
            return Err(Rejection::TransactionTooLarge);
        }
        transaction.check(chain, params)?;
        let signer = transaction.transaction.signer;
        let key = state.get::<Keys>(&signer).ok_or(Rejection::UnknownKey)?;
        let (principal, final_next) = (key.principal, key.nonce);
        let nonce = transaction.transaction.nonce;
        match admit(&state.view(), params, now, transaction, bytes as u64) {
            Ok(_) => {}
            Err(Rejection::NonceGap) => {
                let first_missing = self.nonce_next(&signer, final_next);
                if nonce > first_missing.saturating_add(self.limits.nonce_gap_max) {
                    return Err(Rejection::NonceGap);
                }
            }
            Err(rejection) => return Err(rejection),
        }
        if let Some(entry) = self.signers.get(&signer).and_then(|queue| queue.entries.get(&nonce)) {
            let same = entry.transaction.transaction == transaction.transaction;
            return Err(if same { Rejection::AlreadyKnown } else { Rejection::NonceUsed });
        }
        if self.bytes.saturating_add(bytes) > self.limits.bytes_max {
            return Err(Rejection::MempoolFull);
        }
        if self.principals.get(&principal).copied().unwrap_or(0) >= self.limits.principal_transactions_max {
            return Err(Rejection::TooManyWaiting);
        }
        Ok(principal)
    }

    /// Takes transactions that passed [`Self::precheck`], checks their signatures in one batch and keeps the good ones.
    pub fn insert_all(
        &mut self,
        state: &State,
        cache: &mut Cache,
        transactions: Vec<(Principal, usize, SignedTransaction)>,
    ) -> Vec<Result<TransactionId, Rejection>> {
        let (facts, bodies): (Vec<_>, Vec<_>) =
            transactions.into_iter().map(|(principal, bytes, transaction)| ((principal, bytes), transaction)).unzip();
        let verdicts = cache.verify_all(bodies);
        facts
            .into_iter()
            .zip(verdicts)
            .map(|((principal, bytes), verdict)| match verdict {
                Ok(verified) => self.insert(state, principal, bytes, verified),
                Err(_) => Err(Rejection::BadSignature),
            })
            .collect()
    }

    fn insert(
        &mut self,
        state: &State,
        principal: Principal,
        bytes: usize,
        transaction: Verified<SignedTransaction>,
    ) -> Result<TransactionId, Rejection> {
        let signer = transaction.transaction.signer;
        let nonce = transaction.transaction.nonce;
        let next = state.get::<Keys>(&signer).map_or(0, |key| key.nonce);
        if nonce < next {
            return Err(Rejection::NonceUsed);
        }
        let id = transaction.id();
        let queue = self.signers.entry(signer).or_insert(Queue { principal, next, entries: BTreeMap::new() });
        let was_ready = queue.is_ready();
        queue.next = next;
        if queue.entries.contains_key(&nonce) {
            self.ready = self.ready + usize::from(queue.is_ready()) - usize::from(was_ready);
            return Err(Rejection::AlreadyKnown);
        }
        let arrival = self.arrival_next;
        self.arrival_next += 1;
        queue.entries.insert(nonce, Entry { transaction, id, arrival, bytes });
        self.ready = self.ready + usize::from(queue.is_ready()) - usize::from(was_ready);
        self.arrivals.insert(arrival, (signer, nonce));
        self.ids.insert(id, arrival);
        self.bytes += bytes;
        *self.principals.entry(principal).or_default() += 1;
        Ok(id)
    }

    /// Candidates for a block: by arrival, each signer's by nonce without a gap, up to the limits.
    #[must_use]
    pub fn candidates(&self, transactions_max: usize, bytes_max: usize) -> Vec<Verified<SignedTransaction>> {
        let mut taken = Vec::new();
        let mut bytes = 0usize;
        let mut nexts: BTreeMap<PublicKey, u64> = BTreeMap::new();
        for (arrival, (signer, nonce)) in &self.arrivals {
            let Some(queue) = self.signers.get(signer) else { continue };
            let next = nexts.entry(*signer).or_insert(queue.next);
            if nonce != next {
                continue;
            }
            // This one closes the gap before those of the same signer that arrived earlier with higher nonces.
            while let Some(entry) = queue.entries.get(next).filter(|entry| entry.arrival <= *arrival) {
                bytes += entry.bytes;
                if taken.len() >= transactions_max || bytes > bytes_max {
                    return taken;
                }
                taken.push(entry.transaction.clone());
                *next += 1;
            }
        }
        taken
    }

    /// Everything that waits, by arrival, for a peer that was away.
    #[must_use]
    pub fn waiting(&self, bytes_max: usize) -> Vec<SignedTransaction> {
        let mut bytes = 0usize;
        self.arrivals
            .values()
            .filter_map(|(signer, nonce)| self.signers.get(signer)?.entries.get(nonce))
            .take_while(|entry| {
                bytes += entry.bytes;
                bytes <= bytes_max
            })
            .map(|entry| SignedTransaction::clone(&entry.transaction))
            .collect()
    }

    /// Follows a committed block: what it used up or made impossible goes.
    pub fn on_commit(&mut self, state: &State, signers: impl IntoIterator<Item = PublicKey>) {
        for signer in signers {
            let next = state.get::<Keys>(&signer).map_or(0, |key| key.nonce);
            self.advance(&signer, next);
        }
    }

    /// Drops what has expired by `now`.
    pub fn drop_expired(&mut self, now: TimeMs) {
        let expired: Vec<(PublicKey, u64)> = self
            .arrivals
            .values()
            .filter(|(signer, nonce)| {
                self.signers
                    .get(signer)
                    .and_then(|queue| queue.entries.get(nonce))
                    .is_some_and(|entry| entry.transaction.transaction.valid_until < now)
            })
            .copied()
            .collect();
        for (signer, nonce) in expired {
            self.remove(&signer, nonce);
        }
    }

    fn advance(&mut self, signer: &PublicKey, next: u64) {
        let Some(queue) = self.signers.get_mut(signer) else { return };
        let was_ready = queue.is_ready();
        queue.next = next;
        self.ready = self.ready + usize::from(queue.is_ready()) - usize::from(was_ready);
        let passed: Vec<u64> = queue.entries.range(..next).map(|(nonce, _)| *nonce).collect();
        for nonce in passed {
            self.remove(signer, nonce);
        }
    }

    fn remove(&mut self, signer: &PublicKey, nonce: u64) {
        let Some(queue) = self.signers.get_mut(signer) else { return };
        let was_ready = queue.is_ready();
        if let Some(entry) = queue.entries.remove(&nonce) {
            self.arrivals.remove(&entry.arrival);
            self.ids.remove(&entry.id);
            self.bytes -= entry.bytes;
            if let Some(count) = self.principals.get_mut(&queue.principal) {
                *count -= 1;
                if *count == 0 {
                    self.principals.remove(&queue.principal);
                }
            }
        }
        self.ready = self.ready + usize::from(queue.is_ready()) - usize::from(was_ready);
        if queue.entries.is_empty() {
            self.signers.remove(signer);
        }
    }
}
