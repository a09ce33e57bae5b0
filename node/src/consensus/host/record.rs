//! The record kept beside an undecided body: enough to tell the engine of it again and to stream it again unchanged.

use crate::consensus::application::Id;
use crate::consensus::context::{Address, BlockId, Height, LedgerContext};
use crate::consensus::parts::{Fin, Init, Streamed};
use borsh::{BorshDeserialize, BorshSerialize};
use bytes::Bytes;
use hansa_ledger_signature::{PublicKey, Signature};
use malachitebft_core_consensus::ProposedValue;
use malachitebft_core_types::{Round, Validity};

/// The version of the record on disk.
const VERSION: u8 = 1;

#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(super) struct Record {
    version: u8,
    pub(super) height: u64,
    pub(super) round: Round,
    pub(super) pol_round: Round,
    pub(super) proposer: PublicKey,
    pub(super) id: Id,
    pub(super) valid: bool,
    /// The proposer's signature over the stream; none for a block that came with its certificate.
    pub(super) signature: Option<Signature>,
}

impl Record {
    pub(super) fn new(value: &ProposedValue<LedgerContext>, signature: Option<Signature>) -> Self {
        Self {
            version: VERSION,
            height: value.height.0,
            round: value.round,
            pol_round: value.valid_round,
            proposer: value.proposer.0,
            id: value.value.0,
            valid: value.validity.is_valid(),
            signature,
        }
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        borsh::to_vec(self).expect("writing to memory cannot fail")
    }

    /// Reads a record; one of another version counts as absent, and its block is asked for again.
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        borsh::from_slice::<Self>(bytes).ok().filter(|record| record.version == VERSION)
    }

    pub(super) fn proposed_value(&self) -> ProposedValue<LedgerContext> {
        ProposedValue {
            height: Height(self.height),
            round: self.round,
            valid_round: self.pol_round,
            proposer: Address(self.proposer),
            value: BlockId(self.id),
            validity: Validity::from_bool(self.valid),
        }
    }

    /// The stream as the proposer first sent it, if its signature was kept.
    pub(super) fn streamed(&self, body: Bytes) -> Option<Streamed> {
        let init = Init {
            height: self.height,
            round: self.round,
            pol_round: self.pol_round,
            proposer: self.proposer,
        };
        self.signature.map(|signature| Streamed { init, fin: Fin { id: self.id, signature }, body })
    }
}
