//! The bytes of the wire, read and written by hand.
//!
//! These are the bytes of borsh, and a test holds both to the same meaning for whole, cut and broken input. What this
//! saves is fuel: parts of known size are checked once and not field by field, nothing is copied before it is read, and
//! there is no error with a text in it for an interpreter to carry along.

use alloc::vec::Vec;

use crate::claims::{Admission, Claims};
use crate::facts::{Ctx, Escrow, Evidence, Facts, Reading, Trigger, Usage, Window};
use crate::split::{Quote, Split};
use crate::terms::{Money, Party, Price, Role, SlaStep, Terms, Unit};

/// Bytes that are still to be read.
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Reader(bytes)
    }

    /// Nothing, if there are bytes left over.
    #[inline(always)]
    pub(crate) fn done(&self) -> Option<()> {
        self.0.is_empty().then_some(())
    }

    /// A list of bytes, in place.
    pub(crate) fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.u32()?).ok()?;
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes)
    }

    #[inline(always)]
    fn take<const N: usize>(&mut self) -> Option<&'a [u8; N]> {
        let (bytes, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(bytes)
    }

    /// A reader of the next `N` bytes: one check for all that is in them, since the compiler knows how many there are.
    #[inline(always)]
    fn fixed<const N: usize>(&mut self) -> Option<Reader<'a>> {
        self.take::<N>().map(|bytes| Reader(bytes))
    }

    #[inline(always)]
    fn u8(&mut self) -> Option<u8> {
        self.take::<1>().map(|[byte]| *byte)
    }

    #[inline(always)]
    fn u16(&mut self) -> Option<u16> {
        self.take().copied().map(u16::from_le_bytes)
    }

    #[inline(always)]
    fn u32(&mut self) -> Option<u32> {
        self.take().copied().map(u32::from_le_bytes)
    }

    #[inline(always)]
    fn u64(&mut self) -> Option<u64> {
        self.take().copied().map(u64::from_le_bytes)
    }

    #[inline(always)]
    fn u128(&mut self) -> Option<u128> {
        self.take().copied().map(u128::from_le_bytes)
    }

    #[inline(always)]
    fn option<T>(&mut self, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<Option<T>> {
        match self.u8()? {
            0 => Some(None),
            1 => read(self).map(Some),
            _ => None,
        }
    }

    /// A list of values that have `N` bytes each. Nothing is allocated for values that are not there.
    #[inline(always)]
    fn list<const N: usize, T>(&mut self, read: impl Fn(&mut Reader<'a>) -> Option<T>) -> Option<Vec<T>> {
        let count = usize::try_from(self.u32()?).ok()?;
        if count == 0 {
            return Some(Vec::new());
        }
        let (bytes, rest) = self.0.split_at_checked(count.checked_mul(N)?)?;
        self.0 = rest;
        let mut values = Vec::with_capacity(count);
        let mut values_left = Reader(bytes);
        while let Some(mut value) = values_left.fixed::<N>() {
            // There is room for all of them, which spares the guest the code that makes more.
            if values.len() == values.capacity() {
                return None;
            }
            values.push(read(&mut value)?);
        }
        Some(values)
    }
}

/// What a contract is handed.
pub(crate) trait Input: Sized {
    /// Reads one, or nothing if the bytes are not one.
    fn read(from: &mut Reader<'_>) -> Option<Self>;
}

impl Input for Terms {
    #[inline(always)]
    fn read(from: &mut Reader<'_>) -> Option<Self> {
        let parties = from.list::<1, _>(|from| role(from.u8()?))?;
        let mut fixed = from.fixed::<69>()?;
        let unit = unit(fixed.u8()?)?;
        Some(Terms {
            parties,
            unit,
            units: fixed.u64()?,
            start: fixed.u64()?,
            end: fixed.u64()?,
            price: Price { num: fixed.u128()?, den: fixed.u64()? },
            fee_bps: fixed.u16()?,
            sponsor_bps: fixed.u16()?,
            slash_max: fixed.u128()?,
            sla: from
                .list::<4, _>(|from| Some(SlaStep { below_bps: from.u16()?, credit_bps: from.u16()? }))?,
        })
    }
}

impl Input for Facts {
    #[inline(always)]
    fn read(from: &mut Reader<'_>) -> Option<Self> {
        let abi = from.u16()?;
        let terms = Terms::read(from)?;
        let windows = from.list::<25, _>(window)?;
        let readings = from.list::<8, _>(|from| Some(Reading { index: from.u32()?, value: from.u32()? }))?;
        let mut fixed = from.fixed::<80>()?;
        let usage = Usage { windows, readings, cumulative: fixed.u128()? };
        let escrow = Escrow { locked: fixed.u128()?, paid: fixed.u128()?, stake: fixed.u128()? };
        let (height, now) = (fixed.u64()?, fixed.u64()?);
        let trigger = trigger(from)?;
        let quota_left = from.option(Reader::u128)?;
        let state = match from.bytes()? {
            // Spares most calls the way to the allocator and back.
            [] => Vec::new(),
            state => state.into(),
        };
        Some(Facts { abi, terms, usage, escrow, ctx: Ctx { height, now, trigger, quota_left }, state })
    }
}

impl Input for Claims {
    #[inline(always)]
    fn read(from: &mut Reader<'_>) -> Option<Self> {
        Some(Claims {
            home: *from.take()?,
            class: from.u8()?,
            sponsor: from.option(|from| from.take().copied())?,
            purpose: from.option(Reader::u8)?,
        })
    }
}

fn role(tag: u8) -> Option<Role> {
    Some(match tag {
        0 => Role::Requester,
        1 => Role::Provider,
        2 => Role::Operator,
        3 => Role::Sponsor,
        4 => Role::Named,
        _ => return None,
    })
}

fn unit(tag: u8) -> Option<Unit> {
    match tag {
        0 => Some(Unit::AcceleratorSecond),
        _ => None,
    }
}

#[inline(always)]
fn window(from: &mut Reader<'_>) -> Option<Window> {
    Some(Window {
        index: from.u32()?,
        delivered: from.u64()?,
        committed: from.u64()?,
        up_secs: from.u32()?,
        source: match from.u8()? {
            0 => Evidence::Both,
            1 => Evidence::ProviderOnly,
            2 => Evidence::RequesterOnly,
            _ => return None,
        },
    })
}

#[inline(always)]
fn trigger(from: &mut Reader<'_>) -> Option<Trigger> {
    Some(match from.u8()? {
        0 => Trigger::Interim,
        1 => Trigger::Final,
        2 => Trigger::Expired,
        3 => Trigger::Cancelled { by: Party(from.u8()?) },
        4 => Trigger::NoShow,
        5 => Trigger::Ruling { provider_bps: from.u16()? },
        _ => return None,
    })
}

/// Room that is still to be written to.
pub(crate) struct Writer<'a>(&'a mut [u8]);

impl<'a> Writer<'a> {
    pub(crate) fn new(room: &'a mut [u8]) -> Self {
        Writer(room)
    }

    /// Bytes that are still free.
    pub(crate) fn left(&self) -> usize {
        self.0.len()
    }

    #[inline(always)]
    fn put<const N: usize>(&mut self, bytes: [u8; N]) -> Option<()> {
        let (place, rest) = core::mem::take(&mut self.0).split_first_chunk_mut()?;
        *place = bytes;
        self.0 = rest;
        Some(())
    }

    #[inline(always)]
    fn count(&mut self, count: usize) -> Option<()> {
        self.put(u32::try_from(count).ok()?.to_le_bytes())
    }

    #[inline(always)]
    fn bytes(&mut self, bytes: &[u8]) -> Option<()> {
        self.count(bytes.len())?;
        if bytes.is_empty() {
            return Some(());
        }
        let (place, rest) = core::mem::take(&mut self.0).split_at_mut_checked(bytes.len())?;
        place.copy_from_slice(bytes);
        self.0 = rest;
        Some(())
    }
}

/// What a contract answers.
pub(crate) trait Output {
    /// Writes it, or nothing if there is no room for it.
    fn write(&self, to: &mut Writer<'_>) -> Option<()>;
}

impl Output for Quote {
    fn write(&self, to: &mut Writer<'_>) -> Option<()> {
        to.put(self.lock.to_le_bytes())?;
        to.put(self.stake.to_le_bytes())
    }
}

impl Output for Split {
    #[inline(always)]
    fn write(&self, to: &mut Writer<'_>) -> Option<()> {
        to.count(self.pay.len())?;
        for (party, amount) in &self.pay {
            let amount: &Money = amount;
            to.put([party.0])?;
            to.put(amount.to_le_bytes())?;
        }
        to.put(self.slash.to_le_bytes())?;
        to.put(self.consume.to_le_bytes())?;
        to.count(self.notes.len())?;
        for note in &self.notes {
            to.put(note.code.to_le_bytes())?;
            to.bytes(&note.bytes)?;
        }
        to.bytes(&self.state)
    }
}

impl Output for Admission {
    fn write(&self, to: &mut Writer<'_>) -> Option<()> {
        match self {
            Admission::Yes => to.put([0]),
            Admission::No(reason) => {
                to.put([1])?;
                to.put(reason.to_le_bytes())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Numbers, some_bytes, some_claims, some_facts};
    use crate::{Note, facts};
    use alloc::vec;
    use borsh::{BorshDeserialize, BorshSerialize};
    use core::fmt::Debug;

    fn read<T: Input>(bytes: &[u8]) -> Option<T> {
        let mut reader = Reader::new(bytes);
        T::read(&mut reader).filter(|_| reader.done().is_some())
    }

    /// Both read the same of the value's bytes, of each beginning of them, and of bytes that were broken.
    fn same_input<T: Input + BorshSerialize + BorshDeserialize + PartialEq + Debug>(
        value: &T,
        numbers: &mut Numbers,
    ) {
        let bytes = borsh::to_vec(value).unwrap();
        assert_eq!(read::<T>(&bytes).as_ref(), Some(value));
        for length in 0..bytes.len() {
            assert_eq!(read::<T>(&bytes[..length]), None, "{length} bytes of {value:?}");
        }
        assert_eq!(read::<T>(&[bytes.as_slice(), &[0]].concat()), None, "a byte too many");
        for _ in 0..40 {
            let mut broken = bytes.clone();
            let place = numbers.below(bytes.len() as u64) as usize;
            broken[place] = if numbers.once_in(2) { numbers.below(8) as u8 } else { numbers.next() as u8 };
            assert_eq!(read::<T>(&broken), T::try_from_slice(&broken).ok(), "byte {place} of {value:?}");
        }
    }

    #[test]
    fn input_is_read_as_borsh_reads_it() {
        let mut numbers = Numbers::new(7);
        for _ in 0..200 {
            let facts = some_facts(&mut numbers);
            same_input(&facts.terms, &mut numbers);
            same_input(&some_claims(&mut numbers), &mut numbers);
            same_input(&facts, &mut numbers);
        }
        // More windows than there are bytes in the world.
        let mut bytes = borsh::to_vec(&crate::testing::facts()).unwrap();
        let windows = bytes.windows(4).rposition(|part| part == [0; 4]).unwrap();
        bytes[windows..windows + 4].copy_from_slice(&[0xff; 4]);
        assert_eq!(read::<facts::Facts>(&bytes), None);
    }

    #[test]
    fn output_is_written_as_borsh_writes_it() {
        let check = |value: &dyn Fn(&mut Writer<'_>) -> Option<()>, want: Vec<u8>| {
            for room in [want.len(), want.len() + 9] {
                let mut bytes = vec![0; room];
                let mut writer = Writer::new(&mut bytes);
                value(&mut writer).unwrap();
                assert_eq!(writer.left(), room - want.len());
                bytes.truncate(want.len());
                assert_eq!(bytes, want);
            }
            for room in 0..want.len() {
                assert_eq!(
                    value(&mut Writer::new(&mut vec![0; room])),
                    None,
                    "{room} of {} bytes",
                    want.len()
                );
            }
        };
        let mut numbers = Numbers::new(8);
        for _ in 0..100 {
            let quote = Quote { lock: numbers.next().into(), stake: u128::MAX - u128::from(numbers.next()) };
            check(&|to| quote.write(to), borsh::to_vec(&quote).unwrap());
            let split = Split {
                pay: (0..numbers.below(17) as u8)
                    .map(|party| (Party(party), numbers.next().into()))
                    .collect(),
                slash: numbers.next().into(),
                consume: numbers.next().into(),
                notes: (0..numbers.below(4))
                    .map(|_| Note { code: numbers.next() as u16, bytes: some_bytes(&mut numbers, 20) })
                    .collect(),
                state: some_bytes(&mut numbers, 20),
            };
            check(&|to| split.write(to), borsh::to_vec(&split).unwrap());
        }
        for admission in [Admission::Yes, Admission::No(0x0102_0304)] {
            check(&|to| admission.write(to), borsh::to_vec(&admission).unwrap());
        }
    }
}
