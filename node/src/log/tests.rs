//! What the store keeps, what it refuses, and what is left after a restart.

use super::*;

const LOG: LogKey = ([1; 32], 0);
const OTHER: LogKey = ([1; 32], 1);
const OWNER: [u8; 32] = [9; 32];

struct Ground {
    folder: tempfile::TempDir,
    config: LogStoreConfig,
}

impl Ground {
    fn new(change: impl FnOnce(&mut LogStoreConfig)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut config = LogStoreConfig::new(&folder.path().join("logs"), 0);
        change(&mut config);
        Self { folder, config }
    }

    fn open(&self) -> LogStore {
        LogStore::new(self.config.clone())
    }

    fn files(&self) -> usize {
        std::fs::read_dir(&self.config.folder).unwrap().count()
    }
}

fn piece(key: LogKey, offset: u64, bytes: &[u8], ended: bool) -> LogAppend {
    LogAppend { key, owner: OWNER, offset, bytes: bytes.to_vec(), ended, now_ms: offset }
}

fn held(next_offset: u64, open: bool) -> Result<LogHeld, LogRefusal> {
    Ok(LogHeld { next_offset, open })
}

/// What is read from the beginning: text, complete, cut.
async fn text(store: &LogStore, key: LogKey) -> (String, bool, bool) {
    let read = store.read(key, 0, 1 << 20).await;
    (String::from_utf8(read.bytes).unwrap(), read.complete, read.cut)
}

#[tokio::test]
async fn pieces_follow_one_another_and_come_twice_without_harm() {
    let ground = Ground::new(|_| ());
    let store = ground.open();
    let append = async |offset, bytes: &[u8], ended| store.append(piece(LOG, offset, bytes, ended)).await;
    assert_eq!(append(0, b"", false).await, held(0, true), "a question makes no log");
    assert_eq!(append(3, b"late", false).await, held(0, true), "nor does a piece from the middle");
    assert_eq!((store.leases().len(), ground.files()), (0, 0));
    assert_eq!(append(0, b"one\n", false).await, held(4, true));
    assert_eq!(append(0, b"one\n", false).await, held(4, true));
    assert_eq!(append(2, b"e\ntwo", false).await, held(4, true), "an overlap is not taken either");
    assert_eq!(append(9, b"gap", false).await, held(4, true));
    assert_eq!(append(4, b"", false).await, held(4, true));
    assert_eq!(text(&store, LOG).await, ("one\n".to_owned(), false, false));
    assert_eq!(append(4, b"two\n", true).await, held(8, false));
    assert_eq!(append(4, b"two\n", true).await, held(8, false));
    assert_eq!(append(0, b"", false).await, held(8, false));
    assert_eq!(append(8, b"more", false).await, Err(LogRefusal::Ended));
    assert_eq!(text(&store, LOG).await, ("one\ntwo\n".to_owned(), true, false));

    let read = async |offset, most| store.read(LOG, offset, most).await;
    let part = |bytes: &[u8], complete| LogRead { bytes: bytes.to_vec(), complete, cut: false };
    assert_eq!(read(4, 2).await, part(b"tw", false));
    assert_eq!(read(6, 2).await, part(b"o\n", true));
    assert_eq!(read(8, 2).await, part(b"", true));
    assert_eq!(read(u64::MAX, 2).await, part(b"", true));
    assert_eq!(store.read(OTHER, 0, 2).await, part(b"", false));
    // A job that wrote nothing has a log that has ended.
    assert_eq!(store.append(piece(OTHER, 0, b"", true)).await, held(0, false));
    assert_eq!(text(&store, OTHER).await, (String::new(), true, false));
}

#[tokio::test]
async fn a_restart_goes_on_with_what_is_on_disk() {
    let ground = Ground::new(|config| config.log_bytes_max = 10);
    let store = ground.open();
    for (key, bytes, ended) in [(LOG, b"half".as_slice(), false), (OTHER, b"over", true)] {
        store.append(piece(key, 0, bytes, ended)).await.unwrap();
    }
    let cut: LogKey = ([3; 32], u32::MAX);
    assert_eq!(store.append(piece(cut, 0, b"more than ten", false)).await, held(10, false));
    drop(store);
    // What a crash or somebody else left there.
    for (name, bytes) in [("note", b"?".as_slice()), (&format!("{}-7", hex::encode([4; 32])), b"hansa job")] {
        std::fs::write(ground.config.folder.join(name), bytes).unwrap();
    }
    let store = ground.open();
    assert_eq!(ground.files(), 3);
    assert_eq!(store.append(piece(OTHER, 4, b"!", false)).await, Err(LogRefusal::Ended));
    assert_eq!(store.append(piece(LOG, 0, b"", false)).await, held(4, true));
    assert_eq!(store.append(piece(LOG, 4, b" more", true)).await, held(9, false));
    assert_eq!(text(&store, LOG).await, ("half more".to_owned(), true, false));
    assert_eq!(text(&store, cut).await, ("more than ".to_owned(), false, true));
    // A power cut that took the end of a file: the provider is asked for it again.
    let file = ground.config.folder.join(format!("{}-2", hex::encode([1; 32])));
    store.append(piece(([1; 32], 2), 0, b"12345678", false)).await.unwrap();
    drop(store);
    let opened = std::fs::File::options().write(true).open(file).unwrap();
    opened.set_len(opened.metadata().unwrap().len() - 3).unwrap();
    let store = ground.open();
    assert_eq!(store.append(piece(([1; 32], 2), 8, b"9", false)).await, held(5, true));
}

