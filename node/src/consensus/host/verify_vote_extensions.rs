//! Votes carry no extensions, so none is objected to.

use crate::consensus::context::{Address, LedgerContext};
use malachitebft_app_channel::Reply;
use malachitebft_core_consensus::VoteExtensionVerdicts;

/// Answers one verdict for each entry, in order, as the engine demands.
pub(super) fn verify_vote_extensions(
    extensions: Vec<(Address, ())>,
    reply: Reply<VoteExtensionVerdicts<LedgerContext>>,
) {
    let _ = reply.send(extensions.into_iter().map(|(address, ())| (address, Ok(()))).collect());
}
