//! Who may have a blob: who keeps it here, and the provider of a lease of theirs that names it; nobody else. And who may write
//! the log of a job.

use crate::blob::BlobStore;
use crate::executor::Executor;
use hansa_ledger::id::{BlobHash, LeaseId, OrganisationId};
use hansa_ledger::member::MemberCode;
use hansa_ledger::row::{JobState, Lease, LeaseState, Principal, Request, RequestState};
use hansa_ledger::state::State;
use hansa_ledger::tables::{Jobs, Keys, Leases, Requests};
use hansa_ledger_signature::PublicKey;
use hansa_node_api::error::Fault;
use hansa_node_api::job::{MANIFEST_BYTES_MAX, Manifest, OutputManifest};
use hansa_node_api::peer::log::LogRefusal;
use std::cmp::Reverse;
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use tokio::io::AsyncReadExt as _;

/// The most manifests that are read to answer one request for a blob.
pub const MANIFESTS_MAX: usize = 256;

/// The most jobs that are looked at to tell why a blob is refused.
const REFUSAL_JOBS_MAX: usize = 4_096;

/// The organisation a key acts for.
#[must_use]
pub fn organisation_of(state: &State, key: &PublicKey) -> Option<OrganisationId> {
    match state.get::<Keys>(key).filter(|row| !row.revoked)?.principal {
        Principal::Organisation(organisation) => Some(organisation),
        Principal::Office(..) => None,
    }
}

/// What a right is judged by. The last state stands behind a lock, so the reader has to be quick and nothing is held afterwards.
pub trait StateSource {
    /// Reads the state after the last block.
    fn read_state<R>(&self, reader: impl FnOnce(&State) -> R) -> R;
}

impl StateSource for Executor {
    fn read_state<R>(&self, reader: impl FnOnce(&State) -> R) -> R {
        reader(&self.state())
    }
}

impl<S: StateSource> StateSource for Arc<S> {
    fn read_state<R>(&self, reader: impl FnOnce(&State) -> R) -> R {
        self.as_ref().read_state(reader)
    }
}

/// Whether `key` may get (or, with `write`, put) this blob in the name of this lease, and whose quota it counts against: the
/// requester's, always. The requester may get what is kept on its account, which is also what its providers left behind; the
/// provider may get what of that a job of the lease names, and may put what its jobs left behind until the lease is settled.
///
/// A manifest's hash is public and so are the hashes it may list, so naming a blob gives no right to it: what counts is that the
/// requester's account holds it, and only who sent the whole content, or whose provider did, has it there.
#[must_use]
pub async fn blob_right(
    ledger: &(impl StateSource + Sync),
    blobs: &BlobStore,
    key: &PublicKey,
    lease: &LeaseId,
    hash: &BlobHash,
    write: bool,
) -> Option<OrganisationId> {
    let (owner, wanted) = ledger.read_state(|state| {
        let organisation = organisation_of(state, key)?;
        let row = state.get::<Leases>(lease)?;
        let provides = row.provider == organisation;
        if !provides && row.requester != organisation {
            return None;
        }
        if write {
            return (provides && row.state != LeaseState::Settled)
                .then_some((row.requester, Wanted::Nothing));
        }
        let wanted = match row.requester == organisation {
            true => Wanted::Ownership,
            false => Wanted::Name(manifests_of_lease(state, lease)),
        };
        Some((row.requester, wanted))
    })?;
    let holds = match wanted {
        Wanted::Nothing => true,
        Wanted::Ownership => blobs.owns(&owner.0, &hash.0),
        Wanted::Name(manifests) => {
            blobs.owns(&owner.0, &hash.0) && is_named(blobs, &owner, &manifests, hash).await
        }
    };
    holds.then_some(owner)
}

/// What a request still lacks after the ledger has been asked.
enum Wanted {
    Nothing,
    Ownership,
    Name(Vec<BlobHash>),
}

