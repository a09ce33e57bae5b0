//! The synthetic federation: real systems, 27 members, and organisations that do not exist.

use crate::random::Random;
use crate::systems::{Capacity, capacities};
use hansa_ledger::id::{GroupId, OfferId, OrganisationId};
use hansa_ledger::market::{Calendar, Supply};
use hansa_ledger::member::MemberCode;
use hansa_ledger::money::{PRICE_TICK_UEUR, Price};
use hansa_ledger::name::Name;
use hansa_ledger::row::{OrganisationClass, Pool};
use hansa_ledger::time::Slot;
use std::collections::BTreeMap;

/// Inhabitants in millions, rounded: how organisations are spread over the members.
const INHABITANTS: [(&str, f64); 27] = [
    ("AT", 9.2),
    ("BE", 11.8),
    ("BG", 6.4),
    ("CY", 1.0),
    ("CZ", 10.9),
    ("DE", 83.4),
    ("DK", 6.0),
    ("EE", 1.4),
    ("ES", 48.6),
    ("FI", 5.6),
    ("FR", 68.4),
    ("GR", 10.4),
    ("HR", 3.9),
    ("HU", 9.6),
    ("IE", 5.3),
    ("IT", 59.0),
    ("LT", 2.9),
    ("LU", 0.7),
    ("LV", 1.9),
    ("MT", 0.6),
    ("NL", 17.9),
    ("PL", 36.6),
    ("PT", 10.6),
    ("RO", 19.1),
    ("SE", 10.6),
    ("SI", 2.1),
    ("SK", 5.4),
];

/// The systems of which the joint undertaking owns a share: half of each in this model, the rest is the host's.
const UNION_SYSTEMS: [&str; 9] = [
    "lumi",
    "leonardo-booster",
    "marenostrum-5-acc",
    "jupiter-booster",
    "meluxina-accelerator",
    "karolina",
    "vega-gpu-partition",
    "discoverer",
    "deucalion-gpu-partition",
];

/// All classes of organisations, in the order of the tables.
pub const CLASSES: [OrganisationClass; 5] = [
    OrganisationClass::StartUp,
    OrganisationClass::Sme,
    OrganisationClass::Research,
    OrganisationClass::Public,
    OrganisationClass::Large,
];

/// How a class of organisation behaves. Every number is an assumption of the model.
#[derive(Clone, Copy, Debug)]
pub struct Habit {
    /// Its part of all organisations.
    pub organisations: f64,
    /// Its part of all requests.
    pub requests: f64,
    /// The median request, in accelerators.
    pub quantity: f64,
    /// The median limit, in EUR per H100-hour.
    pub limit: f64,
    /// The part of its requests that a grant pays.
    pub granted: f64,
}

/// How a class of organisation behaves.
#[must_use]
pub fn habit(class: OrganisationClass) -> Habit {
    let of = |organisations, requests, quantity, limit, granted| Habit {
        organisations,
        requests,
        quantity,
        limit,
        granted,
    };
    match class {
        OrganisationClass::StartUp => of(0.30, 0.28, 16.0, 2.0, 0.7),
        OrganisationClass::Sme => of(0.35, 0.24, 16.0, 2.2, 0.5),
        OrganisationClass::Research => of(0.22, 0.30, 48.0, 1.8, 0.9),
        OrganisationClass::Public => of(0.08, 0.08, 32.0, 2.2, 0.8),
        OrganisationClass::Large => of(0.05, 0.10, 128.0, 3.5, 0.0),
    }
}

/// What a class of organisation is called in tables.
#[must_use]
pub fn class_name(class: OrganisationClass) -> &'static str {
    match class {
        OrganisationClass::StartUp => "start-ups",
        OrganisationClass::Sme => "SMEs",
        OrganisationClass::Research => "research",
        OrganisationClass::Public => "public bodies",
        OrganisationClass::Large => "large companies",
    }
}

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub struct Organisation {
    /// Its id.
    pub id: OrganisationId,
    /// Its beneficial-owner group.
    pub group: GroupId,
    /// Its home member.
    pub home: MemberCode,
    /// What it is.
    pub class: OrganisationClass,
    /// How much it asks for, beside others of its class.
    pub activity: f64,
}

/// The offers of one resource class.
#[derive(Clone, Debug)]
pub struct Market {
    /// The resource class.
    pub class: Name,
    /// Its accelerators.
    pub capacity: u32,
    /// Its public asks in percent of an H100's.
    pub percent: u64,
    /// What is offered, with both calendars untouched.
    pub supplies: Vec<Supply>,
}

