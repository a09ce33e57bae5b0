//! Fetching from members of whom some lie.

use super::world::{World, certify};
use super::*;
use crate::executor::tests::key;
use crate::snapshot::shelf::part_path;
use crate::snapshot::wire::{Kept, Offer};
use async_trait::async_trait;
use hansa_ledger::block::members_hash;
use hansa_ledger_signature::PublicKey;
use libp2p::PeerId;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Mutex;

/// What one member has, and what it says to whoever asks.
#[derive(Clone)]
struct Member {
    offer: Offer,
    manifest: Answer,
    parts: Vec<Answer>,
}

impl Member {
    fn honest(manifest: &Manifest, folder: &Path) -> Self {
        let count = u32::try_from(manifest.content.parts.len()).unwrap();
        let parts = (0..count).map(|index| Answer::Given(std::fs::read(part_path(folder, index)).unwrap()));
        Self {
            offer: Offer { height: manifest.header.height, id: manifest.id() },
            manifest: Answer::Given(manifest.encode()),
            parts: parts.collect(),
        }
    }

    /// Offers this manifest as if it were true.
    fn offering(self, manifest: &Manifest) -> Self {
        let offer = Offer { height: manifest.header.height, id: manifest.id() };
        Self { offer, manifest: Answer::Given(manifest.encode()), ..self }
    }

    /// Other bytes for a part, and a manifest that names them.
    fn with_part(mut self, manifest: &Manifest, index: usize, bytes: Vec<u8>) -> Self {
        let mut lie = manifest.clone();
        let part =
            Part { hash: *blake3::hash(&bytes).as_bytes(), bytes: u32::try_from(bytes.len()).unwrap() };
        lie.content.parts[index] = part;
        self.parts[index] = Answer::Given(bytes);
        self.offering(&lie)
    }

    fn part(&self, index: usize) -> Vec<u8> {
        match &self.parts[index] {
            Answer::Given(bytes) => bytes.clone(),
            other => panic!("{other:?}"),
        }
    }
}

#[derive(Default)]
struct Members {
    members: Mutex<BTreeMap<PeerId, Member>>,
    /// Parts that were asked for.
    asked: Mutex<Vec<u32>>,
    /// Parts that are given before all questions wait for ever.
    given_max: Option<usize>,
}

impl Members {
    fn of(members: Vec<Member>) -> (Arc<Self>, Vec<PeerId>) {
        let ids: Vec<PeerId> = members.iter().map(|_| PeerId::random()).collect();
        let members = ids.iter().copied().zip(members).collect();
        (Arc::new(Self { members: Mutex::new(members), ..Self::default() }), ids)
    }

    fn one(&self, peer: &PeerId) -> Member {
        self.members.lock().unwrap()[peer].clone()
    }
}

#[async_trait]
impl SnapshotPeers for Members {
    fn ready(&self) -> Vec<PeerId> {
        self.members.lock().unwrap().keys().copied().collect()
    }

    async fn kept(&self, peer: PeerId) -> Option<Kept> {
        Some(Kept { blocks_from: self.one(&peer).offer.height, snapshots: vec![self.one(&peer).offer] })
    }

    async fn manifest(&self, peer: PeerId, id: [u8; 32]) -> Answer {
        let member = self.one(&peer);
        if member.offer.id == id { member.manifest } else { Answer::Missing }
    }

    async fn part(&self, peer: PeerId, id: [u8; 32], index: u32) -> Answer {
        let given = {
            let mut asked = self.asked.lock().unwrap();
            asked.push(index);
            asked.len()
        };
        if self.given_max.is_some_and(|most| given > most) {
            std::future::pending::<()>().await;
        }
        let member = self.one(&peer);
        if member.offer.id == id { member.parts[index as usize].clone() } else { Answer::Missing }
    }
}

/// A federation whose members changed, the snapshot of its last block, and where that lies.
struct Scene {
    folder: tempfile::TempDir,
    world: World,
    manifest: Manifest,
}

