//! One test per row of the edge cases that the template promises. Whole lives of leases are tried in `contracts/trials`.

use hansa_contracts_abi::testing::facts as plain_facts;
use hansa_contracts_abi::{CheckedSplit, Evidence, Trigger, Window, check_split};

use super::*;

fn holder(party: u8, side: Side, share_bps: Bps) -> Holder {
    Holder { party: Party(party), side, share_bps }
}

/// Four tenths of the net are cost; a public and two private investors; 1,000 public return, then 2,000 private.
fn params() -> Params {
    let holders = vec![
        holder(3, Side::Public, 5_000),
        holder(4, Side::Private, 3_000),
        holder(5, Side::Private, 2_000),
    ];
    let until = |until| Return { until, returned_before: 0 };
    Params { operating_cost: 4, holders, public: until(1_000), private: until(2_000), aid_cap: None }
}

/// 4 units for 1,000 seconds at 10 each without a fee, so that a unit earns 10 of net; three named parties.
fn facts(used: u128) -> Facts {
    let mut facts = plain_facts();
    facts.terms.parties.extend([Role::Named; 3]);
    facts.terms.fee_bps = 0;
    facts.escrow.locked = 40_000;
    facts.usage.cumulative = used;
    facts
}

fn settle(params: &Params, facts: &Facts) -> (Split, CheckedSplit) {
    let split = Coinvest::settle(params, facts).unwrap();
    let quote = Coinvest::quote(params, &facts.terms).unwrap();
    let checked = check_split(&split, facts, &[], quote.lock).unwrap();
    (split, checked)
}

/// What each of the first six parties receives.
fn paid(params: &Params, facts: &Facts) -> [Money; 6] {
    let (split, _) = settle(params, facts);
    let mut amounts = [0; 6];
    for (party, amount) in split.pay {
        amounts[usize::from(party.0)] = amount;
    }
    amounts
}

#[test]
fn shares_that_are_not_a_whole_are_refused_at_the_quote() {
    let quote = |change: fn(&mut Params, &mut Terms)| {
        let (mut params, mut terms) = (params(), facts(0).terms);
        change(&mut params, &mut terms);
        Coinvest::quote(&params, &terms)
    };
    assert_eq!(quote(|_, _| {}), Ok(Quote { lock: 40_000, stake: 0 }));
    let bad: [fn(&mut Params, &mut Terms); 12] = [
        |params, _| params.holders[0].share_bps = 4_999,
        |params, _| params.holders[0].share_bps = 5_001,
        |params, _| params.holders.clear(),
        |params, _| params.holders.swap(0, 1),
        |params, _| params.holders[1].party = Party(3),
        |params, _| params.holders[0].party = Party::REQUESTER,
        |params, _| params.holders[0].party = Party::OPERATOR,
        |_, terms| terms.parties[3] = Role::Sponsor,
        // Somebody has to be there to receive what a side is promised.
        |params, _| params.holders.iter_mut().for_each(|holder| holder.side = Side::Private),
        |params, _| params.holders.iter_mut().for_each(|holder| holder.side = Side::Public),
        |params, _| {
            params.holders.iter_mut().for_each(|holder| holder.side = Side::Private);
            (params.public.until, params.aid_cap) = (0, Some(1));
        },
        |params, _| params.holders = (0..14).map(|index| holder(index, Side::Public, 714)).collect(),
    ];
    for (index, change) in bad.into_iter().enumerate() {
        assert_eq!(quote(change), Err(Code::BAD_PARAMS), "change {index}");
    }
    assert_eq!(quote(|params, _| params.holders[2].party = Party(6)), Err(Code::UNKNOWN_PARTY));
    assert_eq!(quote(|_, terms| terms.fee_bps = 10_001), Err(Code::BAD_TERMS));
    assert_eq!(quote(|params, _| params.operating_cost = u128::MAX), Err(Code::OVERFLOW));
    assert!(quote(|params, _| params.holders[0].party = Party::PROVIDER).is_ok());
}

