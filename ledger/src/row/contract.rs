//! Contracts on the ledger: their code, their life, and the names that point to them.

use super::{AccountId, ContractState, ContractVoteKind, Principal};
use crate::id::{CodeHash, TariffHash};
use crate::member::MemberCode;
use crate::money::Money;
use crate::name::Name;
use crate::time::TimeMs;
use borsh::{BorshDeserialize, BorshSerialize};
use hansa_contracts_abi::ModuleSummary;
use hansa_ledger_signature::PublicKey;
use serde::{Deserialize, Serialize};

/// The most moments of a contract's life that its row keeps, the first among them; quarantines could else make it grow.
const HISTORY_MAX: usize = 64;

data! {
    /// The module of a contract. It never changes: another module is another contract.
    pub struct ContractCode {
        /// Its bytes.
        #[serde(with = "crate::bytes")]
        pub code: Vec<u8>,
    }

    /// Who uploaded a contract, and whose money is its deposit.
    pub struct Deployer {
        /// An organisation, or the treasury of a member.
        pub principal: Principal,
        /// The key that signed.
        pub key: PublicKey,
        /// The member it belongs to: its approval alone activates nothing.
        pub home: MemberCode,
        /// Where the deposit came from, and returns to.
        pub purse: AccountId,
    }

    /// What is in a module: a function of its bytes.
    pub struct ContractSummary {
        /// Size of the module.
        pub bytes: u32,
        /// Functions in it.
        pub functions: u32,
        /// Pages of 64 KiB that its memory may have.
        pub memory_pages: u32,
        /// Whether it decides itself who may have a lease.
        pub has_admit: bool,
        /// The name it gives itself.
        pub name: String,
        /// The version it gives itself.
        pub version: String,
        /// The hash of its plain-language tariff.
        pub tariff: TariffHash,
    }

    /// A member's vote on a contract. It counts for as long as a vote on a proposal may last.
    pub struct ContractVote {
        /// Who.
        pub member: MemberCode,
        /// For what.
        pub kind: ContractVoteKind,
        /// When.
        pub at: TimeMs,
    }

    /// A state of a contract and when it began.
    pub struct ContractMoment {
        /// The state.
        pub state: ContractState,
        /// When.
        pub at: TimeMs,
    }

    /// A contract: who brought it, what became of it, and what rests on it. Its code stands in a table of its own.
    pub struct Contract {
        /// What it is called.
        pub name: Name,
        /// Who uploaded it; none where it stood in the genesis.
        pub deployer: Option<Deployer>,
        /// Where it stands.
        pub state: ContractState,
        /// While it is quarantined: where it would stand without that, and where it returns to.
        pub quarantined_from: Option<ContractState>,
        /// Why it is quarantined.
        pub reason: Option<String>,
        /// What is in it; of those of the genesis from the first block on.
        pub summary: Option<ContractSummary>,
        /// When it was uploaded.
        pub uploaded_at: TimeMs,
        /// Until when it may be approved.
        pub approve_until: TimeMs,
        /// Members that have approved it, by code.
        pub approvals: Vec<MemberCode>,
        /// From when on it may be used, once enough have approved.
        pub active_from: Option<TimeMs>,
        /// Until when new leases may use it; one of the genesis has no end.
        pub expires_at: Option<TimeMs>,
        /// What is held for its bytes.
        pub deposit: Money,
        /// Leases that are not settled and name it.
        pub leases: u64,
        /// Open offers that name it.
        pub offers: u64,
        /// When the last window ends in which a settlement by it may still be objected to.
        pub free_from: TimeMs,
        /// Leases that it, or the signed fallback in its place, has settled.
        pub settlements: u64,
        /// Settlements at which it failed, so that the signed fallback decided.
        pub failures: u64,
        /// Votes that have not decided anything yet.
        pub votes: Vec<ContractVote>,
        /// Where it stood, and since when.
        pub history: Vec<ContractMoment>,
    }

    /// A re-pointing that waits for its time.
    pub struct AliasChange {
        /// To which contract.
        pub code: CodeHash,
        /// When.
        pub due: TimeMs,
    }

    /// A member's vote for where an alias is to point.
    pub struct AliasVote {
        /// Who.
        pub member: MemberCode,
        /// To which contract.
        pub code: CodeHash,
        /// When.
        pub at: TimeMs,
    }

    /// A name that points to a contract. Nothing that is signed holds one: leases and offers name the hash.
    pub struct ContractAlias {
        /// Where it points; none before the first time.
        pub code: Option<CodeHash>,
        /// Where it will point.
        pub pending: Option<AliasChange>,
        /// Votes that have not decided anything yet.
        pub votes: Vec<AliasVote>,
        /// When the last of them counts no more.
        pub lapses_at: Option<TimeMs>,
    }
}

