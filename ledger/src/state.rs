//! Typed tables, and a view that overlays them with the changes of the block in hand.

use crate::apply::PROTOCOL_VERSIONS;
use crate::id::{BlockId, Hash};
use crate::root::{Trie, key_hash, value_hash};
use crate::tables::Overlay;
pub use crate::tables::{Changed, Tables};
use borsh::{BorshDeserialize, BorshSerialize};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::{Bound, RangeBounds};

#[cfg(test)]
mod tests;

/// One typed table of the state.
pub trait Table: Sized + 'static {
    /// Number of the table in keys of the state root and of the store. Never renumbered, never reused.
    const ID: u8;
    /// Its name, for tools.
    const NAME: &'static str;
    /// What its rows are found by.
    type Key: Clone + Ord + BorshSerialize + BorshDeserialize + std::fmt::Debug + 'static;
    /// What a row holds.
    type Row: Clone + PartialEq + BorshSerialize + BorshDeserialize + std::fmt::Debug + 'static;

    /// The rows as of the last block.
    fn base(tables: &Tables) -> &BTreeMap<Self::Key, Self::Row>;
    /// The rows changed since; `None` is a removal.
    fn overlay(overlay: &Overlay) -> &BTreeMap<Self::Key, Changed<Self::Row>>;
    /// Sets a changed row and remembers what stood there at the last mark.
    fn set(overlay: &mut Overlay, key: Self::Key, row: Option<Self::Row>);
    /// A row to change in place, or `None`; what stood there at the last mark is remembered.
    fn edit<'a>(tables: &Tables, overlay: &'a mut Overlay, key: Self::Key) -> Option<&'a mut Self::Row>;
}

/// A changed row in its stored form: table number, key bytes, and value bytes or `None` for a removal.
pub type ChangedRow = (u8, Vec<u8>, Option<Vec<u8>>);

/// The state after a block: rows, and the trie over them that gives the root.
#[derive(Clone)]
pub struct State {
    tables: Tables,
    trie: Trie,
    tip: BlockId,
    protocol_versions: &'static [u32],
}

impl State {
    /// A state without rows.
    #[must_use]
    pub fn empty() -> Self {
        Self {
            tables: Tables::default(),
            trie: Trie::new(),
            tip: BlockId([0; 32]),
            protocol_versions: PROTOCOL_VERSIONS,
        }
    }

    /// The same state in a program that knows these rules, for one that carries more than this version does.
    #[must_use]
    pub fn knowing(self, protocol_versions: &'static [u32]) -> Self {
        Self { protocol_versions, ..self }
    }

    /// The rules that this program knows.
    #[must_use]
    pub fn protocol_versions(&self) -> &'static [u32] {
        self.protocol_versions
    }

    /// The rows.
    #[must_use]
    pub fn tables(&self) -> &Tables {
        &self.tables
    }

    /// The state root.
    #[must_use]
    pub fn root(&self) -> Hash {
        self.trie.root()
    }

    /// The trie, for proofs.
    #[must_use]
    pub fn trie(&self) -> &Trie {
        &self.trie
    }

    /// A row, or `None`.
    #[must_use]
    pub fn get<T: Table>(&self, key: &T::Key) -> Option<&T::Row> {
        T::base(&self.tables).get(key)
    }

    /// The last row whose key is not above `key`.
    #[must_use]
    pub fn row_up_to<T: Table>(&self, key: &T::Key) -> Option<(&T::Key, &T::Row)> {
        T::base(&self.tables).range(..=key).next_back()
    }

    /// The rows of a table, by key.
    pub fn rows<T: Table>(&self) -> impl Iterator<Item = (&T::Key, &T::Row)> {
        T::base(&self.tables).iter()
    }

    /// A view without changes.
    #[must_use]
    pub fn view(&self) -> View<'_> {
        View { tables: &self.tables, overlay: Overlay::default() }
    }

    /// The last block; for genesis the chain id. It is not under the root, since the header that names it holds the root.
    #[must_use]
    pub fn tip(&self) -> BlockId {
        self.tip
    }

    /// Makes the changes of `block` part of the state.
    pub fn commit(&mut self, changes: Changes, block: BlockId) {
        self.tables.absorb(changes.overlay);
        self.trie = changes.trie;
        self.tip = block;
    }

    /// Adds stored rows, as read from a checkpoint. The root has to be compared by the caller.
    ///
    /// # Errors
    /// Says which row is no row of its table.
    pub fn load(
        rows: impl IntoIterator<Item = (u8, Vec<u8>, Vec<u8>)>,
        tip: BlockId,
    ) -> Result<Self, String> {
        let mut state = Self { tip, ..Self::empty() };
        let mut hashes = Vec::new();
        for (table, key, value) in rows {
            state.tables.load(table, &key, &value)?;
            hashes.push((key_hash(table, &key), Some(value_hash(&value))));
        }
        state.trie = state.trie.apply(&hashes);
        Ok(state)
    }
}

