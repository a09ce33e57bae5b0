//! The stream of what happens, as server-sent events.

use super::Shared;
use super::answer::{Parameters, Problem};
use super::backend::{BlockRecord, read};
use super::reader::Reader;
use super::visibility;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::sse::{Event as Message, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::{Stream, StreamExt as _};
use hansa_ledger::event::Event;
use hansa_ledger::id::TransactionId;
use hansa_ledger::state::State as Ledger;
use hansa_ledger::tables::Keys;
use hansa_ledger::time::TimeMs;
use hansa_ledger_signature::PublicKey;
use hansa_node_api::error::{ErrorBody, Fault};
use hansa_node_api::event::{BlockMark, EventCursor, EventInfo};
use hansa_node_api::filter::EventFilter;
use serde_json::Value;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::str::FromStr;
use std::sync::Arc;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

/// What happens, as server-sent events: one message per event of the ledger, with the id `height:index` and its kind as the
/// message's event; `block` after each block if asked for; `reset` when events were missed that the node does not keep. Only those
/// that the reader may see are told, all others not at all; the stream ends when the reader's proof does.
#[utoipa::path(get, path = "/v1/events", tag = "events",
    params(EventFilter, ("Last-Event-ID" = Option<String>, Header, description = "where to go on: the id of the last message seen")),
    responses((status = 200, body = EventInfo, content_type = "text/event-stream"), (status = 400, body = ErrorBody),
        (status = 429, body = ErrorBody)))]
pub(super) async fn events(
    State(shared): State<Shared>,
    reader: Reader,
    Parameters(filter): Parameters<EventFilter>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let last = headers.get("last-event-id").map(|value| value.to_str().unwrap_or_default().to_owned());
    let since = match last.or_else(|| filter.since.clone()) {
        Some(text) => {
            let cursor = EventCursor::from_str(&text);
            Some(cursor.map_err(|error| Problem::new(Fault::RequestMalformed, error))?)
        }
        None => None,
    };
    let permit = shared.streams.clone().try_acquire_owned().map_err(|_| Fault::TooManyStreams)?;
    let shutdown = shared.shutdown.clone().cancelled_owned();
    let keep_alive = KeepAlive::new().interval(shared.limits.keep_alive).text("alive");
    let stream = Follower::new(shared, reader, filter, since, permit).stream().take_until(shutdown);
    Ok(Sse::new(stream).keep_alive(keep_alive).into_response())
}

/// One listener's place in the stream.
struct Follower {
    shared: Shared,
    reader: Reader,
    filter: EventFilter,
    blocks: Receiver<Arc<BlockRecord>>,
    /// The last block that was taken up.
    height: u64,
    /// What was told last.
    cursor: Option<EventCursor>,
    pending: VecDeque<Arc<BlockRecord>>,
    ready: VecDeque<Message>,
    _permit: OwnedSemaphorePermit,
}

impl Follower {
    fn new(
        shared: Shared,
        reader: Reader,
        filter: EventFilter,
        since: Option<EventCursor>,
        permit: OwnedSemaphorePermit,
    ) -> Self {
        // Subscribed first, so that no block falls between what is kept and what comes.
        let blocks = shared.backend.follow();
        let tip = shared.backend.status().height;
        let mut follower = Self {
            shared,
            reader,
            filter,
            blocks,
            height: tip,
            cursor: since,
            pending: VecDeque::new(),
            ready: VecDeque::new(),
            _permit: permit,
        };
        if let Some(cursor) = since {
            // The block of the cursor itself may hold more events than were seen.
            follower.height = cursor.height.saturating_sub(1);
            if cursor.height <= tip {
                follower.catch_up();
            }
        }
        follower
    }

