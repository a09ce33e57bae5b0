//! What this member signed last, in a small file beside the engine's log.
//!
//! The engine's own log is what keeps it from signing two things, and that log can be lost: cut short by damage, deleted, or left
//! behind when a ledger is rebuilt. This file is a second memory, written before a signature leaves. It refuses whatever is lower
//! than the last statement, gives the same bytes again for the same statement, and keeps the node from voting in a height whose
//! votes and locks the engine no longer knows. `docs/decisions/0013` says when it is durable, and why it costs no fsync per height.
//!
//! Two slots are written in turn, each with a sequence number and a checksum, so that a torn write leaves the statement before.

mod assess;
mod log;
mod slots;
#[cfg(test)]
mod tests;

pub(super) use assess::assess;
pub use log::{EngineLog, parse_log, read_log};
pub use slots::Slots;

use super::application::Id;
use super::context::{Proposal, Vote};
use borsh::{BorshDeserialize, BorshSerialize};
use malachitebft_core_types::{NilOrVal, Round, VoteType};
use slots::FileSlots;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The file's name; it lies beside the engine's log.
pub const LAST_SIGNED_FILE: &str = "last-signed";

const MAGIC: [u8; 8] = *b"hansasig";
/// The size of one slot.
pub const SLOT_BYTES: usize = 4096;
const CHECKSUM_BYTES: usize = 32;

/// What a statement is about; within a round a member makes them in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum Step {
    /// A block is proposed.
    Proposal = 1,
    /// The first vote.
    Prevote = 2,
    /// The second vote.
    Precommit = 3,
}

/// Something that a member signs at most one of: a proposal or a vote of one height and round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Statement {
    /// The height.
    pub height: u64,
    /// The round, -1 for none.
    pub round: i64,
    /// Proposal or vote.
    pub step: Step,
    /// The block; none for a vote for nothing.
    pub value: Option<Id>,
    /// The earlier round that a proposal refers to, -1 for none; always -1 for votes.
    pub earlier_round: i64,
}

impl Statement {
    /// Of a vote.
    #[must_use]
    pub fn of_vote(vote: &Vote) -> Self {
        let step = match vote.kind {
            VoteType::Prevote => Step::Prevote,
            VoteType::Precommit => Step::Precommit,
        };
        let value = match &vote.value {
            NilOrVal::Nil => None,
            NilOrVal::Val(id) => Some(id.0),
        };
        Self { height: vote.height.0, round: vote.round.as_i64(), step, value, earlier_round: -1 }
    }

    /// Of a proposal.
    #[must_use]
    pub fn of_proposal(proposal: &Proposal) -> Self {
        Self::of_parts(proposal.height.0, proposal.round, proposal.pol_round, &proposal.value.0)
    }

    /// Of the parts of a proposed block: they say what the proposal says.
    #[must_use]
    pub fn of_parts(height: u64, round: Round, pol_round: Round, id: &Id) -> Self {
        let (round, earlier_round) = (round.as_i64(), pol_round.as_i64());
        Self { height, round, step: Step::Proposal, value: Some(*id), earlier_round }
    }

    fn position(&self) -> (u64, i64, Step) {
        (self.height, self.round, self.step)
    }
}

/// Which run of the operating system wrote a record: within one, what was written is there even if the process was killed.
pub type Boot = [u8; 32];

/// The content of the file.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(super) struct Record {
    magic: [u8; 8],
    sequence: u64,
    chain: Id,
    boot: Option<Boot>,
    /// The lowest height that may be voted in.
    pub(super) vote_from: u64,
    /// A person has set the ledger aside: the node may make a new one and fetch it.
    pub(super) rebuilding: bool,
    pub(super) last: Option<Statement>,
    /// The last vote before `last` in the same height.
    pub(super) vote_before: Option<Statement>,
}

impl Record {
    /// The record of a member that has signed nothing.
    pub(super) fn new(chain: Id) -> Self {
        Self {
            magic: MAGIC,
            sequence: 0,
            chain,
            boot: None,
            vote_from: 0,
            rebuilding: false,
            last: None,
            vote_before: None,
        }
    }
}

/// A record that was read.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) record: Record,
    /// Both slots are sound: no later one was lost.
    whole: bool,
}

