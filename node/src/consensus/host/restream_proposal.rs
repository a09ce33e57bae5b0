//! This member proposes again a block of an earlier round: send its body again.

use super::Host;
use super::record::Record;
use crate::consensus::application::{AppError, Id};
use crate::consensus::engine::FatalReason;

impl Host {
    /// Streams the body again with its first opening and signature, under a fresh stream id. Members that missed it in its own
    /// round could otherwise never vote for it, and a locked block would not spread.
    pub(super) async fn restream_proposal(&mut self, height: u64, id: Id) -> Result<(), FatalReason> {
        let found = self
            .blocking(move |application| {
                let records = application.undecided_at(height)?;
                let record = records
                    .iter()
                    .filter_map(|bytes| Record::from_bytes(bytes))
                    .find(|record| record.id == id && record.signature.is_some());
                let body = application.body(&id)?;
                Ok::<_, AppError>(record.zip(body))
            })
            .await?;
        let streamed = match found {
            Ok(found) => found.and_then(|(record, body)| record.streamed(body)),
            Err(error) => {
                tracing::error!(height, %error, "cannot read the block to send again");
                return Ok(());
            }
        };
        match streamed {
            Some(streamed) => self.publish(streamed),
            // Whoever lacks it asks for its body when the proposal comes.
            None => {
                tracing::info!(height, id = %hex::encode(id), "the block to send again did not come here in parts")
            }
        }
        Ok(())
    }
}
