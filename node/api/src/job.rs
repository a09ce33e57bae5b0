//! What a job is: the manifest that a request or a lease names by hash, and the manifest of what the job left behind.
//!
//! Both have one encoding, a domain tag and canonical borsh, so that the hash of a manifest's bytes is the hash of its
//! meaning, and a file that happens to be sent as a blob is not read as a manifest. The command line makes them, the node
//! learns from them which blobs a lease names, and the provider agent runs and answers them.

mod path;
#[cfg(test)]
mod tests;

use borsh::{BorshDeserialize, BorshSerialize};
use hansa_ledger::id::BlobHash;
use serde::{Deserialize, Serialize};

pub use path::check_path;

/// The most bytes of an encoded manifest, of either kind.
pub const MANIFEST_BYTES_MAX: usize = 256 * 1_024;

/// The most words of a command.
pub const ARGUMENTS_MAX: usize = 1_024;

/// The most bytes of one word of a command.
pub const ARGUMENT_BYTES_MAX: usize = 16 * 1_024;

/// The most files a job may be given.
pub const FILES_MAX: usize = 256;

/// The most files a job may leave behind.
pub const OUTPUTS_MAX: usize = 64;

/// The most bytes of a path inside a job's folder.
pub const PATH_BYTES_MAX: usize = 512;

/// The least memory a job may ask for, in bytes: below it not even a shell starts.
pub const MEMORY_BYTES_MIN: u64 = 8 << 20;

/// Where the log of a job stands among its outputs, stdout and stderr as they came. Every job may leave one; none asks for it.
pub const LOG_PATH: &str = "hansa-job.log";

/// The most bytes of the log of a job.
pub const LOG_BYTES_MAX: u64 = 16 << 20;

/// Begins the bytes of a [`Manifest`].
const JOB_TAG: &[u8] = b"hansa/job/1\0";

/// Begins the bytes of an [`OutputManifest`].
const OUTPUT_TAG: &[u8] = b"hansa/job-output/1\0";

/// A job: a command, the files it is given, the files it should leave behind, and what it may use.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The program and its arguments. A relative path with a `/` names one of `files`, a bare name a program of the site.
    pub argv: Vec<String>,
    /// What is laid into the job's folder, sorted by path.
    #[serde(default)]
    pub files: Vec<JobFile>,
    /// What the job should leave behind, sorted by path.
    #[serde(default)]
    pub outputs: Vec<JobOutput>,
    /// What it may use.
    #[serde(default)]
    pub limits: JobLimits,
}

/// A file that a job is given.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobFile {
    /// Where it lies, relative to the job's folder.
    pub path: String,
    /// BLAKE3 of its content.
    pub hash: BlobHash,
    /// Its length in bytes.
    pub size: u64,
    /// Whether it may be run.
    #[serde(default)]
    pub executable: bool,
}

/// A file that a job should leave behind.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobOutput {
    /// Where it lies, relative to the job's folder.
    pub path: String,
    /// The most bytes it may have.
    pub bytes_max: u64,
}

/// What a job may use.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct JobLimits {
    /// Seconds it may run. The end of the lease ends it earlier.
    pub wall_s: u64,
    /// Memory in bytes, over all its processes.
    pub memory_bytes: u64,
    /// Bytes its folder may hold, inputs included.
    pub disk_bytes: u64,
    /// Processes and threads at one time.
    pub processes: u64,
}

/// A day, 4 GiB of memory, 16 GiB of disk, 1,024 processes.
impl Default for JobLimits {
    fn default() -> Self {
        Self { wall_s: 86_400, memory_bytes: 4 << 30, disk_bytes: 16 << 30, processes: 1_024 }
    }
}

/// What a job left behind.
#[derive(Clone, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutputManifest {
    /// Its files, sorted by path.
    pub files: Vec<OutputFile>,
}

/// A file that a job left behind.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutputFile {
    /// Where it lay, relative to the job's folder.
    pub path: String,
    /// BLAKE3 of its content.
    pub hash: BlobHash,
    /// Its length in bytes.
    pub size: u64,
}