impl Found {
    /// Whether this is the last that was written, and not merely something that was written.
    pub(super) fn is_exact(&self, boot: Option<Boot>) -> bool {
        self.whole && boot.is_some() && self.record.boot == boot
    }
}

/// The file cannot be relied on, so nothing is signed.
#[derive(Debug, thiserror::Error)]
pub enum MemoryError {
    /// Both slots are damaged.
    #[error(
        "`{}` is damaged, so nobody knows what this member signed last; run `hansa node rebuild`, which keeps the node from voting where it may have voted before",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// It was written for another chain.
    #[error(
        "`{}` is of another federation; start with the data directory that belongs to this genesis, or with an empty one",
        path.display()
    )]
    OtherFederation {
        /// The file.
        path: PathBuf,
    },
    /// The system refused.
    #[error("cannot {what} `{}`: {error}; without it nothing is signed, so make it possible and start again", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
}

/// Why a signature was not given.
#[derive(Debug, thiserror::Error)]
pub enum Withheld {
    /// The height is below the floor.
    #[error(
        "it may have voted in height {height} before without knowing how; it votes from height {vote_from} on"
    )]
    Below {
        /// The height.
        height: u64,
        /// The floor.
        vote_from: u64,
    },
    /// It would contradict, or come after, what was signed last.
    #[error("it has signed {last:?} and is asked to sign {asked:?}")]
    Conflict {
        /// What was signed last.
        last: Box<Statement>,
        /// What was asked for.
        asked: Box<Statement>,
    },
    /// The engine goes on from before the last statement.
    #[error("the engine has forgotten {last:?}, and with it what the member is bound to in this height")]
    Forgotten {
        /// What was signed last.
        last: Box<Statement>,
    },
    /// The file could not be written.
    #[error("what is signed could not be noted before: {0}")]
    Unwritten(io::Error),
}

/// The open file.
#[derive(Debug)]
pub struct LastSigned {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    slots: Box<dyn Slots>,
    record: Record,
    /// The record's floor, raised when the engine turns out to have forgotten something.
    vote_from: u64,
    /// The engine has yet to come to the last statement by itself, or its log holds it: until then it may say nothing further.
    unconfirmed: bool,
    writes: u64,
    fsyncs: u64,
}

impl LastSigned {
    /// Opens the file at `path`, or makes it, for a node whose next height is `next` and whose engine has `log`. What may be voted
    /// in follows from the three; see [`assess`].
    ///
    /// # Errors
    /// [`MemoryError`]; nothing may be signed then.
    pub fn open(path: &Path, chain: Id, next: u64, log: &EngineLog) -> Result<Self, MemoryError> {
        Self::open_on(Box::new(FileSlots::new(path)), chain, next, log, boot())
    }

