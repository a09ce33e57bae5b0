//! Stage 5: the start-up ends the lease, the agent reports the final use, the start-up countersigns it, and the contract divides
//! the money.

use super::story::{Settled, Story, Work};
use super::teller::{Teller, milliseconds};
use crate::error::{TestnetError, api_error};
use hansa_ledger::action::{CountersignUsage, EndLease, LeaseUsage};
use hansa_ledger::event::Event;
use hansa_ledger::member::MemberCode;
use hansa_ledger::row::{Closing, LeaseState, Payment};
use hansa_node_api::Client;
use serde_json::json;
use std::time::Duration;
use tokio::time::Instant;

/// How long the agent may take to report the final use.
const REPORT_TIME_MAX: Duration = Duration::from_secs(15);

/// uEUR in a euro, for signed amounts.
const UEUR_PER_EUR: u128 = 1_000_000;

pub(super) async fn run(
    story: &Story,
    work: &mut Work,
    teller: &mut Teller<'_>,
) -> Result<Settled, TestnetError> {
    let before = positions(&story.account.client).await?;
    let end_ms = end_lease(story, work).await?;
    if let Some(end_ms) = end_ms {
        teller.line(format!(
            "{}: the start-up ended the lease, for its job is done; final after {end_ms} ms",
            story.user.home
        ));
    }

    let (cumulative, report_ms) = final_use(story, work, teller).await?;
    let lease = work.lease;
    teller.now("waiting for the settlement to be final");
    let sent = Instant::now();
    let countersign = CountersignUsage { usages: vec![LeaseUsage { lease, cumulative }] };
    let done = story.account.send(vec![countersign.into()]).await;
    let done = done.map_err(api_error("the countersignature was refused"))?;
    let settle_ms = milliseconds(sent.elapsed());
    let settled = done.receipt.events.iter().find_map(|event| match event {
        Event::LeaseSettled { lease: found, closing, fallback, payments, refunds } if *found == lease => {
            Some((*closing, *fallback, payments.clone(), refunds.clone()))
        }
        _ => None,
    });
    let (closing, fallback, payments, refunds) = settled
        .ok_or_else(|| TestnetError::Broken("the countersignature did not settle the lease".to_owned()))?;
    teller.line(format!(
        "{}: the start-up countersigned; contract `spot` settled the lease at height {} after {settle_ms} ms",
        story.user.home, done.height
    ));
    if closing != Closing::Final || fallback {
        return Err(TestnetError::Broken(
            "the lease was not settled by its contract on the final use".to_owned(),
        ));
    }
    for Payment { from, to, amount } in payments.iter().chain(&refunds) {
        teller.line(format!("  {amount} EUR: {} -> {}", story.account_text(from), story.account_text(to)));
    }
    let after = positions(&story.account.client).await?;
    tell_positions(story, work, &before, &after, teller)?;

    let client = &story.account.client;
    let row = client.lease(&lease).await.map_err(api_error("the lease cannot be looked up"))?.row;
    let settlement =
        client.settlement(&lease).await.map_err(api_error("the settlement cannot be looked up"))?.row;
    teller.fact("cumulative", cumulative);
    teller.fact("fuel", settlement.fuel);
    teller.fact("payments", &payments);
    teller.fact("refunds", &refunds);
    teller.fact("height", done.height);
    teller.fact("finality_ms", json!({ "end": end_ms, "report": report_ms, "settle": settle_ms }));
    Ok(Settled { row, settlement })
}

/// Waits for the agent's report of the final use, and checks it: what was used, and how long the report took.
async fn final_use(
    story: &Story,
    work: &mut Work,
    teller: &mut Teller<'_>,
) -> Result<(u64, u64), TestnetError> {
    teller.now(&format!("waiting for the final use from the agent of {}", work.provider.name));
    let lease = work.lease;
    let waited = Instant::now();
    let cumulative = work
        .events
        .wait("the report of the final use", REPORT_TIME_MAX, |info| match &info.event {
            Event::UsageReported { lease: found, cumulative, last: true } if *found == lease => {
                Some(*cumulative)
            }
            _ => None,
        })
        .await?;
    let report_ms = milliseconds(waited.elapsed());
    check_use(story, work, cumulative).await?;
    teller.line(format!(
        "{}: the agent of {} reported {cumulative} accelerator-seconds as final; it took {report_ms} ms",
        work.provider.capacity.country, work.provider.name
    ));
    Ok((cumulative, report_ms))
}

