//! The federation of one seed: its nodes, the network between them, and what is noted of both.

use crate::checks::Checks;
use crate::disk::{Death, Disk};
use crate::engine::{Halt, Message};
use crate::network::Network;
use crate::profile::{Profile, Treason};
use crate::random::Random;
use crate::store::Shelf;
use crate::sync::Progress;
use crate::trace::Trace;
use crate::wire::Wire;
use hansa_ledger::genesis::Genesis;
use hansa_ledger::time::TimeMs;
use hansa_ledger_signature::{PublicKey, SecretKey};
use hansa_node::consensus::FatalReason;
use hansa_node::consensus::codec::{LedgerCodec, PeerTips, peer_id};
use hansa_node::consensus::last_signed::LastSigned;
use hansa_node::executor::Executor;
use malachitebft_app_channel::app::types::PeerId;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// When simulated time begins.
pub const START: TimeMs = TimeMs(1_800_000_000_000);

/// A key made of a name: the same name gives the same key in every run.
#[must_use]
pub fn key(name: &str) -> SecretKey {
    SecretKey::from_bytes(*blake3::hash(name.as_bytes()).as_bytes())
}

/// One machine.
pub struct Place {
    /// Which member runs it.
    pub member: usize,
    /// The member's code.
    pub code: &'static str,
    /// The key that signs its votes.
    pub key: PublicKey,
    /// The name of its node in the network.
    pub peer_id: PeerId,
    /// Whether it does as the program says.
    pub honest: bool,
    /// How far its clock is off, in milliseconds.
    pub skew_ms: i64,
    /// Its disk.
    pub disk: Disk,
    /// Its ledger on that disk.
    pub shelf: Shelf,
    /// Its process, while it runs.
    pub running: RefCell<Option<Running>>,
    /// Counts its processes.
    pub life: Cell<u64>,
    /// Its operator has been told that its log cannot be believed.
    pub doubted: Cell<bool>,
}

/// A process.
pub struct Running {
    /// Its engine.
    pub inbox: mpsc::UnboundedSender<Message>,
    /// Its application half.
    pub executor: Arc<Executor>,
    /// What it knows to have signed.
    pub memory: Arc<LastSigned>,
    /// Its catching up.
    pub progress: mpsc::UnboundedSender<Progress>,
    /// Who answers for its decided blocks.
    pub host: mpsc::Sender<malachitebft_app_channel::AppMsg<hansa_node::consensus::context::LedgerContext>>,
    /// Reads what comes in.
    pub codec: LedgerCodec,
    /// How far its peers say they are.
    pub tips: Arc<PeerTips>,
    /// Ends what it began beside its tasks.
    pub stop: CancellationToken,
    /// The bodies it waits for, by question.
    pub bodies: BTreeMap<u64, oneshot::Sender<bytes::Bytes>>,
    /// What it does.
    pub tasks: JoinSet<()>,
}

/// What befell a node by itself.
pub enum Incident {
    /// It died amid an operation.
    Died(Death),
    /// Its engine halted.
    Halted(Halt),
    /// Its host ended it.
    Fatal(FatalReason),
}

/// Everything of one seed.
pub struct World {
    /// Itself, for what it starts.
    pub this: Weak<World>,
    /// The seed.
    pub seed: u64,
    /// What the seed does.
    pub profile: Profile,
    /// The federation's beginning.
    pub genesis: Genesis,
    /// All machines: one for each member, and a second for one that betrays by twins.
    pub places: Vec<Place>,
    /// The links between them.
    pub network: RefCell<Network>,
    /// What must hold.
    pub checks: RefCell<Checks>,
    /// What happened.
    pub trace: RefCell<Trace>,
    /// Draws for nodes and links that fail.
    pub faults: RefCell<Random>,
    /// Draws for what those who betray do.
    pub treasons: RefCell<Random>,
    /// The blocks that a traitor knows of, by height.
    pub proposed: RefCell<Vec<(u64, [u8; 32])>>,
    /// What befell nodes by themselves, each with its place and life.
    pub incidents: mpsc::UnboundedSender<(usize, u64, Incident)>,
    /// The faults are over: whoever goes down comes back at once.
    pub healing: Cell<bool>,
    /// People do nothing new any more.
    pub resting: Cell<bool>,
    /// Counts questions and answers.
    pub questions: Cell<u64>,
    /// Called when something becomes final.
    pub changed: Rc<Notify>,
    started: Instant,
    failure: RefCell<Option<String>>,
    failed: Notify,
}

impl World {
    /// The federation of a seed, with nothing running.
    #[must_use]
    pub fn new(
        seed: u64,
        profile: Profile,
        told: bool,
        incidents: mpsc::UnboundedSender<(usize, u64, Incident)>,
    ) -> Rc<Self> {
        let genesis = crate::genesis::genesis(&profile);
        let mut faults = Random::new(seed, 3);
        let mut places = Vec::new();
        let traitor = (profile.treason != Treason::None).then_some(profile.members - 1);
        for member in 0..profile.members {
            places.push(place(seed, member, places.len(), traitor != Some(member), &profile, &mut faults));
        }
        if profile.treason == Treason::Twin {
            places.push(place(seed, profile.members - 1, places.len(), false, &profile, &mut faults));
        }
        let network = Network::new(Random::new(seed, 2), places.len(), &profile);
        Rc::new_cyclic(|this| Self {
            this: this.clone(),
            seed,
            checks: RefCell::new(Checks::new(places.len())),
            network: RefCell::new(network),
            trace: RefCell::new(Trace::new(told)),
            faults: RefCell::new(faults),
            treasons: RefCell::new(Random::new(seed, 5)),
            proposed: RefCell::new(Vec::new()),
            incidents,
            healing: Cell::new(false),
            resting: Cell::new(false),
            questions: Cell::new(0),
            changed: Rc::new(Notify::new()),
            started: Instant::now(),
            failure: RefCell::new(None),
            failed: Notify::new(),
            profile,
            genesis,
            places,
        })
    }

