//! One value of each kind of action and event, every field set.

use crate::world::{key, member, name, newcomer};
use hansa_ledger::action::*;
use hansa_ledger::event::Event;
use hansa_ledger::id::*;
use hansa_ledger::market::{Bucket, Calendar, Lane, LaneHint};
use hansa_ledger::member::CountrySet;
use hansa_ledger::money::{Money, Price};
use hansa_ledger::possession::Possession;
use hansa_ledger::row::*;
use hansa_ledger::time::{Slot, TimeMs};

const ORGANISATION: OrganisationId = OrganisationId([0x01; 32]);
const OTHER: OrganisationId = OrganisationId([0x02; 32]);
const GRANT: GrantId = GrantId([0x03; 32]);
const OFFER: OfferId = OfferId([0x04; 32]);
const REQUEST: RequestId = RequestId([0x05; 32]);
const OUTAGE: OutageId = OutageId([0x0a; 32]);
const LEASE: LeaseId = LeaseId([0x06; 32]);
const CODE: CodeHash = CodeHash([0x07; 32]);
const ORDER: OrderId = OrderId([0x09; 32]);
const BLOB: BlobHash = BlobHash([0x08; 32]);
const PROPOSAL: ProposalId = ProposalId([0x0b; 32]);
const TIME: TimeMs = TimeMs(1_800_000_000_123);

fn calendar() -> Calendar {
    Calendar::new(vec![(Slot(100), 64), (Slot(200), 8), (Slot(300), 0)]).unwrap()
}

fn demand() -> Demand {
    Demand {
        class: name("a100-64"),
        quantity: 8,
        quantity_min: 4,
        slots: 96,
        start_min: Slot(1_000),
        start_max: Slot(2_000),
        limit: Price(3_500_000),
        countries: CountrySet::of([member("ES"), member("FR")]).unwrap(),
        certificates: 0b101,
        tier_min: 2,
        purpose: Purpose::Innovation,
        sources: vec![
            Source { purse: Purse::Grant(GRANT), share_bps: 7_500 },
            Source { purse: Purse::Cash, share_bps: 2_500 },
        ],
        job: Some(BLOB),
        lane: LaneHint::Reserve,
        interruptible: true,
        any_of: vec![Alternative { class: name("h100-80"), limit: Price(5_000_000) }],
    }
}

fn proof(principal: Principal) -> Possession {
    Possession::prove(ChainId([0xc4; 32]), &key("sample"), principal)
}

