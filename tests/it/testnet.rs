//! A federation of real processes for the length of a test, and how features are checked on it.

use crate::hansa::{Home, PROGRAM};
use hansa_ledger::genesis::Genesis;
use hansa_ledger::member::MemberCode;
use hansa_ledger::name::Name;
use hansa_ledger::params::Params;
use hansa_ledger_signature::SecretKey;
use hansa_node_api::keyfile::KeyFile;
use hansa_node_api::status::NodeStatus;
use hansa_node_api::{Account, ApiError, Client};
use hansa_testnet::{
    Cluster, ClusterOptions, Federation, Layout, Links, Plan, ProcessRecord, Progress, State, TestnetError,
    UserRecord, VerbOptions, found, parse_members,
};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The members of every federation here.
pub const MEMBERS: &str = "FR,DE,ES,EE";

/// How often something that is awaited is looked at.
const LOOK_PAUSE: Duration = Duration::from_millis(40);

/// The lines of each log that are shown when something fails.
const TAIL_LINES: usize = 15;

/// Federations run one at a time: two would only slow each other down until something times out.
static TURN: Mutex<()> = Mutex::new(());

/// Takes the machine for one federation.
pub fn turn() -> MutexGuard<'static, ()> {
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A federation that runs as long as this lives.
pub struct Testnet {
    pub layout: Layout,
    pub federation: Federation,
    /// What lies between the nodes, where something does.
    pub links: Option<Links>,
    runtime: tokio::runtime::Runtime,
    cluster: Option<Cluster>,
    folder: Option<tempfile::TempDir>,
    _turn: MutexGuard<'static, ()>,
}

