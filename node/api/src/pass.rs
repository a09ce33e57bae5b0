//! Read passes: a key says once who reads, for this federation and some hours, instead of signing every request.
//!
//! A pass is a secret: whoever has its text reads as its key until it expires. It changes nothing on the ledger and can sign
//! nothing. It never shows in `Debug`; its text is given by [`ReadPass::to_bearer`] alone.

use crate::peer::now_ms;
use borsh::{BorshDeserialize, BorshSerialize};
use hansa_ledger::id::ChainId;
use hansa_ledger::time::TimeMs;
use hansa_ledger_signature::{PublicKey, SecretKey, Signature, Signed};
use std::fmt;
use std::time::Duration;
use zeroize::Zeroizing;

/// The header that carries a pass.
pub const PASS_HEADER: &str = "x-hansa-read-pass";

/// The longest a node lets a pass live from now on, in milliseconds.
pub const PASS_LIFE_MS_MAX: u64 = 12 * 60 * 60 * 1_000;

/// How long a pass lives that a person asks for: as long as it may, but for clocks that differ.
pub const PASS_LIFE: Duration = Duration::from_secs(12 * 60 * 60 - 10 * 60);

/// What is signed first, so that a signature over a pass is never one over anything else.
const DOMAIN: &[u8] = b"hansa/read-pass/1\0";

/// A key's word that whoever shows this reads as the key.
#[derive(Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct ReadPass {
    /// The federation.
    pub chain: ChainId,
    /// Who reads.
    pub key: PublicKey,
    /// Until when.
    pub expires: TimeMs,
    signature: Signature,
}

/// The text is no pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is no read pass")]
pub struct NoPass;

impl ReadPass {
    /// Signs a pass that lives for `life` from now on.
    #[must_use]
    pub fn make(key: &SecretKey, chain: ChainId, life: Duration) -> Self {
        let life = u64::try_from(life.as_millis()).unwrap_or(u64::MAX);
        Self::sign(key, chain, TimeMs(now_ms()).plus(life))
    }

    /// Signs a pass until a moment.
    #[must_use]
    pub fn sign(key: &SecretKey, chain: ChainId, expires: TimeMs) -> Self {
        let mut pass = Self { chain, key: key.public_key(), expires, signature: Signature([0; 64]) };
        pass.signature = key.sign(&pass.signing_bytes());
        pass
    }

    /// The text that is sent: the canonical bytes in hexadecimal.
    #[must_use]
    pub fn to_bearer(&self) -> Zeroizing<String> {
        let bytes = Zeroizing::new(borsh::to_vec(self).expect("encoding into memory cannot fail"));
        Zeroizing::new(hex::encode(bytes.as_slice()))
    }

    /// Reads the text that was sent. Neither signature nor expiry is checked here.
    ///
    /// # Errors
    /// When it is not the one text of a pass.
    pub fn from_bearer(text: &str) -> Result<Self, NoPass> {
        // In capitals it would be another text of the same pass.
        if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err(NoPass);
        }
        let bytes = Zeroizing::new(hex::decode(text).map_err(|_| NoPass)?);
        borsh::from_slice(&bytes).map_err(|_| NoPass)
    }

    /// Whether it holds now, and for at least `left` more.
    #[must_use]
    pub fn lives(&self, left: Duration) -> bool {
        let left = u64::try_from(left.as_millis()).unwrap_or(u64::MAX);
        let now = now_ms();
        self.expires.0 > now.saturating_add(left) && self.expires.0 <= now.saturating_add(PASS_LIFE_MS_MAX)
    }
}

impl Signed for ReadPass {
    fn signer(&self) -> PublicKey {
        self.key
    }

    fn signature(&self) -> Signature {
        self.signature
    }

    fn signing_bytes(&self) -> Vec<u8> {
        let mut bytes = DOMAIN.to_vec();
        borsh::to_writer(&mut bytes, &(self.chain, self.key, self.expires))
            .expect("encoding into memory cannot fail");
        bytes
    }
}

impl fmt::Debug for ReadPass {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "ReadPass({:?} until {}, hidden)", self.key, self.expires)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hansa_ledger_signature::{SignatureError, verify_bytes};

    fn verdict(pass: &ReadPass) -> Result<(), SignatureError> {
        verify_bytes(&pass.signer(), &pass.signing_bytes(), &pass.signature())
    }

    #[test]
    fn a_pass_has_one_text_covers_every_term_and_shows_nothing_of_itself() {
        let (key, chain) = (SecretKey::from_bytes([7; 32]), ChainId([1; 32]));
        let pass = ReadPass::make(&key, chain, PASS_LIFE);
        let text = pass.to_bearer();
        assert_eq!(ReadPass::from_bearer(&text), Ok(pass.clone()));
        assert_eq!(verdict(&pass), Ok(()));
        assert!(pass.lives(Duration::ZERO) && !pass.lives(PASS_LIFE));
        assert!(!ReadPass::make(&key, chain, PASS_LIFE * 2).lives(Duration::ZERO), "it would live too long");
        let other = SecretKey::from_bytes([8; 32]).public_key();
        for changed in [
            ReadPass { chain: ChainId([2; 32]), ..pass.clone() },
            ReadPass { key: other, ..pass.clone() },
            ReadPass { expires: pass.expires.plus(1), ..pass.clone() },
        ] {
            assert_eq!(verdict(&changed), Err(SignatureError::Mismatch), "{changed:?}");
        }
        let shown = format!("{pass:?}");
        assert!(!shown.contains(&hex::encode(pass.signature.0)[..8]), "{shown}");
        for broken in ["", "00", "zz", &text.to_uppercase(), &format!("{}00", &*text), &text[2..]] {
            assert_eq!(ReadPass::from_bearer(broken), Err(NoPass), "{broken}");
        }
    }
}
