//! Taking nobody's word: rows instead of views, each with its proof.

use super::Client;
use crate::certificate::Handover;
use crate::chain::BlockInfo;
use crate::error::{ApiError, ErrorDetail, Fault};
use crate::light::{Anchor, Distrust, Doubt, Light, SignedHeader};
use crate::proof::ProofInfo;
use borsh::BorshDeserialize as _;
use hansa_ledger::genesis::Genesis;
use hansa_ledger::params::Params;
use hansa_ledger::state::Table;
use hansa_ledger::tables::{ParamsTable, Tables};
use hansa_ledger::time::TimeMs;
use std::sync::Arc;

impl Client {
    /// The same client, which believes what is proven against `trust` and refuses what is proven otherwise. What cannot be proven
    /// is noted there ([`Light::verification`]).
    #[must_use]
    pub fn with_trust(self, trust: Arc<Light>) -> Self {
        Self { trust: Some(trust), ..self }
    }

    /// The same client, which takes the node's word, for what is proven by what follows. `what` is noted.
    #[must_use]
    pub fn unproven(&self, what: &str) -> Self {
        self.note_unproven(what);
        Self { trust: None, ..self.clone() }
    }

    /// The same client, which takes the node's word for what a lie about could do no harm.
    #[must_use]
    pub fn without_trust(&self) -> Self {
        Self { trust: None, ..self.clone() }
    }

    /// Whether it takes nobody's word.
    #[must_use]
    pub fn is_trusting_nobody(&self) -> bool {
        self.trust.is_some()
    }

    /// Block time of the newest block that is proven; none without a trust.
    #[must_use]
    pub fn proven_time(&self) -> Option<TimeMs> {
        self.trust.as_ref().and_then(|light| light.time())
    }

    /// Notes that something is the node's word only.
    pub fn note_unproven(&self, what: &str) {
        if let Some(light) = &self.trust {
            light.note_unproven(what);
        }
    }

    /// Notes that an answer is the node's word only.
    pub(super) fn note_told(&self, path: &str) {
        self.note_unproven(&format!("the answer of {path}"));
    }

    /// What is believed, once the node has shown that its history is the one that was verified before.
    pub(super) async fn light(&self) -> Result<Option<&Light>, ApiError> {
        let Some(light) = self.trust.as_deref() else { return Ok(None) };
        if !light.has_met(self.url()) {
            self.introduce(light).await?;
            light.note_met(self.url());
        }
        Ok(Some(light))
    }

