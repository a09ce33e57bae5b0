//! Tables of the reserve lane, and of what both lanes share: own pools, grants, ceilings, released reserve.

use super::{check, check_detail};
use crate::market::{Detail, Reason};
use crate::money::Money;

/// An offer whose reserve has 8 accelerators and whose market has none.
const RESERVE: &str = "offer o ask=1.50 free=1000:0,2000:0 reserve=1000:8,2000:0\n";

#[test]
fn the_reserve_costs_the_lesser_of_ask_and_cap_and_counts_the_aid() {
    // 8 accelerators for an hour: 8 times what the price is below the ask.
    let request = format!("{RESERVE} request r credit=EE");
    check(&request, &["r: 8 at o from 1000 for 1.00 of the reserve, aid 4000000"]);
    check(
        &format!("params reserve_price=0.20 reference=1.10\n {request}"),
        &["r: 8 at o from 1000 for 0.20 of the reserve, aid 7200000"],
    );
    check(
        &format!("params reserve_price=3.00 reference=1.10\n {request}"),
        &["r: 8 at o from 1000 for 1.50 of the reserve, aid 0"],
    );
    check(&format!("{RESERVE} request r credit=EE limit=0.99 lane=reserve"), &["r: limit_below_price"]);
}

#[test]
fn the_reserve_is_for_the_eligible_whom_a_grant_pays_for_and_for_public_pools() {
    for order in ["eligible=true", "credit=EE eligible=false", "eligible=false"] {
        check(&format!("{RESERVE} request r {order} lane=reserve"), &["r: not_eligible_for_reserve"]);
        check(&format!("{RESERVE} request r {order}"), &["r: no_capacity_in_window"]);
    }
    check(&format!("{RESERVE} request r credit=EE lane=market"), &["r: no_capacity_in_window"]);
    check("offer o\n request r credit=EE lane=reserve", &["r: no_offer_meets_constraints"]);
    // What the reserve cannot serve goes on to the market, where it may.
    check(
        "offer o reserve=1000:4,2000:0\n request r credit=EE",
        &["r: 8 at o from 1000 for 1.00", "spot 1.00 volume 32"],
    );
    check("offer o reserve=1000:4,2000:0\n request r credit=EE lane=reserve", &["r: partial_not_allowed"]);
    // The market lane sells nothing of the reserve.
    check(
        "offer o free=1000:8,1004:0 reserve=1000:8,1004:0\n request a usage=1\n request b usage=2",
        &["a: 8 at o from 1000 for 2.00", "b: no_capacity_in_window", "spot 2.00 volume 32"],
    );
}

#[test]
fn the_reserve_goes_to_those_who_have_had_least_counted_anew_after_each_award() {
    let offer = "offer o free=1000:0,1004:0 reserve=1000:16,1004:0\n";
    // Money plays no role, even where the federation lets limits go first in the market.
    check(
        &format!(
            "params limit_first=true\n {offer} request poor credit=EE usage=1 limit=1.00 qty=16
             request rich credit=EE usage=2 limit=9.00"
        ),
        &["poor: 16 at o from 1000 for 1.00 of the reserve, aid 0", "rich: no_capacity_in_window"],
    );
    // Both requests of the group stand before the other's; its first award moves the second one back.
    let lines = "request a credit=EE group=g epoch=1\n request b credit=EE group=g epoch=2
                 request c credit=EE group=h epoch=3";
    let (a, b, c) = (
        "a: 8 at o from 1000 for 1.00 of the reserve, aid 0",
        "b: 8 at o from 1000 for 1.00 of the reserve, aid 0",
        "c: 8 at o from 1000 for 1.00 of the reserve, aid 0",
    );
    check(&format!("{offer} usage g=10 h=20\n {lines}"), &[a, c, "b: no_capacity_in_window"]);
    // Groups that the book does not follow keep the usage of each request.
    check(&format!("{offer} {lines}"), &[a, b, "c: no_capacity_in_window"]);
    // The award counts in the market of the same batch, too.
    check(
        "offer o free=1000:8,1004:0 reserve=1000:8,1004:0\n usage g=10 h=20
         request a credit=EE group=g\n request b group=g\n request c group=h",
        &[a, "b: no_capacity_in_window", "c: 8 at o from 1000 for 2.00", "spot 2.00 volume 32"],
    );
}

