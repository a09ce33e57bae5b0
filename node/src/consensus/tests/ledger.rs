//! A ledger in memory: blocks of numbers, each number applied once, empty blocks refused.

use crate::consensus::application::*;
use bytes::Bytes;
use futures::future::BoxFuture;
use hansa_ledger_signature::PublicKey;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;
use tokio::sync::{Notify, watch};

/// A block: height, parent, proposer, numbers, padding.
type Block = (u64, Id, PublicKey, Vec<u64>, Vec<u8>);

#[derive(Default)]
pub struct State {
    pub decided: BTreeMap<u64, (Id, Vec<u8>)>,
    pub bodies: HashMap<Id, Bytes>,
    pub undecided: BTreeMap<(u64, u32, Id), Vec<u8>>,
    pub mempool: BTreeSet<u64>,
    pub applied: BTreeSet<u64>,
    pub evidence: Vec<Vec<u8>>,
    pub checks: Vec<(u64, Origin)>,
    pub fetches: usize,
    /// When each height began and ended here, on a clock that all ledgers share and that counts such moments.
    pub began: BTreeMap<u64, u64>,
    pub ended: BTreeMap<u64, u64>,
    /// Builds blocks though there is nothing to put into them, and always sees work.
    pub noisy: bool,
    /// Loses the bodies it is given until it asks the peers.
    pub forgetful: bool,
    pub commit_fails: bool,
    /// Keeps no proposed block.
    pub keep_fails: bool,
    /// Will keep nothing more.
    pub broken: bool,
    /// Panics where a block is executed, to make it or to judge it.
    pub breaks: bool,
    /// Builds nothing until this is taken away, and then panics.
    pub stalls: bool,
    /// A build has stalled.
    pub stalled: bool,
    pub untimely: bool,
    pub padding: usize,
}

pub struct Ledger {
    pub validators: Vec<ValidatorInfo>,
    pub own: PublicKey,
    pub state: Mutex<State>,
    pub tip: watch::Sender<u64>,
    work: Arc<Notify>,
    released: Condvar,
    /// All ledgers of the federation: the network over which bodies are fetched.
    pub peers: Arc<Mutex<Vec<Arc<Ledger>>>>,
}

/// The next moment of the clock that all ledgers share.
fn moment() -> u64 {
    static MOMENTS: AtomicU64 = AtomicU64::new(0);
    MOMENTS.fetch_add(1, Ordering::SeqCst)
}

pub const CHAIN: Id = [42; 32];
pub const TIMEOUTS: Timeouts = Timeouts {
    propose_ms: 900,
    prevote_ms: 200,
    precommit_ms: 200,
    delta_ms: 100,
    rebroadcast_ms: 600,
    maximum_ms: 5_000,
};

