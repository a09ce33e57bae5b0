//! The ground that benchmarks stand on: a new federation, and firms in it that pay each other.

use crate::cluster::{Cluster, ClusterOptions};
use crate::error::{TestnetError, api_error, file_error};
use crate::federation::Federation;
use crate::genesis::{Plan, parse_members};
use crate::progress::Progress;
use crate::seed;
use hansa_ledger::action::{
    AccreditOrganisation, Action, AttestDeposit, SetKey, TransferCash, organisation_id,
};
use hansa_ledger::id::OrganisationId;
use hansa_ledger::member::MemberCode;
use hansa_ledger::money::{Money, UEUR_PER_EUR};
use hansa_ledger::name::Name;
use hansa_ledger::possession::Possession;
use hansa_ledger::row::{Office, OrganisationClass, Principal, Roles};
use hansa_ledger::time::TimeMs;
use hansa_ledger::transaction::{SignedTransaction, Transaction};
use hansa_ledger_signature::SecretKey;
use hansa_node_api::peer::now_ms;
use hansa_node_api::status::NodeStatus;
use hansa_node_api::{Account, Client};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// What every firm is given.
pub(crate) const DEPOSIT: Money = Money(100_000 * UEUR_PER_EUR);

/// How long signed transactions and accreditations hold: longer than any benchmark.
const VALIDITY_MS: u64 = 3_600_000;

/// How often the nodes are asked whether they agree.
const LOOK_PAUSE: Duration = Duration::from_millis(20);

/// How long they may take to.
const AGREE_TIME_MAX: Duration = Duration::from_secs(60);

/// The folder of each federation is its own.
static FOLDERS: AtomicU32 = AtomicU32::new(0);

/// Where and of what federations are made.
#[derive(Clone, Debug)]
pub(crate) struct Ground {
    pub base: PathBuf,
    pub members: usize,
    pub executable: PathBuf,
    pub progress: Progress,
}

/// A new federation.
pub(crate) struct Field {
    pub cluster: Cluster,
    folder: PathBuf,
}

/// An organisation that pays others.
pub(crate) struct Firm {
    pub home: MemberCode,
    pub organisation: OrganisationId,
    /// Its administrator key, with every role.
    pub admin: SecretKey,
    /// Keys that may move its cash.
    pub signers: Vec<SecretKey>,
}

impl Ground {
    /// Brings up a new federation without agents, firms or money.
    pub async fn field(&self) -> Result<Field, TestnetError> {
        let plan = Plan::new(parse_members(&self.members.to_string())?, 0)?;
        let folder = self.folder();
        let options = ClusterOptions {
            folder: folder.clone(),
            plan,
            executable: self.executable.clone(),
            users: false,
            allow_unsandboxed: false,
            outlives: false,
            links: None,
        };
        Ok(Field { cluster: Cluster::up(options, &self.progress).await?, folder })
    }

    /// A path where nothing is yet.
    pub fn folder(&self) -> PathBuf {
        let number = FOLDERS.fetch_add(1, Ordering::Relaxed);
        self.base.join(format!("hansa-bench-{}-{number}", std::process::id()))
    }
}

impl Field {
    /// Stops everything. The folder goes when `outcome` is good, and is kept for a look into its logs when not.
    pub async fn down<T>(
        self,
        outcome: Result<T, TestnetError>,
        progress: &Progress,
    ) -> Result<T, TestnetError> {
        let stopped = self.cluster.down().await;
        match &outcome {
            Ok(_) => std::fs::remove_dir_all(&self.folder).map_err(file_error("remove", &self.folder))?,
            Err(_) => progress.note(&format!("keys, data and logs are kept in `{}`", self.folder.display())),
        }
        stopped.and(outcome)
    }

    /// The process of every member's node.
    pub fn processes(&self) -> Result<Vec<(MemberCode, u32)>, TestnetError> {
        let state = self.cluster.layout().read_state()?;
        let process = |code: MemberCode| {
            let record = state.processes.get(code.as_str());
            let record =
                record.ok_or_else(|| TestnetError::Broken(format!("the node of {code} does not run")));
            record.map(|record| (code, record.pid))
        };
        state.members.iter().map(|member| process(member.code)).collect()
    }
}

impl Firm {
    /// The word of one of its keys that it acts for the firm.
    fn proof(&self, federation: &Federation, key: &SecretKey) -> Possession {
        Possession::prove(federation.state().chain, key, Principal::Organisation(self.organisation))
    }

    /// The id of the organisation's first key at a node.
    pub fn account(&self, federation: &Federation, client: &Client) -> Account {
        Account::new(self.admin.clone(), federation.state().chain, client.clone())
    }
}

