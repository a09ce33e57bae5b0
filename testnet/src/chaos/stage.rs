//! What faults are done to: the processes, files and links of a testnet.

mod disk;
mod second;

use super::fault::{Fault, Kind};
use crate::cluster::launch;
use crate::config;
use crate::dice::Dice;
use crate::error::{TestnetError, file_error};
use crate::federation::Federation;
use crate::layout::{Layout, write_whole};
use crate::process::{ProcessRecord, start};
use crate::proxy::{Links, Passage, Way};
use disk::SmallDisk;
use hansa_ledger::member::MemberCode;
use hansa_node::config::NodeConfig;
use hansa_node::rebuild::rebuild;
use rustix::process::{Pid, Signal, kill_process};
use second::Twin;
use std::path::PathBuf;
use std::time::Duration;
use tokio::process::Child;

/// How wrong a clock is made: the kind's hour.
const CLOCK_OFFSET_MS: i64 = 3_600_000;

/// How long a killed process may take to be gone.
const END_TIME_MAX: Duration = Duration::from_secs(20);

/// How often connections are reset.
const RESET_PAUSE: Duration = Duration::from_millis(400);

/// The testnet, and what is broken in it at the moment.
pub(super) struct Stage {
    pub federation: Federation,
    pub layout: Layout,
    pub links: Links,
    executable: PathBuf,
    /// Nodes that were started again belong to this process, and end with it.
    children: Vec<Child>,
    disk: Option<SmallDisk>,
    /// The node on it, which may end by itself.
    full: Option<ProcessRecord>,
    twin: Option<Twin>,
    /// Members that were made to sign twice.
    pub twinned: Vec<MemberCode>,
    stopped: Vec<(MemberCode, ProcessRecord)>,
}

/// Whether a fault could be done here.
pub(super) enum Done {
    /// It was, to these members.
    To(Vec<MemberCode>),
    /// It cannot be on this machine.
    Skipped(String),
}

impl Stage {
    pub fn new(federation: Federation, layout: Layout, links: Links, executable: PathBuf) -> Self {
        let (children, twinned, stopped) = (Vec::new(), Vec::new(), Vec::new());
        Self {
            federation,
            layout,
            links,
            executable,
            children,
            disk: None,
            full: None,
            twin: None,
            twinned,
            stopped,
        }
    }

    pub fn members(&self) -> Vec<MemberCode> {
        self.federation.clients().iter().map(|(code, _)| *code).collect()
    }

    /// Breaks something. It stays broken until [`Self::heal`].
    pub async fn harm(&mut self, fault: &Fault, tip: u64) -> Result<Done, TestnetError> {
        match fault.kind {
            Kind::KillProposer => {
                let proposer = self.next_proposer(tip)?;
                self.kill(&[proposer]).await?;
                return Ok(Done::To(vec![proposer]));
            }
            Kind::KillOne | Kind::KillSome | Kind::KillAll => self.kill(&fault.members).await?,
            Kind::Pause => self.pause(&fault.members)?,
            Kind::Clock => {
                let offset =
                    if fault.strength.is_multiple_of(2) { CLOCK_OFFSET_MS } else { -CLOCK_OFFSET_MS };
                self.set_clock(&fault.members, offset).await?;
            }
            Kind::DiskFull => return self.fill_disk(fault).await,
            Kind::SecondProcess => self.second_process(fault).await?,
            Kind::Twin => self.start_twin(fault).await?,
            kind if kind.lie().is_some() && !cfg!(feature = "byzantine") => {
                return Ok(Done::Skipped("this program is built without the feature `byzantine`".to_owned()));
            }
            kind if kind.lie().is_some() => self.lie(fault).await?,
            _ => self.harm_links(fault),
        }
        Ok(Done::To(fault.members.clone()))
    }

    /// Makes good what is broken, as an operator would: links up, processes started, files as they were.
    pub async fn heal(&mut self, fault: &Fault, hit: &[MemberCode]) -> Result<(), TestnetError> {
        self.links.heal();
        match fault.kind {
            Kind::KillOne | Kind::KillProposer | Kind::KillSome | Kind::KillAll => self.start(hit)?,
            Kind::Pause => self.resume(),
            Kind::Clock => self.set_clock(hit, 0).await?,
            Kind::DiskFull => self.empty_disk(fault).await?,
            Kind::Twin => self.stop_twin().await?,
            kind if kind.lie().is_some() => self.be_honest(fault, hit).await?,
            _ => {}
        }
        Ok(())
    }

