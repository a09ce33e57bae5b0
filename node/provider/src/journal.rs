//! What the agent is about to do and has done, on disk before it is true.
//!
//! One line for each step of a job, appended and fsynced: a checksum, a space, JSON. After a crash the last step of each job
//! says how to go on, so that no job runs twice. Usage is not in here: it follows from the times on the ledger.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use hansa_ledger::id::{BlobHash, LeaseId};
use hansa_ledger::row::JobFailure;
use serde::{Deserialize, Serialize};

/// Hexadecimal digits of a line's checksum.
const CHECKSUM_DIGITS: usize = 16;

/// The last step of a job that is on disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "snake_case", deny_unknown_fields)]
pub enum Step {
    /// It is about to be handed to the backend. If nothing follows, nobody knows how far it came.
    Started,
    /// It has ended, or could not be run.
    Ended {
        /// Its exit code, where it exited by itself.
        exit_code: Option<i32>,
        /// Why it failed, as the ledger counts it.
        #[serde(default)]
        failure: Option<JobFailure>,
        /// Why it failed, where the agent knows more than the exit code says.
        reason: Option<String>,
    },
    /// What it left behind is at the requester's home node.
    Pushed {
        /// The exit code to report.
        exit_code: Option<i32>,
        /// The failure to report.
        #[serde(default)]
        failure: Option<JobFailure>,
        /// The manifest of its outputs; none if they could not be returned.
        outputs: Option<BlobHash>,
    },
    /// Its end stands on the ledger.
    Reported,
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "snake_case", deny_unknown_fields)]
enum Record {
    /// A step of a job.
    Job { lease: LeaseId, job: u32, at_ms: u64, last: Step },
    /// The lease is settled and everything about it reported.
    Closed { lease: LeaseId, at_ms: u64 },
}

/// Why the journal cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The file system refused.
    #[error("the journal `{}` cannot be used: {error}", path.display())]
    File {
        /// The journal.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// A line that is not what was written.
    #[error(
        "line {line} of the journal `{}` is damaged, so it is not known which jobs have run\n\nhint: restore the file, or move it away if no lease is open",
        path.display()
    )]
    Damaged {
        /// The journal.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
    },
    /// An earlier write failed half-way and could not be taken back.
    #[error("the journal `{}` has failed before; restart the agent once its disk is well", path.display())]
    Failed {
        /// The journal.
        path: PathBuf,
    },
}

/// The journal of one agent. Clones share it.
#[derive(Clone, Debug)]
pub struct Journal {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    file: File,
    length: u64,
    failed: bool,
    steps: BTreeMap<(LeaseId, u32), Step>,
}

impl Journal {
    /// Opens the journal at `path` or makes it. A last line that was being written when the agent died is dropped: what it
    /// announced was not done. Lines of closed leases are cleared away.
    ///
    /// # Errors
    /// As [`JournalError`].
    pub fn open(path: &Path) -> Result<Self, JournalError> {
        let failed = |error| JournalError::File { path: path.to_owned(), error };
        let bytes = match std::fs::read(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            other => other.map_err(failed)?,
        };
        let steps = replay(path, &bytes)?;
        let mut text = Vec::new();
        for ((lease, job), last) in &steps {
            let record = Record::Job { lease: *lease, job: *job, at_ms: 0, last: last.clone() };
            text.extend_from_slice(&line(&record));
        }
        let fresh = path.with_extension("new");
        let mut file = File::create(&fresh).map_err(failed)?;
        file.write_all(&text).and_then(|()| file.sync_all()).map_err(failed)?;
        std::fs::rename(&fresh, path).map_err(failed)?;
        sync_folder(path).map_err(failed)?;
        let mut file = OpenOptions::new().read(true).write(true).open(path).map_err(failed)?;
        let length = file.seek(SeekFrom::End(0)).map_err(failed)?;
        let inner = Inner { path: path.to_owned(), file, length, failed: false, steps };
        Ok(Self { inner: Arc::new(Mutex::new(inner)) })
    }

    /// The last step of a job.
    #[must_use]
    pub fn step(&self, lease: &LeaseId, job: u32) -> Option<Step> {
        self.lock().steps.get(&(*lease, job)).cloned()
    }

    /// Every lease that is on record: those that are not closed.
    #[must_use]
    pub fn leases(&self) -> Vec<LeaseId> {
        let mut leases: Vec<LeaseId> = self.lock().steps.keys().map(|(lease, _)| *lease).collect();
        leases.dedup();
        leases
    }

    /// Writes a step of a job; it is on disk when this returns.
    ///
    /// # Errors
    /// As [`JournalError`]; the step is not taken then.
    pub async fn record(&self, lease: LeaseId, job: u32, at_ms: u64, step: Step) -> Result<(), JournalError> {
        self.append(Record::Job { lease, job, at_ms, last: step }).await
    }

    /// Forgets a lease whose every job is reported and that is settled.
    ///
    /// # Errors
    /// As [`JournalError`].
    pub async fn close(&self, lease: LeaseId, at_ms: u64) -> Result<(), JournalError> {
        self.append(Record::Closed { lease, at_ms }).await
    }

