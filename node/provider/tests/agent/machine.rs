//! A machine that runs programs by name: what each does is fixed, and when it ends the test says or the program knows.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use hansa_node_provider::backend::{
    Backend, BackendError, JobEnd, JobReport, JobSpec, JobUsage, LogLine, RunningJob, Tier,
};
use tokio::sync::{mpsc, watch};

use crate::world::World;

/// Everything that ran, in order, with what it was told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Run {
    pub job: String,
    pub environment: Vec<(String, String)>,
    pub told: bool,
    pub killed: bool,
    /// How long it was allowed to run on, each time its lease was extended.
    pub prolonged: Vec<std::time::Duration>,
}

pub struct Machine {
    pub world: Arc<World>,
    pub runs: Arc<Mutex<Vec<Run>>>,
}

struct Process {
    end: watch::Sender<Option<JobEnd>>,
    runs: Arc<Mutex<Vec<Run>>>,
    index: usize,
    polite: bool,
    world: Arc<World>,
}

#[async_trait]
impl Backend for Machine {
    fn tier(&self) -> Tier {
        Tier::Sandboxed
    }

    async fn start(&self, spec: JobSpec) -> Result<Box<dyn RunningJob>, BackendError> {
        self.world.crash.pass().await;
        spec.check()?;
        let program = spec.argv[0].clone();
        let run = Run {
            job: format!("{program} {}", spec.environment["HANSA_JOB"]),
            environment: spec.environment.clone().into_iter().collect(),
            ..Run::default()
        };
        let index = {
            let mut runs = self.runs.lock().unwrap();
            runs.push(run);
            runs.len() - 1
        };
        std::fs::write(&spec.log, format!("{program} says hello\n")).unwrap();
        let end = match program.as_str() {
            // Reads its input and doubles it.
            "double" => {
                let input = std::fs::read_to_string(spec.directory.join("data/input")).unwrap();
                std::fs::write(spec.directory.join("output"), format!("{input}{input}")).unwrap();
                Some(JobEnd::Exited(0))
            }
            "crash" => Some(JobEnd::Exited(3)),
            "forget" => Some(JobEnd::Exited(0)),
            "segfault" => Some(JobEnd::Signalled(11)),
            "absent" => return Err(BackendError::Start("no such program".to_owned())),
            "hang" | "polite" => None,
            other => panic!("no program `{other}`"),
        };
        let process = Process {
            end: watch::Sender::new(end),
            runs: self.runs.clone(),
            index,
            polite: program == "polite",
            world: self.world.clone(),
        };
        self.world.crash.pass().await;
        Ok(Box::new(process))
    }
}

#[async_trait]
impl RunningJob for Process {
    async fn wait(&self) -> Result<JobReport, BackendError> {
        let mut end = self.end.subscribe();
        let end = end.wait_for(Option::is_some).await.unwrap().unwrap();
        self.world.crash.pass().await;
        Ok(JobReport { end, usage: JobUsage::default(), survivors: 0 })
    }

    async fn signal_before_end(&self) {
        self.runs.lock().unwrap()[self.index].told = true;
        if self.polite {
            self.end.send_replace(Some(JobEnd::Exited(0)));
        }
    }

    async fn prolong(&self, left: std::time::Duration) {
        let mut runs = self.runs.lock().unwrap();
        runs[self.index].prolonged.push(left);
        // Told anew when the end is near.
        runs[self.index].told = false;
    }

    async fn kill_tree(&self) {
        self.runs.lock().unwrap()[self.index].killed = true;
        self.end.send_replace(Some(JobEnd::Killed));
    }

    fn log_lines(&self) -> Option<mpsc::Receiver<LogLine>> {
        None
    }
}