/// Something a federation can do, and how to see that it does.
pub type Feature<T> = (&'static str, fn(&T));

impl Testnet {
    /// Four nodes with these parameters, `providers` agents, and the testnet's own users.
    pub fn start(providers: usize, change: impl FnOnce(&mut Params)) -> Self {
        Self::start_with(providers, false, change)
    }

    /// The same without agents, and with a relay on every link between the nodes.
    pub fn start_linked() -> Self {
        Self::start_with(0, true, |_| {})
    }

    fn start_with(providers: usize, linked: bool, change: impl FnOnce(&mut Params)) -> Self {
        let turn = turn();
        // Jobs may run under another account, which must be able to reach their folder.
        let folder = tempfile::Builder::new().prefix("hansa-it-").tempdir().unwrap();
        open_to_others(folder.path());
        let layout = Layout::new(&folder.path().join("net")).unwrap();
        let plan = Plan::new(parse_members(MEMBERS).unwrap(), providers).unwrap();
        let mut state = found(&layout, &plan).unwrap();
        let mut genesis = layout.read_genesis().unwrap();
        change(&mut genesis.params);
        genesis.params.check().unwrap();
        std::fs::write(layout.genesis(), toml::to_string(&genesis).unwrap()).unwrap();
        state.chain = genesis.chain_id();
        layout.write_state(&state).unwrap();
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        // The cluster listens for Ctrl-C to end things in order; here the end of this process ends its children.
        runtime.spawn(async {
            let _ = tokio::signal::ctrl_c().await;
            std::process::exit(130);
        });
        let members = plan.members.clone();
        let links = linked.then(|| runtime.block_on(Links::bind(&members, 1)).unwrap());
        let options = ClusterOptions {
            folder: layout.folder().to_owned(),
            plan,
            executable: PROGRAM.into(),
            users: true,
            allow_unsandboxed: false,
            outlives: false,
            links: links.clone(),
        };
        let cluster = runtime.block_on(Cluster::up(options, &Progress::new(true)));
        let cluster = cluster.unwrap_or_else(|error| panic!("the federation does not start: {error}"));
        let federation = cluster.federation().clone();
        Self { layout, federation, links, runtime, cluster: Some(cluster), folder: Some(folder), _turn: turn }
    }

    /// Checks each feature, and panics at the end if one failed, with the last lines of every log at that time.
    pub fn check<T>(&self, world: &T, features: &[Feature<T>]) {
        let mut failures = Vec::new();
        for (name, feature) in features {
            let began = Instant::now();
            let outcome = catch_unwind(AssertUnwindSafe(|| feature(world)));
            let seconds = began.elapsed().as_secs_f64();
            println!("{seconds:6.1} s  {name}{}", if outcome.is_err() { "  FAILED" } else { "" });
            if let Err(panic) = outcome {
                let text = panic.downcast_ref::<String>().map(String::as_str);
                let text = text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("it panicked");
                failures.push(format!("{name}: {text}\n{}", self.tails()));
            }
        }
        assert!(failures.is_empty(), "{} of {}:\n{}", failures.len(), features.len(), failures.join("\n\n"));
    }

    /// Runs something that waits for the network.
    pub fn wait<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }

    /// Looks until there is something, and gives it.
    #[track_caller]
    pub fn until<T>(&self, what: &str, time: Duration, mut look: impl FnMut() -> Option<T>) -> T {
        let until = Instant::now() + time;
        loop {
            if let Some(found) = look() {
                return found;
            }
            assert!(Instant::now() < until, "{what}: not within {time:?}\n{}", self.tails());
            std::thread::sleep(LOOK_PAUSE);
        }
    }

    /// The last lines of every process's log.
    pub fn tails(&self) -> String {
        let names: Vec<String> = self.state().names().collect();
        let tail = |name: &String| format!("--- {name}\n{}", tail(&self.layout.log(name)));
        names.iter().map(tail).collect::<Vec<_>>().join("\n")
    }

    /// The record as it stands now.
    pub fn state(&self) -> State {
        self.layout.read_state().unwrap()
    }

    /// The genesis that this test made.
    pub fn genesis(&self) -> &Genesis {
        self.federation.genesis()
    }

    /// The node of a member.
    pub fn client(&self, code: &str) -> Client {
        self.federation.client(member(code)).unwrap().clone()
    }

    /// The address of a member's interface.
    pub fn api(&self, code: &str) -> String {
        self.federation.state().api(member(code)).unwrap()
    }

    /// The home of the testnet's own users.
    pub fn home(&self) -> Home {
        let work = self.layout.folder().join("work");
        std::fs::create_dir_all(&work).unwrap();
        Home { home: self.layout.home(), work }
    }

    /// An organisation of the testnet, by name.
    pub fn user(&self, name: &str) -> UserRecord {
        let users = &self.federation.state().users;
        users.iter().find(|user| user.name.as_str() == name).unwrap().clone()
    }

    /// An organisation of the testnet, able to sign at its home node.
    pub fn account(&self, name: &str) -> Account {
        self.federation.user(&self.user(name)).unwrap()
    }

    /// An account of a key file.
    pub fn account_of(&self, path: &Path, node: &str) -> Account {
        Account::new(secret_key(path), self.federation.state().chain, self.client(node))
    }

    /// Kills a process as a power cut would.
    #[track_caller]
    pub fn kill(&self, name: &str) {
        self.wait(hansa_testnet::kill(&self.verb(), name, &mut Vec::new())).unwrap();
    }

    /// Starts a process again, and waits until a node is ready.
    #[track_caller]
    pub fn restart(&self, name: &str) {
        self.try_restart(name).unwrap_or_else(|error| panic!("{error}\n{}", self.tails()));
    }

    /// The same where it may not become ready. It runs then all the same.
    pub fn try_restart(&self, name: &str) -> Result<(), TestnetError> {
        let program = Some(Path::new(PROGRAM));
        self.wait(hansa_testnet::restart(&self.verb(), name, program, &mut Vec::new()))
    }

    /// Starts several nodes again at once: where most are away, none is ready before the others are back.
    #[track_caller]
    pub fn restart_all(&self, names: &[&str]) {
        let (verb, program) = (self.verb(), Some(Path::new(PROGRAM)));
        let each = names.iter().map(|name| {
            let verb = verb.clone();
            async move { hansa_testnet::restart(&verb, name, program, &mut Vec::new()).await }
        });
        for done in self.wait(futures::future::join_all(each)) {
            done.unwrap_or_else(|error| panic!("{error}\n{}", self.tails()));
        }
    }

    /// Does something beside the test.
    pub fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) -> tokio::task::JoinHandle<()> {
        self.runtime.spawn(work)
    }

    /// The process of this name.
    pub fn process(&self, name: &str) -> ProcessRecord {
        self.state().processes[name]
    }

    fn verb(&self) -> VerbOptions {
        VerbOptions { folder: self.layout.folder().to_owned(), json: true }
    }

    /// How every node is.
    pub fn statuses(&self) -> Vec<Result<NodeStatus, ApiError>> {
        let asked = self.federation.clients().iter().map(|(_, client)| client.status());
        self.wait(futures::future::join_all(asked))
    }

    /// Waits until every node has this height and one root, and gives height and root.
    #[track_caller]
    pub fn agree(&self, height: u64) -> (u64, String) {
        self.until("all nodes at one height with one root", Duration::from_secs(30), || {
            let statuses: Vec<NodeStatus> = self.statuses().into_iter().collect::<Result<_, _>>().ok()?;
            let (first, rest) = statuses.split_first()?;
            let level = first.height >= height && rest.iter().all(|one| one.height == first.height);
            if level {
                for one in rest {
                    assert_eq!(
                        one.state_root, first.state_root,
                        "{} and {} differ",
                        first.member, one.member
                    );
                }
            }
            level.then(|| (first.height, first.state_root.to_string()))
        })
    }
}

impl Drop for Testnet {
    fn drop(&mut self) {
        if let Ok(state) = self.layout.read_state() {
            state.processes.values().for_each(ProcessRecord::kill);
        }
        let _entered = self.runtime.enter();
        self.cluster = None;
        if let Some(folder) = self.folder.take().filter(|_| std::thread::panicking()) {
            eprintln!("kept: {}", folder.keep().display());
        }
    }
}

/// A member by its code.
pub fn member(code: &str) -> MemberCode {
    code.parse().unwrap()
}

/// A name.
pub fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

/// The secret key in a file that is not encrypted.
pub fn secret_key(path: &Path) -> SecretKey {
    KeyFile::from_text(&std::fs::read_to_string(path).unwrap()).unwrap().open(None).unwrap()
}

/// The end of a log.
pub fn tail(log: &Path) -> String {
    let text = std::fs::read(log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    let text = text.unwrap_or_else(|error| format!("(it cannot be read: {error})"));
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
}

/// Lets every account through a folder.
pub fn open_to_others(folder: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755)).unwrap();
}

/// A path as text.
pub fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A path below a folder, as text.
pub fn below(folder: &Path, name: &str) -> String {
    text(&PathBuf::from(folder).join(name)).to_owned()
}
