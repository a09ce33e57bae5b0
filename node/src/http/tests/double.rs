//! A node without consensus or network: one process, real ledger, real contracts, real certificates.

use crate::blob::{BlobStore, BlobStoreConfig};
use crate::consensus::certificate::{Certificate, precommit_bytes};
use crate::http::backend::*;
use crate::log::{LogStore, LogStoreConfig};
use crate::rights::{StateSource, may_read};
use futures::future::BoxFuture;
use hansa_contracts_abi::Runtime;
use hansa_ledger::action::{
    AccreditOrganisation, AccreditSite, Action, AttestDeposit, IssueGrant, PostOffer, grant_id,
    organisation_id,
};
use hansa_ledger::apply::{Proposal, build_listing};
use hansa_ledger::deadline::next_deadline;
use hansa_ledger::extension::{Extended, preview_extension};
use hansa_ledger::genesis::{Genesis, GenesisContract, GenesisMember, GenesisOffice};
use hansa_ledger::id::{BlobHash, ChainId, CodeHash, GrantId, LeaseId, OrganisationId, TransactionId};
use hansa_ledger::market::Calendar;
use hansa_ledger::member::MemberCode;
use hansa_ledger::money::{Money, Price};
use hansa_ledger::name::Name;
use hansa_ledger::params::Params;
use hansa_ledger::possession::Possession;
use hansa_ledger::rejection::Rejection;
use hansa_ledger::root::Digest;
use hansa_ledger::row::{
    Demand, Key, Office, OrganisationClass, Pool, Principal, Purpose, Purse, Roles, Source,
};
use hansa_ledger::state::State;
use hansa_ledger::tables::{Chains, Keys, ParamsTable};
use hansa_ledger::time::{Slot, TimeMs};
use hansa_ledger::transaction::SignedTransaction;
use hansa_ledger_signature::{Cache, PublicKey, SecretKey};
use hansa_node_api::light::SignedHeader;
use hansa_node_api::peer::advert::{Advert, AdvertContent};
use hansa_node_api::peer::now_ms;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use tokio::sync::broadcast;

/// How many blocks a listener may lag behind before it loses some.
pub const FOLLOW_BLOCKS: usize = 8;

pub fn key(name: &str) -> SecretKey {
    SecretKey::from_bytes(*blake3::hash(name.as_bytes()).as_bytes())
}

pub fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

pub fn startup() -> OrganisationId {
    organisation_id("EE".parse().unwrap(), "10001")
}

pub fn centre() -> OrganisationId {
    organisation_id("ES".parse().unwrap(), "B-2000")
}

pub fn grant() -> GrantId {
    grant_id("EE".parse().unwrap(), &name("g-1"))
}

pub fn spot() -> CodeHash {
    CodeHash(*blake3::hash(hansa_contracts_bundle::SPOT).as_bytes())
}

/// The slot in hand, where slots are seconds.
pub fn slot() -> u32 {
    TimeMs(now_ms()).slot(1).0
}

pub fn accredit(chain: ChainId, home: &str, number: &str, called: &str, class: OrganisationClass) -> Action {
    let principal = Principal::Organisation(organisation_id(home.parse().unwrap(), number));
    AccreditOrganisation {
        register_number: number.to_owned(),
        owner: None,
        name: name(called),
        class,
        accredited_until: TimeMs(now_ms()).plus(86_400_000),
        key: key(called).public_key(),
        proof: Some(Possession::prove(chain, &key(called), principal)),
    }
    .into()
}

/// Makes a second start-up of Estonia, with money.
pub fn rival(chain: ChainId) -> Vec<(&'static str, Action)> {
    let organisation = organisation_id("EE".parse().unwrap(), "10002");
    let deposit = AttestDeposit { organisation, amount: Money(100_000_000), reference: name("d-2") };
    vec![
        ("EE registrar", accredit(chain, "EE", "10002", "rivaal", OrganisationClass::StartUp)),
        ("EE treasury", deposit.into()),
    ]
}

