//! Answers to requests, each in a task of its own.

use super::NetworkApplication;
use super::member::MemberReply;
use crate::blob::{Account, BlobError};
use crate::log::LogAppend;
use crate::snapshot::wire::{SnapshotReply, SnapshotRequest};
use futures::FutureExt as _;
use hansa_ledger_signature::PublicKey;
use hansa_node_api::peer::blob::{BlobCall, BlobDirection, BlobRefusal, BlobReply, check_call};
use hansa_node_api::peer::log::{LogCall, LogRefusal, LogReply, check_log_call};
use hansa_node_api::peer::{now_ms, slice};
use std::panic::AssertUnwindSafe;

/// Looks a body up.
pub(super) async fn body(
    application: &dyn NetworkApplication,
    id: [u8; 32],
    body_bytes_max: u32,
) -> MemberReply {
    let body = AssertUnwindSafe(application.body(id)).catch_unwind().await.unwrap_or_else(|_| {
        tracing::error!(id = %hex::encode(id), "looking a block body up failed");
        None
    });
    match body {
        Some(body) if body.len() <= body_bytes_max as usize => MemberReply::Body(body.to_vec()),
        Some(body) => {
            tracing::error!(
                bytes = body.len(),
                "a block body is over the network's limit and cannot be given to others"
            );
            MemberReply::Missing
        }
        None => MemberReply::Missing,
    }
}

/// Looks up what is asked about snapshots.
pub(super) async fn snapshot(application: &dyn NetworkApplication, request: SnapshotRequest) -> MemberReply {
    // Whatever happens there is an answer: the place that the request takes is given free with it.
    let serving = AssertUnwindSafe(application.snapshot(request)).catch_unwind();
    MemberReply::Snapshot(serving.await.unwrap_or_else(|_| {
        tracing::error!("serving a snapshot failed");
        SnapshotReply::Missing
    }))
}

/// Serves one piece, either way: first what needs no state, then the right, then the store.
pub(super) async fn blob(
    application: &dyn NetworkApplication,
    call: BlobCall,
    chain_id: &[u8; 32],
    node: &PublicKey,
) -> BlobReply {
    // Whatever happens there is an answer: the place that the request takes is given free with it.
    let serving = AssertUnwindSafe(try_blob(application, call, chain_id, node)).catch_unwind();
    match serving.await {
        Ok(Ok(reply)) => reply,
        Ok(Err(refusal)) => BlobReply::Refused(refusal),
        Err(_) => {
            tracing::error!("serving a blob request failed");
            BlobReply::Refused(BlobRefusal::StorageFailed)
        }
    }
}

async fn try_blob(
    application: &dyn NetworkApplication,
    call: BlobCall,
    chain_id: &[u8; 32],
    node: &PublicKey,
) -> Result<BlobReply, BlobRefusal> {
    let now_ms = now_ms();
    check_call(&call, chain_id, node, now_ms)?;
    let owner = application.blob_access(&call.request).await?;
    let store = application.blobs();
    let terms = &call.request.terms;
    match terms.direction {
        BlobDirection::Get => {
            let piece = store.slice(&terms.hash, terms.offset, terms.length).await;
            let (total, slice) = piece.map_err(|error| refusal(&error))?;
            Ok(BlobReply::Piece { total, slice })
        }
        BlobDirection::Put => {
            // Proven against the hash before a byte is written.
            let piece = slice::verify(&terms.hash, &call.slice, terms.offset, terms.length)
                .map_err(|_| BlobRefusal::Malformed)?;
            if piece.total != terms.total {
                return Err(BlobRefusal::Malformed);
            }
            let progress = store
                .put_piece(
                    Account::of_lease(owner, terms.lease),
                    terms.hash,
                    terms.total,
                    terms.offset,
                    piece.content,
                    now_ms,
                )
                .await
                .map_err(|error| refusal(&error))?;
            Ok(BlobReply::Stored { next_offset: progress.next_offset, complete: progress.complete })
        }
    }
}

/// Takes one piece of a log: first what needs no state, then the right, then the store.
pub(super) async fn log(
    application: &dyn NetworkApplication,
    call: LogCall,
    chain_id: &[u8; 32],
    node: &PublicKey,
) -> LogReply {
    let taking = async {
        let now_ms = now_ms();
        check_log_call(&call, chain_id, node, now_ms)?;
        let owner = application.log_access(&call.terms).await?;
        let LogCall { terms, bytes, .. } = call;
        let key = (terms.lease, terms.job);
        let append = LogAppend { key, owner, offset: terms.offset, bytes, ended: terms.ended, now_ms };
        application.logs().append(append).await
    };
    match AssertUnwindSafe(taking).catch_unwind().await {
        Ok(Ok(held)) => LogReply::Held(held),
        Ok(Err(refusal)) => LogReply::Refused(refusal),
        Err(_) => {
            tracing::error!("taking a piece of a log failed");
            LogReply::Refused(LogRefusal::StorageFailed)
        }
    }
}

fn refusal(error: &BlobError) -> BlobRefusal {
    match error {
        BlobError::NotFound { .. } => BlobRefusal::NotFound,
        BlobError::TooLarge { .. } => BlobRefusal::TooLarge,
        BlobError::QuotaExceeded { .. } | BlobError::OwnerFull { .. } | BlobError::LeaseFull { .. } => {
            BlobRefusal::QuotaExceeded
        }
        BlobError::Busy => BlobRefusal::Busy,
        BlobError::OutOfOrder | BlobError::HashMismatch { .. } => BlobRefusal::Malformed,
        BlobError::DiskFull | BlobError::Stream(_) | BlobError::Index { .. } | BlobError::Storage { .. } => {
            tracing::error!(%error, "the blob store failed");
            BlobRefusal::StorageFailed
        }
    }
}
