use super::*;
use hansa_node_api::peer::slice::PIECE_BYTES_MAX;
use std::collections::BTreeSet;

const OWNER: [u8; 32] = [1; 32];
const OTHER: [u8; 32] = [2; 32];
const GRACE_MS: u64 = 1_000;

fn config(folder: &Path) -> BlobStoreConfig {
    BlobStoreConfig {
        folder: folder.join("blobs"),
        blob_bytes_max: 3 << 20,
        owner_bytes_max: 4 << 20,
        grace_ms: GRACE_MS,
    }
}

fn content(length: usize, seed: u8) -> Vec<u8> {
    (0..length).map(|index| (index % 249) as u8 ^ seed).collect()
}

/// Every file below the store, without the index.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        if entry.path().is_dir() {
            found.extend(files(&entry.path()));
        } else if entry.file_name() != "index.json" {
            found.push(entry.path());
        }
    }
    found
}

async fn whole(store: &BlobStore, hash: &BlobHash) -> Result<Vec<u8>, BlobError> {
    let (mut file, size) = store.open(hash).await?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).await.unwrap();
    assert_eq!(bytes.len() as u64, size);
    Ok(bytes)
}

#[tokio::test]
async fn what_was_put_is_there_after_a_restart_and_cuts_into_proven_pieces() {
    let folder = tempfile::tempdir().unwrap();
    let store = BlobStore::new(config(folder.path())).unwrap();
    for size in [0, 1, 1_024, 1 << 20, (2 << 20) + 5] {
        let bytes = content(size, 0);
        let hash = *blake3::hash(&bytes).as_bytes();
        let owner = [size as u8 + 3; 32];
        let stored = store.put(owner, Some(hash), bytes.as_slice(), 0).await.unwrap();
        assert_eq!(stored, Stored { hash, size: size as u64 });
        let store = BlobStore::new(config(folder.path())).unwrap();
        assert_eq!(whole(&store, &hash).await.unwrap(), bytes);
        let mut rebuilt = Vec::new();
        while rebuilt.len() < size || size == 0 {
            let offset = rebuilt.len() as u64;
            let (total, piece) = store.slice(&hash, offset, PIECE_BYTES_MAX).await.unwrap();
            let piece = slice::verify(&hash, &piece, offset, PIECE_BYTES_MAX).unwrap();
            assert_eq!((total, piece.total), (size as u64, size as u64));
            rebuilt.extend(piece.content);
            if size == 0 {
                break;
            }
        }
        assert_eq!(rebuilt, bytes);
        assert!(matches!(store.slice(&hash, size as u64 + 1, 1).await, Err(BlobError::OutOfOrder)));
    }
}

#[tokio::test]
async fn a_refused_blob_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = BlobStore::new(config(folder.path())).unwrap();
    let big = content((3 << 20) + 1, 0);
    let outcome = store.put(OWNER, None, big.as_slice(), 0).await;
    assert!(matches!(outcome, Err(BlobError::TooLarge { .. })), "{outcome:?}");
    let outcome = store.put(OWNER, Some([0; 32]), content(10, 0).as_slice(), 0).await;
    assert!(matches!(outcome, Err(BlobError::HashMismatch { .. })), "{outcome:?}");
    store.put(OWNER, None, content(3 << 20, 1).as_slice(), 0).await.unwrap();
    let before = files(&config(folder.path()).folder).len();
    let outcome = store.put(OWNER, None, content((1 << 20) + 1, 2).as_slice(), 0).await;
    assert!(matches!(outcome, Err(BlobError::QuotaExceeded { .. })), "{outcome:?}");
    assert_eq!(files(&config(folder.path()).folder).len(), before);
    // Another organisation has its own quota, and the same content twice counts once.
    store.put(OTHER, None, content(3 << 20, 2).as_slice(), 0).await.unwrap();
    let again = content(3 << 20, 1);
    let hash = Some(*blake3::hash(&again).as_bytes());
    store.put(OWNER, hash, again.as_slice(), 0).await.unwrap();
    assert_eq!((store.used(&OWNER), store.used(&OTHER)), (3 << 20, 3 << 20));
    let full = storage(Path::new("x"), io::Error::from(io::ErrorKind::StorageFull));
    assert!(matches!(full, BlobError::DiskFull));
}