    async fn append(&self, record: Record) -> Result<(), JournalError> {
        let journal = self.clone();
        let path = self.lock().path.clone();
        let written = tokio::task::spawn_blocking(move || journal.lock().append(record)).await;
        written.map_err(|_| JournalError::Failed { path })?
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn append(&mut self, record: Record) -> Result<(), JournalError> {
        if self.failed {
            return Err(JournalError::Failed { path: self.path.clone() });
        }
        let bytes = line(&record);
        if let Err(error) = self.file.write_all(&bytes).and_then(|()| self.file.sync_data()) {
            // Half a line must not stand before the next one.
            let undone = self.file.set_len(self.length).and_then(|()| self.file.seek(SeekFrom::End(0)));
            self.failed = undone.is_err();
            return Err(JournalError::File { path: self.path.clone(), error });
        }
        self.length += bytes.len() as u64;
        absorb(&mut self.steps, record);
        Ok(())
    }
}

fn absorb(steps: &mut BTreeMap<(LeaseId, u32), Step>, record: Record) {
    match record {
        Record::Job { lease, job, last, .. } => {
            steps.insert((lease, job), last);
        }
        Record::Closed { lease, .. } => steps.retain(|(other, _), _| *other != lease),
    }
}

fn replay(path: &Path, bytes: &[u8]) -> Result<BTreeMap<(LeaseId, u32), Step>, JournalError> {
    let mut steps = BTreeMap::new();
    for (index, line) in bytes.split_inclusive(|byte| *byte == b'\n').enumerate() {
        // Only the last line can be without its end: it was being written.
        let Some(content) = line.strip_suffix(b"\n") else { break };
        let damaged = || JournalError::Damaged { path: path.to_owned(), line: index + 1 };
        let (sum, json) = content.split_at_checked(CHECKSUM_DIGITS).ok_or_else(damaged)?;
        let json = json.strip_prefix(b" ").ok_or_else(damaged)?;
        if checksum(json).as_bytes() != sum {
            return Err(damaged());
        }
        absorb(&mut steps, serde_json::from_slice(json).map_err(|_| damaged())?);
    }
    Ok(steps)
}

fn line(record: &Record) -> Vec<u8> {
    let json = serde_json::to_string(record).expect("a record is plain data, which always has a JSON form");
    format!("{} {json}\n", checksum(json.as_bytes())).into_bytes()
}

fn checksum(json: &[u8]) -> String {
    blake3::hash(json).to_hex()[..CHECKSUM_DIGITS].to_owned()
}

fn sync_folder(path: &Path) -> std::io::Result<()> {
    match path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        Some(folder) => File::open(folder)?.sync_all(),
        None => File::open(".")?.sync_all(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: LeaseId = LeaseId([7; 32]);
    const OTHER: LeaseId = LeaseId([8; 32]);

    async fn written(path: &Path) -> Journal {
        let journal = Journal::open(path).unwrap();
        journal.record(LEASE, 0, 1, Step::Started).await.unwrap();
        let ended = Step::Ended { exit_code: Some(3), failure: None, reason: None };
        journal.record(LEASE, 0, 2, ended).await.unwrap();
        journal.record(LEASE, 1, 3, Step::Started).await.unwrap();
        journal.record(OTHER, 0, 4, Step::Reported).await.unwrap();
        journal
    }

    #[tokio::test]
    async fn the_last_step_of_each_job_survives_and_closed_leases_go() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        written(&path).await.close(OTHER, 5).await.unwrap();
        for _ in 0..2 {
            let journal = Journal::open(&path).unwrap();
            assert_eq!(
                journal.step(&LEASE, 0),
                Some(Step::Ended { exit_code: Some(3), failure: None, reason: None })
            );
            assert_eq!(journal.step(&LEASE, 1), Some(Step::Started));
            assert_eq!(journal.leases(), [LEASE]);
        }
        assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 2);
    }

    /// Cut the file at every byte: all whole lines count, and the half one never happened.
    #[tokio::test]
    async fn a_torn_last_line_is_dropped_wherever_it_is_torn() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        drop(written(&path).await);
        let bytes = std::fs::read(&path).unwrap();
        for cut in 0..=bytes.len() {
            let whole = bytes[..cut].iter().filter(|byte| **byte == b'\n').count();
            let expected = match whole {
                0 => None,
                1 => Some(Step::Started),
                _ => Some(Step::Ended { exit_code: Some(3), failure: None, reason: None }),
            };
            assert_eq!(replay(&path, &bytes[..cut]).unwrap().remove(&(LEASE, 0)), expected, "cut at {cut}");
        }
        let torn = folder.path().join("torn");
        std::fs::write(&torn, &bytes[..bytes.len() - 1]).unwrap();
        let journal = Journal::open(&torn).unwrap();
        assert_eq!(journal.leases(), [LEASE]);
        journal.record(OTHER, 9, 1, Step::Started).await.unwrap();
        assert_eq!(Journal::open(&torn).unwrap().step(&OTHER, 9), Some(Step::Started));
    }

    #[tokio::test]
    async fn a_damaged_line_stops_the_agent() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        drop(written(&path).await);
        let mut bytes = std::fs::read(&path).unwrap();
        let second = bytes.iter().position(|byte| *byte == b'\n').unwrap() + 40;
        bytes[second] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        assert!(matches!(Journal::open(&path), Err(JournalError::Damaged { line: 2, .. })));
    }
}
