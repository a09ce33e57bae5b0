//! A disk without space.

use super::load::Load;
use super::start::CODE;
use crate::testnet::{Testnet, tail};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The size of the small disk.
const DISK_BYTES: u64 = 160 << 20;

/// A disk in memory that is taken away again.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Mounts it.
    fn mount(at: &Path) -> std::io::Result<Self> {
        std::fs::create_dir_all(at).unwrap();
        let size = std::ffi::CString::new(format!("size={DISK_BYTES}")).unwrap();
        let flags = rustix::mount::MountFlags::empty();
        let mounted = rustix::mount::mount("hansa-it", at, "tmpfs", flags, Some(size.as_c_str()));
        mounted.map(|()| Self(at.to_owned())).map_err(Into::into)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = rustix::mount::unmount(&self.0, rustix::mount::UnmountFlags::DETACH);
    }
}

/// Below the least free space a node keeps nothing more, so it does not vote: it says so, and the others go on. Once there is
/// space it goes on where it was.
pub fn full(testnet: &Testnet) {
    let data = testnet.layout.folder().join(CODE).join("data");
    let kept = data.with_file_name("data-kept");
    testnet.kill(CODE);
    std::fs::rename(&data, &kept).unwrap();
    match SmallDisk::mount(&data) {
        Ok(disk) => {
            filled(testnet, &data);
            testnet.kill(CODE);
            drop(disk);
            std::fs::remove_dir(&data).unwrap();
            std::fs::rename(&kept, &data).unwrap();
        }
        Err(error) => {
            println!("no disk is filled, for this account may not mount a small one: {error}");
            std::fs::remove_dir(&data).unwrap();
            std::fs::rename(&kept, &data).unwrap();
            limited(testnet);
            testnet.kill(CODE);
        }
    }
    testnet.restart(CODE);
    testnet.agree(1);
}

/// From nothing, on the small disk, the node fetches the ledger from the others. Then the disk fills, and is emptied again.
fn filled(testnet: &Testnet, data: &Path) {
    testnet.restart(CODE);
    let filler = data.join("filler");
    std::fs::write(&filler, vec![0; usize::try_from(DISK_BYTES - (40 << 20)).unwrap()]).unwrap();
    let node = testnet.process(CODE);
    let load = refused(testnet);
    std::fs::remove_file(&filler).unwrap();
    // Caught before its vote the node waits for space; caught with a decided block in hand it has halted.
    if !node.is_alive() {
        testnet.restart(CODE);
    }
    load.go_on(5);
    load.stop();
}

/// The same with a limit that no disk meets.
fn limited(testnet: &Testnet) {
    let config = testnet.layout.folder().join(CODE).join("node.toml");
    let usual = std::fs::read_to_string(&config).unwrap();
    let greedy = usual.replace("disk_bytes_min = 67108864", "disk_bytes_min = 4611686018427387904");
    assert_ne!(usual, greedy);
    std::fs::write(&config, greedy).unwrap();
    let unready = testnet.try_restart(CODE).unwrap_err().to_string();
    assert!(unready.contains("the disk is low"), "{unready}");
    let load = refused(testnet);
    std::fs::write(&config, usual).unwrap();
    testnet.kill(CODE);
    testnet.restart(CODE);
    load.go_on(5);
    load.stop();
}

/// The node says that the disk is low, and keeps no block while the others go on.
fn refused(testnet: &Testnet) -> Load<'_> {
    let log = testnet.layout.log(CODE);
    let load = Load::start_without(testnet, CODE);
    load.go_on(10);
    testnet.until("it says that the disk is low", Duration::from_secs(20), || {
        std::fs::read_to_string(&log).unwrap().contains("the disk is low").then_some(())
    });
    let height = |code: &str| testnet.wait(testnet.client(code).status()).map(|status| status.height).ok();
    let before = height("FR");
    load.go_on(20);
    // A node that has halted answers nothing, which is below everything.
    assert!(height("FR") > before && height(CODE) <= before, "{CODE} keeps blocks on a full disk");
    // One that has halted is not ready either.
    let ready = testnet.wait(testnet.client(CODE).ready());
    let reason = ready.map(|health| (health.ok, health.reason.unwrap_or_default()));
    assert!(
        reason.as_ref().map_or(true, |(ok, reason)| !ok && reason.contains("the disk is low")),
        "{reason:?}"
    );
    let text = std::fs::read_to_string(&log).unwrap();
    assert!(!text.contains("panicked"), "{}", tail(&log));
    load
}
