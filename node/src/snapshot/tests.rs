//! Snapshots made, given, fetched from those who lie, checked and restored.

mod fetching;
mod world;

use super::*;
use crate::executor::RestoreError;
use crate::node::prune_bodies;
use hansa_ledger_store::{LedgerStore, MemoryStore, OpenOptions, SledStore};
use std::sync::Arc;
use world::World;

#[test]
fn a_snapshot_is_the_same_whoever_makes_it_and_restores_the_ledger_at_its_height() {
    let folder = tempfile::tempdir().unwrap();
    let mut world = World::new();
    world.grow(3);
    world.rotate("FR");
    world.grow(8 - world.height());
    let offer = world.snapshot(&folder.path().join("one"));
    let root = world.executor.state().root();
    // Another member, with checkpoints at other heights.
    let manifest = world.manifest();
    let other = world.replayed();
    other.executor.checkpoint().unwrap();
    assert_eq!(other.executor.state().root(), root);
    assert_eq!(other.snapshot(&folder.path().join("two")), offer);
    world.grow(3);

    for begun in [false, true] {
        let place = folder.path().join(format!("ledger-{begun}"));
        let options = OpenOptions { create_new: true, ..OpenOptions::default() };
        let store = Arc::new(SledStore::open(&place, options).unwrap());
        let late = world.on(store.clone());
        if begun {
            late.take(&world.blocks[..2]);
        }
        let restored = load(&folder.path().join("one/8"), manifest.clone(), &late.trust()).unwrap();
        assert_eq!(restored.state.root(), root);
        late.executor.restore(restored.clone()).unwrap();
        assert_eq!((late.height(), late.executor.state().root()), (8, root));
        assert!(matches!(late.executor.restore(restored), Err(RestoreError::Old { height: 8, snapshot: 8 })));
        // The blocks after it follow, and a restart finds what was restored.
        late.take(&world.blocks[8..10]);
        drop(late);
        drop(store);
        let store = Arc::new(SledStore::open(&place, OpenOptions::default()).unwrap());
        let late = world.on(store.clone());
        assert_eq!((late.height(), store.history_height_min()), (10, 8));
        late.take(&world.blocks[10..]);
        assert_eq!(late.executor.state().root(), world.executor.state().root());
        // Who follows the members from the genesis can ask this one as well.
        let steps = shown_blocks(store.as_ref()).unwrap();
        assert_eq!(steps.keys().copied().collect::<Vec<_>>(), [6]);
        let offer = late.snapshot(&folder.path().join(format!("again-{begun}")));
        assert_eq!(offer, world.snapshot(&folder.path().join(format!("first-{begun}"))));
    }
}

#[test]
fn members_that_changed_before_blocks_were_forgotten_can_be_followed() {
    let folder = tempfile::tempdir().unwrap();
    let mut world = World::new();
    let genesis_trust = world.replayed_from(Arc::new(MemoryStore::new()), 0).trust();
    for code in ["DE", "EE", "ES", "FR"] {
        world.rotate(code);
        world.grow(2);
    }
    let sets = member_sets(&world.executor.state());
    assert_eq!(sets.len(), 5);
    world.executor.checkpoint().unwrap();
    let pruned = prune_bodies(world.store.as_ref(), &sets, 1, u64::MAX).unwrap();
    assert!(pruned > 8);
    assert_eq!(shown_blocks(world.store.as_ref()).unwrap().len(), 3, "the last set has a block that is kept");
    world.grow(1);
    world.snapshot(folder.path());
    let manifest = world.manifest();
    // None of the keys of the genesis signed the last block.
    assert!(genesis_trust.sets.values().flatten().all(|one| !sets.last_key_value().unwrap().1.contains(one)));
    assert_eq!(manifest.steps.len(), 4);
    assert_eq!(manifest.check(&genesis_trust), Ok(()));
    let unshown = Manifest { steps: manifest.steps[1..].to_vec(), ..manifest.clone() };
    assert!(unshown.check(&genesis_trust).is_ok(), "three of four vouch for those after the next");
    let gap = Manifest { steps: manifest.steps[3..].to_vec(), ..manifest };
    assert!(matches!(gap.check(&genesis_trust), Err(Refusal::Certificate(_))));
}

#[test]
fn blocks_above_the_older_snapshot_are_not_forgotten() {
    let mut world = World::new();
    world.grow(6);
    world.executor.checkpoint().unwrap();
    let sets = member_sets(&world.executor.state());
    assert_eq!(prune_bodies(world.store.as_ref(), &sets, 1, 3).unwrap(), 2, "blocks 1 and 2");
    assert_eq!(world.store.history_height_min(), 3);
    assert_eq!(prune_bodies(world.store.as_ref(), &sets, 1, 1).unwrap(), 0, "no snapshot yet");
}

