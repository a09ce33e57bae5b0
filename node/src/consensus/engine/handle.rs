//! The running consensus: where it stands, how it ends.

use super::fatal::{FatalReason, StartError};
use crate::consensus::last_signed::LastSigned;
use malachitebft_engine::node::NodeRef;
use std::fs::{File, OpenOptions, TryLockError};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// The height and round that the engine works on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// The height, 0 before the first start. While the node pauses it is still the last one.
    pub height: u64,
    /// The round.
    pub round: u32,
}

/// A running consensus.
#[derive(Debug)]
pub struct ConsensusHandle {
    /// Resolves when consensus ends by itself. The node must end then; after [`FatalReason::SafetyHang`] without a restart.
    pub fatal: oneshot::Receiver<FatalReason>,
    pub(super) running: Running,
}

#[derive(Debug)]
pub(super) struct Running {
    pub(super) status: watch::Receiver<Status>,
    pub(super) stop: CancellationToken,
    pub(super) actor: NodeRef,
    pub(super) tasks: Vec<JoinHandle<()>>,
    pub(super) wal_path: PathBuf,
    pub(super) listen_address: SocketAddr,
    pub(super) last_signed: Arc<LastSigned>,
}

/// How long a stop waits for the engine's threads to let go of log and port.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

impl ConsensusHandle {
    /// The height and round that the engine works on.
    #[must_use]
    pub fn status(&self) -> Status {
        *self.running.status.borrow()
    }

    /// The same, to wait for changes.
    #[must_use]
    pub fn status_changes(&self) -> watch::Receiver<Status> {
        self.running.status.clone()
    }

    /// What this member signed last.
    #[must_use]
    pub fn last_signed(&self) -> &LastSigned {
        &self.running.last_signed
    }

    /// Stops host and engine; returns when log and port are free, so that consensus can start again on the same folder.
    pub async fn stop(self) {
        let Running { stop, actor, tasks, wal_path, listen_address, .. } = self.running;
        stop.cancel();
        end_engine(&actor).await;
        for task in tasks {
            // The tasks end with the engine; one that does not holds nothing that must be kept.
            if tokio::time::timeout(STOP_TIMEOUT, task).await.is_err() {
                tracing::warn!("a consensus task did not end in time");
            }
        }
        // The engine's threads let go of log and port a moment after its actors end.
        let deadline = tokio::time::Instant::now() + STOP_TIMEOUT;
        let held = || wal_lock(&wal_path).is_err() || TcpListener::bind(listen_address).is_err();
        while held() && tokio::time::Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// Ends the engine's actors, each by its own shutdown. Ending their supervisor first would kill them, and a killed network actor
/// leaves its connections and its port behind.
pub(super) async fn end_engine(node: &NodeRef) {
    let actors = node.get_children();
    for actor in &actors {
        // Without the link the supervisor does not take the end of one for a failure of all.
        actor.unlink(node.get_cell());
        actor.stop(None);
    }
    for actor in actors {
        if actor.wait(Some(STOP_TIMEOUT)).await.is_err() {
            actor.kill();
        }
    }
    if node.stop_and_wait(None, Some(STOP_TIMEOUT)).await.is_err() {
        node.kill();
    }
}

/// How often a log that is in use is looked at again, and after what pause.
const LOCK_ATTEMPTS: u32 = 50;
const LOCK_PAUSE: std::time::Duration = std::time::Duration::from_millis(10);

/// Whether the engine's log at `path` is free: the engine itself would fail later and less clearly.
///
/// # Errors
/// [`StartError::LogInUse`].
pub fn wal_lock(path: &Path) -> Result<(), StartError> {
    let in_use = |reason: String| StartError::LogInUse { path: path.to_owned(), reason };
    let file: File = match OpenOptions::new().read(true).write(true).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(in_use(error.to_string())),
    };
    // A process that was just killed lets go of its files only when the last of its threads has ended, so one look is not enough.
    for _ in 0..LOCK_ATTEMPTS {
        match file.try_lock() {
            // Closing the file lets the lock go.
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) => std::thread::sleep(LOCK_PAUSE),
            Err(TryLockError::Error(error)) => return Err(in_use(error.to_string())),
        }
    }
    Err(in_use("another process holds it".to_owned()))
}