    /// The time, by a clock that is right.
    #[must_use]
    pub fn now(&self) -> TimeMs {
        START.plus(self.started.elapsed().as_millis() as u64)
    }

    /// What a node's clock is made of: the beginning of simulated time.
    #[must_use]
    pub fn started(&self) -> Instant {
        self.started
    }

    /// Notes a line.
    pub fn note(&self, line: fmt::Arguments<'_>) {
        self.trace.borrow_mut().note(line);
    }

    /// Something that must hold does not.
    pub fn fail(&self, reason: String) {
        self.note(format_args!("FAILED {reason}"));
        self.failure.borrow_mut().get_or_insert(reason);
        self.failed.notify_waiters();
    }

    /// How many members may not vote in a height, because they betray or do not know what they signed there.
    #[must_use]
    pub fn mute(&self, height: u64) -> usize {
        let silent = |place: &&Place| match (place.honest, place.running.borrow().as_ref()) {
            (false, _) => true,
            (true, Some(running)) => running.memory.vote_from() > height,
            (true, None) => false,
        };
        let members: std::collections::BTreeSet<usize> =
            self.places.iter().filter(silent).map(|place| place.member).collect();
        members.len()
    }

    /// What failed first.
    #[must_use]
    pub fn failure(&self) -> Option<String> {
        self.failure.borrow().clone()
    }

    /// Waits for a failure.
    pub async fn until_failure(&self) {
        let failed = self.failed.notified();
        if self.failure.borrow().is_none() {
            failed.await;
        }
    }

    /// Runs something as a part of a node's process.
    pub fn spawn(&self, place: usize, work: impl Future<Output = ()> + 'static) {
        if let Some(running) = self.places[place].running.borrow_mut().as_mut() {
            while running.tasks.try_join_next().is_some() {}
            running.tasks.spawn_local(work);
        }
    }

    /// The name by which its peers know a node.
    #[must_use]
    pub fn peer_id(&self, place: usize) -> PeerId {
        self.places[place].peer_id
    }

    /// The node of that name.
    #[must_use]
    pub fn place_of(&self, peer: &PeerId) -> Option<usize> {
        self.places.iter().position(|place| place.peer_id == *peer)
    }

    /// Whether a node's process runs and its machine has power.
    #[must_use]
    pub fn is_up(&self, place: usize) -> bool {
        self.places[place].running.borrow().is_some() && self.places[place].disk.dead().is_none()
    }

    /// The application half of a running node.
    #[must_use]
    pub fn executor(&self, place: usize) -> Option<Arc<Executor>> {
        if !self.is_up(place) {
            return None;
        }
        self.places[place].running.borrow().as_ref().map(|running| Arc::clone(&running.executor))
    }

    /// The machines that do as the program says.
    pub fn honest(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.places.len()).filter(|place| self.places[*place].honest)
    }

    /// A fresh number for a question.
    pub fn question(&self) -> u64 {
        self.questions.set(self.questions.get() + 1);
        self.questions.get()
    }

    /// Sends a node's message to everybody else.
    pub fn broadcast(&self, from: usize, wire: &Wire) {
        let peers = (0..self.places.len()).filter(|to| self.places[*to].member != self.places[from].member);
        for to in peers {
            self.send(from, to, wire);
        }
    }

    /// A round begins at a node.
    pub fn started_round(&self, place: usize, height: u64, round: i64) {
        self.note(format_args!("{place} round {height}/{round}"));
        self.checks.borrow_mut().reached(place, height, round);
    }

    /// A node's engine has decided.
    pub fn decided(&self, place: usize, height: u64, id: &[u8; 32]) {
        self.note(format_args!("{place} decides {height} {}", hex::encode(&id[..6])));
        if !self.places[place].honest {
            return;
        }
        let wrong = self.checks.borrow_mut().decided(place, height, *id);
        if let Some(reason) = wrong {
            self.fail(reason);
        }
    }

    /// A node's application has kept what was decided.
    pub fn committed(&self, place: usize) {
        crate::sync::announce(self, place);
    }

    /// What a peer gave to catch up was of no use.
    pub fn sync_failed(&self, place: usize, height: u64, blamed: bool) {
        self.note(format_args!(
            "{place} cannot use what it was given for {height}, the peer's fault: {blamed}"
        ));
        if let Some(running) = self.places[place].running.borrow().as_ref() {
            let _ = running.progress.send(Progress::Failed(height));
        }
    }

    /// A node's engine will not go on.
    pub fn halted(&self, place: usize, halt: Halt) {
        let life = self.places[place].life.get();
        let _ = self.incidents.send((place, life, Incident::Halted(halt)));
    }
}

fn place(
    seed: u64,
    member: usize,
    number: usize,
    honest: bool,
    profile: &Profile,
    faults: &mut Random,
) -> Place {
    let disk = Disk::new(Random::new(seed, 100 + number as u64));
    let skew_ms = faults.between(0, 2 * profile.skew_ms) as i64 - profile.skew_ms as i64;
    Place {
        member,
        code: crate::genesis::CODES[member],
        key: key(&format!("{} consensus", crate::genesis::CODES[member])).public_key(),
        peer_id: peer_id(&key(&format!("network {number}")).public_key()),
        honest,
        skew_ms,
        shelf: Shelf::new(disk.clone()),
        disk,
        running: RefCell::new(None),
        life: Cell::new(0),
        doubted: Cell::new(false),
    }
}
