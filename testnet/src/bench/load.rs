//! `bench load`: how many pre-signed transfers a second become final on all nodes.
//!
//! The senders keep a bounded number of transactions under way, so that the federation is saturated and not flooded. A
//! transaction counts when its block was read back with a receipt that says it was executed. Rates are those of a window: the
//! first fifth of the load warms up, the last tenth is left out, since the senders run dry there.

mod feed;
mod readback;

use super::calibration::Calibration;
use super::field::{Field, Firm, Ground, agreed, firms, payment, statuses};
use super::machine::{cores, processor_time};
use super::report::{Bound, Report};
use crate::error::TestnetError;
use crate::federation::Federation;
use feed::{Feed, Flow};
use hansa_ledger::transaction::SignedTransaction;
use hansa_node_api::status::NodeStatus;
use readback::Readback;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How often the nodes are looked at.
const LOOK_PAUSE: Duration = Duration::from_millis(50);

/// How often progress is told.
const TELL_PAUSE: Duration = Duration::from_secs(2);

/// How long nothing may become final before the run is given up.
const STALL_MAX: Duration = Duration::from_secs(30);

/// Part of the load that warms up, and part after which the window ends.
const WINDOW: (f64, f64) = (0.2, 0.9);

/// How much load.
#[derive(Clone, Debug)]
pub struct LoadOptions {
    /// Transfers in a run.
    pub transactions: usize,
    /// Keys that sign them, spread over the organisations.
    pub signers: usize,
    /// Organisations that pay each other, spread over the members.
    pub organisations: usize,
    /// Transfers in a bundle.
    pub bundle: usize,
    /// The most transfers sent and not final at one time.
    pub under_way: usize,
    /// After how many seconds no more is sent; none for all of them.
    pub seconds: Option<u64>,
    /// Runs, each in a federation of its own.
    pub runs: usize,
}

impl Default for LoadOptions {
    fn default() -> Self {
        Self {
            transactions: 100_000,
            signers: 256,
            organisations: 16,
            bundle: 1_000,
            under_way: 12_000,
            seconds: None,
            runs: 1,
        }
    }
}

/// What one run found.
struct Run {
    rate: f64,
    validators_us: f64,
    sender_us: f64,
    efficiency: f64,
    verify_us: f64,
    speed_up: f64,
    checks: f64,
    fsyncs: f64,
    block: f64,
    doubt: Option<String>,
}

/// How far the federation was at a moment.
struct Sample {
    at: Instant,
    /// Transactions of the load that are final on every node.
    done: u64,
    height: u64,
    /// Processor time of all validators.
    validators: Duration,
    /// Processor time of this process.
    sender: Duration,
}

pub(super) async fn run(ground: &Ground, options: &LoadOptions) -> Result<Report, TestnetError> {
    check(options)?;
    let mut report = Report::new("load");
    let mut runs = Vec::new();
    for number in 1..=options.runs {
        ground.progress.now(format!("run {number} of {}: calibrating", options.runs));
        let before = Calibration::take().await?;
        let mut field = ground.field().await?;
        let federation = field.cluster.federation().clone();
        let processes: Vec<u32> = field.processes()?.into_iter().map(|(_, pid)| pid).collect();
        let measured = measure(&mut field, &federation, &processes, ground, options).await;
        let measured = field.down(measured, &ground.progress).await?;
        let after = Calibration::take().await?;
        let run = evaluate(&measured, &before, &after, ground.members)?;
        if let Some(doubt) = &run.doubt {
            report.note(format!(
                "run {number} is invalid and not counted: {doubt}; it saw {:.0} transactions per second",
                run.rate
            ));
        }
        runs.push(run);
    }
    fill(&mut report, &runs, options, ground.members);
    Ok(report)
}

fn check(options: &LoadOptions) -> Result<(), TestnetError> {
    let refuse = |text: &str| Err(TestnetError::Refused(text.to_owned()));
    if options.organisations < 2 || options.signers < options.organisations || options.runs == 0 {
        return refuse("a load needs two organisations, a signer for each, and one run");
    }
    if options.signers.div_ceil(options.organisations) > 63 {
        return refuse("an organisation has at most 63 signers; take more organisations or fewer signers");
    }
    if options.transactions < options.signers
        || !(1..=4_096).contains(&options.bundle)
        || options.under_way == 0
    {
        return refuse(
            "a load needs a transaction for each signer, bundles of 1 to 4096, and some under way",
        );
    }
    Ok(())
}

