//! A ledger that grows block by block, with true certificates.

use crate::consensus::application::{Application as _, Origin, Verdict};
use crate::executor::tests::{accreditation, genesis, key};
use crate::executor::{Executor, clock};
use crate::mempool::MempoolLimits;
use crate::snapshot::follow::trust;
use crate::snapshot::wire::Offer;
use crate::snapshot::{Manifest, Shelf, Trust, make, member_sets};
use hansa_ledger::action::{Action, RotateKeys};
use hansa_ledger::block::{Block, Header};
use hansa_ledger::genesis::Genesis;
use hansa_ledger::id::BlockId;
use hansa_ledger::transaction::Transaction;
use hansa_ledger_signature::{PublicKey, SecretKey};
use hansa_ledger_store::{LedgerStore, MemoryStore};
use hansa_node_api::certificate::{Certificate, precommit_bytes};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A decided block as others get it.
pub(super) struct Decided {
    pub(super) id: [u8; 32],
    pub(super) body: Vec<u8>,
    pub(super) certificate: Vec<u8>,
}

pub(super) struct World {
    pub(super) genesis: Genesis,
    pub(super) store: Arc<dyn LedgerStore>,
    pub(super) executor: Arc<Executor>,
    /// From the first on.
    pub(super) blocks: Vec<Decided>,
    made: Mutex<Option<Manifest>>,
}

/// Every key that ever signs for a member.
pub(super) fn secret(public: &PublicKey) -> SecretKey {
    let names = ["DE", "EE", "ES", "FR"]
        .into_iter()
        .flat_map(|code| [format!("{code} consensus"), format!("{code} fresh")]);
    let mut keys = names.map(|name| key(&name));
    keys.find(|key| key.public_key() == *public).expect("a key of the tests")
}

/// A certificate of a header by these keys.
pub(super) fn certify(header: &Header, signers: &[PublicKey]) -> Vec<u8> {
    let bytes = precommit_bytes(header, 0);
    let signatures = signers.iter().map(|signer| (*signer, secret(signer).sign(&bytes))).collect();
    borsh::to_vec(&Certificate { height: header.height, round: 0, id: header.id().0, signatures }).unwrap()
}

impl World {
    pub(super) fn new() -> Self {
        Self::over(genesis(), Arc::new(MemoryStore::new()))
    }

    fn over(genesis: Genesis, store: Arc<dyn LedgerStore>) -> Self {
        let member = "DE".parse().unwrap();
        let executor =
            Executor::open(genesis.clone(), member, store.clone(), MempoolLimits::default()).unwrap();
        Self { genesis, store, executor, blocks: Vec::new(), made: Mutex::new(None) }
    }

    /// The same federation in another store.
    pub(super) fn on(&self, store: Arc<dyn LedgerStore>) -> Self {
        Self::over(self.genesis.clone(), store)
    }

    /// Another member that has executed the first blocks.
    pub(super) fn replayed_from(&self, store: Arc<dyn LedgerStore>, blocks: usize) -> Self {
        let other = self.on(store);
        other.take(&self.blocks[..blocks]);
        other
    }

    /// Another member that has executed all blocks.
    pub(super) fn replayed(&self) -> Self {
        self.replayed_from(Arc::new(MemoryStore::new()), self.blocks.len())
    }

    pub(super) fn height(&self) -> u64 {
        self.executor.tip().height
    }

    pub(super) fn trust(&self) -> Trust {
        trust(&self.executor)
    }

    /// Executes blocks that others decided.
    pub(super) fn take(&self, blocks: &[Decided]) {
        for Decided { id, body, certificate } in blocks {
            let height = self.height() + 1;
            let nobody = key("nobody").public_key();
            let verdict = self.executor.check(height, 0, &nobody, id, body, Origin::Synced);
            assert_eq!(verdict, Verdict::Valid);
            self.executor.save_undecided(height, 0, id, body, b"record").unwrap();
            self.executor.commit(height, id, certificate).unwrap();
            self.executor.finalize(height, certificate, Vec::new()).unwrap();
        }
    }

    /// Makes blocks, each of which accredits an organisation.
    pub(super) fn grow(&mut self, blocks: u64) {
        for _ in 0..blocks {
            let registrar = key("EE registrar").public_key();
            let nonce = self.executor.nonce_next(&registrar);
            let transaction = accreditation(&self.executor, nonce, &format!("org-{nonce}"));
            assert!(self.executor.submit_all(vec![transaction])[0].is_ok());
            self.advance();
        }
    }

    /// Gives a member's node another key to sign with, from the height after the next on.
    pub(super) fn rotate(&mut self, code: &str) {
        let office = key(&format!("{code} governance"));
        let transaction = Transaction {
            chain: self.executor.chain(),
            signer: office.public_key(),
            nonce: self.executor.nonce_next(&office.public_key()),
            valid_until: clock().plus(60_000),
            actions: vec![Action::from(RotateKeys {
                consensus_key: key(&format!("{code} fresh")).public_key(),
                network_key: key(&format!("{code} network")).public_key(),
            })],
        };
        assert!(self.executor.submit_all(vec![transaction.sign(&office)])[0].is_ok());
        self.advance();
    }

    fn advance(&mut self) {
        let height = self.height() + 1;
        let built = self.executor.build(height, 0, Duration::from_secs(5)).unwrap().expect("something waits");
        let block = Block::read(&BlockId(built.id), &built.body).unwrap();
        let signers: Vec<PublicKey> = self.executor.validators(height).iter().map(|one| one.key).collect();
        let certificate = certify(&block.header, &signers);
        self.executor.save_undecided(height, 0, &built.id, &built.body, b"record").unwrap();
        self.executor.commit(height, &built.id, &certificate).unwrap();
        self.executor.finalize(height, &certificate, Vec::new()).unwrap();
        self.blocks.push(Decided { id: built.id, body: built.body.to_vec(), certificate });
    }

    /// Makes a snapshot of the last height on the shelf in this folder.
    pub(super) fn snapshot(&self, folder: &Path) -> Offer {
        self.executor.checkpoint().unwrap();
        let shelf = Shelf::open(folder, self.executor.chain()).unwrap();
        let sets = member_sets(&self.executor.state());
        make(&shelf, self.store.as_ref(), &sets, self.height(), &|| true).unwrap();
        let offer = shelf.offers()[0];
        assert_eq!(offer.height, self.height());
        *self.made.lock().unwrap() = Some(Manifest::decode(&shelf.manifest(&offer.id).unwrap()).unwrap());
        offer
    }

    /// That of the snapshot made last.
    pub(super) fn manifest(&self) -> Manifest {
        self.made.lock().unwrap().clone().expect("one was made")
    }
}
