//! Opening a store: when in doubt, refuse.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::{Mutex, OnceLock, mpsc},
    thread,
    time::Duration,
};

use super::{
    OpenOptions, SledStore, State, Writer,
    engine::{Batch, Engine, message},
};
use crate::{
    error::{REBUILD, StoreError},
    operations::{Disk, Operations},
    quarantine::{lock, parent},
    record::{
        CHECKPOINT_KEY, FORMAT, FORMAT_KEY, HISTORY_KEY, HeightIndex, TIP_KEY, certificate_key, decode,
        encode, height_key, table,
    },
    store::Tip,
    witness::Witness,
};

const ENGINE_LOCK_ATTEMPTS: u32 = 100;
const ENGINE_LOCK_PAUSE: Duration = Duration::from_millis(20);

/// What the probe read from a database that opened.
struct Probe {
    engine: Engine,
    format: Option<u32>,
    state: State,
    body_sequence_next: u64,
}

impl SledStore {
    pub(crate) fn open_with(
        directory: &Path,
        options: OpenOptions,
        operations: Box<dyn Operations>,
    ) -> Result<Self, StoreError> {
        let disk = Disk::new(operations);
        prepare_directory(directory, options.create_new, &disk)?;
        let lock = lock(directory)?;
        let witness = find_witness(directory, options.create_new)?;
        let probe = probe(directory, &options)?;
        let path = directory.join("sled").join("db");
        let database = File::open(&path).map_err(|error| StoreError::io("open", &path, error))?;
        sync_everything(directory, &disk).map_err(|error| StoreError::io("fsync", directory, error))?;
        let witness = match witness {
            Some(witness) => {
                compare(&probe, witness.tip())?;
                witness
            }
            None => create(directory, &probe, &database, &disk)?,
        };
        let store = Self {
            directory: directory.to_path_buf(),
            options,
            disk,
            engine: probe.engine,
            database,
            writer: Mutex::new(Writer {
                witness,
                blobs_synced: names(&directory.join("sled").join("blobs")),
                body_sequence_next: probe.body_sequence_next,
                journal_pending: false,
                journal_applied: None,
            }),
            state: Mutex::new(probe.state),
            checkpointing: Mutex::new(()),
            fatal: OnceLock::new(),
            _lock: lock,
        };
        store.settle_journal()?;
        store.raise_witness()?;
        store.disk.restart_count();
        Ok(store)
    }

    /// After a cut between the database and the witness the tip is one above it; the witness follows.
    fn raise_witness(&self) -> Result<(), StoreError> {
        let mut writer = self.writer()?;
        match self.state().tip {
            Some(tip) if writer.witness.tip() != Some(tip) => {
                let written = writer.witness.write(tip, &self.disk);
                written.map_err(|error| self.fail(format!("the witness: {error}")))
            }
            _ => Ok(()),
        }
    }
}

fn prepare_directory(directory: &Path, create_new: bool, disk: &Disk) -> Result<(), StoreError> {
    if directory.is_dir() {
        return Ok(());
    }
    if !create_new {
        return Err(StoreError::Doubt {
            what: format!("there is no store in `{}`", directory.display()),
            next: "look for the right directory; if it is lost, run `hansa node rebuild`, which lets the node rebuild from peers without voting where it may have voted",
        });
    }
    let parent = parent(directory);
    fs::create_dir_all(directory)
        .and_then(|()| disk.sync_directory(&parent))
        .map_err(|error| StoreError::io("create", directory, error))
}

fn find_witness(directory: &Path, create_new: bool) -> Result<Option<Witness>, StoreError> {
    let doubt = |what: String, next| Err(StoreError::Doubt { what, next });
    let place = directory.display();
    if create_new {
        // Even a damaged witness is a sign that something was here.
        if fs::symlink_metadata(Witness::path(directory)).is_ok() {
            return doubt(format!("`{place}` holds a store already"), "open it without asking for a new one");
        }
        return Ok(None);
    }
    let Some(witness) = Witness::open(directory)? else {
        return doubt(
            format!("`{place}` has no witness, so nobody knows what its database should hold"),
            REBUILD,
        );
    };
    // Looked at before sled is let in, because sled would make an empty database without a word.
    if fs::metadata(directory.join("sled").join("db")).is_err() {
        let height = witness.tip().map_or(0, |tip| tip.height);
        return doubt(format!("`{place}` has a witness at height {height} and no database"), REBUILD);
    }
    Ok(Some(witness))
}

