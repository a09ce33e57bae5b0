//! A federation in memory: blocks are built, executed by a second state, and compared.

use crate::engine::Engine;
use hansa_ledger::action::{
    AccreditOrganisation, AccreditSite, Action, AttestDeposit, BlockInHand, IssueGrant, PostOffer, fuel_kept,
    organisation_id,
};
use hansa_ledger::apply::{BlockError, PROTOCOL_VERSION, apply_block, build_block, chain};
use hansa_ledger::block::{Header, Receipts};
use hansa_ledger::deadline::next_deadline;
use hansa_ledger::event::Event;
use hansa_ledger::figures::Tally;
use hansa_ledger::genesis::{Genesis, GenesisContract, GenesisMember, GenesisOffice};
use hansa_ledger::id::{ChainId, CodeHash, OrganisationId};
use hansa_ledger::invariants::check_state;
use hansa_ledger::market::{Calendar, Clearing};
use hansa_ledger::member::MemberCode;
use hansa_ledger::money::{Money, Price};
use hansa_ledger::name::Name;
use hansa_ledger::params::Params;
use hansa_ledger::possession::Possession;
use hansa_ledger::rejection::Rejection;
use hansa_ledger::row::{AccountId, OrganisationClass, Pool, Principal, Purpose};
use hansa_ledger::state::State;
use hansa_ledger::tables::{Accounts, Keys, Members};
use hansa_ledger::time::{Slot, TimeMs};
use hansa_ledger::transaction::{SignedTransaction, Transaction};
use hansa_ledger_signature::{Cache, SecretKey, Verified};
use std::collections::BTreeMap;

pub const START: TimeMs = TimeMs(1_800_000_000_000);
pub const CODE: &[u8] = b"spot, run natively in these tests";

/// A key made of a name: the same name gives the same key in every run.
pub fn key(name: &str) -> SecretKey {
    SecretKey::from_bytes(*blake3::hash(name.as_bytes()).as_bytes())
}

pub fn member(code: &str) -> MemberCode {
    code.parse().unwrap()
}

pub fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

/// An office that acts by `threshold` of the keys of these names.
pub fn office(threshold: u32, names: &[&str]) -> GenesisOffice {
    GenesisOffice { threshold, keys: names.iter().map(|name| key(name).public_key()).collect() }
}

/// [`genesis`], where it takes two of the three keys `DE treasury`, `DE treasury 2` and `DE treasury 3`.
pub fn genesis_of_several(params: Params) -> Genesis {
    let mut genesis = genesis(params);
    genesis.members[0].treasury = office(2, &["DE treasury", "DE treasury 2", "DE treasury 3"]);
    genesis
}

/// A member with keys named after its code.
pub fn newcomer(code: &str) -> GenesisMember {
    GenesisMember {
        code: member(code),
        consensus_key: key(&format!("{code} consensus")).public_key(),
        network_key: key(&format!("{code} network")).public_key(),
        issue_limit: Money(1_000_000_000_000),
        debit_cap: Money(1_000_000_000),
        registrar: office(1, &[&format!("{code} registrar")]),
        treasury: office(1, &[&format!("{code} treasury")]),
        governance: office(1, &[&format!("{code} governance")]),
    }
}

/// The beginning of every federation of these tests: four members, one contract.
pub fn genesis(params: Params) -> Genesis {
    let members = ["DE", "EE", "ES", "FR"].map(newcomer);
    Genesis {
        name: name("test"),
        time: START,
        vm_profile: [0; 32],
        params,
        members: members.to_vec(),
        contracts: vec![GenesisContract { name: name("spot"), code: CODE.to_vec() }],
    }
}

pub struct World {
    pub chain: ChainId,
    pub runtime: Engine,
    pub code: CodeHash,
    pub state: State,
    pub twin: State,
    pub now: TimeMs,
    pub cache: Cache,
    nonces: BTreeMap<String, u64>,
}

impl World {
    pub fn new() -> Self {
        Self::with(Params::testnet())
    }

