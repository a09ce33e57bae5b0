//! Features of the ledger, over whole blocks.

mod bad_input;
mod block;
mod contracts;
mod demand;
mod engine;
mod extension;
mod figures;
mod governance;
mod lease;
mod market_batch;
mod money;
mod offices;
mod organisation;
mod preview;
mod proof;
mod quiet;
mod scene;
mod scripted;
mod settlement;
mod sponsor;
mod supply;
mod wire;
mod withheld;
mod world;
