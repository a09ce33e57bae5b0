//! The proof that a network key belongs to a member.

use super::CodecError;
use super::frame::codec;
use super::peer::read_peer_id;
use crate::consensus::context::LedgerContext;
use crate::consensus::limits::SMALL_MESSAGE_BYTES_MAX;
use hansa_ledger_signature::Signature;
use malachitebft_core_types::ValidatorProof;

type WireProof = (Vec<u8>, Vec<u8>, Signature);

codec!(
    ValidatorProof<LedgerContext>,
    WireProof,
    SMALL_MESSAGE_BYTES_MAX,
    |proof: &ValidatorProof<LedgerContext>| {
        (proof.public_key.clone(), proof.peer_id.clone(), proof.signature)
    },
    |(public_key, peer_id, signature): WireProof| {
        if public_key.len() != 32 {
            return Err(CodecError::Bounds("a public key has 32 bytes"));
        }
        read_peer_id(&peer_id)?;
        Ok(ValidatorProof::new(public_key, peer_id, signature))
    }
);
