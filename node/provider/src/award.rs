//! Believe an award only when more than two thirds of the members have signed for it.

use hansa_ledger::block::Validator;
use hansa_ledger::genesis::Genesis;
use hansa_ledger::id::{ChainId, LeaseId, OrganisationId};
use hansa_ledger::params::Params;
use hansa_ledger::row::{Job, JobState, Lease, LeaseState};
use hansa_ledger::tables::{Jobs, Leases};
use hansa_ledger::time::TimeMs;
use hansa_node_api::certificate::genesis_validators;
use hansa_node_api::proof::{ProofError, ProofInfo};

/// How old the block of a proof may be beyond two heartbeats, in milliseconds.
const PROOF_AGE_MS_MAX: u64 = 60_000;

/// The members whose signatures count, pinned by the genesis in the configuration.
#[derive(Clone, Debug)]
pub struct Trust {
    chain: ChainId,
    validators: Vec<Validator>,
    params: Params,
}

/// Why an award or a job is not believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DistrustReason {
    /// The signatures or the path.
    #[error("the proof does not hold: {0}")]
    Proof(#[from] ProofError),
    /// Another federation's.
    #[error("the proof is of another federation")]
    OtherFederation,
    /// An old truth.
    #[error("the proof is of {0}, too long ago to act upon")]
    Stale(TimeMs),
    /// The ledger does not hold it.
    #[error("the members sign that there is no such thing on the ledger")]
    Absent,
    /// Somebody else's.
    #[error("the lease is proven, but to be provided by {0}")]
    OtherProvider(OrganisationId),
    /// Over, or not as the node said.
    #[error("it is proven, but not in a state to act upon")]
    State,
}

impl Trust {
    /// Trusts the members of this genesis.
    #[must_use]
    pub fn new(genesis: &Genesis) -> Self {
        Self {
            chain: genesis.chain_id(),
            validators: genesis_validators(genesis),
            params: genesis.params.clone(),
        }
    }

    /// The federation.
    #[must_use]
    pub fn chain(&self) -> ChainId {
        self.chain
    }

    /// The parameters at the beginning.
    #[must_use]
    pub fn params(&self) -> &Params {
        &self.params
    }

    /// The lease, if the proof shows that it is `provider`'s to deliver and not over.
    ///
    /// # Errors
    /// Why not.
    pub fn check_award(
        &self,
        proof: &ProofInfo,
        lease: &LeaseId,
        provider: &OrganisationId,
        now: TimeMs,
    ) -> Result<Lease, DistrustReason> {
        let row = proof.verify::<Leases>(lease, &self.validators)?;
        self.check_block(proof, now)?;
        let row = row.ok_or(DistrustReason::Absent)?;
        if row.provider != *provider {
            return Err(DistrustReason::OtherProvider(row.provider));
        }
        match row.state {
            LeaseState::Awarded | LeaseState::Active => Ok(row),
            LeaseState::Ended | LeaseState::Settled => Err(DistrustReason::State),
        }
    }

    /// The job, if the proof shows that it awaits the provider.
    ///
    /// # Errors
    /// Why not.
    pub fn check_job(
        &self,
        proof: &ProofInfo,
        lease: &LeaseId,
        job: u32,
        now: TimeMs,
    ) -> Result<Job, DistrustReason> {
        let row = proof.verify::<Jobs>(&(*lease, job), &self.validators)?;
        self.check_block(proof, now)?;
        let row = row.ok_or(DistrustReason::Absent)?;
        if row.state == JobState::Submitted { Ok(row) } else { Err(DistrustReason::State) }
    }

    /// Members may sign for two federations with one key, and a node may show what was true long ago.
    fn check_block(&self, proof: &ProofInfo, now: TimeMs) -> Result<(), DistrustReason> {
        if proof.header.chain != self.chain {
            return Err(DistrustReason::OtherFederation);
        }
        let age_max = self.params.heartbeat_ms.saturating_mul(2).saturating_add(PROOF_AGE_MS_MAX);
        if proof.header.time.plus(age_max) < now {
            return Err(DistrustReason::Stale(proof.header.time));
        }
        Ok(())
    }
}
