//! Nodes that are killed or stand still while transfers go on.

use super::load::Load;
use crate::testnet::Testnet;
use hansa_testnet::ProcessRecord;
use rustix::process::{Pid, Signal, kill_process};
use std::time::{Duration, Instant};

pub fn signal(process: &ProcessRecord, signal: Signal) {
    kill_process(Pid::from_raw(process.pid.try_into().unwrap()).unwrap(), signal).unwrap();
}

pub fn one_node_is_killed(testnet: &Testnet) {
    let load = Load::start(testnet);
    for code in ["DE", "EE"] {
        load.go_on(10);
        testnet.kill(code);
        // Three of four go on without it.
        load.go_on(20);
        testnet.restart(code);
        load.go_on(10);
    }
    load.stop();
}

pub fn one_node_stands_still(testnet: &Testnet) {
    let load = Load::start(testnet);
    load.go_on(10);
    let node = testnet.process("DE");
    let since = Instant::now();
    signal(&node, Signal::STOP);
    load.go_on(20);
    std::thread::sleep(Duration::from_secs(5).saturating_sub(since.elapsed()));
    signal(&node, Signal::CONT);
    load.go_on(10);
    load.stop();
    assert_eq!(testnet.process("DE"), node, "it is the same process still");
    assert!(node.is_alive());
}

pub fn all_nodes_are_killed(testnet: &Testnet) {
    let load = Load::start(testnet);
    load.go_on(20);
    let codes = ["FR", "DE", "ES", "EE"];
    for process in codes.map(|code| testnet.process(code)) {
        process.kill();
    }
    testnet.restart_all(&codes);
    load.go_on(20);
    load.stop();
}