/// Opens and reads the database on a thread of its own: a panic there ends the thread, and a hang only the wait. A thread
/// that hangs is left behind with the database still in its hands; the caller is about to stop anyway.
fn probe(directory: &Path, options: &OpenOptions) -> Result<Probe, StoreError> {
    let config = sled::Config::new()
        .path(directory.join("sled"))
        // Pages over a quarter of a segment go to files in `blobs/`, which sled does not fsync.
        .segment_size(1 << 24)
        .cache_capacity(options.cache_bytes)
        .mode(sled::Mode::HighThroughput)
        .print_profile_on_drop(false);
    let (sender, receiver) = mpsc::sync_channel(1);
    let thread = thread::Builder::new().name("store-probe".into()).spawn(move || {
        // The receiver is gone only if the time was up, and then nobody wants the answer.
        let _ = sender.send(open_engine(&config).and_then(read_all_small));
    });
    let thread = thread.map_err(|error| StoreError::io("start a thread for", directory, error))?;
    match receiver.recv_timeout(options.open_time_max) {
        Ok(Err(error)) if is_locked(&error) => Err(StoreError::Locked { directory: directory.to_path_buf() }),
        Ok(result) => result,
        Err(mpsc::RecvTimeoutError::Timeout) => Err(StoreError::damaged(format!(
            "it did not open in {} seconds",
            options.open_time_max.as_secs()
        ))),
        Err(mpsc::RecvTimeoutError::Disconnected) => {
            let words = thread.join().err().map_or_else(String::new, |panic| message(&*panic));
            Err(StoreError::damaged(format!("opening it: the database engine panicked: {words}")))
        }
    }
}

/// Our own lock is held already, so whoever holds sled's is most likely a writing thread of a store that this process has just
/// closed: sled releases its lock when the last of them ends, and does not wait for them.
fn open_engine(config: &sled::Config) -> Result<Engine, StoreError> {
    let mut opened = Engine::open(config);
    for _ in 0..ENGINE_LOCK_ATTEMPTS {
        match &opened {
            Err(error) if is_locked(error) => thread::sleep(ENGINE_LOCK_PAUSE),
            _ => break,
        }
        opened = Engine::open(config);
    }
    opened
}

fn is_locked(error: &StoreError) -> bool {
    matches!(error, StoreError::Io { source, .. } if source.to_string().contains("could not acquire lock"))
}

fn read_all_small(engine: Engine) -> Result<Probe, StoreError> {
    let read = |key: &[u8]| engine.get(key);
    let format = read(FORMAT_KEY)?.map(|bytes| decode(FORMAT_KEY, &bytes)).transpose()?;
    let tip: Option<Tip> = read(TIP_KEY)?.map(|bytes| decode(TIP_KEY, &bytes)).transpose()?;
    let history = read(HISTORY_KEY)?.map(|bytes| decode(HISTORY_KEY, &bytes)).transpose()?;
    let checkpoint = read(CHECKPOINT_KEY)?.map(|bytes| decode(CHECKPOINT_KEY, &bytes)).transpose()?;
    let body_sequence_next = match engine.last_key(&[table::BODY])? {
        Some(key) => {
            let sequence = key.get(1..).and_then(<[u8]>::first_chunk::<8>);
            let sequence = sequence.ok_or_else(|| StoreError::damaged("a body key is cut short"))?;
            u64::from_be_bytes(*sequence).saturating_add(1)
        }
        None => 0,
    };
    engine.scan(&[table::UNDECIDED], &mut |_, _| Ok(()))?;
    let state = State { tip, history_height_min: history.unwrap_or(0), checkpoint };
    if let Some(tip) = tip {
        let index = read(&height_key(tip.height))?;
        let index: Option<HeightIndex> = index.map(|bytes| decode(TIP_KEY, &bytes)).transpose()?;
        if index != Some(HeightIndex { block: tip.block, root: tip.root }) || history.is_none() {
            return Err(StoreError::damaged("the tip and the height index disagree"));
        }
        if read(&certificate_key(tip.height))?.is_none() {
            return Err(StoreError::damaged("the tip has no certificate"));
        }
    }
    Ok(Probe { engine, format, state, body_sequence_next })
}

