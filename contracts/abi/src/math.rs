//! The arithmetic that all contracts share. Each rounding rule is a named function; nothing wraps, nothing saturates.

use alloc::vec::Vec;

use crate::contract::Code;
use crate::limits::BPS_MAX;
use crate::terms::{Bps, Money, Price, SlaStep};

/// `a * b / d` rounded down, exact over the whole range: the product has 256 bits.
///
/// # Errors
/// [`Code::DIVISION_BY_ZERO`], or [`Code::OVERFLOW`] if the result does not fit.
#[inline]
pub fn mul_div_floor(a: u128, b: u128, d: u128) -> Result<u128, Code> {
    mul_div(a, b, d).map(|(quotient, _)| quotient)
}

/// `a * b / d` rounded up, exact over the whole range.
///
/// # Errors
/// [`Code::DIVISION_BY_ZERO`], or [`Code::OVERFLOW`] if the result does not fit.
#[inline]
pub fn mul_div_ceil(a: u128, b: u128, d: u128) -> Result<u128, Code> {
    let (quotient, remainder) = mul_div(a, b, d)?;
    if remainder == 0 { Ok(quotient) } else { quotient.checked_add(1).ok_or(Code::OVERFLOW) }
}

/// What is owed for cumulative usage: one floor, on the sum, so that the number of settlements cannot change it.
///
/// # Errors
/// [`Code::DIVISION_BY_ZERO`], or [`Code::OVERFLOW`] if the result does not fit.
#[inline]
pub fn due(cumulative: u128, price: Price) -> Result<Money, Code> {
    mul_div_floor(cumulative, price.num, u128::from(price.den))
}

/// What to lock for usage that may still come: rounded up, so that it covers [`due`].
///
/// # Errors
/// [`Code::DIVISION_BY_ZERO`], or [`Code::OVERFLOW`] if the result does not fit.
#[inline]
pub fn lock(usage: u128, price: Price) -> Result<Money, Code> {
    mul_div_ceil(usage, price.num, u128::from(price.den))
}

/// The part of `amount` that is a fee: rounded down, so that the provider takes the rest.
///
/// # Errors
/// [`Code::BAD_TERMS`] if `fee_bps` is above 10,000.
#[inline]
pub fn fee(amount: Money, fee_bps: Bps) -> Result<Money, Code> {
    if fee_bps > BPS_MAX {
        return Err(Code::BAD_TERMS);
    }
    mul_div_floor(amount, u128::from(fee_bps), u128::from(BPS_MAX))
}

/// Units times basis points, exactly: ten-thousandths of units, for sums that are divided once, at their end.
///
/// # Errors
/// [`Code::OVERFLOW`] if the product does not fit.
pub fn times_bps(units: u128, bps: Bps) -> Result<u128, Code> {
    match u64::try_from(units) {
        // 80 bits, in one multiplication: the check costs a guest several.
        Ok(units) => Ok(u128::from(units).wrapping_mul(u128::from(bps))),
        Err(_) => units.checked_mul(u128::from(bps)).ok_or(Code::OVERFLOW),
    }
}

/// The largest total, not above `most`, of which `net` is left when the fee has been taken: the way back from what the
/// parties receive to what is paid. The fee is the total less `net`. Grows with `net` and with `most`.
///
/// The caller knows a total of which at least `net` is left and passes it as `most`; so there is an answer.
///
/// # Errors
/// [`Code::BAD_TERMS`] if `fee_bps` is above 10,000, [`Code::CONTRADICTION`] if less than `net` is left of `most`,
/// [`Code::OVERFLOW`] if a result does not fit.
pub fn gross(net: Money, fee_bps: Bps, most: Money) -> Result<Money, Code> {
    let left = most.checked_sub(fee(most, fee_bps)?).ok_or(Code::OVERFLOW)?;
    let kept = BPS_MAX.checked_sub(fee_bps).ok_or(Code::BAD_TERMS)?;
    match left.checked_sub(net) {
        None => Err(Code::CONTRADICTION),
        Some(0) => Ok(most),
        // More is left of `most` than `net`, hence the fee is not everything and the quotient is below `most`.
        Some(_) => mul_div_floor(net, u128::from(BPS_MAX), u128::from(kept)),
    }
}

