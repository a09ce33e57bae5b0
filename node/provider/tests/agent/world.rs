//! A federation in memory behind the agent's seats: the real ledger, signed blocks, events, blobs, and a clock that tests move.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use async_trait::async_trait;
use futures::channel::mpsc::{UnboundedSender, unbounded};
use hansa_contracts_abi::Native;
use hansa_contracts_spot::Spot;
use hansa_ledger::action::{AccreditOrganisation, AccreditSite, Action, AttestDeposit, organisation_id};
use hansa_ledger::apply::{build_block, chain};
use hansa_ledger::block::Header;
use hansa_ledger::deadline::next_deadline;
use hansa_ledger::event::Event;
use hansa_ledger::genesis::{Genesis, GenesisContract, GenesisMember, GenesisOffice};
use hansa_ledger::id::{BlobHash, LeaseId, OfferId, OrganisationId};
use hansa_ledger::member::MemberCode;
use hansa_ledger::money::Money;
use hansa_ledger::name::Name;
use hansa_ledger::params::Params;
use hansa_ledger::possession::Possession;
use hansa_ledger::rejection::Rejection;
use hansa_ledger::root::key_hash;
use hansa_ledger::row::{
    EntitlementKey, Job, Lease, LeaseState, Offer, OfferState, OrganisationClass, Pool, Principal, SiteKey,
};
use hansa_ledger::state::{State, Table};
use hansa_ledger::tables::{Entitlements, Jobs, Keys, Leases, Offers, Sites};
use hansa_ledger::time::TimeMs;
use hansa_ledger::transaction::Transaction;
use hansa_ledger_signature::{Cache, PublicKey, SecretKey};
use hansa_node_api::ApiError;
use hansa_node_api::certificate::{Certificate, precommit_bytes};
use hansa_node_api::client::EventStream;
use hansa_node_api::event::{BlockMark, EventCursor, EventInfo, EventMessage};
use hansa_node_api::market::{PartInfo, SiteInfo};
use hansa_node_api::peer::advert::Advert;
use hansa_node_api::peer::log::{LogHeld, LogPart};
use hansa_node_api::proof::ProofInfo;
use hansa_node_provider::clock::Clock;
use hansa_node_provider::federation::{BlobError, Blobs, Federation};
use tokio::sync::watch;

pub const START: TimeMs = TimeMs(1_800_000_000_000);
pub const SPOT: &[u8] = b"spot, run natively in these tests";
const MEMBERS: [&str; 4] = ["DE", "EE", "ES", "FR"];

/// A key made of a name: the same name gives the same key in every run.
pub fn key(name: &str) -> SecretKey {
    SecretKey::from_bytes(*blake3::hash(name.as_bytes()).as_bytes())
}

pub fn member(code: &str) -> MemberCode {
    code.parse().unwrap()
}

pub fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

pub fn genesis() -> Genesis {
    let members = MEMBERS.map(|code| GenesisMember {
        code: member(code),
        consensus_key: key(&format!("{code} consensus")).public_key(),
        network_key: key(&format!("{code} network")).public_key(),
        issue_limit: Money(1_000_000_000_000),
        debit_cap: Money(1_000_000_000_000),
        registrar: GenesisOffice::single(key(&format!("{code} registrar")).public_key()),
        treasury: GenesisOffice::single(key(&format!("{code} treasury")).public_key()),
        governance: GenesisOffice::single(key(&format!("{code} governance")).public_key()),
    });
    let contracts = [("spot", SPOT), ("other", b"never run".as_slice())];
    Genesis {
        name: name("test"),
        time: START,
        vm_profile: [0; 32],
        // All capacity is for the market, and for anybody: what the reserve and the caps do has tests of its own.
        params: Params { cap_bps: 10_000, reserve_bps_min: 0, ..Params::testnet() },
        members: members.to_vec(),
        contracts: contracts
            .map(|(text, code)| GenesisContract { name: name(text), code: code.to_vec() })
            .to_vec(),
    }
}

