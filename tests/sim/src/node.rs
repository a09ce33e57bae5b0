//! The life of one process: started from what is on its disk, ended, and what its operator does in between.

use crate::disk::Death;
use crate::engine::{self, Halt, Parts};
use crate::sync;
use crate::wire::Wire;
use crate::world::{Incident, Running, START, World, key};
use bytes::Bytes;
use futures::future::BoxFuture;
use hansa_node::consensus::codec::{LedgerCodec, PeerTips};
use hansa_node::consensus::engine::Status;
use hansa_node::consensus::host::missing::watch_proposals;
use hansa_node::consensus::host::{Host, HostParts, Offload};
use hansa_node::consensus::last_signed::{LastSigned, MemoryError, parse_log, prepare_rebuild_on};
use hansa_node::consensus::pacing::Pacing;
use hansa_node::consensus::signing::{MemberSigner, MemberVerifier};
use hansa_node::consensus::{Application as _, FatalReason};
use hansa_node::executor::{BodySource, Executor};
use hansa_node::mempool::MempoolLimits;
use malachitebft_app_channel::NetworkMsg;
use malachitebft_app_channel::app::engine::util::events::TxEvent;
use malachitebft_app_channel::app::types::core::ValueOrigin;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// How many messages the host's mailbox takes: as good as all, as the connector's does.
const MAILBOX: usize = 1 << 16;

type Question = ([u8; 32], Duration, oneshot::Sender<Option<Bytes>>);

/// Asks the peers for bodies, from within the application half.
struct Bodies(mpsc::UnboundedSender<Question>);

impl BodySource for Bodies {
    fn fetch(&self, id: [u8; 32], timeout: Duration) -> BoxFuture<'static, Option<Bytes>> {
        let (reply, answer) = oneshot::channel();
        let sent = self.0.send((id, timeout, reply));
        Box::pin(async move {
            if sent.is_err() {
                return None;
            }
            answer.await.ok().flatten()
        })
    }
}

/// Why a process did not start.
enum NoStart {
    /// Its disk failed; it is tried again.
    Disk(String),
    /// What must never happen.
    Wrong(String),
}

impl World {
    /// Starts a node's process. One that fails for its disk is started again later.
    pub fn start(self: &Rc<Self>, place: usize) {
        if self.places[place].running.borrow().is_some() {
            return;
        }
        match self.try_start(place) {
            Ok(()) => {
                self.note(format_args!("{place} starts"));
                // Connections are made, and each side says how far it is.
                self.greet(place);
            }
            Err(NoStart::Disk(reason)) => {
                self.note(format_args!("{place} does not start: {reason}"));
                let death = self.places[place].disk.dead().unwrap_or(Death::Killed);
                self.end(place, death);
                self.start_later(place);
            }
            Err(NoStart::Wrong(reason)) => self.fail(format!("node {place} cannot be started: {reason}")),
        }
    }

    /// All peers that a node is connected with tell each other how far they are.
    pub fn greet(&self, place: usize) {
        sync::announce(self, place);
        for peer in 0..self.places.len() {
            if self.is_up(peer) {
                sync::announce(self, peer);
            }
        }
    }

    /// Starts a node's process after a pause.
    pub fn start_later(self: &Rc<Self>, place: usize) {
        let pause = if self.healing.get() { 200 } else { self.faults.borrow_mut().between(50, 4_000) };
        let world = Rc::clone(self);
        tokio::task::spawn_local(async move {
            tokio::time::sleep(Duration::from_millis(pause)).await;
            world.start(place);
        });
    }

    /// Ends a node's process, and takes from its disk what that end takes.
    pub fn end(&self, place: usize, death: Death) {
        let node = &self.places[place];
        let running = node.running.borrow_mut().take();
        node.life.set(node.life.get() + 1);
        if let Some(running) = running {
            running.stop.cancel();
            drop(running);
        }
        let mut faults = self.faults.borrow_mut();
        let flip = !self.healing.get() && faults.chance(self.profile.flip);
        node.shelf.settle(death, &mut faults);
        drop(faults);
        let flipped = node.disk.settle(death, flip);
        self.note(format_args!("{place} ends ({death:?}, a bit flipped: {flipped})"));
    }

    /// What the operator of a node does before its next start.
    fn look_after(&self, place: usize, next: u64) -> Result<(), NoStart> {
        let node = &self.places[place];
        let trouble = |error: MemoryError| NoStart::Disk(error.to_string());
        let chain = self.genesis.chain_id().0;
        let log = parse_log(&node.disk.log(), &hansa_ledger_signature::PublicKey([0; 32]));
        let tip = next.checked_sub(1).filter(|tip| *tip > 0);
        let height = tip.max(log.present.then_some(log.height));
        // Where nothing is known the operator asks another member for the height that stands.
        let standing = self.checks.borrow().height_decided().max(next);
        let asked = height.is_none().then_some(standing + 2);
        let mut slots = node.disk.slots();
        let floor =
            prepare_rebuild_on(&mut slots, chain, height, asked, Some(node.disk.boot())).map_err(trouble)?;
        node.disk.remove_log();
        node.doubted.set(false);
        self.note(format_args!("{place} is looked after; votes from {floor:?}"));
        Ok(())
    }

