//! A contract run natively, without an engine.

use alloc::vec;
use core::marker::PhantomData;

use borsh::BorshDeserialize;

use crate::claims::{Admission, Claims};
use crate::contract::{Code, Contract};
use crate::facts::Facts;
use crate::limits::IO_BYTES_MAX;
use crate::module::{ModuleRefusal, ModuleRule, ModuleSummary};
use crate::runtime::{Failure, Outcome, Runtime};
use crate::split::{Quote, Split};
use crate::terms::Terms;
use crate::wire;

/// Runs one contract natively, through the same bytes as the engine would. For tests and as the other half of
/// differential tests: it meters nothing, so the fuel of every outcome is zero.
#[derive(Clone, Copy, Debug)]
pub struct Native<C> {
    code: [u8; 32],
    contract: PhantomData<fn() -> C>,
}

impl<C: Contract> Native<C> {
    /// Answers for this code hash, and for no other.
    #[must_use]
    pub fn new(code: [u8; 32]) -> Self {
        Native { code, contract: PhantomData }
    }

    fn call<T: BorshDeserialize>(
        &self,
        code: &[u8; 32],
        input: Option<alloc::vec::Vec<u8>>,
        serve: fn(&mut [u8], u32) -> u64,
    ) -> Outcome<T> {
        let result = (|| {
            if *code != self.code {
                return Err(Failure::Unknown);
            }
            let input = input.ok_or(Failure::InputTooLarge)?;
            let mut io = vec![0; IO_BYTES_MAX];
            let place = io.get_mut(..input.len()).ok_or(Failure::InputTooLarge)?;
            place.copy_from_slice(&input);
            let length = u32::try_from(input.len()).map_err(|_| Failure::InputTooLarge)?;
            let (status, length) = wire::unpack(serve(&mut io, length));
            if status != 0 {
                return Err(Failure::Refused(Code(status)));
            }
            let length = usize::try_from(length).map_err(|_| Failure::BadOutput)?;
            let output = io.get(..length).ok_or(Failure::BadOutput)?;
            T::try_from_slice(output).map_err(|_| Failure::BadOutput)
        })();
        Outcome { result, fuel: 0 }
    }
}

impl<C: Contract> Runtime for Native<C> {
    fn quote(&self, code: &[u8; 32], params: &[u8], terms: &Terms) -> Outcome<Quote> {
        self.call(code, wire::quote_input(params, terms), wire::serve_quote::<C>)
    }

    fn settle(&self, code: &[u8; 32], params: &[u8], facts: &Facts) -> Outcome<Split> {
        self.call(code, wire::settle_input(params, facts), wire::serve_settle::<C>)
    }

    fn admit(&self, code: &[u8; 32], params: &[u8], terms: &Terms, claims: &Claims) -> Outcome<Admission> {
        self.call(code, wire::admit_input(params, terms, claims), wire::serve_admit::<C>)
    }

    /// Nothing is read out of the bytes, so that nothing in them is counted: the code that this runtime stands for is
    /// known, and no other is.
    fn validate(&self, code: &[u8]) -> Result<ModuleSummary, ModuleRefusal> {
        if blake3::hash(code) != self.code {
            return Err(ModuleRefusal::new(ModuleRule::Engine, 0));
        }
        Ok(ModuleSummary {
            bytes: u32::try_from(code.len()).unwrap_or(u32::MAX),
            functions: 0,
            memory_pages: 0,
            has_admit: true,
            name: C::META.name.into(),
            version: C::META.version.into(),
            tariff_hash: *blake3::hash(C::META.tariff.as_bytes()).as_bytes(),
        })
    }

    fn load(&self, code: &[u8]) -> Result<[u8; 32], ModuleRefusal> {
        self.validate(code).map(|_| self.code)
    }

    fn fuel_per_call_max(&self) -> u64 {
        0
    }

    fn vm_profile(&self) -> [u8; 32] {
        [0; 32]
    }

    fn knows(&self, code: &[u8; 32]) -> bool {
        *code == self.code
    }
}
