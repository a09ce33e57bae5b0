//! Who may read what: the one place where that is decided, field by field.
//!
//! *Whole* is the row as it stands on the ledger. An office of a member, and of the joint undertaking, sees everything whole.
//!
//! | what | everybody | whole for the organisation that |
//! |---|---|---|
//! | status, peers, health, metrics, genesis, parameters, contracts | whole | |
//! | members | whole: positions and limits are public aggregates | |
//! | classes | whole: capacity, last price, counts of offers, requests and leases | |
//! | blocks | header, certificate, ids of the transactions; what stands in them for members only | |
//! | transactions | height, place, time, code; of the events those everybody may see | signed it |
//! | organisations | id, home, class, standing | it is; with keys, purses, grants and counters |
//! | keys, grants, quotas, balances | nothing | they belong to |
//! | sites, their parts, outages | whole: who confirmed them, who owns which part, what is leased and out of order | |
//! | capacity | whole but for the provider's name | provides |
//! | open offers | id, provider, site, class, country, certificates, tier, node, ask, owner, what is free of market and reserve, contract | provides |
//! | figures of batches, prices of classes, the list of reasons | whole: groups stand in them as pseudonyms | |
//! | the book of a class | offers as above; of requests how many, and sums over bands of prices that hold three groups or more | |
//! | withdrawn offers | nothing | provides |
//! | requests, and why they wait | nothing; the classes tell how many | asks (also in the book), or provides the lease it became |
//! | leases | id, class, site, state, start, end, hash of the settlement | requests or provides |
//! | jobs, settlements, interims, disputes | nothing | requests or provides the lease |
//! | events | the kinds that name nothing but what stands above ([`is_public`]) | is named by it or by what it is about |
//! | quotes | nothing | would ask |
//! | offices, their keys, proposals, votes | whole | |
//! | orders of offices | nothing: for members | |
//! | aid | nothing | is of its group |
//! | proofs | of rows that are whole for everybody | sees the row whole |
//!
//! What one may not see and what is not there are refused alike ([`Fault::ReadForbidden`]), so that a stranger learns nothing.

use super::answer::Problem;
use super::reader::Who;
use hansa_ledger::event::Event;
use hansa_ledger::id::{GrantId, LeaseId, OfferId, OrganisationId, RequestId};
use hansa_ledger::root::{Digest, value_hash};
use hansa_ledger::row::{
    AccountId, EntitlementKey, Lease, Offer, OfferState, Organisation, PoolOwner, Principal, Request, Site,
    SiteKey,
};
use hansa_ledger::state::{State, Table};
use hansa_ledger::tables::{
    Accounts, Aids, Chains, Classes, ContractAliases, ContractCodes, Contracts, Disputes, Entitlements,
    FiguresTable, Grants, Interims, Jobs, Keys, Leases, LeasesLive, Members, Offers, OffersOpen, Offices,
    Organisations, Outages, ParamsTable, Proposals, Proposers, Quotas, Requests, RequestsOpen, Settlements,
    Sites, Usages, ValidatorSets, Waits,
};
use hansa_ledger_signature::PublicKey;
use hansa_node_api::error::Fault;
use hansa_node_api::lease::LeaseInfo;
use hansa_node_api::market::{PartInfo, SiteInfo};
use hansa_node_api::organisation::OrganisationInfo;
use hansa_node_api::view::{
    PublicLease, PublicOffer, PublicOrganisation, PublicSite, Shown, ShownLease, ShownOrganisation, ShownSite,
};

impl Who {
    /// Whether everything is whole for it.
    pub(super) fn sees_all(self) -> bool {
        matches!(self, Self::Office(..))
    }

    /// Whether it sees what belongs to this organisation.
    pub(super) fn sees(self, organisation: OrganisationId) -> bool {
        self.sees_all() || self == Self::Organisation(organisation)
    }

