//! An organisation's keys: their roles and limits.

use super::{Context, Perform};
use crate::event::Event;
use crate::money::Money;
use crate::params::Params;
use crate::possession::{self, Possession};
use crate::rejection::Rejection;
use crate::row::data;
use crate::row::{Key, Organisation, Principal, Roles};
use crate::tables::{Keys, Organisations};
use borsh::{BorshDeserialize, BorshSerialize};
use hansa_ledger_signature::PublicKey;
use serde::{Deserialize, Serialize};

data! {
    /// Registers a key of the signing organisation, or changes its roles and limit. Signed by an administrator key.
    pub struct SetKey {
        /// The key.
        pub key: PublicKey,
        /// What it may do.
        pub roles: Roles,
        /// The most one request or transfer of it may bind; none means no limit.
        #[serde(default)]
        pub amount_max: Option<Money>,
        /// Its holder's word; needed for a key that is new.
        #[serde(default)]
        pub proof: Option<Possession>,
    }

    /// Takes a key back for ever. Signed by an administrator key.
    pub struct RemoveKey {
        /// The key.
        pub key: PublicKey,
    }
}

impl Perform for SetKey {
    fn check(&self, _: &Params) -> Result<(), Rejection> {
        if !self.roles.is_valid() {
            return Err(Rejection::RolesInvalid);
        }
        if self.key.is_weak() { Err(Rejection::KeyWeak) } else { Ok(()) }
    }

    fn possession(&self) -> Option<(PublicKey, &Possession)> {
        self.proof.as_ref().map(|proof| (self.key, proof))
    }

    fn apply(&self, context: &mut Context<'_, '_>) -> Result<(), Rejection> {
        let (id, mut organisation) = context.organisation(Roles::ADMIN)?;
        let principal = Principal::Organisation(id);
        let (row, administered) = match context.view.get::<Keys>(&self.key).cloned() {
            Some(row) if row.principal != principal || row.revoked => return Err(Rejection::KeyInUse),
            Some(row) => {
                let administered = row.roles.includes(Roles::ADMIN);
                (Key { roles: self.roles, amount_max: self.amount_max, ..row }, administered)
            }
            None => {
                if context.is_member_key(&self.key) {
                    return Err(Rejection::KeyInUse);
                }
                if organisation.keys >= context.params.organisation_keys_max {
                    return Err(Rejection::TooManyKeys);
                }
                possession::demand(self.proof.as_ref(), principal)?;
                organisation.keys = organisation.keys.saturating_add(1);
                (
                    Key {
                        principal,
                        roles: self.roles,
                        amount_max: self.amount_max,
                        nonce: 0,
                        revoked: false,
                    },
                    false,
                )
            }
        };
        count_administrators(&mut organisation, administered, self.roles.includes(Roles::ADMIN))?;
        context.view.put::<Organisations>(id, organisation);
        context.view.put::<Keys>(self.key, row);
        context.emit(Event::KeySet { organisation: id, key: self.key });
        Ok(())
    }
}

impl Perform for RemoveKey {
    fn check(&self, _: &Params) -> Result<(), Rejection> {
        Ok(())
    }

    fn apply(&self, context: &mut Context<'_, '_>) -> Result<(), Rejection> {
        // A stolen key must be removable whatever has become of the accreditation: it could still redeem cash.
        let (id, mut organisation) = context.organisation_any_standing(Roles::ADMIN)?;
        let row = context.view.get::<Keys>(&self.key).cloned().ok_or(Rejection::KeyUnknown)?;
        if row.principal != Principal::Organisation(id) || row.revoked {
            return Err(Rejection::KeyUnknown);
        }
        count_administrators(&mut organisation, row.roles.includes(Roles::ADMIN), false)?;
        context.view.put::<Organisations>(id, organisation);
        // The row stays, so that the key can never be registered again and its old transactions never replayed.
        context.view.put::<Keys>(self.key, Key { revoked: true, ..row });
        context.emit(Event::KeyRemoved { organisation: id, key: self.key });
        Ok(())
    }
}

/// Counts a key that was or becomes an administrator, and refuses to leave an organisation without one.
fn count_administrators(organisation: &mut Organisation, before: bool, after: bool) -> Result<(), Rejection> {
    let count = organisation.administrators;
    organisation.administrators = match (before, after) {
        (false, true) => count.saturating_add(1),
        (true, false) if count <= 1 => return Err(Rejection::KeyLast),
        (true, false) => count.saturating_sub(1),
        _ => count,
    };
    Ok(())
}
