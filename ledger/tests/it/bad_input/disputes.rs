//! Payments in between, and disputes.

use super::Row;
use hansa_ledger::action::{Action, ClaimPayment, OpenDispute, RuleDispute};
use hansa_ledger::id::LeaseId;
use hansa_ledger::rejection::Rejection::*;

const NONE: LeaseId = LeaseId([9; 32]);

pub fn tables() -> Vec<(&'static str, Vec<Row>)> {
    vec![("ClaimPayment", claim()), ("OpenDispute", open()), ("RuleDispute", rule())]
}

fn claim() -> Vec<Row> {
    vec![
        ("no such lease", "bsc", |_| ClaimPayment { lease: NONE }.into(), LeaseUnknown),
        ("by the requester", "tallinn", |s| ClaimPayment { lease: s.active }.into(), LeaseUnknown),
        ("by another provider", "cea", |s| ClaimPayment { lease: s.active }.into(), LeaseUnknown),
        ("by an offerer", "bsc offerer", |s| ClaimPayment { lease: s.active }.into(), RoleMissing),
        ("by an office", "ES treasury", |s| ClaimPayment { lease: s.active }.into(), RoleMissing),
        ("before its start", "bsc", |s| ClaimPayment { lease: s.awarded }.into(), LeaseStateWrong),
        ("after its end", "bsc", |s| ClaimPayment { lease: s.ended }.into(), LeaseStateWrong),
        ("after it was settled", "bsc", |s| ClaimPayment { lease: s.settled }.into(), LeaseStateWrong),
    ]
}

fn opened(lease: LeaseId, usage: u64) -> Action {
    OpenDispute { lease, usage, reason: 0 }.into()
}

fn open() -> Vec<Row> {
    vec![
        ("no such lease", "tallinn", |_| opened(NONE, 0), LeaseUnknown),
        ("no such lease, by a treasury", "EE treasury", |_| opened(NONE, 0), LeaseUnknown),
        ("by another organisation", "tartu", |s| opened(s.ended, 0), LeaseUnknown),
        ("by a treasurer", "tallinn treasurer", |s| opened(s.ended, 0), RoleMissing),
        ("by a treasury that sponsors nothing", "ES treasury", |s| opened(s.ended, 0), NotSponsor),
        ("by a registrar", "EE registrar", |s| opened(s.ended, 0), RoleMissing),
        ("before its end", "tallinn", |s| opened(s.active, 2), NotDisputable),
        ("after it was settled", "tallinn", |s| opened(s.settled, 0), NotDisputable),
        ("of all that was reported", "tallinn", |s| opened(s.ended, 4), NotDisputable),
        ("of more than there is", "EE treasury", |s| opened(s.ended, u64::MAX), NotDisputable),
        ("of what nobody contests", "bsc", |s| opened(s.ended, 4), NotDisputable),
        // The least bond is above what this key may bind.
        ("over the key's limit", "tallinn bidder", |s| opened(s.ended, 0), AmountOverKeyLimit),
    ]
}

fn ruled(lease: LeaseId, provider_bps: u16) -> Action {
    RuleDispute { lease, provider_bps }.into()
}

fn rule() -> Vec<Row> {
    vec![
        ("no such lease", "DE registrar", |_| ruled(NONE, 0), DisputeUnknown),
        ("a lease without a dispute", "DE registrar", |s| ruled(s.ended, 0), DisputeUnknown),
        ("a settled lease", "DE registrar", |s| ruled(s.settled, 0), DisputeUnknown),
        ("more than all", "DE registrar", |s| ruled(s.ended, 10_001), RulingInvalid),
        ("by another office", "FR treasury", |s| ruled(s.ended, 0), NotPanel),
        ("by an organisation", "bsc", |s| ruled(s.ended, 0), NotPanel),
    ]
}