    /// With all capacity on the market: what the reserve does has tests of its own.
    pub fn with(params: Params) -> Self {
        Self::exactly(Params { reserve_bps_min: 0, ..params })
    }

    pub fn exactly(params: Params) -> Self {
        Self::from(&genesis(params))
    }

    pub fn from(genesis: &Genesis) -> Self {
        let code = CodeHash(*blake3::hash(CODE).as_bytes());
        let state = genesis.state().unwrap();
        check_state(&state).unwrap();
        Self {
            chain: genesis.chain_id(),
            runtime: Engine::new(code.0),
            code,
            twin: state.clone(),
            state,
            now: START,
            cache: Cache::new(1_000),
            nonces: BTreeMap::new(),
        }
    }

    /// Signs actions with the key of this name and its next nonce.
    pub fn sign(&mut self, signer: &str, actions: Vec<Action>) -> Verified<SignedTransaction> {
        let mut transaction = self.envelope(signer, actions);
        // Several of one key may go into one block, before the ledger has counted the first.
        let nonce = self.nonces.entry(signer.to_owned()).or_default();
        transaction.nonce = transaction.nonce.max(*nonce);
        *nonce = transaction.nonce + 1;
        self.cache.verify(transaction.sign(&key(signer))).unwrap()
    }

    /// What the key of this name would sign next, as far as the ledger has counted.
    pub fn envelope(&self, signer: &str, actions: Vec<Action>) -> Transaction {
        Transaction {
            chain: self.chain,
            signer: key(signer).public_key(),
            nonce: self.nonce(signer),
            valid_until: self.now.plus(60_000),
            actions,
        }
    }

    /// The same federation, to go on from here twice.
    pub fn fork(&self) -> Self {
        Self {
            chain: self.chain,
            runtime: self.runtime.clone(),
            code: self.code,
            state: self.state.clone(),
            twin: self.twin.clone(),
            now: self.now,
            cache: Cache::new(1_000),
            nonces: self.nonces.clone(),
        }
    }

    /// The parameters in force.
    pub fn params(&self) -> &Params {
        hansa_ledger::apply::params(&self.state)
    }

    /// A header for the next block, `after_ms` later, whose roots are still to be found.
    pub fn draft_header(&self, after_ms: u64) -> Header {
        Header {
            protocol_version: PROTOCOL_VERSION,
            chain: self.chain,
            height: chain(&self.state).height + 1,
            time: self.now.plus(after_ms),
            parent: self.state.tip(),
            proposer: member("DE"),
            transactions_root: [0; 32],
            waiting_root: hansa_ledger::waiting::waiting_root(&[]),
            receipts_root: [0; 32],
            state_root: [0; 32],
            members_hash: [0; 32],
        }
    }

    /// Takes the bytes of a transaction the way a node does: decodes them, checks the signature, and makes a block of it one
    /// millisecond later. What may stand in no block is refused by the whole block.
    pub fn attempt(&mut self, bytes: &[u8]) -> Result<Vec<Event>, Rejection> {
        let transaction = SignedTransaction::decode(bytes, self.params())?;
        let verified = self.cache.verify(transaction).map_err(SignedTransaction::refusal)?;
        let block = std::slice::from_ref(&verified);
        match apply_block(&self.state, &self.runtime, self.chain, &self.draft_header(1), block) {
            Err(BlockError::Transaction { index: 0, rejection }) => return Err(rejection),
            Err(BlockError::Header(_)) => {}
            other => panic!("{:?}", other.map(|outcome| outcome.header)),
        }
        let mut receipts = self.block(1, block);
        let receipt = receipts.transactions.remove(0);
        match Rejection::from_code(receipt.code) {
            None => Ok(receipt.events),
            Some(rejection) => {
                assert!(receipt.events.is_empty(), "a refused transaction tells of nothing");
                Err(rejection)
            }
        }
    }