/// Signs a payment of the least amount.
pub(crate) fn payment(
    federation: &Federation,
    key: &SecretKey,
    nonce: u64,
    to: OrganisationId,
) -> SignedTransaction {
    let transaction = Transaction {
        chain: federation.state().chain,
        signer: key.public_key(),
        nonce,
        valid_until: validity_end(),
        actions: vec![TransferCash { to, amount: Money(1) }.into()],
    };
    transaction.sign(key)
}

/// When what is signed and accredited now ends to hold.
pub(crate) fn validity_end() -> TimeMs {
    TimeMs(now_ms()).plus(VALIDITY_MS)
}

/// Accredits `count` firms, spread over the members, gives them money, and each `signers` keys besides its administrator's.
pub(crate) async fn firms(
    federation: &Federation,
    count: usize,
    signers: usize,
) -> Result<Vec<Firm>, TestnetError> {
    let members = federation.clients();
    let mut firms = Vec::new();
    for (index, (home, _)) in members.iter().cycle().take(count).enumerate() {
        firms.push(Firm {
            home: *home,
            organisation: organisation_id(*home, &register_number(index)),
            admin: SecretKey::generate(),
            signers: (0..signers).map(|_| SecretKey::generate()).collect(),
        });
    }
    for (code, client) in members {
        let own: Vec<(usize, &Firm)> =
            firms.iter().enumerate().filter(|(_, firm)| firm.home == *code).collect();
        // As many as a transaction of this federation holds.
        for part in own.chunks(32) {
            let accredit = part
                .iter()
                .map(|(index, firm)| accreditation(federation, *index, firm))
                .collect::<Result<_, _>>()?;
            seed::sign(federation, *code, Office::Registrar, accredit).await?;
            let deposit = part.iter().map(|(index, firm)| deposit(*index, firm)).collect::<Result<_, _>>()?;
            seed::sign(federation, *code, Office::Treasury, deposit).await?;
        }
        for (_, firm) in &own {
            for keys in firm.signers.chunks(32) {
                let set = keys.iter().map(|key| {
                    let proof = Some(firm.proof(federation, key));
                    let (key, roles) = (key.public_key(), Roles::TREASURY);
                    SetKey { key, roles, amount_max: None, proof }.into()
                });
                let sent = firm.account(federation, client).send(set.collect()).await;
                sent.map_err(api_error("the keys of a firm cannot be registered"))?;
            }
        }
    }
    Ok(firms)
}

fn register_number(index: usize) -> String {
    format!("BENCH-{index}")
}

fn name(text: &str) -> Result<Name, TestnetError> {
    Name::new(text).map_err(|reason| TestnetError::Broken(format!("`{text}` is no name: {reason}")))
}

fn accreditation(federation: &Federation, index: usize, firm: &Firm) -> Result<Action, TestnetError> {
    let accreditation = AccreditOrganisation {
        register_number: register_number(index),
        owner: None,
        name: name(&format!("firm-{index}"))?,
        class: OrganisationClass::Sme,
        accredited_until: validity_end(),
        key: firm.admin.public_key(),
        proof: Some(firm.proof(federation, &firm.admin)),
    };
    Ok(accreditation.into())
}

fn deposit(index: usize, firm: &Firm) -> Result<Action, TestnetError> {
    let reference = name(&format!("bench-{index}"))?;
    Ok(AttestDeposit { organisation: firm.organisation, amount: DEPOSIT, reference }.into())
}

/// How every node is, at about the same time.
pub(crate) async fn statuses(federation: &Federation) -> Result<Vec<NodeStatus>, TestnetError> {
    let asked = federation.clients().iter().map(|(code, client)| async move {
        client.status().await.map_err(api_error(format!("the node of {code} does not say how it is")))
    });
    futures::future::try_join_all(asked).await
}

/// Waits until all nodes stand at one height with nothing waiting, and compares their roots.
///
/// # Errors
/// When they do not come to one height, or not to one root.
pub(crate) async fn agreed(federation: &Federation) -> Result<Vec<NodeStatus>, TestnetError> {
    let until = tokio::time::Instant::now() + AGREE_TIME_MAX;
    loop {
        let nodes = statuses(federation).await?;
        let same = nodes.windows(2).all(|pair| pair[0].height == pair[1].height);
        if same && nodes.iter().all(|node| node.mempool_transactions == 0) {
            if nodes.windows(2).any(|pair| pair[0].state_root != pair[1].state_root) {
                return Err(TestnetError::Broken(format!("the roots at height {} differ", nodes[0].height)));
            }
            return Ok(nodes);
        }
        if tokio::time::Instant::now() >= until {
            let told: Vec<String> = nodes
                .iter()
                .map(|node| {
                    format!("{} at {} with {} waiting", node.member, node.height, node.mempool_transactions)
                })
                .collect();
            return Err(TestnetError::Missed(format!("the nodes do not come to rest: {}", told.join(", "))));
        }
        tokio::time::sleep(LOOK_PAUSE).await;
    }
}
