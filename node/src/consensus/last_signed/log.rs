//! What the engine's log still holds of this member's own statements, read before the engine opens it.

use super::Statement;
use crate::consensus::codec::LedgerCodec;
use crate::consensus::context::LedgerContext;
use bytes::Bytes;
use hansa_ledger_signature::PublicKey;
use malachitebft_app_channel::app::types::codec::Codec as _;
use malachitebft_core_consensus::SignedConsensusMsg;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

/// A log that is longer is not read to its end, and counts as torn.
const LOG_BYTES_MAX: u64 = 256 << 20;

/// The layout of the engine's log, version 1: version (4 bytes), height (8), then entries of a flag (1), a length (8), a checksum
/// (4) and the data; all numbers big-endian.
const VERSION: u32 = 1;
const ENTRY_HEADER_BYTES: usize = 1 + 8 + 4;

/// The first byte of an entry that holds a vote or proposal; eight bytes of length follow.
const CONSENSUS_TAG: u8 = 1;

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EngineLog {
    /// There is a log with a readable beginning.
    pub present: bool,
    /// The height it is about; 0 before the first.
    pub height: u64,
    /// It ends with a whole entry.
    pub whole: bool,
    /// What this member signed in that height, in the order of the log.
    pub own: Vec<Statement>,
}

/// Reads the log at `path` without changing it.
///
/// # Errors
/// When it is there and cannot be read.
pub fn read_log(path: &Path, own: &PublicKey) -> io::Result<EngineLog> {
    let mut bytes = Vec::new();
    match File::open(path) {
        Ok(file) => file.take(LOG_BYTES_MAX).read_to_end(&mut bytes)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(EngineLog::default()),
        Err(error) => return Err(error),
    };
    Ok(parse_log(&bytes, own))
}

/// What the bytes of a log hold.
#[must_use]
pub fn parse_log(bytes: &[u8], own: &PublicKey) -> EngineLog {
    let mut rest = bytes;
    let (Some(VERSION), Some(height)) = (number(&mut rest).map(u32::from_be_bytes), number(&mut rest)) else {
        return EngineLog::default();
    };
    let mut log =
        EngineLog { present: true, height: u64::from_be_bytes(height), whole: false, own: Vec::new() };
    while let Some(data) = entry(&mut rest) {
        if let Some(statement) = statement(data, own) {
            log.own.push(statement);
        }
    }
    log.whole = rest.is_empty();
    log
}

/// The next whole entry, taken off; nothing at the end or before a torn one.
fn entry<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let header = rest.get(..ENTRY_HEADER_BYTES)?;
    let length = u64::from_be_bytes(*header.get(1..)?.first_chunk::<8>()?);
    let end = usize::try_from(length).ok()?.checked_add(ENTRY_HEADER_BYTES)?;
    let data = rest.get(ENTRY_HEADER_BYTES..end)?;
    *rest = rest.get(end..)?;
    Some(data)
}

/// What an entry says that this member signed.
fn statement(mut data: &[u8], own: &PublicKey) -> Option<Statement> {
    let [CONSENSUS_TAG] = number::<1>(&mut data)? else { return None };
    let length = u64::from_be_bytes(number(&mut data)?);
    let message = Bytes::copy_from_slice(data.get(..usize::try_from(length).ok()?)?);
    let message: SignedConsensusMsg<LedgerContext> = LedgerCodec::default().decode(message).ok()?;
    match message {
        SignedConsensusMsg::Vote(vote) => {
            (vote.message.voter.0 == *own).then(|| Statement::of_vote(&vote.message))
        }
        SignedConsensusMsg::Proposal(proposal) => {
            (proposal.message.proposer.0 == *own).then(|| Statement::of_proposal(&proposal.message))
        }
    }
}

fn number<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (number, after) = rest.split_first_chunk::<N>()?;
    *rest = after;
    Some(*number)
}