    /// As [`Self::open`], in `slots` and in this run of the operating system.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_on(
        mut slots: Box<dyn Slots>,
        chain: Id,
        next: u64,
        log: &EngineLog,
        boot: Option<Boot>,
    ) -> Result<Self, MemoryError> {
        let found = read(slots.as_ref())?;
        let path = slots.path().to_owned();
        if found.as_ref().is_some_and(|found| found.record.chain != chain) {
            return Err(MemoryError::OtherFederation { path });
        }
        let assessed = assess(found, chain, next, log, boot);
        let mut record = assessed.record;
        record.boot = boot;
        record.rebuilding = false;
        create(slots.as_mut(), &mut record).map_err(|error| MemoryError::Io {
            what: "write",
            path,
            error,
        })?;
        let state = State {
            slots,
            vote_from: record.vote_from,
            record,
            unconfirmed: assessed.unconfirmed,
            writes: 0,
            fsyncs: CREATE_FSYNCS,
        };
        Ok(Self { state: Mutex::new(state) })
    }

    /// The lowest height that this member votes in.
    #[must_use]
    pub fn vote_from(&self) -> u64 {
        self.lock().vote_from
    }

    /// What was signed last.
    #[must_use]
    pub fn last(&self) -> Option<Statement> {
        self.lock().record.last
    }

    /// How often the file was written since it was opened.
    #[must_use]
    pub fn writes(&self) -> u64 {
        self.lock().writes
    }

    /// How often the disk was waited for since the file was opened. The store counts its own, and this comes beside them.
    #[must_use]
    pub fn fsyncs(&self) -> u64 {
        self.lock().fsyncs
    }

    /// Notes a statement that is about to be signed. Only if this gives `Ok` may the signature be made.
    ///
    /// # Errors
    /// Why it may not be.
    pub fn permit(&self, asked: Statement) -> Result<(), Withheld> {
        let mut state = self.lock();
        if asked.height < state.vote_from {
            return Err(Withheld::Below { height: asked.height, vote_from: state.vote_from });
        }
        if let Some(last) = state.record.last {
            if asked == last {
                state.unconfirmed = false;
                return Ok(());
            }
            if asked.position() <= last.position() {
                // A proposal that is ready too late is no sign of anything.
                if asked.step != Step::Proposal && asked.height == last.height {
                    state.vote_from = last.height.saturating_add(1);
                }
                return Err(Withheld::Conflict { last: Box::new(last), asked: Box::new(asked) });
            }
            if state.unconfirmed && asked.height == last.height {
                state.vote_from = last.height.saturating_add(1);
                return Err(Withheld::Forgotten { last: Box::new(last) });
            }
        }
        state.note(asked).map_err(Withheld::Unwritten)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // The record is replaced whole, after its write.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn note(&mut self, asked: Statement) -> io::Result<()> {
        let vote_before = match (self.record.last, self.record.vote_before) {
            (Some(last), _) if last.height == asked.height && last.step != Step::Proposal => Some(last),
            (_, before) => before.filter(|before| before.height == asked.height),
        };
        let sequence = self.record.sequence.saturating_add(1);
        let record = Record { sequence, last: Some(asked), vote_before, ..self.record.clone() };
        // One page at most, so a killed process has written it or not. It is not waited for the disk; see the decision.
        self.slots.write(offset(sequence), &encode(&record)?)?;
        self.record = record;
        self.unconfirmed = false;
        self.writes = self.writes.saturating_add(1);
        Ok(())
    }
}

/// Whether a person has set the ledger aside and wants it fetched anew.
///
/// # Errors
/// [`MemoryError`] when the file cannot be relied on.
pub fn is_rebuilding(path: &Path) -> Result<bool, MemoryError> {
    Ok(read(&FileSlots::new(path))?.is_some_and(|found| found.record.rebuilding))
}

/// Prepares the file at `path` for a ledger that is fetched anew, and gives the lowest height that may be voted in. Exact, it says
/// that itself. Otherwise the floor is `asked` by a person, or two above `height`, the highest that anything left here names: a
/// member signs one height above its tip at most, and a record may be one behind. `None`, and nothing changed, if neither is known.
///
/// # Errors
/// [`MemoryError`] when the file is of another federation or cannot be written. A damaged one is set aside.
pub fn prepare_rebuild(
    path: &Path,
    chain: Id,
    height: Option<u64>,
    asked: Option<u64>,
) -> Result<Option<u64>, MemoryError> {
    prepare_rebuild_on(&mut FileSlots::new(path), chain, height, asked, boot())
}

/// As [`prepare_rebuild`], in `slots` and in this run of the operating system.
///
/// # Errors
/// As [`prepare_rebuild`].
pub fn prepare_rebuild_on(
    slots: &mut dyn Slots,
    chain: Id,
    height: Option<u64>,
    asked: Option<u64>,
    boot: Option<Boot>,
) -> Result<Option<u64>, MemoryError> {
    let path = slots.path().to_owned();
    let (found, damaged) = match read(slots) {
        Err(MemoryError::Damaged { .. }) => (None, true),
        found => (found?, false),
    };
    if found.as_ref().is_some_and(|found| found.record.chain != chain) {
        return Err(MemoryError::OtherFederation { path });
    }
    let exact = found.as_ref().is_some_and(|found| found.is_exact(boot));
    let mut record = found.map_or_else(|| Record::new(chain), |found| found.record);
    let signed = record.last.map(|last| last.height);
    let floor = match (exact, asked, signed.max(height)) {
        (true, asked, _) => asked.unwrap_or(0),
        (false, Some(asked), _) => asked,
        (false, None, Some(height)) => height.saturating_add(2),
        (false, None, None) => return Ok(None),
    };
    let after_signed = signed.map_or(0, |height| height.saturating_add(1));
    record.vote_from = record.vote_from.max(floor).max(after_signed);
    record.boot = boot;
    record.rebuilding = true;
    let failed = |what| {
        let path = path.clone();
        move |error| MemoryError::Io { what, path, error }
    };
    if damaged {
        slots.set_aside().map_err(failed("set aside"))?;
    }
    create(slots, &mut record).map_err(failed("write"))?;
    Ok(Some(record.vote_from))
}