    fn harm_links(&self, fault: &Fault) {
        let lost = Way { passage: Passage::Lost, ..Way::default() };
        let held = Way { passage: Passage::Held, ..Way::default() };
        let (hit, all) = (&fault.members, self.members());
        let others: Vec<MemberCode> = all.iter().copied().filter(|code| !hit.contains(code)).collect();
        let strength = u32::try_from(fault.strength).unwrap_or(0);
        let around = |way: Way| self.links.part(&[hit.clone(), others.clone()], way);
        match fault.kind {
            Kind::Delay => {
                let delay = Duration::from_millis(20 + u64::from(strength) / 10);
                let slow = Way { delay, jitter: delay / 2, ..Way::default() };
                self.links.pairs().into_iter().for_each(|(one, other)| self.links.set(one, other, slow));
            }
            Kind::Throttle => {
                around(Way { bytes_per_second: Some(2_000 + strength * 20), ..Way::default() });
            }
            Kind::Corrupt => around(Way { corrupt_one_in: Some(1 + strength % 20), ..Way::default() }),
            Kind::OneWay | Kind::Lossy => {
                let way = if fault.kind == Kind::OneWay { held } else { lost };
                for (from, to) in hit.iter().flat_map(|one| others.iter().map(move |other| (*one, *other))) {
                    self.links.set_way(from, to, way);
                }
            }
            Kind::Blackhole => around(lost),
            Kind::PartitionHalf | Kind::PartitionFew => around(held),
            Kind::HalfOpen | Kind::Reset => {
                // Not all links of the node at once: the half that chance says, and at least one.
                let mut dice = Dice::new(fault.strength);
                let count = dice.index(others.len()) + 1;
                let ends = dice.choose(others.len(), count).into_iter().map(|at| others[at]);
                for (one, other) in ends.flat_map(|other| hit.iter().map(move |one| (*one, other))) {
                    match fault.kind {
                        Kind::HalfOpen => self.links.half_open(one, other),
                        _ => self.links.reset(one, other),
                    }
                }
            }
            _ => {}
        }
    }

    /// Waits until the fault has lasted long enough; what has to be done again meanwhile is done.
    pub async fn last(&self, fault: &Fault, rest: Duration) {
        let until = tokio::time::Instant::now() + rest;
        while fault.kind == Kind::Reset && tokio::time::Instant::now() + RESET_PAUSE < until {
            tokio::time::sleep(RESET_PAUSE).await;
            self.harm_links(fault);
        }
        tokio::time::sleep_until(until).await;
    }

    /// Whose turn it is after `tip` if its first round succeeds: the members take turns in the order of their codes.
    fn next_proposer(&self, tip: u64) -> Result<MemberCode, TestnetError> {
        let mut order = self.members();
        order.sort_unstable();
        let at = usize::try_from(tip % order.len().max(1) as u64).unwrap_or(0);
        let next = order.get(at).copied();
        next.ok_or_else(|| TestnetError::Broken("the federation has no members".to_owned()))
    }

    /// Takes the processes off the record first, so that their end counts as wanted.
    async fn kill(&self, codes: &[MemberCode]) -> Result<(), TestnetError> {
        let mut records = Vec::new();
        self.layout.change_state(|state| {
            records = codes.iter().filter_map(|code| state.processes.remove(code.as_str())).collect();
        })?;
        records.iter().for_each(ProcessRecord::kill);
        for record in records {
            if !record.ended_within(END_TIME_MAX).await {
                return Err(TestnetError::Missed("a killed node did not end".to_owned()));
            }
        }
        Ok(())
    }

    fn start(&mut self, codes: &[MemberCode]) -> Result<(), TestnetError> {
        let state = self.layout.read_state()?;
        for code in codes {
            let child = start(&launch(&self.layout, &state, code.as_str(), &self.executable, false))?;
            let record = ProcessRecord::of(child.id().unwrap_or_default());
            self.children.push(child);
            self.layout.change_state(|state| {
                state.processes.insert(code.to_string(), record);
            })?;
        }
        Ok(())
    }

    /// Every node that is on the record and does not run any more.
    pub fn dead(&self) -> Result<Vec<String>, TestnetError> {
        let state = self.layout.read_state()?;
        let dead = state.processes.iter().filter(|(_, record)| !record.is_alive());
        Ok(dead.map(|(name, _)| name.clone()).collect())
    }