/// What a run gives to be evaluated.
struct Measured {
    samples: Vec<Sample>,
    before: Vec<NodeStatus>,
    after: Vec<NodeStatus>,
    read: usize,
}

async fn measure(
    field: &mut Field,
    federation: &Federation,
    processes: &[u32],
    ground: &Ground,
    options: &LoadOptions,
) -> Result<Measured, TestnetError> {
    let work = async {
        ground.progress.now("accrediting the firms");
        let firms =
            firms(federation, options.organisations, options.signers.div_ceil(options.organisations)).await?;
        ground.progress.now(format!("signing {} transfers", options.transactions));
        let queues = sign(federation, &firms, options);
        let before = agreed(federation).await?;
        let flow = Arc::new(Flow::new(options));
        let mut readback = Readback::new(federation, &before, &queues);
        let feeds = federation.clients().iter().zip(queues).map(|((code, client), queue)| {
            tokio::spawn(Feed::new(*code, client.clone(), queue, flow.clone(), options.bundle).run())
        });
        let feeds: Vec<_> = feeds.collect();
        let samples = watch(federation, processes, &flow, &mut readback, &before, ground).await;
        for feed in feeds {
            feed.abort();
        }
        let samples = samples?;
        ground.progress.now("reading the blocks back");
        let after = agreed(federation).await?;
        let read = readback.finish(after[0].height).await?;
        if read as u64 != flow.taken() {
            let text = format!("{} transfers were taken, and {read} were read back as final", flow.taken());
            return Err(TestnetError::Broken(text));
        }
        Ok(Measured { samples, before, after, read })
    };
    field.cluster.guard(work).await
}

/// Signs the transfers: for each node a queue in which the signers of its firms take turns.
fn sign(federation: &Federation, firms: &[Firm], options: &LoadOptions) -> Vec<Vec<SignedTransaction>> {
    let nodes = federation.clients().len();
    let mut queues = vec![Vec::new(); nodes];
    let signers: Vec<_> =
        (0..options.signers).map(|index| (index, index % firms.len(), index / firms.len())).collect();
    let rounds = options.transactions.div_ceil(options.signers);
    let each = (0..rounds).flat_map(|round| signers.iter().map(move |signer| (round, signer)));
    for (round, (index, firm, key)) in each.take(options.transactions) {
        // Payees change with each round, so that money moves at home and between members.
        let step = 1 + round % (firms.len() - 1);
        let to = firms[(firm + step) % firms.len()].organisation;
        queues[index % nodes].push(payment(federation, &firms[*firm].signers[*key], round as u64, to));
    }
    queues
}

/// Looks at the nodes until all that was taken is final on every one of them.
async fn watch(
    federation: &Federation,
    processes: &[u32],
    flow: &Flow,
    readback: &mut Readback,
    before: &[NodeStatus],
    ground: &Ground,
) -> Result<Vec<Sample>, TestnetError> {
    let mut samples: Vec<Sample> = Vec::new();
    let (mut moved, mut told) = (Instant::now(), Instant::now());
    loop {
        let nodes = statuses(federation).await?;
        let done =
            nodes.iter().zip(before).map(|(node, before)| node.transactions - before.transactions).min();
        let sample = Sample {
            at: Instant::now(),
            done: done.unwrap_or(0),
            height: nodes.iter().map(|node| node.height).min().unwrap_or(0),
            validators: processes.iter().map(|pid| processor_time(*pid)).sum::<Result<_, _>>()?,
            sender: processor_time(std::process::id())?,
        };
        flow.done(sample.done);
        flow.check()?;
        if samples.last().is_none_or(|last| last.done < sample.done) {
            moved = sample.at;
        }
        let (done, height) = (sample.done, sample.height);
        if told.elapsed() > TELL_PAUSE {
            told = Instant::now();
            ground.progress.now(format!("{done} transfers are final at height {height}"));
        }
        samples.push(sample);
        if flow.is_sent() && done >= flow.taken() {
            return Ok(samples);
        }
        if moved.elapsed() > STALL_MAX {
            let waiting: Vec<_> =
                nodes.iter().map(|node| format!("{} {}", node.member, node.mempool_transactions)).collect();
            let text = format!(
                "nothing became final for {} s: {done} of {} at height {height}, waiting at {}",
                STALL_MAX.as_secs(),
                flow.taken(),
                waiting.join(", ")
            );
            return Err(TestnetError::Missed(text));
        }
        readback.keep_up(done, height).await?;
        tokio::time::sleep(LOOK_PAUSE).await;
    }
}

