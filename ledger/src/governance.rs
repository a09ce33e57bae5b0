//! What the members decide together: proposals, votes, and carrying out what has passed.
//!
//! One member, one vote. A proposal passes as soon as more than two thirds of the members approve, fails as soon as that can no
//! longer come about, and lapses when the vote ends. What has passed waits for its time and is carried out before anything else
//! in the first block after it.

mod members;

pub use members::check_node_keys;
pub(crate) use members::enter_offices;

use crate::action::BlockInHand;
use crate::event::Event;
use crate::id::ProposalId;
use crate::member::MemberCode;
use crate::money::Money;
use crate::params::{FIXED_PARAMETERS, ParameterError, Params};
use crate::rejection::Rejection;
use crate::row::{
    Chain, Change, Deadline, DeadlineKind, Member, ParameterValue, Proposal, ProposalState, Upgrade,
};
use crate::tables::{Chains, Deadlines, Members, ParamsTable, Proposals};
use std::collections::BTreeSet;

/// The longest wait after a vote, in milliseconds: a year. What would act later is for a later vote.
pub const ACTIVATE_AFTER_MS_MAX: u64 = 31_536_000_000;

/// Parameters in one proposal.
const PARAMETERS_MAX: usize = 64;

/// Proposals carried out in one block; the next blocks do the others.
const ACTIVATIONS_MAX: usize = 16;

/// What `approvals` and `refusals` of so many `members` decide: passed as soon as more than two thirds approve, rejected as
/// soon as that is impossible, else `None`.
#[must_use]
pub fn decision(members: usize, approvals: usize, refusals: usize) -> Option<ProposalState> {
    let passes = |votes: usize| votes.saturating_mul(3) > members.saturating_mul(2);
    if passes(approvals) {
        Some(ProposalState::Passed)
    } else if passes(members.saturating_sub(refusals)) {
        None
    } else {
        Some(ProposalState::Rejected)
    }
}

/// The least wait after the vote, by the kind of change, in milliseconds.
#[must_use]
pub fn delay_ms_min(change: &Change, params: &Params) -> u64 {
    match change {
        Change::Parameters { .. } => params.governance_delay_ms,
        Change::MemberLimits { .. } => params.limits_delay_ms,
        Change::MemberJoin { .. } | Change::MemberLeave { .. } | Change::MemberKeys { .. } => {
            params.members_delay_ms
        }
        Change::Upgrade { .. } => params.upgrade_delay_ms,
    }
}

/// Refuses a change that no state could accept.
///
/// # Errors
/// The first rule that is broken.
pub fn check_shape(change: &Change) -> Result<(), Rejection> {
    match change {
        Change::Parameters { values } => check_parameters(values),
        Change::MemberJoin { member } => members::check_member(member),
        Change::MemberKeys { consensus_key, network_key, .. } => check_node_keys(consensus_key, network_key),
        Change::MemberLimits { .. } | Change::MemberLeave { .. } | Change::Upgrade { .. } => Ok(()),
    }?;
    if about(change) == Some(MemberCode::EU) { Err(Rejection::JointUndertaking) } else { Ok(()) }
}

fn check_parameters(values: &[ParameterValue]) -> Result<(), Rejection> {
    let names: BTreeSet<&str> = values.iter().map(|value| value.name.as_str()).collect();
    if values.is_empty() || values.len() > PARAMETERS_MAX || names.len() != values.len() {
        return Err(Rejection::ParametersInvalid);
    }
    set_parameters(&mut Params::default(), values)
}

fn set_parameters(params: &mut Params, values: &[ParameterValue]) -> Result<(), Rejection> {
    values.iter().try_for_each(|ParameterValue { name, value }| {
        params.set(name, *value).map_err(|error| match error {
            ParameterError::Unknown(_) => Rejection::ParameterUnknown,
            ParameterError::Fixed(_) => Rejection::ParameterFixed,
            ParameterError::Bounds(_) => Rejection::ParameterBounds,
        })
    })
}

/// The member that a change is about.
fn about(change: &Change) -> Option<MemberCode> {
    match change {
        Change::Parameters { .. } | Change::Upgrade { .. } => None,
        Change::MemberLimits { member, .. }
        | Change::MemberLeave { member }
        | Change::MemberKeys { member, .. } => Some(*member),
        Change::MemberJoin { member } => Some(member.code),
    }
}

/// The rules of the block at `height`, for a chain whose last block is before it.
#[must_use]
pub fn protocol_version_at(chain: &Chain, height: u64) -> u32 {
    match &chain.upgrade {
        Some(upgrade) if upgrade.height <= height => upgrade.protocol_version,
        _ => chain.protocol_version,
    }
}

