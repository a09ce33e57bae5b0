//! A light client: what it believes of a federation, and how it comes to believe more.
//!
//! It begins with something that its user trusts, a genesis or one block, and follows the members from there. A row counts when
//! its path leads to the state root of a block that more than two thirds of the believed members signed, and when that block is
//! not old. What was verified is remembered, so that nobody can lead it back to members of the past or to another history.

mod distrust;
#[cfg(test)]
mod tests;

pub use distrust::{Distrust, Doubt};

use crate::certificate::{self, Certificate, CertificateError, Handover, genesis_validators};
use crate::error::ApiError;
use crate::proof::ProofInfo;
use crate::status::NodeStatus;
use hansa_ledger::block::{Header, Validator, members_hash};
use hansa_ledger::genesis::Genesis;
use hansa_ledger::id::{BlockId, ChainId};
use hansa_ledger::root;
use hansa_ledger::time::TimeMs;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use utoipa::ToSchema;

/// How old a block may be beyond two heartbeats, in milliseconds.
const AGE_MS_MAX: u64 = 60_000;

/// How far a block may be ahead of this machine's clock, in milliseconds.
const AHEAD_MS_MAX: u64 = 60_000;

/// How many verified headers are remembered, the newest ones.
const HEADERS_MAX: usize = 16;

/// The form in which memories are kept.
const MEMORY_VERSION: u32 = 1;

/// What the user trusts to begin with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Anchor {
    /// The members that a genesis names.
    Genesis(Box<Genesis>),
    /// One block, by its height and the hash of its header.
    Block {
        /// Height.
        height: u64,
        /// Hash of the header.
        id: BlockId,
    },
}

impl Anchor {
    /// What tells this trust from others, as part of a file's name.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Genesis(genesis) => genesis.chain_id().to_string(),
            Self::Block { height, id } => format!("{height}-{id}"),
        }
    }
}

/// A header with the certificate that proves it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SignedHeader {
    /// The hash of the header.
    #[schema(value_type = String)]
    pub id: BlockId,
    /// The header.
    #[schema(value_type = Object)]
    pub header: Header,
    /// The certificate: borsh, in hexadecimal.
    #[serde(with = "hansa_ledger::bytes")]
    #[schema(value_type = String)]
    pub certificate: Vec<u8>,
}

/// A set of members, and from which height on it is believed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Believed {
    /// The height.
    pub height: u64,
    /// The set, by code.
    pub validators: Vec<Validator>,
}

/// What is believed of a federation, to be kept from run to run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// The form of this record.
    pub version: u32,
    /// The federation.
    pub chain: ChainId,
    /// What was trusted to begin with.
    pub anchor: Believed,
    /// The members that signed the newest verified block.
    pub newest: Believed,
    /// Block time of it.
    pub time: TimeMs,
    /// How often an idle federation makes a block, in milliseconds.
    pub heartbeat_ms: u64,
    /// The newest verified headers, rising by height.
    pub headers: Vec<SignedHeader>,
}

/// Two blocks that members signed and that cannot both be of one history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForkEvidence {
    /// The one that was verified first.
    pub known: SignedHeader,
    /// The other.
    pub other: SignedHeader,
}

/// How far the answers of a run are proven.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verification {
    /// Whether everything that was told is proven.
    pub complete: bool,
    /// Rows, or absences of rows, that were proven.
    pub rows: u64,
    /// The lowest height that something was proven at: the height of the answer.
    pub height: u64,
    /// The highest one, where rows came from several blocks.
    pub height_newest: u64,
    /// Block time of the lowest height.
    pub time: TimeMs,
    /// Members that signed that block.
    pub signed: usize,
    /// Members with a vote on it.
    pub members: usize,
    /// What is the node's word only.
    pub not_provable: BTreeSet<String>,
}

/// A block that was verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signed {
    /// Members that signed it.
    pub signed: usize,
    /// Members with a vote on it.
    pub members: usize,
}

/// A light client of one federation.
#[derive(Debug)]
pub struct Light {
    anchor: Anchor,
    age_ms_max: Option<u64>,
    clock: fn() -> TimeMs,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    memory: Option<Memory>,
    /// Nodes whose history was compared with what is remembered.
    met: BTreeSet<String>,
    forks: Vec<ForkEvidence>,
    told: Verification,
}

