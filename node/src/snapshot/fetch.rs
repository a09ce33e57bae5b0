//! Getting a snapshot from the other members, none of whom is believed.

use super::SnapshotProgress;
use super::manifest::{Manifest, Part, Refusal, Trust};
use super::restore::{Restored, load};
use super::shelf::{Shelf, is_part, part_path, read_part};
use super::wire::{Kept, OFFERS_MAX, Offer};
use async_trait::async_trait;
use futures::StreamExt as _;
use futures::future::join_all;
use libp2p::PeerId;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Parts that are asked for at the same time.
const PARTS_ASKED_MAX: usize = 6;

/// How often every member is asked for a part before the snapshot is given up for now; what came is kept.
const ROUNDS_MAX: usize = 6;

/// The pause before members that were all busy or silent are asked again.
const ROUND_PAUSE: Duration = Duration::from_millis(200);

/// What a member answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// These bytes.
    Given(Vec<u8>),
    /// It has no such snapshot.
    Missing,
    /// Nothing, or that it is busy.
    Silent,
}

/// The other members, as far as snapshots go.
#[async_trait]
pub trait SnapshotPeers: Send + Sync + 'static {
    /// Those that can be asked now.
    fn ready(&self) -> Vec<PeerId>;

    /// What a member keeps; nothing if it does not say.
    async fn kept(&self, peer: PeerId) -> Option<Kept>;

    /// The manifest of the snapshot with this content.
    async fn manifest(&self, peer: PeerId, id: [u8; 32]) -> Answer;

    /// A part of the snapshot with this content.
    async fn part(&self, peer: PeerId, id: [u8; 32], index: u32) -> Answer;
}

/// Fetches snapshots, and remembers who lied.
pub struct Fetcher {
    peers: Arc<dyn SnapshotPeers>,
    shelf: Arc<Shelf>,
    progress: Arc<SnapshotProgress>,
    /// The least free disk space, in bytes.
    bytes_free_min: u64,
    /// Members that gave what they should not have: they are not asked again until the node starts anew.
    left: Mutex<BTreeSet<PeerId>>,
    /// Members that offered a snapshot and then did not give it: others come before them.
    silent: Mutex<BTreeSet<PeerId>>,
}

/// Who says that there is a certain snapshot.
type Candidate = (Offer, Vec<PeerId>);

impl Fetcher {
    /// A fetcher that believes everybody until it is lied to.
    #[must_use]
    pub fn new(
        peers: Arc<dyn SnapshotPeers>,
        shelf: Arc<Shelf>,
        progress: Arc<SnapshotProgress>,
        bytes_free_min: u64,
    ) -> Self {
        Self { peers, shelf, progress, bytes_free_min, left: Mutex::default(), silent: Mutex::default() }
    }

    /// Members that are not asked any more, because they gave what they should not have.
    #[must_use]
    pub fn left(&self) -> BTreeSet<PeerId> {
        lock(&self.left).clone()
    }

    fn leave(&self, peer: PeerId, what: &dyn std::fmt::Display) {
        tracing::warn!(%peer, reason = %what, alarm = "snapshot_refused", "a member gave a snapshot that is refused; it is not asked again");
        lock(&self.left).insert(peer);
    }

    /// What the members that can be asked say they keep.
    pub async fn ask(&self) -> BTreeMap<PeerId, Kept> {
        let left = self.left();
        let ready = self.peers.ready().into_iter().filter(|peer| !left.contains(peer));
        let asked = ready.map(|peer| async move { Some((peer, self.peers.kept(peer).await?)) });
        join_all(asked).await.into_iter().flatten().collect()
    }

    /// Fetches the best snapshot that is offered above `above`: of those that at least `vouchers` members have alike the highest,
    /// and else the highest. Nothing where no member had one that holds, or too few answered; then what came is kept, and the next
    /// call goes on from there.
    pub async fn fetch(
        &self,
        kept: &BTreeMap<PeerId, Kept>,
        trust: &Trust,
        above: u64,
        vouchers: usize,
    ) -> Option<Restored> {
        let silent = lock(&self.silent).clone();
        for (offer, peers) in candidates(kept, above, vouchers, &silent) {
            match self.fetch_one(offer, &peers, trust).await {
                Ok(restored) => return Some(restored),
                Err(GivenUp::ForNow) => lock(&self.silent).extend(peers),
                Err(GivenUp::ForGood) => {}
            }
        }
        None
    }

