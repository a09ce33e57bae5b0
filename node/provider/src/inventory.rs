//! Keep the offers on the ledger in line with the inventory, and say what is free now.

use std::collections::{BTreeMap, BTreeSet};

use hansa_ledger::action::{Action, AmendOffer, PostOffer, WithdrawOffer};
use hansa_ledger::genesis::Genesis;
use hansa_ledger::id::{CodeHash, OfferId, OrganisationId};
use hansa_ledger::market::Calendar;
use hansa_ledger::money::Price;
use hansa_ledger::name::Name;
use hansa_ledger::params::Params;
use hansa_ledger::row::{Entitlement, Offer, PoolOwner, SiteKey};
use hansa_ledger::time::{Slot, TimeMs};
use hansa_node_api::ApiError;
use hansa_node_api::market::{PartInfo, SiteInfo};
use hansa_node_api::peer::advert::{Advert, AdvertContent};

use crate::agent::Core;
use crate::config::InventoryEntry;
use crate::error::AgentError;

/// How often offers are compared with the inventory when nothing happens, in milliseconds.
const PERIOD_MS: u64 = 30_000;

/// The longest rest after a refusal, in milliseconds.
const REST_MS_MAX: u64 = 600_000;

/// How often offers and leases are read again when a lease was awarded between the two.
const READS_MAX: u32 = 5;

/// One entry of the inventory in the ledger's terms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// The accredited place.
    pub site: Name,
    /// The resource class.
    pub class: Name,
    /// Whose part of the place; none where it is one part.
    pub owner: Option<PoolOwner>,
    /// Accelerators, leased ones included.
    pub accelerators: u32,
    /// Accelerators of one node.
    pub node_size: u32,
    /// Least price.
    pub ask: Price,
    /// The contract that settles.
    pub contract: CodeHash,
    /// Its parameters.
    pub contract_params: Vec<u8>,
    /// How far ahead it is offered, in slots.
    pub horizon: u32,
}

impl Capacity {
    /// Takes an entry of the configuration.
    ///
    /// # Errors
    /// [`AgentError::Config`] when the contract is unknown.
    pub fn new(entry: &InventoryEntry, genesis: &Genesis) -> Result<Self, AgentError> {
        let slots = entry.horizon_s / u64::from(genesis.params.slot_s);
        let horizon = u32::try_from(slots).unwrap_or(u32::MAX).clamp(1, genesis.params.horizon_slots);
        Ok(Self {
            site: entry.site.clone(),
            class: entry.class.clone(),
            owner: entry.owner,
            accelerators: entry.accelerators,
            node_size: entry.node_size,
            ask: entry.ask,
            contract: entry.contract_hash(genesis)?,
            contract_params: entry.params()?,
            horizon,
        })
    }

    fn is_at(&self, site: &Name, class: &Name) -> bool {
        self.site == *site && self.class == *class
    }

    /// Whether an offer sells this capacity.
    fn is_sold_by(&self, offer: &Offer) -> bool {
        self.is_at(&offer.site, &offer.class) && self.owner.is_none_or(|owner| owner == offer.pool)
    }

    /// The part of the site that this capacity is: the only one, or its owner's.
    fn part<'a>(&self, sites: &'a [SiteInfo]) -> Option<&'a PartInfo> {
        let site = sites.iter().find(|site| self.is_at(&site.key.site, &site.key.class))?;
        match self.owner {
            Some(owner) => site.parts.iter().find(|part| part.owner == owner),
            None if site.parts.len() == 1 => site.parts.first(),
            None => None,
        }
    }

    /// What is free from `now` until before `end`: all that is neither leased nor out. What is not offered of the part is out
    /// first, as on the ledger.
    fn free(&self, part: &Entitlement, now: Slot, end: Slot) -> Calendar {
        let spare = part.accelerators.saturating_sub(self.accelerators);
        let out = part.outage.minus(&Calendar::constant(now, end, spare));
        let mut free = Calendar::constant(now, end, self.accelerators).minus(&out).minus(&part.leased());
        free.prune(now);
        free
    }

    /// What has to change in an open offer, if anything.
    fn amendment(&self, id: OfferId, offer: &Offer, part: &Entitlement, now: Slot) -> Option<AmendOffer> {
        let next = Slot(now.0.saturating_add(1));
        let from_next = |mut calendar: Calendar| {
            calendar.prune(next);
            calendar
        };
        let offered = offer.market.plus(&offer.reserve);
        let end = offered.points().last().map_or(now, |(end, _)| *end);
        let wanted = self.free(part, now, Slot(now.0.saturating_add(self.horizon)));
        let current = from_next(offered);
        // The slot in hand is left alone: what a lease gives back early is free from the next slot on.
        let differs = from_next(self.free(part, now, end)) != current;
        let short = end.0.saturating_sub(now.0) < self.horizon - self.horizon / 4;
        let extend = short && from_next(wanted.clone()) != current;
        let calendar = (differs || extend).then_some(wanted);
        // A raise that waits for its batch has been asked for.
        let asked = offer.ask_raise.as_ref().map_or(offer.ask, |raise| raise.ask);
        let ask = (asked != self.ask).then_some(self.ask);
        (calendar.is_some() || ask.is_some()).then_some(AmendOffer { offer: id, ask, calendar })
    }

    fn post(&self, part: &Entitlement, now: Slot) -> Option<PostOffer> {
        let calendar = self.free(part, now, Slot(now.0.saturating_add(self.horizon)));
        (calendar.peak() > 0).then(|| PostOffer {
            site: self.site.clone(),
            class: self.class.clone(),
            owner: self.owner,
            ask: self.ask,
            calendar,
            reserve_bps: None,
            reserve_cycle_slots: None,
            contract: self.contract,
            contract_params: self.contract_params.clone(),
            parties: Vec::new(),
        })
    }
}

