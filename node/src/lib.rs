//! Run one member of the federation.

pub mod consensus;