/// Why bytes or a value are no manifest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// Not the canonical encoding of one manifest of this kind.
    #[error("the bytes are no manifest: {0}")]
    Malformed(&'static str),
    /// Longer than any manifest may be.
    #[error("the manifest has {bytes} bytes, and may have {MANIFEST_BYTES_MAX}")]
    TooLarge {
        /// Its length in bytes.
        bytes: usize,
    },
    /// A list has more entries than it may.
    #[error("the manifest lists {count} {what}, and may list {most}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many.
        count: usize,
        /// How many it may list.
        most: usize,
    },
    /// No program.
    #[error("the job names no program to run")]
    NoProgram,
    /// A word of the command that no program can be given.
    #[error("argument {0} of the job holds a zero byte or is longer than {ARGUMENT_BYTES_MAX} bytes")]
    Argument(usize),
    /// A path that leaves the job's folder or has more than one spelling.
    #[error("the path `{path}` is not one inside the job's folder: {reason}")]
    Path {
        /// The path as given.
        path: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Paths that are out of order or stand twice.
    #[error("the {what} are not sorted by path, or `{path}` stands twice")]
    Order {
        /// Which list.
        what: &'static str,
        /// The path in question.
        path: String,
    },
    /// A path that would have to be a file and a folder.
    #[error("`{path}` would have to be a file and a folder")]
    FileAndFolder {
        /// The path in question.
        path: String,
    },
    /// The program is a path that no file is laid at, or a file that may not be run.
    #[error("the program `{0}` is not one of the job's executable files")]
    ProgramMissing(String),
    /// A file or an output where the log stands.
    #[error("the path `{LOG_PATH}` is kept for the job's log")]
    LogPath,
    /// A limit that no job can run within.
    #[error("the limit {name} is {value}, and must be at least {least}")]
    Limit {
        /// Which limit.
        name: &'static str,
        /// Its value.
        value: u64,
        /// The least it may be.
        least: u64,
    },
    /// An output that the job was not asked for.
    #[error("the job was not asked for the output `{0}`")]
    OutputUnasked(String),
    /// An output that is larger than the job was allowed.
    #[error("the output `{path}` has {size} bytes, and may have {bytes_max}")]
    OutputTooLarge {
        /// Its path.
        path: String,
        /// Its length in bytes.
        size: u64,
        /// The most it may have.
        bytes_max: u64,
    },
    /// An output that the job was asked for and that is not there.
    #[error("the output `{0}` is missing")]
    OutputMissing(String),
}

impl Manifest {
    /// The manifest with its lists in canonical order, checked.
    ///
    /// # Errors
    /// As [`Manifest::check`].
    pub fn new(
        argv: Vec<String>,
        mut files: Vec<JobFile>,
        mut outputs: Vec<JobOutput>,
        limits: JobLimits,
    ) -> Result<Self, ManifestError> {
        files.sort_by(|one, other| one.path.cmp(&other.path));
        outputs.sort_by(|one, other| one.path.cmp(&other.path));
        let manifest = Self { argv, files, outputs, limits };
        manifest.check()?;
        Ok(manifest)
    }

    /// Refuses what no provider could run, and what is not in the one canonical form.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn check(&self) -> Result<(), ManifestError> {
        check_count("words of the command", self.argv.len(), ARGUMENTS_MAX)?;
        check_count("files", self.files.len(), FILES_MAX)?;
        check_count("outputs", self.outputs.len(), OUTPUTS_MAX)?;
        let program = self.argv.first().filter(|program| !program.is_empty());
        let program = program.ok_or(ManifestError::NoProgram)?;
        let sound = |word: &String| !word.contains('\0') && word.len() <= ARGUMENT_BYTES_MAX;
        if let Some(at) = self.argv.iter().position(|word| !sound(word)) {
            return Err(ManifestError::Argument(at));
        }
        path::check_list("files", self.files.iter().map(|file| file.path.as_str()))?;
        path::check_list("outputs", self.outputs.iter().map(|output| output.path.as_str()))?;
        let files = self.files.iter().map(|file| file.path.as_str());
        path::check_folders(files.chain(self.outputs.iter().map(|output| output.path.as_str())))?;
        if self.outputs.iter().any(|output| output.path == LOG_PATH) || self.file(LOG_PATH).is_some() {
            return Err(ManifestError::LogPath);
        }
        self.check_program(program)?;
        self.limits.check()?;
        check_length(encode(JOB_TAG, self).len())
    }

    /// The canonical bytes: what is stored as a blob.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        encode(JOB_TAG, self)
    }

    /// Reads one manifest from exactly these bytes, and checks it.
    ///
    /// # Errors
    /// [`ManifestError::Malformed`] when bytes are left over or the encoding is not the canonical one, else as
    /// [`Manifest::check`].
    pub fn decode(bytes: &[u8]) -> Result<Self, ManifestError> {
        let manifest: Self = decode(JOB_TAG, bytes)?;
        manifest.check()?;
        Ok(manifest)
    }

    /// The hash of the canonical bytes: what a request or a lease names.
    #[must_use]
    pub fn hash(&self) -> BlobHash {
        BlobHash(*blake3::hash(&self.encode()).as_bytes())
    }

    /// The file that is laid down at `path`.
    #[must_use]
    pub fn file(&self, path: &str) -> Option<&JobFile> {
        self.files.iter().find(|file| file.path == path)
    }

    /// A path given as program must be laid down and runnable. A bare name is looked up at the site, which only the
    /// provider can do.
    fn check_program(&self, program: &str) -> Result<(), ManifestError> {
        if !program.contains('/') || program.starts_with('/') {
            return Ok(());
        }
        let plain = program.strip_prefix("./").unwrap_or(program);
        match self.files.iter().any(|file| file.path == plain && file.executable) {
            true => Ok(()),
            false => Err(ManifestError::ProgramMissing(program.to_owned())),
        }
    }
}

