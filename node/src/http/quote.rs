//! The dry run of a demand: the book of the next batch with one order more, cleared by the same code as the ledger's.

use super::Shared;
use super::answer::{Answer, Problem, body};
use super::backend::{Backend, read};
use super::organisations::balance;
use super::reader::Reader;
use super::visibility;
use axum::Json;
use axum::body::Body;
use axum::extract;
use hansa_contracts_abi::{Price as AbiPrice, Role, Terms, Unit};
use hansa_ledger::action::admit_demand;
use hansa_ledger::batch::book;
use hansa_ledger::id::{ChainId, RequestId};
use hansa_ledger::market::{self, Book, Bucket, Quote, Reason, Trade, Unmatched};
use hansa_ledger::money::Money;
use hansa_ledger::name::Name;
use hansa_ledger::params::Params;
use hansa_ledger::rejection::Rejection;
use hansa_ledger::row::{Demand, Offer, Organisation, Request, RequestState};
use hansa_ledger::share;
use hansa_ledger::state::{State, View};
use hansa_ledger::tables::{Chains, Classes, Offers, ParamsTable, Requests, RequestsOpen};
use hansa_ledger::time::{Slot, TimeMs};
use hansa_ledger_signature::PublicKey;
use hansa_node_api::error::{ErrorBody, Fault};
use hansa_node_api::market::{AwardQuote, Lane, QuoteAnswer, QuoteRequest, SourceQuote};
use hansa_node_api::peer::now_ms;

/// What would become of a demand if it were placed now and its batch ran next. Only a read pass proves who asks: it has to be
/// one of the organisation that would ask, or of a member's office.
#[utoipa::path(post, path = "/v1/quote", tag = "market", request_body = QuoteRequest,
    params(("x-hansa-read-pass" = String, Header, description = "who reads")),
    responses((status = 200, body = QuoteAnswer), (status = 400, body = ErrorBody), (status = 401, body = ErrorBody),
        (status = 403, body = ErrorBody), (status = 413, body = ErrorBody)))]
pub(super) async fn quote(
    extract::State(shared): extract::State<Shared>,
    reader: Reader,
    content: Body,
) -> Answer<QuoteAnswer> {
    let bytes = body(content, shared.limits.body_bytes_max, shared.limits.request_time_max).await?;
    let asked: QuoteRequest = serde_json::from_slice(&bytes)
        .map_err(|error| Problem::new(Fault::RequestMalformed, format!("the body is no demand: {error}")))?;
    // It shows the purses, and by its outcome something of the book: only for what one could place oneself.
    if !reader.who.sees(asked.organisation) {
        return Err(visibility::forbidden("quote"));
    }
    let chain = shared.backend.chain();
    let draft = read(&*shared.backend, |state| Draft::make(state, chain, &asked))?;
    let Some(request) = draft.request else { return Ok(Json(draft.refused())) };
    let quote = clear_aside(draft.book.clone(), request).await?;
    let offer = match &quote {
        Some(Quote::Award(trade)) => {
            read(&*shared.backend, |state| state.get::<Offers>(&trade.offer).cloned())
        }
        _ => None,
    };
    Ok(Json(draft.answer(&*shared.backend, request, quote, offer)))
}

/// Clears a book on a thread where it may take its time.
pub(super) async fn clear_aside(book: Book, request: RequestId) -> Result<Option<Quote>, Problem> {
    tokio::task::spawn_blocking(move || market::quote(&book, &request))
        .await
        .map_err(|_| Fault::Internal.into())
}

/// When the next batch of a class runs, or would run if something changed now.
pub(super) fn next_batch(view: &View<'_>, params: &Params, class: &Name) -> TimeMs {
    let now = now(view);
    let due = view.get::<Classes>(class).and_then(|class| class.batch_due);
    let next =
        (now.0.checked_div(params.batch_ms).unwrap_or(0)).saturating_add(1).saturating_mul(params.batch_ms);
    // One that is due later only waits for time to pass.
    due.map_or(TimeMs(next), |due| due.min(TimeMs(next))).max(now)
}

/// The time of the next block, as near as it can be told.
fn now(view: &View<'_>) -> TimeMs {
    view.get::<Chains>(&()).map_or(TimeMs(0), |chain| chain.time).max(TimeMs(now_ms()))
}

/// A demand as it would stand in the next batch.
struct Draft {
    demand: Demand,
    fee_bps: u16,
    slot_s: u32,
    book: Book,
    next_batch: TimeMs,
    bucket: Bucket,
    locked: Option<Money>,
    sources: Vec<SourceQuote>,
    refusal: Option<Rejection>,
    /// The order's id in the book; none when the request would be refused.
    request: Option<RequestId>,
}

