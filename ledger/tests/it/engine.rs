//! Runs contracts natively: the built-in one, and scripts that settle like it. What else a script does stands in its bytes.

use crate::scripted::{self, SCRIPT};
use hansa_contracts_abi::{
    Admission, Claims, Code, Facts, Failure, ModuleRefusal, ModuleRule, ModuleSummary, Native, Outcome,
    Quote, Runtime, Split, Terms,
};
use hansa_contracts_spot::Spot;
use hansa_ledger::contract::runnable;
use hansa_ledger::state::State;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// The most fuel of one call.
pub const CALL: u64 = 1_000;

/// The bytes of a script: words after its name. `traps` at settlements, `home=EE` admits only who is at home there,
/// `purpose=0` only who a grant for that pays, `fails` where it is to admit, `fuel=9` is what admitting costs,
/// `sponsored` quotes only where a sponsor pays, `greedy` asks for more than the price is worth.
pub fn script(words: &str) -> Vec<u8> {
    format!("script {words}").into_bytes()
}

/// What is loaded, and how often it was asked.
pub struct Engine {
    spot: [u8; 32],
    /// The contract whose parameters say what it answers.
    scripted: scripted::Contracts,
    loaded: Mutex<BTreeMap<[u8; 32], String>>,
    admits: AtomicU64,
    /// Whether it panics when it is to settle: what a mistake in the glue around an engine does.
    breaks: AtomicBool,
}

impl Engine {
    /// One that knows the built-in contract only.
    pub fn new(spot: [u8; 32]) -> Self {
        let scripted = scripted::Contracts { fuel_per_call_max: CALL };
        Self {
            spot,
            scripted,
            loaded: Mutex::default(),
            admits: AtomicU64::new(0),
            breaks: AtomicBool::new(false),
        }
    }

    /// One as a node makes it when it starts with this state.
    pub fn restarted(&self, state: &State) -> Self {
        let engine = Self::new(self.spot);
        for (_, hash, code) in runnable(state) {
            assert_eq!(engine.load(code), Ok(hash.0));
        }
        engine
    }

    /// The same with another bound of a call.
    pub fn with_call(&self, fuel_per_call_max: u64) -> Self {
        Self { scripted: scripted::Contracts { fuel_per_call_max }, ..self.clone() }
    }

    /// Whether the contract is the scripted one.
    fn is_scripted(&self, code: &[u8; 32]) -> bool {
        self.scripted.knows(code) && *code != self.spot
    }

    /// Lets it panic at every settlement from now on, or no more.
    pub fn break_down(&self, breaks: bool) {
        self.breaks.store(breaks, Ordering::Relaxed);
    }

    /// How often it was asked whom a contract admits.
    pub fn admits(&self) -> u64 {
        self.admits.load(Ordering::Relaxed)
    }

    fn words(&self, code: &[u8; 32]) -> Option<String> {
        if *code == self.spot { Some(String::new()) } else { self.loaded.lock().unwrap().get(code).cloned() }
    }
}

impl Clone for Engine {
    fn clone(&self) -> Self {
        let loaded = Mutex::new(self.loaded.lock().unwrap().clone());
        let (admits, breaks) = (AtomicU64::new(self.admits()), AtomicBool::new(false));
        Self { spot: self.spot, scripted: self.scripted, loaded, admits, breaks }
    }
}

fn value<'a>(words: &'a str, name: &str) -> Option<&'a str> {
    words.split(' ').find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
}

fn has(words: &str, word: &str) -> bool {
    words.split(' ').any(|one| one == word)
}

impl Runtime for Engine {
    fn quote(&self, code: &[u8; 32], params: &[u8], terms: &Terms) -> Outcome<Quote> {
        if self.is_scripted(code) {
            return self.scripted.quote(code, params, terms);
        }
        match self.words(code) {
            None => Outcome { result: Err(Failure::Unknown), fuel: 0 },
            Some(words) if has(&words, "sponsored") && terms.sponsor_bps == 0 => {
                Outcome { result: Err(Failure::Refused(Code::BAD_TERMS)), fuel: CALL }
            }
            Some(words) => {
                let mut outcome = Native::<Spot>::new(*code).quote(code, params, terms);
                if let (true, Ok(quote)) = (has(&words, "greedy"), &mut outcome.result) {
                    quote.lock += 1;
                }
                outcome
            }
        }
    }

