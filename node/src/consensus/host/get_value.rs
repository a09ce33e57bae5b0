//! It is this member's turn: propose a block, or let the round pass.

use super::missing::Notice;
use super::record::Record;
use super::{Host, round_number};
use crate::consensus::application::Built;
use crate::consensus::context::{Address, BlockId, Height, LedgerContext};
use crate::consensus::engine::FatalReason;
use crate::consensus::limits::BODY_BYTES_MAX;
use malachitebft_app_channel::Reply;
use malachitebft_app_channel::app::types::LocallyProposedValue;
use malachitebft_core_consensus::ProposedValue;
use malachitebft_core_types::{Round, Validity};
use std::time::Duration;
use tokio::time::Instant;

impl Host {
    /// Answers with this member's block for (height, round): the one it proposed there before a crash, else a new one, on disk
    /// before the answer. Without a block in time the reply is dropped, which lets the round pass: the others vote for nothing
    /// and the next member proposes.
    pub(super) async fn get_value(
        &mut self,
        height: u64,
        round: Round,
        timeout: Duration,
        reply: Reply<LocallyProposedValue<LedgerContext>>,
    ) -> Result<(), FatalReason> {
        let started = Instant::now();
        let Some(number) = round_number(round).filter(|_| height == self.turn.height) else {
            return Ok(());
        };
        if self.signer.withholds(height) {
            return Ok(());
        }
        if let Some((record, body)) = self.proposed_before(height, number).await? {
            let value = LocallyProposedValue::new(Height(height), round, BlockId(record.id));
            let _ = reply.send(value);
            if let Some(streamed) = record.streamed(body) {
                self.publish(streamed);
            }
            return Ok(());
        }
        // A third of the time to build; what is left after two thirds is too little to reach the others.
        let budget = timeout / 3;
        let deadline = started + budget * 2;
        let Some(built) = self.build(height, number, started, budget, deadline).await? else {
            return Ok(());
        };
        let Some(signature) = self.signer.sign_parts(height, round, Round::Nil, &built.id) else {
            return Ok(());
        };
        let value = ProposedValue {
            height: Height(height),
            round,
            valid_round: Round::Nil,
            proposer: Address(self.own),
            value: BlockId(built.id),
            validity: Validity::Valid,
        };
        let record = Record::new(&value, Some(signature));
        let (bytes, body, id) = (record.to_bytes(), built.body.clone(), built.id);
        let saved = self
            .blocking(move |application| application.save_undecided(height, number, &id, &body, &bytes))
            .await?;
        if let Err(error) = saved {
            tracing::error!(height, round = number, %error, "no proposal: the block could not be kept");
            return self.end_if_broken(height).await;
        }
        self.judged.insert((number, built.id), value);
        if Instant::now() > deadline {
            tracing::warn!(height, round = number, "no proposal: the block was ready too late");
            return Ok(());
        }
        let _ = reply.send(LocallyProposedValue::new(Height(height), round, BlockId(built.id)));
        if let Some(streamed) = record.streamed(built.body) {
            self.publish(streamed);
        }
        Ok(())
    }

    /// Builds a block by `deadline`. With nothing to propose it waits for work until a third of the time is gone: an awake but
    /// idle proposer then serves the transaction that comes now instead of leaving it to the next round.
    async fn build(
        &self,
        height: u64,
        round: u32,
        started: Instant,
        budget: Duration,
        deadline: Instant,
    ) -> Result<Option<Built>, FatalReason> {
        for attempt in 0..2 {
            if attempt == 1 {
                let work = self.application.work();
                if tokio::time::timeout_at(started + budget, work).await.is_err() {
                    return Ok(None);
                }
            }
            let building = self.blocking(move |application| application.build(height, round, budget));
            let mut building = Box::pin(building);
            match tokio::time::timeout_at(deadline, &mut building).await {
                Err(_) => {
                    tracing::warn!(height, round, "no proposal: building took too long");
                    let notices = self.notices();
                    // It may panic yet, which ends the node however late it is.
                    tokio::spawn(async move {
                        if let Err(reason) = building.await {
                            let _ = notices.send(Notice::Ended(reason)).await;
                        }
                    });
                    return Ok(None);
                }
                Ok(built) => match built? {
                    Ok(Some(built)) if built.body.len() > BODY_BYTES_MAX => {
                        tracing::error!(
                            height,
                            round,
                            bytes = built.body.len(),
                            "no proposal: the block is larger than a block may be"
                        );
                        return Ok(None);
                    }
                    Ok(Some(built)) => return Ok(Some(built)),
                    Ok(None) => {}
                    Err(error) => {
                        tracing::error!(height, round, %error, "no proposal: building failed");
                        return Ok(None);
                    }
                },
            }
        }
        Ok(None)
    }

    /// The block that this member proposed in (height, round) before: proposing another would be signing two.
    async fn proposed_before(
        &self,
        height: u64,
        round: u32,
    ) -> Result<Option<(Record, bytes::Bytes)>, FatalReason> {
        let own = self.own;
        let found = self
            .blocking(move |application| {
                let records = application.undecided(height, round)?;
                let record = records
                    .iter()
                    .filter_map(|bytes| Record::from_bytes(bytes))
                    .find(|record| record.proposer == own && record.valid);
                match record {
                    Some(record) => {
                        let body = application.body(&record.id)?;
                        Ok(body.map(|body| (record, body)))
                    }
                    None => Ok(None),
                }
            })
            .await?;
        found.or_else(|error: crate::consensus::application::AppError| {
            tracing::error!(height, round, %error, "cannot read what was proposed before");
            Ok(None)
        })
    }
}