/// Who does what before there is a market.
pub fn market(chain: ChainId) -> Vec<(&'static str, Action)> {
    let site = AccreditSite {
        provider: centre(),
        site: name("mare-1"),
        class: name("h100"),
        accelerators: 64,
        node_size: 4,
        tier: 2,
        certificates: 1,
        pool: Pool::Public,
        parts: Vec::new(),
    };
    let issue = IssueGrant {
        holder: startup(),
        reference: name("g-1"),
        budget_line: name("line-1"),
        purpose: Purpose::Innovation,
        amount: Money(100_000_000),
        expires: TimeMs(now_ms()).plus(3_600_000),
    };
    let deposit = AttestDeposit { organisation: startup(), amount: Money(5_000_000), reference: name("d-1") };
    let offer = PostOffer {
        site: name("mare-1"),
        class: name("h100"),
        ask: Price(2_000_000),
        calendar: Calendar::constant(Slot(slot()), Slot(slot() + 100_000), 64),
        owner: None,
        reserve_bps: None,
        reserve_cycle_slots: None,
        contract: spot(),
        // No minimum fee.
        contract_params: vec![0; 16],
        parties: Vec::new(),
    };
    vec![
        ("EE registrar", accredit(chain, "EE", "10001", "kodu", OrganisationClass::StartUp)),
        ("ES registrar", accredit(chain, "ES", "B-2000", "mare", OrganisationClass::Public)),
        ("ES registrar", site.into()),
        ("EE treasury", issue.into()),
        ("EE treasury", deposit.into()),
        ("mare", offer.into()),
    ]
}

/// Four accelerators for ten minutes, from the grant.
pub fn demand() -> Demand {
    Demand {
        class: name("h100"),
        quantity: 4,
        quantity_min: 4,
        slots: 600,
        start_min: Slot(slot()),
        start_max: Slot(slot() + 1_000),
        limit: Price(3_000_000),
        countries: Default::default(),
        certificates: 0,
        tier_min: 0,
        purpose: Purpose::Innovation,
        sources: vec![Source { purse: Purse::Grant(grant()), share_bps: 10_000 }],
        job: Some(BlobHash([7; 32])),
        lane: Default::default(),
        interruptible: false,
        any_of: Vec::new(),
    }
}

pub struct Double {
    pub genesis: Genesis,
    pub chain: ChainId,
    inner: RwLock<Inner>,
    host: hansa_contracts_host::Host,
    cache: Mutex<Cache>,
    sender: broadcast::Sender<Arc<BlockRecord>>,
    pub blobs: BlobStore,
    logs: LogStore,
    /// Whose node it is.
    pub member: Mutex<MemberCode>,
    /// Whether every transaction becomes a block at once.
    pub instant: AtomicBool,
    /// Blocks up to this height are forgotten.
    pub forgotten: AtomicU64,
    pub adverts: Mutex<Vec<AdvertContent>>,
    /// What every proposer has seen waiting.
    pub seen: Mutex<Vec<TransactionId>>,
    _folder: tempfile::TempDir,
}

struct Inner {
    state: State,
    blocks: Vec<Arc<BlockRecord>>,
    waiting: Vec<SignedTransaction>,
}

impl Double {
    pub fn new() -> Self {
        let genesis = genesis();
        let chain = genesis.chain_id();
        let host = hansa_contracts_host::Host::new();
        host.load(hansa_contracts_bundle::SPOT).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let blobs = BlobStore::new(BlobStoreConfig {
            folder: folder.path().join("blobs"),
            // More than the federation allows: that limit is the server's to keep.
            blob_bytes_max: genesis.params.blob_bytes_max * 4,
            owner_bytes_max: 4_096,
            grace_ms: 60_000,
        });
        Self {
            chain,
            inner: RwLock::new(Inner {
                state: with_auditor(&genesis),
                blocks: Vec::new(),
                waiting: Vec::new(),
            }),
            genesis,
            host,
            cache: Mutex::new(Cache::new(1_000)),
            sender: broadcast::channel(FOLLOW_BLOCKS).0,
            blobs: blobs.unwrap(),
            logs: LogStore::new(LogStoreConfig::new(&folder.path().join("logs"), 0)),
            member: Mutex::new("DE".parse().unwrap()),
            instant: AtomicBool::new(true),
            forgotten: AtomicU64::new(0),
            adverts: Mutex::new(Vec::new()),
            seen: Mutex::new(Vec::new()),
            _folder: folder,
        }
    }

