//! Features of the ledger, over whole blocks.

mod bad_input;
mod block;
mod governance;
mod lease;
mod market_batch;
mod money;
mod organisation;
mod proof;
mod scene;
mod wire;
mod world;
