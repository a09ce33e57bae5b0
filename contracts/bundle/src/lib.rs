//! The built-in contracts, as WASM bytes.
