//! The stream of events: reconnects by itself and goes on where it was.

use super::Client;
use crate::error::{ApiError, Fault};
use crate::event::{BlockMark, EventCursor, EventInfo, EventMessage};
use crate::filter::EventFilter;
use futures::Stream;
use reqwest::{Method, Response};
use std::collections::VecDeque;
use std::pin::Pin;
use std::time::Duration;

/// A stream of events. It ends only when the node refuses it for good.
pub type EventStream = Pin<Box<dyn Stream<Item = Result<EventMessage, ApiError>> + Send>>;

/// The first rest after a lost connection; it doubles with each failure.
const REST_MIN: Duration = Duration::from_millis(200);

/// The longest rest between attempts.
const REST_MAX: Duration = Duration::from_secs(5);

/// How long the line may be silent: the node sends a comment more often than that.
const SILENCE_MAX: Duration = Duration::from_secs(45);

/// The longest message, in bytes.
const MESSAGE_BYTES_MAX: usize = 4 * 1024 * 1024;

impl Client {
    /// Follows what happens, from after `since` on; without it from the next block on. A lost connection is made again and the
    /// stream goes on without loss or repetition; each loss is told as an error in between ([`ApiError::is_transient`]), and
    /// the caller may simply go on reading. After [`EventMessage::Reset`] the caller reads the state again.
    #[must_use]
    pub fn events(&self, filter: EventFilter, since: Option<EventCursor>) -> EventStream {
        self.note_told("/v1/events");
        let follower = Follower {
            client: self.clone(),
            filter,
            cursor: since,
            line: None,
            rest: Duration::ZERO,
            ended: false,
        };
        Box::pin(futures::stream::unfold(follower, |mut follower| async move {
            let item = follower.next().await?;
            Some((item, follower))
        }))
    }
}

struct Follower {
    client: Client,
    filter: EventFilter,
    cursor: Option<EventCursor>,
    line: Option<Line>,
    rest: Duration,
    ended: bool,
}

impl Follower {
    async fn next(&mut self) -> Option<Result<EventMessage, ApiError>> {
        if self.ended {
            return None;
        }
        loop {
            if self.line.is_none() {
                tokio::time::sleep(self.rest).await;
                self.rest = (self.rest * 2).clamp(REST_MIN, REST_MAX);
                match self.connect().await {
                    Ok(line) => self.line = Some(line),
                    Err(error) => {
                        self.ended = !error.is_transient();
                        return Some(Err(error));
                    }
                }
            }
            let Some(line) = &mut self.line else { continue };
            match line.message(&self.client).await {
                Ok(message) => {
                    self.rest = Duration::ZERO;
                    match self.take(message) {
                        Ok(Some(message)) => return Some(Ok(message)),
                        Ok(None) => {}
                        Err(error) => {
                            self.ended = true;
                            return Some(Err(error));
                        }
                    }
                }
                Err(error) => {
                    self.line = None;
                    return Some(Err(error));
                }
            }
        }
    }

    async fn connect(&self) -> Result<Line, ApiError> {
        let client = &self.client;
        // Without the ends of blocks the cursor of a quiet filter would fall behind what the node keeps.
        let filter = EventFilter { since: None, blocks: Some(true), ..self.filter.clone() };
        let url = format!("{}/v1/events", client.url());
        // Without a time limit: the answer goes on for as long as both sides like.
        let mut builder = client.as_reader(client.http.request(Method::GET, url)).query(&filter);
        if let Some(cursor) = &self.cursor {
            builder = builder.header("last-event-id", cursor.to_string());
        }
        let response = tokio::time::timeout(super::ANSWER_TIME_MAX, client.send(builder))
            .await
            .map_err(|_| ApiError::Timeout { url: client.url().to_owned() })??;
        Ok(Line { response, parser: Parser::default() })
    }

