//! Stage 6: everything that was told is checked against what more than two thirds of the members signed.

use super::bid::short;
use super::settle::euro;
use super::story::{Settled, Story, Work};
use super::teller::Teller;
use crate::error::{TestnetError, api_error};
use hansa_contracts_abi::{Facts, Runtime as _};
use hansa_contracts_host::Host;
use hansa_ledger::member::MemberCode;
use hansa_ledger::money::Money;
use hansa_ledger::row::{AccountId, Settlement};
use hansa_ledger::tables::{Accounts, Jobs, Settlements};
use hansa_node_api::Client;
use hansa_node_api::certificate::Certificate;
use hansa_node_api::filter::OrganisationFilter;
use hansa_node_api::status::NodeStatus;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::time::Instant;

/// How long the nodes may take to stand at one height.
const AGREE_TIME_MAX: Duration = Duration::from_secs(10);

/// How often they are asked.
const AGREE_PAUSE: Duration = Duration::from_millis(25);

pub(super) async fn run(
    story: &Story,
    work: &Work,
    settled: &Settled,
    teller: &mut Teller<'_>,
) -> Result<(), TestnetError> {
    teller.now("comparing the nodes");
    let status = agree(story).await?;
    let nodes = story.federation.clients().len();
    teller.line(format!(
        "all {nodes} nodes stand at height {} with state root {}",
        status.height,
        short(&status.state_root)
    ));
    teller.fact("nodes", nodes);
    teller.fact("height", status.height);
    teller.fact("state_root", status.state_root);

    teller.now("counting the money");
    let held = conserved(story).await?;
    teller.line(format!(
        "money conserved: {} EUR in the accounts, as issued, in every member's books",
        euro(held)
    ));
    teller.fact("money_held", euro(held));

    teller.now("checking the outputs");
    output_is_right(story, work).await?;
    teller.line("the outputs have the hashes that stand on the ledger");
    teller.fact("output_hash_right", true);

    teller.now("checking the settlement's proof");
    let signed = settlement_is_proven(story, work, settled).await?;
    teller.line(format!(
        "the settlement is proven at each node by the signatures of {signed} of {} members",
        story.federation.validators().len()
    ));
    replay(story, &settled.settlement)?;
    teller.line(format!(
        "the contract run again on the same facts pays the same, with the same {} units of fuel",
        settled.settlement.fuel
    ));
    teller.fact("settlement_signatures", signed);
    teller.fact("settlement_replayed", true);
    Ok(())
}

/// Waits until all nodes stand at one height with one root.
async fn agree(story: &Story) -> Result<NodeStatus, TestnetError> {
    let until = Instant::now() + AGREE_TIME_MAX;
    loop {
        let asked = story.federation.clients().iter().map(|(code, client)| async move {
            client.status().await.map_err(api_error(format!("the node of {code}")))
        });
        let mut all = futures::future::try_join_all(asked).await?;
        let height = all.iter().map(|status| status.height).max().unwrap_or(0);
        if all.iter().all(|status| status.height == height) {
            let roots: BTreeSet<_> = all.iter().map(|status| status.state_root).collect();
            return match (roots.len(), all.pop()) {
                (1, Some(status)) => Ok(status),
                _ => Err(TestnetError::Broken(format!(
                    "the nodes have {} state roots at height {height}",
                    roots.len()
                ))),
            };
        }
        if Instant::now() >= until {
            let heights: Vec<String> =
                all.iter().map(|status| format!("{} at {}", status.member, status.height)).collect();
            return Err(TestnetError::Missed(format!(
                "the nodes do not come to one height: {}",
                heights.join(", ")
            )));
        }
        tokio::time::sleep(AGREE_PAUSE).await;
    }
}

/// Compares per member what the accounts hold with what its books say, and gives the sum in uEUR.
async fn conserved(story: &Story) -> Result<i128, TestnetError> {
    // Only a member sees the books of everybody.
    let client = story.federation.client(story.user.home)?;
    let mut held: BTreeMap<MemberCode, i128> = BTreeMap::new();
    let mut lines = BTreeSet::new();
    let organisations = client.organisations(&OrganisationFilter::default()).await;
    for organisation in organisations.map_err(api_error("the organisations cannot be listed"))? {
        let detail = client.organisation(&organisation.id).await;
        let detail = detail.map_err(api_error("an organisation cannot be looked up"))?;
        let grants = detail.grants.iter().map(|grant| grant.balance);
        let purses = grants.chain([detail.cash, detail.escrowed]);
        *held.entry(organisation.row.home).or_default() +=
            purses.map(|amount| i128::from(amount.0)).sum::<i128>();
        lines.extend(detail.grants.into_iter().map(|grant| (grant.row.issuer, grant.row.budget_line)));
    }
    for (issuer, line) in lines {
        let amount = balance(story, client, &AccountId::Line(issuer, line)).await?;
        *held.entry(issuer).or_default() += i128::from(amount.0);
    }
    let fees = balance(story, client, &AccountId::Fees).await?;
    *held.entry(MemberCode::EU).or_default() += i128::from(fees.0);

    let members = client.members().await.map_err(api_error("the members cannot be looked up"))?;
    for member in &members {
        let row = &member.row;
        let owed = i128::from(row.issued.0) - i128::from(row.redeemed.0) + row.position + row.confirmed;
        let held = held.get(&member.code).copied().unwrap_or(0);
        if held != owed {
            return Err(TestnetError::Broken(format!(
                "the accounts of {} hold {} EUR and its books say {} EUR",
                member.code,
                euro(held),
                euro(owed)
            )));
        }
    }
    let positions: i128 = members.iter().map(|member| member.row.position).sum();
    if positions != 0 {
        return Err(TestnetError::Broken(format!(
            "the positions sum to {} EUR instead of 0",
            euro(positions)
        )));
    }
    Ok(held.values().sum())
}

