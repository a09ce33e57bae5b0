//! The logs of running jobs, as their providers send them: what the requester reads before the job has ended.
//!
//! A log is kept from its start, piece after piece, in one file with a small head. Nothing here is promised: the whole log comes
//! back with the job's outputs. So files are not fsynced, a full disk or a bound that is reached cuts a log short or refuses
//! its next piece, and neither the node nor the job notices. What a crash leaves is as long as it is; the provider goes on there.

mod file;
#[cfg(test)]
mod tests;

use file::Head;
use hansa_node_api::peer::log::{LogHeld, LogRefusal};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// The lease and the job's number in it.
pub type LogKey = ([u8; 32], u32);

/// The most bytes of logs on the account of one organisation.
pub const OWNER_LOG_BYTES_MAX: u64 = 64 << 20;

/// The most bytes of logs on one node.
pub const LOG_STORE_BYTES_MAX: u64 = 256 << 20;

/// The most logs on one node.
pub const LOGS_MAX: usize = 4_096;

/// Where the logs are and what is kept of them.
#[derive(Clone, Debug)]
pub struct LogStoreConfig {
    /// The folder; made when missing.
    pub folder: PathBuf,
    /// The most bytes of one log.
    pub log_bytes_max: u64,
    /// The most bytes of all logs of one organisation.
    pub owner_bytes_max: u64,
    /// The most bytes of all logs.
    pub bytes_max: u64,
    /// The most logs.
    pub logs_max: usize,
    /// Free disk space below which nothing more is taken, in bytes.
    pub disk_bytes_min: u64,
}

/// A piece of a log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogRead {
    /// The bytes from where they were asked for; none where there are none yet.
    pub bytes: Vec<u8>,
    /// Whether the log has ended, and ends with this piece.
    pub complete: bool,
    /// Whether only the beginning of the log is kept.
    pub cut: bool,
}

/// A piece of a log to keep.
#[derive(Clone, Debug)]
pub struct LogAppend {
    /// Which log.
    pub key: LogKey,
    /// The organisation on whose account it is kept: the lease's requester.
    pub owner: [u8; 32],
    /// Where in the log the piece begins, in bytes.
    pub offset: u64,
    /// The piece.
    pub bytes: Vec<u8>,
    /// Whether the log ends with it.
    pub ended: bool,
    /// When it came, in milliseconds since 1970.
    pub now_ms: u64,
}

/// The store. Clones share it.
#[derive(Clone, Debug)]
pub struct LogStore {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    config: LogStoreConfig,
    logs: Mutex<BTreeMap<LogKey, Entry>>,
    /// Who waits for news of a log, that may not even have begun.
    listeners: Mutex<BTreeMap<LogKey, watch::Sender<()>>>,
}

#[derive(Clone, Debug)]
struct Entry {
    head: Head,
    held: u64,
    touched_ms: u64,
    /// How many bytes are being written behind what is held, while they are.
    writing: Option<u64>,
}

/// What is to be written, once the lock is released.
struct Write {
    head: Head,
    at: u64,
    taken: usize,
    new: bool,
}

impl LogStore {
    /// Opens the store in its folder, and removes what cannot be read there. A folder that cannot be used is told to the operator:
    /// the store then refuses every piece, and the node goes on.
    #[must_use]
    pub fn new(config: LogStoreConfig) -> Self {
        let logs = file::load(&config.folder).unwrap_or_else(|error| {
            tracing::warn!(folder = %config.folder.display(), %error, "logs of running jobs cannot be kept");
            BTreeMap::new()
        });
        let entry = |(key, (head, held, touched_ms))| (key, Entry { head, held, touched_ms, writing: None });
        let logs = Mutex::new(logs.into_iter().map(entry).collect());
        Self { inner: Arc::new(Inner { config, logs, listeners: Mutex::default() }) }
    }

    /// Takes the next piece of a log. A piece that does not follow what is held is not taken, and the answer says where to go on;
    /// so a piece that comes twice does no harm.
    ///
    /// # Errors
    /// [`LogRefusal::Ended`] behind the log's end, [`LogRefusal::Busy`] while another piece of it is written,
    /// [`LogRefusal::StorageFailed`] without room or when the disk does not take it.
    pub async fn append(&self, append: LogAppend) -> Result<LogHeld, LogRefusal> {
        let inner = self.inner.clone();
        let appended = tokio::task::spawn_blocking(move || inner.append(&append));
        appended.await.unwrap_or(Err(LogRefusal::StorageFailed))
    }

