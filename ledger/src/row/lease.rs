//! Leases, their jobs and their settlements.

use super::{AccountId, Closing, JobFailure, JobState, LeaseState, PoolOwner, Purse};
use crate::id::{BlobHash, CodeHash, GroupId, LeaseId, OfferId, OrganisationId, RequestId, TariffHash};
use crate::market::{Calendar, Lane};
use crate::member::MemberCode;
use crate::money::{Money, Price};
use crate::name::Name;
use crate::time::{Slot, TimeMs};
use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};

data! {
    /// A purse's part in a lease.
    pub struct LeaseSource {
        /// Which.
        pub purse: Purse,
        /// Its part, in basis points.
        pub share_bps: u16,
        /// Locked at award.
        pub locked: Money,
        /// Paid out of it.
        pub paid: Money,
        /// Held back until the audit window ends, of the pay of the provider and of those the offer names; still in the
        /// escrow.
        pub held: Money,
        /// Whose pay is held back, by party; together `held`.
        pub held_for: Vec<PartyMoney>,
    }

    /// An amount of one party of a lease.
    pub struct PartyMoney {
        /// The party's index in the terms.
        pub party: u8,
        /// How much.
        pub amount: Money,
    }

    /// A part of a lease's usage for which its provider signed a figure beside it.
    pub struct MeterWindow {
        /// When it was reported: the window reaches from the end of the one before, or the start, to here.
        pub until: TimeMs,
        /// Cumulative accelerator-seconds of the lease by then.
        pub cumulative: u64,
        /// The figure; what it measures is the tariff's to say.
        pub reading: u32,
    }

    /// An organisation that an offer names for a share of its own: a party of every lease of it, beside the provider.
    pub struct NamedParty {
        /// Which; its cash is paid.
        pub organisation: OrganisationId,
        /// Its home, on whose side of the books that cash stands.
        pub home: MemberCode,
        /// Its beneficial-owner group when the offer was posted: a grant of that group pays no lease of the offer.
        pub group: GroupId,
    }

    /// What is held back of the provider's pay for a lease that a grant pays.
    pub struct Holdback {
        /// How much.
        pub amount: Money,
        /// The end of the audit window.
        pub due: TimeMs,
        /// Whether the sponsor objected: then it is divided at the end, else it is the provider's.
        pub objected: bool,
        /// Whether it has been paid or divided.
        pub released: bool,
    }

    /// What was agreed: fixed at award, whatever becomes of the parameters.
    pub struct Agreement {
        /// First second, and the moment the provider may begin.
        pub start: TimeMs,
        /// End.
        pub end: TimeMs,
        /// Price.
        pub price: Price,
        /// The federation's part.
        pub fee_bps: u16,
        /// The contract that settles.
        pub contract: CodeHash,
        /// Its parameters.
        #[serde(with = "crate::bytes")]
        pub contract_params: Vec<u8>,
        /// What the contract says of itself in plain language, by the hash of the text.
        pub contract_tariff: Option<TariffHash>,
        /// Version of the contract interface.
        pub contract_abi: u16,
        /// The rule when the contract fails, by number: 0 refunds what is not countersigned, 1 pays what is.
        pub fallback: u8,
        /// Last moment to begin.
        pub start_deadline: TimeMs,
        /// Time to report after the end.
        pub report_window_ms: u64,
        /// Time to contest after the final report.
        pub challenge_window_ms: u64,
        /// The provider's part of what stays contested.
        pub contest_provider_bps: u16,
        /// The part of the provider's pay out of grants that is held back.
        pub holdback_bps: u16,
        /// How long it is held back after the settlement.
        pub audit_window_ms: u64,
        /// Whom the offer names beside the provider, in the order of the parties.
        pub parties: Vec<NamedParty>,
        /// The least time between two payments while the lease runs, in milliseconds; 0 for none before its end.
        pub interim_interval_ms: u64,
        /// How long the panel of a dispute has to rule.
        pub dispute_window_ms: u64,
        /// The bond of a dispute, as a part of what is contested.
        pub dispute_bond_bps: u16,
        /// The least bond of a dispute.
        pub dispute_bond_min: Money,
    }

    /// Slots that were added to a lease after its award.
    pub struct Extension {
        /// How many.
        pub slots: u32,
        /// When; the first time, where several extensions of one day count as one.
        pub awarded_at: TimeMs,
        /// The offer's revision then: what is free again returns to the offer only while it is the same.
        pub offer_revision: u32,
    }

    /// A lease: a window of capacity.
    pub struct Lease {
        /// The request it came from.
        pub request: RequestId,
        /// The offer it came from.
        pub offer: OfferId,
        /// Who uses it.
        pub requester: OrganisationId,
        /// Home of the requester's money.
        pub requester_home: MemberCode,
        /// Beneficial-owner group of the requester.
        pub group: GroupId,
        /// Who delivers it.
        pub provider: OrganisationId,
        /// The member on whose side of the books the proceeds stand.
        pub provider_home: MemberCode,
        /// Who is paid.
        pub payee: AccountId,
        /// Whose part of the site it uses.
        pub pool: PoolOwner,
        /// The offer's revision at the award: what is free again returns to the offer only while it is the same.
        pub offer_revision: u32,
        /// Where.
        pub site: Name,
        /// What.
        pub class: Name,
        /// Accelerators.
        pub quantity: u32,
        /// Whether it counts against the commercial ceiling of its pool.
        pub commercial: bool,
        /// First slot.
        pub start: Slot,
        /// Slots, those of extensions included.
        pub slots: u32,
        /// What was added to it after the award, in the order of time.
        pub extensions: Vec<Extension>,
        /// What was agreed.
        pub agreement: Agreement,
        /// Who pays.
        pub sources: Vec<LeaseSource>,
        /// Locked over all sources.
        pub locked: Money,
        /// What the provider staked, what was slashed of it included.
        pub stake: Money,
        /// What was slashed of the stake so far.
        pub slashed: Money,
        /// The member on whose side of the books the stake stands: the provider's home.
        pub stake_home: MemberCode,
        /// Where it stands.
        pub state: LeaseState,
        /// When it was awarded.
        pub awarded_at: TimeMs,
        /// When the provider began it.
        pub started_at: Option<TimeMs>,
        /// When it ended.
        pub ended_at: Option<TimeMs>,
        /// Reported usage, cumulative accelerator-seconds.
        pub reported: u64,
        /// Reports so far.
        pub reports: u32,
        /// Whether the reported usage is final.
        pub reported_final: bool,
        /// Whether it became final only since the provider never said so in time.
        pub report_expired: bool,
        /// Countersigned usage, cumulative accelerator-seconds.
        pub countersigned: u64,
        /// Usage the requester admits where it contests the final report.
        pub contested: Option<u64>,
        /// Until when the final usage may be contested, once it is reported and not yet countersigned.
        pub challenge_due: Option<TimeMs>,
        /// Whether the requester ended it: then nothing was promised for the time after.
        pub ended_by_requester: bool,
        /// Accelerators that maintenance takes from it, over time, announced long enough ahead: nothing was promised for them.
        pub maintenance: Calendar,
        /// Jobs so far.
        pub jobs: u32,
        /// Cumulative payments per party index.
        pub paid: Vec<(u8, Money)>,
        /// What its contract is told the next time.
        #[serde(with = "crate::bytes")]
        pub contract_state: Vec<u8>,
        /// Interim settlements so far, those that failed included.
        pub interims: u32,
        /// When the provider last claimed a payment.
        pub claimed_at: Option<TimeMs>,
        /// Cumulative usage that interim payments were made for: nobody can contest it any more.
        pub usage_paid: u64,
        /// The provider's part of what is contested, where the panel of a dispute has ruled.
        pub ruling: Option<u16>,
        /// Why it was settled.
        pub closing: Option<Closing>,
        /// The lane that served it.
        pub lane: Lane,
        /// Whether it runs on released reserve, from which it may be interrupted.
        pub released: bool,
        /// What it pays less than the market price, as granted at award.
        pub aid: Money,
        /// The member whose grant pays; a party of the lease.
        pub sponsor: Option<MemberCode>,
        /// Usage the sponsor admits where it contests the final report.
        pub sponsor_admits: Option<u64>,
        /// What is held back of the provider's pay.
        pub holdback: Option<Holdback>,
        /// Usage with figures that the provider signed beside it, in the order of time.
        pub windows: Vec<MeterWindow>,
    }

    /// Aid: what an award out of the reserve pays less than the market price.
    pub struct Aid {
        /// How much, at the award.
        pub amount: Money,
        /// The market price it was measured against.
        pub basis: Price,
        /// The price that is paid.
        pub price: Price,
        /// The member whose grant pays the rest.
        pub member: MemberCode,
        /// When.
        pub awarded_at: TimeMs,
        /// What was taken back at close, for what was not used.
        pub returned: Money,
    }

    /// A job of a lease.
    pub struct Job {
        /// Its manifest.
        pub manifest: BlobHash,
        /// Where it stands.
        pub state: JobState,
        /// When it was submitted.
        pub submitted_at: TimeMs,
        /// When its end was reported.
        pub ended_at: Option<TimeMs>,
        /// Exit code, where it exited.
        pub exit_code: Option<i32>,
        /// Manifest of its outputs.
        pub outputs: Option<BlobHash>,
        /// Why it failed, where the exit code does not say it.
        #[serde(default)]
        pub failure: Option<JobFailure>,
    }

    /// Everything a settlement was decided from, and what was decided.
    pub struct Settlement {
        /// The contract's code.
        pub contract: CodeHash,
        /// The contract's parameters.
        #[serde(with = "crate::bytes")]
        pub contract_params: Vec<u8>,
        /// The facts handed in (borsh).
        #[serde(with = "crate::bytes")]
        pub facts: Vec<u8>,
        /// The split that was paid (borsh).
        #[serde(with = "crate::bytes")]
        pub split: Vec<u8>,
        /// Fuel used.
        pub fuel: u64,
        /// Why the signed fallback decided, if it did (borsh of the failure).
        #[serde(with = "crate::bytes::option")]
        pub failure: Option<Vec<u8>>,
        /// Height of the block.
        pub height: u64,
        /// Who was paid what.
        pub payments: Vec<Payment>,
        /// What went back to the requester's purses.
        pub refunds: Vec<Payment>,
        /// Cumulative payments per party before it.
        pub paid_before: Vec<PartyMoney>,
        /// What it held back of each party's pay.
        pub held: Vec<PartyMoney>,
        /// Which account each party is paid on.
        pub accounts: Vec<PartyAccount>,
        /// The rule for a failed contract, by the number an agreement carries.
        pub fallback: u8,
        /// What was slashed of the provider's stake, and what of it went back.
        pub stake: Vec<Payment>,
        /// How many interim settlements came before it; each is a row of its own.
        pub interims: u32,
    }

    /// An interim settlement, or the attempt at one: complete enough to run it again.
    pub struct Interim {
        /// The facts handed in (borsh).
        #[serde(with = "crate::bytes")]
        pub facts: Vec<u8>,
        /// The split that was paid (borsh); none where the contract failed: then nothing was paid.
        #[serde(with = "crate::bytes::option")]
        pub split: Option<Vec<u8>>,
        /// Fuel used.
        pub fuel: u64,
        /// Why nothing was paid, if the contract failed (borsh of the failure).
        #[serde(with = "crate::bytes::option")]
        pub failure: Option<Vec<u8>>,
        /// Height of the block.
        pub height: u64,
        /// Cumulative payments per party before it.
        pub paid_before: Vec<PartyMoney>,
        /// Who was paid what.
        pub payments: Vec<Payment>,
        /// What it held back of each party's pay.
        pub held: Vec<PartyMoney>,
        /// What was slashed of the provider's stake.
        pub stake: Vec<Payment>,
    }

    /// The account that a party of a lease is paid on.
    pub struct PartyAccount {
        /// The party's index in the terms.
        pub party: u8,
        /// Its account.
        pub account: AccountId,
    }

    /// Money that moved.
    pub struct Payment {
        /// From.
        pub from: AccountId,
        /// To.
        pub to: AccountId,
        /// How much.
        pub amount: Money,
    }
}

