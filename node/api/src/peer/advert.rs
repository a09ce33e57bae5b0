//! A signed, short-lived statement of what capacity is free now. It informs people and binds nobody.

use borsh::{BorshDeserialize, BorshSerialize};
use hansa_ledger_signature::{PublicKey, SecretKey, Signature, Signed};

/// The longest site or class name, in bytes.
pub const NAME_BYTES_MAX: usize = 48;

/// The longest an advert may live, in milliseconds.
pub const LIVES_MS_MAX: u64 = 5 * 60 * 1_000;

/// The most bytes of an advert on the wire.
pub const ADVERT_BYTES_MAX: usize = 512;

/// How far a signer's clock may run ahead of ours, in milliseconds.
pub const CLOCK_AHEAD_MS_MAX: u64 = 30_000;

/// What is signed first, so that a signature over an advert is never one over anything else.
const DOMAIN: &[u8] = b"hansa/advert/1";

/// What a provider says about one class at one site.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct AdvertContent {
    /// The federation.
    pub chain_id: [u8; 32],
    /// The organisation that offers.
    pub provider: [u8; 32],
    /// The site's name, 1 to 48 bytes.
    pub site: String,
    /// The resource class, 1 to 48 bytes.
    pub class: String,
    /// Accelerators free now.
    pub free: u32,
    /// Accelerators in all.
    pub total: u32,
    /// The sandbox tier that jobs run in.
    pub tier: u8,
    /// The ask, in micro-euro for one accelerator-hour.
    pub price_ask_ueur: u64,
    /// When it was signed, in milliseconds since 1970.
    pub issued_ms: u64,
    /// How long it holds from then, in milliseconds, at most five minutes.
    pub lives_ms: u64,
    /// Counts up with each advert of this signer; a later one replaces an earlier.
    pub sequence: u64,
    /// Who signs: a key of the provider.
    pub signer: PublicKey,
}

/// An advert with its signature.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Advert {
    /// What is said.
    pub content: AdvertContent,
    /// By the signer, over the domain tag and the content.
    pub signature: Signature,
}

/// Why an advert is refused before its signer or signature is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AdvertShape {
    /// Too many bytes, bytes left over, or not an advert.
    #[error("the bytes are not one advert")]
    Encoding,
    /// Another federation's.
    #[error("the advert belongs to another federation")]
    Chain,
    /// A name is empty or over 48 bytes.
    #[error("a site or class name is empty or over {NAME_BYTES_MAX} bytes")]
    Name,
    /// More free than there are.
    #[error("the advert says more is free than there is")]
    Counts,
    /// It lives for nothing or over five minutes.
    #[error("an advert lives between 1 ms and 5 minutes")]
    Lifetime,
    /// It was issued in the future by more than clocks may differ.
    #[error("the advert was issued in the future; a clock is wrong")]
    Future,
    /// Its time is over.
    #[error("the advert's time is over")]
    Past,
}

impl Advert {
    /// Signs the content; the signer named in it becomes the key's owner.
    #[must_use]
    pub fn sign(mut content: AdvertContent, key: &SecretKey) -> Self {
        content.signer = key.public_key();
        let signature = key.sign(&signing_bytes(&content));
        Self { content, signature }
    }

