//! Who may have a blob: the two sides of the lease that names it, nobody else.

use crate::blob::BlobStore;
use crate::executor::Executor;
use hansa_ledger::id::{BlobHash, LeaseId, OrganisationId, RequestId};
use hansa_ledger::row::{LeaseState, Principal, RequestState};
use hansa_ledger::state::State;
use hansa_ledger::tables::{Jobs, Keys, Leases, Requests};
use hansa_ledger_signature::PublicKey;
use hansa_node_api::job::{MANIFEST_BYTES_MAX, Manifest, OutputManifest};
use std::collections::BTreeSet;
use tokio::io::AsyncReadExt as _;

/// The organisation a key acts for.
#[must_use]
pub fn organisation_of(state: &State, key: &PublicKey) -> Option<OrganisationId> {
    match state.get::<Keys>(key).filter(|row| !row.revoked)?.principal {
        Principal::Organisation(organisation) => Some(organisation),
        Principal::Office(..) => None,
    }
}

/// Whether `key` may get (or, with `write`, put) this blob in the name of this lease, and whose quota it counts against: the
/// requester's, always. The requester and the provider may get what a job of the lease names; the provider may put what its
/// jobs left behind until the lease is settled.
#[must_use]
pub async fn blob_right(
    executor: &Executor,
    blobs: &BlobStore,
    key: &PublicKey,
    lease: &LeaseId,
    hash: &BlobHash,
    write: bool,
) -> Option<OrganisationId> {
    let (row, roots) = {
        let state = executor.state();
        let organisation = organisation_of(&state, key)?;
        let row = state.get::<Leases>(lease)?.clone();
        let provides = row.provider == organisation;
        if !provides && row.requester != organisation {
            return None;
        }
        if write {
            return (provides && row.state != LeaseState::Settled).then_some(row.requester);
        }
        (row, manifests_of_lease(&state, lease))
    };
    named(blobs, roots).await.contains(hash).then_some(row.requester)
}

/// The manifests that a lease's jobs name: what they run and what they left behind.
fn manifests_of_lease(state: &State, lease: &LeaseId) -> Vec<BlobHash> {
    let jobs = state.view();
    jobs.range::<Jobs>((*lease, 0)..=(*lease, u32::MAX))
        .flat_map(|(_, job)| [Some(job.manifest), job.outputs])
        .flatten()
        .collect()
}

/// The manifests and every file they list, as far as this node has the manifests.
#[must_use]
pub async fn named(blobs: &BlobStore, manifests: Vec<BlobHash>) -> BTreeSet<BlobHash> {
    let mut named = BTreeSet::new();
    for hash in manifests {
        if let Some(bytes) = read_small(blobs, &hash).await {
            if let Ok(manifest) = Manifest::decode(&bytes) {
                named.extend(manifest.files.iter().map(|file| file.hash));
            } else if let Ok(outputs) = OutputManifest::decode(&bytes) {
                named.extend(outputs.files.iter().map(|file| file.hash));
            }
        }
        named.insert(hash);
    }
    named
}

/// Whether an organisation may read a blob without naming a lease: one of its leases, on either side, names it.
pub async fn may_read(executor: &Executor, blobs: &BlobStore, reader: OrganisationId, hash: &BlobHash) -> bool {
    let manifests = {
        let state = executor.state();
        let sided = |lease: &LeaseId| {
            state.get::<Leases>(lease).is_some_and(|row| row.requester == reader || row.provider == reader)
        };
        let jobs = state.rows::<Jobs>().filter(|((lease, _), _)| sided(lease));
        jobs.flat_map(|(_, job)| [Some(job.manifest), job.outputs]).flatten().collect()
    };
    named(blobs, manifests).await.contains(hash)
}

/// Every blob that an open request or a lease within its retention names: all others may be dropped.
#[must_use]
pub async fn named_by_ledger(
    executor: &Executor,
    blobs: &BlobStore,
    now_ms: u64,
    retention_ms: u64,
) -> BTreeSet<BlobHash> {
    let manifests = {
        let state = executor.state();
        let kept = |request: &RequestId| match state.get::<Requests>(request) {
            Some(row) if row.state == RequestState::Open => true,
            Some(row) => row.lease.and_then(|lease| state.get::<Leases>(&lease)).is_some_and(|lease| {
                lease.state != LeaseState::Settled
                    || lease.ended_at.is_some_and(|ended| now_ms < ended.0.saturating_add(retention_ms))
            }),
            None => false,
        };
        let mut manifests: Vec<BlobHash> = state
            .rows::<Requests>()
            .filter(|(id, _)| kept(id))
            .filter_map(|(_, row)| row.demand.job)
            .collect();
        for ((lease, _), job) in state.rows::<Jobs>() {
            if state.get::<Leases>(lease).is_some_and(|lease| kept(&lease.request)) {
                manifests.push(job.manifest);
                manifests.extend(job.outputs);
            }
        }
        manifests
    };
    named(blobs, manifests).await
}

async fn read_small(blobs: &BlobStore, hash: &BlobHash) -> Option<Vec<u8>> {
    let (file, size) = blobs.open(&hash.0).await.ok()?;
    if size > MANIFEST_BYTES_MAX as u64 {
        return None;
    }
    let mut bytes = Vec::new();
    file.take(MANIFEST_BYTES_MAX as u64).read_to_end(&mut bytes).await.ok()?;
    Some(bytes)
}
