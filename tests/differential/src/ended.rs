//! How a call ended in an engine, before anybody reads the answer.

use borsh::BorshDeserialize;
use hansa_contracts_abi::limits::OUTPUT_BYTES_MAX;
use hansa_contracts_abi::wire::unpack;
use hansa_contracts_abi::{Code, Failure};
use std::fmt;

/// Operators that an engine without the ledger's limits is left to run for one call. The ledger's fuel pays for two million at
/// most.
pub const OPERATORS_MAX: u64 = 8_000_000;

/// A bound of an engine, which is no part of what a contract says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// So much work.
    Fuel,
    /// So many calls inside of each other.
    Depth,
}

/// How a call ended.
#[derive(Clone, PartialEq, Eq)]
pub enum Ended {
    /// The function returned.
    Returned {
        /// What it returned: status and length.
        packed: u64,
        /// Where its answer lies.
        buffer: usize,
        /// The whole memory as it left it.
        memory: Vec<u8>,
    },
    /// It broke.
    Trapped {
        /// The whole memory as it left it.
        memory: Vec<u8>,
    },
    /// The engine stopped it.
    Stopped(Bound),
}

impl Ended {
    /// The answer, read as the ledger's host reads it.
    ///
    /// # Errors
    /// Why there is none.
    pub fn answer<T: BorshDeserialize>(&self) -> Result<T, Failure> {
        let Ended::Returned { packed, buffer, memory } = self else {
            return Err(if *self == Ended::Stopped(Bound::Fuel) {
                Failure::OutOfFuel
            } else {
                Failure::Trap
            });
        };
        let (status, length) = unpack(*packed);
        if status != 0 {
            return Err(Failure::Refused(Code(status)));
        }
        let length = usize::try_from(length).map_err(|_| Failure::BadOutput)?;
        if length > OUTPUT_BYTES_MAX {
            return Err(Failure::BadOutput);
        }
        let output = memory.get(*buffer..*buffer + length).ok_or(Failure::BadOutput)?;
        T::try_from_slice(output).map_err(|_| Failure::BadOutput)
    }
}

impl fmt::Debug for Ended {
    /// The memory only by its hash: it has a hundred thousand bytes.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let memory = match self {
            Ended::Returned { packed, memory, .. } => {
                write!(formatter, "returned {packed:#x}")?;
                memory
            }
            Ended::Trapped { memory } => {
                formatter.write_str("trapped")?;
                memory
            }
            Ended::Stopped(Bound::Fuel) => return formatter.write_str("was stopped for its work"),
            Ended::Stopped(Bound::Depth) => return formatter.write_str("was stopped for its depth"),
        };
        write!(formatter, " and left {} bytes of memory: {}", memory.len(), blake3::hash(memory))
    }
}
