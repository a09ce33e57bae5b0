//! What a testnet reacts to while it runs: a child that ends, and the user's wish to end.

use crate::error::TestnetError;
use crate::process::ProcessRecord;
use tokio::process::Child;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

/// A child that ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Exit {
    /// Its name in the record.
    pub name: String,
    /// Which process it was.
    pub record: ProcessRecord,
    /// How it ended.
    pub status: String,
}

/// What a testnet reacts to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Happening {
    /// A child ended.
    Exit(Exit),
    /// The user, or the system, wants an end.
    Interrupt,
}

/// SIGINT, SIGTERM and SIGHUP: the user, or the system, wants an end.
#[derive(Debug)]
pub(crate) struct Interrupt {
    signals: [Signal; 3],
}

impl Interrupt {
    /// From now on these signals no longer end the process by themselves.
    pub fn new() -> Result<Self, TestnetError> {
        let listen = |kind| {
            signal(kind)
                .map_err(|error| TestnetError::Broken(format!("signals cannot be listened for: {error}")))
        };
        let signals = [
            listen(SignalKind::interrupt())?,
            listen(SignalKind::terminate())?,
            listen(SignalKind::hangup())?,
        ];
        Ok(Self { signals })
    }

    /// Waits for the next of them.
    pub async fn wait(&mut self) {
        let [interrupt, terminate, hangup] = &mut self.signals;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}

/// Everything that is watched.
#[derive(Debug)]
pub(crate) struct Watch {
    interrupt: Interrupt,
    sender: mpsc::UnboundedSender<Exit>,
    exits: mpsc::UnboundedReceiver<Exit>,
    forgotten: Vec<ProcessRecord>,
}

impl Watch {
    /// Watches nothing but signals yet.
    pub fn new(interrupt: Interrupt) -> Self {
        let (sender, exits) = mpsc::unbounded_channel();
        Self { interrupt, sender, exits, forgotten: Vec::new() }
    }

    /// Watches a child, and takes it off the table of processes when it ends.
    pub fn add(&mut self, name: &str, mut child: Child) -> ProcessRecord {
        let record = ProcessRecord::of(child.id().unwrap_or_default());
        let (name, sender) = (name.to_owned(), self.sender.clone());
        tokio::spawn(async move {
            let status = match child.wait().await {
                Ok(status) => status.to_string(),
                Err(error) => error.to_string(),
            };
            // Nobody listens any more once the testnet is down.
            let _ = sender.send(Exit { name, record, status });
        });
        record
    }

    /// Says nothing about the end of these.
    pub fn forget<'a>(&mut self, records: impl Iterator<Item = &'a ProcessRecord>) {
        self.forgotten.extend(records);
    }

    /// What happens next.
    pub async fn next(&mut self) -> Happening {
        loop {
            tokio::select! {
                exit = self.exits.recv() => match exit {
                    Some(exit) if self.forgotten.contains(&exit.record) => {}
                    Some(exit) => return Happening::Exit(exit),
                    // The sender is ours, so the channel never closes while we listen.
                    None => return Happening::Interrupt,
                },
                () = self.interrupt.wait() => return Happening::Interrupt,
            }
        }
    }
}
