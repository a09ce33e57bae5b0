//! Read a job's outputs back without trusting the folder it wrote to.
//!
//! The job may have put symbolic links, pipes or huge files where its outputs should be. Each path is opened one name
//! at a time below the job's folder, following no link, and the file is handed over open: nothing can be swapped later.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags, fstat, openat};
use rustix::io::Errno;

use super::{JobSpec, is_plain};

/// One output, open for reading at its start.
#[derive(Debug)]
pub struct CollectedOutput {
    /// The path as the job's manifest names it.
    pub path: String,
    /// Where it lies, for messages. Read [`CollectedOutput::file`], which cannot be swapped.
    pub source: PathBuf,
    /// The open file.
    pub file: File,
    /// Its size in bytes when it was opened.
    pub bytes: u64,
}

/// Why an output was refused.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum OutputError {
    /// The job did not write it.
    #[error("the job left no output `{0}`")]
    Missing(String),
    /// The path leaves the job's folder, in its text or by a symbolic link.
    #[error("the output `{0}` leads out of the job's folder or through a symbolic link")]
    Outside(String),
    /// A folder, pipe, socket or device lies there.
    #[error("the output `{0}` is not a regular file")]
    NotRegular(String),
    /// It is larger than the manifest allows.
    #[error("the output `{path}` has {bytes} bytes, and the job may return {bytes_max}")]
    TooLarge {
        /// The output's path.
        path: String,
        /// Its size.
        bytes: u64,
        /// The most it may have.
        bytes_max: u64,
    },
    /// The file system refused.
    #[error("cannot read the output `{path}`: {reason}")]
    Unreadable {
        /// The output's path.
        path: String,
        /// What the system said.
        reason: String,
    },
}

/// Open every output of a job that has ended, in the order of its manifest. The first that is wrong is the error.
pub fn collect_outputs(spec: &JobSpec) -> Result<Vec<CollectedOutput>, OutputError> {
    spec.outputs.iter().map(|output| collect(&spec.directory, &output.path, output.bytes_max)).collect()
}

fn collect(directory: &Path, path: &str, bytes_max: u64) -> Result<CollectedOutput, OutputError> {
    if !is_plain(Path::new(path)) {
        return Err(OutputError::Outside(path.to_owned()));
    }
    let descriptor = open_below(directory, Path::new(path)).map_err(|errno| refusal(path, errno))?;
    let stat = fstat(&descriptor).map_err(|errno| refusal(path, errno))?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(OutputError::NotRegular(path.to_owned()));
    }
    let bytes = u64::try_from(stat.st_size).unwrap_or(u64::MAX);
    if bytes > bytes_max {
        return Err(OutputError::TooLarge { path: path.to_owned(), bytes, bytes_max });
    }
    let source = directory.join(path);
    Ok(CollectedOutput { path: path.to_owned(), source, file: File::from(descriptor), bytes })
}

fn open_below(directory: &Path, path: &Path) -> Result<OwnedFd, Errno> {
    let folder = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut place = rustix::fs::open(directory, folder, Mode::empty())?;
    let mut names = path.components().peekable();
    while let Some(name) = names.next() {
        // NONBLOCK, so that a pipe lying there is opened at once and refused, not waited for.
        let flags = match names.peek() {
            Some(_) => folder | OFlags::NOFOLLOW,
            None => OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC,
        };
        place = match openat(&place, name.as_os_str(), flags, Mode::empty()) {
            // A symbolic link where a folder is wanted gives ENOTDIR: tell it from a plain file on the way.
            Err(Errno::NOTDIR) if is_link(&place, name.as_os_str()) => return Err(Errno::LOOP),
            other => other?,
        };
    }
    Ok(place)
}

fn is_link(place: &OwnedFd, name: &std::ffi::OsStr) -> bool {
    rustix::fs::statat(place, name, rustix::fs::AtFlags::SYMLINK_NOFOLLOW)
        .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Symlink)
}

fn refusal(path: &str, errno: Errno) -> OutputError {
    let path = path.to_owned();
    match errno {
        Errno::NOENT | Errno::NOTDIR => OutputError::Missing(path),
        Errno::LOOP => OutputError::Outside(path),
        // A socket cannot be opened at all.
        Errno::NXIO | Errno::ISDIR => OutputError::NotRegular(path),
        other => OutputError::Unreadable { path, reason: std::io::Error::from(other).to_string() },
    }
}
