//! Stage 4: the batch awards a lease abroad, and the agent there runs the job and returns what it made.

use super::bid::short;
use super::story::{Bid, Events, Story, Work};
use super::teller::{Teller, milliseconds};
use crate::error::{TestnetError, api_error, file_error};
use crate::layout::ProviderRecord;
use hansa_ledger::event::Event;
use hansa_ledger::id::{BlobHash, LeaseId, OrganisationId};
use hansa_ledger::money::Price;
use hansa_ledger::row::JobState;
use hansa_node_api::event::EventInfo;
use hansa_node_api::job::{MANIFEST_BYTES_MAX, OutputManifest};
use hansa_node_provider::work::JobFolder;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long the award may take, and the agent to begin.
const AWARD_TIME_MAX: Duration = Duration::from_secs(20);

/// How long the job may take, from the beginning of the lease to the report of its end.
const JOB_TIME_MAX: Duration = Duration::from_secs(40);

/// The most bytes fetched of one file: what a log may have, which is more than any output of this job may.
const FILE_BYTES_MAX: usize = 16 << 20;

/// How often the log is looked at.
const LOG_PAUSE: Duration = Duration::from_millis(50);

struct Award {
    lease: LeaseId,
    provider: OrganisationId,
    quantity: u32,
    price: Price,
    height: u64,
}

pub(super) async fn run(story: &Story, bid: &Bid, teller: &mut Teller<'_>) -> Result<Work, TestnetError> {
    let mut events = story.events(bid.since);
    teller.now("waiting for the batch");
    let award = wait_award(story, bid, &mut events).await?;
    let award_ms = milliseconds(bid.placed_at.elapsed());
    let provider = provider(story, &award.provider)?;
    let site = &provider.capacity;
    teller.line(format!(
        "the batch awarded {} x {} at {} in {} for {} EUR/h; final at height {}, {award_ms} ms after the bid",
        award.quantity, site.class, site.system, site.country, award.price, award.height
    ));
    if site.country == story.user.home {
        return Err(TestnetError::Broken(format!(
            "the lease is at home, in {}, and should be abroad",
            site.country
        )));
    }
    teller.now(&format!("waiting for the agent of {} to begin", provider.name));
    let started = events
        .wait(&format!("the begin of the lease by {}", provider.name), AWARD_TIME_MAX, |info| {
            match &info.event {
                Event::LeaseStarted { lease, .. } if *lease == award.lease => Some(info.height),
                _ => None,
            }
        })
        .await?;
    let started_ms = milliseconds(bid.placed_at.elapsed());
    teller.line(format!(
        "{}: the agent of {} began the lease at height {started}, {started_ms} ms after the bid, and fetches the job",
        site.country, provider.name
    ));
    let (state, outputs) = follow_job(story, &provider, &award.lease, &mut events, teller).await?;
    let job_ms = milliseconds(bid.placed_at.elapsed());
    let manifest_hash = check_end(state, outputs)?;
    let (outputs, files) = fetch(story, bid, &manifest_hash, teller).await?;
    let accuracy = accuracy(&files)?;
    teller.line(format!(
        "the report says: accuracy {:.2} % on samples the model had not seen",
        accuracy * 100.0
    ));
    teller.fact("lease", award.lease);
    teller.fact("provider", &provider.name);
    teller.fact("site", &site.site);
    teller.fact("country", site.country);
    teller.fact("accelerators", award.quantity);
    teller.fact("price", award.price);
    teller.fact("award_ms", award_ms);
    teller.fact("started_ms", started_ms);
    teller.fact("job_reported_ms", job_ms);
    teller.fact("outputs_manifest", manifest_hash);
    teller.fact("outputs", &outputs.files);
    teller.fact("accuracy", accuracy);
    Ok(Work { lease: award.lease, provider, outputs, files, events })
}

