//! What people do in a simulated federation: money, offers, requests, leases in every way they can go, and votes.

use crate::client::Client;
use crate::genesis::{CODES, name, params};
use crate::world::{World, key};
use hansa_ledger::action::{
    AccreditOrganisation, AccreditSite, Action, AttestDeposit, CancelLease, CancelRequest, ContestUsage,
    CountersignUsage, EndLease, LeaseUsage, OpenDispute, PlaceRequest, PostOffer, Propose, ReportUsage,
    RuleDispute, StartLease, TransferCash, Vote, delivered_max, organisation_id,
};
use hansa_ledger::governance::delay_ms_min;
use hansa_ledger::id::{CodeHash, LeaseId, OrganisationId};
use hansa_ledger::market::Calendar;
use hansa_ledger::member::CountrySet;
use hansa_ledger::money::{Money, Price};
use hansa_ledger::possession::Possession;
use hansa_ledger::row::{
    Change, Demand, Lease, LeaseState, OrganisationClass, ParameterValue, Pool, Principal, ProposalState,
    Purpose, Purse, RequestState, Source,
};
use hansa_ledger::tables::{Disputes, Leases, Organisations, Proposals, Requests};
use hansa_ledger::time::{Slot, TimeMs};
use std::rc::Rc;

/// How many of the members have a provider.
const PROVIDERS: usize = 2;

fn organisation(code: &str, number: &str) -> OrganisationId {
    organisation_id(code.parse().expect("the codes are codes"), number)
}

/// Begins everything that people do.
pub fn begin(world: &Rc<World>) {
    for (number, code) in CODES.iter().take(world.profile.members).enumerate() {
        spawn(world, requester(Rc::clone(world), code));
        spawn(world, voter(Rc::clone(world), code));
        if number < PROVIDERS {
            spawn(world, provider(Rc::clone(world), code));
        }
    }
}

fn spawn(_: &Rc<World>, work: impl Future<Output = ()> + 'static) {
    tokio::task::spawn_local(work);
}

/// Until people stop.
fn goes_on(world: &World) -> bool {
    !world.resting.get()
}

/// Brings an organisation onto the ledger. Each step is looked up first, so that it can be tried again.
async fn accredit(world: &Rc<World>, code: &str, number: &str, class: OrganisationClass) {
    let registrar = Client::new(world, &format!("{code} registrar"));
    let id = organisation(code, number);
    let proof = Possession::prove(world.genesis.chain_id(), &key(number), Principal::Organisation(id));
    loop {
        let known = registrar.look(|state| state.get::<Organisations>(&id).is_some());
        if known == Some(true) {
            return;
        }
        let action = AccreditOrganisation {
            register_number: number.to_owned(),
            owner: None,
            name: name(number),
            class,
            accredited_until: world.now().plus(86_400_000),
            key: key(number).public_key(),
            proof: Some(proof.clone()),
        };
        registrar.insist(vec![action.into()]).await;
        registrar.pause(300).await;
    }
}

async fn requester(world: Rc<World>, code: &'static str) {
    let number = format!("{} client", code.to_lowercase()).replace(' ', "-");
    accredit(&world, code, &number, OrganisationClass::Research).await;
    let treasury = Client::new(&world, &format!("{code} treasury"));
    let deposit = AttestDeposit {
        organisation: organisation(code, &number),
        amount: Money(500_000_000),
        reference: name("first"),
    };
    treasury.insist(vec![deposit.into()]).await;
    let client = Client::new(&world, &number);
    let own = organisation(code, &number);
    while goes_on(&world) {
        let action = client_action(&client, own);
        if let Some(action) = action {
            client.act(vec![action]).await;
        }
        client.rest().await;
    }
}

