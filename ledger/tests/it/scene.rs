//! A federation in the middle of its life: organisations, keys, money and leases in every state.

use crate::engine::script;
use crate::governance::{parameter, propose, vote};
use crate::world::{World, genesis_of_several, key, member, name, office};
use hansa_ledger::action::{
    AccreditOrganisation, AccreditSite, AnnounceOutage, AttestDeposit, CancelLease, CountersignUsage,
    EndLease, IssueGrant, LeaseUsage, PlaceRequest, RemoveKey, RemoveOfficeKey, ReportJob, ReportUsage,
    ResumeContract, RevokeOrganisation, RunJob, SetAlias, SetKey, SetOfficeKey, SitePart, StartLease,
    TransferCash, UploadContract, grant_id,
};
use hansa_ledger::event::Event;
use hansa_ledger::genesis::Genesis;
use hansa_ledger::id::{
    BlobHash, CodeHash, GrantId, LeaseId, OfferId, OrderId, OrganisationId, ProposalId, RequestId,
};
use hansa_ledger::member::CountrySet;
use hansa_ledger::money::{Money, Price};
use hansa_ledger::params::Params;
use hansa_ledger::row::{
    Change, Demand, LeaseState, Office, OrganisationClass, Pool, Principal, Purpose, Purse, Roles, Source,
};
use hansa_ledger::tables::{Leases, OffersOpen};
use hansa_ledger::time::Slot;

/// Limits low enough to be met.
pub fn params() -> Params {
    Params {
        organisation_keys_max: 3,
        organisation_requests_max: 4,
        lease_jobs_max: 2,
        epoch_actions_max: 50,
        calendar_points_max: 8,
        request_sources_max: 2,
        office_orders_max: 2,
        member_proposals_max: 2,
        upgrade_delay_ms: 100,
        contract_timelock_ms: 100,
        contract_uploads_max: 2,
        contract_aliases_max: 2,
        dispute_bond_min: 10_001,
        reserve_bps_min: 0,
        ..Params::testnet()
    }
}

/// All of it from one purse.
pub fn all_from(purse: Purse) -> Vec<Source> {
    vec![Source { purse, share_bps: 10_000 }]
}

/// Two accelerators for ten slots at up to 3.60 EUR/h, as soon as may be: 0.02 EUR at most.
pub fn demand(world: &World, purse: Purse) -> Demand {
    let now = world.now.slot(world.params().slot_s);
    Demand {
        class: name("a100-64"),
        quantity: 2,
        quantity_min: 2,
        slots: 10,
        start_min: now,
        start_max: Slot(now.0 + 600),
        limit: Price(3_600_000),
        countries: CountrySet::default(),
        certificates: 0,
        tier_min: 0,
        purpose: Purpose::Innovation,
        sources: all_from(purse),
        job: None,
        lane: Default::default(),
        interruptible: false,
        any_of: Vec::new(),
    }
}

/// Places a request and says which it is.
pub fn place(world: &mut World, signer: &str, demand: Demand) -> RequestId {
    let events = world.run(signer, vec![PlaceRequest { demand }.into()]).unwrap();
    let placed = events.iter().find_map(|event| match event {
        Event::RequestPlaced { request, .. } => Some(*request),
        _ => None,
    });
    placed.unwrap()
}

