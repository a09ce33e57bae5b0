//! Leases, their settlements, and contracts.

use super::Client;
use crate::error::ApiError;
use crate::filter::{ContractFilter, LeaseFilter, PageFilter};
use crate::lease::{
    ContractInfo, DisputeInfo, ExtensionInfo, InterimInfo, JobInfo, LeaseInfo, SettlementInfo,
};
use crate::light::{Distrust, Doubt};
use crate::view::{Shown, ShownLease};
use hansa_ledger::id::{CodeHash, LeaseId};
use hansa_ledger::tables::{Disputes, Interims, Jobs, Leases, Settlements};

impl Client {
    /// The leases. Those that the reader may see whole; the others stand in [`Self::leases_shown`].
    ///
    /// # Errors
    /// As [`ApiError`].
    pub async fn leases(&self, filter: &LeaseFilter) -> Result<Vec<LeaseInfo>, ApiError> {
        let shown = self.leases_shown(filter).await?;
        Ok(shown.into_iter().filter_map(Shown::whole).collect())
    }

    /// The leases. All of them, each as the reader may see it.
    ///
    /// # Errors
    /// As [`ApiError`].
    pub async fn leases_shown(&self, filter: &LeaseFilter) -> Result<Vec<ShownLease>, ApiError> {
        let mut shown: Vec<ShownLease> = self.list_raw("/v1/leases", filter).await?;
        let put = |one: &mut ShownLease, row| {
            if let Shown::Whole(whole) = one {
                whole.row = row;
            }
        };
        let key = |one: &ShownLease| if let Shown::Whole(whole) = one { Some(whole.id) } else { None };
        self.prove_each::<Leases, _>("/v1/leases", &mut shown, key, put).await?;
        Ok(shown)
    }

    /// One lease.
    ///
    /// # Errors
    /// As [`ApiError`].
    pub async fn lease(&self, id: &LeaseId) -> Result<LeaseInfo, ApiError> {
        match self.row_or_missing::<Leases>("lease", id).await? {
            None => self.get(&format!("/v1/leases/{id}")).await,
            Some(row) => Ok(LeaseInfo { id: *id, row }),
        }
    }

    /// The jobs of a lease.
    ///
    /// # Errors
    /// As [`ApiError`].
    pub async fn jobs(&self, lease: &LeaseId) -> Result<Vec<JobInfo>, ApiError> {
        let Some(row) = self.row_or_missing::<Leases>("lease", lease).await? else {
            return self.list(&format!("/v1/leases/{lease}/jobs"), &PageFilter::default()).await;
        };
        // The lease counts them, so that none can be kept back.
        let mut jobs = Vec::new();
        for job in 0..row.jobs {
            let row =
                self.proven::<Jobs>(&(*lease, job)).await?.ok_or(Doubt::from(Distrust::AnswerDiffers))?;
            jobs.push(JobInfo { lease: *lease, job, row });
        }
        Ok(jobs)
    }

    /// How a lease was settled; [`crate::Fault::NotFound`] as long as it was not.
    ///
    /// # Errors
    /// As [`ApiError`].
    pub async fn settlement(&self, lease: &LeaseId) -> Result<SettlementInfo, ApiError> {
        match self.row_or_missing::<Settlements>("settlement", lease).await? {
            None => self.get(&format!("/v1/leases/{lease}/settlement")).await,
            Some(row) => Ok(SettlementInfo { lease: *lease, row }),
        }
    }

    /// The settlements of a lease before the one that closes it, those that failed included, in their order.
    ///
    /// # Errors
    /// As [`ApiError`].
    pub async fn interims(&self, lease: &LeaseId) -> Result<Vec<InterimInfo>, ApiError> {
        let Some(row) = self.row_or_missing::<Leases>("lease", lease).await? else {
            return self.list(&format!("/v1/leases/{lease}/interims"), &PageFilter::default()).await;
        };
        let mut interims = Vec::new();
        for number in 0..row.interims {
            let row = self.proven::<Interims>(&(*lease, number)).await?;
            let row = row.ok_or(Doubt::from(Distrust::AnswerDiffers))?;
            interims.push(InterimInfo { lease: *lease, number, row });
        }
        Ok(interims)
    }

    /// The dispute over a lease, open or decided; [`crate::Fault::NotFound`] where nobody opened one.
    ///
    /// # Errors
    /// As [`ApiError`].
    pub async fn dispute(&self, lease: &LeaseId) -> Result<DisputeInfo, ApiError> {
        match self.row_or_missing::<Disputes>("dispute", lease).await? {
            None => self.get(&format!("/v1/leases/{lease}/dispute")).await,
            Some(row) => Ok(DisputeInfo { lease: *lease, row }),
        }
    }

    /// What extending a lease by so many slots would give and take now. Nothing is signed or changed.
    ///
    /// # Errors
    /// As [`ApiError`]; also with the reason why it would be refused.
    pub async fn extension(&self, lease: &LeaseId, slots: u32) -> Result<ExtensionInfo, ApiError> {
        self.get(&format!("/v1/leases/{lease}/extension?slots={slots}")).await
    }

    /// The contracts, without their code.
    ///
    /// # Errors
    /// As [`ApiError`].
    pub async fn contracts(&self) -> Result<Vec<ContractInfo>, ApiError> {
        self.list("/v1/contracts", &ContractFilter::default()).await
    }

    /// One contract, with its code.
    ///
    /// # Errors
    /// As [`ApiError`].
    pub async fn contract(&self, hash: &CodeHash) -> Result<ContractInfo, ApiError> {
        let info: ContractInfo = self.get_raw(&format!("/v1/contracts/{hash}?code=true")).await?;
        if self.light().await?.is_none() {
            return Ok(info);
        }
        // The code proves itself by its hash.
        let is_it = info.code.as_deref().is_none_or(|code| *blake3::hash(code).as_bytes() == hash.0);
        if info.hash != *hash || !is_it {
            return Err(Doubt::new(Distrust::AnswerDiffers, "the code has another hash").into());
        }
        self.note_unproven("what is told of the contract besides its code");
        Ok(info)
    }
}