/// Names of the parameters that no vote changes.
#[must_use]
pub fn is_fixed(name: &str) -> bool {
    FIXED_PARAMETERS.contains(&name)
}

impl BlockInHand<'_> {
    /// Puts a change to the vote. What could not be carried out now is refused: it is tried, and taken back.
    pub(crate) fn propose(
        &mut self,
        id: ProposalId,
        proposer: MemberCode,
        change: &Change,
        activate_after_ms: u64,
    ) -> Result<(), Rejection> {
        if !(delay_ms_min(change, self.params)..=ACTIVATE_AFTER_MS_MAX).contains(&activate_after_ms) {
            return Err(Rejection::DelayInvalid);
        }
        let open = |row: &Proposal| row.proposer == proposer && row.state == ProposalState::Open;
        let count = self.view.range::<Proposals>(..).filter(|(_, row)| open(row)).count();
        if count >= self.params.member_proposals_max as usize {
            return Err(Rejection::TooManyProposals);
        }
        let (mark, events) = (self.view.mark(), self.events.len());
        let tried = self.enact(change);
        self.view.roll_back(mark);
        self.events.truncate(events);
        match tried {
            // Another change of the members comes first in this block only.
            Ok(()) | Err(Rejection::MembersChanging) => {}
            Err(rejection) => return Err(rejection),
        }
        let voting_ends = self.now.plus(self.params.governance_voting_ms);
        let proposal = Proposal {
            proposer,
            change: change.clone(),
            proposed_at: self.now,
            voting_ends,
            activate_after_ms,
            approvals: Vec::new(),
            refusals: Vec::new(),
            state: ProposalState::Open,
            activates_at: None,
            failure: None,
        };
        self.view.put::<Deadlines>(lapse(id, &proposal), ());
        self.view.put::<Proposals>(id, proposal);
        self.emit(Event::ProposalMade { proposal: id, proposer, voting_ends });
        Ok(())
    }

    /// Counts a vote, or a changed one, and decides if it decides.
    pub(crate) fn vote(
        &mut self,
        id: ProposalId,
        member: MemberCode,
        approve: bool,
    ) -> Result<(), Rejection> {
        let mut row = self.view.get::<Proposals>(&id).cloned().ok_or(Rejection::ProposalUnknown)?;
        // The lapse may still wait for its turn among many deadlines.
        if row.state != ProposalState::Open || row.voting_ends <= self.now {
            return Err(Rejection::ProposalClosed);
        }
        let (given, other) = if approve {
            (&mut row.approvals, &mut row.refusals)
        } else {
            (&mut row.refusals, &mut row.approvals)
        };
        match given.binary_search(&member) {
            Ok(_) => return Err(Rejection::VoteGiven),
            Err(place) => given.insert(place, member),
        }
        other.retain(|voted| *voted != member);
        self.emit(Event::VoteCast { proposal: id, member, approve });
        self.count_votes(id, row);
        Ok(())
    }

    /// Decides a proposal by the votes of those who are members now, and keeps it.
    fn count_votes(&mut self, id: ProposalId, mut row: Proposal) {
        let voters = self.voters();
        let of_members = |votes: &[MemberCode]| votes.iter().filter(|vote| voters.contains(vote)).count();
        if let Some(state) = decision(voters.len(), of_members(&row.approvals), of_members(&row.refusals)) {
            self.view.remove::<Deadlines>(&lapse(id, &row));
            row.state = state;
            if state == ProposalState::Passed {
                let due = self.now.plus(row.activate_after_ms);
                row.activates_at = Some(due);
                let kind = DeadlineKind::ProposalActivation;
                self.view.put::<Deadlines>(Deadline { due, kind, subject: id.0 }, ());
            }
            self.emit(Event::ProposalMoved { proposal: id, state, activates_at: row.activates_at });
        }
        self.view.put::<Proposals>(id, row);
    }

    /// Counts every open vote anew: there are other members.
    fn recount(&mut self) {
        let open: Vec<(ProposalId, Proposal)> = self
            .view
            .range::<Proposals>(..)
            .filter(|(_, row)| row.state == ProposalState::Open && row.voting_ends > self.now)
            .map(|(id, row)| (*id, row.clone()))
            .collect();
        for (id, row) in open {
            self.count_votes(id, row);
        }
    }

    /// Ends a vote that decided nothing.
    pub(crate) fn lapse_proposal(&mut self, id: ProposalId) -> Result<(), Rejection> {
        let row = self.view.get::<Proposals>(&id).cloned().ok_or(Rejection::ProposalUnknown)?;
        if row.state == ProposalState::Open {
            let state = ProposalState::Lapsed;
            self.view.put::<Proposals>(id, Proposal { state, ..row });
            self.emit(Event::ProposalMoved { proposal: id, state, activates_at: None });
        }
        Ok(())
    }

    /// Carries out what has passed and is due, in order of (due, id). Runs before everything else in a block.
    pub(crate) fn activate_proposals(&mut self) {
        let due: Vec<Deadline> = self
            .view
            .range::<Deadlines>(..)
            .map(|(deadline, ())| deadline)
            .take_while(|deadline| deadline.due <= self.now)
            .filter(|deadline| deadline.kind == DeadlineKind::ProposalActivation)
            .take(ACTIVATIONS_MAX)
            .cloned()
            .collect();
        for deadline in due {
            let id = ProposalId(deadline.subject);
            let Some(row) = self.view.get::<Proposals>(&id).cloned() else { continue };
            let (mark, events) = (self.view.mark(), self.events.len());
            let (state, failure) = match self.enact(&row.change) {
                Ok(()) => (ProposalState::Activated, None),
                Err(rejection) => {
                    self.view.roll_back(mark);
                    self.events.truncate(events);
                    if rejection == Rejection::MembersChanging {
                        // One change of the members in one block: its deadline stays due, and the next block follows at once.
                        continue;
                    }
                    (ProposalState::Failed, Some(rejection.code()))
                }
            };
            self.view.remove::<Deadlines>(&deadline);
            let activates_at = row.activates_at;
            self.view.put::<Proposals>(id, Proposal { state, failure, ..row });
            self.emit(Event::ProposalMoved { proposal: id, state, activates_at });
        }
    }

    fn enact(&mut self, change: &Change) -> Result<(), Rejection> {
        match change {
            Change::Parameters { values } => self.change_parameters(values),
            Change::MemberLimits { member, issue_limit, debit_cap } => {
                self.change_limits(*member, *issue_limit, *debit_cap)
            }
            Change::MemberJoin { member } => self.join(member),
            Change::MemberLeave { member } => self.leave(*member),
            Change::MemberKeys { member, consensus_key, network_key } => {
                self.change_member_keys(*member, *consensus_key, *network_key)
            }
            Change::Upgrade { protocol_version, height } => {
                self.schedule_upgrade(Upgrade { protocol_version: *protocol_version, height: *height })
            }
        }
    }

    fn change_parameters(&mut self, values: &[ParameterValue]) -> Result<(), Rejection> {
        // From the row and not from the block's own, which an earlier proposal of this block may have outdated.
        let mut params =
            self.view.get::<ParamsTable>(&()).cloned().expect("a state made by a genesis holds parameters");
        let before = params.reserve_bps_min;
        set_parameters(&mut params, values)?;
        let least = params.reserve_bps_min;
        self.view.put::<ParamsTable>((), params);
        if least > before {
            self.raise_reserves(least);
        }
        for ParameterValue { name, value } in values {
            self.emit(Event::ParameterChanged { name: name.clone(), value: *value });
        }
        Ok(())
    }

    fn change_limits(
        &mut self,
        code: MemberCode,
        issue_limit: Money,
        debit_cap: Money,
    ) -> Result<(), Rejection> {
        let row = self.view.get::<Members>(&code).cloned().ok_or(Rejection::MemberUnknown)?;
        let row = Member { issue_limit, debit_cap, ..row };
        self.put_member(code, row)?;
        self.emit(Event::MemberLimitsChanged { member: code, issue_limit, debit_cap });
        Ok(())
    }

    fn schedule_upgrade(&mut self, upgrade: Upgrade) -> Result<(), Rejection> {
        let chain = self.view.get::<Chains>(&()).cloned().expect("a state made by a genesis holds the chain");
        let present = protocol_version_at(&chain, self.height);
        // One whole block lies between: its checkpoint is the last of the present rules.
        let ahead = upgrade.height > self.height.saturating_add(1);
        if upgrade.protocol_version <= present || !ahead {
            return Err(Rejection::UpgradeInvalid);
        }
        if chain.upgrade.as_ref().is_some_and(|pending| pending.height > self.height) {
            return Err(Rejection::UpgradePending);
        }
        self.emit(Event::UpgradeScheduled {
            protocol_version: upgrade.protocol_version,
            from: upgrade.height,
        });
        self.view.put::<Chains>((), Chain { upgrade: Some(upgrade), ..chain });
        Ok(())
    }
}

/// The deadline at which the vote on a proposal ends.
fn lapse(id: ProposalId, proposal: &Proposal) -> Deadline {
    Deadline { due: proposal.voting_ends, kind: DeadlineKind::ProposalLapse, subject: id.0 }
}
