use ed25519_dalek::Signer as _;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

fixed_bytes!(
    /// An Ed25519 public key: 32 bytes, hexadecimal in text.
    PublicKey,
    32
);

fixed_bytes!(
    /// An Ed25519 signature: 64 bytes, hexadecimal in text.
    Signature,
    64
);

/// A secret key. It is wiped when dropped and shows nothing of itself in logs.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct SecretKey([u8; 32]);

impl SecretKey {
    /// Makes a new key from the operating system's random source.
    #[must_use]
    pub fn generate() -> Self {
        use rand_core::RngCore as _;
        let mut bytes = [0u8; 32];
        rand_core::OsRng.fill_bytes(&mut bytes);
        Self(bytes)
    }

    /// Takes the 32 secret bytes of a key file.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The secret bytes, for writing an encrypted key file and for nothing else.
    #[must_use]
    pub fn to_bytes(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.0)
    }

    /// The key that others check signatures with.
    #[must_use]
    pub fn public_key(&self) -> PublicKey {
        PublicKey(ed25519_dalek::SigningKey::from_bytes(&self.0).verifying_key().to_bytes())
    }

    /// Signs `message`. Signing is deterministic: the same key and message give the same signature.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> Signature {
        Signature(ed25519_dalek::SigningKey::from_bytes(&self.0).sign(message).to_bytes())
    }
}

impl std::fmt::Debug for SecretKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("SecretKey(hidden)")
    }
}

impl PublicKey {
    /// Whether the key is of small order or not in its one canonical encoding. Such keys are refused at registration: a
    /// signature under them can hold for every message.
    #[must_use]
    pub fn is_weak(&self) -> bool {
        match ed25519_dalek::VerifyingKey::from_bytes(&self.0) {
            Ok(key) => key.is_weak() || key.to_bytes() != self.0 || !canonical(&self.0),
            Err(_) => true,
        }
    }
}

/// Whether the y coordinate is below the field's prime 2^255 - 19.
fn canonical(bytes: &[u8; 32]) -> bool {
    let high = bytes[31] & 0x7f;
    !(high == 0x7f && bytes[1..31].iter().all(|byte| *byte == 0xff) && bytes[0] >= 0xed)
}