#[tokio::test]
async fn every_bound_holds_and_what_has_ended_makes_room() {
    let ground = Ground::new(|config| {
        (config.log_bytes_max, config.owner_bytes_max, config.bytes_max, config.logs_max) =
            (100, 150, 250, 5);
    });
    let store = ground.open();
    let key = |number| ([number; 32], 0);
    let put = async |number: u8, owner: u8, bytes: usize, ended| {
        let append = LogAppend { owner: [owner; 32], ..piece(key(number), 0, &vec![b'x'; bytes], ended) };
        store.append(LogAppend { now_ms: number.into(), ..append }).await
    };
    // Of one log.
    assert_eq!(put(1, 1, 101, false).await, held(100, false));
    assert_eq!(store.append(piece(key(1), 100, b"y", true)).await, held(100, false), "nothing more of it");
    assert!(store.read(key(1), 0, 200).await.cut);
    // Of one owner: what is cut or has ended goes for what comes, the oldest first, and nothing of others.
    assert_eq!(put(2, 2, 90, true).await, held(90, false));
    assert_eq!(put(3, 1, 60, true).await, held(60, false));
    assert!(store.read(key(1), 0, 200).await.bytes.is_empty());
    assert_eq!(put(4, 1, 70, false).await, held(70, true));
    assert_eq!(
        put(5, 1, 100, false).await,
        held(80, false),
        "the third went, and the rest is cut: the fourth lives"
    );
    assert_eq!(store.read(key(2), 0, 200).await.bytes.len(), 90);
    // In all: 240 of 250 are held.
    assert_eq!(put(6, 3, 50, false).await, held(50, true), "the second, which had ended, went");
    assert_eq!(store.leases(), [[4; 32], [5; 32], [6; 32]].into());
    // By number.
    for number in 7..=8 {
        assert_eq!(put(number, number, 1, false).await, held(1, true));
    }
    assert_eq!(put(9, 9, 1, false).await, held(1, true), "the fifth, which was cut, went");
    assert_eq!(put(10, 10, 1, false).await, Err(LogRefusal::StorageFailed), "all others live");
    assert_eq!((store.leases().len(), ground.files()), (5, 5));
    // With the lease.
    assert_eq!(store.sweep(&|lease| lease[0] > 7), 3);
    assert_eq!((store.leases(), ground.files()), ([[8; 32], [9; 32]].into(), 2));
}

#[tokio::test]
async fn a_disk_that_takes_nothing_is_an_answer() {
    let ground = Ground::new(|config| config.disk_bytes_min = u64::MAX / 2);
    let store = ground.open();
    assert_eq!(store.append(piece(LOG, 0, b"x", false)).await, Err(LogRefusal::StorageFailed));
    assert_eq!((store.leases().len(), ground.files()), (0, 0));

    let ground = Ground::new(|_| ());
    let store = ground.open();
    store.append(piece(LOG, 0, b"one", false)).await.unwrap();
    std::fs::remove_dir_all(&ground.config.folder).unwrap();
    assert_eq!(store.append(piece(OTHER, 0, b"x", false)).await, Err(LogRefusal::StorageFailed));
    assert_eq!(store.append(piece(LOG, 3, b"x", false)).await, Err(LogRefusal::StorageFailed));
    assert_eq!(store.read(LOG, 0, 10).await, LogRead::default());
    // When there is a disk again, the next log is kept.
    std::fs::create_dir(&ground.config.folder).unwrap();
    assert_eq!(store.append(piece(OTHER, 0, b"x", false)).await, held(1, true));

    // A folder that is a file: the node has a store all the same.
    let place = ground.folder.path().join("file");
    std::fs::write(&place, "").unwrap();
    let store = LogStore::new(LogStoreConfig { folder: place, ..ground.config.clone() });
    assert_eq!(store.append(piece(LOG, 0, b"x", false)).await, Err(LogRefusal::StorageFailed));
}

#[tokio::test]
async fn who_waits_for_a_log_is_told_of_it_and_of_no_other() {
    let ground = Ground::new(|_| ());
    let store = ground.open();
    let (mut mine, other) = (store.changes(LOG), store.changes(OTHER));
    store.append(piece(LOG, 0, b"x", false)).await.unwrap();
    mine.changed().await.unwrap();
    assert!(!mine.has_changed().unwrap() && !other.has_changed().unwrap());
    store.append(piece(LOG, 0, b"x", false)).await.unwrap();
    assert!(!mine.has_changed().unwrap(), "a piece that comes twice is no news");
    store.append(piece(LOG, 1, b"", true)).await.unwrap();
    mine.changed().await.unwrap();
    drop((mine, other));
    drop(store.changes(LOG));
    assert_eq!(store.inner.listeners.lock().unwrap().len(), 1, "nobody is remembered who has gone");
}
