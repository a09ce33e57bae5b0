//! All processes of a testnet as one thing that comes up, is watched, and goes down.

use crate::config;
use crate::error::{TestnetError, api_error, file_error};
use crate::federation::Federation;
use crate::genesis::{Plan, found};
use crate::layout::{Layout, State};
use crate::ports::Reservation;
use crate::process::{Launch, ProcessRecord, Stopped, start, tail};
use crate::progress::Progress;
use crate::proxy::Links;
use crate::seed;
use crate::watch::{Exit, Happening, Interrupt, Watch};
use hansa_ledger::row::OfferState;
use hansa_node_api::filter::OfferFilter;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// How long nodes may take until they are ready, and agents until they have offered.
const READY_TIME_MAX: Duration = Duration::from_secs(60);

/// How often something that is awaited is looked at.
const LOOK_PAUSE: Duration = Duration::from_millis(25);

/// How long the end of a process may be behind what it made fail.
const CAUSE_TIME_MAX: Duration = Duration::from_millis(200);

/// How often a start is tried when another program takes a port between choosing and using it.
const STARTS_MAX: usize = 4;

/// The lines of a log that are shown when its process fails.
pub(crate) const TAIL_LINES: usize = 12;

/// How to bring a testnet up.
#[derive(Clone, Debug)]
pub struct ClusterOptions {
    /// Its folder. One that holds a testnet resumes it.
    pub folder: PathBuf,
    /// What it is made of, where it is new.
    pub plan: Plan,
    /// The program that runs nodes and agents: this one.
    pub executable: PathBuf,
    /// Whether users are accredited and funded.
    pub users: bool,
    /// Whether agents run jobs even where this machine offers no sandbox at all.
    pub allow_unsandboxed: bool,
    /// Whether the processes go on when this one ends.
    pub outlives: bool,
    /// What lies between the nodes; they talk directly if `None`.
    pub links: Option<Links>,
}

/// A testnet whose processes this one has started.
#[derive(Debug)]
pub struct Cluster {
    layout: Layout,
    federation: Federation,
    executable: PathBuf,
    outlives: bool,
    links: Option<Links>,
    own: BTreeMap<String, ProcessRecord>,
    watch: Watch,
    /// Keeps a second process from bringing the same folder up.
    _lock: File,
}

impl Cluster {
    /// Brings a testnet up: makes it if it is new, starts its nodes and waits until they are ready, accredits providers and
    /// users where that was not done before, starts the agents and waits for their offers.
    ///
    /// # Errors
    /// What went wrong; everything that was started is stopped again.
    pub async fn up(options: ClusterOptions, progress: &Progress) -> Result<Self, TestnetError> {
        let mut cluster = Self::prepare(&options, progress)?;
        match cluster.start_all(options.users, progress).await {
            Ok(()) => Ok(cluster),
            Err(error) => {
                progress.now("stopping what was started");
                cluster.stop_own().await;
                Err(error)
            }
        }
    }

    fn prepare(options: &ClusterOptions, progress: &Progress) -> Result<Self, TestnetError> {
        let layout = Layout::new(&options.folder)?;
        std::fs::create_dir_all(layout.folder()).map_err(file_error("make the folder", layout.folder()))?;
        let lock = layout.lock()?;
        let mut state = if layout.exists() {
            progress.now(format!("resuming the testnet in `{}`", layout.folder().display()));
            layout.read_state()?
        } else {
            progress.now(format!("making a genesis with {} members", options.plan.members.len()));
            found(&layout, &options.plan)?
        };
        if let Some((name, _)) = state.processes.iter().find(|(_, process)| process.is_alive()) {
            return Err(TestnetError::Refused(format!(
                "{name} of the testnet in `{}` runs already; see `hansa testnet status`, or end it with `hansa testnet down`",
                layout.folder().display()
            )));
        }
        state.allow_unsandboxed = options.allow_unsandboxed;
        let federation = Federation::open(&layout, &state)?;
        Ok(Self {
            layout,
            federation,
            executable: options.executable.clone(),
            outlives: options.outlives,
            links: options.links.clone(),
            own: BTreeMap::new(),
            watch: Watch::new(Interrupt::new()?),
            _lock: lock,
        })
    }

    async fn start_all(&mut self, users: bool, progress: &Progress) -> Result<(), TestnetError> {
        self.start_nodes(progress).await?;
        let federation = self.federation.clone();
        progress.now("accrediting providers and users");
        self.guard(async {
            seed::providers(&federation).await?;
            if users { seed::users(&federation).await } else { Ok(()) }
        })
        .await?;
        self.start_agents(progress).await
    }

