//! Lives of leases: terms, what happens step by step, and how it ends.

use hansa_contracts_abi::testing::{Numbers, facts as plain_facts};
use hansa_contracts_abi::{Evidence, Facts, Party, Price, Role, Terms, Trigger, Window};

use crate::Tried;

/// What happens between two moments at which the ledger may settle.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// Seconds that pass.
    pub seconds: u64,
    /// The window that is reported.
    pub window: Window,
    /// Units that are reported and countersigned without a window that is listed.
    pub unlisted: u64,
    /// How many of the windows that only the provider stands behind are countersigned now.
    pub countersigned: usize,
    /// Whether the ledger settles now.
    pub settles: bool,
}

/// A lease under the template `C`, from its award to its end.
pub struct Life<C: Tried> {
    /// The tariff.
    pub params: C::Params,
    /// What the ledger knows at the award. The trigger is of no meaning yet.
    pub award: Facts,
    /// What happens.
    pub steps: Vec<Step>,
    /// How it ends.
    pub end: Trigger,
}

impl<C: Tried> Life<C> {
    /// A life as it could be, the same for the same seed.
    ///
    /// # Panics
    /// If the template refuses to quote for it: then the generator of its tariffs is wrong.
    #[must_use]
    pub fn some(seed: u64) -> Self {
        let numbers = &mut Numbers::new(seed);
        let mut award = plain_facts();
        award.terms = some_terms(numbers);
        let params = C::some_params(numbers, &mut award.terms);
        let quote = C::quote(&params, &award.terms);
        let quote =
            quote.unwrap_or_else(|code| panic!("{} refuses the terms of seed {seed}: {code}", C::NAME));
        award.terms.slash_max = quote.stake;
        award.escrow.stake = quote.stake;
        award.escrow.locked = quote.lock;
        if numbers.once_in(8) {
            award.escrow.locked -= u128::from(numbers.next()) % (quote.lock + 1);
        }
        award.ctx.now = award.terms.start;
        award.ctx.quota_left = numbers.once_in(2).then(|| u128::from(numbers.below(60_000)));
        let count = if numbers.once_in(8) { 0 } else { 1 + numbers.below(12) };
        let steps: Vec<Step> =
            (0..count).map(|index| some_step(numbers, &award.terms, index as u32)).collect();
        let parties = award.terms.parties.len() as u64;
        let end = match numbers.below(6) {
            0 => Trigger::Expired,
            1 => Trigger::Cancelled { by: Party(numbers.below(parties) as u8) },
            2 | 3 => Trigger::Ruling { provider_bps: numbers.bps() },
            // Whoever delivered did show.
            4 if steps.is_empty() => Trigger::NoShow,
            _ => Trigger::Final,
        };
        Life { params, award, steps, end }
    }

    /// A long life in which nothing ever is enough for a micro-euro: `count` settlements, of one unit each, for a third of
    /// a micro-euro the unit, all of it certain.
    #[must_use]
    pub fn of_crumbs(seed: u64, count: u64) -> Self {
        let mut life = Life::<C>::some(seed);
        let terms = &mut life.award.terms;
        (terms.units, terms.end) = (4, terms.start + count);
        terms.price = Price { num: 1, den: 3 };
        let quote = C::quote(&life.params, terms).expect("other figures do not make these terms senseless");
        (terms.slash_max, life.award.escrow.stake) = (quote.stake, quote.stake);
        life.award.escrow.locked = quote.lock;
        let window = Window { index: 0, delivered: 0, committed: 0, up_secs: 0, source: Evidence::Both };
        let step = Step { seconds: 1, window, unlisted: 1, countersigned: 0, settles: true };
        life.steps = vec![step; count as usize];
        life
    }
}

fn some_terms(numbers: &mut Numbers) -> Terms {
    let mut parties = vec![Role::Requester, Role::Provider, Role::Operator];
    if numbers.once_in(3) {
        parties.push(Role::Sponsor);
    }
    parties.resize(parties.len() + numbers.below(6) as usize, Role::Named);
    let num = if numbers.once_in(8) { 0 } else { numbers.below(10_000_000).into() };
    Terms {
        parties,
        units: 1 + numbers.below(64),
        start: 1_700_000_000,
        end: 1_700_000_001 + numbers.below(5_000),
        price: Price { num, den: 1 + numbers.below(10_000) },
        fee_bps: if numbers.once_in(3) { numbers.bps() } else { 150 },
        ..plain_facts().terms
    }
}

fn some_step(numbers: &mut Numbers, terms: &Terms, index: u32) -> Step {
    let seconds = numbers.below(700);
    let committed = match numbers.below(8) {
        0 => 0,
        1 => numbers.below(seconds * terms.units + 1),
        _ => seconds * terms.units,
    };
    let delivered = match numbers.below(8) {
        0 => 0,
        1 => numbers.below(20_000),
        2 | 3 => numbers.below(committed + 1),
        4 => committed - committed / 64,
        _ => committed,
    };
    let source = numbers.pick(&[Evidence::Both, Evidence::ProviderOnly, Evidence::RequesterOnly]);
    Step {
        seconds,
        window: Window { index, delivered, committed, up_secs: seconds as u32, source },
        unlisted: if numbers.once_in(3) { numbers.below(5_000) } else { 0 },
        countersigned: numbers.below(3) as usize,
        settles: !numbers.once_in(4),
    }
}
