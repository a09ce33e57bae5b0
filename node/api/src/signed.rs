//! Requests that are signed: who asks for a blob, for this federation, this path and a few minutes only.

use borsh::{BorshDeserialize, BorshSerialize};
use hansa_ledger::id::{BlobHash, ChainId};
use hansa_ledger::time::TimeMs;
use hansa_ledger_signature::{PublicKey, SecretKey, Signature, SignatureError, verify_bytes};

/// The header that names the key.
pub const KEY_HEADER: &str = "x-hansa-key";
/// The header that says until when the request holds, in milliseconds since 1970.
pub const EXPIRES_HEADER: &str = "x-hansa-expires-ms";
/// The header with the signature.
pub const SIGNATURE_HEADER: &str = "x-hansa-signature";

/// The longest a signed request may live, in milliseconds.
pub const LIFE_MS_MAX: u64 = 5 * 60 * 1_000;

/// What is signed first, so that a signature over a request is never one over anything else.
const DOMAIN: &[u8] = b"hansa/request/1\0";

/// What the signature covers.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct RequestTerms {
    /// The federation.
    pub chain: ChainId,
    /// The HTTP method, in capitals.
    pub method: String,
    /// The path, from `/v1` on.
    pub path: String,
    /// The hash of the body; of nothing where there is none.
    pub body: BlobHash,
    /// Until when the request holds.
    pub expires: TimeMs,
}

impl RequestTerms {
    /// The canonical bytes a signature covers.
    #[must_use]
    pub fn signing_bytes(&self) -> Vec<u8> {
        let mut bytes = DOMAIN.to_vec();
        borsh::to_writer(&mut bytes, self).expect("encoding into memory cannot fail");
        bytes
    }

    /// Signs the request: the three headers, name and value.
    #[must_use]
    pub fn sign(&self, key: &SecretKey) -> [(&'static str, String); 3] {
        [
            (KEY_HEADER, key.public_key().to_string()),
            (EXPIRES_HEADER, self.expires.0.to_string()),
            (SIGNATURE_HEADER, key.sign(&self.signing_bytes()).to_string()),
        ]
    }

    /// Checks the signature; the expiry is for the caller to compare with a clock.
    ///
    /// # Errors
    /// When the signature is not the key's, or is over something else.
    pub fn verify(&self, key: &PublicKey, signature: &Signature) -> Result<(), SignatureError> {
        verify_bytes(key, &self.signing_bytes(), signature)
    }
}

/// The hash of a request without a body.
#[must_use]
pub fn empty_body() -> BlobHash {
    BlobHash(*blake3::hash(b"").as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_term_is_covered() {
        let key = SecretKey::from_bytes([7; 32]);
        let terms = RequestTerms {
            chain: ChainId([1; 32]),
            method: "PUT".to_owned(),
            path: "/v1/blobs/00".to_owned(),
            body: empty_body(),
            expires: TimeMs(1_000),
        };
        let [_, _, (_, signature)] = terms.sign(&key);
        let signature: Signature = signature.parse().unwrap();
        assert_eq!(terms.verify(&key.public_key(), &signature), Ok(()));
        for changed in [
            RequestTerms { chain: ChainId([2; 32]), ..terms.clone() },
            RequestTerms { method: "GET".to_owned(), ..terms.clone() },
            RequestTerms { path: "/v1/blobs/01".to_owned(), ..terms.clone() },
            RequestTerms { body: BlobHash([0; 32]), ..terms.clone() },
            RequestTerms { expires: TimeMs(1_001), ..terms.clone() },
        ] {
            assert_eq!(
                changed.verify(&key.public_key(), &signature),
                Err(SignatureError::Mismatch),
                "{changed:?}"
            );
        }
    }
}
