//! What a member that betrays makes of the messages it sends.

use crate::profile::Treason;
use crate::wire::Wire;
use crate::world::World;

/// The message that goes over one link instead of the one that the program wanted to send; `None` for nothing.
pub fn twist(world: &World, from: usize, _to: usize, wire: &Wire) -> Option<Wire> {
    if world.places[from].honest {
        return Some(wire.clone());
    }
    match world.profile.treason {
        Treason::Silent => None,
        _ => Some(wire.clone()),
    }
}