    /// The canonical bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        borsh::to_vec(self).expect("writing to memory does not fail")
    }

    /// Reads the canonical bytes of one advert and checks what needs no state, but not the signature.
    ///
    /// # Errors
    /// The first thing found wrong.
    pub fn decode(bytes: &[u8], chain_id: &[u8; 32], now_ms: u64) -> Result<Self, AdvertShape> {
        if bytes.len() > ADVERT_BYTES_MAX {
            return Err(AdvertShape::Encoding);
        }
        let advert: Self = borsh::from_slice(bytes).map_err(|_| AdvertShape::Encoding)?;
        advert.check(chain_id, now_ms)?;
        Ok(advert)
    }

    /// Checks what needs no state, but not the signature.
    ///
    /// # Errors
    /// The first thing found wrong.
    pub fn check(&self, chain_id: &[u8; 32], now_ms: u64) -> Result<(), AdvertShape> {
        let content = &self.content;
        if content.chain_id != *chain_id {
            return Err(AdvertShape::Chain);
        }
        for name in [&content.site, &content.class] {
            if name.is_empty() || name.len() > NAME_BYTES_MAX {
                return Err(AdvertShape::Name);
            }
        }
        if content.free > content.total {
            return Err(AdvertShape::Counts);
        }
        if content.lives_ms == 0 || content.lives_ms > LIVES_MS_MAX {
            return Err(AdvertShape::Lifetime);
        }
        if content.issued_ms > now_ms.saturating_add(CLOCK_AHEAD_MS_MAX) {
            return Err(AdvertShape::Future);
        }
        if self.ends_ms() <= now_ms {
            return Err(AdvertShape::Past);
        }
        Ok(())
    }

    /// When it stops to hold, in milliseconds since 1970.
    #[must_use]
    pub fn ends_ms(&self) -> u64 {
        self.content.issued_ms.saturating_add(self.content.lives_ms)
    }
}

impl Signed for Advert {
    fn signer(&self) -> PublicKey {
        self.content.signer
    }

    fn signature(&self) -> Signature {
        self.signature
    }

    fn signing_bytes(&self) -> Vec<u8> {
        signing_bytes(&self.content)
    }
}

fn signing_bytes(content: &AdvertContent) -> Vec<u8> {
    let mut bytes = DOMAIN.to_vec();
    BorshSerialize::serialize(content, &mut bytes).expect("writing to memory does not fail");
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content() -> AdvertContent {
        AdvertContent {
            chain_id: [1; 32],
            provider: [2; 32],
            site: "x".repeat(NAME_BYTES_MAX),
            class: "y".repeat(NAME_BYTES_MAX),
            free: 3,
            total: 4,
            tier: 1,
            price_ask_ueur: 2_500_000,
            issued_ms: 10_000,
            lives_ms: 60_000,
            sequence: 1,
            signer: PublicKey([0; 32]),
        }
    }

    #[test]
    fn shape_is_checked_field_by_field() {
        type Change = fn(&mut AdvertContent);
        let table: [(Change, Result<(), AdvertShape>); 11] = [
            (|_| (), Ok(())),
            (|content| content.chain_id = [0; 32], Err(AdvertShape::Chain)),
            (|content| content.site.push('x'), Err(AdvertShape::Name)),
            (|content| content.class.clear(), Err(AdvertShape::Name)),
            (|content| content.free = 5, Err(AdvertShape::Counts)),
            (|content| content.lives_ms = 0, Err(AdvertShape::Lifetime)),
            (|content| content.lives_ms = LIVES_MS_MAX + 1, Err(AdvertShape::Lifetime)),
            (|content| content.issued_ms = 20_001 + CLOCK_AHEAD_MS_MAX, Err(AdvertShape::Future)),
            (|content| content.issued_ms = u64::MAX, Err(AdvertShape::Future)),
            (|content| content.lives_ms = 10_000, Err(AdvertShape::Past)),
            (|content| content.lives_ms = 10_001, Ok(())),
        ];
        for (index, (change, expected)) in table.into_iter().enumerate() {
            let mut content = content();
            change(&mut content);
            let advert = Advert::sign(content, &SecretKey::from_bytes([7; 32]));
            let bytes = advert.encode();
            let verdict = Advert::decode(&bytes, &[1; 32], 20_000).map(|decoded| {
                assert_eq!(decoded, advert);
            });
            assert_eq!(verdict, expected, "row {index}");
        }
    }

    #[test]
    fn the_longest_advert_fits_and_a_byte_more_does_not() {
        let mut bytes = Advert::sign(content(), &SecretKey::from_bytes([7; 32])).encode();
        assert!(bytes.len() <= ADVERT_BYTES_MAX);
        bytes.push(0);
        assert_eq!(Advert::decode(&bytes, &[1; 32], 20_000), Err(AdvertShape::Encoding));
    }
}
