//! Use the marketplace.
fn main() {}
