//! What the system says: processor time and memory of processes, load, processors.

use crate::error::{TestnetError, file_error};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The kernel counts the time of processes in hundredths of a second, whatever its own clock does.
const TICKS_PER_SECOND: u64 = 100;

/// Processor time a process has used, user and system, of all its threads.
pub(crate) fn processor_time(pid: u32) -> Result<Duration, TestnetError> {
    let path = PathBuf::from(format!("/proc/{pid}/stat"));
    let text = std::fs::read_to_string(&path).map_err(file_error("read", &path))?;
    let ticks = ticks(&text)
        .ok_or_else(|| TestnetError::Broken(format!("`{}` is of no known form", path.display())))?;
    Ok(Duration::from_millis(ticks * 1_000 / TICKS_PER_SECOND))
}

/// User and system ticks. The program's name stands in brackets and may hold anything, so fields are counted after it.
fn ticks(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut fields = fields.split(' ').skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

/// Memory of a process that lies in the machine's, in MB.
pub(crate) fn resident_mb(pid: u32) -> Result<f64, TestnetError> {
    let path = PathBuf::from(format!("/proc/{pid}/status"));
    let text = std::fs::read_to_string(&path).map_err(file_error("read", &path))?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib: Option<f64> = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    let kib =
        kib.ok_or_else(|| TestnetError::Broken(format!("`{}` does not tell the memory", path.display())))?;
    Ok(kib * 1_024.0 / 1_000_000.0)
}

/// What a folder takes on the disk with all below it, in MB. What goes meanwhile is not counted.
pub(crate) fn folder_mb(folder: &Path) -> f64 {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0.0 };
    let size = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => folder_mb(&entry.path()),
        Ok(metadata) => metadata.blocks() as f64 * 512.0 / 1_000_000.0,
        Err(_) => 0.0,
    };
    entries.flatten().map(size).sum()
}

/// How many threads wanted a processor, on average over the last minute.
pub(crate) fn load_average() -> f64 {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().and_then(|load| load.parse().ok()).unwrap_or(f64::NAN)
}

/// Processors this program may use.
pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_line_is_read_behind_the_name() {
        let line = "42 (a) b (c) S 1 42 42 0 -1 4194560 1 2 3 4 1234 66 7 8 20 0 9 0 100 1 2";
        assert_eq!(ticks(line), Some(1_300));
        assert_eq!(ticks("42 (a"), None);
        let own = std::process::id();
        assert!(processor_time(own).unwrap() < Duration::from_secs(3_600) && resident_mb(own).unwrap() > 0.1);
        assert!(processor_time(u32::MAX).is_err() && cores() > 0 && load_average() >= 0.0);
    }
}
