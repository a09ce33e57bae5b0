//! What happens to a federation when things break: nothing that was acknowledged is lost, and nothing is done twice.

mod agent;
mod archive;
mod crash;
mod disk;
mod links;
mod load;
mod pace;
mod start;

use crate::testnet::{Feature, Testnet};

#[test]
fn a_federation_under_faults() {
    let testnet = Testnet::start(2, |params| params.lease_challenge_window_ms = 8_000);
    let features: &[Feature<Testnet>] = &[
        ("a node killed under load loses nothing and catches up", crash::one_node_is_killed),
        ("a node that stands still for five seconds catches up", crash::one_node_stands_still),
        ("all nodes killed at once lose nothing", crash::all_nodes_are_killed),
        ("an agent killed under its job runs nothing twice", agent::killed_under_its_job),
        ("whoever dies in the life of a lease, it is settled once", agent::killed_at_each_step),
        ("one data directory has one process", start::one_data_directory_has_one_process),
        ("a node that cannot start says why", start::a_node_says_why),
        ("a damaged ledger is refused, and fetched from the others", start::a_damaged_ledger_is_refused),
        ("what a node keeps is verified, exported and read again", archive::verified_exported_and_read_again),
        ("a node whose disk is full stops before it harms anything", disk::full),
    ];
    testnet.check(&testnet, features);
}

#[test]
fn a_federation_over_bad_links() {
    let testnet = Testnet::start_linked();
    let features: &[Feature<Testnet>] = &[
        ("two and two decide nothing, and are one again after", links::two_and_two),
        ("a member that is not heard costs nothing but its turns", links::one_way),
        ("changed bytes are refused and the others go on", links::corrupted),
    ];
    testnet.check(&testnet, features);
}

#[test]
fn an_idle_federation_makes_nothing_but_the_heartbeat() {
    let testnet = Testnet::start(1, |params| params.heartbeat_ms = pace::HEARTBEAT_MS);
    let features: &[Feature<Testnet>] = &[
        ("idle, it makes nothing but the heartbeat", pace::idle),
        ("a transaction is final at once", pace::final_at_once),
        ("a batch fires on time, and once", pace::batch_on_time),
    ];
    testnet.check(&testnet, features);
}
