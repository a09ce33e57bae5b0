//! Talk to a node.
//!
//! The types of requests and answers are the same for the server and the client. Ledger rows appear in them as the ledger
//! writes them in JSON: money as decimal euro, times as RFC 3339, ids and bytes as hexadecimal. [`Client`] reads, [`Account`]
//! signs and sends; [`peer`] is the other way in, for blobs between machines.

pub mod account;
pub mod book;
pub mod bundle;
pub mod certificate;
pub mod chain;
pub mod client;
pub mod error;
pub mod event;
pub mod filter;
pub mod governance;
pub mod job;
pub mod keyfile;
pub mod lease;
pub mod light;
pub mod market;
pub mod office;
pub mod organisation;
pub mod pass;
pub mod peer;
pub mod proof;
pub mod signed;
pub mod status;
pub mod text;
pub mod view;
pub mod why;

pub use account::Account;
pub use client::Client;
pub use error::{ApiError, ErrorBody, ErrorDetail, Fault};
pub use event::{EventCursor, EventInfo, EventMessage};
pub use light::{Distrust, Light};
pub use pass::ReadPass;
pub use view::Shown;
