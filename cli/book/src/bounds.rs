//! What each field of a book may hold.

use crate::file::{BookFile, HoldLine, OfferLine, ParamsTable, RequestLine};
use crate::{BookError, convert};
use hansa_ledger::member::MemberCode;
use hansa_ledger::money::Price;
use std::collections::BTreeSet;
use std::fmt::Display;

/// Offers in a book.
pub(crate) const OFFERS_MAX: usize = 100_000;
/// Requests in a book.
pub(crate) const REQUESTS_MAX: usize = 2_000_000;
/// Holds in a book.
pub(crate) const HOLDS_MAX: usize = 1_000_000;
/// Breakpoints of a calendar.
pub(crate) const POINTS_MAX: usize = 20_000;
/// Bytes of an id, a name or a certificate.
pub(crate) const TEXT_BYTES_MAX: usize = 256;
/// Certificates that differ, in a whole book: the ledger has a bit for each.
pub(crate) const CERTIFICATES_MAX: usize = 32;

type Checked = Result<(), BookError>;

fn refuse(field: impl Into<String>, problem: impl Into<String>) -> Checked {
    Err(BookError::new(field, problem))
}

fn between<Value: PartialOrd + Display>(field: &str, value: Value, least: Value, most: Value) -> Checked {
    if value >= least && value <= most {
        return Ok(());
    }
    refuse(field, format!("is {value}, and must be from {least} to {most}"))
}

fn count(field: &str, len: usize, most: usize) -> Checked {
    if len <= most {
        Ok(())
    } else {
        refuse(field, format!("has {len} entries, and may have at most {most}"))
    }
}

fn text(field: &str, value: &str) -> Checked {
    match value.len() {
        0 => refuse(field, "is empty"),
        bytes if bytes > TEXT_BYTES_MAX => {
            refuse(field, format!("has {bytes} bytes, and may have at most {TEXT_BYTES_MAX}"))
        }
        _ => Ok(()),
    }
}

fn on_tick(field: &str, price: u64, tick: u64) -> Checked {
    if price.is_multiple_of(tick) {
        return Ok(());
    }
    refuse(field, format!("is {price}, and must be a multiple of the tick, {tick} uEUR"))
}

fn country(field: &str, code: &str) -> Checked {
    match code.parse::<MemberCode>() {
        Ok(member) if member.country_bit().is_some() => Ok(()),
        Ok(member) => refuse(field, format!("`{member}` is no country")),
        Err(problem) => refuse(field, problem),
    }
}

fn unique<'a>(list: &str, ids: impl Iterator<Item = &'a str>) -> Checked {
    let mut seen = BTreeSet::new();
    for (at, id) in ids.enumerate() {
        if !seen.insert(id) {
            return refuse(format!("{list}[{at}].id"), format!("`{id}` stands twice"));
        }
    }
    Ok(())
}

/// Holds every field to its bounds, in the order of the file.
pub(crate) fn check(book: &BookFile) -> Checked {
    params(&book.params)?;
    count("offers", book.offers.len(), OFFERS_MAX)?;
    for (at, offer) in book.offers.iter().enumerate() {
        self::offer(&format!("offers[{at}]"), offer, &book.params)?;
    }
    unique("offers", book.offers.iter().map(|offer| offer.id.as_str()))?;
    count("requests", book.requests.len(), REQUESTS_MAX)?;
    for (at, request) in book.requests.iter().enumerate() {
        // The path is made only for a request that is refused: there may be a million others.
        let path = |field: &str| format!("requests[{at}]{field}");
        self::request(&path, request, &book.params)?;
    }
    unique("requests", book.requests.iter().map(|request| request.id.as_str()))?;
    count("holds", book.holds.len(), HOLDS_MAX)?;
    for (at, hold) in book.holds.iter().enumerate() {
        self::hold(&format!("holds[{at}]"), hold)?;
    }
    let certificates = convert::certificates(book);
    if certificates.len() > CERTIFICATES_MAX {
        return refuse(
            "book",
            format!("names {} certificates, and may name at most {CERTIFICATES_MAX}", certificates.len()),
        );
    }
    Ok(())
}

fn params(params: &ParamsTable) -> Checked {
    between("params.tick", params.tick, 1, 1_000_000_000_000)?;
    between("params.k_bps", params.k_bps, 0, 10_000)?;
    between("params.price_candidates", params.price_candidates, 1, 1_024)?;
    between("params.cap_bps", params.cap_bps, 0, 10_000)?;
    between("params.slot_s", params.slot_s, 1, 86_400)?;
    if params.near_slots < params.spot_slots {
        let (near, spot) = (params.near_slots, params.spot_slots);
        return refuse("params.near_slots", format!("is {near}, and must not be below spot_slots, {spot}"));
    }
    text("params.chain_id", &params.chain_id)
}

