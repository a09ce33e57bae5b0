//! What a run found, for people and for programs.

use super::audit::Audit;
use super::fault::{Fault, Kind};
use super::load::Load;
use super::stage::Stage;
use super::{ChaosOptions, Duration};
use crate::bench::machine::{cores, load_average};
use crate::bench::statistics::percentile;
use crate::error::TestnetError;
use crate::proxy::Traffic;
use hansa_ledger::member::MemberCode;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// One fault and what was seen of it.
#[derive(Clone, Debug)]
pub(super) struct Trial {
    pub fault: Fault,
    /// Whom it hit.
    pub hit: Vec<MemberCode>,
    /// Blocks decided meanwhile.
    pub blocks: u64,
    /// Times between blocks meanwhile, in milliseconds.
    pub gaps: Vec<f64>,
    /// From when all was made good until every node had a new block.
    pub recovered: Duration,
    /// Why it was not done.
    pub skipped: Option<String>,
}

impl Trial {
    /// One that cannot be on this machine.
    pub fn skipped(fault: Fault, reason: String) -> Self {
        let (hit, gaps) = (Vec::new(), Vec::new());
        Self { fault, hit, blocks: 0, gaps, recovered: Duration::ZERO, skipped: Some(reason) }
    }

    fn gap_max(&self) -> f64 {
        self.gaps.iter().copied().fold(0.0, f64::max)
    }
}

/// What a run found.
#[derive(Debug)]
pub(super) struct Summary {
    seed: u64,
    members: usize,
    replay: String,
    load_before: f64,
    trials: Vec<Trial>,
    lasted: Duration,
    blocks: u64,
    held: u64,
    failed: u64,
    refusals: BTreeMap<String, u64>,
    evidence: usize,
    twinned: Vec<MemberCode>,
    traffic: Traffic,
    failing: Option<String>,
    failure: Option<String>,
}

/// Median, 99th percentile and greatest; nothing of nothing.
fn spread(values: &[f64]) -> Option<[f64; 3]> {
    Some([percentile(values, 50.0)?, percentile(values, 99.0)?, percentile(values, 100.0)?])
}

impl Summary {
    pub fn new(options: &ChaosOptions) -> Self {
        Self {
            seed: options.seed,
            members: options.members,
            replay: options.replay(),
            load_before: load_average(),
            trials: Vec::new(),
            lasted: Duration::ZERO,
            blocks: 0,
            held: 0,
            failed: 0,
            refusals: BTreeMap::new(),
            evidence: 0,
            twinned: Vec::new(),
            traffic: Traffic::default(),
            failing: None,
            failure: None,
        }
    }

    pub fn add(&mut self, trial: Trial) {
        self.trials.push(trial);
    }

    /// Takes over what was counted so far.
    pub fn load(&mut self, load: &Load, audit: &Audit, stage: &Stage, evidence: usize, lasted: Duration) {
        (self.blocks, self.held, self.lasted, self.evidence) = (audit.blocks, audit.held, lasted, evidence);
        (self.failed, self.refusals, self.traffic) = (load.failed(), load.refusals(), stage.links.traffic());
        self.twinned.clone_from(&stage.twinned);
    }

    /// Says during which fault the run failed.
    pub fn failing(&mut self, number: usize, fault: &Fault) {
        self.failing = Some(format!("fault {number}: {fault}"));
    }

    pub fn fail(&mut self, error: &TestnetError) {
        self.failure = Some(error.to_string());
    }

    fn of(&self, kind: Kind) -> impl Iterator<Item = &Trial> {
        self.trials.iter().filter(move |trial| trial.fault.kind == kind)
    }

    /// The summary as JSON.
    pub fn json(&self) -> Value {
        let kinds = Kind::ALL.iter().filter(|kind| self.of(**kind).next().is_some()).map(|kind| {
            let Spreads { gaps, longest, recovered } = self.spreads(*kind);
            let skipped = self.of(*kind).filter(|trial| trial.skipped.is_some()).count();
            let spread = |values: Option<[f64; 3]>| {
                values.map(|[median, p99, max]| json!({ "median": median, "p99": p99, "max": max }))
            };
            json!({
                "kind": kind.word(), "text": kind.text(), "count": self.of(*kind).count() - skipped, "skipped": skipped,
                "gap_ms": spread(gaps), "longest_gap_ms": spread(longest), "recovered_ms": spread(recovered),
            })
        });
        let faults = self.trials.iter().map(|trial| {
            json!({
                "fault": trial.fault.json(), "hit": trial.hit, "blocks": trial.blocks, "gap_max_ms": trial.gap_max(),
                "recovered_ms": trial.recovered.as_millis(), "skipped": trial.skipped,
            })
        });
        json!({
            "seed": self.seed, "members": self.members, "seconds": self.lasted.as_secs_f64(), "replay": self.replay,
            "kinds": kinds.collect::<Vec<_>>(), "faults": faults.collect::<Vec<_>>(),
            "blocks_compared": self.blocks, "acknowledged_held": self.held, "lost": if self.failure.is_none() { Some(0) } else { None },
            "tried_again": self.failed, "refusals": self.refusals,
            "evidence_records": self.evidence, "made_to_sign_twice": self.twinned,
            "links": { "connections": self.traffic.connections, "bytes": self.traffic.bytes,
                       "bytes_lost": self.traffic.lost, "bytes_corrupted": self.traffic.corrupted },
            "failing": self.failing, "failure": self.failure,
            "machine": { "cores": cores(), "load_before": self.load_before, "load_after": load_average() },
        })
    }