/// The award of our request. A request that leaves the book otherwise is told with its reason.
async fn wait_award(story: &Story, bid: &Bid, events: &mut Events) -> Result<Award, TestnetError> {
    let pick = |info: &EventInfo| match &info.event {
        Event::LeaseAwarded { lease, request, provider, quantity, price, .. } if *request == bid.request => {
            let (lease, provider, quantity, price) = (*lease, *provider, *quantity, *price);
            Some(Some(Award { lease, provider, quantity, price, height: info.height }))
        }
        Event::RequestClosed { request, .. } if *request == bid.request => Some(None),
        _ => None,
    };
    let outcome = events.wait("the award", AWARD_TIME_MAX, pick).await;
    match outcome {
        Ok(Some(award)) => Ok(award),
        Err(TestnetError::Missed(_)) | Ok(None) => {
            let why = story.account.client.request_why(&bid.request).await;
            let why = why.map_err(api_error("the bid was not matched, and nobody says why"))?;
            Err(TestnetError::Missed(format!("the bid was not matched: {}", why.sentence)))
        }
        Err(error) => Err(error),
    }
}

fn provider(story: &Story, id: &OrganisationId) -> Result<ProviderRecord, TestnetError> {
    let found = story.federation.state().providers.iter().find(|provider| provider.organisation == *id);
    found
        .cloned()
        .ok_or_else(|| TestnetError::Broken(format!("the lease went to {id}, which has no agent here")))
}

/// Shows the job's log while it runs, and waits for the report of its end.
async fn follow_job(
    story: &Story,
    provider: &ProviderRecord,
    lease: &LeaseId,
    events: &mut Events,
    teller: &mut Teller<'_>,
) -> Result<(JobState, Option<BlobHash>), TestnetError> {
    let mut log = LogFile::new(&story.layout.provider(&provider.name).join("data"), lease);
    let pick = |info: &EventInfo| match &info.event {
        Event::JobEnded { lease: found, job: 0, state, outputs } if found == lease => {
            Some((*state, *outputs))
        }
        _ => None,
    };
    let ended = events.wait("the end of the job", JOB_TIME_MAX, pick);
    tokio::pin!(ended);
    loop {
        tokio::select! {
            end = &mut ended => {
                log.show(teller);
                return end;
            }
            () = tokio::time::sleep(LOG_PAUSE) => log.show(teller),
        }
    }
}

fn check_end(state: JobState, outputs: Option<BlobHash>) -> Result<BlobHash, TestnetError> {
    match (state, outputs) {
        (JobState::Succeeded, Some(hash)) => Ok(hash),
        (_, outputs) => Err(TestnetError::Broken(format!(
            "the job failed{}; its log stands above and in the agent's folder",
            if outputs.is_none() { " and returned nothing" } else { "" }
        ))),
    }
}

/// Fetches what the job left behind from the start-up's own node: the manifest first, then each file by its hash.
async fn fetch(
    story: &Story,
    bid: &Bid,
    hash: &BlobHash,
    teller: &mut Teller<'_>,
) -> Result<(OutputManifest, Vec<(String, Vec<u8>)>), TestnetError> {
    let (client, chain, key) = (&story.account.client, story.account.chain, &story.account.key);
    teller.now("fetching the outputs");
    let bytes = client.get_blob_bytes(chain, key, *hash, MANIFEST_BYTES_MAX).await;
    let bytes = bytes.map_err(api_error("the list of outputs cannot be fetched"))?;
    let outputs = OutputManifest::decode(&bytes)
        .map_err(|error| TestnetError::Broken(format!("the list of outputs is none: {error}")))?;
    outputs
        .answers(&bid.manifest)
        .map_err(|error| TestnetError::Broken(format!("the outputs are wrong: {error}")))?;
    let folder = story.layout.folder().join("output");
    std::fs::create_dir_all(&folder).map_err(file_error("make the folder", &folder))?;
    let mut files = Vec::new();
    for file in &outputs.files {
        let bytes = client.get_blob_bytes(chain, key, file.hash, FILE_BYTES_MAX).await;
        let bytes = bytes.map_err(api_error(format!("the output `{}` cannot be fetched", file.path)))?;
        let Some(name) = Path::new(&file.path).file_name() else { continue };
        let place = folder.join(name);
        std::fs::write(&place, &bytes).map_err(file_error("write", &place))?;
        teller.line(format!(
            "{}: {} came back, {} bytes, BLAKE3 {} as the agent reported",
            story.user.home,
            file.path,
            file.size,
            short(&file.hash)
        ));
        files.push((file.path.clone(), bytes));
    }
    Ok((outputs, files))
}

