//! Four nodes in one process, over real sockets and files.

use hansa_ledger::action::{AccreditOrganisation, Action, Propose, RotateKeys, Vote, organisation_id};
use hansa_ledger::apply::chain;
use hansa_ledger::block::validators;
use hansa_ledger::genesis::{Genesis, GenesisContract, GenesisMember, GenesisOffice};
use hansa_ledger::id::{ChainId, TransactionId};
use hansa_ledger::member::MemberCode;
use hansa_ledger::money::Money;
use hansa_ledger::name::Name;
use hansa_ledger::params::Params;
use hansa_ledger::possession::Possession;
use hansa_ledger::row::{Change, OrganisationClass, Principal, ProposalState};
use hansa_ledger::tables::{Proposals, ValidatorSets};
use hansa_ledger::transaction::Transaction;
use hansa_ledger_signature::SecretKey;
use hansa_node::backend::NodeBackend;
use hansa_node::config::{ApiConfig, KeyFiles, PeerConfig};
use hansa_node::executor::clock;
use hansa_node::http::backend::{Backend as _, NodeStatus};
use hansa_node::snapshot::{keep_waypoints, member_sets};
use hansa_node::{Node, NodeConfig, NodeKeys};
use hansa_node_api::Client;
use hansa_node_api::certificate::genesis_validators;
use hansa_node_api::filter::ProposalFilter;
use std::collections::BTreeSet;
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
        issue_limit: Money(1_000_000_000),
        debit_cap: Money(1_000_000_000),
        registrar: GenesisOffice::single(key(&format!("{code} registrar")).public_key()),
        treasury: GenesisOffice::single(key(&format!("{code} treasury")).public_key()),
        governance: GenesisOffice::single(key(&format!("{code} governance")).public_key()),
    });
    Genesis {
        name: Name::new("test").unwrap(),
        time: clock(),
        vm_profile: hansa_contracts_host::vm_profile(),
        params: Params { heartbeat_ms: 3_000, members_delay_ms: 100, ..Params::testnet() },
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
        snapshot_blocks: 0,
        disk_bytes_min: 1 << 20,
        test_clock_offset_ms: 0,
    }
}

async fn start(folder: &Path, index: usize, ports: &[u16]) -> Node {
    start_signing(folder, index, ports, key(&format!("{} consensus", MEMBERS[index]))).await
}

async fn start_signing(folder: &Path, index: usize, ports: &[u16], consensus: SecretKey) -> Node {
    let keys = NodeKeys { consensus, network: key(&format!("{} network", MEMBERS[index])) };
    hansa_node::start(config(folder, index, ports), keys).await.unwrap()
}

/// Signs an action with the key of this name, sends it by `node`, and waits until it is final there and was not refused.
async fn act(node: &Node, signer: &str, action: impl Into<Action>) {
    let executor = &node.parts().executor;
    let signer = key(signer);
    let transaction = Transaction {
        chain: executor.chain(),
        signer: signer.public_key(),
        nonce: executor.nonce_next(&signer.public_key()),
        valid_until: clock().plus(60_000),
        actions: vec![action.into()],
    };
    let signed = transaction.sign(&signer);
    let id = signed.id();
    assert_eq!(executor.submit_all(vec![signed.clone()]), [Ok(id)]);
    node.parts().outgoing.send(signed).await;
    wait_for("finality", || executor.history().transaction(&id).is_some()).await;
    let history = executor.history();
    let (record, index) = history.transaction(&id).unwrap();
    assert_eq!(record.receipts.transactions[index].code, 0);
}

/// Has three members vote for a change, and waits until every one of `nodes` stands at the height from which it acts.
async fn enact(nodes: &[&Node], change: Change) {
    let executors: Vec<_> = nodes.iter().map(|node| node.parts().executor.clone()).collect();
    act(nodes[0], "DE governance", Propose { change: change.clone(), activate_after_ms: 100 }).await;
    let proposal = {
        let state = executors[0].state();
        let found = state.rows::<Proposals>().find(|(_, row)| row.change == change);
        *found.unwrap().0
    };
    let sets = executors[0].state().rows::<ValidatorSets>().count();
    for code in ["DE", "EE", "ES"] {
        act(nodes[0], &format!("{code} governance"), Vote { proposal, approve: true }).await;
    }
    for executor in &executors {
        wait_for("the members to change", || {
            let state = executor.state();
            let latest = state.rows::<ValidatorSets>().nth(sets).map(|(from, _)| *from);
            latest.is_some_and(|from| chain(&state).height >= from)
        })
        .await;
    }
}