#[test]
fn the_waterfall_fills_one_step_after_the_other() {
    // Units; then provider, public, and the two private ones, of whom the first has three fifths.
    let table = [
        (0, [0, 0, 0, 0]),
        (1, [4, 6, 0, 0]),
        (100, [400, 600, 0, 0]),
        (166, [664, 996, 0, 0]),
        (167, [668, 1_000, 1, 1]), // The public return is reached inside this unit: 2 of its 6 go on.
        (400, [1_600, 1_000, 840, 560]),
        (500, [2_000, 1_000, 1_200, 800]),
        (501, [2_004, 1_003, 1_202, 801]), // From here by shares: 6 are 3 and 3, of which 1.8 and 1.2.
        (4_000, [16_000, 11_500, 7_500, 5_000]),
    ];
    for (used, [provider, public, first, second]) in table {
        let want = [0, provider, 0, public, first, second];
        assert_eq!(paid(&params(), &facts(used)), want, "{used} units");
        assert_eq!(want.iter().sum::<Money>(), 10 * used);
    }
}

#[test]
fn remainders_go_to_the_largest_and_then_to_the_first() {
    let thirds = |shares: [Bps; 3]| {
        let holders = (3..6).zip(shares).map(|(party, share)| holder(party, Side::Public, share)).collect();
        Params {
            operating_cost: 0,
            holders,
            public: Return::default(),
            private: Return::default(),
            aid_cap: None,
        }
    };
    // 10, 20 and 30 of net.
    assert_eq!(paid(&thirds([3_334, 3_333, 3_333]), &facts(1)), [0, 0, 0, 4, 3, 3]);
    assert_eq!(paid(&thirds([3_333, 3_333, 3_334]), &facts(1)), [0, 0, 0, 3, 3, 4], "the largest remainder");
    assert_eq!(
        paid(&thirds([2_500, 2_500, 5_000]), &facts(1)),
        [0, 0, 0, 3, 2, 5],
        "the first of equal ones"
    );
    assert_eq!(paid(&thirds([5_000, 5_000, 0]), &facts(3)), [0, 0, 0, 15, 15, 0], "a party with nothing");
    // While the lease goes on, each receives its floor, and the rest stays locked.
    let mut interim = facts(1);
    interim.ctx.trigger = Trigger::Interim;
    assert_eq!(paid(&thirds([2_500, 2_500, 5_000]), &interim), [0, 0, 0, 2, 2, 5]);
    assert_eq!(settle(&thirds([2_500, 2_500, 5_000]), &interim).1.held, 39_991);
}

#[test]
fn earlier_leases_count_towards_the_returns() {
    let mut later = params();
    later.public.returned_before = 990;
    assert_eq!(paid(&later, &facts(10)), [0, 40, 0, 10, 30, 20]);
    // Returned beyond the claim, pro rata: no claim is left, and the private one is next.
    later.public.returned_before = 5_000;
    assert_eq!(paid(&later, &facts(10)), [0, 40, 0, 0, 36, 24]);
    later.private.returned_before = 1_960;
    assert_eq!(paid(&later, &facts(10)), [0, 40, 0, 10, 30, 20], "40 of claim, then halves of 20");
}

