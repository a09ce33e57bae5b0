//! Votes carry no extensions.

use malachitebft_app_channel::Reply;

/// Answers with no extension: they are disabled at every height.
pub(super) fn extend_vote(reply: Reply<Option<()>>) {
    let _ = reply.send(None);
}