#[test]
fn a_member_tries_its_own_pools_before_all_others() {
    let offers = "offer cheap reserve=1000:8,2000:0\n offer own ask=1.20 owner=EE reserve=1000:8,2000:0\n";
    check(
        &format!("params reserve_price=0.50\n {offers} request r credit=EE"),
        &["r: 8 at own from 1000 for 0.50 of the reserve, aid 5600000"],
    );
    check(
        &format!("params reference=1.20\n {offers} request r credit=EE lane=market"),
        &["r: 8 at own from 1000 for 1.20", "spot 1.20 volume 32"],
    );
    check(
        &format!("params reference=1.20\n {offers} request r credit=FI lane=market"),
        &["r: 8 at cheap from 1000 for 1.00", "spot 1.00 volume 32"],
    );
}

#[test]
fn caps_of_the_reserve_bind_before_those_of_the_market() {
    // The class has 80: a tenth is 8, and the group holds 4 of the market already.
    let text = "offer o reserve=1000:16,2000:0\n hold group=g qty=4 end=1100\n";
    let detail = |cap| Detail {
        cheapest_ask: Some("1.00".parse().unwrap()),
        largest_free: Some(16),
        group_cap: Some(cap),
        ..Detail::default()
    };
    check_detail(
        &format!("params reserve_cap=1000\n {text} request r group=g credit=EE lane=reserve"),
        Reason::GroupCapReached,
        detail(8),
    );
    check_detail(
        &format!("{text} request r group=g credit=EE lane=reserve reserve_cap=500"),
        Reason::GroupCapReached,
        detail(4),
    );
    check(
        &format!("params reserve_cap=1000\n {text} request r group=g credit=EE"),
        &["r: 8 at o from 1000 for 1.00", "spot 1.00 volume 32"],
    );
    check(
        &format!("params reserve_cap=1500\n {text} request r group=g credit=EE"),
        &["r: 8 at o from 1000 for 1.00 of the reserve, aid 0"],
    );
}

#[test]
fn one_member_holds_no_more_of_the_reserve_than_its_share() {
    // 12 are free and 4 are held, so half of the reserve is 8 in each slot until 1100, and 6 after it.
    let text = "params member_cap=5000\n offer o reserve=1000:12,2000:0\n hold reserve=FI qty=4 end=1100\n";
    check(
        &format!("{text} request r credit=EE lane=reserve"),
        &["r: 8 at o from 1000 for 1.00 of the reserve, aid 0"],
    );
    let detail =
        Detail { cheapest_ask: Some("1.00".parse().unwrap()), member_cap: Some(8), ..Detail::default() };
    check_detail(&format!("{text} request r credit=FI lane=reserve"), Reason::MemberReserveCap, detail);
    check(
        &format!("{text} request r credit=FI lane=reserve min=4"),
        &["r: 4 at o from 1000 for 1.00 of the reserve, aid 0"],
    );
    check(
        &format!("{text} request r credit=FI lane=reserve qty=6 start=1000..1200"),
        &["r: 6 at o from 1100 for 1.00 of the reserve, aid 0"],
    );
    // Awards of the batch count, too.
    check(
        "params member_cap=5000\n offer o reserve=1000:16,1004:0 free=1000:0,2000:0
         request a credit=EE lane=reserve usage=1\n request b credit=EE lane=reserve usage=2",
        &["a: 8 at o from 1000 for 1.00 of the reserve, aid 0", "b: member_reserve_cap"],
    );
}

#[test]
fn a_group_gets_no_more_aid_than_is_left() {
    let text = |aid: u64, rest: &str| format!("{RESERVE} request r credit=EE lane=reserve aid={aid} {rest}");
    check(&text(4_000_000, ""), &["r: 8 at o from 1000 for 1.00 of the reserve, aid 4000000"]);
    let detail = Detail {
        cheapest_ask: Some("1.50".parse().unwrap()),
        aid_left: Some(Money(3_999_999)),
        ..Detail::default()
    };
    check_detail(&text(3_999_999, ""), Reason::AidCeiling, detail);
    check(&text(3_999_999, "min=1"), &["r: 7 at o from 1000 for 1.00 of the reserve, aid 3500000"]);
    check(&text(0, "min=1"), &["r: aid_ceiling"]);
    // What the batch gave the group counts.
    check(
        "offer o ask=1.50 free=1000:0,2000:0 reserve=1000:64,2000:0
         request a group=g credit=EE lane=reserve aid=7000000 usage=1
         request b group=g credit=EE lane=reserve aid=7000000 usage=2",
        &["a: 8 at o from 1000 for 1.00 of the reserve, aid 4000000", "b: aid_ceiling"],
    );
}

