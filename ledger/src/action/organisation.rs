//! Accrediting legal persons, and taking the accreditation back.

use super::{Context, Perform};
use crate::event::Event;
use crate::id::{GroupId, OrganisationId};
use crate::member::MemberCode;
use crate::name::Name;
use crate::params::Params;
use crate::possession::{self, Possession};
use crate::rejection::Rejection;
use crate::row::data;
use crate::row::{
    Deadline, DeadlineKind, Key, Office, Organisation, OrganisationClass, Principal, Roles, Standing,
};
use crate::tables::{Deadlines, Keys, Organisations};
use crate::time::TimeMs;
use borsh::{BorshDeserialize, BorshSerialize};
use hansa_ledger_signature::PublicKey;
use serde::{Deserialize, Serialize};

data! {
    /// The register entry of a legal person.
    pub struct Registration {
        /// The member state whose register it stands in.
        pub country: MemberCode,
        /// Its number there, as the register writes it.
        pub number: String,
    }

    /// Accredits an organisation, or, with one of its own keys and a later end, renews its accreditation. Signed by the home
    /// member's registrar.
    pub struct AccreditOrganisation {
        /// Its register number in the home member. Names the organisation: one number, one organisation.
        pub register_number: String,
        /// The beneficial owner at the top, where there is one. Organisations of one owner share caps and shares. Left out at a
        /// renewal it stays who it is.
        #[serde(default)]
        pub owner: Option<Registration>,
        /// What it is called.
        pub name: Name,
        /// Its class.
        pub class: OrganisationClass,
        /// When the accreditation ends.
        pub accredited_until: TimeMs,
        /// Its first administrator key, with every role.
        pub key: PublicKey,
        /// Its holder's word; needed unless the accreditation is renewed.
        #[serde(default)]
        pub proof: Option<Possession>,
    }

    /// Takes an accreditation back: open requests are refunded, leases run to their end. Signed by the home member's registrar.
    pub struct RevokeOrganisation {
        /// Whose.
        pub organisation: OrganisationId,
    }
}

/// The longest register number, in bytes.
const REGISTER_NUMBER_BYTES_MAX: usize = 64;

/// The id of the organisation with this register number in this member state.
#[must_use]
pub fn organisation_id(home: MemberCode, register_number: &str) -> OrganisationId {
    OrganisationId::derive(&(home, register_number))
}

fn check_number(number: &str) -> Result<(), Rejection> {
    let plain = number.bytes().all(|byte| byte.is_ascii_graphic());
    if number.is_empty() || number.len() > REGISTER_NUMBER_BYTES_MAX || !plain {
        return Err(Rejection::RegisterNumberInvalid);
    }
    Ok(())
}

impl Perform for AccreditOrganisation {
    fn check(&self, _: &Params) -> Result<(), Rejection> {
        check_number(&self.register_number)?;
        self.owner.as_ref().map_or(Ok(()), |owner| check_number(&owner.number))?;
        if self.key.is_weak() { Err(Rejection::KeyWeak) } else { Ok(()) }
    }

    fn possession(&self) -> Option<(PublicKey, &Possession)> {
        self.proof.as_ref().map(|proof| (self.key, proof))
    }

    fn apply(&self, context: &mut Context<'_, '_>) -> Result<(), Rejection> {
        let home = context.office(Office::Registrar, Rejection::NotRegistrar)?;
        if self.accredited_until <= context.now || self.accredited_until > TimeMs::MAX {
            return Err(Rejection::ValidityInvalid);
        }
        let id = organisation_id(home, &self.register_number);
        if let Some(row) = context.view.get::<Organisations>(&id).cloned() {
            return self.renew(context, id, row);
        }
        if context.view.get::<Keys>(&self.key).is_some() || context.is_member_key(&self.key) {
            return Err(Rejection::KeyInUse);
        }
        possession::demand(self.proof.as_ref(), Principal::Organisation(id))?;
        let own = || GroupId::derive(&(home, self.register_number.as_str()));
        let group = self.owner_group().unwrap_or_else(own);
        let organisation = Organisation {
            name: self.name.clone(),
            home,
            class: self.class,
            group,
            standing: Standing::Accredited,
            accredited_since: context.now,
            accredited_until: self.accredited_until,
            sequence: 0,
            requests_open: 0,
            keys: 1,
            administrators: 1,
        };
        let key = Key {
            principal: Principal::Organisation(id),
            roles: Roles::ALL,
            amount_max: None,
            nonce: 0,
            revoked: false,
        };
        context.view.put::<Organisations>(id, organisation);
        context.view.put::<Keys>(self.key, key);
        context.view.put::<Deadlines>(expiry(id, self.accredited_until), ());
        context.emit(Event::OrganisationAccredited { organisation: id, name: self.name.clone(), home });
        context.emit(Event::KeySet { organisation: id, key: self.key });
        Ok(())
    }
}

impl AccreditOrganisation {
    /// The group of the owner that it names.
    fn owner_group(&self) -> Option<GroupId> {
        self.owner.as_ref().map(|owner| GroupId::derive(&(owner.country, owner.number.as_str())))
    }

    /// Gives an organisation whose time has run out, or will, a later end. Whoever it is today stays who it is: the key named
    /// must be one of its own, and keys are left alone. A number that is named with another key is taken.
    ///
    /// An owner that is named is its owner from now on, and then the end may stay as it is; none named means the same as before.
    /// An organisation that has no owner any more is renewed under its own number.
    fn renew(
        &self,
        context: &mut Context<'_, '_>,
        id: OrganisationId,
        row: Organisation,
    ) -> Result<(), Rejection> {
        let own = context
            .view
            .get::<Keys>(&self.key)
            .is_some_and(|key| key.principal == Principal::Organisation(id) && !key.revoked);
        let (from, to) = (row.group, self.owner_group().unwrap_or(row.group));
        let later = self.accredited_until > row.accredited_until
            || (from != to && self.accredited_until == row.accredited_until);
        if !own || row.standing == Standing::Revoked || !later {
            return Err(Rejection::OrganisationExists);
        }
        context.view.remove::<Deadlines>(&expiry(id, row.accredited_until));
        context.view.put::<Deadlines>(expiry(id, self.accredited_until), ());
        let renewed = Organisation {
            name: self.name.clone(),
            class: self.class,
            group: to,
            standing: Standing::Accredited,
            accredited_until: self.accredited_until,
            ..row
        };
        let home = renewed.home;
        context.view.put::<Organisations>(id, renewed);
        if from != to {
            context.move_organisation(id, from, to);
        }
        context.emit(Event::OrganisationAccredited { organisation: id, name: self.name.clone(), home });
        Ok(())
    }
}

/// The deadline at which an accreditation ends.
pub(crate) fn expiry(id: OrganisationId, accredited_until: TimeMs) -> Deadline {
    Deadline { due: accredited_until, kind: DeadlineKind::OrganisationExpiry, subject: id.0 }
}

impl Perform for RevokeOrganisation {
    fn check(&self, _: &Params) -> Result<(), Rejection> {
        Ok(())
    }

    fn apply(&self, context: &mut Context<'_, '_>) -> Result<(), Rejection> {
        let home = context.office(Office::Registrar, Rejection::NotRegistrar)?;
        let row = context.view.get::<Organisations>(&self.organisation).cloned();
        let row = row.ok_or(Rejection::OrganisationUnknown)?;
        if row.home != home {
            return Err(Rejection::NotRegistrar);
        }
        if row.standing == Standing::Revoked {
            return Err(Rejection::OrganisationRevoked);
        }
        context.close_organisation(self.organisation, Standing::Revoked)
    }
}
