//! Turn a lease into work on a machine.
