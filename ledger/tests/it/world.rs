//! A federation in memory: blocks are built, executed by a second state, and compared.

use hansa_contracts_abi::Native;
use hansa_contracts_spot::Spot;
use hansa_ledger::action::{AccreditOrganisation, AccreditSite, Action, AttestDeposit, IssueGrant, PostOffer, organisation_id};
use hansa_ledger::apply::{apply_block, build_block, chain};
use hansa_ledger::block::Receipts;
use hansa_ledger::deadline::next_deadline;
use hansa_ledger::event::Event;
use hansa_ledger::genesis::{Genesis, GenesisContract, GenesisMember};
use hansa_ledger::id::{ChainId, CodeHash, OrganisationId};
use hansa_ledger::invariants::check_state;
use hansa_ledger::market::Calendar;
use hansa_ledger::member::MemberCode;
use hansa_ledger::money::{Money, Price};
use hansa_ledger::name::Name;
use hansa_ledger::params::Params;
use hansa_ledger::rejection::Rejection;
use hansa_ledger::row::{AccountId, OrganisationClass, Pool, Purpose};
use hansa_ledger::state::State;
use hansa_ledger::tables::{Accounts, Keys, Members};
use hansa_ledger::time::{Slot, TimeMs};
use hansa_ledger::transaction::{SignedTransaction, Transaction};
use hansa_ledger_signature::{Cache, SecretKey, Verified};
use std::collections::BTreeMap;

pub const START: TimeMs = TimeMs(1_800_000_000_000);
const CODE: &[u8] = b"spot, run natively in these tests";

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

pub struct World {
    pub chain: ChainId,
    pub runtime: Native<Spot>,
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

    pub fn with(params: Params) -> Self {
        let code = CodeHash(*blake3::hash(CODE).as_bytes());
        let members = ["DE", "EE", "ES", "FR"].map(|code| GenesisMember {
            code: member(code),
            consensus_key: key(&format!("{code} consensus")).public_key(),
            network_key: key(&format!("{code} network")).public_key(),
            registrar_key: key(&format!("{code} registrar")).public_key(),
            treasury_key: key(&format!("{code} treasury")).public_key(),
            governance_key: key(&format!("{code} governance")).public_key(),
            issue_limit: Money(1_000_000_000_000),
            debit_cap: Money(1_000_000_000),
        });
        let genesis = Genesis {
            name: name("test"),
            time: START,
            vm_profile: [0; 32],
            params,
            members: members.to_vec(),
            contracts: vec![GenesisContract { name: name("spot"), code: CODE.to_vec() }],
        };
        let state = genesis.state().unwrap();
        check_state(&state).unwrap();
        Self {
            chain: genesis.chain_id(),
            runtime: Native::new(code.0),
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
        let nonce = self.nonces.entry(signer.to_owned()).or_default();
        let transaction = Transaction {
            chain: self.chain,
            signer: key(signer).public_key(),
            nonce: *nonce,
            valid_until: self.now.plus(60_000),
            actions,
        };
        *nonce += 1;
        self.cache.verify(transaction.sign(&key(signer))).unwrap()
    }

    /// Makes one block of these transactions `after_ms` later, executes it a second time from its header, and compares.
    pub fn block(&mut self, after_ms: u64, transactions: &[Verified<SignedTransaction>]) -> Receipts {
        self.now = self.now.plus(after_ms);
        let proposer = member("DE");
        let (block, outcome) =
            build_block(&self.state, &self.runtime, self.chain, proposer, self.now, transactions).unwrap();
        assert_eq!(block.transactions.len(), transactions.len(), "every transaction stands in the block");
        let again = apply_block(&self.twin, &self.runtime, self.chain, &block.header, transactions).unwrap();
        assert_eq!(again.changes.rows(), outcome.changes.rows());
        let id = block.header.id();
        self.state.commit(outcome.changes, id);
        self.twin.commit(again.changes, id);
        check_state(&self.state).unwrap();
        let mut rows = Vec::new();
        self.state.tables().each_row(|table, key, value| rows.push((table, key, value)));
        assert_eq!(State::load(rows, id).unwrap().root(), self.state.root(), "a reloaded state has the same root");
        outcome.receipts
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

    pub fn accredit(&mut self, home: &str, number: &str, class: OrganisationClass) -> OrganisationId {
        let action = AccreditOrganisation {
            register_number: number.to_owned(),
            owner: None,
            name: name(number),
            class,
            accredited_until: self.now.plus(86_400_000),
            key: key(number).public_key(),
        };
        self.run(&format!("{home} registrar"), vec![action.into()]).unwrap();
        self.organisation(home, number)
    }

    pub fn grant(&mut self, home: &str, number: &str, reference: &str, eur: u64) -> hansa_ledger::id::GrantId {
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
    pub fn provider(&mut self, home: &str, number: &str, accelerators: u32, ask_eur_cents: u64) -> OrganisationId {
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
        };
        self.run(&format!("{home} registrar"), vec![site.into()]).unwrap();
        self.offer(number, accelerators, ask_eur_cents).unwrap();
        provider
    }

    pub fn offer(&mut self, number: &str, accelerators: u32, ask_eur_cents: u64) -> Result<Vec<Event>, Rejection> {
        let now = self.now.slot(1);
        let action = PostOffer {
            site: name("site"),
            class: name("a100-64"),
            ask: Price(ask_eur_cents * 10_000),
            calendar: Calendar::constant(now, Slot(now.0 + 3_600), accelerators),
            contract: self.code,
            contract_params: borsh::to_vec(&hansa_contracts_spot::Params::default()).unwrap(),
        };
        self.run(number, vec![action.into()])
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