/// What an account holds, proven.
async fn balance(story: &Story, client: &Client, account: &AccountId) -> Result<Money, TestnetError> {
    let proof = client.proof::<Accounts>(account).await.map_err(api_error("a balance cannot be proven"))?;
    let row = proof
        .verify::<Accounts>(account, &story.federation.validators())
        .map_err(|error| TestnetError::Broken(format!("the proof of a balance: {error}")))?;
    Ok(row.map_or(Money::ZERO, |row| row.balance))
}

/// The outputs hash to what their manifest says, and the manifest to what the ledger says, proven.
async fn output_is_right(story: &Story, work: &Work) -> Result<(), TestnetError> {
    let broken = |text: String| Err(TestnetError::Broken(text));
    let key = (work.lease, 0);
    let proof =
        story.account.client.proof::<Jobs>(&key).await.map_err(api_error("the job cannot be proven"))?;
    let row = proof
        .verify::<Jobs>(&key, &story.federation.validators())
        .map_err(|error| TestnetError::Broken(format!("the proof of the job: {error}")))?;
    if row.and_then(|row| row.outputs) != Some(work.outputs.hash()) {
        return broken("the list of outputs is not the one on the ledger".to_owned());
    }
    for file in &work.outputs.files {
        let found = work.files.iter().find(|(path, _)| *path == file.path);
        let hash = found.map(|(_, bytes)| *blake3::hash(bytes).as_bytes());
        if hash != Some(file.hash.0) {
            return broken(format!("the output `{}` has another hash than its list says", file.path));
        }
    }
    Ok(())
}

/// Asks every node for the settlement with its proof, and checks it against the members of the genesis. Gives the fewest
/// signatures seen.
async fn settlement_is_proven(story: &Story, work: &Work, settled: &Settled) -> Result<usize, TestnetError> {
    let validators = story.federation.validators();
    let mut fewest = validators.len();
    for (code, client) in story.federation.clients() {
        let proof = client.proof::<Settlements>(&work.lease).await;
        let proof =
            proof.map_err(api_error(format!("the settlement cannot be proven at the node of {code}")))?;
        let row = proof
            .verify::<Settlements>(&work.lease, &validators)
            .map_err(|error| TestnetError::Broken(format!("the proof from the node of {code}: {error}")))?;
        if row.as_ref() != Some(&settled.settlement) {
            return Err(TestnetError::Broken(format!(
                "the node of {code} proves another settlement than was paid"
            )));
        }
        let certificate: Certificate = borsh::from_slice(&proof.certificate)
            .map_err(|error| TestnetError::Broken(format!("the certificate cannot be read: {error}")))?;
        fewest = fewest.min(certificate.signatures.len());
    }
    if settled.row.agreement.contract != settled.settlement.contract {
        return Err(TestnetError::Broken(
            "the lease was settled by another contract than was agreed".to_owned(),
        ));
    }
    Ok(fewest)
}

/// Runs the contract again: the code from our own genesis, the facts from the ledger.
fn replay(story: &Story, settlement: &Settlement) -> Result<(), TestnetError> {
    let broken = |text: String| TestnetError::Broken(text);
    let contracts = &story.federation.genesis().contracts;
    let host = Host::new();
    let code =
        contracts.iter().find(|contract| blake3::hash(&contract.code).as_bytes() == &settlement.contract.0);
    let code = code.ok_or_else(|| broken("the contract is none of the genesis".to_owned()))?;
    let hash =
        host.load(&code.code).map_err(|error| broken(format!("the contract cannot be loaded: {error}")))?;
    let facts: Facts = borsh::from_slice(&settlement.facts)
        .map_err(|error| broken(format!("the facts of the settlement cannot be read: {error}")))?;
    let outcome = host.settle(&hash, &settlement.contract_params, &facts);
    let split = outcome
        .result
        .map_err(|failure| broken(format!("the contract failed when run again: {failure:?}")))?;
    let bytes =
        borsh::to_vec(&split).map_err(|error| broken(format!("the split cannot be encoded: {error}")))?;
    if bytes != settlement.split || outcome.fuel != settlement.fuel || settlement.failure.is_some() {
        return Err(broken("the contract run again decides otherwise".to_owned()));
    }
    Ok(())
}
