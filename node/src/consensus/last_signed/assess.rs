//! From which height on a node may vote, from what is left of its memories.

use super::{Boot, EngineLog, Found, Record, Statement, Step};
use crate::consensus::application::Id;

/// What may be signed from now on.
#[derive(Debug)]
pub(in crate::consensus) struct Assessed {
    pub(super) record: Record,
    /// The engine has to come to the last statement by itself before it says more in that height.
    pub(super) unconfirmed: bool,
}

/// Decides from the record, the engine's log and the ledger's next height. The rule: a member votes in a height only if it knows
/// all that it said there, because it is bound by it. Whatever it said in heights before `next` is settled; nothing was said above
/// `next` unless the ledger is older than the record or the log. So what remains is whether `next` itself is remembered.
pub(in crate::consensus) fn assess(
    found: Option<Found>,
    chain: Id,
    next: u64,
    log: &EngineLog,
    boot: Option<Boot>,
) -> Assessed {
    let missing = found.is_none();
    let exact = found.as_ref().is_some_and(|found| found.is_exact(boot));
    let mut record = found.map_or_else(|| Record::new(chain), |found| found.record);
    let floor = record.vote_from;
    let mut unconfirmed = false;
    match record.last {
        Some(last) if last.height > next => {
            skip(&mut record, last.height, "the ledger is older than what was signed")
        }
        Some(last) if last.height == next => {
            if remembers(log, &last, record.vote_before.as_ref()) {
                unconfirmed = last.step != Step::Proposal && !log.holds(next, &last);
            } else {
                skip(&mut record, next, "the engine's log does not hold what was signed in this height");
            }
        }
        Some(_) | None => {}
    }
    if log.present && log.height > next {
        skip(&mut record, log.height, "the ledger is older than the engine's log");
    }
    // Without both memories at height 1 nothing has ever been signed, as far as anyone can tell.
    let beginning = missing && next == 1 && !log.present;
    if !exact && !beginning {
        // The engine begins its log anew with each height, so one that ends earlier is an old one.
        if log.present && log.whole && log.height.saturating_add(1) >= next {
            // The log is durable before anything leaves, so it knows better.
            let latest = log.own.iter().filter(|own| own.height == next).max_by_key(|own| own.position());
            if let Some(latest) = latest
                && record.last.is_none_or(|last| last.position() < latest.position())
            {
                record.last = Some(*latest);
                record.vote_before = None;
                unconfirmed = false;
            }
        } else {
            skip(
                &mut record,
                next,
                "the engine's log is gone, old or torn, and the record beside it may be an old one",
            );
        }
    }
    if record.vote_from > floor.max(next) {
        tracing::error!(
            alarm = "votes_withheld",
            vote_from = record.vote_from,
            "this node follows without voting below that height, where it may have said what it no longer knows"
        );
    }
    Assessed { record, unconfirmed }
}

fn skip(record: &mut Record, height: u64, reason: &str) {
    tracing::warn!(height, reason, "no vote in a height");
    record.vote_from = record.vote_from.max(height.saturating_add(1));
}

/// Whether the log reaches to the last vote, or to the one before it: a process that is killed between noting a vote and logging it
/// comes to the same vote again from the log.
fn remembers(log: &EngineLog, last: &Statement, before: Option<&Statement>) -> bool {
    log.holds(last.height, last)
        || match before {
            Some(before) => log.holds(last.height, before),
            // Nothing binds a member before its first precommit.
            None => last.step != Step::Precommit,
        }
}

impl EngineLog {
    fn holds(&self, height: u64, statement: &Statement) -> bool {
        self.present && self.height == height && self.own.contains(statement)
    }
}