#[test]
fn a_shelf_keeps_the_newest_and_drops_what_is_damaged() {
    let folder = tempfile::tempdir().unwrap();
    let mut world = World::new();
    let chain = world.executor.chain();
    let mut offers = Vec::new();
    for _ in 0..3 {
        world.grow(2);
        offers.push(world.snapshot(folder.path()));
    }
    std::fs::create_dir_all(folder.path().join("9.making")).unwrap();
    let open = || Shelf::open(folder.path(), chain).unwrap();
    let heights = |shelf: &Shelf| shelf.offers().iter().map(|offer| offer.height).collect::<Vec<_>>();
    let shelf = open();
    assert_eq!((heights(&shelf), shelf.lowest()), (vec![6, 4], Some(4)));
    assert!(!folder.path().join("9.making").exists());
    let id = offers[2].id;
    let manifest = Manifest::decode(&shelf.manifest(&id).unwrap()).unwrap();
    assert_eq!((manifest.id(), manifest.content.parts.len() > 3), (id, true));
    for (index, part) in (0u32..).zip(&manifest.content.parts) {
        assert_eq!(blake3::hash(&shelf.part(&id, index).unwrap()).as_bytes(), &part.hash);
    }
    assert_eq!(shelf.part(&id, u32::MAX), None);
    assert_eq!((shelf.part(&offers[0].id, 0), shelf.manifest(&offers[0].id)), (None, None));
    // A flipped bit on the disk is nothing that a member gives to another.
    flip(&folder.path().join("6").join("00001"));
    assert_eq!(shelf.part(&id, 1), None);
    assert_eq!((heights(&shelf), shelf.lowest()), (vec![4], None));
    flip(&folder.path().join("4").join("manifest"));
    assert_eq!(heights(&open()), Vec::<u64>::new());
    let left = folder.path().read_dir().unwrap().count();
    assert_eq!(left, 0, "what is damaged takes no room");
}

#[test]
fn a_snapshot_that_cannot_be_finished_leaves_nothing_and_holds_up_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let mut world = World::new();
    let mut due = world.executor.snapshots_due();
    world.executor.set_snapshot_blocks(4);
    world.grow(4);
    assert!(due.has_changed().unwrap() && *due.borrow_and_update() == 4);
    assert_eq!(world.store.latest_checkpoint().unwrap().unwrap().height, 4, "for the snapshot");
    let shelf = Shelf::open(folder.path(), world.executor.chain()).unwrap();
    let sets = member_sets(&world.executor.state());
    let stopped = make(&shelf, world.store.as_ref(), &sets, 4, &|| false);
    assert!(matches!(stopped, Err(MakeError::Stopped)));
    world.executor.checkpoint().unwrap();
    world.grow(1);
    world.executor.checkpoint().unwrap();
    let late = make(&shelf, world.store.as_ref(), &sets, 4, &|| true);
    assert!(matches!(late, Err(MakeError::Store(_))), "the store has gone on: {late:?}");
    assert_eq!(folder.path().read_dir().unwrap().count(), 0);
    world.executor.release_checkpoint();
    world.grow(3);
    assert_eq!(*due.borrow_and_update(), 8);
    make(&shelf, world.store.as_ref(), &sets, 8, &|| true).unwrap();
    assert_eq!(shelf.offers().len(), 1);
}

#[test]
fn arbitrary_manifests_and_parts_are_refused_in_words() {
    let folder = tempfile::tempdir().unwrap();
    let mut world = World::new();
    world.grow(2);
    world.snapshot(folder.path());
    let good = world.manifest();
    let encoded = good.encode();
    for length in 0..encoded.len() {
        assert!(Manifest::decode(&encoded[..length]).is_err(), "cut at {length}");
    }
    // Whatever one bit changes is refused, or shows in what identifies it or in who signed it.
    let trust = world.replayed_from(Arc::new(MemoryStore::new()), 0).trust();
    for byte in 0..encoded.len() {
        let mut changed = encoded.clone();
        changed[byte] ^= 1 << (byte % 8);
        let Ok(read) = Manifest::decode(&changed) else { continue };
        assert!(read.id() != good.id() || read.check(&trust).is_err(), "byte {byte}");
    }
    let part = std::fs::read(folder.path().join("2").join("00001")).unwrap();
    assert!(!decode_rows(&part).unwrap().is_empty());
    for length in 0..part.len().min(300) {
        assert!(decode_rows(&part[..length]).is_err());
    }
    assert!(decode_rows(&[part, vec![0]].concat()).is_err(), "nothing may be left over");
    let content = |parts: Vec<Part>| Content { rows: 1, parts };
    let part = |bytes| Part { hash: [0; 32], bytes };
    let full = u32::try_from(CHUNK_BYTES).unwrap();
    type Row = (&'static str, Content, bool);
    let table: [Row; 7] = [
        ("a body and rows", content(vec![part(9), part(9)]), true),
        ("no rows", Content { rows: 0, parts: vec![part(9), part(9)] }, false),
        ("no file of rows", content(vec![part(9)]), false),
        ("an empty file", content(vec![part(9), part(0)]), false),
        ("a file too long", content(vec![part(9), part(PART_BYTES_MAX + 1)]), false),
        ("endless small files", content([vec![part(9)], vec![part(9); 40]].concat()), false),
        ("too many files", content(vec![part(full); PARTS_MAX + 1]), false),
    ];
    for (name, content, taken) in table {
        let manifest = Manifest { content, ..good.clone() };
        assert_eq!(Manifest::decode(&manifest.encode()).is_ok(), taken, "{name}");
    }
}

fn flip(path: &std::path::Path) {
    let mut bytes = std::fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(path, bytes).unwrap();
}
