//! Damage, loss and misuse of the data directory: refused, never wrong.

mod common;

use std::{
    fs::{self, File},
    io::{BufRead, BufReader},
    os::unix::fs::FileExt,
    path::Path,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use common::{
    assert_decided, body, certificate, checkpoint, commit, create, expected_rows, hash, open, put, record,
    rows,
};
use hansa_ledger_store::{LedgerStore, OpenOptions, SledStore, StoreError, quarantine, witness_tip};

const HEIGHTS: u64 = 12;
const KIB: usize = 30;
const LOCK_PATIENCE: Duration = Duration::from_secs(10);
const LOCK_PAUSE: Duration = Duration::from_millis(5);

fn filled(place: &Path) {
    let store = create(place);
    for height in 1..=HEIGHTS {
        put(&store, height, KIB).unwrap();
        commit(&store, height).unwrap();
    }
    store.checkpoint(&checkpoint(HEIGHTS)).unwrap();
    put(&store, HEIGHTS + 1, KIB).unwrap();
}

/// The database as sled sees it. A store that was just closed gives its lock back when its last writing thread ends, which
/// nobody waits for: until then opening it again is tried again.
fn raw(database: &Path) -> sled::Db {
    let config = sled::Config::new().path(database).segment_size(1 << 24);
    let deadline = Instant::now() + LOCK_PATIENCE;
    loop {
        match config.open() {
            Err(error)
                if error.to_string().contains("could not acquire lock") && Instant::now() < deadline =>
            {
                thread::sleep(LOCK_PAUSE)
            }
            opened => return opened.unwrap(),
        }
    }
}

fn copy_directory(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy_directory(&path, &target)
        } else {
            fs::copy(&path, &target).map(|_| ()).unwrap()
        }
    }
}

/// Opens a store that was tampered with and reads everything: each answer is right, or an error.
fn refused_or_right(place: &Path, context: &str) -> bool {
    let store = match open(place) {
        Ok(store) => store,
        Err(error) => {
            assert!(error.forbids_voting(), "{context}: {error:?}");
            return true;
        }
    };
    let tip = store.tip().unwrap();
    assert_eq!(tip.map(|tip| tip.height), Some(HEIGHTS), "{context}: it opened with another tip");
    let mut refused = false;
    let mut see = |error: StoreError| {
        assert!(error.forbids_voting(), "{context}: {error:?}");
        refused = true;
    };
    for height in 1..=HEIGHTS {
        match store.decided(height) {
            Ok(decided) => {
                let decided =
                    decided.unwrap_or_else(|| panic!("{context}: height {height} is silently missing"));
                assert!(
                    decided.block == hash("block", height) && decided.root == hash("root", height),
                    "{context}"
                );
                assert!(decided.body == body(height, KIB), "{context}: wrong body of height {height}");
                assert!(
                    decided.certificate == certificate(height),
                    "{context}: wrong certificate of height {height}"
                );
            }
            Err(error) => see(error),
        }
    }
    match rows(&store) {
        Ok(rows) => assert_eq!(rows, expected_rows(HEIGHTS), "{context}"),
        Err(error) => see(error),
    }
    match store.undecided(HEIGHTS + 1, 0) {
        // The last write has nothing after it that would miss it; the engine's own log knows of it.
        Ok(records) => assert!(records.is_empty() || records == [record(HEIGHTS + 1)], "{context}"),
        Err(error) => see(error),
    }
    refused
}

#[test]
fn flipped_and_cut_databases_are_refused_or_right() {
    let directory = tempfile::tempdir().unwrap();
    let template = directory.path().join("template");
    filled(&template);
    assert!(!refused_or_right(&template, "untouched"));
    let database = Path::new("sled").join("db");
    let bytes = fs::read(template.join(&database)).unwrap();
    let end = bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    let count: usize =
        std::env::var("HANSA_DAMAGES").map_or(48, |text| text.parse().expect("HANSA_DAMAGES is a number"));
    let mut refused = 0;
    for number in 0..count {
        let place = directory.path().join("copy");
        copy_directory(&template, &place);
        let file = File::options().write(true).open(place.join(&database)).unwrap();
        // A fixed walk over the used part of the file, and a cut at every fourth step.
        let offset = (number * end / count + (number * 7919) % 97) % end;
        let context = if number % 4 == 3 {
            file.set_len(offset as u64).unwrap();
            format!("cut at {offset} of {end}")
        } else {
            file.write_all_at(&[bytes[offset] ^ (1 << (number % 8))], offset as u64).unwrap();
            format!("bit flipped at {offset} of {end}")
        };
        refused += usize::from(refused_or_right(&place, &context));
        fs::remove_dir_all(&place).unwrap();
    }
    println!(
        "figure: {count} damaged databases, {refused} refused, the others gave the right answers, 0 served wrong"
    );
    assert!(refused * 2 >= count, "damage was noticed only {refused} times of {count}");
}

