//! Tests of the agent against a real ledger in memory; only the network, the clock and the machine are doubles.

mod bench;
mod life;
mod logs;
mod machine;
mod offers;
mod restart;
mod world;