impl Lease {
    /// Usage that is admitted where the final report is contested: the least that the requester or the sponsor admits.
    #[must_use]
    pub fn admitted(&self) -> Option<u64> {
        match (self.contested, self.sponsor_admits) {
            (Some(requester), Some(sponsor)) => Some(requester.min(sponsor)),
            (requester, sponsor) => requester.or(sponsor),
        }
    }

    /// Accelerator-seconds of its whole window.
    #[must_use]
    pub fn awarded_seconds(&self, slot_s: u32) -> u64 {
        self.seconds_of(self.slots, slot_s)
    }

    /// Accelerator-seconds of so many of its slots.
    #[must_use]
    pub fn seconds_of(&self, slots: u32, slot_s: u32) -> u64 {
        u64::from(slots).saturating_mul(u64::from(slot_s)).saturating_mul(u64::from(self.quantity))
    }

    /// What the lease is made of, the award first: how many slots, since when, and out of which revision of the offer.
    pub fn parts(&self) -> impl DoubleEndedIterator<Item = Extension> {
        let added = self.extensions.iter().fold(0u32, |sum, extension| sum.saturating_add(extension.slots));
        let award = Extension {
            slots: self.slots.saturating_sub(added),
            awarded_at: self.awarded_at,
            offer_revision: self.offer_revision,
        };
        std::iter::once(award).chain(self.extensions.iter().cloned())
    }

    /// What is still held back, over all sources.
    #[must_use]
    pub fn held(&self) -> Money {
        // No more than was locked, so the sum fits.
        self.sources.iter().fold(Money::ZERO, |sum, source| Money(sum.0.saturating_add(source.held.0)))
    }
}

/// A part of a group's aid account.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    BorshSerialize,
    BorshDeserialize,
    Serialize,
    Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum AidPart {
    /// The sum of a quarter, counted from 1970-01-01.
    Quarter(u32),
    /// One lease.
    Lease(LeaseId),
}

/// What stands in a part of a group's aid account.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AidEntry {
    /// The sum of a quarter, less what was taken back.
    Sum(Money),
    /// One award, kept for audit.
    Award(Aid),
}
