//! The life of contracts: how code comes onto the ledger, who lets it run, who stops it, and how it leaves again.
//!
//! Code is uploaded by an accredited key, approved by several members, and active once a timelock has passed. It never changes,
//! and an award fixes its hash in the lease, so nothing that happens to a contract or an alias changes what was signed. Who
//! stops a contract can only stop it: its leases are settled by the rule both parties signed.

mod alias;

use crate::action::{BlockInHand, FuelUse};
use crate::event::Event;
use crate::id::{CodeHash, LeaseId};
use crate::member::MemberCode;
use crate::money::Money;
use crate::name::Name;
use crate::rejection::Rejection;
use crate::row::{
    AccountId, Contract, ContractCode, ContractState, ContractVote, ContractVoteKind, Deadline, DeadlineKind,
    Deployer, Lease, Principal,
};
use crate::state::State;
use crate::tables::{ContractCodes, Contracts, Deadlines};
use hansa_contracts_abi::{Failure, ModuleRefusal};

/// Fuel that a block is charged for each byte of a module that it validates or loads.
pub const FUEL_PER_MODULE_BYTE: u64 = 40;

/// The contracts that an engine must have loaded to execute the next block: name, hash and code, by hash.
pub fn runnable(state: &State) -> impl Iterator<Item = (&Name, &CodeHash, &[u8])> {
    state.rows::<Contracts>().filter(|(_, row)| row.may_run()).filter_map(|(hash, row)| {
        state.get::<ContractCodes>(hash).map(|code| (&row.name, hash, code.code.as_slice()))
    })
}

/// How many of `members` it takes where the parameters ask for `needed`: in a federation of fewer, all of them.
#[must_use]
pub fn quorum(needed: u8, members: usize) -> usize {
    usize::from(needed).min(members).max(1)
}

fn deadline(code: &CodeHash, row: &Contract) -> Option<Deadline> {
    row.due().map(|due| Deadline { due, kind: DeadlineKind::Contract, subject: code.0 })
}

