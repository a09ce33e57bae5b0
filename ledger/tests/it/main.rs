//! Features of the ledger, over whole blocks.

mod lease;
mod world;
