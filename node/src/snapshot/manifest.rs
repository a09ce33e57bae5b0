//! What a snapshot says of itself, and whom it has to be signed by.

use super::waypoint::Sets;
use crate::consensus::limits::BODY_BYTES_MAX;
use borsh::{BorshDeserialize, BorshSerialize};
use hansa_ledger::block::{Header, Validator};
use hansa_ledger::id::ChainId;
use hansa_ledger_store::{StoredRow, VALUE_BYTES_MAX};
use hansa_node_api::certificate::{self, CertificateError, Handover};

/// The form of manifests and parts that this program writes and reads.
const FORMAT: u32 = 1;

/// The longest manifest, in bytes: chunk hashes of the largest snapshot, and more than a thousand changes of the members.
pub const MANIFEST_BYTES_MAX: usize = 4 << 20;

/// Rows are put into a part until they take this much, in bytes. Small in this crate's own tests, whose ledgers are.
pub const CHUNK_BYTES: usize = if cfg!(test) { 1 << 10 } else { 1 << 20 };

/// The longest part, in bytes: a block's body, or a chunk that the largest row fills.
pub const PART_BYTES_MAX: u32 = 2 << 20;

/// The most parts of a snapshot: 32 GiB of rows.
pub const PARTS_MAX: usize = 32_768;

/// What a content id is the hash of, before anything else.
const CONTENT_DOMAIN: &[u8] = b"hansa/snapshot/1";

const _: () = assert!(BODY_BYTES_MAX <= PART_BYTES_MAX as usize);
const _: () = assert!(CHUNK_BYTES + VALUE_BYTES_MAX + 1024 <= PART_BYTES_MAX as usize);

/// A snapshot: the state after a block, the block itself, and what shows that the members decided it.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Manifest {
    /// The form of this and of the parts.
    pub format: u32,
    /// The block's header: federation, height, rules and state root stand in it.
    pub header: Header,
    /// The certificate of the block.
    pub certificate: Vec<u8>,
    /// How the members of that block followed from those of the genesis, by rising height.
    pub steps: Vec<Step>,
    /// The rows and the files they lie in.
    pub content: Content,
}

/// What follows from the block alone, so that honest members have the same.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Content {
    /// How many rows there are.
    pub rows: u64,
    /// The body of the block, and then the rows by table and key.
    pub parts: Vec<Part>,
}

/// A file of a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Part {
    /// BLAKE3 of the bytes.
    pub hash: [u8; 32],
    /// How many there are.
    pub bytes: u32,
}

/// A set of members that took over, with a block that it signed.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Step {
    /// The set, by code.
    pub validators: Vec<Validator>,
    /// The header of the block.
    pub header: Header,
    /// Its certificate.
    pub certificate: Vec<u8>,
}

/// What a node believes before it looks at a snapshot.
#[derive(Clone, Debug)]
pub struct Trust {
    /// The federation.
    pub chain: ChainId,
    /// The height of the node's own ledger, 0 for a new one.
    pub height: u64,
    /// The members that its ledger knows, by the height from which they sign: those of the genesis for a new one.
    pub sets: Sets,
    /// The rules that this program knows.
    pub versions: &'static [u32],
}

/// Why a snapshot, or a part of one, is not believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The bytes are no manifest or part, or not within their bounds.
    #[error("it cannot be read: {0}")]
    Malformed(String),
    /// Another federation's.
    #[error("it is of another federation")]
    OtherFederation,
    /// Not what was asked for.
    #[error("it is another snapshot than the one that was offered")]
    OtherSnapshot,
    /// It would take the node back.
    #[error("its height, {0}, is not above the node's own")]
    Old(u64),
    /// A newer program made it.
    #[error("it follows protocol version {0}, which this program does not know; install one that does")]
    UnknownRules(u32),
    /// The members did not sign it, or not those that are believed.
    #[error("the block is not certified: {0}")]
    Certificate(#[from] CertificateError),
    /// A part is not the one of the manifest.
    #[error("part {0} is not the one that the manifest names")]
    Part(u32),
    /// The rows are no state.
    #[error("its rows are no state: {0}")]
    Rows(String),
    /// The rows are another state than the members signed.
    #[error("its rows have another root than the members signed")]
    Root,
}