    /// Makes a block at `time` of what waits, signed by three of the four members.
    pub fn produce(&self, time: TimeMs) -> Arc<BlockRecord> {
        let record = {
            let mut inner = self.inner.write().unwrap();
            let waiting = std::mem::take(&mut inner.waiting);
            let verified = self.cache.lock().unwrap().verify_all(waiting);
            let verified: Vec<_> = verified.into_iter().map(Result::unwrap).collect();
            let proposer = "DE".parse().unwrap();
            let seen = self.seen.lock().unwrap().clone();
            let proposal = Proposal { proposer, time, candidates: &verified, seen: &seen };
            let (block, outcome) =
                build_listing(&inner.state, &self.host, self.chain, &proposal, &mut || true).unwrap();
            let id = block.header.id();
            let signed = precommit_bytes(&self.chain.0, block.header.height, 0, &id.0);
            let mut signatures: Vec<_> = ["DE", "EE", "ES"]
                .map(|code| key(&format!("{code} consensus")))
                .map(|key| (key.public_key(), key.sign(&signed)))
                .to_vec();
            signatures.sort_by_key(|(key, _)| *key);
            let certificate = Certificate { height: block.header.height, round: 0, id: id.0, signatures };
            inner.state.commit(outcome.changes, id);
            let record = Arc::new(BlockRecord {
                id,
                header: block.header,
                transactions: block.transactions,
                waiting: block.waiting,
                receipts: outcome.receipts,
                certificate: certificate.to_bytes(),
            });
            inner.blocks.push(record.clone());
            record
        };
        // Nobody may be listening.
        let _ = self.sender.send(record.clone());
        record
    }

    /// A moment after the last block.
    pub fn later(&self) -> TimeMs {
        let last = self.inner.read().unwrap().state.get::<Chains>(&()).unwrap().time;
        TimeMs(now_ms().max(last.0 + 1))
    }

    /// Empty blocks, a heartbeat apart.
    pub fn idle(&self, blocks: u64) {
        for _ in 0..blocks {
            let heartbeat = self.genesis.params.heartbeat_ms;
            let last = self.inner.read().unwrap().state.get::<Chains>(&()).unwrap().time;
            self.produce(last.plus(heartbeat));
        }
    }

    /// When the ledger does something by itself next.
    pub fn due(&self) -> Option<TimeMs> {
        self.read_state(next_deadline)
    }