#[test]
fn the_state_aid_cap_stops_the_private_side_wherever_it_is() {
    let capped = |cap, before| {
        let private = Return { until: 2_000, returned_before: before };
        Params { aid_cap: Some(cap), private, ..params() }
    };
    // In the middle of the private return: 1,400 are due to it, 900 may go there.
    assert_eq!(paid(&capped(900, 0), &facts(400)), [0, 1_600, 0, 1_500, 540, 360]);
    let note = Note { code: NOTE_AID_CAP, bytes: 500u128.to_le_bytes().to_vec() };
    assert_eq!(settle(&capped(900, 0), &facts(400)).0.notes, [note]);
    // In the middle of the division by shares, earlier leases included.
    assert_eq!(paid(&capped(12_499, 0), &facts(4_000)), [0, 16_000, 0, 11_501, 7_499, 5_000]);
    assert_eq!(paid(&capped(12_500, 0), &facts(4_000)), [0, 16_000, 0, 11_500, 7_500, 5_000]);
    assert_eq!(settle(&capped(12_500, 0), &facts(4_000)).0.notes, []);
    assert_eq!(paid(&capped(2_000, 2_000), &facts(4_000)), [0, 16_000, 0, 24_000, 0, 0]);
    assert_eq!(paid(&capped(0, 0), &facts(4_000)), [0, 16_000, 0, 24_000, 0, 0]);
}

#[test]
fn operating_cost_is_a_floor_and_the_fee_comes_before_all() {
    // The fee is on everything: 10,000 earned, 150 of fee; cost is 4 of the 9.85 that are left of each 10.
    let mut with_fee = facts(1_000);
    with_fee.terms.fee_bps = 150;
    assert_eq!(paid(&params(), &with_fee), [0, 4_000, 150, 1_000 + 1_425, 1_200 + 855, 800 + 570]);
    let dear = Params { operating_cost: 11, ..params() };
    assert_eq!(paid(&dear, &facts(1_000)), [0, 10_000, 0, 0, 0, 0]);
    let mut everything = facts(1_000);
    everything.terms.fee_bps = 10_000;
    assert_eq!(paid(&params(), &everything), [0, 0, 10_000, 0, 0, 0]);
    everything.ctx.trigger = Trigger::Interim;
    assert_eq!(paid(&params(), &everything), [0, 0, 10_000, 0, 0, 0]);
    let mut free = facts(1_000);
    free.terms.price.num = 0;
    assert_eq!(paid(&params(), &free), [0; 6]);
    // A provider that invested itself receives its share on top of its cost.
    let mut own = params();
    own.holders[0] = holder(1, Side::Public, 5_000);
    assert_eq!(paid(&own, &facts(100)), [0, 1_000, 0, 0, 0, 0]);
    assert_eq!(paid(&own, &facts(4_000)), [0, 27_500, 0, 0, 7_500, 5_000]);
}

#[test]
fn what_is_due_is_due_as_elsewhere() {
    let with = |trigger| {
        let mut facts = facts(1_000);
        facts.ctx.trigger = trigger;
        let source = Evidence::ProviderOnly;
        facts.usage.windows = vec![Window { index: 0, delivered: 400, committed: 400, up_secs: 1, source }];
        paid(&params(), &facts).iter().sum::<Money>()
    };
    assert_eq!(with(Trigger::Interim), 6_000);
    assert_eq!(with(Trigger::NoShow), 0);
    assert_eq!(with(Trigger::Ruling { provider_bps: 2_500 }), 7_000);
    assert_eq!(with(Trigger::Cancelled { by: Party(5) }), 10_000);
    let refusal = |change: fn(&mut Facts)| {
        let mut facts = facts(1_000);
        change(&mut facts);
        Coinvest::settle(&params(), &facts).unwrap_err()
    };
    assert_eq!(refusal(|facts| facts.escrow.paid = 10_001), Code::CONTRADICTION);
    assert_eq!(refusal(|facts| facts.ctx.trigger = Trigger::Cancelled { by: Party(6) }), Code::UNKNOWN_PARTY);
    assert_eq!(refusal(|facts| facts.terms.parties.truncate(5)), Code::UNKNOWN_PARTY);
    let mut short = facts(1_000);
    short.escrow.locked = 9_000;
    let (split, checked) = settle(&params(), &short);
    assert_eq!(checked.refund, 0);
    assert_eq!(split.notes, [Note { code: NOTE_UNCOVERED, bytes: 1_000u128.to_le_bytes().to_vec() }]);
}
