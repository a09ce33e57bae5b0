//! What a contract is.

use core::fmt;

use borsh::{BorshDeserialize, BorshSerialize};

use crate::claims::{Admission, Claims};
use crate::facts::Facts;
use crate::meta::Meta;
use crate::split::{Quote, Split};
use crate::terms::Terms;

/// Why a contract refused. 1 to 99 are shared by all contracts and listed here; a contract's own start at 1,000.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
pub struct Code(pub u32);

impl Code {
    /// The input does not decode, or bytes are left over.
    pub const BAD_INPUT: Code = Code(1);
    /// A result does not fit.
    pub const OVERFLOW: Code = Code(2);
    /// Something was to be divided by zero.
    pub const DIVISION_BY_ZERO: Code = Code(3);
    /// The facts are of an ABI version, or ask for something, that this contract does not know.
    pub const UNSUPPORTED: Code = Code(4);
    /// The facts are from outside the time of the lease.
    pub const OUT_OF_WINDOW: Code = Code(5);
    /// The terms make no sense.
    pub const BAD_TERMS: Code = Code(6);
    /// The parameters do not decode or make no sense.
    pub const BAD_PARAMS: Code = Code(7);
    /// Two of the facts exclude each other.
    pub const CONTRADICTION: Code = Code(8);
    /// The facts name a party that the terms do not have.
    pub const UNKNOWN_PARTY: Code = Code(9);
    /// The answer is larger than [`crate::limits::OUTPUT_BYTES_MAX`].
    pub const OUTPUT_TOO_LARGE: Code = Code(10);
    /// The contract refused with code 0, which means success on the wire.
    pub const NO_REASON: Code = Code(99);
    /// The first code that a contract may define for itself.
    pub const OWN_FIRST: Code = Code(1_000);

    /// The meaning of a shared code, or `None` if only the contract knows it.
    #[must_use]
    pub fn meaning(self) -> Option<&'static str> {
        Some(match self {
            Code::BAD_INPUT => "the input does not decode",
            Code::OVERFLOW => "a result does not fit",
            Code::DIVISION_BY_ZERO => "something was to be divided by zero",
            Code::UNSUPPORTED => "the contract does not support what it was asked",
            Code::OUT_OF_WINDOW => "the facts are from outside the time of the lease",
            Code::BAD_TERMS => "the terms make no sense",
            Code::BAD_PARAMS => "the parameters of the contract make no sense",
            Code::CONTRADICTION => "two of the facts exclude each other",
            Code::UNKNOWN_PARTY => "the facts name a party that the terms do not have",
            Code::OUTPUT_TOO_LARGE => "the answer is too large",
            Code::NO_REASON => "the contract gave no reason",
            _ => return None,
        })
    }
}

impl fmt::Display for Code {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.meaning() {
            Some(meaning) => write!(formatter, "{meaning} (code {})", self.0),
            None => write!(formatter, "the contract's own code {}", self.0),
        }
    }
}

/// A settlement rule. All functions are pure: what they are not given they cannot know.
pub trait Contract {
    /// Figures of the tariff, fixed when the lease is awarded.
    type Params: BorshSerialize + BorshDeserialize;

    /// What the contract says about itself.
    const META: Meta;

    /// The most that [`Contract::settle`] may ever pay under these terms, whatever happens.
    ///
    /// # Errors
    /// A [`Code`] if the terms or parameters cannot be settled by this contract; the lease is then not made.
    fn quote(params: &Self::Params, terms: &Terms) -> Result<Quote, Code>;

    /// Who gets how much by now.
    ///
    /// # Errors
    /// A [`Code`] if these facts cannot be settled; the lease is then settled by its signed fallback.
    fn settle(params: &Self::Params, facts: &Facts) -> Result<Split, Code>;

    /// Whether a requester of whom this much is attested may have a lease under these terms. Everybody may, unless the
    /// contract says otherwise.
    ///
    /// # Errors
    /// A [`Code`] if that cannot be told; the lease is then not made.
    fn admit(params: &Self::Params, terms: &Terms, claims: &Claims) -> Result<Admission, Code> {
        let _ = (params, terms, claims);
        Ok(Admission::Yes)
    }
}
