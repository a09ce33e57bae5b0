//! `bench rebuild`: a node whose folder is gone gets a large ledger back from the other members, none of whom keeps the blocks
//! that led to it.
//!
//! The ledger is made of true blocks: organisations are accredited, and all members sign. Only the time that a federation would
//! take for that is saved, because one process executes the blocks while the nodes stand still.

use super::field::Ground;
use super::payers::{kill, restart};
use super::report::{Bound, Report};
use crate::error::{TestnetError, api_error, file_error};
use crate::federation::Federation;
use crate::keyfile;
use crate::layout::Layout;
use hansa_ledger::action::{AccreditOrganisation, organisation_id};
use hansa_ledger::block::Block;
use hansa_ledger::id::BlockId;
use hansa_ledger::member::MemberCode;
use hansa_ledger::name::Name;
use hansa_ledger::possession::Possession;
use hansa_ledger::row::{Office, OrganisationClass, Principal};
use hansa_ledger::time::TimeMs;
use hansa_ledger::transaction::{SignedTransaction, Transaction};
use hansa_ledger_signature::SecretKey;
use hansa_ledger_store::{LedgerStore as _, OpenOptions, SledStore};
use hansa_node::consensus::Application as _;
use hansa_node::executor::Executor;
use hansa_node::mempool::MempoolLimits;
use hansa_node::snapshot::{Shelf, make, member_sets};
use hansa_node_api::Client;
use hansa_node_api::certificate::{Certificate, precommit_bytes};
use hansa_node_api::peer::now_ms;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::process::Child;

/// Rows of a ledger whose rebuilding has a target.
const TARGET_ROWS: u64 = 1_000_000;

/// The target, in seconds.
const TARGET_S: f64 = 60.0;

/// Rows that an accredited organisation adds: itself, its key, and the end of its accreditation.
const ROWS_EACH: u64 = 3;

/// Organisations in a transaction: as many as one of this federation holds.
const ACTIONS_MAX: u64 = 32;

/// Organisations in a block at most, so that the block is not the largest there may be.
const BLOCK_ORGANISATIONS_MAX: u64 = 3_200;

/// Blocks at least: a node that is hardly behind asks for blocks.
const BLOCKS_MIN: u64 = 10;

/// How long a block may be built.
const BUILD_TIME: Duration = Duration::from_secs(60);

/// How long accreditations hold: they must not end meanwhile.
const ACCREDITED_MS: u64 = 365 * 86_400_000;

/// How long a transaction holds.
const VALIDITY_MS: u64 = 3_600_000;

/// How long nodes may take to be ready, and the one that was destroyed to be rebuilt.
const READY_TIME_MAX: Duration = Duration::from_secs(900);

/// How often they are asked.
const LOOK_PAUSE: Duration = Duration::from_millis(50);

/// The ledger that was made.
struct Grown {
    height: u64,
    rows: u64,
    snapshot_bytes: u64,
    seconds: f64,
}

struct Found {
    grown: Grown,
    /// From each start of the process with an empty folder to caught up and ready, in seconds.
    rebuilt_s: Vec<f64>,
}

pub(super) async fn run(ground: &Ground, rows: u64, count: usize) -> Result<Report, TestnetError> {
    let mut report = Report::new("rebuild");
    let mut field = ground.field().await?;
    let federation = field.cluster.federation().clone();
    let layout = field.cluster.layout().clone();
    let mut children = Vec::new();
    let work = measure(&federation, &layout, ground, rows, count, &mut children);
    let measured = field.cluster.guard(work).await;
    let Found { grown, rebuilt_s } = field.down(measured, &ground.progress).await?;
    drop(children);
    let name = format!("node without a folder, {} rows: started to caught up and ready", grown.rows);
    if grown.rows >= TARGET_ROWS {
        report.target(name, "s", &rebuilt_s, Bound::AtMost, TARGET_S);
    } else {
        report.figure(name, "s", &rebuilt_s);
    }
    report.figure("the snapshot", "bytes", &[grown.snapshot_bytes as f64]);
    report.figure("making ledger and snapshot", "s", &[grown.seconds]);
    report.note(format!("the ledger has height {}, and no member keeps the blocks before", grown.height));
    report.note(
        "the rebuilt node stands at a block of the same id and the same state root as another's, and is ready",
    );
    Ok(report)
}

async fn measure(
    federation: &Federation,
    layout: &Layout,
    ground: &Ground,
    rows: u64,
    count: usize,
    children: &mut Vec<Child>,
) -> Result<Found, TestnetError> {
    let codes: Vec<MemberCode> = federation.clients().iter().map(|(code, _)| *code).collect();
    for code in &codes {
        kill(layout, *code).await?;
    }
    ground.progress.now(format!("making a ledger of {rows} rows"));
    let (place, all) = (layout.clone(), codes.clone());
    let growing = tokio::task::spawn_blocking(move || grow(&place, &all, rows));
    let grown = growing.await.map_err(|error| broken("making the ledger", &error))??;
    for code in &codes {
        children.push(restart(layout, *code, &ground.executable)?);
    }
    ground.progress.now("starting the nodes with it");
    let began = Instant::now();
    for (code, client) in federation.clients() {
        until_ready(*code, client, grown.height, began).await?;
    }
    let mut rebuilt_s = Vec::new();
    for number in 1..=count {
        let away = codes.len() - number % codes.len() - 1;
        let (code, client) = &federation.clients()[away];
        ground.progress.now(format!("rebuild {number} of {count}: the node of {code}"));
        kill(layout, *code).await?;
        remove(&data(layout, *code))?;
        let began = Instant::now();
        children.push(restart(layout, *code, &ground.executable)?);
        until_ready(*code, client, grown.height, began).await?;
        rebuilt_s.push(began.elapsed().as_secs_f64());
        same_block(federation, away).await?;
    }
    Ok(Found { grown, rebuilt_s })
}