#[tokio::test]
async fn pieces_build_a_blob_in_order_within_quota_and_by_hash() {
    let folder = tempfile::tempdir().unwrap();
    let store = BlobStore::new(config(folder.path())).unwrap();
    let piece = PIECE_BYTES_MAX as usize;
    let bytes = content(2 * piece + 7, 0);
    let (hash, total) = (*blake3::hash(&bytes).as_bytes(), bytes.len() as u64);
    let put = async |offset: usize, owner, now_ms| {
        let end = (offset + piece).min(bytes.len());
        let piece = bytes[offset..end].to_vec();
        store.put_piece(Account::of(owner), hash, total, offset as u64, piece, now_ms).await
    };
    let at = |next_offset: usize| Progress { next_offset: next_offset as u64, complete: false };
    assert_eq!(put(piece, OWNER, 0).await.unwrap(), at(0), "begins with the first");
    assert_eq!(put(0, OWNER, 0).await.unwrap(), at(piece));
    assert_eq!(put(0, OWNER, 0).await.unwrap(), at(piece), "again changes nothing");
    assert_eq!(put(2 * piece, OWNER, 0).await.unwrap(), at(piece), "none left out");
    assert_eq!(put(0, OTHER, 0).await.unwrap(), at(piece), "each owner sends it all");
    assert_eq!(store.used(&OWNER), total, "an upload counts from its start");
    let outcome = store.put(OWNER, None, content(2 * piece, 3).as_slice(), 0).await;
    assert!(matches!(outcome, Err(BlobError::QuotaExceeded { .. })), "{outcome:?}");
    assert_eq!(put(piece, OWNER, 0).await.unwrap(), at(2 * piece));
    let done = Progress { next_offset: total, complete: true };
    assert_eq!(put(2 * piece, OWNER, 0).await.unwrap(), done);
    assert_eq!(put(0, OWNER, 0).await.unwrap(), done, "known now");
    assert_eq!(put(0, OTHER, 0).await.unwrap(), at(piece), "but not to others");
    assert_eq!(whole(&store, &hash).await.unwrap(), bytes);

    let outcome = store.put_piece(Account::of([9; 32]), [8; 32], 5, 0, vec![0; 5], 0).await;
    assert!(matches!(outcome, Err(BlobError::HashMismatch { .. })), "{outcome:?}");
    let outcome = store.put_piece(Account::of([9; 32]), [8; 32], 5, 0, vec![0; 6], 0).await;
    assert!(matches!(outcome, Err(BlobError::OutOfOrder)), "{outcome:?}");
    let outcome = store.put_piece(Account::of([9; 32]), [8; 32], 4 << 20, 0, vec![0; 6], 0).await;
    assert!(matches!(outcome, Err(BlobError::TooLarge { .. })), "{outcome:?}");
    assert_eq!(store.used(&[9; 32]), 0, "refused uploads count no more");
}

#[tokio::test]
async fn uploads_are_bounded_and_resting_ones_give_way() {
    let folder = tempfile::tempdir().unwrap();
    let store = BlobStore::new(config(folder.path())).unwrap();
    let begin = async |index: usize, now_ms| {
        store.put_piece(Account::of([index as u8; 32]), [index as u8; 32], 2, 0, vec![0], now_ms).await
    };
    for index in 0..UPLOADS_MAX {
        assert!(begin(index, 0).await.is_ok());
    }
    assert!(matches!(begin(UPLOADS_MAX, 0).await, Err(BlobError::Busy)));
    assert!(begin(UPLOADS_MAX, UPLOAD_REST_MS_MAX).await.is_ok());
    assert_eq!(files(&config(folder.path()).folder).len(), 2, "the others' files are gone");
}

#[tokio::test]
async fn an_account_is_opened_by_the_content_alone() {
    let folder = tempfile::tempdir().unwrap();
    let store = BlobStore::new(config(folder.path())).unwrap();
    let bytes = content(100, 0);
    let hash = store.put(OWNER, None, bytes.as_slice(), 0).await.unwrap().hash;
    for wrong in [&b""[..], &bytes[..99]] {
        let outcome = store.put(OTHER, Some(hash), wrong, 0).await;
        assert!(matches!(outcome, Err(BlobError::HashMismatch { .. })), "{outcome:?}");
        assert!(!store.owns(&OTHER, &hash));
    }
    assert_eq!(
        store.put(OWNER, Some(hash), &b""[..], 0).await.unwrap().size,
        100,
        "its own is not sent again"
    );
    store.put(OTHER, Some(hash), bytes.as_slice(), 0).await.unwrap();
    let store = BlobStore::new(config(folder.path())).unwrap();
    assert_eq!(store.owners(&hash), [OWNER, OTHER].into());
    assert!(store.owns(&OWNER, &hash) && store.owns(&OTHER, &hash));
}