/// Holds the database against the witness.
fn compare(probe: &Probe, witness: Option<Tip>) -> Result<(), StoreError> {
    let doubt = |what: String| Err(StoreError::Doubt { what, next: REBUILD });
    match probe.format {
        Some(FORMAT) => {}
        Some(format) => {
            return Err(StoreError::Doubt {
                what: format!("the database has format {format}, this program writes {FORMAT}"),
                next: "start the version of the program that wrote it, or run `hansa node rebuild` to rebuild from peers",
            });
        }
        None => return doubt("the database is empty, although it was initialised".into()),
    }
    match (probe.state.tip, witness) {
        (Some(tip), None) if tip.height > probe.state.history_height_min => {
            doubt(format!("the database is at height {}, and the witness has seen none", tip.height))
        }
        (_, None) => Ok(()),
        (None, Some(witness)) => {
            doubt(format!("the database has no tip, and the witness is at height {}", witness.height))
        }
        (Some(tip), Some(witness)) if tip.height < witness.height => doubt(format!(
            "the database ends at height {}, and the witness is at {}",
            tip.height, witness.height
        )),
        // Cut between the database and the witness while a snapshot took the place of what was there: nothing is missing.
        (Some(tip), Some(witness)) if tip.height > witness.height && is_restored(&probe.state, tip) => Ok(()),
        (Some(tip), Some(witness)) if tip.height > witness.height.saturating_add(1) => doubt(format!(
            "the database is at height {}, more than one above the witness at {}",
            tip.height, witness.height
        )),
        (Some(_), Some(witness)) => {
            let key = height_key(witness.height);
            let index: Option<HeightIndex> =
                probe.engine.get(&key)?.map(|bytes| decode(&key, &bytes)).transpose()?;
            if index != Some(HeightIndex { block: witness.block, root: witness.root }) {
                return doubt(format!(
                    "database and witness hold different blocks or roots at height {}",
                    witness.height
                ));
            }
            Ok(())
        }
    }
}

/// Whether the store holds a snapshot and no block after it.
fn is_restored(state: &State, tip: Tip) -> bool {
    state.history_height_min == tip.height
        && state
            .checkpoint
            .is_some_and(|checkpoint| checkpoint.height == tip.height && checkpoint.root == tip.root)
}

/// Initialises a new store. The database comes first: without a witness it is not a store yet, and this may be repeated.
fn create(directory: &Path, probe: &Probe, database: &File, disk: &Disk) -> Result<Witness, StoreError> {
    if probe.state.tip.is_some() || probe.state.checkpoint.is_some() || probe.body_sequence_next > 0 {
        return Err(StoreError::Doubt {
            what: format!(
                "`{}` is to be new, and its database holds blocks without a witness",
                directory.display()
            ),
            next: REBUILD,
        });
    }
    let mut batch = Batch::default();
    batch.insert(FORMAT_KEY.to_vec(), encode(&FORMAT));
    probe.engine.apply(batch)?;
    probe.engine.flush()?;
    disk.sync_all(database, &directory.join("sled").join("db"))
        .and_then(|()| Witness::create(directory, disk))
        .map_err(|error| StoreError::io("initialise", directory, error))
}

/// What a killed process left in the page cache is visible and may not be durable yet; what we build on must be.
fn sync_everything(directory: &Path, disk: &Disk) -> io::Result<()> {
    let database = directory.join("sled");
    let blobs = database.join("blobs");
    for folder in [&blobs, &database] {
        for path in files(folder) {
            match File::open(&path) {
                Ok(file) => disk.sync_all(&file, &path)?,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        disk.sync_directory(folder)?;
    }
    let witness = Witness::path(directory);
    if witness.exists() {
        disk.sync_all(&File::open(&witness)?, &witness)?;
    }
    disk.sync_directory(directory)
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| path.is_file()).collect()
}

fn names(folder: &Path) -> BTreeSet<std::ffi::OsString> {
    files(folder).iter().filter_map(|path| path.file_name().map(ToOwned::to_owned)).collect()
}