/// What a block changes: rows, and the trie that follows.
#[derive(Clone)]
pub struct Changes {
    overlay: Overlay,
    trie: Trie,
}

impl Changes {
    /// The state root after the changes.
    #[must_use]
    pub fn root(&self) -> Hash {
        self.trie.root()
    }

    /// The changed rows in their stored form, by table and key.
    #[must_use]
    pub fn rows(&self) -> Vec<ChangedRow> {
        self.overlay.rows()
    }
}

/// The state as a block in hand sees it: the rows of the last block under the changes made so far.
pub struct View<'a> {
    tables: &'a Tables,
    overlay: Overlay,
}

/// A point to roll back to.
#[derive(Clone, Copy, Debug)]
pub struct Mark(usize);

impl<'a> View<'a> {
    /// A row, or `None`.
    #[must_use]
    pub fn get<T: Table>(&self, key: &T::Key) -> Option<&T::Row> {
        match T::overlay(&self.overlay).get(key) {
            Some(changed) => changed.row.as_ref(),
            None => T::base(self.tables).get(key),
        }
    }

    /// A row that can be read while others change, or `None`: one that the block has not changed is lent, another is copied.
    #[must_use]
    pub fn lend<T: Table>(&self, key: &T::Key) -> Option<Cow<'a, T::Row>> {
        match T::overlay(&self.overlay).get(key) {
            Some(changed) => changed.row.clone().map(Cow::Owned),
            None => T::base(self.tables).get(key).map(Cow::Borrowed),
        }
    }

    /// The row as of the last block.
    #[must_use]
    pub fn before<T: Table>(&self, key: &T::Key) -> Option<&T::Row> {
        T::base(self.tables).get(key)
    }

    /// Sets a row.
    pub fn put<T: Table>(&mut self, key: T::Key, row: T::Row) {
        T::set(&mut self.overlay, key, Some(row));
    }

    /// A row to change in place, or `None`. Where one transaction changes a row many times, this copies it once.
    pub fn edit<T: Table>(&mut self, key: &T::Key) -> Option<&mut T::Row> {
        T::edit(self.tables, &mut self.overlay, key.clone())
    }

    /// Removes a row.
    pub fn remove<T: Table>(&mut self, key: &T::Key) {
        T::set(&mut self.overlay, key.clone(), None);
    }

    /// The rows within a range of keys, by key, changes included.
    pub fn range<T: Table>(
        &self,
        range: impl RangeBounds<T::Key>,
    ) -> impl Iterator<Item = (&T::Key, &T::Row)> {
        let bounds: (Bound<&T::Key>, Bound<&T::Key>) = (range.start_bound(), range.end_bound());
        let mut base = T::base(self.tables).range::<T::Key, _>(bounds).peekable();
        let mut changed = T::overlay(&self.overlay).range::<T::Key, _>(bounds).peekable();
        std::iter::from_fn(move || {
            loop {
                let take_base = match (base.peek(), changed.peek()) {
                    (Some((base_key, _)), Some((changed_key, _))) if base_key == changed_key => {
                        base.next();
                        false
                    }
                    (Some((base_key, _)), Some((changed_key, _))) => base_key < changed_key,
                    (Some(_), None) => true,
                    (None, Some(_)) => false,
                    (None, None) => return None,
                };
                if take_base {
                    return base.next();
                }
                if let Some((key, Changed { row: Some(row), .. })) = changed.next() {
                    return Some((key, row));
                }
            }
        })
    }

    /// The keys changed so far in one table, with the row that stands there now.
    pub fn changed<T: Table>(&self) -> impl Iterator<Item = (&T::Key, Option<&T::Row>)> {
        T::overlay(&self.overlay).iter().map(|(key, changed)| (key, changed.row.as_ref()))
    }

    /// Remembers this point.
    #[must_use]
    pub fn mark(&mut self) -> Mark {
        Mark(self.overlay.mark())
    }

    /// Takes back every change made since `mark`.
    pub fn roll_back(&mut self, mark: Mark) {
        self.overlay.roll_back(mark.0);
    }

    /// Closes the view: the changes and the trie that follows from them.
    #[must_use]
    pub fn into_changes(mut self, trie: &Trie) -> Changes {
        self.overlay.settle(self.tables);
        Changes { trie: trie.apply_distinct(self.overlay.updates()), overlay: self.overlay }
    }
}
