use super::*;
use proptest::prelude::*;

const HORIZON: u32 = 40;

/// The same calendar as one number per slot.
type Slots = Vec<u32>;

fn calendar(slots: &[u32]) -> Calendar {
    let steps: Vec<(Slot, u32)> =
        slots.iter().copied().chain([0]).enumerate().map(|(slot, free)| (Slot(slot as u32), free)).collect();
    Calendar::from_steps(&steps).unwrap()
}

fn window(slots: &[u32], start: u32, count: u32) -> Option<u32> {
    let end = start.checked_add(count)?;
    (start..end).map(|slot| slots.get(slot as usize).copied().unwrap_or(0)).min()
}

fn any_slots() -> impl Strategy<Value = Slots> {
    prop::collection::vec((0..5u32, 1..6usize), 0..12).prop_map(|runs| {
        let mut slots: Slots = runs.into_iter().flat_map(|(free, length)| vec![free; length]).collect();
        slots.resize(HORIZON as usize, 0);
        slots
    })
}

#[derive(Clone, Debug)]
enum Change {
    Take(u32, u32, u32),
    Give(u32, u32, u32),
    Prune(u32),
}

fn any_change() -> impl Strategy<Value = Change> {
    let range = (0..HORIZON, 0..9u32, 0..5u32);
    prop_oneof![
        4 => range.clone().prop_map(|(start, slots, quantity)| Change::Take(start, slots, quantity)),
        4 => range.prop_map(|(start, slots, quantity)| Change::Give(start, slots, quantity)),
        1 => (0..HORIZON / 2).prop_map(Change::Prune),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn changes_are_those_of_one_number_per_slot(
        mut slots in any_slots(),
        changes in prop::collection::vec(any_change(), 0..20),
    ) {
        let mut changed = calendar(&slots);
        slots.resize(HORIZON as usize + 10, 0);
        for change in changes {
            let before = changed.clone();
            let range = |start: u32, count: u32| start as usize..(start + count) as usize;
            match change {
                Change::Take(start, count, quantity) => {
                    let fits = count > 0 && window(&slots, start, count).unwrap() >= quantity;
                    prop_assert_eq!(changed.take(Slot(start), count, quantity).is_ok(), fits);
                    if fits {
                        slots[range(start, count)].iter_mut().for_each(|free| *free -= quantity);
                    } else {
                        prop_assert_eq!(&changed, &before, "a refused change changes nothing");
                    }
                }
                Change::Give(start, count, quantity) => {
                    prop_assert_eq!(changed.give(Slot(start), count, quantity).is_ok(), count > 0);
                    slots[range(start, count)].iter_mut().for_each(|free| *free += quantity);
                }
                Change::Prune(now) => {
                    changed.prune(Slot(now));
                    slots[..now as usize].iter_mut().for_each(|free| *free = 0);
                }
            }
            // Equal functions have equal bytes, and those bytes decode.
            prop_assert_eq!(&changed, &calendar(&slots));
            let bytes = borsh::to_vec(&changed).unwrap();
            prop_assert_eq!(&borsh::from_slice::<Calendar>(&bytes).unwrap(), &changed);
        }
        prop_assert_eq!(changed.area(), slots.iter().map(|free| u128::from(*free)).sum::<u128>());
        prop_assert_eq!(changed.peak(), slots.iter().copied().max().unwrap());
    }

    #[test]
    fn questions_are_answered_as_by_one_number_per_slot(
        slots in any_slots(),
        (quantity, count) in (0..6u32, 0..8u32),
        (start_min, start_max) in (0..HORIZON + 4, 0..HORIZON + 4),
    ) {
        let calendar = calendar(&slots);
        let fits = |start: &u32| quantity > 0 && count > 0 && window(&slots, *start, count).unwrap() >= quantity;
        let first = (start_min..=start_max).find(fits).map(Slot);
        prop_assert_eq!(calendar.first_fit(quantity, count, Slot(start_min), Slot(start_max)), first);
        let most = (start_min..=start_max).filter_map(|start| window(&slots, start, count)).max().unwrap_or(0);
        prop_assert_eq!(calendar.largest_fit(count, Slot(start_min), Slot(start_max)), most);
        prop_assert_eq!(calendar.min_free(Slot(start_min), count), window(&slots, start_min, count).unwrap_or(0));
        prop_assert_eq!(calendar.free_at(Slot(start_min)), slots.get(start_min as usize).copied().unwrap_or(0));
    }
}

fn points(pairs: &[(u32, u32)]) -> Vec<(Slot, u32)> {
    pairs.iter().map(|(slot, free)| (Slot(*slot), *free)).collect()
}

#[test]
fn only_the_canonical_form_is_taken() {
    type Case = (&'static [(u32, u32)], Result<(), CalendarError>);
    let table: [Case; 8] = [
        (&[], Ok(())),
        (&[(5, 3), (9, 0)], Ok(())),
        (&[(5, 3), (9, 2), (12, 0)], Ok(())),
        (&[(5, 0)], Err(CalendarError::Repeated(5))),
        (&[(5, 3), (7, 3), (9, 0)], Err(CalendarError::Repeated(7))),
        (&[(5, 3), (5, 2), (9, 0)], Err(CalendarError::Unsorted(5))),
        (&[(9, 3), (5, 0)], Err(CalendarError::Unsorted(5))),
        (&[(5, 3)], Err(CalendarError::OpenEnd)),
    ];
    for (pairs, expect) in table {
        let made = Calendar::new(points(pairs));
        assert_eq!(made.map(|_| ()), expect, "{pairs:?}");
        let bytes = borsh::to_vec(&points(pairs)).unwrap();
        assert_eq!(borsh::from_slice::<Calendar>(&bytes).is_ok(), expect.is_ok(), "{pairs:?}");
        let json = serde_json::to_string(&points(pairs)).unwrap();
        assert_eq!(serde_json::from_str::<Calendar>(&json).is_ok(), expect.is_ok(), "{json}");
    }
    let merged = Calendar::from_steps(&points(&[(1, 0), (5, 3), (7, 3), (9, 0), (11, 0)])).unwrap();
    assert_eq!(serde_json::to_string(&merged).unwrap(), "[[5,3],[9,0]]");
    assert_eq!(merged, Calendar::constant(Slot(5), Slot(9), 3));
    assert_eq!(Calendar::constant(Slot(9), Slot(9), 3), Calendar::default());
    assert_eq!(Calendar::from_steps(&points(&[(3, 0), (2, 0)])), Err(CalendarError::Unsorted(2)));
}

#[test]
fn the_ends_of_time_and_number_are_refused() {
    let last = Slot(u32::MAX);
    let mut calendar = Calendar::constant(Slot(0), last, u32::MAX);
    assert_eq!(calendar.area(), u128::from(u32::MAX) * u128::from(u32::MAX));
    assert_eq!(calendar.first_fit(u32::MAX, u32::MAX, Slot(0), last), Some(Slot(0)));
    assert_eq!(calendar.first_fit(1, u32::MAX, Slot(1), last), None);
    assert_eq!(calendar.largest_fit(1, Slot(0), last), u32::MAX);
    assert_eq!(calendar.give(Slot(3), 1, 1), Err(CalendarError::TooMany));
    assert_eq!(calendar.take(last, 1, 1), Err(CalendarError::NoTime { start: u32::MAX, slots: 1 }));
    assert_eq!(calendar.take(Slot(1), 0, 1), Err(CalendarError::NoTime { start: 1, slots: 0 }));
    let mut small = Calendar::constant(Slot(4), Slot(6), 2);
    assert_eq!(small.take(Slot(4), 3, 1), Err(CalendarError::NotFree { quantity: 1, free: 0 }));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn calendars_combine_slot_by_slot(
        (one, two) in (any_slots(), any_slots()),
        (bps, node_size) in (prop_oneof![0..=10_000u16, Just(u16::MAX)], 0..4u32),
        (from, until) in (0..HORIZON + 4, 0..HORIZON + 4),
    ) {
        let (left, right) = (calendar(&one), calendar(&two));
        let both = |combine: fn(u32, u32) -> u32| {
            calendar(&one.iter().zip(&two).map(|(one, two)| combine(*one, *two)).collect::<Slots>())
        };
        prop_assert_eq!(left.minus(&right), both(u32::saturating_sub));
        prop_assert_eq!(left.plus(&right), both(|one, two| one + two));
        prop_assert_eq!(left.min_with(&right), both(u32::min));
        let inside = |slot: &usize| (from as usize..until as usize).contains(slot);
        let cut = one.iter().enumerate().map(|(slot, free)| if inside(&slot) { *free } else { 0 });
        prop_assert_eq!(left.cut(Slot(from), Slot(until)), calendar(&cut.collect::<Slots>()));
        let node = node_size.max(1);
        let share = |free: &u32| (free * u32::from(bps)).div_ceil(10_000).div_ceil(node) * node;
        let reserved: Slots = one.iter().map(|free| share(free).min(*free)).collect();
        prop_assert_eq!(left.reserved(bps, node_size), calendar(&reserved));
    }
}

#[test]
fn a_reserve_is_rounded_towards_access() {
    let table = [
        (100, 2_000, 1, 20),
        (101, 2_000, 1, 21),
        (101, 2_000, 4, 24),
        (3, 2_000, 4, 3),
        (64, 0, 4, 0),
        (64, 10_000, 48, 64),
        (u32::MAX, 10_000, u32::MAX, u32::MAX),
        (1, 1, 0, 1),
    ];
    for (free, bps, node_size, expect) in table {
        let reserved = Calendar::constant(Slot(3), Slot(9), free).reserved(bps, node_size);
        assert_eq!(reserved, Calendar::constant(Slot(3), Slot(9), expect), "{free} {bps} {node_size}");
    }
    let most = Calendar::constant(Slot(3), Slot(9), u32::MAX);
    assert_eq!(most.plus(&most), most, "a sum never wraps");
}
