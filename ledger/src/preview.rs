//! What would become of a request if it were placed now: the ledger's own way to the next batch, on changes that are dropped.

use crate::action::{Admitted, BlockInHand, admit_demand, fuel_kept};
use crate::apply::{chain, params};
use crate::id::{ChainId, LeaseId, OfferId, OrganisationId, RequestId};
use crate::market::Lane;
use crate::money::{Money, Price};
use crate::name::Name;
use crate::rejection::Rejection;
use crate::row::{ClassUnmatched, Demand, Lease, Purse};
use crate::state::State;
use crate::tables::{Classes, Deadlines, Leases, Requests};
use crate::time::{Slot, TimeMs};
use hansa_contracts_abi::Runtime;
use hansa_ledger_signature::PublicKey;

/// The most blocks that are tried on the way to the batch.
const BLOCKS_MAX: usize = 4_096;

/// What the next batch would do with a demand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preview {
    /// When that batch runs.
    pub batch: TimeMs,
    /// What the request would lock.
    pub locked: Money,
    /// What would become of it.
    pub outcome: PreviewOutcome,
}

/// What would become of a demand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PreviewOutcome {
    /// It would be awarded.
    Award(Box<PreviewAward>),
    /// It would stay open: why, for each of its classes, under an id that stands for it; nothing where its window passes
    /// before any batch.
    Unmatched(Vec<ClassUnmatched>),
}

/// The award that the next batch would make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PreviewAward {
    /// The lane that would serve it.
    pub lane: Lane,
    /// Whether it would run on released reserve, from which it may be interrupted.
    pub released: bool,
    /// The offer.
    pub offer: OfferId,
    /// Who offers it.
    pub provider: OrganisationId,
    /// Where.
    pub site: Name,
    /// What.
    pub class: Name,
    /// How many accelerators.
    pub quantity: u32,
    /// First slot.
    pub start_slot: Slot,
    /// Slots.
    pub slots: u32,
    /// Start.
    pub start: TimeMs,
    /// End.
    pub end: TimeMs,
    /// Price per accelerator-hour.
    pub price: Price,
    /// The most it may cost, which stays locked.
    pub locked: Money,
    /// The most that each source may pay of it, in the order of the demand's sources.
    pub sources: Vec<(Purse, Money)>,
    /// What it pays less than the market price.
    pub aid: Money,
}

impl From<Lease> for PreviewAward {
    fn from(lease: Lease) -> Self {
        Self {
            lane: lease.lane,
            released: lease.released,
            offer: lease.offer,
            provider: lease.provider,
            site: lease.site,
            class: lease.class,
            quantity: lease.quantity,
            start_slot: lease.start,
            slots: lease.slots,
            start: lease.agreement.start,
            end: lease.agreement.end,
            price: lease.agreement.price,
            locked: lease.locked,
            sources: lease.sources.iter().map(|source| (source.purse, source.locked)).collect(),
            aid: lease.aid,
        }
    }
}

/// What would become of `demand` if `organisation` placed it at `now` and nobody else did anything before the next batch.
/// Everything that runs by itself until then runs, batches of other classes included. Signature, nonce and the limit of a key
/// are not asked for.
///
/// # Errors
/// Why the request would be refused.
pub fn preview_request(
    state: &State,
    runtime: &dyn Runtime,
    id: ChainId,
    organisation: OrganisationId,
    demand: &Demand,
    now: TimeMs,
) -> Result<Preview, Rejection> {
    let now = now.max(TimeMs(chain(state).time.0.saturating_add(1)));
    let mut block = BlockInHand {
        view: state.view(),
        params: params(state),
        height: chain(state).height.saturating_add(1),
        now,
        runtime,
        fuel: params(state).block_fuel_max,
        fuel_kept: fuel_kept(params(state), runtime),
        events: Vec::new(),
    };
    block.run_deadlines(id);
    let (row, locked) = admit_demand(&block.view, block.params, now, organisation, demand)?;
    // The order among equals goes by organisation and count, so the id decides nothing.
    let request = RequestId::derive(&("preview", organisation, row.sequence));
    let admitted = Admitted { request, id: organisation, organisation: row, key: PublicKey([0; 32]), locked };
    block.place_request(admitted, demand)?;
    let batch = block.batch_of(demand);
    block.run_until(id, batch);
    let unmatched = block.view.get::<Requests>(&request).map(|row| row.unmatched.clone()).unwrap_or_default();
    let outcome = match block.view.get::<Leases>(&LeaseId::derive(&request)).cloned() {
        Some(lease) => PreviewOutcome::Award(Box::new(lease.into())),
        None => PreviewOutcome::Unmatched(unmatched),
    };
    Ok(Preview { batch, locked, outcome })
}

impl BlockInHand<'_> {
    /// When the last of the demand's classes is cleared next.
    fn batch_of(&self, demand: &Demand) -> TimeMs {
        let dues = demand.classes().filter_map(|(class, _)| self.view.get::<Classes>(class)?.batch_due);
        dues.max().unwrap_or(self.now)
    }

    /// Runs everything that runs by itself up to `last`, each at its time, as blocks of its own would.
    fn run_until(&mut self, id: ChainId, last: TimeMs) {
        for _ in 0..BLOCKS_MAX {
            let due = self.view.range::<Deadlines>(..).next().map(|(deadline, ())| deadline.due);
            let Some(due) = due.filter(|due| *due <= last) else { return };
            // What was left over by a block that had no more room is the next one's, a moment later.
            self.now = due.max(TimeMs(self.now.0.saturating_add(1)));
            self.height = self.height.saturating_add(1);
            self.fuel = self.params.block_fuel_max;
            self.fuel_kept = fuel_kept(self.params, self.runtime);
            self.events = Vec::new();
            self.run_deadlines(id);
        }
    }
}
