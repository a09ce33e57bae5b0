//! Leases, their usage and their jobs.

use super::Row;
use hansa_ledger::action::{
    Action, CancelLease, ContestUsage, CountersignUsage, EndLease, ExtendLease, LeaseUsage, LeaseWindow,
    ObjectLease, ReportJob, ReportUsage, ReportWindows, RunJob, StartLease,
};
use hansa_ledger::id::{BlobHash, LeaseId};
use hansa_ledger::money::Price;
use hansa_ledger::rejection::Rejection::*;

const NONE: LeaseId = LeaseId([9; 32]);

pub fn tables() -> Vec<(&'static str, Vec<Row>)> {
    vec![
        ("StartLease", start()),
        ("ReportUsage", report()),
        ("ReportWindows", report_windows()),
        ("CountersignUsage", countersign()),
        ("ContestUsage", contest()),
        ("ObjectLease", object()),
        ("EndLease", end()),
        ("CancelLease", cancel()),
        ("ExtendLease", extend()),
        ("RunJob", run_job()),
        ("ReportJob", report_job()),
    ]
}

fn start() -> Vec<Row> {
    vec![
        ("no such lease", "bsc", |_| StartLease { lease: NONE }.into(), LeaseUnknown),
        ("by the requester", "tallinn", |s| StartLease { lease: s.awarded }.into(), LeaseUnknown),
        ("by another provider", "cea", |s| StartLease { lease: s.awarded }.into(), LeaseUnknown),
        ("by an offerer", "bsc offerer", |s| StartLease { lease: s.awarded }.into(), RoleMissing),
        ("before its start", "bsc", |s| StartLease { lease: s.awarded }.into(), LeaseNotYet),
        ("twice", "bsc", |s| StartLease { lease: s.active }.into(), LeaseStateWrong),
        ("after its end", "bsc", |s| StartLease { lease: s.ended }.into(), LeaseStateWrong),
        ("after it was cancelled", "bsc", |s| StartLease { lease: s.settled }.into(), LeaseStateWrong),
    ]
}

fn extended(lease: LeaseId, slots: u32) -> Action {
    ExtendLease { lease, slots, price_max: Price(u64::MAX) }.into()
}

fn extend() -> Vec<Row> {
    vec![
        ("no such lease", "tallinn", |_| extended(NONE, 1), LeaseUnknown),
        ("by the provider", "bsc", |s| extended(s.active, 1), LeaseUnknown),
        ("by a treasurer", "tallinn treasurer", |s| extended(s.active, 1), RoleMissing),
        ("by nothing", "tallinn", |s| extended(s.active, 0), DurationInvalid),
        ("over the longest lease", "tallinn", |s| extended(s.active, 86_401), ExtensionTooLong),
        ("longer than can be counted", "tallinn", |s| extended(s.active, u32::MAX), ExtensionTooLong),
        ("after its end", "tallinn", |s| extended(s.ended, 1), LeaseStateWrong),
        ("after it was cancelled", "tallinn", |s| extended(s.settled, 1), LeaseStateWrong),
        ("that a grant pays", "tallinn", |s| extended(s.active, 1), ExtensionSponsored),
    ]
}

fn usages(list: &[(LeaseId, u64)]) -> Vec<LeaseUsage> {
    list.iter().map(|(lease, cumulative)| LeaseUsage { lease: *lease, cumulative: *cumulative }).collect()
}

fn reported(list: &[(LeaseId, u64)]) -> Action {
    ReportUsage { usages: usages(list) }.into()
}

/// Each a lease, all different.
fn many() -> Vec<(LeaseId, u64)> {
    (0..1_025u32).map(|number| (LeaseId(*blake3::hash(&number.to_le_bytes()).as_bytes()), 0)).collect()
}

fn report() -> Vec<Row> {
    vec![
        ("of nothing", "bsc", |_| reported(&[]), ListInvalid),
        ("of one lease twice", "bsc", |s| reported(&[(s.active, 4), (s.active, 5)]), ListInvalid),
        ("of too many", "bsc", |_| reported(&many()), ListInvalid),
        ("no such lease", "bsc", |_| reported(&[(NONE, 1)]), LeaseUnknown),
        ("a sound one and an unknown one", "bsc", |s| reported(&[(s.active, 4), (NONE, 1)]), LeaseUnknown),
        ("by the requester", "tallinn", |s| reported(&[(s.active, 5)]), LeaseUnknown),
        ("by another provider", "cea", |s| reported(&[(s.active, 5)]), LeaseUnknown),
        ("by an offerer", "bsc offerer", |s| reported(&[(s.active, 5)]), RoleMissing),
        ("before its start", "bsc", |s| reported(&[(s.awarded, 0)]), LeaseStateWrong),
        ("after the final report", "bsc", |s| reported(&[(s.ended, 4)]), LeaseStateWrong),
        ("backwards", "bsc", |s| reported(&[(s.active, 3)]), UsageBackwards),
        // 2.5 s are two whole seconds of two accelerators, and the next whole second is not yet over.
        ("more than was delivered", "bsc", |s| reported(&[(s.active, 5)]), UsageOverLease),
        ("more than can be counted", "bsc", |s| reported(&[(s.active, u64::MAX)]), UsageOverLease),
    ]
}

