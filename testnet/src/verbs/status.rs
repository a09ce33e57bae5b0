//! `hansa testnet status`: what runs, how far each node is, and whether they agree.

use super::{VerbOptions, print};
use crate::cluster::TAIL_LINES;
use crate::cluster::title;
use crate::error::TestnetError;
use crate::federation::Federation;
use crate::layout::{Layout, State};
use crate::process::tail;
use hansa_ledger::member::MemberCode;
use hansa_node_api::status::NodeStatus;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::Write;
use std::time::Duration;
use tokio::time::Instant;

/// How long a node is waited for before it counts as silent.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(3);

/// How long an agent is watched for an early end.
const AGENT_TIME: Duration = Duration::from_millis(700);

/// How often something that is awaited is looked at.
const LOOK_PAUSE: Duration = Duration::from_millis(25);

struct NodeLine {
    member: MemberCode,
    api: String,
    pid: Option<u32>,
    status: Option<NodeStatus>,
}

/// `testnet status`: what runs, how far each node is, and whether those that run agree.
///
/// # Errors
/// When there is no testnet.
pub async fn status(options: &VerbOptions, out: &mut dyn Write) -> Result<(), TestnetError> {
    let layout = Layout::new(&options.folder)?;
    let state = layout.read_state()?;
    let federation = Federation::open(&layout, &state)?;
    let asked = federation.clients().iter().map(|(member, client)| {
        let pid = alive(&state, member.as_str());
        let api = state.api(*member).unwrap_or_default();
        async move {
            // A process that does not run is not asked: its port may be another program's by now.
            let status = match pid {
                Some(_) => {
                    tokio::time::timeout(ANSWER_TIME_MAX, client.status()).await.ok().and_then(Result::ok)
                }
                None => None,
            };
            NodeLine { member: *member, api, pid, status }
        }
    });
    let nodes = futures::future::join_all(asked).await;
    let text = if options.json {
        as_json(&layout, &state, &nodes).to_string()
    } else {
        as_text(&layout, &state, &nodes)
    };
    print(out, &text);
    Ok(())
}

/// Whether the nodes that answered have one root at each height: `None` while they stand at different heights.
fn agree(nodes: &[NodeLine]) -> Option<bool> {
    let answers: Vec<&NodeStatus> = nodes.iter().filter_map(|node| node.status.as_ref()).collect();
    let heights: BTreeSet<u64> = answers.iter().map(|status| status.height).collect();
    let roots: BTreeSet<_> = answers.iter().map(|status| status.state_root).collect();
    (heights.len() == 1).then_some(roots.len() == 1)
}

fn as_json(layout: &Layout, state: &State, nodes: &[NodeLine]) -> Value {
    let members = nodes.iter().map(|node| {
        json!({ "member": node.member, "api": node.api, "pid": node.pid, "log": layout.log(node.member.as_str()), "status": node.status })
    });
    let providers = state.providers.iter().map(|provider| {
        let name = provider.name.as_str();
        json!({ "provider": name, "pid": alive(state, name), "log": layout.log(name), "capacity": provider.capacity })
    });
    json!({
        "dir": layout.folder(),
        "chain": state.chain,
        "agree": agree(nodes),
        "members": members.collect::<Vec<_>>(),
        "providers": providers.collect::<Vec<_>>(),
    })
}

fn as_text(layout: &Layout, state: &State, nodes: &[NodeLine]) -> String {
    let mut text = format!("testnet in `{}`, federation {}\n\n", layout.folder().display(), state.chain);
    for node in nodes {
        let how = match (&node.status, node.pid) {
            (Some(status), Some(pid)) => {
                let ready = match (&status.unready_reason, status.ready) {
                    (_, true) => "ready".to_owned(),
                    (reason, false) => reason.clone().unwrap_or_else(|| "not ready".to_owned()),
                };
                let root: String = status.state_root.to_string().chars().take(12).collect();
                format!(
                    "height {}, root {root}, {} peers, process {pid}, {ready}",
                    status.height, status.peers_connected
                )
            }
            (None, Some(pid)) => format!("process {pid} does not answer"),
            (_, None) => format!("down; start it with `hansa testnet restart {}`", node.member),
        };
        let _ = writeln!(text, "  {}  {}  {how}", node.member, node.api);
    }
    text.push('\n');
    for provider in &state.providers {
        let how = match alive(state, provider.name.as_str()) {
            Some(pid) => format!("process {pid}"),
            None => format!("down; start it with `hansa testnet restart {}`", provider.name),
        };
        let capacity = &provider.capacity;
        let _ = writeln!(
            text,
            "  {}  {}  {} x {}  {how}",
            provider.name, capacity.country, capacity.accelerators, capacity.class
        );
    }
    text.push_str(match agree(nodes) {
        Some(true) => "\nthe nodes that answer agree",
        Some(false) => "\nTHE NODES DISAGREE: one height, several state roots",
        None => "\nthe nodes stand at different heights, or none answers",
    });
    text
}

fn alive(state: &State, name: &str) -> Option<u32> {
    state.processes.get(name).filter(|record| record.is_alive()).map(|record| record.pid)
}

/// Waits until the node of this name is ready, or the agent of this name runs.
pub(super) async fn wait_ready(
    layout: &Layout,
    state: &State,
    name: &str,
    time: Duration,
) -> Result<(), TestnetError> {
    let federation = Federation::open(layout, state)?;
    let client =
        federation.clients().iter().find(|(member, _)| member.as_str() == name).map(|(_, client)| client);
    let Some(client) = client else {
        // An agent has no interface to ask. What it cannot start with it says, and ends, within this time.
        tokio::time::sleep(AGENT_TIME).await;
        return Ok(());
    };
    let until = Instant::now() + time;
    loop {
        let reason = match client.ready().await {
            Ok(health) if health.ok => return Ok(()),
            Ok(health) => health.reason.unwrap_or_default(),
            Err(error) => error.to_string(),
        };
        if Instant::now() >= until {
            let log = layout.log(name);
            let tail = tail(&log, TAIL_LINES);
            return Err(TestnetError::NotReady {
                name: title(name),
                seconds: time.as_secs(),
                reason,
                log,
                tail,
            });
        }
        tokio::time::sleep(LOOK_PAUSE).await;
    }
}
