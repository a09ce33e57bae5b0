//! What a node answers when it refuses, and what a client makes of it.

use crate::light::{Distrust, Doubt};
use hansa_ledger::id::TransactionId;
use hansa_ledger::rejection::Rejection;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Declares the refusals of the server itself: number, name, HTTP status, sentence and what to do next stand once.
macro_rules! faults {
    ($($code:literal $name:ident $status:literal $text:literal, $hint:literal;)*) => {
        /// Why the server refuses a request before the ledger is asked. The numbers continue those of the ledger's
        /// rejections: never renumbered, never reused.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[repr(u16)]
        pub enum Fault {
            $(#[doc = $text] $name = $code,)*
        }

        impl Fault {
            /// Every refusal of the server.
            pub const ALL: &'static [Fault] = &[$(Fault::$name,)*];

            /// Its fixed number.
            #[must_use]
            pub fn code(self) -> u16 {
                self as u16
            }

            /// The refusal of this number.
            #[must_use]
            pub fn from_code(code: u16) -> Option<Self> {
                match code {
                    $($code => Some(Self::$name),)*
                    _ => None,
                }
            }

            /// Its name, as programs see it.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)*
                }
            }

            /// The HTTP status it travels with.
            #[must_use]
            pub fn status(self) -> u16 {
                match self {
                    $(Self::$name => $status,)*
                }
            }

            /// What to do next.
            #[must_use]
            pub fn hint(self) -> &'static str {
                match self {
                    $(Self::$name => $hint,)*
                }
            }
        }

        impl std::fmt::Display for Fault {
            fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str(match self {
                    $(Self::$name => $text,)*
                })
            }
        }
    };
}

impl std::error::Error for Fault {}

faults! {
    1000 RequestMalformed 400 "the request cannot be read", "compare it with `/openapi.json`";
    1001 NotFound 404 "there is no such thing on this node", "check the id, and `GET /v1/status` for how far the node has come";
    1002 RouteUnknown 404 "the API has no such path", "the paths are listed in `/openapi.json`";
    1003 MethodRefused 405 "the path does not take this method", "the methods are listed in `/openapi.json`";
    1004 BodyTooLarge 413 "the body is larger than this path takes", "send less at a time";
    1005 RequestTimeout 408 "the request did not arrive, or was not answered, in time", "try again; check the connection if it happens again";
    1006 HostRefused 403 "the node does not answer under this host name", "use the address the node listens on, or have its operator add the name to its configuration";
    1007 Busy 503 "the node handles as many requests as it can", "try again in a moment, or another node";
    1008 TooManyStreams 429 "the node serves as many event streams as it can", "close one, or follow another node";
    1009 NotReady 503 "the node is not ready yet", "wait until `/health/ready` answers 200, or use another node";
    1010 SignatureMissing 401 "this path needs a signed request", "send the headers `x-hansa-key`, `x-hansa-expires-ms` and `x-hansa-signature`; a read pass will do to read";
    1011 SignatureWrong 401 "the signature does not match the request and the key", "sign chain, method, path, body hash and expiry with this key";
    1012 SignatureExpired 401 "the signed request has expired, or would live too long", "sign it again, to expire within five minutes; check the clock";
    1013 KeyRefused 403 "the key belongs to no organisation that may do this", "sign with a key of an accredited organisation";
    1014 BlobForbidden 403 "the blob belongs to others", "sign with a key of its owner, or of the provider of a lease of theirs that names it";
    1015 BlobUnknown 404 "this node keeps no such blob", "ask the node it was sent to";
    1016 BlobTooLarge 413 "the blob is larger than the federation allows", "split it";
    1017 BlobQuota 429 "the organisation keeps as much on this node as it may", "wait until old blobs are dropped, or ask the member";
    1018 BlobHashMismatch 422 "the content has another hash than announced", "the file was changed on its way, or is another; send it again";
    1019 StorageFull 507 "the node's disk is full", "tell its operator, and use another node meanwhile";
    1020 MediaType 415 "the body is of a kind this path does not take", "send `application/octet-stream` or `application/json`";
    1021 HistoryGone 410 "the node does not keep blocks that old", "ask a node that keeps all";
    1022 Internal 500 "the node failed to answer", "its log says why; tell its operator";
    1023 LogForbidden 403 "the log belongs to the two sides of the lease", "sign with a key of the lease's requester or provider";
    1024 LogElsewhere 404 "the log comes to another node", "ask the node of the requester's home member";
    1030 ReadForbidden 403 "this is for those it belongs to and for members to read", "prove who you are: choose a key of its organisation with `--key NAME`; programs send a pass in the header `x-hansa-read-pass`, or sign the request";
    1031 PassMalformed 401 "the read pass cannot be read", "make a new one: `hansa key forget-pass`, then read again";
    1032 PassExpired 401 "the read pass has expired", "make a new one: `hansa key forget-pass`, then read again; check the clock";
    1033 PassTooLong 401 "the read pass would live longer than twelve hours", "make one that expires sooner; check the clock";
    1034 PassOtherChain 401 "the read pass is for another federation", "make one for this federation: its chain stands in `GET /v1/status`";
    1035 PassWrong 401 "the signature of the read pass does not hold", "make a new one: `hansa key forget-pass`, then read again";
    1036 PassKeyUnknown 401 "the key of the read pass is not registered", "have the organisation's administrator or the member's registrar register it, or read with another key";
    1037 PassKeyRevoked 401 "the key of the read pass was taken back", "read with another key of the organisation";
    1038 PassForReads 401 "a read pass is good for reading only", "leave it out: what changes something is signed by itself";
}

