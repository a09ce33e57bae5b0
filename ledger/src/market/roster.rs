//! The book in canonical order, and what each request needs before any price is known.

use super::book::{Book, Bucket, GroupShare, LaneHint, Order, Supply};
use super::columns::Columns;
use super::eligibility::Bar;
use super::priority::supply_order;
use super::reason::{Detail, Reason};
use crate::id::{GroupId, Hash};
use crate::member::{CountrySet, MemberCode};
use crate::money::Price;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// The book's requests and offers, each once and in order of their ids, so that the order of the book's lists cannot matter.
pub(super) struct Roster<'book> {
    pub(super) book: &'book Book,
    orders: &'book [Order],
    /// The places of the requests in `orders`, where the book does not hold them in order.
    places: Option<Vec<usize>>,
    pub(super) supplies: Vec<&'book Supply>,
    /// The largest node of the book.
    pub(super) node_max: u32,
    /// For each bucket, the offers in the order they are tried.
    pub(super) rankings: [Ranking; 3],
}

/// The offers that a bucket considers, in the order they are tried: their columns.
#[derive(Clone, Debug, Default)]
pub(super) struct Ranking {
    /// The place in the roster of the offer in each column.
    pub(super) supplies: Vec<usize>,
    /// The ask in each column; never falling.
    pub(super) asks: Vec<Price>,
    /// The offers of public pools.
    pub(super) public: Columns,
    /// The offers of each member's own pools.
    owned: BTreeMap<MemberCode, Columns>,
    /// The offers at the sites of each member.
    homes: BTreeMap<MemberCode, Columns>,
    /// The offers of each group.
    groups: BTreeMap<GroupId, Columns>,
}

impl<'book> Roster<'book> {
    pub(super) fn new(book: &'book Book) -> Self {
        let orders = &book.orders;
        // The first bytes tell nearly all ids apart.
        let first = |order: &Order| prefix(&order.request.0);
        let rise = |one: &Order, two: &Order| first(one) < first(two) || one.request < two.request;
        let places = (!orders.is_sorted_by(rise)).then(|| {
            let mut places: Vec<usize> = (0..orders.len()).collect();
            places.sort_unstable_by(|one, two| {
                let (one, two) = (&orders[*one], &orders[*two]);
                one.request.cmp(&two.request).then_with(|| one.cmp(two))
            });
            places.dedup_by_key(|place| orders[*place].request);
            places
        });
        let mut supplies: Vec<&Supply> = book.supplies.iter().collect();
        supplies.sort_unstable_by(|one, two| one.offer.cmp(&two.offer).then_with(|| one.cmp(two)));
        supplies.dedup_by_key(|supply| supply.offer);
        let node_max = supplies.iter().map(|supply| supply.node_size).max().unwrap_or(0).max(1);
        let rankings = Bucket::ALL.map(|bucket| Ranking::new(book, bucket, &supplies));
        Self { book, orders, places, supplies, node_max, rankings }
    }

    /// How many requests there are; a book of 2^32 would not fit the memory of any machine that clears it.
    pub(super) fn len(&self) -> u32 {
        let len = self.places.as_ref().map_or(self.orders.len(), Vec::len);
        u32::try_from(len).unwrap_or(u32::MAX)
    }

    /// The request at a place in the order of their ids.
    pub(super) fn order(&self, place: u32) -> &'book Order {
        let place = place as usize;
        &self.orders[self.places.as_ref().map_or(place, |places| places[place])]
    }

    /// The bucket of a request.
    pub(super) fn bucket(&self, order: &Order) -> Bucket {
        Bucket::of(order.start_min, self.book.now, &self.book.params)
    }

    /// What one group may hold in a slot: a share of the class's capacity, and never less than the largest node.
    pub(super) fn cap(&self, bps: u16) -> u32 {
        let share = u128::from(self.book.capacity).saturating_mul(u128::from(bps));
        let share = share.checked_div(10_000).unwrap_or(0);
        u32::try_from(share).unwrap_or(u32::MAX).max(self.node_max)
    }
}

