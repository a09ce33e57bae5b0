//! An agent in its world: a provider in Spain, a start-up in Estonia, and what they do.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use hansa_ledger::action::{PlaceRequest, RunJob};
use hansa_ledger::event::Event;
use hansa_ledger::id::{BlobHash, LeaseId, OrganisationId};
use hansa_ledger::member::CountrySet;
use hansa_ledger::money::Price;
use hansa_ledger::row::{Demand, LeaseState, Purpose, Purse, Source};
use hansa_ledger::time::Slot;
use hansa_node_api::job::{JobFile, JobLimits, JobOutput, LOG_PATH, Manifest, OutputManifest};
use hansa_node_provider::agent::{Agent, Parts};
use hansa_node_provider::backend::Backend;
use hansa_node_provider::{AgentError, Config};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::machine::{Machine, Run};
use crate::world::{View, World, key, name};

/// How long a test waits for something, by this machine's clock.
const WAIT: Duration = Duration::from_secs(60);

/// How much the world's clock moves at each look.
const STEP_MS: u64 = 20;

pub const INVENTORY: &str = r#"
[[inventory]]
site = "marenostrum"
class = "h100"
accelerators = 16
node_size = 4
ask = "1.80"
horizon_s = 3600
"#;

pub struct Bench {
    pub world: Arc<World>,
    pub runs: Arc<Mutex<Vec<Run>>>,
    pub provider: OrganisationId,
    pub folder: tempfile::TempDir,
    backend: Option<Arc<dyn Backend>>,
}

pub struct Running {
    pub task: JoinHandle<()>,
    pub reloads: mpsc::Sender<Config>,
    shutdown: tokio::sync::oneshot::Sender<()>,
}

impl Running {
    /// Ends the agent as a crash would.
    pub async fn crash(self) {
        self.task.abort();
        let _ = self.task.await;
    }

    /// Ends the agent as its operator would.
    pub async fn stop(self) {
        self.shutdown.send(()).unwrap();
        self.task.await.unwrap();
    }
}

impl Bench {
    pub fn new() -> Self {
        let world = Arc::new(World::new());
        let provider = world.accredit("ES", "bsc");
        world.accredit_site("ES", provider, "marenostrum", 16);
        let startup = world.accredit("EE", "tallinn");
        world.deposit("EE", startup, 1_000);
        let folder = tempfile::tempdir().unwrap();
        Self { world, runs: Arc::default(), provider, folder, backend: None }
    }

    pub fn with_backend(backend: Arc<dyn Backend>) -> Self {
        Self { backend: Some(backend), ..Self::new() }
    }

    pub fn config(&self, rest: &str) -> Config {
        let text = format!(
            "nodes = [\"http://127.0.0.1:1\"]\ngenesis = \"none\"\ndata_dir = \"{}\"\nnotice_s = 2\nusage_interval_s = 3\n{rest}",
            self.folder.path().display()
        );
        Config::parse(&text).unwrap()
    }

    pub fn agent(&self, rest: &str) -> Result<Agent, AgentError> {
        let view = Arc::new(View(self.world.clone(), key("bsc")));
        let machine = Machine { world: self.world.clone(), runs: self.runs.clone() };
        let parts = Parts {
            federation: view.clone(),
            blobs: view,
            backend: self.backend.clone().unwrap_or_else(|| Arc::new(machine)),
            clock: self.world.clone(),
        };
        Agent::new(&self.config(rest), self.world.genesis.clone(), self.provider, key("bsc"), parts)
    }