pub struct Scene {
    pub world: World,
    /// A proposal that was carried out: an upgrade far ahead.
    pub voted: ProposalId,
    /// The second of Estonia's two open proposals, which are all it may have. Estonia approves, Spain refuses.
    pub open: ProposalId,
    /// Estonian start-up with cash, grants and three keys.
    pub tallinn: OrganisationId,
    /// Estonian university without money.
    pub tartu: OrganisationId,
    /// Spanish provider of 64 accelerators, all offered.
    pub bsc: OrganisationId,
    /// French provider of 16 accelerators, none offered.
    pub cea: OrganisationId,
    /// Lost its accreditation.
    pub gone: OrganisationId,
    /// Its accreditation ran out.
    pub late: OrganisationId,
    /// 100 EUR for innovation.
    pub grant: GrantId,
    /// 10 EUR for research.
    pub research: GrantId,
    /// Expired.
    pub expired: GrantId,
    /// The open offer of `bsc`.
    pub offer: OfferId,
    /// The request that became `awarded`.
    pub request: RequestId,
    /// A request of `tallinn` that nobody can serve yet.
    pub waiting: RequestId,
    /// Awarded, begins in ten minutes.
    pub awarded: LeaseId,
    /// Active, 4 accelerator-seconds reported, 2 countersigned, job 0 ended, job 1 not.
    pub active: LeaseId,
    /// Ended with 4 accelerator-seconds reported, to be contested or countersigned.
    pub ended: LeaseId,
    /// Cancelled before its start.
    pub settled: LeaseId,
    /// An order of Germany's treasury, proposed by `DE treasury`: a deposit of `gone`, which has been revoked.
    pub order: OrderId,
    /// Another, proposed by `DE treasury 3`: a deposit of `berlin`.
    pub second: OrderId,
    /// What became of contracts.
    pub contracts: Codes,
}

/// Contracts in states of their life; the built-in one is active.
#[derive(Clone, Copy)]
pub struct Codes {
    /// Of `cea`, who may have no more that wait; approved by Estonia.
    pub waiting: CodeHash,
    /// Of Estonia's treasury; nobody has approved it.
    pub public: CodeHash,
    /// Of `cea`, and quarantined; Spain wants to resume it.
    pub stopped: CodeHash,
    /// Of `cea`, and archived.
    pub ended: CodeHash,
}

impl Scene {
    pub fn new() -> Self {
        let mut world = World::from(&genesis());
        let (voted, open) = govern(&mut world);
        let bsc = world.provider("ES", "bsc", 64, 180);
        let [cea, tallinn, tartu, gone] = [("FR", "cea"), ("EE", "tallinn"), ("EE", "tartu"), ("EE", "gone")]
            .map(|(home, number)| world.accredit(home, number, OrganisationClass::Research));
        let late = accredit_briefly(&mut world);
        accredit_site(&mut world, cea);
        world.act("EE registrar", RevokeOrganisation { organisation: gone }).unwrap();
        let grant = world.grant("EE", "tallinn", "grant-1", 100);
        let research = issue(&mut world, "research-1", Purpose::Research, 3_600_000);
        let expired = issue(&mut world, "short-1", Purpose::Innovation, 300);
        world.deposit("EE", "tallinn", 2_000);
        set_keys(&mut world);
        let offer = world.state.rows::<OffersOpen>().map(|((_, offer), ())| *offer).next().unwrap();
        let far = |mut demand: Demand| {
            demand.start_min = Slot(demand.start_min.0 + 600);
            demand.start_max = Slot(demand.start_min.0 + 10);
            demand
        };
        let purse = Purse::Grant(grant);
        let base = demand(&world, purse);
        let request = place(&mut world, "tallinn", far(base.clone()));
        let [active, ended, settled] = [600, 20, 20].map(|slots| {
            let demand = Demand { slots, ..base.clone() };
            LeaseId::derive(&place(&mut world, "tallinn", demand))
        });
        let awarded = LeaseId::derive(&request);
        world.pass_until(|event| matches!(event, Event::BatchCleared { trades: 4, .. }).then_some(()));
        world.act("tallinn", CancelLease { lease: settled }).unwrap();
        // Requests that nobody can serve, until the provider has as many open as it may have.
        world.act("tallinn", TransferCash { to: bsc, amount: Money(24) }).unwrap();
        for _ in 0..4 {
            let idle = Demand { limit: Price(1_000), sources: all_from(Purse::Cash), ..far(base.clone()) };
            place(&mut world, "bsc", idle);
        }
        let waiting = place(&mut world, "tallinn", Demand { limit: Price(1_000), ..far(base) });
        set_office_keys(&mut world);
        let berlin = world.accredit("DE", "berlin", OrganisationClass::Large);
        let order = place_order(&mut world, "DE treasury", gone);
        let second = place_order(&mut world, "DE treasury 3", berlin);
        let code = world.code;
        let mut scene = Self {
            world,
            voted,
            open,
            tallinn,
            tartu,
            bsc,
            cea,
            gone,
            late,
            grant,
            research,
            expired,
            offer,
            request,
            waiting,
            awarded,
            active,
            ended,
            settled,
            order,
            second,
            contracts: Codes { waiting: code, public: code, stopped: code, ended: code },
        };
        scene.live();
        scene.contracts = deploy(&mut scene.world);
        scene
    }

