//! Who a client reads as.

use super::Client;
use crate::pass::{PASS_HEADER, ReadPass};
use hansa_ledger::id::ChainId;
use hansa_ledger_signature::SecretKey;
use reqwest::RequestBuilder;
use reqwest::header::HeaderValue;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// How long a pass lives that a client makes for itself.
const LIFE: Duration = Duration::from_secs(3_600);

/// A pass with less time left than this is made anew.
const LEFT_MIN: Duration = Duration::from_secs(300);

/// Who reads: by a key that makes passes whenever there is need of one, or by a pass that is there.
#[derive(Debug)]
pub(super) enum Reader {
    Key { key: SecretKey, chain: ChainId, pass: Mutex<Option<ReadPass>> },
    Pass(ReadPass),
}

impl Reader {
    fn pass(&self) -> ReadPass {
        match self {
            Self::Pass(pass) => pass.clone(),
            Self::Key { key, chain, pass } => {
                let mut pass = pass.lock().unwrap_or_else(PoisonError::into_inner);
                match &*pass {
                    Some(pass) if pass.lives(LEFT_MIN) => pass.clone(),
                    _ => pass.insert(ReadPass::make(key, *chain, LIFE)).clone(),
                }
            }
        }
    }
}

impl Client {
    /// The same client, reading as this key: it sees what the key's organisation or office may see. Passes are made and renewed
    /// by themselves.
    #[must_use]
    pub fn with_reader(self, key: SecretKey, chain: ChainId) -> Self {
        let reader = Reader::Key { key, chain, pass: Mutex::new(None) };
        Self { reader: Some(reader.into()), ..self }
    }

    /// The same client, reading by a pass that was made elsewhere, until it expires.
    #[must_use]
    pub fn with_pass(self, pass: ReadPass) -> Self {
        Self { reader: Some(Reader::Pass(pass).into()), ..self }
    }

    /// The same client, seeing what the public sees.
    #[must_use]
    pub fn without_reader(self) -> Self {
        Self { reader: None, ..self }
    }

    /// The request with the pass of the reader, if there is one.
    pub(super) fn as_reader(&self, builder: RequestBuilder) -> RequestBuilder {
        let Some(reader) = &self.reader else { return builder };
        let bearer = reader.pass().to_bearer();
        let mut value =
            HeaderValue::from_str(&bearer).expect("hexadecimal characters may stand in every header");
        // Whoever prints the request or its headers does not print the pass.
        value.set_sensitive(true);
        builder.header(PASS_HEADER, value)
    }
}