impl Scene {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut world = World::new();
        for code in ["DE", "EE", "ES", "FR"] {
            world.rotate(code);
            world.grow(1);
        }
        world.grow(2);
        world.snapshot(&folder.path().join("made"));
        let manifest = world.manifest();
        assert!(manifest.content.parts.len() >= 5, "{} parts", manifest.content.parts.len());
        Self { folder, world, manifest }
    }

    fn honest(&self) -> Member {
        let height = self.manifest.header.height;
        Member::honest(&self.manifest, &self.folder.path().join(format!("made/{height}")))
    }

    fn fetcher(&self, members: Arc<Members>, name: &str) -> Fetcher {
        let shelf = Shelf::open(&self.folder.path().join(name), self.world.executor.chain()).unwrap();
        Fetcher::new(members, Arc::new(shelf), Arc::default(), 0)
    }

    /// What a member with the first blocks gets from these, and whom it does not ask again.
    async fn fetch(
        &self,
        members: Vec<Member>,
        vouchers: usize,
        blocks: usize,
        name: &str,
    ) -> (Option<Restored>, Vec<usize>) {
        let late = self.world.replayed_from(Arc::new(MemoryStore::new()), blocks);
        let (members, ids) = Members::of(members);
        let fetcher = self.fetcher(members, name);
        let kept = fetcher.ask().await;
        let trust = late.trust();
        let restored = fetcher.fetch(&kept, &trust, trust.height, vouchers).await;
        let left = fetcher.left();
        let left =
            ids.iter().enumerate().filter(|(_, id)| left.contains(id)).map(|(place, _)| place).collect();
        (restored, left)
    }

    /// The last block's header with a change, signed by these.
    fn forged(&self, change: impl FnOnce(&mut Manifest), signers: &[PublicKey]) -> Manifest {
        let mut manifest = self.manifest.clone();
        // Higher than what the honest have, so that it is tried first.
        manifest.header.height += 50;
        change(&mut manifest);
        manifest.certificate = certify(&manifest.header, signers);
        manifest
    }
}

fn keys(suffix: &str, codes: &[&str]) -> Vec<PublicKey> {
    codes.iter().map(|code| key(&format!("{code} {suffix}")).public_key()).collect()
}

#[tokio::test]
async fn whoever_lies_about_a_snapshot_is_left_and_another_member_is_asked() {
    let scene = Scene::new();
    let (honest, manifest) = (scene.honest(), &scene.manifest);
    let last = manifest.content.parts.len() - 1;
    // Members are asked for the parts in turn, so it lies about each.
    let replaced = |change: fn(&mut Vec<u8>)| {
        let mut member = honest.clone();
        for index in 0..member.parts.len() {
            let mut bytes = honest.part(index);
            change(&mut bytes);
            member.parts[index] = Answer::Given(bytes);
        }
        member
    };
    let mut rows = decode_rows(&honest.part(last)).unwrap();
    let several = (1..=last).find(|index| decode_rows(&honest.part(*index)).unwrap().len() > 1).unwrap();
    let mut swapped = decode_rows(&honest.part(several)).unwrap();
    swapped.reverse();
    // A value of the same length: it stays a row.
    let changed = rows.last_mut().unwrap();
    changed.1[0] ^= 1;
    let rows = borsh::to_vec(&rows).unwrap();
    let (old, fresh) = (["DE", "EE", "ES", "FR"], ["DE", "EE"]);
    let forged_root = scene.forged(|it| it.header.state_root = [7; 32], &[]);
    let few = scene.forged(|_| {}, &keys("fresh", &fresh));
    let strangers = scene.forged(|it| it.header.members_hash = [3; 32], &keys("fresh", &old));
    let mut uncertified = manifest.clone();
    uncertified.header.state_root = [7; 32];
    let other_chain = scene.forged(|it| it.header.chain.0 = [1; 32], &keys("fresh", &old));
    let unshown = scene.forged(|it| it.steps.clear(), &keys("fresh", &old));
    let endless = Manifest {
        content: Content { rows: 1, parts: vec![manifest.content.parts[0]; PARTS_MAX + 1] },
        ..few.clone()
    };
    // The rows of a sound state under the true header: the last block of it was made at another time.
    let mut other = scene.world.replayed_from(Arc::new(MemoryStore::new()), scene.world.blocks.len() - 1);
    other.grow(1);
    other.snapshot(&scene.folder.path().join("other"));
    let elsewhere = scene.folder.path().join(format!("other/{}", other.height()));
    let mut sound = Member::honest(&other.manifest(), &elsewhere);
    sound.parts[0] = honest.parts[0].clone();
    let mut named = Manifest { content: other.manifest().content, ..manifest.clone() };
    named.content.parts[0] = manifest.content.parts[0];
    let table: [(&str, Member); 18] = [
        ("wrong bytes in a part", replaced(|bytes| bytes[20] ^= 1)),
        ("a part cut short", replaced(|bytes| bytes.truncate(30))),
        ("an endless part", replaced(|bytes| bytes.resize(PART_BYTES_MAX as usize, 0))),
        ("nothing in a part", replaced(Vec::clear)),
        ("another root under the certificate", honest.clone().offering(&uncertified)),
        ("another root, signed by nobody", honest.clone().offering(&forged_root)),
        ("a certificate with too few signatures", honest.clone().offering(&few)),
        ("signed by members that nobody vouches for", honest.clone().offering(&strangers)),
        ("members that do not follow from the genesis", honest.clone().offering(&unshown)),
        ("another federation", honest.clone().offering(&other_chain)),
        ("a manifest of endless parts", honest.clone().offering(&endless)),
        (
            "a huge manifest",
            Member {
                manifest: Answer::Given(vec![0; MANIFEST_BYTES_MAX + 1]),
                ..honest.clone().offering(&few)
            },
        ),
        (
            "another manifest than offered",
            Member { offer: Offer { height: 900, id: [9; 32] }, ..honest.clone() },
        ),
        (
            "another content than offered",
            Member { offer: Offer { id: [9; 32], ..honest.offer }, ..honest.clone() },
        ),
        ("rows of another sound state", sound.offering(&named)),
        ("rows that are no state", honest.clone().with_part(manifest, last, rows)),
        (
            "rows in another order",
            honest.clone().with_part(manifest, several, borsh::to_vec(&swapped).unwrap()),
        ),
        ("another block's body", honest.clone().with_part(manifest, 0, scene.world.blocks[0].body.clone())),
    ];
    let root = scene.world.executor.state().root();
    for (number, (name, liar)) in table.into_iter().enumerate() {
        // Vouchers are of no account: the liar comes first wherever it has another snapshot of its own.
        let mut members = vec![liar, honest.clone()];
        if members[0].offer.height == members[1].offer.height && members[0].offer.id != members[1].offer.id {
            // As many have the liar's as the true one, and the greater id is tried first, so one more of each makes sure.
            members.push(members[0].clone());
        }
        let vouchers = if members.len() == 3 { 2 } else { 1 };
        let (restored, left) = scene.fetch(members.clone(), vouchers, 0, &format!("lie-{number}")).await;
        let restored = restored.unwrap_or_else(|| panic!("{name}: nothing was fetched"));
        assert_eq!(restored.state.root(), root, "{name}");
        let liars: Vec<usize> = (0..members.len()).filter(|place| *place != 1).collect();
        assert!(!left.contains(&1), "{name}: the honest member is believed");
        assert!(!left.is_empty() && left.iter().all(|one| liars.contains(one)), "{name}: {left:?}");
        let (restored, _) = scene.fetch(vec![members[0].clone()], 1, 0, &format!("alone-{number}")).await;
        assert!(restored.is_none(), "{name}: believed with nobody else to ask");
    }
}

