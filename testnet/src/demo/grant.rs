//! Stage 2: Estonia accredits a start-up and issues it a grant. The start-up has no money of its own.

use super::story::Story;
use super::teller::{Teller, milliseconds};
use crate::error::{TestnetError, api_error};
use crate::seed;
use hansa_ledger::action::grant_id;
use hansa_ledger::id::GrantId;
use hansa_ledger::money::Money;
use hansa_ledger::row::Office;
use tokio::time::Instant;

pub(super) async fn run(story: &Story, teller: &mut Teller<'_>) -> Result<GrantId, TestnetError> {
    let (user, home) = (&story.user, story.user.home);
    let terms =
        user.grant.as_ref().ok_or_else(|| TestnetError::Broken("the start-up gets no grant".to_owned()))?;

    teller.now("waiting for the registrar's transaction to be final");
    let sent = Instant::now();
    let accredited = seed::sign(
        &story.federation,
        home,
        Office::Registrar,
        vec![seed::accredit_user(&story.federation, user)?],
    )
    .await?;
    let accredit_ms = milliseconds(sent.elapsed());
    teller.line(format!(
        "{home}: the registrar accredited {} as a start-up; final at height {} after {accredit_ms} ms",
        user.name, accredited.height
    ));

    let treasury = story.federation.genesis().members.iter().find(|member| member.code == home);
    let treasury = treasury.map(|member| &member.treasury);
    let treasury = treasury.ok_or_else(|| TestnetError::Broken(format!("{home} is no member")))?;
    let (threshold, keys) = (treasury.threshold, treasury.keys.len());
    teller.now("waiting for the treasury's keys to propose and approve the grant");
    let issue = seed::issue_grant(user)
        .ok_or_else(|| TestnetError::Broken("the start-up gets no grant".to_owned()))?;
    let expires = issue.expires;
    let sent = Instant::now();
    let issued = seed::sign(&story.federation, home, Office::Treasury, vec![issue.into()]).await?;
    let grant_ms = milliseconds(sent.elapsed());
    let grant = grant_id(home, &terms.reference);
    teller.line(format!(
        "{home}: grant {} of {} EUR for innovation from line {}, until {expires}, was issued by {threshold} of {keys} \
         treasury keys of {home}; final at height {} after {grant_ms} ms",
        terms.reference, terms.amount, terms.budget_line, issued.height
    ));

    let detail = story.account.client.organisation(&user.organisation).await;
    let detail = detail.map_err(api_error("the start-up cannot be looked up"))?;
    let held = detail.grants.iter().find(|held| held.id == grant).map_or(Money::ZERO, |held| held.balance);
    teller.line(format!("{} holds {held} EUR of grant and {} EUR of cash", user.name, detail.cash));
    if detail.cash != Money::ZERO || held != terms.amount {
        return Err(TestnetError::Broken(format!(
            "the start-up should hold {} EUR of grant and no cash, and holds {held} EUR and {} EUR",
            terms.amount, detail.cash
        )));
    }
    teller.fact("member", home);
    teller.fact("organisation", user.organisation);
    teller.fact("organisation_name", &user.name);
    teller.fact("grant", grant);
    teller.fact("reference", &terms.reference);
    teller.fact("budget_line", &terms.budget_line);
    teller.fact("purpose", terms.purpose);
    teller.fact("amount", terms.amount);
    teller.fact("expires", expires);
    teller.fact("cash", detail.cash);
    teller.fact("treasury_threshold", threshold);
    teller.fact("treasury_keys", keys);
    teller.fact("finality_ms", [accredit_ms, grant_ms]);
    Ok(grant)
}