fn offer(path: &str, offer: &OfferLine, params: &ParamsTable) -> Checked {
    text(&format!("{path}.id"), &offer.id)?;
    text(&format!("{path}.provider"), &offer.provider)?;
    country(&format!("{path}.country"), &offer.country)?;
    text(&format!("{path}.class"), &offer.class)?;
    for (at, certificate) in offer.certs.iter().enumerate() {
        text(&format!("{path}.certs[{at}]"), certificate)?;
    }
    between(&format!("{path}.node_size"), offer.node_size, 1, u32::MAX)?;
    on_tick(&format!("{path}.ask"), offer.ask, params.tick)?;
    between(&format!("{path}.reserve_bps"), offer.reserve_bps, 0, 10_000)?;
    calendar(&format!("{path}.calendar"), &offer.calendar)
}

fn calendar(path: &str, points: &[(u32, u32)]) -> Checked {
    count(path, points.len(), POINTS_MAX)?;
    for (at, pair) in points.windows(2).enumerate() {
        if let [(before, _), (slot, _)] = pair
            && before >= slot
        {
            let next = at.saturating_add(1);
            let problem = format!("slot {slot} does not come after slot {before}; breakpoints are sorted");
            return refuse(format!("{path}[{next}]"), problem);
        }
    }
    match points.last() {
        None => refuse(path, "is empty; the last breakpoint has free 0, the horizon"),
        Some((_, free)) if *free != 0 => {
            let last = points.len().saturating_sub(1);
            refuse(
                format!("{path}[{last}]"),
                format!("has free {free}; the last breakpoint has free 0, the horizon"),
            )
        }
        Some(_) => Ok(()),
    }
}

fn request(path: &dyn Fn(&str) -> String, request: &RequestLine, params: &ParamsTable) -> Checked {
    for (field, value) in
        [(".id", &request.id), (".org", &request.org), (".group", &request.group), (".class", &request.class)]
    {
        if value.is_empty() || value.len() > TEXT_BYTES_MAX {
            text(&path(field), value)?;
        }
    }
    for (at, code) in request.countries.iter().enumerate() {
        country(&path(&format!(".countries[{at}]")), code)?;
    }
    for (at, certificate) in request.certs.iter().enumerate() {
        text(&path(&format!(".certs[{at}]")), certificate)?;
    }
    if request.qty == 0 {
        return refuse(path(".qty"), "is 0, and must be at least 1");
    }
    if request.min_qty == 0 || request.min_qty > request.qty {
        between(&path(".min_qty"), request.min_qty, 1, request.qty)?;
    }
    if request.dur_slots == 0 {
        return refuse(path(".dur_slots"), "is 0, and must be at least 1");
    }
    if request.start_hi < request.start_lo {
        let (high, low) = (request.start_hi, request.start_lo);
        return refuse(path(".start_hi"), format!("is {high}, and must not be before start_lo, {low}"));
    }
    if request.start_hi.checked_add(request.dur_slots).is_none() {
        let problem = format!(
            "a lease of {} slots from slot {} on ends past the last slot there is",
            request.dur_slots, request.start_hi
        );
        return refuse(path(".dur_slots"), problem);
    }
    if !request.limit.is_multiple_of(params.tick) {
        on_tick(&path(".limit"), request.limit, params.tick)?;
    }
    let seconds = u64::from(request.qty)
        .checked_mul(u64::from(request.dur_slots))
        .and_then(|slots| slots.checked_mul(u64::from(params.slot_s)));
    if seconds.and_then(|seconds| Price(request.limit).charge(seconds)).is_none() {
        let problem = format!(
            "{} uEUR for {} accelerators over {} slots is more money than the ledger can count; lower limit, qty or dur_slots",
            request.limit, request.qty, request.dur_slots
        );
        return refuse(path(".limit"), problem);
    }
    convert::funding(&request.funding)
        .map(|_| ())
        .map_err(|problem| BookError::new(path(".funding"), problem))
}

fn hold(path: &str, hold: &HoldLine) -> Checked {
    text(&format!("{path}.group"), &hold.group)?;
    text(&format!("{path}.class"), &hold.class)?;
    if hold.end < hold.start {
        let (end, start) = (hold.end, hold.start);
        return refuse(format!("{path}.end"), format!("is {end}, and must not be before start, {start}"));
    }
    Ok(())
}
