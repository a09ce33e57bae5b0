//! Every limit and rate of the federation, with its unit and bounds.

use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};

/// Parameters that are fixed for ever at genesis: what was signed before counts in them.
pub const FIXED_PARAMETERS: &[&str] = &["slot_s"];

/// Why a parameter cannot have a value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParameterError {
    /// No such name.
    #[error("there is no parameter `{0}`")]
    Unknown(String),
    /// Genesis decided it.
    #[error("parameter `{0}` is fixed at genesis")]
    Fixed(String),
    /// Outside its bounds.
    #[error("{0}")]
    Bounds(String),
}

/// Declares the parameters: documentation, name, type, default and bounds stand once.
macro_rules! params {
    ($($(#[doc = $doc:literal])* $name:ident: $type:ty = $default:literal, $min:literal..=$max:literal;)*) => {
        /// The parameters of a federation. Genesis sets them, votes change them; each has a default and bounds.
        #[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct Params {
            $($(#[doc = $doc])* pub $name: $type,)*
        }

        impl Default for Params {
            fn default() -> Self {
                Self { $($name: $default,)* }
            }
        }

        impl Params {
            /// Checks every parameter against its bounds.
            ///
            /// # Errors
            /// Names the first parameter that is outside, its value and its bounds.
            pub fn check(&self) -> Result<(), String> {
                $({
                    let (least, most): ($type, $type) = ($min, $max);
                    if !(least..=most).contains(&self.$name) {
                        return Err(format!(
                            "parameter `{}` is {}, and must be from {least} to {most}",
                            stringify!($name), self.$name
                        ));
                    }
                })*
                Ok(())
            }

            /// Sets the parameter of this name.
            ///
            /// # Errors
            /// When there is none, when it is fixed at genesis, or when the value is outside its bounds.
            #[allow(clippy::useless_conversion)]
            pub fn set(&mut self, name: &str, value: u64) -> Result<(), ParameterError> {
                if FIXED_PARAMETERS.contains(&name) {
                    return Err(ParameterError::Fixed(name.to_owned()));
                }
                match name {
                    $(stringify!($name) => {
                        let (least, most): ($type, $type) = ($min, $max);
                        let fits = <$type>::try_from(value).ok().filter(|fits| (least..=most).contains(fits));
                        self.$name = fits.ok_or_else(|| ParameterError::Bounds(format!(
                            "parameter `{name}` would be {value}, and must be from {least} to {most}"
                        )))?;
                        Ok(())
                    })*
                    _ => Err(ParameterError::Unknown(name.to_owned())),
                }
            }

            /// The value of the parameter of this name.
            #[must_use]
            #[allow(clippy::useless_conversion)]
            pub fn get(&self, name: &str) -> Option<u64> {
                match name {
                    $(stringify!($name) => Some(u64::from(self.$name)),)*
                    _ => None,
                }
            }

            /// Name, default, least and greatest value of every parameter, for the documentation.
            #[must_use]
            pub fn table() -> Vec<[String; 4]> {
                vec![$({
                    let (default, least, most): ($type, $type, $type) = ($default, $min, $max);
                    [stringify!($name).to_owned(), default.to_string(), least.to_string(), most.to_string()]
                },)*]
            }
        }
    };
}

params! {
    /// Length of a slot of every calendar, in seconds. Fixed at genesis.
    slot_s: u32 = 900, 1..=86_400;
    /// Time between two batches of one class, in milliseconds.
    batch_ms: u64 = 60_000, 100..=3_600_000;
    /// Longest time without a block, in milliseconds.
    heartbeat_ms: u64 = 30_000, 1_000..=600_000;
    /// How far a first proposal's time may be from a member's own clock, in milliseconds.
    clock_skew_ms: u64 = 500, 50..=60_000;
    /// Length of a quota epoch, in milliseconds.
    epoch_ms: u64 = 86_400_000, 1_000..=2_678_400_000;
    /// Size of a block's transactions together, in bytes.
    block_bytes_max: u32 = 1_048_576, 69_632..=1_966_080;
    /// Transactions in a block.
    block_transactions_max: u32 = 5_000, 1..=20_000;
    /// Size of one transaction, in bytes. The default has room for the largest module, 64 KiB, and 4 KiB around it.
    transaction_bytes_max: u32 = 69_632, 1_024..=69_632;
    /// Actions in one transaction.
    transaction_actions_max: u32 = 64, 1..=1_024;
    /// How long ahead a transaction's `valid_until` may lie, in milliseconds.
    transaction_validity_ms_max: u64 = 86_400_000, 10_000..=2_678_400_000;
    /// Actions of one organisation or member office in an epoch.
    epoch_actions_max: u32 = 100_000, 10..=1_000_000_000;
    /// Bytes of the transactions of one organisation or member office in an epoch.
    epoch_bytes_max: u64 = 67_108_864, 65_536..=1_099_511_627_776;
    /// Deadlines that one block runs; the rest run in the next.
    block_deadlines_max: u32 = 1_000, 1..=100_000;
    /// The federation's part of everything paid for a lease, in basis points.
    fee_bps: u16 = 100, 0..=2_000;
    /// The provider's part of usage that stays contested at the deadline, in basis points.
    contest_provider_bps: u16 = 5_000, 0..=10_000;
    /// How long after a lease's start the provider may still begin it, in milliseconds.
    lease_start_window_ms: u64 = 900_000, 500..=86_400_000;
    /// How long after a lease's end the provider may report the final usage, in milliseconds.
    lease_report_window_ms: u64 = 3_600_000, 500..=2_678_400_000;
    /// How long the requester may contest the final usage, in milliseconds.
    lease_challenge_window_ms: u64 = 259_200_000, 500..=2_678_400_000;
    /// Longest lease, in slots.
    lease_slots_max: u32 = 2_880, 1..=15_552_000;
    /// How far ahead a lease may start, in slots.
    horizon_slots: u32 = 17_280, 1..=15_552_000;
    /// Jobs in one lease.
    lease_jobs_max: u32 = 10_000, 1..=1_000_000;
    /// Breakpoints in an offer's calendar.
    calendar_points_max: u32 = 500, 2..=5_000;
    /// Open requests of one organisation.
    organisation_requests_max: u32 = 1_000, 1..=1_000_000;
    /// Sources that may pay one request.
    request_sources_max: u32 = 4, 1..=8;
    /// Keys of one organisation, those taken back included.
    organisation_keys_max: u32 = 256, 1..=1_024;
    /// Where the uniform price lies between the bounds of the batch, in basis points: 0 favours the buyers.
    k_bps: u16 = 0, 0..=10_000;
    /// Candidate prices that a batch tries.
    price_candidates: u16 = 64, 1..=1_024;
    /// Part of a class's capacity that one beneficial-owner group may hold in a slot, in basis points.
    cap_bps: u16 = 1_000, 1..=10_000;
    /// Lead time up to which a request clears as spot, in slots.
    spot_slots: u32 = 96, 1..=15_552_000;
    /// Lead time up to which a request clears as near, in slots.
    near_slots: u32 = 672, 1..=15_552_000;
    /// Least share of a public offer that is reserve, in basis points.
    reserve_bps_min: u16 = 2_000, 0..=10_000;
    /// Members other than a site's own that must confirm its capacity before it can be offered.
    site_confirmations: u8 = 1, 0..=1;
    /// What usage of a day ago still counts, as a fraction of 2^32: the default is a half-life of 14 days.
    usage_decay_q32: u32 = 4_087_499_557, 0..=4_294_967_295;
    /// Fuel that contracts may use in one block.
    block_fuel_max: u64 = 100_000_000, 4_000_000..=10_000_000_000;
    /// Size of one file in the blob store, in bytes.
    blob_bytes_max: u64 = 1_073_741_824, 1_024..=1_099_511_627_776;
    /// Bytes one organisation may keep in its home node's blob store.
    organisation_blob_bytes_max: u64 = 10_737_418_240, 1_024..=1_099_511_627_776;
    /// How long a blob is kept after the last request or lease that names it has ended, in milliseconds.
    blob_retention_ms: u64 = 604_800_000, 1_000..=31_536_000_000;
    /// 1 for the market lane to serve the highest limit first, 0 for who has had least.
    limit_first: u8 = 0, 0..=1;
    /// Classes of organisations that may use the reserve, as bits: 1 start-up, 2 SME, 4 large, 8 research, 16 public.
    reserve_classes: u8 = 27, 0..=31;
    /// The most an accelerator-hour of the reserve costs, in uEUR.
    reserve_price_cap: u64 = 1_000_000, 0..=1_000_000_000_000;
    /// What a group may hold of a class in a slot for the reserve to give it more, in basis points of the class's capacity.
    reserve_cap_bps: u16 = 1_000, 1..=10_000;
    /// What the requests that one member funds may hold of a class's reserve in a slot, in basis points; 10,000 for no limit.
    reserve_member_cap_bps: u16 = 5_000, 1..=10_000;
    /// Time from a group's first accreditation until it has its whole part of the reserve, in milliseconds; 0 for at once.
    reserve_ramp_ms: u64 = 7_776_000_000, 0..=31_622_400_000;
    /// The part of its part of the reserve that a new group begins with, in basis points.
    reserve_ramp_bps_min: u16 = 1_000, 0..=10_000;
    /// The highest ask that a grant pays, in uEUR per accelerator-hour; 0 for no limit.
    credit_ask_cap: u64 = 0, 0..=1_000_000_000_000;
    /// Reserve that nobody took is released for leases that end within so many slots; 0 releases nothing.
    release_slots: u32 = 96, 0..=15_552_000;
    /// The longest lease that may take released reserve, in slots.
    release_lease_slots_max: u32 = 16, 0..=15_552_000;
    /// The most aid one group may get in three years, in uEUR; 0 for no ceiling.
    aid_ceiling: u64 = 300_000_000_000, 0..=1_000_000_000_000_000;
    /// The part of a provider's pay out of grants that is held back until the audit window ends, in basis points.
    holdback_bps: u16 = 1_000, 0..=10_000;
    /// How long after the settlement the sponsor may object, in milliseconds.
    audit_window_ms: u64 = 2_592_000_000, 500..=31_622_400_000;
    /// Batches of a class whose figures are kept.
    figures_epochs_max: u32 = 1_000, 1..=1_000_000;
    /// Heights that may pass without a transaction that enough members list as waiting, before those who proposed are named.
    withheld_heights: u32 = 10, 1..=1_000;
    /// Consensus: time to wait for a proposal, in milliseconds.
    timeout_propose_ms: u32 = 1_500, 50..=60_000;
    /// Consensus: time to wait for prevotes once they are split, in milliseconds.
    timeout_prevote_ms: u32 = 500, 50..=60_000;
    /// Consensus: time to wait for precommits once they are split, in milliseconds.
    timeout_precommit_ms: u32 = 500, 50..=60_000;
    /// Consensus: what each further round adds to these times, in milliseconds.
    timeout_delta_ms: u32 = 250, 10..=60_000;
    /// Consensus: time after which unanswered votes are sent again, in milliseconds.
    timeout_rebroadcast_ms: u32 = 2_500, 100..=600_000;
    /// How long an order of a member office awaits approval, in milliseconds.
    office_order_ms: u64 = 604_800_000, 1_000..=2_678_400_000;
    /// Orders of one member office that may await approval at a time.
    office_orders_max: u32 = 100, 1..=10_000;
    /// How long the members may vote on a proposal, in milliseconds.
    governance_voting_ms: u64 = 1_209_600_000, 1_000..=31_536_000_000;
    /// How long changed parameters wait after the vote at least, in milliseconds.
    governance_delay_ms: u64 = 604_800_000, 100..=31_536_000_000;
    /// How long a member's changed limits wait after the vote at least, in milliseconds.
    limits_delay_ms: u64 = 86_400_000, 100..=31_536_000_000;
    /// How long a change of the members waits after the vote at least, in milliseconds.
    members_delay_ms: u64 = 604_800_000, 100..=31_536_000_000;
    /// How long other rules wait after the vote at least before their height counts, in milliseconds.
    upgrade_delay_ms: u64 = 604_800_000, 100..=31_536_000_000;
    /// Proposals that one member may have before the others at one time.
    member_proposals_max: u32 = 16, 1..=1_000;
    /// Members that must approve a contract, deprecate one that is not theirs, or point an alias to it.
    contract_approvals: u8 = 2, 2..=27;
    /// Members that must want it to quarantine a contract, and to resume it.
    contract_quarantine_votes: u8 = 2, 2..=27;
    /// How long an uploaded contract may wait for approval, in milliseconds.
    contract_approval_ms: u64 = 2_592_000_000, 1_000..=31_536_000_000;
    /// How long an approved contract, and an alias that is to point elsewhere, wait before they count, in milliseconds.
    contract_timelock_ms: u64 = 604_800_000, 100..=31_536_000_000;
    /// How long a contract may be named by new offers and leases before it has to be renewed, in milliseconds.
    contract_life_ms: u64 = 31_536_000_000, 1_000..=315_360_000_000;
    /// What is held for each byte of an uploaded contract until it is archived, in uEUR.
    contract_deposit_byte: u64 = 1_000, 0..=1_000_000_000;
    /// Contracts of one organisation or office that may wait for approval at a time.
    contract_uploads_max: u32 = 8, 1..=1_000;
    /// Aliases of contracts that the federation may have.
    contract_aliases_max: u32 = 256, 1..=10_000;
    /// The least time between two payments that a provider claims while a lease runs, in milliseconds; 0 for none.
    interim_interval_ms: u64 = 86_400_000, 0..=31_622_400_000;
    /// Payments that a provider may claim while one lease runs.
    lease_interims_max: u32 = 400, 0..=10_000;
    /// How long before its first slot maintenance is announced to count as promised to nobody, in milliseconds.
    maintenance_notice_ms: u64 = 172_800_000, 0..=31_622_400_000;
    /// How long the panel of a dispute has to rule, in milliseconds.
    dispute_window_ms: u64 = 1_209_600_000, 500..=31_622_400_000;
    /// The bond of a dispute, in basis points of what is contested.
    dispute_bond_bps: u16 = 1_000, 0..=10_000;
    /// The least bond of a dispute, in uEUR.
    dispute_bond_min: u64 = 10_000_000, 0..=1_000_000_000_000;
    /// The part of a block's fuel that is kept for final settlements, in basis points; never less than one call.
    final_fuel_bps: u16 = 2_500, 0..=9_000;
}

impl Params {
    /// The parameters of a testnet: one-second slots, windows of seconds, a batch every second, and caps wide enough for a
    /// handful of organisations.
    #[must_use]
    pub fn testnet() -> Self {
        Self {
            slot_s: 1,
            batch_ms: 1_000,
            lease_start_window_ms: 30_000,
            lease_report_window_ms: 30_000,
            lease_challenge_window_ms: 20_000,
            lease_slots_max: 86_400,
            horizon_slots: 15_552_000,
            spot_slots: 86_400,
            near_slots: 604_800,
            cap_bps: 2_500,
            site_confirmations: 0,
            reserve_cap_bps: 2_500,
            reserve_member_cap_bps: 10_000,
            reserve_ramp_ms: 0,
            release_slots: 86_400,
            release_lease_slots_max: 3_600,
            aid_ceiling: 0,
            holdback_bps: 0,
            audit_window_ms: 20_000,
            epoch_actions_max: 1_000_000,
            epoch_bytes_max: 268_435_456,
            timeout_propose_ms: 500,
            timeout_prevote_ms: 250,
            timeout_precommit_ms: 250,
            timeout_delta_ms: 100,
            timeout_rebroadcast_ms: 1_000,
            office_order_ms: 600_000,
            governance_voting_ms: 60_000,
            governance_delay_ms: 2_000,
            limits_delay_ms: 2_000,
            members_delay_ms: 2_000,
            upgrade_delay_ms: 2_000,
            contract_approval_ms: 600_000,
            contract_timelock_ms: 2_000,
            interim_interval_ms: 2_000,
            maintenance_notice_ms: 2_000,
            dispute_window_ms: 20_000,
            dispute_bond_min: 1_000,
            ..Self::default()
        }
    }
}