    /// [`Self::attempt`] of one action.
    pub fn act(&mut self, signer: &str, action: impl Into<Action>) -> Result<Vec<Event>, Rejection> {
        let signed = self.envelope(signer, vec![action.into()]).sign(&key(signer));
        self.attempt(&signed.encode())
    }

    /// Every row of the state in its stored form.
    pub fn rows(&self) -> Vec<(u8, Vec<u8>, Vec<u8>)> {
        let mut rows = Vec::new();
        self.state.tables().each_row(|table, key, value| rows.push((table, key, value)));
        rows
    }

    /// Makes one block of these transactions `after_ms` later, executes it a second time from its header, and compares.
    pub fn block(&mut self, after_ms: u64, transactions: &[Verified<SignedTransaction>]) -> Receipts {
        self.now = self.now.plus(after_ms);
        let proposer = member("DE");
        let (block, outcome) = build_block(
            &self.state,
            &self.runtime,
            self.chain,
            proposer,
            self.now,
            transactions,
            &mut || true,
        )
        .unwrap();
        assert_eq!(block.transactions.len(), transactions.len(), "every transaction stands in the block");
        let again = apply_block(&self.twin, &self.runtime, self.chain, &block.header, transactions).unwrap();
        assert_eq!(again.changes.rows(), outcome.changes.rows());
        let id = block.header.id();
        self.state.commit(outcome.changes, id);
        self.twin.commit(again.changes, id);
        check_state(&self.state).unwrap();
        assert_eq!(
            State::load(self.rows(), id).unwrap().root(),
            self.state.root(),
            "a reloaded state has the same root"
        );
        outcome.receipts
    }

    /// Carries out what a batch of `a100-64` decided, outside of a block.
    pub fn carry_out(&mut self, clearing: Clearing, reference: Option<Price>) -> Vec<Event> {
        self.carry_out_tallied(clearing, reference).0
    }

    /// [`Self::carry_out`], and what was counted.
    pub fn carry_out_tallied(&mut self, clearing: Clearing, reference: Option<Price>) -> (Vec<Event>, Tally) {
        let mut block = BlockInHand {
            view: self.state.view(),
            params: self.params(),
            height: chain(&self.state).height,
            now: self.now,
            runtime: &self.runtime,
            fuel: self.params().block_fuel_max,
            fuel_kept: fuel_kept(self.params(), &self.runtime),
            events: Vec::new(),
        };
        let tally = block.carry_out(&name("a100-64"), reference, clearing);
        let events = std::mem::take(&mut block.events);
        let changes = block.view.into_changes(self.state.trie());
        let tip = self.state.tip();
        self.state.commit(changes.clone(), tip);
        self.twin.commit(changes, tip);
        check_state(&self.state).unwrap();
        (events, tally)
    }

    /// One transaction in a block of its own: what it did, or why it was refused.
    pub fn run(&mut self, signer: &str, actions: Vec<Action>) -> Result<Vec<Event>, Rejection> {
        let transaction = self.sign(signer, actions);
        let mut receipts = self.block(1, &[transaction]);
        let receipt = receipts.transactions.remove(0);
        match Rejection::from_code(receipt.code) {
            None => Ok(receipt.events),
            Some(rejection) => Err(rejection),
        }
    }

    /// Lets the next deadline pass in a block of its own.
    pub fn pass_deadline(&mut self) -> Vec<Event> {
        let due = next_deadline(&self.state).expect("a deadline is set");
        let wait = due.0.saturating_sub(self.now.0).max(1);
        self.block(wait, &[]).deadlines
    }

    /// Lets deadlines pass until one brings an event that `wanted` picks.
    pub fn pass_until<T>(&mut self, wanted: impl Fn(&Event) -> Option<T>) -> T {
        for _ in 0..20 {
            if let Some(found) = self.pass_deadline().iter().find_map(&wanted) {
                return found;
            }
        }
        panic!("no such event in twenty deadlines");
    }

    pub fn organisation(&self, home: &str, number: &str) -> OrganisationId {
        organisation_id(member(home), number)
    }

