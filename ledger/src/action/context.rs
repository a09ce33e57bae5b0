//! What an action has at hand.

use crate::event::Event;
use crate::id::{Hash, OrganisationId, TransactionId};
use crate::member::MemberCode;
use crate::money::Money;
use crate::params::Params;
use crate::rejection::Rejection;
use crate::row::{Key, Office, Organisation, Principal, Roles, Standing};
use crate::state::View;
use crate::tables::{Keys, Members, Offices, Organisations, ValidatorSets};
use crate::time::TimeMs;
use hansa_contracts_abi::Runtime;
use hansa_ledger_signature::PublicKey;

/// The block in hand: its state, its time, the contracts, and what has happened in it.
pub struct Block<'a> {
    /// The state.
    pub view: View<'a>,
    /// The parameters in force.
    pub params: &'a Params,
    /// Height of the block.
    pub height: u64,
    /// Time of the block.
    pub now: TimeMs,
    /// Runs contracts.
    pub runtime: &'a dyn Runtime,
    /// Fuel that contracts may still use in this block.
    pub fuel: u64,
    /// How much of it is kept for final settlements.
    pub fuel_kept: u64,
    /// What happened since the last time they were taken.
    pub events: Vec<Event>,
}

/// What a call of a contract may draw on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FuelUse {
    /// A settlement that closes a lease: all that is left of the block's fuel.
    Final,
    /// Anything else: what is left without the part that is kept for final settlements, so that no number of quotes and
    /// claims delays anybody's pay.
    Other,
}

/// How much of a fresh block's fuel is kept for final settlements: their part, and never less than one call.
#[must_use]
pub fn fuel_kept(params: &Params, runtime: &dyn Runtime) -> u64 {
    let part = u128::from(params.block_fuel_max).saturating_mul(u128::from(params.final_fuel_bps));
    let part = u64::try_from(part.checked_div(10_000).unwrap_or(0)).unwrap_or(u64::MAX);
    part.max(runtime.fuel_per_call_max()).min(params.block_fuel_max)
}

/// One action of one transaction in the block in hand.
pub struct Context<'b, 'a> {
    /// The block.
    pub block: &'b mut Block<'a>,
    /// The key that signed.
    pub signer: PublicKey,
    /// The transaction.
    pub transaction: TransactionId,
    /// Position of the action in the transaction.
    pub position: u32,
    /// Whether enough keys of the office have approved it.
    pub(super) approved: bool,
}

impl<'a> std::ops::Deref for Context<'_, 'a> {
    type Target = Block<'a>;

    fn deref(&self) -> &Block<'a> {
        self.block
    }
}

impl std::ops::DerefMut for Context<'_, '_> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        self.block
    }
}

impl<'b, 'a> Context<'b, 'a> {
    /// The action at `position` of `transaction`, signed by one key.
    pub fn new(
        block: &'b mut Block<'a>,
        signer: PublicKey,
        transaction: TransactionId,
        position: u32,
    ) -> Self {
        Self { block, signer, transaction, position, approved: false }
    }
}

impl Context<'_, '_> {
    /// The id that an object made by this action gets.
    pub fn object_id(&self, domain: &str) -> Hash {
        crate::id::hash_of(domain, &(self.transaction, self.position))
    }

    /// The organisation that signs, if its key has `role` and it may act.
    pub fn organisation(&self, role: Roles) -> Result<(OrganisationId, Organisation), Rejection> {
        let (id, _) = self.organisation_any_standing(role)?;
        Ok((id, accredited(&self.block.view, self.block.now, &id)?))
    }

    /// The organisation that signs, if its key has `role`; also one that may no longer place orders, for what it still has
    /// to bring to its end.
    pub fn organisation_any_standing(
        &self,
        role: Roles,
    ) -> Result<(OrganisationId, Organisation), Rejection> {
        let (id, organisation) = self.signing(role)?;
        Ok((id, organisation.clone()))
    }

    /// The id of [`Self::organisation_any_standing`].
    pub(super) fn organisation_id(&self, role: Roles) -> Result<OrganisationId, Rejection> {
        self.signing(role).map(|(id, _)| id)
    }