/// What a number is as an id.
#[must_use]
pub fn numbered(number: u64) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    bytes
}

/// The organisations: classes and homes by their weights, and of each member one at least. Large companies belong to groups of about three.
///
/// # Errors
/// Names a member code that is none, which cannot be.
pub fn organisations(seed: u64, count: u32) -> Result<Vec<Organisation>, String> {
    let mut random = Random::new(seed, 1);
    let members: Result<Vec<MemberCode>, String> = INHABITANTS
        .iter()
        .map(|(code, _)| code.parse().map_err(|_| format!("`{code}` is no member")))
        .collect();
    let members = members?;
    let inhabitants = INHABITANTS.map(|(_, inhabitants)| inhabitants);
    let weights = CLASSES.map(|class| habit(class).organisations);
    let owners = u64::from(count / 60).max(1);
    let mut made = Vec::new();
    for number in 0..u64::from(count) {
        let class = CLASSES[random.weighted(&weights)];
        let owner = match class {
            OrganisationClass::Large => 1_000_000 + u64::from(random.between(0, u32::MAX)) % owners,
            _ => number,
        };
        // The first of them are one for each member, so that none is without; the others by inhabitants.
        let drawn = random.weighted(&inhabitants);
        let place = if number < members.len() as u64 { number as usize } else { drawn };
        made.push(Organisation {
            id: OrganisationId(numbered(number)),
            group: GroupId(numbered(owner)),
            home: members[place],
            class,
            activity: random.log_normal(1.0, 1.0),
        });
    }
    Ok(made)
}

/// The markets: the real systems that run and whose accelerators are counted, free until `horizon`, with asks drawn from what
/// recovers the costs of public centres. Of Union systems half is the joint undertaking's, in an offer of its own.
///
/// # Errors
/// Says what is wrong with the table of systems.
pub fn markets(seed: u64, reserve_bps: u16, horizon: Slot) -> Result<Vec<Market>, String> {
    let mut random = Random::new(seed, 2);
    let mut markets: BTreeMap<Name, Market> = BTreeMap::new();
    for (number, system) in (0u64..).zip(capacities()?) {
        // The table's ask is the middle of 1.20 to 2.00 EUR for an H100; each centre has its own within that.
        let percent = system.ask.0 / 16_000;
        let ticks = u64::from(random.between(1_200, 2_000)) * percent / 100;
        let ask = Price(ticks * PRICE_TICK_UEUR);
        let market = markets.entry(system.class.clone()).or_insert_with(|| Market {
            class: system.class.clone(),
            capacity: 0,
            percent,
            supplies: Vec::new(),
        });
        market.capacity += system.accelerators;
        for (part, owner, accelerators) in parts(&system) {
            let offer = Part { number: number * 2 + part, owner, accelerators, ask };
            market.supplies.push(supply(&system, offer, reserve_bps, horizon));
        }
    }
    Ok(markets.into_values().collect())
}

/// One offer of a system.
struct Part {
    number: u64,
    owner: MemberCode,
    accelerators: u32,
    ask: Price,
}

/// Who owns how much of a system, in whole nodes.
fn parts(system: &Capacity) -> Vec<(u64, MemberCode, u32)> {
    if !UNION_SYSTEMS.contains(&system.site.as_str()) {
        return vec![(0, system.country, system.accelerators)];
    }
    let union = system.accelerators / 2 / system.node_size * system.node_size;
    vec![(0, system.country, system.accelerators - union), (1, MemberCode::EU, union)]
}

fn supply(system: &Capacity, part: Part, reserve_bps: u16, horizon: Slot) -> Supply {
    let gross = Calendar::constant(Slot(0), horizon, part.accelerators);
    let reserve = match system.pool {
        Pool::Public => gross.reserved(reserve_bps, system.node_size),
        Pool::Private => Calendar::default(),
    };
    Supply {
        offer: OfferId(numbered(part.number)),
        provider: OrganisationId(numbered(2_000_000 + part.number / 2)),
        group: GroupId(numbered(2_000_000 + part.number / 2)),
        sequence: part.number,
        home: system.country,
        country: system.country,
        certificates: 0,
        tier: 0,
        node_size: system.node_size,
        ask: part.ask,
        pool: system.pool,
        owner: (system.pool == Pool::Public).then_some(part.owner),
        market: gross.minus(&reserve),
        reserve,
        commercial_left: None,
    }
}
