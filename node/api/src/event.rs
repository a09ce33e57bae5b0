//! What happened, as the stream of events tells it.

use hansa_ledger::event::Event;
use hansa_ledger::id::TransactionId;
use hansa_ledger::time::TimeMs;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use utoipa::ToSchema;

/// A place in the stream of all events: after event `index` of the block at `height`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct EventCursor {
    /// The block.
    pub height: u64,
    /// The event in it, counted from 0 over deadlines and transactions; `u32::MAX` stands for the block's end.
    pub index: u32,
}

impl EventCursor {
    /// After the whole block at `height`.
    #[must_use]
    pub fn after_block(height: u64) -> Self {
        Self { height, index: u32::MAX }
    }
}

impl fmt::Display for EventCursor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.index {
            u32::MAX => write!(formatter, "{}:end", self.height),
            index => write!(formatter, "{}:{index}", self.height),
        }
    }
}

impl FromStr for EventCursor {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refuse = || format!("`{text}` is no place among the events; write `height:index`, such as 12:0");
        let (height, index) = text.split_once(':').ok_or_else(refuse)?;
        let index = match index {
            "end" => u32::MAX,
            index => index.parse().map_err(|_| refuse())?,
        };
        Ok(Self { height: height.parse().map_err(|_| refuse())?, index })
    }
}

/// An event, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EventInfo {
    /// The block's height.
    pub height: u64,
    /// Its number in the block.
    pub index: u32,
    /// The block's time.
    #[schema(value_type = String)]
    pub time: TimeMs,
    /// The transaction that did it; none for what happened by itself.
    #[schema(value_type = Option<String>)]
    pub transaction: Option<TransactionId>,
    /// What happened.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    pub event: Event,
}

impl EventInfo {
    /// Where it stands.
    #[must_use]
    pub fn cursor(&self) -> EventCursor {
        EventCursor { height: self.height, index: self.index }
    }
}

/// One message of the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventMessage {
    /// Something happened.
    Event(Box<EventInfo>),
    /// A block is complete; everything before it has been told.
    Block(BlockMark),
    /// Events were missed that the node does not keep. Read the state again; the stream goes on after this height.
    Reset(BlockMark),
}

/// A block's height and time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BlockMark {
    /// Its height.
    pub height: u64,
    /// Its time.
    #[schema(value_type = String)]
    pub time: TimeMs,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_are_ordered_and_have_one_text() {
        for (text, height, index) in [("0:0", 0, 0), ("12:3", 12, 3), ("12:end", 12, u32::MAX)] {
            let cursor = EventCursor { height, index };
            assert_eq!(cursor.to_string(), text);
            assert_eq!(text.parse(), Ok(cursor));
        }
        assert!(EventCursor { height: 3, index: 9 } < EventCursor::after_block(3));
        for text in ["", "1", "1:", ":1", "a:b", "1:2:3", "-1:0"] {
            assert!(text.parse::<EventCursor>().is_err(), "{text}");
        }
    }
}