/// Stops whoever passes it for the n-th time, for ever: as far as that agent came before it crashed.
#[derive(Default)]
pub struct CrashPoints {
    at: AtomicUsize,
    passed: AtomicUsize,
    pub reached: watch::Sender<bool>,
}

impl CrashPoints {
    pub fn arm(&self, at: usize) {
        self.passed.store(0, Ordering::SeqCst);
        self.at.store(at, Ordering::SeqCst);
        self.reached.send_replace(false);
    }

    pub async fn pass(&self) {
        // Counts from 1, so that 0 is "never".
        if self.passed.fetch_add(1, Ordering::SeqCst) + 1 == self.at.load(Ordering::SeqCst) {
            self.reached.send_replace(true);
            std::future::pending::<()>().await;
        }
    }
}

/// What the agent sent, and what became of it.
pub type Performed = (Vec<Action>, Result<(), Rejection>);

/// The log of a job as the node holds it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Log {
    pub bytes: Vec<u8>,
    pub ended: bool,
    /// The most bytes that are kept.
    pub bytes_max: Option<usize>,
}

pub struct World {
    pub genesis: Genesis,
    pub clock: watch::Sender<TimeMs>,
    pub crash: CrashPoints,
    /// How many members sign what proofs rest on.
    pub signers: AtomicUsize,
    pub blobs: Mutex<BTreeMap<BlobHash, Vec<u8>>>,
    pub performed: Mutex<Vec<Performed>>,
    pub adverts: Mutex<Vec<Advert>>,
    /// What came of the logs of jobs while they ran.
    pub logs: Mutex<BTreeMap<(LeaseId, u32), Log>>,
    /// Whether the node that keeps logs is away.
    pub logs_away: AtomicBool,
    inner: Mutex<Inner>,
}

struct Inner {
    state: State,
    header: Option<Header>,
    cache: Cache,
    events: Vec<EventMessage>,
    listeners: Vec<UnboundedSender<Result<EventMessage, ApiError>>>,
}

impl World {
    pub fn new() -> Self {
        let genesis = genesis();
        let inner = Inner {
            state: genesis.state().unwrap(),
            header: None,
            cache: Cache::new(10_000),
            events: Vec::new(),
            listeners: Vec::new(),
        };
        Self {
            genesis,
            clock: watch::Sender::new(START),
            crash: CrashPoints::default(),
            signers: AtomicUsize::new(3),
            blobs: Mutex::default(),
            performed: Mutex::default(),
            adverts: Mutex::default(),
            logs: Mutex::default(),
            logs_away: AtomicBool::new(false),
            inner: Mutex::new(inner),
        }
    }

    pub fn with<T>(&self, read: impl FnOnce(&State) -> T) -> T {
        read(&self.inner.lock().unwrap().state)
    }

    /// Lets time pass, and what is due happen.
    pub fn advance(&self, milliseconds: u64) {
        self.clock.send_modify(|now| *now = now.plus(milliseconds));
        let now = *self.clock.borrow();
        let heartbeat = self.genesis.params.heartbeat_ms;
        while self.with(|state| {
            next_deadline(state).is_some_and(|due| due <= now) || chain(state).time.plus(heartbeat) <= now
        }) {
            self.block(None);
        }
    }

    /// One transaction of the key with this name, final.
    pub fn act(&self, signer: &str, actions: Vec<Action>) -> Result<Vec<Event>, Rejection> {
        self.act_as(&key(signer), actions)
    }

    fn act_as(&self, key: &SecretKey, actions: Vec<Action>) -> Result<Vec<Event>, Rejection> {
        self.block(Some((key, actions))).expect("a receipt for the transaction")
    }

