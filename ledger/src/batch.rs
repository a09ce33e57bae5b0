//! Clearing a class: the book from the state, the trades back into it.

use crate::action::{BlockInHand, FuelUse};
use crate::demand::is_commercial;
use crate::demand::{Demands, book_params, hold, sponsor};
use crate::event::Event;
use crate::figures::Tally;
use crate::id::{ChainId, CodeHash, LeaseId, OfferId, RequestId, TariffHash, hash_of};
use crate::journal::debit_headroom;
use crate::lease::terms;
use crate::market::{
    Book, Calendar, Clearing, Eligibility, Hold, Lane, Reason, Supply, Trade, Unmatched, clear,
};
use crate::member::MemberCode;
use crate::money::{Money, Price};
use crate::name::Name;
use crate::params::Params;
use crate::rejection::Rejection;
use crate::row::{
    AccountId, Agreement, Aid, Class, ClassUnmatched, Contract, Deadline, DeadlineKind, Demand,
    EntitlementKey, Lease, LeaseSource, LeaseState, Offer, OfferState, Request, RequestState, Source,
};
use crate::share;
use crate::state::View;
use crate::tables::{
    Accounts, Classes, Contracts, Deadlines, Entitlements, Leases, LeasesLive, Members, Offers, OffersOpen,
    Organisations, Requests, RequestsOpen,
};
use crate::time::{Slot, TimeMs};
use crate::waking::may_pass;
use std::collections::BTreeMap;

/// Seconds in a year of 365 days, over which a pool's commercial ceiling is counted.
const YEAR_S: u64 = 31_536_000;

/// The budget line that a member's pools at other members' sites earn for.
pub const POOL_INCOME: &str = "pool-income";

/// The deadline subject that stands for a class.
#[must_use]
pub fn class_subject(class: &Name) -> [u8; 32] {
    hash_of("hansa/class", class)
}

/// The book of a class as the next batch would see it at `now`.
#[must_use]
pub fn book(view: &View<'_>, params: &Params, chain: ChainId, class: &Name, now: TimeMs) -> Book {
    let row = view.get::<Classes>(class);
    let epoch = row.map_or(0, |row| row.epoch);
    // A lease begins at a slot's beginning, and the slot in hand has begun already.
    let next = Slot(now.slot(params.slot_s).0.saturating_add(1));
    let mut demands = Demands::new(view, params, now, class);
    let orders = class_range::<RequestsOpen, RequestId>(view, class)
        .filter_map(|id| view.get::<Requests>(&id).and_then(|row| demands.order(id, row)))
        .collect();
    let usage = demands.into_usage();
    let supply = |id: OfferId, offer: &Offer| {
        let supply = Supply {
            offer: id,
            provider: offer.provider,
            group: offer.group,
            sequence: offer.sequence,
            home: offer.home,
            country: offer.country,
            certificates: offer.certificates,
            tier: offer.tier,
            node_size: offer.node_size,
            ask: offer.ask_in(epoch),
            pool: offer.pool.pool(),
            owner: offer.pool.member(),
            market: offer.market.clone(),
            reserve: offer.reserve.clone(),
            commercial_left: commercial_left(view, params, now, offer),
        };
        (view.get::<Contracts>(&offer.contract).is_some_and(Contract::is_active), supply)
    };
    // What nobody may settle by now is not in the book, and is still told of to who could have had it.
    let (active, stopped): (Vec<_>, Vec<_>) = open_offers(view, class)
        .filter(|(_, offer)| is_funded(view, offer))
        .map(|(id, offer)| supply(id, offer))
        .partition(|(active, _)| *active);
    let supplies = active.into_iter().map(|(_, supply)| supply).collect();
    let stopped = stopped.into_iter().map(|(_, supply)| supply).collect();
    let holds = holds(view, class).collect();
    let debit_headroom = headrooms(view);
    Book {
        params: book_params(params, chain),
        class: class.clone(),
        epoch,
        now: next,
        orders,
        supplies,
        holds,
        capacity: offered_capacity(view, class),
        usage,
        debit_headroom,
        reference: row.and_then(|row| row.price),
        eligibility: Eligibility { stopped, ..Eligibility::default() },
    }
}

