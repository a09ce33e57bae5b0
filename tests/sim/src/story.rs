//! What happens to a federation: a time of faults, healing, and the reckoning.

use crate::disk::{Death, Fault};
use crate::run::reach;
use crate::world::World;
use hansa_contracts_host::Host;
use hansa_ledger::replay::{Record, replay};
use hansa_ledger::row::LeaseState;
use hansa_ledger::state::State;
use hansa_ledger::tables::{ContractCodes, Interims, Leases, Settlements};
use std::rc::Rc;
use std::time::Duration;
use tokio::time::Instant;

/// How long all honest members may take to decide three blocks once nothing fails any more.
const PROGRESS: Duration = Duration::from_secs(90);

/// How long people go on once all is healed.
const CALM: Duration = Duration::from_secs(8);

/// How long the longest lease of the simulation may take to end, with its windows and a dispute.
const LEASES_END: Duration = Duration::from_secs(120);

/// Tells it.
pub async fn tell(world: &Rc<World>) {
    crate::workload::begin(world);
    let faults_end = Instant::now() + Duration::from_millis(world.profile.fault_ms);
    spoil(world, faults_end).await;
    heal(world);
    let goal = world.checks.borrow().height_decided() + 3;
    if !reach(world, goal, PROGRESS).await {
        let stuck = world.checks.borrow().height_decided() + 1;
        if world.mute(stuck) > world.profile.faults_max() {
            // More than a third cut off from power with their logs torn: docs/decisions/0013 says that this halts the federation.
            world.note(format_args!("too many members do not know what they signed in height {stuck}"));
            world.checks.borrow_mut().counts.halted = 1;
            return;
        }
        let tips: Vec<String> = world.honest().map(|place| stands(world, place)).collect();
        return world.fail(format!(
            "no progress: not all honest nodes come to height {goal} within {PROGRESS:?} of healing: {}",
            tips.join(", ")
        ));
    }
    // Leases that were begun in the time of faults live on, and new ones begin.
    tokio::time::sleep(CALM).await;
    world.resting.set(true);
    let until = Instant::now() + LEASES_END;
    while let Some(open) = open_lease(world) {
        if Instant::now() > until {
            return world.fail(format!("lease {open} has not ended {LEASES_END:?} after people stopped"));
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    // What was under way when people went to rest may become final while the nodes come to what was the last height.
    let until = Instant::now() + PROGRESS;
    loop {
        let last = world.checks.borrow().height_decided();
        if !reach(world, last, until.saturating_duration_since(Instant::now())).await {
            return world.fail(format!("not all honest nodes come to the last height {last}"));
        }
        if world.checks.borrow().height_decided() == last {
            break;
        }
    }
    reckon(world);
}

fn stands(world: &World, place: usize) -> String {
    match world.executor(place) {
        Some(executor) => {
            format!("{place} at {}", hansa_node::consensus::Application::tip(executor.as_ref()).height)
        }
        None => format!("{place} down"),
    }
}

/// Some lease that is not settled, at the first honest node.
fn open_lease(world: &World) -> Option<String> {
    let place = world.honest().find(|place| world.is_up(*place))?;
    let executor = world.executor(place)?;
    let state = executor.state();
    let mut open = state.rows::<Leases>().filter(|(_, lease)| lease.state != LeaseState::Settled);
    open.next().map(|(id, _)| id.to_string())
}

/// Strikes nodes, disks and links until the time is over.
async fn spoil(world: &Rc<World>, until: Instant) {
    let pause = world.profile.fault_pause_ms;
    while Instant::now() < until {
        let step = if pause == 0 { 1_000 } else { world.faults.borrow_mut().between(pause / 2, pause * 2) };
        tokio::time::sleep_until((Instant::now() + Duration::from_millis(step)).min(until)).await;
        if pause > 0 && Instant::now() < until {
            strike(world);
        }
    }
}

fn strike(world: &Rc<World>) {
    let profile = &world.profile;
    if world.faults.borrow_mut().chance(profile.cut) {
        let mends = world.faults.borrow_mut().chance(400);
        if mends {
            world.network.borrow_mut().mend();
            world.note(format_args!("all links are whole"));
            (0..world.places.len()).for_each(|place| crate::sync::announce(world, place));
        } else {
            let how = world.network.borrow_mut().cut();
            world.checks.borrow_mut().counts.cuts += 1;
            world.note(format_args!("links are cut {how}"));
        }
        return;
    }
    let mut faults = world.faults.borrow_mut();
    let up: Vec<usize> = (0..world.places.len()).filter(|place| world.is_up(*place)).collect();
    let all = faults.chance(profile.together);
    let struck: Vec<usize> = if all { up } else { faults.pick(&up).copied().into_iter().collect() };
    if !all && faults.chance(profile.disk) {
        let fault = if faults.chance(500) { Fault::Full } else { Fault::Fsync };
        let lasts = faults.between(100, 5_000);
        drop(faults);
        for place in struck {
            spoil_disk(world, place, fault, lasts);
        }
        return;
    }
    // A power cut that strikes all is one power cut.
    let death = if faults.chance(profile.power) { Death::PowerCut } else { Death::Killed };
    let amid = faults.chance(profile.amid);
    let after: Vec<u64> = struck.iter().map(|_| faults.between(1, 40)).collect();
    drop(faults);
    for (place, after) in struck.into_iter().zip(after) {
        world.checks.borrow_mut().counts.deaths += 1;
        if amid {
            world.places[place].disk.die_after(after, death);
        } else {
            world.end(place, death);
            world.start_later(place);
        }
    }
}

fn spoil_disk(world: &Rc<World>, place: usize, fault: Fault, lasts: u64) {
    world.checks.borrow_mut().counts.disk_faults += 1;
    world.note(format_args!("the disk of {place} fails: {fault:?} for {lasts} ms"));
    world.places[place].disk.set_fault(Some(fault));
    let world = Rc::clone(world);
    tokio::task::spawn_local(async move {
        tokio::time::sleep(Duration::from_millis(lasts)).await;
        world.places[place].disk.set_fault(None);
    });
}

/// Nothing fails any more, and who is down comes back.
fn heal(world: &Rc<World>) {
    world.note(format_args!("all is healed"));
    world.healing.set(true);
    world.network.borrow_mut().heal();
    for place in 0..world.places.len() {
        world.places[place].disk.heal();
        world.start(place);
    }
    (0..world.places.len()).for_each(|place| crate::sync::announce(world, place));
}

/// Compares all that was acknowledged with what all honest nodes hold in the end.
fn reckon(world: &World) {
    let checks = world.checks.borrow();
    let mut wrong = Vec::new();
    for place in world.honest() {
        let Some(executor) = world.executor(place) else {
            wrong.push(format!("node {place} is down in the end"));
            continue;
        };
        let last = hansa_node::consensus::Application::tip(executor.as_ref());
        let root = executor.state().root();
        if checks.block(last.height).is_some_and(|seen| seen != (last.id, root)) {
            wrong.push(format!("node {place} ends in another state at height {}", last.height));
        }
        for height in 1..=last.height {
            let held = executor.store().decided(height).ok().flatten();
            let held = held.map(|decided| (decided.block, decided.root));
            if checks.block(height).is_some_and(|seen| held != Some(seen)) {
                wrong.push(format!("node {place} does not hold what was acknowledged at height {height}"));
            }
        }
        let missing = checks.finals().find(|(_, told)| told.height > last.height);
        if let Some((id, told)) = missing {
            wrong.push(format!("node {place} lacks transaction {id}, acknowledged in block {}", told.height));
        }
        if let Err(reason) = settled_again(&executor.state()) {
            wrong.push(format!("node {place}: {reason}"));
        }
        if let Err(reason) = hansa_ledger::invariants::check_state(&executor.state()) {
            wrong.push(format!("the books of node {place} do not balance: {reason}"));
        }
    }
    drop(checks);
    if let Some(reason) = wrong.into_iter().next() {
        world.fail(reason);
    }
}

/// Settles every lease again in a host that has run nothing before: what lives with deaths, replays and catching up have left in
/// the books, fuel included, is what a cold one gives.
fn settled_again(state: &State) -> Result<(), String> {
    let host = Host::new();
    for (lease, settlement) in state.rows::<Settlements>() {
        let code = state.get::<ContractCodes>(&settlement.contract);
        let code = code.ok_or(format!("the code that lease {lease} settled by is gone"))?;
        let interims = state.rows::<Interims>().filter(|((of, _), _)| of == lease);
        let interims = interims.map(|(_, interim)| interim.clone()).collect();
        let record = Record { settlement: settlement.clone(), interims };
        let report = replay(&record, &code.code, &host).map_err(|error| format!("lease {lease}: {error}"))?;
        if !report.holds() {
            return Err(format!("lease {lease} does not settle again as it did: {report:?}"));
        }
    }
    Ok(())
}
