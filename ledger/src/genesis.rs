//! How a federation begins: its members, parameters and built-in contracts, as one TOML document.

use crate::block::Validator;
use crate::governance::enter_offices;
use crate::id::{BlockId, ChainId, CodeHash};
use crate::member::MemberCode;
use crate::money::Money;
use crate::name::Name;
use crate::params::Params;
use crate::rejection::Rejection;
use crate::row::{
    Chain, Contract, ContractAlias, ContractCode, Member, OFFICE_KEYS_MAX, Office, OfficeKeys, ValidatorSet,
    data,
};
use crate::state::State;
use crate::tables::{Chains, ContractAliases, ContractCodes, Contracts, Members, ParamsTable, ValidatorSets};
use crate::time::TimeMs;
use borsh::{BorshDeserialize, BorshSerialize};
use hansa_ledger_signature::PublicKey;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// The fewest members: with fewer than four no fault can be borne.
pub const MEMBERS_MIN: usize = 4;

data! {
    /// A member state at the beginning.
    pub struct GenesisMember {
        /// Its code.
        pub code: MemberCode,
        /// Signs its votes.
        pub consensus_key: PublicKey,
        /// Its node's key on the network (Ed25519); not the consensus key.
        pub network_key: PublicKey,
        /// The most it may have issued and not redeemed, in EUR.
        pub issue_limit: Money,
        /// The most it may owe others, in EUR.
        pub debit_cap: Money,
        /// Accredits organisations and sites.
        pub registrar: GenesisOffice,
        /// Issues grants, attests deposits.
        pub treasury: GenesisOffice,
        /// Votes on parameters, manages the keys of the offices.
        pub governance: GenesisOffice,
    }

    /// An office of a member at the beginning.
    pub struct GenesisOffice {
        /// How many of its keys it takes to act.
        pub threshold: u32,
        /// Its keys: at least as many as it takes, at most 16.
        pub keys: Vec<PublicKey>,
    }

    /// A contract that is there from the beginning: active, under an alias of its name, without deposit and without an end of
    /// its own, since the members agreed to it with the genesis. They can deprecate and quarantine it like any other.
    pub struct GenesisContract {
        /// What it is called.
        pub name: Name,
        /// The module, as hexadecimal.
        #[serde(with = "crate::bytes")]
        pub code: Vec<u8>,
    }

    /// The beginning of a federation. Its hash is the chain id.
    pub struct Genesis {
        /// What the federation is called.
        pub name: Name,
        /// When it begins.
        pub time: TimeMs,
        /// Identifies every rule of the contract engine.
        #[serde(with = "profile")]
        pub vm_profile: [u8; 32],
        /// Every limit and rate; those left out have their defaults.
        #[serde(default)]
        pub params: Params,
        /// The members.
        pub members: Vec<GenesisMember>,
        /// The contracts.
        pub contracts: Vec<GenesisContract>,
    }
}

impl GenesisOffice {
    /// An office with one key.
    #[must_use]
    pub fn single(key: PublicKey) -> Self {
        Self { threshold: 1, keys: vec![key] }
    }

    /// Refuses an office that could never act, or has too many keys.
    ///
    /// # Errors
    /// No key, more than [`OFFICE_KEYS_MAX`], or a threshold that is not from 1 to their number.
    pub fn check(&self) -> Result<(), Rejection> {
        if self.keys.is_empty() {
            return Err(Rejection::OfficeKeyNeeded);
        }
        let OfficeKeys { threshold, keys, .. } = self.row();
        if keys > OFFICE_KEYS_MAX {
            return Err(Rejection::TooManyOfficeKeys);
        }
        if (1..=keys).contains(&threshold) { Ok(()) } else { Err(Rejection::ThresholdInvalid) }
    }

    /// Its row, without orders.
    #[must_use]
    pub fn row(&self) -> OfficeKeys {
        let keys = u32::try_from(self.keys.len()).unwrap_or(u32::MAX);
        OfficeKeys { threshold: self.threshold, keys, orders: 0 }
    }
}

impl GenesisMember {
    /// Its offices.
    #[must_use]
    pub fn offices(&self) -> [(Office, &GenesisOffice); 3] {
        [
            (Office::Registrar, &self.registrar),
            (Office::Treasury, &self.treasury),
            (Office::Governance, &self.governance),
        ]
    }

    /// Every key it has.
    pub fn keys(&self) -> impl Iterator<Item = PublicKey> + '_ {
        let offices = self.offices().into_iter().flat_map(|(_, office)| office.keys.iter().copied());
        [self.consensus_key, self.network_key].into_iter().chain(offices)
    }

    /// Its row: its books go on from `before`, if it was a member once.
    #[must_use]
    pub fn row(&self, before: Option<&Member>) -> Member {
        let (consensus_key, network_key) = (Some(self.consensus_key), Some(self.network_key));
        let (issue_limit, debit_cap) = (self.issue_limit, self.debit_cap);
        match before {
            Some(before) => Member { consensus_key, network_key, issue_limit, debit_cap, ..before.clone() },
            None => Member {
                consensus_key,
                network_key,
                position: 0,
                locked: Money::ZERO,
                debit_cap,
                issued: Money::ZERO,
                redeemed: Money::ZERO,
                issue_limit,
                confirmed: 0,
            },
        }
    }
}