/// The manifests that a lease's jobs run, each once: those of jobs that have not ended first, then the newest; at most
/// [`MANIFESTS_MAX`]. What the provider reported as outputs is not among them: the provider could report any hash.
fn manifests_of_lease(state: &State, lease: &LeaseId) -> Vec<BlobHash> {
    let mut seen = BTreeSet::new();
    let (mut open, mut ended) = (Vec::new(), VecDeque::new());
    for (_, job) in state.view().range::<Jobs>((*lease, 0)..=(*lease, u32::MAX)) {
        if open.len() == MANIFESTS_MAX {
            break;
        }
        match job.state {
            JobState::Submitted if seen.insert(job.manifest) => open.push(job.manifest),
            JobState::Submitted => {}
            _ => ended.push_front(job.manifest),
        }
    }
    open.extend(ended.into_iter().filter(|manifest| seen.insert(*manifest)));
    open.truncate(MANIFESTS_MAX);
    open
}

/// Whether one of the manifests is the blob or lists it, where `owner` keeps them.
async fn is_named(
    blobs: &BlobStore,
    owner: &OrganisationId,
    manifests: &[BlobHash],
    hash: &BlobHash,
) -> bool {
    if manifests.contains(hash) {
        return true;
    }
    for manifest in manifests {
        if files_of(blobs, owner, manifest).await.contains(hash) {
            return true;
        }
    }
    false
}

/// The files that a manifest on the owner's account lists; none if it is not there.
async fn files_of(blobs: &BlobStore, owner: &OrganisationId, manifest: &BlobHash) -> Vec<BlobHash> {
    if !blobs.owns(&owner.0, &manifest.0) {
        return Vec::new();
    }
    let Some(bytes) = read_small(blobs, manifest).await else { return Vec::new() };
    if let Ok(manifest) = Manifest::decode(&bytes) {
        manifest.files.iter().map(|file| file.hash).collect()
    } else if let Ok(outputs) = OutputManifest::decode(&bytes) {
        outputs.files.iter().map(|file| file.hash).collect()
    } else {
        Vec::new()
    }
}

/// Whose account the log of a job is kept on, if `key` may write it on the node of the member `home`: the requester's, while the
/// lease is not settled, for its provider and nobody else.
///
/// # Errors
/// The refusal to answer with.
pub fn log_right(
    ledger: &impl StateSource,
    key: &PublicKey,
    lease: &LeaseId,
    job: u32,
    home: MemberCode,
) -> Result<OrganisationId, LogRefusal> {
    ledger.read_state(|state| {
        let provider = organisation_of(state, key).ok_or(LogRefusal::NotAllowed)?;
        let row = state.get::<Leases>(lease).filter(|row| row.provider == provider);
        let row = row.filter(|row| row.state != LeaseState::Settled).ok_or(LogRefusal::NotAllowed)?;
        state.get::<Jobs>(&(*lease, job)).ok_or(LogRefusal::NotAllowed)?;
        if row.requester_home == home { Ok(row.requester) } else { Err(LogRefusal::WrongHome) }
    })
}

/// Those of the leases whose retention is over, or that the ledger does not know.
#[must_use]
pub fn leases_over(
    ledger: &impl StateSource,
    leases: BTreeSet<[u8; 32]>,
    now_ms: u64,
    retention_ms: u64,
) -> BTreeSet<[u8; 32]> {
    ledger.read_state(|state| {
        let is_over = |lease: &[u8; 32]| {
            let row = state.get::<Leases>(&LeaseId(*lease));
            !row.is_some_and(|row| is_retained(row, now_ms, retention_ms))
        };
        leases.into_iter().filter(is_over).collect()
    })
}

/// Whether what belongs to a lease is still kept.
fn is_retained(lease: &Lease, now_ms: u64, retention_ms: u64) -> bool {
    lease.state != LeaseState::Settled
        || lease.ended_at.is_some_and(|ended| now_ms < ended.0.saturating_add(retention_ms))
}

