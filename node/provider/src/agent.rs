//! The agent: follows the ledger's events, keeps one life per lease, and the inventory, adverts and meter beside them.

use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use hansa_ledger::event::Event;
use hansa_ledger::genesis::Genesis;
use hansa_ledger::id::{LeaseId, OrganisationId};
use hansa_ledger_signature::SecretKey;
use hansa_node_api::ApiError;
use hansa_node_api::event::{EventCursor, EventMessage};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::accelerators::Accelerators;
use crate::award::Trust;
use crate::backend::{Backend, LocalBackend};
use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::error::AgentError;
use crate::federation::{Blobs, Federation};
use crate::inventory::{Capacity, keep_adverts, keep_offers};
use crate::journal::Journal;
use crate::lease::LeaseLife;
use crate::link::NodeLink;
use crate::metering::reports;
use crate::removal::remove_tree;

/// Name of the file that marks the folder of a lease that is settled.
pub(crate) const CLOSED: &str = "closed";

/// Rest before the nodes are asked again, in milliseconds.
const REST_MS: u64 = 1_000;

/// How often folders of settled leases are looked through, in milliseconds.
const SWEEP_MS: u64 = 3_600_000;

/// Figures of the configuration that the agent needs all the time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How often usage is reported, in milliseconds.
    pub usage_interval_ms: u64,
    /// How often what is free is advertised, in milliseconds.
    pub advert_interval_ms: u64,
    /// How long before its end a job is told, in milliseconds.
    pub notice_ms: u64,
    /// The most bytes of one job's log.
    pub log_bytes_max: u64,
    /// How long a settled lease's folder is kept, in milliseconds.
    pub retention_ms: u64,
    /// Whether jobs are told the numbers of their accelerators.
    pub accelerators_visible: bool,
}

impl Settings {
    /// Takes them from the configuration.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        let ms = |seconds: u64| seconds.saturating_mul(1_000);
        Self {
            usage_interval_ms: ms(config.usage_interval_s),
            advert_interval_ms: ms(config.advert_interval_s),
            notice_ms: ms(config.notice_s),
            log_bytes_max: config.log_bytes_max,
            retention_ms: ms(config.retention_s),
            accelerators_visible: config.backend.accelerators_visible(),
        }
    }
}

/// What an agent is made of. Tests put doubles into its seats.
#[derive(Clone)]
pub struct Parts {
    /// The ledger.
    pub federation: Arc<dyn Federation>,
    /// The members' blob stores.
    pub blobs: Arc<dyn Blobs>,
    /// Where jobs run.
    pub backend: Arc<dyn Backend>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
}

/// What all lives of one agent share.
pub(crate) struct Core {
    pub federation: Arc<dyn Federation>,
    pub blobs: Arc<dyn Blobs>,
    pub backend: Arc<dyn Backend>,
    pub clock: Arc<dyn Clock>,
    pub trust: Trust,
    pub journal: Journal,
    pub settings: Settings,
    pub provider: OrganisationId,
    pub key: SecretKey,
    pub accelerators: Accelerators,
    pub inventory: watch::Sender<Vec<Capacity>>,
    pub inventory_wake: watch::Sender<u64>,
    pub stopping: watch::Sender<bool>,
    data_dir: PathBuf,
    _lock: File,
}

impl Core {
    pub fn lease_folder(&self, lease: &LeaseId) -> PathBuf {
        self.data_dir.join("leases").join(lease.to_string())
    }
}

/// One provider agent. Dropping it stops everything at once, as a crash would.
pub struct Agent {
    core: Arc<Core>,
    genesis: Genesis,
    lives: JoinSet<LeaseId>,
    wakes: BTreeMap<LeaseId, watch::Sender<u64>>,
}

impl Agent {
    /// An agent on its data directory, which it locks.
    ///
    /// # Errors
    /// [`AgentError::Locked`] when another agent works there; as [`AgentError`] when folder, journal or inventory are wrong.
    pub fn new(
        config: &Config,
        genesis: Genesis,
        provider: OrganisationId,
        key: SecretKey,
        parts: Parts,
    ) -> Result<Self, AgentError> {
        let inventory = capacities(config, &genesis)?;
        let lock = lock(&config.data_dir)?;
        let journal = Journal::open(&config.data_dir.join("journal"))?;
        let Parts { federation, blobs, backend, clock } = parts;
        let core = Core {
            federation,
            blobs,
            backend,
            clock,
            trust: Trust::new(&genesis),
            journal,
            settings: Settings::new(config),
            provider,
            key,
            accelerators: Accelerators::default(),
            inventory: watch::Sender::new(inventory),
            inventory_wake: watch::Sender::new(0),
            stopping: watch::Sender::new(false),
            data_dir: config.data_dir.clone(),
            _lock: lock,
        };
        Ok(Self { core: Arc::new(core), genesis, lives: JoinSet::new(), wakes: BTreeMap::new() })
    }

    /// Takes another inventory, at once and without touching leases.
    ///
    /// # Errors
    /// [`AgentError::Config`] when it is wrong; the one before stays then.
    pub fn set_inventory(&self, config: &Config) -> Result<(), AgentError> {
        self.core.inventory.send_replace(capacities(config, &self.genesis)?);
        self.core.inventory_wake.send_modify(|count| *count += 1);
        Ok(())
    }