    pub(super) fn sees_principal(self, principal: Principal) -> bool {
        match principal {
            Principal::Organisation(organisation) => self.sees(organisation),
            Principal::Office(..) => self.sees_all(),
        }
    }

    pub(super) fn sees_lease(self, row: &Lease) -> bool {
        self.sees(row.requester) || self.sees(row.provider)
    }

    pub(super) fn sees_request(self, state: &State, row: &Request) -> bool {
        let provides = || row.lease.and_then(|lease| state.get::<Leases>(&lease));
        self.sees(row.organisation) || provides().is_some_and(|lease| self.sees(lease.provider))
    }

    /// Refuses where this is somebody else's, and where it is not there, alike.
    ///
    /// # Errors
    /// [`Fault::ReadForbidden`]; for those who see all, that there is none.
    pub(super) fn refuse(self, what: &str, id: &impl std::fmt::Display) -> Problem {
        match self.sees_all() {
            true => Problem::unknown(what, id),
            false => forbidden(what),
        }
    }
}

/// The one refusal of what is not for this reader.
pub(super) fn forbidden(what: &str) -> Problem {
    Problem::new(
        Fault::ReadForbidden,
        format!("this {what} is for those it belongs to and for members to read"),
    )
}

/// An organisation as it is seen.
pub(super) fn organisation(who: Who, id: &OrganisationId, row: &Organisation) -> ShownOrganisation {
    match who.sees(*id) {
        true => Shown::Whole(OrganisationInfo { id: *id, row: row.clone() }),
        false => Shown::Public(PublicOrganisation {
            id: *id,
            home: row.home,
            class: row.class,
            standing: row.standing,
        }),
    }
}

/// A site as it is seen.
pub(super) fn site(who: Who, state: &State, key: &SiteKey, row: &Site) -> ShownSite {
    let parts = parts(state, key);
    match who.sees(key.provider) {
        true => Shown::Whole(SiteInfo { key: key.clone(), row: row.clone(), parts }),
        false => Shown::Public(PublicSite {
            key: key.clone(),
            country: row.country,
            accelerators: row.accelerators,
            node_size: row.node_size,
            tier: row.tier,
            certificates: row.certificates,
            confirmed: row.confirmed,
            confirmed_by: row.confirmed_by,
            parts,
        }),
    }
}

/// The parts of a site, by owner.
fn parts(state: &State, site: &SiteKey) -> Vec<PartInfo> {
    let first = EntitlementKey { site: site.clone(), owner: PoolOwner::Private };
    let view = state.view();
    let here = view.range::<Entitlements>(first..).take_while(|(key, _)| key.site == *site);
    here.map(|(key, row)| PartInfo { owner: key.owner, row: row.clone() }).collect()
}

/// What everybody may know of an offer; nothing of one that is not open.
pub(super) fn offer_public(id: &OfferId, row: &Offer, free_now: u32) -> Option<PublicOffer> {
    (row.state == OfferState::Open).then(|| PublicOffer {
        id: *id,
        provider: row.provider,
        site: row.site.clone(),
        class: row.class.clone(),
        country: row.country,
        certificates: row.certificates,
        tier: row.tier,
        node_size: row.node_size,
        ask: row.ask,
        pool: row.pool,
        reserve_bps: row.reserve_bps,
        market: row.market.clone(),
        reserve: row.reserve.clone(),
        contract: row.contract,
        state: row.state,
        free_now,
    })
}

/// A lease as it is seen.
pub(super) fn lease(who: Who, state: &State, id: &LeaseId, row: &Lease) -> ShownLease {
    if who.sees_lease(row) {
        return Shown::Whole(LeaseInfo { id: *id, row: row.clone() });
    }
    let settlement = state.get::<Settlements>(id).and_then(|row| borsh::to_vec(row).ok());
    Shown::Public(PublicLease {
        id: *id,
        class: row.class.clone(),
        site: row.site.clone(),
        state: row.state,
        start: row.agreement.start,
        end: row.agreement.end,
        settlement: settlement.map(|bytes| Digest(value_hash(&bytes))),
    })
}

