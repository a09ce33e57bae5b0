//! A second process with one member's keys: on the same data it must be refused; on a copy of it the others must stay safe.

use super::{Fault, Stage, disk};
use crate::config::{self, multiaddress, socket};
use crate::error::{TestnetError, file_error};
use crate::layout::write_whole;
use crate::ports::Reservation;
use crate::process::{Launch, ProcessRecord, start, tail};
use crate::proxy::{Passage, Way};
use hansa_ledger::member::MemberCode;
use std::path::PathBuf;
use std::time::Duration;
use tokio::process::Child;
use tokio::time::timeout;

/// How long a second process may take to be refused.
const REFUSAL_TIME_MAX: Duration = Duration::from_secs(30);

/// What it says then.
const REFUSAL: &str = "another process uses the data directory";

/// How long a node may take until it is ready.
const READY_TIME_MAX: Duration = Duration::from_secs(60);

/// A copy of a node that runs.
pub(super) struct Twin {
    record: ProcessRecord,
    folder: PathBuf,
    _child: Child,
}

impl Stage {
    /// Starts a second process on the data of a node that runs: with ports of its own, so that nothing but the data is in the way.
    pub(super) async fn second_process(&mut self, fault: &Fault) -> Result<(), TestnetError> {
        let Some(code) = fault.members.first().copied() else { return Ok(()) };
        let folder = self.layout.member(code);
        let (config, log) = (folder.join("second.toml"), folder.join("second.log"));
        self.write_variant(code, &config, |_| {})?;
        let mut child = self.start_variant(&config, &log)?;
        let ended = timeout(REFUSAL_TIME_MAX, child.wait()).await;
        let said = tail(&log, 6);
        match ended {
            Ok(Ok(status)) if !status.success() && said.contains(REFUSAL) => Ok(()),
            Ok(status) => Err(TestnetError::Broken(format!(
                "a second process on the data of {code} ended with {status:?} and not with a refusal:\n{said}"
            ))),
            Err(_) => {
                ProcessRecord::of(child.id().unwrap_or_default()).kill();
                Err(TestnetError::Broken(format!("a second process runs on the data of {code}:\n{said}")))
            }
        }
    }

    /// Starts a node again on one machine and a copy of it on another, as one who restores a backup may. Each of them is heard by
    /// a part of the others only.
    pub(super) async fn start_twin(&mut self, fault: &Fault) -> Result<(), TestnetError> {
        let Some(code) = fault.members.first().copied() else { return Ok(()) };
        let others: Vec<MemberCode> = self.members().into_iter().filter(|other| *other != code).collect();
        let far = &others[others.len() / 2..];
        let folder = self.layout.member(code).join("twin");
        self.kill(&[code]).await?;
        let data = self.layout.member(code).join("data");
        disk::copy(&data, &folder.join("data")).map_err(file_error("copy", &data))?;
        let (config, log) = (self.layout.member(code).join("twin.toml"), folder.join("node.log"));
        self.write_variant(code, &config, |config| {
            config.data = PathBuf::from("twin/data");
            config.peers.retain(|peer| far.contains(&peer.member));
            // Straight to them: the relays of this member are its first self's.
            for peer in &mut config.peers {
                let members = &self.federation.state().members;
                if let Some(member) = members.iter().find(|member| member.code == peer.member) {
                    peer.consensus = multiaddress(member.ports.consensus);
                    peer.network = multiaddress(member.ports.network);
                }
            }
        })?;
        let held = Way { passage: Passage::Held, ..Way::default() };
        far.iter().for_each(|other| self.links.set(code, *other, held));
        self.start(&[code])?;
        let child = self.start_variant(&config, &log)?;
        self.twinned.push(code);
        let record = ProcessRecord::of(child.id().unwrap_or_default());
        self.twin = Some(Twin { record, folder, _child: child });
        Ok(())
    }

    /// Ends the copy for good. The first one goes on.
    pub(super) async fn stop_twin(&mut self) -> Result<(), TestnetError> {
        let Some(twin) = self.twin.take() else { return Ok(()) };
        twin.record.kill();
        twin.record.ended_within(super::END_TIME_MAX).await;
        let kept = twin.folder.join("node.log");
        let log = twin.folder.with_file_name("twin.log");
        let _ = std::fs::copy(kept, log);
        std::fs::remove_dir_all(&twin.folder).map_err(file_error("remove", &twin.folder))
    }

    /// Writes the configuration of a node anew with ports that are free, and changed.
    fn write_variant(
        &self,
        code: MemberCode,
        path: &std::path::Path,
        change: impl FnOnce(&mut hansa_node::config::NodeConfig),
    ) -> Result<(), TestnetError> {
        let mut config = config::read(&self.layout, code)?;
        let reservation = Reservation::choose(1)?;
        if let Some(ports) = reservation.ports().first() {
            config.api.listen = socket(ports.api);
            config.consensus_listen = multiaddress(ports.consensus);
            config.network_listen = multiaddress(ports.network);
        }
        change(&mut config);
        write_whole(path, &config::text(&config)?)?;
        reservation.release();
        Ok(())
    }

    fn start_variant(&self, config: &std::path::Path, log: &std::path::Path) -> Result<Child, TestnetError> {
        start(&Launch {
            name: "a second node".to_owned(),
            program: self.executable.clone(),
            arguments: vec!["node".into(), "run".into(), "--config".into(), config.into()],
            log: log.to_owned(),
            outlives: false,
        })
    }

    /// Waits until the node of a member is ready.
    pub(super) async fn wait_ready(&self, code: MemberCode) -> Result<(), TestnetError> {
        let client = self.federation.client(code)?;
        let until = tokio::time::Instant::now() + READY_TIME_MAX;
        loop {
            let reason = match client.ready().await {
                Ok(health) if health.ok => return Ok(()),
                Ok(health) => health.reason.unwrap_or_default(),
                Err(error) => error.to_string(),
            };
            if tokio::time::Instant::now() >= until {
                let log = self.layout.log(code.as_str());
                return Err(TestnetError::NotReady {
                    name: format!("the node of {code}"),
                    seconds: READY_TIME_MAX.as_secs(),
                    reason,
                    tail: tail(&log, 12),
                    log,
                });
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}