    fn block(&self, act: Option<(&SecretKey, Vec<Action>)>) -> Option<Result<Vec<Event>, Rejection>> {
        let mut inner = self.inner.lock().unwrap();
        let id = self.genesis.chain_id();
        let time = (*self.clock.borrow()).max(chain(&inner.state).time.plus(1));
        let transactions: Vec<_> = act
            .map(|(key, actions)| {
                let signer = key.public_key();
                let nonce = inner.state.get::<Keys>(&signer).map_or(0, |row| row.nonce);
                let valid_until = time.plus(60_000);
                let transaction = Transaction { chain: id, signer, nonce, valid_until, actions };
                inner.cache.verify(transaction.sign(key)).unwrap()
            })
            .into_iter()
            .collect();
        let code = blake3::hash(SPOT);
        let runtime = Native::<Spot>::new(*code.as_bytes());
        let (block, outcome) =
            build_block(&inner.state, &runtime, id, member("DE"), time, &transactions, &mut || true).unwrap();
        assert_eq!(block.transactions.len(), transactions.len(), "the transaction stands in the block");
        let height = block.header.height;
        for (index, event) in outcome.receipts.events().enumerate() {
            let index = u32::try_from(index).unwrap();
            let info = EventInfo { height, index, time, transaction: None, event: event.clone() };
            inner.events.push(EventMessage::Event(Box::new(info)));
        }
        inner.events.push(EventMessage::Block(BlockMark { height, time }));
        inner.state.commit(outcome.changes, block.header.id());
        inner.header = Some(block.header);
        let told: Vec<EventMessage> =
            inner.events.iter().filter(|message| cursor(message).height == height).cloned().collect();
        inner.listeners.retain(|listener| {
            told.iter().all(|message| listener.unbounded_send(Ok(message.clone())).is_ok())
        });
        outcome.receipts.transactions.into_iter().next().map(|receipt| {
            match Rejection::from_code(receipt.code) {
                None => Ok(receipt.events),
                Some(rejection) => Err(rejection),
            }
        })
    }

    pub fn accredit(&self, home: &str, number: &str) -> OrganisationId {
        let principal = Principal::Organisation(organisation_id(member(home), number));
        let action = AccreditOrganisation {
            register_number: number.to_owned(),
            owner: None,
            name: name(number),
            class: OrganisationClass::StartUp,
            accredited_until: START.plus(864_000_000),
            key: key(number).public_key(),
            proof: Some(Possession::prove(self.genesis.chain_id(), &key(number), principal)),
        };
        self.act(&format!("{home} registrar"), vec![action.into()]).unwrap();
        organisation_id(member(home), number)
    }

    pub fn accredit_site(&self, country: &str, provider: OrganisationId, site: &str, accelerators: u32) {
        let action = AccreditSite {
            provider,
            site: name(site),
            class: name("h100"),
            accelerators,
            node_size: 4,
            tier: 2,
            certificates: 0,
            pool: Pool::Public,
            parts: Vec::new(),
        };
        self.act(&format!("{country} registrar"), vec![action.into()]).unwrap();
    }

    pub fn deposit(&self, home: &str, organisation: OrganisationId, eur: u64) {
        let amount = Money(eur * 1_000_000);
        let action = AttestDeposit { organisation, amount, reference: name("bank-1") };
        self.act(&format!("{home} treasury"), vec![action.into()]).unwrap();
    }

    pub fn put(&self, bytes: &[u8]) -> BlobHash {
        let hash = BlobHash(*blake3::hash(bytes).as_bytes());
        self.blobs.lock().unwrap().insert(hash, bytes.to_vec());
        hash
    }

    pub fn lease_row(&self, lease: &LeaseId) -> Lease {
        self.with(|state| state.get::<Leases>(lease).cloned()).expect("the lease is there")
    }

    pub fn job_row(&self, lease: &LeaseId, job: u32) -> Job {
        self.with(|state| state.get::<Jobs>(&(*lease, job)).cloned()).expect("the job is there")
    }