/// A change that brings the offer of one site and class in line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The site.
    pub site: Name,
    /// The class.
    pub class: Name,
    /// What is done, in a word.
    pub verb: &'static str,
    /// The actions of one transaction.
    pub actions: Vec<Action>,
}

/// What has to change so that the open offers are the inventory's. `sites` are the places of the
/// inventory that are accredited; capacity without a part there is left alone.
#[must_use]
pub fn changes(
    inventory: &[Capacity],
    offers: &[(OfferId, Offer)],
    sites: &[SiteInfo],
    now: Slot,
) -> Vec<Change> {
    let mut changes = Vec::new();
    for (id, offer) in offers {
        if !inventory.iter().any(|capacity| capacity.is_sold_by(offer)) {
            changes.push(Change {
                site: offer.site.clone(),
                class: offer.class.clone(),
                verb: "withdraw",
                actions: vec![WithdrawOffer { offer: *id }.into()],
            });
        }
    }
    for capacity in inventory {
        let open = offers.iter().find(|(_, offer)| capacity.is_sold_by(offer));
        let Some(part) = capacity.part(sites).map(|part| &part.row) else { continue };
        let (verb, actions): (_, Vec<Action>) = match open {
            None => ("post", capacity.post(part, now).into_iter().map(Action::from).collect()),
            // An offer's contract is fixed: another one makes another offer.
            Some((id, offer))
                if offer.contract != capacity.contract
                    || offer.contract_params != capacity.contract_params =>
            {
                let withdraw = Action::from(WithdrawOffer { offer: *id });
                let post = capacity.post(part, now).map(Action::from);
                ("replace", [withdraw].into_iter().chain(post).collect())
            }
            Some((id, offer)) => {
                let amendment = capacity.amendment(*id, offer, part, now);
                ("amend", amendment.into_iter().map(Action::from).collect())
            }
        };
        if !actions.is_empty() {
            let (site, class) = (capacity.site.clone(), capacity.class.clone());
            changes.push(Change { site, class, verb, actions });
        }
    }
    changes
}

/// Refusals so far: when to try again, and how long the next rest is.
#[derive(Debug, Default)]
struct Rests(BTreeMap<(Name, Name), (TimeMs, u64)>);

impl Rests {
    fn is_resting(&self, site: &Name, class: &Name, now: TimeMs) -> bool {
        let rest = self.0.get(&(site.clone(), class.clone()));
        rest.is_some_and(|(until, _)| now < *until)
    }

    fn refused(&mut self, site: &Name, class: &Name, now: TimeMs) {
        let rest = self.0.entry((site.clone(), class.clone())).or_insert((now, PERIOD_MS / 2));
        rest.1 = rest.1.saturating_mul(2).min(REST_MS_MAX);
        rest.0 = now.plus(rest.1);
    }
}

/// Keeps the offers in line for as long as the agent runs. Woken by a new inventory and by accreditations.
pub(crate) async fn keep_offers(core: &Core) {
    let mut wake = core.inventory_wake.subscribe();
    let mut rests = Rests::default();
    loop {
        if let Err(error) = keep_once(core, &mut rests).await {
            tracing::warn!(%error, hint = error.hint(), "the offers could not be compared with the inventory");
        }
        let next = core.clock.now().plus(PERIOD_MS);
        tokio::select! {
            () = core.clock.sleep_until(next) => {}
            changed = wake.changed() => {
                if changed.is_err() {
                    return;
                }
                rests = Rests::default();
            }
        }
    }
}

