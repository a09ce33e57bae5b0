//! `hansa key`: make and list the keys you sign with.

use crate::error::Outcome;
use crate::keyfile::Protection;
use crate::keystore::StoredKey;
use crate::printer::pairs;
use crate::session::Session;
use clap::{Args, Subcommand};
use hansa_ledger::name::Name;
use hansa_ledger_signature::SecretKey;
use hansa_node_api::pass::PASS_HEADER;
use serde::Serialize;
use serde_json::{Value, json};

/// Make and list the keys you sign with.
#[derive(Debug, Args)]
pub struct KeyArguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Make a key; its file is encrypted with a passphrase
    New(New),
    /// Show a key's public half
    Show {
        /// Which; the chosen one if none is given
        name: Option<String>,
    },
    /// List your keys
    List,
    /// Give the pass that lets programs read as the chosen key for some hours; keep it to yourself
    Pass,
    /// Delete the passes that are kept of a key; the next look makes a new one
    ForgetPass {
        /// Which; the chosen one if none is given
        name: Option<String>,
    },
}

#[derive(Debug, Args)]
struct New {
    /// What to call it: 1 to 48 of a-z, 0-9, `.`, `_` and `-`
    name: Name,
    /// Do not encrypt it: for test networks only
    #[arg(long)]
    unencrypted: bool,
}

impl KeyArguments {
    pub(super) async fn run(self, session: &Session) -> Outcome {
        match self.verb {
            Verb::New(new) => new.run(session),
            Verb::Show { name } => {
                show(session, &named(session, name)?);
                Ok(())
            }
            Verb::List => list(session),
            Verb::Pass => pass(session).await,
            Verb::ForgetPass { name } => {
                let key = named(session, name)?;
                let count = session.keystore().forget_passes(&key.file.public_key)?;
                session
                    .printer
                    .data(&json!({ "forgotten": count }), || format!("forgot {count} of `{}`", key.name));
                Ok(())
            }
        }
    }
}

fn named(session: &Session, name: Option<String>) -> Outcome<StoredKey> {
    match name {
        Some(name) => session.keystore().find(&name),
        None => session.chosen_key(),
    }
}

/// The pass itself goes to stdout and nowhere else.
async fn pass(session: &Session) -> Outcome {
    let pass = session.pass().await?;
    let bearer = pass.to_bearer();
    let data = json!({ "header": PASS_HEADER, "pass": &*bearer, "key": pass.key, "expires": pass.expires });
    session.printer.data(&data, || bearer.to_string());
    session.printer.note(&format!("send it in the header `{PASS_HEADER}`; it holds until {}", pass.expires));
    Ok(())
}

impl New {
    fn run(self, session: &Session) -> Outcome {
        let passphrase = match self.unencrypted {
            true => None,
            false => Some(session.passphrase_new(self.name.as_str())?),
        };
        let key = session.keystore().add(&self.name, &SecretKey::generate(), passphrase.as_ref())?;
        if self.unencrypted {
            let path = key.path.display();
            session.printer.warn(&format!("`{path}` is not encrypted; use this key on test networks only"));
        }
        show(session, &key);
        session.printer.note("keep a copy of the file: without it nobody can sign for this key again");
        Ok(())
    }
}

fn show(session: &Session, key: &StoredKey) {
    session.printer.data(&data(key), || {
        pairs(&[
            ("name", key.name.clone()),
            ("public key", key.file.public_key.to_string()),
            ("protection", protection(key.file.protection).to_owned()),
            ("file", key.path.display().to_string()),
        ])
    });
}

fn list(session: &Session) -> Outcome {
    let keys = session.keystore().list()?;
    let values: Vec<Value> = keys.iter().map(|key| json!(data(key))).collect();
    session.printer.data(&values, || {
        let rows = keys.iter().map(|key| {
            let (name, public) = (key.name.clone(), key.file.public_key.to_string());
            [name, public, protection(key.file.protection).to_owned()]
        });
        session.printer.table(["NAME", "PUBLIC KEY", "PROTECTION"], rows)
    });
    if keys.is_empty() {
        session.printer.note("there are no keys yet: make one with `hansa key new NAME`");
    }
    Ok(())
}

fn data(key: &StoredKey) -> impl Serialize + use<> {
    json!({
        "name": key.name,
        "public_key": key.file.public_key,
        "protection": key.file.protection,
        "file": key.path,
    })
}

fn protection(protection: Protection) -> &'static str {
    match protection {
        Protection::Passphrase => "passphrase",
        Protection::None => "none",
    }
}
