//! Figures for tests: the same seed gives the same facts, on every machine.
//!
//! The facts are those a ledger could hand to a contract: mostly plausible, now and then from the far end of a type.
//! Behind the feature `testing`, for tests of contracts, hosts and the ledger. With a property-testing library, make
//! a seed its input: `any::<u64>().prop_map(|seed| some_facts(&mut Numbers::new(seed)))`.
#![allow(clippy::arithmetic_side_effects, clippy::as_conversions)] // Figures of tests, bounded where they are made.

use alloc::vec;
use alloc::vec::Vec;

use crate::limits::{BPS_MAX, NAMED_PARTIES_MAX, STATE_BYTES_MAX};
use crate::*;

/// Numbers that look random, and are the same for the same seed.
#[derive(Clone, Debug)]
pub struct Numbers(u64);

impl Numbers {
    /// Begins with this seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Numbers(seed)
    }

    /// The next number, over the whole range (SplitMix64).
    #[allow(clippy::should_implement_trait)] // An iterator may end; this one cannot.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below this bound; 0 if the bound is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next().checked_rem(bound).unwrap_or(0)
    }

    /// Yes, once in so many times.
    pub fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    /// A figure below `usual`, or now and then one from the far end of its type, or nothing.
    pub fn figure(&mut self, usual: u64) -> u64 {
        match self.below(64) {
            0 => u64::MAX - self.below(3),
            1 => 0,
            _ => self.below(usual),
        }
    }

    /// Basis points: often one of the ends.
    pub fn bps(&mut self) -> Bps {
        match self.below(8) {
            0 => 0,
            1 => BPS_MAX,
            _ => self.below(u64::from(BPS_MAX) + 1) as Bps,
        }
    }

    /// One of these. None of nothing is a mistake in the test.
    pub fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        let index = self.below(from.len() as u64) as usize;
        from[index].clone()
    }
}

/// 4 units for 1,000 seconds at 10 each, fee 1.5 %, one million locked, nothing used, closed in time.
#[must_use]
pub fn facts() -> Facts {
    Facts {
        abi: ABI_VERSION,
        terms: Terms {
            parties: vec![Role::Requester, Role::Provider, Role::Operator],
            unit: Unit::AcceleratorSecond,
            units: 4,
            start: 1_000,
            end: 2_000,
            price: Price { num: 10, den: 1 },
            fee_bps: 150,
            sponsor_bps: 0,
            slash_max: 0,
            sla: vec![],
        },
        usage: Usage { windows: vec![], readings: vec![], cumulative: 0 },
        escrow: Escrow { locked: 1_000_000, paid: 0, stake: 0 },
        ctx: Ctx { height: 1, now: 3_000, trigger: Trigger::Final, quota_left: None },
        state: vec![],
    }
}

/// An ordinary lease: 8 accelerators for a day at 2.45 EUR an hour, three windows used, the second not countersigned.
#[must_use]
pub fn ordinary_facts() -> Facts {
    let window = |index, source| Window { index, delivered: 7_200, committed: 7_200, up_secs: 900, source };
    let facts = facts();
    Facts {
        terms: Terms {
            units: 8,
            start: 1_700_000_000,
            end: 1_700_086_400,
            price: Price { num: 2_450_000, den: 3_600 },
            ..facts.terms
        },
        usage: Usage {
            windows: vec![
                window(0, Evidence::Both),
                window(1, Evidence::ProviderOnly),
                window(2, Evidence::Both),
            ],
            readings: vec![],
            cumulative: 21_600,
        },
        escrow: Escrow { locked: 470_400_000, paid: 0, stake: 0 },
        ctx: Ctx { height: 10, now: 1_700_050_000, trigger: Trigger::Final, quota_left: None },
        ..facts
    }
}

