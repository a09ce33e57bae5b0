//! Who asks: the public, an organisation, or an office of a member.
//!
//! A reader proves itself in one of two ways, for every path that is read: by a signature over the request, or by a read pass,
//! which a key signs once for some hours ([`hansa_node_api::pass`]). What is sent and does not hold is refused, and never taken
//! for the public. What each reader sees is decided in [`super::visibility`].

use super::Shared;
use super::answer::Problem;
use super::backend::read;
use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use hansa_ledger::id::{BlobHash, OrganisationId};
use hansa_ledger::member::MemberCode;
use hansa_ledger::row::{Office, Principal};
use hansa_ledger::state::State as Ledger;
use hansa_ledger::tables::Keys;
use hansa_ledger::time::TimeMs;
use hansa_ledger_signature::{Cache, PublicKey, Signature};
use hansa_node_api::error::Fault;
use hansa_node_api::pass::{PASS_HEADER, PASS_LIFE_MS_MAX, ReadPass};
use hansa_node_api::peer::now_ms;
use hansa_node_api::signed::{
    EXPIRES_HEADER, KEY_HEADER, LIFE_MS_MAX, RequestTerms, SIGNATURE_HEADER, empty_body,
};
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};

/// The most passes that are known not to need their signature checked again.
const PASSES_MAX: usize = 4_096;

/// The headers that an answer depends on: [`PASS_HEADER`] and [`KEY_HEADER`].
const READER_HEADERS: &str = "x-hansa-read-pass, x-hansa-key";

/// The path that only computes, though it takes a body: a pass is good for it too.
const QUOTE_PATH: &str = "/v1/quote";

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Who {
    /// Nobody who said so.
    Public,
    /// A key of an organisation, whatever the organisation's standing.
    Organisation(OrganisationId),
    /// An office of a member, or of the joint undertaking, which audits: they see all.
    Office(MemberCode, Office),
}

/// Who asks, and how long what proves it holds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader {
    pub(super) who: Who,
    /// The key, and until when its word holds; none for the public.
    proof: Option<(PublicKey, TimeMs)>,
}

impl Reader {
    const PUBLIC: Self = Self { who: Who::Public, proof: None };

    /// Whether the reader is still who it was when it asked, for answers that go on: its key was not taken back meanwhile, and
    /// its word has not expired.
    pub(super) fn stands(&self, state: &Ledger) -> bool {
        let Some((key, until)) = &self.proof else { return true };
        now_ms() < until.0 && state.get::<Keys>(key).is_some_and(|row| !row.revoked)
    }
}

/// Passes whose signatures were checked.
#[derive(Debug)]
pub(super) struct Passes(Mutex<Cache>);

impl Default for Passes {
    fn default() -> Self {
        Self(Mutex::new(Cache::new(PASSES_MAX)))
    }
}

impl Passes {
    /// How many signatures were really checked.
    #[cfg(test)]
    pub(super) fn checks(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).checks()
    }

    fn holds(&self, pass: ReadPass) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).verify(pass).is_ok()
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Reader {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        // [`identify`] has left it there, and every path lies behind it.
        parts.extensions.get::<Self>().copied().ok_or_else(|| Fault::Internal.into())
    }
}

/// Finds out who asks, before any path is taken; refuses what is sent as proof and is none.
pub(super) async fn identify(State(shared): State<Shared>, mut request: Request, next: Next) -> Response {
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    let passes = request.headers().contains_key(PASS_HEADER);
    let reader = if passes && !reads && request.uri().path() != QUOTE_PATH {
        Err(Fault::PassForReads.into())
    } else if passes {
        by_pass(&shared, request.headers())
    } else if reads && is_signed(request.headers()) {
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
        by_signature(&shared, request.headers(), request.method(), path, empty_body())
    } else {
        Ok(Reader::PUBLIC)
    };
    // A pass is a secret: what comes after has no use for it, and cannot write it into a log.
    request.headers_mut().remove(PASS_HEADER);
    match reader {
        Ok(reader) => {
            request.extensions_mut().insert(reader);
            let mut response = next.run(request).await;
            // Whatever stands between keeps no answer for one reader, and gives it to no other.
            let headers = response.headers_mut();
            headers.insert(header::VARY, HeaderValue::from_static(READER_HEADERS));
            if reader.who != Who::Public {
                headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
            }
            response
        }
        Err(problem) => problem.into_response(),
    }
}

