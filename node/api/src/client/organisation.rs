//! Members, organisations, offices, keys and money.

use super::Client;
use super::proven::missing;
use crate::error::{ApiError, Fault};
use crate::filter::{GrantFilter, OrderFilter, OrganisationFilter, PageFilter};
use crate::light::{Distrust, Doubt};
use crate::office::{OfficeInfo, OrderInfo};
use crate::organisation::{GrantInfo, KeyInfo, MemberInfo, OrganisationDetail, OrganisationInfo};
use crate::view::{Shown, ShownOrganisation};
use hansa_ledger::id::OrganisationId;
use hansa_ledger::member::MemberCode;
use hansa_ledger::money::Money;
use hansa_ledger::rejection::Rejection;
use hansa_ledger::row::{AccountId, Principal};
use hansa_ledger::tables::{Accounts, Grants, Keys, Members, OfficeOrders, Organisations, Quotas};
use hansa_ledger_signature::PublicKey;
use std::collections::BTreeSet;

impl Client {
    /// The members with their positions and limits.
    ///
    /// # Errors
    /// As [`ApiError`].
    pub async fn members(&self) -> Result<Vec<MemberInfo>, ApiError> {
        let mut shown = self.list_raw("/v1/members", &PageFilter::default()).await?;
        self.prove_each::<Members, _>(
            "/v1/members",
            &mut shown,
            |one: &MemberInfo| Some(one.code),
            |one, row| {
                *one = MemberInfo::new(one.code, row);
            },
        )
        .await?;
        Ok(shown)
    }

    /// The organisations. Those that the reader may see whole; the others stand in [`Self::organisations_shown`].
    ///
    /// # Errors
    /// As [`ApiError`].
    pub async fn organisations(
        &self,
        filter: &OrganisationFilter,
    ) -> Result<Vec<OrganisationInfo>, ApiError> {
        let shown = self.organisations_shown(filter).await?;
        Ok(shown.into_iter().filter_map(Shown::whole).collect())
    }

    /// The organisations. All of them, each as the reader may see it.
    ///
    /// # Errors
    /// As [`ApiError`].
    pub async fn organisations_shown(
        &self,
        filter: &OrganisationFilter,
    ) -> Result<Vec<ShownOrganisation>, ApiError> {
        let mut shown: Vec<ShownOrganisation> = self.list_raw("/v1/organisations", filter).await?;
        let put = |one: &mut ShownOrganisation, row| {
            if let Shown::Whole(whole) = one {
                whole.row = row;
            }
        };
        let key = |one: &ShownOrganisation| if let Shown::Whole(whole) = one { Some(whole.id) } else { None };
        self.prove_each::<Organisations, _>("/v1/organisations", &mut shown, key, put).await?;
        Ok(shown)
    }

    /// An organisation with its keys and purses.
    ///
    /// # Errors
    /// As [`ApiError`].
    pub async fn organisation(&self, id: &OrganisationId) -> Result<OrganisationDetail, ApiError> {
        match self.row_or_missing::<Organisations>("organisation", id).await? {
            None => self.get(&format!("/v1/organisations/{id}")).await,
            Some(row) => self.proven_organisation(OrganisationInfo { id: *id, row }).await,
        }
    }

    /// What an organisation holds, by its rows. Which keys and grants there are is asked, and each is proven.
    async fn proven_organisation(
        &self,
        organisation: OrganisationInfo,
    ) -> Result<OrganisationDetail, ApiError> {
        let id = organisation.id;
        let asked: OrganisationDetail = self.get_raw(&format!("/v1/organisations/{id}")).await?;
        let named: BTreeSet<PublicKey> = asked.key_list.iter().map(|one| one.key).collect();
        let mut key_list = Vec::new();
        for key in named {
            let row = self.proven::<Keys>(&key).await?;
            let own = row.filter(|row| row.principal == Principal::Organisation(id));
            let row =
                own.ok_or_else(|| Doubt::new(Distrust::AnswerDiffers, "it lists a key of somebody else"))?;
            key_list.push(KeyInfo { key, next_nonce: row.nonce, row });
        }
        // The organisation counts its keys, so that none can be kept back.
        if key_list.len() < organisation.row.keys as usize {
            let found = format!("it shows {} of {} keys", key_list.len(), organisation.row.keys);
            return Err(Doubt::new(Distrust::Withheld, found).into());
        }
        let mut grants = Vec::new();
        for grant in asked.grants.iter().map(|one| one.id).collect::<BTreeSet<_>>() {
            let row = self.proven::<Grants>(&grant).await?.filter(|row| row.holder == id);
            let row =
                row.ok_or_else(|| Doubt::new(Distrust::AnswerDiffers, "it lists a grant of somebody else"))?;
            grants.push(GrantInfo {
                id: grant,
                row,
                balance: self.proven_balance(AccountId::Grant(grant)).await?,
            });
        }
        self.note_unproven("that no other grant is the organisation's");
        self.note_unproven("the sum in escrow");
        Ok(OrganisationDetail {
            organisation,
            key_list,
            cash: self.proven_balance(AccountId::Cash(id)).await?,
            grants,
            escrowed: asked.escrowed,
            quota: self.proven::<Quotas>(&Principal::Organisation(id)).await?,
        })
    }