/// Members that sign the next height.
fn signers(node: &Node) -> Vec<String> {
    let state = node.parts().executor.state();
    validators(&state, chain(&state).height + 1).iter().map(|one| one.member.to_string()).collect()
}

fn accreditation(chain: ChainId, number: &str) -> AccreditOrganisation {
    let principal = Principal::Organisation(organisation_id("EE".parse().unwrap(), number));
    AccreditOrganisation {
        register_number: number.to_owned(),
        owner: None,
        name: Name::new(number).unwrap(),
        class: OrganisationClass::Sme,
        accredited_until: clock().plus(86_400_000),
        key: key(number).public_key(),
        proof: Some(Possession::prove(chain, &key(number), principal)),
    }
}

/// Waits for a condition, not for a time.
async fn wait_for(what: &str, mut holds: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < until, "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Accredits an organisation at the second node, which tells the others. Gives the transaction's id.
async fn accredit(node: &Node, nonce: u64) -> TransactionId {
    let executor = &node.parts().executor;
    let number = format!("org-{nonce}");
    let action = accreditation(executor.chain(), &number);
    let registrar = key("EE registrar");
    let transaction = Transaction {
        chain: executor.chain(),
        signer: registrar.public_key(),
        nonce,
        valid_until: clock().plus(60_000),
        actions: vec![Action::from(action)],
    };
    let signed = transaction.sign(&registrar);
    let id = signed.id();
    assert!(executor.submit_all(vec![signed.clone()])[0].is_ok());
    node.parts().outgoing.send(signed).await;
    id
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
        let id = accredit(&nodes[1], nonce).await;
        for executor in &executors {
            wait_for("finality", || executor.history().transaction(&id).is_some()).await;
        }
    }
    let roots: Vec<_> = executors.iter().map(|executor| executor.state().root()).collect();
    assert!(roots.iter().all(|root| *root == roots[0]));
    let checks: Vec<_> = executors.iter().map(|executor| executor.signature_checks()).collect();
    assert_eq!(checks, [10; 4], "each node checks each signature once: the registrar's, and the one within");
    for node in nodes {
        node.run(std::future::ready(())).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_member_leaves_by_vote_and_comes_back_with_another_key() {
    let folder = tempfile::tempdir().unwrap();
    let genesis = genesis();
    std::fs::write(folder.path().join("genesis.toml"), toml::to_string(&genesis).unwrap()).unwrap();
    let ports = ports(8);
    let mut nodes = Vec::new();
    for index in 0..4 {
        nodes.push(start(folder.path(), index, &ports).await);
    }
    enact(&nodes.iter().collect::<Vec<_>>(), Change::MemberLeave { member: "FR".parse().unwrap() }).await;
    assert_eq!(signers(&nodes[0]), ["DE", "EE", "ES"]);
    // The node of the member that left follows without a vote, and the others go on without it.
    act(&nodes[0], "EE registrar", accreditation(genesis.chain_id(), "one")).await;
    let followed = chain(&nodes[0].parts().executor.state()).height;
    wait_for("the node without a vote", || chain(&nodes[3].parts().executor.state()).height >= followed)
        .await;
    let france = nodes.remove(3);
    france.run(std::future::ready(())).await.unwrap();
    act(&nodes[0], "EE registrar", accreditation(genesis.chain_id(), "two")).await;

    let back = GenesisMember { consensus_key: key("fresh").public_key(), ..genesis.members[3].clone() };
    enact(&nodes.iter().collect::<Vec<_>>(), Change::MemberJoin { member: back }).await;
    assert_eq!(signers(&nodes[0]), MEMBERS);
    nodes.push(start_signing(folder.path(), 3, &ports, key("fresh")).await);
    let tip = chain(&nodes[0].parts().executor.state()).height;
    wait_for("catching up", || chain(&nodes[3].parts().executor.state()).height >= tip).await;
    // Of the four, one is stopped: what is final now is signed by the one that came back.
    let spain = nodes.remove(2);
    spain.run(std::future::ready(())).await.unwrap();
    act(&nodes[0], "EE registrar", accreditation(genesis.chain_id(), "three")).await;
    let executors: Vec<_> = nodes.iter().map(|node| node.parts().executor.clone()).collect();
    let last = chain(&executors[0].state()).height;
    for executor in &executors {
        wait_for("the last block", || chain(&executor.state()).height >= last).await;
    }
    // Who trusts the genesis alone can follow the members to those that signed the last block.
    let client = Client::new(&format!("http://{}", nodes[1].api())).unwrap();
    let proof = client.proof::<hansa_ledger::tables::Chains>(&()).await.unwrap();
    let trusted = genesis_validators(&genesis);
    assert_eq!(proof.handovers.len(), 2);
    assert!(proof.verify::<hansa_ledger::tables::Chains>(&(), &trusted).unwrap().is_some());
    let mut unshown = proof.clone();
    unshown.handovers.clear();
    assert!(unshown.verify::<hansa_ledger::tables::Chains>(&(), &trusted).is_err());
    // Both proposals are told, and found by where they stand.
    let told = client.proposals(&ProposalFilter::default()).await.unwrap();
    assert_eq!(
        told.iter().map(|one| (one.members, one.row.state)).collect::<Vec<_>>(),
        [(4, ProposalState::Activated); 2]
    );
    assert_eq!(client.proposal(&told[0].id).await.unwrap(), told[0]);
    let open = ProposalFilter { state: Some(ProposalState::Open), ..ProposalFilter::default() };
    assert_eq!(client.proposals(&open).await.unwrap(), []);
    for node in nodes {
        node.run(std::future::ready(())).await.unwrap();
    }
}

fn height(node: &Node) -> u64 {
    chain(&node.parts().executor.state()).height
}

fn status(node: &Node) -> NodeStatus {
    NodeBackend::new(node.parts().clone()).status()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_node_that_was_away_is_ready_when_it_has_caught_up_and_not_before() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("genesis.toml"), toml::to_string(&genesis()).unwrap()).unwrap();
    let ports = ports(8);
    let mut nodes = Vec::new();
    for index in 0..4 {
        nodes.push(start(folder.path(), index, &ports).await);
    }
    // Four that have just begun know of each other that there is nothing to fetch.
    for node in &nodes {
        wait_for("a node of a new federation is ready", || status(node).ready).await;
        assert_eq!(height(node), 0);
    }
    nodes.pop().unwrap().run(std::future::ready(())).await.unwrap();
    for nonce in 0..40u64 {
        let id = accredit(&nodes[1], nonce).await;
        let executor = nodes[1].parts().executor.clone();
        wait_for("finality", || executor.history().transaction(&id).is_some()).await;
    }
    let target = height(&nodes[1]);
    assert!(target >= 40);
    let late = start(folder.path(), 3, &ports).await;
    let mut reasons = std::collections::BTreeSet::new();
    wait_for("the node that was away is ready", || {
        let status = status(&late);
        assert!(!status.ready || status.height + 2 >= target, "ready at {} of {target}", status.height);
        reasons.extend(status.unready_reason);
        status.ready
    })
    .await;
    assert!(!reasons.is_empty(), "it says why it is not ready");
    for node in nodes.into_iter().chain([late]) {
        node.run(std::future::ready(())).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_without_room_to_keep_anything_is_not_ready_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("genesis.toml"), toml::to_string(&genesis()).unwrap()).unwrap();
    let config =
        NodeConfig { disk_bytes_min: u64::MAX / 4, peers: Vec::new(), ..config(folder.path(), 0, &ports(8)) };
    let keys = NodeKeys { consensus: key("DE consensus"), network: key("DE network") };
    let node = hansa_node::start(config, keys).await.unwrap();
    let status = status(&node);
    assert!(!status.ready);
    assert!(status.unready_reason.unwrap().contains("the disk is low"));
    node.run(std::future::ready(())).await.unwrap();
}

/// Makes blocks with the second node, until its ledger has this height.
async fn grow(node: &Node, until: u64) {
    let registrar = key("EE registrar").public_key();
    while height(node) < until {
        let executor = node.parts().executor.clone();
        let id = accredit(node, executor.nonce_next(&registrar)).await;
        wait_for("finality", || executor.history().transaction(&id).is_some()).await;
    }
}

/// Forgets every block that is not needed, as the node itself does every so often.
fn prune(node: &Node) -> u64 {
    let executor = &node.parts().executor;
    executor.checkpoint().unwrap();
    let store = executor.store();
    let below = store.latest_checkpoint().unwrap().unwrap().height;
    keep_waypoints(store.as_ref(), &member_sets(&executor.state()), below).unwrap();
    store.prune_bodies_below(below, u64::MAX).unwrap();
    store.history_height_min()
}

fn snapshots(folder: &Path, index: usize) -> Vec<u64> {
    let entries = folder.join(MEMBERS[index]).join("snapshots").read_dir().into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn new_and_destroyed_nodes_are_rebuilt_from_members_that_have_forgotten_the_first_blocks() {
    let folder = tempfile::tempdir().unwrap();
    let genesis = genesis();
    std::fs::write(folder.path().join("genesis.toml"), toml::to_string(&genesis).unwrap()).unwrap();
    let ports = ports(8);
    let launch = async |index: usize, consensus: &str| {
        let keys =
            NodeKeys { consensus: key(consensus), network: key(&format!("{} network", MEMBERS[index])) };
        let config = NodeConfig { snapshot_blocks: 10, ..config(folder.path(), index, &ports) };
        hansa_node::start(config, keys).await.unwrap()
    };
    let mut nodes = Vec::new();
    for code in MEMBERS {
        nodes.push(launch(nodes.len(), &format!("{code} consensus")).await);
    }
    // The members of the snapshot are not those of the genesis, and the blocks that show it are forgotten. A node starts with the
    // new key before it has the block that gives it to the member.
    let france = nodes.pop().unwrap();
    france.run(std::future::ready(())).await.unwrap();
    let network_key = genesis.members[3].network_key;
    act(&nodes[0], "FR governance", RotateKeys { consensus_key: key("fresh").public_key(), network_key })
        .await;
    grow(&nodes[1], 5).await;
    nodes.push(launch(3, "fresh").await);
    grow(&nodes[1], 12).await;
    for (index, node) in nodes.iter().enumerate() {
        wait_for("the snapshot", || height(node) >= 12 && snapshots(folder.path(), index).contains(&10))
            .await;
        assert!(prune(node) > 10);
    }
    let ids: BTreeSet<u64> = nodes.iter().map(height).collect();
    assert!(ids.iter().all(|height| *height >= 12));

    // The node with the new key is destroyed, with everything in its folder, and begins with a genesis that has the old one.
    let france = nodes.remove(3);
    france.run(std::future::ready(())).await.unwrap();
    std::fs::remove_dir_all(folder.path().join(MEMBERS[3])).unwrap();
    // The snapshot that there is does not lead to a block that is kept, so the next one has to come first.
    grow(&nodes[1], 22).await;
    let france = launch(3, "fresh").await;
    wait_for("the rebuilt node", || status(&france).ready && height(&france) >= 22).await;
    let store = france.parts().executor.store().clone();
    assert_eq!(store.history_height_min(), 20, "it began with the snapshot");
    let at = |node: &Node, height| node.parts().executor.store().decided(height).unwrap().map(|one| one.root);
    let last = height(&nodes[1]);
    wait_for("the last block", || height(&france) >= last).await;
    assert_eq!(at(&france, last), at(&nodes[1], last));
    assert!(at(&france, last).is_some());
    nodes.push(france);
    assert_eq!(signers(&nodes[3]), MEMBERS);
    // It shows how the members followed each other, and votes: of four, another is stopped.
    let client = Client::new(&format!("http://{}", nodes[3].api())).unwrap();
    grow(&nodes[1], last + 1).await;
    let proof = client.proof::<hansa_ledger::tables::Chains>(&()).await.unwrap();
    assert!(
        proof.verify::<hansa_ledger::tables::Chains>(&(), &genesis_validators(&genesis)).unwrap().is_some()
    );
    let germany = nodes.remove(0);
    germany.run(std::future::ready(())).await.unwrap();
    grow(&nodes[0], last + 4).await;

    // The one that was stopped comes back to members that keep none of the blocks that it lacks.
    grow(&nodes[0], 33).await;
    for (place, node) in nodes.iter().enumerate() {
        wait_for("the snapshot", || snapshots(folder.path(), place + 1).contains(&30)).await;
        let executor = &node.parts().executor;
        executor.checkpoint().unwrap();
        executor.store().prune_bodies_below(31, u64::MAX).unwrap();
    }
    let germany = launch(0, "DE consensus").await;
    let mut reasons = BTreeSet::new();
    wait_for("the late node", || {
        let status = status(&germany);
        reasons.extend(status.unready_reason);
        status.ready && status.height >= 33
    })
    .await;
    assert_eq!(germany.parts().executor.store().history_height_min(), 30);
    assert!(reasons.iter().any(|reason| reason.contains("snapshot of height 30")), "{reasons:?}");
    let last = height(&nodes[0]);
    wait_for("the last block", || height(&germany) >= last).await;
    assert_eq!(at(&germany, last), at(&nodes[0], last));
    nodes.push(germany);
    for node in nodes {
        node.run(std::future::ready(())).await.unwrap();
    }
}
