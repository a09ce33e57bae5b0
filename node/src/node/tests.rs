use super::*;
use crate::config::{ApiConfig, KeyFiles};
use crate::consensus::application::Application as _;
use crate::executor::clock;
use hansa_ledger::action::{AccreditOrganisation, Action, organisation_id};
use hansa_ledger::apply::chain;
use hansa_ledger::genesis::{GenesisContract, GenesisMember, GenesisOffice};
use hansa_ledger::money::Money;
use hansa_ledger::name::Name;
use hansa_ledger::params::Params;
use hansa_ledger::possession::Possession;
use hansa_ledger::row::{OrganisationClass, Principal};
use hansa_ledger::transaction::Transaction;
use hansa_ledger_store::MemoryStore;

fn key(name: &str) -> SecretKey {
    SecretKey::from_bytes(*blake3::hash(name.as_bytes()).as_bytes())
}

fn genesis() -> Genesis {
    let members = ["DE", "EE", "ES", "FR"].map(|code| GenesisMember {
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
        time: hansa_ledger::time::TimeMs(clock().0 - 1_000),
        vm_profile: hansa_contracts_host::vm_profile(),
        params: Params::testnet(),
        members: members.to_vec(),
        contracts: vec![GenesisContract {
            name: Name::new("spot").unwrap(),
            code: hansa_contracts_bundle::SPOT.to_vec(),
        }],
    }
}

fn open(genesis: &Genesis, store: &Arc<MemoryStore>) -> Arc<Executor> {
    Executor::open(genesis.clone(), "DE".parse().unwrap(), store.clone(), MempoolLimits::default()).unwrap()
}

fn height(executor: &Executor) -> u64 {
    chain(&executor.state()).height
}

/// Makes a block that accredits somebody.
fn advance(executor: &Executor) {
    let next = height(executor) + 1;
    let number = format!("n-{next}");
    let principal = Principal::Organisation(organisation_id("EE".parse().unwrap(), &number));
    let action = AccreditOrganisation {
        register_number: number.clone(),
        owner: None,
        name: Name::new(&number).unwrap(),
        class: OrganisationClass::Sme,
        accredited_until: clock().plus(86_400_000),
        key: key(&number).public_key(),
        proof: Some(Possession::prove(executor.chain(), &key(&number), principal)),
    };
    let registrar = key("EE registrar");
    let transaction = Transaction {
        chain: executor.chain(),
        signer: registrar.public_key(),
        nonce: next - 1,
        valid_until: clock().plus(60_000),
        actions: vec![Action::from(action)],
    };
    assert!(executor.submit_all(vec![transaction.sign(&registrar)])[0].is_ok());
    let built = executor.build(next, 0, Duration::from_secs(1)).unwrap().expect("something waits");
    executor.save_undecided(next, 0, &built.id, &built.body, b"record").unwrap();
    executor.commit(next, &built.id, b"certificate").unwrap();
}

#[test]
fn bodies_beyond_the_configured_history_are_forgotten_and_a_restart_still_works() {
    let (genesis, store) = (genesis(), Arc::new(MemoryStore::new()));
    let executor = open(&genesis, &store);
    let sets = crate::snapshot::member_sets(&executor.state());
    let prune = |blocks| house::prune_bodies(store.as_ref(), &sets, blocks, u64::MAX);
    (0..6).for_each(|_| advance(&executor));
    assert_eq!(prune(2).unwrap(), 0, "a restart begins at the first block");
    executor.checkpoint().unwrap();
    assert_eq!(prune(7).unwrap(), 0);
    assert_eq!(prune(4).unwrap(), 2);
    assert_eq!(executor.history_height_min(), 3, "blocks 3 to 6 are kept");
    (0..3).for_each(|_| advance(&executor));
    assert_eq!(prune(1).unwrap(), 3);
    assert_eq!(executor.history_height_min(), 6, "a restart begins at the checkpoint's block");
    let root = executor.state().root();
    drop(executor);
    let executor = open(&genesis, &store);
    assert_eq!((executor.state().root(), height(&executor)), (root, 9));
}

#[test]
fn who_follows_over_a_restart_is_told_what_is_gone() {
    let (genesis, store) = (genesis(), Arc::new(MemoryStore::new()));
    let executor = open(&genesis, &store);
    let since = |executor: &Executor, from| {
        let blocks = executor.history().since(from, height(executor))?;
        Some(blocks.iter().map(|record| record.header.height).collect::<Vec<_>>())
    };
    assert_eq!(since(&executor, 0), Some(vec![]), "nothing has been");
    (0..3).for_each(|_| advance(&executor));
    assert_eq!(since(&executor, 1), Some(vec![2, 3]));
    executor.checkpoint().unwrap();
    drop(executor);
    let executor = open(&genesis, &store);
    assert_eq!(since(&executor, 1), None);
    assert_eq!(since(&executor, 3), Some(vec![]));
    advance(&executor);
    assert_eq!(since(&executor, 2), None);
    assert_eq!(since(&executor, 3), Some(vec![4]));
}

/// Free ports, held until all are known so that none is given twice.
fn ports<const N: usize>() -> [u16; N] {
    let held: Vec<_> = (0..N).map(|_| std::net::TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    std::array::from_fn(|index| held[index].local_addr().unwrap().port())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interface_that_does_not_come_up_leaves_nothing_running() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("genesis.toml"), toml::to_string(&genesis()).unwrap()).unwrap();
    let [api, consensus, network] = ports();
    let address = |port: u16| format!("/ip4/127.0.0.1/tcp/{port}").parse().unwrap();
    let config = NodeConfig {
        member: "DE".parse().unwrap(),
        genesis: folder.path().join("genesis.toml"),
        data: folder.path().join("data"),
        keys: KeyFiles { consensus: "unused".into(), network: "unused".into(), passphrase_file: None },
        api: ApiConfig { listen: ([127, 0, 0, 1], api).into(), hosts: Vec::new() },
        consensus_listen: address(consensus),
        network_listen: address(network),
        peers: Vec::new(),
        history_blocks: 0,
        snapshot_blocks: 0,
        disk_bytes_min: 1 << 20,
        test_clock_offset_ms: 0,
    };
    let keys = NodeKeys { consensus: key("DE consensus"), network: key("DE network") };
    let fail: Serve = |_, _, _, _| Err(std::io::Error::other("no thread to be had"));
    let failed = start_serving(config.clone(), keys.clone(), fail).await;
    assert!(matches!(failed, Err(NodeError::Setup(error)) if error.to_string() == "no thread to be had"));
    // Ports, database and log are free again: the same node starts in their place.
    let until = std::time::Instant::now() + Duration::from_secs(20);
    let node = loop {
        match start(config.clone(), keys.clone()).await {
            Ok(node) => break node,
            Err(error) => assert!(std::time::Instant::now() < until, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert!(node.run(std::future::ready(())).await.is_ok());
}

#[tokio::test]
async fn a_clock_is_made_wrong_only_where_nobody_else_can_be_in_the_federation() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("genesis.toml"), toml::to_string(&genesis()).unwrap()).unwrap();
    let address = |text: &str| text.parse::<libp2p::Multiaddr>().unwrap();
    let (here, elsewhere) = (address("/ip4/127.0.0.1/tcp/1"), address("/ip4/192.0.2.1/tcp/1"));
    let config = |listen: &libp2p::Multiaddr, peer: &libp2p::Multiaddr| NodeConfig {
        member: "DE".parse().unwrap(),
        genesis: folder.path().join("genesis.toml"),
        data: folder.path().join("data"),
        keys: KeyFiles { consensus: "unused".into(), network: "unused".into(), passphrase_file: None },
        api: ApiConfig { listen: ([127, 0, 0, 1], 0).into(), hosts: Vec::new() },
        consensus_listen: listen.clone(),
        network_listen: here.clone(),
        peers: vec![crate::config::PeerConfig {
            member: "FR".parse().unwrap(),
            consensus: here.clone(),
            network: peer.clone(),
            network_key: None,
        }],
        history_blocks: 0,
        snapshot_blocks: 0,
        disk_bytes_min: 1 << 20,
        test_clock_offset_ms: 1,
    };
    assert!(config(&here, &here).is_local());
    for refused in [config(&elsewhere, &here), config(&here, &elsewhere)] {
        let keys = NodeKeys { consensus: key("DE consensus"), network: key("DE network") };
        let failed = start(refused, keys).await.map(|_| ());
        assert!(
            matches!(&failed, Err(NodeError::Identity(text)) if text.contains("test_clock_offset_ms")),
            "{failed:?}"
        );
        assert!(!folder.path().join("data").exists(), "nothing was begun");
    }
}
