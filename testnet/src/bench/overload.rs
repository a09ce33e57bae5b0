//! `bench overload`: many times the load that the federation can make final, from senders that do not care about refusals. Each
//! refusal must carry a code, memory must stay bounded, and soon after all must be as before.

use super::field::{Firm, Ground, agreed, firms, payment, statuses};
use super::machine::{folder_mb, resident_mb};
use super::maker::{data, until_ready};
use super::payers::{kill, restart};
use super::report::{Bound, Report};
use super::statistics::percentile;
use crate::config;
use crate::error::TestnetError;
use crate::federation::Federation;
use crate::layout::Layout;
use hansa_ledger::action::TransferCash;
use hansa_ledger::money::Money;
use hansa_ledger::transaction::SignedTransaction;
use hansa_node_api::{Account, Client, Fault};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::process::Child;
use tokio::task::JoinSet;

/// How long senders with patience show what the federation can do.
const CALM: Duration = Duration::from_secs(10);

/// How long a sender with patience rests when enough is under way.
const REST: Duration = Duration::from_millis(20);

/// Transfers under way, in all, of senders with patience: enough for two full blocks, as in `bench load`.
const UNDER_WAY_MAX: u64 = 12_000;

/// Transfers in a bundle.
const BUNDLE: usize = 500;

/// Senders for each node.
const SENDERS_PER_NODE: usize = 2;

/// Keys for each sender: as many as a firm may have, less its administrator's.
const SIGNERS_PER_SENDER: usize = 32;

/// How often memory is looked at.
const LOOK_PAUSE: Duration = Duration::from_millis(250);

/// How long somebody who is not part of the flood rests between transfers.
const PROBE_REST: Duration = Duration::from_millis(500);

/// How soon a single transfer is final when all is as it should be.
const NORMAL: Duration = Duration::from_secs(1);

/// How long it may take until it is so again, before the run is given up.
const NORMAL_TIME_MAX: Duration = Duration::from_secs(120);

/// How much load.
#[derive(Clone, Debug)]
pub struct OverloadOptions {
    /// How many times what the federation can do is offered.
    pub times: u32,
    /// For how long, in seconds.
    pub seconds: u64,
    /// How many blocks nodes keep, and how often they write a snapshot; 0 is all of them.
    pub history_blocks: u64,
}

/// What the senders tell.
#[derive(Default)]
struct Told {
    stop: AtomicBool,
    /// Whether senders wait until what they sent is final.
    patient: AtomicBool,
    /// Nanoseconds between the bundles of one sender when they are not.
    pause_ns: AtomicU64,
    offered: AtomicU64,
    taken: AtomicU64,
    /// Transfers final on every node since the senders began.
    done: AtomicU64,
    /// Offers that were not taken, by the code's name.
    refused: Mutex<BTreeMap<String, u64>>,
    /// Answers that were none: no code.
    silent: Mutex<BTreeMap<String, u64>>,
}

impl Told {
    fn count(list: &Mutex<BTreeMap<String, u64>>, name: String, count: usize) {
        *list.lock().unwrap_or_else(PoisonError::into_inner).entry(name).or_default() += count as u64;
    }