/// Terms that [`Terms::check`] lets pass nearly always: with and without a sponsor, with any number of named parties,
/// with and without a service level.
pub fn some_terms(numbers: &mut Numbers) -> Terms {
    let mut parties = vec![Role::Requester, Role::Provider, Role::Operator];
    let sponsored = numbers.once_in(3);
    if sponsored {
        parties.push(Role::Sponsor);
    }
    let named = if numbers.once_in(2) { 0 } else { numbers.below(NAMED_PARTIES_MAX as u64 + 1) };
    parties.extend((0..named).map(|_| Role::Named));
    let start = numbers.figure(2_000_000_000);
    let price = match numbers.below(16) {
        0 => u128::MAX / u128::from(numbers.below(1_000_000) + 1),
        _ => u128::from(numbers.figure(5_000_000)),
    };
    Terms {
        parties,
        unit: Unit::AcceleratorSecond,
        units: numbers.figure(64),
        start,
        end: start.saturating_add(numbers.figure(90_000)),
        price: Price { num: price, den: if numbers.once_in(2) { 3_600 } else { numbers.figure(7_200) } },
        fee_bps: if numbers.once_in(4) { numbers.bps() } else { 150 },
        sponsor_bps: if sponsored { numbers.bps() } else { 0 },
        slash_max: if numbers.once_in(2) { 0 } else { numbers.figure(500_000_000).into() },
        sla: some_sla(numbers),
    }
}

/// Up to five steps by falling availability and rising credit; now and then in disorder.
fn some_sla(numbers: &mut Numbers) -> Vec<SlaStep> {
    if numbers.once_in(2) {
        return vec![];
    }
    let mut steps: Vec<SlaStep> = (0..numbers.below(6))
        .map(|_| SlaStep { below_bps: numbers.bps(), credit_bps: numbers.bps() })
        .collect();
    if !numbers.once_in(8) {
        let mut credits: Vec<Bps> = steps.iter().map(|step| step.credit_bps).collect();
        credits.sort_unstable();
        steps.sort_unstable_by_key(|step| core::cmp::Reverse(step.below_bps));
        steps.dedup_by_key(|step| step.below_bps);
        for (step, credit) in steps.iter_mut().zip(credits) {
            step.credit_bps = credit;
        }
    }
    steps
}

/// Usage in up to eleven windows of all evidence, by rising index. The sum is at least what is listed, nearly always.
pub fn some_usage(numbers: &mut Numbers) -> Usage {
    let sources = [Evidence::Both, Evidence::ProviderOnly, Evidence::RequesterOnly];
    let mut index = 0u32;
    let windows: Vec<Window> = (0..numbers.below(12))
        .map(|_| {
            index += 1 + numbers.below(3) as u32;
            let committed = numbers.figure(60_000);
            let delivered = match numbers.below(4) {
                0 => committed,
                1 => numbers.figure(60_000),
                _ => numbers.below(committed.saturating_add(1)),
            };
            let up_secs = numbers.below(901) as u32;
            Window { index, delivered, committed, up_secs, source: numbers.pick(&sources) }
        })
        .collect();
    let listed: u128 = windows.iter().map(|window| u128::from(window.delivered)).sum();
    let cumulative = match numbers.below(24) {
        0 => u128::from(numbers.below(1_000)),
        1 => u128::MAX - u128::from(numbers.below(3)),
        2..8 => listed,
        _ => listed + u128::from(numbers.figure(100_000)),
    };
    let readings: Vec<Reading> = windows
        .iter()
        .filter_map(|window| {
            let value = numbers.figure(1_000) as u32;
            numbers.once_in(4).then_some(Reading { index: window.index, value })
        })
        .collect();
    Usage { windows, readings, cumulative }
}

/// Each trigger as often as the others. The party that cancels is now and then one that is not there.
pub fn some_trigger(numbers: &mut Numbers) -> Trigger {
    match numbers.below(6) {
        0 => Trigger::Interim,
        1 => Trigger::Final,
        2 => Trigger::Expired,
        3 => Trigger::Cancelled { by: Party(numbers.below(5) as u8) },
        4 => Trigger::NoShow,
        _ if numbers.once_in(16) => Trigger::Ruling { provider_bps: BPS_MAX + 1 },
        _ => Trigger::Ruling { provider_bps: numbers.bps() },
    }
}

