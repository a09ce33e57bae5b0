//! The seat of the engine: agree with the other members on one ordered history of blocks.
//!
//! Consensus orders 32-byte block ids. What a block is, whether it holds and where it is kept, the [`Application`] decides; this
//! module carries bodies between members in parts, signs and checks votes, and paces the heights so that an idle federation makes
//! nothing. [`certificate`] depends on nothing of the engine and is what a light client needs.

pub mod application;
#[cfg(feature = "byzantine")]
mod byzantine;
pub mod certificate;
pub mod codec;
pub mod context;
pub mod engine;
pub mod evidence;
pub mod host;
pub mod last_signed;
pub mod limits;
pub mod pacing;
pub mod parts;
pub mod signing;
#[cfg(test)]
mod tests;

pub use application::{AppError, Application, Built, Id, Origin, Timeouts, Tip, Verdict};
pub use certificate::{Certificate, CertificateError, ValidatorInfo, verify_certificate};
pub use engine::{ConsensusConfig, ConsensusHandle, FatalReason, Peer, StartError, Status, start};
