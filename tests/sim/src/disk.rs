//! A member's disk: the engine's log and the record of what was signed, with what is written and what is durable kept apart.

use crate::random::Random;
use hansa_node::consensus::last_signed::{SLOT_BYTES, Slots};
use malachitebft_app_channel::app::wal::Storage;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::mpsc;

/// How a node ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Death {
    /// The process is killed: what it wrote is still in the page cache.
    Killed,
    /// The power fails: what was not synced may be gone, wholly or partly.
    PowerCut,
}

/// What the disk does wrong from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing can be written for want of room.
    Full,
    /// The next fsync fails.
    Fsync,
}

/// One write that is not durable yet.
#[derive(Clone, Debug)]
enum Change {
    Write(u64, Vec<u8>),
    Truncate(u64),
}

/// A file as its process sees it, and as it would be after a power cut.
#[derive(Debug, Default)]
struct File {
    present: bool,
    seen: Vec<u8>,
    durable: Vec<u8>,
    changes: Vec<Change>,
}

fn apply(content: &mut Vec<u8>, change: &Change) {
    match change {
        Change::Write(offset, bytes) => {
            let start = *offset as usize;
            let end = start + bytes.len();
            if content.len() < end {
                content.resize(end, 0);
            }
            content[start..end].copy_from_slice(bytes);
        }
        Change::Truncate(length) => content.resize(*length as usize, 0),
    }
}

impl File {
    fn change(&mut self, change: Change) {
        self.present = true;
        apply(&mut self.seen, &change);
        self.changes.push(change);
    }

    fn sync(&mut self) {
        self.changes.clear();
        self.durable.clone_from(&self.seen);
    }

    /// A beginning of what was written since the last sync is there, the last of it perhaps torn.
    fn lose_end(&mut self, random: &mut Random) {
        let kept = random.index(self.changes.len() + 1);
        let mut content = std::mem::take(&mut self.durable);
        for change in &self.changes[..kept] {
            apply(&mut content, change);
        }
        if let Some(Change::Write(offset, bytes)) = self.changes.get(kept) {
            let torn = bytes[..random.index(bytes.len() + 1)].to_vec();
            if !torn.is_empty() {
                apply(&mut content, &Change::Write(*offset, torn));
            }
        }
        self.changes.clear();
        self.seen.clone_from(&content);
        self.durable = content;
    }

    /// Of the slots each is as one of its writes left it, the last of them perhaps torn.
    fn lose_slots(&mut self, random: &mut Random) {
        let mut content = std::mem::take(&mut self.durable);
        for slot in [0, SLOT_BYTES as u64] {
            let of_slot = |change: &&Change| matches!(change, Change::Write(offset, _) if *offset == slot);
            let writes: Vec<Change> = self.changes.iter().filter(of_slot).cloned().collect();
            let kept = random.index(writes.len() + 1);
            if let Some(last) = kept.checked_sub(1).and_then(|last| writes.get(last)) {
                apply(&mut content, last);
            }
            if let Some(Change::Write(offset, bytes)) = writes.get(kept)
                && random.chance(200)
            {
                let torn = bytes[..random.index(bytes.len() + 1)].to_vec();
                apply(&mut content, &Change::Write(*offset, torn));
            }
        }
        self.changes.clear();
        self.seen.clone_from(&content);
        self.durable = content;
    }

    fn flip(&mut self, random: &mut Random, most: usize) -> bool {
        let length = self.seen.len().min(most);
        if length == 0 {
            return false;
        }
        let (byte, bit) = (random.index(length), random.index(8));
        self.seen[byte] ^= 1 << bit;
        self.durable.clone_from(&self.seen);
        true
    }
}

