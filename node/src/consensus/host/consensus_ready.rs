//! The engine listens: tell it where the ledger stands.

use super::Host;
use crate::consensus::context::{Height, LedgerContext};
use crate::consensus::engine::FatalReason;
use malachitebft_app_channel::Reply;
use malachitebft_app_channel::app::engine::host::HeightParams;

impl Host {
    /// Answers with the height after the durable tip. What the engine's own log holds of that height it replays itself.
    pub(super) async fn consensus_ready(
        &mut self,
        reply: Reply<(Height, HeightParams<LedgerContext>)>,
    ) -> Result<(), FatalReason> {
        let tip = self.blocking(|application| application.tip()).await?;
        self.turn_to(tip.height + 1).await?;
        let params = self.height_params().await?;
        if let Some(ready) = self.ready.take() {
            // Nobody waits any more only if the start was given up, and then the engine is being stopped.
            let _ = ready.send(());
        }
        tracing::info!(height = self.turn.height, "consensus starts");
        let _ = reply.send((Height(self.turn.height), params));
        Ok(())
    }
}