    /// What is held of a log from `offset` on, at most `bytes_max` bytes.
    pub async fn read(&self, key: LogKey, offset: u64, bytes_max: usize) -> LogRead {
        let inner = self.inner.clone();
        let read = tokio::task::spawn_blocking(move || inner.read(&key, offset, bytes_max));
        read.await.unwrap_or_default()
    }

    /// To be awaited for news of a log, which need not have begun.
    #[must_use]
    pub fn changes(&self, key: LogKey) -> watch::Receiver<()> {
        let mut listeners = self.inner.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        listeners.retain(|_, listener| listener.receiver_count() > 0);
        listeners.entry(key).or_default().subscribe()
    }

    /// How many wait for news of a log.
    #[cfg(test)]
    pub(crate) fn listeners(&self, key: LogKey) -> usize {
        let listeners = self.inner.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        listeners.get(&key).map_or(0, watch::Sender::receiver_count)
    }

    /// The leases that have logs here.
    #[must_use]
    pub fn leases(&self) -> BTreeSet<[u8; 32]> {
        self.inner.lock().keys().map(|(lease, _)| *lease).collect()
    }

    /// Removes the logs of the leases that are not to be kept, and says how many. To be called where blocking is allowed.
    pub fn sweep(&self, is_kept: &dyn Fn(&[u8; 32]) -> bool) -> usize {
        let mut logs = self.inner.lock();
        let over =
            |(key, entry): (&LogKey, &Entry)| (!is_kept(&key.0) && entry.writing.is_none()).then_some(*key);
        let over: Vec<LogKey> = logs.iter().filter_map(over).collect();
        for key in &over {
            self.inner.drop_log(&mut logs, key);
        }
        over.len()
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<LogKey, Entry>> {
        // A panic elsewhere leaves the map whole: every change is one insert, removal or assignment.
        self.logs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn append(&self, append: &LogAppend) -> Result<LogHeld, LogRefusal> {
        let write = match self.begin(append)? {
            Ok(write) => write,
            Err(held) => return Ok(held),
        };
        let path = self.path(&append.key);
        let written = file::write(&path, &write.head, write.at, &append.bytes[..write.taken], write.new);
        let mut logs = self.lock();
        let outcome = match written {
            Ok(()) => {
                let held = write.at.saturating_add(write.taken as u64);
                let touched_ms = append.now_ms;
                logs.insert(append.key, Entry { head: write.head, held, touched_ms, writing: None });
                Ok(LogHeld { next_offset: held, open: !write.head.ended && !write.head.cut })
            }
            Err(error) => {
                tracing::warn!(%error, "a piece of a job's log cannot be kept");
                match logs.get_mut(&append.key) {
                    Some(entry) if !write.new => entry.writing = None,
                    _ => self.drop_log(&mut logs, &append.key),
                }
                Err(LogRefusal::StorageFailed)
            }
        };
        drop(logs);
        self.tell(&append.key);
        outcome
    }

    /// Decides what is written of a piece and holds the place for it; or what to answer where nothing is.
    fn begin(&self, append: &LogAppend) -> Result<Result<Write, LogHeld>, LogRefusal> {
        let mut logs = self.lock();
        let length = append.bytes.len() as u64;
        let known = logs.get(&append.key).cloned();
        let is_new = known.is_none();
        let fresh = Head { owner: append.owner, ended: false, cut: false };
        let entry = known.unwrap_or(Entry { head: fresh, held: 0, touched_ms: append.now_ms, writing: None });
        let held = entry.held;
        if entry.writing.is_some() {
            return Err(LogRefusal::Busy);
        }
        if entry.head.ended || entry.head.cut {
            let is_held = append.offset.saturating_add(length) <= held;
            let answer = Ok(Err(LogHeld { next_offset: held, open: false }));
            return if is_held || entry.head.cut { answer } else { Err(LogRefusal::Ended) };
        }
        if append.offset != held || (length == 0 && !append.ended) {
            return Ok(Err(LogHeld { next_offset: held, open: true }));
        }
        let config = &self.config;
        if length > 0 && file::bytes_free(&config.folder) < config.disk_bytes_min.saturating_add(length) {
            return Err(LogRefusal::StorageFailed);
        }
        if is_new {
            self.make_room(&mut logs, &append.key, |logs| logs.len() < config.logs_max, None);
            if logs.len() >= config.logs_max {
                return Err(LogRefusal::StorageFailed);
            }
        }
        let owner = entry.head.owner;
        let of_owner = |entry: &Entry| entry.head.owner == owner;
        // Each bound makes room for what the one before leaves of the piece: nothing is dropped for bytes that are not kept.
        let wanted = length.min(config.log_bytes_max.saturating_sub(held));
        let fits = |logs: &Logs| used(logs, of_owner).saturating_add(wanted) <= config.owner_bytes_max;
        self.make_room(&mut logs, &append.key, fits, Some(owner));
        let wanted = wanted.min(config.owner_bytes_max.saturating_sub(used(&logs, of_owner)));
        let fits = |logs: &Logs| used(logs, |_| true).saturating_add(wanted) <= config.bytes_max;
        self.make_room(&mut logs, &append.key, fits, None);
        let taken = wanted.min(config.bytes_max.saturating_sub(used(&logs, |_| true)));
        let head = Head { owner, ended: append.ended, cut: taken < length };
        logs.insert(append.key, Entry { writing: Some(taken), ..entry });
        // No longer than the piece, whose length is one of memory.
        let taken = usize::try_from(taken).unwrap_or(append.bytes.len());
        Ok(Ok(Write { head, at: held, taken, new: is_new }))
    }

    /// Drops logs that have ended, those first that were not written to for longest, until it fits or none is left. Their jobs
    /// have brought them back whole.
    fn make_room(
        &self,
        logs: &mut Logs,
        key: &LogKey,
        fits: impl Fn(&Logs) -> bool,
        owner: Option<[u8; 32]>,
    ) {
        while !fits(logs) {
            let over = logs
                .iter()
                .filter(|(other, entry)| *other != key && (entry.head.ended || entry.head.cut))
                .filter(|(_, entry)| entry.writing.is_none())
                .filter(|(_, entry)| owner.is_none_or(|owner| owner == entry.head.owner))
                .min_by_key(|(key, entry)| (entry.touched_ms, **key));
            let Some(over) = over.map(|(key, _)| *key) else { return };
            self.drop_log(logs, &over);
        }
    }

    fn drop_log(&self, logs: &mut Logs, key: &LogKey) {
        logs.remove(key);
        if let Err(error) = std::fs::remove_file(self.path(key))
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(%error, "a job's log cannot be removed");
        }
    }

    fn read(&self, key: &LogKey, offset: u64, bytes_max: usize) -> LogRead {
        let Some((head, held)) = self.lock().get(key).map(|entry| (entry.head, entry.held)) else {
            return LogRead::default();
        };
        let length = held.saturating_sub(offset).min(bytes_max as u64);
        let mut bytes = vec![0; usize::try_from(length).unwrap_or(bytes_max)];
        if let Err(error) = file::read(&self.path(key), offset, &mut bytes) {
            // It may have been dropped meanwhile; else the operator has to know.
            tracing::warn!(%error, "a job's log cannot be read");
            return LogRead::default();
        }
        let is_end = offset.saturating_add(length) >= held;
        LogRead { bytes, complete: head.ended && !head.cut && is_end, cut: head.cut }
    }

    fn tell(&self, key: &LogKey) {
        let listeners = self.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(listener) = listeners.get(key) {
            listener.send_replace(());
        }
    }

    fn path(&self, key: &LogKey) -> PathBuf {
        file::path(&self.config.folder, key)
    }
}

type Logs = BTreeMap<LogKey, Entry>;

/// What these logs hold, with what is being written.
fn used(logs: &Logs, counts: impl Fn(&Entry) -> bool) -> u64 {
    let bytes = |entry: &Entry| entry.held.saturating_add(entry.writing.unwrap_or(0));
    logs.values().filter(|entry| counts(entry)).fold(0, |sum, entry| sum.saturating_add(bytes(entry)))
}

impl LogStoreConfig {
    /// The usual bounds.
    #[must_use]
    pub fn new(folder: &Path, disk_bytes_min: u64) -> Self {
        Self {
            folder: folder.to_owned(),
            log_bytes_max: hansa_node_api::job::LOG_BYTES_MAX,
            owner_bytes_max: OWNER_LOG_BYTES_MAX,
            bytes_max: LOG_STORE_BYTES_MAX,
            logs_max: LOGS_MAX,
            disk_bytes_min,
        }
    }
}
