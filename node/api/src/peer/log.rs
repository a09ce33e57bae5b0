//! The next bytes of a job's log, from the provider that runs it to the requester's home node, while it runs.
//!
//! A log on its way is a convenience: the whole of it comes back with the job's outputs, and nothing is paid or decided by it.
//! So the node keeps it within bounds and without promises, and says with every answer where it goes on.

use super::blob::REQUEST_LIFE_MS_MAX;
use borsh::{BorshDeserialize, BorshSerialize};
use hansa_ledger_signature::{PublicKey, SecretKey, Signature, Signed};

/// The most bytes of a log in one call.
pub const LOG_PIECE_BYTES_MAX: usize = 64 * 1024;

/// The most bytes of a request frame: one piece and the signed terms.
pub const LOG_CALL_BYTES_MAX: u32 = LOG_PIECE_BYTES_MAX as u32 + 1_024;

/// The most bytes of an answer frame.
pub const LOG_REPLY_BYTES_MAX: u32 = 64;

/// What is signed first, so that a signature over a piece of a log is never one over anything else.
const DOMAIN: &[u8] = b"hansa/log-request/1";

/// What a provider signs.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct LogTerms {
    /// The federation.
    pub chain_id: [u8; 32],
    /// The network key of the node that is to keep it: another node cannot be given the same bytes.
    pub node: PublicKey,
    /// The lease.
    pub lease: [u8; 32],
    /// The job's number in it.
    pub job: u32,
    /// Where in the log the piece begins, in bytes.
    pub offset: u64,
    /// BLAKE3 of the piece. Unlike a blob's, the bytes of a log prove nothing by themselves.
    pub hash: [u8; 32],
    /// Whether the log ends with this piece.
    pub ended: bool,
    /// Who sends it.
    pub sender: PublicKey,
    /// When the request stops being good, in milliseconds since 1970.
    pub expires_ms: u64,
}

/// One piece on the wire. An empty one asks where the log goes on.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct LogCall {
    /// Who sends what.
    pub terms: LogTerms,
    /// By the sender, over the domain tag and the terms.
    pub signature: Signature,
    /// The piece, at most [`LOG_PIECE_BYTES_MAX`] bytes.
    pub bytes: Vec<u8>,
}

impl LogCall {
    /// Signs the terms for these bytes; sender and hash in them are filled in.
    #[must_use]
    pub fn sign(mut terms: LogTerms, bytes: Vec<u8>, key: &SecretKey) -> Self {
        terms.sender = key.public_key();
        terms.hash = *blake3::hash(&bytes).as_bytes();
        let signature = key.sign(&signing_bytes(&terms));
        Self { terms, signature, bytes }
    }
}

impl Signed for LogCall {
    fn signer(&self) -> PublicKey {
        self.terms.sender
    }

    fn signature(&self) -> Signature {
        self.signature
    }

    fn signing_bytes(&self) -> Vec<u8> {
        signing_bytes(&self.terms)
    }
}

fn signing_bytes(terms: &LogTerms) -> Vec<u8> {
    let mut bytes = DOMAIN.to_vec();
    terms.serialize(&mut bytes).expect("writing to memory does not fail");
    bytes
}

/// What a node holds of a log after a piece has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct LogHeld {
    /// Where the next piece belongs, in bytes. A piece that begins elsewhere was not taken.
    pub next_offset: u64,
    /// Whether more is taken: not after the log's end, nor over what the node keeps.
    pub open: bool,
}

/// One answer on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum LogReply {
    /// What the node holds now.
    Held(LogHeld) = 1,
    /// Why nothing was taken.
    Refused(LogRefusal) = 2,
}

/// Why a node does not take a piece of a log. The numbers are wire format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, thiserror::Error)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum LogRefusal {
    /// Not the provider of that lease, or the lease is settled, or has no such job.
    #[error(
        "this key may not write this log: only the provider may, for a job of a lease that is not settled"
    )]
    NotAllowed = 1,
    /// The requester lives elsewhere.
    #[error("the log belongs to the node of the requester's home member")]
    WrongHome = 2,
    /// The request is too old, or would be good for too long.
    #[error("the request has expired or runs too far ahead; compare this machine's clock with the node's")]
    Expired = 3,
    /// The signature does not hold.
    #[error("the request's signature does not match its content and key")]
    BadSignature = 4,
    /// The piece is over the limit.
    #[error("the piece is larger than {LOG_PIECE_BYTES_MAX} bytes")]
    TooLarge = 5,
    /// Too many requests at the moment.
    #[error("the node is busy; try again shortly")]
    Busy = 6,
    /// Signed for another federation or another node.
    #[error("the request was signed for another federation or another node")]
    WrongNode = 7,
    /// The piece is not the one that was signed for.
    #[error("the piece does not match the hash that was signed")]
    Malformed = 8,
    /// The log has ended, and the piece goes on behind its end.
    #[error("the log has ended already")]
    Ended = 9,
    /// The node cannot keep logs at the moment.
    #[error("the node has no room for logs, or cannot write them")]
    StorageFailed = 10,
}