async fn keep_once(core: &Core, rests: &mut Rests) -> Result<(), ApiError> {
    let inventory = core.inventory.borrow().clone();
    let (offers, sites, now) = read(core, &core.provider, &inventory).await?;
    let slot = now.slot(core.trust.params().slot_s);
    // Without a confirmed accreditation the ledger would only refuse the offer and count it against the quota.
    let sites: Vec<SiteInfo> = sites.into_iter().filter(|site| site.row.confirmed > 0).collect();
    for capacity in inventory.iter().filter(|capacity| capacity.part(&sites).is_none()) {
        let (site, class, now) = (&capacity.site, &capacity.class, core.clock.now());
        if !rests.is_resting(site, class, now) {
            let refusal = hansa_ledger::rejection::Rejection::SiteUnknown;
            tracing::warn!(%site, %class, hint = refusal.hint(), "no offer is posted: {refusal}");
            rests.refused(site, class, now);
        }
    }
    for change in changes(&inventory, &offers, &sites, slot) {
        let (site, class, verb) = (&change.site, &change.class, change.verb);
        if rests.is_resting(site, class, core.clock.now()) {
            continue;
        }
        match core.federation.perform(change.actions.clone()).await {
            Ok(()) => {
                rests.0.remove(&(site.clone(), class.clone()));
                tracing::info!(%site, %class, verb, "the offer is in line with the inventory");
            }
            // Whether it was executed is read from the ledger next time.
            Err(error) if error.is_transient() => return Err(error),
            Err(error) => {
                rests.refused(site, class, core.clock.now());
                tracing::warn!(%site, %class, verb, %error, hint = error.hint(), "the offer was refused");
            }
        }
    }
    Ok(())
}

type Standing = (Vec<(OfferId, Offer)>, Vec<SiteInfo>, TimeMs);

/// The offers and sites of one moment. An award between two reads would look like capacity that nobody offers.
async fn read(core: &Core, provider: &OrganisationId, inventory: &[Capacity]) -> Result<Standing, ApiError> {
    let keys: BTreeSet<SiteKey> = inventory
        .iter()
        .map(|one| SiteKey { provider: *provider, site: one.site.clone(), class: one.class.clone() })
        .collect();
    let mut offers = core.federation.offers_open(provider).await?;
    for _ in 0..READS_MAX {
        let mut sites = Vec::new();
        for key in &keys {
            sites.extend(core.federation.site(key).await?);
        }
        let again = core.federation.offers_open(provider).await?;
        if again == offers {
            // By the last block's time the calendar is within the horizon of the block that takes it.
            return Ok((offers, sites, core.federation.tip().await?.time));
        }
        offers = again;
    }
    Err(ApiError::Timeout { url: "the ledger, which moves on faster than it is read".to_owned() })
}

/// Advertises what is free for as long as the agent runs.
pub(crate) async fn keep_adverts(core: &Core) {
    let interval = core.settings.advert_interval_ms;
    loop {
        if let Err(error) = advertise(core, interval).await {
            tracing::warn!(%error, hint = error.hint(), "what is free could not be advertised");
        }
        core.clock.sleep_until(core.clock.now().plus(interval)).await;
    }
}

async fn advertise(core: &Core, interval: u64) -> Result<(), ApiError> {
    let inventory = core.inventory.borrow().clone();
    let offers = core.federation.offers_open(&core.provider).await?;
    let now = core.clock.now();
    let params: &Params = core.trust.params();
    for capacity in inventory {
        let offer = offers.iter().find(|(_, offer)| capacity.is_sold_by(offer));
        let Some((_, offer)) = offer else { continue };
        let content = AdvertContent {
            chain_id: core.trust.chain().0,
            provider: core.provider.0,
            site: capacity.site.to_string(),
            class: capacity.class.to_string(),
            free: offer
                .market
                .plus(&offer.reserve)
                .free_at(now.slot(params.slot_s))
                .min(capacity.accelerators),
            total: capacity.accelerators,
            tier: core.backend.tier().number(),
            price_ask_ueur: offer.ask.0,
            issued_ms: now.0,
            // One that is lost on its way must not make the capacity vanish.
            lives_ms: interval.saturating_mul(3).min(hansa_node_api::peer::advert::LIVES_MS_MAX),
            // Counts up over restarts without being written down.
            sequence: now.0,
            signer: core.key.public_key(),
        };
        core.federation.advertise(&Advert::sign(content, &core.key)).await?;
    }
    Ok(())
}