#[test]
fn values_changed_swapped_or_removed_behind_the_store_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let template = directory.path().join("template");
    filled(&template);
    let raw = |place: &Path| raw(&place.join("sled"));
    let keys: Vec<_> = raw(&template).iter().keys().map(Result::unwrap).collect();
    let undecided = |key: &[u8]| key[0] == b'u';
    // The bodies and the index of the last proposal are not needed by anything yet, so that it is missing is an answer.
    let spare: Vec<_> = keys.iter().filter(|key| matches!(key[0], b'b' | b'i')).collect();
    for (number, pair) in
        keys.windows(2).enumerate().filter(|(number, pair)| number % 5 == 0 || pair[0][0] == b'm')
    {
        for change in ["changed", "swapped", "removed"] {
            let place = directory.path().join("copy");
            copy_directory(&template, &place);
            let (first, second) = (&pair[0], &pair[1]);
            let database = raw(&place);
            let (mut value, other) =
                (database.get(first).unwrap().unwrap(), database.get(second).unwrap().unwrap());
            match change {
                "changed" => {
                    value[0] ^= 1;
                    database.insert(first, value).unwrap();
                }
                "swapped" => {
                    database.insert(first, other).unwrap();
                    database.insert(second, value).unwrap();
                }
                _ => drop(database.remove(first).unwrap()),
            }
            drop(database);
            let context = format!("{change}: {number} {}", String::from_utf8_lossy(first));
            let refused = refused_or_right(&place, &context);
            let excused = (change == "removed" && undecided(first)) || spare.contains(&first);
            assert!(refused || excused, "{context}");
            fs::remove_dir_all(&place).unwrap();
        }
    }
}

#[test]
fn damage_to_the_small_files_of_the_database_is_refused_or_right() {
    let directory = tempfile::tempdir().unwrap();
    let template = directory.path().join("template");
    filled(&template);
    drop(open(&template).unwrap());
    let names: Vec<_> =
        fs::read_dir(template.join("sled")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    let small = names.iter().filter(|name| *name != "db" && *name != "blobs");
    let mut tried = 0;
    for name in small {
        for change in ["flipped", "cut", "removed"] {
            let place = directory.path().join("copy");
            copy_directory(&template, &place);
            let path = place.join("sled").join(name);
            let mut bytes = fs::read(&path).unwrap();
            let middle = bytes.len() / 2;
            match change {
                "flipped" => bytes[middle] ^= 4,
                "cut" => bytes.truncate(middle),
                _ => fs::remove_file(&path).unwrap(),
            }
            if change != "removed" {
                fs::write(&path, bytes).unwrap();
            }
            refused_or_right(&place, &format!("{} {change}", name.display()));
            tried += 1;
            fs::remove_dir_all(&place).unwrap();
        }
    }
    assert!(tried >= 6, "the configuration and a snapshot were expected, {names:?} found");
}

#[test]
fn a_damaged_witness_slot_is_replaced_and_two_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let template = directory.path().join("template");
    filled(&template);
    for (slots, opens) in [(&[0_u64][..], true), (&[1], true), (&[0, 1], false)] {
        let place = directory.path().join("copy");
        copy_directory(&template, &place);
        let file = File::options().write(true).open(place.join("witness")).unwrap();
        for slot in slots {
            file.write_all_at(&[0xff; 3], slot * 4096 + 40).unwrap();
        }
        match open(&place) {
            Ok(store) => {
                assert!(opens, "slots {slots:?}");
                assert_decided(&store, HEIGHTS, KIB);
                drop(store);
                assert_eq!(
                    witness_tip(&place).unwrap().map(|tip| tip.height),
                    Some(HEIGHTS),
                    "slots {slots:?}"
                );
            }
            Err(error) => {
                assert!(!opens && matches!(error, StoreError::Doubt { .. }), "slots {slots:?}: {error:?}")
            }
        }
        fs::remove_dir_all(&place).unwrap();
    }
    for length in [0, 50, 4096 + 50] {
        let place = directory.path().join("copy");
        copy_directory(&template, &place);
        File::options().write(true).open(place.join("witness")).unwrap().set_len(length).unwrap();
        refused_or_right(&place, &format!("witness cut at {length}"));
        fs::remove_dir_all(&place).unwrap();
    }
}

