//! A node that lies in every way it can, over HTTP, and a client that believes none of it.

mod lies;
mod server;

use super::*;
use crate::certificate::precommit_bytes;
use crate::client::Client;
use crate::error::{ApiError, Fault};
use hansa_ledger::block::Validator;
use hansa_ledger::genesis::{GenesisContract, GenesisMember, GenesisOffice};
use hansa_ledger::id::OrganisationId;
use hansa_ledger::money::Money;
use hansa_ledger::params::Params;
use hansa_ledger::root::{Digest, key_hash};
use hansa_ledger::row::{Account, AccountId};
use hansa_ledger::state::{State, Table};
use hansa_ledger::tables::{Accounts, Members, Tables};
use hansa_ledger_signature::{PublicKey, SecretKey};
use server::{Reply, Server};
use std::sync::Arc;

/// The time of every clock here, unless a test says otherwise.
const NOW: TimeMs = TimeMs(1_700_000_000_000);

fn now() -> TimeMs {
    NOW
}

fn key(name: &str) -> SecretKey {
    SecretKey::from_bytes(*blake3::hash(name.as_bytes()).as_bytes())
}

fn validators(codes: &[&str]) -> Vec<Validator> {
    codes
        .iter()
        .map(|code| Validator { member: code.parse().unwrap(), key: key(code).public_key() })
        .collect()
}

fn genesis() -> Genesis {
    let public = |text: &str| key(text).public_key();
    let members = ["DE", "EE", "ES", "FR"].map(|code| GenesisMember {
        code: code.parse().unwrap(),
        consensus_key: public(code),
        network_key: public(&format!("{code} network")),
        issue_limit: Money(1_000_000_000),
        debit_cap: Money(1_000_000_000),
        registrar: GenesisOffice::single(public(&format!("{code} registrar"))),
        treasury: GenesisOffice::single(public(&format!("{code} treasury"))),
        governance: GenesisOffice::single(public(&format!("{code} governance"))),
    });
    Genesis {
        name: "test".parse().unwrap(),
        time: TimeMs(NOW.0 - 10_000_000),
        vm_profile: [0; 32],
        params: Params::testnet(),
        members: members.to_vec(),
        contracts: vec![GenesisContract { name: "spot".parse().unwrap(), code: vec![1, 2, 3] }],
    }
}

fn cash(holder: u8) -> AccountId {
    AccountId::Cash(OrganisationId([holder; 32]))
}

/// A federation as its honest node shows it.
#[derive(Clone)]
struct Federation {
    genesis: Genesis,
    state: State,
    blocks: Vec<SignedHeader>,
    handovers: Vec<Handover>,
}

/// Signs a header in the name of these members.
fn certificate_of(header: &Header, signers: &[&str]) -> Vec<u8> {
    let sign = |name: &&str| (key(name).public_key(), key(name).sign(&precommit_bytes(header, 0)));
    let (height, id) = (header.height, header.id().0);
    let signatures: Vec<(PublicKey, _)> = signers.iter().map(sign).collect();
    borsh::to_vec(&Certificate { height, round: 0, id, signatures }).unwrap()
}

impl Federation {
    fn new() -> Self {
        let genesis = genesis();
        let mut state = genesis.state().unwrap();
        let mut view = state.view();
        for (holder, amount) in [(1, 5_000_000), (2, 7_000_000)] {
            let row = Account { home: "EE".parse().unwrap(), balance: Money(amount) };
            view.put::<Accounts>(cash(holder), row);
        }
        let (changes, tip) = (view.into_changes(state.trie()), state.tip());
        state.commit(changes, tip);
        Self { genesis, state, blocks: Vec::new(), handovers: Vec::new() }
    }

    /// The header of a next block, which this set signs.
    fn header(&self, height: u64, set: &[&str]) -> Header {
        let parent = self.blocks.iter().find(|block| block.header.height + 1 == height);
        Header {
            protocol_version: 1,
            chain: self.genesis.chain_id(),
            height,
            time: TimeMs(NOW.0 - 20_000 + height),
            parent: parent.map_or(BlockId([9; 32]), |block| block.id),
            proposer: "DE".parse().unwrap(),
            transactions_root: [1; 32],
            waiting_root: [2; 32],
            receipts_root: [3; 32],
            state_root: self.state.root(),
            members_hash: members_hash(&validators(set)),
        }
    }

