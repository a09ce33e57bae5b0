//! A lease for tests.

use hansa_ledger::id::{CodeHash, GroupId, OfferId, OrganisationId, RequestId};
use hansa_ledger::market::Lane;
use hansa_ledger::money::{Money, Price};
use hansa_ledger::name::Name;
use hansa_ledger::row::{AccountId, Agreement, Lease, LeaseState, PoolOwner};
use hansa_ledger::time::{Slot, TimeMs};

/// An ended lease of one accelerator over the first thousand seconds.
pub(crate) fn lease() -> Lease {
    let name = |text| Name::new(text).unwrap();
    Lease {
        request: RequestId([1; 32]),
        offer: OfferId([2; 32]),
        requester: OrganisationId([3; 32]),
        requester_home: "EE".parse().unwrap(),
        group: GroupId([4; 32]),
        provider: OrganisationId([5; 32]),
        provider_home: "ES".parse().unwrap(),
        payee: AccountId::Cash(OrganisationId([5; 32])),
        pool: PoolOwner::Member("ES".parse().unwrap()),
        offer_revision: 1,
        site: name("site"),
        class: name("class"),
        quantity: 1,
        start: Slot(0),
        slots: 1_000,
        extensions: Vec::new(),
        agreement: Agreement {
            start: TimeMs(0),
            end: TimeMs(1_000_000),
            price: Price(1_000_000),
            fee_bps: 100,
            contract: CodeHash([6; 32]),
            contract_params: Vec::new(),
            contract_tariff: None,
            contract_abi: 1,
            fallback: 1,
            start_deadline: TimeMs(1_000),
            report_window_ms: 1_000,
            challenge_window_ms: 1_000,
            contest_provider_bps: 5_000,
            holdback_bps: 0,
            audit_window_ms: 1_000,
        },
        sources: Vec::new(),
        locked: Money(1_000_000),
        state: LeaseState::Ended,
        awarded_at: TimeMs(0),
        started_at: None,
        ended_at: None,
        reported: 0,
        reports: 1,
        reported_final: true,
        report_expired: false,
        countersigned: 0,
        contested: None,
        challenge_due: None,
        jobs: 0,
        paid: Vec::new(),
        closing: None,
        lane: Lane::Market,
        released: false,
        aid: Money::ZERO,
        sponsor: None,
        sponsor_admits: None,
        holdback: None,
    }
}
