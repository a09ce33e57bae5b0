//! Talk to a node.
