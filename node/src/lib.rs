//! Run one member of the federation.