    /// Begins what begins now, uses it, and ends one of the leases.
    fn live(&mut self) {
        let world = &mut self.world;
        let start = world.state.get::<Leases>(&self.active).unwrap().agreement.start;
        let starts =
            [self.active, self.ended].map(|lease| world.sign("bsc", vec![StartLease { lease }.into()]));
        world.block(start.0 - world.now.0, &starts);
        let usage = |lease, cumulative| vec![LeaseUsage { lease, cumulative }];
        let report = world.sign("bsc", vec![ReportUsage { usages: usage(self.active, 4) }.into()]);
        world.block(2_500, &[report]);
        world.act("tallinn", CountersignUsage { usages: usage(self.active, 2) }).unwrap();
        for manifest in [1, 2].map(|byte| BlobHash([byte; 32])) {
            world.act("tallinn", RunJob { lease: self.active, manifest }).unwrap();
        }
        let end = ReportJob { lease: self.active, job: 0, exit_code: Some(1), outputs: None, failure: None };
        world.act("bsc", end).unwrap();
        world.act("bsc", EndLease { lease: self.ended, cumulative: Some(4) }).unwrap();
        for (lease, state) in [
            (self.awarded, LeaseState::Awarded),
            (self.active, LeaseState::Active),
            (self.ended, LeaseState::Ended),
            (self.settled, LeaseState::Settled),
        ] {
            assert_eq!(world.state.get::<Leases>(&lease).unwrap().state, state);
        }
    }

    /// The same moment, to go on from it twice.
    pub fn fork(&self) -> Self {
        Self { world: self.world.fork(), ..*self }
    }
}

/// Germany's treasury takes two of three keys; France's has as many keys as an office may have.
fn genesis() -> Genesis {
    let mut genesis = genesis_of_several(params());
    let names: Vec<String> = (1..15).map(|number| format!("FR treasury {number}")).collect();
    let mut all = vec!["FR treasury", "FR treasury removed"];
    all.extend(names.iter().map(String::as_str));
    genesis.members[3].treasury = office(1, &all);
    genesis
}

/// Takes one key of France's treasury back and adds another.
fn set_office_keys(world: &mut World) {
    let office = Office::Treasury;
    let removed = RemoveOfficeKey { office, key: key("FR treasury removed").public_key() };
    world.act("FR governance", removed).unwrap();
    let proof = world.proof("FR treasury 15", Principal::Office(member("FR"), office));
    let added = SetOfficeKey { office, key: key("FR treasury 15").public_key(), proof };
    world.act("FR governance", added).unwrap();
}

/// Proposes to attest a deposit, and says which order it is.
fn place_order(world: &mut World, signer: &str, organisation: OrganisationId) -> OrderId {
    let reference = name(&format!("proposed-{}", world.now.0));
    let deposit = AttestDeposit { organisation, amount: Money(1_000_000), reference };
    let events = world.act(signer, deposit).unwrap();
    let order = events.iter().find_map(|event| match event {
        Event::OrderPlaced { order, .. } => Some(*order),
        _ => None,
    });
    order.unwrap()
}

/// An upgrade that was voted for, and two proposals of Estonia's.
fn govern(world: &mut World) -> (ProposalId, ProposalId) {
    let upgrade = Change::Upgrade { protocol_version: 2, height: 1_000_000 };
    let voted = propose(world, "DE", upgrade, 100).unwrap();
    for code in ["DE", "ES", "FR"] {
        vote(world, code, voted, true).unwrap();
    }
    world.block(100, &[]);
    let [_, open] = [1, 2].map(|fee_bps| {
        propose(world, "EE", parameter("fee_bps", fee_bps), world.params().governance_delay_ms).unwrap()
    });
    vote(world, "EE", open, true).unwrap();
    vote(world, "ES", open, false).unwrap();
    (voted, open)
}

