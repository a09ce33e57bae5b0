//! What members ask each other about snapshots.

use borsh::{BorshDeserialize, BorshSerialize};

/// The most snapshots that a member may say it has; it keeps fewer.
pub const OFFERS_MAX: usize = 8;

/// What a member asks another.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum SnapshotRequest {
    /// What it keeps.
    Kept = 1,
    /// For the manifest of the snapshot with this content.
    Manifest([u8; 32]) = 2,
    /// For a part of the snapshot with this content.
    Part {
        /// The content.
        id: [u8; 32],
        /// Which part.
        index: u32,
    } = 3,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum SnapshotReply {
    /// What it keeps.
    Kept(Kept) = 1,
    /// The bytes of a manifest or a part.
    Bytes(Vec<u8>) = 2,
    /// No such snapshot here.
    Missing = 3,
}

/// What a member keeps for others.
#[derive(Clone, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Kept {
    /// The lowest height whose block it keeps; 0 where it has none.
    pub blocks_from: u64,
    /// Its snapshots.
    pub snapshots: Vec<Offer>,
}

/// A snapshot that a member says it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Offer {
    /// Its height.
    pub height: u64,
    /// What identifies its content.
    pub id: [u8; 32],
}
