//! Train a small model on the data the demo ships.
fn main() {}
