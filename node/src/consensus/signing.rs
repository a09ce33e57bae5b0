//! Sign and check what members say to each other, by the one rule of `hansa_ledger_signature`.

use super::application::Id;
use super::certificate::{
    Certificate, CertificateError, ValidatorInfo, VoteKind, precommit_bytes, verify_certificate_with,
    vote_bytes,
};
use super::context::{LedgerContext, Proposal, Vote};
use super::last_signed::{LastSigned, Statement, Withheld};
use super::limits::VERIFIED_SIGNATURES_MAX;
use hansa_ledger_signature::{Cache, PublicKey, SecretKey, Signature, Signed};
use malachitebft_core_types::{
    NilOrVal, Round, SignedMessage, SigningScheme as _, ValidatorProof, VoteExtensionScope, VoteType,
};
use malachitebft_signing::{Error, Signer, VerificationResult, Verifier};
use std::sync::{Arc, Mutex, PoisonError};

const PROPOSAL_DOMAIN: &[u8] = b"hansa/proposal/v1";
const PARTS_DOMAIN: &[u8] = b"hansa/parts/v1";

/// Stands where a signature was not given. It holds under no key that a member can have; the codec refuses to send it, and the
/// engine drops what carries it before it counts or logs it. An error instead would end the engine, and a member that may not vote
/// yet has to follow the others.
pub const WITHHELD: Signature = Signature([0; 64]);

/// The bytes under a vote's signature.
#[must_use]
pub fn signed_vote_bytes(chain_id: &Id, vote: &Vote) -> Vec<u8> {
    let kind = match vote.kind {
        VoteType::Prevote => VoteKind::Prevote,
        VoteType::Precommit => VoteKind::Precommit,
    };
    let id = match &vote.value {
        NilOrVal::Nil => None,
        NilOrVal::Val(id) => Some(&id.0),
    };
    vote_bytes(chain_id, kind, vote.height.0, vote.round.as_i64(), id)
}

/// The bytes under a proposal's signature: domain, chain id, height, round, earlier round (-1 for none), block id.
#[must_use]
pub fn signed_proposal_bytes(chain_id: &Id, proposal: &Proposal) -> Vec<u8> {
    proposal_bytes(
        PROPOSAL_DOMAIN,
        chain_id,
        proposal.height.0,
        proposal.round,
        proposal.pol_round,
        &proposal.value.0,
    )
}

/// The bytes under the signature that closes a stream of parts. The proposer binds the body to its turn.
#[must_use]
pub fn parts_bytes(chain_id: &Id, height: u64, round: Round, pol_round: Round, id: &Id) -> Vec<u8> {
    proposal_bytes(PARTS_DOMAIN, chain_id, height, round, pol_round, id)
}

fn proposal_bytes(
    domain: &[u8],
    chain_id: &Id,
    height: u64,
    round: Round,
    pol_round: Round,
    id: &Id,
) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(domain.len() + 32 + 8 + 8 + 8 + 32);
    bytes.extend_from_slice(domain);
    bytes.extend_from_slice(chain_id);
    bytes.extend_from_slice(&height.to_le_bytes());
    bytes.extend_from_slice(&round.as_i64().to_le_bytes());
    bytes.extend_from_slice(&pol_round.as_i64().to_le_bytes());
    bytes.extend_from_slice(id);
    bytes
}

struct Claim<'a> {
    signer: &'a PublicKey,
    bytes: &'a [u8],
    signature: &'a Signature,
}

impl Signed for Claim<'_> {
    fn signer(&self) -> PublicKey {
        *self.signer
    }

    fn signature(&self) -> Signature {
        *self.signature
    }

    fn signing_bytes(&self) -> Vec<u8> {
        self.bytes.to_vec()
    }
}

/// Checks signatures of members, each once: the engine, the pacing and the certificates ask the same memory.
#[derive(Clone, Debug)]
pub struct MemberVerifier {
    chain_id: Id,
    cache: Arc<Mutex<Cache>>,
}

impl MemberVerifier {
    /// A verifier for one chain.
    #[must_use]
    pub fn new(chain_id: Id) -> Self {
        Self { chain_id, cache: Arc::new(Mutex::new(Cache::new(VERIFIED_SIGNATURES_MAX))) }
    }

    /// What signatures are bound to.
    #[must_use]
    pub fn chain_id(&self) -> &Id {
        &self.chain_id
    }

    /// Whether `signature` by `signer` holds over `bytes`.
    #[must_use]
    pub fn holds(&self, signer: &PublicKey, bytes: &[u8], signature: &Signature) -> bool {
        // A panic elsewhere cannot leave the memory of verified signatures half written: entries are added whole.
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        cache.verify(Claim { signer, bytes, signature }).is_ok()
    }

    /// Whether a vote's signature holds under its voter's key.
    #[must_use]
    pub fn vote_holds(&self, vote: &Vote, signature: &Signature) -> bool {
        self.holds(&vote.voter.0, &signed_vote_bytes(&self.chain_id, vote), signature)
    }