    /// Starts the nodes. The ports are those of the last time as far as they are free.
    async fn start_nodes(&mut self, progress: &Progress) -> Result<(), TestnetError> {
        let mut state = self.federation.state().clone();
        for attempt in 1..=STARTS_MAX {
            let before: Vec<_> = state.members.iter().map(|member| member.ports).collect();
            let reservation = match Reservation::again(&before).filter(|_| attempt == 1) {
                Some(reservation) => reservation,
                None => Reservation::choose(state.members.len())?,
            };
            config::assign(&mut state, reservation.ports());
            state.routes = self.links.as_ref().map(|links| links.routes().clone()).unwrap_or_default();
            if let Some(links) = &self.links {
                links.aim(&state.members);
            }
            state.processes.clear();
            config::write_all(&self.layout, &state)?;
            self.layout.write_state(&state)?;
            self.federation = Federation::open(&self.layout, &state)?;
            progress.now(format!("starting {} nodes", state.members.len()));
            reservation.release();
            for member in &state.members {
                self.start(&member.code.to_string())?;
            }
            let ready = nodes_ready(self.layout.clone(), self.federation.clone(), progress.clone());
            match self.guard(ready).await {
                Err(error) if attempt < STARTS_MAX && is_port_clash(&error) => {
                    progress.note("another program took a port meanwhile; starting again with other ports");
                    self.stop_own().await;
                }
                outcome => return outcome,
            }
        }
        Err(TestnetError::Missed("no free ports could be kept long enough to start all nodes".to_owned()))
    }

    async fn start_agents(&mut self, progress: &Progress) -> Result<(), TestnetError> {
        let providers = self.federation.state().providers.clone();
        if providers.is_empty() {
            return Ok(());
        }
        progress.now(format!("starting {} provider agents", providers.len()));
        for provider in &providers {
            self.start(provider.name.as_str())?;
        }
        let offered = agents_offered(self.layout.clone(), self.federation.clone());
        self.guard(offered).await
    }

    /// Starts the node or agent of this name, and watches it.
    fn start(&mut self, name: &str) -> Result<(), TestnetError> {
        let launch = launch(&self.layout, self.federation.state(), name, &self.executable, self.outlives);
        let child = start(&launch)?;
        let record = self.watch.add(name, child);
        self.own.insert(name.to_owned(), record);
        self.layout.change_state(|state| {
            state.processes.insert(name.to_owned(), record);
        })?;
        Ok(())
    }

    /// The folder and what is in it.
    #[must_use]
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The federation.
    #[must_use]
    pub fn federation(&self) -> &Federation {
        &self.federation
    }

    /// Does `work`, unless a process ends by itself or the user interrupts meanwhile.
    ///
    /// # Errors
    /// Those of `work`; [`TestnetError::Ended`] with the last lines of the log; [`TestnetError::Interrupted`].
    pub async fn guard<T>(
        &mut self,
        work: impl Future<Output = Result<T, TestnetError>>,
    ) -> Result<T, TestnetError> {
        tokio::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return match done {
                    Ok(done) => Ok(done),
                    Err(error) => Err(self.cause(error).await),
                },
                happening = self.watch.next() => match happening {
                    Happening::Exit(exit) if self.is_unexpected(&exit) => return Err(self.ended(&exit)),
                    Happening::Exit(_) => {}
                    Happening::Interrupt => return Err(TestnetError::Interrupted),
                },
            }
        }
    }

    /// Why something failed: where a process ended at the same time, that is why.
    async fn cause(&mut self, error: TestnetError) -> TestnetError {
        let until = Instant::now() + CAUSE_TIME_MAX;
        while let Ok(happening) = timeout_at(until, self.watch.next()).await {
            match happening {
                Happening::Exit(exit) if self.is_unexpected(&exit) => return self.ended(&exit),
                Happening::Exit(_) => {}
                Happening::Interrupt => return TestnetError::Interrupted,
            }
        }
        error
    }

    /// Watches until the user interrupts or nothing runs any more, and tells of each process that ends.
    pub async fn supervise(&mut self, progress: &Progress) {
        while let Happening::Exit(exit) = self.watch.next().await {
            if self.is_unexpected(&exit) {
                progress.warn(&format!("{}\n", self.ended(&exit)));
            } else {
                progress.note(&format!("{} was stopped", title(&exit.name)));
            }
            self.own.retain(|_, record| *record != exit.record);
            if !recorded(&self.layout).values().any(ProcessRecord::is_alive) {
                progress.note("nothing runs any more");
                return;
            }
        }
    }

    /// Stops everything, also what another process has started in this testnet since.
    ///
    /// # Errors
    /// When the record cannot be written.
    pub async fn down(mut self) -> Result<BTreeMap<String, Stopped>, TestnetError> {
        let stopped = stop_all(&self.layout).await;
        self.own.clear();
        stopped
    }

    /// Leaves everything running.
    pub fn detach(mut self) {
        self.own.clear();
    }

    async fn stop_own(&mut self) {
        let own = std::mem::take(&mut self.own);
        let _ = self.layout.change_state(|state| state.processes.retain(|name, _| !own.contains_key(name)));
        futures::future::join_all(own.values().map(ProcessRecord::stop)).await;
        self.watch.forget(own.values());
    }

    /// Whether nobody stopped it: what is stopped on purpose is taken off the record first.
    fn is_unexpected(&self, exit: &Exit) -> bool {
        recorded(&self.layout).get(&exit.name) == Some(&exit.record)
    }

    fn ended(&self, exit: &Exit) -> TestnetError {
        ended(&self.layout, exit)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for record in self.own.values() {
            record.kill();
        }
    }
}