    /// Works until `shutdown` is ready, then puts the jobs in hand away. `reloads` brings other inventories.
    pub async fn run(
        mut self,
        shutdown: impl Future<Output = ()>,
        mut reloads: tokio::sync::mpsc::Receiver<Config>,
    ) {
        let mut services = JoinSet::new();
        let core = self.core.clone();
        services.spawn(async move { keep_offers(&core).await });
        let core = self.core.clone();
        services.spawn(async move { keep_adverts(&core).await });
        let core = self.core.clone();
        services.spawn(async move { keep_meter(&core).await });
        let core = self.core.clone();
        services.spawn(async move { keep_folders(&core).await });
        let mut shutdown = std::pin::pin!(shutdown);
        let clock = self.core.clock.clone();
        loop {
            tokio::select! {
                () = &mut shutdown => break,
                error = self.follow(&mut reloads) => {
                    tracing::warn!(%error, hint = error.hint(), "the events are lost; following anew");
                }
            }
            tokio::select! {
                () = &mut shutdown => break,
                () = clock.sleep_until(clock.now().plus(REST_MS)) => {}
            }
        }
        drop(services);
        self.core.stopping.send_replace(true);
        while self.lives.join_next().await.is_some() {}
    }

    /// Reads the ledger as it stands and then follows it, until the stream breaks.
    async fn follow(&mut self, reloads: &mut tokio::sync::mpsc::Receiver<Config>) -> ApiError {
        let since = match self.adopt().await {
            Ok(since) => since,
            Err(error) => return error,
        };
        let mut events = self.core.federation.events(self.core.provider, since);
        let mut reloading = true;
        loop {
            tokio::select! {
                message = events.next() => match message {
                    Some(Ok(EventMessage::Event(event))) => self.take(&event.event),
                    Some(Ok(EventMessage::Block(_))) => {}
                    Some(Ok(EventMessage::Reset(_))) => {
                        tracing::info!("events were missed; reading the leases again");
                        if let Err(error) = self.adopt().await {
                            return error;
                        }
                    }
                    Some(Err(error)) => return error,
                    None => return ApiError::Timeout { url: "the stream of events, which ended".to_owned() },
                },
                Some(done) = self.lives.join_next() => self.bury(done),
                config = reloads.recv(), if reloading => match config {
                    Some(config) => match self.set_inventory(&config) {
                        Ok(()) => tracing::info!("the inventory is read again"),
                        Err(error) => tracing::error!(%error, "the new inventory is refused; the old one stays"),
                    },
                    None => reloading = false,
                },
            }
        }
    }

    /// Gives every lease that is not settled a life, and those that the journal has not closed.
    async fn adopt(&mut self) -> Result<EventCursor, ApiError> {
        let tip = self.core.federation.tip().await?;
        let leases = self.core.federation.leases_unsettled(&self.core.provider).await?;
        let journalled = self.core.journal.leases();
        for lease in leases.into_iter().map(|(lease, _)| lease).chain(journalled) {
            self.wake(lease);
        }
        self.core.inventory_wake.send_modify(|count| *count += 1);
        Ok(EventCursor::after_block(tip.height))
    }

    fn take(&mut self, event: &Event) {
        match event {
            Event::LeaseAwarded { lease, provider, request, .. } if *provider == self.core.provider => {
                tracing::info!(%lease, %request, "a lease is awarded");
                self.wake(*lease);
            }
            Event::LeaseStarted { lease, .. }
            | Event::LeaseEnded { lease, .. }
            | Event::LeaseSettled { lease, .. }
            | Event::JobSubmitted { lease, .. }
            | Event::LeaseExtended { lease, .. }
                if self.wakes.contains_key(lease) =>
            {
                self.wake(*lease);
            }
            Event::SiteAccredited { .. } | Event::OrganisationAccredited { .. } => {
                self.core.inventory_wake.send_modify(|count| *count += 1);
            }
            _ => {}
        }
    }

    /// Wakes the life of a lease, or gives it one.
    fn wake(&mut self, lease: LeaseId) {
        if let Some(wake) = self.wakes.get(&lease) {
            wake.send_modify(|count| *count += 1);
            return;
        }
        let wake = watch::Sender::new(0);
        let life = LeaseLife::new(self.core.clone(), lease, wake.clone());
        self.wakes.insert(lease, wake);
        self.lives.spawn(async move {
            life.run().await;
            lease
        });
    }

    fn bury(&mut self, done: Result<LeaseId, tokio::task::JoinError>) {
        match done {
            Ok(lease) => {
                self.wakes.remove(&lease);
            }
            Err(error) => tracing::error!(%error, "the life of a lease broke off; restart the agent"),
        }
    }
}

fn capacities(config: &Config, genesis: &Genesis) -> Result<Vec<Capacity>, AgentError> {
    config.inventory.iter().map(|entry| Capacity::new(entry, genesis)).collect()
}

