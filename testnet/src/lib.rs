//! A federation on one machine, in one command.

pub mod job;
