//! What a lease has delivered. Everything follows from the ledger's own times, so nothing can be lost or counted twice.

use hansa_ledger::action::{Action, LeaseUsage, ReportUsage, delivered_max};
use hansa_ledger::id::LeaseId;
use hansa_ledger::params::Params;
use hansa_ledger::row::{Lease, LeaseState};
use hansa_ledger::time::TimeMs;

/// The most leases in one report, as the ledger has it.
const USAGES_MAX: usize = 1_024;

/// Bytes of one usage in a transaction: a lease's id and a number.
const USAGE_BYTES: usize = 40;

/// Bytes kept free for the rest of the transaction.
const ENVELOPE_BYTES: usize = 256;

/// The reports that are due for the active leases of a provider, as actions of one transaction each. `block_time` is that of
/// the last block: the block that takes the report is later, so that no report can be over what the ledger admits.
#[must_use]
pub fn reports(leases: &[(LeaseId, Lease)], block_time: TimeMs, params: &Params) -> Vec<Action> {
    let usages: Vec<LeaseUsage> = leases
        .iter()
        .filter(|(_, lease)| lease.state == LeaseState::Active)
        .filter_map(|(id, lease)| {
            let cumulative = delivered_max(lease, block_time)?;
            (cumulative > lease.reported).then_some(LeaseUsage { lease: *id, cumulative })
        })
        .collect();
    let room = (params.transaction_bytes_max as usize).saturating_sub(ENVELOPE_BYTES) / USAGE_BYTES;
    usages
        .chunks(room.clamp(1, USAGES_MAX))
        .map(|chunk| Action::from(ReportUsage { usages: chunk.to_vec() }))
        .collect()
}

/// The final usage of a lease: accelerators times whole seconds from its start to its end, the agreed one or an earlier.
#[must_use]
pub fn final_usage(lease: &Lease) -> u64 {
    delivered_max(lease, lease.agreement.end).unwrap_or(lease.reported).max(lease.reported)
}