/// One agent per folder: two would run every job twice.
fn lock(data_dir: &Path) -> Result<File, AgentError> {
    let failed = |error| AgentError::File { path: data_dir.to_owned(), error };
    std::fs::create_dir_all(data_dir.join("leases")).map_err(failed)?;
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(data_dir.join("lock"))
        .map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(AgentError::Locked(data_dir.to_owned())),
        Err(TryLockError::Error(error)) => Err(failed(error)),
    }
}

/// Reports the use of all leases for as long as the agent runs.
async fn keep_meter(core: &Core) {
    loop {
        core.clock.sleep_until(core.clock.now().plus(core.settings.usage_interval_ms)).await;
        if let Err(error) = meter(core).await {
            // A lease that ended meanwhile refuses the whole report; the next one is made without it.
            tracing::warn!(%error, hint = error.hint(), "the usage could not be reported; the next report makes up for it");
        }
    }
}

async fn meter(core: &Core) -> Result<(), ApiError> {
    // The time is read first: what a lease has delivered by then it has delivered for certain.
    let tip = core.federation.tip().await?;
    let leases = core.federation.leases_unsettled(&core.provider).await?;
    for report in reports(&leases, tip.time, core.trust.params()) {
        core.federation.perform(vec![report]).await?;
    }
    Ok(())
}

/// Removes the folders of settled leases when their time is over.
async fn keep_folders(core: &Core) {
    loop {
        if let Err(error) = sweep(core) {
            tracing::warn!(%error, "the folders of settled leases could not be looked through");
        }
        core.clock.sleep_until(core.clock.now().plus(SWEEP_MS)).await;
    }
}

fn sweep(core: &Core) -> std::io::Result<()> {
    for entry in core.data_dir.join("leases").read_dir()? {
        let folder = entry?.path();
        let Ok(closed) = folder.join(CLOSED).metadata().and_then(|metadata| metadata.modified()) else {
            continue;
        };
        let age = closed.elapsed().unwrap_or(Duration::ZERO);
        if age >= Duration::from_millis(core.settings.retention_ms) {
            // One that stays must not keep the others.
            if let Err(error) = remove_tree(&folder) {
                tracing::warn!(%error, folder = %folder.display(), "the folder of a settled lease could not be removed");
            }
        }
    }
    Ok(())
}

/// Runs a provider agent until `shutdown` is ready. The inventory is read again on SIGHUP.
///
/// The program must call [`crate::backend::maybe_run_launcher`] first in its `main`.
///
/// # Errors
/// As [`AgentError`], where the agent cannot start. Once it runs, what goes wrong is logged and tried again.
pub async fn run(
    config: Config,
    key: SecretKey,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), AgentError> {
    let genesis = config.load_genesis()?;
    let trust = Trust::new(&genesis);
    let link = Arc::new(NodeLink::new(&config.nodes, key.clone(), trust.chain())?);
    let mut shutdown = std::pin::pin!(shutdown);
    let provider = tokio::select! {
        () = &mut shutdown => return Ok(()),
        provider = identify(&link, &key) => provider?,
    };
    let backend = LocalBackend::new(config.backend.local()).await?;
    let parts = Parts {
        blobs: Arc::new(link.blobs(&genesis)),
        federation: link,
        backend: Arc::new(backend),
        clock: Arc::new(SystemClock),
    };
    let agent = Agent::new(&config, genesis, provider, key, parts)?;
    tracing::info!(%provider, data = %config.data_dir.display(), "the provider agent runs");
    let (sender, reloads) = tokio::sync::mpsc::channel(1);
    let reloader = tokio::spawn(reload_on_hangup(config.path.clone(), sender));
    agent.run(shutdown, reloads).await;
    reloader.abort();
    Ok(())
}

/// Waits until a node answers and knows the key.
async fn identify(link: &NodeLink, key: &SecretKey) -> Result<OrganisationId, AgentError> {
    use hansa_ledger::rejection::Rejection;
    let clock = SystemClock;
    loop {
        link.check_federation().await?;
        match link.organisation_of(&key.public_key()).await {
            Ok(organisation) => return Ok(organisation),
            Err(error) if error.is_transient() || error.rejection() == Some(Rejection::UnknownKey) => {
                tracing::warn!(%error, hint = error.hint(), key = %key.public_key(), "waiting to be known");
                clock.sleep_until(clock.now().plus(REST_MS)).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Reads the configuration again whenever the process is told to by SIGHUP.
async fn reload_on_hangup(path: Option<PathBuf>, reloads: tokio::sync::mpsc::Sender<Config>) {
    use tokio::signal::unix::{SignalKind, signal};
    let Some(path) = path else { return };
    let mut hangups = match signal(SignalKind::hangup()) {
        Ok(hangups) => hangups,
        Err(error) => {
            tracing::warn!(%error, "SIGHUP cannot be listened to; a new inventory needs a restart");
            return;
        }
    };
    while hangups.recv().await.is_some() {
        match Config::load(&path) {
            Ok(config) => {
                if reloads.send(config).await.is_err() {
                    return;
                }
            }
            Err(error) => tracing::error!(%error, "the configuration is refused; the old inventory stays"),
        }
    }
}
