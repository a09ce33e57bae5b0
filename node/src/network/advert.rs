//! The adverts this node has heard and that still hold.

use super::Acceptance;
use hansa_ledger_signature::{PublicKey, SignatureError, Signed as _, verify_bytes};
use hansa_node_api::peer::advert::{Advert, AdvertShape};
use std::collections::BTreeMap;

/// The most adverts that are remembered.
pub const ADVERTS_MAX: usize = 4_096;

/// The most adverts of one signer that are remembered: no one can take the others' places.
pub const ADVERTS_PER_SIGNER_MAX: usize = 64;

/// Why an advert is not remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AdvertRefusal {
    /// Wrong in itself.
    #[error(transparent)]
    Shape(#[from] AdvertShape),
    /// The key may not speak for that organisation, as far as this node knows.
    #[error("the signer is not known as a key of the provider it names")]
    Signer,
    /// One as late or later is known.
    #[error("an advert as late as this one is known already")]
    Stale,
    /// Too many are remembered.
    #[error("too many adverts are remembered; this one may come again later")]
    Full,
    /// The signature does not hold.
    #[error("the advert's signature does not hold: {0}")]
    Signature(#[from] SignatureError),
}

impl AdvertRefusal {
    /// What gossip is told. Only what every honest member could see before passing it on counts against the sender: clocks,
    /// registries and memories differ.
    #[must_use]
    pub fn acceptance(&self) -> Acceptance {
        match self {
            Self::Signature(_)
            | Self::Shape(
                AdvertShape::Encoding
                | AdvertShape::Chain
                | AdvertShape::Name
                | AdvertShape::Counts
                | AdvertShape::Lifetime,
            ) => Acceptance::Reject,
            Self::Shape(AdvertShape::Future | AdvertShape::Past)
            | Self::Signer
            | Self::Stale
            | Self::Full => Acceptance::Ignore,
        }
    }
}

/// The latest advert of each signer, site and class.
#[derive(Debug, Default)]
pub struct AdvertBook {
    adverts: BTreeMap<(PublicKey, String, String), Advert>,
}

impl AdvertBook {
    /// An empty book.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads an advert and remembers it. `speaks_for` says whether a key is one of the organisation's; nothing at all is kept
    /// about an advert before that holds and its signature has been checked.
    ///
    /// # Errors
    /// [`AdvertRefusal`], whose [`AdvertRefusal::acceptance`] is the answer to gossip.
    pub fn hear(
        &mut self,
        bytes: &[u8],
        chain_id: &[u8; 32],
        now_ms: u64,
        speaks_for: impl Fn(&PublicKey, &[u8; 32]) -> bool,
    ) -> Result<&Advert, AdvertRefusal> {
        let advert = Advert::decode(bytes, chain_id, now_ms)?;
        let content = &advert.content;
        if !speaks_for(&content.signer, &content.provider) {
            return Err(AdvertRefusal::Signer);
        }
        let key = (content.signer, content.site.clone(), content.class.clone());
        let known = self.adverts.get(&key);
        if known.is_some_and(|known| known.content.sequence >= content.sequence) {
            return Err(AdvertRefusal::Stale);
        }
        if known.is_none() {
            self.drop_past(now_ms);
            let of_signer = self.adverts.keys().filter(|(signer, ..)| *signer == content.signer);
            if self.adverts.len() >= ADVERTS_MAX || of_signer.count() >= ADVERTS_PER_SIGNER_MAX {
                return Err(AdvertRefusal::Full);
            }
        }
        verify_bytes(&advert.signer(), &advert.signing_bytes(), &advert.signature())?;
        let slot = self.adverts.entry(key);
        Ok(slot.insert_entry(advert).into_mut())
    }

    /// Forgets the adverts whose time is over.
    pub fn drop_past(&mut self, now_ms: u64) {
        self.adverts.retain(|_, advert| advert.ends_ms() > now_ms);
    }

    /// The adverts that hold now, by signer, site and class.
    pub fn list(&self, now_ms: u64) -> impl Iterator<Item = &Advert> {
        self.adverts.values().filter(move |advert| advert.ends_ms() > now_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hansa_ledger_signature::SecretKey;
    use hansa_node_api::peer::advert::AdvertContent;

    const CHAIN: [u8; 32] = [1; 32];

    fn advert(key: u8, site: &str, sequence: u64, free: u32) -> Advert {
        let content = AdvertContent {
            chain_id: CHAIN,
            provider: [key; 32],
            site: site.to_owned(),
            class: "h100-80-ib".to_owned(),
            free,
            total: 100,
            tier: 1,
            price_ask_ueur: 2_000_000,
            issued_ms: 1_000,
            lives_ms: 1_000,
            sequence,
            signer: PublicKey([0; 32]),
        };
        Advert::sign(content, &SecretKey::from_bytes([key; 32]))
    }

    fn speaks_for(signer: &PublicKey, provider: &[u8; 32]) -> bool {
        *signer == SecretKey::from_bytes(*provider).public_key()
    }

    fn hear(book: &mut AdvertBook, advert: &Advert, now_ms: u64) -> Result<(), AdvertRefusal> {
        book.hear(&advert.encode(), &CHAIN, now_ms, speaks_for).map(|_| ())
    }

    #[test]
    fn the_latest_of_each_is_listed_until_its_time_is_over() {
        let mut book = AdvertBook::new();
        for (site, sequence, free) in [("a", 1, 10), ("a", 3, 30), ("a", 2, 20), ("b", 1, 5)] {
            let expected = if sequence == 2 { Err(AdvertRefusal::Stale) } else { Ok(()) };
            assert_eq!(hear(&mut book, &advert(7, site, sequence, free), 1_500), expected);
        }
        let free = |now_ms| book.list(now_ms).map(|advert| advert.content.free).collect::<Vec<_>>();
        assert_eq!(free(1_999), [30, 5]);
        assert_eq!(free(2_000), Vec::<u32>::new());
        assert_eq!(
            hear(&mut AdvertBook::new(), &advert(7, "a", 1, 1), 2_000),
            Err(AdvertRefusal::Shape(AdvertShape::Past))
        );
    }

    #[test]
    fn strangers_impostors_and_forgeries_leave_no_trace() {
        let mut book = AdvertBook::new();
        let mut forged = advert(7, "a", 9, 1);
        forged.content.free = 2;
        assert_eq!(hear(&mut book, &forged, 1_500), Err(AdvertRefusal::Signature(SignatureError::Mismatch)));
        let mut impostor = advert(7, "a", 9, 1);
        impostor.content.provider = [8; 32];
        let impostor = Advert::sign(impostor.content, &SecretKey::from_bytes([7; 32]));
        assert_eq!(hear(&mut book, &impostor, 1_500), Err(AdvertRefusal::Signer));
        assert_eq!(book.adverts.len(), 0);
        // A forgery with a high sequence does not lock the true one out.
        assert_eq!(hear(&mut book, &advert(7, "a", 1, 1), 1_500), Ok(()));
    }

    #[test]
    fn the_book_is_bounded_in_all_and_for_each_signer() {
        let mut book = AdvertBook::new();
        let sites: Vec<String> = (0..ADVERTS_PER_SIGNER_MAX).map(|site| site.to_string()).collect();
        for key in 0..(ADVERTS_MAX / ADVERTS_PER_SIGNER_MAX) {
            for site in &sites {
                // The fill skips the signatures, which are not what this test is about.
                let advert = Advert {
                    content: AdvertContent {
                        signer: PublicKey([key as u8; 32]),
                        ..advert(1, site, 1, 1).content
                    },
                    signature: hansa_ledger_signature::Signature([0; 64]),
                };
                let content = &advert.content;
                let slot = (content.signer, content.site.clone(), content.class.clone());
                book.adverts.insert(slot, advert);
            }
            if key == 0 {
                let signer = PublicKey([0; 32]);
                let mut more = advert(1, "more", 1, 1);
                more.content.signer = signer;
                let outcome = book.hear(&more.encode(), &CHAIN, 1_500, |_, _| true).map(|_| ());
                assert_eq!(outcome, Err(AdvertRefusal::Full), "one signer's share");
            }
        }
        assert_eq!(hear(&mut book, &advert(200, "a", 1, 1), 1_500), Err(AdvertRefusal::Full));
        // What is past makes room.
        book.adverts.values_mut().next().unwrap().content.lives_ms = 1;
        assert_eq!(hear(&mut book, &advert(200, "a", 1, 1), 1_500), Ok(()));
        assert_eq!(book.adverts.len(), ADVERTS_MAX);
    }
}
