//! Check signatures, by one rule.
//!
//! Keys and signing are Ed25519. Verification follows ZIP-215, in which checking one by one and checking in batches accept the
//! same set, so that no two nodes can disagree (`docs/decisions/0002-one-signature-rule.md`). No other crate verifies.

#![deny(clippy::disallowed_types, clippy::float_arithmetic, clippy::unwrap_used)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

#[macro_use]
mod bytes;
mod key;
mod verified;

pub use key::{PublicKey, SecretKey, Signature};
pub use verified::{Cache, Enclosed, Lookup, Signed, Verified};

/// Why a signature was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// The 32 bytes are not the encoding of a curve point.
    #[error("the public key is not a valid Ed25519 key")]
    KeyMalformed,
    /// The equation does not hold for these bytes.
    #[error("the signature does not match the signed bytes and the signer's key")]
    Mismatch,
    /// The value is signed, and a signature of somebody else that it carries within does not hold.
    #[error("a signature within the signed bytes does not match what it is for and its key")]
    EnclosedMismatch,
}

/// Checks one signature over `message` by the ZIP-215 rule.
///
/// # Errors
/// [`SignatureError::KeyMalformed`] when `key` is no point of the curve, [`SignatureError::Mismatch`] when the check fails.
#[expect(
    clippy::disallowed_methods,
    reason = "here, and in a batch of them, is where signatures are checked"
)]
pub fn verify_bytes(key: &PublicKey, message: &[u8], signature: &Signature) -> Result<(), SignatureError> {
    let key = ed25519_zebra::VerificationKey::try_from(key.0).map_err(|_| SignatureError::KeyMalformed)?;
    key.verify(&ed25519_zebra::Signature::from(signature.0), message).map_err(|_| SignatureError::Mismatch)
}
