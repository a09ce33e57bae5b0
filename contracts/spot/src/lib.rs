//! Pay for what was used, up to what was locked.