    /// Everything that happened, in order.
    pub fn events(&self) -> Vec<Event> {
        let event = |message: &EventMessage| match message {
            EventMessage::Event(info) => Some(info.event.clone()),
            _ => None,
        };
        self.inner.lock().unwrap().events.iter().filter_map(event).collect()
    }

    fn prove<T: Table>(&self, key: &T::Key) -> ProofInfo {
        let inner = self.inner.lock().unwrap();
        let header = inner.header.clone().expect("a block was made");
        let bytes = precommit_bytes(&header, 0);
        let mut signatures: Vec<_> = MEMBERS
            .iter()
            .take(self.signers.load(Ordering::SeqCst))
            .map(|code| self::key(&format!("{code} consensus")))
            .map(|key| (key.public_key(), key.sign(&bytes)))
            .collect();
        signatures.sort_by_key(|(key, _)| *key);
        let certificate = Certificate { height: header.height, round: 0, id: header.id().0, signatures };
        let row = inner.state.get::<T>(key).map(|row| borsh::to_vec(row).unwrap());
        let key = borsh::to_vec(key).unwrap();
        ProofInfo {
            table: T::NAME.to_owned(),
            table_id: T::ID,
            proof: inner.state.trie().prove(&key_hash(T::ID, &key)),
            key,
            row,
            certificate: borsh::to_vec(&certificate).unwrap(),
            header,
            handovers: Vec::new(),
        }
    }
}

fn cursor(message: &EventMessage) -> EventCursor {
    match message {
        EventMessage::Event(info) => info.cursor(),
        EventMessage::Block(mark) | EventMessage::Reset(mark) => EventCursor::after_block(mark.height),
    }
}

/// The world as one provider's agent sees it.
pub struct View(pub std::sync::Arc<World>, pub SecretKey);

#[async_trait]
impl Federation for View {
    async fn tip(&self) -> Result<BlockMark, ApiError> {
        Ok(self.0.with(|state| BlockMark { height: chain(state).height, time: chain(state).time }))
    }

    async fn organisation_of(&self, _: &PublicKey) -> Result<OrganisationId, ApiError> {
        unreachable!("the tests name the provider")
    }

    async fn site(&self, key: &SiteKey) -> Result<Option<SiteInfo>, ApiError> {
        let of = |part: &&EntitlementKey| part.site == *key;
        Ok(self.0.with(|state| {
            let rows = state.rows::<Entitlements>().filter(|(part, _)| of(part));
            let parts = rows.map(|(part, row)| PartInfo { owner: part.owner, row: row.clone() }).collect();
            Some(SiteInfo { key: key.clone(), row: state.get::<Sites>(key)?.clone(), parts })
        }))
    }

    async fn offers_open(&self, provider: &OrganisationId) -> Result<Vec<(OfferId, Offer)>, ApiError> {
        let open = |offer: &Offer| offer.provider == *provider && offer.state == OfferState::Open;
        Ok(self.0.with(|state| {
            let rows = state.rows::<Offers>().filter(|(_, offer)| open(offer));
            rows.map(|(id, offer)| (*id, offer.clone())).collect()
        }))
    }

    async fn leases_unsettled(&self, provider: &OrganisationId) -> Result<Vec<(LeaseId, Lease)>, ApiError> {
        let live = |lease: &Lease| lease.provider == *provider && lease.state != LeaseState::Settled;
        Ok(self.0.with(|state| {
            let rows = state.rows::<Leases>().filter(|(_, lease)| live(lease));
            rows.map(|(id, lease)| (*id, lease.clone())).collect()
        }))
    }

    async fn lease(&self, lease: &LeaseId) -> Result<Option<Lease>, ApiError> {
        Ok(self.0.with(|state| state.get::<Leases>(lease).cloned()))
    }

    async fn jobs(&self, lease: &LeaseId) -> Result<Vec<(u32, Job)>, ApiError> {
        Ok(self.0.with(|state| {
            let rows = state.rows::<Jobs>().filter(|((of, _), _)| of == lease);
            rows.map(|((_, number), job)| (*number, job.clone())).collect()
        }))
    }

