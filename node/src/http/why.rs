//! Why a request waits, computed from the books of its next batches, and remembered as long as nothing changes.

use super::backend::{Backend, read};
use super::quote::{next_batch, sentence_of};
use super::reader::Who;
use super::requests::visible;
use hansa_ledger::batch::book;
use hansa_ledger::eligibility::ask_contracts;
use hansa_ledger::id::{BlockId, RequestId};
use hansa_ledger::market::{self, Book, Bucket, Change, Quote, Trade, nearest_changes};
use hansa_ledger::money::Price;
use hansa_ledger::name::Name;
use hansa_ledger::row::{Request, RequestState};
use hansa_ledger::state::State;
use hansa_ledger::tables::{Classes, ParamsTable};
use hansa_ledger::time::TimeMs;
use hansa_node_api::why::{ChangeInfo, ClassAward, ClassWhy, ReasonInfo, RequestWhy};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Fuel for asking contracts who may have a lease, for one answer of the interface; half of it is used.
const ASKING_FUEL: u64 = 10_000_000;

/// The most answers that are remembered at a time.
const ANSWERS_MAX: usize = 1_024;

/// What the next batch of a class would do with a request, and what would help it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Outlook {
    quote: Option<Quote>,
    changes: Vec<Change>,
}

/// A request in the batch of a class that runs at a moment.
pub(super) type Place = (RequestId, Name, TimeMs);

/// Outlooks of the state as of one block: a batch is cleared up to 25 times for each, so nobody's is computed twice.
#[derive(Debug, Default)]
pub(super) struct Advice {
    known: Mutex<(Option<BlockId>, BTreeMap<Place, Arc<Outlook>>)>,
    #[cfg(test)]
    computed: std::sync::atomic::AtomicU64,
}

impl Advice {
    /// How many outlooks were really computed.
    #[cfg(test)]
    pub(super) fn computed(&self) -> u64 {
        self.computed.load(std::sync::atomic::Ordering::SeqCst)
    }

    fn known(&self, tip: BlockId, place: &Place) -> Option<Arc<Outlook>> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.1.get(place).filter(|_| known.0 == Some(tip)).cloned()
    }

    /// The outlook of a request in the book of the state after block `tip`.
    pub(super) fn outlook(&self, tip: BlockId, place: Place, book: &Book) -> Arc<Outlook> {
        if let Some(outlook) = self.known(tip, &place) {
            return outlook;
        }
        #[cfg(test)]
        self.computed.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        let quote = market::quote(book, &place.0);
        let changes = match &quote {
            Some(Quote::Unmatched(_)) => nearest_changes(book, &place.0),
            _ => Vec::new(),
        };
        let outlook = Arc::new(Outlook { quote, changes });
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.0 != Some(tip) || known.1.len() >= ANSWERS_MAX {
            *known = (Some(tip), BTreeMap::new());
        }
        known.1.insert(place, outlook.clone());
        outlook
    }
}

/// What the state says of a request in one class.
struct Seen {
    class: Name,
    limit: Price,
    last_price: Option<Price>,
    due: Option<TimeMs>,
    /// The book of the next batch, and when that runs; none for a request that is not open.
    book: Option<(Book, TimeMs)>,
}

/// Why a request stands where it stands; none where the reader may not see it.
pub(super) fn answer(backend: &dyn Backend, advice: &Advice, who: Who, id: RequestId) -> Option<RequestWhy> {
    let chain = backend.chain();
    let (row, seen, slot_s, tip) = read(backend, |state| {
        let row = visible(state, who, &id)?.clone();
        let params = state.get::<ParamsTable>(&())?;
        let open = row.state == RequestState::Open;
        let seen: Vec<Seen> = row
            .demand
            .classes()
            .map(|(class, limit)| {
                let view = state.view();
                let next = next_batch(&view, params, class);
                let book = open.then(|| {
                    let mut book = book(&view, params, chain, class, next);
                    let mut fuel = ASKING_FUEL.min(params.block_fuel_max);
                    ask_contracts(&view, params, next, backend.runtime(), &mut fuel, &mut book);
                    (book, next)
                });
                seen(state, class, limit, book)
            })
            .collect();
        Some((row, seen, params.slot_s, state.tip()))
    })?;
    let classes: Vec<ClassWhy> =
        seen.into_iter().map(|seen| class_why(advice, tip, id, &row, seen, slot_s)).collect();
    Some(RequestWhy {
        request: id,
        state: row.state,
        lane: row.demand.lane,
        sentence: sentence(&row, &classes),
        next_batch: classes.iter().filter_map(|class| class.next_batch).min(),
        classes,
    })
}

