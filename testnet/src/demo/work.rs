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
use hansa_node_api::ApiError;
use hansa_node_api::client::log::{LogFollower, LogPiece};
use hansa_node_api::event::EventInfo;
use hansa_node_api::job::{LOG_PATH, MANIFEST_BYTES_MAX, OutputManifest};
use hansa_node_api::text::Lines;
use std::path::Path;
use std::time::Duration;

/// How long the award may take, and the agent to begin.
const AWARD_TIME_MAX: Duration = Duration::from_secs(20);

/// How long the job may take, from the beginning of the lease to the report of its end.
const JOB_TIME_MAX: Duration = Duration::from_secs(40);

/// The most bytes fetched of one file: what a log may have, which is more than any output of this job may.
const FILE_BYTES_MAX: usize = 16 << 20;

/// How long the end of the log may take once the job is reported.
const LOG_TIME_MAX: Duration = Duration::from_secs(2);

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
    let mut log = Log::default();
    let (state, outputs) = follow_job(story, &award.lease, &mut events, &mut log, teller).await?;
    let job_ms = milliseconds(bid.placed_at.elapsed());
    let manifest_hash = check_end(state, outputs)?;
    let (outputs, files) = fetch(story, bid, &manifest_hash, teller).await?;
    log.check(&files)?;
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
    teller.fact("log_lines", log.lines_shown);
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

/// Shows the job's log while it runs, as the start-up reads it from its own node, and waits for the report of the job's end.
async fn follow_job(
    story: &Story,
    lease: &LeaseId,
    events: &mut Events,
    log: &mut Log,
    teller: &mut Teller<'_>,
) -> Result<(JobState, Option<BlobHash>), TestnetError> {
    let pick = |info: &EventInfo| match &info.event {
        Event::JobEnded { lease: found, job: 0, state, outputs } if found == lease => {
            Some((*state, *outputs))
        }
        _ => None,
    };
    let mut follower = LogFollower::new(story.account.clone(), *lease, 0);
    let mut goes_on = true;
    let end = {
        let ended = events.wait("the end of the job", JOB_TIME_MAX, pick);
        tokio::pin!(ended);
        loop {
            tokio::select! {
                end = &mut ended => break end?,
                piece = follower.next(), if goes_on => goes_on = log.show(piece, teller)?,
            }
        }
    };
    teller.fact("log_lines_live", log.lines_shown);
    let rest = async {
        while goes_on {
            goes_on = log.show(follower.next().await, teller)?;
        }
        Ok(())
    };
    // What did not come by then comes with the outputs.
    tokio::time::timeout(LOG_TIME_MAX, rest).await.unwrap_or(Ok(()))?;
    log.finish(teller);
    Ok(end)
}

fn check_end(state: JobState, outputs: Option<BlobHash>) -> Result<BlobHash, TestnetError> {
    match (state, outputs) {
        (JobState::Succeeded, Some(hash)) => Ok(hash),
        (_, outputs) => Err(TestnetError::Broken(format!(
            "the job failed{}; its log stands above",
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

/// The job's log as it came while the job ran.
#[derive(Default)]
struct Log {
    bytes: Vec<u8>,
    lines: Lines,
    lines_shown: usize,
}

impl Log {
    /// Prints the lines of the next piece. `false` when nothing more will come.
    fn show(
        &mut self,
        piece: Result<LogPiece, ApiError>,
        teller: &mut Teller<'_>,
    ) -> Result<bool, TestnetError> {
        let piece = match piece {
            Err(error) if error.is_transient() => return Ok(true),
            other => other.map_err(api_error("the job's log cannot be read"))?,
        };
        for line in self.lines.take(&piece.bytes) {
            self.line(&line, teller);
        }
        self.bytes.extend_from_slice(&piece.bytes);
        let is_last = piece.complete || (piece.job_ended && piece.bytes.is_empty());
        Ok(!is_last)
    }

    /// Prints a last line without an end.
    fn finish(&mut self, teller: &mut Teller<'_>) {
        if let Some(line) = self.lines.finish() {
            self.line(&line, teller);
        }
    }

    fn line(&mut self, line: &str, teller: &mut Teller<'_>) {
        self.lines_shown += 1;
        teller.line(format!("  | {line}"));
    }

    /// Whether the log that came back with the outputs begins with what came while the job ran.
    fn check(&self, files: &[(String, Vec<u8>)]) -> Result<(), TestnetError> {
        let whole = files.iter().find(|(path, _)| path == LOG_PATH).map(|(_, bytes)| bytes.as_slice());
        if whole.unwrap_or_default().starts_with(&self.bytes) {
            return Ok(());
        }
        Err(TestnetError::Broken("the log that came back is another than the one that was shown".to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::Progress;

    #[test]
    fn the_log_is_shown_line_by_line_and_compared() {
        let mut log = Log::default();
        let mut out = Vec::new();
        let mut teller = Teller::new(&mut out, false, Progress::new(true));
        let piece =
            |bytes: &[u8], complete| Ok(LogPiece { bytes: bytes.to_vec(), complete, ..LogPiece::default() });
        let away = ApiError::Timeout { url: String::new() };
        assert!(log.show(piece(b"one\n\x1b[2Jtw", false), &mut teller).unwrap());
        assert!(log.show(Err(away), &mut teller).unwrap(), "a node that is away may come back");
        assert!(log.show(Err(hansa_ledger::rejection::Rejection::UnknownKey.into()), &mut teller).is_err());
        assert!(!log.show(piece(b"o\nend", true), &mut teller).unwrap());
        log.finish(&mut teller);
        assert_eq!(String::from_utf8(out).unwrap(), "     | one\n     | \\e[2Jtwo\n     | end\n");
        let files = |text: &[u8]| vec![(LOG_PATH.to_owned(), text.to_vec())];
        assert!(log.check(&files(b"one\n\x1b[2Jtwo\nend and more")).is_ok());
        assert!(log.check(&files(b"one\n")).is_err() && log.check(&[]).is_err());
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
