//! Four nodes in one process, over real sockets and files.

use hansa_ledger::action::{AccreditOrganisation, Action};
use hansa_ledger::genesis::{Genesis, GenesisContract, GenesisMember};
use hansa_ledger::member::MemberCode;
use hansa_ledger::money::Money;
use hansa_ledger::name::Name;
use hansa_ledger::params::Params;
use hansa_ledger::row::OrganisationClass;
use hansa_ledger::transaction::Transaction;
use hansa_ledger_signature::SecretKey;
use hansa_node::config::{ApiConfig, KeyFiles, PeerConfig};
use hansa_node::executor::clock;
use hansa_node::{Node, NodeConfig, NodeKeys};
use std::net::TcpListener;
use std::path::Path;
use std::time::{Duration, Instant};

const MEMBERS: [&str; 4] = ["DE", "EE", "ES", "FR"];

fn key(name: &str) -> SecretKey {
    SecretKey::from_bytes(*blake3::hash(name.as_bytes()).as_bytes())
}

fn genesis() -> Genesis {
    let members = MEMBERS.map(|code| GenesisMember {
        code: code.parse().unwrap(),
        consensus_key: key(&format!("{code} consensus")).public_key(),
        network_key: key(&format!("{code} network")).public_key(),
        registrar_key: key(&format!("{code} registrar")).public_key(),
        treasury_key: key(&format!("{code} treasury")).public_key(),
        governance_key: key(&format!("{code} governance")).public_key(),
        issue_limit: Money(1_000_000_000),
        debit_cap: Money(1_000_000_000),
    });
    Genesis {
        name: Name::new("test").unwrap(),
        time: clock(),
        vm_profile: hansa_contracts_host::vm_profile(),
        params: Params { heartbeat_ms: 3_000, ..Params::testnet() },
        members: members.to_vec(),
        contracts: vec![GenesisContract {
            name: Name::new("spot").unwrap(),
            code: hansa_contracts_bundle::SPOT.to_vec(),
        }],
    }
}

/// Free ports, held until all are known so that none is given twice.
fn ports(count: usize) -> Vec<u16> {
    let held: Vec<TcpListener> = (0..count).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    held.iter().map(|listener| listener.local_addr().unwrap().port()).collect()
}

fn address(port: u16) -> libp2p::Multiaddr {
    format!("/ip4/127.0.0.1/tcp/{port}").parse().unwrap()
}

fn config(folder: &Path, index: usize, ports: &[u16]) -> NodeConfig {
    let peers = (0..4).filter(|other| *other != index).map(|other| PeerConfig {
        member: MEMBERS[other].parse().unwrap(),
        consensus: address(ports[other * 2]),
        network: address(ports[other * 2 + 1]),
        network_key: None,
    });
    NodeConfig {
        member: MEMBERS[index].parse::<MemberCode>().unwrap(),
        genesis: folder.join("genesis.toml"),
        data: folder.join(MEMBERS[index]),
        keys: KeyFiles { consensus: "unused".into(), network: "unused".into(), passphrase_file: None },
        api: ApiConfig { listen: "127.0.0.1:0".parse().unwrap(), hosts: Vec::new() },
        consensus_listen: address(ports[index * 2]),
        network_listen: address(ports[index * 2 + 1]),
        peers: peers.collect(),
        history_blocks: 0,
        disk_bytes_min: 1 << 20,
    }
}

async fn start(folder: &Path, index: usize, ports: &[u16]) -> Node {
    let code = MEMBERS[index];
    let keys =
        NodeKeys { consensus: key(&format!("{code} consensus")), network: key(&format!("{code} network")) };
    hansa_node::start(config(folder, index, ports), keys).await.unwrap()
}

/// Waits for a condition, not for a time.
async fn wait_for(what: &str, mut holds: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < until, "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn four_nodes_agree_on_transactions_and_check_each_signature_once() {
    let folder = tempfile::tempdir().unwrap();
    let genesis = genesis();
    std::fs::write(folder.path().join("genesis.toml"), toml::to_string(&genesis).unwrap()).unwrap();
    let ports = ports(8);
    let mut nodes = Vec::new();
    for index in 0..4 {
        nodes.push(start(folder.path(), index, &ports).await);
    }
    let executors: Vec<_> = nodes.iter().map(|node| node.parts().executor.clone()).collect();
    for nonce in 0..5u64 {
        let number = format!("org-{nonce}");
        let action = AccreditOrganisation {
            register_number: number.clone(),
            owner: None,
            name: Name::new(&number).unwrap(),
            class: OrganisationClass::Sme,
            accredited_until: clock().plus(86_400_000),
            key: key(&number).public_key(),
        };
        let registrar = key("EE registrar");
        let transaction = Transaction {
            chain: genesis.chain_id(),
            signer: registrar.public_key(),
            nonce,
            valid_until: clock().plus(60_000),
            actions: vec![Action::from(action)],
        };
        let signed = transaction.sign(&registrar);
        let id = signed.id();
        assert!(executors[1].submit_all(vec![signed.clone()])[0].is_ok());
        nodes[1].parts().outgoing.send(signed).await;
        for executor in &executors {
            wait_for("finality", || executor.history().transaction(&id).is_some()).await;
        }
    }
    let roots: Vec<_> = executors.iter().map(|executor| executor.state().root()).collect();
    assert!(roots.iter().all(|root| *root == roots[0]));
    let checks: Vec<_> = executors.iter().map(|executor| executor.signature_checks()).collect();
    assert_eq!(checks, [5; 4], "each node checks each signature once");
    for node in nodes {
        node.run(std::future::ready(())).await.unwrap();
    }
}
