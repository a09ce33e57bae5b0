//! The market's public face, and why a request waits.

use super::Client;
use crate::book::{FiguresInfo, MarketBook, MarketPrice};
use crate::error::ApiError;
use crate::filter::FiguresFilter;
use crate::why::{ReasonRow, RequestWhy};
use hansa_ledger::id::RequestId;
use hansa_ledger::name::Name;

impl Client {
    /// Why a request stands where it stands.
    ///
    /// # Errors
    /// As [`ApiError`].
    pub async fn request_why(&self, id: &RequestId) -> Result<RequestWhy, ApiError> {
        self.get(&format!("/v1/requests/{id}/why")).await
    }

    /// The closed list of reasons why a request stays open, by code.
    ///
    /// # Errors
    /// As [`ApiError`].
    pub async fn reasons(&self) -> Result<Vec<ReasonRow>, ApiError> {
        self.open("/v1/market/reasons").await
    }

    /// What the batches of a class have decided, the oldest first, as far as the node's ledger keeps it.
    ///
    /// # Errors
    /// As [`ApiError`]; [`crate::Fault::NotFound`] for a class that is none.
    pub async fn market_figures(
        &self,
        class: &Name,
        filter: &FiguresFilter,
    ) -> Result<Vec<FiguresInfo>, ApiError> {
        self.list(&format!("/v1/market/{class}/figures"), filter).await
    }

    /// What a class costs.
    ///
    /// # Errors
    /// As [`ApiError`]; [`crate::Fault::NotFound`] for a class that is none.
    pub async fn market_price(&self, class: &Name) -> Result<MarketPrice, ApiError> {
        self.open(&format!("/v1/market/{class}/price")).await
    }

    /// The book of a class, as the reader may see it.
    ///
    /// # Errors
    /// As [`ApiError`]; [`crate::Fault::NotFound`] for a class that is none.
    pub async fn market_book(&self, class: &Name) -> Result<MarketBook, ApiError> {
        self.get(&format!("/v1/market/{class}/book")).await
    }
}