    /// Returns when somebody waits for news of a lease's first log.
    pub async fn until_log_waits(&self, lease: LeaseId) {
        let waits = async {
            while self.logs.listeners((lease.0, 0)) == 0 {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(30), waits).await.expect("somebody waits");
    }

    fn take(&self, bytes: &[u8]) -> Result<TransactionId, Rejection> {
        let mut inner = self.inner.write().unwrap();
        let params = inner.state.get::<ParamsTable>(&()).unwrap().clone();
        let transaction = SignedTransaction::decode(bytes, &params)?;
        transaction.check(&self.chain, &params)?;
        self.cache.lock().unwrap().verify(transaction.clone()).map_err(|_| Rejection::BadSignature)?;
        if inner.waiting.contains(&transaction) {
            return Err(Rejection::AlreadyKnown);
        }
        let row = inner.state.get::<Keys>(&transaction.transaction.signer).ok_or(Rejection::UnknownKey)?;
        let waiting =
            inner.waiting.iter().filter(|one| one.transaction.signer == transaction.transaction.signer);
        match transaction.transaction.nonce.cmp(&(row.nonce + waiting.count() as u64)) {
            std::cmp::Ordering::Less => return Err(Rejection::NonceUsed),
            std::cmp::Ordering::Greater => return Err(Rejection::NonceGap),
            std::cmp::Ordering::Equal => inner.waiting.push(transaction.clone()),
        }
        Ok(transaction.id())
    }
}

/// The state of the genesis, where the joint undertaking has an office with a key too: no action gives it one yet.
fn with_auditor(genesis: &Genesis) -> State {
    let mut state = genesis.state().unwrap();
    let principal = Principal::Office(MemberCode::EU, Office::Governance);
    let row = Key { principal, roles: Roles(0), amount_max: None, nonce: 0, revoked: false };
    let mut view = state.view();
    view.put::<Keys>(key("EU governance").public_key(), row);
    let (changes, tip) = (view.into_changes(state.trie()), state.tip());
    state.commit(changes, tip);
    state
}

fn genesis() -> Genesis {
    let members = ["DE", "EE", "ES", "FR"].map(|code| GenesisMember {
        code: code.parse().unwrap(),
        consensus_key: key(&format!("{code} consensus")).public_key(),
        network_key: key(&format!("{code} network")).public_key(),
        issue_limit: Money(1_000_000_000),
        debit_cap: Money(1_000_000_000),
        registrar: GenesisOffice::single(key(&format!("{code} registrar")).public_key()),
        treasury: GenesisOffice::single(key(&format!("{code} treasury")).public_key()),
        governance: GenesisOffice::single(key(&format!("{code} governance")).public_key()),
    });
    // Germany's treasury takes two of three keys.
    let [mut germany, rest @ ..] = members;
    let treasurers = ["DE treasury", "DE treasury 2", "DE treasury 3"];
    germany.treasury =
        GenesisOffice { threshold: 2, keys: treasurers.map(|name| key(name).public_key()).to_vec() };
    let members = [&[germany][..], &rest].concat();
    Genesis {
        name: name("test"),
        time: TimeMs(now_ms() - 1_000),
        vm_profile: hansa_contracts_host::vm_profile(),
        // Long enough that what a test places before a batch is placed by then, however busy the machine is.
        params: Params { blob_bytes_max: 1_024, batch_ms: 10_000, ..Params::testnet() },
        members,
        contracts: vec![GenesisContract { name: name("spot"), code: hansa_contracts_bundle::SPOT.to_vec() }],
    }
}

impl StateSource for Double {
    fn read_state<R>(&self, reader: impl FnOnce(&State) -> R) -> R {
        reader(&self.inner.read().unwrap().state)
    }
}

impl Backend for Double {
    fn genesis(&self) -> &Genesis {
        &self.genesis
    }

    fn chain(&self) -> ChainId {
        self.chain
    }

    fn status(&self) -> NodeStatus {
        let inner = self.inner.read().unwrap();
        let tip = inner.state.get::<Chains>(&()).unwrap();
        NodeStatus {
            member: *self.member.lock().unwrap(),
            federation: self.genesis.name.clone(),
            chain: self.chain,
            version: "0".to_owned(),
            protocol_version: tip.protocol_version,
            protocol_versions: inner.state.protocol_versions().to_vec(),
            upgrade: tip.upgrade.clone(),
            height: tip.height,
            round: 0,
            block: inner.state.tip(),
            state_root: Digest(inner.state.root()),
            time: tip.time,
            transactions: tip.transactions,
            peers_connected: 3,
            members: 4,
            mempool_transactions: inner.waiting.len() as u64,
            mempool_bytes: 0,
            syncing: false,
            ready: tip.height > 0,
            unready_reason: (tip.height == 0).then(|| "no block yet".to_owned()),
            peer_address: "/ip4/127.0.0.1/tcp/1".to_owned(),
            started: self.genesis.time,
            signature_checks: self.cache.lock().unwrap().checks(),
            fsyncs: 0,
        }
    }

    fn read(&self, reader: &mut dyn FnMut(&State)) {
        reader(&self.inner.read().unwrap().state);
    }

    fn submit(&self, bytes: Vec<u8>) -> BoxFuture<'_, Result<TransactionId, Rejection>> {
        Box::pin(async move {
            let id = self.take(&bytes)?;
            if self.instant.load(Ordering::SeqCst) {
                self.produce(self.later());
            }
            Ok(id)
        })
    }

