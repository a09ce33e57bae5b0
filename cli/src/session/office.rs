//! What offices sign: an office that acts by several keys turns it into an order.

use super::{Sent, Session};
use crate::error::Outcome;
use hansa_ledger::event::Event;
use hansa_ledger::id::{ChainId, OrderId};
use hansa_ledger::member::MemberCode;
use hansa_ledger::possession::Possession;
use hansa_ledger::row::{Office, Principal};
use hansa_ledger_signature::{PublicKey, SecretKey, Signature};
use hansa_node_api::filter::OrderFilter;
use hansa_node_api::office::OrderInfo;
use hansa_node_api::{Account, Client, Fault};
use serde_json::{Value, json};

impl Sent {
    /// The order that it placed, if what was signed takes more keys.
    #[must_use]
    pub fn order(&self) -> Option<(OrderId, MemberCode, Office)> {
        self.done.receipt.events.iter().find_map(|event| match event {
            Event::OrderPlaced { order, member, office, .. } => Some((*order, *member, *office)),
            _ => None,
        })
    }
}

impl Session {
    /// Tells what an office did, or that it awaits more keys of it. `made` is an object for programs and gets a field `order`,
    /// null where one key sufficed; `text` is what was done, for people.
    ///
    /// # Errors
    /// When the node cannot be asked how many keys are missing.
    pub async fn tell_office(&self, client: &Client, sent: &Sent, mut made: Value, text: &str) -> Outcome {
        let placed = match sent.order() {
            Some((order, member, office)) => {
                let filter =
                    OrderFilter { member: Some(member), office: Some(office), ..OrderFilter::default() };
                client.orders(&filter).await?.into_iter().find(|one| one.id == order)
            }
            None => None,
        };
        if let Value::Object(fields) = &mut made {
            fields.insert("order".to_owned(), json!(placed));
        }
        match (&placed, sent.order()) {
            (Some(order), _) => {
                let text = format!("{}\nwhen it is done: {text}", awaits(order));
                self.tell_sent(sent, made, &text);
                self.printer.note(&format!("another key of the office: `hansa office approve {}`", order.id));
            }
            // It was placed, and is not open any more: somebody was quick.
            (None, Some((order, ..))) => self.tell_sent(sent, made, &format!("order {order} is closed")),
            (None, None) => self.tell_sent(sent, made, text),
        }
        Ok(())
    }

    /// A key that is about to be registered for `principal`: its public half, and its holder's word where one is needed. That
    /// is `proof` where it was handed over; where this user holds the key, it is made here; a key that is registered already
    /// needs none.
    ///
    /// # Errors
    /// When there is no key of that name, it cannot be opened, or the node cannot be asked.
    pub async fn find_new_key(
        &self,
        account: &Account,
        text: &str,
        proof: Option<Signature>,
        principal: Option<Principal>,
    ) -> Outcome<(PublicKey, Option<Possession>)> {
        let key = self.find_public_key(text)?;
        let Some(principal) = principal else { return Ok((key, None)) };
        if let Some(signature) = proof {
            return Ok((key, Some(Possession { principal, signature })));
        }
        match account.client.key(&key).await {
            Ok(_) => return Ok((key, None)),
            Err(error) if matches!(error.fault(), Some(Fault::NotFound | Fault::ReadForbidden)) => {}
            Err(error) => return Err(error.into()),
        }
        let secret = self.own_secret(text, &key)?;
        Ok((key, secret.map(|secret| Possession::prove(account.chain, &secret, principal))))
    }

    /// The secret half of a key, if it is one of this user's.
    fn own_secret(&self, text: &str, key: &PublicKey) -> Outcome<Option<SecretKey>> {
        let stored = match text.parse::<PublicKey>() {
            Err(_) => Some(self.keystore().find(text)?),
            Ok(_) => self.keystore().list()?.into_iter().find(|one| one.file.public_key == *key),
        };
        stored.map(|stored| stored.unlock(|| self.passphrase(&stored.name))).transpose()
    }

    /// Who the chosen account's key acts for; none for a key that nobody registered.
    ///
    /// # Errors
    /// When the node cannot be asked.
    pub async fn principal(&self, account: &Account) -> Outcome<Option<Principal>> {
        match account.client.key(&account.public_key()).await {
            Ok(info) => Ok(Some(info.row.principal)),
            Err(error) if matches!(error.fault(), Some(Fault::NotFound | Fault::ReadForbidden)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The federation's id: what was given, else what the chosen node says.
    ///
    /// # Errors
    /// When the node cannot be asked.
    pub async fn chain(&self, given: Option<ChainId>) -> Outcome<ChainId> {
        match given {
            Some(chain) => Ok(chain),
            None => Ok(self.client()?.status().await?.chain),
        }
    }
}

/// How many approvals an order awaits, for people.
#[must_use]
pub fn awaits(order: &OrderInfo) -> String {
    let (id, office, member) = (order.id, order.row.office, order.row.member);
    let missing = match order.missing() {
        1 => "1 more approval".to_owned(),
        more => format!("{more} more approvals"),
    };
    format!("order {id} awaits {missing} of the {office} of {member} until {}", order.row.due)
}