fn is_signed(headers: &HeaderMap) -> bool {
    [KEY_HEADER, EXPIRES_HEADER, SIGNATURE_HEADER].iter().any(|name| headers.contains_key(*name))
}

fn by_pass(shared: &Shared, headers: &HeaderMap) -> Result<Reader, Problem> {
    let mut values = headers.get_all(PASS_HEADER).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return Err(Fault::PassMalformed.into());
    };
    let pass = value.to_str().ok().and_then(|text| ReadPass::from_bearer(text).ok());
    let pass = pass.ok_or(Fault::PassMalformed)?;
    let (key, expires, now) = (pass.key, pass.expires, now_ms());
    if pass.chain != shared.backend.chain() {
        return Err(Fault::PassOtherChain.into());
    }
    if expires.0 <= now {
        return Err(Fault::PassExpired.into());
    }
    if expires.0 > now.saturating_add(PASS_LIFE_MS_MAX) {
        return Err(Fault::PassTooLong.into());
    }
    // Before the key is looked up, so that nobody learns which keys are registered but who holds them.
    if !shared.passes.holds(pass) {
        return Err(Fault::PassWrong.into());
    }
    let who = match principal(shared, &key) {
        Standing::Good(principal) => who(principal),
        Standing::Revoked => return Err(Fault::PassKeyRevoked.into()),
        // A node that still catches up may only not know the key yet.
        Standing::Unknown if !shared.backend.status().ready => return Err(Fault::NotReady.into()),
        Standing::Unknown => return Err(Fault::PassKeyUnknown.into()),
    };
    Ok(Reader { who, proof: Some((key, expires)) })
}

/// Who signed this very request.
///
/// # Errors
/// When a header is missing or cannot be read, the time is over, the signature does not hold, or the key is nobody's.
pub(super) fn by_signature(
    shared: &Shared,
    headers: &HeaderMap,
    method: &Method,
    path: &str,
    body: BlobHash,
) -> Result<Reader, Problem> {
    let key: PublicKey = field(headers, KEY_HEADER)?;
    let expires = TimeMs(field(headers, EXPIRES_HEADER)?);
    let signature: Signature = field(headers, SIGNATURE_HEADER)?;
    let now = now_ms();
    if expires.0 <= now || expires.0 > now.saturating_add(LIFE_MS_MAX) {
        return Err(Fault::SignatureExpired.into());
    }
    let terms = RequestTerms {
        chain: shared.backend.chain(),
        method: method.as_str().to_owned(),
        path: path.to_owned(),
        body,
        expires,
    };
    terms.verify(&key, &signature).map_err(|_| Fault::SignatureWrong)?;
    match principal(shared, &key) {
        Standing::Good(principal) => Ok(Reader { who: who(principal), proof: Some((key, expires)) }),
        Standing::Revoked | Standing::Unknown => Err(Fault::KeyRefused.into()),
    }
}

/// Where a key stands on the ledger.
enum Standing {
    Good(Principal),
    Revoked,
    Unknown,
}

fn principal(shared: &Shared, key: &PublicKey) -> Standing {
    read(&*shared.backend, |state| match state.get::<Keys>(key) {
        None => Standing::Unknown,
        Some(row) if row.revoked => Standing::Revoked,
        Some(row) => Standing::Good(row.principal),
    })
}

fn who(principal: Principal) -> Who {
    match principal {
        Principal::Organisation(organisation) => Who::Organisation(organisation),
        Principal::Office(member, office) => Who::Office(member, office),
    }
}

fn field<T: FromStr>(headers: &HeaderMap, name: &'static str) -> Result<T, Problem> {
    let value = headers.get(name).ok_or(Fault::SignatureMissing)?;
    let parsed = value.to_str().ok().and_then(|text| text.parse().ok());
    parsed.ok_or_else(|| Problem::new(Fault::SignatureMissing, format!("the header `{name}` cannot be read")))
}
