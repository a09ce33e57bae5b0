//! Simulate a federation: the real nodes on a simulated network and disks, all from one seed.
//!
//! # Plan
//!
//! 1. One seed draws a [`profile`]: how many members, what gets lost, late, doubled or cut, who dies how, whose disk fails, who
//!    betrays. The same seed gives the same history, to the last line of the [`trace`].
//! 2. One thread, one tokio runtime whose clock stands still while anybody works ([`run`]). No socket, no file, no real time.
//! 3. Each node is the real application half (`Executor`: mempool, ledger, contracts in wasmi, history) with the real host
//!    (`consensus::host`: parts, judging, proposals kept, pacing, missing bodies, decisions), signer, verifier and record of what
//!    was signed, started by [`node`] from nothing but what its disk holds.
//! 4. [`engine`] stands for malachite's consensus actor: it drives `core-consensus` by its inputs and effects and carries each effect
//!    out in the actor's order, above all the flush of the log before anything leaves. The log is malachite's own, on a disk in memory.
//! 5. [`network`] carries messages in the node's own encodings over single links; [`sync`] lets nodes catch up.
//! 6. [`disk`] keeps what is written and what is durable apart: a killed process loses nothing, a power cut tears or loses what was
//!    not synced, bits flip, room runs out, an fsync fails, and a node dies before or after any single operation. [`store`] does the
//!    same for the ledger.
//! 7. [`treason`]: one member is silent, signs two things, lies to those who catch up, or runs twice with one key.
//! 8. [`workload`]: organisations, money, offers, requests, leases in every way they go, disputes, votes on parameters. Clients and
//!    agents die after any deed and come back with nothing but their key.
//! 9. [`checks`] hold at every moment: one block and one state root per height, nothing signed twice over all lives of a node, no
//!    acknowledged height lost by a restart, no transaction twice, no lease settled twice, no panic.
//! 10. [`story`]: a time of faults; then all is healed and every honest node must decide three more blocks within 90 simulated
//!     seconds; then people rest and every lease must end; then all that was acknowledged is compared with what every honest node
//!     holds, and the books must balance.
//!
//! # Not covered
//!
//! The engine's actors, its connector and its sync actor (their order is copied, not run), libp2p and gossip's relaying, sled and
//! real files (the store here is `MemoryStore`; `ledger/store` has its own power cuts), HTTP, blobs, provider agents' processes,
//! changes of members, snapshots, and checkpoints beyond the first, which a run is too short for. A seed in which more members than
//! may be down have lost what they signed in one height halts, as `docs/decisions/0013` says it must; such seeds are counted as
//! `halted` and go no further.

pub mod checks;
pub mod client;
pub mod disk;
pub mod engine;
pub mod genesis;
pub mod network;
pub mod node;
pub mod profile;
pub mod random;
pub mod run;
pub mod store;
pub mod story;
pub mod sync;
pub mod trace;
pub mod treason;
pub mod wire;
pub mod workload;
pub mod world;
