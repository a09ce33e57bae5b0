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
use hansa_ledger_signature::{PublicKey, Verified};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

#[cfg(test)]
mod tests;

/// How many transactions, and how large together, may wait.
#[derive(Clone, Copy, Debug)]
pub struct MempoolLimits {
    /// Bytes of all that wait.
    pub bytes_max: usize,
    /// Bytes of one organisation or office.
    pub principal_bytes_max: usize,
    /// Transactions of one organisation or office.
    pub principal_transactions_max: usize,
    /// How far a nonce may run ahead of the first one missing.
    pub nonce_gap_max: u64,
    /// Transactions of one signer that wait behind a missing nonce: no block can take them, so they cost their signer nothing.
    pub signer_gapped_max: usize,
}

impl Default for MempoolLimits {
    fn default() -> Self {
        let bytes_max = 32 << 20;
        Self {
            bytes_max,
            principal_bytes_max: bytes_max / 16,
            principal_transactions_max: 8_192,
            nonce_gap_max: 1_024,
            signer_gapped_max: 64,
        }
    }
}

/// Transactions in wait.
#[derive(Debug)]
pub struct Mempool {
    limits: MempoolLimits,
    signers: BTreeMap<PublicKey, Queue>,
    /// The signers whose first transaction carries the nonce the ledger expects.
    ready: BTreeSet<PublicKey>,
    arrivals: BTreeMap<u64, (PublicKey, u64)>,
    /// Arrivals of what waits behind a missing nonce: first to go when room is needed.
    gapped: BTreeSet<u64>,
    ids: BTreeMap<TransactionId, u64>,
    principals: BTreeMap<Principal, Usage>,
    arrival_next: u64,
    /// What had arrived when the last height was committed, and when the one before it was: the first arrival since.
    marks: [u64; 2],
    bytes: usize,
    gapped_bytes: usize,
}

/// What one principal has waiting.
#[derive(Debug, Default)]
struct Usage {
    /// Its transactions, by arrival.
    arrivals: BTreeSet<u64>,
    bytes: usize,
}

#[derive(Debug)]
struct Queue {
    principal: Principal,
    /// The nonce the ledger expects next.
    next: u64,
    /// The first nonce from `next` on that does not wait here.
    end: u64,
    entries: BTreeMap<u64, Entry>,
}

#[derive(Debug)]
struct Entry {
    transaction: Verified<SignedTransaction>,
    id: TransactionId,
    arrival: u64,
    bytes: usize,
}

/// Whether a block could hold the transaction at `now`: the ledger's own rules, without the signature.
/// [`Rejection::NonceGap`] may heal by itself.
fn standing(
    state: &State,
    chain: &ChainId,
    now: TimeMs,
    transaction: &SignedTransaction,
    bytes: usize,
) -> Result<(), Rejection> {
    let params = params(state);
    if bytes > params.transaction_bytes_max as usize {
        return Err(Rejection::TransactionTooLarge);
    }
    transaction.check(chain, params)?;
    admit(&state.view(), params, now, transaction, bytes as u64).map(|_| ())
}

impl Mempool {
    /// An empty one.
    #[must_use]
    pub fn new(limits: MempoolLimits) -> Self {
        Self {
            limits,
            signers: BTreeMap::new(),
            ready: BTreeSet::new(),
            arrivals: BTreeMap::new(),
            gapped: BTreeSet::new(),
            ids: BTreeMap::new(),
            principals: BTreeMap::new(),
            arrival_next: 0,
            marks: [0; 2],
            bytes: 0,
            gapped_bytes: 0,
        }
    }

    /// Whether a transaction waits that a block of the time `now` could hold. What stands first and could not be held is
    /// dropped on the way: it would call for a block that nobody can build. Stops at the first good one.
    pub fn is_ready(&mut self, state: &State, now: TimeMs) -> bool {
        while let Some(signer) = self.ready.first().copied() {
            if self.tidy_signer(state, now, &signer) {
                return true;
            }
            self.ready.remove(&signer);
        }
        false
    }

    /// Drops whatever stands first of its signer and is refused for good, with the rest of that signer that is refused as well.
    pub fn tidy(&mut self, state: &State, now: TimeMs) {
        for signer in self.ready.clone() {
            self.tidy_signer(state, now, &signer);
        }
    }

