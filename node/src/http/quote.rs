//! The dry run of a demand: the ledger's own preview of the way to its next batch, told to people.

use super::Shared;
use super::answer::{Answer, Problem, body};
use super::backend::{Backend, read};
use super::organisations::balance;
use super::reader::Reader;
use super::visibility;
use axum::Json;
use axum::body::Body;
use axum::extract;
use hansa_ledger::action::admit_demand;
use hansa_ledger::demand::book_params;
use hansa_ledger::id::ChainId;
use hansa_ledger::market::{Bucket, Lane};
use hansa_ledger::money::Money;
use hansa_ledger::name::Name;
use hansa_ledger::params::Params;
use hansa_ledger::preview::{PreviewAward, PreviewOutcome, preview_request};
use hansa_ledger::rejection::Rejection;
use hansa_ledger::row::Demand;
use hansa_ledger::share;
use hansa_ledger::state::{State, View};
use hansa_ledger::tables::{Chains, Classes, Offers, ParamsTable};
use hansa_ledger::time::{Slot, TimeMs};
use hansa_node_api::error::{ErrorBody, Fault};
use hansa_node_api::market::{AwardQuote, QuoteAnswer, QuoteRequest, SourceQuote};
use hansa_node_api::peer::now_ms;
use hansa_node_api::why::ReasonInfo;

/// What would become of a demand if it were placed now and nobody did anything else before its batch: what the ledger itself would
/// do, on changes that are dropped. Only a read pass proves who asks: it has to be one of the organisation that would ask, or of
/// a member's office.
#[utoipa::path(post, path = "/v1/quote", tag = "market", request_body = QuoteRequest,
    params(("x-hansa-read-pass" = String, Header, description = "who reads")),
    responses((status = 200, body = QuoteAnswer), (status = 400, body = ErrorBody), (status = 401, body = ErrorBody),
        (status = 403, body = ErrorBody), (status = 413, body = ErrorBody), (status = 503, body = ErrorBody)))]
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
    let backend = shared.backend.clone();
    // The state stands still while the preview runs, so there are few of them at a time.
    let answer = shared.previews.run(move || {
        let now = TimeMs(now_ms());
        read(&*backend, |state| answer(state, &*backend, &asked, now))
    });
    answer.await?.map(Json)
}

/// The time of the next block, as near as it can be told.
pub(super) fn now(view: &View<'_>) -> TimeMs {
    view.get::<Chains>(&()).map_or(TimeMs(0), |chain| chain.time).max(TimeMs(now_ms()))
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

/// The bucket of a demand in a batch that runs at `batch`.
fn bucket(demand: &Demand, params: &Params, chain: ChainId, batch: TimeMs) -> Bucket {
    // A lease begins at a slot's beginning, and the slot in hand has begun already.
    let next = Slot(batch.slot(params.slot_s).0.saturating_add(1));
    Bucket::of(demand.start_min, next, &book_params(params, chain))
}

fn answer(
    state: &State,
    backend: &dyn Backend,
    asked: &QuoteRequest,
    now: TimeMs,
) -> Result<QuoteAnswer, Problem> {
    let params = state.get::<ParamsTable>(&()).ok_or(Fault::NotReady)?;
    let (demand, organisation, chain) = (&asked.demand, asked.organisation, backend.chain());
    let preview = match preview_request(state, backend.runtime(), chain, organisation, demand, now) {
        Ok(preview) => preview,
        Err(rejection) => return Ok(refused(state, params, chain, asked, rejection)),
    };
    let mut sources = sources(state, asked, Some(preview.locked));
    let (award, unmatched) = match preview.outcome {
        PreviewOutcome::Award(award) => {
            for (source, (_, most)) in sources.iter_mut().zip(&award.sources) {
                source.cost_max = Some(*most);
            }
            (award_quote(state, *award), Vec::new())
        }
        PreviewOutcome::Unmatched(found) => {
            (None, found.into_iter().map(|one| ReasonInfo::new(one.class, &one.unmatched)).collect())
        }
    };
    let sentence = sentence(award.as_ref(), &unmatched);
    let (bucket, next_batch) = (bucket(demand, params, chain, preview.batch), preview.batch);
    Ok(QuoteAnswer {
        bucket,
        next_batch,
        locked: Some(preview.locked),
        sources,
        refusal: None,
        award,
        unmatched,
        sentence,
    })
}

/// The answer where the ledger would refuse the request at once.
fn refused(
    state: &State,
    params: &Params,
    chain: ChainId,
    asked: &QuoteRequest,
    rejection: Rejection,
) -> QuoteAnswer {
    let (view, demand) = (state.view(), &asked.demand);
    // What it would lock is told where that is all that stands in the way.
    let admitted = admit_demand(&view, params, now(&view), asked.organisation, demand);
    let locked = admitted.ok().map(|(_, locked)| locked);
    let next_batch = next_batch(&view, params, &demand.class);
    QuoteAnswer {
        bucket: bucket(demand, params, chain, next_batch),
        next_batch,
        locked,
        sources: sources(state, asked, locked),
        refusal: Some(rejection.into()),
        award: None,
        unmatched: Vec::new(),
        sentence: rejection.to_string(),
    }
}

/// What each source would lock, and what it holds.
fn sources(state: &State, asked: &QuoteRequest, locked: Option<Money>) -> Vec<SourceQuote> {
    let sources = &asked.demand.sources;
    let shares: Vec<u16> = sources.iter().map(|source| source.share_bps).collect();
    let parts = locked.and_then(|locked| share::split(locked, &shares)).unwrap_or_default();
    let quote = |(index, source): (usize, &hansa_ledger::row::Source)| SourceQuote {
        purse: source.purse,
        share_bps: source.share_bps,
        locked: parts.get(index).copied().unwrap_or_default(),
        balance: balance(state, &source.purse.account(asked.organisation)),
        cost_max: None,
    };
    sources.iter().enumerate().map(quote).collect()
}

fn award_quote(state: &State, award: PreviewAward) -> Option<AwardQuote> {
    // A preview posts no offers, so the one it found stands in the state.
    let country = state.get::<Offers>(&award.offer)?.country;
    Some(AwardQuote {
        offer: award.offer,
        provider: award.provider,
        site: award.site,
        country,
        class: award.class,
        lane: award.lane,
        released: award.released,
        quantity: award.quantity,
        start_slot: award.start_slot,
        slots: award.slots,
        start: award.start,
        end: award.end,
        price: award.price,
        cost_max: award.locked,
        aid: award.aid,
    })
}

fn sentence(award: Option<&AwardQuote>, unmatched: &[ReasonInfo]) -> String {
    match (award, unmatched) {
        (Some(AwardQuote { quantity, country, price, start, lane, .. }), _) => {
            let of = if *lane == Lane::Reserve { " of the reserve" } else { "" };
            format!("the next batch would award {quantity}{of} in {country} at {price} EUR/h from {start}")
        }
        (None, []) => "its window would pass before any batch".to_owned(),
        (None, reasons) => sentence_of(reasons),
    }
}

/// What stands in the way, as a sentence: with the class where there are several.
pub(super) fn sentence_of(reasons: &[ReasonInfo]) -> String {
    match reasons {
        [only] => only.sentence.clone(),
        several => {
            let told = several.iter().map(|one| format!("{}: {}", one.class, one.sentence));
            told.collect::<Vec<_>>().join("; ")
        }
    }
}