impl Light {
    /// A light client that trusts `anchor` and goes on from `memory`, where one of this trust was kept. Rows count of blocks that
    /// are at most `age_ms_max` old by `clock`; two heartbeats of the federation and a minute if that is not said.
    #[must_use]
    pub fn new(
        anchor: Anchor,
        memory: Option<Memory>,
        age_ms_max: Option<u64>,
        clock: fn() -> TimeMs,
    ) -> Self {
        let known = |memory: &Memory| match &anchor {
            Anchor::Genesis(genesis) => genesis.chain_id() == memory.chain,
            Anchor::Block { height, .. } => *height == memory.anchor.height,
        };
        let kept = memory.filter(|memory| memory.version == MEMORY_VERSION && known(memory));
        let memory = kept.or_else(|| match &anchor {
            Anchor::Genesis(genesis) => Some(beginning(genesis, 0, genesis_validators(genesis))),
            Anchor::Block { .. } => None,
        });
        let inner = Inner { memory, ..Inner::default() };
        Self { anchor, age_ms_max, clock, inner: Mutex::new(inner) }
    }

    /// What is trusted.
    #[must_use]
    pub fn anchor(&self) -> &Anchor {
        &self.anchor
    }

    /// What is believed by now; none before a trusted block was seen.
    #[must_use]
    pub fn memory(&self) -> Option<Memory> {
        self.inner().memory.clone()
    }

    /// How far what was told is proven.
    #[must_use]
    pub fn verification(&self) -> Verification {
        let mut told = self.inner().told.clone();
        told.complete = told.rows > 0 && told.not_provable.is_empty();
        told
    }

    /// Forks that were seen in this run.
    #[must_use]
    pub fn forks(&self) -> Vec<ForkEvidence> {
        self.inner().forks.clone()
    }

    /// Notes that something told is the node's word only.
    pub fn note_unproven(&self, what: &str) {
        self.inner().told.not_provable.insert(what.to_owned());
    }

    /// Whether a node's history was compared with what is remembered.
    pub(crate) fn has_met(&self, node: &str) -> bool {
        self.inner().met.contains(node)
    }

    /// Notes that it was.
    pub(crate) fn note_met(&self, node: &str) {
        self.inner().met.insert(node.to_owned());
    }

    /// The height of a remembered header that a node is asked for when it is met, and its hash.
    pub(crate) fn remembered(&self) -> Option<(u64, BlockId)> {
        let inner = self.inner();
        let last = inner.memory.as_ref()?.headers.last()?;
        Some((last.header.height, last.id))
    }

    /// A status, if it is of the trusted federation.
    pub(crate) fn same_federation(&self, status: NodeStatus) -> Result<NodeStatus, ApiError> {
        match self.inner().memory.as_ref().is_none_or(|memory| memory.chain == status.chain) {
            true => Ok(status),
            false => Err(Doubt::from(Distrust::OtherFederation).into()),
        }
    }

    /// Checks that a genesis is that of the trusted federation: its id is its hash.
    pub(crate) fn check_genesis(&self, genesis: &Genesis) -> Result<(), ApiError> {
        match self.inner().memory.as_ref().is_none_or(|memory| memory.chain == genesis.chain_id()) {
            true => Ok(()),
            false => Err(Doubt::from(Distrust::OtherFederation).into()),
        }
    }

    /// Begins at a trusted block: `block` as a node shows its header, with the federation's genesis and its sets of members.
    ///
    /// # Errors
    /// When it is not the trusted block, or the members that sign it cannot be told.
    pub fn begin(
        &self,
        block: &SignedHeader,
        genesis: &Genesis,
        handovers: &[Handover],
    ) -> Result<(), Doubt> {
        let Anchor::Block { height, id } = &self.anchor else { return Ok(()) };
        let header = &block.header;
        if header.height != *height || header.id() != *id {
            let found = format!("at height {height} it shows block {}", header.id());
            return Err(Doubt::new(Distrust::TrustedBlock, found));
        }
        // The header names the federation and the set that signs it by their hashes, so neither can be invented.
        if genesis.chain_id() != header.chain {
            return Err(Doubt::new(
                Distrust::OtherFederation,
                "its genesis is not that of the trusted block",
            ));
        }
        let sets = handovers.iter().map(|one| one.validators.clone());
        let set = std::iter::once(genesis_validators(genesis))
            .chain(sets)
            .find(|set| members_hash(set) == header.members_hash)
            .ok_or_else(|| {
                Doubt::new(Distrust::MembersUnknown, "the node does not show the set that signed it")
            })?;
        certificate::verify(header, &block.certificate, &set).map_err(doubt_of)?;
        let mut memory = beginning(genesis, *height, set);
        memory.time = header.time;
        memory.headers.push(signed(header, &block.certificate));
        self.inner().memory = Some(memory);
        Ok(())
    }

