//! On whose account a blob is kept, and how much that account takes.

use super::{BlobError, BlobStoreConfig, State};

/// The most blobs that one organisation keeps on a node, with uploads under way: nobody takes all of [`super::BLOBS_MAX`].
pub const OWNER_BLOBS_MAX: usize = 4_096;

/// The most that the provider of one lease may leave on the requester's account, in bytes.
pub const LEASE_OUTPUT_BYTES_MAX: u64 = 4 << 30;

/// The most blobs that the provider of one lease may leave on the requester's account.
pub const LEASE_OUTPUTS_MAX: usize = 1_024;

/// On whose account a blob comes, and whether somebody else brings it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Account {
    /// The organisation whose quota it counts against.
    pub owner: [u8; 32],
    /// The lease in whose name its provider brings it; none when the owner does.
    pub lease: Option<[u8; 32]>,
}

impl Account {
    /// The owner brings it.
    #[must_use]
    pub fn of(owner: [u8; 32]) -> Self {
        Self { owner, lease: None }
    }

    /// The provider of a lease of the owner's brings it.
    #[must_use]
    pub fn of_lease(owner: [u8; 32], lease: [u8; 32]) -> Self {
        Self { owner, lease: Some(lease) }
    }
}

/// What is kept, with uploads under way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Used {
    pub(super) blobs: usize,
    pub(super) bytes: u64,
}

impl Used {
    fn over(sizes: impl Iterator<Item = u64>) -> Self {
        sizes.fold(Self::default(), |used, size| Self {
            blobs: used.blobs.saturating_add(1),
            bytes: used.bytes.saturating_add(size),
        })
    }
}

impl State {
    pub(super) fn used_by(&self, owner: &[u8; 32]) -> Used {
        let kept = self.index.blobs.values().filter(|entry| entry.owners.contains(owner));
        let coming = self.uploads.iter().filter(|((_, key), _)| key == owner);
        Used::over(kept.map(|entry| entry.size).chain(coming.map(|(_, partial)| partial.total)))
    }

    pub(super) fn used_by_lease(&self, lease: &[u8; 32]) -> Used {
        let kept = self.index.blobs.values().filter(|entry| entry.leases.contains(lease));
        let coming = self.uploads.values().filter(|partial| partial.lease.as_ref() == Some(lease));
        Used::over(kept.map(|entry| entry.size).chain(coming.map(|partial| partial.total)))
    }

    /// Whether one more blob of `more` bytes fits.
    pub(super) fn check_quota(
        &self,
        config: &BlobStoreConfig,
        account: &Account,
        more: u64,
    ) -> Result<(), BlobError> {
        let Used { blobs, bytes } = self.used_by(&account.owner);
        if bytes.saturating_add(more) > config.owner_bytes_max {
            return Err(BlobError::QuotaExceeded { used: bytes, bytes_max: config.owner_bytes_max });
        }
        if blobs >= OWNER_BLOBS_MAX {
            return Err(BlobError::OwnerFull { count: blobs });
        }
        let Some(lease) = account.lease else { return Ok(()) };
        let Used { blobs, bytes } = self.used_by_lease(&lease);
        if bytes.saturating_add(more) > LEASE_OUTPUT_BYTES_MAX || blobs >= LEASE_OUTPUTS_MAX {
            return Err(BlobError::LeaseFull { count: blobs, used: bytes });
        }
        Ok(())
    }
}