/// Whether an event says nothing but what everybody may know.
pub(super) fn is_public(event: &Event) -> bool {
    match event {
        Event::OrganisationClosed { .. }
        | Event::SiteAccredited { .. }
        | Event::OfferPosted { .. }
        | Event::OfferAmended { .. }
        | Event::OfferWithdrawn { .. }
        | Event::BatchCleared { .. }
        | Event::BatchPriced { .. }
        | Event::SiteConfirmed { .. }
        | Event::OutageAnnounced { .. }
        | Event::OutageEnded { .. }
        | Event::OfficeKeySet { .. }
        | Event::OfficeKeyRemoved { .. }
        | Event::OfficeThresholdSet { .. }
        | Event::ProposalMade { .. }
        | Event::VoteCast { .. }
        | Event::ProposalMoved { .. }
        | Event::ParameterChanged { .. }
        | Event::MemberLimitsChanged { .. }
        | Event::MemberJoined { .. }
        | Event::MemberLeft { .. }
        | Event::MemberKeysChanged { .. }
        | Event::UpgradeScheduled { .. }
        | Event::ContractUploaded { .. }
        | Event::ContractRefused { .. }
        | Event::ContractApproved { .. }
        | Event::ContractVoted { .. }
        | Event::ContractMoved { .. }
        | Event::ContractRenewed { .. }
        | Event::AliasVoted { .. }
        | Event::AliasScheduled { .. }
        | Event::AliasSet { .. }
        | Event::OrganisationMoved { .. }
        | Event::TransactionWithheld { .. } => true,
        Event::OrganisationAccredited { .. }
        | Event::KeySet { .. }
        | Event::KeyRemoved { .. }
        | Event::GrantIssued { .. }
        | Event::GrantClosed { .. }
        | Event::DepositAttested { .. }
        | Event::CashRedeemed { .. }
        | Event::CashTransferred { .. }
        | Event::RequestPlaced { .. }
        | Event::RequestClosed { .. }
        | Event::LeaseAwarded { .. }
        | Event::LeaseStarted { .. }
        | Event::UsageReported { .. }
        | Event::UsageCountersigned { .. }
        | Event::UsageContested { .. }
        | Event::LeaseEnded { .. }
        | Event::LeaseSettled { .. }
        | Event::JobSubmitted { .. }
        | Event::JobEnded { .. }
        | Event::PositionMoved { .. }
        | Event::AidGranted { .. }
        | Event::AidReturned { .. }
        | Event::SponsorContested { .. }
        | Event::PayHeldBack { .. }
        | Event::LeaseObjected { .. }
        | Event::HoldbackReleased { .. }
        | Event::LeaseExtended { .. }
        | Event::OrderPlaced { .. }
        | Event::OrderApproved { .. }
        | Event::OrderExecuted { .. }
        | Event::OrderCancelled { .. }
        | Event::OrderLapsed { .. }
        // How often a contract failed stands in its row; whose lease it was is theirs.
        | Event::ContractFailed { .. }
        | Event::ContractDepositReturned { .. }
        | Event::StakeHeld { .. }
        | Event::StakeReleased { .. }
        | Event::LeasePaid { .. }
        | Event::DisputeOpened { .. }
        | Event::DisputeVoted { .. }
        | Event::DisputeDecided { .. } => false,
    }
}

/// Whether an event is for this reader, who did not sign what made it.
pub(super) fn sees_event(who: Who, state: &State, event: &Event) -> bool {
    match who {
        Who::Office(..) => true,
        Who::Public => is_public(event),
        Who::Organisation(organisation) => is_public(event) || concerns(state, event, organisation),
    }
}

