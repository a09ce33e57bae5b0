//! What the stages of the demo share.

use crate::error::{TestnetError, api_error};
use crate::federation::Federation;
use crate::layout::{Layout, ProviderRecord, UserRecord};
use futures::StreamExt as _;
use hansa_ledger::id::{LeaseId, OrganisationId, RequestId};
use hansa_ledger::member::MemberCode;
use hansa_ledger::row::{AccountId, Lease, Settlement};
use hansa_node_api::client::EventStream;
use hansa_node_api::event::EventInfo;
use hansa_node_api::filter::EventFilter;
use hansa_node_api::job::{Manifest, OutputManifest};
use hansa_node_api::{Account, EventCursor, EventMessage};
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// Who acts, and where.
#[derive(Clone, Debug)]
pub(super) struct Story {
    pub federation: Federation,
    pub layout: Layout,
    /// The start-up.
    pub user: UserRecord,
    /// Its key, at the node of its home.
    pub account: Account,
}

/// What stage 3 leaves behind.
#[derive(Clone, Debug)]
pub(super) struct Bid {
    pub request: RequestId,
    pub manifest: Manifest,
    pub placed_at: Instant,
    /// Just before the bid.
    pub since: EventCursor,
}

/// What stage 4 leaves behind.
pub(super) struct Work {
    pub lease: LeaseId,
    pub provider: ProviderRecord,
    pub outputs: OutputManifest,
    /// The outputs, by path.
    pub files: Vec<(String, Vec<u8>)>,
    /// What happens to the start-up from here on.
    pub events: Events,
}

/// What stage 5 leaves behind.
#[derive(Clone, Debug)]
pub(super) struct Settled {
    pub row: Lease,
    pub settlement: Settlement,
}

impl Story {
    /// The name of an organisation of this testnet, for people.
    pub fn name_of(&self, id: &OrganisationId) -> String {
        let state = self.federation.state();
        let providers = state.providers.iter().map(|one| (one.organisation, &one.name, one.capacity.country));
        let users = state.users.iter().map(|one| (one.organisation, &one.name, one.home));
        match providers.chain(users).find(|(organisation, ..)| organisation == id) {
            Some((_, name, home)) => format!("{name} ({home})"),
            None => super::bid::short(id),
        }
    }

    /// An account, for people.
    pub fn account_text(&self, account: &AccountId) -> String {
        match account {
            AccountId::Cash(organisation) => format!("cash of {}", self.name_of(organisation)),
            AccountId::Grant(_) => {
                let reference = self.user.grant.as_ref().map(|grant| grant.reference.to_string());
                format!("grant {}", reference.unwrap_or_default())
            }
            AccountId::Line(member, line) => format!("budget line {line} of {member}"),
            AccountId::Escrow(..) => "escrow of the lease".to_owned(),
            AccountId::Deposit(code) => format!("deposit of contract {code}"),
            AccountId::Fees => format!("fees of {}", MemberCode::EU),
            AccountId::Stake(_) => "stake of the provider".to_owned(),
            AccountId::Bond(_) => "bond of the dispute".to_owned(),
        }
    }

    /// What happens to the start-up, from after `since` on.
    pub fn events(&self, since: EventCursor) -> Events {
        let filter = EventFilter { organisation: Some(self.user.organisation), ..EventFilter::default() };
        Events { stream: self.account.client.events(filter, Some(since)) }
    }
}

/// The stream of what happens to the start-up.
pub(super) struct Events {
    stream: EventStream,
}

impl Events {
    /// Waits for the event that `pick` finds something in.
    pub async fn wait<T>(
        &mut self,
        what: &str,
        time: Duration,
        mut pick: impl FnMut(&EventInfo) -> Option<T>,
    ) -> Result<T, TestnetError> {
        let until = Instant::now() + time;
        loop {
            match timeout_at(until, self.stream.next()).await {
                Err(_) => {
                    return Err(TestnetError::Missed(format!(
                        "{what} did not come within {} s",
                        time.as_secs()
                    )));
                }
                Ok(Some(Ok(EventMessage::Event(info)))) => {
                    if let Some(found) = pick(&info) {
                        return Ok(found);
                    }
                }
                Ok(Some(Ok(_))) => {}
                Ok(Some(Err(error))) if error.is_transient() => {}
                Ok(Some(Err(error))) => return Err(api_error("the stream of events broke")(error)),
                Ok(None) => {
                    return Err(TestnetError::Missed(format!("the stream of events ended before {what}")));
                }
            }
        }
    }
}
