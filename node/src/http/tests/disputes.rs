//! Payments in between and disputes, over HTTP: who reads them, and what is refused by which name.

use super::double::{demand, key};
use super::{Server, name_of};
use crate::http::Backend as _;
use hansa_ledger::action::{
    Action, ClaimPayment, CountersignUsage, EndLease, LeaseUsage, LeaseWindow, OpenDispute, ReportWindows,
    RuleDispute, StartLease,
};
use hansa_ledger::id::{BlobHash, LeaseId};
use hansa_ledger::rejection::Rejection;
use hansa_ledger::row::{Disputant, Purse, Source};
use hansa_ledger::tables::Leases;
use hansa_ledger::time::TimeMs;
use hansa_node_api::pass::{PASS_LIFE, ReadPass};
use serde_json::Value;

/// Who is told: an office of any member, the auditor, and both sides; not the public, nor another start-up.
const READERS: [(Option<&str>, bool); 6] = [
    (None, false),
    (Some("rivaal"), false),
    (Some("kodu"), true),
    (Some("mare"), true),
    (Some("FR treasury"), true),
    (Some("EU governance"), true),
];

/// A lease that has begun; its moments are given from there.
struct Running {
    server: Server,
    lease: LeaseId,
    start: TimeMs,
}

impl Running {
    async fn make() -> Self {
        let server = super::rights::open_market_of_two().await;
        let cash = vec![Source { purse: Purse::Cash, share_bps: 10_000 }];
        let lease = server.lease("kodu", cash, demand().job.unwrap_or(BlobHash([7; 32]))).await;
        let mut start = TimeMs(0);
        server.double.read(&mut |state| start = state.get::<Leases>(&lease).unwrap().agreement.start);
        let start = start.max(server.double.later());
        server.act_at("mare", StartLease { lease }, start).await;
        Self { server, lease, start }
    }

    /// Does this so many seconds after the start.
    async fn act(&self, second: u64, who: &str, action: impl Into<Action>) {
        let time = self.start.plus(second * 1_000).max(self.server.double.later());
        self.server.act_at(who, action, time).await;
    }

    /// What the reader gets of the lease.
    async fn get(&self, who: Option<&str>, what: &str) -> (u16, String) {
        let pass = who.map(|who| ReadPass::make(&key(who), self.server.double.chain, PASS_LIFE).to_bearer());
        let path = format!("/v1/leases/{what}");
        self.server.ask_by(pass.as_ref().map(|pass| pass.as_str()), "GET", &path).await
    }

    async fn json(&self, who: &str, what: &str) -> Value {
        let (status, body) = self.get(Some(who), &format!("{}/{what}", self.lease)).await;
        assert_eq!(status, 200, "{what} for {who}: {body}");
        serde_json::from_str(&body).unwrap()
    }

    async fn refused(&self, who: Option<&str>, what: &str) -> (u16, String) {
        let (status, body) = self.get(who, what).await;
        (status, name_of(&body).unwrap_or(body))
    }

    async fn rejected(&self, who: &str, action: impl Into<Action>) -> Option<Rejection> {
        self.server.account(who).send(vec![action.into()]).await.unwrap_err().rejection()
    }
}

fn refusal(status: u16, name: &str) -> (u16, String) {
    (status, name.to_owned())
}

