//! Whole federations in one process, over loopback, with a ledger in memory.

mod certificates;
mod evidence;
mod faults;
mod federation;
mod heights;
mod host;
mod ledger;
mod memory;
mod parts;
mod signing;