/// What may be paid of `due` while credits of up to `credit_bps` of it may still be found: rounded down. What is paid
/// cannot be asked back.
///
/// # Errors
/// [`Code::BAD_PARAMS`] if `credit_bps` is above 10,000, [`Code::OVERFLOW`] if a product does not fit.
pub fn retained(due: Money, credit_bps: Bps) -> Result<Money, Code> {
    let certain = BPS_MAX.checked_sub(credit_bps).ok_or(Code::BAD_PARAMS)?;
    mul_div_floor(due, u128::from(certain), u128::from(BPS_MAX))
}

/// `none` and `all` mixed by a ruling that gives `all_bps` to `all`: one floor, on the sum.
///
/// # Errors
/// [`Code::BAD_INPUT`] if `all_bps` is above 10,000, [`Code::OVERFLOW`] if a product does not fit.
pub fn ruled(none: u128, all: u128, all_bps: Bps) -> Result<u128, Code> {
    let none_bps = BPS_MAX.checked_sub(all_bps).ok_or(Code::BAD_INPUT)?;
    let sum = times_bps(none, none_bps)?.checked_add(times_bps(all, all_bps)?).ok_or(Code::OVERFLOW)?;
    sum.checked_div(u128::from(BPS_MAX)).ok_or(Code::DIVISION_BY_ZERO)
}

/// Part of the promise that was kept, in basis points, rounded down; never above 10,000. Where nothing was promised,
/// nothing was broken.
///
/// # Errors
/// [`Code::OVERFLOW`] if a product does not fit.
pub fn availability(delivered: u128, committed: u128) -> Result<Bps, Code> {
    if delivered >= committed {
        return Ok(BPS_MAX);
    }
    let bps = mul_div_floor(delivered, u128::from(BPS_MAX), committed)?;
    Bps::try_from(bps).map_err(|_| Code::OVERFLOW)
}

/// Whether the steps of a service level are in order: strictly falling availability, figures up to 10,000. Whoever reads
/// them then sees at once which apply.
#[must_use]
pub fn tiers_in_order(sla: &[SlaStep]) -> bool {
    sla.is_sorted_by(|one, next| one.below_bps > next.below_bps)
        && sla.iter().all(|step| step.below_bps <= BPS_MAX && step.credit_bps <= BPS_MAX)
}

/// The credit for this availability: the largest of all steps that are crossed. A step is crossed strictly below its
/// availability, not on it.
#[must_use]
pub fn credit(sla: &[SlaStep], availability: Bps) -> Bps {
    sla.iter().filter(|step| availability < step.below_bps).map(|step| step.credit_bps).max().unwrap_or(0)
}

/// The sum of the weights, which is above zero.
fn sum_of(weights: &[u64]) -> Result<u128, Code> {
    let sum = weights.iter().try_fold(0u128, |sum, weight| sum.checked_add(u128::from(*weight)));
    match sum.ok_or(Code::OVERFLOW)? {
        0 => Err(Code::DIVISION_BY_ZERO),
        sum => Ok(sum),
    }
}

/// `total` divided by weights, each part rounded down: what is certain of [`shares`] while the total still grows. As the
/// total grows no part falls, which is not so for [`shares`].
///
/// # Errors
/// [`Code::DIVISION_BY_ZERO`] if no weight is above zero.
pub fn shares_floor(total: Money, weights: &[u64]) -> Result<Vec<Money>, Code> {
    let weight_sum = sum_of(weights)?;
    weights.iter().map(|weight| mul_div_floor(total, u128::from(*weight), weight_sum)).collect()
}

