//! `hansa org`: accredit organisations and manage their keys.

use super::account::ROLES;
use super::key::proof;
use crate::error::Outcome;
use crate::session::{Session, short};
use crate::units::{self, Moment, word, word_text};
use clap::{Args, Subcommand};
use hansa_ledger::action::{
    AccreditOrganisation, Registration, RemoveKey, RevokeOrganisation, SetKey, organisation_id,
};
use hansa_ledger::member::MemberCode;
use hansa_ledger::money::Money;
use hansa_ledger::name::Name;
use hansa_ledger::row::{OrganisationClass, Principal, Roles};
use hansa_ledger_signature::Signature;
use hansa_node_api::Shown;
use hansa_node_api::filter::OrganisationFilter;
use hansa_node_api::organisation::OrganisationInfo;
use serde_json::json;

/// Accredit organisations and manage their keys.
#[derive(Debug, Args)]
pub struct OrgArguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Accredit an organisation; signed by its home member's registrar
    Accredit(Accredit),
    /// Take an accreditation back; signed by its home member's registrar
    Revoke {
        /// Organisation: id, beginning of it, or name
        organisation: String,
    },
    /// List organisations; names are shown of your own, and to members of all
    List {
        /// Only those of this member
        #[arg(long, value_name = "CC")]
        member: Option<MemberCode>,
    },
    /// Manage the keys of your organisation
    #[command(subcommand)]
    Key(KeyVerb),
}

#[derive(Debug, Args)]
struct Accredit {
    /// What it is called on the ledger
    name: Name,
    /// Its number in the register of its home member
    #[arg(long, value_name = "NUMBER")]
    register_number: String,
    /// start-up, sme, large, research or public
    #[arg(long, value_parser = word::<OrganisationClass>)]
    class: OrganisationClass,
    /// Its first administrator key: 64 hexadecimal characters, or the name of one of your keys
    #[arg(long, value_name = "KEY")]
    admin_key: String,
    /// The key holder's word, as `hansa key prove` prints it; made here if the key is one of yours
    #[arg(long, value_parser = proof, value_name = "PROOF")]
    proof: Option<Signature>,
    /// When the accreditation ends: a moment, or `in 365d`
    #[arg(long, default_value = "in 365d")]
    until: Moment,
    /// Its beneficial owner at the top, where there is one: `EE:12345678`
    #[arg(long, value_parser = registration, value_name = "CC:NUMBER")]
    owner: Option<Registration>,
}

#[derive(Debug, Subcommand)]
enum KeyVerb {
    /// Register a key, or change its roles and limit
    Set {
        /// The key: 64 hexadecimal characters, or the name of one of your keys
        public_key: String,
        /// What it may do: bid, offer, operate, treasury, admin, contract, or all
        #[arg(long, value_delimiter = ',', required = true, value_parser = role)]
        roles: Vec<Roles>,
        /// The most one request or transfer of it may bind
        #[arg(long, value_parser = units::money, value_name = "EUR")]
        limit: Option<Money>,
        /// Its holder's word, as `hansa key prove` prints it, for a new key; made here if the key is one of yours
        #[arg(long, value_parser = proof, value_name = "PROOF")]
        proof: Option<Signature>,
    },
    /// Take a key back for ever
    Remove {
        /// The key: 64 hexadecimal characters, or the name of one of your keys
        public_key: String,
    },
}

/// Reads `EE:12345678`.
pub(super) fn registration(text: &str) -> Result<Registration, String> {
    let (country, number) = text
        .split_once(':')
        .ok_or_else(|| format!("`{text}` is no register entry; write it as `EE:12345678`"))?;
    Ok(Registration { country: country.parse()?, number: number.to_owned() })
}

fn role(text: &str) -> Result<Roles, String> {
    if text == "all" {
        return Ok(Roles::ALL);
    }
    let found = ROLES.iter().find(|(name, _)| *name == text);
    found.map(|(_, role)| *role).ok_or_else(|| {
        format!("`{text}` is no role; choose bid, offer, operate, treasury, admin, contract or all")
    })
}

impl OrgArguments {
    pub(super) async fn run(self, session: &Session) -> Outcome {
        match self.verb {
            Verb::Accredit(accredit) => accredit.run(session).await,
            Verb::Revoke { organisation } => {
                let organisation = session.find_organisation(&session.reader().await?, &organisation).await?;
                let sent = session.act(RevokeOrganisation { organisation }).await?;
                let made = json!({ "organisation": organisation });
                session
                    .tell_office(&session.reader().await?, &sent, made, &format!("revoked {organisation}"))
                    .await
            }
            Verb::List { member } => list(session, member).await,
            Verb::Key(KeyVerb::Set { public_key, roles, limit, proof }) => {
                let account = session.account().await?;
                let principal = session.principal(&account).await?;
                let (key, proof) = session.find_new_key(&account, &public_key, proof, principal).await?;
                let roles = Roles(roles.iter().fold(0, |bits, role| bits | role.0));
                let action = SetKey { key, roles, amount_max: limit, proof };
                let sent = session.send(&account, vec![action.into()]).await?;
                session.tell_sent(&sent, json!({ "key": key }), &format!("set {key}"));
                Ok(())
            }
            Verb::Key(KeyVerb::Remove { public_key }) => {
                let key = session.find_public_key(&public_key)?;
                let sent = session.act(RemoveKey { key }).await?;
                session.tell_sent(&sent, json!({ "key": key }), &format!("removed {key}"));
                Ok(())
            }
        }
    }
}

impl Accredit {
    async fn run(self, session: &Session) -> Outcome {
        let account = session.account().await?;
        // For anybody but an office the ledger refuses it.
        let organisation = match session.principal(&account).await? {
            Some(Principal::Office(member, _)) => Some(organisation_id(member, &self.register_number)),
            _ => None,
        };
        let principal = organisation.map(Principal::Organisation);
        let (key, proof) = session.find_new_key(&account, &self.admin_key, self.proof, principal).await?;
        let now = session.clock(&account.client).await?.now;
        let action = AccreditOrganisation {
            register_number: self.register_number.clone(),
            owner: self.owner,
            name: self.name,
            class: self.class,
            accredited_until: self.until.from(now),
            key,
            proof,
        };
        let sent = session.send(&account, vec![action.into()]).await?;
        let text = organisation.map_or_else(String::new, |id| format!("accredited {id}"));
        session.tell_office(&account.client, &sent, json!({ "organisation": organisation }), &text).await
    }
}

async fn list(session: &Session, home: Option<MemberCode>) -> Outcome {
    let filter = OrganisationFilter { home, ..OrganisationFilter::default() };
    let organisations = session.reader().await?.organisations_shown(&filter).await?;
    session.printer.data(&organisations, || {
        let rows = organisations.iter().map(|one| match one {
            Shown::Whole(OrganisationInfo { id, row }) => [
                short(id),
                row.name.to_string(),
                row.home.to_string(),
                word_text(&row.class),
                word_text(&row.standing),
                row.accredited_until.to_string(),
            ],
            Shown::Public(one) => [
                short(&one.id),
                String::new(),
                one.home.to_string(),
                word_text(&one.class),
                word_text(&one.standing),
                String::new(),
            ],
        });
        session.printer.table(["ORGANISATION", "NAME", "HOME", "CLASS", "STANDING", "UNTIL"], rows)
    });
    Ok(())
}
