//! How people and agents reach the federation: sign, submit to some node, wait until it is final, try another.

use crate::checks::Final;
use crate::random::Random;
use crate::wire::Wire;
use crate::world::{World, key};
use hansa_ledger::action::Action;
use hansa_ledger::state::State;
use hansa_ledger::tables::Keys;
use hansa_ledger::transaction::Transaction;
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;
use tokio::time::Instant;

/// How long a transaction stays valid.
const VALIDITY_MS: u64 = 8_000;

/// How long a client waits before it submits once more, to another node.
const PATIENCE: Duration = Duration::from_millis(1_500);

/// One person or agent, by the name of its key.
pub struct Client {
    /// Where it lives.
    pub world: Rc<World>,
    random: RefCell<Random>,
    name: String,
}

impl Client {
    /// The client with the key of this name.
    #[must_use]
    pub fn new(world: &Rc<World>, name: &str) -> Self {
        let purpose = blake3::hash(name.as_bytes());
        let purpose = u64::from_le_bytes(*purpose.as_bytes().first_chunk().expect("a hash has 32 bytes"));
        Self {
            world: Rc::clone(world),
            random: RefCell::new(Random::new(world.seed, purpose)),
            name: name.to_owned(),
        }
    }

    /// A number in `low..=high`.
    pub fn between(&self, low: u64, high: u64) -> u64 {
        self.random.borrow_mut().between(low, high)
    }

    /// Whether something happens that happens so often of a thousand times.
    pub fn chance(&self, per_mille: u32) -> bool {
        self.random.borrow_mut().chance(per_mille)
    }

    /// One of `items`.
    pub fn pick<T: Clone>(&self, items: &[T]) -> Option<T> {
        self.random.borrow_mut().pick(items).cloned()
    }

    /// Some node that is up. It need not be honest, nor well connected.
    fn some_node(&self) -> Option<usize> {
        let up: Vec<usize> = self.world.honest().filter(|place| self.world.is_up(*place)).collect();
        self.pick(&up)
    }

    /// Looks into the ledger of some node; nothing if none is up.
    pub fn look<T>(&self, read: impl FnOnce(&State) -> T) -> Option<T> {
        let executor = self.world.executor(self.some_node()?)?;
        let state = executor.state();
        Some(read(&state))
    }

    /// Waits.
    pub async fn pause(&self, milliseconds: u64) {
        tokio::time::sleep(Duration::from_millis(milliseconds)).await;
    }

    /// Waits as clients do between two deeds. Some die, and come back later with nothing but their key.
    pub async fn rest(&self) {
        let pause = self.between(20, self.world.profile.client_ms);
        self.pause(pause).await;
        if self.chance(self.world.profile.client_death) {
            self.world.checks.borrow_mut().counts.client_deaths += 1;
            let gone = self.between(500, 10_000);
            self.pause(gone).await;
        }
    }

    /// Does something once, and waits until it is final or can never be. Whoever dies before does not wait.
    pub async fn act(&self, actions: Vec<Action>) -> Option<Final> {
        let (world, secret) = (&self.world, key(&self.name));
        let executor = world.executor(self.some_node()?)?;
        let transaction = Transaction {
            chain: executor.chain(),
            signer: secret.public_key(),
            nonce: executor.nonce_next(&secret.public_key()),
            valid_until: world.now().plus(VALIDITY_MS),
            actions,
        };
        drop(executor);
        let signed = transaction.sign(&secret);
        let id = signed.id();
        let until = Instant::now() + Duration::from_millis(VALIDITY_MS + 1_000);
        let died = self.chance(self.world.profile.client_death);
        loop {
            if let Some(node) = self.some_node()
                && let Some(executor) = world.executor(node)
            {
                let verdict = executor.submit_all(vec![signed.clone()]).pop();
                world.note(format_args!("client {} submits {id} to {node}: {verdict:?}", self.name));
                if matches!(verdict, Some(Ok(_))) {
                    world.broadcast(node, &Wire::Transactions(vec![signed.clone()]));
                }
            }
            if died {
                return None;
            }
            let again = (Instant::now() + PATIENCE).min(until);
            loop {
                let changed = world.changed.notified();
                if let Some(outcome) = world.checks.borrow().outcome(&id) {
                    return Some(outcome);
                }
                if tokio::time::timeout_at(again, changed).await.is_err() {
                    break;
                }
            }
            let used = self.look(|state| {
                state
                    .get::<Keys>(&secret.public_key())
                    .is_some_and(|key| key.nonce > signed.transaction.nonce)
            });
            if Instant::now() >= until || used == Some(true) {
                return world.checks.borrow().outcome(&id);
            }
        }
    }

    /// Does something until it is done, or refused when it is executed.
    pub async fn insist(&self, actions: Vec<Action>) -> Option<Final> {
        for _ in 0..40 {
            if let Some(outcome) = self.act(actions.clone()).await {
                return Some(outcome);
            }
            self.pause(200).await;
        }
        None
    }
}