/// The accuracy in the job's report.
fn accuracy(files: &[(String, Vec<u8>)]) -> Result<f64, TestnetError> {
    let report = files.iter().find(|(path, _)| path == "report.json").map(|(_, bytes)| bytes.as_slice());
    let report: serde_json::Value = serde_json::from_slice(report.unwrap_or_default())
        .map_err(|error| TestnetError::Broken(format!("the job's report is no JSON: {error}")))?;
    let accuracy = report["accuracy"].as_f64();
    accuracy.ok_or_else(|| TestnetError::Broken("the job's report names no accuracy".to_owned()))
}

/// The log of the first job of a lease, where the agent writes it on this machine. It comes back with the outputs too, but only
/// when the job is over.
struct LogFile {
    path: PathBuf,
    read: u64,
    rest: String,
}

impl LogFile {
    fn new(data: &Path, lease: &LeaseId) -> Self {
        let folder = data.join("leases").join(lease.to_string());
        Self { path: JobFolder::new(&folder, 0).log(), read: 0, rest: String::new() }
    }

    /// Prints the lines that came since the last time.
    fn show(&mut self, teller: &mut Teller<'_>) {
        // A log that is not there yet, or cannot be read, is looked for again the next time; the job does not depend on it.
        let Ok(text) = self.news() else { return };
        self.rest.push_str(&text);
        while let Some(end) = self.rest.find('\n') {
            let line: String = self.rest.drain(..=end).collect();
            teller.line(format!("  | {}", line.trim_end()));
        }
    }

    fn news(&mut self) -> std::io::Result<String> {
        let mut file = std::fs::File::open(&self.path)?;
        file.seek(SeekFrom::Start(self.read))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        self.read += bytes.len() as u64;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::Progress;

    #[test]
    fn the_log_is_found_and_shown_line_by_line() {
        let folder = tempfile::tempdir().unwrap();
        let lease = LeaseId([7; 32]);
        let job = folder.path().join("leases").join(lease.to_string()).join("0");
        let mut log = LogFile::new(folder.path(), &lease);
        let mut out = Vec::new();
        let mut teller = Teller::new(&mut out, false, Progress::new(true));
        log.show(&mut teller);
        std::fs::create_dir_all(&job).unwrap();
        std::fs::write(job.join("log"), "one\ntw").unwrap();
        log.show(&mut teller);
        std::fs::write(job.join("log"), "one\ntwo\n").unwrap();
        log.show(&mut teller);
        assert_eq!(String::from_utf8(out).unwrap(), "     | one\n     | two\n");
    }

    #[test]
    fn only_a_job_that_succeeded_and_returned_something_counts() {
        let hash = BlobHash([1; 32]);
        assert_eq!(check_end(JobState::Succeeded, Some(hash)).unwrap(), hash);
        for (state, outputs) in
            [(JobState::Failed, Some(hash)), (JobState::Succeeded, None), (JobState::Failed, None)]
        {
            assert!(check_end(state, outputs).is_err());
        }
        let report = |text: &str| accuracy(&[("report.json".to_owned(), text.as_bytes().to_vec())]);
        assert_eq!(report("{\"accuracy\": 0.97}").unwrap(), 0.97);
        assert!(report("{}").is_err() && accuracy(&[]).is_err());
    }
}