/// Checks all of a call that needs no state: chain, node, length, hash, expiry and last, because it costs most, the signature.
///
/// # Errors
/// The refusal to answer with.
pub fn check_log_call(
    call: &LogCall,
    chain_id: &[u8; 32],
    node: &PublicKey,
    now_ms: u64,
) -> Result<(), LogRefusal> {
    let terms = &call.terms;
    if terms.chain_id != *chain_id || terms.node != *node {
        return Err(LogRefusal::WrongNode);
    }
    if terms.expires_ms <= now_ms || terms.expires_ms > now_ms.saturating_add(REQUEST_LIFE_MS_MAX) {
        return Err(LogRefusal::Expired);
    }
    if call.bytes.len() > LOG_PIECE_BYTES_MAX {
        return Err(LogRefusal::TooLarge);
    }
    if *blake3::hash(&call.bytes).as_bytes() != terms.hash {
        return Err(LogRefusal::Malformed);
    }
    hansa_ledger_signature::verify_bytes(&terms.sender, &signing_bytes(terms), &call.signature)
        .map_err(|_| LogRefusal::BadSignature)
}

/// A piece to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogPart {
    /// The lease.
    pub lease: [u8; 32],
    /// The job's number in it.
    pub job: u32,
    /// Where in the log it begins, in bytes.
    pub offset: u64,
    /// Whether the log ends with it.
    pub ended: bool,
    /// At most [`LOG_PIECE_BYTES_MAX`] bytes.
    pub bytes: Vec<u8>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terms(key: &SecretKey) -> LogTerms {
        LogTerms {
            chain_id: [1; 32],
            node: key.public_key(),
            lease: [2; 32],
            job: 3,
            offset: 4,
            hash: [0; 32],
            ended: false,
            sender: key.public_key(),
            expires_ms: 1_500,
        }
    }

    fn check(
        terms_change: impl Fn(&mut LogTerms),
        call_change: impl Fn(&mut LogCall),
    ) -> Result<(), LogRefusal> {
        let key = SecretKey::from_bytes([9; 32]);
        let mut terms = terms(&key);
        terms_change(&mut terms);
        let mut call = LogCall::sign(terms, b"loss 0.5\n".to_vec(), &key);
        call_change(&mut call);
        check_log_call(&call, &[1; 32], &key.public_key(), 1_000)
    }

    #[test]
    fn pieces_are_refused_for_each_reason_and_else_taken() {
        use LogRefusal::*;
        let same = |_: &mut LogCall| ();
        assert_eq!(check(|_| (), same), Ok(()));
        assert_eq!(check(|terms| terms.chain_id = [0; 32], same), Err(WrongNode));
        assert_eq!(check(|terms| terms.node = PublicKey([0; 32]), same), Err(WrongNode));
        assert_eq!(check(|terms| terms.expires_ms = 1_000, same), Err(Expired));
        assert_eq!(check(|terms| terms.expires_ms = 1_001 + REQUEST_LIFE_MS_MAX, same), Err(Expired));
        let long = |call: &mut LogCall| call.bytes = vec![0; LOG_PIECE_BYTES_MAX + 1];
        assert_eq!(check(|_| (), long), Err(TooLarge));
        assert_eq!(check(|_| (), |call| call.bytes[0] ^= 1), Err(Malformed));
        let other = SecretKey::from_bytes([8; 32]).public_key();
        assert_eq!(check(|_| (), |call| call.terms.sender = other), Err(BadSignature));
    }

    #[test]
    fn every_signed_field_is_covered() {
        let key = SecretKey::from_bytes([9; 32]);
        let good = LogCall::sign(terms(&key), b"x".to_vec(), &key);
        let bytes = borsh::to_vec(&good).unwrap();
        for place in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[place] ^= 1;
            let Ok(call) = borsh::from_slice::<LogCall>(&changed) else { continue };
            let (chain, node) = (call.terms.chain_id, call.terms.node);
            let verdict = check_log_call(&call, &chain, &node, call.terms.expires_ms.saturating_sub(1));
            assert!(verdict.is_err(), "byte {place} can be changed");
        }
    }

    #[test]
    fn the_largest_frames_fit() {
        let key = SecretKey::from_bytes([9; 32]);
        let call = LogCall::sign(terms(&key), vec![0; LOG_PIECE_BYTES_MAX], &key);
        assert!(borsh::to_vec(&call).unwrap().len() <= LOG_CALL_BYTES_MAX as usize);
        let held = LogReply::Held(LogHeld { next_offset: u64::MAX, open: true });
        assert!(borsh::to_vec(&held).unwrap().len() <= LOG_REPLY_BYTES_MAX as usize);
    }
}