fn evaluate(
    measured: &Measured,
    before: &Calibration,
    after: &Calibration,
    members: usize,
) -> Result<Run, TestnetError> {
    let total = measured.read as f64;
    let at = |part: f64| measured.samples.iter().find(|sample| sample.done as f64 >= part * total);
    let (Some(first), Some(last)) = (at(WINDOW.0), at(WINDOW.1)) else {
        return Err(TestnetError::Missed(
            "the load was over before it could be measured; send more".to_owned(),
        ));
    };
    let (count, seconds) = ((last.done - first.done) as f64, (last.at - first.at).as_secs_f64());
    if count == 0.0 || seconds < 0.5 {
        return Err(TestnetError::Missed(
            "the window was too short to measure; send more transactions".to_owned(),
        ));
    }
    let rate = count / seconds;
    let verify_us = (before.verify_us + after.verify_us) / 2.0;
    let each = |figure: fn(&NodeStatus) -> u64| -> f64 {
        let sums =
            measured.after.iter().zip(&measured.before).map(|(after, before)| figure(after) - figure(before));
        sums.sum::<u64>() as f64 / members as f64
    };
    Ok(Run {
        rate,
        validators_us: (last.validators - first.validators).as_micros() as f64 / count,
        sender_us: (last.sender - first.sender).as_micros() as f64 / count,
        efficiency: rate * members as f64 * verify_us / 1_000_000.0 / cores() as f64,
        verify_us,
        speed_up: before.speed_up.min(after.speed_up),
        checks: each(|node| node.signature_checks) / total,
        fsyncs: each(|node| node.fsyncs) / each(|node| node.height).max(1.0),
        block: count / (last.height - first.height).max(1) as f64,
        doubt: Calibration::doubt(before, after),
    })
}

fn fill(report: &mut Report, runs: &[Run], options: &LoadOptions, members: usize) {
    let valid: Vec<&Run> = runs.iter().filter(|run| run.doubt.is_none()).collect();
    report.note(format!(
        "{} transfers of {} signers and {} organisations over {members} validators; {} of {} runs are valid",
        options.transactions,
        options.signers,
        options.organisations,
        valid.len(),
        runs.len()
    ));
    let counted: Vec<&Run> = if valid.is_empty() {
        report.note("no run is valid: the figures are those of the invalid ones, and say little");
        runs.iter().collect()
    } else {
        valid
    };
    let values = |figure: fn(&Run) -> f64| counted.iter().map(|run| figure(run)).collect::<Vec<_>>();
    report.target("transfers final on all nodes", "per s", &values(|run| run.rate), Bound::AtLeast, 5_000.0);
    report.figure("processor time per transfer, all validators", "us", &values(|run| run.validators_us));
    report.figure("processor time per transfer, load generator", "us", &values(|run| run.sender_us));
    report.figure("efficiency E", "", &values(|run| run.efficiency));
    report.figure("transfers in a block", "", &values(|run| run.block));
    report.target(
        "signature checks per transfer and node",
        "",
        &values(|run| run.checks),
        Bound::AtMost,
        1.0,
    );
    report.target(
        "fsyncs per height and node, the engine's not counted",
        "",
        &values(|run| run.fsyncs),
        Bound::AtMost,
        3.0,
    );
    report.figure("calibration: one signature of a batch", "us", &values(|run| run.verify_us));
    report.figure("calibration: two threads against one", "x", &values(|run| run.speed_up));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loads_that_cannot_be_are_refused() {
        let good = LoadOptions::default();
        assert!(check(&good).is_ok());
        for bad in [
            LoadOptions { organisations: 1, ..good.clone() },
            LoadOptions { signers: 15, ..good.clone() },
            LoadOptions { signers: 2_000, ..good.clone() },
            LoadOptions { transactions: 255, ..good.clone() },
            LoadOptions { bundle: 0, ..good.clone() },
            LoadOptions { bundle: 4_097, ..good.clone() },
            LoadOptions { under_way: 0, ..good.clone() },
            LoadOptions { runs: 0, ..good.clone() },
        ] {
            assert!(check(&bad).is_err(), "{bad:?}");
        }
    }
}
