//! The virtual machine, in the place where the tests of the ledger have an engine that runs contracts natively.

use hansa_contracts_abi::{
    Admission, Claims, Facts, ModuleRefusal, ModuleSummary, Outcome, Quote, Runtime, Split, Terms,
};
use hansa_contracts_host::Host;

/// The host with the built-in contract.
pub struct Engine(Host);

impl Engine {
    /// Loads the built-in contract, whatever the tests would have run in its place.
    pub fn new(_: [u8; 32]) -> Self {
        let host = Host::new();
        host.load(hansa_contracts_bundle::SPOT).unwrap();
        Self(host)
    }
}

impl Clone for Engine {
    fn clone(&self) -> Self {
        Self::new([0; 32])
    }
}

impl Runtime for Engine {
    fn quote(&self, code: &[u8; 32], params: &[u8], terms: &Terms) -> Outcome<Quote> {
        self.0.quote(code, params, terms)
    }

    fn settle(&self, code: &[u8; 32], params: &[u8], facts: &Facts) -> Outcome<Split> {
        self.0.settle(code, params, facts)
    }

    fn admit(&self, code: &[u8; 32], params: &[u8], terms: &Terms, claims: &Claims) -> Outcome<Admission> {
        self.0.admit(code, params, terms, claims)
    }

    fn validate(&self, code: &[u8]) -> Result<ModuleSummary, ModuleRefusal> {
        self.0.validate(code)
    }

    fn load(&self, code: &[u8]) -> Result<[u8; 32], ModuleRefusal> {
        Runtime::load(&self.0, code)
    }

    fn fuel_per_call_max(&self) -> u64 {
        self.0.fuel_per_call_max()
    }

    fn vm_profile(&self) -> [u8; 32] {
        self.0.vm_profile()
    }

    fn knows(&self, code: &[u8; 32]) -> bool {
        self.0.knows(code)
    }
}
