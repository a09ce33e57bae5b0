//! Members with real engines over loopback.

use super::ledger::{CHAIN, Ledger};
use crate::consensus::application::{Application, ValidatorInfo};
use crate::consensus::certificate::{Certificate, verify_certificate};
use crate::consensus::host::Hears;
use crate::consensus::last_signed::{EngineLog, LAST_SIGNED_FILE, LastSigned};
use crate::consensus::{ConsensusConfig, ConsensusHandle, Peer, start};
use hansa_ledger_signature::SecretKey;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tempfile::TempDir;

pub struct Node {
    pub ledger: Arc<Ledger>,
    pub config: ConsensusConfig,
    pub handle: Option<ConsensusHandle>,
}

pub struct Federation {
    pub nodes: Vec<Node>,
    _folder: TempDir,
}

pub fn validator_key(index: usize) -> SecretKey {
    SecretKey::from_bytes([index as u8 + 1; 32])
}

pub fn network_key(index: usize) -> SecretKey {
    SecretKey::from_bytes([index as u8 + 101; 32])
}

/// The memory of a member that has signed nothing.
pub fn memory() -> Arc<LastSigned> {
    let folder = tempfile::tempdir().unwrap();
    // The open file outlives its name.
    let path = folder.path().join(LAST_SIGNED_FILE);
    Arc::new(LastSigned::open(&path, CHAIN, 1, &EngineLog::default()).unwrap())
}

pub fn validators(count: usize) -> Vec<ValidatorInfo> {
    (0..count)
        .map(|index| ValidatorInfo { name: format!("M{index:02}"), key: validator_key(index).public_key() })
        .collect()
}

/// Ports that are free now, below those that the system gives to outgoing connections: a member that restarts needs its own
/// again, and another test must not hold it.
fn ports_free(count: usize) -> Vec<u16> {
    static PORTS: AtomicUsize = AtomicUsize::new(0);
    let first = 20_000 + (std::process::id() as usize % 100) * 100;
    let port = || (first + PORTS.fetch_add(1, Ordering::Relaxed)) as u16;
    let free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    std::iter::repeat_with(port).filter(free).take(count).collect()
}

impl Federation {
    /// Members with their configuration, none started.
    pub fn new(count: usize) -> Self {
        // Metrics are kept by name in the whole process, so names differ between tests.
        static FEDERATIONS: AtomicUsize = AtomicUsize::new(0);
        let number = FEDERATIONS.fetch_add(1, Ordering::Relaxed);
        let folder = tempfile::tempdir().unwrap();
        let addresses: Vec<libp2p::Multiaddr> = ports_free(count)
            .iter()
            .map(|port| format!("/ip4/127.0.0.1/tcp/{port}").parse().unwrap())
            .collect();
        let ledgers = Arc::default();
        let nodes = (0..count)
            .map(|index| {
                let peers = (0..count)
                    .filter(|other| *other != index)
                    .map(|other| Peer {
                        network_key: network_key(other).public_key(),
                        address: addresses[other].clone(),
                    })
                    .collect();
                let config = ConsensusConfig {
                    moniker: format!("f{number}m{index}"),
                    chain_id: CHAIN,
                    listen_address: addresses[index].clone(),
                    peers,
                    network_key: network_key(index),
                    validator_key: validator_key(index),
                    wal_path: folder.path().join(format!("{index}")).join("consensus.wal"),
                };
                let own = validator_key(index).public_key();
                let ledger = Ledger::new(validators(count), own, Arc::clone(&ledgers));
                Node { ledger, config, handle: None }
            })
            .collect();
        Self { nodes, _folder: folder }
    }

    /// Members, all started.
    pub async fn started(count: usize) -> Self {
        let mut federation = Self::new(count);
        for index in 0..count {
            federation.start(index).await;
        }
        federation
    }

    pub async fn start(&mut self, index: usize) {
        let node = &mut self.nodes[index];
        let application: Arc<dyn Application> = Arc::clone(&node.ledger) as _;
        node.handle = Some(start(node.config.clone(), application).await.unwrap());
    }

    /// Starts a member that hears only some of the parts.
    pub async fn start_hearing(&mut self, index: usize, hears: Hears) {
        let node = &mut self.nodes[index];
        let application: Arc<dyn Application> = Arc::clone(&node.ledger) as _;
        let started = crate::consensus::engine::start_hearing(node.config.clone(), application, hears);
        node.handle = Some(started.await.unwrap());
    }

    pub async fn stop(&mut self, index: usize) {
        self.nodes[index].handle.take().unwrap().stop().await;
    }

    pub async fn stop_all(mut self) {
        for node in &mut self.nodes {
            if let Some(handle) = node.handle.take() {
                handle.stop().await;
            }
        }
    }

    /// A transaction reaches all members that run, as gossip would have it.
    pub fn submit(&self, number: u64) {
        for node in self.nodes.iter().filter(|node| node.handle.is_some()) {
            node.ledger.submit(number);
        }
    }

    /// Waits until the running members have `height`.
    pub async fn reach(&self, height: u64) {
        for node in self.nodes.iter().filter(|node| node.handle.is_some()) {
            node.ledger.reach(height).await;
        }
    }

    /// Waits until the running members have applied `number`.
    pub async fn applied(&self, number: u64) {
        for node in self.nodes.iter().filter(|node| node.handle.is_some()) {
            let mut tip = node.ledger.tip.subscribe();
            let applied = tip.wait_for(|_| node.ledger.state().applied.contains(&number));
            let in_time = tokio::time::timeout(std::time::Duration::from_secs(20), applied).await;
            assert!(in_time.is_ok(), "{} did not apply {number}", node.config.moniker);
        }
    }

    pub fn tips(&self) -> Vec<u64> {
        self.nodes.iter().map(|node| *node.ledger.tip.borrow()).collect()
    }

    /// All members hold the same blocks, each with a certificate that anyone can check. Gives the rounds they were decided in.
    pub fn agree(&self) -> Vec<u32> {
        let ids = self.nodes[0].ledger.ids();
        let mut rounds = Vec::new();
        for node in &self.nodes {
            assert_eq!(node.ledger.ids(), ids, "{} has other blocks", node.config.moniker);
            for (height, (id, certificate)) in &node.ledger.state().decided {
                let certificate = Certificate::from_bytes(certificate).unwrap();
                assert_eq!((certificate.height, certificate.id), (*height, *id));
                verify_certificate(&CHAIN, &node.ledger.validators, &certificate).unwrap();
                if node.ledger.own == self.nodes[0].ledger.own {
                    rounds.push(certificate.round);
                }
            }
        }
        rounds
    }
}