/// `total` divided by weights, by largest remainder; ties go to the lowest index. The shares add up to `total`. As the
/// total grows a share may fall by one, so that what can still grow is divided by [`shares_floor`].
///
/// # Errors
/// [`Code::DIVISION_BY_ZERO`] if no weight is above zero.
pub fn shares(total: Money, weights: &[u64]) -> Result<Vec<Money>, Code> {
    let weight_sum = sum_of(weights)?;
    let mut parts = Vec::with_capacity(weights.len());
    let mut left = total;
    for weight in weights {
        let (share, remainder) = mul_div(total, u128::from(*weight), weight_sum)?;
        left = left.checked_sub(share).ok_or(Code::OVERFLOW)?;
        parts.push((share, remainder));
    }
    // The floors miss less than one unit each, so what is left is less than the number of parts. Each round takes the
    // largest remainder, the first of equal ones: sorting them would be the larger half of a module.
    while left > 0 {
        let mut largest: Option<&mut (Money, u128)> = None;
        for part in &mut parts {
            if largest.as_ref().is_none_or(|largest| part.1 > largest.1) {
                largest = Some(part);
            }
        }
        let part = largest.ok_or(Code::OVERFLOW)?;
        *part = (part.0.checked_add(1).ok_or(Code::OVERFLOW)?, 0);
        left = left.checked_sub(1).ok_or(Code::OVERFLOW)?;
    }
    Ok(parts.into_iter().map(|part| part.0).collect())
}

/// Quotient and remainder of `a * b / d`. Calls cost a guest more than they do a machine: the usual case is inlined.
#[inline]
fn mul_div(a: u128, b: u128, d: u128) -> Result<(u128, u128), Code> {
    match mul_div_small(a, b, d) {
        Some(answer) => Ok(answer),
        None => mul_div_large(a, b, d),
    }
}

#[cold]
#[inline(never)]
fn mul_div_large(a: u128, b: u128, d: u128) -> Result<(u128, u128), Code> {
    if d == 0 {
        return Err(Code::DIVISION_BY_ZERO);
    }
    let (high, low) = mul_wide(a, b);
    if high == 0 {
        let quotient = low.checked_div(d).ok_or(Code::DIVISION_BY_ZERO)?;
        return Ok((quotient, low.wrapping_sub(quotient.wrapping_mul(d))));
    }
    if high >= d {
        return Err(Code::OVERFLOW);
    }
    Ok(div_wide(high, low, d))
}

/// The same where all of it fits 64 bits, which is what a machine, real or virtual, computes in one instruction each.
#[inline]
fn mul_div_small(a: u128, b: u128, d: u128) -> Option<(u128, u128)> {
    let (a, b, d) = (u64::try_from(a).ok()?, u64::try_from(b).ok()?, u64::try_from(d).ok()?);
    // As many bits as both have together hold their product.
    if a.leading_zeros().saturating_add(b.leading_zeros()) < u64::BITS {
        return None;
    }
    let product = a.wrapping_mul(b);
    Some((product.checked_div(d)?.into(), product.checked_rem(d)?.into()))
}

/// The 256-bit product as (high, low). Schoolbook in 64-bit halves: no partial sum below can overflow 128 bits.
fn mul_wide(a: u128, b: u128) -> (u128, u128) {
    const HALF: u128 = u64::MAX as u128;
    let (a_high, a_low) = (a >> 64, a & HALF);
    let (b_high, b_low) = (b >> 64, b & HALF);
    let low_low = a_low.wrapping_mul(b_low);
    let low_high = a_low.wrapping_mul(b_high);
    let high_low = a_high.wrapping_mul(b_low);
    let high_high = a_high.wrapping_mul(b_high);
    let middle = (low_low >> 64).wrapping_add(low_high & HALF).wrapping_add(high_low & HALF);
    let high = high_high.wrapping_add(low_high >> 64).wrapping_add(high_low >> 64).wrapping_add(middle >> 64);
    (high, (middle << 64) | (low_low & HALF))
}