impl Genesis {
    /// The members that sign the first blocks, by code.
    #[must_use]
    pub fn validators(&self) -> Vec<Validator> {
        let validator = |one: &GenesisMember| Validator { member: one.code, key: one.consensus_key };
        let mut validators: Vec<Validator> = self.members.iter().map(validator).collect();
        validators.sort_by_key(|validator| validator.member);
        validators
    }

    /// The federation's id.
    #[must_use]
    pub fn chain_id(&self) -> ChainId {
        ChainId::derive(self)
    }

    /// The state at height 0.
    ///
    /// # Errors
    /// Says which rule the document breaks.
    pub fn state(&self) -> Result<State, String> {
        self.check()?;
        let empty = State::empty();
        let mut view = empty.view();
        for member in &self.members {
            view.put::<Members>(member.code, member.row(None));
            enter_offices(&mut view, member)
                .map_err(|rejection| format!("a key of member {}: {rejection}", member.code))?;
        }
        view.put::<ValidatorSets>(0, ValidatorSet { members: self.validators() });
        let joint_undertaking = Member {
            consensus_key: None,
            network_key: None,
            position: 0,
            locked: Money::ZERO,
            debit_cap: Money::ZERO,
            issued: Money::ZERO,
            redeemed: Money::ZERO,
            issue_limit: Money::ZERO,
            confirmed: 0,
        };
        view.put::<Members>(MemberCode::EU, joint_undertaking);
        for contract in &self.contracts {
            let hash = CodeHash(*blake3::hash(&contract.code).as_bytes());
            view.put::<Contracts>(hash, Contract::of_genesis(contract.name.clone(), self.time));
            view.put::<ContractCodes>(hash, ContractCode { code: contract.code.clone() });
            let alias = ContractAlias { code: Some(hash), pending: None, votes: Vec::new(), lapses_at: None };
            view.put::<ContractAliases>(contract.name.clone(), alias);
        }
        view.put::<ParamsTable>((), self.params.clone());
        let chain = Chain {
            protocol_version: crate::apply::PROTOCOL_VERSION,
            height: 0,
            time: self.time,
            transactions: 0,
            upgrade: None,
        };
        view.put::<Chains>((), chain);
        let changes = view.into_changes(empty.trie());
        let mut state = empty.clone();
        state.commit(changes, BlockId(self.chain_id().0));
        Ok(state)
    }

    fn check(&self) -> Result<(), String> {
        self.params.check()?;
        if self.members.len() < MEMBERS_MIN {
            return Err(format!(
                "a federation has at least {MEMBERS_MIN} members, this one has {}",
                self.members.len()
            ));
        }
        let mut codes = BTreeSet::new();
        let mut keys = BTreeSet::new();
        for member in &self.members {
            if member.code == MemberCode::EU {
                return Err("`EU` is there by itself and has no vote; leave it out of the members".to_owned());
            }
            if !codes.insert(member.code) {
                return Err(format!("member {} stands twice", member.code));
            }
            for (office, beginning) in member.offices() {
                beginning.check().map_err(|error| format!("the {office} of {}: {error}", member.code))?;
            }
            for key in member.keys() {
                if key.is_weak() {
                    return Err(format!("a key of member {} is not a sound Ed25519 key", member.code));
                }
                if !keys.insert(key) {
                    return Err(format!(
                        "a key of member {} is used twice; every office has its own",
                        member.code
                    ));
                }
            }
        }
        let limits =
            self.members.iter().try_fold(Money::ZERO, |sum, member| sum.checked_add(member.issue_limit));
        if limits.is_none() {
            return Err(
                "the members' issue limits together are more than money of account can express".to_owned()
            );
        }
        if self.contracts.is_empty() {
            return Err("a federation needs at least one contract to settle leases".to_owned());
        }
        let mut aliases = BTreeSet::new();
        for contract in &self.contracts {
            if !aliases.insert(&contract.name) {
                return Err(format!(
                    "contract `{}` stands twice; each needs a name of its own",
                    contract.name
                ));
            }
        }
        Ok(())
    }
}

/// The profile's hash as hexadecimal.
mod profile {
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(hash: &[u8; 32], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(hash))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[u8; 32], D::Error> {
        let mut hash = [0u8; 32];
        hex::decode_to_slice(<String as Deserialize>::deserialize(deserializer)?, &mut hash)
            .map_err(serde::de::Error::custom)?;
        Ok(hash)
    }
}