/// Ends the lease, unless its time was over already.
async fn end_lease(story: &Story, work: &Work) -> Result<Option<u64>, TestnetError> {
    let sent = Instant::now();
    match story.account.send(vec![EndLease { lease: work.lease, cumulative: None }.into()]).await {
        Ok(_) => Ok(Some(milliseconds(sent.elapsed()))),
        Err(error) => {
            let row = story.account.client.lease(&work.lease).await;
            let state = row.map_err(api_error("the lease cannot be looked up"))?.row.state;
            if state == LeaseState::Ended {
                Ok(None)
            } else {
                Err(api_error("the lease cannot be ended")(error))
            }
        }
    }
}

/// The start-up signs no more than the ledger's own times allow: accelerators times whole seconds from begin to end.
async fn check_use(story: &Story, work: &Work, cumulative: u64) -> Result<(), TestnetError> {
    let lease = story.account.client.lease(&work.lease).await;
    let lease = lease.map_err(api_error("the lease cannot be looked up"))?.row;
    let most = hansa_ledger::action::delivered_max(&lease, lease.agreement.end).unwrap_or(0);
    if cumulative == 0 || cumulative > most {
        return Err(TestnetError::Broken(format!(
            "the agent reported {cumulative} accelerator-seconds, and the lease lasted for {most}"
        )));
    }
    Ok(())
}

/// What each member owes (-) or is owed (+), in uEUR.
async fn positions(client: &Client) -> Result<Vec<(MemberCode, i128)>, TestnetError> {
    let members = client.members().await.map_err(api_error("the members cannot be looked up"))?;
    Ok(members.into_iter().map(|member| (member.code, member.row.position)).collect())
}

fn tell_positions(
    story: &Story,
    work: &Work,
    before: &[(MemberCode, i128)],
    after: &[(MemberCode, i128)],
    teller: &mut Teller<'_>,
) -> Result<(), TestnetError> {
    let at = |list: &[(MemberCode, i128)], code| {
        list.iter().find(|(found, _)| *found == code).map_or(0, |(_, at)| *at)
    };
    let moved: Vec<(MemberCode, i128, i128)> = after
        .iter()
        .map(|(code, now)| (*code, at(before, *code), *now))
        .filter(|(_, was, now)| was != now)
        .collect();
    let text = moved.iter().map(|(code, was, now)| format!("{code} {} -> {}", euro(*was), euro(*now)));
    let sum: i128 = after.iter().map(|(_, position)| position).sum();
    teller.line(format!("positions in EUR: {}; sum {}", text.collect::<Vec<_>>().join(", "), euro(sum)));
    let list: Vec<_> = moved
        .iter()
        .map(|(code, was, now)| json!({ "member": code, "before": euro(*was), "after": euro(*now) }))
        .collect();
    teller.fact("positions", list);
    teller.fact("positions_sum", euro(sum));
    let change = |code| at(after, code) - at(before, code);
    let (home, host) = (change(story.user.home), change(work.provider.capacity.country));
    if home >= 0 || host <= 0 || change(MemberCode::EU) < 0 || sum != 0 {
        return Err(TestnetError::Broken(format!(
            "the position of {} should fall, that of {} rise and the sum stay 0; they moved by {} and {}, and the sum is {}",
            story.user.home,
            work.provider.capacity.country,
            euro(home),
            euro(host),
            euro(sum)
        )));
    }
    Ok(())
}

/// A signed amount in euro.
pub(super) fn euro(ueur: i128) -> String {
    let sign = if ueur < 0 { "-" } else { "" };
    let (euro, rest) = (ueur.unsigned_abs() / UEUR_PER_EUR, ueur.unsigned_abs() % UEUR_PER_EUR);
    format!("{sign}{euro}.{rest:06}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signed_amounts_are_written_in_full() {
        for (ueur, text) in
            [(0, "0.000000"), (-1, "-0.000001"), (1_500_000, "1.500000"), (-12_345_678, "-12.345678")]
        {
            assert_eq!(euro(ueur), text);
        }
    }
}
