//! The table of targets: one line each.

mod chain;
mod contract;
mod document;
mod json;
mod ledger;
mod module;
mod peer;
mod proof;
mod signature;
mod snapshot;
mod wire;

/// What a target made of bytes. Both are right; a broken promise is a panic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// They were taken.
    Accepted,
    /// They were refused, with a reason.
    Refused,
}

impl Verdict {
    fn of<T, E>(result: &Result<T, E>) -> Self {
        if result.is_ok() { Self::Accepted } else { Self::Refused }
    }
}

/// Something that reads bytes of others.
#[derive(Clone, Copy)]
pub struct Target {
    /// Its name, of its folder in the corpus too.
    pub name: &'static str,
    /// What it reads and promises.
    pub promise: &'static str,
    /// Reads bytes. Panics when the promise is broken.
    pub run: fn(&[u8]) -> Verdict,
    /// Inputs to begin with; at least one of them is accepted.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// The longest input that is tried, in bytes.
    pub bytes_max: usize,
    /// Mutations that CI tries.
    pub quick: u64,
}

macro_rules! targets {
    ($($name:literal $module:ident::$run:ident $seeds:ident $bytes_max:literal $quick:literal $promise:literal;)*) => {
        /// Every target.
        pub const TARGETS: &[Target] = &[$(Target {
            name: $name,
            promise: $promise,
            run: $module::$run,
            seeds: $module::$seeds,
            bytes_max: $bytes_max,
            quick: $quick,
        },)*];
    };
}

targets! {
    "wire" wire::values value_seeds 4096 4000 "what is hashed and signed: an accepted encoding is the only one, in borsh and in JSON";
    "transaction" wire::transaction transaction_seeds 8192 2000 "a transaction as it comes: refused with a code, or its bytes are the only ones of its id";
    "block" wire::block block_seeds 8192 1000 "a body of a block: what is read is what its header commits to";
    "bundle" wire::bundle bundle_seeds 16384 1000 "bundles of gossip and of the interface: both readers agree, nothing is left over";
    "consensus" chain::consensus consensus_seeds 4096 3000 "messages of the engine, of its log and of sync: bounded, and written again as they came";
    "certificate" chain::certificate certificate_seeds 2048 500 "a certificate holds only with true signatures of more than two thirds, by node and light client alike";
    "archive" chain::archive archive_seeds 8192 1000 "an archive: refused in words, or read to its end";
    "proof" proof::state state_seeds 4096 2000 "no proof shows a row that is not there, or hides one that is";
    "merkle" proof::list list_seeds 2048 2000 "no proof shows an element that is not in the list";
    "peer" peer::frames frame_seeds 4096 2000 "frames of blobs and logs: bounded, the only encoding, refused unless signed for this node";
    "snapshot" snapshot::reading reading_seeds 4096 1000 "manifests and rows of snapshots: bounded, the only encoding, and no block that the members did not sign";
    "piece" peer::piece piece_seeds 4096 1000 "a piece of a blob is never other than the blob";
    "advert" peer::advert advert_seeds 1024 2000 "an advert that is remembered is signed and well shaped";
    "pass" peer::pass pass_seeds 1024 2000 "a read pass has one text";
    "abi" contract::values value_seeds 4096 3000 "what contracts read and answer: both decoders agree, and the encoding is the only one";
    "template" contract::template template_seeds 4096 1000 "templates on any facts: native as module, and the ledger's checks hold";
    "split" contract::split split_seeds 4096 2000 "no split that passes mints or strands; the fallback always passes";
    "module" module::load module_seeds 66000 300 "a module: refused by name and offset, or bounded in fuel and the same each time";
    "check" ledger::check check_seeds 8192 150 "any transaction on a living ledger: a code and no trace, or events, and every invariant";
    "apply" ledger::apply apply_seeds 512 25 "any sequence of actions and waits through whole blocks: executed twice alike, every invariant";
    "book" document::book book_seeds 8192 1000 "a market book: refused by field, or cleared within supply and limits";
    "manifest" document::manifest manifest_seeds 4096 2000 "manifests of jobs and outputs: checked, with one encoding";
    "config" document::config config_seeds 8192 1000 "configurations, genesis and key files: refused with their place, or read back the same";
    "terms" document::terms terms_seeds 4096 1000 "terms, usage, parameters and bundles of the contract verbs: refused by field";
    "units" document::units unit_seeds 256 5000 "prices, amounts, times, sizes and shares as people type them";
    "json" json::bodies body_seeds 8192 3000 "bodies of the interface: what is read is written and read again the same";
    "signature" signature::paths path_seeds 512 300 "one rule for signatures: alone, in a batch of one, among others, and in any order";
}
