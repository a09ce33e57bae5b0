//! The bytes between host and guest, ABI version 1.
//!
//! Input at `IO`: borsh of (parameters as bytes, [`Terms`]) for `v1_quote`, of (parameters as bytes, [`Facts`]) for
//! `v1_settle`, of (parameters as bytes, [`Terms`], [`Claims`]) for `v1_admit`, which a module may leave out. Output at
//! `IO`: borsh of [`Quote`], [`Split`] or [`Admission`]. The exported function takes the length of the input
//! and returns `status << 32 | length of the output`; status 0 is success, anything else is a [`Code`].

use alloc::vec::Vec;

use borsh::BorshSerialize;

use crate::claims::{Admission, Claims};
use crate::codec::{Input, Output, Reader, Writer};
use crate::contract::{Code, Contract};
use crate::facts::Facts;
use crate::limits::{IO_BYTES_MAX, OUTPUT_BYTES_MAX};
use crate::params;
use crate::split::{Quote, Split};
use crate::terms::Terms;

/// Name of the exported memory.
pub const EXPORT_MEMORY: &str = "memory";
/// Name of the exported constant that holds the address of the buffer.
pub const EXPORT_IO: &str = "IO";
/// Name of the exported quote function.
pub const EXPORT_QUOTE: &str = "v1_quote";
/// Name of the exported settle function.
pub const EXPORT_SETTLE: &str = "v1_settle";
/// Name of the exported admit function. A module without it admits everybody.
pub const EXPORT_ADMIT: &str = "v1_admit";
/// Name of the custom section in which a module says what it is, as [`crate::ModuleMeta`].
pub const SECTION_META: &str = "sdk.meta";

/// Input of `v1_quote`, or `None` if it is larger than [`IO_BYTES_MAX`].
#[must_use]
pub fn quote_input(params: &[u8], terms: &Terms) -> Option<Vec<u8>> {
    input(&(params, terms))
}

/// Input of `v1_settle`, or `None` if it is larger than [`IO_BYTES_MAX`].
#[must_use]
pub fn settle_input(params: &[u8], facts: &Facts) -> Option<Vec<u8>> {
    input(&(params, facts))
}

/// Input of `v1_admit`, or `None` if it is larger than [`IO_BYTES_MAX`].
#[must_use]
pub fn admit_input(params: &[u8], terms: &Terms, claims: &Claims) -> Option<Vec<u8>> {
    input(&(params, terms, claims))
}

fn input<T: BorshSerialize>(value: &T) -> Option<Vec<u8>> {
    let bytes = borsh::to_vec(value).ok()?;
    (bytes.len() <= IO_BYTES_MAX).then_some(bytes)
}

/// Runs a contract's `quote` on the buffer as the exported function does. The result is the packed status and length.
pub fn serve_quote<C: Contract>(io: &mut [u8], length: u32) -> u64 {
    let answer = quote::<C>(io, length);
    close(io, answer)
}

/// Runs a contract's `settle` on the buffer as the exported function does. The result is the packed status and length.
pub fn serve_settle<C: Contract>(io: &mut [u8], length: u32) -> u64 {
    let answer = settle::<C>(io, length);
    close(io, answer)
}

/// Runs a contract's `admit` on the buffer as the exported function does. The result is the packed status and length.
pub fn serve_admit<C: Contract>(io: &mut [u8], length: u32) -> u64 {
    let answer = admit::<C>(io, length);
    close(io, answer)
}

// What is read stays where it is read to: each value that is handed on by value is copied, word by word, by an
// interpreter. Hence one function for each, and references from there on.

#[inline(always)]
fn quote<C: Contract>(io: &[u8], length: u32) -> Result<Quote, Code> {
    let (params, mut reader) = open(io, length)?;
    let terms = Terms::read(&mut reader).ok_or(Code::BAD_INPUT)?;
    reader.done().ok_or(Code::BAD_INPUT)?;
    C::quote(&params_of::<C>(params)?, &terms)
}

#[inline(always)]
fn settle<C: Contract>(io: &[u8], length: u32) -> Result<Split, Code> {
    let (params, mut reader) = open(io, length)?;
    let facts = Facts::read(&mut reader).ok_or(Code::BAD_INPUT)?;
    reader.done().ok_or(Code::BAD_INPUT)?;
    if facts.abi != C::META.abi {
        return Err(Code::UNSUPPORTED);
    }
    C::settle(&params_of::<C>(params)?, &facts)
}

#[inline(always)]
fn admit<C: Contract>(io: &[u8], length: u32) -> Result<Admission, Code> {
    let (params, mut reader) = open(io, length)?;
    let terms = Terms::read(&mut reader).ok_or(Code::BAD_INPUT)?;
    let claims = Claims::read(&mut reader).ok_or(Code::BAD_INPUT)?;
    reader.done().ok_or(Code::BAD_INPUT)?;
    C::admit(&params_of::<C>(params)?, &terms, &claims)
}

/// The bytes of the parameters, and a reader of what follows them.
#[inline(always)]
fn open(io: &[u8], length: u32) -> Result<(&[u8], Reader<'_>), Code> {
    let length = usize::try_from(length).map_err(|_| Code::BAD_INPUT)?;
    let mut reader = Reader::new(io.get(..length).ok_or(Code::BAD_INPUT)?);
    let params = reader.bytes().ok_or(Code::BAD_INPUT)?;
    Ok((params, reader))
}

#[inline(always)]
fn params_of<C: Contract>(bytes: &[u8]) -> Result<C::Params, Code> {
    params::read(bytes).ok_or(Code::BAD_PARAMS)
}

fn close<T: Output>(io: &mut [u8], answer: Result<T, Code>) -> u64 {
    let written = answer.and_then(|value| {
        let room = io.len().min(OUTPUT_BYTES_MAX);
        let mut writer = Writer::new(io.get_mut(..room).ok_or(Code::OUTPUT_TOO_LARGE)?);
        value.write(&mut writer).ok_or(Code::OUTPUT_TOO_LARGE)?;
        Ok(room.saturating_sub(writer.left()))
    });
    match written {
        Ok(length) => pack(0, u32::try_from(length).unwrap_or(u32::MAX)),
        Err(Code(0)) => pack(Code::NO_REASON.0, 0),
        Err(code) => pack(code.0, 0),
    }
}

fn pack(status: u32, length: u32) -> u64 {
    u64::from(status) << 32 | u64::from(length)
}

/// The status and the length in what an exported function returned.
#[must_use]
pub fn unpack(packed: u64) -> (u32, u32) {
    let [a, b, c, d, e, f, g, h] = packed.to_be_bytes();
    (u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes([e, f, g, h]))
}
