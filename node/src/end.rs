//! How a node that cannot go on ends: whose turn it is to do something, and whether it may simply be started again.

use crate::consensus::last_signed::MemoryError;
use crate::consensus::{FatalReason, StartError};
use crate::executor::OpenError;
use crate::node::NodeError;
use hansa_ledger_store::{LedgerStore, StoreError};

/// Whose turn it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The operator's: a configuration, key, port or folder that cannot be used. Started again as it is, the node fails again.
    Refused,
    /// Nobody's in particular: a full disk, a system that refuses. Nothing is in doubt, and starting again may help.
    Failed,
    /// A person's, before anything else: what is stored, or what was signed, is in doubt.
    Halted,
    /// The operator's: the federation voted for rules that this program does not know; a newer one goes on from here.
    Outdated,
}

impl End {
    /// For a node that did not start.
    #[must_use]
    pub fn of_start(error: &NodeError) -> Self {
        match error {
            NodeError::Config(_)
            | NodeError::Identity(_)
            | NodeError::Listen { .. }
            | NodeError::Network(_) => Self::Refused,
            NodeError::Consensus(StartError::Engine(_) | StartError::NotListening { .. }) => Self::Failed,
            NodeError::Consensus(StartError::Memory(MemoryError::Damaged { .. })) => Self::Halted,
            NodeError::Consensus(
                StartError::Memory(MemoryError::Io { .. }) | StartError::LogUnreadable { .. },
            ) => Self::Failed,
            NodeError::Consensus(_) => Self::Refused,
            NodeError::Store(error) | NodeError::Open(OpenError::Store(error)) => Self::of_store(error),
            NodeError::Open(OpenError::Doubt(_)) => Self::Halted,
            NodeError::Open(OpenError::UnknownRules { .. }) => Self::Outdated,
            // The genesis and the program do not fit the folder or each other; the ledger is as it was.
            NodeError::Open(_) => Self::Refused,
            NodeError::Blobs(_) | NodeError::Setup(_) => Self::Failed,
        }
    }

    /// For a node that ran, with the store it leaves. A decision that found no room on the disk is in the others' hands and in the
    /// engine's log: with room again the node goes on from there.
    #[must_use]
    pub fn of_run(reason: &FatalReason, store: &dyn LedgerStore) -> Self {
        match reason {
            FatalReason::UnknownRules { .. } => Self::Outdated,
            reason if reason.restart_helps() => Self::Failed,
            FatalReason::CommitFailed { .. }
            | FatalReason::FinalizeFailed { .. }
            | FatalReason::KeepFailed { .. } => {
                store.writable().map_or_else(|error| Self::of_store(&error), |()| Self::Halted)
            }
            _ => Self::Halted,
        }
    }

    fn of_store(error: &StoreError) -> Self {
        match error {
            StoreError::Locked { .. } => Self::Refused,
            error if error.forbids_voting() => Self::Halted,
            _ => Self::Failed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::consensus::AppError;
    use hansa_ledger_store::{OpenOptions, SledStore};

    fn low() -> StoreError {
        StoreError::DiskLow { directory: "data".into(), bytes_free: 1, bytes_needed: 2 }
    }

    #[test]
    fn who_has_to_act_decides_how_a_node_that_does_not_start_ends() {
        let in_use = || std::io::Error::from(std::io::ErrorKind::AddrInUse);
        let address: libp2p::Multiaddr = "/ip4/127.0.0.1/tcp/1".parse().unwrap();
        let log = StartError::LogInUse { path: "log".into(), reason: "held".into() };
        let port = StartError::AddressInUse { address, error: in_use() };
        let doubt = StoreError::Doubt { what: "it is empty".into(), next: "rebuild" };
        let other = OpenError::OtherGenesis {
            stored: hansa_ledger::id::ChainId([1; 32]),
            expected: hansa_ledger::id::ChainId([2; 32]),
        };
        let memory = |error| NodeError::Consensus(StartError::Memory(error));
        let unwritten = MemoryError::Io { what: "write", path: "log".into(), error: in_use() };
        let unreadable = StartError::LogUnreadable { path: "log".into(), error: in_use() };
        let table: Vec<(NodeError, End)> = vec![
            (memory(MemoryError::OtherFederation { path: "last-signed".into() }), End::Refused),
            (memory(unwritten), End::Failed),
            (NodeError::Consensus(unreadable), End::Failed),
            (memory(MemoryError::Damaged { path: "last-signed".into() }), End::Halted),
            (NodeError::Identity("another key".into()), End::Refused),
            (NodeError::Listen { address: ([127, 0, 0, 1], 1).into(), error: in_use() }, End::Refused),
            (NodeError::Consensus(port), End::Refused),
            (NodeError::Consensus(log), End::Refused),
            (NodeError::Store(StoreError::Locked { directory: "data".into() }), End::Refused),
            (NodeError::Open(other), End::Refused),
            (NodeError::Open(OpenError::Engine), End::Refused),
            (NodeError::Store(low()), End::Failed),
            (NodeError::Open(OpenError::Store(low())), End::Failed),
            (NodeError::Consensus(StartError::Engine("no thread".into())), End::Failed),
            (NodeError::Setup(std::io::Error::other("no thread")), End::Failed),
            (NodeError::Store(doubt), End::Halted),
            (NodeError::Store(StoreError::Damaged { what: "torn".into() }), End::Halted),
            (NodeError::Store(StoreError::Fatal { what: "fsync".into() }), End::Halted),
            (NodeError::Open(OpenError::Doubt("another root".into())), End::Halted),
        ];
        for (error, expected) in table {
            assert_eq!(End::of_start(&error), expected, "{error}");
        }
    }

    #[test]
    fn a_full_disk_may_be_tried_again_and_doubt_may_not() {
        let folder = tempfile::tempdir().unwrap();
        let store = |name: &str, bytes_free_min| {
            let options = OpenOptions { create_new: true, bytes_free_min, ..OpenOptions::default() };
            SledStore::open(&folder.path().join(name), options).unwrap()
        };
        let (room, full) = (store("room", 1), store("full", u64::MAX / 4));
        let commit = || FatalReason::CommitFailed { height: 1, error: AppError("no room".into()) };
        let keep = || FatalReason::KeepFailed { height: 1, error: AppError("no room".into()) };
        let finalize = FatalReason::FinalizeFailed { height: 1, error: AppError("no room".into()) };
        let skew = FatalReason::VersionSkew { height: 1, id: [0; 32] };
        for (reason, store, expected) in [
            (FatalReason::EngineEnded, &room, End::Failed),
            (commit(), &full, End::Failed),
            (keep(), &full, End::Failed),
            (keep(), &room, End::Halted),
            (finalize, &full, End::Failed),
            (commit(), &room, End::Halted),
            (FatalReason::SafetyHang, &full, End::Halted),
            (skew, &full, End::Halted),
            (FatalReason::ApplicationPanicked("assertion".into()), &full, End::Halted),
        ] {
            assert_eq!(End::of_run(&reason, store), expected, "{reason}");
        }
    }
}
