//! From what the user typed to a job's manifest, and its files to the home node.

use crate::error::{Failure, Outcome};
use crate::printer::Printer;
use crate::units::{Duration, Size};
use clap::Args;
use hansa_ledger::id::BlobHash;
use hansa_node_api::Account;
use hansa_node_api::client::blob::hash_file;
use hansa_node_api::job::{JobFile, JobLimits, JobOutput, Manifest, ManifestError};
use serde::{Deserialize, Deserializer};
use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// The most bytes of an output that names no limit.
const OUTPUT_BYTES_MAX_DEFAULT: u64 = 1 << 30;

/// A job as the user asks for it, on the command line or in a file.
#[derive(Clone, Debug, Default, Args, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[command(next_help_heading = "Job")]
pub struct JobWish {
    /// Program to run: a file of yours, which is sent along, or the bare name of a program of the site
    #[arg(long, value_name = "PROGRAM")]
    pub run: Option<String>,
    /// An argument of the program; repeat it for each
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub arg: Vec<String>,
    /// A file to send along: FILE, or FILE:PATH to lay it at PATH in the job's folder; repeat it for each
    #[arg(long, value_name = "FILE[:PATH]")]
    pub input: Vec<InputPath>,
    /// A file to bring back: PATH, or PATH:SIZE with the most it may have (1GiB if not said); repeat it for each
    #[arg(long, value_name = "PATH[:SIZE]")]
    pub output: Vec<OutputPath>,
    /// How long it may run; a day if not said
    #[arg(long, value_name = "TIME")]
    pub wall: Option<Duration>,
    /// Memory it may use; 4GiB if not said
    #[arg(long, value_name = "SIZE")]
    pub memory: Option<Size>,
    /// Disk it may use, inputs included; 16GiB if not said
    #[arg(long, value_name = "SIZE")]
    pub disk: Option<Size>,
    /// Processes and threads it may have; 1024 if not said
    #[arg(long, value_name = "COUNT")]
    pub processes: Option<u64>,
}

/// A file of the user, and where the job finds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputPath {
    /// Where it lies here.
    pub file: PathBuf,
    /// Where it lies in the job's folder.
    pub place: String,
}

/// A file that the job should leave behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputPath(pub JobOutput);

/// A job whose files are known and not yet sent.
#[derive(Clone, Debug)]
pub struct Draft {
    /// What will be named by hash.
    pub manifest: Manifest,
    files: Vec<(PathBuf, BlobHash)>,
}

impl FromStr for InputPath {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // A file whose own name has a colon is taken by its name.
        let split = if Path::new(text).exists() { None } else { text.rsplit_once(':') };
        let (file, place) = match split {
            Some((file, place)) => (file, place.to_owned()),
            None => (text, file_name(Path::new(text))?),
        };
        match file.is_empty() || place.is_empty() {
            true => Err(format!("`{text}` is no input; write FILE or FILE:PATH")),
            false => Ok(Self { file: PathBuf::from(file), place }),
        }
    }
}

impl FromStr for OutputPath {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (path, bytes_max) = match text.rsplit_once(':') {
            Some((path, size)) => (path, size.parse::<Size>()?.0),
            None => (text, OUTPUT_BYTES_MAX_DEFAULT),
        };
        hansa_node_api::job::check_path(path).map_err(|error| error.to_string())?;
        Ok(Self(JobOutput { path: path.to_owned(), bytes_max }))
    }
}

impl<'de> Deserialize<'de> for InputPath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl<'de> Deserialize<'de> for OutputPath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl JobWish {
    /// Takes the paths as relative to `folder`, where the file stands that names them.
    pub fn move_to(&mut self, folder: &Path) {
        for input in &mut self.input {
            input.file = folder.join(&input.file);
        }
        let program = self.run.as_ref().map(|run| folder.join(run)).filter(|program| program.is_file());
        if let Some(program) = program {
            self.run = Some(program.display().to_string());
        }
    }

    /// The manifest, with every file hashed; none if there is no program. A wall time that is not said is `wall_s`.
    ///
    /// # Errors
    /// When a file cannot be read or the job breaks a rule.
    pub async fn draft(&self, wall_s: Option<u64>) -> Outcome<Option<Draft>> {
        let Some(run) = &self.run else {
            let idle = self.arg.is_empty() && self.input.is_empty() && self.output.is_empty();
            return match idle {
                true => Ok(None),
                false => Err(Failure::refused("arguments or files are given, and no program to run")
                    .hint("give `--run PROGRAM`")),
            };
        };
        let mut files = Vec::new();
        let mut sources = Vec::new();
        for input in &self.input {
            let file = job_file(&input.file, &input.place, false).await?;
            sources.push((input.file.clone(), file.hash));
            files.push(file);
        }
        let program = match Path::new(run).is_file() {
            true => {
                let place = file_name(Path::new(run)).map_err(Failure::refused)?;
                let file = job_file(Path::new(run), &place, true).await?;
                sources.push((PathBuf::from(run), file.hash));
                files.retain(|one: &JobFile| one.path != place);
                files.push(file);
                format!("./{place}")
            }
            false if run.contains('/') && !files.iter().any(|file| laid_at(file, run)) => {
                return Err(Failure::refused(format!(
                    "there is no program `{run}` here, and no input is laid there"
                ))
                .hint("give the path of a file of yours, or the bare name of a program of the site"));
            }
            false => {
                // A program that is laid down as an input is meant to be run.
                files.iter_mut().filter(|file| laid_at(file, run)).for_each(|file| file.executable = true);
                run.clone()
            }
        };
        let argv = std::iter::once(program).chain(self.arg.iter().cloned()).collect();
        let outputs = self.output.iter().map(|output| output.0.clone()).collect();
        let manifest = Manifest::new(argv, files, outputs, self.limits(wall_s))?;
        Ok(Some(Draft { manifest, files: sources }))
    }

