//! A round starts: give the engine the blocks that are here for it already.

use super::record::Record;
use super::{Host, round_number};
use crate::consensus::context::LedgerContext;
use crate::consensus::engine::{FatalReason, Status};
use malachitebft_app_channel::Reply;
use malachitebft_core_consensus::ProposedValue;
use malachitebft_core_types::Round;

impl Host {
    /// Answers with the blocks kept for (height, round), which after a crash is how a block seen before comes back, and with
    /// those that came before their height.
    pub(super) async fn started_round(
        &mut self,
        height: u64,
        round: Round,
        reply: Reply<Vec<ProposedValue<LedgerContext>>>,
    ) -> Result<(), FatalReason> {
        let number = round_number(round).unwrap_or(0);
        self.status.send_replace(Status { height, round: number });
        let mut values = Vec::new();
        if height == self.turn.height {
            self.judge_pending().await?;
            let stored = self.blocking(move |application| application.undecided(height, number)).await?;
            match stored {
                Ok(records) => values = self.restore(&records),
                Err(error) => {
                    tracing::error!(height, round = number, %error, "cannot read the blocks kept for a round");
                }
            }
            for value in std::mem::take(&mut self.undelivered) {
                if !values.contains(&value) {
                    values.push(value);
                }
            }
        }
        let _ = reply.send(values);
        Ok(())
    }

    /// The values of stored records, which count as judged from now on.
    fn restore(&mut self, records: &[Vec<u8>]) -> Vec<ProposedValue<LedgerContext>> {
        let mut values = Vec::new();
        for record in records.iter().filter_map(|bytes| Record::from_bytes(bytes)) {
            let value = record.proposed_value();
            if let (Some(round), true) = (round_number(record.round), record.height == self.turn.height) {
                self.judged.entry((round, record.id)).or_insert_with(|| value.clone());
                values.push(value);
            }
        }
        values
    }
}
