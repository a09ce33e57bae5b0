//! The keys of a member's offices, ordered by its governance office.

use super::{Context, Perform};
use crate::event::Event;
use crate::params::Params;
use crate::possession::Possession;
use crate::rejection::Rejection;
use crate::row::data;
use crate::row::{Key, OFFICE_KEYS_MAX, Office, OfficeKeys, Principal, Roles};
use crate::tables::{Keys, Offices};
use borsh::{BorshDeserialize, BorshSerialize};
use hansa_ledger_signature::PublicKey;
use serde::{Deserialize, Serialize};

data! {
    /// Registers one more key of an office. Ordered by the member's governance office.
    pub struct SetOfficeKey {
        /// Which office.
        pub office: Office,
        /// The key.
        pub key: PublicKey,
        /// Its holder's word.
        pub proof: Possession,
    }

    /// Takes a key of an office back for ever, with its approvals of open orders. Ordered by the member's governance office.
    pub struct RemoveOfficeKey {
        /// Which office.
        pub office: Office,
        /// The key.
        pub key: PublicKey,
    }

    /// Sets how many keys it takes for an office to act. Ordered by the member's governance office.
    pub struct SetOfficeThreshold {
        /// Which office.
        pub office: Office,
        /// How many.
        pub threshold: u32,
    }
}

/// The office of the ordering member, and its row.
fn governed(
    context: &Context<'_, '_>,
    office: Office,
) -> Result<(crate::member::MemberCode, OfficeKeys), Rejection> {
    let member = context.office(Office::Governance, Rejection::NotGovernance)?;
    // Every member with a governance office has the other offices too.
    let row = context.view.get::<Offices>(&(member, office)).ok_or(Rejection::OfficeKeyUnknown)?;
    Ok((member, row.clone()))
}

impl Perform for SetOfficeKey {
    fn check(&self, _: &Params) -> Result<(), Rejection> {
        if self.key.is_weak() { Err(Rejection::KeyWeak) } else { Ok(()) }
    }

    fn possession(&self) -> Option<(PublicKey, &Possession)> {
        Some((self.key, &self.proof))
    }

    fn apply(&self, context: &mut Context<'_, '_>) -> Result<(), Rejection> {
        let (member, row) = governed(context, self.office)?;
        if context.view.get::<Keys>(&self.key).is_some() || context.is_member_key(&self.key) {
            return Err(Rejection::KeyInUse);
        }
        if row.keys >= OFFICE_KEYS_MAX {
            return Err(Rejection::TooManyOfficeKeys);
        }
        let principal = Principal::Office(member, self.office);
        self.proof.names(principal)?;
        let key = Key { principal, roles: Roles(0), amount_max: None, nonce: 0, revoked: false };
        let keys = row.keys.saturating_add(1);
        context.view.put::<Keys>(self.key, key);
        context.view.put::<Offices>((member, self.office), OfficeKeys { keys, ..row });
        context.emit(Event::OfficeKeySet { member, office: self.office, key: self.key });
        Ok(())
    }
}

impl Perform for RemoveOfficeKey {
    fn check(&self, _: &Params) -> Result<(), Rejection> {
        Ok(())
    }

    fn apply(&self, context: &mut Context<'_, '_>) -> Result<(), Rejection> {
        let (member, row) = governed(context, self.office)?;
        let key = context.view.get::<Keys>(&self.key).cloned().ok_or(Rejection::OfficeKeyUnknown)?;
        if key.principal != Principal::Office(member, self.office) || key.revoked {
            return Err(Rejection::OfficeKeyUnknown);
        }
        if row.keys <= row.threshold {
            return Err(Rejection::OfficeKeyNeeded);
        }
        let keys = row.keys.saturating_sub(1);
        // The row stays, so that the key can never be registered again and its old transactions never replayed.
        context.view.put::<Keys>(self.key, Key { revoked: true, ..key });
        context.view.put::<Offices>((member, self.office), OfficeKeys { keys, ..row });
        context.emit(Event::OfficeKeyRemoved { member, office: self.office, key: self.key });
        Ok(())
    }
}

impl Perform for SetOfficeThreshold {
    fn check(&self, _: &Params) -> Result<(), Rejection> {
        if self.threshold == 0 { Err(Rejection::ThresholdInvalid) } else { Ok(()) }
    }

    fn apply(&self, context: &mut Context<'_, '_>) -> Result<(), Rejection> {
        let (member, row) = governed(context, self.office)?;
        if self.threshold > row.keys {
            return Err(Rejection::ThresholdInvalid);
        }
        let threshold = self.threshold;
        context.view.put::<Offices>((member, self.office), OfficeKeys { threshold, ..row });
        context.emit(Event::OfficeThresholdSet { member, office: self.office, threshold });
        Ok(())
    }
}