impl Manifest {
    /// A manifest of the form that this program writes.
    #[must_use]
    pub fn new(header: Header, certificate: Vec<u8>, steps: Vec<Step>, content: Content) -> Self {
        Self { format: FORMAT, header, certificate, steps, content }
    }

    /// The canonical encoding.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        borsh::to_vec(self).expect("encoding into memory cannot fail")
    }

    /// Reads a manifest, with every bound of it.
    ///
    /// # Errors
    /// [`Refusal::Malformed`].
    pub fn decode(bytes: &[u8]) -> Result<Self, Refusal> {
        let malformed = |what: &str| Refusal::Malformed(what.to_owned());
        if bytes.len() > MANIFEST_BYTES_MAX {
            return Err(malformed("the manifest is too long"));
        }
        let manifest: Self =
            borsh::from_slice(bytes).map_err(|error| Refusal::Malformed(format!("no manifest: {error}")))?;
        if manifest.format != FORMAT {
            return Err(Refusal::Malformed(format!(
                "its form is {}, and this program reads {FORMAT}",
                manifest.format
            )));
        }
        if manifest.encode() != bytes {
            return Err(malformed("the encoding is not canonical"));
        }
        let Content { rows, parts } = &manifest.content;
        if *rows == 0 || !(2..=PARTS_MAX).contains(&parts.len()) {
            return Err(malformed("it has no rows, or too many parts"));
        }
        if parts.iter().any(|part| part.bytes == 0 || part.bytes > PART_BYTES_MAX) {
            return Err(malformed("a part is empty or too long"));
        }
        // What two neighbours hold together filled one, so a snapshot cannot be spread over endless small parts.
        let chunks = parts.get(1..parts.len().saturating_sub(1)).unwrap_or_default();
        if chunks.iter().any(|part| (part.bytes as usize) < CHUNK_BYTES) {
            return Err(malformed("a part before the last is not filled"));
        }
        Ok(manifest)
    }

    /// What identifies the content: the same for every honest member, whichever signatures its certificate has.
    #[must_use]
    pub fn id(&self) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new();
        hasher.update(CONTENT_DOMAIN).update(&self.header.id().0);
        hasher.update(&borsh::to_vec(&self.content).expect("encoding into memory cannot fail"));
        *hasher.finalize().as_bytes()
    }

    /// Bytes of all parts.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.content.parts.iter().map(|part| u64::from(part.bytes)).sum()
    }

    /// Checks that members whom the node believes, or who follow from them, decided the block, and that it leads the node on.
    ///
    /// # Errors
    /// Which condition fails.
    pub fn check(&self, trust: &Trust) -> Result<(), Refusal> {
        let header = &self.header;
        if header.chain != trust.chain {
            return Err(Refusal::OtherFederation);
        }
        if header.height <= trust.height {
            return Err(Refusal::Old(header.height));
        }
        if !trust.versions.contains(&header.protocol_version) {
            return Err(Refusal::UnknownRules(header.protocol_version));
        }
        // Members of the past, whose keys may be anybody's by now, say nothing about what came after the node's own ledger.
        let later = self.steps.iter().filter(|step| step.header.height > trust.height);
        let handovers: Vec<Handover> = later.map(Step::handover).collect();
        let known = trust.sets.range(..=header.height).next_back().ok_or(CertificateError::OtherMembers)?.1;
        let members = certificate::follow(known, &handovers, header)?;
        Ok(certificate::verify(header, &self.certificate, &members)?)
    }
}

impl Step {
    fn handover(&self) -> Handover {
        Handover {
            from: self.header.height,
            validators: self.validators.clone(),
            header: Some(self.header.clone()),
            certificate: Some(self.certificate.clone()),
        }
    }
}

/// Reads the rows of a part.
///
/// # Errors
/// [`Refusal::Malformed`].
pub fn decode_rows(bytes: &[u8]) -> Result<Vec<StoredRow>, Refusal> {
    if bytes.len() > PART_BYTES_MAX as usize {
        return Err(Refusal::Malformed("a part is too long".to_owned()));
    }
    borsh::from_slice(bytes).map_err(|error| Refusal::Malformed(format!("no rows: {error}")))
}
