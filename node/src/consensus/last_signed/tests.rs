use super::*;
use crate::consensus::codec::LedgerCodec;
use crate::consensus::context::{Address, BlockId, Height, LedgerContext};
use hansa_ledger_signature::{PublicKey, SecretKey};
use malachitebft_app_channel::app::types::codec::Codec as _;
use malachitebft_core_consensus::SignedConsensusMsg;
use malachitebft_core_types::SignedMessage;
use tempfile::TempDir;

const CHAIN: Id = [7; 32];
const THIS_BOOT: Option<Boot> = Some([1; 32]);
const OTHER_BOOT: Option<Boot> = Some([2; 32]);

fn said(height: u64, round: i64, step: Step, value: u8) -> Statement {
    let value = (value > 0).then_some([value; 32]);
    Statement { height, round, step, value, earlier_round: -1 }
}

/// A log of `height` that ends well and holds these.
fn logged(height: u64, own: &[Statement]) -> EngineLog {
    EngineLog { present: true, height, whole: true, own: own.to_vec() }
}

struct Place {
    folder: TempDir,
}

impl Place {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("data").join(LAST_SIGNED_FILE)
    }

    fn open(&self, next: u64, log: &EngineLog, boot: Option<Boot>) -> LastSigned {
        LastSigned::open_on(Box::new(FileSlots::new(&self.path())), CHAIN, next, log, boot).unwrap()
    }

    /// A member that said these, all of them in a row, and was killed.
    fn after(said: &[Statement]) -> Self {
        let place = Self::new();
        let memory = place.open(1, &EngineLog::default(), THIS_BOOT);
        for statement in said {
            memory.permit(*statement).unwrap();
        }
        place
    }
}

#[test]
fn nothing_lower_is_signed_and_the_same_is_signed_again() {
    let base = said(5, 1, Step::Prevote, 9);
    let table = [
        ("the same", base, true),
        ("the same step for another block", said(5, 1, Step::Prevote, 8), false),
        ("the same step for nothing", said(5, 1, Step::Prevote, 0), false),
        ("an earlier step", said(5, 1, Step::Proposal, 9), false),
        ("an earlier round", said(5, 0, Step::Precommit, 9), false),
        ("an earlier height", said(4, 7, Step::Precommit, 9), false),
        ("the next step", said(5, 1, Step::Precommit, 9), true),
        ("a later round", said(5, 2, Step::Proposal, 3), true),
        ("the next height", said(6, 0, Step::Prevote, 0), true),
    ];
    for (name, asked, permitted) in table {
        // In the same process, and in one that comes after it.
        for restarted in [false, true] {
            let place = Place::new();
            let mut memory = place.open(1, &EngineLog::default(), THIS_BOOT);
            memory.permit(base).unwrap();
            if restarted {
                drop(memory);
                memory = place.open(5, &logged(5, &[base]), THIS_BOOT);
            }
            assert_eq!(memory.permit(asked).is_ok(), permitted, "{name}, restarted: {restarted}");
        }
    }
    let memory = Place::new().open(1, &EngineLog::default(), THIS_BOOT);
    let proposal = said(1, 3, Step::Proposal, 9);
    memory.permit(proposal).unwrap();
    let again = Statement { earlier_round: 1, ..proposal };
    assert!(memory.permit(again).is_err(), "the earlier round is part of a proposal");
    memory.permit(said(1, 3, Step::Prevote, 9)).unwrap();
    assert!(memory.permit(said(1, 3, Step::Proposal, 8)).is_err());
    memory.permit(said(1, 3, Step::Precommit, 9)).expect("a proposal that came too late changes nothing");
    assert!(memory.permit(said(1, 3, Step::Precommit, 0)).is_err());
    assert!(memory.permit(said(1, 4, Step::Prevote, 9)).is_err(), "it has forgotten what binds it here");
    memory.permit(said(2, 0, Step::Prevote, 9)).expect("and goes on in the next height");
}