    /// The summary as text.
    pub fn text(&self) -> String {
        let mut text = format!(
            "chaos: seed {}, {} members, {} faults in {:.0} s; {} processors, load {:.1} before and {:.1} after\n\n",
            self.seed,
            self.members,
            self.trials.iter().filter(|trial| trial.skipped.is_none()).count(),
            self.lasted.as_secs_f64(),
            cores(),
            self.load_before,
            load_average()
        );
        let _ = writeln!(
            text,
            "  {:<19} {:>5}  {:>21}  {:>21}  {:>21}",
            "fault", "count", "gap p50/p99 ms", "longest p50/max ms", "level p50/max ms"
        );
        for kind in Kind::ALL {
            let skipped = self.of(*kind).filter(|trial| trial.skipped.is_some()).count();
            let count = self.of(*kind).count() - skipped;
            if count + skipped == 0 {
                continue;
            }
            let Spreads { gaps, longest, recovered } = self.spreads(*kind);
            let two = |values: Option<[f64; 3]>, upper: usize| {
                values.map_or_else(String::new, |all| format!("{:.0} / {:.0}", all[0], all[upper]))
            };
            let note = if skipped > 0 { format!("  {skipped} skipped") } else { String::new() };
            let _ = writeln!(
                text,
                "  {:<19} {count:>5}  {:>21}  {:>21}  {:>21}{note}",
                kind.word(),
                two(gaps, 1),
                two(longest, 2),
                two(recovered, 2)
            );
        }
        let _ = write!(
            text,
            "\n  {} transactions were called final and stand in their blocks{}; {} were tried again\n  {} blocks are the same on all nodes; money is conserved\n  links carried {} MB in {} connections, lost {} bytes and changed {}\n  evidence records: {} (members made to sign twice: {})",
            self.held,
            if self.failure.is_none() { ", 0 lost" } else { "" },
            self.failed,
            self.blocks,
            self.traffic.bytes / 1_000_000,
            self.traffic.connections,
            self.traffic.lost,
            self.traffic.corrupted,
            self.evidence,
            if self.twinned.is_empty() { "none".to_owned() } else { codes(&self.twinned) },
        );
        if let Some(failure) = &self.failure {
            let _ = write!(
                text,
                "\n\n  FAILED{}: {failure}",
                self.failing.as_ref().map(|text| format!(" in {text}")).unwrap_or_default()
            );
        }
        text
    }

    fn spreads(&self, kind: Kind) -> Spreads {
        let done: Vec<&Trial> = self.of(kind).filter(|trial| trial.skipped.is_none()).collect();
        let gaps: Vec<f64> = done.iter().flat_map(|trial| trial.gaps.iter().copied()).collect();
        let longest: Vec<f64> = done.iter().map(|trial| trial.gap_max()).collect();
        let recovered: Vec<f64> = done.iter().map(|trial| trial.recovered.as_secs_f64() * 1_000.0).collect();
        Spreads { gaps: spread(&gaps), longest: spread(&longest), recovered: spread(&recovered) }
    }
}

struct Spreads {
    gaps: Option<[f64; 3]>,
    longest: Option<[f64; 3]>,
    recovered: Option<[f64; 3]>,
}

fn codes(codes: &[MemberCode]) -> String {
    codes.iter().map(MemberCode::as_str).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_told_by_kind_and_failures_with_the_way_back_to_them() {
        let options = ChaosOptions {
            folder: "net".into(),
            members: 4,
            lasts: Duration::from_secs(60),
            faults_max: Some(3),
            seed: 5,
            kinds: vec![Kind::Reset],
            keep: false,
            json: false,
            quiet: true,
            executable: None,
        };
        let mut summary = Summary::new(&options);
        let fault = super::super::Schedule::new(5, &["FR".parse().unwrap()], &[Kind::Reset]).next().unwrap();
        let recovered = Duration::from_millis(70);
        let trial = Trial {
            fault: fault.clone(),
            hit: Vec::new(),
            blocks: 3,
            gaps: vec![20.0, 40.0],
            recovered,
            skipped: None,
        };
        summary.add(trial);
        summary.add(Trial::skipped(fault.clone(), "not here".to_owned()));
        let text = summary.text();
        assert!(text.contains("reset") && text.contains("20 / 40") && text.contains("70 / 70"), "{text}");
        assert!(text.contains("1 skipped") && text.contains("0 lost"), "{text}");
        summary.failing(3, &fault);
        summary.fail(&TestnetError::Broken("FORK".to_owned()));
        let text = summary.text();
        assert!(text.contains("FAILED in fault 3: reset FR") && !text.contains("0 lost"), "{text}");
        let value = summary.json();
        assert_eq!(
            value["replay"],
            "hansa testnet chaos --seed 5 --members 4 --for 60s --count 3 --fault reset"
        );
        assert_eq!((&value["lost"], &value["kinds"][0]["count"]), (&Value::Null, &json!(1)));
    }
}
