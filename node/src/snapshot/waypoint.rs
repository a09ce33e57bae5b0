//! The blocks that show how the members followed each other: kept when their bodies are forgotten.

use super::manifest::Step;
use borsh::{BorshDeserialize, BorshSerialize};
use hansa_ledger::block::{Block, Header, Validator};
use hansa_ledger::id::BlockId;
use hansa_ledger::state::State;
use hansa_ledger::tables::ValidatorSets;
use hansa_ledger_store::{LedgerStore, StoreError};
use hansa_node_api::light::SignedHeader;
use std::collections::BTreeMap;

/// The sets of members by the height from which they sign.
pub type Sets = BTreeMap<u64, Vec<Validator>>;

/// A waypoint as the store keeps it: a block without its body.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Shown {
    /// The block's header.
    pub header: Header,
    /// Its certificate.
    pub certificate: Vec<u8>,
}

impl Shown {
    /// The block as light clients are shown it.
    #[must_use]
    pub fn signed_header(self) -> SignedHeader {
        SignedHeader { id: self.header.id(), header: self.header, certificate: self.certificate }
    }

    /// Keeps it in a store.
    ///
    /// # Errors
    /// As the store.
    pub fn keep(&self, store: &dyn LedgerStore) -> Result<(), StoreError> {
        let record = borsh::to_vec(self).expect("encoding into memory cannot fail");
        store.put_waypoint(self.header.height, &record)
    }

    fn read(record: &[u8]) -> Option<Self> {
        borsh::from_slice(record).ok()
    }
}

/// Every set of members that a state knows.
#[must_use]
pub fn member_sets(state: &State) -> Sets {
    state.rows::<ValidatorSets>().map(|(from, set)| (*from, set.members.clone())).collect()
}

/// The waypoints of a store, by height.
///
/// # Errors
/// As the store.
pub fn shown_blocks(store: &dyn LedgerStore) -> Result<BTreeMap<u64, Shown>, StoreError> {
    let waypoints = store.waypoints()?.into_iter();
    Ok(waypoints.filter_map(|(height, record)| Some((height, Shown::read(&record)?))).collect())
}

/// Before the blocks below `below` are forgotten: keeps header and certificate of the first block of each set of members among
/// them, so that others can still follow from set to set.
///
/// # Errors
/// As the store; then no block may be forgotten.
pub fn keep_waypoints(store: &dyn LedgerStore, sets: &Sets, below: u64) -> Result<(), StoreError> {
    let known = shown_blocks(store)?;
    for (from, _, until) in reigns(sets).filter(|(from, ..)| *from < below) {
        if known.range(from..=until).next().is_none()
            && let Some(shown) = block(store, from)?
        {
            shown.keep(store)?;
        }
    }
    Ok(())
}

/// The sets after the genesis's that sign heights up to `height`, each with a block that shows it. One that no block is kept of is
/// left out: the next may be vouched for by enough of those before.
///
/// # Errors
/// As the store.
pub(super) fn steps(store: &dyn LedgerStore, sets: &Sets, height: u64) -> Result<Vec<Step>, StoreError> {
    let known = shown_blocks(store)?;
    let mut steps = Vec::new();
    for (from, set, until) in reigns(sets).filter(|(from, ..)| *from <= height) {
        let kept = known.range(from..=until.min(height)).next().map(|(_, shown)| shown.clone());
        let shown = match kept {
            Some(shown) => Some(shown),
            None => block(store, from)?,
        };
        if let Some(Shown { header, certificate }) = shown {
            steps.push(Step { validators: set.clone(), header, certificate });
        }
    }
    Ok(steps)
}

/// Every set after the first, with the first and the last height that it signs.
fn reigns(sets: &Sets) -> impl Iterator<Item = (u64, &Vec<Validator>, u64)> {
    sets.iter().skip(1).map(|(from, set)| {
        let next = sets.range(from.saturating_add(1)..).next();
        (*from, set, next.map_or(u64::MAX, |(next, _)| next.saturating_sub(1)))
    })
}

fn block(store: &dyn LedgerStore, height: u64) -> Result<Option<Shown>, StoreError> {
    let Some(decided) = store.decided(height)? else { return Ok(None) };
    let read = Block::read(&BlockId(decided.block), &decided.body);
    let read = read.map_err(|what| StoreError::Damaged { what: format!("block {height}: {what}") })?;
    Ok(Some(Shown { header: read.header, certificate: decided.certificate }))
}
