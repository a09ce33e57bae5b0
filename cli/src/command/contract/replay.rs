//! Running the settlements of a lease again, and writing them where others can.

use super::tell;
use crate::error::{Failure, Outcome};
use crate::session::Session;
use hansa_cli_contract::{BUNDLE_FORMAT, BUNDLE_VERSION, Finding, ReplayBundle, ReplayStep};
use hansa_contracts_host::Host;
use hansa_ledger::id::{BlockId, LeaseId};
use hansa_ledger::replay::{Record, ReplayReport};
use hansa_node_api::{Client, Fault};
use serde_json::json;
use std::path::Path;

/// Everything that was paid for a lease, as a node tells it.
struct Told {
    record: Record,
    bundle: ReplayBundle,
}

pub(super) async fn run(session: &Session, lease: &str) -> Outcome {
    // Where a file is meant and there is none, a list of leases is no help.
    if !lease.bytes().all(|letter| letter.is_ascii_hexdigit()) {
        return Err(Failure::refused(format!("`{lease}` is no file that exists, and no id of a lease"))
            .hint(
                "write it first: `hansa contract export LEASE FILE`, or give a lease: `hansa lease list`",
            ));
    }
    let client = session.reader().await?;
    let lease = session.find_lease(&client, lease).await?;
    let progress = session.printer.progress("running the settlements again");
    let told = fetch(&client, &lease).await;
    progress.finish();
    let Told { record, bundle } = told?;
    let mut report = bundle.replay();
    // What the bundle cannot tell: whether the payments follow from the splits, and add up to what was locked.
    report.findings.extend(paid(&record, &bundle.code));
    report.agrees = report.findings.iter().all(|finding| finding.agrees);
    tell(session, report.answer())
}

pub(super) async fn export(session: &Session, lease: &str, file: &Path) -> Outcome {
    let client = session.reader().await?;
    let lease = session.find_lease(&client, lease).await?;
    let Told { bundle, .. } = fetch(&client, &lease).await?;
    let bytes = serde_json::to_vec_pretty(&bundle)
        .map_err(|error| Failure::failed(format!("the bundle cannot be written as JSON: {error}")))?;
    std::fs::write(file, bytes)
        .map_err(|error| Failure::failed(format!("cannot write `{}`: {error}", file.display())))?;
    let settlements = bundle.settlements.len();
    let made = json!({ "lease": lease, "file": file, "settlements": settlements });
    let what = if settlements == 1 { "settlement" } else { "settlements" };
    session.printer.data(&made, || format!("wrote {settlements} {what} to {}", file.display()));
    session.printer.note(&format!("anybody can run that again: `hansa contract replay {}`", file.display()));
    Ok(())
}

async fn fetch(client: &Client, lease: &LeaseId) -> Outcome<Told> {
    let row = client.lease(lease).await?.row;
    let settlement = client.settlement(lease).await?.row;
    let interims = client.interims(lease).await?.into_iter().map(|one| one.row).collect();
    let record = Record { settlement, interims };
    let agreement = row.agreement;
    let code = client.contract(&agreement.contract).await?.code.unwrap_or_default();
    let genesis = client.genesis().await?;
    let mut settlements = Vec::new();
    for one in &record.interims {
        settlements.push(ReplayStep {
            height: one.height,
            block: block(client, one.height).await?,
            facts: one.facts.clone(),
            split: one.split.clone(),
            fuel: one.fuel,
            failure: one.failure.clone(),
        });
    }
    let last = &record.settlement;
    settlements.push(ReplayStep {
        height: last.height,
        block: block(client, last.height).await?,
        facts: last.facts.clone(),
        split: Some(last.split.clone()),
        fuel: last.fuel,
        failure: last.failure.clone(),
    });
    let bundle = ReplayBundle {
        format: BUNDLE_FORMAT.to_owned(),
        version: BUNDLE_VERSION,
        chain: genesis.chain_id(),
        lease: *lease,
        vm_profile: genesis.vm_profile.to_vec(),
        contract: agreement.contract,
        code,
        params: agreement.contract_params,
        fallback: agreement.fallback,
        settlements,
    };
    Ok(Told { record, bundle })
}

/// The block of this height, unless the node has dropped it.
async fn block(client: &Client, height: u64) -> Outcome<Option<BlockId>> {
    match client.header(height).await {
        Ok(block) => Ok(Some(block.id)),
        Err(error) if error.fault() == Some(Fault::HistoryGone) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// What the ledger's own replay finds.
fn paid(record: &Record, code: &[u8]) -> Vec<Finding> {
    let finding = |settlement, check: &str, agrees, detail: &str| Finding {
        settlement,
        check: check.to_owned(),
        agrees,
        detail: detail.to_owned(),
    };
    let report: ReplayReport = match hansa_ledger::replay::replay(record, code, &Host::new()) {
        Ok(report) => report,
        Err(error) => return vec![finding(0, "payments", false, &error.to_string())],
    };
    let mut findings = Vec::new();
    for (number, call) in (1..).zip(&report.calls) {
        let linked = call.is_linked && call.is_output_equal && call.is_fuel_equal;
        findings.push(match (call.is_paid_so, linked) {
            (true, true) => finding(number, "payments", true, "every account got what the split says"),
            (false, _) => {
                finding(number, "payments", false, "an account got something else than the split says")
            }
            (true, false) => {
                finding(number, "payments", false, "it does not go on from the settlement before")
            }
        });
    }
    findings.push(match report.is_balanced {
        true => finding(0, "money", true, "payments and refunds are together what was locked"),
        false => finding(0, "money", false, "payments and refunds are not together what was locked"),
    });
    findings
}
