//! The arithmetic that all contracts share. Each rounding rule is a named function; nothing wraps, nothing saturates.

use alloc::vec::Vec;

use crate::contract::Code;
use crate::limits::BPS_MAX;
use crate::terms::{Bps, Money, Price};

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

/// `total` divided by weights, by largest remainder; ties go to the lowest index. The shares add up to `total`.
///
/// # Errors
/// [`Code::DIVISION_BY_ZERO`] if no weight is above zero.
pub fn shares(total: Money, weights: &[u64]) -> Result<Vec<Money>, Code> {
    let weight_sum = weights
        .iter()
        .try_fold(0u128, |sum, weight| sum.checked_add(u128::from(*weight)))
        .ok_or(Code::OVERFLOW)?;
    if weight_sum == 0 {
        return Err(Code::DIVISION_BY_ZERO);
    }
    let mut parts = Vec::with_capacity(weights.len());
    let mut left = total;
    for (index, weight) in weights.iter().enumerate() {
        let (share, remainder) = mul_div(total, u128::from(*weight), weight_sum)?;
        left = left.checked_sub(share).ok_or(Code::OVERFLOW)?;
        parts.push((index, share, remainder));
    }
    parts.sort_unstable_by(|a, b| b.2.cmp(&a.2).then(a.0.cmp(&b.0)));
    // The floors miss less than one unit each, so what is left is less than the number of parts.
    for part in &mut parts {
        if left == 0 {
            break;
        }
        part.1 = part.1.checked_add(1).ok_or(Code::OVERFLOW)?;
        left = left.checked_sub(1).ok_or(Code::OVERFLOW)?;
    }
    parts.sort_unstable_by_key(|part| part.0);
    Ok(parts.into_iter().map(|part| part.1).collect())
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

    proptest! {
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
