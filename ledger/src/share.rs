//! Splitting money by shares, to the last uEUR.

use crate::money::Money;

/// Splits `amount` by `shares_bps`, which sum to 10,000: each part is rounded down, and the first takes the rest. `None` on
/// overflow.
#[must_use]
pub fn split(amount: Money, shares_bps: &[u16]) -> Option<Vec<Money>> {
    let mut parts = Vec::with_capacity(shares_bps.len());
    let mut rest = amount;
    for share in shares_bps {
        let part = amount.wide().checked_mul(u128::from(*share))?.checked_div(10_000)?;
        let part = Money::try_from(part).ok()?;
        rest = rest.checked_sub(part)?;
        parts.push(part);
    }
    if let Some(first) = parts.first_mut() {
        *first = first.checked_add(rest)?;
    }
    Some(parts)
}

/// Spreads `amount` over sources by `shares_bps`, none above its `room`: by share first, then what is left in order. `None`
/// when the rooms together are too small.
#[must_use]
pub fn spread(amount: Money, shares_bps: &[u16], room: &[Money]) -> Option<Vec<Money>> {
    let mut parts: Vec<Money> =
        split(amount, shares_bps)?.into_iter().zip(room).map(|(part, room)| part.min(*room)).collect();
    let placed = parts.iter().try_fold(Money::ZERO, |sum, part| sum.checked_add(*part))?;
    let mut rest = amount.checked_sub(placed)?;
    for (part, room) in parts.iter_mut().zip(room) {
        let more = room.checked_sub(*part)?.min(rest);
        *part = part.checked_add(more)?;
        rest = rest.checked_sub(more)?;
    }
    (rest == Money::ZERO).then_some(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn money(values: &[u64]) -> Vec<Money> {
        values.iter().copied().map(Money).collect()
    }

    #[test]
    fn parts_sum_to_the_amount_and_respect_the_room() {
        for (amount, shares, room, expected) in [
            (100, &[10_000][..], &[100][..], Some(&[100][..])),
            (100, &[3_333, 3_333, 3_334], &[100, 100, 100], Some(&[34, 33, 33])),
            (100, &[5_000, 5_000], &[30, 100], Some(&[30, 70])),
            (100, &[5_000, 5_000], &[100, 10], Some(&[90, 10])),
            (100, &[5_000, 5_000], &[30, 60], None),
            (0, &[5_000, 5_000], &[0, 0], Some(&[0, 0])),
            (
                u64::MAX,
                &[1, 9_999],
                &[u64::MAX, u64::MAX],
                Some(&[1_844_674_407_370_956, 18_444_899_399_302_180_659]),
            ),
        ] {
            assert_eq!(
                spread(Money(amount), shares, &money(room)),
                expected.map(money),
                "{amount} {shares:?} {room:?}"
            );
        }
    }
}
