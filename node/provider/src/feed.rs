//! A job's log on its way to the requester's home node while the job runs.
//!
//! The whole log goes back with the outputs, so nothing here holds a job up or fails it: what does not go through is tried again
//! for as long as the job runs, and for a moment after.

use std::io::SeekFrom;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use hansa_ledger::id::LeaseId;
use hansa_ledger::member::MemberCode;
use hansa_node_api::peer::log::{LOG_PIECE_BYTES_MAX, LogHeld, LogPart};
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};

use crate::agent::Core;
use crate::federation::BlobError;

/// How often the log is looked at.
const PAUSE: Duration = Duration::from_millis(250);

/// The longest rest while the node is away or refuses; it begins with [`PAUSE`] and doubles.
const REST_MAX: Duration = Duration::from_secs(5);

/// How long the rest of a log may take once its job has ended.
const FINISH_TIME_MAX: Duration = Duration::from_secs(2);

/// The log of one job, and where it goes.
pub(crate) struct LogFeed {
    pub core: Arc<Core>,
    pub home: MemberCode,
    pub lease: LeaseId,
    pub job: u32,
    pub path: PathBuf,
}

impl LogFeed {
    /// Sends what the job writes, as it comes. Returns when the node takes no more of it, and else goes on until it is dropped.
    pub async fn follow(&self) {
        let mut offset = 0;
        let mut rest = PAUSE;
        loop {
            match self.send_news(&mut offset).await {
                Ok(true) => rest = PAUSE,
                Ok(false) => return,
                Err(error) => {
                    tracing::debug!(lease = %self.lease, job = self.job, %error, "the log waits");
                    rest = (rest * 2).min(REST_MAX);
                }
            }
            tokio::time::sleep(rest).await;
        }
    }

    /// Sends what the log has from `offset` on, and moves it to where the node stands. `false` when the node takes no more.
    async fn send_news(&self, offset: &mut u64) -> Result<bool, BlobError> {
        loop {
            let began = *offset;
            let bytes = self.read(began).await?;
            if bytes.is_empty() {
                return Ok(true);
            }
            let held = self.send(began, bytes, false).await?;
            *offset = held.next_offset;
            if !held.open {
                return Ok(false);
            }
            // A node that has lost what it held gets it again, but not as fast as it can ask.
            if held.next_offset <= began {
                return Ok(true);
            }
        }
    }

    /// Sends the rest of a log that does not grow any more, and that it ends there.
    pub async fn finish(&self) {
        let sending = async {
            while let Err(error) = self.send_rest().await {
                tracing::debug!(lease = %self.lease, job = self.job, %error, "the log's end waits");
                if !matches!(error, BlobError::Away(_)) {
                    return;
                }
                tokio::time::sleep(PAUSE).await;
            }
        };
        // Whoever follows the log finds the rest among the outputs.
        let _ = tokio::time::timeout(FINISH_TIME_MAX, sending).await;
    }

    async fn send_rest(&self) -> Result<(), BlobError> {
        // Where the node stands is not known here: a piece may have been on its way, or the agent was restarted.
        let mut held = self.send(0, Vec::new(), false).await?;
        while held.open {
            let offset = held.next_offset;
            let bytes = self.read(offset).await?;
            let ended = bytes.len() < LOG_PIECE_BYTES_MAX;
            held = self.send(offset, bytes, ended).await?;
            if held.open && held.next_offset <= offset {
                return Err(BlobError::Away("the node does not keep what it is sent".to_owned()));
            }
        }
        Ok(())
    }

    async fn send(&self, offset: u64, bytes: Vec<u8>, ended: bool) -> Result<LogHeld, BlobError> {
        let part = LogPart { lease: self.lease.0, job: self.job, offset, ended, bytes };
        self.core.blobs.append_log(self.home, part).await
    }

    /// The next piece of the file; empty as long as there is none.
    async fn read(&self, offset: u64) -> Result<Vec<u8>, BlobError> {
        let read = async {
            let mut file = tokio::fs::File::open(&self.path).await?;
            file.seek(SeekFrom::Start(offset)).await?;
            let mut bytes = Vec::new();
            file.take(LOG_PIECE_BYTES_MAX as u64).read_to_end(&mut bytes).await?;
            Ok::<_, std::io::Error>(bytes)
        };
        match read.await {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
            other => other.map_err(|error| BlobError::Failed(error.to_string())),
        }
    }
}
