//! Whether the node's keys are those that the ledger gives its member.

use super::{NodeKeys, Parts};
use crate::readiness::Standing;
use hansa_ledger::member::MemberCode;
use hansa_ledger::state::State;
use hansa_ledger::tables::Members;
use hansa_ledger_signature::PublicKey;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How often a person is called.
const WATCH_PAUSE: Duration = Duration::from_secs(60);

/// How the keys differ from those of the member on the ledger, in words. The engine names a member by its key, so that whoever has
/// another one follows and does not vote, and votes from the height on in which the ledger gives it this key: after a change of keys
/// a node may start on a ledger that has not come so far, above all one that was destroyed and begins with the genesis.
fn difference(member: MemberCode, state: &State, keys: &NodeKeys) -> Option<String> {
    let (consensus, network) = seat_keys(member, state)?;
    let kinds = [
        ("consensus", consensus, keys.consensus.public_key()),
        ("network", network, keys.network.public_key()),
    ];
    let other: Vec<&str> =
        kinds.iter().filter(|(_, ledger, own)| ledger != own).map(|(kind, _, _)| *kind).collect();
    let other = (!other.is_empty()).then(|| other.join(" and "))?;
    Some(format!(
        "the {other} key file holds another key than the ledger as far as it is here gives {member}"
    ))
}

/// The keys of the member's node on the ledger. A member that is not there yet, or has left, has none, and may follow with any.
fn seat_keys(member: MemberCode, state: &State) -> Option<(PublicKey, PublicKey)> {
    let row = state.get::<Members>(&member)?;
    Some((row.consensus_key?, row.network_key?))
}

/// Says at a start that the node begins without a vote, if it does: it may lack only the block that changes this.
pub(super) fn tell_of_keys(member: MemberCode, state: &State, keys: &NodeKeys) {
    if seat_keys(member, state).is_none() {
        tracing::warn!(%member, "the ledger as far as it is here has no such member: the node follows without a vote");
    }
    if let Some(difference) = difference(member, state, keys) {
        tracing::warn!(%member, %difference, "the node follows without a vote until a block changes that");
    }
}

/// Calls a person as long as the node has caught up and has other keys still.
pub(super) async fn watch_keys(
    parts: Arc<Parts>,
    member: MemberCode,
    keys: NodeKeys,
    stop: CancellationToken,
) {
    let mut watch = tokio::time::interval(WATCH_PAUSE);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = watch.tick() => {}
        }
        let standing = Standing::of(&parts.executor, &parts.network, &parts.heights);
        let difference = difference(member, &parts.executor.state(), &keys);
        if let (None, Some(difference)) = (standing.unready_reason(), difference) {
            tracing::error!(%member, %difference, alarm = "other_keys", "the node has caught up and follows without a vote: give it the keys that the ledger has, or have the ledger's changed with `hansa governance rotate`");
        }
    }
}
