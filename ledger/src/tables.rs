//! The tables of the state: one line each; storage, overlay and undo derive from it.

use crate::encoding::{Scratch, encode};
use crate::root::{Update, key_hash, value_hash};
use crate::row::*;
use crate::state::{ChangedRow, Table};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

/// Declares the tables.
macro_rules! tables {
    ($($(#[doc = $doc:literal])* $id:literal => $field:ident, $marker:ident: $key:ty => $row:ty;)*) => {
        /// All rows as of the last block.
        #[derive(Clone, Default)]
        pub struct Tables {
            $($field: BTreeMap<$key, $row>,)*
        }

        /// The rows that a block in hand has changed, and how to take the changes back.
        #[derive(Clone, Default)]
        pub struct Overlay {
            $($field: BTreeMap<$key, Changed<$row>>,)*
            undo: Undo,
        }

        /// What stood at keys of the overlay before they were changed: lists for each table, so that a small row takes no more
        /// room than it needs, and the order over all lists.
        #[derive(Clone, Default)]
        struct Undo {
            $($field: Before<$key, $row>,)*
            /// Number of the table, and whether the overlay had its key before.
            order: Vec<(u8, bool)>,
            /// Length of `order` when the last mark was taken.
            marked: usize,
        }

        $(
            $(#[doc = $doc])*
            #[derive(Clone, Copy, Debug)]
            pub struct $marker;

            impl Table for $marker {
                const ID: u8 = $id;
                const NAME: &'static str = stringify!($field);
                type Key = $key;
                type Row = $row;

                fn base(tables: &Tables) -> &BTreeMap<$key, $row> {
                    &tables.$field
                }

                fn overlay(overlay: &Overlay) -> &BTreeMap<$key, Changed<$row>> {
                    &overlay.$field
                }

                fn set(overlay: &mut Overlay, key: $key, row: Option<$row>) {
                    let undo = &mut overlay.undo;
                    let saved = undo.order.len();
                    match overlay.$field.entry(key) {
                        Entry::Occupied(mut entry) if entry.get().saved >= undo.marked => {
                            // What stood here at the last mark is on the list already.
                            entry.get_mut().row = row;
                        }
                        Entry::Occupied(mut entry) => {
                            undo.order.push(($id, true));
                            let key = entry.key().clone();
                            undo.$field.changed.push((key, entry.insert(Changed { row, saved })));
                        }
                        Entry::Vacant(entry) => {
                            undo.order.push(($id, false));
                            undo.$field.fresh.push(entry.key().clone());
                            entry.insert(Changed { row, saved });
                        }
                    }
                }

                fn edit<'a>(tables: &Tables, overlay: &'a mut Overlay, key: $key) -> Option<&'a mut $row> {
                    let undo = &mut overlay.undo;
                    let saved = undo.order.len();
                    let changed = match overlay.$field.entry(key) {
                        Entry::Occupied(mut entry) => {
                            entry.get().row.as_ref()?;
                            if entry.get().saved < undo.marked {
                                undo.order.push(($id, true));
                                undo.$field.changed.push((entry.key().clone(), entry.get().clone()));
                                entry.get_mut().saved = saved;
                            }
                            entry.into_mut()
                        }
                        Entry::Vacant(entry) => {
                            let row = Some(tables.$field.get(entry.key())?.clone());
                            undo.order.push(($id, false));
                            undo.$field.fresh.push(entry.key().clone());
                            entry.insert(Changed { row, saved })
                        }
                    };
                    changed.row.as_mut()
                }
            }
        )*

        impl Tables {
            /// Number and name of every table.
            pub const NAMES: &'static [(u8, &'static str)] = &[$(($id, stringify!($field)),)*];

            pub(crate) fn absorb(&mut self, overlay: Overlay) {
                $(for (key, row) in overlay.$field {
                    match row.row {
                        Some(row) => self.$field.insert(key, row),
                        None => self.$field.remove(&key),
                    };
                })*
            }

            pub(crate) fn load(&mut self, table: u8, key: &[u8], value: &[u8]) -> Result<(), String> {
                match table {
                    $($id => {
                        let key = borsh::from_slice(key)
                            .map_err(|_| format!("a key of table `{}` does not decode", stringify!($field)))?;
                        let row = borsh::from_slice(value)
                            .map_err(|_| format!("a row of table `{}` does not decode", stringify!($field)))?;
                        self.$field.insert(key, row);
                        Ok(())
                    })*
                    other => Err(format!("there is no table {other}")),
                }
            }

            /// A row as JSON, found by the JSON form of nothing but its stored key bytes; `None` when there is none.
            #[must_use]
            pub fn row_bytes(&self, table: u8, key: &[u8]) -> Option<Vec<u8>> {
                match table {
                    $($id => {
                        let key: $key = borsh::from_slice(key).ok()?;
                        self.$field.get(&key).map(|row| encode(row))
                    })*
                    _ => None,
                }
            }

            /// Every row in its stored form, by table and key.
            pub fn each_row(&self, mut each: impl FnMut(u8, Vec<u8>, Vec<u8>)) {
                $(for (key, row) in &self.$field {
                    each($id, encode(key), encode(row));
                })*
            }
        }

        impl Overlay {
            /// Takes a mark: what is changed from here on can be taken back to here.
            pub(crate) fn mark(&mut self) -> usize {
                self.undo.marked = self.undo.order.len();
                self.undo.marked
            }

            pub(crate) fn roll_back(&mut self, length: usize) {
                while self.undo.order.len() > length {
                    match self.undo.order.pop() {
                        $(Some(($id, true)) => {
                            if let Some((key, before)) = self.undo.$field.changed.pop() {
                                self.$field.insert(key, before);
                            }
                        }
                        Some(($id, false)) => {
                            if let Some(key) = self.undo.$field.fresh.pop() {
                                self.$field.remove(&key);
                            }
                        })*
                        _ => break,
                    }
                }
                // It is a mark again, whichever were taken after it.
                self.undo.marked = length;
            }

            /// Forgets the undo log and the changes that changed nothing, so that equal blocks give equal changes.
            pub(crate) fn settle(&mut self, tables: &Tables) {
                self.undo = Undo::default();
                $(self.$field.retain(|key, changed| tables.$field.get(key) != changed.row.as_ref());)*
            }

            pub(crate) fn rows(&self) -> Vec<ChangedRow> {
                let mut rows = Vec::new();
                let mut scratch = Scratch::new();
                $(for (key, changed) in &self.$field {
                    let key = scratch.encode(key).to_vec();
                    rows.push(($id, key, changed.row.as_ref().map(|row| scratch.encode(row).to_vec())));
                })*
                rows
            }

            /// The changes as the state root has them, each key once.
            pub(crate) fn updates(&self) -> Vec<Update> {
                let mut updates = Vec::with_capacity(0usize $(.saturating_add(self.$field.len()))*);
                let mut scratch = Scratch::new();
                $(for (key, changed) in &self.$field {
                    let key = key_hash($id, scratch.encode(key));
                    let value = changed.row.as_ref().map(|row| value_hash(scratch.encode(row)));
                    updates.push((key, value));
                })*
                updates
            }
        }
    };
}

