//! Decide what every transaction does.
