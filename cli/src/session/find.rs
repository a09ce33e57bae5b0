//! Finding things by what people call them: an id, its beginning, a name, a reference.

use super::Session;
use crate::error::{Failure, Outcome};
use crate::units::PurseName;
use hansa_ledger::id::{CodeHash, GrantId, LeaseId, OfferId, OrganisationId, ProposalId, RequestId};
use hansa_ledger::name::Name;
use hansa_ledger::row::Purse;
use hansa_ledger_signature::PublicKey;
use hansa_node_api::filter::{
    GrantFilter, LeaseFilter, OfferFilter, OrderFilter, OrganisationFilter, ProposalFilter, RequestFilter,
};
use hansa_node_api::office::OrderInfo;
use hansa_node_api::view::ShownOrganisation;
use hansa_node_api::{Client, Shown};
use std::fmt::Display;

/// How many characters of an id are shown to people.
pub const IDS_SHOWN: usize = 12;

/// The fewest characters of an id that are taken for its beginning.
const ID_CHARACTERS_MIN: usize = 6;

/// An id as people see it in tables: its beginning, which every verb takes for the whole.
#[must_use]
pub fn short(id: &impl Display) -> String {
    let mut text = id.to_string();
    text.truncate(IDS_SHOWN);
    text
}

impl Session {
    /// An organisation by its id, the beginning of it, or its name where the reader may see it.
    ///
    /// # Errors
    /// When there is none or more than one.
    pub async fn find_organisation(&self, client: &Client, text: &str) -> Outcome<OrganisationId> {
        if let Ok(id) = text.parse() {
            return Ok(id);
        }
        let client = client.unproven(&stands_for("organisation", text));
        let all = client.organisations_shown(&OrganisationFilter::default()).await?;
        // Names are told of one's own organisation, and to members of all.
        let is_named =
            |one: &&ShownOrganisation| matches!(one, Shown::Whole(whole) if whole.row.name.as_str() == text);
        let id = |one: &ShownOrganisation| match one {
            Shown::Whole(whole) => whole.id,
            Shown::Public(public) => public.id,
        };
        let named: Vec<_> = all.iter().filter(is_named).map(id).collect();
        if let [only] = named.as_slice() {
            return Ok(*only);
        }
        only("organisation", text, "hansa org list", all.iter().map(id))
    }

    /// A lease by its id or the beginning of it.
    ///
    /// # Errors
    /// When there is none or more than one.
    pub async fn find_lease(&self, client: &Client, text: &str) -> Outcome<LeaseId> {
        if let Ok(id) = text.parse() {
            return Ok(id);
        }
        let client = client.unproven(&stands_for("lease", text));
        let all = client.leases_shown(&LeaseFilter::default()).await?;
        let ids = all.iter().map(|one| match one {
            Shown::Whole(whole) => whole.id,
            Shown::Public(public) => public.id,
        });
        only("lease", text, "hansa lease list", ids)
    }

    /// A request by its id or the beginning of it.
    ///
    /// # Errors
    /// When there is none or more than one.
    pub async fn find_request(&self, client: &Client, text: &str) -> Outcome<RequestId> {
        if let Ok(id) = text.parse() {
            return Ok(id);
        }
        let client = client.unproven(&stands_for("request", text));
        let all = client.requests(&RequestFilter::default()).await?;
        only("request", text, "hansa request list", all.into_iter().map(|one| one.id))
    }

    /// A proposal by its id or the beginning of it.
    ///
    /// # Errors
    /// When there is none or more than one.
    pub async fn find_proposal(&self, client: &Client, text: &str) -> Outcome<ProposalId> {
        if let Ok(id) = text.parse() {
            return Ok(id);
        }
        let client = client.unproven(&stands_for("proposal", text));
        let all = client.proposals(&ProposalFilter::default()).await?;
        only("proposal", text, "hansa governance list --all", all.into_iter().map(|one| one.id))
    }

    /// An offer by its id or the beginning of it.
    ///
    /// # Errors
    /// When there is none or more than one.
    pub async fn find_offer(&self, client: &Client, text: &str) -> Outcome<OfferId> {
        if let Ok(id) = text.parse() {
            return Ok(id);
        }
        let client = client.unproven(&stands_for("offer", text));
        let all = client.offers_shown(&OfferFilter::default()).await?;
        let ids = all.iter().map(|one| match one {
            Shown::Whole(whole) => whole.id,
            Shown::Public(public) => public.id,
        });
        only("offer", text, "hansa offer list", ids)
    }

    /// An order that awaits approval, by its id or the beginning of it.
    ///
    /// # Errors
    /// When there is none or more than one.
    pub async fn find_order(&self, client: &Client, text: &str) -> Outcome<OrderInfo> {
        let all = client.orders(&OrderFilter::default()).await?;
        let id = match text.parse() {
            Ok(id) => id,
            Err(_) => only("order", text, "hansa office orders", all.iter().map(|one| one.id))?,
        };
        let found = all.into_iter().find(|one| one.id == id);
        found.ok_or_else(|| hansa_ledger::rejection::Rejection::OrderUnknown.into())
    }