    /// Keeps a snapshot that was fetched and restored for others.
    pub fn hand_on(&self, manifest: Manifest) {
        let height = manifest.header.height;
        let kept = self.shelf.incoming(&manifest.id()).and_then(|folder| self.shelf.adopt(&folder, manifest));
        if let Err(error) = kept {
            tracing::warn!(height, %error, "a snapshot that was restored cannot be kept for others");
        }
        self.shelf.drop_incoming();
    }

    async fn fetch_one(&self, offer: Offer, peers: &[PeerId], trust: &Trust) -> Result<Restored, GivenUp> {
        let manifest = self.manifest(offer, peers, trust).await?;
        let folder = self.shelf.incoming(&offer.id).map_err(|error| GivenUp::by_disk(&error))?;
        self.check_space(&folder, &manifest)?;
        loop {
            self.parts(&manifest, &offer, peers, &folder).await?;
            self.progress.set(Some(format!("checks the snapshot of height {}", offer.height)));
            let (place, checked, believed) = (folder.clone(), manifest.clone(), trust.clone());
            let loaded = tokio::task::spawn_blocking(move || load(&place, checked, &believed)).await;
            match loaded.map_err(|error| GivenUp::by_disk(&std::io::Error::other(error)))? {
                Ok(restored) => return Ok(restored),
                // It was whole when it came.
                Err(Refusal::Part(index)) => {
                    let removed = std::fs::remove_file(part_path(&folder, index));
                    removed.map_err(|error| GivenUp::by_disk(&error))?;
                }
                Err(refusal) => {
                    // The parts are those of the manifest: who has them so made them up, or believed who did.
                    peers.iter().for_each(|peer| self.leave(*peer, &refusal));
                    self.shelf.drop_incoming();
                    return Err(GivenUp::ForGood);
                }
            }
        }
    }

    /// The manifest of an offer from the first of the members whose word holds.
    async fn manifest(&self, offer: Offer, peers: &[PeerId], trust: &Trust) -> Result<Manifest, GivenUp> {
        let mut silent = false;
        for peer in self.not_left(peers) {
            match self.peers.manifest(peer, offer.id).await {
                Answer::Given(bytes) => match read_manifest(&bytes, offer, trust) {
                    Ok(manifest) => return Ok(manifest),
                    Err(refusal @ Refusal::UnknownRules(_)) => {
                        tracing::error!(height = offer.height, %refusal, "a snapshot cannot be used");
                        return Err(GivenUp::ForGood);
                    }
                    Err(refusal) => self.leave(peer, &refusal),
                },
                Answer::Missing => {}
                Answer::Silent => silent = true,
            }
        }
        Err(if silent { GivenUp::ForNow } else { GivenUp::ForGood })
    }

    /// Fetches the parts that are not in the folder yet, several at a time.
    async fn parts(
        &self,
        manifest: &Manifest,
        offer: &Offer,
        peers: &[PeerId],
        folder: &Path,
    ) -> Result<(), GivenUp> {
        let (place, content) = (folder.to_owned(), manifest.content.clone());
        let looked = tokio::task::spawn_blocking(move || {
            let parts = (0u32..).zip(content.parts);
            parts
                .filter(|(index, part)| read_part(&part_path(&place, *index), part).is_none())
                .collect::<Vec<_>>()
        });
        let missing = looked.await.map_err(|error| GivenUp::by_disk(&std::io::Error::other(error)))?;
        let (count, total) = (missing.len(), manifest.content.parts.len());
        let mut there = total.saturating_sub(count);
        tracing::info!(
            height = offer.height,
            parts = total,
            there,
            bytes = manifest.bytes(),
            "fetches a snapshot"
        );
        let fetching =
            missing.into_iter().map(|(index, part)| self.part(offer.id, index, part, peers, folder));
        let mut fetching = futures::stream::iter(fetching).buffer_unordered(PARTS_ASKED_MAX);
        loop {
            self.progress.set(Some(format!(
                "fetches the snapshot of height {}: {there} of {total} parts",
                offer.height
            )));
            match fetching.next().await {
                Some(fetched) => fetched?,
                None => return Ok(()),
            }
            there = there.saturating_add(1);
        }
    }