    fn stream(self) -> impl Stream<Item = Result<Message, Infallible>> + Send + 'static {
        futures::stream::unfold(self, |mut follower| async move {
            let message = follower.next().await?;
            Some((Ok(message), follower))
        })
    }

    async fn next(&mut self) -> Option<Message> {
        loop {
            if let Some(message) = self.ready.pop_front() {
                return Some(message);
            }
            if let Some(block) = self.pending.pop_front() {
                // Who has lost the right to read is told no more; with a new proof the stream can be asked for again.
                if !read(&*self.shared.backend, |state| self.reader.stands(state)) {
                    return None;
                }
                self.tell(&block);
                continue;
            }
            match self.blocks.recv().await {
                Ok(block) if block.header.height <= self.height => {}
                Ok(block) if block.header.height == self.height.saturating_add(1) => {
                    self.pending.push_back(block)
                }
                Ok(_) | Err(RecvError::Lagged(_)) => self.catch_up(),
                Err(RecvError::Closed) => return None,
            }
        }
    }

    /// Takes up what the node keeps since the last block, or says that some of it is gone.
    fn catch_up(&mut self) {
        match self.shared.backend.since(self.height) {
            Some(blocks) => self.pending.extend(blocks),
            None => {
                let status = self.shared.backend.status();
                self.height = status.height;
                self.cursor = None;
                self.mark("reset", status.height, status.time);
            }
        }
    }

    fn mark(&mut self, kind: &str, height: u64, time: TimeMs) {
        let message = Message::default().event(kind).id(EventCursor::after_block(height).to_string());
        self.ready.extend(message.json_data(BlockMark { height, time }).ok());
    }

    /// Turns a block into messages.
    fn tell(&mut self, block: &BlockRecord) {
        let (height, time) = (block.header.height, block.header.time);
        if height <= self.height {
            return;
        }
        self.height = height;
        let visible: Vec<_> = read(&*self.shared.backend, |state| {
            let events = (0u32..).zip(events_of(block));
            events.filter(|(_, (signer, _, event))| self.is_for(state, *signer, event)).collect()
        });
        let mut wanted: Vec<(EventInfo, Value)> = Vec::new();
        for (index, (_, transaction, event)) in visible {
            let cursor = EventCursor { height, index };
            if self.cursor.is_some_and(|last| cursor <= last) {
                continue;
            }
            let info = EventInfo { height, index, time, transaction, event: event.clone() };
            let Ok(value) = serde_json::to_value(&info) else { continue };
            if self.names(&value) {
                wanted.push((info, value));
            }
        }
        for (info, value) in wanted {
            let message = Message::default().event(kind_of(&value)).id(info.cursor().to_string());
            self.ready.extend(message.json_data(&value).ok());
        }
        if self.filter.blocks == Some(true)
            && self.cursor.is_none_or(|last| last < EventCursor::after_block(height))
        {
            self.mark("block", height, time);
        }
    }

    /// Whether the event is for the reader to see, and concerns the organisation of the filter.
    fn is_for(&self, state: &Ledger, signer: Option<PublicKey>, event: &Event) -> bool {
        let who = self.reader.who;
        let signer = || signer.and_then(|key| state.get::<Keys>(&key));
        let visible = visibility::sees_event(who, state, event)
            || signer().is_some_and(|key| who.sees_principal(key.principal));
        let asked = self.filter.organisation;
        visible && asked.is_none_or(|organisation| visibility::concerns(state, event, organisation))
    }

    /// Whether the filter's kind and lease admit the event.
    fn names(&self, event: &Value) -> bool {
        let kind = self.filter.kind.as_deref();
        let of_kind = kind.is_none_or(|kinds| kinds.split(',').any(|kind| kind.trim() == kind_of(event)));
        let of_lease = self.filter.lease.is_none_or(|lease| text(event, "lease") == Some(&lease.to_string()));
        of_kind && of_lease
    }
}

/// The events of a block in order, each with its transaction and who signed that.
fn events_of(
    block: &BlockRecord,
) -> impl Iterator<Item = (Option<PublicKey>, Option<TransactionId>, &Event)> {
    let deadlines = block.receipts.deadlines.iter().map(|event| (None, None, event));
    let done = block.receipts.transactions.iter().zip(&block.transactions);
    deadlines.chain(done.flat_map(|(receipt, signed)| {
        let signer = signed.transaction.signer;
        receipt.events.iter().map(move |event| (Some(signer), Some(receipt.transaction), event))
    }))
}

fn text<'v>(event: &'v Value, field: &str) -> Option<&'v str> {
    event.get(field).and_then(Value::as_str)
}

fn kind_of(event: &Value) -> &str {
    text(event, "event").unwrap_or_default()
}