/// Renames a file to the first free name of the form `NAME.damaged-N`, durably, and gives that.
///
/// # Errors
/// What the system says.
pub fn set_aside(path: &Path) -> io::Result<PathBuf> {
    for number in 1..u32::MAX {
        let mut name = path.file_name().unwrap_or_default().to_os_string();
        name.push(format!(".damaged-{number}"));
        let target = path.with_file_name(name);
        if fs::symlink_metadata(&target).is_err() {
            fs::rename(path, &target)?;
            File::open(folder_of(path))?.sync_all()?;
            return Ok(target);
        }
    }
    Err(io::Error::other("no name is free beside it"))
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// The run of the operating system, if it can be told.
#[must_use]
pub(super) fn boot() -> Option<Boot> {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(*blake3::hash(id.trim().as_bytes()).as_bytes())
}

/// Reads the file; `None` if there is none.
fn read(slots: &dyn Slots) -> Result<Option<Found>, MemoryError> {
    let failed = |error| MemoryError::Io { what: "read", path: slots.path().to_owned(), error };
    let Some(mut bytes) = slots.read().map_err(failed)? else { return Ok(None) };
    bytes.resize(2 * SLOT_BYTES, 0);
    let (first, second) = bytes.split_at(SLOT_BYTES);
    let (first, second) = (decode(first), decode(second));
    let whole = matches!((&first, &second), (Some(first), Some(second)) if first.sequence.abs_diff(second.sequence) == 1);
    let latest = first.into_iter().chain(second).max_by_key(|record| record.sequence);
    match latest {
        Some(record) => Ok(Some(Found { record, whole })),
        None => Err(MemoryError::Damaged { path: slots.path().to_owned() }),
    }
}

/// How often [`create`] waits for the disk: for the file and for its folder.
const CREATE_FSYNCS: u64 = 2;

/// Makes the file anew with `record` in both slots, durably.
fn create(slots: &mut dyn Slots, record: &mut Record) -> io::Result<()> {
    let mut content = vec![0; 2 * SLOT_BYTES];
    for _ in 0..2 {
        record.sequence = record.sequence.saturating_add(1);
        let slot = encode(record)?;
        let start = usize::try_from(offset(record.sequence)).map_err(io::Error::other)?;
        let place = content.get_mut(start..start.saturating_add(slot.len()));
        place.ok_or_else(|| io::Error::other("a record is larger than its slot"))?.copy_from_slice(&slot);
    }
    slots.create(&content)
}

fn offset(sequence: u64) -> u64 {
    if sequence.is_multiple_of(2) { 0 } else { SLOT_BYTES as u64 }
}

fn encode(record: &Record) -> io::Result<Vec<u8>> {
    let payload = borsh::to_vec(record)?;
    let length = u32::try_from(payload.len()).map_err(io::Error::other)?;
    let mut slot = length.to_le_bytes().to_vec();
    slot.extend_from_slice(&payload);
    slot.extend_from_slice(blake3::hash(&slot).as_bytes());
    Ok(slot)
}

fn decode(slot: &[u8]) -> Option<Record> {
    let length = u32::from_le_bytes(slot.first_chunk::<4>().copied()?) as usize;
    let end = length.checked_add(4)?;
    let checksum = slot.get(end..end.checked_add(CHECKSUM_BYTES)?)?;
    if blake3::hash(slot.get(..end)?).as_bytes() != checksum {
        return None;
    }
    let record = Record::try_from_slice(slot.get(4..end)?).ok()?;
    (record.magic == MAGIC).then_some(record)
}
