//! What the offices of a testnet do at its beginning: accredit, issue grants, attest deposits. Each step looks first whether it
//! was done before, so that a testnet that was stopped in between is completed.

use crate::error::{TestnetError, api_error};
use crate::federation::Federation;
use crate::layout::{ProviderRecord, UserRecord};
use hansa_ledger::action::{
    AccreditOrganisation, AccreditSite, Action, ApproveOrder, AttestDeposit, ConfirmSite, IssueGrant,
    grant_id,
};
use hansa_ledger::event::Event;
use hansa_ledger::id::OrganisationId;
use hansa_ledger::member::MemberCode;
use hansa_ledger::money::Money;
use hansa_ledger::name::Name;
use hansa_ledger::possession::Possession;
use hansa_ledger::row::{Office, OrganisationClass, SiteKey};
use hansa_ledger::time::TimeMs;
use hansa_node_api::chain::FinalTransaction;
use hansa_node_api::filter::SiteFilter;
use hansa_node_api::peer::now_ms;
use hansa_node_api::{Client, Fault};
use std::time::Duration;

/// How long accreditations and grants of a testnet hold.
const VALIDITY: Duration = Duration::from_secs(365 * 86_400);

/// The interconnect tier of the sites: one fabric that all nodes share. The data do not tell them apart.
const TIER: u8 = 2;

/// Accredits the providers and their sites: each by the registrar of the member it stands in, all members at once. Then the
/// member that comes next by code confirms each site, as another member has to.
///
/// # Errors
/// Which member's node refused, and why.
pub async fn providers(federation: &Federation) -> Result<(), TestnetError> {
    each_member(federation, |code| async move {
        let mut actions = Vec::new();
        for provider in federation.state().providers.iter().filter(|one| one.capacity.country == code) {
            if !is_known(federation.client(code)?, &provider.organisation).await? {
                actions.extend(provider_actions(federation, provider)?);
            }
        }
        send(federation, code, Office::Registrar, actions).await
    })
    .await?;
    each_member(federation, |code| async move {
        let mut actions = Vec::new();
        for provider in &federation.state().providers {
            let country = provider.capacity.country;
            if confirmer(federation, country) == Some(code) {
                actions.extend(confirmation(federation.client(country)?, provider).await?);
            }
        }
        send(federation, code, Office::Registrar, actions).await
    })
    .await
}

/// The member that confirms the sites of `country`: the next by code.
pub(crate) fn confirmer(federation: &Federation, country: MemberCode) -> Option<MemberCode> {
    let codes =
        || federation.state().members.iter().map(|member| member.code).filter(|code| *code != country);
    codes().filter(|code| *code > country).min().or_else(|| codes().min())
}

/// The confirmation of a provider's site, if it awaits one.
async fn confirmation(client: &Client, provider: &ProviderRecord) -> Result<Option<Action>, TestnetError> {
    let filter = SiteFilter { provider: Some(provider.organisation), ..SiteFilter::default() };
    let sites = client.sites(&filter).await.map_err(api_error("the sites cannot be read"))?;
    let waits = sites.into_iter().find(|one| one.row.confirmed < one.row.accelerators);
    Ok(waits.map(|one| {
        let SiteKey { provider, site, class } = one.key;
        ConfirmSite { provider, site, class, accelerators: one.row.accelerators }.into()
    }))
}

/// Accredits the users and gives them their money: each by its home member, all members at once.
///
/// # Errors
/// As [`providers`].
pub async fn users(federation: &Federation) -> Result<(), TestnetError> {
    each_member(federation, |code| async move {
        let (mut accreditations, mut money) = (Vec::new(), Vec::new());
        let client = federation.client(code)?;
        for user in federation.state().users.iter().filter(|user| user.home == code) {
            if !is_known(client, &user.organisation).await? {
                accreditations.push(accredit_user(federation, user)?);
                money.extend(money_actions(user));
            } else if is_unfunded(client, user).await? {
                money.extend(money_actions(user));
            }
        }
        send(federation, code, Office::Registrar, accreditations).await?;
        send(federation, code, Office::Treasury, money).await
    })
    .await
}

/// Lets an office sign actions in one transaction; none for none.
async fn send(
    federation: &Federation,
    code: MemberCode,
    office: Office,
    actions: Vec<Action>,
) -> Result<(), TestnetError> {
    if !actions.is_empty() {
        sign(federation, code, office, actions).await?;
    }
    Ok(())
}

