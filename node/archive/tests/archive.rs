//! A ledger of four members is verified, exported, imported and compacted, and every lie in it is found.

use hansa_contracts_host::{Host, vm_profile};
use hansa_ledger::action::{AccreditOrganisation, organisation_id};
use hansa_ledger::apply::{Proposal, build_listing, chain};
use hansa_ledger::block::{Block, validators};
use hansa_ledger::genesis::{Genesis, GenesisContract, GenesisMember, GenesisOffice};
use hansa_ledger::id::BlockId;
use hansa_ledger::money::Money;
use hansa_ledger::name::Name;
use hansa_ledger::params::Params;
use hansa_ledger::possession::Possession;
use hansa_ledger::row::{OrganisationClass, Principal};
use hansa_ledger::state::State;
use hansa_ledger::time::TimeMs;
use hansa_ledger::transaction::Transaction;
use hansa_ledger_signature::{Cache, SecretKey};
use hansa_ledger_store::{Checkpoint, Commit, LedgerStore, MemoryStore, OpenOptions, SledStore};
use hansa_node_api::certificate::{Certificate, precommit_bytes};
use hansa_node_archive::{ArchiveError, Report, compact, export, import, open, verify};
use std::fs;
use std::path::Path;

const MEMBERS: [&str; 4] = ["DE", "EE", "ES", "FR"];
const DAY_MS: u64 = 86_400_000;

fn key(name: &str) -> SecretKey {
    SecretKey::from_bytes(*blake3::hash(name.as_bytes()).as_bytes())
}

fn genesis() -> Genesis {
    let office =
        |code: &str, office: &str| GenesisOffice::single(key(&format!("{code} {office}")).public_key());
    let members = MEMBERS.map(|code| GenesisMember {
        code: code.parse().unwrap(),
        consensus_key: key(&format!("{code} consensus")).public_key(),
        network_key: key(&format!("{code} network")).public_key(),
        issue_limit: Money(1_000_000_000),
        debit_cap: Money(1_000_000_000),
        registrar: office(code, "registrar"),
        treasury: office(code, "treasury"),
        governance: office(code, "governance"),
    });
    Genesis {
        name: Name::new("test").unwrap(),
        time: TimeMs(1_800_000_000_000),
        vm_profile: vm_profile(),
        params: Params::testnet(),
        members: members.to_vec(),
        contracts: vec![GenesisContract {
            name: Name::new("spot").unwrap(),
            code: hansa_contracts_bundle::SPOT.to_vec(),
        }],
    }
}

/// What one block does to a store.
struct Made {
    id: BlockId,
    root: [u8; 32],
    body: Vec<u8>,
    certificate: Vec<u8>,
    state: State,
}

/// Blocks that accredit one organisation each, signed by three of four members.
fn blocks(genesis: &Genesis, count: u64) -> Vec<Made> {
    let host = Host::new();
    host.load(hansa_contracts_bundle::SPOT).unwrap();
    let mut state = genesis.state().unwrap();
    let mut cache = Cache::new(1_000);
    let registrar = key("EE registrar");
    (0..count)
        .map(|number| {
            let time = chain(&state).time.plus(1_000);
            let register = format!("register-{number}");
            let principal = Principal::Organisation(organisation_id("EE".parse().unwrap(), &register));
            let administrator = key(&register);
            let action = AccreditOrganisation {
                register_number: register.clone(),
                owner: None,
                name: Name::new(&register).unwrap(),
                class: OrganisationClass::Sme,
                accredited_until: time.plus(300 * DAY_MS),
                key: administrator.public_key(),
                proof: Some(Possession::prove(genesis.chain_id(), &administrator, principal)),
            };
            let transaction = Transaction {
                chain: genesis.chain_id(),
                signer: registrar.public_key(),
                nonce: number,
                valid_until: time.plus(60_000),
                actions: vec![action.into()],
            };
            let candidates: Vec<_> = cache
                .verify_all(vec![transaction.sign(&registrar)])
                .into_iter()
                .map(Result::unwrap)
                .collect();
            let proposal =
                Proposal { proposer: "DE".parse().unwrap(), time, candidates: &candidates, seen: &[] };
            let (block, outcome) =
                build_listing(&state, &host, genesis.chain_id(), &proposal, &mut || true).unwrap();
            assert_eq!(outcome.receipts.transactions[0].code, 0);
            let members = validators(&state, block.header.height).to_vec();
            assert_eq!(members.len(), 4);
            let id = block.header.id();
            let sign = |code: &&str| {
                let key = key(&format!("{code} consensus"));
                (key.public_key(), key.sign(&precommit_bytes(&block.header, 0)))
            };
            let certificate = Certificate {
                height: block.header.height,
                round: 0,
                id: id.0,
                signatures: MEMBERS[..3].iter().map(sign).collect(),
            };
            state.commit(outcome.changes, id);
            Made {
                id,
                root: state.root(),
                body: block.encode(),
                certificate: borsh::to_vec(&certificate).unwrap(),
                state: state.clone(),
            }
        })
        .collect()
}