fn windows(list: &[(LeaseId, u64)]) -> Action {
    let window = |(lease, cumulative): &(LeaseId, u64)| LeaseWindow {
        lease: *lease,
        cumulative: *cumulative,
        reading: 180,
    };
    ReportWindows { windows: list.iter().map(window).collect() }.into()
}

fn report_windows() -> Vec<Row> {
    vec![
        ("of nothing", "bsc", |_| windows(&[]), ListInvalid),
        ("of one lease twice", "bsc", |s| windows(&[(s.active, 4), (s.active, 5)]), ListInvalid),
        ("of too many", "bsc", |_| windows(&vec![(NONE, 0); 1_025]), ListInvalid),
        ("no such lease", "bsc", |_| windows(&[(NONE, 1)]), LeaseUnknown),
        ("a sound one and an unknown one", "bsc", |s| windows(&[(s.active, 4), (NONE, 1)]), LeaseUnknown),
        ("by the requester", "tallinn", |s| windows(&[(s.active, 5)]), LeaseUnknown),
        ("by another provider", "cea", |s| windows(&[(s.active, 5)]), LeaseUnknown),
        ("by an offerer", "bsc offerer", |s| windows(&[(s.active, 5)]), RoleMissing),
        ("before its start", "bsc", |s| windows(&[(s.awarded, 0)]), LeaseStateWrong),
        ("after the final report", "bsc", |s| windows(&[(s.ended, 4)]), LeaseStateWrong),
        ("backwards", "bsc", |s| windows(&[(s.active, 3)]), UsageBackwards),
        ("more than was delivered", "bsc", |s| windows(&[(s.active, 5)]), UsageOverLease),
    ]
}

fn countersigned(list: &[(LeaseId, u64)]) -> Action {
    CountersignUsage { usages: usages(list) }.into()
}

fn countersign() -> Vec<Row> {
    vec![
        ("of nothing", "tallinn", |_| countersigned(&[]), ListInvalid),
        ("of one lease twice", "tallinn", |s| countersigned(&[(s.active, 2), (s.active, 3)]), ListInvalid),
        ("of too many", "tallinn", |_| countersigned(&many()), ListInvalid),
        ("by the provider", "bsc", |s| countersigned(&[(s.active, 4)]), LeaseUnknown),
        ("by a stranger to the lease", "tartu", |s| countersigned(&[(s.active, 4)]), LeaseUnknown),
        ("by a treasurer", "tallinn treasurer", |s| countersigned(&[(s.active, 4)]), RoleMissing),
        ("more than was reported", "tallinn", |s| countersigned(&[(s.active, 5)]), UsageUnreported),
        ("backwards", "tallinn", |s| countersigned(&[(s.active, 1)]), UsageBackwards),
        ("before its start", "tallinn", |s| countersigned(&[(s.awarded, 0)]), LeaseStateWrong),
        ("after it was settled", "tallinn", |s| countersigned(&[(s.settled, 0)]), LeaseStateWrong),
    ]
}

fn contested(lease: LeaseId, admitted: u64) -> Action {
    ContestUsage { lease, admitted }.into()
}

fn contest() -> Vec<Row> {
    vec![
        ("no such lease", "tallinn", |_| contested(NONE, 0), LeaseUnknown),
        ("by the provider", "bsc", |s| contested(s.ended, 0), LeaseUnknown),
        ("by a treasurer", "tallinn treasurer", |s| contested(s.ended, 0), RoleMissing),
        ("before the final report", "tallinn", |s| contested(s.active, 2), NotContestable),
        ("all of it admitted", "tallinn", |s| contested(s.ended, 4), NotContestable),
        ("more than all of it admitted", "tallinn", |s| contested(s.ended, u64::MAX), NotContestable),
        ("after it was settled", "tallinn", |s| contested(s.settled, 0), NotContestable),
        ("by another member's treasury", "FR treasury", |s| contested(s.ended, 0), NotSponsor),
        ("by the sponsor's registrar", "EE registrar", |s| contested(s.ended, 0), RoleMissing),
        ("by the sponsor before the final report", "EE treasury", |s| contested(s.active, 2), NotContestable),
        ("all of it admitted by the sponsor", "EE treasury", |s| contested(s.ended, 4), NotContestable),
    ]
}

