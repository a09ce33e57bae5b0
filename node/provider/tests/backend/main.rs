//! Tests of the local backend with real processes, in every tier this machine offers.

mod bench;
mod jobs;
mod ordinary;
mod outputs;
mod probes;
