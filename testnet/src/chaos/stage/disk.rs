//! A small disk under one node, that fills.

use super::{Done, Fault, Stage};
use crate::error::{TestnetError, file_error};
use hansa_ledger::member::MemberCode;
use std::path::{Path, PathBuf};

/// What the small disk has beyond what the node has kept, in bytes: above the least free space of a testnet's node.
const ROOM_BYTES: u64 = 160 << 20;

/// What is left when it is full: below that least free space.
const LEFT_BYTES: u64 = 24 << 20;

/// A disk in memory that is taken away again.
pub(super) struct SmallDisk {
    at: PathBuf,
}

impl SmallDisk {
    fn mount(at: &Path, bytes: u64) -> std::io::Result<Self> {
        let size = std::ffi::CString::new(format!("size={bytes}")).map_err(std::io::Error::other)?;
        let flags = rustix::mount::MountFlags::empty();
        rustix::mount::mount("hansa-chaos", at, "tmpfs", flags, Some(size.as_c_str()))?;
        Ok(Self { at: at.to_owned() })
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = rustix::mount::unmount(&self.at, rustix::mount::UnmountFlags::DETACH);
    }
}

impl Stage {
    /// Moves the node's data to a small disk and fills it while the node runs.
    pub(super) async fn fill_disk(&mut self, fault: &Fault) -> Result<Done, TestnetError> {
        let Some(code) = fault.members.first().copied() else { return Ok(Done::To(Vec::new())) };
        self.kill(&[code]).await?;
        let (data, kept) = self.places(code);
        std::fs::rename(&data, &kept).map_err(file_error("move", &data))?;
        std::fs::create_dir(&data).map_err(file_error("make", &data))?;
        let room = bytes_below(&kept).map_err(file_error("read", &kept))? + ROOM_BYTES;
        match SmallDisk::mount(&data, room) {
            Ok(disk) => {
                copy(&kept, &data).map_err(file_error("copy", &kept))?;
                self.disk = Some(disk);
                self.start(&[code])?;
                self.wait_ready(code).await?;
                let filler = vec![0; usize::try_from(ROOM_BYTES - LEFT_BYTES).unwrap_or(0)];
                // It may be the node that finds no room, or this.
                let _ = std::fs::write(data.join("filler"), filler);
                // A node that finds no room for a decided block ends by itself, as it should.
                self.layout.change_state(|state| {
                    self.full = state.processes.remove(code.as_str());
                })?;
                Ok(Done::To(vec![code]))
            }
            Err(error) => {
                std::fs::remove_dir(&data).map_err(file_error("remove", &data))?;
                std::fs::rename(&kept, &data).map_err(file_error("move", &kept))?;
                self.start(&[code])?;
                Ok(Done::Skipped(format!("this account may mount no small disk: {error}")))
            }
        }
    }

    /// Makes room, lets the node go on from there, and moves what it has then back.
    pub(super) async fn empty_disk(&mut self, fault: &Fault) -> Result<(), TestnetError> {
        let (Some(code), Some(disk)) = (fault.members.first().copied(), self.disk.take()) else {
            return Ok(());
        };
        let (data, kept) = self.places(code);
        let filler = data.join("filler");
        std::fs::remove_file(&filler).map_err(file_error("remove", &filler))?;
        if let Some(record) = self.full.take() {
            record.kill();
            record.ended_within(super::END_TIME_MAX).await;
        }
        self.start(&[code])?;
        self.wait_ready(code).await?;
        self.kill(&[code]).await?;
        // What it signed since stands on the small disk: the old data may never be used again.
        std::fs::remove_dir_all(&kept).map_err(file_error("remove", &kept))?;
        copy(&data, &kept).map_err(file_error("copy", &data))?;
        drop(disk);
        std::fs::remove_dir(&data).map_err(file_error("remove", &data))?;
        std::fs::rename(&kept, &data).map_err(file_error("move", &kept))?;
        self.start(&[code])
    }

    fn places(&self, code: MemberCode) -> (PathBuf, PathBuf) {
        (self.layout.member(code).join("data"), self.layout.member(code).join("data-kept"))
    }
}

fn bytes_below(folder: &Path) -> std::io::Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let kind = entry.metadata()?;
        bytes += if kind.is_dir() { bytes_below(&entry.path())? } else { kind.len() };
    }
    Ok(bytes)
}

/// Copies a folder and all in it.
pub(super) fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