#[test]
fn pools_sell_no_more_to_commercial_users_than_they_may() {
    check(
        "offer o commercial=63\n request a commercial=true usage=1\n request b commercial=true usage=2\n request c",
        &[
            "a: 8 at o from 1000 for 2.00",
            "b: commercial_ceiling",
            "c: 8 at o from 1000 for 2.00",
            "spot 2.00 volume 64",
        ],
    );
    check(
        "offer o commercial=15\n request r commercial=true min=1",
        &["r: 3 at o from 1000 for 1.00", "spot 1.00 volume 12"],
    );
    // One ceiling for both lanes.
    check(
        "offer o commercial=32 reserve=1000:8,2000:0
         request a commercial=true credit=EE\n request b commercial=true",
        &["a: 8 at o from 1000 for 1.00 of the reserve, aid 0", "b: commercial_ceiling"],
    );
    let detail = Detail {
        cheapest_ask: Some("1.00".parse().unwrap()),
        commercial_left: Some(31),
        ..Detail::default()
    };
    check_detail("offer o commercial=31\n request r commercial=true", Reason::CommercialCeiling, detail);
}

#[test]
fn a_grant_pays_no_offer_that_asks_more_than_it_may() {
    let text = "params credit_cap=1.00\n offer dear ask=1.001\n";
    let detail = Detail {
        cheapest_ask: Some("1.001".parse().unwrap()),
        credit_ask_cap: Some("1.00".parse().unwrap()),
        ..Detail::default()
    };
    check_detail(&format!("{text} request r credit=EE"), Reason::AskOverCreditCap, detail);
    check(
        &format!("{text} offer cheap\n request r credit=EE"),
        &["r: 8 at cheap from 1000 for 1.00", "spot 1.00 volume 32"],
    );
    check(&format!("{text} request r"), &["r: 8 at dear from 1000 for 1.001", "spot 1.001 volume 32"]);
}

#[test]
fn what_the_reserve_left_is_released_to_short_interruptible_leases_soon() {
    let params = "params release=20 release_lease=4\n";
    let offer = "offer o free=1000:0,2000:0 reserve=1000:16,2000:0\n";
    let served = ["r: 8 at o from 1000 for 1.00 released", "spot 1.00 volume 32"];
    check(&format!("{params} {offer} request r interruptible=true"), &served);
    for (params, order) in [
        (params, "interruptible=false"),
        (params, "interruptible=true slots=5"),
        (params, "interruptible=true start=1017..1030"),
        ("params release=0 release_lease=4\n", "interruptible=true"),
    ] {
        check(&format!("{params} {offer} request r {order}"), &["r: no_capacity_in_window"]);
    }
    check(
        &format!("{params} {offer} request r interruptible=true start=1016..1030"),
        &["r: 8 at o from 1016 for 1.00 released", "spot 1.00 volume 32"],
    );
    // The reserve lane comes first, and the market calendar before the released one, even for fewer.
    check(
        &format!(
            "{params} {offer} request r interruptible=true start=1000..1000\n request s credit=EE qty=16 start=1000..1000"
        ),
        &["s: 16 at o from 1000 for 1.00 of the reserve, aid 0", "r: no_capacity_in_window"],
    );
    check(
        &format!(
            "{params} offer o free=1000:2,2000:0 reserve=1000:16,2000:0\n request r interruptible=true min=1"
        ),
        &["r: 2 at o from 1000 for 1.00", "spot 1.00 volume 8"],
    );
}

#[test]
fn a_full_reserve_considers_those_of_the_greatest_need() {
    check(
        &format!(
            "params per_group=1\n {RESERVE} request a group=g credit=EE lane=reserve qty=4 usage=1
             request b group=g credit=EE lane=reserve qty=4 usage=2"
        ),
        &["a: 4 at o from 1000 for 1.00 of the reserve, aid 2000000", "b: batch_full"],
    );
}