    fn open_executor(&self, place: usize) -> Result<Arc<Executor>, NoStart> {
        let node = &self.places[place];
        let (started, skew) = (self.started(), node.skew_ms);
        let clock = move || {
            let elapsed = started.elapsed().as_millis() as u64;
            hansa_ledger::time::TimeMs(START.0.saturating_add(elapsed).saturating_add_signed(skew))
        };
        let code = node.code.parse().map_err(|_| NoStart::Wrong("its code is none".to_owned()))?;
        Executor::open_with_clock(
            self.genesis.clone(),
            code,
            node.shelf.open(),
            MempoolLimits::default(),
            Arc::new(clock),
        )
        .map_err(|error| match node.disk.dead() {
            Some(_) => NoStart::Disk(error.to_string()),
            None => NoStart::Wrong(error.to_string()),
        })
    }

    fn open_memory(&self, place: usize, next: u64) -> Result<LastSigned, NoStart> {
        let node = &self.places[place];
        let chain = self.genesis.chain_id().0;
        let own = key(&format!("{} consensus", node.code)).public_key();
        if node.doubted.get() {
            self.look_after(place, next)?;
        }
        for attempt in 0..2 {
            let log = parse_log(&node.disk.log(), &own);
            let slots = Box::new(node.disk.slots());
            match LastSigned::open_on(slots, chain, next, &log, Some(node.disk.boot())) {
                Ok(memory) => return Ok(memory),
                Err(MemoryError::Damaged { .. } | MemoryError::OtherFederation { .. }) if attempt == 0 => {
                    self.look_after(place, next)?;
                }
                Err(error) => return Err(NoStart::Disk(error.to_string())),
            }
        }
        Err(NoStart::Disk("the record of what was signed is damaged".to_owned()))
    }

    fn try_start(self: &Rc<Self>, place: usize) -> Result<(), NoStart> {
        let node = &self.places[place];
        let executor = self.open_executor(place)?;
        let tip = executor.tip().height;
        let kept = self.checks.borrow().kept_by(place);
        if node.honest && tip < kept {
            return Err(NoStart::Wrong(format!("it said that height {kept} is final, and has {tip} left")));
        }
        let memory = Arc::new(self.open_memory(place, tip + 1)?);
        let chain = self.genesis.chain_id().0;
        let (inbox, engine_inbox) = mpsc::unbounded_channel();
        let (progress, catching_up) = mpsc::unbounded_channel();
        let (host, mut mailbox) = mpsc::channel(MAILBOX);
        let (network, mut parts) = mpsc::channel(1);
        let (questions, asked) = mpsc::unbounded_channel();
        executor.set_bodies(Arc::new(Bodies(questions)));
        let stop = CancellationToken::new();
        let secret = key(&format!("{} consensus", node.code));
        let signer = MemberSigner::new(chain, secret, Arc::clone(&memory));
        let verifier = MemberVerifier::new(chain);
        let events = TxEvent::new();
        let pacing = Pacing::new(signer.public_key());
        let tips = Arc::new(PeerTips::default());
        let deliver = inbox.clone();
        let seat = Host::new(HostParts {
            application: Arc::clone(&executor) as _,
            offload: Offload::Inline,
            signer: signer.clone(),
            verifier: verifier.clone(),
            pacing: pacing.clone(),
            tips: Arc::clone(&tips),
            network,
            status: watch::Sender::new(Status::default()),
            ready: oneshot::channel().0,
            stop: stop.clone(),
            deliver: Box::new(move |value| {
                let _ = deliver.send(engine::Message::Value(value, ValueOrigin::Consensus));
            }),
            hears: |_| true,
        });
        let mut tasks = JoinSet::new();
        tasks.spawn_local(pacing.watch_votes(verifier.clone(), events.subscribe()));
        tasks.spawn_local(watch_proposals(events.subscribe(), seat.notices()));
        let (world, life) = (Rc::clone(self), node.life.get());
        tasks.spawn_local(async move {
            if let Err(reason) = seat.run(&mut mailbox).await {
                let _ = world.incidents.send((place, life, Incident::Fatal(reason)));
            }
        });
        let world = Rc::clone(self);
        tasks.spawn_local(async move {
            while let Some(NetworkMsg::PublishProposalPart(part)) = parts.recv().await {
                world.broadcast(place, &Wire::Part(part));
            }
        });
        tasks.spawn_local(sync::run(Rc::clone(self), place, catching_up));
        tasks.spawn_local(answer_bodies(Rc::clone(self), place, asked));
        tasks.spawn_local(follow(Rc::clone(self), place, Arc::clone(&executor)));
        tasks.spawn_local(resend(Rc::clone(self), place, Arc::clone(&executor)));
        let (told, deaths) = mpsc::unbounded_channel();
        node.disk.tell(told);
        tasks.spawn_local(watch_disk(Rc::clone(self), place, deaths));
        let parts = Parts {
            world: Rc::clone(self),
            place,
            inbox: inbox.clone(),
            host: host.clone(),
            signer,
            verifier,
            events,
            progress: progress.clone(),
            disk: node.disk.clone(),
        };
        let world = Rc::clone(self);
        tasks.spawn_local(async move {
            let halt = engine::run(parts, engine_inbox).await;
            world.halted(place, halt);
        });
        let codec = LedgerCodec::observing(Arc::clone(&tips));
        *node.running.borrow_mut() = Some(Running {
            inbox,
            executor,
            memory,
            progress,
            host,
            codec,
            tips,
            stop,
            bodies: BTreeMap::new(),
            tasks,
        });
        Ok(())
    }