/// Stops everything a testnet's record names: agents first, so that they can tell their nodes; then the nodes.
pub(crate) async fn stop_all(layout: &Layout) -> Result<BTreeMap<String, Stopped>, TestnetError> {
    let mut before = BTreeMap::new();
    layout.change_state(|state| before = std::mem::take(&mut state.processes))?;
    let (nodes, agents): (Vec<_>, Vec<_>) = before.into_iter().partition(|(name, _)| is_member(name));
    let mut stopped = BTreeMap::new();
    for group in [agents, nodes] {
        let stops = group.into_iter().map(|(name, record)| async move { (name, record.stop().await) });
        stopped.extend(futures::future::join_all(stops).await);
    }
    Ok(stopped)
}

/// How the node or agent of this name is started.
pub(crate) fn launch(
    layout: &Layout,
    state: &State,
    name: &str,
    executable: &Path,
    outlives: bool,
) -> Launch {
    let provider = state.providers.iter().find(|provider| provider.name.as_str() == name);
    let arguments: Vec<OsString> = match provider {
        Some(provider) => vec![
            "provider".into(),
            "run".into(),
            "--config".into(),
            layout.agent_config(&provider.name).into(),
            "--key".into(),
            layout.provider_key(&provider.name).into(),
        ],
        None => {
            let config = layout.folder().join(name).join("node.toml");
            vec!["node".into(), "run".into(), "--config".into(), config.into()]
        }
    };
    Launch { name: title(name), program: executable.to_owned(), arguments, log: layout.log(name), outlives }
}

/// What people call a process.
pub(crate) fn title(name: &str) -> String {
    if is_member(name) { format!("the node of {name}") } else { format!("the agent of {name}") }
}

/// How a process ended by itself, with the end of its log.
pub(crate) fn ended(layout: &Layout, exit: &Exit) -> TestnetError {
    let log = layout.log(&exit.name);
    TestnetError::Ended {
        name: title(&exit.name),
        status: exit.status.clone(),
        tail: tail(&log, TAIL_LINES),
        log,
    }
}

fn is_member(name: &str) -> bool {
    name.parse::<hansa_ledger::member::MemberCode>().is_ok()
}

fn recorded(layout: &Layout) -> BTreeMap<String, ProcessRecord> {
    layout.read_state().map(|state| state.processes).unwrap_or_default()
}

fn is_port_clash(error: &TestnetError) -> bool {
    match error {
        TestnetError::Ended { tail, .. } => {
            let tail = tail.to_lowercase();
            ["address already in use", "address in use", "another process may use the port"]
                .iter()
                .any(|text| tail.contains(text))
        }
        _ => false,
    }
}