/// Whether an offer's provider has the cash that a stake was last found to need.
pub(crate) fn is_funded(view: &View<'_>, offer: &Offer) -> bool {
    let cash =
        || view.get::<Accounts>(&AccountId::Cash(offer.provider)).map_or(Money::ZERO, |row| row.balance);
    offer.stake_short == Money::ZERO || cash() >= offer.stake_short
}

/// The open offers of a class.
pub(crate) fn open_offers<'v>(
    view: &'v View<'_>,
    class: &'v Name,
) -> impl Iterator<Item = (OfferId, &'v Offer)> + 'v {
    class_range::<OffersOpen, OfferId>(view, class).filter_map(|id| {
        view.get::<Offers>(&id).filter(|row| row.state == OfferState::Open).map(|row| (id, row))
    })
}

/// The requests that wait for a class.
pub(crate) fn open_requests<'v>(
    view: &'v View<'_>,
    class: &'v Name,
) -> impl Iterator<Item = &'v Request> + 'v {
    class_range::<RequestsOpen, RequestId>(view, class).filter_map(|id| view.get::<Requests>(&id))
}

/// What is really offered of a class: the peaks of its open offers, with what is leased and what is out of their parts. Caps are
/// shares of it, so that capacity which is accredited and never offered widens nobody's.
pub(crate) fn offered_capacity(view: &View<'_>, class: &Name) -> u64 {
    open_offers(view, class).fold(0, |sum, (_, offer)| {
        let part = view.get::<Entitlements>(&EntitlementKey { site: offer.site_key(), owner: offer.pool });
        let free = offer.market.plus(&offer.reserve);
        let whole = part.map_or(free.clone(), |part| {
            free.plus(&part.leased()).plus(&part.out_market).plus(&part.out_reserve)
        });
        sum.saturating_add(u64::from(whole.peak().min(part.map_or(u32::MAX, |part| part.accelerators))))
    })
}

/// What the live leases of a class hold.
fn holds<'v>(view: &'v View<'_>, class: &'v Name) -> impl Iterator<Item = Hold> + 'v {
    class_range::<LeasesLive, LeaseId>(view, class).filter_map(|id| view.get::<Leases>(&id)).map(hold)
}

/// What commercial users may still be awarded of an offer's pool this year, in accelerator-slots; none without a ceiling.
pub(crate) fn commercial_left(view: &View<'_>, params: &Params, now: TimeMs, offer: &Offer) -> Option<u64> {
    let key = EntitlementKey { site: offer.site_key(), owner: offer.pool };
    let part = view.get::<Entitlements>(&key).filter(|part| part.commercial_ceiling_bps < 10_000)?;
    let slots = YEAR_S.checked_div(u64::from(params.slot_s)).unwrap_or(0);
    let year = u128::from(part.accelerators).saturating_mul(u128::from(slots));
    let most = year.saturating_mul(u128::from(part.commercial_ceiling_bps)).checked_div(10_000).unwrap_or(0);
    let taken = if part.commercial_year == year_of(now) { part.commercial_taken } else { 0 };
    Some(u64::try_from(most).unwrap_or(u64::MAX).saturating_sub(taken))
}

/// When the next of the years begins over which commercial ceilings are counted.
pub(crate) fn next_year(now: TimeMs) -> TimeMs {
    let years = u64::from(year_of(now)).saturating_add(1);
    TimeMs(years.saturating_mul(YEAR_S).saturating_mul(1_000))
}

/// Years of 365 days since 1970.
pub(crate) fn year_of(now: TimeMs) -> u32 {
    u32::try_from(now.seconds().checked_div(YEAR_S).unwrap_or(0)).unwrap_or(u32::MAX)
}

/// The ids under one class in an index table.
pub(crate) fn class_range<'v, T, I>(view: &'v View<'_>, class: &'v Name) -> impl Iterator<Item = I> + 'v
where
    T: crate::state::Table<Key = (Name, I), Row = ()> + 'v,
    I: Copy + Ord + From<[u8; 32]> + 'v,
{
    let range = (class.clone(), I::from([0; 32]))..=(class.clone(), I::from([255; 32]));
    view.range::<T>(range).map(|((_, id), ())| *id)
}

