//! Every bound of the ABI, in one place.

/// Size of the guest's input and output buffer, in bytes.
pub const IO_BYTES_MAX: usize = 16 * 1024;
/// Largest answer of a contract, in bytes.
pub const OUTPUT_BYTES_MAX: usize = 4 * 1024;
/// Most payments in one split.
pub const SPLIT_PAYS_MAX: usize = 16;
/// Most notes in one split.
pub const SPLIT_NOTES_MAX: usize = 8;
/// Largest note, in bytes.
pub const NOTE_BYTES_MAX: usize = 128;
/// Largest state that a contract may keep between two calls of one lease, in bytes.
pub const STATE_BYTES_MAX: usize = 256;
/// Most parties of one agreement; one payment each must fit into a split.
pub const PARTIES_MAX: usize = SPLIT_PAYS_MAX;
/// Most parties that an offer names: what is left beside requester, provider, operator and sponsor.
pub const NAMED_PARTIES_MAX: usize = 12;
/// Most steps of a service level.
pub const SLA_STEPS_MAX: usize = 8;
/// One hundred percent, in basis points.
pub const BPS_MAX: u16 = 10_000;
/// Longest name and longest version of a contract, in bytes.
pub const NAME_BYTES_MAX: usize = 64;
/// Longest plain-language tariff of a contract, in bytes.
pub const TARIFF_BYTES_MAX: usize = 8 * 1024;
/// Largest module, in bytes. Whatever carries one, a transaction above all, has to have room for it.
pub const MODULE_BYTES_MAX: usize = 64 * 1024;
