use super::*;
use crate::executor::clock;
use crate::executor::tests::{genesis, key};
use hansa_ledger::action::{Action, RemoveKey};
use hansa_ledger::transaction::Transaction;
use hansa_ledger_signature::Cache;

/// A pool beside the state of a genesis, with what its shell knows.
struct Desk {
    state: State,
    chain: ChainId,
    mempool: Mempool,
    cache: Cache,
    now: TimeMs,
}

impl Desk {
    fn new(limits: MempoolLimits) -> Self {
        let genesis = genesis();
        let (state, chain) = (genesis.state().unwrap(), genesis.chain_id());
        Self { state, chain, mempool: Mempool::new(limits), cache: Cache::new(10_000), now: clock() }
    }

    /// What a member's office signs under a nonce. All are of one size.
    fn transaction(&self, office: &str, nonce: u64) -> SignedTransaction {
        let secret = key(office);
        let action = RemoveKey { key: key("anybody").public_key() };
        let transaction = Transaction {
            chain: self.chain,
            signer: secret.public_key(),
            nonce,
            valid_until: self.now.plus(60_000),
            actions: vec![Action::from(action)],
        };
        transaction.sign(&secret)
    }

    fn size(&self) -> usize {
        self.transaction("DE registrar", 0).encode().len()
    }

    /// A bundle goes the way it goes in the executor: all are prechecked, then all verified, then inserted.
    fn submit(&mut self, office: &str, nonces: impl IntoIterator<Item = u64>) -> Vec<Result<(), Rejection>> {
        let mut missing = BTreeMap::new();
        let bundle: Vec<_> = nonces.into_iter().map(|nonce| self.transaction(office, nonce)).collect();
        let mut precheck = |transaction: &SignedTransaction| {
            let bytes = transaction.encode().len();
            self.mempool.precheck(&self.state, &self.chain, self.now, transaction, bytes, &mut missing)
        };
        let prechecked: Vec<_> = bundle.iter().map(&mut precheck).collect();
        let verified = self.cache.verify_all(bundle);
        let both = prechecked.into_iter().zip(verified);
        both.map(|(precheck, transaction)| {
            let transaction = transaction.unwrap();
            let bytes = transaction.encode().len();
            precheck?;
            self.mempool.insert(&self.state, self.now, bytes, transaction).map(|_| ())
        })
        .collect()
    }

    fn check_counts(&self) {
        let mempool = &self.mempool;
        let entries = || mempool.signers.values().flat_map(|queue| queue.entries.values());
        let gapped = || entries().filter(|entry| mempool.gapped.contains(&entry.arrival));
        assert_eq!(mempool.size(), (entries().count(), entries().map(|entry| entry.bytes).sum()));
        assert_eq!(mempool.gapped.len(), gapped().count());
        assert_eq!(mempool.gapped_bytes, gapped().map(|entry| entry.bytes).sum::<usize>());
        let usage = |of: fn(&Usage) -> usize| mempool.principals.values().map(of).sum::<usize>();
        assert_eq!(mempool.size(), (usage(|one| one.arrivals.len()), usage(|one| one.bytes)));
        for (signer, queue) in &mempool.signers {
            let run = (queue.next..).take_while(|nonce| queue.entries.contains_key(nonce)).count() as u64;
            assert_eq!(queue.end, queue.next + run);
            assert_eq!(mempool.ready.contains(signer), run > 0);
        }
        assert!(mempool.bytes <= mempool.limits.bytes_max);
    }
}

fn accepted(verdicts: &[Result<(), Rejection>]) -> usize {
    verdicts.iter().filter(|verdict| verdict.is_ok()).count()
}

#[test]
fn one_principal_fills_no_pool_not_even_in_one_bundle() {
    let size = Desk::new(MempoolLimits::default()).size();
    let limits =
        MempoolLimits { bytes_max: 64 * size, principal_bytes_max: 4 * size, ..MempoolLimits::default() };
    let mut desk = Desk::new(limits);
    let verdicts = desk.submit("DE registrar", 0..10);
    assert_eq!(verdicts[..4], [Ok(()); 4]);
    assert_eq!(verdicts[4..], [Err(Rejection::TooManyWaiting); 6], "each passed before the others were in");
    assert_eq!(desk.submit("DE registrar", 4..5), [Err(Rejection::TooManyWaiting)]);
    assert_eq!(accepted(&desk.submit("DE treasury", 0..3)), 3, "another one has room");
    desk.check_counts();
    // The pool itself is not overshot either.
    let small =
        MempoolLimits { bytes_max: 5 * size + 1, principal_bytes_max: 64 * size, ..MempoolLimits::default() };
    let mut desk = Desk::new(small);
    let verdicts = desk.submit("DE registrar", 0..10);
    assert_eq!((accepted(&verdicts), verdicts[9]), (5, Err(Rejection::MempoolFull)));
    desk.check_counts();
}