/// Puts the blocks into a store, with a checkpoint of all rows at `checkpoint`.
fn fill(store: &dyn LedgerStore, blocks: &[Made], checkpoint: u64) {
    for (made, height) in blocks.iter().zip(1u64..) {
        store.put_body(&made.id.0, &made.body).unwrap();
        let saved = (height == checkpoint).then(|| rows(made, height));
        let commit = Commit {
            height,
            block: made.id.0,
            root: made.root,
            certificate: &made.certificate,
            checkpoint: saved.as_ref(),
        };
        store.commit(&commit).unwrap();
    }
    store.put_evidence(b"a double vote").unwrap();
}

fn rows(made: &Made, height: u64) -> Checkpoint {
    let mut checkpoint = Checkpoint { height, root: made.root, protocol_version: 1, ..Checkpoint::default() };
    made.state.tables().each_row(|table, key, value| {
        checkpoint.rows.insert((table, key), Some(value));
    });
    checkpoint
}

fn quiet() -> impl FnMut(hansa_node_archive::Stage, u64, Option<u64>) {
    |_, _, _| {}
}

fn on_disk(directory: &Path, blocks: &[Made], checkpoint: u64) {
    let options = OpenOptions { create_new: true, ..OpenOptions::default() };
    let store = SledStore::open(directory, options).unwrap();
    fill(&store, blocks, checkpoint);
    let above = blocks.len() as u64 + 1;
    store.put_body_and_undecided(above, 2, &[7; 32], b"under way", b"its record").unwrap();
}

#[test]
fn a_sound_ledger_is_verified_whole_or_pruned() {
    let genesis = genesis();
    let blocks = blocks(&genesis, 12);
    let check = |checkpoint: u64, pruned_below: u64, executed: u64| {
        let store = MemoryStore::new();
        fill(&store, &blocks, checkpoint);
        store.prune_bodies_below(pruned_below, 1_000).unwrap();
        let mut told = 0;
        let report = verify(&store, &genesis, &mut |_, _, _| told += 1).unwrap();
        let last = blocks.last().unwrap();
        let expected = Report {
            height_first: pruned_below.max(1),
            height_last: 12,
            blocks: 12 - pruned_below.saturating_sub(1),
            blocks_executed: executed,
            transactions: 12 - pruned_below.saturating_sub(1),
            rows: last.state.trie().rows() as u64,
            evidence: 1,
            state_root: blake3::Hash::from_bytes(last.root).to_hex().to_string(),
        };
        assert_eq!(report, expected, "checkpoint {checkpoint}, pruned below {pruned_below}");
        assert!(told >= 12 - pruned_below, "progress is told");
    };
    check(0, 0, 12);
    check(7, 0, 12);
    check(12, 0, 12);
    check(7, 5, 5);
    check(12, 12, 0);
    let empty = verify(&MemoryStore::new(), &genesis, &mut quiet()).unwrap();
    assert_eq!((empty.height_last, empty.blocks), (0, 0));
}

#[test]
fn every_lie_in_a_store_is_found() {
    let genesis = genesis();
    let check = |lie: &str, expected: &str, change: &dyn Fn(&mut Vec<Made>), pruned: bool| {
        let mut blocks = blocks(&genesis, 6);
        change(&mut blocks);
        let store = MemoryStore::new();
        fill(&store, &blocks, 4);
        if pruned {
            store.prune_bodies_below(3, 1_000).unwrap();
        }
        let error = verify(&store, &genesis, &mut quiet()).unwrap_err().to_string();
        assert!(error.contains(expected), "{lie}: {error}");
    };
    let resign = |made: &mut Made, change: &dyn Fn(&mut Certificate)| {
        let mut certificate: Certificate = borsh::from_slice(&made.certificate).unwrap();
        change(&mut certificate);
        made.certificate = borsh::to_vec(&certificate).unwrap();
    };
    for pruned in [false, true] {
        check(
            "too few signatures",
            "2 of 4 members signed",
            &|blocks| resign(&mut blocks[3], &|certificate| certificate.signatures.truncate(2)),
            pruned,
        );
        check(
            "a signature of another round",
            "does not hold",
            &|blocks| resign(&mut blocks[2], &|certificate| certificate.round = 1),
            pruned,
        );
        check(
            "a body of another block",
            "does not hash",
            &|blocks| blocks[4].body = blocks[3].body.clone(),
            pruned,
        );
        check(
            "a row too many in the checkpoint",
            "its root is not the one",
            &|blocks| blocks[3].state = blocks[4].state.clone(),
            pruned,
        );
        check(
            "a root that was not decided",
            "root that was kept",
            &|blocks| blocks[5].root = [9; 32],
            pruned,
        );
    }
}