/// What a requester does next, after a look at the ledger.
fn client_action(client: &Client, own: OrganisationId) -> Option<Action> {
    let mine = client.look(|state| {
        let leases: Vec<(LeaseId, Lease)> = state
            .rows::<Leases>()
            .filter(|(_, lease)| lease.requester == own && lease.state != LeaseState::Settled)
            .map(|(id, lease)| (*id, lease.clone()))
            .collect();
        let requests: Vec<_> = state
            .rows::<Requests>()
            .filter(|(_, request)| request.organisation == own && request.state == RequestState::Open)
            .map(|(id, _)| *id)
            .collect();
        (leases, requests)
    })?;
    let (leases, requests) = mine;
    if client.chance(550)
        && let Some((id, lease)) = client.pick(&leases)
    {
        return on_own_lease(client, id, &lease);
    }
    if client.chance(200)
        && let Some(request) = client.pick(&requests)
    {
        return Some(CancelRequest { request }.into());
    }
    if client.chance(400) {
        let members = client.world.profile.members as u64;
        let code = CODES[client.between(0, members - 1) as usize];
        let to = organisation(code, &format!("{}-client", code.to_lowercase()));
        return Some(TransferCash { to, amount: Money(client.between(1, 50_000)) }.into());
    }
    Some(PlaceRequest { demand: demand(client) }.into())
}

fn on_own_lease(client: &Client, id: LeaseId, lease: &Lease) -> Option<Action> {
    let reported = lease.reported;
    match (lease.state, client.between(0, 5)) {
        (LeaseState::Awarded, 0) => Some(CancelLease { lease: id }.into()),
        (LeaseState::Active, 0) => Some(EndLease { lease: id, cumulative: None }.into()),
        (LeaseState::Active | LeaseState::Ended, 1 | 2) if reported > 0 => {
            let usages = vec![LeaseUsage { lease: id, cumulative: reported }];
            Some(CountersignUsage { usages }.into())
        }
        (LeaseState::Ended, 3) if reported > 0 => {
            Some(ContestUsage { lease: id, admitted: client.between(0, reported - 1) }.into())
        }
        (LeaseState::Ended, 4) if reported > 0 => {
            Some(OpenDispute { lease: id, usage: client.between(0, reported - 1), reason: 1 }.into())
        }
        _ => None,
    }
}

fn demand(client: &Client) -> Demand {
    let now = client.world.now().slot(params().slot_s);
    let quantity = 4 * client.between(1, 4) as u32;
    Demand {
        class: name("a100-64"),
        quantity,
        quantity_min: quantity,
        slots: client.between(1, 8) as u32,
        start_min: now,
        start_max: Slot(now.0 + 60),
        limit: Price(client.between(1, 6) * 1_000_000),
        countries: CountrySet::default(),
        certificates: 0,
        tier_min: 0,
        purpose: Purpose::Innovation,
        sources: vec![Source { purse: Purse::Cash, share_bps: 10_000 }],
        job: None,
        lane: Default::default(),
        interruptible: false,
        any_of: Vec::new(),
    }
}

async fn provider(world: Rc<World>, code: &'static str) {
    let number = format!("{}-provider", code.to_lowercase());
    accredit(&world, code, &number, OrganisationClass::Public).await;
    let own = organisation(code, &number);
    let registrar = Client::new(&world, &format!("{code} registrar"));
    let site = AccreditSite {
        provider: own,
        site: name("site"),
        class: name("a100-64"),
        accelerators: 64,
        node_size: 4,
        tier: 2,
        certificates: 0b1,
        pool: Pool::Public,
        parts: Vec::new(),
    };
    registrar.insist(vec![site.into()]).await;
    let treasury = Client::new(&world, &format!("{code} treasury"));
    let reference = name("stake");
    let deposit = AttestDeposit { organisation: own, amount: Money(500_000_000), reference };
    treasury.insist(vec![deposit.into()]).await;
    let agent = Client::new(&world, &number);
    agent.insist(vec![offer(&world).into()]).await;
    while goes_on(&world) {
        if let Some(action) = agent_action(&agent, own) {
            agent.act(vec![action]).await;
        }
        agent.rest().await;
    }
}

