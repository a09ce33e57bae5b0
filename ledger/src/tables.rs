//! The tables of the state: one line each; storage, overlay and undo derive from it.

use crate::row::*;
use crate::state::{ChangedRow, Table};
use std::collections::BTreeMap;

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
            $($field: BTreeMap<$key, Option<$row>>,)*
            undo: Vec<Undo>,
        }

        /// What stood at a key of the overlay before a change; the outer `None` is "unchanged so far".
        #[derive(Clone)]
        #[allow(clippy::large_enum_variant, reason = "it lives for one block; boxing would cost each change an allocation")]
        enum Undo {
            $($marker($key, Option<Option<$row>>),)*
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

                fn overlay(overlay: &Overlay) -> &BTreeMap<$key, Option<$row>> {
                    &overlay.$field
                }

                fn set(overlay: &mut Overlay, key: $key, row: Option<$row>) {
                    let before = overlay.$field.insert(key.clone(), row);
                    overlay.undo.push(Undo::$marker(key, before));
                }
            }
        )*

        impl Tables {
            /// Number and name of every table.
            pub const NAMES: &'static [(u8, &'static str)] = &[$(($id, stringify!($field)),)*];

            pub(crate) fn absorb(&mut self, overlay: Overlay) {
                $(for (key, row) in overlay.$field {
                    match row {
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
            pub(crate) fn undo_len(&self) -> usize {
                self.undo.len()
            }

            pub(crate) fn roll_back(&mut self, length: usize) {
                while self.undo.len() > length {
                    match self.undo.pop() {
                        $(Some(Undo::$marker(key, Some(before))) => {
                            self.$field.insert(key, before);
                        }
                        Some(Undo::$marker(key, None)) => {
                            self.$field.remove(&key);
                        })*
                        None => break,
                    }
                }
            }

            /// Forgets the undo log and the changes that changed nothing, so that equal blocks give equal changes.
            pub(crate) fn settle(&mut self, tables: &Tables) {
                self.undo = Vec::new();
                $(self.$field.retain(|key, row| tables.$field.get(key) != row.as_ref());)*
            }

            pub(crate) fn rows(&self) -> Vec<ChangedRow> {
                let mut rows = Vec::new();
                $(for (key, row) in &self.$field {
                    rows.push(($id, encode(key), row.as_ref().map(encode)));
                })*
                rows
            }
        }
    };
}

fn encode(value: &impl borsh::BorshSerialize) -> Vec<u8> {
    borsh::to_vec(value).expect("encoding into memory cannot fail")
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
