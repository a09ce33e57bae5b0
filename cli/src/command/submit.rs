//! `hansa submit`: sign and send any transaction from JSON, so that every kind of action can be used the day it exists.

use crate::error::{Failure, Outcome};
use crate::session::{Sent, Session};
use clap::Args;
use hansa_ledger::action::Action;
use hansa_ledger::transaction::SignedTransaction;
use hansa_node_api::account::WAIT;
use serde_json::{Value, json};
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// Sign and send any transaction from JSON.
#[derive(Debug, Args)]
#[command(
    after_help = "The file holds one action, such as {\"action\": \"redeem_cash\", \"amount\": \"3.50\"}, a list of \
                        actions, which are done all or none, or a transaction that is signed already."
)]
pub struct SubmitArguments {
    /// The file, or `-` for standard input
    file: PathBuf,
}

/// What a file may hold.
#[derive(Debug)]
enum Content {
    Actions(Vec<Action>),
    Signed(Box<SignedTransaction>),
}

/// The most bytes of a file: more than any transaction has.
const FILE_BYTES_MAX: u64 = 16 << 20;

impl SubmitArguments {
    pub(super) async fn run(self, session: &Session) -> Outcome {
        let text = read(&self.file)?;
        let name = self.file.display().to_string();
        let sent = match parse(&name, &text)? {
            Content::Actions(actions) => {
                let account = session.account().await?;
                session.send(&account, actions).await?
            }
            Content::Signed(signed) => {
                let progress = session.printer.progress("waiting until the transaction is final");
                let outcome = session.client()?.submit_and_wait(&signed, WAIT).await;
                progress.finish();
                let done = outcome?;
                if let Some(rejection) = done.rejection() {
                    return Err(rejection.into());
                }
                Sent { signed: *signed, done }
            }
        };
        let done = sent.done.receipt.events.iter();
        let lines: Vec<String> = done.map(|event| serde_json::to_string(event).unwrap_or_default()).collect();
        session.tell_sent(&sent, json!({}), &lines.join("\n"));
        Ok(())
    }
}

fn read(path: &Path) -> Outcome<String> {
    let mut text = String::new();
    let read = match path == Path::new("-") {
        true => std::io::stdin().take(FILE_BYTES_MAX).read_to_string(&mut text),
        false => {
            std::fs::File::open(path).and_then(|file| file.take(FILE_BYTES_MAX).read_to_string(&mut text))
        }
    };
    match read {
        Ok(_) => Ok(text),
        Err(error) => Err(Failure::refused(format!("cannot read `{}`: {error}", path.display()))
            .hint("check that it exists and is text")),
    }
}

fn parse(name: &str, text: &str) -> Outcome<Content> {
    let value: Value = serde_json::from_str(text).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        let said = error.to_string();
        let reason = said.split(" at line ").next().unwrap_or(&said).to_lowercase();
        Failure::refused(format!("`{name}` line {line}, column {column}: {reason}"))
            .hint("write one JSON value: an action, a list of actions, or a signed transaction")
    })?;
    if value.get("signature").is_some() {
        let signed = serde_json::from_value(value);
        return signed
            .map(|signed| Content::Signed(Box::new(signed)))
            .map_err(|error| unread(name, "transaction", &error));
    }
    let values = match value {
        Value::Array(values) => values,
        one => vec![one],
    };
    if values.is_empty() {
        return Err(Failure::refused(format!("`{name}` holds no action")).hint("give at least one"));
    }
    let actions = values.into_iter().enumerate().map(|(at, value)| {
        serde_json::from_value(value).map_err(|error| unread(name, &format!("action {at}"), &error))
    });
    actions.collect::<Outcome<_>>().map(Content::Actions)
}

fn unread(name: &str, what: &str, error: &serde_json::Error) -> Failure {
    let kinds: Vec<&str> = Action::KINDS.iter().map(|(_, kind)| *kind).collect();
    Failure::refused(format!("{what} of `{name}` cannot be read: {error}"))
        .hint(format!("the kinds, written like `redeem_cash`, are {}", kinds.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use hansa_ledger::action::RedeemCash;
    use hansa_ledger::id::ChainId;
    use hansa_ledger::money::Money;
    use hansa_ledger::time::TimeMs;
    use hansa_ledger::transaction::Transaction;
    use hansa_ledger_signature::SecretKey;

    #[test]
    fn actions_lists_and_signed_transactions_are_taken() {
        let one = r#"{"action": "redeem_cash", "amount": "3.50"}"#;
        let action = Action::from(RedeemCash { amount: Money(3_500_000) });
        for (text, count) in [(one.to_owned(), 1), (format!("[{one}, {one}]"), 2)] {
            match parse("f", &text).unwrap() {
                Content::Actions(actions) => assert_eq!(actions, vec![action.clone(); count]),
                Content::Signed(_) => panic!("{text}"),
            }
        }
        let key = SecretKey::from_bytes([1; 32]);
        let transaction = Transaction {
            chain: ChainId([2; 32]),
            signer: key.public_key(),
            nonce: 0,
            valid_until: TimeMs(1_000),
            actions: vec![action],
        };
        let signed = transaction.sign(&key);
        match parse("f", &serde_json::to_string(&signed).unwrap()).unwrap() {
            Content::Signed(read) => assert_eq!(*read, signed),
            Content::Actions(_) => panic!("a signed transaction was taken for actions"),
        }
    }

    #[test]
    fn mistakes_are_told_with_their_place() {
        for (text, said) in [
            ("{", "`f` line 1, column 1"),
            ("[]", "`f` holds no action"),
            ("{\"action\": \"fly\"}", "action 0 of `f` cannot be read: unknown variant `fly`"),
            ("[{\"action\": \"redeem_cash\", \"amount\": \"x\"}]", "`x` is no amount"),
            ("[{\"action\": \"redeem_cash\", \"amount\": \"1\", \"to\": 1}]", "unknown field `to`"),
            ("{\"signature\": \"00\"}", "transaction of `f` cannot be read"),
        ] {
            let error = parse("f", text).unwrap_err();
            assert!(error.message.contains(said), "{text}: {error}");
        }
    }
}
