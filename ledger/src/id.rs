//! Names of things: fixed-width hashes, so that no two spellings of one name exist.

use crate::encoding::Scratch;
use borsh::BorshSerialize;
use hansa_ledger_signature::fixed_bytes;
use std::cmp::Ordering;

/// A BLAKE3 hash.
pub type Hash = [u8; 32];

macro_rules! hash_ids {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {$(
        fixed_bytes!($(#[$doc])* $name, 32);

        impl From<[u8; 32]> for $name {
            fn from(bytes: [u8; 32]) -> Self {
                Self(bytes)
            }
        }

        impl $name {
            /// The id that follows from `parts`, each borsh-encoded, under this type's own domain tag.
            #[must_use]
            pub fn derive(parts: &impl BorshSerialize) -> Self {
                Self(hash_of(concat!("hansa/id/", stringify!($name)), parts))
            }
        }
    )*};
}

hash_ids! {
    /// A federation: the hash of its genesis.
    ChainId,
    /// A block: the hash of its header.
    BlockId,
    /// A transaction: the hash of its unsigned content, so that no second signature makes a second id.
    TransactionId,
    /// A legal person: derived from its home member and register number.
    OrganisationId,
    /// A beneficial-owner group: derived from the register entry of the owner at the top.
    GroupId,
    /// A grant: derived from the issuing member and its reference.
    GrantId,
    /// An offer: derived from the transaction and the position of the action in it.
    OfferId,
    /// A request: derived from the transaction and the position of the action in it.
    RequestId,
    /// An outage: derived from the transaction and the position of the action in it.
    OutageId,
    /// A lease: derived from its request.
    LeaseId,
    /// An order of an office: derived from the transaction that placed it and the position of the action in it.
    OrderId,
    /// A proposal: derived from the transaction and the position of the action in it.
    ProposalId,
    /// A contract's code: the BLAKE3 hash of its bytes.
    CodeHash,
    /// A file's content: its BLAKE3 hash.
    BlobHash,
    /// A contract's tariff in plain language: the BLAKE3 hash of its text.
    TariffHash,
}

/// The order of two hashes: nearly always their first bytes tell, and comparing two numbers is cheaper than comparing 32 bytes.
pub(crate) fn order(one: &Hash, next: &Hash) -> Ordering {
    let first = |hash: &Hash| hash.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes));
    first(one).cmp(&first(next)).then_with(|| one.cmp(next))
}

/// Hashes the borsh encoding of `value` under a domain tag. Borsh is canonical, so equal values have equal hashes.
#[must_use]
pub fn hash_of(domain: &str, value: &impl BorshSerialize) -> Hash {
    // Encoded whole and hashed in one go: a hash that is fed field by field takes several times as long.
    let mut scratch = Scratch::new();
    let mut hasher = blake3::Hasher::new();
    hasher.update(domain.as_bytes()).update(&[0]).update(scratch.encode(value));
    *hasher.finalize().as_bytes()
}
