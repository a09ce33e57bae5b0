//! From the words of a file to the values of the ledger's market.

use crate::file::{BookFile, FundingText, LaneWord, OfferLine, ParamsTable, PoolWord, RequestLine};
use hansa_ledger::id::{ChainId, GroupId, Hash, OfferId, OrganisationId, RequestId, hash_of};
use hansa_ledger::market::{Book, BookParams, Calendar, Hold, LaneHint, Order, Supply};
use hansa_ledger::member::{CountrySet, MemberCode};
use hansa_ledger::money::Price;
use hansa_ledger::name::Name;
use hansa_ledger::row::Pool;
use hansa_ledger::time::Slot;
use std::collections::BTreeMap;

/// A free text as an id of the ledger.
fn id(kind: &str, text: &str) -> Hash {
    hash_of("hansa/book", &(kind, text))
}

pub(crate) fn request_id(text: &str) -> RequestId {
    RequestId(id("request", text))
}

pub(crate) fn offer_id(text: &str) -> OfferId {
    OfferId(id("offer", text))
}

/// The bit of each certificate the book names.
pub(crate) fn certificates(book: &BookFile) -> BTreeMap<&str, u32> {
    let named = book.offers.iter().flat_map(|offer| &offer.certs);
    let asked = book.requests.iter().flat_map(|request| &request.certs);
    let mut bits: BTreeMap<&str, u32> = named.chain(asked).map(|name| (name.as_str(), 0)).collect();
    for (bit, value) in bits.values_mut().enumerate() {
        *value = u32::try_from(bit).ok().and_then(|bit| 1u32.checked_shl(bit)).unwrap_or(0);
    }
    bits
}

/// The member whose grant pays, or none for private money.
pub(crate) fn funding(text: &FundingText) -> Result<Option<MemberCode>, String> {
    match text.0.split_once(':') {
        None if text.0 == "private" => Ok(None),
        Some(("credit", member)) => member.parse().map(Some),
        _ => Err(format!(
            "`{}` is no funding; write `private`, or `credit:` and a member such as `credit:EE`",
            text.0
        )),
    }
}

/// The class as the ledger names it: as it is written where that is a name, else by its hash.
fn class_name(text: &str) -> Name {
    let hashed =
        || Name::new(&format!("class-{}", hex(&id("class", text)))).expect("hexadecimal digits make a name");
    Name::new(text).unwrap_or_else(|_| hashed())
}

fn hex(hash: &Hash) -> String {
    hash.iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

fn params(table: &ParamsTable) -> BookParams {
    BookParams {
        tick: table.tick,
        k_bps: table.k_bps,
        price_candidates: table.price_candidates,
        cap_bps: table.cap_bps,
        slot_s: table.slot_s,
        spot_slots: table.spot_slots,
        near_slots: table.near_slots,
        chain: ChainId(id("chain", &table.chain_id)),
        limit_first: false,
        // A book is considered whole: what a block has no time for is a matter of blocks.
        orders_max: u32::MAX,
        orders_per_group_max: u32::MAX,
        supplies_max: u32::MAX,
        reserve_price_cap: Price(table.reserve_price_cap),
        reserve_cap_bps: 10_000,
        reserve_member_cap_bps: 10_000,
        credit_ask_cap: None,
        release_slots: 0,
        release_lease_slots_max: 0,
    }
}

fn supply(offer: &OfferLine, certificates: &BTreeMap<&str, u32>) -> Supply {
    let steps: Vec<(Slot, u32)> = offer.calendar.iter().map(|(slot, free)| (Slot(*slot), *free)).collect();
    let calendar = Calendar::from_steps(&steps).expect("the bounds let only rising slots with an end pass");
    let (pool, reserve) = match offer.pool {
        PoolWord::Public => (Pool::Public, calendar.reserved(offer.reserve_bps, offer.node_size)),
        PoolWord::Private => (Pool::Private, Calendar::default()),
    };
    Supply {
        offer: offer_id(&offer.id),
        provider: OrganisationId(id("organisation", &offer.provider)),
        group: GroupId(id("provider-group", &offer.provider)),
        sequence: offer.seq,
        home: MemberCode::EU,
        country: offer.country.parse().expect("the bounds let only countries pass"),
        certificates: mask(&offer.certs, certificates),
        tier: offer.tier,
        node_size: offer.node_size,
        ask: Price(offer.ask),
        pool,
        owner: None,
        market: calendar.minus(&reserve),
        reserve,
        commercial_left: None,
    }
}

fn order(request: &RequestLine, certificates: &BTreeMap<&str, u32>) -> Order {
    let countries = request.countries.iter().filter_map(|code| code.parse().ok());
    Order {
        request: request_id(&request.id),
        organisation: OrganisationId(id("organisation", &request.org)),
        group: GroupId(id("group", &request.group)),
        sequence: request.seq,
        countries: CountrySet::of(countries).expect("the bounds let only countries pass"),
        certificates: mask(&request.certs, certificates),
        tier_min: request.min_tier,
        quantity: request.qty,
        quantity_min: request.min_qty,
        slots: request.dur_slots,
        start_min: Slot(request.start_lo),
        start_max: Slot(request.start_hi),
        limit: Price(request.limit),
        usage: request.usage,
        admitted_epoch: request.admitted_epoch,
        // A book knows no debts between members: all are of one home.
        funding_home: MemberCode::EU,
        own_group_excluded: false,
        lane: match request.lane {
            LaneWord::Any => LaneHint::Any,
            LaneWord::Reserve => LaneHint::Reserve,
            LaneWord::Market => LaneHint::Market,
        },
        eligible: request.eligible,
        credit: funding(&request.funding).ok().flatten(),
        interruptible: false,
        commercial: false,
        reserve_cap_bps: 10_000,
        aid_left: None,
    }
}

fn mask(names: &[String], certificates: &BTreeMap<&str, u32>) -> u32 {
    names.iter().filter_map(|name| certificates.get(name.as_str())).fold(0, |mask, bit| mask | bit)
}

/// One book for each class, in order of the classes' names as written.
pub(crate) fn books(file: &BookFile) -> BTreeMap<&str, Book> {
    let certificates = certificates(file);
    let empty = |class: &str| Book {
        params: params(&file.params),
        class: class_name(class),
        epoch: file.epoch,
        now: Slot(file.now_slot),
        orders: Vec::new(),
        supplies: Vec::new(),
        holds: Vec::new(),
        capacity: 0,
        usage: BTreeMap::new(),
        debit_headroom: BTreeMap::new(),
        reference: None,
        eligibility: Default::default(),
    };
    let mut books: BTreeMap<&str, Book> = BTreeMap::new();
    for offer in &file.offers {
        let book = books.entry(&offer.class).or_insert_with(|| empty(&offer.class));
        let peak = offer.calendar.iter().map(|(_, free)| u64::from(*free)).max().unwrap_or(0);
        book.capacity = book.capacity.saturating_add(peak);
        book.supplies.push(supply(offer, &certificates));
    }
    for request in &file.requests {
        let book = books.entry(&request.class).or_insert_with(|| empty(&request.class));
        book.orders.push(order(request, &certificates));
    }
    for hold in file.holds.iter().filter(|hold| hold.start < hold.end && hold.qty > 0) {
        if let Some(book) = books.get_mut(hold.class.as_str()) {
            book.holds.push(Hold {
                group: GroupId(id("group", &hold.group)),
                start: Slot(hold.start),
                end: Slot(hold.end),
                quantity: hold.qty,
                reserve: None,
            });
        }
    }
    books
}
