//! An organisation's keys: their roles and limits.

use super::{Context, Perform};
use crate::params::Params;
use crate::rejection::Rejection;
use crate::row::data;
use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};
use crate::event::Event;
use crate::id::OrganisationId;
use crate::money::Money;
use crate::row::{Key, Principal, Roles};
use crate::tables::{Keys, Organisations};
use hansa_ledger_signature::PublicKey;

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

    fn apply(&self, context: &mut Context<'_, '_>) -> Result<(), Rejection> {
        let (id, mut organisation) = context.organisation(Roles::ADMIN)?;
        let principal = Principal::Organisation(id);
        let row = match context.view.get::<Keys>(&self.key).cloned() {
            Some(row) if row.principal != principal || row.revoked => return Err(Rejection::KeyInUse),
            Some(row) => {
                if row.roles.includes(Roles::ADMIN) && !self.roles.includes(Roles::ADMIN) {
                    refuse_last_administrator(context, id, self.key)?;
                }
                Key { roles: self.roles, amount_max: self.amount_max, ..row }
            }
            None => {
                if organisation.keys >= context.params.organisation_keys_max {
                    return Err(Rejection::TooManyKeys);
                }
                organisation.keys = organisation.keys.saturating_add(1);
                context.view.put::<Organisations>(id, organisation);
                Key { principal, roles: self.roles, amount_max: self.amount_max, nonce: 0, revoked: false }
            }
        };
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
        let (id, mut organisation) = context.organisation(Roles::ADMIN)?;
        let row = context.view.get::<Keys>(&self.key).cloned().ok_or(Rejection::KeyUnknown)?;
        if row.principal != Principal::Organisation(id) || row.revoked {
            return Err(Rejection::KeyUnknown);
        }
        refuse_last_administrator(context, id, self.key)?;
        organisation.keys = organisation.keys.saturating_sub(1);
        context.view.put::<Organisations>(id, organisation);
        // The row stays, so that the key can never be registered again and its old transactions never replayed.
        context.view.put::<Keys>(self.key, Key { revoked: true, ..row });
        context.emit(Event::KeyRemoved { organisation: id, key: self.key });
        Ok(())
    }
}

/// Refuses to leave an organisation without an administrator.
fn refuse_last_administrator(context: &Context<'_, '_>, id: OrganisationId, but: PublicKey) -> Result<(), Rejection> {
    let another = context.view.range::<Keys>(..).any(|(key, row)| {
        *key != but
            && row.principal == Principal::Organisation(id)
            && !row.revoked
            && row.roles.includes(Roles::ADMIN)
    });
    if another { Ok(()) } else { Err(Rejection::KeyLast) }
}