    fn submit_bundle(
        &self,
        transactions: Vec<SignedTransaction>,
    ) -> BoxFuture<'_, Vec<Result<TransactionId, Rejection>>> {
        Box::pin(async move {
            let verdicts: Vec<_> =
                transactions.iter().map(|transaction| self.take(&transaction.encode())).collect();
            if verdicts.iter().any(Result::is_ok) {
                self.produce(self.later());
            }
            verdicts
        })
    }

    fn advert(&self, bytes: Vec<u8>) -> Result<(), AdvertFailure> {
        let refuse = |error: hansa_node_api::peer::advert::AdvertShape| AdvertFailure {
            fault: hansa_node_api::Fault::RequestMalformed,
            message: error.to_string(),
        };
        let advert = Advert::decode(&bytes, &self.chain.0, now_ms()).map_err(refuse)?;
        self.adverts.lock().unwrap().push(advert.content);
        Ok(())
    }

    fn next_nonce(&self, key: &PublicKey) -> Option<u64> {
        let inner = self.inner.read().unwrap();
        let waiting = inner.waiting.iter().filter(|one| one.transaction.signer == *key).count() as u64;
        Some(inner.state.get::<Keys>(key)?.nonce + waiting)
    }

    fn transaction(&self, id: &TransactionId) -> TransactionStatus {
        let inner = self.inner.read().unwrap();
        for block in &inner.blocks {
            if let Some(index) =
                block.receipts.transactions.iter().position(|receipt| receipt.transaction == *id)
            {
                return TransactionStatus::Final(FinalTransaction {
                    height: block.header.height,
                    index: index as u32,
                    time: block.header.time,
                    receipt: block.receipts.transactions[index].clone(),
                });
            }
        }
        match inner.waiting.iter().any(|one| one.id() == *id) {
            true => TransactionStatus::Waiting,
            false => TransactionStatus::Unknown,
        }
    }

    fn block(&self, height: u64) -> Option<Arc<BlockRecord>> {
        let kept = height > self.forgotten.load(Ordering::SeqCst);
        let index = usize::try_from(height.checked_sub(1)?).ok()?;
        self.inner.read().unwrap().blocks.get(index).filter(|_| kept).cloned()
    }

    fn header(&self, height: u64) -> Option<SignedHeader> {
        self.block(height).map(|record| record.signed_header())
    }

    fn follow(&self) -> broadcast::Receiver<Arc<BlockRecord>> {
        self.sender.subscribe()
    }

    fn since(&self, height: u64) -> Option<Vec<Arc<BlockRecord>>> {
        let kept = height >= self.forgotten.load(Ordering::SeqCst);
        kept.then(|| self.inner.read().unwrap().blocks.iter().skip(height as usize).cloned().collect())
    }

    fn adverts(&self) -> Vec<AdvertContent> {
        self.adverts.lock().unwrap().clone()
    }

    fn peers(&self) -> Vec<PeerStatus> {
        vec![PeerStatus { member: "FR".parse().unwrap(), connected: true, address: None, height: Some(1) }]
    }

    fn preview_extension(&self, lease: &LeaseId, slots: u32) -> Result<Extended, Rejection> {
        let inner = self.inner.read().unwrap();
        preview_extension(&inner.state, &self.host, self.chain, lease, slots, TimeMs(now_ms()))
    }

    fn runtime(&self) -> &dyn Runtime {
        &self.host
    }

    fn put_blob(
        &self,
        owner: OrganisationId,
        hash: BlobHash,
        body: BlobBody,
    ) -> BoxFuture<'_, Result<u64, BlobFailure>> {
        Box::pin(async move { Ok(self.blobs.put(owner.0, Some(hash.0), body, now_ms()).await?.size) })
    }

    fn may_read_blob(
        &self,
        reader: OrganisationId,
        hash: BlobHash,
    ) -> BoxFuture<'_, Result<(), hansa_node_api::Fault>> {
        Box::pin(async move { may_read(self, &self.blobs, reader, &hash).await })
    }

    fn open_blob(
        &self,
        hash: BlobHash,
    ) -> BoxFuture<'_, Result<Option<(tokio::fs::File, u64)>, BlobFailure>> {
        Box::pin(async move {
            match self.blobs.open(&hash.0).await {
                Ok(opened) => Ok(Some(opened)),
                Err(crate::blob::BlobError::NotFound { .. }) => Ok(None),
                Err(error) => Err(error.into()),
            }
        })
    }

    fn logs(&self) -> &LogStore {
        &self.logs
    }

    fn metrics(&self) -> String {
        "hansa_height 1\n".to_owned()
    }
}
