//! Single calls: parameters and facts.

use borsh::BorshSerialize;
use hansa_contracts_abi::testing::{Numbers, some_bytes, some_facts};
use hansa_contracts_abi::{Facts, Trigger};

use crate::{Ledger, Life, Tried};

/// Facts as a ledger could hand out, and now and then from the far end of a type; parameters of a tariff that fits them, or does
/// not, now and then broken. The same for the same seed.
///
/// # Panics
/// If the generator of tariffs is wrong.
#[must_use]
pub fn some_case<C: Tried>(seed: u64) -> (Vec<u8>, Facts)
where
    C::Params: BorshSerialize,
{
    let numbers = &mut Numbers::new(seed);
    if numbers.once_in(2) {
        let life = Life::<C>::some(seed);
        let mut ledger = Ledger::new(&life.award, u128::MAX);
        life.steps.iter().for_each(|step| ledger.advance(step));
        ledger.facts.ctx.trigger = if numbers.once_in(3) { Trigger::Interim } else { life.end };
        return (bytes_of(&life.params), ledger.facts);
    }
    let mut facts = some_facts(numbers);
    let mut params = bytes_of(&C::some_params(numbers, &mut facts.terms));
    match numbers.below(32) {
        0 => params = some_bytes(numbers, 64),
        1 => params.truncate(numbers.below(params.len() as u64) as usize),
        2 => params.push(0),
        // One number, of up to four bytes, or the length of a list.
        3 => {
            let place = numbers.below(params.len() as u64) as usize;
            let broken = numbers.pick(&[0, 1, 0xff]);
            params.iter_mut().skip(place).take(4).for_each(|byte| *byte = broken);
        }
        4 => {
            let place = numbers.below(params.len() as u64) as usize;
            params[place] = numbers.next() as u8;
        }
        _ => {}
    }
    (params, facts)
}

fn bytes_of(params: &impl BorshSerialize) -> Vec<u8> {
    borsh::to_vec(params).expect("writing to memory cannot fail")
}