    fn signing(&self, role: Roles) -> Result<(OrganisationId, &Organisation), Rejection> {
        let key = self.key()?;
        let Principal::Organisation(id) = key.principal else {
            return Err(Rejection::RoleMissing);
        };
        if !key.roles.includes(role) {
            return Err(Rejection::RoleMissing);
        }
        let organisation = self.view.get::<Organisations>(&id).ok_or(Rejection::OrganisationUnknown)?;
        Ok((id, organisation))
    }

    /// The member whose `office` acts: one key of it signed, and either one suffices or enough have approved. This is where
    /// the threshold is enforced, so an action that asks for an office cannot forget it.
    ///
    /// # Errors
    /// `otherwise` for anybody else's key; [`Rejection::OrderNeeded`] where it takes more keys, which [`Self::perform`] turns
    /// into an order.
    pub fn office(&self, office: Office, otherwise: Rejection) -> Result<MemberCode, Rejection> {
        match self.key()?.principal {
            Principal::Office(member, held) if held == office => {
                let single = self.view.get::<Offices>(&(member, held)).is_some_and(|row| row.threshold == 1);
                if single || self.approved { Ok(member) } else { Err(Rejection::OrderNeeded) }
            }
            _ => Err(otherwise),
        }
    }

    /// The office whose key signs, for what each of its keys may do alone.
    pub fn any_office(&self) -> Result<(MemberCode, Office), Rejection> {
        match self.key()?.principal {
            Principal::Office(member, office) => Ok((member, office)),
            Principal::Organisation(_) => Err(Rejection::RoleMissing),
        }
    }

    /// Refuses an amount over what the signing key may bind.
    pub fn within_key_limit(&self, amount: Money) -> Result<(), Rejection> {
        match self.key()?.amount_max {
            Some(limit) if amount > limit => Err(Rejection::AmountOverKeyLimit),
            _ => Ok(()),
        }
    }

    fn key(&self) -> Result<&Key, Rejection> {
        self.view.get::<Keys>(&self.signer).ok_or(Rejection::UnknownKey)
    }
}

impl Block<'_> {
    /// Whether enough fuel is left for a call.
    #[must_use]
    pub fn has_fuel(&self, fuel_use: FuelUse) -> bool {
        self.fuel_for(fuel_use) >= self.runtime.fuel_per_call_max()
    }

    /// The fuel that such calls may still use in this block.
    #[must_use]
    pub fn fuel_for(&self, fuel_use: FuelUse) -> u64 {
        match fuel_use {
            FuelUse::Final => self.fuel,
            FuelUse::Other => self.fuel.saturating_sub(self.fuel_kept),
        }
    }

    /// Counts the fuel of a call.
    pub fn burn_fuel(&mut self, fuel_use: FuelUse, fuel: u64) {
        self.fuel = self.fuel.saturating_sub(fuel);
        if fuel_use == FuelUse::Final {
            self.fuel_kept = self.fuel_kept.saturating_sub(fuel);
        }
    }

    /// Records what happened.
    pub fn emit(&mut self, event: Event) {
        self.events.push(event);
    }

    /// Whether a member signs votes or authenticates connections with this key: such a key signs nothing else.
    pub fn is_member_key(&self, key: &PublicKey) -> bool {
        self.view.range::<Members>(..).any(|(_, member)| {
            member.consensus_key.as_ref() == Some(key) || member.network_key.as_ref() == Some(key)
        }) || self
            .view
            .range::<ValidatorSets>(..)
            .any(|(_, set)| set.members.iter().any(|one| one.key == *key))
    }

    /// An organisation that may act.
    pub fn accredited(&self, id: &OrganisationId) -> Result<Organisation, Rejection> {
        accredited(&self.view, self.now, id)
    }
}

/// An organisation that may act at `now`.
pub(super) fn accredited(
    view: &View<'_>,
    now: TimeMs,
    id: &OrganisationId,
) -> Result<Organisation, Rejection> {
    let organisation = view.get::<Organisations>(id).ok_or(Rejection::OrganisationUnknown)?;
    match organisation.standing {
        Standing::Revoked => Err(Rejection::OrganisationRevoked),
        Standing::Accredited if organisation.accredited_until > now => Ok(organisation.clone()),
        Standing::Accredited | Standing::Expired => Err(Rejection::OrganisationExpired),
    }
}