    /// [`Self::tidy`] for one signer, also when a gap stands before all it has. Gives whether a block could hold its first.
    fn tidy_signer(&mut self, state: &State, now: TimeMs, signer: &PublicKey) -> bool {
        let key = state.get::<Keys>(signer);
        self.advance(signer, key.map_or(0, |key| key.nonce));
        let Some(queue) = self.signers.get(signer) else { return false };
        let verdict = |entry: &Entry| {
            standing(state, &entry.transaction.transaction.chain, now, &entry.transaction, entry.bytes)
        };
        let first = queue.entries.first_key_value().map(|(_, entry)| verdict(entry));
        match first {
            Some(Ok(())) => return true,
            Some(Err(Rejection::NonceGap)) | None => return false,
            Some(Err(_)) => {}
        }
        let refused = |(nonce, entry): (&u64, &Entry)| match verdict(entry) {
            Ok(()) | Err(Rejection::NonceGap) => None,
            Err(_) => Some(*nonce),
        };
        let refused: Vec<u64> = queue.entries.iter().filter_map(refused).collect();
        for nonce in refused {
            self.remove(signer, nonce);
        }
        false
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
        let mut next = if queue.next == final_next { queue.end } else { final_next };
        while queue.entries.contains_key(&next) {
            next += 1;
        }
        next
    }

