//! A signed request for one piece of a blob, either way, and what the node answers.

use super::BlobHash;
use super::slice::{PIECE_BYTES_MAX, SLICE_BYTES_MAX};
use borsh::{BorshDeserialize, BorshSerialize};
use hansa_ledger_signature::{PublicKey, SecretKey, Signature, Signed};

/// How far ahead a request may expire, in milliseconds. A stolen request is worth nothing after that.
pub const REQUEST_LIFE_MS_MAX: u64 = 5 * 60 * 1_000;

/// The most bytes of a request frame: one piece with its proof and the signed terms.
pub const CALL_BYTES_MAX: u32 = SLICE_BYTES_MAX + 1_024;

/// The most bytes of an answer frame.
pub const REPLY_BYTES_MAX: u32 = SLICE_BYTES_MAX + 64;

/// What is signed first, so that a signature over a blob request is never one over anything else.
const DOMAIN: &[u8] = b"hansa/blob-request/1";

/// Which way the bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum BlobDirection {
    /// From the node to the requester.
    Get = 1,
    /// From the requester to the node.
    Put = 2,
}

/// What a requester signs.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct BlobTerms {
    /// The federation.
    pub chain_id: [u8; 32],
    /// The network key of the node that is asked: another node cannot be asked with the same bytes.
    pub node: PublicKey,
    /// Which way.
    pub direction: BlobDirection,
    /// BLAKE3 of the whole blob.
    pub hash: BlobHash,
    /// Where the piece starts, in bytes: a multiple of [`PIECE_BYTES_MAX`] for `Put`.
    pub offset: u64,
    /// How long the piece is, in bytes, at most [`PIECE_BYTES_MAX`]; the end of the blob may cut it.
    pub length: u32,
    /// For `Put` the size of the whole blob in bytes; 0 for `Get`.
    pub total: u64,
    /// The lease in whose name this is asked.
    pub lease: [u8; 32],
    /// Who asks.
    pub requester: PublicKey,
    /// When the request stops being good, in milliseconds since 1970.
    pub expires_ms: u64,
}

/// Signed terms.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct BlobRequest {
    /// What is asked.
    pub terms: BlobTerms,
    /// By the requester, over the domain tag and the terms.
    pub signature: Signature,
}

impl BlobRequest {
    /// Signs the terms; the requester named in them becomes the key's owner.
    #[must_use]
    pub fn sign(mut terms: BlobTerms, key: &SecretKey) -> Self {
        terms.requester = key.public_key();
        let signature = key.sign(&signing_bytes(&terms));
        Self { terms, signature }
    }
}

impl Signed for BlobRequest {
    fn signer(&self) -> PublicKey {
        self.terms.requester
    }

    fn signature(&self) -> Signature {
        self.signature
    }

    fn signing_bytes(&self) -> Vec<u8> {
        signing_bytes(&self.terms)
    }
}

fn signing_bytes(terms: &BlobTerms) -> Vec<u8> {
    let mut bytes = DOMAIN.to_vec();
    terms.serialize(&mut bytes).expect("writing to memory does not fail");
    bytes
}

/// One request on the wire.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct BlobCall {
    /// Who asks for what.
    pub request: BlobRequest,
    /// For `Put` the piece with its proof; empty for `Get`. The hash vouches for it, so it is not signed again.
    pub slice: Vec<u8>,
}

/// One answer on the wire.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum BlobReply {
    /// To `Get`: the piece with its proof.
    Piece {
        /// The size of the whole blob in bytes.
        total: u64,
        /// Verified by [`super::slice::verify`] before use.
        slice: Vec<u8>,
    } = 1,
    /// To `Put`: what the node has.
    Stored {
        /// Where the next piece belongs: send on from here.
        next_offset: u64,
        /// Whether the blob is whole and kept.
        complete: bool,
    } = 2,
    /// Neither.
    Refused(BlobRefusal) = 3,
}

/// Why a node does not serve a blob request. The numbers are wire format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, thiserror::Error)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum BlobRefusal {
    /// No such blob here.
    #[error("the node does not have this blob; it may not have been sent yet, or its time is over")]
    NotFound = 1,
    /// The requester has no right to it.
    #[error("this key may not use this blob: only the lease's provider and requester may")]
    NotAllowed = 2,
    /// The request is too old, or would be good for too long.
    #[error("the request has expired or runs too far ahead; compare this machine's clock with the node's")]
    Expired = 3,
    /// The signature does not hold.
    #[error("the request's signature does not match its content and key")]
    BadSignature = 4,
    /// The blob or the piece is over a limit.
    #[error("the blob is larger than the node keeps")]
    TooLarge = 5,
    /// Too many requests at the moment.
    #[error("the node is busy with other transfers; try again shortly")]
    Busy = 6,
    /// The owner's quota is used up.
    #[error(
        "the organisation's storage quota at its node is used up; let old blobs expire or ask the member"
    )]
    QuotaExceeded = 7,
    /// Signed for another federation or another node.
    #[error("the request was signed for another federation or another node")]
    WrongNode = 8,
    /// Offsets, lengths or the piece make no sense.
    #[error("the request or its piece does not fit the blob")]
    Malformed = 9,
    /// The node could not read or write.
    #[error("the node could not read or write its blob store; its operator has to look")]
    StorageFailed = 10,
}

