//! What happens to a federation: a time of faults, healing, and the reckoning.

use crate::run::reach;
use crate::world::World;
use std::rc::Rc;
use std::time::Duration;

/// Tells it.
pub async fn tell(world: &Rc<World>) {
    tokio::time::sleep(Duration::from_millis(world.profile.fault_ms)).await;
    let goal = world.checks.borrow().height_decided() + 3;
    if !reach(world, goal, Duration::from_secs(60)).await {
        world.fail(format!("no progress: not all honest nodes come to height {goal} within a minute of healing"));
    }
}
