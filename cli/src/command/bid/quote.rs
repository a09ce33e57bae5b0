//! `hansa bid --dry-run`: what would become of it. Nothing is signed, sent or uploaded.

use super::super::request::purse_text;
use super::Wish;
use crate::command::job::draft::Draft;
use crate::error::{Failure, Outcome};
use crate::exit::Exit;
use crate::printer::pairs;
use crate::session::Session;
use crate::units::{length, percent_text, word_text};
use hansa_ledger::market::Lane;
use hansa_ledger::money::Money;
use hansa_node_api::market::{AwardQuote, QuoteAnswer, QuoteRequest};

pub(super) async fn run(session: &Session, wish: &Wish, draft: Option<&Draft>) -> Outcome {
    wish.check()?;
    let client = session.reader().await?;
    let organisation = session.organisation(&client).await?;
    let job = draft.map(|draft| draft.manifest.hash());
    let demand = wish.demand(session, &client, organisation, job).await?;
    let answer = client.quote(&QuoteRequest { organisation, demand }).await?;
    session.printer.data(&answer, || text(session, &answer));
    match answer.refusal {
        // Scripts learn from the exit code that placing it would be in vain.
        Some(refusal) => Err(Failure {
            exit: Exit::Refused,
            message: refusal.message,
            hint: Some(refusal.hint),
            refusal: Some((refusal.code, refusal.name)),
        }),
        None => Ok(()),
    }
}

fn text(session: &Session, answer: &QuoteAnswer) -> String {
    if answer.refusal.is_some() {
        return format!("it would be refused: {}", answer.sentence);
    }
    let mut lines = vec![
        ("bucket", word_text(&answer.bucket)),
        ("next batch", answer.next_batch.to_string()),
        ("locked", answer.locked.map(|locked| format!("{locked} EUR")).unwrap_or_default()),
    ];
    match &answer.award {
        Some(award) => lines.extend(award_lines(award)),
        None if answer.unmatched.is_empty() => lines.push(("outcome", answer.sentence.clone())),
        None => lines.extend(answer.unmatched.iter().map(|reason| {
            let class =
                if answer.unmatched.len() > 1 { format!("{}: ", reason.class) } else { String::new() };
            ("in the way", format!("{class}{}", reason.sentence))
        })),
    }
    let rows = answer.sources.iter().map(|source| {
        let cost = source.cost_max.map(|cost| format!("{cost} EUR"));
        [
            purse_text(&source.purse),
            percent_text(source.share_bps),
            format!("{} EUR", source.locked),
            format!("{} EUR", source.balance),
            cost.unwrap_or_default(),
        ]
    });
    let sources = session.printer.table(["SOURCE", "PART", "LOCKED", "HOLDS", "COST AT MOST"], rows);
    format!("{}\n\n{sources}", pairs(&lines))
}

fn award_lines(award: &AwardQuote) -> Vec<(&'static str, String)> {
    let lane = match (award.lane, award.released) {
        (Lane::Reserve, _) => "reserve",
        (Lane::Market, false) => "market",
        (Lane::Market, true) => "market, on released reserve from which it may be interrupted",
    };
    let aid = (award.aid > Money::ZERO).then(|| format!("{} EUR below the market price", award.aid));
    vec![
        ("lane", lane.to_owned()),
        ("award", format!("{} of {} at {} in {}", award.quantity, award.class, award.site, award.country)),
        ("start", award.start.to_string()),
        ("end", format!("{} ({})", award.end, length(award.end.0.saturating_sub(award.start.0)))),
        ("price", format!("{} EUR/h", award.price)),
        ("cost at most", format!("{} EUR", award.cost_max)),
        ("aid", aid.unwrap_or_default()),
    ]
}
