//! The closed sets of cases that rows are made of.

use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};

cases! {
    /// What kind of legal person an organisation is.
    pub enum OrganisationClass {
        /// Founded within the registrar's limit of years, and small.
        StartUp,
        /// Small or medium enterprise.
        Sme,
        /// Larger company.
        Large,
        /// University or research organisation.
        Research,
        /// Public body.
        Public,
    }

    /// Where an organisation stands.
    pub enum Standing {
        /// May act.
        Accredited,
        /// Its time ran out.
        Expired,
        /// Its registrar took the accreditation back.
        Revoked,
    }

    /// What a grant may be spent on.
    pub enum Purpose {
        /// Innovation by start-ups and small firms.
        Innovation,
        /// Research.
        Research,
        /// Public services.
        PublicService,
        /// Industrial use, which no grant pays unless it names it.
        Industrial,
    }

    /// An office of a member state, each with keys of its own.
    pub enum Office {
        /// Accredits organisations and sites.
        Registrar,
        /// Issues grants and attests deposits.
        Treasury,
        /// Votes on proposals, and manages the keys of the member's offices and of its node.
        Governance,
    }

    /// Whose pool a site's capacity belongs to.
    pub enum Pool {
        /// Public money.
        Public,
        /// Private money.
        Private,
    }

    /// Where an offer stands.
    pub enum OfferState {
        /// In the book.
        Open,
        /// Taken back by the provider; its leases go on.
        Withdrawn,
    }

    /// Where a request stands.
    pub enum RequestState {
        /// In the book.
        Open,
        /// Matched.
        Awarded,
        /// Taken back by the requester.
        Cancelled,
        /// Its window passed without a match.
        Expired,
        /// Closed since the organisation lost its accreditation.
        Revoked,
    }

    /// Where a lease stands.
    pub enum LeaseState {
        /// Matched; capacity and money are held.
        Awarded,
        /// The provider has begun it.
        Active,
        /// Its time is over; the final usage is awaited or may be contested.
        Ended,
        /// Paid and closed.
        Settled,
    }

    /// Why a lease was settled.
    pub enum Closing {
        /// Final usage, countersigned or uncontested.
        Final,
        /// No final usage came in time.
        Expired,
        /// The requester cancelled it.
        CancelledByRequester,
        /// The provider gave it up.
        CancelledByProvider,
        /// The provider never began it.
        NoShow,
        /// Contested usage, divided as signed.
        Ruling,
    }

    /// Who opened a dispute.
    pub enum Disputant {
        /// Who uses the capacity.
        Requester,
        /// Who delivered it.
        Provider,
        /// The member whose grant pays.
        Sponsor,
    }

    /// Where a job stands.
    pub enum JobState {
        /// On the ledger, awaited by the provider.
        Submitted,
        /// Ended with exit code 0 and its outputs returned.
        Succeeded,
        /// Ended otherwise.
        Failed,
    }

    /// Why a job failed, where its exit code does not say it.
    pub enum JobFailure {
        /// Its manifest or an input could not be had.
        InputMissing,
        /// Its manifest or an input is not what it should be: another hash or size, or too large.
        InputInvalid,
        /// It could not be started.
        NotStarted,
        /// It was still running at the end of its time.
        TimeExceeded,
        /// It went over a limit of memory, disk, processes or processor time.
        LimitExceeded,
        /// It died of a signal.
        Signalled,
        /// It was stopped since the lease ended.
        LeaseEnded,
        /// The provider's agent was stopped, or started again, while it ran.
        AgentStopped,
        /// It exited with 0 and did not leave the outputs it promised.
        OutputMissing,
    }

    /// Where a proposal stands.
    pub enum ProposalState {
        /// The members vote.
        Open,
        /// More than two thirds approved; it waits for its time.
        Passed,
        /// So many refused that it can no longer pass.
        Rejected,
        /// The vote ended without a decision.
        Lapsed,
        /// Carried out.
        Activated,
        /// It passed, and could not be carried out when its time came.
        Failed,
    }

    /// What a deadline does when it is due. The order is the order within one millisecond.
    pub enum DeadlineKind {
        /// Settle a lease whose challenge window has passed.
        LeaseChallenge,
        /// Settle a lease whose report window has passed.
        LeaseReport,
        /// End a lease.
        LeaseEnd,
        /// Close a lease that the provider did not begin.
        LeaseStart,
        /// Close a request whose window has passed.
        RequestExpiry,
        /// Return a grant to its budget line.
        GrantExpiry,
        /// End an accreditation.
        OrganisationExpiry,
        /// Clear a class.
        Batch,
        /// Pay or divide what was held back of a provider's pay.
        Holdback,
        /// End an outage.
        OutageEnd,
        /// Let an office's order lapse.
        OrderLapse,
        /// End the vote on a proposal.
        ProposalLapse,
        /// Carry a proposal out that has passed; runs before everything else in a block.
        ProposalActivation,
        /// Take a contract to the next state of its life.
        Contract,
        /// Point an alias to another contract, or forget votes that decided nothing.
        ContractAlias,
        /// Settle a disputed lease as signed, since its panel has not ruled in time.
        Dispute,
    }

    /// Where a contract stands.
    pub enum ContractState {
        /// Its bytes are on the ledger.
        Uploaded,
        /// They are a module that may run.
        Validated,
        /// Enough members have approved it; it waits for its time.
        Approved,
        /// New offers and leases may name it.
        Active,
        /// No new ones may; its leases go on.
        Deprecated,
        /// Nothing rests on it any more, and its deposit has returned.
        Archived,
        /// The members have stopped it: no new offers and leases, and its leases are settled by the rule both parties signed.
        Quarantined,
    }

    /// What members vote on about a contract, once it is approved.
    pub enum ContractVoteKind {
        /// To end it.
        Deprecate,
        /// To stop it.
        Quarantine,
        /// To let it run again.
        Resume,
    }
}

impl Office {
    /// Every office.
    pub const ALL: [Self; 3] = [Self::Registrar, Self::Treasury, Self::Governance];

    /// Its name, as people and JSON write it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Registrar => "registrar",
            Self::Treasury => "treasury",
            Self::Governance => "governance",
        }
    }
}

impl std::fmt::Display for Office {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.name())
    }
}

impl std::str::FromStr for Office {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let office = Self::ALL.into_iter().find(|office| office.name() == text);
        office.ok_or_else(|| format!("`{text}` is no office; choose registrar, treasury or governance"))
    }
}