impl Ledger {
    pub fn new(
        validators: Vec<ValidatorInfo>,
        own: PublicKey,
        peers: Arc<Mutex<Vec<Arc<Ledger>>>>,
    ) -> Arc<Self> {
        let ledger = Arc::new(Self {
            validators,
            own,
            state: Mutex::default(),
            tip: watch::Sender::new(0),
            work: Arc::new(Notify::new()),
            released: Condvar::new(),
            peers,
        });
        ledger.peers.lock().unwrap().push(Arc::clone(&ledger));
        ledger
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// A transaction reaches this node.
    pub fn submit(&self, number: u64) {
        let mut state = self.state();
        if !state.applied.contains(&number) {
            state.mempool.insert(number);
        }
        drop(state);
        self.work.notify_waiters();
    }

    /// Lets a build that has stalled go on, to its panic.
    pub fn release(&self) {
        self.state().stalls = false;
        self.released.notify_all();
    }

    pub fn set_noisy(&self) {
        self.state().noisy = true;
        self.work.notify_waiters();
    }

    pub async fn reach(&self, height: u64) {
        let mut tip = self.tip.subscribe();
        let wait = tip.wait_for(|tip| *tip >= height);
        let reached = tokio::time::timeout(Duration::from_secs(20), wait).await;
        assert!(reached.is_ok(), "height {height} is not reached; tip {}", *self.tip.borrow());
    }

    pub fn ids(&self) -> Vec<Id> {
        self.state().decided.values().map(|(id, _)| *id).collect()
    }

    pub fn block(height: u64, parent: Id, proposer: PublicKey, numbers: &[u64]) -> (Id, Bytes) {
        Self::block_padded(height, parent, proposer, numbers, 0)
    }

    fn block_padded(
        height: u64,
        parent: Id,
        proposer: PublicKey,
        numbers: &[u64],
        padding: usize,
    ) -> (Id, Bytes) {
        let padding: Vec<u8> = (0..padding).map(|index| index as u8).collect();
        let block: Block = (height, parent, proposer, numbers.to_vec(), padding);
        let body = borsh::to_vec(&block).unwrap();
        (*blake3::hash(&body).as_bytes(), body.into())
    }

    /// Where the glue around the engine of contracts would run.
    fn execute(&self) {
        // Read before the panic, or the panic would hold the lock.
        let breaks = self.state().breaks;
        assert!(!breaks, "the glue around the engine breaks");
    }

    fn tip_of(state: &State) -> Tip {
        let last = state.decided.last_key_value();
        last.map_or(Tip { height: 0, id: CHAIN }, |(height, (id, _))| Tip { height: *height, id: *id })
    }
}

impl Application for Ledger {
    fn chain_id(&self) -> Id {
        CHAIN
    }

    fn tip(&self) -> Tip {
        Self::tip_of(&self.state())
    }

    fn validators(&self, _: u64) -> Vec<ValidatorInfo> {
        self.validators.clone()
    }

    fn unknown_rules(&self, _: u64) -> Option<u32> {
        None
    }

    fn timeouts(&self, _: u64) -> Timeouts {
        TIMEOUTS
    }

    fn build(&self, height: u64, _: u32, _: Duration) -> Result<Option<Built>, AppError> {
        self.execute();
        let mut state = self.state();
        while state.stalls {
            state.stalled = true;
            state = self.released.wait(state).unwrap();
        }
        if state.stalled {
            // Or the panic would hold the lock.
            drop(state);
            panic!("the glue around the engine breaks late");
        }
        let tip = Self::tip_of(&state);
        assert_eq!(height, tip.height + 1, "blocks are built on the tip");
        let numbers: Vec<u64> = state.mempool.iter().copied().take(64).collect();
        if numbers.is_empty() && !state.noisy {
            return Ok(None);
        }
        let (id, body) = Self::block_padded(height, tip.id, self.own, &numbers, state.padding);
        Ok(Some(Built { id, body }))
    }

    fn check(
        &self,
        height: u64,
        _: u32,
        proposer: &PublicKey,
        id: &Id,
        body: &[u8],
        origin: Origin,
    ) -> Verdict {
        self.execute();
        let mut state = self.state();
        state.checks.push((height, origin));
        if blake3::hash(body).as_bytes() != id {
            return Verdict::Mismatch("hash".into());
        }
        let Ok((block_height, parent, builder, numbers, _)) = borsh::from_slice::<Block>(body) else {
            return Verdict::Mismatch("borsh".into());
        };
        let tip = Self::tip_of(&state);
        if height != tip.height + 1 {
            return Verdict::NotReady("parent".into());
        }
        if block_height != height || parent != tip.id {
            return Verdict::Invalid("not on the tip".into());
        }
        if !matches!(origin, Origin::Synced | Origin::Reproposed) && builder != *proposer {
            return Verdict::Invalid("another builder".into());
        }
        if numbers.is_empty() {
            return Verdict::Invalid("empty".into());
        }
        if numbers.iter().any(|number| state.applied.contains(number)) {
            return Verdict::Invalid("applied before".into());
        }
        if state.untimely && origin == Origin::Live {
            return Verdict::Untimely("clock".into());
        }
        Verdict::Valid
    }