#[derive(Debug)]
struct Content {
    log: File,
    slots: File,
    random: Random,
    boot: u64,
    /// Operations done so far.
    operations: u64,
    /// The node dies at this operation.
    dies_at: Option<(u64, Death)>,
    dead: Option<Death>,
    fault: Option<Fault>,
    /// The operations that were refused for a fault.
    refusals: u64,
    /// Where a death amid an operation is told.
    told: Option<mpsc::UnboundedSender<Death>>,
}

/// What an operation is to do.
pub enum Step {
    /// As asked.
    Do,
    /// As asked, and then the node is dead.
    DoAndDie,
    /// Nothing: the node is dead.
    Die,
    /// Refuse for want of room.
    Full,
    /// Refuse, with what was asked done or not.
    Unsynced {
        /// It is done all the same.
        done: bool,
    },
}

/// The disk; clones are the same disk.
#[derive(Clone, Debug)]
pub struct Disk(Arc<Mutex<Content>>);

/// What every operation of a dead node gets. It can tell nobody.
fn dead() -> io::Error {
    io::Error::other("the simulated node is dead")
}

impl Disk {
    /// An empty disk.
    #[must_use]
    pub fn new(random: Random) -> Self {
        Self(Arc::new(Mutex::new(Content {
            log: File::default(),
            slots: File::default(),
            random,
            boot: 1,
            operations: 0,
            dies_at: None,
            dead: None,
            fault: None,
            refusals: 0,
            told: None,
        })))
    }

    fn lock(&self) -> MutexGuard<'_, Content> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts an operation, and says what becomes of it. `sync` is for one that waits for the disk.
    pub fn step(&self, sync: bool) -> Step {
        let mut content = self.lock();
        if content.dead.is_some() {
            return Step::Die;
        }
        content.operations += 1;
        if let Some((at, death)) = content.dies_at
            && content.operations >= at
        {
            content.dead = Some(death);
            if let Some(told) = &content.told {
                let _ = told.send(death);
            }
            return if content.random.chance(500) { Step::Die } else { Step::DoAndDie };
        }
        match content.fault {
            Some(Fault::Full) => {
                content.refusals += 1;
                Step::Full
            }
            Some(Fault::Fsync) if sync => {
                content.fault = None;
                content.refusals += 1;
                Step::Unsynced { done: content.random.chance(500) }
            }
            _ => Step::Do,
        }
    }

    /// Whether the node died amid an operation, and how.
    #[must_use]
    pub fn dead(&self) -> Option<Death> {
        self.lock().dead
    }

    /// Lets the node die at the operation that comes `after` so many.
    pub fn die_after(&self, after: u64, death: Death) {
        let mut content = self.lock();
        content.dies_at = Some((content.operations + after.max(1), death));
    }

    /// Tells there of a death amid an operation.
    pub fn tell(&self, told: mpsc::UnboundedSender<Death>) {
        self.lock().told = Some(told);
    }

    /// From now on.
    pub fn set_fault(&self, fault: Option<Fault>) {
        self.lock().fault = fault;
    }

    /// It does as it should from now on.
    pub fn heal(&self) {
        let mut content = self.lock();
        content.fault = None;
        content.dies_at = None;
    }

    /// How many operations were refused for a fault.
    #[must_use]
    pub fn refusals(&self) -> u64 {
        self.lock().refusals
    }

    /// What is left after the node's end. A bit may have flipped meanwhile; says whether.
    pub fn settle(&self, death: Death, flip: bool) -> bool {
        let mut guard = self.lock();
        let content = &mut *guard;
        content.dies_at = None;
        content.dead = None;
        content.fault = None;
        if death == Death::PowerCut {
            content.boot += 1;
            content.log.lose_end(&mut content.random);
            content.slots.lose_slots(&mut content.random);
        } else {
            // The kernel has it, and writes it some day.
            content.log.sync();
        }
        if !flip {
            return false;
        }
        if content.random.chance(500) {
            content.log.flip(&mut content.random, usize::MAX)
        } else {
            // The record fills a small part of its slot.
            content.slots.flip(&mut content.random, 200)
        }
    }

