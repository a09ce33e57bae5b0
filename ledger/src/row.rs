//! What the rows of the tables hold.

use crate::id::{BlobHash, CodeHash, GrantId, GroupId, LeaseId, OrganisationId, RequestId, order};
use crate::market::{LaneHint, Unmatched};
use crate::member::{CountrySet, MemberCode};
use crate::money::{Money, Price};
use crate::name::Name;
use crate::time::{Slot, TimeMs};
use borsh::{BorshDeserialize, BorshSerialize};
use hansa_ledger_signature::PublicKey;
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;

/// Declares plain data: the derives every row and wire type has.
macro_rules! data {
    ($($(#[$meta:meta])* pub struct $name:ident $body:tt)*) => {$(
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct $name $body
    )*};
}

/// Declares a closed set of cases, snake case in JSON.
macro_rules! cases {
    ($($(#[$meta:meta])* pub enum $name:ident $body:tt)*) => {$(
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum $name $body
    )*};
}

pub(crate) use data;

mod contract;
mod dispute;
mod figures;
mod governance;
mod kind;
mod lease;
mod office;
mod supply;
mod waiting;

pub use contract::*;
pub use dispute::*;
pub use figures::*;
pub use governance::*;
pub use kind::*;
pub use lease::*;
pub use office::*;
pub use supply::*;
pub use waiting::*;

/// The roles a key of an organisation may have, as bits.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Roles(pub u8);

impl Roles {
    /// Places requests, runs jobs, countersigns usage.
    pub const BID: Self = Self(1);
    /// Posts offers.
    pub const OFFER: Self = Self(2);
    /// Starts and ends leases, reports usage and jobs.
    pub const OPERATE: Self = Self(4);
    /// Moves cash.
    pub const TREASURY: Self = Self(8);
    /// Manages the organisation's keys.
    pub const ADMIN: Self = Self(16);
    /// Uploads contracts, and ends those it uploaded.
    pub const CONTRACT: Self = Self(32);
    /// Everything.
    pub const ALL: Self = Self(63);

    /// Whether every role of `other` is in this set.
    #[must_use]
    pub fn includes(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether only defined bits are set, and at least one.
    #[must_use]
    pub fn is_valid(self) -> bool {
        self.0 != 0 && self.0 & !Self::ALL.0 == 0
    }
}

/// Who a key acts for, and whose quota it uses.
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
pub enum Principal {
    /// An organisation.
    Organisation(OrganisationId),
    /// An office of a member.
    Office(MemberCode, Office),
}

/// What holds money. Double entry: money only ever moves between two of these, or is issued to or redeemed from one.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum AccountId {
    /// An organisation's own money.
    Cash(OrganisationId),
    /// A grant.
    Grant(GrantId),
    /// Returned grant money of a member's budget line.
    Line(MemberCode, Name),
    /// Money locked for a request and the lease it becomes; one account per source.
    Escrow(RequestId, u8),
    /// The federation's fees; its home is `EU`.
    Fees,
    /// What is held for the bytes of a contract, until it is archived.
    Deposit(CodeHash),
    /// What the provider of a lease staked on it.
    Stake(LeaseId),
    /// The bond of the dispute over a lease.
    Bond(LeaseId),
}

/// A purse a request may be paid from.
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
pub enum Purse {
    /// The organisation's own money.
    Cash,
    /// Ring-fenced public money.
    Grant(GrantId),
}

data! {
    /// The chain as of its last block.
    pub struct Chain {
        /// Rules in force.
        pub protocol_version: u32,
        /// Height of the last block; 0 is genesis.
        pub height: u64,
        /// Its time.
        pub time: TimeMs,
        /// Transactions so far.
        pub transactions: u64,
        /// Other rules that a vote has set a height for.
        pub upgrade: Option<Upgrade>,
    }

    /// A member state, or the joint undertaking.
    pub struct Member {
        /// Key that signs its votes at the latest from the height after the next; `EU` and a member that has left have none.
        /// Who signs a height is in `validator_sets`.
        pub consensus_key: Option<PublicKey>,
        /// Key of its node on the network (Ed25519); none as above.
        pub network_key: Option<PublicKey>,
        /// What other members owe it (+) or it owes them (-), in uEUR.
        #[serde(with = "text")]
        pub position: i128,
        /// Part of the debit cap that awarded leases hold.
        pub locked: Money,
        /// The most it may owe.
        pub debit_cap: Money,
        /// Grants issued and deposits attested so far.
        pub issued: Money,
        /// Cash redeemed so far.
        pub redeemed: Money,
        /// The most that may be issued and not redeemed.
        pub issue_limit: Money,
        /// Net transfers between members confirmed outside so far, in uEUR.
        #[serde(with = "text")]
        pub confirmed: i128,
    }

    /// A legal person.
    pub struct Organisation {
        /// What it is called.
        pub name: Name,
        /// The member that accredited it.
        pub home: MemberCode,
        /// Its class.
        pub class: OrganisationClass,
        /// Its beneficial-owner group.
        pub group: GroupId,
        /// Whether it may act.
        pub standing: Standing,
        /// When it was first accredited; what it may take of a reserve grows from then on.
        pub accredited_since: TimeMs,
        /// When its accreditation ends.
        pub accredited_until: TimeMs,
        /// Offers and requests it has placed, ever.
        pub sequence: u64,
        /// Requests it has open.
        pub requests_open: u32,
        /// Keys it has had, those taken back included: their rows stay.
        pub keys: u32,
        /// Keys that may manage the others.
        pub administrators: u32,
    }

    /// A key that may sign.
    pub struct Key {
        /// Who it acts for.
        pub principal: Principal,
        /// What it may do; 0 for an office, whose key does what the office does.
        pub roles: Roles,
        /// The most one request or transfer may bind; none means no limit.
        pub amount_max: Option<Money>,
        /// Transactions it has had executed: the next one carries this nonce.
        pub nonce: u64,
        /// Whether it was taken back.
        pub revoked: bool,
    }

    /// A balance.
    pub struct Account {
        /// The member on whose side of the books it stands.
        pub home: MemberCode,
        /// What it holds.
        pub balance: Money,
    }

    /// A grant.
    pub struct Grant {
        /// Who issued it.
        pub issuer: MemberCode,
        /// The issuer's reference.
        pub reference: Name,
        /// The budget line that pays, and that expired money returns to.
        pub budget_line: Name,
        /// Who may spend it.
        pub holder: OrganisationId,
        /// What on.
        pub purpose: Purpose,
        /// How much it was.
        pub amount: Money,
        /// Until when.
        pub expires: TimeMs,
        /// Whether the rest has returned to the budget line.
        pub closed: bool,
    }

    /// A purse that pays part of a request.
    pub struct Source {
        /// Which.
        pub purse: Purse,
        /// Its part, in basis points; the parts of a request sum to 10,000.
        pub share_bps: u16,
    }

    /// Another class that would do as well.
    pub struct Alternative {
        /// Resource class.
        pub class: Name,
        /// Most per accelerator-hour of it.
        pub limit: Price,
    }

    /// A demand.
    pub struct Demand {
        /// Resource class.
        pub class: Name,
        /// Accelerators.
        pub quantity: u32,
        /// Fewest accelerators that still help; equal to `quantity` it means all or nothing.
        pub quantity_min: u32,
        /// Length in slots.
        pub slots: u32,
        /// Earliest start.
        pub start_min: Slot,
        /// Latest start.
        pub start_max: Slot,
        /// Most per accelerator-hour.
        pub limit: Price,
        /// Where it may run; empty means anywhere.
        #[serde(default)]
        pub countries: CountrySet,
        /// Certificates a site must hold, as bits.
        #[serde(default)]
        pub certificates: u32,
        /// Least interconnect tier.
        #[serde(default)]
        pub tier_min: u8,
        /// What it is for.
        pub purpose: Purpose,
        /// Who pays, in order.
        pub sources: Vec<Source>,
        /// The first job, by its manifest; more can follow in the lease.
        #[serde(default)]
        pub job: Option<BlobHash>,
        /// The lanes it may be served by.
        #[serde(default)]
        pub lane: LaneHint,
        /// Whether it accepts released reserve, from which it may be interrupted.
        #[serde(default)]
        pub interruptible: bool,
        /// Other classes that would do as well, each once: it waits for all of them, and the first award ends the others.
        #[serde(default)]
        pub any_of: Vec<Alternative>,
    }

    /// Why a request is not served by one of its classes.
    pub struct ClassUnmatched {
        /// The class.
        pub class: Name,
        /// What the last batch of it found.
        pub unmatched: Unmatched,
    }

    /// A request.
    pub struct Request {
        /// Who asks.
        pub organisation: OrganisationId,
        /// Its beneficial-owner group when the request was placed.
        pub group: GroupId,
        /// Its home member.
        pub home: MemberCode,
        /// The key that signed.
        pub key: PublicKey,
        /// What is asked.
        pub demand: Demand,
        /// Where it stands.
        pub state: RequestState,
        /// When it was placed.
        pub placed_at: TimeMs,
        /// The batch count of each class when it was placed, in the order of [`Demand::classes`]: age within equal need.
        pub admitted_epochs: Vec<u64>,
        /// The organisation's count of orders at placing; part of the tie rule.
        pub sequence: u64,
        /// Money locked for it, over all sources.
        pub locked: Money,
        /// The lease it became.
        pub lease: Option<LeaseId>,
        /// Why the last batch of each class did not match it, by class; a class without one has had no batch since.
        pub unmatched: Vec<ClassUnmatched>,
    }

    /// A moment at which something happens by itself.
    pub struct Deadline {
        /// When.
        pub due: TimeMs,
        /// What.
        pub kind: DeadlineKind,
        /// To what: the id of a lease, request, grant, organisation, outage, order or proposal, the hash of a contract's code, or the hash
        /// of a class's or alias's name.
        pub subject: [u8; 32],
    }

    /// A resource class.
    pub struct Class {
        /// Accredited accelerators of the class.
        pub capacity: u32,
        /// Batches so far.
        pub epoch: u64,
        /// When the next batch runs, if anything changed since the last.
        pub batch_due: Option<TimeMs>,
        /// Price of the last batch that traded.
        pub price: Option<Price>,
    }

    /// Quota used in an epoch.
    pub struct Quota {
        /// The epoch: block time divided by the epoch's length.
        pub epoch: u64,
        /// Actions.
        pub actions: u32,
        /// Bytes of transactions.
        pub bytes: u64,
    }

    /// Usage of a group in a class.
    pub struct GroupUsage {
        /// Accelerator-seconds, decayed to `day`.
        pub accelerator_seconds: u64,
        /// Days since 1970-01-01 UTC.
        pub day: u32,
    }
}

/// By time, then kind, then subject.
impl Ord for Deadline {
    fn cmp(&self, other: &Self) -> Ordering {
        let moment = (self.due, self.kind).cmp(&(other.due, other.kind));
        moment.then_with(|| order(&self.subject, &other.subject))
    }
}

impl PartialOrd for Deadline {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Request {
    /// Why the last batch did not match it: of its own class where there was one, else of the first by name.
    #[must_use]
    pub fn last_unmatched(&self) -> Option<&Unmatched> {
        let own = self.unmatched.iter().find(|one| one.class == self.demand.class);
        own.or(self.unmatched.first()).map(|one| &one.unmatched)
    }
}

impl Demand {
    /// The classes it waits for with the limit in each, its own first.
    pub fn classes(&self) -> impl Iterator<Item = (&Name, Price)> {
        let others = self.any_of.iter().map(|other| (&other.class, other.limit));
        std::iter::once((&self.class, self.limit)).chain(others)
    }

    /// Whether public money pays any part of it.
    #[must_use]
    pub fn has_grant(&self) -> bool {
        self.sources.iter().any(|source| matches!(source.purse, Purse::Grant(_)))
    }
}

impl Key {
    /// A fresh key of a member's office.
    #[must_use]
    pub fn of_office(member: MemberCode, office: Office) -> Self {
        let principal = Principal::Office(member, office);
        Self { principal, roles: Roles(0), amount_max: None, nonce: 0, revoked: false }
    }
}

/// Wide integers as decimal text, since JSON numbers lose digits.
mod text {
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(value: &i128, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i128, D::Error> {
        <String as Deserialize>::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}
