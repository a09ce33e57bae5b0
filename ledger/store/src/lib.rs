//! Keep the ledger on disk.
