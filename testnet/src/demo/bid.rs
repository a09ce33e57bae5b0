//! Stage 3: the start-up sends its job to its home node and bids for capacity to run it in.

use super::story::{Bid, Story};
use super::teller::{Teller, milliseconds};
use crate::error::{TestnetError, api_error};
use crate::job::{TRAINER, TRAINER_DATA};
use hansa_ledger::action::{PlaceRequest, request_id};
use hansa_ledger::id::{BlobHash, GrantId};
use hansa_ledger::member::{CountrySet, MemberCode};
use hansa_ledger::money::{PRICE_TICK_UEUR, Price};
use hansa_ledger::row::{Demand, Purpose, Purse, Source};
use hansa_ledger::time::{Slot, TimeMs};
use hansa_node_api::EventCursor;
use hansa_node_api::job::{JobFile, JobLimits, JobOutput, Manifest};
use hansa_node_api::peer::now_ms;
use std::collections::BTreeSet;
use tokio::time::Instant;

/// Accelerators.
const QUANTITY: u32 = 64;

/// Length of the lease, in slots of a second: more than the job needs, since the start-up ends it when the job is done and pays
/// for no second more.
const SLOTS: u32 = 30;

/// How late the lease may start, in slots.
const WINDOW_SLOTS: u32 = 60;

/// The most it pays above the ask, in percent.
const LIMIT_PERCENT: u64 = 125;

/// The most bytes of each output.
const OUTPUT_BYTES_MAX: u64 = 1 << 20;

/// What the job brings back.
const OUTPUTS: [&str; 2] = ["report.json", "weights.json"];

pub(super) async fn run(story: &Story, grant: GrantId, teller: &mut Teller<'_>) -> Result<Bid, TestnetError> {
    let account = &story.account;
    let manifest = manifest()?;
    for (name, bytes) in [
        ("trainer", TRAINER.to_vec()),
        ("data.csv", TRAINER_DATA.to_vec()),
        ("the manifest", manifest.encode()),
    ] {
        teller.now(&format!("sending {name} to the node of {}", story.user.home));
        let size = bytes.len();
        let sent = account.client.put_blob_bytes(account.chain, &account.key, bytes).await;
        let blob =
            sent.map_err(api_error(format!("{name} was not taken by the node of {}", story.user.home)))?;
        teller.line(format!("{}: {name}, {size} bytes, BLAKE3 {}", story.user.home, short(&blob.hash)));
    }

    let (demand, countries) = demand(story, grant, manifest.hash())?;
    teller.line(format!(
        "{} bids for {} x {} for {SLOTS} s at no more than {} EUR/h each, in {}, paid by the grant",
        story.user.name,
        demand.quantity,
        demand.class,
        demand.limit,
        countries.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or "),
    ));
    teller.now("waiting for the bid to be final");
    let placed_at = Instant::now();
    let sent = account.send_signed(vec![PlaceRequest { demand: demand.clone() }.into()]).await;
    let (signed, done) = sent.map_err(api_error("the bid was refused"))?;
    let finality_ms = milliseconds(placed_at.elapsed());
    let request = request_id(signed.id(), 0);
    let row = account
        .client
        .request_info(&request)
        .await
        .map_err(api_error("the request cannot be looked up"))?
        .row;
    teller.line(format!(
        "{}: request {} is final at height {} after {finality_ms} ms; {} EUR of the grant are in escrow",
        story.user.home,
        short(&request),
        done.height,
        row.locked
    ));
    teller.fact("request", request);
    teller.fact("manifest", manifest.hash());
    teller.fact("class", &demand.class);
    teller.fact("accelerators", demand.quantity);
    teller.fact("seconds", SLOTS);
    teller.fact("limit", demand.limit);
    teller.fact("countries", &countries);
    teller.fact("escrow", row.locked);
    teller.fact("finality_ms", finality_ms);
    // The block that took the bid is told again, so that nothing in it can be missed.
    let since = EventCursor::after_block(done.height.saturating_sub(1));
    Ok(Bid { request, manifest, placed_at, since })
}

/// The job: the trainer and its data in, the weights and the report out.
fn manifest() -> Result<Manifest, TestnetError> {
    let file = |path: &str, bytes: &[u8], executable| JobFile {
        path: path.to_owned(),
        hash: BlobHash(*blake3::hash(bytes).as_bytes()),
        size: bytes.len() as u64,
        executable,
    };
    let words = ["./trainer", "--data", "data.csv", "--weights", "weights.json", "--report", "report.json"];
    let files = vec![file("trainer", TRAINER, true), file("data.csv", TRAINER_DATA, false)];
    let outputs = OUTPUTS.map(|path| JobOutput { path: path.to_owned(), bytes_max: OUTPUT_BYTES_MAX });
    let limits =
        JobLimits { wall_s: u64::from(SLOTS), memory_bytes: 1 << 30, disk_bytes: 256 << 20, processes: 16 };
    Manifest::new(words.map(str::to_owned).to_vec(), files, outputs.to_vec(), limits)
        .map_err(|error| TestnetError::Broken(format!("the demo's job is none: {error}")))
}

/// The demand for the class of a site abroad, in any country but the start-up's own that has a site.
fn demand(
    story: &Story,
    grant: GrantId,
    job: BlobHash,
) -> Result<(Demand, BTreeSet<MemberCode>), TestnetError> {
    let sites = story.federation.state().providers.iter().map(|provider| &provider.capacity);
    let abroad: Vec<_> = sites.filter(|site| site.country != story.user.home).collect();
    let site = abroad.first().ok_or_else(|| {
        TestnetError::Refused(format!(
            "no member but {} has a site; the demo needs one abroad",
            story.user.home
        ))
    })?;
    let countries: BTreeSet<MemberCode> = abroad.iter().map(|site| site.country).collect();
    let set = CountrySet::of(countries.iter().copied()).map_err(TestnetError::Broken)?;
    let slot_s = story.federation.genesis().params.slot_s;
    let now = TimeMs(now_ms()).slot(slot_s);
    // One group may hold only a part of a class; the part of the smallest system is below the quantity.
    let held_max =
        u64::from(site.accelerators) * u64::from(story.federation.genesis().params.cap_bps) / 10_000;
    let quantity = QUANTITY.min(u32::try_from(held_max).unwrap_or(QUANTITY)).max(1);
    let limit = site.ask.0 * LIMIT_PERCENT / 100 / PRICE_TICK_UEUR * PRICE_TICK_UEUR;
    let demand = Demand {
        class: site.class.clone(),
        quantity,
        quantity_min: quantity,
        slots: SLOTS,
        start_min: now,
        start_max: Slot(now.0.saturating_add(WINDOW_SLOTS)),
        limit: Price(limit),
        countries: set,
        certificates: 0,
        tier_min: 0,
        purpose: Purpose::Innovation,
        sources: vec![Source { purse: Purse::Grant(grant), share_bps: 10_000 }],
        job: Some(job),
        lane: Default::default(),
        interruptible: false,
        any_of: Vec::new(),
    };
    Ok((demand, countries))
}

/// The beginning of an id or hash, for people.
pub(super) fn short(id: &impl std::fmt::Display) -> String {
    id.to_string().chars().take(12).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_job_is_one_that_a_provider_would_take() {
        let manifest = manifest().unwrap();
        assert_eq!(Manifest::decode(&manifest.encode()), Ok(manifest.clone()));
        assert_eq!(manifest.files.len(), 2);
        assert!(OUTPUTS.is_sorted());
    }
}