#[tokio::test]
async fn a_provider_leaves_no_more_behind_than_a_lease_may() {
    let folder = tempfile::tempdir().unwrap();
    let config =
        BlobStoreConfig { blob_bytes_max: 5 << 30, owner_bytes_max: 20 << 30, ..config(folder.path()) };
    let store = BlobStore::new(config.clone()).unwrap();
    let begin = async |store: &BlobStore, account, seed: u8, total| {
        store.put_piece(account, [seed; 32], total, 0, vec![0], 0).await
    };
    let (first, second) = (Account::of_lease(OWNER, [1; 32]), Account::of_lease(OWNER, [2; 32]));
    let outcome = begin(&store, first, 1, LEASE_OUTPUT_BYTES_MAX + 1).await;
    assert!(matches!(outcome, Err(BlobError::LeaseFull { count: 0, used: 0 })), "{outcome:?}");

    // What has come counts as well as what comes, and both after a restart.
    let bytes = content(1_000, 0);
    let hash = *blake3::hash(&bytes).as_bytes();
    assert!(store.put_piece(first, hash, 1_000, 0, bytes.clone(), 0).await.unwrap().complete);
    let store = BlobStore::new(config).unwrap();
    let outcome = begin(&store, first, 1, LEASE_OUTPUT_BYTES_MAX - 999).await;
    assert!(matches!(outcome, Err(BlobError::LeaseFull { count: 1, used: 1_000 })), "{outcome:?}");
    assert!(begin(&store, first, 1, LEASE_OUTPUT_BYTES_MAX - 1_001).await.is_ok());
    let outcome = begin(&store, first, 2, 2).await;
    assert!(matches!(outcome, Err(BlobError::LeaseFull { count: 2, .. })), "{outcome:?}");
    // Other leases have their own limit, and the owner has none but its quota.
    assert!(begin(&store, second, 3, LEASE_OUTPUT_BYTES_MAX).await.is_ok());
    assert!(begin(&store, Account::of(OWNER), 4, LEASE_OUTPUT_BYTES_MAX).await.is_ok());
    // What the owner has brought itself is not counted again.
    let own = store.put(OWNER, None, content(10, 1).as_slice(), 0).await.unwrap().hash;
    assert!(store.put_piece(first, own, 10, 0, content(10, 1), 0).await.unwrap().complete);
    assert_eq!(store.inner.lock().used_by_lease(&[1; 32]).blobs, 2);
}

#[tokio::test]
async fn nobody_keeps_more_blobs_than_its_share() {
    let folder = tempfile::tempdir().unwrap();
    let store = BlobStore::new(config(folder.path())).unwrap();
    let fill = |from: usize, to: usize, leases: &[[u8; 32]]| {
        let mut state = store.inner.lock();
        for index in from..to {
            let mut entry = index::Entry::new(1, 0);
            entry.owners.insert(OWNER);
            entry.leases.extend(leases);
            state.index.blobs.insert(*blake3::hash(&index.to_le_bytes()).as_bytes(), entry);
        }
    };
    let lease = Account::of_lease(OWNER, [1; 32]);
    let begin = async |account, seed: u8| store.put_piece(account, [seed; 32], 2, 0, vec![0], 0).await;
    fill(0, LEASE_OUTPUTS_MAX - 1, &[[1; 32]]);
    assert!(begin(lease, 1).await.is_ok());
    let outcome = begin(lease, 2).await;
    assert!(matches!(outcome, Err(BlobError::LeaseFull { count: LEASE_OUTPUTS_MAX, .. })), "{outcome:?}");
    fill(LEASE_OUTPUTS_MAX, OWNER_BLOBS_MAX, &[]);
    let outcome = begin(Account::of(OWNER), 3).await;
    assert!(matches!(outcome, Err(BlobError::OwnerFull { count: OWNER_BLOBS_MAX })), "{outcome:?}");
    let outcome = store.put(OWNER, None, content(10, 5).as_slice(), 0).await;
    assert!(matches!(outcome, Err(BlobError::OwnerFull { .. })), "{outcome:?}");
    assert!(store.put(OTHER, None, content(10, 5).as_slice(), 0).await.is_ok());
}

