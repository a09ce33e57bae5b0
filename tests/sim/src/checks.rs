//! What must hold at every moment, whatever befalls the federation.

use crate::wire::Wire;
use hansa_ledger::event::Event;
use hansa_ledger::id::{LeaseId, TransactionId};
use hansa_ledger_signature::PublicKey;
use hansa_node::consensus::last_signed::{Statement, Step};
use hansa_node::consensus::parts::{Init, Part};
use hansa_node::executor::BlockRecord;
use malachitebft_app_channel::app::types::SignedConsensusMsg;
use malachitebft_core_consensus::LivenessMsg;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// How much of what happened.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Counts {
    /// Blocks that became final.
    pub blocks: u64,
    /// Transactions in them.
    pub transactions: u64,
    /// Of those, refused when they were executed.
    pub refused: u64,
    /// Leases awarded.
    pub leases: u64,
    /// Leases settled.
    pub settled: u64,
    /// Statements that honest members signed and sent.
    pub statements: u64,
    /// The highest round in which a block was decided or tried.
    pub round_max: i64,
    /// Deaths of nodes.
    pub deaths: u64,
    /// Cuts of links.
    pub cuts: u64,
    /// Faults of disks.
    pub disk_faults: u64,
    /// 1 if more members than may be down do not know what they signed in a height, which halts a federation.
    pub halted: u64,
    /// Deaths of clients and agents.
    pub client_deaths: u64,
}

impl Counts {
    /// Adds those of another run.
    pub fn add(&mut self, other: &Self) {
        self.blocks += other.blocks;
        self.transactions += other.transactions;
        self.refused += other.refused;
        self.leases += other.leases;
        self.settled += other.settled;
        self.statements += other.statements;
        self.round_max = self.round_max.max(other.round_max);
        self.deaths += other.deaths;
        self.cuts += other.cuts;
        self.disk_faults += other.disk_faults;
        self.halted += other.halted;
        self.client_deaths += other.client_deaths;
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{} blocks, {} transactions, {} leases of which {} settled, {} deaths of nodes, {} cuts of links, {} disk faults, \
             {} deaths of clients and agents, {} federations halted",
            self.blocks,
            self.transactions,
            self.leases,
            self.settled,
            self.deaths,
            self.cuts,
            self.disk_faults,
            self.client_deaths,
            self.halted
        )
    }
}

/// What a client has been told of its transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Final {
    /// In which block it stands.
    pub height: u64,
    /// What became of it: 0 for done.
    pub code: u16,
}

/// All that was said and acknowledged.
pub struct Checks {
    /// What each height was decided as, by the first honest node.
    decided: BTreeMap<u64, [u8; 32]>,
    /// Block and state root of each height that became final at an honest node.
    blocks: BTreeMap<u64, ([u8; 32], [u8; 32])>,
    /// The highest height that each node has said to be final.
    kept: Vec<u64>,
    /// What each honest node has said, over all its lives.
    statements: Vec<BTreeMap<(u64, i64, Step), Statement>>,
    /// What clients have been told.
    finals: BTreeMap<TransactionId, Final>,
    settled: BTreeSet<LeaseId>,
    /// The openings of the streams that nodes have sent, by stream.
    openings: BTreeMap<(usize, Vec<u8>), Init>,
    /// How much of what happened.
    pub counts: Counts,
}

impl Checks {
    /// Of a federation with so many machines.
    #[must_use]
    pub fn new(places: usize) -> Self {
        Self {
            decided: BTreeMap::new(),
            blocks: BTreeMap::new(),
            kept: vec![0; places],
            statements: vec![BTreeMap::new(); places],
            finals: BTreeMap::new(),
            settled: BTreeSet::new(),
            openings: BTreeMap::new(),
            counts: Counts::default(),
        }
    }

    /// Notes a round.
    pub fn reached(&mut self, _: usize, _: u64, round: i64) {
        self.counts.round_max = self.counts.round_max.max(round);
    }

    /// Compares a decision with those of the others.
    pub fn decided(&mut self, place: usize, height: u64, id: [u8; 32]) -> Option<String> {
        let first = *self.decided.entry(height).or_insert(id);
        (first != id).then(|| {
            format!(
                "no agreement: node {place} decides {} at height {height}, another {}",
                hex::encode(id),
                hex::encode(first)
            )
        })
    }

    /// The highest height that was decided.
    #[must_use]
    pub fn height_decided(&self) -> u64 {
        self.decided.keys().next_back().copied().unwrap_or(0)
    }

