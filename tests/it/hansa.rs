//! The program as its users run it: arguments in, exit code, stdout and stderr out.

use serde::de::DeserializeOwned;
use serde_json::Value;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The program `hansa`, built with these tests.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_it-hansa");

/// How long one run may take.
const RUN_TIME_MAX: Duration = Duration::from_secs(90);

/// Where a user keeps keys and settings, and works.
#[derive(Clone, Debug)]
pub struct Home {
    /// The folder of keys and settings.
    pub home: PathBuf,
    /// The folder in which commands run.
    pub work: PathBuf,
}

/// What one run gave.
#[derive(Clone, Debug)]
pub struct Run {
    command: String,
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Home {
    /// A home below `folder`, made if it is new.
    pub fn new(folder: &Path) -> Self {
        let home = Self { home: folder.join("home"), work: folder.join("work") };
        for path in [&home.home, &home.work] {
            std::fs::create_dir_all(path).unwrap();
        }
        home
    }

    /// Writes a file into the folder in which commands run.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        use std::os::unix::fs::PermissionsExt as _;
        let path = self.work.join(name);
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        path
    }

    /// The command, with nothing of the environment of these tests in it.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(PROGRAM);
        command.args(arguments).env_clear().env("HANSA_HOME", &self.home).env("HOME", "/nonexistent");
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.current_dir(&self.work).stdin(Stdio::null());
        command
    }

    /// Runs a command to its end.
    #[track_caller]
    pub fn run(&self, arguments: &[&str]) -> Run {
        run(self.command(arguments))
    }

    /// Runs a command that must succeed, and reads the JSON it gives.
    #[track_caller]
    pub fn ask<T: DeserializeOwned>(&self, arguments: &[&str]) -> T {
        self.run(&[&["--json"], arguments].concat()).read()
    }
}

impl Run {
    /// Panics unless it succeeded.
    #[track_caller]
    pub fn succeeded(self) -> Self {
        assert_eq!(self.code, 0, "{self}");
        self
    }

    /// The one JSON value on stdout, of a run that succeeded.
    #[track_caller]
    pub fn read<T: DeserializeOwned>(self) -> T {
        let run = self.succeeded();
        assert_eq!(run.stdout.lines().count(), 1, "one value on one line: {run}");
        serde_json::from_str(&run.stdout).unwrap_or_else(|error| panic!("{error}: {run}"))
    }

    /// The JSON values on stdout, one a line.
    #[track_caller]
    pub fn lines(&self) -> Vec<Value> {
        let value = |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {self}"));
        self.stdout.lines().map(value).collect()
    }

    /// Panics unless it was refused with this fixed number and exit code 1, and nothing else was said.
    #[track_caller]
    pub fn refused(&self, code: u16) {
        assert_eq!(self.code, 1, "{self}");
        let error: Value = serde_json::from_str(self.stderr.lines().last().unwrap_or_default())
            .unwrap_or_else(|error| panic!("{error}: {self}"));
        assert_eq!(error["error"]["code"], code, "{self}");
        assert!(error["error"]["hint"].as_str().is_some_and(|hint| !hint.is_empty()), "{self}");
    }

    /// Panics unless it ended with this exit code and said all of this on stderr.
    #[track_caller]
    pub fn failed(&self, code: i32, said: &[&str]) {
        assert_eq!(self.code, code, "{self}");
        for said in said {
            assert!(self.stderr.contains(said), "`{said}` is not in: {self}");
        }
    }
}

impl std::fmt::Display for Run {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { command, code, stdout, stderr } = self;
        write!(formatter, "`{command}` ended with {code}\nstdout: {stdout}\nstderr: {stderr}")
    }
}

/// Runs a command to its end; one that does not end is killed, and the test fails.
#[track_caller]
pub fn run(mut command: Command) -> Run {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let text: Vec<String> = words.map(|word| word.to_string_lossy().into_owned()).collect();
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let stdout = gather(child.stdout.take().unwrap());
    let stderr = gather(child.stderr.take().unwrap());
    let code = wait(&mut child, RUN_TIME_MAX);
    let run = Run {
        command: text.join(" "),
        code: code.unwrap_or(-1),
        stdout: stdout.join().unwrap(),
        stderr: stderr.join().unwrap(),
    };
    assert!(code.is_some(), "it did not end by itself within {RUN_TIME_MAX:?}: {run}");
    run
}

/// The exit code of a child; `None` if it had to be killed, or died of a signal.
fn wait(child: &mut Child, time: Duration) -> Option<i32> {
    let until = Instant::now() + time;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code();
        }
        if Instant::now() >= until {
            child.kill().unwrap();
            child.wait().unwrap();
            return None;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn gather(mut stream: impl Read + Send + 'static) -> std::thread::JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    })
}