    /// Adds a block that all of this set sign.
    fn add(&mut self, height: u64, set: &[&str]) -> &SignedHeader {
        let header = self.header(height, set);
        self.push(block(&header, set));
        self.blocks.last().unwrap()
    }

    fn push(&mut self, block: SignedHeader) {
        self.blocks.retain(|one| one.header.height != block.header.height);
        self.blocks.push(block);
    }

    /// From the last block on, this set signs.
    fn hand_over(&mut self, set: &[&str]) {
        let block = self.blocks.last().unwrap();
        self.handovers.push(Handover {
            from: block.header.height,
            validators: validators(set),
            header: Some(block.header.clone()),
            certificate: Some(block.certificate.clone()),
        });
    }

    /// The proof of a row as of the last block.
    fn prove(&self, table: u8, key: &[u8]) -> ProofInfo {
        let block = self.blocks.last().unwrap();
        let named = Tables::NAMES.iter().find(|(id, _)| *id == table).unwrap();
        ProofInfo {
            table: named.1.to_owned(),
            table_id: table,
            key: key.to_vec(),
            row: self.state.tables().row_bytes(table, key),
            proof: self.state.trie().prove(&key_hash(table, key)),
            header: block.header.clone(),
            certificate: block.certificate.clone(),
            handovers: self.handovers.clone(),
        }
    }

    /// What an honest node answers.
    fn answer(&self, path: &str) -> Reply {
        let mut words = path.trim_start_matches("/v1/").split('/');
        match (words.next().unwrap(), words.next(), words.next()) {
            ("genesis", None, None) => Reply::json(&self.genesis),
            ("validators", None, None) => Reply::json(&self.handovers),
            ("headers", Some(height), None) => {
                let height: u64 = height.parse().unwrap();
                match self.blocks.iter().find(|block| block.header.height == height) {
                    Some(block) => Reply::json(block),
                    None => Reply::fault(Fault::HistoryGone),
                }
            }
            ("proofs", Some(table), Some(key)) => {
                let (id, _) = Tables::NAMES.iter().find(|(_, name)| *name == table).unwrap();
                let key = if key == "-" { Vec::new() } else { hex::decode(key).unwrap() };
                Reply::json(&self.prove(*id, &key))
            }
            _ => Reply::fault(Fault::RouteUnknown),
        }
    }
}

fn block(header: &Header, signers: &[&str]) -> SignedHeader {
    SignedHeader { id: header.id(), header: header.clone(), certificate: certificate_of(header, signers) }
}

const ALL: [&str; 4] = ["DE", "EE", "ES", "FR"];
/// The set after Poland took the place of France.
const NEXT: [&str; 4] = ["DE", "EE", "ES", "PL"];

fn light(memory: Option<Memory>) -> Arc<Light> {
    Arc::new(Light::new(Anchor::Genesis(Box::new(genesis())), memory, None, now))
}

/// What a client with this trust reads of an account at a node that answers so.
async fn read(
    light: &Arc<Light>,
    holder: u8,
    answer: impl Fn(&str) -> Reply + Send + Sync + 'static,
) -> Result<Option<Money>, ApiError> {
    let server = Server::start(answer).await;
    let client = Client::new(&server.url()).unwrap().with_trust(light.clone());
    let proof = client.proof::<Accounts>(&cash(holder)).await?;
    Ok(proof.row.map(|row| borsh::from_slice::<Account>(&row).unwrap().balance))
}

fn refused(outcome: Result<Option<Money>, ApiError>) -> Option<Distrust> {
    outcome.expect_err("it must not be believed").distrust()
}

#[tokio::test]
async fn what_is_proven_is_believed_and_told_with_its_height() {
    let mut federation = Federation::new();
    federation.add(7, &ALL);
    let light = light(None);
    let honest = federation.clone();
    assert_eq!(read(&light, 1, move |path| honest.answer(path)).await.unwrap(), Some(Money(5_000_000)));
    let honest = federation.clone();
    assert_eq!(read(&light, 9, move |path| honest.answer(path)).await.unwrap(), None);
    let told = light.verification();
    assert_eq!((told.complete, told.rows, told.height, told.signed, told.members), (true, 2, 7, 4, 4));
    light.note_unproven("the weather");
    assert!(!light.verification().complete);
    // What is kept reads back as it was, and goes on.
    let kept: Memory = serde_json::from_slice(&serde_json::to_vec(&light.memory()).unwrap()).unwrap();
    assert_eq!(Some(&kept), light.memory().as_ref());
    assert_eq!((kept.newest.height, kept.headers.len()), (7, 1));
}