    /// As [`super::certificate::verify_certificate`], with the signatures seen before not checked again.
    ///
    /// # Errors
    /// As [`super::certificate::verify_certificate`].
    pub fn verify_certificate(
        &self,
        validators: &[ValidatorInfo],
        certificate: &Certificate,
    ) -> Result<(), CertificateError> {
        let bytes = precommit_bytes(&self.chain_id, certificate.height, certificate.round, &certificate.id);
        verify_certificate_with(validators, certificate, |signer, signature| {
            self.holds(signer, &bytes, signature)
        })
    }
}

#[async_trait::async_trait]
impl Verifier<LedgerContext> for MemberVerifier {
    async fn verify_signed_vote(
        &self,
        vote: &Vote,
        signature: &Signature,
        key: &PublicKey,
    ) -> Result<VerificationResult, Error> {
        let bytes = signed_vote_bytes(&self.chain_id, vote);
        Ok(VerificationResult::from_bool(self.holds(key, &bytes, signature)))
    }

    async fn verify_signed_proposal(
        &self,
        proposal: &Proposal,
        signature: &Signature,
        key: &PublicKey,
    ) -> Result<VerificationResult, Error> {
        #[cfg(feature = "byzantine")]
        super::byzantine::saw_proposal(proposal.height, proposal.round, proposal.value);
        let bytes = signed_proposal_bytes(&self.chain_id, proposal);
        Ok(VerificationResult::from_bool(self.holds(key, &bytes, signature)))
    }

    async fn verify_signed_vote_extension(
        &self,
        _: &VoteExtensionScope<LedgerContext>,
        (): &(),
        _: &Signature,
        _: &PublicKey,
    ) -> Result<VerificationResult, Error> {
        // Extensions are disabled, so none is ever right.
        Ok(VerificationResult::Invalid)
    }

    async fn verify_validator_proof(
        &self,
        proof: &ValidatorProof<LedgerContext>,
    ) -> Result<VerificationResult, Error> {
        let Ok(key) = super::context::Ed25519::decode_public_key(&proof.public_key) else {
            return Ok(VerificationResult::Invalid);
        };
        Ok(VerificationResult::from_bool(self.holds(&key, &proof.preimage(), &proof.signature)))
    }
}

/// Signs with this member's validator key, and notes what before it does.
#[derive(Clone, Debug)]
pub struct MemberSigner {
    chain_id: Id,
    secret: SecretKey,
    last_signed: Arc<LastSigned>,
}

impl MemberSigner {
    /// A signer for one chain that never contradicts `last_signed`.
    #[must_use]
    pub fn new(chain_id: Id, secret: SecretKey, last_signed: Arc<LastSigned>) -> Self {
        Self { chain_id, secret, last_signed }
    }

    /// The key that others check with.
    #[must_use]
    pub fn public_key(&self) -> PublicKey {
        self.secret.public_key()
    }

    /// Whether this member says nothing in `height`, because it may have said something there that it does not know.
    #[must_use]
    pub fn withholds(&self, height: u64) -> bool {
        height < self.last_signed.vote_from()
    }

    /// Signs the closing of a stream of parts, or says nothing if another proposal or a vote of that round was signed before.
    #[must_use]
    pub fn sign_parts(&self, height: u64, round: Round, pol_round: Round, id: &Id) -> Option<Signature> {
        let statement = Statement::of_parts(height, round, pol_round, id);
        let signature = self.sign(statement, || parts_bytes(&self.chain_id, height, round, pol_round, id));
        (signature != WITHHELD).then_some(signature)
    }

    /// Binds the network key `peer_id` to this member's validator key. The proof is the same on every network; the chain's name
    /// in the protocol keeps networks apart.
    #[must_use]
    pub fn validator_proof(&self, peer_id: Vec<u8>) -> ValidatorProof<LedgerContext> {
        let key = self.public_key().0.to_vec();
        let bytes = ValidatorProof::<LedgerContext>::signing_bytes(&key, &peer_id);
        ValidatorProof::new(key, peer_id, self.secret.sign(&bytes))
    }

    /// The signature under a statement, once it is noted; [`WITHHELD`] if it may not be made. Signing is deterministic, so the same
    /// statement gives the same bytes again.
    fn sign(&self, statement: Statement, bytes: impl FnOnce() -> Vec<u8>) -> Signature {
        let Statement { height, round, step, .. } = statement;
        match self.last_signed.permit(statement) {
            Ok(()) => self.secret.sign(&bytes()),
            Err(reason @ Withheld::Below { .. }) => {
                tracing::info!(height, round, ?step, %reason, "this member says nothing");
                WITHHELD
            }
            Err(reason) => {
                tracing::error!(alarm = "signature_withheld", height, round, ?step, %reason, "this member says nothing");
                WITHHELD
            }
        }
    }
}

#[async_trait::async_trait]
impl Signer<LedgerContext> for MemberSigner {
    async fn sign_vote(&self, vote: Vote) -> Result<SignedMessage<LedgerContext, Vote>, Error> {
        let signature = self.sign(Statement::of_vote(&vote), || signed_vote_bytes(&self.chain_id, &vote));
        Ok(SignedMessage::new(vote, signature))
    }

    async fn sign_proposal(
        &self,
        proposal: Proposal,
    ) -> Result<SignedMessage<LedgerContext, Proposal>, Error> {
        let statement = Statement::of_proposal(&proposal);
        let signature = self.sign(statement, || signed_proposal_bytes(&self.chain_id, &proposal));
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
