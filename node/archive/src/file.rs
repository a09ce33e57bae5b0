//! The archive: one file with a ledger in it.
//!
//! It begins with [`ARCHIVE_FORMAT`], followed by records. A record is its length (4 bytes, little endian) and its content
//! (borsh). The last one holds the BLAKE3 hash of everything before it, so a file that was cut or changed anywhere is known
//! for that before it is believed.

use crate::verify::decided;
use crate::{ArchiveError, Progress, Stage, verify};
use borsh::{BorshDeserialize, BorshSerialize};
use hansa_ledger::genesis::Genesis;
use hansa_ledger_store::{CheckpointInfo, Decided, LedgerStore, StoreError};
use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

/// Name and version of the format.
pub const ARCHIVE_FORMAT: &[u8; 16] = b"hansa-archive-1\n";

/// Bytes of rows in one record, roughly.
const ROWS_BYTES: usize = 1 << 20;

/// Longest payload: a block at its bound, with a certificate.
const PAYLOAD_BYTES_MAX: usize = 8 << 20;

/// A row: table, key, value.
pub(crate) type Row = (u8, Vec<u8>, Vec<u8>);

/// One record.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) enum Record {
    /// First: whose ledger, and what the file holds.
    Head(Head),
    /// A decided block, by rising height.
    Block {
        /// Its height.
        height: u64,
        /// Its id.
        block: [u8; 32],
        /// The root after it.
        root: [u8; 32],
        /// Who signed it.
        certificate: Vec<u8>,
        /// Its body.
        body: Vec<u8>,
    },
    /// Rows of the checkpoint, by rising table and key.
    Rows(Vec<Row>),
    /// A proof of a double vote.
    Evidence(Vec<u8>),
    /// Last: the hash of everything before this record.
    End([u8; 32]),
    /// What the node keeps of a block whose body is forgotten, because it shows who the members were.
    Waypoint {
        /// Its height.
        height: u64,
        /// Header and certificate, as the store has them.
        record: Vec<u8>,
    },
}

/// What the file holds.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct Head {
    /// The federation.
    pub(crate) chain: [u8; 32],
    /// First and last height; both 0 where there is none.
    pub(crate) heights: (u64, u64),
    /// Height, root and rules of the checkpoint.
    pub(crate) checkpoint: Option<(u64, [u8; 32], u32)>,
}

impl Record {
    pub(crate) fn block(height: u64, decided: Decided) -> Self {
        let Decided { block, root, certificate, body } = decided;
        Self::Block { height, block, root, certificate, body }
    }
}

/// Verifies the store and writes what it holds to `path`. The file appears when it is complete and durable.
///
/// # Errors
/// Whatever is not sound; [`ArchiveError::Exists`] where there is such a file already.
pub fn export(
    store: &dyn LedgerStore,
    genesis: &Genesis,
    path: &Path,
    progress: Progress<'_>,
) -> Result<crate::Report, ArchiveError> {
    if std::fs::exists(path).map_err(ArchiveError::file("look for", path))? {
        return Err(ArchiveError::Exists(path.to_owned()));
    }
    let report = verify(store, genesis, progress)?;
    let aside = aside(path);
    let written = write(store, genesis, &aside, progress);
    let done = written.and_then(|()| crate::compact::rename(&aside, path));
    if done.is_err() {
        // What is there is not whole, and the error is told in any case.
        let _ = std::fs::remove_file(&aside);
    }
    done.map(|()| report)
}

fn aside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(".part");
    path.with_file_name(name)
}

fn write(
    store: &dyn LedgerStore,
    genesis: &Genesis,
    path: &Path,
    progress: Progress<'_>,
) -> Result<(), ArchiveError> {
    let mut writer = Writer::create(path)?;
    let (tip, checkpoint) = (store.tip()?, store.latest_checkpoint()?);
    let heights = tip.map_or((0, 0), |tip| (store.history_height_min(), tip.height));
    let info = |info: CheckpointInfo| (info.height, info.root, info.protocol_version);
    let head = Head { chain: genesis.chain_id().0, heights, checkpoint: checkpoint.map(info) };
    writer.put(&Record::Head(head))?;
    for evidence in store.evidence()? {
        writer.put(&Record::Evidence(evidence))?;
    }
    for (height, record) in store.waypoints()? {
        writer.put(&Record::Waypoint { height, record })?;
    }
    if tip.is_some() {
        for height in heights.0..=heights.1 {
            writer.put(&Record::block(height, decided(store, height)?))?;
            progress(Stage::Blocks, height, Some(heights.1));
        }
    }
    if checkpoint.is_some() {
        writer.put_rows(store, progress)?;
    }
    writer.finish()
}

struct Writer {
    path: PathBuf,
    file: BufWriter<File>,
    hasher: blake3::Hasher,
}

impl Writer {
    fn create(path: &Path) -> Result<Self, ArchiveError> {
        let file = File::create(path).map_err(ArchiveError::file("create", path))?;
        let mut writer =
            Self { path: path.to_owned(), file: BufWriter::new(file), hasher: blake3::Hasher::new() };
        writer.write(ARCHIVE_FORMAT)?;
        Ok(writer)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), ArchiveError> {
        self.hasher.update(bytes);
        self.file.write_all(bytes).map_err(ArchiveError::file("write", &self.path))
    }

