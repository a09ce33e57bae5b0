//! `bench recover`: a node is killed as by a power cut while transfers go on, and started again. It must catch up to the same
//! root, and whatever any node called final must be final everywhere.

use super::field::{Ground, agreed};
use super::payers::{Acknowledged, Payers, kill, restart};
use super::report::Report;
use crate::error::{TestnetError, api_error};
use crate::federation::Federation;
use crate::layout::Layout;
use hansa_node_api::Client;
use hansa_node_api::chain::TransactionStatus;
use std::time::{Duration, Instant};
use tokio::process::Child;

/// Payers for each member.
const PAYERS: usize = 2;

/// How long the load goes on before and between kills.
const CALM: Duration = Duration::from_millis(700);

/// How long a killed node stays away.
const AWAY: Duration = Duration::from_millis(1_500);

/// How long a node may take to catch up.
const CATCH_UP_MAX: Duration = Duration::from_secs(60);

/// How often it is looked at.
const LOOK_PAUSE: Duration = Duration::from_millis(10);

pub(super) async fn run(ground: &Ground, count: usize) -> Result<Report, TestnetError> {
    let mut report = Report::new("recover");
    let mut field = ground.field().await?;
    let federation = field.cluster.federation().clone();
    let layout = field.cluster.layout().clone();
    // Nodes that are started again belong to this process, and end with it.
    let mut children = Vec::new();
    let work = measure(&federation, &layout, ground, count, &mut children);
    let measured = field.cluster.guard(work).await;
    let found = field.down(measured, &ground.progress).await?;
    drop(children);
    report.figure("started again to caught up with the same root", "ms", &found.times);
    report.figure("of that, until the node answers", "ms", &found.answers);
    report.note(format!(
        "{} of {count} kills: caught up to the same root, no acknowledged transaction lost",
        found.held
    ));
    report.note(format!(
        "{} transfers were acknowledged as final, {} were tried again at another node",
        found.acknowledged, found.retried
    ));
    report.figure("transfers acknowledged", "", &[found.acknowledged as f64]);
    if found.held < count {
        report.fail(format!(
            "only {} of {count} kills were recovered from: {}",
            found.held,
            found.failures.join("; ")
        ));
    }
    Ok(report)
}

#[derive(Default)]
struct Found {
    held: usize,
    times: Vec<f64>,
    answers: Vec<f64>,
    acknowledged: usize,
    retried: u64,
    failures: Vec<String>,
}

async fn measure(
    federation: &Federation,
    layout: &Layout,
    ground: &Ground,
    count: usize,
    children: &mut Vec<Child>,
) -> Result<Found, TestnetError> {
    let members = federation.clients().len();
    let mut payers = Payers::begin(federation, PAYERS).await?;
    let mut found = Found::default();
    let mut checked = 0;
    for number in 1..=count {
        tokio::time::sleep(CALM).await;
        // Which one is chance, and the same chance in every run.
        let chosen = usize::from(blake3::hash(&number.to_le_bytes()).as_bytes()[0]) % members;
        let code = federation.clients()[chosen].0;
        ground.progress.now(format!("kill {number} of {count}: the node of {code}"));
        kill(layout, code).await?;
        tokio::time::sleep(AWAY).await;
        let began = Instant::now();
        children.push(restart(layout, code, &ground.executable)?);
        match caught_up(federation, chosen, began, CATCH_UP_MAX).await? {
            Ok((answer, time)) => {
                found.answers.push(answer);
                found.times.push(time);
                match lost(federation, chosen, &payers, &mut checked).await? {
                    0 => found.held += 1,
                    lost => found.failures.push(format!(
                        "kill {number}: {lost} acknowledged transfers are not final at {code}"
                    )),
                }
            }
            Err(reason) => found.failures.push(format!("kill {number}: {reason}")),
        }
    }
    payers.end().await;
    agreed(federation).await?;
    for node in 0..members {
        let lost = lost(federation, node, &payers, &mut 0).await?;
        if lost > 0 {
            found.held = 0;
            found.failures.push(format!(
                "in the end {lost} acknowledged transfers are not final at {}",
                federation.clients()[node].0
            ));
        }
    }
    found.acknowledged = payers.acknowledged().len();
    found.retried = payers.retried();
    Ok(found)
}

/// Waits until the node is where the others were when it was started, and compares a block from then on: times in milliseconds
/// until it answered and until it had caught up, or why it did not.
pub(super) async fn caught_up(
    federation: &Federation,
    node: usize,
    began: Instant,
    time_max: Duration,
) -> Result<Result<(f64, f64), String>, TestnetError> {
    let (_, other) = &federation.clients()[(node + 1) % federation.clients().len()];
    let (code, client) = &federation.clients()[node];
    let goal = other.status().await.map_err(api_error("a node that was not killed does not answer"))?.height;
    let mut answered = None;
    while began.elapsed() < time_max {
        if let Ok(status) = client.status().await {
            let answered = *answered.get_or_insert(began.elapsed().as_secs_f64() * 1_000.0);
            if status.height >= goal {
                let time = began.elapsed().as_secs_f64() * 1_000.0;
                // Both may have gone on since: compared is what the block of one height says on both.
                let ours = client.block(Some(goal)).await.map_err(api_error("a block cannot be read"))?;
                let theirs = other.block(Some(goal)).await.map_err(api_error("a block cannot be read"))?;
                return Ok(
                    match ours.header.state_root == theirs.header.state_root && ours.id == theirs.id {
                        true => Ok((answered, time)),
                        false => Err(format!("{code} has another block at height {goal}")),
                    },
                );
            }
        }
        tokio::time::sleep(LOOK_PAUSE).await;
    }
    Ok(Err(format!("{code} did not come to height {goal} within {} s", time_max.as_secs())))
}

/// How many of the acknowledged transfers from `checked` on are not final at a node.
async fn lost(
    federation: &Federation,
    node: usize,
    payers: &Payers,
    checked: &mut usize,
) -> Result<usize, TestnetError> {
    let all = payers.acknowledged();
    let client = &federation.clients()[node].1;
    let mut lost = 0;
    for one in &all[*checked..] {
        let mut held = false;
        // Those acknowledged by others in this very moment may still be on their way.
        for _ in 0..200 {
            held = is_held(client, one).await?;
            if held {
                break;
            }
            tokio::time::sleep(LOOK_PAUSE).await;
        }
        lost += usize::from(!held);
    }
    *checked = all.len();
    Ok(lost)
}

/// Whether a node holds the transfer. One that was started again keeps no list of the transactions before its last checkpoint;
/// there the key's nonce says that one with this nonce was executed, and the compared blocks and roots that it was the same.
async fn is_held(client: &Client, one: &Acknowledged) -> Result<bool, TestnetError> {
    let info = client.transaction(&one.id).await.map_err(api_error("a transaction cannot be looked up"))?;
    if matches!(info.status, TransactionStatus::Final(_)) {
        return Ok(true);
    }
    let key = client.key(&one.signer).await.map_err(api_error("a key cannot be looked up"))?;
    Ok(key.row.nonce > one.nonce)
}