    /// Moves the cursor on, and leaves out what was told before and what the caller did not ask for.
    fn take(&mut self, message: Message) -> Result<Option<EventMessage>, ApiError> {
        let read = |error: serde_json::Error| self.client.unreadable("/v1/events", &error.to_string());
        let (cursor, message) = match message.kind.as_str() {
            "block" => {
                let mark: BlockMark = serde_json::from_str(&message.data).map_err(read)?;
                (EventCursor::after_block(mark.height), EventMessage::Block(mark))
            }
            "reset" => {
                let mark: BlockMark = serde_json::from_str(&message.data).map_err(read)?;
                self.cursor = Some(EventCursor::after_block(mark.height));
                return Ok(Some(EventMessage::Reset(mark)));
            }
            _ => {
                let event: EventInfo = serde_json::from_str(&message.data).map_err(read)?;
                (event.cursor(), EventMessage::Event(Box::new(event)))
            }
        };
        if self.cursor.is_some_and(|before| cursor <= before) {
            return Ok(None);
        }
        self.cursor = Some(cursor);
        let wanted = !matches!(message, EventMessage::Block(_)) || self.filter.blocks == Some(true);
        Ok(wanted.then_some(message))
    }
}

/// An open connection.
struct Line {
    response: Response,
    parser: Parser,
}

impl Line {
    async fn message(&mut self, client: &Client) -> Result<Message, ApiError> {
        loop {
            if let Some(message) = self.parser.ready.pop_front() {
                return Ok(message);
            }
            let chunk = tokio::time::timeout(SILENCE_MAX, self.response.chunk())
                .await
                .map_err(|_| ApiError::Timeout { url: client.url().to_owned() })?
                .map_err(|error| client.failed(&error))?;
            let closed = || ApiError::Unreachable {
                url: client.url().to_owned(),
                reason: "the node closed the stream of events".to_owned(),
            };
            let chunk = chunk.ok_or_else(closed)?;
            if !self.parser.read(&chunk) {
                return Err(client.unreadable("/v1/events", Fault::BodyTooLarge.name()));
            }
        }
    }
}

/// One server-sent message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Message {
    kind: String,
    data: String,
}

/// Reads the lines of `text/event-stream`.
#[derive(Default)]
struct Parser {
    bytes: Vec<u8>,
    message: Message,
    ready: VecDeque<Message>,
}

impl Parser {
    /// Takes bytes as they come. `false` when a message is longer than any can be.
    fn read(&mut self, chunk: &[u8]) -> bool {
        for byte in chunk {
            if *byte != b'\n' {
                self.bytes.push(*byte);
                continue;
            }
            let line = std::mem::take(&mut self.bytes);
            let line = line.strip_suffix(b"\r").unwrap_or(&line);
            self.line(&String::from_utf8_lossy(line));
        }
        self.bytes.len() + self.message.data.len() <= MESSAGE_BYTES_MAX
    }

    fn line(&mut self, line: &str) {
        if line.is_empty() {
            let message = std::mem::take(&mut self.message);
            if !message.data.is_empty() {
                self.ready.push_back(message);
            }
            return;
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => self.message.kind = value.to_owned(),
            "data" => {
                if !self.message.data.is_empty() {
                    self.message.data.push('\n');
                }
                self.message.data.push_str(value);
            }
            // The empty field is a comment, which keeps the line alive; the id stands in the data too.
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_read_however_the_bytes_are_cut() {
        let text = ": alive\n\nevent: block\nid: 3:end\ndata: {\"a\":1}\n\ndata: one\r\ndata:two\r\n\r\nevent: half\n";
        let expected = [("block", "{\"a\":1}"), ("", "one\ntwo")];
        for size in 1..text.len() {
            let mut parser = Parser::default();
            for chunk in text.as_bytes().chunks(size) {
                assert!(parser.read(chunk));
            }
            let ready: Vec<_> =
                parser.ready.iter().map(|one| (one.kind.as_str(), one.data.as_str())).collect();
            assert_eq!(ready, expected, "chunks of {size}");
        }
        assert!(!Parser::default().read(&vec![b'x'; MESSAGE_BYTES_MAX + 1]));
    }
}
