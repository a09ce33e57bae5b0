//! Following the batches of a class: the stream of events wakes, what is told is read from the ledger.

use crate::error::{Failure, Outcome};
use crate::session::Session;
use futures::StreamExt as _;
use hansa_ledger::event::Event;
use hansa_ledger::name::Name;
use hansa_node_api::client::EventStream;
use hansa_node_api::filter::EventFilter;
use hansa_node_api::{Client, EventCursor, EventMessage};

/// The batches of a class as they are decided.
pub(super) struct Batches {
    class: Name,
    events: EventStream,
}

impl Batches {
    /// Follows the class from the last block on. Made before the class is read for the first time, it misses no batch after that.
    pub(super) async fn follow(client: &Client, class: &Name) -> Outcome<Self> {
        let since = EventCursor::after_block(client.status().await?.height);
        let filter = EventFilter { kind: Some("batch_cleared".to_owned()), ..EventFilter::default() };
        Ok(Self { class: class.clone(), events: client.events(filter, Some(since)) })
    }

    /// Returns once another batch has been decided, or may have been while the node could not be heard.
    pub(super) async fn next(&mut self, session: &Session) -> Outcome {
        loop {
            match self.events.next().await {
                Some(Ok(EventMessage::Event(info))) if is_of(&info.event, &self.class) => return Ok(()),
                Some(Ok(EventMessage::Reset(_))) => return Ok(()),
                Some(Ok(_)) => {}
                Some(Err(error)) if error.is_transient() => session.printer.note(&error.to_string()),
                Some(Err(error)) => return Err(error.into()),
                None => return Err(Failure::failed("the node ended the stream of events")),
            }
        }
    }
}

fn is_of(event: &Event, class: &Name) -> bool {
    matches!(event, Event::BatchCleared { class: cleared, .. } if cleared == class)
}

/// Begins the next picture of something that is watched: in place of the last on a terminal, below it elsewhere.
pub(super) fn turn(session: &Session) {
    let printer = session.printer;
    match (printer.is_json(), printer.is_terminal()) {
        (true, _) => {}
        (false, true) => printer.raw(b"\x1b[H\x1b[2J"),
        (false, false) => printer.raw(b"\n"),
    }
}
