//! What a contract says about itself, and where its module says it.

use alloc::string::String;

use borsh::{BorshDeserialize, BorshSerialize};

use crate::limits::{NAME_BYTES_MAX, TARIFF_BYTES_MAX};

/// What a contract says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meta {
    /// Name of the template.
    pub name: &'static str,
    /// Version of the template, as semantic versioning has it.
    pub version: &'static str,
    /// The ABI it is written for.
    pub abi: u16,
    /// The tariff in plain language: what the parties agree to, and what the code has to do. Its hash is signed.
    pub tariff: &'static str,
}

/// What the custom section [`crate::wire::SECTION_META`] of a module holds.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct ModuleMeta {
    /// Name of the template.
    pub name: String,
    /// Version of the template.
    pub version: String,
    /// The ABI it is written for.
    pub abi: u16,
    /// The tariff in plain language.
    pub tariff: String,
}

impl Meta {
    /// Length of what [`Meta::encode`] gives.
    #[must_use]
    pub const fn encoded_len(&self) -> usize {
        // Three length prefixes of four bytes, and the two bytes of the ABI.
        14usize
            .saturating_add(self.name.len())
            .saturating_add(self.version.len())
            .saturating_add(self.tariff.len())
    }

    /// Borsh of the [`ModuleMeta`] with the same content, at compile time: what `export!` puts into the module. `N` is
    /// [`Meta::encoded_len`].
    #[must_use]
    pub const fn encode<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        let place = put_text(&mut bytes, 0, self.name);
        let place = put_text(&mut bytes, place, self.version);
        let place = put(&mut bytes, place, &self.abi.to_le_bytes());
        put_text(&mut bytes, place, self.tariff);
        bytes
    }
}

impl ModuleMeta {
    /// Reads the content of the section, or `None` if it is not one: not canonical borsh, without a name or version,
    /// or with a text that is too long.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let meta = Self::try_from_slice(bytes).ok()?;
        let named = |text: &str| !text.is_empty() && text.len() <= NAME_BYTES_MAX;
        (named(&meta.name) && named(&meta.version) && meta.tariff.len() <= TARIFF_BYTES_MAX).then_some(meta)
    }
}

const fn put_text(bytes: &mut [u8], place: usize, text: &str) -> usize {
    // A text longer than a module may be is refused there; here it only must not break the compiler.
    let length = (text.len() as u32).to_le_bytes();
    let place = put(bytes, place, &length);
    put(bytes, place, text.as_bytes())
}

const fn put(bytes: &mut [u8], place: usize, part: &[u8]) -> usize {
    let mut index = 0;
    while index < part.len() {
        bytes[place.saturating_add(index)] = part[index];
        index = index.saturating_add(1);
    }
    place.saturating_add(index)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    const META: Meta = Meta { name: "talker", version: "1.2.3", abi: 1, tariff: "Pay 1 € for each word." };

    #[test]
    fn the_section_is_the_meta_in_borsh() {
        const BYTES: [u8; META.encoded_len()] = META.encode();
        let read = ModuleMeta::decode(&BYTES).unwrap();
        assert_eq!(
            (read.name.as_str(), read.version.as_str(), read.abi, read.tariff.as_str()),
            (META.name, META.version, META.abi, META.tariff)
        );
        assert_eq!(borsh::to_vec(&read).unwrap(), BYTES);
        let trailing: Vec<u8> = BYTES.iter().copied().chain([0]).collect();
        assert_eq!(ModuleMeta::decode(&trailing), None);
        assert_eq!(ModuleMeta::decode(&BYTES[..20]), None);
        let check = |change: fn(&mut ModuleMeta)| {
            let mut meta = read.clone();
            change(&mut meta);
            ModuleMeta::decode(&borsh::to_vec(&meta).unwrap()).is_some()
        };
        assert!(check(|meta| meta.name = "n".repeat(64)) && !check(|meta| meta.name = "n".repeat(65)));
        assert!(!check(|meta| meta.name.clear()) && !check(|meta| meta.version.clear()));
        assert!(
            check(|meta| meta.tariff = "t".repeat(8_192)) && !check(|meta| meta.tariff = "t".repeat(8_193))
        );
    }
}