    /// The highest height that a node has said to be final.
    #[must_use]
    pub fn kept_by(&self, place: usize) -> u64 {
        self.kept[place]
    }

    /// What became of a transaction.
    #[must_use]
    pub fn outcome(&self, id: &TransactionId) -> Option<Final> {
        self.finals.get(id).copied()
    }

    /// All that clients have been told.
    pub fn finals(&self) -> impl Iterator<Item = (&TransactionId, &Final)> {
        self.finals.iter()
    }

    /// Block and state root of a height.
    #[must_use]
    pub fn block(&self, height: u64) -> Option<([u8; 32], [u8; 32])> {
        self.blocks.get(&height).copied()
    }

    /// Takes a block that an honest node calls final.
    pub fn became_final(&mut self, place: usize, record: &BlockRecord) -> Option<String> {
        let height = record.header.height;
        self.kept[place] = self.kept[place].max(height);
        let seen = (record.id.0, record.header.state_root);
        if let Some(first) = self.blocks.get(&height) {
            return (*first != seen).then(|| {
                format!("no agreement: node {place} holds another block or state of height {height}")
            });
        }
        self.blocks.insert(height, seen);
        self.counts.blocks += 1;
        if self.decided.get(&height).is_some_and(|decided| *decided != record.id.0) {
            return Some(format!("node {place} holds another block of height {height} than was decided"));
        }
        for receipt in &record.receipts.transactions {
            self.counts.transactions += 1;
            self.counts.refused += u64::from(receipt.code != 0);
            let told = Final { height, code: receipt.code };
            if let Some(before) = self.finals.insert(receipt.transaction, told) {
                return Some(format!(
                    "transaction {} stands in block {} and again in block {height}",
                    receipt.transaction, before.height
                ));
            }
        }
        let of_transactions = record.receipts.transactions.iter().flat_map(|receipt| &receipt.events);
        self.events(height, of_transactions.chain(&record.receipts.deadlines))
    }

    fn events<'a>(&mut self, height: u64, events: impl Iterator<Item = &'a Event>) -> Option<String> {
        for event in events {
            match event {
                Event::LeaseAwarded { .. } => self.counts.leases += 1,
                Event::LeaseSettled { lease, .. } => {
                    self.counts.settled += 1;
                    if !self.settled.insert(*lease) {
                        return Some(format!("lease {lease} is settled again in block {height}"));
                    }
                }
                _ => {}
            }
        }
        None
    }

    /// Compares what leaves an honest node with what left it before, in this and in earlier lives.
    pub fn said(&mut self, place: usize, own: &PublicKey, wire: &Wire) -> Option<String> {
        let statement = match wire {
            Wire::Consensus(SignedConsensusMsg::Vote(vote)) | Wire::Liveness(LivenessMsg::Vote(vote)) => {
                (vote.message.voter.0 == *own).then(|| Statement::of_vote(&vote.message))
            }
            Wire::Consensus(SignedConsensusMsg::Proposal(proposal)) => {
                (proposal.message.proposer.0 == *own).then(|| Statement::of_proposal(&proposal.message))
            }
            Wire::Part(part) => match part.content.as_data() {
                Some(Part::Init(init)) => {
                    self.openings.insert((place, part.stream_id.to_bytes().to_vec()), *init);
                    None
                }
                Some(Part::Fin(fin)) => {
                    let init = self.openings.get(&(place, part.stream_id.to_bytes().to_vec()));
                    let init = init.filter(|init| init.proposer == *own);
                    init.map(|init| Statement::of_parts(init.height, init.round, init.pol_round, &fin.id))
                }
                _ => None,
            },
            _ => None,
        }?;
        self.said_statement(place, statement)
    }

    fn said_statement(&mut self, place: usize, statement: Statement) -> Option<String> {
        let key = (statement.height, statement.round, statement.step);
        let before = *self.statements[place].entry(key).or_insert_with(|| {
            self.counts.statements += 1;
            statement
        });
        (before != statement)
            .then(|| format!("node {place} signs two things: {before:?} and then {statement:?}"))
    }
}

impl crate::world::World {
    /// A block became final at a node.
    pub fn became_final(&self, place: usize, record: &BlockRecord) {
        if !self.places[place].honest {
            return;
        }
        self.note(format_args!(
            "{place} holds {} {} with {}",
            record.header.height,
            hex::encode(&record.id.0[..6]),
            record.transactions.len()
        ));
        let wrong = self.checks.borrow_mut().became_final(place, record);
        if let Some(reason) = wrong {
            self.fail(reason);
        }
        self.changed.notify_waiters();
    }
}