    fn list(list: &Mutex<BTreeMap<String, u64>>) -> BTreeMap<String, u64> {
        list.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

struct Found {
    sustained: f64,
    offered: f64,
    executed: f64,
    memory_mb: Vec<f64>,
    store_mb: Vec<f64>,
    probes_ms: Vec<f64>,
    probes_refused: usize,
    normal_s: f64,
    refused: BTreeMap<String, u64>,
    silent: BTreeMap<String, u64>,
}

pub(super) async fn run(ground: &Ground, options: &OverloadOptions) -> Result<Report, TestnetError> {
    if options.times == 0 || options.seconds == 0 {
        return Err(TestnetError::Refused("an overload needs some load, for some time".to_owned()));
    }
    let mut report = Report::new("overload");
    let mut field = ground.field().await?;
    let federation = field.cluster.federation().clone();
    let layout = field.cluster.layout().clone();
    let mut children = Vec::new();
    let work = measure(&federation, &layout, ground, options, &mut children);
    let measured = field.cluster.guard(work).await;
    let found = field.down(measured, &ground.progress).await?;
    drop(children);
    report.figure("transfers made final, senders with patience", "per s", &[found.sustained]);
    report.figure("transfers offered in the overload", "per s", &[found.offered]);
    report.figure("times what can be made final", "x", &[found.offered / found.sustained.max(1.0)]);
    report.figure("transfers made final in the overload", "per s", &[found.executed]);
    report.target("memory of the largest node", "MB", &found.memory_mb, Bound::AtMost, 512.0);
    if options.history_blocks > 0 {
        report.target("store and snapshots of the largest node", "MB", &found.store_mb, Bound::AtMost, 256.0);
    } else {
        report.figure("store and snapshots of the largest node", "MB", &found.store_mb);
    }
    let tail: Vec<f64> = percentile(&found.probes_ms, 99.0).into_iter().collect();
    report.figure("somebody else's transfer sent to final meanwhile, p99", "ms", &tail);
    report.target("overload over to normal again", "s", &[found.normal_s], Bound::AtMost, 10.0);
    report.note(format!("somebody else's transfers not final in time meanwhile: {}", found.probes_refused));
    for (name, count) in &found.refused {
        report.note(format!("{count} offers were refused with {name}"));
    }
    for (text, count) in &found.silent {
        report.fail(format!("{count} offers were answered without a code: {text}"));
    }
    Ok(report)
}

async fn measure(
    federation: &Federation,
    layout: &Layout,
    ground: &Ground,
    options: &OverloadOptions,
    children: &mut Vec<Child>,
) -> Result<Found, TestnetError> {
    if options.history_blocks > 0 {
        keep_only(federation, layout, ground, options.history_blocks, children).await?;
    }
    ground.progress.now("accrediting the firms");
    let nodes = federation.clients().len();
    // One more than send: somebody who is not part of the flood.
    let firms = firms(federation, nodes * SENDERS_PER_NODE + 1, SIGNERS_PER_SENDER).await?;
    let firms: Arc<Vec<Firm>> = Arc::new(firms);
    agreed(federation).await?;
    let told = Arc::new(Told::default());
    told.patient.store(true, Ordering::Relaxed);
    let mut senders = JoinSet::new();
    senders.spawn(follow(federation.clone(), Arc::clone(&told)));
    for at in 0..nodes * SENDERS_PER_NODE {
        senders.spawn(send(federation.clone(), Arc::clone(&firms), at, Arc::clone(&told)));
    }
    ground.progress.now("measuring what can be made final");
    // What the nodes take first fills their room and is not what they can do for long.
    tokio::time::sleep(CALM / 2).await;
    let sustained = rate(federation, CALM).await?;
    if sustained < 1.0 {
        let refused = Told::list(&told.refused);
        return Err(TestnetError::Missed(format!(
            "nothing was made final in {} s, so there is nothing to offer many times of; refusals: {refused:?}",
            CALM.as_secs()
        )));
    }
    let offered_max = sustained * f64::from(options.times);
    let pause = BUNDLE as f64 * (nodes * SENDERS_PER_NODE) as f64 / offered_max.max(1.0);
    told.pause_ns.store((pause * 1e9) as u64, Ordering::Relaxed);
    told.patient.store(false, Ordering::Relaxed);
    ground.progress.now(format!("offering {offered_max:.0} transfers per second for {} s", options.seconds));
    let (before, began) = (told.offered.load(Ordering::Relaxed), Instant::now());
    let time = Duration::from_secs(options.seconds);
    let watched = watch(layout, time);
    let (executed, (memory_mb, store_mb), (probes_ms, probes_refused)) =
        tokio::try_join!(rate(federation, time), watched, probe(federation, &firms, time))?;
    let offered = (told.offered.load(Ordering::Relaxed) - before) as f64 / began.elapsed().as_secs_f64();
    told.stop.store(true, Ordering::Relaxed);
    ground.progress.now("waiting until all is as before");
    let stopped = Instant::now();
    while senders.join_next().await.is_some() {}
    let normal_s = normal(federation, &firms, stopped).await?;
    agreed(federation).await?;
    let (refused, silent) = (Told::list(&told.refused), Told::list(&told.silent));
    Ok(Found {
        sustained,
        offered,
        executed,
        memory_mb,
        store_mb,
        probes_ms,
        probes_refused,
        normal_s,
        refused,
        silent,
    })
}

/// Transfers that are final on every node.
async fn done(federation: &Federation) -> Result<u64, TestnetError> {
    Ok(statuses(federation).await?.iter().map(|node| node.transactions).min().unwrap_or(0))
}

/// Transfers that became final on every node, per second.
async fn rate(federation: &Federation, time: Duration) -> Result<f64, TestnetError> {
    let (before, began) = (done(federation).await?, Instant::now());
    tokio::time::sleep(time).await;
    Ok((done(federation).await? - before) as f64 / began.elapsed().as_secs_f64())
}

/// Tells patient senders what has become final, as long as they are.
async fn follow(federation: Federation, told: Arc<Told>) {
    let Ok(before) = done(&federation).await else { return };
    while told.patient.load(Ordering::Relaxed) && !told.stop.load(Ordering::Relaxed) {
        if let Ok(now) = done(&federation).await {
            told.done.store(now.saturating_sub(before), Ordering::Relaxed);
        }
        tokio::time::sleep(REST).await;
    }
}

/// Has every node keep only so many blocks, and write a snapshot as often: one after the other starts again.
async fn keep_only(
    federation: &Federation,
    layout: &Layout,
    ground: &Ground,
    blocks: u64,
    children: &mut Vec<Child>,
) -> Result<(), TestnetError> {
    for (code, client) in federation.clients() {
        kill(layout, *code).await?;
        config::change(layout, *code, |config| {
            config.history_blocks = blocks;
            config.snapshot_blocks = blocks;
        })?;
        children.push(restart(layout, *code, &ground.executable)?);
        until_ready(*code, client, 0, Instant::now()).await?;
    }
    Ok(())
}

/// The greatest memory that any node had, and the greatest store.
async fn watch(layout: &Layout, time: Duration) -> Result<(Vec<f64>, Vec<f64>), TestnetError> {
    let state = layout.read_state()?;
    let nodes: Vec<_> = state.members.iter().map(|member| member.code).collect();
    let (began, mut memory_mb, mut store_mb) = (Instant::now(), 0.0_f64, 0.0_f64);
    while began.elapsed() < time {
        for code in &nodes {
            let process = state.processes.get(code.as_str());
            let process =
                process.ok_or_else(|| TestnetError::Broken(format!("the node of {code} does not run")))?;
            memory_mb = memory_mb.max(resident_mb(process.pid)?);
            store_mb = store_mb.max(folder_mb(&data(layout, *code)));
        }
        tokio::time::sleep(LOOK_PAUSE).await;
    }
    Ok((vec![memory_mb], vec![store_mb]))
}

/// One transfer of somebody who is not part of the flood.
async fn single(federation: &Federation, firms: &[Firm], wait: Duration) -> Option<Duration> {
    let [other, .., firm] = firms else { return None };
    let client = federation.client(firm.home).ok()?.clone();
    let mut account = Account::new(firm.admin.clone(), federation.state().chain, client);
    account.wait = wait;
    let transfer = TransferCash { to: other.organisation, amount: Money(1) };
    let began = Instant::now();
    match tokio::time::timeout(wait, account.send(vec![transfer.into()])).await {
        Ok(Ok(_)) => Some(began.elapsed()),
        _ => None,
    }
}

async fn probe(
    federation: &Federation,
    firms: &[Firm],
    time: Duration,
) -> Result<(Vec<f64>, usize), TestnetError> {
    let (began, mut times, mut refused) = (Instant::now(), Vec::new(), 0);
    while began.elapsed() < time {
        match single(federation, firms, NORMAL * 10).await {
            Some(took) => times.push(took.as_secs_f64() * 1_000.0),
            None => refused += 1,
        }
        tokio::time::sleep(PROBE_REST).await;
    }
    Ok((times, refused))
}

/// Seconds from the end of the overload until a single transfer is as quick as it should be.
async fn normal(federation: &Federation, firms: &[Firm], stopped: Instant) -> Result<f64, TestnetError> {
    while stopped.elapsed() < NORMAL_TIME_MAX {
        if single(federation, firms, NORMAL).await.is_some() {
            return Ok(stopped.elapsed().as_secs_f64());
        }
    }
    Err(TestnetError::Missed(format!(
        "no transfer was final within {} s for {} s after the overload",
        NORMAL.as_secs(),
        NORMAL_TIME_MAX.as_secs()
    )))
}

/// Offers the transfers of one firm's keys to its node, each key's in the order of their nonces; what is refused is offered again.
async fn send(federation: Federation, firms: Arc<Vec<Firm>>, at: usize, told: Arc<Told>) {
    let firm = &firms[at];
    let to = firms[(at + 1) % firms.len()].organisation;
    let Ok(client) = federation.client(firm.home).cloned() else { return };
    let mut nonces = vec![0_u64; firm.signers.len()];
    let mut again: Vec<SignedTransaction> = Vec::new();
    let mut due = Instant::now();
    while !told.stop.load(Ordering::Relaxed) {
        if told.patient.load(Ordering::Relaxed) {
            let taken = told.taken.load(Ordering::Relaxed);
            if taken.saturating_sub(told.done.load(Ordering::Relaxed)) >= UNDER_WAY_MAX {
                tokio::time::sleep(REST).await;
                continue;
            }
        }
        let mut bundle = std::mem::take(&mut again);
        // New ones of each key in turn.
        let missing = BUNDLE.saturating_sub(bundle.len());
        for key in (0..firm.signers.len()).cycle().take(missing) {
            bundle.push(payment(&federation, &firm.signers[key], nonces[key], to));
            nonces[key] += 1;
        }
        told.offered.fetch_add(bundle.len() as u64, Ordering::Relaxed);
        again = offer(&client, bundle, &told).await;
        if told.patient.load(Ordering::Relaxed) {
            due = Instant::now();
        } else {
            due += Duration::from_nanos(told.pause_ns.load(Ordering::Relaxed));
            tokio::time::sleep_until(due.into()).await;
        }
    }
}

/// Offers a bundle once, and gives back what was not taken.
async fn offer(client: &Client, bundle: Vec<SignedTransaction>, told: &Told) -> Vec<SignedTransaction> {
    let verdicts = match client.submit_bundle(&bundle).await {
        Ok(verdicts) => verdicts,
        Err(error) => {
            match (error.fault(), error.rejection()) {
                (Some(fault), _) => Told::count(&told.refused, fault_name(fault), bundle.len()),
                (None, Some(rejection)) => Told::count(&told.refused, format!("{rejection:?}"), bundle.len()),
                (None, None) => Told::count(&told.silent, error.to_string(), bundle.len()),
            }
            return bundle;
        }
    };
    let mut again = Vec::new();
    for (transaction, verdict) in bundle.into_iter().zip(verdicts) {
        match verdict.rejection() {
            None => {
                told.taken.fetch_add(1, Ordering::Relaxed);
            }
            // It was taken in a bundle whose answer got lost.
            Some(hansa_ledger::rejection::Rejection::NonceUsed) => {}
            Some(rejection) => {
                Told::count(&told.refused, format!("{rejection:?}"), 1);
                again.push(transaction);
            }
        }
    }
    again
}

fn fault_name(fault: Fault) -> String {
    format!("{} ({})", fault.name(), fault.code())
}
