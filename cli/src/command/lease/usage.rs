//! Whether reported usage is countersigned, contested, or left to the challenge window.

use crate::config::Countersign;
use crate::error::Outcome;
use crate::printer::Printer;
use crate::session::{Sent, Session};
use crate::units::length;
use hansa_ledger::action::{
    Action, ContestUsage, CountersignUsage, LeaseUsage, LeaseWindow, ReportUsage, ReportWindows,
};
use hansa_ledger::id::LeaseId;
use hansa_ledger::row::Lease;
use hansa_node_api::Account;
use serde_json::json;

/// What is done with a final report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Agreed.
    Countersign,
    /// Contested; this many accelerator-seconds are admitted.
    Contest(u64),
    /// Nothing: what nobody contests in time counts as agreed.
    Silent,
}

/// What the lease can have delivered by the federation's time: accelerators times seconds from its start to its end.
#[must_use]
pub fn estimate(lease: &Lease) -> u64 {
    let until = lease.ended_at.unwrap_or(lease.agreement.end).min(lease.agreement.end);
    let from = lease.started_at.unwrap_or(until);
    (until.0.saturating_sub(from.0) / 1_000).saturating_mul(u64::from(lease.quantity))
}

/// What the user's policy says to the final report of a lease. `observed` is what this program saw for itself of the lease's
/// length, in accelerator-seconds; without it the federation's time is taken.
#[must_use]
pub fn verdict(
    policy: Countersign,
    lease: &Lease,
    observed: Option<u64>,
    ask: impl FnOnce() -> bool,
) -> Verdict {
    match policy {
        Countersign::Always => Verdict::Countersign,
        Countersign::Never => Verdict::Silent,
        Countersign::Ask if ask() => Verdict::Countersign,
        Countersign::Ask => Verdict::Silent,
        Countersign::Within(bps) => {
            let seen = observed.unwrap_or_else(|| estimate(lease));
            let tolerance = u128::from(seen) * u128::from(bps) / 10_000;
            match u128::from(lease.reported) <= u128::from(seen) + tolerance {
                true => Verdict::Countersign,
                // What was countersigned before stays admitted.
                false => Verdict::Contest(seen.max(lease.countersigned)),
            }
        }
    }
}

/// Asks a person about a final report; where nobody sits, nothing is countersigned.
#[must_use]
pub fn asked(printer: Printer, lease: &Lease) -> bool {
    let question = format!(
        "the provider reports {}; the lease was open for {}; countersign? [y/N]",
        usage_text(lease.reported),
        usage_text(estimate(lease))
    );
    printer.ask(&question).is_some_and(|answer| matches!(answer.as_str(), "y" | "Y" | "yes"))
}

/// Signs what was decided; nothing where that was to be silent.
///
/// # Errors
/// Why the ledger refuses it.
pub async fn carry_out(
    session: &Session,
    account: &Account,
    lease: LeaseId,
    reported: u64,
    verdict: Verdict,
) -> Outcome<Option<Sent>> {
    let action = match verdict {
        Verdict::Silent => return Ok(None),
        Verdict::Countersign => {
            CountersignUsage { usages: vec![LeaseUsage { lease, cumulative: reported }] }.into()
        }
        Verdict::Contest(admitted) => ContestUsage { lease, admitted }.into(),
    };
    session.send(account, vec![action]).await.map(Some)
}

/// Reports use as the provider: with a figure it closes a window of the lease.
pub(super) async fn report(session: &Session, lease: &str, cumulative: u64, reading: Option<u32>) -> Outcome {
    let lease = session.find_lease(&session.reader().await?, lease).await?;
    let (action, with): (Action, _) = match reading {
        Some(reading) => {
            let windows = vec![LeaseWindow { lease, cumulative, reading }];
            (ReportWindows { windows }.into(), format!(", and {reading} for the use since the last window"))
        }
        None => (ReportUsage { usages: vec![LeaseUsage { lease, cumulative }] }.into(), String::new()),
    };
    let sent = session.act(action).await?;
    let made = json!({ "lease": lease, "cumulative": cumulative, "reading": reading });
    session.tell_sent(&sent, made, &format!("reported {} on lease {lease}{with}", usage_text(cumulative)));
    Ok(())
}

/// The figures that the provider signed beside its usage, for people.
pub(super) fn readings_text(lease: &Lease) -> String {
    let mut before = 0;
    let windows = lease.windows.iter().map(|window| {
        let used = window.cumulative.saturating_sub(std::mem::replace(&mut before, window.cumulative));
        format!("{} for {used} accelerator-seconds", window.reading)
    });
    windows.collect::<Vec<_>>().join(", ")
}

/// Usage as people read it.
#[must_use]
pub fn usage_text(accelerator_seconds: u64) -> String {
    match accelerator_seconds {
        0 => "no accelerator time".to_owned(),
        some => format!("{} of accelerator time", length(some.saturating_mul(1_000))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::lease::tests::lease;
    use hansa_ledger::time::TimeMs;

    #[test]
    fn the_policy_decides() {
        // Two accelerators from second 100 to second 200: 200 accelerator-seconds.
        let lease = |reported, countersigned| Lease {
            quantity: 2,
            started_at: Some(TimeMs(100_000)),
            ended_at: Some(TimeMs(200_900)),
            reported,
            countersigned,
            ..lease()
        };
        assert_eq!(estimate(&lease(0, 0)), 200);
        let no = || unreachable!("nobody is asked");
        let within = Countersign::Within(500);
        assert_eq!(verdict(within, &lease(210, 0), None, no), Verdict::Countersign);
        assert_eq!(verdict(within, &lease(211, 0), None, no), Verdict::Contest(200));
        assert_eq!(verdict(within, &lease(211, 205), None, no), Verdict::Contest(205));
        assert_eq!(verdict(within, &lease(190, 0), Some(150), no), Verdict::Contest(150));
        assert_eq!(verdict(Countersign::Always, &lease(9_999, 0), None, no), Verdict::Countersign);
        assert_eq!(verdict(Countersign::Never, &lease(1, 0), None, no), Verdict::Silent);
        assert_eq!(verdict(Countersign::Ask, &lease(1, 0), None, || true), Verdict::Countersign);
        assert_eq!(verdict(Countersign::Ask, &lease(1, 0), None, || false), Verdict::Silent);
    }
}