/// Waits until every node is ready.
async fn nodes_ready(layout: Layout, federation: Federation, progress: Progress) -> Result<(), TestnetError> {
    let until = Instant::now() + READY_TIME_MAX;
    let mut waiting: Vec<_> = federation.clients().to_vec();
    let all = waiting.len();
    loop {
        let asked = waiting.iter().map(|(code, client)| async move { (*code, client.ready().await) });
        let mut reason = String::new();
        let mut unready = Vec::new();
        for (code, answer) in futures::future::join_all(asked).await {
            match answer {
                Ok(health) if health.ok => {}
                Ok(health) => {
                    reason = health.reason.unwrap_or_else(|| "it does not say why".to_owned());
                    unready.push(code);
                }
                Err(error) => {
                    reason = error.to_string();
                    unready.push(code);
                }
            }
        }
        if unready.len() < waiting.len() {
            progress.now(format!("{} of {all} nodes are ready", all - unready.len()));
        }
        waiting.retain(|(code, _)| unready.contains(code));
        let Some(last) = unready.last() else { return Ok(()) };
        if Instant::now() >= until {
            return Err(not_ready(&layout, last.as_str(), reason));
        }
        tokio::time::sleep(LOOK_PAUSE).await;
    }
}

/// Waits until every provider has an open offer at every node.
async fn agents_offered(layout: Layout, federation: Federation) -> Result<(), TestnetError> {
    let until = Instant::now() + READY_TIME_MAX;
    loop {
        let mut missing = None;
        for (code, client) in federation.clients() {
            let filter = OfferFilter { state: Some(OfferState::Open), ..OfferFilter::default() };
            let offers = match client.offers(&filter).await {
                Ok(offers) => offers,
                Err(error) if error.is_transient() => Vec::new(),
                Err(error) => return Err(api_error(format!("the offers cannot be listed at {code}"))(error)),
            };
            let offered = |id| offers.iter().any(|offer| offer.row.provider == id);
            let mut providers = federation.state().providers.iter();
            missing = missing.or(providers.find(|provider| !offered(provider.organisation)));
        }
        let Some(provider) = missing else { return Ok(()) };
        if Instant::now() >= until {
            return Err(not_ready(
                &layout,
                provider.name.as_str(),
                "it has not offered its capacity".to_owned(),
            ));
        }
        tokio::time::sleep(LOOK_PAUSE).await;
    }
}

fn not_ready(layout: &Layout, name: &str, reason: String) -> TestnetError {
    let log = layout.log(name);
    TestnetError::NotReady {
        name: title(name),
        seconds: READY_TIME_MAX.as_secs(),
        reason,
        tail: tail(&log, TAIL_LINES),
        log,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::genesis::parse_members;
    use std::os::unix::fs::PermissionsExt as _;

    /// Brings a testnet up whose nodes are this shell script, and gives why it failed and how often it was started.
    async fn check(script: &str) -> (TestnetError, usize) {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("program");
        let count = folder.path().join("count");
        std::fs::write(&program, format!("#!/bin/sh\necho x >> {}\n{script}\n", count.display())).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        let options = ClusterOptions {
            folder: folder.path().join("net"),
            plan: Plan::new(parse_members("4").unwrap(), 2).unwrap(),
            executable: program,
            users: true,
            allow_unsandboxed: false,
            outlives: false,
            links: None,
        };
        let error = Cluster::up(options.clone(), &Progress::new(true)).await.unwrap_err();
        let layout = Layout::new(&options.folder).unwrap();
        assert!(layout.read_state().unwrap().processes.is_empty(), "nothing is left on the record");
        assert!(layout.lock().is_ok(), "the folder is free again");
        (error, std::fs::read_to_string(count).unwrap().lines().count())
    }

    #[tokio::test]
    async fn a_node_that_ends_is_told_with_its_last_lines_and_the_rest_is_stopped() {
        let script = "case $4 in */DE/*) sleep 0.2; echo cannot go on >&2; exit 3;; *) exec sleep 600;; esac";
        let (error, starts) = check(script).await;
        assert_eq!(starts, 4);
        let text = error.to_string();
        assert!(text.starts_with("the node of DE ended by itself (exit status: 3)"), "{text}");
        assert!(text.contains("/DE/node.log") && text.contains("cannot go on"), "{text}");
        assert_eq!(error.exit_code(), 2);
    }

    #[tokio::test]
    async fn a_port_that_was_taken_meanwhile_leads_to_other_ports_and_an_end() {
        let script = "case $4 in */DE/*) sleep 0.2; echo 'Address already in use (os error 98)'; exit 2;; *) exec sleep 600;; esac";
        let (error, starts) = check(script).await;
        assert_eq!(starts, 4 * STARTS_MAX);
        assert!(matches!(error, TestnetError::Ended { .. }), "{error}");
    }
}