    /// What follows from something that befell a node.
    pub fn meet(self: &Rc<Self>, place: usize, life: u64, incident: Incident) {
        let node = &self.places[place];
        if node.life.get() != life || node.running.borrow().is_none() {
            return;
        }
        // Whatever a dead node's operations were refused for, it is its death.
        let incident = node.disk.dead().map_or(incident, Incident::Died);
        match incident {
            Incident::Died(death) => self.end(place, death),
            Incident::Halted(halt) => {
                self.note(format_args!("{place} halts: {halt:?}"));
                if let Halt::Core(reason) = &halt
                    && node.honest
                {
                    self.fail(format!("the engine of node {place} refuses an input: {reason}"));
                }
                // A log that cannot be read or replayed is a matter for a person, who may start the node again all the same.
                let written = node.disk.refusals() > 0;
                node.doubted.set(!written || self.faults.borrow_mut().chance(500));
                self.end(place, Death::Killed);
            }
            Incident::Fatal(reason) => {
                self.note(format_args!("{place} ends itself: {reason}"));
                let of_disk = matches!(
                    reason,
                    FatalReason::KeepFailed { .. }
                        | FatalReason::CommitFailed { .. }
                        | FatalReason::FinalizeFailed { .. }
                        | FatalReason::DecidedUnjudged { .. }
                );
                let excused = node.disk.refusals() > 0;
                if node.honest && !(of_disk && excused) {
                    self.fail(format!("node {place} ended itself: {reason}"));
                }
                self.end(place, Death::Killed);
            }
        }
        self.start_later(place);
    }
}

async fn watch_disk(world: Rc<World>, place: usize, mut deaths: mpsc::UnboundedReceiver<Death>) {
    let life = world.places[place].life.get();
    if let Some(death) = deaths.recv().await {
        let _ = world.incidents.send((place, life, Incident::Died(death)));
    }
}

/// Tells the checks of every block as it becomes final at a node.
async fn follow(world: Rc<World>, place: usize, executor: Arc<Executor>) {
    let mut blocks = executor.follow();
    drop(executor);
    while let Ok(record) = blocks.recv().await {
        world.became_final(place, &record);
    }
}

/// Hands what has waited for a whole pause to each peer once more, as the node does.
async fn resend(world: Rc<World>, place: usize, executor: Arc<Executor>) {
    let mut before = None;
    loop {
        tokio::time::sleep(Duration::from_secs(2)).await;
        let waiting = executor.waiting(64 << 10);
        let oldest = waiting.first().map(hansa_ledger::transaction::SignedTransaction::id);
        if oldest.is_some() && oldest == before {
            world.broadcast(place, &Wire::Transactions(waiting));
        }
        before = oldest;
    }
}

/// Asks all peers for a body, and takes the first that one gives.
async fn answer_bodies(world: Rc<World>, place: usize, mut asked: mpsc::UnboundedReceiver<Question>) {
    while let Some((id, timeout, reply)) = asked.recv().await {
        let number = world.question();
        let (give, given) = oneshot::channel();
        if let Some(running) = world.places[place].running.borrow_mut().as_mut() {
            running.bodies.insert(number, give);
        }
        world.broadcast(place, &Wire::WantBody(number, id));
        let waiting = Rc::clone(&world);
        world.spawn(place, async move {
            let body = tokio::time::timeout(timeout, given).await.ok().and_then(Result::ok);
            if let Some(running) = waiting.places[place].running.borrow_mut().as_mut() {
                running.bodies.remove(&number);
            }
            let _ = reply.send(body);
        });
    }
}
