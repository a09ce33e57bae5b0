//! What consensus asks of the application half.

use super::{Executed, Executor};
use crate::consensus::application::{
    AppError, Application, Built, Id, Origin, Timeouts, Tip, ValidatorInfo, Verdict,
};
use bytes::Bytes;
use futures::future::BoxFuture;
use hansa_ledger::apply::{BlockError, Proposal, build_listing, chain, known_version, params};
use hansa_ledger::block::{Block, validators};
use hansa_ledger::governance::protocol_version_at;
use hansa_ledger::id::BlockId;
use hansa_ledger::waiting::WAITING_MAX;
use hansa_ledger_signature::PublicKey;
use hansa_ledger_store::{Commit, StoreError};
use std::time::Duration;
use tokio::time::Instant;

fn failed(error: StoreError) -> AppError {
    AppError(error.to_string())
}

impl Application for Executor {
    fn chain_id(&self) -> Id {
        self.chain.0
    }

    fn tip(&self) -> Tip {
        let state = self.state();
        Tip { height: chain(&state).height, id: state.tip().0 }
    }

    fn validators(&self, height: u64) -> Vec<ValidatorInfo> {
        // Changes of members made in h act at h + 2, so the state after h knows who signs h + 1, and whoever signed before.
        validators(&self.state(), height)
            .iter()
            .map(|validator| ValidatorInfo { name: validator.member.to_string(), key: validator.key })
            .collect()
    }

    fn unknown_rules(&self, height: u64) -> Option<u32> {
        let state = self.state();
        known_version(&state, height).is_err().then(|| protocol_version_at(chain(&state), height))
    }

    fn timeouts(&self, _height: u64) -> Timeouts {
        let state = self.state();
        let params = params(&state);
        Timeouts {
            propose_ms: u64::from(params.timeout_propose_ms),
            prevote_ms: u64::from(params.timeout_prevote_ms),
            precommit_ms: u64::from(params.timeout_precommit_ms),
            delta_ms: u64::from(params.timeout_delta_ms),
            rebroadcast_ms: u64::from(params.timeout_rebroadcast_ms),
            maximum_ms: 60_000,
        }
    }

    fn build(&self, height: u64, _round: u32, budget: Duration) -> Result<Option<Built>, AppError> {
        let state = self.state();
        let tip = chain(&state);
        if height != tip.height + 1 {
            return Err(AppError(format!("asked to build height {height} on height {}", tip.height)));
        }
        let params = params(&state);
        let time = self.block_time(&state);
        let deadline = Instant::now() + budget;
        let (candidates, seen) = {
            let mempool = self.lock_mempool();
            let transactions_max = params.block_transactions_max as usize;
            let candidates = mempool.candidates(transactions_max, params.block_bytes_max as usize);
            // What stands in the block is taken off the list, so it has to reach beyond that.
            (candidates, mempool.waited(time, transactions_max + WAITING_MAX))
        };
        let proposal = Proposal { proposer: self.member, time, candidates: &candidates, seen: &seen };
        let mut first = true;
        // One at least, however little time there is: a budget that never suffices must not stop the federation.
        let mut go_on = || std::mem::take(&mut first) || Instant::now() < deadline;
        match build_listing(&state, self.runtime.as_ref(), self.chain, &proposal, &mut go_on) {
            Ok((block, outcome)) => {
                drop(state);
                let id = block.header.id();
                let body = Bytes::from(block.encode());
                self.remember(id, Executed { block, outcome });
                Ok(Some(Built { id: id.0, body }))
            }
            Err(BlockError::Needless) => {
                // Nothing of what seemed ready can stand in a block: it must not call for another.
                self.lock_mempool().tidy(&state, time);
                Ok(None)
            }
            Err(error) => Err(AppError(error.to_string())),
        }
    }

    fn check(
        &self,
        height: u64,
        _round: u32,
        proposer: &PublicKey,
        id: &Id,
        body: &[u8],
        origin: Origin,
    ) -> Verdict {
        let id = BlockId(*id);
        let block = match Block::read(&id, body) {
            Ok(block) => block,
            Err(reason) => return Verdict::Mismatch(reason),
        };
        let tip = chain(&self.state()).clone();
        if height != tip.height + 1 {
            return Verdict::NotReady(format!(
                "height {height} does not follow the last block {}",
                tip.height
            ));
        }
        if let Some(version) = self.unknown_rules(height) {
            // No verdict on the block: a newer program may find it sound.
            return Verdict::NotReady(format!(
                "it follows protocol version {version}, which this program does not know"
            ));
        }
        // Whatever way the block took, honest members never see one from the future: a proposer cannot talk itself out of the
        // clock by calling its block one that was proposed before. Only the members' certificate settles the time.
        let (now, time) = (self.now(), block.header.time);
        let skew_max = params(&self.state()).clock_skew_ms;
        let ahead = time.0.saturating_sub(now.0);
        let behind = now.0.saturating_sub(time.0);
        if origin == Origin::Live {
            let by_proposer = validators(&self.state(), height)
                .iter()
                .any(|validator| validator.member == block.header.proposer && validator.key == *proposer);
            if !by_proposer {
                return Verdict::Invalid(
                    "the header names another proposer than the one that sent it".to_owned(),
                );
            }
        }
        if (origin != Origin::Synced && ahead > skew_max) || (origin == Origin::Live && behind > skew_max) {
            tracing::warn!(alarm = "clock_skew", ahead, behind, skew_max, ?origin, proposer = %block.header.proposer, "a proposal's time is far from this node's clock");
            return Verdict::Untimely(format!(
                "the block's time is {} ms {} this node's clock",
                ahead.max(behind),
                if ahead > 0 { "ahead of" } else { "behind" }
            ));
        }
        if self.lock_executed().contains_key(&id) {
            return Verdict::Valid;
        }
        match self.execute(id, block) {
            Ok(()) => Verdict::Valid,
            Err(reason) => Verdict::Invalid(reason),
        }
    }

