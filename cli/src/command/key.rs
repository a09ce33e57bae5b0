//! `hansa key`: make and list the keys you sign with.

use super::org::registration;
use crate::error::Outcome;
use crate::keyfile::Protection;
use crate::keystore::StoredKey;
use crate::printer::pairs;
use crate::session::Session;
use clap::{Args, Subcommand};
use hansa_ledger::action::{Registration, organisation_id};
use hansa_ledger::id::ChainId;
use hansa_ledger::member::MemberCode;
use hansa_ledger::name::Name;
use hansa_ledger::possession::Possession;
use hansa_ledger::row::{Office, Principal};
use hansa_ledger_signature::{SecretKey, Signature};
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
    /// Prove that you hold a key, for whoever registers it: a registrar, an administrator or a governance office
    Prove(Prove),
}

#[derive(Debug, Args)]
struct Prove {
    /// Which; the chosen one if none is given
    name: Option<String>,
    #[command(flatten)]
    whom: Whom,
    /// The federation's id; else the node is asked
    #[arg(long, value_name = "ID")]
    chain: Option<ChainId>,
}

/// Who a key is to act for: one of these.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Whom {
    /// The organisation it is to act for, not accredited yet: `EE:12345678`
    #[arg(long = "for", value_parser = registration, value_name = "CC:NUMBER")]
    register: Option<Registration>,
    /// The organisation it is to act for: id, beginning of it, or name
    #[arg(long)]
    organisation: Option<String>,
    /// The office it is to act for: `EE:treasury`
    #[arg(long, value_parser = office, value_name = "CC:OFFICE")]
    office: Option<(MemberCode, Office)>,
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
            Verb::Prove(prove) => prove.run(session).await,
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

impl Prove {
    async fn run(self, session: &Session) -> Outcome {
        let stored = match &self.name {
            Some(name) => session.keystore().find(name)?,
            None => session.chosen_key()?,
        };
        let principal = match (self.whom.register, self.whom.organisation, self.whom.office) {
            (Some(one), ..) => Principal::Organisation(organisation_id(one.country, &one.number)),
            (_, _, Some((member, office))) => Principal::Office(member, office),
            (_, text, _) => {
                let text = text.unwrap_or_default();
                Principal::Organisation(session.find_organisation(&session.client()?, &text).await?)
            }
        };
        let chain = session.chain(self.chain).await?;
        let key = stored.unlock(|| session.passphrase(&stored.name))?;
        let proof = Possession::prove(chain, &key, principal);
        let data = json!({
            "public_key": key.public_key(),
            "chain": chain,
            "principal": principal,
            "proof": proof.signature,
        });
        session.printer.data(&data, || proof.signature.to_string());
        session.printer.note("it binds nobody: it lets this key be registered for them, and for nobody else");
        Ok(())
    }
}

/// Reads the proof that [`Verb::Prove`] prints.
pub(super) fn proof(text: &str) -> Result<Signature, String> {
    text.parse().map_err(|error| format!("`{text}` is no proof as `hansa key prove` prints it: {error}"))
}

fn office(text: &str) -> Result<(MemberCode, Office), String> {
    let (member, office) = text
        .split_once(':')
        .ok_or_else(|| format!("`{text}` is no office of a member; write it as `EE:treasury`"))?;
    Ok((member.parse()?, office.parse()?))
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