/// A changed row; none is a removal.
#[derive(Clone)]
pub struct Changed<R> {
    /// What stands there now.
    pub(crate) row: Option<R>,
    /// Where on the undo list it stands what was there before: nothing is kept twice between two marks.
    saved: usize,
}

/// What stood at keys of one table of the overlay, in the order of the changes.
#[derive(Clone)]
struct Before<K, R> {
    /// Keys that the overlay had not.
    fresh: Vec<K>,
    /// Those it had, and with what.
    changed: Vec<(K, Changed<R>)>,
}

impl<K, R> Default for Before<K, R> {
    fn default() -> Self {
        Self { fresh: Vec::new(), changed: Vec::new() }
    }
}

tables! {
    /// The chain itself: one row.
    1 => chain, Chains: () => Chain;
    /// The parameters in force: one row.
    2 => params, ParamsTable: () => crate::params::Params;
    /// Member states and the joint undertaking.
    3 => members, Members: crate::member::MemberCode => Member;
    /// Organisations, by id.
    4 => organisations, Organisations: crate::id::OrganisationId => Organisation;
    /// Keys that may sign, of organisations and of member offices.
    5 => keys, Keys: hansa_ledger_signature::PublicKey => Key;
    /// Balances.
    6 => accounts, Accounts: AccountId => Account;
    /// Grants.
    7 => grants, Grants: crate::id::GrantId => Grant;
    /// References of attested deposits, so that none counts twice.
    8 => deposits, Deposits: (crate::member::MemberCode, crate::name::Name) => ();
    /// Accredited capacity: provider, site, class.
    9 => sites, Sites: SiteKey => Site;
    /// Offers, open and withdrawn.
    10 => offers, Offers: crate::id::OfferId => Offer;
    /// Open offers of a class.
    11 => offers_open, OffersOpen: (crate::name::Name, crate::id::OfferId) => ();
    /// Requests, open and closed.
    12 => requests, Requests: crate::id::RequestId => Request;
    /// Open requests of a class.
    13 => requests_open, RequestsOpen: (crate::name::Name, crate::id::RequestId) => ();
    /// Leases.
    14 => leases, Leases: crate::id::LeaseId => Lease;
    /// Leases of a class that hold capacity.
    15 => leases_live, LeasesLive: (crate::name::Name, crate::id::LeaseId) => ();
    /// Jobs of leases.
    16 => jobs, Jobs: (crate::id::LeaseId, u32) => Job;
    /// What runs by itself, by due time.
    17 => deadlines, Deadlines: Deadline => ();
    /// Resource classes and their batches.
    18 => classes, Classes: crate::name::Name => Class;
    /// Contracts and their life; the code itself stands apart.
    19 => contracts, Contracts: crate::id::CodeHash => Contract;
    /// What settled each lease, complete enough to run it again.
    20 => settlements, Settlements: crate::id::LeaseId => Settlement;
    /// What each organisation or office used of its quota in the epoch.
    21 => quotas, Quotas: Principal => Quota;
    /// The parts of sites, and who each is entitled to.
    26 => entitlements, Entitlements: EntitlementKey => Entitlement;
    /// Outages that are announced and not over.
    27 => outages, Outages: crate::id::OutageId => Outage;
    /// Decayed usage of a beneficial-owner group in a class.
    22 => usages, Usages: (crate::id::GroupId, crate::name::Name) => GroupUsage;
    /// Aid that beneficial-owner groups got: sums by quarter, and each award.
    28 => aids, Aids: (crate::id::GroupId, AidPart) => AidEntry;
    /// How many keys each office has, and how many it takes.
    23 => offices, Offices: (crate::member::MemberCode, Office) => OfficeKeys;
    /// Orders of offices that await approval.
    24 => orders, OfficeOrders: crate::id::OrderId => OfficeOrder;
    /// What members have proposed and voted on.
    25 => proposals, Proposals: crate::id::ProposalId => Proposal;
    /// Who signs blocks, by the height from which the set acts; those of the past stay, for those who verify old blocks.
    32 => validator_sets, ValidatorSets: u64 => ValidatorSet;
    /// Code of contracts.
    33 => contract_codes, ContractCodes: crate::id::CodeHash => ContractCode;
    /// Names that point to contracts.
    34 => contract_aliases, ContractAliases: crate::name::Name => ContractAlias;
    /// What each batch of a class decided, by batch; the last `figures_epochs_max` of them.
    29 => figures, FiguresTable: (crate::name::Name, u64) => Figures;
    /// Settlements of leases that go on, and attempts at them, by lease and number.
    37 => interims, Interims: (crate::id::LeaseId, u32) => Interim;
    /// Disputes over leases, open and decided.
    38 => disputes, Disputes: crate::id::LeaseId => Dispute;
    /// Transactions that proposers have seen and not included.
    30 => waits, Waits: crate::id::TransactionId => Waiting;
    /// Who proposed the last heights, as long as any transaction is followed.
    31 => proposers, Proposers: u64 => crate::member::MemberCode;
}
