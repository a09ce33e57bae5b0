//! Nodes on loopback with real sockets. Nothing here sleeps for a fixed time: conditions are awaited, with a bound.

mod blobs;
mod gossip;
mod logs;
mod tips;

use super::*;
use crate::blob::{BlobHash, BlobStoreConfig};
use crate::log::LogStoreConfig;
use hansa_ledger_signature::{PublicKey, SecretKey};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Semaphore;

pub(super) const CHAIN: [u8; 32] = [1; 32];
const LEASE: [u8; 32] = [5; 32];

/// An application that remembers what it was asked and answers by simple rules.
pub(super) struct App {
    _folder: tempfile::TempDir,
    blobs: BlobStore,
    logs: LogStore,
    /// Bundles that were judged, in order.
    bundles: Mutex<Vec<Vec<u8>>>,
    /// How many adverts were judged.
    adverts: Mutex<usize>,
    /// Adverts wait here.
    advert_gate: Semaphore,
    bodies: Mutex<BTreeMap<[u8; 32], Vec<u8>>>,
    bodies_asked: Mutex<usize>,
    /// Members that were reported as connected.
    connected: Mutex<Vec<PeerId>>,
    /// Who may use blobs and write logs.
    allowed: Mutex<Vec<PublicKey>>,
    /// Offsets asked for; beyond the permits, requests wait for ever.
    offsets: Mutex<Vec<u64>>,
    blob_gate: Semaphore,
}

impl App {
    fn new() -> Arc<Self> {
        let folder = tempfile::tempdir().unwrap();
        let blobs = BlobStore::new(BlobStoreConfig {
            folder: folder.path().join("blobs"),
            blob_bytes_max: 4 << 20,
            owner_bytes_max: 6 << 20,
            grace_ms: 60_000,
        })
        .unwrap();
        let logs = LogStore::new(LogStoreConfig::new(&folder.path().join("logs"), 0));
        Arc::new(Self {
            _folder: folder,
            blobs,
            logs,
            bundles: Mutex::default(),
            adverts: Mutex::default(),
            advert_gate: Semaphore::new(Semaphore::MAX_PERMITS),
            bodies: Mutex::default(),
            bodies_asked: Mutex::default(),
            connected: Mutex::default(),
            allowed: Mutex::default(),
            offsets: Mutex::default(),
            blob_gate: Semaphore::new(Semaphore::MAX_PERMITS),
        })
    }

    fn bundles(&self) -> Vec<Vec<u8>> {
        self.bundles.lock().unwrap().clone()
    }

    fn heard(&self, bundle: &[u8]) -> bool {
        self.bundles().iter().any(|heard| heard == bundle)
    }

    fn connections(&self, peer: PeerId) -> usize {
        self.connected.lock().unwrap().iter().filter(|known| **known == peer).count()
    }
}

#[async_trait]
impl NetworkApplication for App {
    /// Bundles that begin with `bad` are rejected, with `old` ignored.
    async fn transactions(&self, _: Option<PeerId>, bundle: Bytes) -> Acceptance {
        self.bundles.lock().unwrap().push(bundle.to_vec());
        match bundle.get(..3) {
            Some(b"bad") => Acceptance::Reject,
            Some(b"old") => Acceptance::Ignore,
            _ => Acceptance::Accept,
        }
    }

    async fn advert(&self, _: Bytes) -> Acceptance {
        self.advert_gate.acquire().await.unwrap().forget();
        *self.adverts.lock().unwrap() += 1;
        Acceptance::Accept
    }

    async fn body(&self, id: [u8; 32]) -> Option<Bytes> {
        *self.bodies_asked.lock().unwrap() += 1;
        self.bodies.lock().unwrap().get(&id).cloned().map(Bytes::from)
    }

    async fn snapshot(&self, _: SnapshotRequest) -> SnapshotReply {
        SnapshotReply::Missing
    }

    async fn blob_access(&self, request: &BlobRequest) -> Result<[u8; 32], BlobRefusal> {
        self.offsets.lock().unwrap().push(request.terms.offset);
        self.blob_gate.acquire().await.unwrap().forget();
        if self.allowed.lock().unwrap().contains(&request.terms.requester) && request.terms.lease == LEASE {
            Ok(request.terms.requester.0)
        } else {
            Err(BlobRefusal::NotAllowed)
        }
    }

    fn blobs(&self) -> &BlobStore {
        &self.blobs
    }

    async fn log_access(&self, terms: &LogTerms) -> Result<[u8; 32], LogRefusal> {
        let allowed = self.allowed.lock().unwrap().contains(&terms.sender) && terms.lease == LEASE;
        if allowed { Ok(terms.sender.0) } else { Err(LogRefusal::NotAllowed) }
    }

    fn logs(&self) -> &LogStore {
        &self.logs
    }

    async fn member_connected(&self, peer: PeerId) {
        self.connected.lock().unwrap().push(peer);
    }
}

/// A node to be.
pub(super) struct Plan {
    key: SecretKey,
    address: Multiaddr,
}

impl Plan {
    fn member(&self) -> Member {
        let peer_id = hansa_node_api::peer::peer_id(&self.key.public_key()).unwrap();
        Member { peer_id, address: self.address.clone() }
    }

    fn config(&self, members: &[&Plan]) -> NetworkConfig {
        NetworkConfig {
            chain_id: CHAIN,
            listen: vec![self.address.clone()],
            network_key: self.key.clone(),
            members: members.iter().map(|plan| plan.member()).collect(),
            limits: NetworkLimits {
                redial_pause_min: Duration::from_millis(20),
                redial_pause_max: Duration::from_millis(200),
                ..NetworkLimits::default()
            },
        }
    }

    async fn start(&self, members: &[&Plan], app: &Arc<App>) -> NetworkHandle {
        start(self.config(members), app.clone()).await.unwrap()
    }
}

/// Plans on free ports: each port is held until all are chosen, so that no two are the same.
fn plans<const N: usize>() -> [Plan; N] {
    let held: [std::net::TcpListener; N] =
        std::array::from_fn(|_| std::net::TcpListener::bind("127.0.0.1:0").unwrap());
    held.map(|socket| {
        let port = socket.local_addr().unwrap().port();
        let address = format!("/ip4/127.0.0.1/tcp/{port}").parse().unwrap();
        Plan { key: SecretKey::generate(), address }
    })
}

/// Waits until the condition holds; fails after a generous time.
async fn until(what: &str, condition: impl Fn() -> bool) {
    let mut look = tokio::time::interval(Duration::from_millis(5));
    let waiting = async {
        while !condition() {
            look.tick().await;
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(30), waiting).await.is_ok(), "never: {what}");
}

async fn until_ready(node: &NetworkHandle, members: usize) {
    let ready = || node.peers().iter().filter(|peer| peer.member && peer.ready).count();
    until("members are ready", || ready() == members).await;
}

fn hash_of(bytes: &[u8]) -> BlobHash {
    *blake3::hash(bytes).as_bytes()
}