impl BlockInHand<'_> {
    /// Clears a class: at most one batch, however many boundaries have passed, over orders of earlier blocks.
    pub(crate) fn run_batch(&mut self, chain: ChainId, class: &Name) {
        let mut book = book(&self.view, self.params, chain, class, self.now);
        let is_whole = self.ask_contracts(&mut book);
        let clearing = clear(&book);
        let reference = book.reference;
        let Some(mut row) = self.view.get::<Classes>(class).cloned() else { return };
        row.batch_due = None;
        row.epoch = row.epoch.saturating_add(1);
        let epoch = row.epoch;
        self.view.put::<Classes>(class.clone(), row);
        let trades = u32::try_from(clearing.trades.len()).unwrap_or(u32::MAX);
        let unmatched = u32::try_from(clearing.unmatched.len()).unwrap_or(u32::MAX);
        self.emit(Event::BatchCleared { class: class.clone(), epoch, trades, unmatched });
        let (orders, prices) = (book.orders.len(), clearing.prices.clone());
        let tally = self.carry_out(class, reference, clearing);
        // Only what was paid is a price: what no lease came of would be a number that nobody stands for.
        let prices: Vec<_> = prices.into_iter().filter(|price| tally.volume(price.bucket) > 0).collect();
        if let Some((first, row)) = prices.first().zip(self.view.get::<Classes>(class).cloned()) {
            self.view.put::<Classes>(class.clone(), Class { price: Some(first.price), ..row });
        }
        self.keep_figures(class, epoch, orders, prices, tally);
        if !is_whole {
            // What could not be asked is asked first in the next batch.
            self.schedule_batch(class);
        }
        self.schedule_wake(class, &book);
    }

    /// What the live leases of a class hold.
    pub(crate) fn holds<'s>(&'s self, class: &'s Name) -> impl Iterator<Item = Hold> + 's {
        holds(&self.view, class)
    }

    /// Carries out what a batch decided; `reference` is the price that the aid of its awards was measured against, the ask of
    /// the offer without it. A trade that its contract or a cap refuses leaves its request open. Says what was carried out.
    pub fn carry_out(&mut self, class: &Name, reference: Option<Price>, clearing: Clearing) -> Tally {
        let mut tally = Tally::default();
        let first = self.events.len();
        let mut full = false;
        let waits = clearing.unmatched.iter().any(|unmatched| may_pass(unmatched.reason));
        for trade in &clearing.trades {
            let mark = self.view.mark();
            let events = self.events.len();
            if let Err(rejection) = self.award(trade, reference) {
                self.view.roll_back(mark);
                self.events.truncate(events);
                let reason = match rejection {
                    Rejection::DebitCap => Reason::NetDebitCap,
                    Rejection::FuelExhausted => Reason::BatchFull,
                    Rejection::ContractInactive => Reason::ContractStopped,
                    Rejection::StakeUnfunded => Reason::StakeUnfunded,
                    _ => Reason::ContractRefused,
                };
                if reason == Reason::StakeUnfunded {
                    self.keep_out(trade.offer);
                }
                // An offer that cannot stake stays out of the next batch, so that another one can win.
                full |= matches!(reason, Reason::BatchFull | Reason::StakeUnfunded);
                tally.unmatched(reason);
                self.note_unmatched(class, Unmatched::plain(trade.request, reason));
            } else {
                tally.awarded(trade);
            }
        }
        for unmatched in clearing.unmatched {
            tally.unmatched(unmatched.reason);
            self.note_unmatched(class, unmatched);
        }
        let priced = clearing.prices.iter().map(|price| Event::BatchPriced {
            class: class.clone(),
            bucket: price.bucket,
            price: price.price,
            volume: tally.volume(price.bucket),
        });
        let priced: Vec<_> =
            priced.filter(|event| matches!(event, Event::BatchPriced { volume: 1.., .. })).collect();
        // The prices are told before the leases that pay them.
        self.events.splice(first..first, priced);
        if full || (waits && tally.count().0 > 0) {
            // What one batch had no room for is the next one's, and so is what would pay for the offers that are left: with
            // those gone that were served at this price, another one may move the most.
            self.schedule_batch(class);
        }
        tally
    }

    /// Keeps an offer out of the book until its provider has more cash than now: what it has did not cover a stake.
    fn keep_out(&mut self, id: OfferId) {
        if let Some(mut offer) = self.view.get::<Offers>(&id).cloned() {
            let cash = self.balance(&AccountId::Cash(offer.provider));
            offer.stake_short = cash.checked_add(Money(1)).unwrap_or(cash);
            self.view.put::<Offers>(id, offer);
        }
    }

    fn note_unmatched(&mut self, class: &Name, unmatched: Unmatched) {
        let id = unmatched.request;
        let Some(mut row) = self.view.get::<Requests>(&id).cloned() else { return };
        let found = ClassUnmatched { class: class.clone(), unmatched };
        match row.unmatched.binary_search_by(|one| one.class.cmp(class)) {
            Ok(at) if row.unmatched.get(at) == Some(&found) => return,
            Ok(at) => row.unmatched.splice(at..=at, [found]).for_each(drop),
            Err(at) => row.unmatched.insert(at, found),
        }
        self.view.put::<Requests>(id, row);
    }

    /// Turns a trade into a lease: the agreement is fixed, the escrow cut to what the contract may need at the price found,
    /// the capacity taken, the debit cap held.
    fn award(&mut self, trade: &Trade, reference: Option<Price>) -> Result<(), Rejection> {
        let request = self.view.get::<Requests>(&trade.request).cloned().ok_or(Rejection::RequestUnknown)?;
        let mut offer = self.view.get::<Offers>(&trade.offer).cloned().ok_or(Rejection::OfferUnknown)?;
        let id = LeaseId::derive(&trade.request);
        let mut lease = self.draft(trade, &request, &offer);
        self.pin_contract(&offer.contract)?;
        let (quote, stake) = self.quote(&lease)?;
        // A contract may ask for no more than the price found is worth: what it asks beyond would be a price nobody bid on.
        let seconds = u64::from(trade.slots)
            .checked_mul(u64::from(self.params.slot_s))
            .and_then(|seconds| seconds.checked_mul(u64::from(trade.quantity)))
            .ok_or(Rejection::Overflow)?;
        let worth = trade.price.charge(seconds).ok_or(Rejection::Overflow)?;
        if quote > request.locked.min(worth) {
            return Err(Rejection::ContractRefused);
        }
        lease.locked = quote;
        lease.sources = self.settle_sources(trade.request, &request, quote)?;
        self.hold_stake(id, &mut lease, stake)?;
        self.lock_exposure(&lease)?;
        offer.stake_short = Money::ZERO;
        self.take_free(&mut offer, trade)?;
        self.hold_part(&offer, trade, lease.commercial)?;
        // The count has gone on to the next batch by now; the price is the one of this batch.
        let epoch = self.view.get::<Classes>(&lease.class).map_or(0, |row| row.epoch.saturating_sub(1));
        let offer_ask = offer.ask_in(epoch);
        self.view.put::<Offers>(trade.offer, offer);
        self.leave_book(trade.request, &request);
        self.count_usage(&lease);
        if let Some(member) = lease.sponsor {
            let (amount, price, basis) = (lease.aid, trade.price, reference.unwrap_or(offer_ask));
            let (awarded_at, returned) = (self.now, Money::ZERO);
            self.grant_aid(id, lease.group, Aid { amount, basis, price, member, awarded_at, returned });
        }
        let deadline =
            Deadline { due: lease.agreement.start_deadline, kind: DeadlineKind::LeaseStart, subject: id.0 };
        self.view.put::<Deadlines>(deadline, ());
        self.view.put::<LeasesLive>((lease.class.clone(), id), ());
        self.emit(Event::LeaseAwarded {
            lease: id,
            request: trade.request,
            offer: trade.offer,
            requester: lease.requester,
            provider: lease.provider,
            quantity: lease.quantity,
            price: trade.price,
            start: lease.agreement.start,
            end: lease.agreement.end,
            lane: lease.lane,
            released: lease.released,
        });
        let job = request.demand.job;
        self.view.put::<Requests>(
            trade.request,
            Request {
                state: RequestState::Awarded,
                lease: Some(id),
                locked: lease.locked,
                unmatched: alternatives_served(trade.request, &request.demand, &lease.class),
                ..request
            },
        );
        self.view.put::<Leases>(id, lease.clone());
        match job {
            Some(manifest) => self.submit_job(id, lease, manifest),
            None => Ok(()),
        }
    }

    /// Takes what a trade leases out of what its offer has free.
    pub(crate) fn take_free(&self, offer: &mut Offer, trade: &Trade) -> Result<(), Rejection> {
        let from_reserve = trade.lane == Lane::Reserve || trade.released;
        let calendar = if from_reserve { &mut offer.reserve } else { &mut offer.market };
        // What has passed is forgotten, so that an offer's row does not grow with every lease it ever had.
        calendar.prune(self.now.slot(self.params.slot_s));
        calendar.take(trade.start, trade.slots, trade.quantity).map_err(|_| Rejection::OfferOverInventory)?;
        let points_max = (self.params.calendar_points_max as usize).saturating_mul(2);
        if calendar.points().len() > points_max {
            return Err(Rejection::CalendarInvalid);
        }
        Ok(())
    }

    /// Notes what the part of a site that an offer sells has leased.
    pub(crate) fn hold_part(
        &mut self,
        offer: &Offer,
        trade: &Trade,
        commercial: bool,
    ) -> Result<(), Rejection> {
        let key = EntitlementKey { site: offer.site_key(), owner: offer.pool };
        let mut part = self.view.get::<Entitlements>(&key).cloned().ok_or(Rejection::SiteUnknown)?;
        part.prune(self.now.slot(self.params.slot_s));
        let from_reserve = trade.lane == Lane::Reserve || trade.released;
        let leased = if from_reserve { &mut part.leased_reserve } else { &mut part.leased_market };
        leased.give(trade.start, trade.slots, trade.quantity).map_err(|_| Rejection::Overflow)?;
        if commercial {
            let year = year_of(self.now);
            let taken = if part.commercial_year == year { part.commercial_taken } else { 0 };
            let slots = u64::from(trade.slots).saturating_mul(u64::from(trade.quantity));
            (part.commercial_year, part.commercial_taken) = (year, taken.saturating_add(slots));
        }
        self.view.put::<Entitlements>(key, part);
        Ok(())
    }

    /// Who is paid for a lease of an offer: the provider, for private capacity and where the pool is its own home's, else
    /// the income of the member that owns the pool.
    fn payee(&self, offer: &Offer) -> AccountId {
        let home = self.view.get::<Organisations>(&offer.provider).map(|row| row.home);
        match offer.pool.member() {
            Some(owner) if home != Some(owner) => {
                AccountId::Line(owner, Name::new(POOL_INCOME).expect("it is made of letters and a dash"))
            }
            _ => AccountId::Cash(offer.provider),
        }
    }

    /// Whether a request counts against commercial ceilings.
    fn commercial(&self, request: &Request) -> bool {
        let organisation = self.view.get::<Organisations>(&request.organisation);
        organisation.is_some_and(|row| is_commercial(row.class, &request.demand))
    }

    fn draft(&self, trade: &Trade, request: &Request, offer: &Offer) -> Lease {
        let params = self.params;
        let start = trade.start.begins(params.slot_s);
        let end = Slot(trade.start.0.saturating_add(trade.slots)).begins(params.slot_s);
        Lease {
            request: trade.request,
            offer: trade.offer,
            requester: request.organisation,
            requester_home: request.home,
            group: request.group,
            provider: offer.provider,
            provider_home: offer.home,
            payee: self.payee(offer),
            pool: offer.pool,
            offer_revision: offer.revision,
            site: offer.site.clone(),
            class: offer.class.clone(),
            quantity: trade.quantity,
            commercial: self.commercial(request),
            start: trade.start,
            slots: trade.slots,
            extensions: Vec::new(),
            agreement: Agreement {
                start,
                end,
                price: trade.price,
                fee_bps: params.fee_bps,
                contract: offer.contract,
                contract_params: offer.contract_params.clone(),
                contract_abi: hansa_contracts_abi::ABI_VERSION,
                contract_tariff: self.tariff(&offer.contract),
                fallback: 1,
                start_deadline: start.plus(params.lease_start_window_ms).min(end),
                report_window_ms: params.lease_report_window_ms,
                challenge_window_ms: params.lease_challenge_window_ms,
                contest_provider_bps: params.contest_provider_bps,
                holdback_bps: params.holdback_bps,
                audit_window_ms: params.audit_window_ms,
                parties: offer.parties.clone(),
                interim_interval_ms: params.interim_interval_ms,
                dispute_window_ms: params.dispute_window_ms,
                dispute_bond_bps: params.dispute_bond_bps,
                dispute_bond_min: Money(params.dispute_bond_min),
            },
            // The contract is told the shares before anything is locked.
            sources: request.demand.sources.iter().map(|one| source_of(one, Money::ZERO)).collect(),
            locked: Money::ZERO,
            stake: Money::ZERO,
            slashed: Money::ZERO,
            stake_home: self.view.get::<Organisations>(&offer.provider).map_or(offer.home, |row| row.home),
            state: LeaseState::Awarded,
            awarded_at: self.now,
            started_at: None,
            ended_at: None,
            reported: 0,
            reports: 0,
            reported_final: false,
            report_expired: false,
            countersigned: 0,
            contested: None,
            challenge_due: None,
            ended_by_requester: false,
            maintenance: Calendar::default(),
            jobs: 0,
            paid: Vec::new(),
            contract_state: Vec::new(),
            interims: 0,
            claimed_at: None,
            usage_paid: 0,
            ruling: None,
            closing: None,
            lane: trade.lane,
            released: trade.released,
            aid: Money(trade.aid),
            sponsor: sponsor(&self.view, &request.demand),
            sponsor_admits: None,
            holdback: None,
            windows: Vec::new(),
        }
    }

    /// What a contract says of itself in plain language, by its hash.
    fn tariff(&self, code: &CodeHash) -> Option<TariffHash> {
        let summary = self.view.get::<Contracts>(code)?.summary.as_ref();
        summary.map(|summary| summary.tariff)
    }

    /// What the contract may need at most for a lease, and what it asks the provider to stake.
    pub(crate) fn quote(&mut self, lease: &Lease) -> Result<(Money, Money), Rejection> {
        if !self.has_fuel(FuelUse::Other) {
            return Err(Rejection::FuelExhausted);
        }
        let agreement = &lease.agreement;
        let outcome = self.runtime.quote(&agreement.contract.0, &agreement.contract_params, &terms(lease));
        self.burn_fuel(FuelUse::Other, outcome.fuel);
        let quote = outcome.result.map_err(|_| Rejection::ContractRefused)?;
        let money = |amount| Money::try_from(amount).map_err(|_| Rejection::Overflow);
        Ok((money(quote.lock)?, money(quote.stake)?))
    }

    /// Divides what stays locked over the request's sources and returns the rest of each at once.
    fn settle_sources(
        &mut self,
        id: RequestId,
        request: &Request,
        locked: Money,
    ) -> Result<Vec<LeaseSource>, Rejection> {
        let sources = &request.demand.sources;
        let shares: Vec<u16> = sources.iter().map(|source| source.share_bps).collect();
        let mut room = Vec::new();
        for index in 0..sources.len() {
            let number = u8::try_from(index).map_err(|_| Rejection::SourcesInvalid)?;
            room.push(self.balance(&crate::row::AccountId::Escrow(id, number)));
        }
        let parts = share::spread(locked, &shares, &room).ok_or(Rejection::FundsInsufficient)?;
        let mut rows = Vec::new();
        for (index, (source, part)) in sources.iter().zip(&parts).enumerate() {
            let excess =
                room.get(index).and_then(|room| room.checked_sub(*part)).ok_or(Rejection::Overflow)?;
            self.refund_part(id, index, request, excess)?;
            rows.push(source_of(source, *part));
        }
        Ok(rows)
    }
}

/// A purse's part in a lease of which so much is locked.
fn source_of(source: &Source, locked: Money) -> LeaseSource {
    LeaseSource {
        purse: source.purse,
        share_bps: source.share_bps,
        locked,
        paid: Money::ZERO,
        held: Money::ZERO,
        held_for: Vec::new(),
    }
}

/// What is said of the other classes of a request that `class` served.
fn alternatives_served(request: RequestId, demand: &Demand, class: &Name) -> Vec<ClassUnmatched> {
    let mut others: Vec<ClassUnmatched> = demand
        .classes()
        .filter(|(other, _)| *other != class)
        .map(|(other, _)| ClassUnmatched {
            class: other.clone(),
            unmatched: Unmatched::plain(request, Reason::AlternativeServed),
        })
        .collect();
    others.sort_by(|one, next| one.class.cmp(&next.class));
    others
}

/// What each member may still come to owe.
fn headrooms(view: &View<'_>) -> BTreeMap<MemberCode, u128> {
    view.range::<Members>(..).map(|(code, row)| (*code, debit_headroom(row).unwrap_or(0))).collect()
}
