//! Processes killed and power cut while they write: what was acknowledged is there.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

const WRITER: &str = env!("CARGO_BIN_EXE_store-crash-writer");
const CAPABILITY_SYS_ADMIN: u64 = 1 << 21;

fn start_writer(place: &Path, kib: usize, acknowledgements: &Path) -> Child {
    let mut writer = Command::new(WRITER);
    writer.arg("write").arg(place).arg(kib.to_string()).arg(acknowledgements);
    writer.stdout(Stdio::null()).spawn().unwrap()
}

fn acknowledged(acknowledgements: &Path) -> u64 {
    let log = fs::read_to_string(acknowledgements).unwrap_or_default();
    log.lines().filter_map(|line| line.strip_prefix("height ")?.parse().ok()).max().unwrap_or(0)
}

/// Waits until the writer has got `heights` further and a number of microseconds more, then kills it: at any instant of a height.
fn kill_after(mut writer: Child, heights: u64, microseconds: u64, acknowledgements: &Path) {
    let target = acknowledged(acknowledgements) + heights;
    let deadline = Instant::now() + Duration::from_secs(120);
    while acknowledged(acknowledgements) < target {
        assert!(Instant::now() < deadline, "the writer does not get on");
        assert!(writer.try_wait().unwrap().is_none(), "the writer ended by itself");
        thread::sleep(Duration::from_millis(2));
    }
    thread::sleep(Duration::from_micros(microseconds));
    writer.kill().unwrap();
    writer.wait().unwrap();
}

fn check(place: &Path, kib: usize, acknowledgements: &Path) {
    let mut checker = Command::new(WRITER);
    checker.arg("check").arg(place).arg(kib.to_string()).arg(acknowledgements);
    let output = checker.output().unwrap();
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{kib} KiB, acknowledged {}: {words}", acknowledged(acknowledgements));
    println!("{kib} KiB: {}", String::from_utf8_lossy(&output.stdout).trim());
}

#[test]
fn a_killed_process_loses_nothing_it_acknowledged() {
    let directory = tempfile::tempdir().unwrap();
    let (place, log) = (directory.path().join("store"), directory.path().join("acknowledgements"));
    let rounds = number("HANSA_KILLS", 5);
    for round in 0..rounds {
        kill_after(start_writer(&place, 30, &log), 7 + 5 * (round % 5), round * 6_151 % 20_000, &log);
        check(&place, 30, &log);
    }
    println!("figure: {rounds} writers killed, {} heights acknowledged, 0 lost", acknowledged(&log));
}

/// What a long run asks for, or what every test run does.
fn number(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).map_or(otherwise, |text| text.parse().expect("the variable is a number"))
}

/// A file system on a loop image; unmounted when dropped.
struct Mount(PathBuf);

impl Mount {
    fn new(image: &Path, place: PathBuf, options: &str) -> Result<Self, String> {
        fs::create_dir_all(&place).unwrap();
        run(Command::new("mount").arg("-o").arg(options).arg(image).arg(&place))?;
        Ok(Self(place))
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        if let Err(error) = run(Command::new("umount").arg(&self.0)) {
            eprintln!("{error}");
        }
    }
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr).trim()))
}

fn new_image(directory: &Path) -> Result<PathBuf, String> {
    let image = directory.join("image");
    fs::File::create(&image).and_then(|file| file.set_len(1 << 30)).unwrap();
    run(Command::new("mkfs.ext4").arg("-q").arg("-F").arg(&image))?;
    Ok(image)
}

/// What keeps this process from mounting loop images, if anything does. Not a guess from the failed mount, but looked up.
fn obstacle() -> Option<String> {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let capabilities = status.lines().find_map(|line| line.strip_prefix("CapEff:")).unwrap().trim();
    if u64::from_str_radix(capabilities, 16).unwrap() & CAPABILITY_SYS_ADMIN == 0 {
        return Some(format!("user {} may not mount", rustix::process::geteuid().as_raw()));
    }
    if !Path::new("/dev/loop-control").exists() {
        return Some("there are no loop devices".into());
    }
    let tools = ["mkfs.ext4", "mount", "umount"];
    let missing = tools.iter().find(|tool| Command::new(tool).arg("-V").output().is_err());
    missing.map(|tool| format!("`{tool}` is not installed"))
}

#[test]
fn a_power_cut_loses_nothing_that_was_acknowledged() {
    // Of every eight: bodies of 30 and 300 KiB three times each, those of 4 KiB and of 1 MiB once.
    let cuts = number("HANSA_POWER_CUTS", 8);
    let mut heights = 0;
    for (number, kib) in (0..cuts).zip([30, 300, 4, 30, 300, 1024, 30, 300].into_iter().cycle()) {
        let directory = tempfile::tempdir().unwrap();
        // With `commit=300` the journal of the file system does not come to the rescue during the test.
        let mounted = new_image(directory.path()).and_then(|image| {
            Ok((Mount::new(&image, directory.path().join("a"), "loop,commit=300")?, image))
        });
        let (mount, image) = match mounted {
            Ok(mounted) => mounted,
            Err(error) => {
                let obstacle = obstacle();
                println!("power cuts cannot be tried here: {obstacle:?} ({error})");
                assert!(obstacle.is_some(), "nothing stands in the way of mounting, and yet: {error}");
                return;
            }
        };
        let (place, log) = (mount.0.join("store"), directory.path().join("acknowledgements"));
        kill_after(start_writer(&place, kib, &log), 5 + number * 37 % 60, number * 6_151 % 20_000, &log);
        // Dirty pages of the inner file system never reached the image, so a copy of it is what a power cut leaves.
        let copy = directory.path().join("copy");
        run(Command::new("cp").arg("--sparse=always").arg(&image).arg(&copy)).unwrap();
        let after = Mount::new(&copy, directory.path().join("b"), "loop").unwrap();
        check(&after.0.join("store"), kib, &log);
        heights += acknowledged(&log);
    }
    println!("figure: {cuts} power cuts, {heights} heights acknowledged, 0 lost");
}
