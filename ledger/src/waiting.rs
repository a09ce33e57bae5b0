//! Against censorship: each proposer lists transactions that it has seen waiting and has not included. What more members have
//! listed than can be at fault together, and nobody includes in so many heights, is told with the names of those who proposed.
//!
//! The list says nothing about a transaction but its id, so a member that lies can list what does not exist; that is why it
//! takes f + 1 of them, of whom one at least is honest.

use crate::action::BlockInHand;
use crate::event::Event;
use crate::id::{Hash, TransactionId, hash_of};
use crate::member::MemberCode;
use crate::row::{Member, Waiting};
use crate::tables::{Members, Proposers, Waits};
use std::collections::BTreeSet;

/// The most transactions that one block lists.
pub const WAITING_MAX: usize = 256;

/// The most transactions that are followed at a time.
pub const WAITS_MAX: usize = 4_096;

/// The root a header carries for a list.
#[must_use]
pub fn waiting_root(waiting: &[TransactionId]) -> Hash {
    hash_of("hansa/waiting", &waiting.to_vec())
}

/// Whether a block that holds the transactions `included` may list `waiting`: rising, so each id once, no more than
/// [`WAITING_MAX`], and nothing that the block holds itself.
#[must_use]
pub fn is_list(waiting: &[TransactionId], included: &BTreeSet<TransactionId>) -> bool {
    waiting.len() <= WAITING_MAX
        && waiting.is_sorted_by(|one, next| one < next)
        && !waiting.iter().any(|id| included.contains(id))
}

/// The list of a proposer that has seen `seen`, the longest waiting first: as many as a list may hold, in its order.
#[must_use]
pub fn list(
    seen: &[TransactionId],
    included: &BTreeSet<TransactionId>,
    refused: &BTreeSet<TransactionId>,
) -> Vec<TransactionId> {
    let missing = seen.iter().filter(|id| !included.contains(id) && !refused.contains(id));
    let mut listed = BTreeSet::new();
    for id in missing {
        if listed.len() >= WAITING_MAX {
            break;
        }
        listed.insert(*id);
    }
    listed.into_iter().collect()
}

/// One more than can be at fault together among so many members: f + 1 of 3 f + 1.
#[must_use]
pub fn listers_min(members: usize) -> usize {
    members.saturating_sub(1).checked_div(3).unwrap_or(0).saturating_add(1)
}