    /// What an account holds; one without a row holds nothing.
    async fn proven_balance(&self, account: AccountId) -> Result<Money, ApiError> {
        Ok(self.proven::<Accounts>(&account).await?.map_or(Money::ZERO, |row| row.balance))
    }

    /// A key: who it acts for, its roles, its next nonce.
    ///
    /// # Errors
    /// As [`ApiError`]; [`crate::Fault::NotFound`] for a key that nobody registered.
    pub async fn key(&self, key: &PublicKey) -> Result<KeyInfo, ApiError> {
        if self.light().await?.is_none() {
            return self.get(&format!("/v1/keys/{key}")).await;
        }
        let row = self.proven::<Keys>(key).await?.ok_or_else(|| missing("registered key"))?;
        Ok(KeyInfo { key: *key, next_nonce: row.nonce, row })
    }

    /// The nonce of the key's next transaction, those counted that wait on the node.
    ///
    /// # Errors
    /// As [`Self::key`]; an unregistered key is [`Rejection::UnknownKey`], one that was taken back
    /// [`Rejection::KeyRevoked`]. The client reads as this key, or as somebody else who may see it.
    pub async fn next_nonce(&self, key: &PublicKey) -> Result<u64, ApiError> {
        // A lie about it only gets the transaction refused.
        match self.without_trust().key(key).await {
            Ok(info) => Ok(info.next_nonce),
            Err(error) => Err(match error.fault() {
                Some(Fault::NotFound | Fault::PassKeyUnknown) => Rejection::UnknownKey.into(),
                Some(Fault::PassKeyRevoked) => Rejection::KeyRevoked.into(),
                _ => error,
            }),
        }
    }

    /// The offices of a member with their keys.
    ///
    /// # Errors
    /// As [`ApiError`]; [`crate::Fault::NotFound`] for who is no member.
    pub async fn offices(&self, member: MemberCode) -> Result<Vec<OfficeInfo>, ApiError> {
        self.get(&format!("/v1/offices/{member}")).await
    }

    /// The orders of offices that await approval.
    ///
    /// # Errors
    /// As [`ApiError`].
    pub async fn orders(&self, filter: &OrderFilter) -> Result<Vec<OrderInfo>, ApiError> {
        let mut shown = self.list_raw("/v1/orders", filter).await?;
        self.prove_each::<OfficeOrders, _>(
            "/v1/orders",
            &mut shown,
            |one: &OrderInfo| Some(one.id),
            |one, row| one.row = row,
        )
        .await?;
        if !shown.is_empty() {
            self.note_unproven("how many approvals an order has and takes");
        }
        Ok(shown)
    }

    /// The grants that the reader may see: its own.
    ///
    /// # Errors
    /// As [`ApiError`].
    pub async fn grants(&self, filter: &GrantFilter) -> Result<Vec<GrantInfo>, ApiError> {
        let mut shown: Vec<GrantInfo> = self.list_raw("/v1/grants", filter).await?;
        let put = |one: &mut GrantInfo, row| one.row = row;
        self.prove_each::<Grants, _>("/v1/grants", &mut shown, |one| Some(one.id), put).await?;
        if self.is_trusting_nobody() {
            for one in &mut shown {
                one.balance = self.proven_balance(AccountId::Grant(one.id)).await?;
            }
        }
        Ok(shown)
    }
}