    fn pause(&mut self, codes: &[MemberCode]) -> Result<(), TestnetError> {
        let state = self.layout.read_state()?;
        for code in codes {
            if let Some(record) = state.processes.get(code.as_str()) {
                signal(record, Signal::STOP)?;
                self.stopped.push((*code, *record));
            }
        }
        Ok(())
    }

    fn resume(&mut self) {
        for (_, record) in std::mem::take(&mut self.stopped) {
            // One that is gone is found by whoever looks at the processes next.
            let _ = signal(&record, Signal::CONT);
        }
    }

    async fn set_clock(&mut self, codes: &[MemberCode], offset_ms: i64) -> Result<(), TestnetError> {
        self.kill(codes).await?;
        for code in codes {
            config::change(&self.layout, *code, |config| config.test_clock_offset_ms = offset_ms)?;
        }
        self.start(codes)
    }

    /// Starts nodes again that lie from then on.
    async fn lie(&mut self, fault: &Fault) -> Result<(), TestnetError> {
        self.kill(&fault.members).await?;
        for code in &fault.members {
            self.set_log_aside(fault, *code)?;
            let lie = fault.kind.lie().unwrap_or_default();
            let text = format!("{lie} = {{ mode = \"always\" }}\nseed = {}\n", fault.strength);
            write_whole(&self.lies(*code), &text)?;
        }
        if fault.kind.signs_twice() {
            self.twinned.extend(&fault.members);
        }
        self.start(&fault.members)
    }

    async fn be_honest(&mut self, fault: &Fault, codes: &[MemberCode]) -> Result<(), TestnetError> {
        self.kill(codes).await?;
        for code in codes {
            self.set_log_aside(fault, *code)?;
            let path = self.lies(*code);
            std::fs::remove_file(&path).map_err(file_error("remove", &path))?;
        }
        self.start(codes)
    }

    /// A node refuses a log in which it voted otherwise than it would now, as it must. An operator then sets the log aside; the
    /// node is silent in the heights it may have voted in.
    fn set_log_aside(&self, fault: &Fault, code: MemberCode) -> Result<(), TestnetError> {
        if !matches!(fault.kind, Kind::NilPrecommits | Kind::Amnesia) {
            return Ok(());
        }
        let broken =
            |text: String| TestnetError::Broken(format!("the log of {code} cannot be set aside: {text}"));
        let config =
            NodeConfig::load(&self.layout.node_config(code)).map_err(|error| broken(error.to_string()))?;
        rebuild(&config, None, true).map(|_| ()).map_err(|error| broken(error.to_string()))
    }

    fn lies(&self, code: MemberCode) -> PathBuf {
        self.layout.member(code).join("data").join("byzantine.toml")
    }

    /// Waits until every node stands at the same height or above `goal`.
    pub async fn level(&self, goal: u64, time: Duration) -> Result<(), TestnetError> {
        let until = tokio::time::Instant::now() + time;
        loop {
            let asked = self.federation.clients().iter().map(|(_, client)| client.status());
            let heights: Vec<_> = futures::future::join_all(asked).await.into_iter().collect();
            if heights.iter().all(|status| status.as_ref().is_ok_and(|status| status.height >= goal)) {
                return Ok(());
            }
            if tokio::time::Instant::now() >= until {
                let told = heights.into_iter().zip(self.federation.clients()).map(|(status, (code, _))| {
                    status.map_or_else(
                        |error| format!("{code}: {error}"),
                        |status| format!("{code} at {}", status.height),
                    )
                });
                let told: Vec<String> = told.collect();
                return Err(TestnetError::Missed(format!(
                    "not all nodes came to height {goal} within {} s after all was well again: {}",
                    time.as_secs(),
                    told.join(", ")
                )));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // One that stands still hears no request to end.
        self.resume();
    }
}

fn signal(record: &ProcessRecord, signal: Signal) -> Result<(), TestnetError> {
    let pid = i32::try_from(record.pid).ok().and_then(Pid::from_raw);
    let sent = pid.map(|pid| kill_process(pid, signal));
    match sent {
        Some(Ok(())) => Ok(()),
        _ => Err(TestnetError::Broken(format!("process {} cannot be signalled", record.pid))),
    }
}
