//! What ledger and contract agree on.