fn offer(world: &World) -> PostOffer {
    let now = world.now().slot(params().slot_s);
    PostOffer {
        site: name("site"),
        class: name("a100-64"),
        ask: Price(1_800_000),
        calendar: Calendar::constant(now, Slot(now.0 + 3_600), 64),
        owner: None,
        reserve_bps: None,
        reserve_cycle_slots: None,
        contract: CodeHash(*blake3::hash(hansa_contracts_bundle::SPOT).as_bytes()),
        contract_params: borsh::to_vec(&hansa_contracts_spot::Params::default())
            .expect("writing to memory cannot fail"),
        parties: Vec::new(),
    }
}

/// What a provider's agent does next. It knows nothing but what stands in the ledger, as after a restart.
fn agent_action(agent: &Client, own: OrganisationId) -> Option<Action> {
    let leases: Vec<(LeaseId, Lease)> = agent.look(|state| {
        state
            .rows::<Leases>()
            .filter(|(_, lease)| lease.provider == own && lease.state != LeaseState::Settled)
            .map(|(id, lease)| (*id, lease.clone()))
            .collect()
    })?;
    let (id, lease) = agent.pick(&leases)?;
    let now = agent.world.now();
    let before = TimeMs(now.0.saturating_sub(600));
    match lease.state {
        LeaseState::Awarded if now >= lease.agreement.start => Some(StartLease { lease: id }.into()),
        LeaseState::Awarded if agent.chance(30) => Some(CancelLease { lease: id }.into()),
        LeaseState::Active => {
            let most = delivered_max(&lease, before)?;
            if most <= lease.reported || agent.chance(200) {
                return Some(EndLease { lease: id, cumulative: Some(lease.reported.max(most)) }.into());
            }
            let cumulative = agent.between(lease.reported + 1, most);
            Some(ReportUsage { usages: vec![LeaseUsage { lease: id, cumulative }] }.into())
        }
        LeaseState::Ended if !lease.reported_final => {
            let most = delivered_max(&lease, now)?.max(lease.reported);
            Some(EndLease { lease: id, cumulative: Some(agent.between(lease.reported, most)) }.into())
        }
        _ => None,
    }
}

/// A member's governance: proposes other parameters now and then, and votes. Its registrar rules on disputes.
async fn voter(world: Rc<World>, code: &'static str) {
    let governance = Client::new(&world, &format!("{code} governance"));
    let registrar = Client::new(&world, &format!("{code} registrar"));
    let member = code.parse().expect("the codes are codes");
    while goes_on(&world) {
        let pause = governance.between(500, 5_000);
        governance.pause(pause).await;
        let open = governance.look(|state| {
            let open = state.rows::<Proposals>().filter(|(_, proposal)| {
                proposal.state == ProposalState::Open
                    && !proposal.approvals.contains(&member)
                    && !proposal.refusals.contains(&member)
            });
            open.map(|(id, _)| *id).collect::<Vec<_>>()
        });
        let disputed =
            registrar.look(|state| state.rows::<Disputes>().map(|(lease, _)| *lease).collect::<Vec<_>>());
        if let Some(proposal) = open.as_ref().and_then(|open| open.first()) {
            let vote = Vote { proposal: *proposal, approve: governance.chance(800) };
            governance.act(vec![vote.into()]).await;
        } else if governance.chance(250) {
            governance.act(vec![proposal(&governance).into()]).await;
        } else if let Some(lease) = disputed.and_then(|leases| leases.first().copied()) {
            let rule = RuleDispute { lease, provider_bps: registrar.between(0, 10_000) as u16 };
            registrar.act(vec![rule.into()]).await;
        }
    }
}

fn proposal(governance: &Client) -> Propose {
    let (name, value) = match governance.between(0, 2) {
        0 => ("fee_bps", governance.between(0, 500)),
        1 => ("timeout_propose_ms", governance.between(400, 800)),
        _ => ("batch_ms", governance.between(500, 2_000)),
    };
    let change = Change::Parameters { values: vec![ParameterValue { name: name.to_owned(), value }] };
    let activate_after_ms = delay_ms_min(&change, &params());
    Propose { change, activate_after_ms }
}