    async fn prove_lease(&self, lease: &LeaseId) -> Result<ProofInfo, ApiError> {
        Ok(self.0.prove::<Leases>(lease))
    }

    async fn prove_job(&self, lease: &LeaseId, job: u32) -> Result<ProofInfo, ApiError> {
        Ok(self.0.prove::<Jobs>(&(*lease, job)))
    }

    async fn perform(&self, actions: Vec<Action>) -> Result<(), ApiError> {
        self.0.crash.pass().await;
        let outcome = self.0.act_as(&self.1, actions.clone()).map(|_| ());
        self.0.performed.lock().unwrap().push((actions, outcome));
        self.0.crash.pass().await;
        outcome.map_err(ApiError::from)
    }

    fn events(&self, _: OrganisationId, since: EventCursor) -> EventStream {
        let mut inner = self.0.inner.lock().unwrap();
        let (sender, receiver) = unbounded();
        for message in inner.events.iter().filter(|message| cursor(message) > since) {
            sender.unbounded_send(Ok(message.clone())).unwrap();
        }
        inner.listeners.push(sender);
        Box::pin(receiver)
    }

    async fn advertise(&self, advert: &Advert) -> Result<(), ApiError> {
        self.0.adverts.lock().unwrap().push(advert.clone());
        Ok(())
    }
}

#[async_trait]
impl Blobs for View {
    async fn fetch(&self, _: MemberCode, _: LeaseId, hash: BlobHash, into: &Path) -> Result<u64, BlobError> {
        self.0.crash.pass().await;
        let bytes = self.0.blobs.lock().unwrap().get(&hash).cloned();
        let bytes = bytes.ok_or_else(|| BlobError::Refused("the node does not have this blob".to_owned()))?;
        if *blake3::hash(&bytes).as_bytes() != hash.0 {
            return Err(BlobError::Failed(format!("what the node gave does not match blob {hash}")));
        }
        std::fs::write(into, &bytes).unwrap();
        self.0.crash.pass().await;
        Ok(bytes.len() as u64)
    }

    async fn push(
        &self,
        _: MemberCode,
        lease: LeaseId,
        hash: BlobHash,
        path: &Path,
    ) -> Result<(), BlobError> {
        self.0.crash.pass().await;
        if self.0.lease_row(&lease).state == LeaseState::Settled {
            return Err(BlobError::Refused("this key may not use this blob".to_owned()));
        }
        let bytes = std::fs::read(path).unwrap();
        assert_eq!(self.0.put(&bytes), hash, "the file is what it is announced as");
        self.0.crash.pass().await;
        Ok(())
    }

    async fn append_log(&self, home: MemberCode, part: LogPart) -> Result<LogHeld, BlobError> {
        if self.0.logs_away.load(Ordering::SeqCst) {
            return Err(BlobError::Away("the node is away".to_owned()));
        }
        let lease = LeaseId(part.lease);
        assert_eq!(home, self.0.lease_row(&lease).requester_home);
        let mut logs = self.0.logs.lock().unwrap();
        let log = logs.entry((lease, part.job)).or_default();
        let most = log.bytes_max.unwrap_or(usize::MAX);
        if !log.ended && part.offset == log.bytes.len() as u64 {
            log.bytes.extend(part.bytes);
            log.bytes.truncate(most);
            log.ended = part.ended;
        }
        let open = !log.ended && log.bytes.len() < most;
        Ok(LogHeld { next_offset: log.bytes.len() as u64, open })
    }
}

#[async_trait]
impl Clock for World {
    fn now(&self) -> TimeMs {
        *self.clock.borrow()
    }

    async fn sleep_until(&self, time: TimeMs) {
        let mut clock = self.clock.subscribe();
        // The sender lives as long as the world.
        let _ = clock.wait_for(|now| *now >= time).await;
    }
}