    /// A contract by the hash of its code, the beginning of it, an alias, or its name. An alias is what the members voted for,
    /// and goes before a name, which anybody may give to what it uploads.
    ///
    /// # Errors
    /// When there is none or more than one.
    pub async fn find_contract(&self, client: &Client, text: &str) -> Outcome<CodeHash> {
        if let Ok(hash) = text.parse() {
            return Ok(hash);
        }
        let client = client.unproven(&stands_for("contract", text));
        let all = client.contracts().await?;
        let aliased = all.iter().find(|one| one.aliases.iter().any(|alias| alias.as_str() == text));
        if let Some(aliased) = aliased {
            return Ok(aliased.hash);
        }
        let named: Vec<_> = all.iter().filter(|one| one.name.as_str() == text).map(|one| one.hash).collect();
        match named.as_slice() {
            [] => {}
            [only] => return Ok(*only),
            several => {
                return Err(Failure::refused(format!("{} contracts are called `{text}`", several.len()))
                    .hint("give the hash of one, or an alias: `hansa contract list`"));
            }
        }
        only("contract", text, "hansa contract list", all.into_iter().map(|one| one.hash))
    }

    /// A purse of an organisation by what people call it.
    ///
    /// # Errors
    /// When a reference names no grant of it.
    pub async fn find_purse(
        &self,
        client: &Client,
        holder: OrganisationId,
        name: &PurseName,
    ) -> Outcome<Purse> {
        match name {
            PurseName::Cash => Ok(Purse::Cash),
            PurseName::Grant(id) => Ok(Purse::Grant(*id)),
            PurseName::GrantReference(reference) => {
                Ok(Purse::Grant(self.find_grant(client, holder, reference).await?))
            }
        }
    }

    /// A public key: its 64 characters, or the name of a key of this user.
    ///
    /// # Errors
    /// When it is neither.
    pub fn find_public_key(&self, text: &str) -> Outcome<PublicKey> {
        match text.parse() {
            Ok(key) => Ok(key),
            Err(_) => Ok(self.keystore().find(text)?.file.public_key),
        }
    }

    async fn find_grant(
        &self,
        client: &Client,
        holder: OrganisationId,
        reference: &Name,
    ) -> Outcome<GrantId> {
        let filter = GrantFilter { holder: Some(holder), ..GrantFilter::default() };
        let grants = client.grants(&filter).await?;
        // Two members may use one reference; what is closed is nobody's to spend.
        let mut named: Vec<_> = grants.iter().filter(|one| one.row.reference == *reference).collect();
        if named.len() > 1 {
            named.retain(|one| !one.row.closed);
        }
        if let [only] = named.as_slice() {
            return Ok(only.id);
        }
        only("grant", reference.as_str(), "hansa account show", grants.into_iter().map(|one| one.id))
    }
}

/// What is the node's word where something is not named by its whole id.
fn stands_for(what: &str, text: &str) -> String {
    format!("which {what} `{text}` is; its whole id leaves no doubt")
}

/// The only id that begins like this.
fn only<T: Display>(what: &str, text: &str, list: &str, ids: impl Iterator<Item = T>) -> Outcome<T> {
    let beginning = text.to_ascii_lowercase();
    let sound =
        beginning.len() >= ID_CHARACTERS_MIN && beginning.bytes().all(|byte| byte.is_ascii_hexdigit());
    let mut found: Vec<T> = ids.filter(|id| sound && id.to_string().starts_with(&beginning)).collect();
    match (found.pop(), found.len()) {
        (Some(id), 0) => Ok(id),
        (None, _) => {
            Err(Failure::refused(format!("there is no {what} `{text}`")).hint(format!("list them: `{list}`")))
        }
        (Some(_), more) => Err(Failure::refused(format!("`{text}` is the beginning of {} ids", more + 1))
            .hint("give more characters of the id")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_beginning_of_an_id_stands_for_it_if_it_is_the_only_one() {
        let ids = || [LeaseId([0xab; 32]), LeaseId([0xac; 32]), LeaseId([0xac; 32])].into_iter();
        assert_eq!(only("lease", "ABABAB", "x", ids()), Ok(LeaseId([0xab; 32])));
        for (text, said) in [
            ("acacac", "is the beginning of 2 ids"),
            ("abab", "there is no lease `abab`"),
            ("abababx", "there is no lease"),
            ("cdcdcd", "there is no lease"),
        ] {
            let error = only("lease", text, "x", ids()).unwrap_err();
            assert!(error.message.contains(said), "{text}: {error}");
        }
        assert_eq!(short(&LeaseId([0xab; 32])), "abababababab");
    }
}
