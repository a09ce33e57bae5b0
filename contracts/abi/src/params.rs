//! Parameters, which have a form that only their contract knows: borsh reads them, on a leash.
//!
//! For a list of bytes or a text, borsh makes room before it looks whether they are there: for as many as are claimed, up to a
//! mebibyte. A guest has no mebibyte, and would break where the same source, run natively, refuses. For every other list it makes
//! room for a few kibibytes at most, which a guest has.

use borsh::BorshDeserialize;
use borsh::io::{Error, ErrorKind, Read, Result};

/// Room in bytes that may be made for what is only claimed: as much as borsh makes for lists of anything but bytes.
const CLAIMED_BYTES_MAX: usize = 4_096;

/// Reads parameters, all of them and nothing else. Nothing is allocated for bytes that are not there.
pub(crate) fn read<P: BorshDeserialize>(bytes: &[u8]) -> Option<P> {
    let mut suspects = true;
    loop {
        let mut reader = Leash { left: bytes, suspects, withheld: false, any_withheld: false, caught: false };
        let params = P::deserialize_reader(&mut reader).ok().filter(|_| reader.left.is_empty());
        if reader.caught {
            return None;
        }
        if !reader.any_withheld {
            return params;
        }
        // Some number was kept from its reader and was no length of a list of bytes. Now that none is, it can be told.
        suspects = false;
    }
}

/// Hands the bytes out. Four bytes may be the length of a list of bytes, or a number like any other: only what is asked next
/// tells, and by then a list has its room. So a number that could not be the length of anything that follows is withheld, one
/// stands in its place, and a list that takes it for its length is caught.
struct Leash<'a> {
    left: &'a [u8],
    suspects: bool,
    /// The last four bytes were withheld.
    withheld: bool,
    any_withheld: bool,
    caught: bool,
}

impl Read for Leash<'_> {
    /// What borsh asks for the bytes of a list, and for nothing else: as many as there are.
    fn read(&mut self, to: &mut [u8]) -> Result<usize> {
        if self.withheld {
            self.caught = true;
            return Err(Error::from(ErrorKind::UnexpectedEof));
        }
        self.left.read(to)
    }

    #[inline(always)]
    fn read_exact(&mut self, to: &mut [u8]) -> Result<()> {
        let parts = self.left.split_at_checked(to.len());
        let (bytes, rest) = parts.ok_or(Error::from(ErrorKind::UnexpectedEof))?;
        to.copy_from_slice(bytes);
        self.left = rest;
        self.withheld = false;
        if let Ok(number) = <&mut [u8; 4]>::try_from(to) {
            let claimed = usize::try_from(u32::from_le_bytes(*number)).unwrap_or(usize::MAX);
            if self.suspects && claimed > rest.len().max(CLAIMED_BYTES_MAX) {
                *number = 1u32.to_le_bytes();
                self.withheld = true;
                self.any_withheld = true;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Numbers, some_bytes};
    use alloc::string::String;
    use alloc::vec;
    use alloc::vec::Vec;
    use borsh::BorshSerialize;
    use core::fmt::Debug;

    /// Every form in which four bytes may stand, before, between and after lists.
    #[derive(Clone, Debug, PartialEq, BorshSerialize, BorshDeserialize)]
    struct Params {
        number: u32,
        bytes: Vec<u8>,
        key: [u8; 4],
        text: String,
        numbers: Vec<u32>,
        pairs: Vec<([u8; 2], Option<u32>)>,
        texts: Vec<String>,
        last: i32,
    }

    fn some_params(numbers: &mut Numbers) -> Params {
        let mut number = || numbers.figure(10_000) as u32;
        let (first, last) = (number(), number().cast_signed());
        let figures = (0..number() % 4).map(|_| number()).collect();
        let pairs = (0..number() % 4).map(|_| ([1, 2], (number() % 2 == 0).then(&mut number))).collect();
        let text = |numbers: &mut Numbers| {
            some_bytes(numbers, 20).iter().map(|byte| char::from(byte % 128)).collect::<String>()
        };
        Params {
            number: first,
            bytes: some_bytes(numbers, 40),
            key: (numbers.figure(9) as u32).to_le_bytes(),
            text: text(numbers),
            numbers: figures,
            pairs,
            texts: (0..numbers.below(4)).map(|_| text(numbers)).collect(),
            last,
        }
    }

    fn same<P: BorshDeserialize + PartialEq + Debug>(bytes: &[u8]) {
        assert_eq!(read::<P>(bytes), P::try_from_slice(bytes).ok(), "{bytes:?}");
    }

    #[test]
    fn parameters_are_read_as_borsh_reads_them() {
        let mut numbers = Numbers::new(9);
        for _ in 0..300 {
            let params = some_params(&mut numbers);
            let bytes = borsh::to_vec(&params).unwrap();
            assert_eq!(read(&bytes), Some(params));
            same::<Params>(&[bytes.as_slice(), &[0]].concat());
            (0..bytes.len()).for_each(|length| same::<Params>(&bytes[..length]));
            for _ in 0..40 {
                let mut broken = bytes.clone();
                let place = numbers.below(bytes.len() as u64) as usize;
                broken[place] = if numbers.once_in(2) { 0xff } else { numbers.next() as u8 };
                same::<Params>(&broken);
            }
        }
        for bytes in [vec![], vec![0; 4], vec![0xff; 4], vec![0xff; 8], vec![1, 0, 0, 0, 7]] {
            same::<Vec<u8>>(&bytes);
            same::<String>(&bytes);
            same::<Vec<u16>>(&bytes);
            same::<(u32, Vec<u8>)>(&bytes);
            same::<(u32, u32)>(&bytes);
            same::<()>(&bytes);
        }
    }

    #[test]
    fn a_list_of_bytes_is_told_from_a_number_before_it_has_room() {
        let mut reader =
            Leash { left: &[0xff; 9], suspects: true, withheld: false, any_withheld: false, caught: false };
        assert!(Vec::<u8>::deserialize_reader(&mut reader).is_err());
        assert!(reader.caught);
        // Room for no more than borsh makes for other lists, whether the bytes are there or not.
        for (claimed, there, caught) in
            [(4_096, 0, false), (4_097, 0, true), (4_097, 4_097, false), (9_000, 8_999, true)]
        {
            let bytes = [u32::to_le_bytes(claimed).as_slice(), &vec![7; there]].concat();
            let mut reader =
                Leash { left: &bytes, suspects: true, withheld: false, any_withheld: false, caught: false };
            assert_eq!(Vec::<u8>::deserialize_reader(&mut reader).is_ok(), there == claimed as usize);
            assert_eq!(reader.caught, caught, "{claimed} claimed, {there} there");
        }
        assert_eq!(read::<(u32, u32)>(&[0xff; 8]), Some((u32::MAX, u32::MAX)));
    }
}
