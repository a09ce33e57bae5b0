//! Proof of possession: the holder of a new key agrees to what it is registered for.
//!
//! A key that stands on the ledger can never be registered again. Without a proof anybody could register a key that is not
//! theirs, and its owner would find it in use.

use crate::id::ChainId;
use crate::rejection::Rejection;
use crate::row::{Principal, data};
use borsh::{BorshDeserialize, BorshSerialize};
use hansa_ledger_signature::{Enclosed, PublicKey, SecretKey, Signature};
use serde::{Deserialize, Serialize};

/// Domain tag of what a proof's signature covers.
const DOMAIN: &[u8] = b"hansa/key-possession/1\0";

data! {
    /// A new key's signature over the federation, the key itself and who it is to act for. It is checked where the
    /// transaction's own signature is, so a [`Verified`](hansa_ledger_signature::Verified) transaction carries only sound ones.
    pub struct Possession {
        /// Who the key is to act for.
        pub principal: Principal,
        /// The new key's signature.
        pub signature: Signature,
    }
}

impl Possession {
    /// Proves that `key` is held by who calls this, for registration in this federation as a key of `principal`.
    #[must_use]
    pub fn prove(chain: ChainId, key: &SecretKey, principal: Principal) -> Self {
        Self { principal, signature: key.sign(&signing_bytes(chain, key.public_key(), principal)) }
    }

    /// The signature to check, as a proof for `key` in this federation.
    #[must_use]
    pub fn enclosed(&self, chain: ChainId, key: PublicKey) -> Enclosed {
        let signing_bytes = signing_bytes(chain, key, self.principal);
        Enclosed { signer: key, signature: self.signature, signing_bytes }
    }

    /// Refuses a proof that was made for anybody else.
    pub(crate) fn names(&self, principal: Principal) -> Result<(), Rejection> {
        if self.principal == principal { Ok(()) } else { Err(Rejection::PossessionElsewhere) }
    }
}

/// Refuses a new key that comes without a proof, or with one that was made for anybody else.
pub(crate) fn demand(proof: Option<&Possession>, principal: Principal) -> Result<(), Rejection> {
    proof.ok_or(Rejection::PossessionMissing)?.names(principal)
}

/// The canonical bytes a proof's signature covers.
fn signing_bytes(chain: ChainId, key: PublicKey, principal: Principal) -> Vec<u8> {
    let mut bytes = DOMAIN.to_vec();
    borsh::to_writer(&mut bytes, &(chain, key, principal)).expect("encoding into memory cannot fail");
    bytes
}