#[tokio::test]
async fn a_single_row_and_a_member_are_read_by_the_client_s_own_methods() {
    let mut federation = Federation::new();
    federation.add(7, &ALL);
    let light = light(None);
    let lying = federation.clone();
    let server = Server::start(move |path| match path {
        // The list says that Germany owes nothing and may owe a fortune; its row says otherwise.
        "/v1/members" => {
            let row = lying.state.get::<Members>(&"DE".parse().unwrap()).unwrap().clone();
            let mut one = crate::organisation::MemberInfo::new("DE".parse().unwrap(), row);
            one.row.position = 99;
            one.debit_headroom = Money(u64::MAX);
            Reply::json(&serde_json::json!({ "items": [one], "next": null }))
        }
        path => lying.answer(path),
    })
    .await;
    let client = Client::new(&server.url()).unwrap().with_trust(light.clone());
    assert_eq!(client.params().await.unwrap(), federation.genesis.params);
    assert!(light.verification().complete);
    let members = client.members().await.unwrap();
    assert_eq!((members[0].row.position, members[0].debit_headroom), (0, Money(1_000_000_000)));
    let told = light.verification().not_provable;
    assert_eq!(told.iter().map(String::as_str).collect::<Vec<_>>(), ["that /v1/members leaves nothing out"]);
    let registrar = key("DE registrar").public_key();
    assert_eq!(client.key(&registrar).await.unwrap().row.nonce, 0);
    let unknown = client.key(&key("nobody").public_key()).await.unwrap_err();
    assert_eq!(unknown.fault(), Some(Fault::NotFound), "proven to be nobody's");
}

#[tokio::test]
async fn members_are_followed_and_those_of_the_past_say_nothing_of_the_present() {
    let mut federation = Federation::new();
    federation.add(7, &ALL);
    let light = light(None);
    let honest = federation.clone();
    read(&light, 1, move |path| honest.answer(path)).await.unwrap();
    federation.add(10, &NEXT);
    federation.hand_over(&NEXT);
    federation.add(11, &NEXT);
    // A node that skips the change shows a set that nobody vouches for.
    let mut skipping = federation.clone();
    skipping.handovers.clear();
    assert_eq!(
        refused(read(&light, 1, move |path| skipping.answer(path)).await),
        Some(Distrust::MembersUnknown)
    );
    let honest = federation.clone();
    read(&light, 1, move |path| honest.answer(path)).await.unwrap();
    let memory = light.memory().unwrap();
    assert_eq!((memory.newest.height, &memory.newest.validators), (11, &validators(&NEXT)));
    // The members of the past, France with them, sign a block of today, at a height to come or one that has been.
    for height in [8, 12] {
        let mut past = federation.clone();
        past.handovers.clear();
        past.add(height, &ALL);
        let found = refused(read(&light, 1, move |path| past.answer(path)).await);
        assert_eq!(found, Some(Distrust::MembersUnknown), "{height}");
    }
    // They cannot lead there by a handover of long ago either.
    let mut back = federation.clone();
    let old = back.blocks.iter().find(|block| block.header.height == 7).unwrap().clone();
    back.push(old);
    back.hand_over(&ALL);
    back.add(12, &ALL);
    assert_eq!(refused(read(&light, 1, move |path| back.answer(path)).await), Some(Distrust::MembersUnknown));
}

