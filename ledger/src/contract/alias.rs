//! Names that point to contracts. An alias serves people who choose a contract; nothing that is signed holds one.

use super::{counted, quorum};
use crate::action::BlockInHand;
use crate::event::Event;
use crate::id::{CodeHash, hash_of};
use crate::member::MemberCode;
use crate::name::Name;
use crate::rejection::Rejection;
use crate::row::{AliasChange, AliasVote, ContractAlias, Deadline, DeadlineKind};
use crate::tables::{ContractAliases, Deadlines};

/// The deadline subject that stands for an alias.
fn subject(alias: &Name) -> [u8; 32] {
    hash_of("hansa/alias", alias)
}

fn deadline(alias: &Name, row: &ContractAlias) -> Option<Deadline> {
    row.due().map(|due| Deadline { due, kind: DeadlineKind::ContractAlias, subject: subject(alias) })
}

impl BlockInHand<'_> {
    /// Keeps an alias, or forgets one that points nowhere, and the deadline that follows.
    fn put_alias(&mut self, alias: &Name, row: ContractAlias) {
        let before = self.view.get::<ContractAliases>(alias).and_then(|before| deadline(alias, before));
        let after = deadline(alias, &row);
        if before != after {
            if let Some(before) = before.filter(|one| self.view.get::<Deadlines>(one).is_some()) {
                self.view.remove::<Deadlines>(&before);
            }
            if let Some(after) = after {
                self.view.put::<Deadlines>(after, ());
            }
        }
        if row.code.is_none() && row.pending.is_none() && row.votes.is_empty() {
            self.view.remove::<ContractAliases>(alias);
        } else {
            self.view.put::<ContractAliases>(alias.clone(), row);
        }
    }

    /// A member's vote for where an alias is to point. With enough of them, it does so once the timelock has passed.
    pub(crate) fn vote_on_alias(
        &mut self,
        alias: &Name,
        code: CodeHash,
        member: MemberCode,
    ) -> Result<(), Rejection> {
        self.active_contract(&code)?;
        let before = self.view.get::<ContractAliases>(alias).cloned();
        if before.is_none()
            && self.view.range::<ContractAliases>(..).count() >= self.params.contract_aliases_max as usize
        {
            return Err(Rejection::TooManyAliases);
        }
        let empty = ContractAlias { code: None, pending: None, votes: Vec::new(), lapses_at: None };
        let mut row = before.unwrap_or(empty);
        let next = row.pending.as_ref().map(|change| change.code).or(row.code);
        if next == Some(code) {
            return Err(Rejection::AliasCurrent);
        }
        row.votes.retain(|vote| vote.at.plus(self.params.governance_voting_ms) > self.now);
        if row.votes.iter().any(|vote| vote.member == member && vote.code == code) {
            return Err(Rejection::VoteGiven);
        }
        // Who votes for another contract takes the vote for the first one back.
        row.votes.retain(|vote| vote.member != member);
        row.votes.push(AliasVote { member, code, at: self.now });
        row.lapses_at = Some(self.now.plus(self.params.governance_voting_ms));
        let voters = self.voters();
        let votes =
            row.votes.iter().filter(|vote| vote.code == code && voters.contains(&vote.member)).count();
        let needed = quorum(self.params.contract_approvals, voters.len());
        self.emit(Event::AliasVoted {
            alias: alias.clone(),
            code,
            member,
            votes: counted(votes),
            needed: counted(needed),
        });
        if votes >= needed {
            let due = self.now.plus(self.params.contract_timelock_ms);
            (row.votes, row.lapses_at) = (Vec::new(), None);
            row.pending = Some(AliasChange { code, due });
            self.emit(Event::AliasScheduled { alias: alias.clone(), code, due });
        }
        self.put_alias(alias, row);
        Ok(())
    }

    /// Points an alias where it was voted to, if that contract is still active, or forgets votes that decided nothing.
    pub(crate) fn advance_alias(&mut self, of: &[u8; 32]) -> Result<(), Rejection> {
        let found = self.view.range::<ContractAliases>(..).find(|(alias, _)| subject(alias) == *of);
        let Some((alias, mut row)) = found.map(|(alias, row)| (alias.clone(), row.clone())) else {
            return Ok(());
        };
        if row.due().is_none_or(|due| due > self.now) {
            return Ok(());
        }
        match row.pending.take() {
            Some(change) => {
                let code = Some(change.code).filter(|code| self.active_contract(code).is_ok());
                row.code = code.or(row.code);
                self.emit(Event::AliasSet { alias: alias.clone(), code });
            }
            None => (row.votes, row.lapses_at) = (Vec::new(), None),
        }
        self.put_alias(&alias, row);
        Ok(())
    }
}