impl JobLimits {
    fn check(&self) -> Result<(), ManifestError> {
        for (name, value, least) in [
            ("wall_s", self.wall_s, 1),
            ("memory_bytes", self.memory_bytes, MEMORY_BYTES_MIN),
            ("disk_bytes", self.disk_bytes, 1),
            ("processes", self.processes, 1),
        ] {
            if value < least {
                return Err(ManifestError::Limit { name, value, least });
            }
        }
        Ok(())
    }
}

impl OutputManifest {
    /// The manifest with its files in canonical order, checked.
    ///
    /// # Errors
    /// As [`OutputManifest::check`].
    pub fn new(mut files: Vec<OutputFile>) -> Result<Self, ManifestError> {
        files.sort_by(|one, other| one.path.cmp(&other.path));
        let manifest = Self { files };
        manifest.check()?;
        Ok(manifest)
    }

    /// Refuses what is not in the one canonical form.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn check(&self) -> Result<(), ManifestError> {
        check_count("outputs", self.files.len(), OUTPUTS_MAX)?;
        path::check_list("outputs", self.files.iter().map(|file| file.path.as_str()))?;
        path::check_folders(self.files.iter().map(|file| file.path.as_str()))
    }

    /// The canonical bytes: what is stored as a blob.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        encode(OUTPUT_TAG, self)
    }

    /// Reads one manifest from exactly these bytes, and checks it.
    ///
    /// # Errors
    /// As [`Manifest::decode`].
    pub fn decode(bytes: &[u8]) -> Result<Self, ManifestError> {
        let manifest: Self = decode(OUTPUT_TAG, bytes)?;
        manifest.check()?;
        Ok(manifest)
    }

    /// The hash of the canonical bytes: what the report of a job's end names.
    #[must_use]
    pub fn hash(&self) -> BlobHash {
        BlobHash(*blake3::hash(&self.encode()).as_bytes())
    }

    /// The job's log, if it left one.
    #[must_use]
    pub fn log(&self) -> Option<&OutputFile> {
        self.files.iter().find(|file| file.path == LOG_PATH)
    }

    /// Compares what was left behind with what was asked for: all of it, nothing else but the log, nothing too large.
    ///
    /// # Errors
    /// The first file that is missing, was not asked for, or is too large.
    pub fn answers(&self, job: &Manifest) -> Result<(), ManifestError> {
        for file in self.files.iter().filter(|file| file.path != LOG_PATH || file.size > LOG_BYTES_MAX) {
            let asked = job.outputs.iter().find(|output| output.path == file.path);
            let asked = asked.ok_or_else(|| ManifestError::OutputUnasked(file.path.clone()))?;
            if file.size > asked.bytes_max {
                let (path, size, bytes_max) = (file.path.clone(), file.size, asked.bytes_max);
                return Err(ManifestError::OutputTooLarge { path, size, bytes_max });
            }
        }
        let left = |path: &str| self.files.iter().any(|file| file.path == path);
        match job.outputs.iter().find(|output| !left(&output.path)) {
            Some(missing) => Err(ManifestError::OutputMissing(missing.path.clone())),
            None => Ok(()),
        }
    }
}

fn check_count(what: &'static str, count: usize, most: usize) -> Result<(), ManifestError> {
    if count > most { Err(ManifestError::TooMany { what, count, most }) } else { Ok(()) }
}

fn check_length(bytes: usize) -> Result<(), ManifestError> {
    if bytes > MANIFEST_BYTES_MAX { Err(ManifestError::TooLarge { bytes }) } else { Ok(()) }
}

fn encode(tag: &[u8], value: &impl BorshSerialize) -> Vec<u8> {
    let mut bytes = tag.to_vec();
    borsh::to_writer(&mut bytes, value).expect("encoding into memory cannot fail");
    bytes
}

fn decode<T: BorshSerialize + BorshDeserialize>(tag: &[u8], bytes: &[u8]) -> Result<T, ManifestError> {
    check_length(bytes.len())?;
    let body = bytes.strip_prefix(tag).ok_or(ManifestError::Malformed("they do not begin as one"))?;
    let value: T = borsh::from_slice(body).map_err(|_| {
        ManifestError::Malformed("they end early, go on after the end, or are not text where text stands")
    })?;
    if encode(tag, &value) != bytes {
        return Err(ManifestError::Malformed("the encoding is not the canonical one"));
    }
    Ok(value)
}