#[tokio::test]
async fn members_of_the_past_say_nothing_to_whoever_knows_their_followers() {
    let scene = Scene::new();
    let honest = scene.honest();
    let genesis = scene.world.genesis.validators();
    let old = keys("consensus", &["DE", "EE", "ES", "FR"]);
    let change = |it: &mut Manifest| (it.header.members_hash, it.steps) = (members_hash(&genesis), vec![]);
    let past = scene.forged(change, &old);
    let blocks = scene.world.blocks.len() - 1;
    let trust = |blocks| scene.world.replayed_from(Arc::new(MemoryStore::new()), blocks).trust();
    assert_eq!(past.check(&trust(0)), Ok(()), "to a new node they are the members");
    assert!(matches!(past.check(&trust(blocks)), Err(Refusal::Certificate(_))));
    let members = vec![honest.clone().offering(&past), honest.clone()];
    let (restored, left) = scene.fetch(members, 1, blocks, "past").await;
    assert_eq!((restored.map(|one| one.manifest), left), (Some(scene.manifest.clone()), vec![0]));
    // To a new node, which knows the genesis alone, they are the members: what more members have alike comes first.
    let made_up = honest.clone().offering(&past);
    let members = vec![made_up, honest.clone(), honest];
    let (restored, left) = scene.fetch(members, 2, 0, "new").await;
    assert_eq!((restored.map(|one| one.manifest), left), (Some(scene.manifest.clone()), vec![]));
}

#[test]
fn a_manifest_is_refused_before_anything_of_it_is_fetched() {
    let scene = Scene::new();
    let signers = keys("fresh", &["DE", "EE", "ES", "FR"]);
    let trust = scene.world.replayed_from(Arc::new(MemoryStore::new()), 0).trust();
    let height = scene.manifest.header.height;
    let late = scene.world.replayed().trust();
    let check = |change: fn(&mut Manifest)| scene.forged(change, &signers).check(&trust);
    assert_eq!(scene.manifest.check(&trust), Ok(()));
    assert_eq!(check(|_| {}), Ok(()), "it is signed, and its rows would be looked at");
    assert_eq!(scene.manifest.check(&late), Err(Refusal::Old(height)));
    assert_eq!(check(|it| it.header.chain.0 = [1; 32]), Err(Refusal::OtherFederation));
    assert_eq!(check(|it| it.header.protocol_version = 9_999), Err(Refusal::UnknownRules(9_999)));
    assert!(matches!(check(|it| it.steps.clear()), Err(Refusal::Certificate(_))));
}

