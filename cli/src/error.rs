//! Why a command failed: what happened, its fixed name and number where it has one, and what to do next.

use crate::exit::Exit;
use hansa_ledger::rejection::Rejection;
use hansa_node_api::error::ApiError;
use hansa_node_api::light::Distrust;
use serde_json::json;
use std::fmt;

/// Why a command failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// How the program ends.
    pub exit: Exit,
    /// What happened: lower case, no full stop.
    pub message: String,
    /// What to do next.
    pub hint: Option<String>,
    /// The fixed number and name, where the ledger or a node refused.
    pub refusal: Option<(u16, String)>,
}

/// What a command gives.
pub type Outcome<T = ()> = Result<T, Failure>;

impl Failure {
    /// The user's input cannot be used.
    #[must_use]
    pub fn refused(message: impl Into<String>) -> Self {
        Self { exit: Exit::Refused, message: message.into(), hint: None, refusal: None }
    }

    /// Something failed that is not the user's fault.
    #[must_use]
    pub fn failed(message: impl Into<String>) -> Self {
        Self { exit: Exit::Failed, message: message.into(), hint: None, refusal: None }
    }

    /// The same, with what to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// What a program is told, in the shape in which nodes tell refusals.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        let (code, name) = match &self.refusal {
            Some((code, name)) => (Some(*code), Some(name.as_str())),
            None => (None, None),
        };
        json!({ "error": {
            "code": code, "name": name, "message": self.message, "hint": self.hint, "exit": self.exit as u8,
        } })
    }
}

/// The message with its name and number; the hint after a blank line.
impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.message)?;
        if let Some((code, name)) = &self.refusal {
            write!(formatter, " ({name}, code {code})")?;
        }
        match &self.hint {
            Some(hint) => write!(formatter, "\n\nhint: {hint}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Failure {}

/// What the ledger would refuse is refused with its own number, also where no node was asked.
impl From<Rejection> for Failure {
    fn from(rejection: Rejection) -> Self {
        Self {
            exit: Exit::Refused,
            message: rejection.to_string(),
            hint: Some(rejection.hint().to_owned()),
            refusal: Some((rejection.code(), rejection.name().to_owned())),
        }
    }
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        let refusal = error.code().map(|code| (code, error.name().to_owned()));
        // A node that is busy or down may answer later; what it refuses for good is the user's to change.
        let ours = error.is_transient()
            || matches!(&error, ApiError::Answer { .. })
            || matches!(error.distrust(), Some(Distrust::Stale | Distrust::Unreadable))
            || matches!(&error, ApiError::Refused { status, .. } if *status >= 500);
        let exit = if ours && error.rejection().is_none() { Exit::Failed } else { Exit::Refused };
        Self { exit, message: error.to_string(), hint: Some(error.hint().to_owned()), refusal }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_shows_its_name_number_and_hint() {
        let failure = Failure::from(Rejection::FundsInsufficient);
        assert_eq!(
            failure.to_string(),
            "the purse holds less than the amount (FundsInsufficient, code 201)\n\n\
             hint: look at the balances: `hansa account show`"
        );
        assert_eq!(failure.exit, Exit::Refused);
        assert_eq!(failure.json()["error"]["code"], 201);
    }

    #[test]
    fn who_is_at_fault_decides_the_exit_code() {
        let url = "http://127.0.0.1:1".to_owned();
        for (error, exit) in [
            (ApiError::from(Rejection::NonceGap), Exit::Refused),
            (ApiError::Timeout { url: url.clone() }, Exit::Failed),
            (ApiError::Unreachable { url: url.clone(), reason: "refused".into() }, Exit::Failed),
            (ApiError::Address { address: "x".into(), reason: "y".into() }, Exit::Refused),
            (ApiError::Answer { url, reason: "no JSON".into() }, Exit::Failed),
        ] {
            let said = error.to_string();
            assert_eq!(Failure::from(error).exit, exit, "{said}");
        }
    }
}