impl Draft {
    fn make(state: &State, chain: ChainId, asked: &QuoteRequest) -> Result<Self, Problem> {
        let params = state.get::<ParamsTable>(&()).ok_or(Fault::NotReady)?;
        let demand = &asked.demand;
        let mut view = state.view();
        let next = next_batch(&view, params, &demand.class);
        let admitted = admit_demand(&view, params, now(&view), asked.organisation, demand);
        let locked = admitted.as_ref().ok().map(|(_, locked)| *locked);
        let parts = locked.and_then(|locked| share::split(locked, &shares(demand))).unwrap_or_default();
        let sources: Vec<SourceQuote> = demand
            .sources
            .iter()
            .enumerate()
            .map(|(index, source)| SourceQuote {
                purse: source.purse,
                share_bps: source.share_bps,
                locked: parts.get(index).copied().unwrap_or_default(),
                balance: balance(state, &source.purse.account(asked.organisation)),
                cost_max: None,
            })
            .collect();
        let covered = sources.iter().all(|source| source.locked <= source.balance);
        let admitted =
            admitted.and_then(|one| if covered { Ok(one) } else { Err(Rejection::FundsInsufficient) });
        let (request, refusal) = match admitted {
            Ok((organisation, locked)) => (Some(place(&mut view, asked, &organisation, locked)), None),
            Err(rejection) => (None, Some(rejection)),
        };
        let book = book(&view, params, chain, &demand.class, next);
        Ok(Self {
            bucket: Bucket::of(demand.start_min, book.now, &book.params),
            demand: demand.clone(),
            fee_bps: params.fee_bps,
            slot_s: params.slot_s,
            book,
            next_batch: next,
            locked,
            sources,
            refusal,
            request,
        })
    }

    fn refused(self) -> QuoteAnswer {
        let sentence = self.refusal.map_or_else(String::new, |rejection| rejection.to_string());
        QuoteAnswer {
            lane: Lane::Market,
            bucket: self.bucket,
            next_batch: self.next_batch,
            locked: self.locked,
            sources: self.sources,
            refusal: self.refusal.map(Into::into),
            award: None,
            unmatched: None,
            sentence,
        }
    }

    fn answer(
        mut self,
        backend: &dyn Backend,
        request: RequestId,
        quote: Option<Quote>,
        offer: Option<Offer>,
    ) -> QuoteAnswer {
        let plain = |reason| Unmatched::plain(request, reason);
        let outcome = match (quote, offer) {
            (Some(Quote::Award(trade)), Some(offer)) => {
                self.award(backend, &trade, &offer).ok_or_else(|| plain(Reason::ContractRefused))
            }
            (Some(Quote::Unmatched(unmatched)), _) => Err(unmatched),
            // The offer left the book while the batch was computed.
            _ => Err(plain(Reason::NoCapacityInWindow)),
        };
        let sentence = match &outcome {
            Ok(award) => {
                let AwardQuote { quantity, country, price, start, .. } = award;
                format!("the next batch would award {quantity} in {country} at {price} EUR/h from {start}")
            }
            Err(unmatched) => unmatched.to_string(),
        };
        let (award, unmatched) = match outcome {
            Ok(award) => (Some(award), None),
            Err(unmatched) => (None, Some(unmatched)),
        };
        QuoteAnswer { award, unmatched, sentence, ..self.refused() }
    }

    /// The award as the ledger would make it; none when the contract would lock more than the request has, or declines.
    fn award(&mut self, backend: &dyn Backend, trade: &Trade, offer: &Offer) -> Option<AwardQuote> {
        let start = trade.start.begins(self.slot_s);
        let end = Slot(trade.start.0.saturating_add(trade.slots)).begins(self.slot_s);
        let terms = Terms {
            parties: vec![Role::Requester, Role::Provider, Role::Operator],
            unit: Unit::AcceleratorSecond,
            units: u64::from(trade.quantity),
            start: start.seconds(),
            end: end.seconds(),
            price: AbiPrice { num: u128::from(trade.price.0), den: 3_600 },
            fee_bps: self.fee_bps,
            slash_max: 0,
            sla: Vec::new(),
        };
        let cost_max = backend.contract_quote(&offer.contract, &offer.contract_params, &terms)?;
        let room: Vec<Money> = self.sources.iter().map(|source| source.locked).collect();
        let parts = share::spread(cost_max, &shares(&self.demand), &room)?;
        for (source, part) in self.sources.iter_mut().zip(parts) {
            source.cost_max = Some(part);
        }
        Some(AwardQuote {
            offer: trade.offer,
            provider: offer.provider,
            site: offer.site.clone(),
            country: offer.country,
            quantity: trade.quantity,
            start_slot: trade.start,
            slots: trade.slots,
            start,
            end,
            price: trade.price,
            cost_max,
        })
    }
}

fn shares(demand: &Demand) -> Vec<u16> {
    demand.sources.iter().map(|source| source.share_bps).collect()
}

/// Puts the request into the book, as the ledger would.
fn place(view: &mut View<'_>, asked: &QuoteRequest, organisation: &Organisation, locked: Money) -> RequestId {
    let demand = &asked.demand;
    let request = RequestId::derive(&("quote", asked.organisation, demand));
    let epoch = |class: &Name| view.get::<Classes>(class).map_or(0, |class| class.epoch);
    let admitted_epochs = demand.classes().map(|(class, _)| epoch(class)).collect();
    let row = Request {
        organisation: asked.organisation,
        group: organisation.group,
        home: organisation.home,
        // Nobody has signed it; the batch does not look at the key.
        key: PublicKey([0; 32]),
        demand: demand.clone(),
        state: RequestState::Open,
        placed_at: now(view),
        admitted_epochs,
        sequence: organisation.sequence,
        locked,
        lease: None,
        unmatched: Vec::new(),
    };
    view.put::<Requests>(request, row);
    for (class, _) in demand.classes() {
        view.put::<RequestsOpen>((class.clone(), request), ());
    }
    request
}