impl BlockInHand<'_> {
    /// Before the transactions of a block: tells of what was listed by enough members and left out of as many blocks since as
    /// the parameters say, and forgets what nobody lists any more.
    pub(crate) fn tell_withheld(&mut self) {
        let heights = u64::from(self.params.withheld_heights);
        let passed = |height: u64| self.height.saturating_sub(height);
        let mut withheld = Vec::new();
        let mut forgotten = Vec::new();
        for (id, row) in self.view.range::<Waits>(..) {
            match row.since {
                Some(since) if passed(since) > heights => withheld.push((*id, since, row.listed_by.clone())),
                _ if passed(row.listed_last) > heights.saturating_mul(2) => forgotten.push(*id),
                _ => {}
            }
        }
        for (transaction, since, listed_by) in withheld {
            let proposers = self.proposers_after(since);
            self.view.remove::<Waits>(&transaction);
            self.emit(Event::TransactionWithheld { transaction, since, listed_by, proposers });
        }
        for id in forgotten {
            self.view.remove::<Waits>(&id);
        }
    }

    /// Who proposed the blocks after a height, each once, by code.
    fn proposers_after(&self, height: u64) -> Vec<MemberCode> {
        let after = height.saturating_add(1)..;
        let proposers: BTreeSet<MemberCode> =
            self.view.range::<Proposers>(after).map(|(_, member)| *member).collect();
        proposers.into_iter().collect()
    }

    /// After the transactions of a block: what it includes waits no more, what it lists is followed.
    pub(crate) fn note_waiting(
        &mut self,
        proposer: MemberCode,
        included: &BTreeSet<TransactionId>,
        waiting: &[TransactionId],
    ) {
        for id in included {
            if self.view.get::<Waits>(id).is_some() {
                self.view.remove::<Waits>(id);
            }
        }
        let votes = |member: &Member| member.consensus_key.is_some();
        let voters: BTreeSet<MemberCode> =
            self.view.range::<Members>(..).filter(|(_, row)| votes(row)).map(|(code, _)| *code).collect();
        for id in waiting {
            let new = Waiting { listed_by: Vec::new(), listed_last: self.height, since: None };
            let mut row = self.view.get::<Waits>(id).cloned().unwrap_or(new);
            if let Err(at) = row.listed_by.binary_search(&proposer) {
                row.listed_by.insert(at, proposer);
            }
            row.listed_last = self.height;
            let listers = row.listed_by.iter().filter(|member| voters.contains(member)).count();
            if row.since.is_none() && listers >= listers_min(voters.len()) {
                row.since = Some(self.height);
            }
            self.view.put::<Waits>(*id, row);
        }
        self.bound_waits();
        self.note_proposer(proposer);
    }

    /// Drops what is over the bound: what was listed longest ago first, and before it what too few have listed, so that one
    /// member that lists what does not exist crowds nothing out.
    fn bound_waits(&mut self) {
        let over = self.view.range::<Waits>(..).count().saturating_sub(WAITS_MAX);
        if over == 0 {
            return;
        }
        let mut rows: Vec<_> = self
            .view
            .range::<Waits>(..)
            .map(|(id, row)| (row.since.is_some(), row.listed_last, *id))
            .collect();
        rows.sort_unstable();
        for (_, _, id) in rows.into_iter().take(over) {
            self.view.remove::<Waits>(&id);
        }
    }

    /// Remembers who proposed, as long as anything is followed, for as many heights as an event looks back.
    fn note_proposer(&mut self, proposer: MemberCode) {
        let follows = self.view.range::<Waits>(..).next().is_some();
        let first = self.height.saturating_sub(u64::from(self.params.withheld_heights));
        let last = if follows { first } else { self.height };
        let old: Vec<u64> = self.view.range::<Proposers>(..last).map(|(height, _)| *height).collect();
        for height in old {
            self.view.remove::<Proposers>(&height);
        }
        if follows {
            self.view.put::<Proposers>(self.height, proposer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(bytes: &[u8]) -> Vec<TransactionId> {
        bytes.iter().map(|byte| TransactionId([*byte; 32])).collect()
    }

    #[test]
    fn a_list_rises_and_names_nothing_that_the_block_holds() {
        let included: BTreeSet<_> = ids(&[7]).into_iter().collect();
        for (waiting, expected) in
            [(&[][..], true), (&[1, 2, 9], true), (&[2, 1], false), (&[1, 1], false), (&[1, 7], false)]
        {
            assert_eq!(is_list(&ids(waiting), &included), expected, "{waiting:?}");
        }
        let many: Vec<_> = (0..257u16)
            .map(|number| {
                let mut id = [0; 32];
                id[..2].copy_from_slice(&number.to_be_bytes());
                TransactionId(id)
            })
            .collect();
        assert!(is_list(&many[..256], &included));
        assert!(!is_list(&many, &included));
        let first: Vec<_> = many.iter().rev().copied().collect();
        assert_eq!(list(&first, &BTreeSet::new(), &BTreeSet::new()), many[1..], "the first it has seen");
        let refused: BTreeSet<_> = ids(&[3]).into_iter().collect();
        assert_eq!(list(&ids(&[9, 3, 7, 1, 9]), &included, &refused), ids(&[1, 9]));
    }

    #[test]
    fn enough_are_more_than_can_be_at_fault_together() {
        for (members, enough) in [(1, 1), (3, 1), (4, 2), (6, 2), (7, 3), (27, 9)] {
            assert_eq!(listers_min(members), enough, "{members}");
        }
    }
}