    /// The run of the operating system.
    #[must_use]
    pub fn boot(&self) -> [u8; 32] {
        *blake3::hash(&self.lock().boot.to_le_bytes()).as_bytes()
    }

    /// The engine's log as it lies there.
    #[must_use]
    pub fn log(&self) -> Vec<u8> {
        self.lock().log.seen.clone()
    }

    /// Puts the engine's log out of the way.
    pub fn remove_log(&self) {
        self.lock().log = File::default();
    }

    /// What the operating system's first run makes of the record of what was signed.
    #[must_use]
    pub fn slots(&self) -> DiskSlots {
        DiskSlots(self.clone())
    }

    fn operate(&self, sync: bool, work: impl FnOnce(&mut Content)) -> io::Result<()> {
        match self.step(sync) {
            Step::Do => {
                work(&mut self.lock());
                Ok(())
            }
            Step::DoAndDie => {
                work(&mut self.lock());
                Err(dead())
            }
            Step::Die => Err(dead()),
            Step::Full => Err(io::Error::new(io::ErrorKind::StorageFull, "the simulated disk is full")),
            Step::Unsynced { done } => {
                if done {
                    work(&mut self.lock());
                }
                Err(io::Error::other("the simulated disk could not sync"))
            }
        }
    }
}

/// The record of what was signed, on the disk.
#[derive(Debug)]
pub struct DiskSlots(Disk);

impl Slots for DiskSlots {
    fn path(&self) -> &Path {
        Path::new("last-signed")
    }

    fn read(&self) -> io::Result<Option<Vec<u8>>> {
        let content = self.0.lock();
        Ok(content.slots.present.then(|| content.slots.seen.clone()))
    }

    fn create(&mut self, bytes: &[u8]) -> io::Result<()> {
        let bytes = bytes.to_vec();
        self.0.operate(true, |content| {
            content.slots = File { present: true, seen: bytes.clone(), durable: bytes, changes: Vec::new() };
        })
    }

    fn write(&mut self, offset: u64, slot: &[u8]) -> io::Result<()> {
        let slot = slot.to_vec();
        self.0.operate(false, |content| content.slots.change(Change::Write(offset, slot)))
    }

    fn set_aside(&mut self) -> io::Result<()> {
        self.0.operate(true, |content| content.slots = File::default())
    }
}

/// The engine's log, on the disk.
#[derive(Debug)]
pub struct DiskLog {
    disk: Disk,
    position: u64,
}

impl Read for DiskLog {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let content = self.disk.lock();
        let rest = content.log.seen.get(self.position as usize..).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        self.position += count as u64;
        Ok(count)
    }
}

impl Write for DiskLog {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let (position, written) = (self.position, bytes.to_vec());
        self.disk.operate(false, |content| content.log.change(Change::Write(position, written)))?;
        self.position += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for DiskLog {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let length = self.disk.lock().log.seen.len() as u64;
        let position = match to {
            SeekFrom::Start(offset) => Some(offset),
            SeekFrom::End(offset) => length.checked_add_signed(offset),
            SeekFrom::Current(offset) => self.position.checked_add_signed(offset),
        };
        self.position = position.ok_or_else(|| io::Error::other("before the beginning"))?;
        Ok(self.position)
    }
}

impl Storage for DiskLog {
    type OpenOptions = Disk;

    fn open_with(_: impl AsRef<Path>, disk: Disk) -> io::Result<Self> {
        Ok(Self { disk, position: 0 })
    }

    fn size_bytes(&self) -> io::Result<u64> {
        Ok(self.disk.lock().log.seen.len() as u64)
    }

    fn truncate_to(&mut self, size: u64) -> io::Result<()> {
        self.disk.operate(false, |content| content.log.change(Change::Truncate(size)))
    }

    fn sync_all(&mut self) -> io::Result<()> {
        self.disk.operate(true, |content| content.log.sync())
    }
}
