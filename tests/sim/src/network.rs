//! The links between the nodes: late, lost, doubled, overtaken, cut in one direction or both.

use crate::engine::Message;
use crate::profile::Profile;
use crate::random::Random;
use crate::sync::Progress;
use crate::wire::{Packet, Wire};
use crate::world::World;
use hansa_ledger::transaction::SignedTransaction;
use hansa_node::executor::Executor;
use malachitebft_app_channel::app::types::SignedConsensusMsg;
use malachitebft_app_channel::app::types::codec::Codec as _;
use malachitebft_core_consensus::{Input, LivenessMsg};
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

/// The state of all links.
#[derive(Debug)]
pub struct Network {
    random: Random,
    places: usize,
    loss: u32,
    duplicate: u32,
    delay_ms: u64,
    slow: u32,
    /// The links, from and to, over which nothing goes.
    cut: BTreeSet<(usize, usize)>,
}

impl Network {
    /// Whole links between so many nodes.
    #[must_use]
    pub fn new(random: Random, places: usize, profile: &Profile) -> Self {
        let Profile { loss, duplicate, delay_ms, slow, .. } = *profile;
        Self { random, places, loss, duplicate, delay_ms, slow, cut: BTreeSet::new() }
    }

    /// All links are whole, quick and sure from now on.
    pub fn heal(&mut self) {
        self.cut.clear();
        (self.loss, self.duplicate, self.slow) = (0, 0, 0);
        self.delay_ms = self.delay_ms.min(30);
    }

    /// Mends the links that were cut.
    pub fn mend(&mut self) {
        self.cut.clear();
    }

    /// Cuts the nodes into two groups, or some links in one direction; says how.
    pub fn cut(&mut self) -> String {
        self.cut.clear();
        if self.random.chance(600) {
            let order = self.random.order(self.places);
            let size = 1 + self.random.index(self.places - 1);
            let (some, others) = order.split_at(size);
            for (a, b) in some.iter().flat_map(|a| others.iter().map(move |b| (*a, *b))) {
                self.cut.insert((a, b));
                self.cut.insert((b, a));
            }
            return format!("into {some:?} and {others:?}");
        }
        for from in 0..self.places {
            for to in 0..self.places {
                if self.random.chance(300) {
                    self.cut.insert((from, to));
                }
            }
        }
        format!("one way: {:?}", self.cut)
    }

    /// The delays, in milliseconds, of the copies of a message that arrive.
    fn copies(&mut self, from: usize, to: usize, packet: &Packet) -> Vec<u64> {
        if self.cut.contains(&(from, to)) {
            return Vec::new();
        }
        // A status goes over a connection that does not lose it while it lasts; see `sync`.
        let sure = matches!(packet, Packet::Status(_));
        if !sure && self.random.chance(self.loss) {
            return Vec::new();
        }
        let mut copies = vec![self.delay()];
        if self.random.chance(self.duplicate) {
            copies.push(self.delay());
        }
        copies
    }

    fn delay(&mut self) -> u64 {
        if self.random.chance(self.slow) {
            self.random.between(100, 2_000)
        } else {
            self.random.between(1, self.delay_ms)
        }
    }
}

impl World {
    /// Sends a message over one link.
    pub fn send(&self, from: usize, to: usize, wire: &Wire) {
        if self.places[from].disk.dead().is_some() {
            return;
        }
        let Some(wire) = crate::treason::twist(self, from, to, wire) else { return };
        self.post(from, to, &wire);
    }

    /// Sends a message as it is.
    pub fn post(&self, from: usize, to: usize, wire: &Wire) {
        let codec = hansa_node::consensus::codec::LedgerCodec::default();
        let Some(packet) = wire.encode(&codec) else { return };
        self.said(from, wire);
        let delays = self.network.borrow_mut().copies(from, to, &packet);
        let Some(world) = self.this.upgrade() else { return };
        for delay in delays {
            let (world, packet) = (Rc::clone(&world), packet.clone());
            tokio::task::spawn_local(async move {
                tokio::time::sleep(Duration::from_millis(delay)).await;
                world.deliver(from, to, packet);
            });
        }
    }

    /// What leaves a node that does as the program says must not contradict what left it before.
    fn said(&self, from: usize, wire: &Wire) {
        if !self.places[from].honest {
            return;
        }
        let wrong = self.checks.borrow_mut().said(from, &self.places[from].key, wire);
        if let Some(reason) = wrong {
            self.fail(reason);
        }
    }

    fn deliver(&self, from: usize, to: usize, packet: Packet) {
        if !self.is_up(to) {
            return;
        }
        let peer = self.peer_id(from);
        let mut running = self.places[to].running.borrow_mut();
        let Some(running) = running.as_mut() else { return };
        let codec = &running.codec;
        let input = match packet {
            Packet::Consensus(bytes) => match codec.decode(bytes) {
                Ok(SignedConsensusMsg::Vote(vote)) => Message::Input(Input::Vote(vote)),
                Ok(SignedConsensusMsg::Proposal(proposal)) => Message::Input(Input::Proposal(proposal)),
                Err(_) => return,
            },
            Packet::Liveness(bytes) => match codec.decode(bytes) {
                Ok(LivenessMsg::Vote(vote)) => Message::Input(Input::Vote(vote)),
                Ok(LivenessMsg::PolkaCertificate(polka)) => Message::Input(Input::PolkaCertificate(polka)),
                Ok(LivenessMsg::SkipRoundCertificate(round)) => {
                    Message::Input(Input::RoundCertificate(round))
                }
                Err(_) => return,
            },
            Packet::Part(bytes) => match codec.decode(bytes) {
                Ok(part) => Message::Part(peer, part),
                Err(_) => return,
            },
            Packet::Transactions(list) => {
                take_in(&running.executor, &list);
                return;
            }
            Packet::WantBody(number, id) => {
                let executor = running.executor.clone();
                let body = hansa_node::consensus::Application::body(executor.as_ref(), &id).ok().flatten();
                if let Some(world) = self.this.upgrade() {
                    tokio::task::spawn_local(async move { world.send(to, from, &Wire::Body(number, body)) });
                }
                return;
            }
            Packet::Body(number, body) => {
                if let Some(body) = body
                    && let Some(waiting) = running.bodies.remove(&number)
                {
                    let _ = waiting.send(body);
                }
                return;
            }
            Packet::Status(bytes) => {
                if let Ok(status) = codec.decode(bytes) {
                    let _ = running.progress.send(Progress::Status(from, status));
                }
                return;
            }
            Packet::Request(number, bytes) => {
                if let Ok(request) = codec.decode(bytes) {
                    let _ = running.progress.send(Progress::Request(from, number, request));
                }
                return;
            }
            Packet::Response(number, bytes) => {
                if let Ok(response) = codec.decode(bytes) {
                    let _ = running.progress.send(Progress::Response(from, number, response));
                }
                return;
            }
        };
        let _ = running.inbox.send(input);
    }
}

fn take_in(executor: &Executor, list: &[Vec<u8>]) {
    let params = crate::genesis::params();
    let transactions: Vec<_> =
        list.iter().filter_map(|bytes| SignedTransaction::decode(bytes, &params).ok()).collect();
    let _ = executor.submit_all(transactions);
}
