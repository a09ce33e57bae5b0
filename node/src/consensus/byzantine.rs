//! A member that lies, for tests of the others. Compiled only with the feature `byzantine`, which no release has.
//!
//! How it lies stands in `byzantine.toml` beside the engine's log, in the form of the engine's own configuration; without that file
//! the node is honest. What leaves the node is changed behind its own consensus (votes and proposals doubled or dropped), and what
//! it votes is changed before it signs (locks ignored, precommits for nothing).

use super::codec::LedgerCodec;
use super::context::{Address, BlockId, Height, LedgerContext, Proposal, Vote};
use super::engine::{ConsensusConfig, StartError};
use super::signing::{signed_proposal_bytes, signed_vote_bytes};
use crate::config::is_loopback;
use crate::consensus::application::Id;
use hansa_ledger_signature::SecretKey;
use malachitebft_app_channel::{ByzantineContext, NetworkIdentity};
use malachitebft_core_types::{NilOrVal, Round, SignedMessage, ValidatorProof, VoteExtensionScope};
use malachitebft_engine_byzantine::{Amnesia, ByzantineConfig};
use malachitebft_signing::{Error, Signer};
use std::sync::OnceLock;

/// The file that makes a node lie.
const FILE: &str = "byzantine.toml";

/// How the node of this process lies; the engine's context has no place for it.
static LIES: OnceLock<Lies> = OnceLock::new();

struct Lies {
    precommits_for_nothing: bool,
    amnesia: Amnesia<LedgerContext>,
}

/// Reads how this node is to lie, and prepares for it.
///
/// # Errors
/// When the file cannot be used, or others than this machine could be lied to.
pub(super) fn read(config: &ConsensusConfig) -> Result<Option<ByzantineConfig>, StartError> {
    let path = config.wal_path.with_file_name(FILE);
    let text = match std::fs::read_to_string(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        read => read.map_err(|error| StartError::Engine(format!("`{}`: {error}", path.display())))?,
    };
    let mut addresses = config.peers.iter().map(|peer| &peer.address).chain([&config.listen_address]);
    if !addresses.all(is_loopback) {
        return Err(StartError::Engine(format!(
            "`{}` makes this node lie, which is for tests on one machine: remove it",
            path.display()
        )));
    }
    let lies: ByzantineConfig = toml::from_str(&text)
        .map_err(|error| StartError::Engine(format!("`{}`: {error}", path.display())))?;
    tracing::warn!(?lies, "this node lies, as `byzantine.toml` says");
    let amnesia = Amnesia::new(lies.ignore_locks.clone(), lies.seed);
    let precommits_for_nothing = lies.force_precommit_nil.is_set();
    let _ = LIES.set(Lies { precommits_for_nothing, amnesia });
    Ok(Some(lies))
}

/// Remembers a proposal, to vote for whatever was locked.
pub(super) fn saw_proposal(height: Height, round: Round, id: BlockId) {
    if let Some(lies) = LIES.get() {
        lies.amnesia.record_proposed_value(height, round, id);
    }
}

/// What a lying member prevotes instead.
pub(super) fn prevote(height: Height, round: Round, value: NilOrVal<BlockId>) -> NilOrVal<BlockId> {
    match (&value, LIES.get()) {
        (NilOrVal::Nil, Some(lies)) => {
            lies.amnesia.try_override_nil_prevote(height, round).map_or(value, NilOrVal::Val)
        }
        _ => value,
    }
}

/// What a lying member precommits instead.
pub(super) fn precommit(value: NilOrVal<BlockId>) -> NilOrVal<BlockId> {
    match LIES.get() {
        Some(lies) if lies.precommits_for_nothing => NilOrVal::Nil,
        _ => value,
    }
}

/// The network of a lying node: it says other things to others than the engine does.
pub(super) fn network(
    config: &ConsensusConfig,
    lies: ByzantineConfig,
    identity: NetworkIdentity,
    codec: LedgerCodec,
) -> ByzantineContext<LedgerContext, LedgerCodec> {
    let signer = FreeSigner { chain_id: config.chain_id, secret: config.validator_key.clone() };
    ByzantineContext {
        identity,
        codec,
        config: lies,
        address: Address(config.validator_key.public_key()),
        signer: Box::new(signer),
        conflicting_value_fn: Some(Box::new(another)),
        conflicting_vote_value_fn: None,
    }
}

/// Another block than this one.
fn another(id: &BlockId) -> BlockId {
    let mut other = *id;
    other.0[31] ^= 1;
    other
}

/// Signs anything, whatever was signed before.
struct FreeSigner {
    chain_id: Id,
    secret: SecretKey,
}

#[async_trait::async_trait]
impl Signer<LedgerContext> for FreeSigner {
    async fn sign_vote(&self, vote: Vote) -> Result<SignedMessage<LedgerContext, Vote>, Error> {
        let signature = self.secret.sign(&signed_vote_bytes(&self.chain_id, &vote));
        Ok(SignedMessage::new(vote, signature))
    }

    async fn sign_proposal(
        &self,
        proposal: Proposal,
    ) -> Result<SignedMessage<LedgerContext, Proposal>, Error> {
        let signature = self.secret.sign(&signed_proposal_bytes(&self.chain_id, &proposal));
        Ok(SignedMessage::new(proposal, signature))
    }

    async fn sign_vote_extension(
        &self,
        _: VoteExtensionScope<LedgerContext>,
        (): (),
    ) -> Result<SignedMessage<LedgerContext, ()>, Error> {
        Err(Error::from_source("vote extensions are disabled"))
    }

    async fn sign_validator_proof(
        &self,
        public_key: Vec<u8>,
        peer_id: Vec<u8>,
    ) -> Result<ValidatorProof<LedgerContext>, Error> {
        let bytes = ValidatorProof::<LedgerContext>::signing_bytes(&public_key, &peer_id);
        Ok(ValidatorProof::new(public_key, peer_id, self.secret.sign(&bytes)))
    }
}