    /// Checks what needs no signature check: whether it is worth one. `missing` holds the first nonce that is missing of each
    /// signer, counting what passed here before in the same bundle.
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
        missing: &mut BTreeMap<PublicKey, u64>,
    ) -> Result<(), Rejection> {
        let signer = transaction.transaction.signer;
        let nonce = transaction.transaction.nonce;
        match standing(state, chain, now, transaction, bytes) {
            Ok(()) | Err(Rejection::NonceGap) => {}
            Err(rejection) => return Err(rejection),
        }
        let key = state.get::<Keys>(&signer).ok_or(Rejection::UnknownKey)?;
        let first_missing = *missing.entry(signer).or_insert_with(|| self.nonce_next(&signer, key.nonce));
        if nonce > first_missing.saturating_add(self.limits.nonce_gap_max) {
            return Err(Rejection::NonceGap);
        }
        self.known(transaction)?;
        self.room(key.principal, &signer, nonce > first_missing, bytes)?;
        if nonce == first_missing {
            let mut next = nonce.saturating_add(1);
            while self.signers.get(&signer).is_some_and(|queue| queue.entries.contains_key(&next)) {
                next += 1;
            }
            missing.insert(signer, next);
        }
        Ok(())
    }

    /// Refuses what waits already, or another transaction under a nonce that is taken.
    fn known(&self, transaction: &SignedTransaction) -> Result<(), Rejection> {
        let content = &transaction.transaction;
        match self.signers.get(&content.signer).and_then(|queue| queue.entries.get(&content.nonce)) {
            None => Ok(()),
            Some(entry) if entry.transaction.transaction == *content => Err(Rejection::AlreadyKnown),
            Some(_) => Err(Rejection::NonceUsed),
        }
    }

    /// Whether one more transaction of this size has room, after what waits behind a gap has made way for one that does not.
    fn room(
        &self,
        principal: Principal,
        signer: &PublicKey,
        gapped: bool,
        bytes: usize,
    ) -> Result<(), Rejection> {
        let usage = self.principals.get(&principal);
        let (transactions, waiting) = usage.map_or((0, 0), |usage| (usage.arrivals.len(), usage.bytes));
        if transactions >= self.limits.principal_transactions_max
            || waiting.saturating_add(bytes) > self.limits.principal_bytes_max
        {
            return Err(Rejection::TooManyWaiting);
        }
        let limit = self.limits.signer_gapped_max;
        if gapped
            && self
                .signers
                .get(signer)
                .is_some_and(|queue| queue.entries.range(queue.end..).take(limit).count() >= limit)
        {
            return Err(Rejection::NonceGap);
        }
        let evictable = if gapped { 0 } else { self.gapped_bytes };
        if (self.bytes - evictable).saturating_add(bytes) > self.limits.bytes_max {
            return Err(Rejection::MempoolFull);
        }
        Ok(())
    }

    /// Takes a transaction that passed [`Self::precheck`] and whose signature was checked since. Other transactions may have
    /// come and a block may have been committed meanwhile, so every limit and the standing are looked at again.
    ///
    /// # Errors
    /// Why it is not taken.
    pub fn insert(
        &mut self,
        state: &State,
        now: TimeMs,
        bytes: usize,
        transaction: Verified<SignedTransaction>,
    ) -> Result<TransactionId, Rejection> {
        let signer = transaction.transaction.signer;
        let nonce = transaction.transaction.nonce;
        match admit(&state.view(), params(state), now, &transaction, bytes as u64) {
            Ok(_) | Err(Rejection::NonceGap) => {}
            Err(rejection) => return Err(rejection),
        }
        let key = state.get::<Keys>(&signer).ok_or(Rejection::UnknownKey)?;
        let (principal, next) = (key.principal, key.nonce);
        self.advance(&signer, next);
        self.known(&transaction)?;
        let end = self.signers.get(&signer).map_or(next, |queue| queue.end);
        self.room(principal, &signer, nonce > end, bytes)?;
        while self.bytes.saturating_add(bytes) > self.limits.bytes_max {
            let newest = self.gapped.last().and_then(|arrival| self.arrivals.get(arrival)).copied();
            let (other, its_nonce) = newest.ok_or(Rejection::MempoolFull)?;
            self.remove(&other, its_nonce);
        }
        let id = transaction.id();
        let arrival = self.arrival_next;
        self.arrival_next += 1;
        let new = || Queue { principal, next, end: next, entries: BTreeMap::new() };
        let queue = self.signers.entry(signer).or_insert_with(new);
        queue.entries.insert(nonce, Entry { transaction, id, arrival, bytes });
        self.arrivals.insert(arrival, (signer, nonce));
        self.gapped.insert(arrival);
        self.gapped_bytes += bytes;
        self.ids.insert(id, arrival);
        self.bytes += bytes;
        let usage = self.principals.entry(principal).or_default();
        usage.arrivals.insert(arrival);
        usage.bytes += bytes;
        self.close_gaps(&signer);
        Ok(id)
    }

    /// Takes out of the gapped what follows on the signer's first without a gap.
    fn close_gaps(&mut self, signer: &PublicKey) {
        let Some(queue) = self.signers.get_mut(signer) else { return };
        while let Some(entry) = queue.entries.get(&queue.end) {
            if self.gapped.remove(&entry.arrival) {
                self.gapped_bytes -= entry.bytes;
            }
            queue.end += 1;
        }
        if queue.end > queue.next {
            self.ready.insert(*signer);
        } else {
            self.ready.remove(signer);
        }
    }

    /// Candidates for a block, up to the limits, in [turn](Self::in_turn).
    #[must_use]
    pub fn candidates(&self, transactions_max: usize, bytes_max: usize) -> Vec<Verified<SignedTransaction>> {
        let taken = self.in_turn(transactions_max, bytes_max);
        taken.into_iter().map(|entry| entry.transaction.clone()).collect()
    }

    /// What a block could hold, up to the limits: one of each organisation or office in turn, so that whoever floods the node fills
    /// its own share of the blocks and nobody else's. Within a turn, and of each, by arrival; of each signer by nonce without a gap.
    fn in_turn(&self, transactions_max: usize, bytes_max: usize) -> Vec<&Entry> {
        let mut taken = Vec::new();
        let mut bytes = 0usize;
        let mut nexts: BTreeMap<PublicKey, u64> = BTreeMap::new();
        let mut waiting: Vec<_> = self.principals.values().map(|usage| usage.arrivals.iter()).collect();
        let firsts = waiting.iter_mut().enumerate();
        let mut turns: BinaryHeap<Reverse<(usize, u64, usize)>> =
            firsts.filter_map(|(at, own)| own.next().map(|arrival| Reverse((0, *arrival, at)))).collect();
        while let Some(Reverse((turn, arrival, at))) = turns.pop() {
            let before = taken.len();
            // This one may close the gap before those of the same signer that arrived earlier with higher nonces.
            for entry in self.follow(arrival, &mut nexts) {
                bytes = bytes.saturating_add(entry.bytes);
                if taken.len() >= transactions_max || bytes > bytes_max {
                    return taken;
                }
                taken.push(entry);
            }
            let turn = turn + (taken.len() - before);
            turns.extend(waiting[at].next().map(|arrival| Reverse((turn, *arrival, at))));
        }
        taken
    }

    /// What a block can take once it has come to this arrival, of its signer, beyond what it took: up to the first that arrived later
    /// or is missing. `nexts` holds the nonce with which each signer goes on.
    fn follow(&self, arrival: u64, nexts: &mut BTreeMap<PublicKey, u64>) -> Vec<&Entry> {
        let mut following = Vec::new();
        let Some((signer, nonce)) = self.arrivals.get(&arrival) else { return following };
        let Some(queue) = self.signers.get(signer) else { return following };
        let next = nexts.entry(*signer).or_insert(queue.next);
        if nonce == next {
            while let Some(entry) = queue.entries.get(next).filter(|entry| entry.arrival <= arrival) {
                following.push(entry);
                *next += 1;
            }
        }
        following
    }

    /// Remembers that a height was committed.
    pub fn mark_height(&mut self) {
        self.marks = [self.arrival_next, self.marks[0]];
    }

    /// Of the first so many in [turn](Self::in_turn), those that a block could hold at `now` and that had arrived before the last
    /// height began: the proposer of that height could have taken them.
    #[must_use]
    pub fn waited(&self, now: TimeMs, count_max: usize) -> Vec<TransactionId> {
        let first = self.in_turn(count_max, usize::MAX).into_iter();
        let old = first.filter(|entry| entry.arrival < self.marks[1]);
        old.filter(|entry| entry.transaction.transaction.valid_until >= now).map(|entry| entry.id).collect()
    }

    /// What waits and a block could hold, by arrival, for a peer that was away. What waits behind a gap is not passed on.
    #[must_use]
    pub fn waiting(&self, bytes_max: usize) -> Vec<SignedTransaction> {
        let mut bytes = 0usize;
        self.arrivals
            .iter()
            .filter(|(arrival, _)| !self.gapped.contains(arrival))
            .filter_map(|(_, (signer, nonce))| self.signers.get(signer)?.entries.get(nonce))
            .take_while(|entry| {
                bytes += entry.bytes;
                bytes <= bytes_max
            })
            .map(|entry| SignedTransaction::clone(&entry.transaction))
            .collect()
    }

    /// Follows a committed block: of these signers, what it used up or made impossible goes. `now` is the time of the earliest
    /// next block.
    pub fn on_commit(&mut self, state: &State, now: TimeMs, signers: impl IntoIterator<Item = PublicKey>) {
        for signer in signers {
            self.tidy_signer(state, now, &signer);
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

    /// Brings a signer's queue in step with the nonce the ledger expects.
    fn advance(&mut self, signer: &PublicKey, next: u64) {
        let Some(queue) = self.signers.get_mut(signer).filter(|queue| queue.next != next) else { return };
        queue.next = next;
        queue.end = queue.end.max(next);
        let kept = queue.entries.split_off(&next);
        let passed = std::mem::replace(&mut queue.entries, kept);
        let principal = queue.principal;
        for entry in passed.into_values() {
            self.forget(principal, &entry);
        }
        self.settle(signer);
    }

    fn remove(&mut self, signer: &PublicKey, nonce: u64) {
        let Some(queue) = self.signers.get_mut(signer) else { return };
        let Some(entry) = queue.entries.remove(&nonce) else { return };
        if nonce < queue.end {
            // What followed without a gap now has one before it.
            for (_, later) in queue.entries.range(nonce..queue.end) {
                self.gapped.insert(later.arrival);
                self.gapped_bytes += later.bytes;
            }
            queue.end = nonce.max(queue.next);
        }
        let principal = queue.principal;
        self.forget(principal, &entry);
        self.settle(signer);
    }

    /// Ends a change of a queue: what still waits counts as gapped or not, and an empty queue goes.
    fn settle(&mut self, signer: &PublicKey) {
        self.close_gaps(signer);
        if self.signers.get(signer).is_some_and(|queue| queue.entries.is_empty()) {
            self.signers.remove(signer);
            self.ready.remove(signer);
        }
    }

    /// Takes an entry that left its queue out of every count.
    fn forget(&mut self, principal: Principal, entry: &Entry) {
        self.arrivals.remove(&entry.arrival);
        self.ids.remove(&entry.id);
        self.bytes -= entry.bytes;
        if self.gapped.remove(&entry.arrival) {
            self.gapped_bytes -= entry.bytes;
        }
        if let Some(usage) = self.principals.get_mut(&principal) {
            usage.arrivals.remove(&entry.arrival);
            usage.bytes -= entry.bytes;
            if usage.arrivals.is_empty() {
                self.principals.remove(&principal);
            }
        }
    }
}