/// Whether an event names an organisation, or a lease, request, offer or grant of it.
pub(super) fn concerns(state: &State, event: &Event, one: OrganisationId) -> bool {
    let of_lease = |lease: &LeaseId| {
        state.get::<Leases>(lease).is_some_and(|row| row.requester == one || row.provider == one)
    };
    let of_request =
        |request: &RequestId| state.get::<Requests>(request).is_some_and(|row| row.organisation == one);
    let of_offer = |offer: &OfferId| state.get::<Offers>(offer).is_some_and(|row| row.provider == one);
    let of_grant = |grant: &GrantId| state.get::<Grants>(grant).is_some_and(|row| row.holder == one);
    match event {
        Event::OrganisationAccredited { organisation, .. }
        | Event::OrganisationMoved { organisation, .. }
        | Event::OrganisationClosed { organisation, .. }
        | Event::KeySet { organisation, .. }
        | Event::KeyRemoved { organisation, .. }
        | Event::DepositAttested { organisation, .. }
        | Event::CashRedeemed { organisation, .. }
        | Event::RequestPlaced { organisation, .. } => *organisation == one,
        Event::SiteAccredited { provider, .. } | Event::OfferPosted { provider, .. } => *provider == one,
        Event::GrantIssued { holder, .. } => *holder == one,
        Event::GrantClosed { grant, .. } => of_grant(grant),
        Event::CashTransferred { from, to, .. } => *from == one || *to == one,
        Event::OfferAmended { offer } | Event::OfferWithdrawn { offer } => of_offer(offer),
        Event::RequestClosed { request, .. } => of_request(request),
        Event::LeaseAwarded { requester, provider, .. } => *requester == one || *provider == one,
        Event::LeaseStarted { lease, .. }
        | Event::UsageReported { lease, .. }
        | Event::UsageCountersigned { lease, .. }
        | Event::UsageContested { lease, .. }
        | Event::LeaseEnded { lease, .. }
        | Event::LeaseSettled { lease, .. }
        | Event::JobSubmitted { lease, .. }
        | Event::JobEnded { lease, .. }
        | Event::AidGranted { lease, .. }
        | Event::AidReturned { lease, .. }
        | Event::SponsorContested { lease, .. }
        | Event::PayHeldBack { lease, .. }
        | Event::LeaseObjected { lease, .. }
        | Event::HoldbackReleased { lease, .. }
        | Event::LeaseExtended { lease, .. }
        | Event::ContractFailed { lease, .. }
        | Event::StakeHeld { lease, .. }
        | Event::StakeReleased { lease, .. }
        | Event::LeasePaid { lease, .. }
        | Event::DisputeOpened { lease, .. }
        | Event::DisputeVoted { lease, .. }
        | Event::DisputeDecided { lease, .. } => of_lease(lease),
        Event::ContractUploaded { deployer, .. } | Event::ContractRefused { deployer, .. } => {
            *deployer == Principal::Organisation(one)
        }
        Event::ContractDepositReturned { to, .. } => *to == AccountId::Cash(one),
        Event::SiteConfirmed { provider, .. } => *provider == one,
        Event::OutageAnnounced { provider, leases, .. } => *provider == one || leases.iter().any(of_lease),
        Event::BatchCleared { .. }
        | Event::BatchPriced { .. }
        | Event::PositionMoved { .. }
        | Event::OutageEnded { .. }
        | Event::OrderPlaced { .. }
        | Event::OrderApproved { .. }
        | Event::OrderExecuted { .. }
        | Event::OrderCancelled { .. }
        | Event::OrderLapsed { .. }
        | Event::OfficeKeySet { .. }
        | Event::OfficeKeyRemoved { .. }
        | Event::OfficeThresholdSet { .. }
        | Event::ProposalMade { .. }
        | Event::VoteCast { .. }
        | Event::ProposalMoved { .. }
        | Event::ParameterChanged { .. }
        | Event::MemberLimitsChanged { .. }
        | Event::MemberJoined { .. }
        | Event::MemberLeft { .. }
        | Event::MemberKeysChanged { .. }
        | Event::UpgradeScheduled { .. }
        | Event::ContractApproved { .. }
        | Event::ContractVoted { .. }
        | Event::ContractMoved { .. }
        | Event::ContractRenewed { .. }
        | Event::AliasVoted { .. }
        | Event::AliasScheduled { .. }
        | Event::AliasSet { .. }
        | Event::TransactionWithheld { .. } => false,
    }
}