pub fn actions() -> Vec<Action> {
    let usages = || {
        vec![
            LeaseUsage { lease: LEASE, cumulative: 28_800 },
            LeaseUsage { lease: LeaseId([9; 32]), cumulative: 1 },
        ]
    };
    let key = key("sample").public_key();
    vec![
        AccreditOrganisation {
            register_number: "EE-12345678".to_owned(),
            owner: Some(Registration { country: member("DE"), number: "HRB-1".to_owned() }),
            name: name("tallinn-robotics"),
            class: OrganisationClass::StartUp,
            accredited_until: TIME,
            key,
            proof: Some(proof(Principal::Organisation(ORGANISATION))),
        }
        .into(),
        RevokeOrganisation { organisation: ORGANISATION }.into(),
        SetKey {
            key,
            roles: Roles(Roles::BID.0 | Roles::OPERATE.0),
            amount_max: Some(Money(1_500_000)),
            proof: Some(proof(Principal::Organisation(OTHER))),
        }
        .into(),
        RemoveKey { key }.into(),
        AccreditSite {
            provider: OTHER,
            site: name("marenostrum"),
            class: name("a100-64"),
            accelerators: 4_480,
            node_size: 4,
            tier: 3,
            certificates: 0b11,
            pool: Pool::Private,
            parts: vec![
                SitePart { owner: PoolOwner::Private, accelerators: 4_000, commercial_ceiling_bps: 10_000 },
                SitePart {
                    owner: PoolOwner::Member(member("EU")),
                    accelerators: 480,
                    commercial_ceiling_bps: 2_000,
                },
            ],
        }
        .into(),
        IssueGrant {
            holder: ORGANISATION,
            reference: name("ee-2027-1"),
            budget_line: name("innovation"),
            purpose: Purpose::PublicService,
            amount: Money(100_000_000),
            expires: TIME,
        }
        .into(),
        AttestDeposit { organisation: ORGANISATION, amount: Money(1), reference: name("bank-1") }.into(),
        RedeemCash { amount: Money(u64::MAX) }.into(),
        TransferCash { to: OTHER, amount: Money(2_500_000) }.into(),
        PostOffer {
            site: name("marenostrum"),
            class: name("a100-64"),
            ask: Price(1_800_000),
            calendar: calendar(),
            owner: Some(PoolOwner::Member(member("EU"))),
            reserve_bps: Some(2_500),
            reserve_cycle_slots: Some(96),
            contract: CODE,
            contract_params: vec![1, 2, 3],
            parties: vec![ORGANISATION, OTHER],
        }
        .into(),
        AmendOffer { offer: OFFER, ask: Some(Price(1_900_000)), calendar: Some(calendar()) }.into(),
        WithdrawOffer { offer: OFFER }.into(),
        PlaceRequest { demand: demand() }.into(),
        CancelRequest { request: REQUEST }.into(),
        StartLease { lease: LEASE }.into(),
        ReportUsage { usages: usages() }.into(),
        CountersignUsage { usages: usages() }.into(),
        ContestUsage { lease: LEASE, admitted: 3 }.into(),
        EndLease { lease: LEASE, cumulative: Some(28_800) }.into(),
        CancelLease { lease: LEASE }.into(),
        RunJob { lease: LEASE, manifest: BLOB }.into(),
        ReportJob { lease: LEASE, job: 2, exit_code: Some(-1), outputs: Some(BLOB), failure: None }.into(),
        ObjectLease { lease: LEASE }.into(),
        ReportWindows { windows: vec![LeaseWindow { lease: LEASE, cumulative: 24, reading: 180 }] }.into(),
        ConfirmSite {
            provider: OTHER,
            site: name("marenostrum"),
            class: name("a100-64"),
            accelerators: 4_480,
        }
        .into(),
        AnnounceOutage {
            site: name("marenostrum"),
            class: name("a100-64"),
            owner: Some(PoolOwner::Private),
            start: Slot(100),
            end: Slot(200),
            accelerators: 64,
            planned: true,
        }
        .into(),
        EndOutage { outage: OUTAGE }.into(),
        ExtendLease { lease: LEASE, slots: 8, price_max: Price(1_800_000) }.into(),
        ApproveOrder { order: ORDER }.into(),
        CancelOrder { order: ORDER }.into(),
        SetOfficeKey {
            office: Office::Treasury,
            key,
            proof: proof(Principal::Office(member("EE"), Office::Treasury)),
        }
        .into(),
        RemoveOfficeKey { office: Office::Registrar, key }.into(),
        SetOfficeThreshold { office: Office::Governance, threshold: 3 }.into(),
        Propose { change: changes().remove(2), activate_after_ms: 604_800_000 }.into(),
        Vote { proposal: PROPOSAL, approve: true }.into(),
        RotateKeys { consensus_key: key, network_key: crate::world::key("network").public_key() }.into(),
        UploadContract {
            name: name("carbon-spot"),
            code: vec![0, 0x61, 0x73, 0x6d],
            budget_line: Some(name("innovation")),
        }
        .into(),
        ApproveContract { code: CODE }.into(),
        DeprecateContract { code: CODE }.into(),
        RenewContract { code: CODE }.into(),
        QuarantineContract { code: CODE, reason: "pays twice for one window".to_owned() }.into(),
        ResumeContract { code: CODE }.into(),
        SetAlias { name: name("eu.spot"), code: CODE }.into(),
        ClaimPayment { lease: LEASE }.into(),
        OpenDispute { lease: LEASE, usage: 28_000, reason: 7 }.into(),
        RuleDispute { lease: LEASE, provider_bps: 2_500 }.into(),
    ]
}

/// In the order of their tags.
pub fn changes() -> Vec<Change> {
    let key = |name| key(name).public_key();
    vec![
        Change::Parameters {
            values: vec![
                ParameterValue { name: "fee_bps".to_owned(), value: 150 },
                ParameterValue { name: "batch_ms".to_owned(), value: 30_000 },
            ],
        },
        Change::MemberLimits { member: member("EE"), issue_limit: Money(2), debit_cap: Money(1) },
        Change::MemberJoin { member: newcomer("PL") },
        Change::MemberLeave { member: member("FR") },
        Change::MemberKeys {
            member: member("DE"),
            consensus_key: key("consensus"),
            network_key: key("network"),
        },
        Change::Upgrade { protocol_version: 2, height: 1_000 },
    ]
}