#[tokio::test]
async fn a_sweep_drops_what_nothing_names_after_its_grace() {
    let folder = tempfile::tempdir().unwrap();
    let store = BlobStore::new(config(folder.path())).unwrap();
    let mut hashes = Vec::new();
    for seed in 0..4 {
        let stored = store.put(OWNER, None, content(100, seed).as_slice(), 0).await.unwrap();
        hashes.push(stored.hash);
    }
    let (named, pinned, kept) = (hashes[0], hashes[1], hashes[2]);
    store.pin(&pinned).unwrap();
    store.keep_until(&kept, 5 * GRACE_MS).unwrap();
    let sweep = |store: &BlobStore, now_ms| store.sweep(now_ms, &|hash| *hash == named).unwrap();
    assert_eq!(sweep(&store, GRACE_MS - 1), Swept::default());
    let store = BlobStore::new(config(folder.path())).unwrap();
    assert_eq!(sweep(&store, GRACE_MS), Swept { blobs: 1, bytes: 100 });
    assert!(matches!(store.open(&hashes[3]).await, Err(BlobError::NotFound { .. })));
    assert_eq!(store.used(&OWNER), 300);
    assert_eq!(files(&config(folder.path()).folder).len(), 6);
    store.unpin(&pinned).unwrap();
    assert_eq!(sweep(&store, 4 * GRACE_MS), Swept { blobs: 1, bytes: 100 });
    assert_eq!(store.sweep(5 * GRACE_MS - 1, &|_| false).unwrap().blobs, 0, "grace of the named");
    assert_eq!(store.sweep(5 * GRACE_MS, &|_| false).unwrap().blobs, 2);
    assert!(matches!(store.pin(&named), Err(BlobError::NotFound { .. })));
}

#[tokio::test]
async fn opening_repairs_what_can_be_repaired_and_refuses_the_rest() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path());
    let store = BlobStore::new(config.clone()).unwrap();
    let mut hashes = Vec::new();
    for seed in 0..2 {
        let stored = store.put(OWNER, None, content(5_000, seed).as_slice(), 0).await.unwrap();
        hashes.push(stored.hash);
    }
    let kept: BTreeSet<PathBuf> = files(&config.folder).into_iter().collect();
    let (lost, treeless) = (store.inner.blob_path(&hashes[0]), store.inner.outboard_path(&hashes[1]));
    drop(store);
    std::fs::write(config.folder.join("temporary/half"), b"x").unwrap();
    std::fs::write(lost.with_file_name("f".repeat(64)), b"never entered").unwrap();
    std::fs::write(&lost, b"cut").unwrap();
    std::fs::remove_file(&treeless).unwrap();
    let store = BlobStore::new(config.clone()).unwrap();
    let left: BTreeSet<PathBuf> = files(&config.folder).into_iter().collect();
    let gone: Vec<_> = kept.difference(&left).cloned().collect();
    assert_eq!(gone, [lost.clone(), lost.with_extension("outboard")]);
    assert!(left.is_subset(&kept));
    assert_eq!(store.size(&hashes[0]), None);
    let (_, piece) = store.slice(&hashes[1], 0, 5_000).await.unwrap();
    assert!(slice::verify(&hashes[1], &piece, 0, 5_000).is_ok());

    let index = config.folder.join("index.json");
    let good = std::fs::read(&index).unwrap();
    std::fs::write(&index, b"{\n  \"version\": 1,\n  \"blobs\": 7\n}").unwrap();
    let error = BlobStore::new(config.clone()).unwrap_err().to_string();
    assert!(error.contains("line 3 column"), "{error}");
    std::fs::remove_file(&index).unwrap();
    assert!(matches!(BlobStore::new(config.clone()), Err(BlobError::Index { .. })));
    assert_eq!(files(&config.folder).len(), left.len(), "a doubtful store is left alone");
    std::fs::write(&index, good).unwrap();
    assert!(BlobStore::new(config).is_ok());
}