impl Ranking {
    fn new(book: &Book, bucket: Bucket, supplies: &[&Supply]) -> Self {
        let ranked = supply_order(book, bucket, supplies);
        let count = ranked.len();
        let at = |column: usize| supplies[ranked[column]];
        let (mut owned, mut homes, mut groups) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        for supply in ranked.iter().map(|place| supplies[*place]) {
            if let Some(owner) = supply.owner {
                owned
                    .entry(owner)
                    .or_insert_with(|| Columns::collect(count, |one| at(one).owner == Some(owner)));
            }
            let (home, group) = (supply.home, supply.group);
            homes.entry(home).or_insert_with(|| Columns::collect(count, |one| at(one).home == home));
            groups.entry(group).or_insert_with(|| Columns::collect(count, |one| at(one).group == group));
        }
        let public = Columns::collect(count, |column| at(column).pool == crate::row::Pool::Public);
        let asks = (0..count).map(|column| at(column).ask).collect();
        Self { supplies: ranked, asks, public, owned, homes, groups }
    }

    /// How many columns ask at most `price`.
    pub(super) fn reach(&self, price: Price) -> usize {
        self.asks.partition_point(|ask| *ask <= price)
    }

    /// The offers whose member is the same as the one that pays.
    pub(super) fn home(&self, member: MemberCode) -> Option<&Columns> {
        self.homes.get(&member)
    }

    /// The offers that a request tries before all others: those of the pools of the member whose grant pays for it.
    pub(super) fn own(&self, order: &Order) -> Option<&Columns> {
        self.owned.get(&order.credit?)
    }
}

/// The offers that meet a request's hard constraints, and the lowest ask among them.
#[derive(Clone, Debug)]
pub(super) struct Compatible {
    pub(super) columns: Columns,
    pub(super) cheapest: Price,
}

/// What decides which offers are compatible; requests that agree in it share the answer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Signature {
    bucket: Bucket,
    countries: CountrySet,
    certificates: u32,
    tier_min: u8,
    excluded: Option<GroupId>,
    is_credit: bool,
    may_use_reserve: bool,
    /// The number of what is attested of who asks.
    claims: Option<u32>,
}

type Answer = Result<u32, Box<(Reason, Detail)>>;

/// Finds the compatible offers of requests, once for all that ask alike.
pub(super) struct Assessor {
    known: BTreeMap<Signature, Answer>,
    last: Option<(Signature, Answer)>,
    pub(super) found: Vec<Compatible>,
}

impl Assessor {
    pub(super) fn new() -> Self {
        Self { known: BTreeMap::new(), last: None, found: Vec::new() }
    }

    /// The place in `found` of what is compatible with the request, or why it cannot be served whatever the price.
    pub(super) fn assess(&mut self, roster: &Roster, order: &Order) -> Answer {
        if order.start_min.max(roster.book.now) > order.start_max {
            return Err(Box::new((Reason::WindowPassed, Detail::default())));
        }
        let eligibility = &roster.book.eligibility;
        if roster.supplies.is_empty() && eligibility.stopped.is_empty() {
            return Err(Box::new((Reason::NoOfferOfClass, Detail::default())));
        }
        if order.quantity == 0 || order.slots == 0 || order.quantity_min > order.quantity {
            return Err(Box::new((Reason::NoOfferMeetsConstraints, Detail::default())));
        }
        let bucket = roster.bucket(order);
        let groups = &roster.rankings[bucket as usize].groups;
        let signature = Signature {
            bucket,
            countries: order.countries,
            certificates: order.certificates,
            tier_min: order.tier_min,
            // Whose group offers nothing has nothing to be kept from.
            excluded: Some(order.group)
                .filter(|group| order.own_group_excluded && groups.contains_key(group)),
            is_credit: order.credit.is_some(),
            may_use_reserve: order.lane != LaneHint::Reserve || (order.eligible && order.credit.is_some()),
            claims: eligibility.claims_of(order),
        };
        if let Some((last, answer)) = &self.last
            && *last == signature
        {
            return answer.clone();
        }
        let answer = match self.known.get(&signature) {
            Some(answer) => answer.clone(),
            None => {
                let answer = compatible(roster, &signature).map(|compatible| {
                    let place = u32::try_from(self.found.len()).unwrap_or(u32::MAX);
                    self.found.push(compatible);
                    place
                });
                self.known.insert(signature, answer.clone());
                answer
            }
        };
        self.last = Some((signature, answer.clone()));
        answer
    }
}