/// Whether the row under this key, or that there is none, may be proven to the reader.
pub(super) fn sees_row(who: Who, state: &State, table: u8, key: &[u8]) -> bool {
    // What is whole for everybody, and what says only that an id that everybody may know is in a list.
    let open = [
        Chains::ID,
        ParamsTable::ID,
        Members::ID,
        Classes::ID,
        Contracts::ID,
        ContractCodes::ID,
        ContractAliases::ID,
        OffersOpen::ID,
        LeasesLive::ID,
        Sites::ID,
        Entitlements::ID,
        Outages::ID,
        Offices::ID,
        Proposals::ID,
        FiguresTable::ID,
        Waits::ID,
        Proposers::ID,
        ValidatorSets::ID,
    ];
    if who.sees_all() || open.contains(&table) {
        return true;
    }
    owned(who, state, table, key).unwrap_or(false)
}

/// Whether the row is the reader's; none where there is no such row, or the key is none.
fn owned(who: Who, state: &State, table: u8, key: &[u8]) -> Option<bool> {
    let of_lease = |lease: &LeaseId| Some(who.sees_lease(state.get::<Leases>(lease)?));
    let of_request = |request: &RequestId| Some(who.sees_request(state, state.get::<Requests>(request)?));
    match table {
        Organisations::ID => Some(who.sees(key_of::<Organisations>(key)?)),
        Keys::ID => {
            let key: PublicKey = key_of::<Keys>(key)?;
            Some(who.sees_principal(state.get::<Keys>(&key)?.principal))
        }
        Accounts::ID => match key_of::<Accounts>(key)? {
            AccountId::Cash(organisation) => Some(who.sees(organisation)),
            AccountId::Grant(grant) => Some(who.sees(state.get::<Grants>(&grant)?.holder)),
            AccountId::Escrow(request, _) => of_request(&request),
            // As much as the contract's row says.
            AccountId::Deposit(_) => Some(true),
            AccountId::Stake(lease) | AccountId::Bond(lease) => of_lease(&lease),
            AccountId::Line(..) | AccountId::Fees => Some(false),
        },
        Grants::ID => Some(who.sees(state.get::<Grants>(&key_of::<Grants>(key)?)?.holder)),
        Offers::ID => Some(who.sees(state.get::<Offers>(&key_of::<Offers>(key)?)?.provider)),
        Requests::ID => of_request(&key_of::<Requests>(key)?),
        RequestsOpen::ID => of_request(&key_of::<RequestsOpen>(key)?.1),
        Leases::ID => of_lease(&key_of::<Leases>(key)?),
        Jobs::ID => of_lease(&key_of::<Jobs>(key)?.0),
        Settlements::ID => of_lease(&key_of::<Settlements>(key)?),
        Interims::ID => of_lease(&key_of::<Interims>(key)?.0),
        Disputes::ID => of_lease(&key_of::<Disputes>(key)?),
        Quotas::ID => Some(who.sees_principal(key_of::<Quotas>(key)?)),
        Usages::ID => {
            let (group, _) = key_of::<Usages>(key)?;
            let Who::Organisation(organisation) = who else { return Some(false) };
            Some(state.get::<Organisations>(&organisation)?.group == group)
        }
        Aids::ID => {
            let (group, _) = key_of::<Aids>(key)?;
            let Who::Organisation(organisation) = who else { return Some(false) };
            Some(state.get::<Organisations>(&organisation)?.group == group)
        }
        // References of deposits, orders of offices, and what runs by itself when: for members.
        _ => Some(false),
    }
}

fn key_of<T: Table>(key: &[u8]) -> Option<T::Key> {
    borsh::from_slice(key).ok()
}