/// Divides a 256-bit number by `d`, bit by bit. The caller guarantees `high < d`, hence the quotient fits.
fn div_wide(high: u128, low: u128, d: u128) -> (u128, u128) {
    let mut remainder = high;
    let mut quotient = low;
    for _ in 0..128 {
        let carry = remainder >> 127;
        remainder = (remainder << 1) | (quotient >> 127);
        quotient <<= 1;
        if carry == 1 || remainder >= d {
            remainder = remainder.wrapping_sub(d);
            quotient |= 1;
        }
    }
    (quotient, remainder)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use proptest::prelude::*;

    const MAX: u128 = u128::MAX;

    #[test]
    fn mul_div_is_exact_at_the_edges() {
        let table = [
            (0, 0, 1, Ok((0, 0))),
            (7, 3, 2, Ok((10, 11))),
            (6, 3, 2, Ok((9, 9))),
            (MAX, MAX, MAX, Ok((MAX, MAX))),
            (MAX, 10_000, 10_000, Ok((MAX, MAX))),
            (
                MAX,
                2,
                3,
                Ok((226854911280625642308916404954512140970, 226854911280625642308916404954512140970)),
            ),
            (
                MAX,
                5,
                7,
                Ok((243058833514956045330981862451263008182, 243058833514956045330981862451263008183)),
            ),
            (1 << 127, 1 << 127, 1 << 127, Ok((1 << 127, 1 << 127))),
            (MAX, MAX - 1, MAX, Ok((MAX - 1, MAX - 1))),
            (MAX - 1, MAX - 1, MAX, Ok((MAX - 2, MAX - 1))),
            (MAX, 3, 2, Err(Code::OVERFLOW)),
            // On both sides of what fits 64 bits.
            (u64::MAX.into(), 1, 1, Ok((u64::MAX.into(), u64::MAX.into()))),
            (u64::MAX.into(), 2, 4, Ok(((1 << 63) - 1, 1 << 63))),
            (1 << 32, 1 << 31, 3, Ok((3074457345618258602, 3074457345618258603))),
            (1 << 32, 1 << 32, 3, Ok((6148914691236517205, 6148914691236517206))),
            (1 << 64, 3, 1 << 63, Ok((6, 6))),
            (5, 7, 1 << 64, Ok((0, 1))),
            (1 << 64, 1 << 64, 1, Err(Code::OVERFLOW)),
            (MAX, 2, 1, Err(Code::OVERFLOW)),
            (1, 1, 0, Err(Code::DIVISION_BY_ZERO)),
        ];
        for (a, b, d, want) in table {
            assert_eq!(mul_div_floor(a, b, d), want.map(|pair| pair.0), "floor of {a} * {b} / {d}");
            assert_eq!(mul_div_ceil(a, b, d), want.map(|pair| pair.1), "ceil of {a} * {b} / {d}");
        }
        // The floor just fits, and the ceiling does not.
        let (a, b, d) = (97223533405982418132392744980505203273, 7, 2);
        assert_eq!(mul_div_floor(a, b, d), Ok(MAX));
        assert_eq!(mul_div_ceil(a, b, d), Err(Code::OVERFLOW));
    }

    #[test]
    fn due_is_floored_and_lock_is_ceiled() {
        let price = Price { num: 2_450_000, den: 3_600 };
        assert_eq!(due(1, price), Ok(680));
        assert_eq!(lock(1, price), Ok(681));
        assert_eq!(due(3_600, price), Ok(2_450_000));
        assert_eq!(lock(3_600, price), Ok(2_450_000));
        assert_eq!(due(3_599, price), Ok(2_449_319));
        assert_eq!(due(1, Price { num: 1, den: 0 }), Err(Code::DIVISION_BY_ZERO));
        assert_eq!(due(MAX, Price { num: 2, den: 1 }), Err(Code::OVERFLOW));
    }

    #[test]
    fn fee_is_floored() {
        assert_eq!(fee(10_000, 150), Ok(150));
        assert_eq!(fee(9_999, 150), Ok(149));
        assert_eq!(fee(66, 150), Ok(0));
        assert_eq!(fee(67, 150), Ok(1));
        assert_eq!(fee(MAX, 10_000), Ok(MAX));
        assert_eq!(fee(5, 0), Ok(0));
        assert_eq!(fee(5, 10_001), Err(Code::BAD_TERMS));
    }

    #[test]
    fn shares_go_by_largest_remainder_then_lowest_index() {
        assert_eq!(shares(100, &[1, 1, 1]), Ok(vec![34, 33, 33]));
        assert_eq!(shares(101, &[1, 1, 1]), Ok(vec![34, 34, 33]));
        assert_eq!(shares(10, &[1, 2, 4]), Ok(vec![1, 3, 6]));
        assert_eq!(shares(1, &[0, 5, 5]), Ok(vec![0, 1, 0]));
        assert_eq!(shares(0, &[3, 4]), Ok(vec![0, 0]));
        assert_eq!(shares(MAX, &[u64::MAX, u64::MAX]), Ok(vec![(MAX >> 1) + 1, MAX >> 1]));
        assert_eq!(shares(1, &[0, 0]), Err(Code::DIVISION_BY_ZERO));
        assert_eq!(shares(1, &[]), Err(Code::DIVISION_BY_ZERO));
    }

    #[test]
    fn shares_of_a_growing_total_can_fall_and_their_floors_cannot() {
        assert_eq!(shares(10, &[6, 6, 2]), Ok(vec![4, 4, 2]));
        assert_eq!(shares(11, &[6, 6, 2]), Ok(vec![5, 5, 1]), "the third had two of ten");
        assert_eq!(shares_floor(10, &[6, 6, 2]), Ok(vec![4, 4, 1]));
        assert_eq!(shares_floor(11, &[6, 6, 2]), Ok(vec![4, 4, 1]));
        assert_eq!(shares_floor(MAX, &[0, u64::MAX]), Ok(vec![0, MAX]));
        assert_eq!(shares_floor(1, &[0, 0]), Err(Code::DIVISION_BY_ZERO));
    }

    #[test]
    fn gross_is_the_way_back_from_net() {
        // Of 67 a fee of 150 basis points is one: 66 and 67 both leave 66, and the larger is the answer if it may be.
        assert_eq!(gross(66, 150, 1_000), Ok(67));
        assert_eq!(gross(66, 150, 66), Ok(66));
        assert_eq!(gross(66, 150, 65), Err(Code::CONTRADICTION));
        assert_eq!(gross(0, 0, 5), Ok(0));
        assert_eq!(gross(0, 10_000, 5), Ok(5));
        assert_eq!(gross(1, 5_000, 1), Ok(1), "of one, half a unit of fee is none");
        assert_eq!(gross(1, 5_000, 9), Ok(2));
        assert_eq!(gross(0, 10_001, 5), Err(Code::BAD_TERMS));
    }

    #[test]
    fn availability_and_credit_are_strict_at_the_threshold() {
        let sla = [(9_900, 500), (9_500, 3_000), (9_000, 1_000)]
            .map(|(below_bps, credit_bps)| SlaStep { below_bps, credit_bps });
        let table = [
            (100, 100, 10_000, 0),
            (101, 100, 10_000, 0),
            (99, 100, 9_900, 0),
            (98_999, 100_000, 9_899, 500),
            (95, 100, 9_500, 500),
            (94_999, 100_000, 9_499, 3_000),
            (90, 100, 9_000, 3_000),
            (1, 100, 100, 3_000),
            (0, 1, 0, 3_000),
            (0, 0, 10_000, 0),
            (MAX - 1, MAX, 9_999, 0),
        ];
        for (delivered, committed, want, want_credit) in table {
            let kept = availability(delivered, committed).unwrap();
            assert_eq!((kept, credit(&sla, kept)), (want, want_credit), "{delivered} of {committed}");
        }
        assert_eq!(credit(&[], 0), 0);
        assert!(tiers_in_order(&sla) && tiers_in_order(&[]));
        assert!(!tiers_in_order(&[sla[1], sla[0]]) && !tiers_in_order(&[sla[0], sla[0]]));
        assert!(!tiers_in_order(&[SlaStep { below_bps: 10_001, credit_bps: 0 }]));
        assert!(!tiers_in_order(&[SlaStep { below_bps: 0, credit_bps: 10_001 }]));
    }

    #[test]
    fn basis_points_of_units_are_exact() {
        let small = u128::from(u64::MAX);
        for units in [0, 1, small, small + 1, MAX / 10_000] {
            assert_eq!(times_bps(units, 10_000), Ok(units * 10_000));
            assert_eq!(times_bps(units, 1), Ok(units));
            assert_eq!(times_bps(units, 0), Ok(0));
        }
        assert_eq!(times_bps(small, u16::MAX), Ok(small * 65_535));
        assert_eq!(times_bps(MAX / 10_000 + 1, 10_000), Err(Code::OVERFLOW));
    }

    #[test]
    fn retention_and_rulings_are_floored_once() {
        assert_eq!(retained(999, 3_000), Ok(699));
        assert_eq!([retained(7, 0), retained(7, 10_000), retained(MAX, 0)], [Ok(7), Ok(0), Ok(MAX)]);
        assert_eq!(retained(7, 10_001), Err(Code::BAD_PARAMS));
        assert_eq!([ruled(3, 8, 0), ruled(3, 8, 10_000), ruled(3, 8, 5_000)], [Ok(3), Ok(8), Ok(5)]);
        assert_eq!(ruled(8, 3, 5_000), Ok(5));
        assert_eq!(ruled(0, 1, 9_999), Ok(0));
        assert_eq!(ruled(0, 0, 10_001), Err(Code::BAD_INPUT));
        assert_eq!(ruled(0, MAX, 2), Err(Code::OVERFLOW));
    }

    proptest! {
        #[test]
        fn gross_undoes_the_fee(total in 0u128..1_000_000_000, more in 0u128..1_000, fee_bps in 0u16..=10_000) {
            let left = |total: u128| total - fee(total, fee_bps).unwrap();
            let back = gross(left(total), fee_bps, total + more).unwrap();
            prop_assert!(back >= total && back <= total + more);
            prop_assert_eq!(left(back), left(total));
            prop_assert!(back == total + more || left(back + 1) > left(total));
        }

        #[test]
        fn floors_of_shares_never_fall_and_never_exceed_them(
            total in 0u128..1_000_000,
            more in 0u128..1_000,
            weights in proptest::collection::vec(0u64..10_000, 1..14),
        ) {
            prop_assume!(weights.iter().any(|weight| *weight > 0));
            let before = shares_floor(total, &weights).unwrap();
            for later in [shares_floor(total + more, &weights).unwrap(), shares(total + more, &weights).unwrap()] {
                prop_assert!(before.iter().zip(&later).all(|(before, later)| before <= later));
            }
        }

        #[test]
        fn mul_div_undoes_itself(a: u128, b in 1u128.., d in 1u128..) {
            prop_assert_eq!(mul_div_floor(a, b, b), Ok(a));
            // quotient * d + remainder is the product, in 256 bits.
            if let Ok((quotient, remainder)) = mul_div(a, b, d) {
                prop_assert!(remainder < d);
                let (high, low) = mul_wide(quotient, d);
                let (low, carry) = low.overflowing_add(remainder);
                prop_assert_eq!((high + u128::from(carry), low), mul_wide(a, b));
            }
        }

        #[test]
        fn small_figures_come_out_as_large_ones_do(a: u64, b: u64, d in 1u64.., shift in 0u32..64) {
            let (a, b, d) = (u128::from(a >> shift), u128::from(b >> (63 - shift)), u128::from(d >> (shift / 2)).max(1));
            if let Some(answer) = mul_div_small(a, b, d) {
                prop_assert_eq!(answer, (a * b / d, a * b % d));
            } else {
                prop_assert!(a * b > u128::from(u64::MAX >> 1));
            }
        }

        #[test]
        fn shares_add_up(total: u128, weights in proptest::collection::vec(0u64..1_000, 1..16)) {
            prop_assume!(weights.iter().any(|weight| *weight > 0));
            let parts = shares(total, &weights).unwrap();
            prop_assert_eq!(parts.iter().try_fold(0u128, |sum, part| sum.checked_add(*part)), Some(total));
            for (part, weight) in parts.iter().zip(&weights) {
                prop_assert!(*weight > 0 || *part == 0);
            }
        }
    }
}