pub fn proposal() -> Proposal {
    Proposal {
        proposer: member("EE"),
        change: changes().remove(0),
        proposed_at: TIME,
        voting_ends: TIME.plus(1_000),
        activate_after_ms: 2_000,
        approvals: vec![member("DE"), member("EE")],
        refusals: vec![member("FR")],
        state: ProposalState::Failed,
        activates_at: Some(TIME.plus(3_000)),
        failure: Some(184),
    }
}

fn payment(from: AccountId, to: AccountId) -> Payment {
    Payment { from, to, amount: Money(19_800) }
}

/// In the order of their tags.
pub fn events() -> Vec<Event> {
    let (organisation, provider, requester) = (ORGANISATION, OTHER, ORGANISATION);
    let (class, site, amount) = (name("a100-64"), name("marenostrum"), Money(2_500_000));
    let (lease, request, offer, key) = (LEASE, REQUEST, OFFER, key("sample").public_key());
    vec![
        Event::OrganisationAccredited { organisation, name: name("tallinn-robotics"), home: member("EE") },
        Event::OrganisationClosed { organisation, standing: Standing::Revoked },
        Event::KeySet { organisation, key },
        Event::KeyRemoved { organisation, key },
        Event::SiteAccredited { provider, site: site.clone(), class: class.clone(), accelerators: 4_480 },
        Event::GrantIssued { grant: GRANT, holder: organisation, amount },
        Event::GrantClosed { grant: GRANT, returned: amount },
        Event::DepositAttested { organisation, amount },
        Event::CashRedeemed { organisation, amount },
        Event::CashTransferred { from: organisation, to: provider, amount },
        Event::OfferPosted {
            offer,
            provider,
            class: class.clone(),
            site: site.clone(),
            ask: Price(1_800_000),
        },
        Event::OfferAmended { offer },
        Event::OfferWithdrawn { offer },
        Event::RequestPlaced { request, organisation, class: class.clone(), locked: amount },
        Event::RequestClosed { request, refunded: amount },
        Event::BatchCleared { class: class.clone(), epoch: 3, trades: 2, unmatched: 1 },
        Event::BatchPriced {
            class: class.clone(),
            bucket: Bucket::Near,
            price: Price(1_800_000),
            volume: 80,
        },
        Event::LeaseAwarded {
            lease,
            request,
            offer,
            requester,
            provider,
            quantity: 8,
            price: Price(1_800_000),
            start: TIME,
            end: TIME.plus(10_000),
            lane: Lane::Reserve,
            released: false,
        },
        Event::LeaseStarted { lease, provider },
        Event::UsageReported { lease, cumulative: 24, last: false },
        Event::UsageCountersigned { lease, cumulative: 40 },
        Event::UsageContested { lease, admitted: 4, reported: 16 },
        Event::LeaseEnded { lease, provider, requester },
        Event::LeaseSettled {
            lease,
            closing: Closing::Ruling,
            fallback: true,
            payments: vec![
                payment(AccountId::Escrow(request, 1), AccountId::Cash(provider)),
                payment(AccountId::Escrow(request, 0), AccountId::Fees),
            ],
            refunds: vec![
                payment(AccountId::Escrow(request, 0), AccountId::Grant(GRANT)),
                payment(AccountId::Escrow(request, 1), AccountId::Line(member("EE"), name("innovation"))),
            ],
        },
        Event::JobSubmitted { lease, job: 1, manifest: BLOB, provider },
        Event::JobEnded { lease, job: 1, state: JobState::Succeeded, outputs: Some(BLOB) },
        Event::PositionMoved { debtor: member("EE"), creditor: member("ES"), amount },
        Event::SiteConfirmed { provider, site, class, accelerators: 4_480, member: member("FR") },
        Event::OutageAnnounced {
            outage: OUTAGE,
            provider,
            site: name("marenostrum"),
            class: name("a100-64"),
            start: TIME,
            end: TIME,
            accelerators: 64,
            planned: true,
            leases: vec![lease],
        },
        Event::OutageEnded { outage: OUTAGE },
        Event::AidGranted {
            lease,
            group: GroupId([0x0a; 32]),
            member: member("EE"),
            amount,
            basis: Price(1_800_000),
            price: Price(1_000_000),
        },
        Event::AidReturned { lease, group: GroupId([0x0a; 32]), amount },
        Event::SponsorContested { lease, sponsor: member("EE"), admitted: 4, reported: 16 },
        Event::PayHeldBack { lease, amount, due: TIME },
        Event::LeaseObjected { lease, sponsor: member("EE") },
        Event::HoldbackReleased {
            lease,
            payments: vec![payment(AccountId::Escrow(request, 0), AccountId::Cash(provider))],
            refunds: vec![payment(AccountId::Escrow(request, 0), AccountId::Grant(GRANT))],
        },
        Event::LeaseExtended {
            lease,
            provider,
            requester,
            end: TIME,
            slots: 8,
            price: Price(1_800_000),
            locked: amount,
        },
        Event::TransactionWithheld {
            transaction: TransactionId([0x0b; 32]),
            since: 41,
            listed_by: vec![member("EE"), member("ES")],
            proposers: vec![member("DE"), member("FR")],
        },
        Event::OrderPlaced { order: ORDER, member: member("EE"), office: Office::Treasury, due: TIME },
        Event::OrderApproved { order: ORDER, key, approvals: 2, threshold: 3 },
        Event::OrderExecuted { order: ORDER, member: member("EE"), office: Office::Governance, key },
        Event::OrderCancelled { order: ORDER },
        Event::OrderLapsed { order: ORDER },
        Event::OfficeKeySet { member: member("EE"), office: Office::Registrar, key },
        Event::OfficeKeyRemoved { member: member("EE"), office: Office::Treasury, key },
        Event::OfficeThresholdSet { member: member("EE"), office: Office::Treasury, threshold: 2 },
        Event::ProposalMade { proposal: PROPOSAL, proposer: member("EE"), voting_ends: TIME },
        Event::VoteCast { proposal: PROPOSAL, member: member("EE"), approve: true },
        Event::ProposalMoved {
            proposal: PROPOSAL,
            state: ProposalState::Passed,
            activates_at: Some(TIME.plus(2_000)),
        },
        Event::ParameterChanged { name: "fee_bps".to_owned(), value: 150 },
        Event::MemberLimitsChanged { member: member("EE"), issue_limit: amount, debit_cap: amount },
        Event::MemberJoined { member: member("PL"), from: 44 },
        Event::MemberLeft { member: member("FR"), from: 44 },
        Event::MemberKeysChanged { member: member("DE"), from: 44 },
        Event::UpgradeScheduled { protocol_version: 2, from: 1_000 },
        Event::ContractUploaded {
            code: CODE,
            name: name("carbon-spot"),
            deployer: Principal::Organisation(provider),
            deposit: amount,
        },
        Event::ContractRefused {
            code: CODE,
            deployer: Principal::Office(member("EE"), Office::Treasury),
            rule: 6,
            offset: 42,
        },
        Event::ContractApproved { code: CODE, member: member("EE"), approvals: 1, needed: 2 },
        Event::ContractVoted {
            code: CODE,
            member: member("EE"),
            kind: ContractVoteKind::Resume,
            votes: 1,
            needed: 2,
        },
        Event::ContractMoved {
            code: CODE,
            state: ContractState::Quarantined,
            reason: Some("pays twice for one window".to_owned()),
        },
        Event::ContractRenewed { code: CODE, expires_at: TIME },
        Event::ContractDepositReturned { code: CODE, to: AccountId::Cash(provider), amount },
        Event::ContractFailed { code: CODE, lease, failures: 1, settlements: 3 },
        Event::AliasVoted { alias: name("eu.spot"), code: CODE, member: member("EE"), votes: 1, needed: 2 },
        Event::AliasScheduled { alias: name("eu.spot"), code: CODE, due: TIME },
        Event::AliasSet { alias: name("eu.spot"), code: Some(CODE) },
        Event::StakeHeld { lease: LEASE, provider: OTHER, amount: Money(5_000) },
        Event::StakeReleased { lease: LEASE, provider: OTHER, slashed: Money(1), returned: Money(2) },
        Event::LeasePaid {
            lease: LEASE,
            number: 3,
            failed: false,
            payments: vec![Payment {
                from: AccountId::Stake(LEASE),
                to: AccountId::Bond(LEASE),
                amount: Money(1),
            }],
        },
        Event::DisputeOpened {
            lease: LEASE,
            by: Disputant::Sponsor,
            admitted: 4,
            reported: 9,
            reason: 7,
            bond: Money(1_000),
            panel: vec![member("DE"), member("FR")],
            due: TIME,
        },
        Event::DisputeVoted { lease: LEASE, member: member("DE"), provider_bps: 2_500 },
        Event::DisputeDecided { lease: LEASE, provider_bps: 2_500, ruled: true, bond: Vec::new() },
        Event::OrganisationMoved { organisation: ORGANISATION, from: GroupId([1; 32]), to: GroupId([2; 32]) },
    ]
}
