//! Turn a lease into work on a machine.
//!
//! [`backend`] is the seat where a lease's jobs run: a sandbox that keeps them from the machine, from each other and from
//! the agent, bounds what they use, and leaves nothing of them behind.

pub mod backend;