    async fn introduce(&self, light: &Light) -> Result<(), ApiError> {
        if let (Anchor::Block { height, .. }, None) = (light.anchor(), light.memory()) {
            let block: SignedHeader = self.open_raw(&format!("/v1/headers/{height}")).await?;
            let genesis: Genesis = self.open_raw("/v1/genesis").await?;
            light.begin(&block, &genesis, &self.fetch_handovers().await?)?;
        }
        let Some((height, id)) = light.remembered() else { return Ok(()) };
        match self.open_raw::<SignedHeader>(&format!("/v1/headers/{height}")).await {
            Ok(block) if block.header.id() == id => Ok(()),
            Ok(block) => Ok(light.compare(&id, &block, &self.fetch_handovers().await?)?),
            // Forgotten, or not there yet: how old its rows are is looked at with each of them.
            Err(error) if matches!(error.fault(), Some(Fault::HistoryGone | Fault::NotFound)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn fetch_handovers(&self) -> Result<Vec<Handover>, ApiError> {
        self.open_raw("/v1/validators").await
    }

    /// Checks a proof, where there is a trust.
    pub(super) async fn check_proof(
        &self,
        table: &str,
        key: &[u8],
        proof: &ProofInfo,
    ) -> Result<(), ApiError> {
        let Some(light) = self.light().await? else { return Ok(()) };
        let named = Tables::NAMES.iter().find(|(id, name)| *name == table || id.to_string() == table);
        let (table, _) = named.ok_or_else(|| Doubt::new(Distrust::OtherRow, "there is no such table"))?;
        Ok(light.check_row(*table, key, proof)?)
    }

    /// That there is no row is believed when it is proven, and not when a node says that it has none.
    pub(super) fn withheld(&self, error: ApiError) -> ApiError {
        match error.fault() {
            Some(Fault::NotFound) if self.trust.is_some() => {
                Doubt::new(Distrust::Withheld, "it proves neither that the row is there nor that it is not")
                    .into()
            }
            _ => error,
        }
    }

    /// Checks a block that was asked for by its height, or as the last one, where there is a trust.
    pub(super) async fn check_block(&self, height: Option<u64>, block: &BlockInfo) -> Result<(), ApiError> {
        let Some(light) = self.light().await? else { return Ok(()) };
        if height.is_some_and(|height| height != block.header.height) {
            return Err(Doubt::new(Distrust::AnswerDiffers, "it is the block of another height").into());
        }
        if block.id != block.header.id() {
            return Err(
                Doubt::new(Distrust::AnswerDiffers, "the id of the block is not that of its header").into()
            );
        }
        let handovers = self.fetch_handovers().await?;
        light.check_block(&block.header, &block.certificate, &handovers, height.is_none())?;
        self.note_unproven("what stands in the block besides its header");
        Ok(())
    }

    /// Checks a header that was asked for by its height, where there is a trust.
    pub(super) async fn check_header(&self, height: u64, shown: &SignedHeader) -> Result<(), ApiError> {
        let Some(light) = self.light().await? else { return Ok(()) };
        if height != shown.header.height || shown.id != shown.header.id() {
            return Err(Doubt::new(Distrust::AnswerDiffers, "it is the header of another block").into());
        }
        let handovers = self.fetch_handovers().await?;
        light.check_block(&shown.header, &shown.certificate, &handovers, false)?;
        Ok(())
    }

    /// A proven row, or its proven absence. Only where there is a trust.
    pub(super) async fn proven<T: Table>(&self, key: &T::Key) -> Result<Option<T::Row>, ApiError> {
        let proof = self.proof::<T>(key).await?;
        let row = proof.row.as_deref().map(T::Row::try_from_slice).transpose();
        row.map_err(|error| Doubt::new(Distrust::RowUnreadable, error).into())
    }

    /// The proven row under a key, where there is a trust; refused where its absence is proven. `None` without a trust.
    pub(super) async fn row_or_missing<T: Table>(
        &self,
        what: &str,
        key: &T::Key,
    ) -> Result<Option<T::Row>, ApiError> {
        if self.light().await?.is_none() {
            return Ok(None);
        }
        self.proven::<T>(key).await?.map(Some).ok_or_else(|| missing(what))
    }

    /// Puts the proven row into each entry of a list, where there is a trust. Entries without a key are public forms, which have
    /// no proof. That a list is whole cannot be proven.
    pub(super) async fn prove_each<T: Table, I>(
        &self,
        path: &str,
        items: &mut [I],
        key: fn(&I) -> Option<T::Key>,
        put: fn(&mut I, T::Row),
    ) -> Result<(), ApiError> {
        if self.light().await?.is_none() {
            return Ok(());
        }
        self.note_unproven(&format!("that {path} leaves nothing out"));
        for item in items {
            let Some(key) = key(item) else {
                self.note_unproven(&format!("what {path} tells of things that are others'"));
                continue;
            };
            let row = self.proven::<T>(&key).await?;
            put(item, row.ok_or_else(|| Doubt::new(Distrust::AnswerDiffers, "it lists what is not there"))?);
        }
        Ok(())
    }

    pub(super) async fn proven_params(&self) -> Result<Params, ApiError> {
        let params = self.proven::<ParamsTable>(&()).await?.ok_or_else(|| missing("row of parameters"))?;
        if let Some(light) = &self.trust {
            light.note_heartbeat(params.heartbeat_ms);
        }
        Ok(params)
    }
}

/// That the members sign that there is no such thing.
pub(super) fn missing(what: &str) -> ApiError {
    let detail = ErrorDetail {
        message: format!("there is no such {what}, proven by the members"),
        ..ErrorDetail::from(Fault::NotFound)
    };
    ApiError::Refused { status: Fault::NotFound.status(), detail, retry_after: None }
}