/// The one shape of every refusal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ErrorBody {
    /// The refusal.
    pub error: ErrorDetail,
}

/// A refusal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ErrorDetail {
    /// Its fixed number: below 1000 the ledger's, from 1000 on the server's.
    pub code: u16,
    /// Its fixed name.
    pub name: String,
    /// What happened.
    pub message: String,
    /// What to do next.
    pub hint: String,
}

impl From<Rejection> for ErrorDetail {
    fn from(rejection: Rejection) -> Self {
        Self {
            code: rejection.code(),
            name: rejection.name().to_owned(),
            message: rejection.to_string(),
            hint: rejection.hint().to_owned(),
        }
    }
}

impl From<Fault> for ErrorDetail {
    fn from(fault: Fault) -> Self {
        Self {
            code: fault.code(),
            name: fault.name().to_owned(),
            message: fault.to_string(),
            hint: fault.hint().to_owned(),
        }
    }
}

/// Why a call of the client brought nothing.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// The address is none.
    #[error("`{address}` is no address of a node: {reason}")]
    Address {
        /// As given.
        address: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Nobody answered.
    #[error("the node at {url} cannot be reached: {reason}")]
    Unreachable {
        /// The node.
        url: String,
        /// What the connection said.
        reason: String,
    },
    /// The answer did not come in time.
    #[error("the node at {url} did not answer in time")]
    Timeout {
        /// The node.
        url: String,
    },
    /// The node refused, or the ledger did.
    #[error("{}", detail.message)]
    Refused {
        /// HTTP status; 200 when the transaction was final and its receipt refuses it.
        status: u16,
        /// Why.
        detail: ErrorDetail,
        /// When to try again, if the node said so.
        retry_after: Option<Duration>,
    },
    /// The answer is not one of this API.
    #[error("the answer of {url} cannot be read: {reason}")]
    Answer {
        /// What was asked.
        url: String,
        /// What is wrong with the answer.
        reason: String,
    },
    /// The transaction was accepted and is not final yet.
    #[error("transaction {id} is not final yet")]
    NotFinal {
        /// Its id.
        id: TransactionId,
    },
    /// A list is longer than a client takes.
    #[error("the list of {path} has more than {items_max} entries")]
    TooLong {
        /// The list.
        path: String,
        /// The limit.
        items_max: usize,
    },
    /// The answer is not proven, or contradicts what is.
    #[error(transparent)]
    Distrust(#[from] Doubt),
    /// A file of this machine.
    #[error("the file `{path}` cannot be used: {error}")]
    File {
        /// The file.
        path: std::path::PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
}

impl ApiError {
    /// The fixed number, where the node or the ledger refused, or the answer is not believed.
    #[must_use]
    pub fn code(&self) -> Option<u16> {
        match self {
            Self::Refused { detail, .. } => Some(detail.code),
            Self::Distrust(doubt) => Some(doubt.reason.code()),
            _ => None,
        }
    }

    /// Why the answer is not believed, if that was it.
    #[must_use]
    pub fn distrust(&self) -> Option<Distrust> {
        match self {
            Self::Distrust(doubt) => Some(doubt.reason),
            _ => None,
        }
    }

    /// The ledger's rejection, if it was one.
    #[must_use]
    pub fn rejection(&self) -> Option<Rejection> {
        self.code().and_then(Rejection::from_code)
    }

    /// The server's refusal, if it was one.
    #[must_use]
    pub fn fault(&self) -> Option<Fault> {
        self.code().and_then(Fault::from_code)
    }

    /// The fixed name of what went wrong.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Address { .. } => "Address",
            Self::Unreachable { .. } => "Unreachable",
            Self::Timeout { .. } => "Timeout",
            Self::Refused { detail, .. } => &detail.name,
            Self::Answer { .. } => "Answer",
            Self::NotFinal { .. } => "NotFinal",
            Self::TooLong { .. } => "TooLong",
            Self::Distrust(doubt) => doubt.reason.name(),
            Self::File { .. } => "File",
        }
    }

    /// What to do next.
    #[must_use]
    pub fn hint(&self) -> &str {
        match self {
            Self::Address { .. } => "write it as `http://127.0.0.1:8080`",
            Self::Unreachable { .. } => {
                "check that the node runs and that the address is right, or use another member's node"
            }
            Self::Timeout { .. } => "try again in a moment, or use another member's node",
            Self::Refused { detail, .. } => &detail.hint,
            Self::Answer { .. } => "check that a node of this version answers there: `GET /v1/status`",
            Self::NotFinal { .. } => "look it up later: `hansa chain tx`; sending it again does no harm",
            Self::TooLong { .. } => "narrow the list with a filter",
            Self::Distrust(doubt) => doubt.reason.hint(),
            Self::File { .. } => "check that it exists, and its permissions and space on its disk",
        }
    }

    /// Whether the same call may succeed later without any change.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Timeout { .. } | Self::NotFinal { .. } => true,
            Self::Refused { .. } => {
                self.rejection().is_some_and(Rejection::is_transient)
                    || matches!(
                        self.fault(),
                        Some(
                            Fault::Busy
                                | Fault::NotReady
                                | Fault::RequestTimeout
                                | Fault::TooManyStreams
                                | Fault::StorageFull
                        )
                    )
            }
            _ => false,
        }
    }
}

/// A final transaction that its receipt refuses.
impl From<Rejection> for ApiError {
    fn from(rejection: Rejection) -> Self {
        Self::Refused { status: 200, detail: rejection.into(), retry_after: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_the_server_and_the_ledger_never_meet() {
        for fault in Fault::ALL {
            assert!(Rejection::from_code(fault.code()).is_none(), "{fault:?}");
            assert_eq!(Fault::from_code(fault.code()), Some(*fault));
            assert!((400..600).contains(&fault.status()), "{fault:?}");
        }
        let detail = ErrorDetail::from(Rejection::NonceGap);
        let error = ApiError::Refused { status: 409, detail, retry_after: None };
        assert_eq!(
            (error.code(), error.rejection(), error.fault()),
            (Some(11), Some(Rejection::NonceGap), None)
        );
        assert!(error.is_transient());
        assert_eq!(error.to_string(), Rejection::NonceGap.to_string());
        assert_eq!(error.hint(), Rejection::NonceGap.hint());
    }
}
