//! Follow what a job prints: line by line to whoever listens, and to a file of bounded size.

use std::fs::File;
use std::io::Write as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::sync::mpsc;

/// Bytes of one line; a longer one is passed on in pieces.
pub const LINE_BYTES_MAX: usize = 8 << 10;

/// Lines that may wait for a slow listener.
pub const LINES_WAITING_MAX: usize = 1024;

/// Where a line came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogStream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// One line of a job's log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// Counts from 1 over both streams; a gap means that this listener was too slow.
    pub number: u64,
    /// Milliseconds since the job started.
    pub at_ms: u64,
    /// Where it came from.
    pub stream: LogStream,
    /// The text without its line end; bytes that are not UTF-8 are replaced.
    pub text: String,
}

/// The two ends of a log: the file and the listener.
#[derive(Debug)]
pub(crate) struct Log {
    inner: Mutex<Inner>,
    started: Instant,
    listener: mpsc::Sender<LogLine>,
}

#[derive(Debug)]
struct Inner {
    file: File,
    bytes_left: u64,
    bytes_dropped: u64,
    lines: u64,
}

impl Log {
    pub(crate) fn new(file: File, bytes_max: u64) -> (Arc<Log>, mpsc::Receiver<LogLine>) {
        let (listener, receiver) = mpsc::channel(LINES_WAITING_MAX);
        let inner = Mutex::new(Inner { file, bytes_left: bytes_max, bytes_dropped: 0, lines: 0 });
        (Arc::new(Log { inner, started: Instant::now(), listener }), receiver)
    }

    /// Read one stream to its end. A pipe must be drained even when nothing more is kept, or the job would stall.
    pub(crate) async fn pump(self: Arc<Log>, stream: LogStream, mut source: impl AsyncRead + Unpin) {
        let mut chunk = vec![0; LINE_BYTES_MAX];
        let mut line = Vec::new();
        loop {
            let read = match source.read(&mut chunk).await {
                Ok(0) | Err(_) => break,
                Ok(read) => read,
            };
            for piece in chunk[..read].split_inclusive(|byte| *byte == b'\n') {
                line.extend_from_slice(piece);
                if line.ends_with(b"\n") || line.len() >= LINE_BYTES_MAX {
                    self.take(stream, &line);
                    line.clear();
                }
            }
        }
        if !line.is_empty() {
            self.take(stream, &line);
        }
    }

    fn take(&self, stream: LogStream, line: &[u8]) {
        let text = String::from_utf8_lossy(line);
        let text = text.trim_end_matches(['\n', '\r']).to_owned();
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.lines += 1;
        inner.write(line);
        let at_ms = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        // A full queue or a listener that left must not hold the job up.
        let _ = self.listener.try_send(LogLine { number: inner.lines, at_ms, stream, text });
    }

    /// Close the log: says in the file how much was dropped, and syncs it.
    pub(crate) fn close(&self) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if inner.bytes_dropped > 0 {
            let note = format!("\n[log full: {} more bytes were dropped]\n", inner.bytes_dropped);
            let _ = inner.file.write_all(note.as_bytes());
        }
        let _ = inner.file.sync_data();
    }
}

impl Inner {
    fn write(&mut self, line: &[u8]) {
        let kept = usize::try_from(self.bytes_left).unwrap_or(usize::MAX).min(line.len());
        // A full disk loses log lines, not the job: what could not be written counts as dropped.
        let written = if self.file.write_all(&line[..kept]).is_ok() { kept } else { 0 };
        self.bytes_left -= kept as u64;
        self.bytes_dropped += (line.len() - written) as u64;
    }
}