    /// Compares the block that a node shows at a remembered height with the remembered one.
    ///
    /// # Errors
    /// [`Distrust::Fork`] where members signed both, else [`Distrust::Contradiction`].
    pub fn compare(&self, id: &BlockId, block: &SignedHeader, handovers: &[Handover]) -> Result<(), Doubt> {
        if block.header.id() == *id {
            return Ok(());
        }
        match self.check_block(&block.header, &block.certificate, handovers, false) {
            Err(doubt) if matches!(doubt.reason, Distrust::Fork | Distrust::OtherFederation) => Err(doubt),
            _ => {
                let found = format!("it shows another block at height {}", block.header.height);
                Err(Doubt::new(Distrust::Contradiction, found))
            }
        }
    }

    /// Checks a row, or its absence, and remembers the block. `key` is borsh.
    ///
    /// # Errors
    /// What the proof fails to show.
    pub fn check_row(&self, table: u8, key: &[u8], proof: &ProofInfo) -> Result<(), Doubt> {
        if proof.table_id != table || proof.key != key {
            return Err(Distrust::OtherRow.into());
        }
        let signed = self.check_block(&proof.header, &proof.certificate, &proof.handovers, true)?;
        let value = proof.row.as_deref().map(root::value_hash);
        root::verify(&proof.header.state_root, &root::key_hash(table, key), value.as_ref(), &proof.proof)
            .map_err(|error| Doubt::new(Distrust::ProofWrong, error))?;
        self.inner().told.count(&proof.header, signed);
        Ok(())
    }

    /// Checks that the believed members, or members that followed them, signed the block of this header, and remembers it. A
    /// `fresh` one must not be old either; one of the past is checked from the anchor on.
    ///
    /// # Errors
    /// Which condition fails.
    pub fn check_block(
        &self,
        header: &Header,
        certificate: &[u8],
        handovers: &[Handover],
        fresh: bool,
    ) -> Result<Signed, Doubt> {
        let inner = &mut *self.inner();
        let Some(memory) = inner.memory.as_mut() else {
            return Err(Doubt::new(Distrust::TrustedBlock, "it has not been asked for yet"));
        };
        if header.chain != memory.chain {
            return Err(Distrust::OtherFederation.into());
        }
        let signers = memory.signers(header, handovers, fresh)?;
        certificate::verify(header, certificate, &signers).map_err(doubt_of)?;
        let shown = signed(header, certificate);
        if let Some(known) = memory.conflict(&shown) {
            let found = format!("blocks {} and {} at height {}", known.id, shown.id, header.height);
            let evidence = ForkEvidence { known, other: shown };
            inner.forks.push(evidence);
            return Err(Doubt::new(Distrust::Fork, found));
        }
        if fresh {
            self.check_age(memory, header)?;
            memory.remember(shown, &signers);
        }
        let signed = borsh::from_slice::<Certificate>(certificate).map_or(0, |one| one.signatures.len());
        Ok(Signed { signed, members: signers.len() })
    }

    fn check_age(&self, memory: &Memory, header: &Header) -> Result<(), Doubt> {
        let usual = memory.heartbeat_ms.saturating_mul(2).saturating_add(AGE_MS_MAX);
        let age_max = self.age_ms_max.unwrap_or(usual);
        let now = (self.clock)();
        let found = || format!("block {} is of {}, and now it is {now}", header.height, header.time);
        if now.plus(AHEAD_MS_MAX) < header.time {
            return Err(Doubt::new(Distrust::Ahead, found()));
        }
        // What was verified before is a clock too, which nobody can set back.
        if header.time.plus(age_max) < now.max(memory.time) {
            return Err(Doubt::new(Distrust::Stale, found()));
        }
        Ok(())
    }