    async fn part(
        &self,
        id: [u8; 32],
        index: u32,
        part: Part,
        peers: &[PeerId],
        folder: &Path,
    ) -> Result<(), GivenUp> {
        for round in 0..ROUNDS_MAX {
            let mut present = self.not_left(peers);
            if present.is_empty() {
                return Err(GivenUp::ForGood);
            }
            // Each part begins with another member, so that they share the work.
            let first = (index as usize).wrapping_add(round) % present.len();
            present.rotate_left(first);
            let mut missing = 0;
            for peer in &present {
                match self.peers.part(*peer, id, index).await {
                    Answer::Given(bytes) if is_part(&bytes, &part) => {
                        return keep(folder.to_owned(), index, bytes).await;
                    }
                    Answer::Given(_) => self.leave(*peer, &Refusal::Part(index)),
                    Answer::Missing => missing += 1,
                    Answer::Silent => {}
                }
            }
            if missing == present.len() {
                // They have a newer one by now.
                return Err(GivenUp::ForGood);
            }
            tokio::time::sleep(ROUND_PAUSE).await;
        }
        Err(GivenUp::ForNow)
    }

    fn not_left(&self, peers: &[PeerId]) -> Vec<PeerId> {
        let left = self.left();
        peers.iter().filter(|peer| !left.contains(peer)).copied().collect()
    }

    /// The parts, the ledger made of them, and the journal in between have to fit.
    fn check_space(&self, folder: &Path, manifest: &Manifest) -> Result<(), GivenUp> {
        let statistics = rustix::fs::statvfs(folder).map_err(|error| GivenUp::by_disk(&error.into()))?;
        let free = statistics.f_bavail.saturating_mul(statistics.f_frsize);
        let needed = manifest.bytes().saturating_mul(4).saturating_add(self.bytes_free_min);
        if free < needed {
            let (height, bytes) = (manifest.header.height, manifest.bytes());
            tracing::error!(
                height,
                bytes,
                free,
                needed,
                alarm = "disk_low",
                "there is no room for a snapshot: free some space"
            );
            return Err(GivenUp::ForGood);
        }
        Ok(())
    }
}

/// Why a snapshot was not fetched.
enum GivenUp {
    /// Members were silent; what came is kept.
    ForNow,
    /// It does not hold, or nobody has it any more.
    ForGood,
}

impl GivenUp {
    fn by_disk(error: &std::io::Error) -> Self {
        tracing::error!(%error, "a snapshot that is fetched cannot be kept");
        Self::ForNow
    }
}

async fn keep(folder: PathBuf, index: u32, bytes: Vec<u8>) -> Result<(), GivenUp> {
    let written = tokio::task::spawn_blocking(move || {
        let (path, aside) = (part_path(&folder, index), folder.join(format!("{index:05}.part")));
        std::fs::write(&aside, bytes)?;
        std::fs::rename(&aside, &path)
    });
    let written = written.await.unwrap_or_else(|error| Err(std::io::Error::other(error)));
    written.map_err(|error| GivenUp::by_disk(&error))
}

fn read_manifest(bytes: &[u8], offer: Offer, trust: &Trust) -> Result<Manifest, Refusal> {
    let manifest = Manifest::decode(bytes)?;
    if manifest.id() != offer.id || manifest.header.height != offer.height {
        return Err(Refusal::OtherSnapshot);
    }
    manifest.check(trust)?;
    Ok(manifest)
}

fn lock(peers: &Mutex<BTreeSet<PeerId>>) -> MutexGuard<'_, BTreeSet<PeerId>> {
    peers.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The offered snapshots in the order in which they are tried.
fn candidates(
    kept: &BTreeMap<PeerId, Kept>,
    above: u64,
    vouchers: usize,
    silent: &BTreeSet<PeerId>,
) -> Vec<Candidate> {
    let mut found: BTreeMap<(u64, [u8; 32]), Vec<PeerId>> = BTreeMap::new();
    for (peer, kept) in kept {
        for offer in kept.snapshots.iter().take(OFFERS_MAX).filter(|offer| offer.height > above) {
            found.entry((offer.height, offer.id)).or_default().push(*peer);
        }
    }
    let mut found: Vec<Candidate> =
        found.into_iter().map(|((height, id), peers)| (Offer { height, id }, peers)).collect();
    // What at least one honest member has, the highest first; then the word of fewer; then of those who did not give what they said.
    found.sort_by_key(|(offer, peers)| {
        let answers = !peers.iter().all(|peer| silent.contains(peer));
        std::cmp::Reverse((answers, peers.len() >= vouchers, offer.height))
    });
    found
}
