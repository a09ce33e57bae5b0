//! The files that tell each process of a testnet what to do.

use crate::error::TestnetError;
use crate::layout::{Layout, ProviderRecord, State, api_address, write_whole};
use crate::ports::Ports;
use crate::proxy::Route;
use hansa_ledger::member::MemberCode;
use hansa_ledger::money::Price;
use hansa_ledger::name::Name;
use hansa_node::config::{ApiConfig, KeyFiles, NodeConfig, PeerConfig, SNAPSHOT_BLOCKS, read_toml};
use serde::Serialize;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

/// How often an agent of a testnet reports usage, in seconds.
const USAGE_INTERVAL_S: u64 = 5;

/// How often it says what is free, in seconds.
const ADVERT_INTERVAL_S: u64 = 5;

/// How long before its end a job is told, in seconds: leases of a testnet are short.
const NOTICE_S: u64 = 2;

/// The configuration of a provider's agent, as far as a testnet sets it.
#[derive(Serialize)]
struct AgentFile<'a> {
    nodes: Vec<String>,
    data_dir: &'a str,
    genesis: &'a str,
    usage_interval_s: u64,
    advert_interval_s: u64,
    notice_s: u64,
    backend: BackendFile,
    inventory: [InventoryFile<'a>; 1],
}

#[derive(Serialize)]
struct BackendFile {
    kind: &'static str,
    allow_unsandboxed: bool,
}

#[derive(Serialize)]
struct InventoryFile<'a> {
    site: &'a Name,
    class: &'a Name,
    accelerators: u32,
    node_size: u32,
    ask: Price,
}

/// A user's settings.
#[derive(Serialize)]
struct HomeFile<'a> {
    node: String,
    key: &'a Name,
    genesis: PathBuf,
}

/// Writes the configurations of all nodes and agents and of the users, for the ports in the record.
///
/// # Errors
/// When one cannot be written.
pub fn write_all(layout: &Layout, state: &State) -> Result<(), TestnetError> {
    for member in &state.members {
        let peers = state.members.iter().filter(|peer| peer.code != member.code);
        let config = NodeConfig {
            member: member.code,
            genesis: PathBuf::from("../genesis.toml"),
            data: PathBuf::from("data"),
            keys: KeyFiles {
                consensus: PathBuf::from("consensus.key"),
                network: PathBuf::from("network.key"),
                passphrase_file: None,
            },
            api: ApiConfig { listen: socket(member.ports.api), hosts: Vec::new() },
            consensus_listen: multiaddress(member.ports.consensus),
            network_listen: multiaddress(member.ports.network),
            peers: peers
                .map(|peer| {
                    let direct = Route { consensus: peer.ports.consensus, network: peer.ports.network };
                    let relayed = state.routes.get(&member.code).and_then(|routes| routes.get(&peer.code));
                    let route = relayed.copied().unwrap_or(direct);
                    PeerConfig {
                        network_key: None,
                        member: peer.code,
                        consensus: multiaddress(route.consensus),
                        network: multiaddress(route.network),
                    }
                })
                .collect(),
            history_blocks: 0,
            snapshot_blocks: SNAPSHOT_BLOCKS,
            disk_bytes_min: 64 << 20,
            test_clock_offset_ms: 0,
        };
        write_whole(&layout.node_config(member.code), &text(&config)?)?;
    }
    for provider in &state.providers {
        write_whole(&layout.agent_config(&provider.name), &text(&agent(state, provider))?)?;
    }
    write_home(layout, state)
}

/// An agent asks the node of its own member first, and the others while that is away.
fn agent<'a>(state: &State, provider: &'a ProviderRecord) -> AgentFile<'a> {
    let capacity = &provider.capacity;
    let mut members: Vec<_> = state.members.iter().collect();
    members.sort_by_key(|member| member.code != capacity.country);
    AgentFile {
        nodes: members.into_iter().map(|member| api_address(member.ports)).collect(),
        data_dir: "data",
        genesis: "../../genesis.toml",
        usage_interval_s: USAGE_INTERVAL_S,
        advert_interval_s: ADVERT_INTERVAL_S,
        notice_s: NOTICE_S,
        backend: BackendFile { kind: "local", allow_unsandboxed: state.allow_unsandboxed },
        inventory: [InventoryFile {
            site: &capacity.site,
            class: &capacity.class,
            accelerators: capacity.accelerators,
            node_size: capacity.node_size,
            ask: capacity.ask,
        }],
    }
}