    /// Takes the heartbeat of proven parameters for what counts as old.
    pub(crate) fn note_heartbeat(&self, heartbeat_ms: u64) {
        if let Some(memory) = self.inner().memory.as_mut() {
            memory.heartbeat_ms = heartbeat_ms;
        }
    }

    /// The block time of the newest verified block.
    #[must_use]
    pub fn time(&self) -> Option<TimeMs> {
        self.inner().memory.as_ref().map(|memory| memory.time)
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Memory {
    /// The members whose signatures count for this header.
    fn signers(&self, header: &Header, handovers: &[Handover], fresh: bool) -> Result<Vec<Validator>, Doubt> {
        if members_hash(&self.newest.validators) == header.members_hash {
            return Ok(self.newest.validators.clone());
        }
        // Members of the past, whose keys may be anybody's by now, say nothing about the present.
        let from = match header.height > self.newest.height {
            true => &self.newest,
            false if !fresh && header.height >= self.anchor.height => &self.anchor,
            false => return Err(Distrust::MembersUnknown.into()),
        };
        let later = |one: &&Handover| one.header.as_ref().is_none_or(|shown| shown.height > from.height);
        let later: Vec<Handover> = handovers.iter().filter(later).cloned().collect();
        certificate::follow(&from.validators, &later, header).map_err(doubt_of)
    }

    /// A remembered block that cannot be of one history with this one.
    fn conflict(&self, shown: &SignedHeader) -> Option<SignedHeader> {
        let (id, header) = (shown.id, &shown.header);
        let differs = |known: &&SignedHeader| {
            let height = known.header.height;
            (height == header.height && known.id != id)
                || (height.checked_add(1) == Some(header.height) && known.id != header.parent)
                || (header.height.checked_add(1) == Some(height) && known.header.parent != id)
        };
        self.headers.iter().find(differs).cloned()
    }

    fn remember(&mut self, shown: SignedHeader, signers: &[Validator]) {
        let height = shown.header.height;
        if height > self.newest.height {
            self.newest = Believed { height, validators: signers.to_vec() };
            self.time = self.time.max(shown.header.time);
        }
        if let Err(place) = self.headers.binary_search_by_key(&height, |one| one.header.height) {
            self.headers.insert(place, shown);
        }
        let surplus = self.headers.len().saturating_sub(HEADERS_MAX);
        self.headers.drain(..surplus);
    }
}

impl Verification {
    fn count(&mut self, header: &Header, signed: Signed) {
        let first = self.rows == 0;
        self.rows = self.rows.saturating_add(1);
        if first || header.height < self.height {
            (self.height, self.time) = (header.height, header.time);
            (self.signed, self.members) = (signed.signed, signed.members);
        }
        self.height_newest = self.height_newest.max(header.height);
    }
}

fn beginning(genesis: &Genesis, height: u64, validators: Vec<Validator>) -> Memory {
    let anchor = Believed { height, validators };
    Memory {
        version: MEMORY_VERSION,
        chain: genesis.chain_id(),
        newest: anchor.clone(),
        anchor,
        time: TimeMs(0),
        heartbeat_ms: genesis.params.heartbeat_ms,
        headers: Vec::new(),
    }
}

fn signed(header: &Header, certificate: &[u8]) -> SignedHeader {
    SignedHeader { id: header.id(), header: header.clone(), certificate: certificate.to_vec() }
}

fn doubt_of(error: CertificateError) -> Doubt {
    let reason = match &error {
        CertificateError::TooFew { .. } => Distrust::CertificateFew,
        CertificateError::Signer(_) => Distrust::CertificateForeign,
        CertificateError::OtherMembers => Distrust::MembersUnknown,
        CertificateError::Malformed | CertificateError::OtherBlock | CertificateError::Signature(_) => {
            Distrust::CertificateWrong
        }
    };
    match reason {
        Distrust::MembersUnknown => reason.into(),
        _ => Doubt::new(reason, error),
    }
}