/// Lets an office do actions in one transaction, and waits until it is final. Where the office takes several keys, the first
/// proposes and the others approve, and the transaction is the last approval.
pub(crate) async fn sign(
    federation: &Federation,
    code: MemberCode,
    office: Office,
    actions: Vec<Action>,
) -> Result<FinalTransaction, TestnetError> {
    let failed = |error| api_error(format!("a transaction of the {office} office of {code} failed"))(error);
    let accounts = federation.office(code, office)?;
    let Some((proposer, approvers)) = accounts.split_first() else {
        return Err(TestnetError::Broken(format!("the {office} office of {code} has no key")));
    };
    let mut done = proposer.send(actions).await.map_err(failed)?;
    let placed = done.receipt.events.iter().filter_map(|event| match event {
        Event::OrderPlaced { order, .. } => Some(ApproveOrder { order: *order }.into()),
        _ => None,
    });
    let approvals: Vec<Action> = placed.collect();
    if !approvals.is_empty() {
        for approver in approvers {
            done = approver.send(approvals.clone()).await.map_err(failed)?;
        }
    }
    Ok(done)
}

/// The accreditation of a user.
///
/// # Errors
/// When its key cannot be read.
pub(crate) fn accredit_user(federation: &Federation, user: &UserRecord) -> Result<Action, TestnetError> {
    let proof = federation.proof(&federation.layout().user_key(&user.name), user.organisation)?;
    Ok(accredit(&user.register_number, &user.name, user.class, user.key, proof).into())
}

/// The grant of a user, if it gets one.
pub(crate) fn issue_grant(user: &UserRecord) -> Option<IssueGrant> {
    user.grant.as_ref().map(|grant| IssueGrant {
        holder: user.organisation,
        reference: grant.reference.clone(),
        budget_line: grant.budget_line.clone(),
        purpose: grant.purpose,
        amount: grant.amount,
        expires: validity_end(),
    })
}

fn money_actions(user: &UserRecord) -> Vec<Action> {
    let deposit = (user.cash != Money::ZERO).then(|| AttestDeposit {
        organisation: user.organisation,
        amount: user.cash,
        reference: Name::new(&format!("opening-{}", user.name)).unwrap_or_else(|_| user.name.clone()),
    });
    let grant = issue_grant(user).map(Action::from);
    grant.into_iter().chain(deposit.map(Action::from)).collect()
}

fn provider_actions(federation: &Federation, provider: &ProviderRecord) -> Result<[Action; 2], TestnetError> {
    let ProviderRecord { name, register_number, organisation, key, capacity } = provider;
    let site = AccreditSite {
        provider: *organisation,
        site: capacity.site.clone(),
        class: capacity.class.clone(),
        accelerators: capacity.accelerators,
        node_size: capacity.node_size,
        tier: TIER,
        certificates: 0,
        pool: capacity.pool,
        parts: Vec::new(),
    };
    let proof = federation.proof(&federation.layout().provider_key(name), *organisation)?;
    let accreditation = accredit(register_number, name, OrganisationClass::Research, *key, proof);
    Ok([accreditation.into(), site.into()])
}

fn accredit(
    number: &str,
    name: &Name,
    class: OrganisationClass,
    key: hansa_ledger_signature::PublicKey,
    proof: Possession,
) -> AccreditOrganisation {
    AccreditOrganisation {
        register_number: number.to_owned(),
        owner: None,
        name: name.clone(),
        class,
        accredited_until: validity_end(),
        key,
        proof: Some(proof),
    }
}

fn validity_end() -> TimeMs {
    TimeMs(now_ms()).plus(u64::try_from(VALIDITY.as_millis()).unwrap_or(u64::MAX))
}

async fn is_known(client: &Client, organisation: &OrganisationId) -> Result<bool, TestnetError> {
    match client.organisation(organisation).await {
        Ok(_) => Ok(true),
        Err(error) if error.fault() == Some(Fault::NotFound) => Ok(false),
        Err(error) => Err(api_error("an organisation cannot be looked up")(error)),
    }
}

/// Whether an accredited user never got its money: a testnet was stopped between the two steps.
async fn is_unfunded(client: &Client, user: &UserRecord) -> Result<bool, TestnetError> {
    let detail = client.organisation(&user.organisation).await;
    let detail = detail.map_err(api_error("an organisation cannot be looked up"))?;
    let Some(grant) = &user.grant else {
        return Ok(user.cash != Money::ZERO
            && detail.cash == Money::ZERO
            && detail.organisation.row.sequence == 0);
    };
    let id = grant_id(user.home, &grant.reference);
    Ok(!detail.grants.iter().any(|held| held.id == id))
}

/// Does something for each member at the same time.
async fn each_member<F>(federation: &Federation, work: impl Fn(MemberCode) -> F) -> Result<(), TestnetError>
where
    F: Future<Output = Result<(), TestnetError>>,
{
    let works = federation.state().members.iter().map(|member| work(member.code));
    futures::future::try_join_all(works).await.map(|_| ())
}