/// Whether an organisation may read a blob without naming a lease: it keeps the blob on its own account, or a lease that it
/// provides names it and that lease's requester keeps it. At most [`MANIFESTS_MAX`] manifests are looked at, those of leases that
/// are not settled first, then of the newest.
///
/// # Errors
/// [`Fault::BlobUnknown`] where a job of a lease of the reader's is, or left behind, just this blob: to the reader it is not here,
/// whoever else keeps it. [`Fault::BlobForbidden`] otherwise.
pub async fn may_read(
    ledger: &(impl StateSource + Sync),
    blobs: &BlobStore,
    reader: OrganisationId,
    hash: &BlobHash,
) -> Result<(), Fault> {
    let owners = blobs.owners(&hash.0);
    if owners.contains(&reader.0)
        || (!owners.is_empty() && is_provided(ledger, blobs, reader, hash, &owners).await)
    {
        return Ok(());
    }
    let expects = ledger.read_state(|state| {
        let leases =
            state.rows::<Leases>().filter(|(_, row)| row.requester == reader || row.provider == reader);
        let view = state.view();
        let jobs = leases.flat_map(|(id, _)| view.range::<Jobs>((*id, 0)..=(*id, u32::MAX)));
        let mut named = jobs.take(REFUSAL_JOBS_MAX).flat_map(|(_, job)| [Some(job.manifest), job.outputs]);
        named.any(|named| named == Some(*hash))
    });
    Err(if expects { Fault::BlobUnknown } else { Fault::BlobForbidden })
}

/// Whether a lease that `reader` provides to one of the `owners` names the blob.
async fn is_provided(
    ledger: &(impl StateSource + Sync),
    blobs: &BlobStore,
    reader: OrganisationId,
    hash: &BlobHash,
    owners: &BTreeSet<[u8; 32]>,
) -> bool {
    let provided = ledger.read_state(|state| {
        let mut leases: Vec<_> = state
            .rows::<Leases>()
            .filter(|(_, row)| row.provider == reader && owners.contains(&row.requester.0))
            .map(|(id, row)| (row.state == LeaseState::Settled, Reverse(row.awarded_at), *id, row.requester))
            .collect();
        leases.sort_unstable();
        let mut left = MANIFESTS_MAX;
        let mut provided = Vec::new();
        for (_, _, lease, requester) in leases {
            if left == 0 {
                break;
            }
            let mut manifests = manifests_of_lease(state, &lease);
            manifests.truncate(left);
            left -= manifests.len();
            provided.push((requester, manifests));
        }
        provided
    });
    for (requester, manifests) in provided {
        if is_named(blobs, &requester, &manifests, hash).await {
            return true;
        }
    }
    false
}

/// Every blob that an open request or a lease within its retention names, where the requester keeps it: all others may be
/// dropped. So nobody keeps the blobs of another alive by naming them.
#[must_use]
pub async fn named_by_ledger(
    ledger: &(impl StateSource + Sync),
    blobs: &BlobStore,
    now_ms: u64,
    retention_ms: u64,
) -> BTreeSet<BlobHash> {
    let roots = ledger.read_state(|state| roots_of_ledger(state, now_ms, retention_ms));
    let mut named = BTreeSet::new();
    for (owner, manifest) in roots {
        let files = files_of(blobs, &owner, &manifest).await;
        named.extend(files.into_iter().chain([manifest]).filter(|hash| blobs.owns(&owner.0, &hash.0)));
    }
    named
}

/// The manifests that open requests and leases within their retention name, each with the requester.
fn roots_of_ledger(state: &State, now_ms: u64, retention_ms: u64) -> BTreeSet<(OrganisationId, BlobHash)> {
    let is_retained = |lease: &Lease| is_retained(lease, now_ms, retention_ms);
    let is_kept = |request: &Request| {
        request.state == RequestState::Open
            || request.lease.and_then(|lease| state.get::<Leases>(&lease)).is_some_and(is_retained)
    };
    let mut roots: BTreeSet<_> = state
        .rows::<Requests>()
        .filter(|(_, row)| is_kept(row))
        .filter_map(|(_, row)| Some((row.organisation, row.demand.job?)))
        .collect();
    for ((lease, _), job) in state.rows::<Jobs>() {
        if let Some(row) = state.get::<Leases>(lease).filter(|row| is_retained(row)) {
            roots.extend(
                [Some(job.manifest), job.outputs].into_iter().flatten().map(|hash| (row.requester, hash)),
            );
        }
    }
    roots
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