    /// The word of the key of this name that it acts for `principal`.
    pub fn proof(&self, name: &str, principal: Principal) -> Possession {
        Possession::prove(self.chain, &key(name), principal)
    }

    pub fn accredit(&mut self, home: &str, number: &str, class: OrganisationClass) -> OrganisationId {
        let action = AccreditOrganisation {
            register_number: number.to_owned(),
            owner: None,
            name: name(number),
            class,
            accredited_until: self.now.plus(86_400_000),
            key: key(number).public_key(),
            proof: Some(self.proof(number, Principal::Organisation(self.organisation(home, number)))),
        };
        self.run(&format!("{home} registrar"), vec![action.into()]).unwrap();
        self.organisation(home, number)
    }

    pub fn grant(
        &mut self,
        home: &str,
        number: &str,
        reference: &str,
        eur: u64,
    ) -> hansa_ledger::id::GrantId {
        let action = IssueGrant {
            holder: self.organisation(home, number),
            reference: name(reference),
            budget_line: name("line-1"),
            purpose: Purpose::Innovation,
            amount: Money(eur * 1_000_000),
            expires: self.now.plus(3_600_000),
        };
        self.run(&format!("{home} treasury"), vec![action.into()]).unwrap();
        hansa_ledger::action::grant_id(member(home), &name(reference))
    }

    pub fn deposit(&mut self, home: &str, number: &str, eur: u64) {
        let action = AttestDeposit {
            organisation: self.organisation(home, number),
            amount: Money(eur * 1_000_000),
            reference: name(&format!("bank-{number}-{}", chain(&self.state).height)),
        };
        self.run(&format!("{home} treasury"), vec![action.into()]).unwrap();
    }

    /// A provider with one accredited site and an open offer of all of it for an hour.
    pub fn provider(
        &mut self,
        home: &str,
        number: &str,
        accelerators: u32,
        ask_eur_cents: u64,
    ) -> OrganisationId {
        let provider = self.site(home, number, accelerators);
        self.offer(number, accelerators, ask_eur_cents).unwrap();
        provider
    }

    /// A provider with one accredited site, and no offer.
    pub fn site(&mut self, home: &str, number: &str, accelerators: u32) -> OrganisationId {
        let provider = self.accredit(home, number, OrganisationClass::Public);
        let site = AccreditSite {
            provider,
            site: name("site"),
            class: name("a100-64"),
            accelerators,
            node_size: 4,
            tier: 2,
            certificates: 0b1,
            pool: Pool::Public,
            parts: Vec::new(),
        };
        self.run(&format!("{home} registrar"), vec![site.into()]).unwrap();
        provider
    }

    pub fn offer(
        &mut self,
        number: &str,
        accelerators: u32,
        ask_eur_cents: u64,
    ) -> Result<Vec<Event>, Rejection> {
        let action = self.offer_of(accelerators, ask_eur_cents);
        self.run(number, vec![action.into()])
    }

    /// An offer of so much for an hour from now, under `spot`.
    pub fn offer_of(&self, accelerators: u32, ask_eur_cents: u64) -> PostOffer {
        let now = self.now.slot(1);
        PostOffer {
            site: name("site"),
            class: name("a100-64"),
            ask: Price(ask_eur_cents * 10_000),
            calendar: Calendar::constant(now, Slot(now.0 + 3_600), accelerators),
            owner: None,
            reserve_bps: None,
            reserve_cycle_slots: None,
            contract: self.code,
            contract_params: borsh::to_vec(&hansa_contracts_spot::Params::default()).unwrap(),
            parties: Vec::new(),
        }
    }

    pub fn balance(&self, account: &AccountId) -> u64 {
        self.state.get::<Accounts>(account).map_or(0, |row| row.balance.0)
    }

    pub fn position(&self, code: &str) -> i128 {
        self.state.get::<Members>(&member(code)).unwrap().position
    }

    pub fn nonce(&self, signer: &str) -> u64 {
        self.state.get::<Keys>(&key(signer).public_key()).map_or(0, |row| row.nonce)
    }
}
