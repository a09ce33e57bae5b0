//! Peers ask from which height on this node can help.

use super::Host;
use crate::consensus::context::Height;
use crate::consensus::engine::FatalReason;
use malachitebft_app_channel::Reply;

impl Host {
    /// Answers with the lowest height that is still here.
    pub(super) async fn get_history_min_height(&mut self, reply: Reply<Height>) -> Result<(), FatalReason> {
        let height = self.blocking(|application| application.history_height_min()).await?;
        let _ = reply.send(Height(height));
        Ok(())
    }
}