    fn save_undecided(
        &self,
        height: u64,
        round: u32,
        id: &Id,
        body: &[u8],
        record: &[u8],
    ) -> Result<(), AppError> {
        self.store.put_body_and_undecided(height, round, id, body, record).map_err(failed)
    }

    fn broken(&self) -> Option<AppError> {
        self.store.writable().err().filter(StoreError::forbids_voting).map(failed)
    }

    fn undecided(&self, height: u64, round: u32) -> Result<Vec<Vec<u8>>, AppError> {
        self.store.undecided(height, round).map_err(failed)
    }

    fn undecided_at(&self, height: u64) -> Result<Vec<Vec<u8>>, AppError> {
        let records = self.store.undecided_at(height).map_err(failed)?;
        Ok(records.into_iter().map(|undecided| undecided.record).collect())
    }

    fn body(&self, id: &Id) -> Result<Option<Bytes>, AppError> {
        Ok(self.store.body(id).map_err(failed)?.map(Bytes::from))
    }

    fn commit(&self, height: u64, id: &Id, certificate: &[u8]) -> Result<(), AppError> {
        let block_id = BlockId(*id);
        let (tip_height, tip_id) = {
            let state = self.state();
            (chain(&state).height, state.tip())
        };
        if height <= tip_height {
            let known = self.store.decided(height).map_err(failed)?.map(|decided| decided.block);
            return if known == Some(*id) || (height == tip_height && tip_id == block_id) {
                Ok(())
            } else {
                Err(AppError(format!("height {height} is decided as another block than the one kept here")))
            };
        }
        if !self.lock_executed().contains_key(&block_id) {
            let body = self.store.body(id).map_err(failed)?;
            let body =
                body.ok_or_else(|| AppError(format!("the body of block {block_id} is not kept here")))?;
            let block = Block::read(&block_id, &body).map_err(AppError)?;
            self.execute(block_id, block).map_err(|reason| {
                AppError(format!("the decided block {block_id} cannot be executed by this program: {reason}"))
            })?;
        }
        let executed = self.lock_executed().remove(&block_id);
        let executed = executed.ok_or_else(|| AppError("the executed block vanished".to_owned()))?;
        let mut dirty = self.lock_dirty();
        let (header, changed) = (&executed.outcome.header, executed.outcome.changes.rows());
        let checkpoint = self.checkpoint_due_with(&dirty, header, &changed);
        let root = header.state_root;
        let commit = Commit { height, block: *id, root, certificate, checkpoint: checkpoint.as_ref() };
        self.store.commit(&commit).map_err(failed)?;
        let latest = self.store.latest_checkpoint().map_err(failed)?;
        // One that the store had no room for is tried again, alone, when the height is finalized.
        let written = checkpoint.filter(|own| latest.is_some_and(|latest| latest.height == own.height));
        dirty = self.adopt(block_id, executed, changed, certificate, dirty);
        if let Some(checkpoint) = written {
            dirty.written(checkpoint.height);
            self.offer_snapshot(&mut dirty);
        }
        Ok(())
    }

    fn finalize(&self, height: u64, certificate: &[u8], evidence: Vec<Vec<u8>>) -> Result<(), AppError> {
        for proof in evidence {
            tracing::error!(
                alarm = "double_signing",
                height,
                "a member signed two things for one vote; the evidence is kept"
            );
            self.store.put_evidence(&proof).map_err(failed)?;
        }
        self.store.extend_certificate(height, certificate).map_err(failed)?;
        self.store.prune_undecided_to(height).map_err(failed)?;
        if self.rules_end() {
            // The next block follows other rules: no restart may have to execute this one by them, so the node ends without it.
            return self.checkpoint_if_due(true).map_err(failed);
        }
        match self.checkpoint_if_due(false) {
            // The blocks are durable without it: a restart replays more of them, that is all.
            Err(error @ (StoreError::TooLarge { .. } | StoreError::DiskLow { .. })) => {
                tracing::error!(alarm = "checkpoint_failed", height, %error, "no checkpoint was written; it will be tried again later");
                Ok(())
            }
            written => written.map_err(failed),
        }
    }

    fn decided(&self, height: u64) -> Result<Option<(Vec<u8>, Bytes)>, AppError> {
        let decided = self.store.decided(height).map_err(failed)?;
        Ok(decided.map(|decided| (decided.certificate, Bytes::from(decided.body))))
    }

    fn history_height_min(&self) -> u64 {
        self.store.history_height_min()
    }

    fn work(&self) -> BoxFuture<'static, ()> {
        let Some(this) = self.this.upgrade() else { return Box::pin(std::future::pending()) };
        Box::pin(async move {
            loop {
                // Registered before the state is looked at, so that no change in between is missed.
                let changed = this.changed.notified();
                tokio::pin!(changed);
                changed.as_mut().enable();
                if this.is_ready() {
                    return;
                }
                let (due, now) = (this.due(), this.now());
                if due <= now {
                    return;
                }
                let pause = tokio::time::sleep(Duration::from_millis(due.0 - now.0));
                tokio::select! {
                    () = pause => {}
                    () = changed => {}
                }
            }
        })
    }

    fn fetch_body(&self, id: Id, timeout: Duration) -> BoxFuture<'static, Option<Bytes>> {
        match self.bodies.get() {
            Some(bodies) => bodies.fetch(id, timeout),
            None => Box::pin(std::future::ready(None)),
        }
    }
}
