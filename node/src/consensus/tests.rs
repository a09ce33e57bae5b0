//! Whole federations in one process, over loopback, with a ledger in memory.

mod certificates;
mod faults;
mod federation;
mod heights;
mod host;
mod ledger;
mod parts;
mod signing;
