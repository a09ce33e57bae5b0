//! Proposals and the votes on them.

use hansa_ledger::id::ProposalId;
use hansa_ledger::row::Proposal;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A proposal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProposalInfo {
    /// Its id.
    #[schema(value_type = String)]
    pub id: ProposalId,
    /// Members that have a vote now.
    pub members: u32,
    /// Its row on the ledger.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    pub row: Proposal,
}