fn compatible(roster: &Roster, signature: &Signature) -> Result<Compatible, Box<(Reason, Detail)>> {
    let plain = |reason| Err(Box::new((reason, Detail::default())));
    let ranking = &roster.rankings[signature.bucket as usize];
    let eligibility = &roster.book.eligibility;
    let meets = |supply: &Supply| {
        supply.tier >= signature.tier_min
            && signature.certificates & !supply.certificates == 0
            && signature.countries.admits(supply.country)
    };
    let supply = |column: usize| roster.supplies[ranking.supplies[column]];
    let mut columns = Columns::collect(ranking.supplies.len(), |column| meets(supply(column)));
    let cheapest = |columns: &Columns| columns.first().map(|column| ranking.asks[column]);
    if columns.first().is_none() {
        let is_stopped = eligibility.stopped.iter().any(meets);
        return plain(if is_stopped { Reason::ContractStopped } else { Reason::NoOfferMeetsConstraints });
    }
    if !signature.may_use_reserve {
        return plain(Reason::NotEligibleForReserve);
    }
    if let Some(own) = signature.excluded.and_then(|group| ranking.groups.get(&group)) {
        columns.retain(|column| own.word(column / 64) & super::columns::bit(column) == 0);
    }
    let Some(first) = columns.first() else {
        return plain(Reason::SameGroup);
    };
    let bar = |column: usize| eligibility.bar(signature.claims, &supply(column).offer);
    let first_bar = bar(first);
    columns.retain(|column| bar(column).is_none());
    let Some(before_cap) = cheapest(&columns) else {
        let admission = match first_bar {
            Some(Bar::Refused(reason)) => reason,
            _ => None,
        };
        let reason = first_bar.map_or(Reason::NotAdmitted, Bar::reason);
        return Err(Box::new((reason, Detail { admission, ..Detail::default() })));
    };
    let cap = roster.book.params.credit_ask_cap.filter(|_| signature.is_credit);
    columns.retain(|column| cap.is_none_or(|cap| ranking.asks[column] <= cap));
    let over = Detail { cheapest_ask: Some(before_cap), credit_ask_cap: cap, ..Detail::default() };
    let cheapest = cheapest(&columns).ok_or_else(|| Box::new((Reason::AskOverCreditCap, over)))?;
    Ok(Compatible { columns, cheapest })
}

/// What groups have used, as it grows with the awards of the reserve.
pub(super) struct Usage<'book> {
    shares: Cow<'book, BTreeMap<GroupId, GroupShare>>,
    /// The first eight bytes of the groups, in order: most searches end on them.
    prefixes: Vec<u64>,
    groups: Vec<GroupId>,
    usage: Vec<u64>,
    capacity: u64,
    /// Whether the usage of any group has moved.
    pub(super) has_grown: bool,
}

impl<'book> Usage<'book> {
    pub(super) fn new(book: &'book Book) -> Self {
        let mut usage = Self {
            shares: Cow::Borrowed(&book.usage),
            prefixes: book.usage.keys().map(|group| prefix(&group.0)).collect(),
            groups: book.usage.keys().copied().collect(),
            usage: Vec::new(),
            capacity: book.capacity.max(1),
            has_grown: false,
        };
        usage.usage = book.usage.values().map(|share| usage.in_parts(share)).collect();
        usage
    }

    /// The usage that decides the turn of a request.
    pub(super) fn of(&self, order: &Order) -> u64 {
        self.place(&order.group).map_or(order.usage, |place| self.usage[place])
    }

    /// Counts an award of the reserve. Whether the usage of the group's requests has moved.
    pub(super) fn grow(&mut self, group: &GroupId, accelerator_seconds: u64) -> bool {
        let Some(place) = self.place(group) else { return false };
        let Some(share) = self.shares.to_mut().get_mut(group) else { return false };
        share.accelerator_seconds = share.accelerator_seconds.saturating_add(accelerator_seconds);
        let share = *share;
        let usage = self.in_parts(&share);
        let grew = std::mem::replace(&mut self.usage[place], usage) != usage;
        self.has_grown |= grew;
        grew
    }

    fn in_parts(&self, share: &GroupShare) -> u64 {
        let parts = u128::from(share.accelerator_seconds).saturating_mul(1_000_000_000);
        let parts = parts.checked_div(u128::from(self.capacity)).unwrap_or(0);
        share.other.max(u64::try_from(parts).unwrap_or(u64::MAX))
    }

    fn place(&self, group: &GroupId) -> Option<usize> {
        let wanted = prefix(&group.0);
        let first = self.prefixes.partition_point(|one| *one < wanted);
        let alike = self.prefixes[first..].iter().take_while(|one| **one == wanted).count();
        let last = first.saturating_add(alike);
        (first..last).find(|place| self.groups[*place] == *group)
    }
}

/// The first eight bytes of an id, as a number that orders as they do.
pub(super) fn prefix(id: &Hash) -> u64 {
    id.first_chunk::<8>().map_or(0, |bytes| u64::from_be_bytes(*bytes))
}