#[test]
fn a_height_that_is_not_remembered_is_left_to_the_others() {
    let (prevote, precommit) = (said(5, 0, Step::Prevote, 9), said(5, 0, Step::Precommit, 9));
    let both = [prevote, precommit];
    let torn = |own: &[Statement]| EngineLog { whole: false, ..logged(5, own) };
    type Row = (&'static str, u64, EngineLog, Option<Boot>, u64);
    let table: Vec<Row> = vec![
        ("the log holds all", 5, logged(5, &both), THIS_BOOT, 0),
        ("killed while a line was written", 5, torn(&both), THIS_BOOT, 0),
        ("killed between noting and logging", 5, logged(5, &[prevote]), THIS_BOOT, 0),
        ("the log is gone", 5, EngineLog::default(), THIS_BOOT, 6),
        ("the log is empty", 5, logged(5, &[]), THIS_BOOT, 6),
        ("the log is of the height before", 5, logged(4, &both), THIS_BOOT, 6),
        ("the height is settled", 6, EngineLog::default(), THIS_BOOT, 0),
        ("the ledger is an older one", 3, logged(3, &[]), THIS_BOOT, 6),
        ("the ledger is older than the log", 6, logged(9, &[]), THIS_BOOT, 10),
        ("a power cut, the log holds all", 5, logged(5, &both), OTHER_BOOT, 0),
        ("a power cut, the log is torn", 5, torn(&both), OTHER_BOOT, 6),
        ("a power cut, the log is gone", 7, EngineLog::default(), OTHER_BOOT, 8),
        ("a power cut, the log is an old one", 7, logged(5, &both), OTHER_BOOT, 8),
        ("a power cut in a pause", 7, logged(6, &[]), OTHER_BOOT, 0),
        ("the run cannot be told", 7, EngineLog::default(), None, 8),
    ];
    for (name, next, log, boot, vote_from) in table {
        let place = Place::after(&both);
        let memory = place.open(next, &log, boot);
        assert_eq!(memory.vote_from(), vote_from, "{name}");
        let later = said(next.max(vote_from), 4, Step::Prevote, 2);
        if vote_from > 0 {
            assert!(memory.permit(said(vote_from - 1, 4, Step::Prevote, 2)).is_err(), "{name}");
            // It stays so until the height is over.
            drop(memory);
            assert_eq!(place.open(next, &log, boot).vote_from(), vote_from, "{name}, started again");
            place.open(next, &log, boot).permit(later).unwrap();
        }
    }
}

#[test]
fn a_log_cut_short_binds_until_the_engine_comes_to_the_last_vote_again() {
    let (prevote, precommit) = (said(5, 0, Step::Prevote, 9), said(5, 0, Step::Precommit, 9));
    let later = said(5, 1, Step::Prevote, 8);
    let reopened = || Place::after(&[prevote, precommit]).open(5, &logged(5, &[prevote]), THIS_BOOT);
    // Killed between noting and logging, the engine comes to the same vote and goes on.
    let memory = reopened();
    memory.permit(precommit).unwrap();
    memory.permit(later).unwrap();
    // With the end of its log lost it would vote for another block in the next round, free of a lock that it has forgotten.
    let memory = reopened();
    assert!(matches!(memory.permit(later), Err(Withheld::Forgotten { .. })));
    assert!(matches!(memory.permit(precommit), Err(Withheld::Below { vote_from: 6, .. })));
    memory.permit(said(6, 0, Step::Prevote, 0)).unwrap();
    // A precommit without the prevote before it is a lock that nothing here explains.
    let memory = Place::after(&[precommit]).open(5, &logged(5, &[]), THIS_BOOT);
    assert_eq!(memory.vote_from(), 6);
    // After a power cut the log, which is durable before a vote leaves, makes good for a record that was not.
    let place = Place::after(&[said(4, 0, Step::Precommit, 9)]);
    let memory = place.open(5, &logged(5, &[prevote, precommit]), OTHER_BOOT);
    assert_eq!((memory.vote_from(), memory.last()), (0, Some(precommit)));
    assert!(memory.permit(said(5, 0, Step::Precommit, 0)).is_err());
}

#[test]
fn without_the_file_the_log_is_believed_and_without_both_a_height_is_skipped() {
    let prevote = said(5, 0, Step::Prevote, 9);
    for (name, next, log, vote_from, last) in [
        ("a new node", 1, EngineLog::default(), 0, None),
        ("a node of an earlier program", 5, logged(5, &[prevote]), 0, Some(prevote)),
        ("the same in a pause", 5, logged(4, &[]), 0, None),
        ("both are gone", 5, EngineLog::default(), 6, None),
        ("the log is torn", 5, EngineLog { whole: false, ..logged(5, &[prevote]) }, 6, None),
    ] {
        let memory = Place::new().open(next, &log, THIS_BOOT);
        assert_eq!((memory.vote_from(), memory.last()), (vote_from, last), "{name}");
    }
}

#[test]
fn a_torn_write_leaves_the_statement_before_and_damage_is_not_read_as_a_beginning() {
    let [first, second] = [0, 1].map(|round| said(5, round, Step::Prevote, 9));
    let place = Place::after(&[first, second]);
    let whole = fs::read(place.path()).unwrap();
    let (mut older, mut damaged) = (0, 0);
    for slots in [[true, false], [false, true], [true, true]] {
        for byte in [0, 5, 60, 120, 150] {
            let mut bytes = whole.clone();
            for slot in (0..2).filter(|slot| slots[*slot]) {
                bytes[slot * SLOT_BYTES + byte] ^= 0x10;
            }
            fs::write(place.path(), &bytes).unwrap();
            match super::read(&FileSlots::new(&place.path())) {
                Ok(Some(found)) => {
                    assert!(!found.is_exact(THIS_BOOT), "one slot is no proof that it is the last");
                    assert!([Some(first), Some(second)].contains(&found.record.last));
                    older += usize::from(found.record.last == Some(first));
                }
                Err(MemoryError::Damaged { .. }) => damaged += 1,
                other => panic!("{other:?}"),
            }
        }
    }
    assert_eq!((older, damaged), (5, 5));
    for bytes in [&[][..], &whole[..100]] {
        fs::write(place.path(), bytes).unwrap();
        let opened = LastSigned::open_on(
            Box::new(FileSlots::new(&place.path())),
            CHAIN,
            5,
            &EngineLog::default(),
            THIS_BOOT,
        );
        let text = opened.unwrap_err().to_string();
        assert!(text.contains("hansa node rebuild"), "{text}");
    }
    fs::write(place.path(), &whole).unwrap();
    let other = LastSigned::open_on(
        Box::new(FileSlots::new(&place.path())),
        [8; 32],
        5,
        &EngineLog::default(),
        THIS_BOOT,
    );
    assert!(matches!(other, Err(MemoryError::OtherFederation { .. })));
}

#[test]
fn a_rebuild_keeps_what_was_signed_and_makes_a_floor_where_nothing_is_left() {
    let signed = said(5, 0, Step::Prevote, 9);
    let other_run = |place: &Place| drop(place.open(5, &logged(5, &[signed]), OTHER_BOOT));
    let prepare =
        |place: &Place, height, asked| prepare_rebuild(&place.path(), CHAIN, height, asked).unwrap();
    // In this run of the system the record is exact.
    let place = Place::new();
    LastSigned::open(&place.path(), CHAIN, 1, &EngineLog::default()).unwrap().permit(signed).unwrap();
    assert!(!is_rebuilding(&place.path()).unwrap());
    assert_eq!(prepare(&place, Some(4), None), Some(6));
    assert_eq!(prepare(&place, Some(4), Some(3)), Some(6), "nobody may ask for less");
    assert!(is_rebuilding(&place.path()).unwrap());
    let memory = LastSigned::open(&place.path(), CHAIN, 1, &EngineLog::default()).unwrap();
    assert_eq!(memory.vote_from(), 6);
    assert!(!is_rebuilding(&place.path()).unwrap(), "asked for once");
    // Otherwise it may be one behind.
    for (height, asked, floor) in [(None, None, 7), (Some(8), None, 10), (Some(8), Some(9), 9)] {
        let place = Place::after(&[signed]);
        other_run(&place);
        assert_eq!(prepare(&place, height, asked), Some(floor), "{height:?} {asked:?}");
    }
    // Missing or damaged, it is made from what else is known.
    for damaged in [false, true] {
        let place = Place::after(&[signed]);
        let junk = if damaged { Some(vec![9; 64]) } else { None };
        match &junk {
            Some(junk) => fs::write(place.path(), junk).unwrap(),
            None => fs::remove_file(place.path()).unwrap(),
        }
        assert_eq!(prepare(&place, None, None), None, "nothing is known");
        assert_eq!(prepare(&place, Some(4), None), Some(6));
        let kept = fs::read(place.path().with_file_name("last-signed.damaged-1")).ok();
        assert_eq!(kept, junk, "what was damaged is kept");
        let memory = LastSigned::open(&place.path(), CHAIN, 1, &EngineLog::default()).unwrap();
        assert_eq!(memory.vote_from(), 6);
    }
}

#[test]
fn the_engines_log_is_read_as_the_engine_writes_it() {
    let (own, other) = (SecretKey::from_bytes([1; 32]), SecretKey::from_bytes([2; 32]));
    let entry = |voter: PublicKey, round: u32| {
        let vote = Vote {
            kind: VoteType::Precommit,
            height: Height(9),
            round: Round::new(round),
            value: NilOrVal::Val(BlockId([3; 32])),
            voter: Address(voter),
        };
        let signature = own.sign(b"any");
        let message = SignedConsensusMsg::<LedgerContext>::Vote(SignedMessage::new(vote, signature));
        let message = LedgerCodec::default().encode(&message).unwrap();
        let data = [&[1][..], &(message.len() as u64).to_be_bytes(), &message].concat();
        [&[0][..], &(data.len() as u64).to_be_bytes(), &[0; 4], &data].concat()
    };
    let mut bytes = [&1_u32.to_be_bytes()[..], &9_u64.to_be_bytes()].concat();
    bytes.extend(entry(own.public_key(), 0));
    bytes.extend(entry(other.public_key(), 0));
    bytes.extend(entry(own.public_key(), 1));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("consensus.wal");
    let read = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        read_log(&path, &own.public_key()).unwrap()
    };
    assert_eq!(read_log(&path, &own.public_key()).unwrap(), EngineLog::default());
    let statements = [0, 1].map(|round| said(9, round, Step::Precommit, 3));
    assert_eq!(read(&bytes), logged(9, &statements));
    assert_eq!(read(&bytes[..bytes.len() - 1]), EngineLog { whole: false, ..logged(9, &statements[..1]) });
    assert_eq!(read(&bytes[..12]), logged(9, &[]));
    assert!(!read(&bytes[..11]).present);
    // A length made huge by damage hides all that follows, and allocates nothing.
    let mut damaged = bytes.clone();
    damaged[13] = 0xff;
    assert_eq!(read(&damaged), EngineLog { whole: false, ..logged(9, &[]) });
}
