//! The whole way of the marketplace, typed on the command line.

mod bids;
mod chain;
mod contracts;
mod disputes;
mod jobs;
mod market;
mod money;
mod offers;
mod offices;
mod reads;
mod refusals;
mod stopped;
mod trust;
mod usage;
mod walk;

use crate::hansa::{Home, Run};
use crate::testnet::{Feature, Testnet, below};
use hansa_ledger::id::{LeaseId, OrganisationId, RequestId};
use hansa_ledger::row::{LeaseState, RequestState};
use hansa_node_api::lease::{JobInfo, LeaseInfo};
use hansa_node_api::market::RequestInfo;
use hansa_node_api::organisation::OrganisationDetail;
use serde_json::Value;
use std::time::Duration;

/// The grant that the new start-up bids with.
const GRANT: &str = "voucher-7";

/// A class that one of the two providers offers, in Spain.
const CLASS: &str = "h100-64";

/// How long anything on the market may take here: a batch runs every second.
const MARKET_TIME_MAX: Duration = Duration::from_secs(20);

/// A federation, and an organisation that is new to it.
pub struct Market {
    pub testnet: Testnet,
    pub home: Home,
}

impl Market {
    /// The organisation as it stands.
    fn account(&self) -> OrganisationDetail {
        let shown: Value = self.home.ask(&["account", "show"]);
        serde_json::from_value(shown["organisation"].clone()).unwrap()
    }

    fn organisation(&self) -> OrganisationId {
        self.account().organisation.id
    }

    /// Places a bid with these words besides class and grant, and gives its request.
    #[track_caller]
    fn bid(&self, words: &[&str]) -> RequestId {
        let placed: Value = self.home.ask(&[&["bid", "--class", CLASS, "--grant", GRANT], words].concat());
        serde_json::from_value(placed["request"].clone()).unwrap()
    }

    /// Places a bid for a lease of this length that starts at once, and gives the lease once it is active.
    #[track_caller]
    fn lease(&self, accelerators: u32, length: &str) -> LeaseId {
        let quantity = accelerators.to_string();
        let request =
            self.bid(&["--quantity", &quantity, "--duration", length, "--limit", "2.40", "--within", "1m"]);
        let lease = self.awarded(request);
        self.until_lease("it is active", lease, |lease| lease.row.state == LeaseState::Active);
        lease
    }

    /// Waits for the award of a request.
    #[track_caller]
    fn awarded(&self, request: RequestId) -> LeaseId {
        self.testnet.until("the award", MARKET_TIME_MAX, || {
            let shown: RequestInfo = self.home.ask(&["request", "show", &request.to_string()]);
            assert!(matches!(shown.row.state, RequestState::Open | RequestState::Awarded), "{shown:?}");
            shown.row.lease
        })
    }

    fn show(&self, lease: LeaseId) -> LeaseInfo {
        let shown: Value = self.home.ask(&["lease", "show", &lease.to_string()]);
        serde_json::from_value(shown["lease"].clone()).unwrap()
    }

    /// Waits until something holds of a lease.
    #[track_caller]
    fn until_lease(&self, what: &str, lease: LeaseId, holds: impl Fn(&LeaseInfo) -> bool) -> LeaseInfo {
        let client = self.testnet.client("EE");
        self.testnet.until(&format!("lease {lease}: {what}"), 2 * MARKET_TIME_MAX, || {
            self.testnet.wait(client.lease(&lease)).ok().filter(&holds)
        })
    }

    /// The jobs of a lease as they stand.
    fn jobs(&self, lease: LeaseId) -> Vec<JobInfo> {
        self.home.ask(&["job", "list", &lease.to_string()])
    }

    /// Submits a shell command as a job, and gives its number.
    #[track_caller]
    fn run_shell(&self, lease: LeaseId, script: &str, more: &[&str]) -> u64 {
        let lease = lease.to_string();
        let words = ["job", "run", &lease, "--run", "sh", "--arg", "-c", "--arg", script];
        let sent: Value = self.home.ask(&[&words[..], more].concat());
        sent["job"].as_u64().unwrap()
    }

    /// What the treasury of a member does by two of its keys: one proposes, another approves. Gives the second run.
    #[track_caller]
    fn treasury(&self, member: &str, words: &[&str]) -> Run {
        let proposed: Value =
            self.home.run(&[&["--json", "--key", &self.office(member, "treasury")], words].concat()).read();
        let order = proposed["order"]["id"].as_str().unwrap_or_else(|| panic!("no order: {proposed}"));
        self.home.run(&["--json", "--key", &self.office(member, "treasury-2"), "office", "approve", order])
    }

    /// The path of an office's key.
    fn office(&self, member: &str, office: &str) -> String {
        below(self.testnet.layout.folder(), &format!("{member}/{office}.key"))
    }
}

#[test]
fn the_marketplace_from_the_command_line() {
    let testnet = Testnet::start(2, |params| {
        params.lease_challenge_window_ms = 8_000;
        params.dispute_window_ms = 15_000;
    });
    let folder = testnet.layout.folder().join("newco");
    let market = Market { home: Home::new(&folder), testnet };
    let features: &[Feature<Market>] = &[
        ("an organisation is accredited and funded", money::accredited_and_funded),
        ("a treasury acts by two of three keys, and governance changes that", offices::several_keys),
        ("keys have roles and limits", money::keys_have_roles_and_limits),
        ("cash is transferred and redeemed, and positions follow", money::transferred_and_redeemed),
        ("capacity is listed", bids::capacity_is_listed),
        ("a dry run tells the award that follows", bids::a_dry_run_tells_the_award),
        ("a bid with a job is followed to its settlement", bids::a_bid_is_followed),
        ("a request that cannot match says why", bids::a_request_says_why),
        ("the market is looked at and followed", market::looked_at_and_followed),
        ("a lease is extended at the price that was shown", market::a_lease_is_extended),
        ("several jobs share a lease, and none that fails ends it", jobs::several_jobs_share_a_lease),
        ("a log is followed while its job runs", jobs::a_log_is_followed),
        ("blobs are kept from strangers", jobs::blobs_are_kept_from_strangers),
        ("usage is countersigned, contested or left by policy", usage::judged_by_policy),
        ("what is somebody's is read by its own and by members", reads::told_to_whom_it_belongs),
        ("a pass is kept, renewed, given to programs and forgotten", reads::passes_are_kept),
        ("a centre offers by hand, and a bid comes from a file", offers::posted_amended_and_withdrawn),
        ("a contract is brought, used, run again and stopped", contracts::brought_used_and_replayed),
        ("a newcomer's contract is written, used and settled", walk::a_newcomer_brings_a_contract),
        ("a contract is stopped while its leases run", stopped::while_its_leases_run),
        ("a dispute is ruled, or decided as signed", disputes::ruled_or_decided_as_signed),
        ("any action is submitted from a file", chain::submitted_from_a_file),
        ("the chain can be looked at and proven", chain::looked_at_and_proven),
        ("answers are verified against what is trusted", trust::verified_against_what_is_trusted),
        ("bids that cannot be are refused by number", refusals::bids),
        ("transactions that are not sound are refused by number", refusals::transactions),
        ("bytes that are no transaction are refused", refusals::bytes),
        ("expired grants and impossible offers are refused", refusals::grants_and_offers),
        ("offices act for their own members only", refusals::offices),
        ("money is conserved and all nodes agree", money::conserved),
    ];
    market.testnet.check(&market, features);
}