fn seen(state: &State, class: &Name, limit: Price, book: Option<(Book, TimeMs)>) -> Seen {
    let row = state.get::<Classes>(class);
    Seen {
        class: class.clone(),
        limit,
        last_price: row.and_then(|row| row.price),
        due: row.and_then(|row| row.batch_due).filter(|_| book.is_some()),
        book,
    }
}

fn class_why(
    advice: &Advice,
    tip: BlockId,
    id: RequestId,
    row: &Request,
    seen: Seen,
    slot_s: u32,
) -> ClassWhy {
    let Seen { class, limit, last_price, due, book } = seen;
    let told = |unmatched: &market::Unmatched| ReasonInfo::new(class.clone(), unmatched);
    let last = row.unmatched.iter().find(|one| one.class == class).map(|one| told(&one.unmatched));
    let order = |book: &Book| book.orders.iter().find(|order| order.request == id).cloned();
    let own = book.as_ref().and_then(|(book, _)| order(book));
    let outlook = book.as_ref().map(|(book, next)| advice.outlook(tip, (id, class.clone(), *next), book));
    let quote = outlook.as_ref().and_then(|outlook| outlook.quote.as_ref());
    let (now, award) = match quote {
        Some(Quote::Unmatched(unmatched)) => (Some(told(unmatched)), None),
        Some(Quote::Award(trade)) => (None, Some(award(trade, slot_s))),
        None => (None, None),
    };
    let changes = outlook.iter().flat_map(|outlook| outlook.changes.iter().cloned());
    ClassWhy {
        limit,
        bucket: book.as_ref().map(|(book, _)| Bucket::of(row.demand.start_min, book.now, &book.params)),
        // The reserve is for eligible organisations whose request grants alone pay.
        eligible: own.map(|order| order.eligible && order.credit.is_some()),
        last_price,
        last,
        now,
        award,
        changes: changes.map(|change| ChangeInfo::new(change, slot_s)).collect(),
        next_batch: due,
        class,
    }
}

fn award(trade: &Trade, slot_s: u32) -> ClassAward {
    ClassAward {
        offer: trade.offer,
        lane: trade.lane,
        released: trade.released,
        quantity: trade.quantity,
        start_slot: trade.start,
        slots: trade.slots,
        start: trade.start.begins(slot_s),
        price: trade.price,
    }
}

fn sentence(row: &Request, classes: &[ClassWhy]) -> String {
    let reasons = |pick: fn(&ClassWhy) -> Option<&ReasonInfo>| -> Option<String> {
        let found: Vec<ReasonInfo> = classes.iter().filter_map(pick).cloned().collect();
        (!found.is_empty()).then(|| sentence_of(&found))
    };
    match row.state {
        RequestState::Open if classes.iter().any(|class| class.award.is_some()) => {
            "the next batch would award it".to_owned()
        }
        RequestState::Open => {
            reasons(|class| class.now.as_ref()).unwrap_or_else(|| "it waits for the next batch".to_owned())
        }
        RequestState::Awarded => match row.lease {
            Some(lease) => format!("it was awarded as lease {lease}"),
            None => "it was awarded".to_owned(),
        },
        RequestState::Cancelled => "its organisation took it back".to_owned(),
        RequestState::Revoked => "its organisation is not accredited any more".to_owned(),
        RequestState::Expired => match reasons(|class| class.last.as_ref()) {
            Some(because) => format!("its window passed without a match: {because}"),
            None => "its window passed without a match".to_owned(),
        },
    }
}
