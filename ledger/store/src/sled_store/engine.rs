//! sled behind a guard: its panics and errors become ours, and every value is checked.

use std::{
    any::Any,
    ops::Bound,
    panic::{AssertUnwindSafe, catch_unwind},
};

use crate::{
    error::StoreError,
    record::{seal, unseal},
};

pub(crate) struct Engine {
    database: sled::Db,
}

/// Called once per value with its key.
type ValueVisitor<'a> = &'a mut dyn FnMut(&[u8], &[u8]) -> Result<(), StoreError>;

/// Changes that go into the database together or not at all.
#[derive(Default)]
pub(crate) struct Batch {
    batch: sled::Batch,
    bytes: usize,
    changes: usize,
}

impl Batch {
    pub(crate) fn insert(&mut self, key: Vec<u8>, value: Vec<u8>) {
        let sealed = seal(&key, value);
        self.bytes = self.bytes.saturating_add(key.len()).saturating_add(sealed.len());
        self.changes = self.changes.saturating_add(1);
        self.batch.insert(key, sealed);
    }

    pub(crate) fn remove(&mut self, key: Vec<u8>) {
        self.bytes = self.bytes.saturating_add(key.len());
        self.changes = self.changes.saturating_add(1);
        self.batch.remove(key);
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn changes(&self) -> usize {
        self.changes
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.changes == 0
    }
}

impl Engine {
    pub(crate) fn open(config: &sled::Config) -> Result<Self, StoreError> {
        guarded("opening it", || config.open()).map(|database| Self { database })
    }

    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let sealed = guarded("reading", || self.database.get(key))?;
        sealed.map(|sealed| unseal(key, &sealed).map(<[u8]>::to_vec)).transpose()
    }

    /// Visits keys and values under a prefix, in order. Not while a batch is applied: the caller holds the writer's lock.
    pub(crate) fn scan(&self, prefix: &[u8], each: ValueVisitor<'_>) -> Result<(), StoreError> {
        let mut entries = guarded("reading", || Ok(self.database.scan_prefix(prefix)))?;
        while let Some((key, sealed)) = guarded("reading", || entries.next().transpose())? {
            each(&key, unseal(&key, &sealed)?)?;
        }
        Ok(())
    }

    /// As [`Self::scan`], from the key after `after` on, until the visitor gives `false`.
    pub(crate) fn scan_after(
        &self,
        prefix: &[u8],
        after: &[u8],
        each: &mut dyn FnMut(&[u8], &[u8]) -> Result<bool, StoreError>,
    ) -> Result<(), StoreError> {
        let bounds = (Bound::Excluded(after), Bound::Unbounded);
        let mut entries = guarded("reading", || Ok(self.database.range::<&[u8], _>(bounds)))?;
        while let Some((key, sealed)) = guarded("reading", || entries.next().transpose())? {
            if !key.starts_with(prefix) || !each(&key, unseal(&key, &sealed)?)? {
                break;
            }
        }
        Ok(())
    }

    /// The last key under a prefix.
    pub(crate) fn last_key(&self, prefix: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let entry = guarded("reading", || self.database.scan_prefix(prefix).next_back().transpose())?;
        Ok(entry.map(|(key, _)| key.to_vec()))
    }

    pub(crate) fn apply(&self, batch: Batch) -> Result<(), StoreError> {
        let applied = guarded("writing", || self.database.apply_batch(batch.batch));
        // What is garbage now, write buffers of a segment each among it, waits in the thread that made it until that has made more.
        crossbeam_epoch::pin().flush();
        applied
    }

    /// Hands all buffers to the operating system. It is not an fsync, whatever its name says.
    pub(crate) fn flush(&self) -> Result<(), StoreError> {
        let flushed = guarded("flushing", || self.database.flush()).map(|_bytes| ());
        crossbeam_epoch::pin().flush();
        flushed
    }
}

/// Runs a call into the database. A panic there is damage as well: it asserts what it reads.
fn guarded<T>(what: &str, call: impl FnOnce() -> sled::Result<T>) -> Result<T, StoreError> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(sled::Error::Io(source))) => {
            Err(StoreError::Io { what: format!("go on {what} the database"), source })
        }
        Ok(Err(error)) => Err(StoreError::damaged(format!("{what}: {error}"))),
        Err(panic) => {
            Err(StoreError::damaged(format!("{what}: the database engine panicked: {}", message(&*panic))))
        }
    }
}

/// The words of a panic.
pub(crate) fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "without words".into())
}