#[tokio::test]
async fn a_fetch_that_was_killed_goes_on_with_what_came() {
    let scene = Scene::new();
    let honest = scene.honest();
    let total = scene.manifest.content.parts.len();
    let trust = scene.world.replayed_from(Arc::new(MemoryStore::new()), 0).trust();
    let (members, _) = Members::of(vec![honest.clone(), honest.clone()]);
    let members = Arc::new(Members {
        members: Mutex::new(members.members.lock().unwrap().clone()),
        given_max: Some(3),
        ..Members::default()
    });
    let fetcher = scene.fetcher(members.clone(), "killed");
    let kept = fetcher.ask().await;
    let folder = scene.folder.path().join("killed/incoming").join(hex::encode(scene.manifest.id()));
    let there = || {
        folder
            .read_dir()
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| path.extension().is_none())
            .count()
    };
    {
        let fetching = fetcher.fetch(&kept, &trust, 0, 1);
        tokio::pin!(fetching);
        let until = std::time::Instant::now() + std::time::Duration::from_secs(20);
        while there() < 3 {
            assert!(std::time::Instant::now() < until, "the first parts did not come");
            let pause = tokio::time::sleep(std::time::Duration::from_millis(5));
            tokio::select! {
                _ = &mut fetching => panic!("nobody gave the rest"),
                () = pause => {}
            }
        }
    }
    drop(fetcher);
    // One of the parts is damaged meanwhile.
    let kept_parts: BTreeSet<u32> =
        (0u32..).take(total).filter(|index| part_path(&folder, *index).exists()).collect();
    let damaged = *kept_parts.first().unwrap();
    flip(&part_path(&folder, damaged));
    let (members, _) = Members::of(vec![honest]);
    let fetcher = scene.fetcher(members.clone(), "killed");
    let kept = fetcher.ask().await;
    let restored = fetcher.fetch(&kept, &trust, 0, 1).await.unwrap();
    assert_eq!(restored.state.root(), scene.world.executor.state().root());
    let asked: BTreeSet<u32> = members.asked.lock().unwrap().iter().copied().collect();
    let expected: BTreeSet<u32> =
        (0u32..).take(total).filter(|index| *index == damaged || !kept_parts.contains(index)).collect();
    assert_eq!(asked, expected, "only what was missing or damaged is asked for again");
    assert!(fetcher.left().is_empty());
}

#[tokio::test]
async fn a_member_that_offers_more_than_it_gives_does_not_stand_in_the_way() {
    let scene = Scene::new();
    let honest = scene.honest();
    let higher = scene.forged(|_| {}, &keys("fresh", &["DE", "EE", "ES", "FR"]));
    let mut silent = honest.clone().offering(&higher);
    silent.parts.iter_mut().for_each(|part| *part = Answer::Silent);
    let mut gone = silent.clone();
    gone.manifest = Answer::Missing;
    for (name, member) in [("silent", silent), ("gone", gone)] {
        let (restored, left) = scene.fetch(vec![member, honest.clone()], 2, 0, name).await;
        assert_eq!(
            (restored.map(|one| one.manifest), left),
            (Some(scene.manifest.clone()), vec![]),
            "{name}"
        );
    }
}

#[tokio::test]
async fn what_was_fetched_and_restored_is_kept_for_others() {
    let scene = Scene::new();
    let (members, _) = Members::of(vec![scene.honest()]);
    let folder = scene.folder.path().join("handed on");
    let shelf = Arc::new(Shelf::open(&folder, scene.world.executor.chain()).unwrap());
    let fetcher = Fetcher::new(members, shelf.clone(), Arc::default(), 0);
    let kept = fetcher.ask().await;
    let trust = scene.world.replayed_from(Arc::new(MemoryStore::new()), 0).trust();
    let restored = fetcher.fetch(&kept, &trust, 0, 1).await.unwrap();
    assert!(shelf.offers().is_empty());
    let (id, count) = (restored.manifest.id(), restored.manifest.content.parts.len());
    fetcher.hand_on(restored.manifest);
    assert_eq!(shelf.offers().len(), 1);
    assert!((0u32..).take(count).all(|index| shelf.part(&id, index).is_some()));
    assert!(!folder.join("incoming").exists());
}