/// Brings contracts onto the ledger; the aliases are as many as may be.
fn deploy(world: &mut World) -> Codes {
    use crate::contracts::{activate, approve, archive, quarantine, upload};
    world.deposit("FR", "cea", 10);
    let [ended, stopped] = ["ended", "stopped"].map(|words| {
        let code = upload(world, "cea", words);
        activate(world, code);
        code
    });
    archive(world, "cea", ended);
    quarantine(world, stopped, "under study");
    world.act("ES governance", ResumeContract { code: stopped }).unwrap();
    let waiting = upload(world, "cea", "waiting");
    approve(world, waiting, &["EE"]);
    upload(world, "cea", "waiting too");
    let action =
        UploadContract { name: name("public"), code: script("public"), budget_line: Some(name("line-2")) };
    let public = CodeHash(*blake3::hash(&action.code).as_bytes());
    world.act("EE treasury", action).unwrap();
    let alias = SetAlias { name: name("eu.spot"), code: world.code };
    world.act("EE governance", alias).unwrap();
    Codes { waiting, public, stopped, ended }
}

fn accredit_briefly(world: &mut World) -> OrganisationId {
    let action = AccreditOrganisation {
        register_number: "late".to_owned(),
        owner: None,
        name: name("late"),
        class: OrganisationClass::Sme,
        accredited_until: world.now.plus(300),
        key: key("late").public_key(),
        proof: Some(world.proof("late", Principal::Organisation(world.organisation("EE", "late")))),
    };
    world.act("EE registrar", action).unwrap();
    world.organisation("EE", "late")
}

fn accredit_site(world: &mut World, provider: OrganisationId) {
    let site = AccreditSite {
        provider,
        site: name("site"),
        class: name("a100-64"),
        accelerators: 16,
        node_size: 4,
        tier: 1,
        certificates: 0,
        pool: Pool::Private,
        parts: Vec::new(),
    };
    world.act("FR registrar", site).unwrap();
    // And one that two share.
    let part = |owner: &str| SitePart {
        owner: owner.parse().unwrap(),
        accelerators: 8,
        commercial_ceiling_bps: 10_000,
    };
    let shared = AccreditSite {
        provider,
        site: name("shared"),
        class: name("a100-64"),
        accelerators: 16,
        node_size: 4,
        tier: 0,
        certificates: 0,
        pool: Pool::Public,
        parts: vec![part("FR"), part("EU")],
    };
    world.act("FR registrar", shared).unwrap();
    let start = Slot(world.now.slot(1).0 + 1_000);
    let outage = AnnounceOutage {
        site: name("site"),
        class: name("a100-64"),
        owner: None,
        start,
        end: Slot(start.0 + 10),
        accelerators: 4,
        planned: true,
    };
    world.act("cea", outage).unwrap();
}

fn issue(world: &mut World, reference: &str, purpose: Purpose, life_ms: u64) -> GrantId {
    let action = IssueGrant {
        holder: world.organisation("EE", "tallinn"),
        reference: name(reference),
        budget_line: name("line-2"),
        purpose,
        amount: Money(10_000_000),
        expires: world.now.plus(life_ms),
    };
    world.act("EE treasury", action).unwrap();
    grant_id(member("EE"), &name(reference))
}

/// A bidder and a treasurer with limits for `tallinn`, an offerer and a removed key for `bsc`.
fn set_keys(world: &mut World) {
    for (home, signer, key_name, roles, amount_max) in [
        ("EE", "tallinn", "tallinn bidder", Roles::BID, Some(Money(10_000))),
        ("EE", "tallinn", "tallinn treasurer", Roles::TREASURY, Some(Money(1_000_000))),
        ("ES", "bsc", "bsc offerer", Roles::OFFER, None),
        ("ES", "bsc", "bsc removed", Roles::ALL, None),
    ] {
        let proof = Some(world.proof(key_name, Principal::Organisation(world.organisation(home, signer))));
        world.act(signer, SetKey { key: key(key_name).public_key(), roles, amount_max, proof }).unwrap();
    }
    world.act("bsc", RemoveKey { key: key("bsc removed").public_key() }).unwrap();
}