fn data(layout: &Layout, code: MemberCode) -> PathBuf {
    layout.member(code).join("data")
}

/// Waits until a node is at least at this height, and ready.
async fn until_ready(
    code: MemberCode,
    client: &Client,
    height: u64,
    began: Instant,
) -> Result<(), TestnetError> {
    let mut reason = "it does not answer".to_owned();
    while began.elapsed() < READY_TIME_MAX {
        if let (Ok(status), Ok(health)) = (client.status().await, client.ready().await) {
            if health.ok && status.height >= height {
                return Ok(());
            }
            reason = health.reason.unwrap_or_else(|| format!("it is at height {}", status.height));
        }
        tokio::time::sleep(LOOK_PAUSE).await;
    }
    Err(TestnetError::Missed(format!("the node of {code} did not become ready: {reason}")))
}

/// Compares the last block of a node with that of another: its header holds the root of all rows.
async fn same_block(federation: &Federation, node: usize) -> Result<(), TestnetError> {
    let (code, client) = &federation.clients()[node];
    let (_, other) = &federation.clients()[(node + 1) % federation.clients().len()];
    let status = client.status().await.map_err(api_error("the rebuilt node does not answer"))?;
    let ours = client.header(status.height).await.map_err(api_error("a header cannot be read"))?;
    // It may be the first of the two to have the block.
    let began = Instant::now();
    let theirs = loop {
        match other.header(status.height).await {
            Ok(block) => break block,
            Err(error) if began.elapsed() > LOOK_PAUSE * 100 => {
                return Err(api_error("a header cannot be read")(error));
            }
            Err(_) => tokio::time::sleep(LOOK_PAUSE).await,
        }
    };
    if ours.id != theirs.id || ours.header.state_root != theirs.header.state_root {
        return Err(TestnetError::Broken(format!("{code} has another block at height {}", status.height)));
    }
    Ok(())
}

fn broken(what: &str, error: &dyn std::fmt::Display) -> TestnetError {
    TestnetError::Broken(format!("{what} failed: {error}"))
}

/// Makes the ledger in the folder of the first member, forgets its blocks, makes a snapshot of the last, and gives a copy of both
/// to every other.
fn grow(layout: &Layout, codes: &[MemberCode], rows: u64) -> Result<Grown, TestnetError> {
    let began = Instant::now();
    let first = *codes.first().ok_or_else(|| TestnetError::Broken("there are no members".to_owned()))?;
    let folder = data(layout, first);
    let failed = |error: &dyn std::fmt::Display| broken("making the ledger", error);
    let options = OpenOptions { bytes_free_min: 64 << 20, ..OpenOptions::default() };
    let store = Arc::new(SledStore::open(&folder.join("ledger"), options).map_err(|error| failed(&error))?);
    let genesis = layout.read_genesis()?;
    let executor = Executor::open(genesis, first, store.clone(), MempoolLimits::default())
        .map_err(|error| failed(&error))?;
    let organisations = rows.div_ceil(ROWS_EACH);
    let block_organisations = organisations.div_ceil(BLOCKS_MIN).clamp(1, BLOCK_ORGANISATIONS_MAX);
    let signers = Signers::read(layout, codes)?;
    let mut made = 0;
    while made < organisations {
        let until = made.saturating_add(block_organisations).min(organisations);
        signers.decide(&executor, first, made..until)?;
        made = until;
    }
    executor.checkpoint().map_err(|error| failed(&error))?;
    let height = executor.tip().height;
    let shelf = Shelf::open(&folder.join("snapshots"), executor.chain()).map_err(|error| failed(&error))?;
    let sets = member_sets(&executor.state());
    make(&shelf, store.as_ref(), &sets, height, &|| true).map_err(|error| failed(&error))?;
    store.prune_bodies_below(height, u64::MAX).map_err(|error| failed(&error))?;
    let mut counted = 0_u64;
    executor.state().tables().each_row(|_, _, _| counted += 1);
    drop(executor);
    drop(store);
    for other in codes.iter().filter(|code| **code != first) {
        for part in ["ledger", "snapshots"] {
            let to = data(layout, *other).join(part);
            remove(&to)?;
            copy(&folder.join(part), &to)?;
        }
    }
    let snapshot_bytes = bytes(&folder.join("snapshots"))?;
    Ok(Grown { height, rows: counted, snapshot_bytes, seconds: began.elapsed().as_secs_f64() })
}

