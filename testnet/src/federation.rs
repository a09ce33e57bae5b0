//! A running federation as its users and offices see it: clients of the nodes, and the keys of the testnet.

use crate::error::{TestnetError, api_error};
use crate::keyfile;
use crate::layout::{Layout, State, UserRecord};
use hansa_ledger::block::Validator;
use hansa_ledger::genesis::Genesis;
use hansa_ledger::id::OrganisationId;
use hansa_ledger::member::MemberCode;
use hansa_ledger::possession::Possession;
use hansa_ledger::row::{Office, Principal};
use hansa_node_api::certificate::genesis_validators;
use hansa_node_api::{Account, Client};
use std::path::Path;
use std::sync::Arc;

/// The nodes of a testnet, and who may sign in it. Clones share connections.
#[derive(Clone, Debug)]
pub struct Federation {
    layout: Layout,
    state: State,
    genesis: Arc<Genesis>,
    clients: Vec<(MemberCode, Client)>,
}

impl Federation {
    /// The federation of a record. Nothing is asked yet.
    ///
    /// # Errors
    /// When the genesis cannot be read.
    pub fn open(layout: &Layout, state: &State) -> Result<Self, TestnetError> {
        let clients = state
            .members
            .iter()
            .map(|member| {
                let url = crate::layout::api_address(member.ports);
                let client = Client::new(&url).map_err(api_error(format!("the node of {}", member.code)))?;
                // Whoever may not read the keys of the testnet sees what the public sees.
                let keys = layout.office_keys(member.code, Office::Registrar);
                let registrar = keys.first().map(|key| keyfile::read(key));
                let client = match registrar {
                    Some(Ok(key)) => client.with_reader(key, state.chain),
                    _ => client,
                };
                Ok((member.code, client))
            })
            .collect::<Result<_, TestnetError>>()?;
        Ok(Self {
            layout: layout.clone(),
            state: state.clone(),
            genesis: Arc::new(layout.read_genesis()?),
            clients,
        })
    }

    /// The record it was opened with.
    #[must_use]
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The genesis, which this machine made and so can trust.
    #[must_use]
    pub fn genesis(&self) -> &Genesis {
        &self.genesis
    }

    /// The members with a vote.
    #[must_use]
    pub fn validators(&self) -> Vec<Validator> {
        genesis_validators(&self.genesis)
    }

    /// Every member's node. Each is asked as the member's registrar, who sees all.
    #[must_use]
    pub fn clients(&self) -> &[(MemberCode, Client)] {
        &self.clients
    }

    /// The node of a member, asked as its registrar.
    ///
    /// # Errors
    /// When the code is that of no member.
    pub fn client(&self, code: MemberCode) -> Result<&Client, TestnetError> {
        let found = self.clients.iter().find(|(member, _)| *member == code).map(|(_, client)| client);
        found.ok_or_else(|| TestnetError::Refused(format!("{code} is no member of this testnet")))
    }

    /// As many keys of a member's office as it takes for it to act, at its own node.
    ///
    /// # Errors
    /// When the code is that of no member, or a key cannot be read.
    pub fn office(&self, code: MemberCode, office: Office) -> Result<Vec<Account>, TestnetError> {
        let member = self.genesis.members.iter().find(|member| member.code == code);
        let threshold = member
            .and_then(|member| member.offices().into_iter().find(|(which, _)| *which == office))
            .map_or(1, |(_, row)| row.threshold as usize);
        let client = self.client(code)?;
        let account = |path: std::path::PathBuf| {
            Ok(Account::new(keyfile::read(&path)?, self.state.chain, client.clone()))
        };
        self.layout.office_keys(code, office).into_iter().take(threshold).map(account).collect()
    }

    /// The word of a user's or provider's key that it acts for its organisation.
    ///
    /// # Errors
    /// When the key cannot be read.
    pub fn proof(&self, key_file: &Path, organisation: OrganisationId) -> Result<Possession, TestnetError> {
        let key = keyfile::read(key_file)?;
        Ok(Possession::prove(self.state.chain, &key, Principal::Organisation(organisation)))
    }

    /// The paths of the testnet.
    #[must_use]
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// A user, at the node of its home.
    ///
    /// # Errors
    /// When its key cannot be read.
    pub fn user(&self, user: &UserRecord) -> Result<Account, TestnetError> {
        let key = keyfile::read(&self.layout.user_key(&user.name))?;
        Ok(Account::new(key, self.state.chain, self.client(user.home)?.clone()))
    }
}