fn objected(lease: LeaseId) -> Action {
    ObjectLease { lease }.into()
}

fn object() -> Vec<Row> {
    vec![
        ("no such lease", "EE treasury", |_| objected(NONE), LeaseUnknown),
        ("by the requester", "tallinn", |s| objected(s.settled), NotSponsor),
        ("by another member's treasury", "FR treasury", |s| objected(s.settled), NotSponsor),
        ("by the sponsor's registrar", "EE registrar", |s| objected(s.settled), NotSponsor),
        ("before it is settled", "EE treasury", |s| objected(s.ended), NotObjectionable),
        ("where nothing is held back", "EE treasury", |s| objected(s.settled), NotObjectionable),
    ]
}

fn ended(lease: LeaseId, cumulative: Option<u64>) -> Action {
    EndLease { lease, cumulative }.into()
}

fn end() -> Vec<Row> {
    vec![
        ("no such lease", "bsc", |_| ended(NONE, Some(0)), LeaseUnknown),
        ("by a stranger to the lease", "cea", |s| ended(s.active, Some(4)), LeaseUnknown),
        ("by an offerer", "bsc offerer", |s| ended(s.active, Some(4)), RoleMissing),
        ("by a treasurer", "tallinn treasurer", |s| ended(s.active, None), RoleMissing),
        ("by the provider without a report", "bsc", |s| ended(s.active, None), UsageUnreported),
        ("by the requester with a report", "tallinn", |s| ended(s.active, Some(4)), RoleMissing),
        ("by the provider before its start", "bsc", |s| ended(s.awarded, Some(0)), LeaseStateWrong),
        ("by the requester before its start", "tallinn", |s| ended(s.awarded, None), LeaseStateWrong),
        ("by the requester twice", "tallinn", |s| ended(s.ended, None), LeaseStateWrong),
        ("after it was settled", "bsc", |s| ended(s.settled, Some(0)), LeaseStateWrong),
        ("reported twice", "bsc", |s| ended(s.ended, Some(4)), UsageFinal),
        ("backwards", "bsc", |s| ended(s.active, Some(3)), UsageBackwards),
        ("more than was delivered", "bsc", |s| ended(s.active, Some(5)), UsageOverLease),
    ]
}

fn cancel() -> Vec<Row> {
    vec![
        ("no such lease", "tallinn", |_| CancelLease { lease: NONE }.into(), LeaseUnknown),
        ("by a stranger to the lease", "tartu", |s| CancelLease { lease: s.awarded }.into(), LeaseUnknown),
        ("by a treasurer", "tallinn treasurer", |s| CancelLease { lease: s.awarded }.into(), RoleMissing),
        (
            "by the requester after its start",
            "tallinn",
            |s| CancelLease { lease: s.active }.into(),
            LeaseStateWrong,
        ),
        ("by the provider after its end", "bsc", |s| CancelLease { lease: s.ended }.into(), LeaseStateWrong),
        ("twice", "tallinn", |s| CancelLease { lease: s.settled }.into(), LeaseStateWrong),
    ]
}

fn job(lease: LeaseId) -> Action {
    RunJob { lease, manifest: BlobHash([5; 32]) }.into()
}

fn run_job() -> Vec<Row> {
    vec![
        ("no such lease", "tallinn", |_| job(NONE), LeaseUnknown),
        ("by the provider", "bsc", |s| job(s.active), LeaseUnknown),
        ("by a stranger to the lease", "tartu", |s| job(s.active), LeaseUnknown),
        ("by a treasurer", "tallinn treasurer", |s| job(s.active), RoleMissing),
        ("after its end", "tallinn", |s| job(s.ended), LeaseStateWrong),
        ("after it was settled", "tallinn", |s| job(s.settled), LeaseStateWrong),
        ("one job too many", "tallinn", |s| job(s.active), TooManyJobs),
    ]
}

fn job_ended(lease: LeaseId, job: u32) -> Action {
    ReportJob { lease, job, exit_code: Some(0), outputs: None, failure: None }.into()
}

fn report_job() -> Vec<Row> {
    vec![
        ("no such lease", "bsc", |_| job_ended(NONE, 0), LeaseUnknown),
        ("by the requester", "tallinn", |s| job_ended(s.active, 1), LeaseUnknown),
        ("by another provider", "cea", |s| job_ended(s.active, 1), LeaseUnknown),
        ("by an offerer", "bsc offerer", |s| job_ended(s.active, 1), RoleMissing),
        ("before the lease began", "bsc", |s| job_ended(s.awarded, 0), LeaseNotYet),
        ("no such job", "bsc", |s| job_ended(s.active, 2), JobUnknown),
        ("twice", "bsc", |s| job_ended(s.active, 0), JobStateWrong),
    ]
}