impl From<ModuleSummary> for ContractSummary {
    fn from(summary: ModuleSummary) -> Self {
        let ModuleSummary { bytes, functions, memory_pages, has_admit, name, version, tariff_hash } = summary;
        Self { bytes, functions, memory_pages, has_admit, name, version, tariff: TariffHash(tariff_hash) }
    }
}

impl Contract {
    /// A contract that enters the ledger at `at`.
    #[must_use]
    pub fn new(name: Name, at: TimeMs) -> Self {
        let mut row = Self {
            name,
            deployer: None,
            state: ContractState::Uploaded,
            quarantined_from: None,
            reason: None,
            summary: None,
            uploaded_at: at,
            approve_until: at,
            approvals: Vec::new(),
            active_from: None,
            expires_at: None,
            deposit: Money::ZERO,
            leases: 0,
            offers: 0,
            free_from: at,
            settlements: 0,
            failures: 0,
            votes: Vec::new(),
            history: Vec::new(),
        };
        row.enter(ContractState::Uploaded, at);
        row
    }

    /// A contract of the genesis: there from the beginning, and until the members deprecate it.
    #[must_use]
    pub fn of_genesis(name: Name, at: TimeMs) -> Self {
        let mut row = Self::new(name, at);
        row.active_from = Some(at);
        row.enter(ContractState::Active, at);
        row
    }

    /// Where it stands, a quarantine aside.
    #[must_use]
    pub fn standing(&self) -> ContractState {
        self.quarantined_from.unwrap_or(self.state)
    }

    /// Whether new offers and leases may name it.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.state == ContractState::Active
    }

    /// Whether a settlement or an offer may call it, or could after a quarantine: an engine has to have it loaded.
    #[must_use]
    pub fn may_run(&self) -> bool {
        matches!(self.standing(), ContractState::Active | ContractState::Deprecated)
    }

    /// Whether it decides itself who may have a lease; so long as nobody has looked, it may.
    #[must_use]
    pub fn has_admit(&self) -> bool {
        self.summary.as_ref().is_none_or(|summary| summary.has_admit)
    }

    /// When it goes on by itself.
    #[must_use]
    pub fn due(&self) -> Option<TimeMs> {
        match self.standing() {
            ContractState::Validated => Some(self.approve_until),
            ContractState::Approved => self.active_from,
            ContractState::Active => self.expires_at,
            ContractState::Deprecated if self.leases == 0 => Some(self.free_from),
            _ => None,
        }
    }

    /// Puts it into a state and remembers when.
    pub(crate) fn enter(&mut self, state: ContractState, at: TimeMs) {
        self.state = state;
        while self.history.len() >= HISTORY_MAX {
            // The first stays: when it came.
            self.history.remove(1);
        }
        self.history.push(ContractMoment { state, at });
    }
}

impl ContractAlias {
    /// When it goes on by itself.
    #[must_use]
    pub fn due(&self) -> Option<TimeMs> {
        self.pending.as_ref().map(|change| change.due).or(self.lapses_at)
    }
}