/// Checks all of a call that needs no state: chain, node, lengths, expiry and last, because it costs most, the signature.
///
/// # Errors
/// The refusal to answer with.
pub fn check_call(
    call: &BlobCall,
    chain_id: &[u8; 32],
    node: &PublicKey,
    now_ms: u64,
) -> Result<(), BlobRefusal> {
    let terms = &call.request.terms;
    if terms.chain_id != *chain_id || terms.node != *node {
        return Err(BlobRefusal::WrongNode);
    }
    if terms.expires_ms <= now_ms || terms.expires_ms > now_ms.saturating_add(REQUEST_LIFE_MS_MAX) {
        return Err(BlobRefusal::Expired);
    }
    if terms.length == 0 || terms.length > PIECE_BYTES_MAX {
        return Err(BlobRefusal::TooLarge);
    }
    let shape = match terms.direction {
        BlobDirection::Get => call.slice.is_empty() && terms.total == 0,
        BlobDirection::Put => {
            terms.offset.is_multiple_of(u64::from(PIECE_BYTES_MAX)) && terms.offset <= terms.total
        }
    };
    if !shape {
        return Err(BlobRefusal::Malformed);
    }
    hansa_ledger_signature::verify_bytes(&terms.requester, &signing_bytes(terms), &call.request.signature)
        .map_err(|_| BlobRefusal::BadSignature)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terms(key: &SecretKey) -> BlobTerms {
        BlobTerms {
            chain_id: [1; 32],
            node: key.public_key(),
            direction: BlobDirection::Get,
            hash: [2; 32],
            offset: 0,
            length: 1,
            total: 0,
            lease: [3; 32],
            requester: key.public_key(),
            expires_ms: 1_500,
        }
    }

    fn check(change: impl Fn(&mut BlobTerms), slice: &[u8]) -> Result<(), BlobRefusal> {
        let key = SecretKey::from_bytes([9; 32]);
        let mut terms = terms(&key);
        change(&mut terms);
        let call = BlobCall { request: BlobRequest::sign(terms, &key), slice: slice.to_vec() };
        check_call(&call, &[1; 32], &key.public_key(), 1_000)
    }

    #[test]
    fn calls_are_refused_for_each_reason_and_else_taken() {
        use BlobRefusal::*;
        assert_eq!(check(|_| (), &[]), Ok(()));
        assert_eq!(check(|terms| terms.chain_id = [0; 32], &[]), Err(WrongNode));
        assert_eq!(check(|terms| terms.node = PublicKey([0; 32]), &[]), Err(WrongNode));
        assert_eq!(check(|terms| terms.expires_ms = 1_000, &[]), Err(Expired));
        assert_eq!(check(|terms| terms.expires_ms = 1_001 + REQUEST_LIFE_MS_MAX, &[]), Err(Expired));
        assert_eq!(check(|terms| terms.length = 0, &[]), Err(TooLarge));
        assert_eq!(check(|terms| terms.length = PIECE_BYTES_MAX + 1, &[]), Err(TooLarge));
        assert_eq!(check(|_| (), &[0]), Err(Malformed));
        let put = |offset, total| {
            check(
                move |terms: &mut BlobTerms| {
                    terms.direction = BlobDirection::Put;
                    terms.offset = offset;
                    terms.total = total;
                },
                &[0],
            )
        };
        assert_eq!(put(0, 5), Ok(()));
        assert_eq!(put(5, 5), Err(Malformed));
        assert_eq!(put(u64::from(PIECE_BYTES_MAX), 5), Err(Malformed));
    }

    #[test]
    fn every_signed_field_is_covered() {
        let key = SecretKey::from_bytes([9; 32]);
        let good = BlobRequest::sign(terms(&key), &key);
        let bytes = borsh::to_vec(&good).unwrap();
        for place in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[place] ^= 1;
            let Ok(request) = borsh::from_slice::<BlobRequest>(&changed) else { continue };
            let terms = request.terms.clone();
            let verdict = check_call(
                &BlobCall { request, slice: Vec::new() },
                &terms.chain_id,
                &terms.node,
                terms.expires_ms.saturating_sub(1),
            );
            assert!(verdict.is_err(), "byte {place} can be changed");
        }
    }
}