    fn save_undecided(
        &self,
        height: u64,
        round: u32,
        id: &Id,
        body: &[u8],
        record: &[u8],
    ) -> Result<(), AppError> {
        let mut state = self.state();
        if state.keep_fails {
            return Err(AppError("the disk is not what it was".into()));
        }
        state.undecided.insert((height, round, *id), record.to_vec());
        if !state.forgetful {
            state.bodies.insert(*id, Bytes::copy_from_slice(body));
        }
        Ok(())
    }

    fn broken(&self) -> Option<AppError> {
        self.state().broken.then(|| AppError("the disk is not what it was".into()))
    }

    fn undecided(&self, height: u64, round: u32) -> Result<Vec<Vec<u8>>, AppError> {
        let of_round = |key: &&(u64, u32, Id)| key.0 == height && key.1 == round;
        let mut state = self.state();
        // Asked when a round starts.
        state.began.entry(height).or_insert_with(moment);
        Ok(state.undecided.keys().filter(of_round).map(|key| state.undecided[key].clone()).collect())
    }

    fn undecided_at(&self, height: u64) -> Result<Vec<Vec<u8>>, AppError> {
        let state = self.state();
        let records = state.undecided.iter().filter(|(key, _)| key.0 == height);
        Ok(records.map(|(_, record)| record.clone()).collect())
    }

    fn body(&self, id: &Id) -> Result<Option<Bytes>, AppError> {
        Ok(self.state().bodies.get(id).cloned())
    }

    fn commit(&self, height: u64, id: &Id, certificate: &[u8]) -> Result<(), AppError> {
        let mut state = self.state();
        if state.commit_fails {
            return Err(AppError("the disk is full".into()));
        }
        if state.decided.get(&height).is_some_and(|(known, _)| known == id) {
            return Ok(());
        }
        assert_eq!(height, Self::tip_of(&state).height + 1, "heights have no gap");
        let body = state.bodies.get(id).cloned().expect("the body is kept before the commit");
        let block: Block = borsh::from_slice(&body).unwrap();
        for number in block.3 {
            assert!(state.applied.insert(number), "a number is applied once");
            state.mempool.remove(&number);
        }
        state.decided.insert(height, (*id, certificate.to_vec()));
        state.ended.insert(height, moment());
        drop(state);
        self.tip.send_replace(height);
        Ok(())
    }

    fn finalize(&self, height: u64, certificate: &[u8], evidence: Vec<Vec<u8>>) -> Result<(), AppError> {
        let mut state = self.state();
        let decided = state.decided.get_mut(&height).expect("a height is committed before");
        decided.1 = certificate.to_vec();
        state.evidence.extend(evidence);
        state.undecided.retain(|key, _| key.0 > height);
        Ok(())
    }

    fn decided(&self, height: u64) -> Result<Option<(Vec<u8>, Bytes)>, AppError> {
        let state = self.state();
        let decided = state.decided.get(&height);
        Ok(decided.map(|(id, certificate)| (certificate.clone(), state.bodies[id].clone())))
    }

    fn history_height_min(&self) -> u64 {
        1
    }

    fn work(&self) -> BoxFuture<'static, ()> {
        let peers = Arc::clone(&self.peers);
        let (own, work) = (self.own, Arc::clone(&self.work));
        Box::pin(async move {
            let ledger = {
                let peers = peers.lock().unwrap();
                peers.iter().find(|ledger| ledger.own == own).cloned().unwrap()
            };
            loop {
                let notified = work.notified();
                tokio::pin!(notified);
                notified.as_mut().enable();
                let ready = {
                    let state = ledger.state();
                    state.noisy || !state.mempool.is_empty()
                };
                if ready {
                    return;
                }
                notified.await;
            }
        })
    }

    fn fetch_body(&self, id: Id, _: Duration) -> BoxFuture<'static, Option<Bytes>> {
        let mut state = self.state();
        state.fetches += 1;
        state.forgetful = false;
        drop(state);
        let peers = Arc::clone(&self.peers);
        Box::pin(async move {
            let peers = peers.lock().unwrap();
            peers.iter().find_map(|ledger| ledger.state().bodies.get(&id).cloned())
        })
    }
}