    fn limits(&self, wall_s: Option<u64>) -> JobLimits {
        let usual = JobLimits::default();
        JobLimits {
            wall_s: self.wall.map(|wall| wall.slots(1)).or(wall_s).unwrap_or(usual.wall_s),
            memory_bytes: self.memory.map_or(usual.memory_bytes, |size| size.0),
            disk_bytes: self.disk.map_or(usual.disk_bytes, |size| size.0),
            processes: self.processes.unwrap_or(usual.processes),
        }
    }
}

impl Draft {
    /// Sends every file and then the manifest to the home node, and gives the manifest's hash.
    ///
    /// # Errors
    /// When the node refuses one, or a file has changed since it was hashed.
    pub async fn upload(&self, account: &Account, printer: Printer) -> Outcome<BlobHash> {
        let mut sent = BTreeSet::new();
        for (path, hash) in &self.files {
            if !sent.insert(*hash) {
                continue;
            }
            let size = self.manifest.files.iter().find(|file| file.hash == *hash).map_or(0, |file| file.size);
            let progress = printer.transfer(&format!("sending {}", path.display()), size);
            let told = progress.clone();
            let (chain, key) = (account.chain, &account.key);
            let outcome = account.client.put_blob(chain, key, path, move |done, _| told.moved(done)).await;
            progress.finish();
            if outcome?.hash != *hash {
                return Err(Failure::refused(format!("`{}` changed while it was sent", path.display()))
                    .hint("try again when nothing writes to it"));
            }
        }
        let manifest = self.manifest.encode();
        Ok(account.client.put_blob_bytes(account.chain, &account.key, manifest).await?.hash)
    }
}

impl From<ManifestError> for Failure {
    fn from(error: ManifestError) -> Self {
        Self::refused(error.to_string())
    }
}

fn laid_at(file: &JobFile, path: &str) -> bool {
    file.path == path.strip_prefix("./").unwrap_or(path)
}

fn file_name(path: &Path) -> Result<String, String> {
    let name = path.file_name().and_then(|name| name.to_str());
    name.map(str::to_owned).ok_or_else(|| format!("`{}` has no file name that is text", path.display()))
}

async fn job_file(path: &Path, place: &str, program: bool) -> Outcome<JobFile> {
    let info = hash_file(path).await?;
    let mode = path.metadata().map_or(0, |metadata| metadata.permissions().mode());
    let executable = program || mode & 0o111 != 0;
    Ok(JobFile { path: place.to_owned(), hash: info.hash, size: info.bytes, executable })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs_and_outputs_are_read_with_their_places_and_sizes() {
        for (text, expected) in [
            ("data/a.csv", Some(("data/a.csv", "a.csv"))),
            ("a.csv:in/b.csv", Some(("a.csv", "in/b.csv"))),
            ("", None),
            (":b", None),
            ("a:", None),
            ("..", None),
        ] {
            let read = text.parse::<InputPath>().ok();
            let expected = expected.map(|(file, place)| InputPath { file: file.into(), place: place.into() });
            assert_eq!(read, expected, "{text:?}");
        }
        for (text, expected) in [
            ("w.bin", Some(("w.bin", 1 << 30))),
            ("out/w.bin:5MiB", Some(("out/w.bin", 5 << 20))),
            ("w.bin:much", None),
            ("/w.bin", None),
            ("../w.bin:1", None),
        ] {
            let read = text.parse::<OutputPath>().ok().map(|output| (output.0.path, output.0.bytes_max));
            assert_eq!(read, expected.map(|(path, size)| (path.to_owned(), size)), "{text:?}");
        }
    }

    #[tokio::test]
    async fn a_job_is_drafted_from_files_here_and_programs_there() {
        let folder = tempfile::tempdir().unwrap();
        let (program, data) = (folder.path().join("train.sh"), folder.path().join("data.csv"));
        std::fs::write(&program, "#!/bin/sh\n").unwrap();
        std::fs::write(&data, "1,2\n").unwrap();
        let mut wish = JobWish {
            run: Some("train.sh".into()),
            arg: vec!["--fast".into()],
            input: vec!["data.csv:in/data.csv".parse().unwrap()],
            output: vec!["w.bin:9".parse().unwrap()],
            memory: Some(Size(64 << 20)),
            ..JobWish::default()
        };
        wish.move_to(folder.path());
        let draft = wish.draft(Some(77)).await.unwrap().unwrap();
        let manifest = &draft.manifest;
        assert_eq!(manifest.argv, ["./train.sh", "--fast"]);
        let files: Vec<_> =
            manifest.files.iter().map(|one| (one.path.as_str(), one.size, one.executable)).collect();
        assert_eq!(files, [("in/data.csv", 4, false), ("train.sh", 10, true)]);
        assert_eq!((manifest.limits.wall_s, manifest.limits.memory_bytes), (77, 64 << 20));
        assert_eq!(draft.files.len(), 2);

        let there = JobWish { run: Some("python3".into()), ..JobWish::default() };
        assert_eq!(there.draft(None).await.unwrap().unwrap().manifest.argv, ["python3"]);
        let nowhere = JobWish { run: Some("./nothing".into()), ..JobWish::default() };
        assert!(nowhere.draft(None).await.unwrap_err().message.contains("there is no program `./nothing`"));
        assert!(JobWish::default().draft(None).await.unwrap().is_none());
        let aimless = JobWish { arg: vec!["x".into()], ..JobWish::default() };
        assert!(aimless.draft(None).await.is_err());
    }
}