#[tokio::test]
async fn interims_and_disputes_are_told_to_both_sides_and_to_members() {
    let running = Running::make().await;
    let lease = running.lease;
    // Nothing yet is an empty list and no dispute, and who may not know is not even told that.
    for (who, told) in READERS {
        let interims = running.get(who, &format!("{lease}/interims")).await;
        let dispute = running.refused(who, &format!("{lease}/dispute")).await;
        if told {
            assert_eq!((interims.0, dispute), (200, refusal(404, "NotFound")), "{who:?}");
            assert!(interims.1.contains("\"items\":[]"), "{interims:?}");
        } else {
            assert_eq!(interims.0, 403, "{who:?}");
            assert_eq!(dispute, refusal(403, "ReadForbidden"), "{who:?}");
        }
    }

    let usages = vec![LeaseUsage { lease, cumulative: 20 }];
    let windows = vec![LeaseWindow { lease, cumulative: 40, reading: 320 }];
    running.act(20, "mare", ReportWindows { windows }).await;
    running.act(21, "kodu", CountersignUsage { usages }).await;
    running.act(22, "mare", ClaimPayment { lease }).await;
    running.act(30, "mare", EndLease { lease, cumulative: Some(100) }).await;
    running.act(31, "kodu", OpenDispute { lease, usage: 50, reason: 9 }).await;
    running.act(32, "DE registrar", RuleDispute { lease, provider_bps: 2_500 }).await;
    for (who, told) in READERS {
        if !told {
            for what in ["interims", "dispute", "settlement"] {
                let got = running.refused(who, &format!("{lease}/{what}")).await;
                assert_eq!(got, refusal(403, "ReadForbidden"), "{what} for {who:?}");
            }
            continue;
        }
        let who = who.unwrap();
        let interims = running.json(who, "interims").await;
        let numbers: Vec<&Value> =
            interims["items"].as_array().unwrap().iter().map(|one| &one["number"]).collect();
        assert_eq!(numbers, [0, 1], "{interims}");
        let dispute = running.json(who, "dispute").await;
        assert_eq!(dispute["by"], serde_json::to_value(Disputant::Requester).unwrap(), "{dispute}");
        assert_eq!([&dispute["admitted"], &dispute["reported"], &dispute["reason"]], [50, 100, 9]);
        assert_eq!(dispute["panel"], serde_json::json!(["DE", "FR"]));
        assert_eq!(dispute["votes"], serde_json::json!([{ "member": "DE", "provider_bps": 2_500 }]));
        assert_eq!((&dispute["decided"], &dispute["lease"]), (&Value::Null, &lease.to_string().into()));
    }
    // Both sides see the readings in the lease itself.
    let shown = running.server.reader("kodu").lease(&lease).await.unwrap().row.windows;
    assert_eq!(shown.iter().map(|one| (one.cumulative, one.reading)).collect::<Vec<_>>(), [(40, 320)]);
    let typed = running.server.reader("mare").interims(&lease).await.unwrap();
    assert_eq!(typed.iter().map(|one| one.row.failure.is_none()).collect::<Vec<_>>(), [true, true]);
}

#[tokio::test]
async fn bad_questions_and_bad_disputes_are_refused_by_name() {
    let running = Running::make().await;
    let lease = running.lease;
    let unknown = LeaseId([1; 32]);
    for what in ["interims", "dispute"] {
        for (wrong, expected) in [
            (format!("{lease}x/{what}"), refusal(400, "RequestMalformed")),
            (format!("7/{what}"), refusal(400, "RequestMalformed")),
            (format!("{unknown}/{what}"), refusal(404, "NotFound")),
        ] {
            assert_eq!(running.refused(Some("FR treasury"), &wrong).await, expected, "{wrong}");
        }
        let (status, _) = running.server.ask("POST", &format!("/v1/leases/{lease}/{what}")).await;
        assert_eq!(status, 405, "disputes are opened by transactions");
    }
    for query in ["?limit=x", "?limit=-1", "?limti=1"] {
        let wrong = format!("{lease}/interims{query}");
        assert_eq!(running.refused(Some("kodu"), &wrong).await, refusal(400, "RequestMalformed"), "{query}");
    }

    let open = |usage| OpenDispute { lease, usage, reason: 0 };
    assert_eq!(running.rejected("kodu", open(0)).await, Some(Rejection::NotDisputable), "it runs");
    let unknown = OpenDispute { lease: unknown, usage: 0, reason: 0 };
    assert_eq!(running.rejected("kodu", unknown).await, Some(Rejection::LeaseUnknown));
    assert_eq!(running.rejected("rivaal", open(0)).await, Some(Rejection::LeaseUnknown));
    running.act(30, "mare", EndLease { lease, cumulative: Some(100) }).await;
    assert_eq!(running.rejected("kodu", open(100)).await, Some(Rejection::NotDisputable), "all of it");
    let rule = |provider_bps| RuleDispute { lease, provider_bps };
    assert_eq!(running.rejected("DE registrar", rule(0)).await, Some(Rejection::DisputeUnknown));
    running.act(31, "kodu", open(50)).await;
    for (who, action, expected) in [
        ("kodu", open(40).into(), Rejection::DisputeOpen),
        ("ES registrar", rule(0).into(), Rejection::NotPanel),
        ("DE governance", Action::from(rule(0)), Rejection::NotPanel),
        ("mare", rule(10_000).into(), Rejection::NotPanel),
        ("DE registrar", rule(10_001).into(), Rejection::RulingInvalid),
    ] {
        assert_eq!(running.rejected(who, action).await, Some(expected), "{who}");
    }
}
