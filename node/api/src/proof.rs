//! A row of the state with all that shows it is true, or that there is none.

use crate::certificate::{self, CertificateError, Handover};
use borsh::BorshDeserialize;
use hansa_ledger::block::{Header, Validator};
use hansa_ledger::root::{self, Proof};
use hansa_ledger::state::Table;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A row of the state, or its absence, as of one block.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProofInfo {
    /// Name of the table.
    pub table: String,
    /// Number of the table.
    pub table_id: u8,
    /// The row's key: borsh, in hexadecimal.
    #[serde(with = "hansa_ledger::bytes")]
    #[schema(value_type = String)]
    pub key: Vec<u8>,
    /// The row: borsh, in hexadecimal; none if there is none.
    #[serde(with = "hansa_ledger::bytes::option")]
    #[schema(value_type = Option<String>)]
    pub row: Option<Vec<u8>>,
    /// Leads from the row, or its absence, to the state root in the header.
    #[schema(value_type = Object)]
    pub proof: Proof,
    /// The header of the block after which it holds.
    #[schema(value_type = Object)]
    pub header: Header,
    /// The certificate of that block: borsh, in hexadecimal.
    #[serde(with = "hansa_ledger::bytes")]
    #[schema(value_type = String)]
    pub certificate: Vec<u8>,
    /// How the members came to be those that signed the block, from those of the genesis on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub handovers: Vec<Handover>,
}

/// Why a proof shows nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// It is about another row than asked for.
    #[error("the proof is for another row than the one asked for")]
    OtherRow,
    /// The row is no row of the table.
    #[error("the row in the proof cannot be read; this program may be too old for this federation")]
    Row,
    /// The path does not lead to the state root.
    #[error(transparent)]
    Path(#[from] root::ProofError),
    /// The block is not proven.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
}

impl ProofInfo {
    /// Checks that more than two thirds of `validators`, or of members that followed them, signed the block.
    ///
    /// # Errors
    /// Which condition fails.
    pub fn verify_block(&self, validators: &[Validator]) -> Result<(), CertificateError> {
        let signers = certificate::follow(validators, &self.handovers, &self.header)?;
        certificate::verify(&self.header, &self.certificate, &signers)
    }

    /// Checks everything: the block is signed by more than two thirds of `validators`, or of members that followed them, and its state holds this row of table
    /// `T` under `key`. Gives the row, or `None` if its absence is proven.
    ///
    /// # Errors
    /// What the proof fails to show.
    pub fn verify<T: Table>(
        &self,
        key: &T::Key,
        validators: &[Validator],
    ) -> Result<Option<T::Row>, ProofError> {
        let key = borsh::to_vec(key).map_err(|_| ProofError::OtherRow)?;
        if self.table_id != T::ID || self.key != key {
            return Err(ProofError::OtherRow);
        }
        self.verify_block(validators)?;
        let value = self.row.as_deref().map(root::value_hash);
        root::verify(&self.header.state_root, &root::key_hash(T::ID, &key), value.as_ref(), &self.proof)?;
        self.row.as_deref().map(T::Row::try_from_slice).transpose().map_err(|_| ProofError::Row)
    }
}
