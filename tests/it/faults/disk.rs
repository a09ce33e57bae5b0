//! A disk without space.

use super::load::Load;
use super::start::{CODE, variant};
use crate::testnet::{Testnet, text};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The size of the small disk.
const DISK_BYTES: u64 = 160 << 20;

/// A disk in memory that is taken away again.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Mounts it; none where this account may not.
    fn mount(at: &Path) -> Option<Self> {
        std::fs::create_dir_all(at).unwrap();
        let size = std::ffi::CString::new(format!("size={DISK_BYTES}")).unwrap();
        let flags = rustix::mount::MountFlags::empty();
        let mounted = rustix::mount::mount("hansa-it", at, "tmpfs", flags, Some(size.as_c_str()));
        mounted.ok().map(|()| Self(at.to_owned()))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = rustix::mount::unmount(&self.0, rustix::mount::UnmountFlags::DETACH);
    }
}

/// Below the least free space a node writes nothing more: it says so, and the others go on. With space it goes on where it was.
pub fn full(testnet: &Testnet) {
    let home = testnet.home();
    let load = Load::start(testnet);
    load.go_on(5);
    testnet.kill(CODE);
    // No disk has as much room as this asks for.
    let greedy = variant(testnet, "greedy.toml", &[("disk_bytes_min = 67108864", "disk_bytes_min = 4611686018427387904")]);
    let refused = home.run(&["node", "run", "--config", text(&greedy)]);
    assert!(refused.code == 2 || refused.code == 3, "{refused}");
    refused.failed(refused.code, &["free"]);
    testnet.restart(CODE);
    load.go_on(5);
    load.stop();

    let data = testnet.layout.folder().join(CODE).join("data");
    let kept = data.with_file_name("data-kept");
    testnet.kill(CODE);
    std::fs::rename(&data, &kept).unwrap();
    let Some(disk) = SmallDisk::mount(&data) else {
        println!("this account may not mount a small disk; only the limit is tested");
        std::fs::remove_dir(&data).unwrap();
        std::fs::rename(&kept, &data).unwrap();
        testnet.restart(CODE);
        return;
    };
    // From nothing, on the small disk, it fetches the ledger from the others. Then the disk fills.
    testnet.restart(CODE);
    let filler = data.join("filler");
    std::fs::write(&filler, vec![0; usize::try_from(DISK_BYTES - (40 << 20)).unwrap()]).unwrap();
    let load = Load::start_without(testnet, CODE);
    let node = testnet.process(CODE);
    load.go_on(10);
    testnet.until("it stops writing", Duration::from_secs(20), || (!node.is_alive()).then_some(()));
    let log = std::fs::read_to_string(testnet.layout.log(CODE)).unwrap();
    let end = crate::testnet::tail(&testnet.layout.log(CODE));
    assert!(end.contains("free"), "it says why: {end}");
    assert!(!log.contains("panicked"), "{end}");
    load.go_on(10);
    std::fs::remove_file(&filler).unwrap();
    testnet.restart(CODE);
    load.go_on(5);
    load.stop();
    testnet.kill(CODE);
    drop(disk);
    std::fs::remove_dir(&data).unwrap();
    std::fs::rename(&kept, &data).unwrap();
    testnet.restart(CODE);
    testnet.agree(1);
}
