//! Run a contract within its fuel.