#[test]
fn a_flood_of_one_takes_nobody_elses_turn() {
    let mut desk = Desk::new(MempoolLimits::default());
    assert_eq!(accepted(&desk.submit("DE registrar", 0..50)), 50);
    // The first of these two can go only with the second.
    assert_eq!(accepted(&desk.submit("FR registrar", [1, 0])), 2);
    assert_eq!(accepted(&desk.submit("EE registrar", 0..3)), 3);
    let next = |desk: &Desk, count| -> Vec<(String, u64)> {
        let names = ["DE", "FR", "EE"].map(|code| (key(&format!("{code} registrar")).public_key(), code));
        let name = |signer| names.iter().find(|(key, _)| *key == signer).unwrap().1.to_owned();
        let candidates = desk.mempool.candidates(count, 1 << 20);
        candidates.iter().map(|one| (name(one.transaction.signer), one.transaction.nonce)).collect()
    };
    let expected = [("DE", 0), ("FR", 0), ("FR", 1), ("EE", 0), ("DE", 1), ("EE", 1), ("DE", 2), ("EE", 2)];
    assert_eq!(next(&desk, 8), expected.map(|(name, nonce)| (name.to_owned(), nonce)));
    let all = next(&desk, 100);
    assert_eq!(all.len(), 55);
    assert!(all[8..].iter().map(|(_, nonce)| *nonce).eq(3..50), "the rest is of the one that is left");
    // Whoever proposes names as waiting what comes next, and not what the flood has left longest.
    desk.mempool.mark_height();
    desk.mempool.mark_height();
    let waited = desk.mempool.waited(desk.now, 8);
    let candidates = desk.mempool.candidates(8, 1 << 20);
    assert!(waited.iter().copied().eq(candidates.iter().map(|one| one.id())));
}

#[test]
fn what_waits_behind_a_gap_is_little_and_makes_way_first() {
    let size = Desk::new(MempoolLimits::default()).size();
    let limits =
        MempoolLimits { bytes_max: 10 * size, principal_bytes_max: 10 * size, ..MempoolLimits::default() };
    let mut desk = Desk::new(MempoolLimits { signer_gapped_max: 6, ..limits });
    assert_eq!(accepted(&desk.submit("DE registrar", 1..10)), 6, "few of one signer");
    assert_eq!(accepted(&desk.submit("DE registrar", 20..21)), 0);
    assert_eq!(accepted(&desk.submit("EE registrar", 1..7)), 4, "and no more than there is room for");
    assert_eq!(desk.mempool.size().0, 10);
    assert_eq!(desk.mempool.waiting(1 << 20), [], "a peer gets nothing that no block can hold");
    assert!(desk.mempool.candidates(100, 1 << 20).is_empty());
    desk.check_counts();
    assert_eq!(accepted(&desk.submit("FR registrar", 0..8)), 8, "they make way");
    desk.check_counts();
    let left: Vec<u64> =
        desk.mempool.signers[&key("DE registrar").public_key()].entries.keys().copied().collect();
    assert_eq!(left, [1, 2], "the newest of the gapped go first");
    assert_eq!(desk.mempool.waiting(1 << 20).len(), 8);
    // The missing nonce makes good ones of those that waited for it, and takes the room of one.
    assert_eq!(desk.submit("DE registrar", 0..1), [Ok(())]);
    assert_eq!(desk.mempool.waiting(1 << 20).len(), 10);
    assert_eq!(desk.mempool.nonce_next(&key("DE registrar").public_key(), 0), 2);
    desk.check_counts();
    assert_eq!(desk.submit("ES registrar", 0..1), [Err(Rejection::MempoolFull)], "nothing gapped is left");
}

#[test]
fn a_bundle_of_one_signer_in_order_has_no_gap() {
    let mut desk =
        Desk::new(MempoolLimits { nonce_gap_max: 8, signer_gapped_max: 2, ..MempoolLimits::default() });
    assert_eq!(accepted(&desk.submit("DE registrar", 0..100)), 100);
    assert_eq!(desk.submit("DE registrar", [200]), [Err(Rejection::NonceGap)]);
    // What stands before the others goes: they wait behind a gap, and come back when it is closed.
    let signer = key("DE registrar").public_key();
    desk.mempool.remove(&signer, 3);
    desk.check_counts();
    assert_eq!(desk.mempool.waiting(1 << 20).len(), 3);
    assert_eq!(desk.submit("DE registrar", [3]), [Ok(())]);
    desk.check_counts();
    assert_eq!(desk.mempool.waiting(1 << 20).len(), 100);
}

#[test]
fn what_has_expired_calls_for_no_block() {
    let mut desk = Desk::new(MempoolLimits::default());
    assert_eq!(accepted(&desk.submit("DE registrar", 0..3)), 3);
    assert_eq!(accepted(&desk.submit("EE registrar", 1..3)), 2);
    assert!(desk.mempool.is_ready(&desk.state, desk.now));
    let later = desk.now.plus(60_001);
    assert!(!desk.mempool.is_ready(&desk.state, later));
    assert_eq!(desk.mempool.size().0, 2, "all of the signer that is refused, and nothing of another");
    desk.check_counts();
    desk.mempool.drop_expired(later);
    assert_eq!(desk.mempool.size(), (0, 0));
    desk.check_counts();
}