#[tokio::test]
async fn another_history_than_the_remembered_one_is_refused_and_a_fork_is_kept() {
    let mut federation = Federation::new();
    federation.add(7, &ALL);
    let first = light(None);
    let honest = federation.clone();
    read(&first, 1, move |path| honest.answer(path)).await.unwrap();
    let memory = first.memory();
    // Another block at that height, signed: both are kept. It was seen when the node was met, or in the proof itself.
    let mut other = Federation::new();
    let mut header = other.header(7, &ALL);
    header.receipts_root = [8; 32];
    other.push(block(&header, &ALL));
    for light in [first.clone(), light(memory.clone())] {
        let lying = other.clone();
        assert_eq!(refused(read(&light, 1, move |path| lying.answer(path)).await), Some(Distrust::Fork));
        let forks = light.forks();
        let [fork] = forks.as_slice() else { panic!("{forks:?}") };
        assert_eq!((fork.known.id, fork.other.id), (federation.blocks[0].id, header.id()));
        assert_eq!(light.memory(), memory, "the first stays");
    }
    // Unsigned, it is nothing but a lie.
    let mut unsigned = other.clone();
    unsigned.blocks[0].certificate = Vec::new();
    let light = light(memory.clone());
    assert_eq!(
        refused(read(&light, 1, move |path| unsigned.answer(path)).await),
        Some(Distrust::Contradiction)
    );
    assert!(light.forks().is_empty());
    // A next block that does not follow on the known one.
    let mut broken = federation.clone();
    let mut header = broken.header(8, &ALL);
    header.parent = BlockId([4; 32]);
    broken.push(block(&header, &ALL));
    assert_eq!(refused(read(&light, 1, move |path| broken.answer(path)).await), Some(Distrust::Fork));
    // The true next one is believed afterwards as before.
    federation.add(8, &ALL);
    assert_eq!(read(&light, 1, move |path| federation.answer(path)).await.unwrap(), Some(Money(5_000_000)));
}

#[tokio::test]
async fn one_block_told_by_height_and_hash_is_trust_enough() {
    let mut federation = Federation::new();
    federation.add(10, &NEXT);
    federation.hand_over(&NEXT);
    let id = federation.add(11, &NEXT).id;
    federation.add(12, &NEXT);
    let light = |height, id| Arc::new(Light::new(Anchor::Block { height, id }, None, None, now));
    let trusting = light(11, id);
    let honest = federation.clone();
    assert_eq!(read(&trusting, 2, move |path| honest.answer(path)).await.unwrap(), Some(Money(7_000_000)));
    assert_eq!(trusting.memory().unwrap().anchor.height, 11);
    let honest = federation.clone();
    let wrong = read(&light(11, BlockId([1; 32])), 2, move |path| honest.answer(path)).await;
    assert_eq!(refused(wrong), Some(Distrust::TrustedBlock));
    // The set that signs is told by the node, and counts because its hash stands in the trusted header.
    let mut strange = federation.clone();
    strange.handovers[0].validators = validators(&["AT", "BE", "BG", "CY"]);
    let unknown = read(&light(11, id), 2, move |path| strange.answer(path)).await;
    assert_eq!(refused(unknown), Some(Distrust::MembersUnknown));
    let mut other = federation.clone();
    other.genesis.name = "another".parse().unwrap();
    let other = read(&light(11, id), 2, move |path| other.answer(path)).await;
    assert_eq!(refused(other), Some(Distrust::OtherFederation));
}

#[tokio::test]
async fn what_is_old_or_ahead_of_the_clock_is_refused() {
    let mut federation = Federation::new();
    federation.add(7, &ALL);
    let time = federation.blocks[0].header.time;
    let read_at = |clock: fn() -> TimeMs, age: Option<u64>, memory: Option<Memory>| {
        let federation = federation.clone();
        let light = Arc::new(Light::new(Anchor::Genesis(Box::new(genesis())), memory, age, clock));
        async move { (read(&light, 1, move |path| federation.answer(path)).await, light) }
    };
    assert!(time < NOW);
    let later: fn() -> TimeMs = || TimeMs(NOW.0 + 86_400_000);
    assert_eq!(refused(read_at(later, None, None).await.0), Some(Distrust::Stale));
    let (outcome, light) = read_at(later, Some(2 * 86_400_000), None).await;
    assert_eq!(outcome.unwrap(), Some(Money(5_000_000)));
    let earlier: fn() -> TimeMs = || TimeMs(NOW.0 - 86_400_000);
    assert_eq!(refused(read_at(earlier, None, None).await.0), Some(Distrust::Ahead));
    // Who sets the clock back does not make what was verified young again.
    let mut memory = light.memory().unwrap();
    memory.time = TimeMs(NOW.0 + 86_400_000);
    assert_eq!(refused(read_at(now, None, Some(memory)).await.0), Some(Distrust::Stale));
}
