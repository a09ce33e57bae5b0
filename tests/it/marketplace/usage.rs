//! What becomes of reported usage.

use super::Market;
use crate::testnet::below;
use hansa_ledger::action::{CountersignUsage, LeaseUsage, ReportUsage};
use hansa_ledger::id::LeaseId;
use hansa_ledger::rejection::Rejection;
use hansa_ledger::row::{AccountId, Closing, LeaseState};
use hansa_node_api::Account;
use hansa_node_api::lease::LeaseInfo;
use serde_json::Value;

/// Three leases of the same length: one is countersigned since it agrees with the clock, one is contested and divided as signed
/// when its time is up, one is left alone and counts as agreed.
pub fn judged_by_policy(market: &Market) {
    let home = &market.home;
    let words = ["--quantity", "100", "--duration", "4s", "--limit", "2.40", "--within", "1m"];
    let requests = [(); 3].map(|()| market.bid(&words));
    let [within, contested, silent] = requests.map(|request| market.awarded(request));
    let judge = |lease: LeaseId, policy: &str| -> Value {
        market.until_lease("its final usage is reported", lease, |lease| lease.row.reported_final);
        home.ask(&["lease", "countersign", &lease.to_string(), "--policy", policy])
    };
    let early = home.run(&["--json", "lease", "contest", &contested.to_string(), "--admit", "1"]);
    early.refused(507);
    let outcome = judge(contested, "never");
    assert_eq!(outcome["outcome"], "nothing was signed");
    home.run(&["lease", "contest", &contested.to_string(), "--admit", "100"]).succeeded();
    let outcome = judge(within, "within 5%");
    assert!(outcome["outcome"].as_str().unwrap().starts_with("countersigned"), "{outcome}");
    assert_eq!(judge(silent, "never")["outcome"], "nothing was signed");

    let settled = |lease: LeaseId| -> (LeaseInfo, u64) {
        let info = market.until_lease("it is settled", lease, |lease| lease.row.state == LeaseState::Settled);
        let money = market.testnet.wait(market.testnet.client("EE").settlement(&lease)).unwrap().row;
        let provider = AccountId::Cash(info.row.provider);
        let paid = money.payments.iter().filter(|one| one.to == provider).map(|one| one.amount.0).sum();
        (info, paid)
    };
    let (lease, paid) = settled(within);
    assert_eq!((lease.row.closing, lease.row.countersigned), (Some(Closing::Final), lease.row.reported));
    let rate = lease.row.agreement.price.0;
    let due = |seconds: u64| rate * seconds / 3_600;
    assert!(
        paid.abs_diff(due(lease.row.reported)) <= due(lease.row.reported) / 50,
        "{paid} was paid: {lease:?}"
    );
    let (lease, paid) = settled(silent);
    assert_eq!((lease.row.closing, lease.row.countersigned), (Some(Closing::Final), 0));
    assert!(
        paid.abs_diff(due(lease.row.reported)) <= due(lease.row.reported) / 50,
        "{paid} was paid: {lease:?}"
    );
    let (lease, paid) = settled(contested);
    assert_eq!((lease.row.closing, lease.row.contested), (Some(Closing::Ruling), Some(100)));
    assert!(due(100) <= paid + due(2), "what is admitted is paid: {paid}, {lease:?}");
    assert!(paid < due(lease.row.reported), "what is contested is divided: {paid}, {lease:?}");
    home.run(&["--json", "lease", "contest", &silent.to_string(), "--admit", "1"]).refused(507);
}

/// What a provider reports about an active lease is checked against the lease.
pub fn reports_are_checked(market: &Market, lease: LeaseId) {
    let folder = market.testnet.layout.folder();
    let provider = |name: &str| {
        let key = below(folder, &format!("providers/{name}/provider.key"));
        market.testnet.account_of(key.as_ref(), "ES")
    };
    let report = |account: &Account, cumulative: u64| {
        let usages = vec![LeaseUsage { lease, cumulative }];
        market
            .testnet
            .wait(account.send(vec![ReportUsage { usages }.into()]))
            .map_err(|error| error.rejection())
    };
    let own = provider("bsc");
    // The agent itself reports every few seconds.
    market.until_lease("its usage is reported", lease, |lease| lease.row.reported > 4);
    for (account, cumulative, rejection) in [
        (&own, 4, Rejection::UsageBackwards),
        (&own, 1_000_000, Rejection::UsageOverLease),
        (&provider("jsc"), 5, Rejection::LeaseUnknown),
    ] {
        let refused = report(account, cumulative).map(|done| done.height);
        assert_eq!(refused, Err(Some(rejection)), "{cumulative} accelerator-seconds");
    }
    let twice = vec![LeaseUsage { lease, cumulative: 5 }; 2];
    let refused = market.testnet.wait(own.send(vec![ReportUsage { usages: twice }.into()])).unwrap_err();
    assert_eq!(refused.rejection(), Some(Rejection::ListInvalid));
    let too_much = CountersignUsage { usages: vec![LeaseUsage { lease, cumulative: 1_000 }] };
    let requester = market.testnet.account_of(below(&market.home.home, "keys/daily.key").as_ref(), "EE");
    let refused = market.testnet.wait(requester.send(vec![too_much.into()])).unwrap_err();
    assert_eq!(refused.rejection(), Some(Rejection::UsageUnreported));
}