    fn put(&mut self, record: &Record) -> Result<(), ArchiveError> {
        let payload = borsh::to_vec(record).expect("writing plain records to memory cannot fail");
        let length = u32::try_from(payload.len()).expect("a record is a few MiB at most");
        self.write(&length.to_le_bytes())?;
        self.write(&payload)
    }

    fn put_rows(&mut self, store: &dyn LedgerStore, progress: Progress<'_>) -> Result<(), ArchiveError> {
        let (mut rows, mut bytes, mut count): (Vec<Row>, usize, u64) = (Vec::new(), 0, 0);
        let mut failed = None;
        let visited = store.rows(&mut |table, key, value| {
            bytes = bytes.saturating_add(key.len()).saturating_add(value.len());
            rows.push((table, key.to_vec(), value.to_vec()));
            count = count.saturating_add(1);
            if bytes >= ROWS_BYTES {
                bytes = 0;
                progress(Stage::Rows, count, None);
                if let Err(error) = self.put(&Record::Rows(std::mem::take(&mut rows))) {
                    failed = Some(error);
                    return Err(StoreError::Fatal { what: "the archive cannot be written".to_owned() });
                }
            }
            Ok(())
        });
        match failed {
            Some(error) => return Err(error),
            None => visited?,
        }
        progress(Stage::Rows, count, Some(count));
        if rows.is_empty() { Ok(()) } else { self.put(&Record::Rows(rows)) }
    }

    fn finish(mut self) -> Result<(), ArchiveError> {
        let hash = *self.hasher.finalize().as_bytes();
        self.put(&Record::End(hash))?;
        let path = self.path;
        let file = self.file.into_inner().map_err(|error| error.into_error());
        file.and_then(|file| file.sync_all()).map_err(ArchiveError::file("write", &path))
    }
}

/// Reads what calls itself an archive to its end and says how many records it holds. For the fuzz targets, which have bytes and
/// no file.
///
/// # Errors
/// [`ArchiveError::Archive`] with what is wrong.
#[doc(hidden)]
pub fn count_records(content: impl Read) -> Result<u64, ArchiveError> {
    let (mut reader, _) = Reader::new(content, Path::new("archive"))?;
    let mut records = 0u64;
    while reader.next()?.is_some() {
        records = records.saturating_add(1);
    }
    Ok(records)
}

/// Reads records one after the other.
pub(crate) struct Reader<R = File> {
    path: PathBuf,
    file: BufReader<R>,
    hasher: blake3::Hasher,
}

impl Reader {
    pub(crate) fn open(path: &Path) -> Result<(Self, Head), ArchiveError> {
        Self::new(File::open(path).map_err(ArchiveError::file("open", path))?, path)
    }
}

impl<R: Read> Reader<R> {
    fn new(content: R, path: &Path) -> Result<(Self, Head), ArchiveError> {
        let mut reader =
            Self { path: path.to_owned(), file: BufReader::new(content), hasher: blake3::Hasher::new() };
        let mut format = [0; ARCHIVE_FORMAT.len()];
        reader.read(&mut format)?;
        if format != *ARCHIVE_FORMAT {
            return Err(reader.unsound("it does not begin as one"));
        }
        match reader.next()? {
            Some(Record::Head(head)) => Ok((reader, head)),
            _ => Err(reader.unsound("it does not say whose ledger it holds")),
        }
    }

    pub(crate) fn unsound(&self, what: impl Into<String>) -> ArchiveError {
        ArchiveError::Archive { path: self.path.clone(), what: what.into() }
    }

    fn read(&mut self, bytes: &mut [u8]) -> Result<(), ArchiveError> {
        match self.file.read_exact(bytes) {
            Ok(()) => {
                self.hasher.update(bytes);
                Ok(())
            }
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                Err(self.unsound("it ends in the middle"))
            }
            Err(error) => Err(ArchiveError::file("read", &self.path)(error)),
        }
    }

    /// The next record; `None` after the last one, whose hash was right.
    pub(crate) fn next(&mut self) -> Result<Option<Record>, ArchiveError> {
        let before = *self.hasher.finalize().as_bytes();
        let mut length = [0; 4];
        self.read(&mut length)?;
        let length = usize::try_from(u32::from_le_bytes(length)).unwrap_or(usize::MAX);
        if length > PAYLOAD_BYTES_MAX {
            return Err(self.unsound(format!("a record of {length} bytes is longer than any may be")));
        }
        let mut payload = vec![0; length];
        self.read(&mut payload)?;
        let record: Record =
            borsh::from_slice(&payload).map_err(|_| self.unsound("a record cannot be read"))?;
        match record {
            Record::End(hash) if hash != before => Err(self.unsound("its content is not what was written")),
            Record::End(_) => match self.file.read(&mut [0]) {
                Ok(0) => Ok(None),
                _ => Err(self.unsound("something follows its end")),
            },
            record => Ok(Some(record)),
        }
    }
}
