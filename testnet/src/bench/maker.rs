//! A ledger that is made while the nodes stand still.
//!
//! It is made of true blocks: organisations are accredited, and all members sign. Only the time that a federation would take for
//! that is saved, because one process executes the blocks and nobody waits for anybody.

use super::payers::kill;
use crate::error::{TestnetError, file_error};
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
use hansa_ledger_store::{OpenOptions, SledStore};
use hansa_node::consensus::Application as _;
use hansa_node::executor::Executor;
use hansa_node::mempool::MempoolLimits;
use hansa_node_api::Client;
use hansa_node_api::certificate::{Certificate, precommit_bytes};
use hansa_node_api::peer::now_ms;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Organisations in a transaction: as many as one of this federation holds.
const ACTIONS_MAX: u64 = 32;

/// Organisations that blocks of one action accredit in turn, so that the ledger does not grow with its blocks.
const ORGANISATIONS: u64 = 1_000;

/// How long a block may be built.
const BUILD_TIME: Duration = Duration::from_secs(60);

/// How long accreditations hold: they must not end meanwhile.
const ACCREDITED_MS: u64 = 365 * 86_400_000;

/// How long a transaction holds.
const VALIDITY_MS: u64 = 3_600_000;

/// How long nodes may take to be ready.
const READY_TIME_MAX: Duration = Duration::from_secs(900);

/// How often they are asked.
const LOOK_PAUSE: Duration = Duration::from_millis(50);

/// The folder of a member that does not run, with the keys of all.
pub(super) struct Maker {
    executor: Arc<Executor>,
    store: Arc<SledStore>,
    signers: Signers,
    home: MemberCode,
}

impl Maker {
    /// Works in the folder of the first of these members, whose nodes stand still.
    pub fn open(layout: &Layout, codes: &[MemberCode]) -> Result<Self, TestnetError> {
        let home = *codes.first().ok_or_else(|| TestnetError::Broken("there are no members".to_owned()))?;
        let failed = |error: &dyn std::fmt::Display| broken("making the ledger", error);
        let options = OpenOptions { bytes_free_min: 64 << 20, ..OpenOptions::default() };
        let store = SledStore::open(&data(layout, home).join("ledger"), options);
        let store = Arc::new(store.map_err(|error| failed(&error))?);
        let executor = Executor::open(layout.read_genesis()?, home, store.clone(), MempoolLimits::default());
        let executor = executor.map_err(|error| failed(&error))?;
        Ok(Self { executor, store, signers: Signers::read(layout, codes)?, home })
    }

    pub fn executor(&self) -> &Executor {
        &self.executor
    }

    pub fn store(&self) -> &SledStore {
        &self.store
    }

    /// Decides blocks in which the organisations with these numbers are accredited, or accredited once more.
    pub fn accredit(&self, numbers: Range<u64>) -> Result<(), TestnetError> {
        self.signers.decide(&self.executor, self.home, numbers)
    }

    /// Decides so many blocks of one action each.
    pub fn blocks(&self, count: u64) -> Result<(), TestnetError> {
        (0..count)
            .map(|number| number % ORGANISATIONS)
            .try_for_each(|number| self.accredit(number..number + 1))
    }

    /// Ends the work, and puts a copy of these parts of the folder into those of others.
    pub fn give(self, layout: &Layout, others: &[MemberCode], parts: &[&str]) -> Result<(), TestnetError> {
        let from = data(layout, self.home);
        drop(self);
        for other in others {
            for part in parts {
                let to = data(layout, *other).join(part);
                remove(&to)?;
                copy(&from.join(part), &to)?;
            }
        }
        Ok(())
    }
}

/// Kills all nodes, decides so many blocks in the folder of the first, and gives them to every other but those `away`. Gives the
/// height. Nothing may wait to be decided: what the others decide while they are killed one by one would be lost.
pub(super) async fn grow(
    federation: &Federation,
    layout: &Layout,
    blocks: u64,
    away: &[MemberCode],
) -> Result<u64, TestnetError> {
    let codes: Vec<MemberCode> = federation.clients().iter().map(|(code, _)| *code).collect();
    // The first one last: it has all that is decided.
    for code in codes.iter().rev() {
        kill(layout, *code).await?;
    }
    let others: Vec<_> = codes.iter().skip(1).filter(|code| !away.contains(code)).copied().collect();
    let layout = layout.clone();
    let making = tokio::task::spawn_blocking(move || {
        let maker = Maker::open(&layout, &codes)?;
        maker.blocks(blocks)?;
        let height = maker.executor().tip().height;
        maker.give(&layout, &others, &["ledger"])?;
        Ok(height)
    });
    making.await.map_err(|error| broken("making the ledger", &error))?
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

    /// Decides one block or more, in which the organisations with these numbers are accredited, or accredited once more.
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
            let register_number = format!("MADE-{number}");
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

pub(super) fn data(layout: &Layout, code: MemberCode) -> PathBuf {
    layout.member(code).join("data")
}

/// Waits until a node is at least at this height, and ready.
pub(super) async fn until_ready(
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

pub(super) fn broken(what: &str, error: &dyn std::fmt::Display) -> TestnetError {
    TestnetError::Broken(format!("{what} failed: {error}"))
}

pub(super) fn remove(folder: &Path) -> Result<(), TestnetError> {
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