/// Facts for one call: terms, usage, money, time and trigger, each of its own. What was paid is nothing, or any part of
/// what is locked.
pub fn some_facts(numbers: &mut Numbers) -> Facts {
    let terms = some_terms(numbers);
    let usage = some_usage(numbers);
    let locked: Money = match numbers.below(16) {
        0 => u128::from(u64::MAX),
        _ => numbers.figure(2_000_000_000).into(),
    };
    let paid = if numbers.once_in(3) { u128::from(numbers.next()) % (locked + 1) } else { 0 };
    let stake = if numbers.once_in(2) { terms.slash_max } else { numbers.figure(500_000_000).into() };
    let now = match numbers.below(4) {
        0 => terms.end,
        _ => terms.start.saturating_add(numbers.figure(100_000)),
    };
    let quota_left = numbers.once_in(2).then(|| u128::from(numbers.figure(2_000_000)));
    let trigger = some_trigger(numbers);
    let state = if numbers.once_in(8) { some_bytes(numbers, STATE_BYTES_MAX) } else { vec![] };
    Facts {
        abi: ABI_VERSION,
        terms,
        usage,
        escrow: Escrow { locked, paid, stake },
        ctx: Ctx { height: numbers.below(1_000_000), now, trigger, quota_left },
        state,
    }
}

/// What may be attested of a requester.
pub fn some_claims(numbers: &mut Numbers) -> Claims {
    let homes = [*b"DE", *b"EE", *b"ES", *b"FR", *b"ZZ"];
    Claims {
        home: numbers.pick(&homes),
        class: numbers.below(6) as u8,
        sponsor: numbers.once_in(2).then(|| numbers.pick(&homes)),
        purpose: numbers.once_in(2).then(|| numbers.below(5) as u8),
    }
}

/// Up to `most` bytes.
pub fn some_bytes(numbers: &mut Numbers, most: usize) -> Vec<u8> {
    (0..numbers.below(most as u64 + 1)).map(|_| numbers.next() as u8).collect()
}

/// How many cases a test is to try: `quick`, unless the variable `HANSA_CASES` says otherwise.
#[must_use]
pub fn cases(quick: u64) -> u64 {
    std::env::var("HANSA_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(quick)
}

/// What became of the cases of [`assert_same`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Settlements that the contract answered.
    pub settled: u64,
    /// Settlements that the contract refused.
    pub refused: u64,
    /// Requesters that it admitted.
    pub admitted: u64,
    /// The most fuel that a settlement used.
    pub fuel_max: u64,
}

/// Holds a contract's module, in a runtime that has loaded it, to the same contract run natively: quote, settlement and
/// admission give the same for parameters and facts that `make` makes. Neither may break: each answers or refuses.
///
/// # Panics
/// If the two differ or the module breaks, with seed and case.
pub fn assert_same<C: Contract>(
    runtime: &dyn Runtime,
    code: &[u8; 32],
    seed: u64,
    cases: u64,
    mut make: impl FnMut(&mut Numbers) -> (C::Params, Facts),
) -> Tally {
    let native = Native::<C>::new(*code);
    let mut numbers = Numbers::new(seed);
    let mut tally = Tally::default();
    for case in 0..cases {
        let (params, facts) = make(&mut numbers);
        let params = borsh::to_vec(&params).expect("writing to memory cannot fail");
        let claims = some_claims(&mut numbers);
        let settled = runtime.settle(code, &params, &facts);
        assert_eq!(
            settled.result,
            native.settle(code, &params, &facts).result,
            "settle: seed {seed}, case {case}, {facts:?}"
        );
        let quoted = runtime.quote(code, &params, &facts.terms).result;
        let native_quote = native.quote(code, &params, &facts.terms).result;
        assert_eq!(quoted, native_quote, "quote: seed {seed}, case {case}, {:?}", facts.terms);
        let admitted = runtime.admit(code, &params, &facts.terms, &claims).result;
        let native_admission = native.admit(code, &params, &facts.terms, &claims).result;
        assert_eq!(admitted, native_admission, "admit: seed {seed}, case {case}, {claims:?}");
        tally.fuel_max = tally.fuel_max.max(settled.fuel);
        tally.admitted += u64::from(admitted == Ok(Admission::Yes));
        match settled.result {
            Ok(_) => tally.settled += 1,
            Err(Failure::Refused(_)) => tally.refused += 1,
            Err(other) => panic!("the module broke ({other}): seed {seed}, case {case}, {facts:?}"),
        }
    }
    tally
}