#[test]
fn an_archive_gives_the_same_ledger_elsewhere_and_a_damaged_one_gives_none() {
    let genesis = genesis();
    let blocks = blocks(&genesis, 9);
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    on_disk(&at("ledger"), &blocks, 5);
    let report = export(&open(&at("ledger")).unwrap(), &genesis, &at("archive"), &mut quiet()).unwrap();
    assert_eq!((report.blocks, report.evidence), (9, 1));
    let imported = import(&at("archive"), &at("copy"), &genesis, &mut quiet()).unwrap();
    assert_eq!(imported, report);
    // What was written out of the copy is the same file, byte for byte.
    export(&open(&at("copy")).unwrap(), &genesis, &at("again"), &mut quiet()).unwrap();
    assert_eq!(fs::read(at("archive")).unwrap(), fs::read(at("again")).unwrap());
    assert!(matches!(
        import(&at("archive"), &at("copy"), &genesis, &mut quiet()),
        Err(ArchiveError::Exists(_))
    ));
    assert!(matches!(
        export(&open(&at("copy")).unwrap(), &genesis, &at("again"), &mut quiet()),
        Err(ArchiveError::Exists(_))
    ));

    let whole = fs::read(at("archive")).unwrap();
    let refused = |bytes: &[u8], what: &str| {
        fs::write(at("bad"), bytes).unwrap();
        let done = import(&at("bad"), &at("none"), &genesis, &mut quiet());
        assert!(done.is_err(), "{what}");
        assert!(!at("none").exists() && !at("none.importing").exists(), "{what}: nothing is left");
    };
    for place in (0..whole.len()).step_by(whole.len() / 40) {
        let mut flipped = whole.clone();
        flipped[place] ^= 1;
        refused(&flipped, &format!("byte {place} of {} flipped", whole.len()));
    }
    for length in [0, 10, whole.len() / 2, whole.len() - 1] {
        refused(&whole[..length], &format!("cut to {length}"));
    }
    refused(&[&whole[..], b"x"].concat(), "something behind it");
    let other = Genesis { name: Name::new("other").unwrap(), ..genesis.clone() };
    let done = import(&at("archive"), &at("none"), &other, &mut quiet());
    assert!(matches!(done, Err(ArchiveError::Genesis(_))));
}

#[test]
fn a_compacted_ledger_is_the_same_ledger_with_what_was_under_way() {
    let genesis = genesis();
    let blocks = blocks(&genesis, 9);
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().join("ledger");
    on_disk(&directory, &blocks, 5);
    let before = verify(&open(&directory).unwrap(), &genesis, &mut quiet()).unwrap();
    let done = compact(&directory, &genesis, &mut quiet()).unwrap();
    assert_eq!(done.report, before);
    assert!(done.bytes_before > 0 && done.bytes_after > 0);
    let store = open(&directory).unwrap();
    assert_eq!(verify(&store, &genesis, &mut quiet()).unwrap(), before);
    assert_eq!(store.undecided(10, 2).unwrap(), [b"its record".to_vec()]);
    assert_eq!(store.body(&[7; 32]).unwrap(), Some(b"under way".to_vec()));
    assert!(
        matches!(compact(&directory, &genesis, &mut quiet()), Err(ArchiveError::Store(_))),
        "a node has it"
    );
    let names: Vec<_> =
        fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["ledger"], "nothing is left beside it");
}

#[test]
fn what_is_kept_of_forgotten_blocks_goes_along() {
    let (genesis, folder) = (genesis(), tempfile::tempdir().unwrap());
    let blocks = blocks(&genesis, 8);
    let directory = folder.path().join("ledger");
    on_disk(&directory, &blocks, 6);
    let record = {
        let store = open(&directory).unwrap();
        let header = Block::read(&blocks[1].id, &blocks[1].body).unwrap().header;
        let record = borsh::to_vec(&(header, blocks[1].certificate.clone())).unwrap();
        store.put_waypoint(2, &record).unwrap();
        store.prune_bodies_below(5, 1_000).unwrap();
        export(&store, &genesis, &folder.path().join("archive"), &mut quiet()).unwrap();
        record
    };
    let imported = folder.path().join("imported");
    import(&folder.path().join("archive"), &imported, &genesis, &mut quiet()).unwrap();
    compact(&directory, &genesis, &mut quiet()).unwrap();
    for place in [&imported, &directory] {
        let store = open(place).unwrap();
        assert_eq!(store.waypoints().unwrap(), [(2, record.clone())]);
        store.put_waypoint(3, b"nothing that could be read").unwrap();
        let error = verify(&store, &genesis, &mut quiet()).unwrap_err().to_string();
        assert!(error.contains("block 3 is not sound"), "{error}");
    }
}