fn counted(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

impl BlockInHand<'_> {
    /// The contract of this hash.
    pub(crate) fn contract(&self, code: &CodeHash) -> Result<Contract, Rejection> {
        self.view.get::<Contracts>(code).cloned().ok_or(Rejection::ContractUnknown)
    }

    /// Refuses a contract that new offers and leases may not name.
    pub(crate) fn active_contract(&self, code: &CodeHash) -> Result<Contract, Rejection> {
        let row = self.contract(code)?;
        if row.is_active() { Ok(row) } else { Err(Rejection::ContractInactive) }
    }

    /// Keeps a contract's row, and the deadline that follows from it.
    pub(crate) fn put_contract(&mut self, code: CodeHash, row: Contract) {
        let before = self.view.get::<Contracts>(&code).and_then(|before| deadline(&code, before));
        let after = deadline(&code, &row);
        self.move_contract_deadline(before, after);
        self.view.put::<Contracts>(code, row);
    }

    fn move_contract_deadline(&mut self, before: Option<Deadline>, after: Option<Deadline>) {
        if before == after {
            return;
        }
        if let Some(before) = before.filter(|one| self.view.get::<Deadlines>(one).is_some()) {
            self.view.remove::<Deadlines>(&before);
        }
        if let Some(after) = after {
            self.view.put::<Deadlines>(after, ());
        }
    }

    /// Takes the fuel that a module of so many bytes costs to validate or to load.
    fn charge_module(&mut self, bytes: usize, fuel_use: FuelUse) -> Result<(), Rejection> {
        let fuel = u64::try_from(bytes).unwrap_or(u64::MAX).saturating_mul(FUEL_PER_MODULE_BYTE);
        if fuel > self.fuel_for(fuel_use) {
            return Err(Rejection::FuelExhausted);
        }
        self.burn_fuel(fuel_use, fuel);
        Ok(())
    }

    /// Takes code onto the ledger against a deposit for its bytes. What is no module that may run leaves nothing but an event
    /// that names the rule and the byte: a rejection could not carry them.
    pub(crate) fn upload_contract(
        &mut self,
        name: &Name,
        code: &[u8],
        deployer: Deployer,
    ) -> Result<(), Rejection> {
        let hash = CodeHash(*blake3::hash(code).as_bytes());
        let before = self.view.get::<Contracts>(&hash).cloned();
        if before.as_ref().is_some_and(|row| row.state != ContractState::Archived) {
            return Err(Rejection::ContractExists);
        }
        let waits = |row: &Contract| {
            row.standing() == ContractState::Validated
                && row.deployer.as_ref().is_some_and(|other| other.principal == deployer.principal)
        };
        let waiting = self.view.range::<Contracts>(..).filter(|(_, row)| waits(row)).count();
        if waiting >= self.params.contract_uploads_max as usize {
            return Err(Rejection::TooManyUploads);
        }
        let bytes = u64::try_from(code.len()).unwrap_or(u64::MAX);
        let deposit = bytes.checked_mul(self.params.contract_deposit_byte).map(Money);
        let deposit = deposit.ok_or(Rejection::Overflow)?;
        if self.balance(&deployer.purse) < deposit {
            return Err(Rejection::FundsInsufficient);
        }
        // No number of uploads delays a settlement that closes a lease.
        self.charge_module(code.len(), FuelUse::Other)?;
        let principal = deployer.principal;
        let summary = match self.runtime.validate(code) {
            Ok(summary) => summary,
            Err(ModuleRefusal { rule, offset }) => {
                self.emit(Event::ContractRefused { code: hash, deployer: principal, rule, offset });
                return Ok(());
            }
        };
        self.transfer(&deployer.purse, AccountId::Deposit(hash), deployer.home, deposit)?;
        let mut row = Contract::new(name.clone(), self.now);
        if let Some(before) = before {
            // It comes back: what it did before stays on its record.
            row.settlements = before.settlements;
            row.failures = before.failures;
            row.offers = before.offers;
            row.free_from = before.free_from.max(self.now);
            row.history = [before.history, row.history].concat();
        }
        row.deployer = Some(deployer);
        row.summary = Some(summary.into());
        row.approve_until = self.now.plus(self.params.contract_approval_ms);
        row.deposit = deposit;
        row.enter(ContractState::Validated, self.now);
        self.view.put::<ContractCodes>(hash, ContractCode { code: code.to_vec() });
        self.put_contract(hash, row);
        self.emit(Event::ContractUploaded { code: hash, name: name.clone(), deployer: principal, deposit });
        Ok(())
    }

    /// A member's approval. With enough of them the timelock begins.
    pub(crate) fn approve_contract(&mut self, code: CodeHash, member: MemberCode) -> Result<(), Rejection> {
        let mut row = self.contract(&code)?;
        // The lapse may still wait for its turn among many deadlines.
        if row.state != ContractState::Validated || row.approve_until <= self.now {
            return Err(Rejection::ContractStateWrong);
        }
        let own =
            |deployer: &Deployer| matches!(deployer.principal, Principal::Office(own, _) if own == member);
        if row.deployer.as_ref().is_some_and(own) {
            return Err(Rejection::ContractOwnApproval);
        }
        match row.approvals.binary_search(&member) {
            Ok(_) => return Err(Rejection::VoteGiven),
            Err(place) => row.approvals.insert(place, member),
        }
        let voters = self.voters();
        let approvals = row.approvals.iter().filter(|one| voters.contains(one)).count();
        // At least two by its bounds: the deployer's home never decides alone.
        let needed = quorum(self.params.contract_approvals, voters.len());
        self.emit(Event::ContractApproved {
            code,
            member,
            approvals: counted(approvals),
            needed: counted(needed),
        });
        if approvals >= needed {
            row.active_from = Some(self.now.plus(self.params.contract_timelock_ms));
            row.enter(ContractState::Approved, self.now);
            self.emit(Event::ContractMoved { code, state: ContractState::Approved, reason: None });
        }
        self.put_contract(code, row);
        Ok(())
    }

    /// A member's vote to end, stop or resume a contract, and what follows once enough have given theirs.
    pub(crate) fn vote_on_contract(
        &mut self,
        code: CodeHash,
        member: MemberCode,
        kind: ContractVoteKind,
        reason: Option<String>,
    ) -> Result<(), Rejection> {
        let mut row = self.contract(&code)?;
        self.check_vote(&row, kind)?;
        let lasting = |vote: &ContractVote| vote.at.plus(self.params.governance_voting_ms) > self.now;
        row.votes.retain(lasting);
        if row.votes.iter().any(|vote| vote.member == member && vote.kind == kind) {
            return Err(Rejection::VoteGiven);
        }
        row.votes.push(ContractVote { member, kind, at: self.now });
        let voters = self.voters();
        let counting = row.votes.iter().filter(|vote| vote.kind == kind && voters.contains(&vote.member));
        let votes = counting.count();
        let params = self.params;
        let needed = match kind {
            ContractVoteKind::Deprecate => params.contract_approvals,
            ContractVoteKind::Quarantine | ContractVoteKind::Resume => params.contract_quarantine_votes,
        };
        let needed = quorum(needed, voters.len());
        self.emit(Event::ContractVoted {
            code,
            member,
            kind,
            votes: counted(votes),
            needed: counted(needed),
        });
        if votes < needed {
            self.put_contract(code, row);
            return Ok(());
        }
        match kind {
            ContractVoteKind::Deprecate => self.end_contract(code, row),
            ContractVoteKind::Quarantine => {
                row.quarantined_from = Some(row.state);
                row.reason = reason;
                self.move_contract(code, row, ContractState::Quarantined);
                Ok(())
            }
            ContractVoteKind::Resume => {
                let state = row.quarantined_from.take().unwrap_or(ContractState::Deprecated);
                row.reason = None;
                self.move_contract(code, row, state);
                Ok(())
            }
        }
    }

    fn check_vote(&self, row: &Contract, kind: ContractVoteKind) -> Result<(), Rejection> {
        use ContractState::{Active, Approved, Deprecated, Quarantined, Validated};
        let fits = match kind {
            ContractVoteKind::Deprecate => matches!(row.standing(), Validated | Approved | Active),
            ContractVoteKind::Quarantine => matches!(row.state, Active | Deprecated),
            ContractVoteKind::Resume => row.state == Quarantined,
        };
        if fits { Ok(()) } else { Err(Rejection::ContractStateWrong) }
    }

    /// Ends a contract: before its time it is withdrawn, and after that no new offer or lease may name it.
    pub(crate) fn end_contract(&mut self, code: CodeHash, row: Contract) -> Result<(), Rejection> {
        match row.standing() {
            ContractState::Validated | ContractState::Approved => self.archive_contract(code, row),
            ContractState::Active => {
                self.deprecate_contract(code, row);
                Ok(())
            }
            _ => Err(Rejection::ContractStateWrong),
        }
    }

    fn deprecate_contract(&mut self, code: CodeHash, mut row: Contract) {
        if row.state == ContractState::Quarantined {
            // It stays stopped; what it returns to has changed.
            row.quarantined_from = Some(ContractState::Deprecated);
            self.put_contract(code, row);
            self.emit(Event::ContractMoved { code, state: ContractState::Deprecated, reason: None });
        } else {
            self.move_contract(code, row, ContractState::Deprecated);
        }
    }

    /// Puts a contract into another state. What waits for capacity is looked at again, for what it can have has changed.
    fn move_contract(&mut self, code: CodeHash, mut row: Contract, state: ContractState) {
        row.votes = Vec::new();
        row.enter(state, self.now);
        let reason = row.reason.clone();
        self.put_contract(code, row);
        self.emit(Event::ContractMoved { code, state, reason });
        self.schedule_all();
    }

    /// New leases may use an active contract for as long again from now on.
    pub(crate) fn renew_contract(&mut self, code: CodeHash, mut row: Contract) -> Result<(), Rejection> {
        if row.standing() != ContractState::Active || row.expires_at.is_none() {
            return Err(Rejection::ContractStateWrong);
        }
        let expires_at = self.now.plus(self.params.contract_life_ms);
        row.expires_at = Some(expires_at);
        self.put_contract(code, row);
        self.emit(Event::ContractRenewed { code, expires_at });
        Ok(())
    }

    /// What a contract does by itself when its time has come.
    pub(crate) fn advance_contract(&mut self, code: CodeHash) -> Result<(), Rejection> {
        let Some(row) = self.view.get::<Contracts>(&code).cloned() else { return Ok(()) };
        if row.due().is_none_or(|due| due > self.now) {
            return Ok(());
        }
        match row.standing() {
            ContractState::Validated | ContractState::Deprecated => self.archive_contract(code, row),
            ContractState::Approved => self.activate_contract(code, row),
            ContractState::Active => {
                self.deprecate_contract(code, row);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Loads the code now, and never later: a call that loaded would cost other fuel than the next one.
    fn activate_contract(&mut self, code: CodeHash, mut row: Contract) -> Result<(), Rejection> {
        let module = self.view.get::<ContractCodes>(&code).cloned().ok_or(Rejection::ContractUnknown)?;
        // Enough members have approved it, so it may draw on all there is: else a large module might never have its turn.
        self.charge_module(module.code.len(), FuelUse::Final)?;
        if self.runtime.load(&module.code) != Ok(code.0) {
            // It was valid when it came: an engine that says otherwise now has other rules, which its profile forbids.
            return self.archive_contract(code, row);
        }
        row.expires_at = Some(self.now.plus(self.params.contract_life_ms));
        self.move_contract(code, row, ContractState::Active);
        Ok(())
    }

    /// Ends the life of a contract that nothing rests on: its deposit returns. The row stays where it was ever active, and the
    /// code where it has settled leases, as evidence like the settlements themselves.
    fn archive_contract(&mut self, code: CodeHash, mut row: Contract) -> Result<(), Rejection> {
        if let Some(deployer) = &row.deployer
            && row.deposit != Money::ZERO
        {
            let (to, home, amount) = (deployer.purse.clone(), deployer.home, row.deposit);
            self.transfer(&AccountId::Deposit(code), to.clone(), home, amount)?;
            self.emit(Event::ContractDepositReturned { code, to, amount });
        }
        let was_active = row.may_run() || row.settlements > 0;
        if row.settlements == 0 {
            self.view.remove::<ContractCodes>(&code);
        }
        row.deposit = Money::ZERO;
        row.quarantined_from = None;
        row.reason = None;
        self.move_contract(code, row, ContractState::Archived);
        if !was_active {
            self.view.remove::<Contracts>(&code);
        }
        Ok(())
    }

    /// A lease that names the contract was awarded.
    pub(crate) fn pin_contract(&mut self, code: &CodeHash) -> Result<(), Rejection> {
        let mut row = self.active_contract(code)?;
        row.leases = row.leases.checked_add(1).ok_or(Rejection::Overflow)?;
        self.put_contract(*code, row);
        Ok(())
    }

    /// A lease that names the contract was settled. It stays on the ledger until nobody can object to that any more.
    pub(crate) fn unpin_contract(
        &mut self,
        id: LeaseId,
        lease: &Lease,
        failure: Option<&Failure>,
    ) -> Result<(), Rejection> {
        let code = lease.agreement.contract;
        let window = self.now.plus(lease.agreement.challenge_window_ms);
        let audit = lease.holdback.as_ref().map(|holdback| holdback.due);
        let row = self.view.edit::<Contracts>(&code).ok_or(Rejection::ContractUnknown)?;
        let before = deadline(&code, row);
        row.leases = row.leases.checked_sub(1).ok_or(Rejection::Overflow)?;
        // A count that is full keeps no money locked.
        row.settlements = row.settlements.saturating_add(1);
        row.free_from = row.free_from.max(window).max(audit.unwrap_or(window));
        // That the members have stopped it is not the contract's own failure.
        let failed = failure.is_some_and(|failure| *failure != Failure::Quarantined);
        row.failures = row.failures.saturating_add(u64::from(failed));
        let (failures, settlements, after) = (row.failures, row.settlements, deadline(&code, row));
        if failed {
            self.emit(Event::ContractFailed { code, lease: id, failures, settlements });
        }
        self.move_contract_deadline(before, after);
        Ok(())
    }

    /// An open offer more, or one fewer, names the contract.
    pub(crate) fn count_offer(&mut self, code: &CodeHash, posted: bool) {
        let Some(mut row) = self.view.get::<Contracts>(code).cloned() else { return };
        row.offers = if posted { row.offers.saturating_add(1) } else { row.offers.saturating_sub(1) };
        self.put_contract(*code, row);
    }

    /// In the first block, looks into the contracts of the genesis, which no engine has seen before.
    pub(crate) fn describe_genesis(&mut self) {
        let fresh: Vec<CodeHash> = self
            .view
            .range::<Contracts>(..)
            .filter(|(_, row)| row.summary.is_none())
            .map(|(hash, _)| *hash)
            .collect();
        for hash in fresh {
            let summary =
                self.view.get::<ContractCodes>(&hash).and_then(|code| self.runtime.validate(&code.code).ok());
            if let (Some(summary), Some(row)) = (summary, self.view.get::<Contracts>(&hash).cloned()) {
                self.view.put::<Contracts>(hash, Contract { summary: Some(summary.into()), ..row });
            }
        }
    }
}