/// The home of the users acts for the first of them, at its home node, until told otherwise.
fn write_home(layout: &Layout, state: &State) -> Result<(), TestnetError> {
    let Some(user) = state.users.first() else { return Ok(()) };
    let node = state.api(user.home).unwrap_or_default();
    let file = HomeFile { node, key: &user.name, genesis: layout.genesis() };
    write_whole(&layout.home().join("config.toml"), &text(&file)?)
}

/// The configuration of a member's node, as it stands in its file.
pub(crate) fn read(layout: &Layout, code: MemberCode) -> Result<NodeConfig, TestnetError> {
    let read = read_toml(&layout.node_config(code), "node configuration");
    read.map_err(|error| TestnetError::Broken(error.to_string()))
}

/// Writes it anew with a change; the node reads it when it starts again.
pub(crate) fn change(
    layout: &Layout,
    code: MemberCode,
    change: impl FnOnce(&mut NodeConfig),
) -> Result<(), TestnetError> {
    let mut config = read(layout, code)?;
    change(&mut config);
    write_whole(&layout.node_config(code), &text(&config)?)
}

pub(crate) fn text(value: &impl Serialize) -> Result<String, TestnetError> {
    toml::to_string(value)
        .map_err(|error| TestnetError::Broken(format!("a configuration cannot be written as TOML: {error}")))
}

pub(crate) fn socket(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

/// Generic over the address, so that this crate need not know the network library whose type it is.
pub(crate) fn multiaddress<A: FromStr<Err: std::fmt::Debug>>(port: u16) -> A {
    let text = format!("/ip4/{}/tcp/{port}", Ipv4Addr::LOCALHOST);
    text.parse().expect("an IPv4 address and a port make a multiaddress")
}

/// Puts ports into the record, in the order of the members.
pub(crate) fn assign(state: &mut State, ports: &[Ports]) {
    for (member, ports) in state.members.iter_mut().zip(ports) {
        member.ports = *ports;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::genesis::{Plan, found, parse_members};

    #[test]
    fn nodes_and_agents_read_what_is_written_for_them() {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::new(folder.path()).unwrap();
        let plan = Plan::new(parse_members("4").unwrap(), 2).unwrap();
        let mut state = found(&layout, &plan).unwrap();
        let ports: Vec<Ports> =
            (0..4u16).map(|at| Ports { api: 100 + at, consensus: 200 + at, network: 300 + at }).collect();
        assign(&mut state, &ports);
        write_all(&layout, &state).unwrap();
        for member in &state.members {
            let config = NodeConfig::load(&layout.node_config(member.code)).unwrap();
            assert_eq!((config.member, config.api.listen.port()), (member.code, member.ports.api));
            assert_eq!(config.peers.len(), 3);
            assert!(config.peers.iter().all(|peer| peer.member != member.code));
            assert_eq!(config.genesis().unwrap().chain_id(), state.chain);
            assert!(config.keys.consensus.exists() && config.keys.network.exists());
        }
        for provider in &state.providers {
            let config =
                hansa_node_provider::config::Config::load(&layout.agent_config(&provider.name)).unwrap();
            assert_eq!(config.load_genesis().unwrap().chain_id(), state.chain);
            assert_eq!(Some(&config.nodes[0]), state.api(provider.capacity.country).as_ref());
            assert_eq!(config.nodes.len(), 4);
            assert_eq!(config.inventory[0].accelerators, provider.capacity.accelerators);
            assert!(config.inventory[0].contract_hash(&config.load_genesis().unwrap()).is_ok());
        }
        let home = std::fs::read_to_string(layout.home().join("config.toml")).unwrap();
        assert!(home.contains("node = \"http://127.0.0.1:103\"\nkey = \"startup-ee\"\n"), "{home}");
    }
}