    fn settle(&self, code: &[u8; 32], params: &[u8], facts: &Facts) -> Outcome<Split> {
        assert!(!self.breaks.load(Ordering::Relaxed), "the glue around the engine breaks");
        if self.is_scripted(code) {
            return self.scripted.settle(code, params, facts);
        }
        match self.words(code) {
            None => Outcome { result: Err(Failure::Unknown), fuel: 0 },
            Some(words) if has(&words, "traps") => Outcome { result: Err(Failure::Trap), fuel: CALL },
            Some(words) => {
                let outcome = Native::<Spot>::new(*code).settle(code, params, facts);
                let costs = value(&words, "costs").map_or(outcome.fuel, |fuel| fuel.parse().unwrap());
                Outcome { fuel: costs, ..outcome }
            }
        }
    }

    fn admit(&self, code: &[u8; 32], _: &[u8], _: &Terms, claims: &Claims) -> Outcome<Admission> {
        let Some(words) = self.words(code) else {
            return Outcome { result: Err(Failure::Unknown), fuel: 0 };
        };
        self.admits.fetch_add(1, Ordering::Relaxed);
        let home = value(&words, "home").is_none_or(|home| home.as_bytes() == claims.home);
        let purpose = value(&words, "purpose").map(|purpose| purpose.parse().unwrap());
        let fuel = value(&words, "fuel").map_or(1, |fuel| fuel.parse().unwrap());
        let result = match (home, purpose.is_none_or(|purpose: u8| claims.purpose == Some(purpose))) {
            _ if has(&words, "fails") => Err(Failure::Trap),
            (true, true) => Ok(Admission::Yes),
            (false, _) => Ok(Admission::No(1_001)),
            (true, false) => Ok(Admission::No(1_002)),
        };
        Outcome { result, fuel }
    }

    fn validate(&self, code: &[u8]) -> Result<ModuleSummary, ModuleRefusal> {
        let hash = *blake3::hash(code).as_bytes();
        if hash == self.spot {
            let summary = Native::<Spot>::new(hash).validate(code)?;
            return Ok(ModuleSummary { has_admit: false, ..summary });
        }
        if code == SCRIPT {
            return Ok(ModuleSummary { has_admit: false, ..self.scripted.validate(code)? });
        }
        let text = std::str::from_utf8(code).map_err(|_| ModuleRefusal::new(ModuleRule::Malformed, 0))?;
        let Some(words) = text.strip_prefix("script ") else {
            return Err(ModuleRefusal::new(ModuleRule::Imports, 42));
        };
        Ok(ModuleSummary {
            bytes: u32::try_from(code.len()).unwrap(),
            functions: 3,
            memory_pages: 1,
            has_admit: ["home=", "purpose=", "fails"].iter().any(|word| words.contains(word)),
            name: "script".to_owned(),
            version: "1.0.0".to_owned(),
            tariff_hash: *blake3::hash(words.as_bytes()).as_bytes(),
        })
    }

    fn load(&self, code: &[u8]) -> Result<[u8; 32], ModuleRefusal> {
        self.validate(code)?;
        let hash = *blake3::hash(code).as_bytes();
        let text = String::from_utf8(code.to_vec()).unwrap();
        self.loaded.lock().unwrap().insert(hash, text);
        Ok(hash)
    }

    fn fuel_per_call_max(&self) -> u64 {
        self.scripted.fuel_per_call_max
    }

    fn vm_profile(&self) -> [u8; 32] {
        [0; 32]
    }

    fn knows(&self, code: &[u8; 32]) -> bool {
        self.is_scripted(code) || self.words(code).is_some()
    }
}
