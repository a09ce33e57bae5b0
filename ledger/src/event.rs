//! What happened, for those who follow the ledger.

use crate::id::{
    BlobHash, CodeHash, GrantId, GroupId, LeaseId, OfferId, OrderId, OrganisationId, OutageId, ProposalId,
    RequestId, TransactionId,
};
use crate::market::{Bucket, Lane};
use crate::member::MemberCode;
use crate::money::{Money, Price};
use crate::name::Name;
use crate::row::{
    AccountId, Closing, ContractState, ContractVoteKind, Disputant, JobState, Office, Payment, Principal,
    ProposalState, Standing,
};
use crate::time::TimeMs;
use borsh::{BorshDeserialize, BorshSerialize};
use hansa_ledger_signature::PublicKey;
use serde::{Deserialize, Serialize};

/// Something that happened on the ledger. Part of receipts, so the encoding is wire format.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// An organisation may act.
    #[allow(missing_docs)]
    OrganisationAccredited { organisation: OrganisationId, name: Name, home: MemberCode },
    /// An organisation may no longer act.
    #[allow(missing_docs)]
    OrganisationClosed { organisation: OrganisationId, standing: Standing },
    /// A key was registered or changed.
    #[allow(missing_docs)]
    KeySet { organisation: OrganisationId, key: PublicKey },
    /// A key was taken back.
    #[allow(missing_docs)]
    KeyRemoved { organisation: OrganisationId, key: PublicKey },
    /// A site's capacity was accredited.
    #[allow(missing_docs)]
    SiteAccredited { provider: OrganisationId, site: Name, class: Name, accelerators: u32 },
    /// A grant was issued.
    #[allow(missing_docs)]
    GrantIssued { grant: GrantId, holder: OrganisationId, amount: Money },
    /// A grant expired; this returned to its budget line.
    #[allow(missing_docs)]
    GrantClosed { grant: GrantId, returned: Money },
    /// A deposit was attested.
    #[allow(missing_docs)]
    DepositAttested { organisation: OrganisationId, amount: Money },
    /// Cash was redeemed; the home member pays it out.
    #[allow(missing_docs)]
    CashRedeemed { organisation: OrganisationId, amount: Money },
    /// Cash moved.
    #[allow(missing_docs)]
    CashTransferred { from: OrganisationId, to: OrganisationId, amount: Money },
    /// An offer entered the book.
    #[allow(missing_docs)]
    OfferPosted { offer: OfferId, provider: OrganisationId, class: Name, site: Name, ask: Price },
    /// An offer changed.
    #[allow(missing_docs)]
    OfferAmended { offer: OfferId },
    /// An offer left the book.
    #[allow(missing_docs)]
    OfferWithdrawn { offer: OfferId },
    /// A request entered the book.
    #[allow(missing_docs)]
    RequestPlaced { request: RequestId, organisation: OrganisationId, class: Name, locked: Money },
    /// A request left the book unmatched, and its money went back.
    #[allow(missing_docs)]
    RequestClosed { request: RequestId, refunded: Money },
    /// A class was cleared.
    #[allow(missing_docs)]
    BatchCleared { class: Name, epoch: u64, trades: u32, unmatched: u32 },
    /// The price of a bucket.
    #[allow(missing_docs)]
    BatchPriced { class: Name, bucket: Bucket, price: Price, volume: u64 },
    /// A request became a lease.
    #[allow(missing_docs)]
    LeaseAwarded {
        lease: LeaseId,
        request: RequestId,
        offer: OfferId,
        requester: OrganisationId,
        provider: OrganisationId,
        quantity: u32,
        price: Price,
        start: TimeMs,
        end: TimeMs,
        lane: Lane,
        released: bool,
    },
    /// The provider began a lease.
    #[allow(missing_docs)]
    LeaseStarted { lease: LeaseId, provider: OrganisationId },
    /// Usage was reported, cumulative accelerator-seconds.
    #[allow(missing_docs)]
    UsageReported { lease: LeaseId, cumulative: u64, last: bool },
    /// Usage was countersigned, cumulative accelerator-seconds.
    #[allow(missing_docs)]
    UsageCountersigned { lease: LeaseId, cumulative: u64 },
    /// The final usage was contested.
    #[allow(missing_docs)]
    UsageContested { lease: LeaseId, admitted: u64, reported: u64 },
    /// A lease ended.
    #[allow(missing_docs)]
    LeaseEnded { lease: LeaseId, provider: OrganisationId, requester: OrganisationId },
    /// A lease was paid and closed.
    #[allow(missing_docs)]
    LeaseSettled {
        lease: LeaseId,
        closing: Closing,
        fallback: bool,
        payments: Vec<Payment>,
        refunds: Vec<Payment>,
    },
    /// A job was submitted.
    #[allow(missing_docs)]
    JobSubmitted { lease: LeaseId, job: u32, manifest: BlobHash, provider: OrganisationId },
    /// A job's end was reported.
    #[allow(missing_docs)]
    JobEnded { lease: LeaseId, job: u32, state: JobState, outputs: Option<BlobHash> },
    /// Money moved from a home to another.
    #[allow(missing_docs)]
    PositionMoved { debtor: MemberCode, creditor: MemberCode, amount: Money },
    /// Another member confirmed a site's capacity.
    #[allow(missing_docs)]
    SiteConfirmed { provider: OrganisationId, site: Name, class: Name, accelerators: u32, member: MemberCode },
    /// Capacity is out for some time; these leases can not be served whole.
    #[allow(missing_docs)]
    OutageAnnounced {
        outage: OutageId,
        provider: OrganisationId,
        site: Name,
        class: Name,
        start: TimeMs,
        end: TimeMs,
        accelerators: u32,
        planned: bool,
        leases: Vec<LeaseId>,
    },
    /// Capacity is back.
    #[allow(missing_docs)]
    OutageEnded { outage: OutageId },
    /// An award out of the reserve pays less than the market price `basis`.
    #[allow(missing_docs)]
    AidGranted {
        lease: LeaseId,
        group: GroupId,
        member: MemberCode,
        amount: Money,
        basis: Price,
        price: Price,
    },
    /// Aid for what a lease did not use was taken back.
    #[allow(missing_docs)]
    AidReturned { lease: LeaseId, group: GroupId, amount: Money },
    /// The sponsor contested the final usage.
    #[allow(missing_docs)]
    SponsorContested { lease: LeaseId, sponsor: MemberCode, admitted: u64, reported: u64 },
    /// Part of the provider's pay is held back until the audit window ends.
    #[allow(missing_docs)]
    PayHeldBack { lease: LeaseId, amount: Money, due: TimeMs },
    /// The sponsor objected within the audit window.
    #[allow(missing_docs)]
    LeaseObjected { lease: LeaseId, sponsor: MemberCode },
    /// What was held back was paid, and after an objection divided.
    #[allow(missing_docs)]
    HoldbackReleased { lease: LeaseId, payments: Vec<Payment>, refunds: Vec<Payment> },
    /// A lease was prolonged by `slots`; `end` and `locked` are of the whole lease.
    #[allow(missing_docs)]
    LeaseExtended {
        lease: LeaseId,
        provider: OrganisationId,
        requester: OrganisationId,
        end: TimeMs,
        slots: u32,
        price: Price,
        locked: Money,
    },
    /// More members than can be at fault together have listed a transaction as waiting, the last of them at height `since`,
    /// and the blocks that these proposed since do not hold it.
    #[allow(missing_docs)]
    TransactionWithheld {
        transaction: TransactionId,
        since: u64,
        listed_by: Vec<MemberCode>,
        proposers: Vec<MemberCode>,
    },
    /// One key of an office proposed something that takes several.
    #[allow(missing_docs)]
    OrderPlaced { order: OrderId, member: MemberCode, office: Office, due: TimeMs },
    /// Another key of the office approved an order, and it takes more.
    #[allow(missing_docs)]
    OrderApproved { order: OrderId, key: PublicKey, approvals: u32, threshold: u32 },
    /// An order had enough approvals and was done; what it did follows.
    #[allow(missing_docs)]
    OrderExecuted { order: OrderId, member: MemberCode, office: Office, key: PublicKey },
    /// The key that proposed an order took it back.
    #[allow(missing_docs)]
    OrderCancelled { order: OrderId },
    /// An order was not approved in time.
    #[allow(missing_docs)]
    OrderLapsed { order: OrderId },
    /// A key was registered for an office.
    #[allow(missing_docs)]
    OfficeKeySet { member: MemberCode, office: Office, key: PublicKey },
    /// A key of an office was taken back.
    #[allow(missing_docs)]
    OfficeKeyRemoved { member: MemberCode, office: Office, key: PublicKey },
    /// It takes another number of keys for an office to act.
    #[allow(missing_docs)]
    OfficeThresholdSet { member: MemberCode, office: Office, threshold: u32 },
    /// A change was put to the vote until `voting_ends`.
    #[allow(missing_docs)]
    ProposalMade { proposal: ProposalId, proposer: MemberCode, voting_ends: TimeMs },
    /// A member voted, or changed its vote.
    #[allow(missing_docs)]
    VoteCast { proposal: ProposalId, member: MemberCode, approve: bool },
    /// A proposal went from one state to another; `activates_at` once it has passed.
    #[allow(missing_docs)]
    ProposalMoved { proposal: ProposalId, state: ProposalState, activates_at: Option<TimeMs> },
    /// A parameter has another value from this block on.
    #[allow(missing_docs)]
    ParameterChanged { name: String, value: u64 },
    /// What a member may issue and owe has changed.
    #[allow(missing_docs)]
    MemberLimitsChanged { member: MemberCode, issue_limit: Money, debit_cap: Money },
    /// A member has a vote from the height `from` on.
    #[allow(missing_docs)]
    MemberJoined { member: MemberCode, from: u64 },
    /// A member has no vote from the height `from` on.
    #[allow(missing_docs)]
    MemberLeft { member: MemberCode, from: u64 },
    /// A member's node has other keys from the height `from` on.
    #[allow(missing_docs)]
    MemberKeysChanged { member: MemberCode, from: u64 },
    /// Blocks follow other rules from the height `from` on.
    #[allow(missing_docs)]
    UpgradeScheduled { protocol_version: u32, from: u64 },
    /// The bytes of a contract are on the ledger, and are a module that may run.
    #[allow(missing_docs)]
    ContractUploaded { code: CodeHash, name: Name, deployer: Principal, deposit: Money },
    /// Uploaded bytes are no module that may run: they break the rule of this number at this byte, and nothing was kept.
    #[allow(missing_docs)]
    ContractRefused { code: CodeHash, deployer: Principal, rule: u16, offset: u32 },
    /// A member approved a contract; `needed` have to.
    #[allow(missing_docs)]
    ContractApproved { code: CodeHash, member: MemberCode, approvals: u32, needed: u32 },
    /// A member voted on a contract; `needed` have to.
    #[allow(missing_docs)]
    ContractVoted { code: CodeHash, member: MemberCode, kind: ContractVoteKind, votes: u32, needed: u32 },
    /// A contract went into another state; `reason` where it was quarantined.
    #[allow(missing_docs)]
    ContractMoved { code: CodeHash, state: ContractState, reason: Option<String> },
    /// A contract may be used for longer.
    #[allow(missing_docs)]
    ContractRenewed { code: CodeHash, expires_at: TimeMs },
    /// What was held for a contract's bytes went back.
    #[allow(missing_docs)]
    ContractDepositReturned { code: CodeHash, to: AccountId, amount: Money },
    /// A contract failed at a settlement, and the signed fallback decided; `failures` of `settlements` so far.
    #[allow(missing_docs)]
    ContractFailed { code: CodeHash, lease: LeaseId, failures: u64, settlements: u64 },
    /// A member voted for where an alias is to point; `needed` have to.
    #[allow(missing_docs)]
    AliasVoted { alias: Name, code: CodeHash, member: MemberCode, votes: u32, needed: u32 },
    /// An alias will point elsewhere.
    #[allow(missing_docs)]
    AliasScheduled { alias: Name, code: CodeHash, due: TimeMs },
    /// An alias points elsewhere; `code` is none where the contract was no longer active when its time came.
    #[allow(missing_docs)]
    AliasSet { alias: Name, code: Option<CodeHash> },
    /// The provider's cash was staked on a lease, at its award or its extension.
    #[allow(missing_docs)]
    StakeHeld { lease: LeaseId, provider: OrganisationId, amount: Money },
    /// Of a stake, this went to the requester's purses, and this back to the provider. Nothing goes back while the lease goes on.
    #[allow(missing_docs)]
    StakeReleased { lease: LeaseId, provider: OrganisationId, slashed: Money, returned: Money },
    /// What was certain by then was paid while the lease goes on; nothing where its contract failed.
    #[allow(missing_docs)]
    LeasePaid { lease: LeaseId, number: u32, failed: bool, payments: Vec<Payment> },
    /// A dispute was opened over the usage between `admitted` and `reported`; the panel has until `due`.
    #[allow(missing_docs)]
    DisputeOpened {
        lease: LeaseId,
        by: Disputant,
        admitted: u64,
        reported: u64,
        reason: u16,
        bond: Money,
        panel: Vec<MemberCode>,
        due: TimeMs,
    },
    /// A member of the panel ruled, or changed its ruling.
    #[allow(missing_docs)]
    DisputeVoted { lease: LeaseId, member: MemberCode, provider_bps: u16 },
    /// A dispute was decided: by the panel's majority, by one side giving in, or, where nobody decided, as signed.
    #[allow(missing_docs)]
    DisputeDecided { lease: LeaseId, provider_bps: u16, ruled: bool, bond: Vec<Payment> },
    /// An organisation has another beneficial owner: its leases, requests, offers and account count for the group `to`.
    #[allow(missing_docs)]
    OrganisationMoved { organisation: OrganisationId, from: GroupId, to: GroupId },
}