/// The keys that make blocks.
struct Signers {
    registrar: SecretKey,
    consensus: Vec<SecretKey>,
}

impl Signers {
    fn read(layout: &Layout, codes: &[MemberCode]) -> Result<Self, TestnetError> {
        let first =
            codes.first().and_then(|code| layout.office_keys(*code, Office::Registrar).into_iter().next());
        let registrar = first.ok_or_else(|| TestnetError::Broken("there is no registrar".to_owned()))?;
        let consensus = codes.iter().map(|code| keyfile::read(&layout.member(*code).join("consensus.key")));
        Ok(Self { registrar: keyfile::read(&registrar)?, consensus: consensus.collect::<Result<_, _>>()? })
    }

    /// Decides one block or more, in which the organisations with these numbers are accredited.
    fn decide(
        &self,
        executor: &Executor,
        home: MemberCode,
        numbers: std::ops::Range<u64>,
    ) -> Result<(), TestnetError> {
        let mut nonce = executor.nonce_next(&self.registrar.public_key());
        let mut transactions = Vec::new();
        let mut next = numbers.start;
        while next < numbers.end {
            let until = next.saturating_add(ACTIONS_MAX).min(numbers.end);
            transactions.push(self.accredit(executor, home, nonce, next..until)?);
            nonce += 1;
            next = until;
        }
        for outcome in executor.submit_all(transactions) {
            outcome.map_err(|rejection| broken("accrediting", &format!("{rejection:?}")))?;
        }
        while executor.mempool_size().0 > 0 {
            self.block(executor).map_err(|error| broken("making a block", &error))?;
        }
        Ok(())
    }

    fn accredit(
        &self,
        executor: &Executor,
        home: MemberCode,
        nonce: u64,
        numbers: std::ops::Range<u64>,
    ) -> Result<SignedTransaction, TestnetError> {
        let now = TimeMs(now_ms());
        let accredited = numbers.map(|number| {
            let register_number = format!("REBUILD-{number}");
            let mut seed = [0; 32];
            seed[..8].copy_from_slice(&number.to_le_bytes());
            let key = SecretKey::from_bytes(*blake3::hash(&seed).as_bytes());
            let principal = Principal::Organisation(organisation_id(home, &register_number));
            let name =
                Name::new(&format!("firm-{number}")).map_err(|reason| broken("naming a firm", &reason))?;
            let accreditation = AccreditOrganisation {
                register_number,
                owner: None,
                name,
                class: OrganisationClass::Sme,
                accredited_until: now.plus(ACCREDITED_MS),
                key: key.public_key(),
                proof: Some(Possession::prove(executor.chain(), &key, principal)),
            };
            Ok(accreditation.into())
        });
        let transaction = Transaction {
            chain: executor.chain(),
            signer: self.registrar.public_key(),
            nonce,
            valid_until: now.plus(VALIDITY_MS),
            actions: accredited.collect::<Result<_, TestnetError>>()?,
        };
        Ok(transaction.sign(&self.registrar))
    }

    /// Builds a block of what waits, and has every member sign it.
    fn block(&self, executor: &Executor) -> Result<(), String> {
        let height = executor.tip().height + 1;
        let built = executor.build(height, 0, BUILD_TIME).map_err(|error| error.to_string())?;
        let built = built.ok_or_else(|| "what waits cannot stand in a block".to_owned())?;
        let header = Block::read(&BlockId(built.id), &built.body)?.header;
        let bytes = precommit_bytes(&header, 0);
        let signatures = self.consensus.iter().map(|key| (key.public_key(), key.sign(&bytes))).collect();
        let certificate = Certificate { height, round: 0, id: built.id, signatures };
        let certificate = borsh::to_vec(&certificate).map_err(|error| error.to_string())?;
        let kept = executor
            .save_undecided(height, 0, &built.id, &built.body, &[])
            .and_then(|()| executor.commit(height, &built.id, &certificate))
            .and_then(|()| executor.finalize(height, &certificate, Vec::new()));
        kept.map_err(|error| error.to_string())
    }
}

fn remove(folder: &Path) -> Result<(), TestnetError> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(file_error("remove", folder)(error))
        }
        _ => Ok(()),
    }
}

fn copy(from: &Path, to: &Path) -> Result<(), TestnetError> {
    std::fs::create_dir_all(to).map_err(file_error("make the folder", to))?;
    for entry in from.read_dir().map_err(file_error("read", from))? {
        let entry = entry.map_err(file_error("read", from))?;
        let (path, copied) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            copy(&path, &copied)?;
        } else {
            std::fs::copy(&path, &copied).map_err(file_error("copy", &path))?;
        }
    }
    Ok(())
}

/// Bytes of all files in a folder.
fn bytes(folder: &Path) -> Result<u64, TestnetError> {
    let mut sum = 0;
    for entry in folder.read_dir().map_err(file_error("read", folder))? {
        let entry = entry.map_err(file_error("read", folder))?;
        let metadata = entry.metadata().map_err(file_error("read", folder))?;
        sum += if metadata.is_dir() { bytes(&entry.path())? } else { metadata.len() };
    }
    Ok(sum)
}