    /// Starts an agent as soon as the one before has let go of the folder.
    pub async fn start(&self, rest: &str) -> Running {
        let begun = Instant::now();
        let agent = loop {
            match self.agent(rest) {
                Ok(agent) => break agent,
                Err(AgentError::Locked(_)) if begun.elapsed() < WAIT => tokio::task::yield_now().await,
                Err(error) => panic!("{error}"),
            }
        };
        let (reloads, receiver) = mpsc::channel(1);
        let (shutdown, stops) = tokio::sync::oneshot::channel();
        let shut = async {
            // A sender that is gone stops nothing.
            if stops.await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        Running { task: tokio::spawn(agent.run(shut, receiver)), reloads, shutdown }
    }

    /// Lets the world go on until the condition holds.
    pub async fn until(&self, what: &str, mut holds: impl FnMut(&World) -> bool) {
        let begun = Instant::now();
        while !holds(&self.world) {
            assert!(begun.elapsed() < WAIT, "waited in vain until {what}; runs: {:#?}", self.runs());
            self.world.advance(STEP_MS);
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// A lease of 4 accelerators for `seconds`, awarded; its first job if there is one.
    pub async fn lease(&self, seconds: u32, job: Option<BlobHash>) -> LeaseId {
        self.until("an offer is open", |world| {
            has(world, |event| matches!(event, Event::OfferPosted { .. }))
        })
        .await;
        let now = self.world.clock.borrow().slot(1);
        let demand = Demand {
            class: name("h100"),
            quantity: 4,
            quantity_min: 4,
            slots: seconds,
            start_min: now,
            start_max: Slot(now.0 + 600),
            limit: Price(3_600_000),
            countries: CountrySet::default(),
            certificates: 0,
            tier_min: 0,
            purpose: Purpose::Innovation,
            sources: vec![Source { purse: Purse::Cash, share_bps: 10_000 }],
            job,
            lane: Default::default(),
            interruptible: false,
            any_of: Vec::new(),
        };
        let events = self.world.act("tallinn", vec![PlaceRequest { demand }.into()]).unwrap();
        let request = events.iter().find_map(|event| match event {
            Event::RequestPlaced { request, .. } => Some(*request),
            _ => None,
        });
        let lease = LeaseId::derive(&request.unwrap());
        self.until("the lease is awarded", |world| {
            has(
                world,
                |event| matches!(event, Event::LeaseAwarded { lease: awarded, .. } if *awarded == lease),
            )
        })
        .await;
        lease
    }

    pub async fn until_state(&self, lease: LeaseId, state: LeaseState) {
        self.until(&format!("the lease is {state:?}"), |world| world.lease_row(&lease).state == state).await;
    }

    pub async fn until_reported(&self, lease: LeaseId, job: u32) {
        self.until(&format!("job {job} is reported"), |world| world.job_row(&lease, job).ended_at.is_some())
            .await;
    }

    pub fn submit(&self, lease: LeaseId, manifest: BlobHash) {
        self.world.act("tallinn", vec![RunJob { lease, manifest }.into()]).unwrap();
    }

    /// A job of a program that needs nothing.
    pub fn job(&self, argv: &[&str]) -> BlobHash {
        self.job_with(argv, Vec::new(), Vec::new(), JobLimits::default())
    }

    /// A job of the program `double`, which doubles `input`.
    pub fn double(&self, input: &str) -> BlobHash {
        let file = JobFile {
            path: "data/input".to_owned(),
            hash: self.world.put(input.as_bytes()),
            size: input.len() as u64,
            executable: false,
        };
        self.job_with(&["double"], vec![file], vec![output("output")], JobLimits::default())
    }

    pub fn job_with(
        &self,
        argv: &[&str],
        files: Vec<JobFile>,
        outputs: Vec<JobOutput>,
        limits: JobLimits,
    ) -> BlobHash {
        let argv = argv.iter().map(|word| (*word).to_owned()).collect();
        let manifest = Manifest::new(argv, files, outputs, limits).unwrap();
        self.world.put(&manifest.encode())
    }

    /// What a job left behind, as text, by path.
    pub fn left(&self, lease: LeaseId, job: u32) -> Vec<(String, String)> {
        let hash = self.world.job_row(&lease, job).outputs.expect("the job returned something");
        let blobs = self.world.blobs.lock().unwrap();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let manifest = OutputManifest::decode(&blobs[&hash]).unwrap();
        manifest.files.iter().map(|file| (file.path.clone(), text(&blobs[&file.hash]))).collect()
    }

    pub fn log(&self, lease: LeaseId, job: u32) -> String {
        let left = self.left(lease, job);
        left.into_iter().find(|(path, _)| path == LOG_PATH).map_or(String::new(), |(_, text)| text)
    }

    pub fn runs(&self) -> Vec<Run> {
        self.runs.lock().unwrap().clone()
    }

    pub fn jobs_run(&self) -> Vec<String> {
        self.runs().into_iter().map(|run| run.job).collect()
    }
}

pub fn output(path: &str) -> JobOutput {
    JobOutput { path: path.to_owned(), bytes_max: 1 << 20 }
}

pub fn has(world: &World, wanted: impl Fn(&Event) -> bool) -> bool {
    count(world, wanted) > 0
}

pub fn count(world: &World, wanted: impl Fn(&Event) -> bool) -> usize {
    world.events().iter().filter(|event| wanted(event)).count()
}
