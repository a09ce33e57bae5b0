//! One lease between an Estonian firm and a Spanish centre, under a contract of choice, in a federation of seven.

use crate::scene::{demand, place};
use crate::scripted::{SCRIPT, Script};
use crate::world::{World, genesis, member, name, newcomer};
use hansa_ledger::action::{
    Action, ClaimPayment, ContestUsage, CountersignUsage, EndLease, LeaseUsage, OpenDispute, PostOffer,
    ReportUsage, RuleDispute, StartLease,
};
use hansa_ledger::event::Event;
use hansa_ledger::genesis::GenesisContract;
use hansa_ledger::id::{CodeHash, GrantId, LeaseId};
use hansa_ledger::params::Params;
use hansa_ledger::rejection::Rejection;
use hansa_ledger::replay::Record;
use hansa_ledger::row::{
    AccountId, Demand, Dispute, Interim, Lease, LeaseState, OrganisationClass, Purse, Settlement, Source,
};
use hansa_ledger::tables::{Deadlines, Disputes, Interims, Leases, Members, Settlements};

/// What is locked for the lease: 2 accelerators for 20 seconds at 500 uEUR.
pub const LOCKED: u64 = 20_000;

/// What a stage begins with.
pub struct Setup {
    pub params: Params,
    /// The scripted contract, or `spot`.
    pub script: Option<Script>,
    /// The part that is paid in cash; a grant pays the rest.
    pub cash_bps: u16,
    /// Whom the offer names: home and number.
    pub parties: &'static [(&'static str, &'static str)],
    pub provider_home: &'static str,
    /// The provider's cash, in EUR.
    pub provider_eur: u64,
}

impl Default for Setup {
    fn default() -> Self {
        let params = Params { audit_window_ms: 40_000, ..Params::testnet() };
        let (parties, provider_home) = (&[][..], "ES");
        Self { params, script: None, cash_bps: 10_000, parties, provider_home, provider_eur: 1 }
    }
}

pub struct Stage {
    pub world: World,
    pub lease: LeaseId,
    pub grant: GrantId,
    pub home: &'static str,
}

/// Seven members, both contracts, a site of 64 without an offer, and a requester with money.
pub fn market(setup: &Setup) -> (World, GrantId) {
    let mut genesis = genesis(Params { reserve_bps_min: 0, ..setup.params.clone() });
    genesis.members.extend(["IT", "PL", "PT"].map(newcomer));
    genesis.members.sort_by_key(|member| member.code);
    genesis.contracts.push(GenesisContract { name: name("script"), code: SCRIPT.to_vec() });
    let mut world = World::from(&genesis);
    world.site(setup.provider_home, "bsc", 64);
    world.accredit("EE", "one", OrganisationClass::StartUp);
    world.deposit("EE", "one", 1);
    if setup.provider_eur > 0 {
        world.deposit(setup.provider_home, "bsc", setup.provider_eur);
    }
    let grant = world.grant("EE", "one", "grant-1", 1);
    for (home, number) in setup.parties {
        world.accredit(home, number, OrganisationClass::Public);
    }
    (world, grant)
}

/// The offer of a setup.
pub fn offer(world: &World, setup: &Setup) -> PostOffer {
    let offer = world.offer_of(64, 180);
    let parties = setup.parties.iter().map(|(home, number)| world.organisation(home, number)).collect();
    match &setup.script {
        Some(script) => {
            let contract = CodeHash(*blake3::hash(SCRIPT).as_bytes());
            PostOffer { contract, contract_params: script.params(), parties, ..offer }
        }
        None => PostOffer { parties, ..offer },
    }
}

/// What the firm asks for, paid partly in cash.
pub fn wanted(world: &World, grant: GrantId, cash_bps: u16) -> Demand {
    let sources = [(Purse::Cash, cash_bps), (Purse::Grant(grant), 10_000 - cash_bps)];
    let sources = sources.into_iter().filter(|(_, share_bps)| *share_bps > 0);
    let sources = sources.map(|(purse, share_bps)| Source { purse, share_bps }).collect();
    Demand { slots: 20, sources, ..demand(world, Purse::Cash) }
}

impl Stage {
    /// A lease that has been awarded.
    pub fn awarded(setup: &Setup) -> Self {
        let (mut world, grant) = market(setup);
        let offer = offer(&world, setup);
        world.run("bsc", vec![offer.into()]).unwrap();
        let demand = wanted(&world, grant, setup.cash_bps);
        let lease = LeaseId::derive(&place(&mut world, "one", demand));
        world.pass_until(|event| matches!(event, Event::LeaseAwarded { .. }).then_some(()));
        Self { world, lease, grant, home: setup.provider_home }
    }

    /// A lease that has begun.
    pub fn active(setup: &Setup) -> Self {
        let mut stage = Self::awarded(setup);
        let start = stage.row().agreement.start.0.saturating_sub(stage.world.now.0).max(1);
        stage.after(start, "bsc", StartLease { lease: stage.lease }).unwrap();
        stage
    }

    /// A lease that has ended after twelve seconds with this final report.
    pub fn reported(setup: &Setup, cumulative: u64) -> Self {
        let mut stage = Self::active(setup);
        stage.end(12_000, cumulative).unwrap();
        stage
    }