#[test]
fn a_lost_old_or_foreign_database_is_doubted() {
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().join("store");
    let doubted = |what: &str| match open(&place) {
        Err(StoreError::Doubt { .. }) => {}
        Err(error) => panic!("{what}: {error:?}"),
        Ok(_) => panic!("{what}: it opened"),
    };
    doubted("no directory");
    filled(&place);
    let (sled, aside) = (place.join("sled"), directory.path().join("aside"));

    fs::rename(&sled, &aside).unwrap();
    doubted("the database is gone");
    assert!(!sled.exists(), "refusing must not make an empty database");

    drop(raw(&sled));
    doubted("the database is empty");
    fs::remove_dir_all(&sled).unwrap();

    let other = directory.path().join("other");
    drop(create(&other));
    fs::rename(other.join("sled"), &sled).unwrap();
    doubted("the database is a new one");
    fs::remove_dir_all(&sled).unwrap();

    copy_directory(&aside, &sled);
    let store = open(&place).unwrap();
    for height in [HEIGHTS + 1, HEIGHTS + 2] {
        put(&store, height, KIB).unwrap();
        commit(&store, height).unwrap();
    }
    drop(store);
    let newer = fs::read(place.join("witness")).unwrap();
    let newest = directory.path().join("newest");
    fs::rename(&sled, &newest).unwrap();
    copy_directory(&aside, &sled);
    doubted("the database is an old copy");

    fs::remove_dir_all(&sled).unwrap();
    fs::rename(&newest, &sled).unwrap();
    fs::remove_file(place.join("witness")).unwrap();
    doubted("the witness is gone");
    let again = SledStore::open(&place, OpenOptions { create_new: true, ..OpenOptions::default() });
    assert!(
        matches!(again, Err(StoreError::Doubt { .. })),
        "a full database without a witness is not a new store"
    );
    fs::write(place.join("witness"), newer).unwrap();
    assert_eq!(open(&place).unwrap().tip().unwrap().map(|tip| tip.height), Some(HEIGHTS + 2));
}

#[test]
fn another_root_at_the_witness_height_is_doubted() {
    let directory = tempfile::tempdir().unwrap();
    let (place, other) = (directory.path().join("store"), directory.path().join("other"));
    filled(&place);
    let store = create(&other);
    for height in 1..=HEIGHTS {
        put(&store, height, KIB).unwrap();
        let (block, root) = (hash("block", height), hash("another root", height));
        let commit = hansa_ledger_store::Commit { height, block, root, certificate: b"", checkpoint: None };
        store.commit(&commit).unwrap();
    }
    drop(store);
    fs::copy(other.join("witness"), place.join("witness")).unwrap();
    let error = open(&place).map(drop).expect_err("the roots differ");
    assert!(matches!(error, StoreError::Doubt { .. }), "{error:?}");
    let words = error.to_string();
    assert!(words.contains("refuse to vote") && words.contains("rebuild from peers"), "{words}");
}

#[test]
fn a_store_is_not_created_over_another() {
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().join("store");
    drop(create(&place));
    let again = SledStore::open(&place, OpenOptions { create_new: true, ..OpenOptions::default() }).map(drop);
    assert!(matches!(again, Err(StoreError::Doubt { .. })), "{again:?}");
    open(&place).unwrap();
}

#[test]
fn a_second_opener_is_locked_out_in_this_and_another_process() {
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().join("store");
    let store = create(&place);
    assert!(matches!(open(&place).map(drop), Err(StoreError::Locked { .. })));
    assert!(matches!(quarantine(&place), Err(StoreError::Locked { .. })));
    drop(store);
    let mut holder = Command::new(env!("CARGO_BIN_EXE_store-crash-writer"))
        .arg("hold")
        .arg(&place)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(holder.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "open\n");
    assert!(matches!(open(&place).map(drop), Err(StoreError::Locked { .. })));
    drop(holder.stdin.take());
    assert!(holder.wait().unwrap().success());
    open(&place).unwrap();
}

#[test]
fn a_low_disk_is_refused_on_the_real_file_system() {
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().join("store");
    drop(create(&place));
    let store =
        SledStore::open(&place, OpenOptions { bytes_free_min: u64::MAX, ..OpenOptions::default() }).unwrap();
    let refused = put(&store, 1, 1).expect_err("no disk has that much");
    assert!(matches!(refused, StoreError::DiskLow { bytes_free, .. } if bytes_free > 0), "{refused:?}");
    assert_eq!(store.body(&hash("block", 1)).unwrap(), None);
    drop(store);
    put(&open(&place).unwrap(), 1, 1).unwrap();
}

#[test]
fn a_quarantined_store_makes_room_and_keeps_its_witness() {
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().join("store");
    for number in 1..=2 {
        filled(&place);
        let moved = quarantine(&place).unwrap();
        assert_eq!(moved, directory.path().join(format!("store.damaged-{number}")));
        assert!(!place.exists());
        assert_eq!(witness_tip(&moved).unwrap().map(|tip| tip.height), Some(HEIGHTS));
    }
    assert_eq!(create(&place).tip().unwrap(), None);
}