    pub fn fork(&self) -> Self {
        Self { world: self.world.fork(), ..*self }
    }

    /// An action in a block of its own, so much later.
    pub fn after(
        &mut self,
        after_ms: u64,
        signer: &str,
        action: impl Into<Action>,
    ) -> Result<Vec<Event>, Rejection> {
        let signed = self.world.sign(signer, vec![action.into()]);
        let receipt = self.world.block(after_ms, &[signed]).transactions.remove(0);
        Rejection::from_code(receipt.code).map_or(Ok(receipt.events), Err)
    }

    fn usage(&self, cumulative: u64) -> Vec<LeaseUsage> {
        vec![LeaseUsage { lease: self.lease, cumulative }]
    }

    /// The provider reports use, and the requester agrees to it.
    pub fn use_up(&mut self, after_ms: u64, cumulative: u64) {
        let usages = self.usage(cumulative);
        self.after(after_ms, "bsc", ReportUsage { usages: usages.clone() }).unwrap();
        self.after(1, "one", CountersignUsage { usages }).unwrap();
    }

    pub fn countersign(&mut self, cumulative: u64) -> Result<Vec<Event>, Rejection> {
        let usages = self.usage(cumulative);
        self.after(1, "one", CountersignUsage { usages })
    }

    pub fn claim(&mut self, after_ms: u64) -> Result<Vec<Event>, Rejection> {
        self.after(after_ms, "bsc", ClaimPayment { lease: self.lease })
    }

    pub fn end(&mut self, after_ms: u64, cumulative: u64) -> Result<Vec<Event>, Rejection> {
        self.after(after_ms, "bsc", EndLease { lease: self.lease, cumulative: Some(cumulative) })
    }

    pub fn contest(&mut self, signer: &str, admitted: u64) -> Result<Vec<Event>, Rejection> {
        self.after(1, signer, ContestUsage { lease: self.lease, admitted })
    }

    pub fn open(&mut self, signer: &str, usage: u64) -> Result<Vec<Event>, Rejection> {
        self.after(1, signer, OpenDispute { lease: self.lease, usage, reason: 1 })
    }

    pub fn rule(&mut self, code: &str, provider_bps: u16) -> Result<Vec<Event>, Rejection> {
        let action = RuleDispute { lease: self.lease, provider_bps };
        self.after(1, &format!("{code} registrar"), action)
    }

    /// Lets time pass until the lease is settled.
    pub fn settle(&mut self) {
        self.world.pass_until(|event| matches!(event, Event::LeaseSettled { .. }).then_some(()));
    }

    pub fn row(&self) -> Lease {
        self.world.state.get::<Leases>(&self.lease).unwrap().clone()
    }

    pub fn dispute(&self) -> Dispute {
        self.world.state.get::<Disputes>(&self.lease).unwrap().clone()
    }

    pub fn settlement(&self) -> Settlement {
        self.world.state.get::<Settlements>(&self.lease).unwrap().clone()
    }

    pub fn interims(&self) -> Vec<Interim> {
        self.world.state.rows::<Interims>().map(|(_, row)| row.clone()).collect()
    }

    pub fn record(&self) -> Record {
        Record { settlement: self.settlement(), interims: self.interims() }
    }

    pub fn cash(&self, home: &str, number: &str) -> u64 {
        self.world.balance(&AccountId::Cash(self.world.organisation(home, number)))
    }

    pub fn provider(&self) -> u64 {
        self.cash(self.home, "bsc")
    }

    pub fn requester(&self) -> u64 {
        self.cash("EE", "one")
    }

    pub fn grant(&self) -> u64 {
        self.world.balance(&AccountId::Grant(self.grant))
    }

    pub fn stake(&self) -> u64 {
        self.world.balance(&AccountId::Stake(self.lease))
    }

    pub fn bond(&self) -> u64 {
        self.world.balance(&AccountId::Bond(self.lease))
    }

    pub fn escrow(&self) -> u64 {
        let request = self.row().request;
        (0..4).map(|source| self.world.balance(&AccountId::Escrow(request, source))).sum()
    }

    /// What leases and disputes hold of a member's debit cap.
    pub fn cap_held(&self, code: &str) -> u64 {
        self.world.state.get::<Members>(&member(code)).unwrap().locked.0
    }

    /// Nothing of the lease is left anywhere: no money, no held cap, no deadline.
    pub fn check_closed(&self) {
        let row = self.row();
        assert_eq!(row.state, LeaseState::Settled);
        let held = row.held().0;
        assert_eq!([self.escrow(), self.stake(), self.bond()], [held, 0, 0], "escrow, stake, bond");
        assert!(self.home == "EE" || self.cap_held(self.home) == 0, "{}", self.cap_held(self.home));
        assert!(held > 0 || self.cap_held("EE") == 0, "{}", self.cap_held("EE"));
        let left = self.world.state.rows::<Deadlines>().filter(|(due, ())| due.subject == self.lease.0);
        assert_eq!(left.count(), usize::from(row.holdback.is_some_and(|holdback| !holdback.released)));
    }
}
