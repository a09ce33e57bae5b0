//! What one seed does to its federation.

use crate::random::Random;
use serde::Serialize;

/// How one member betrays the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Treason {
    /// Nobody does.
    None,
    /// It says nothing.
    Silent,
    /// It sends one half of the members other votes than the other.
    Equivocate,
    /// Two nodes run with its key, each believing in itself.
    Twin,
    /// It answers those who catch up with blocks that nobody decided, and with torn certificates.
    Liar,
}

/// The faults of one seed. Rates are in thousandths.
#[derive(Clone, Debug, Serialize)]
pub struct Profile {
    /// How many members there are.
    pub members: usize,
    /// How long faults happen, in milliseconds of simulated time.
    pub fault_ms: u64,
    /// Messages that get lost.
    pub loss: u32,
    /// Messages that come twice.
    pub duplicate: u32,
    /// The longest usual delay of a message, in milliseconds; drawn anew for each, so that later ones overtake.
    pub delay_ms: u64,
    /// Messages that take up to two seconds.
    pub slow: u32,
    /// Pause between two faults of whole nodes and links, in milliseconds; 0 for none.
    pub fault_pause_ms: u64,
    /// Of those faults, that the power fails rather than a process dies.
    pub power: u32,
    /// That the faults of nodes strike all of them at once.
    pub together: u32,
    /// That a node dies in the middle of something it does to its disk rather than between two things.
    pub amid: u32,
    /// That a disk fails (full, fsync that fails) rather than a node.
    pub disk: u32,
    /// That a bit flips on a disk while its node is down.
    pub flip: u32,
    /// That links are cut rather than a node struck.
    pub cut: u32,
    /// The most a node's clock is off, in milliseconds.
    pub skew_ms: u64,
    /// How long a client waits between two deeds at most, in milliseconds.
    pub client_ms: u64,
    /// That a client or a provider's agent dies after a deed, and comes back later.
    pub client_death: u32,
    /// Who betrays.
    pub treason: Treason,
}

impl Profile {
    /// Of a seed, with this many members (4 to 7) if not by chance.
    #[must_use]
    pub fn draw(seed: u64, members: Option<usize>) -> Self {
        let mut random = Random::new(seed, 1);
        let drawn = random.between(4, 7) as usize;
        let calm = random.chance(100);
        let mut rate = |most: u64, often: u32| {
            let rate = random.between(0, most) as u32;
            if calm || !random.chance(often) { 0 } else { rate }
        };
        let (loss, duplicate, slow) = (rate(300, 600), rate(500, 600), rate(50, 400));
        let (power, together, amid) = (rate(1_000, 800), rate(300, 500), rate(1_000, 800));
        let (disk, flip, cut) = (rate(400, 500), rate(300, 400), rate(600, 700));
        let client_death = rate(300, 700);
        let skew_ms = u64::from(rate(200, 500));
        let treason = match random.between(0, 9) {
            _ if calm => Treason::None,
            0 => Treason::Silent,
            1 | 2 => Treason::Equivocate,
            3 | 4 => Treason::Twin,
            5 => Treason::Liar,
            _ => Treason::None,
        };
        Self {
            members: members.unwrap_or(drawn).clamp(4, 7),
            fault_ms: random.between(8_000, 30_000),
            loss,
            duplicate,
            delay_ms: random.between(2, 120),
            slow,
            fault_pause_ms: if calm { 0 } else { random.between(300, 5_000) },
            power,
            together,
            amid,
            disk,
            flip,
            cut,
            skew_ms,
            client_ms: random.between(100, 1_500),
            client_death,
            treason,
        }
    }

    /// How many members may lie or be down without harm.
    #[must_use]
    pub fn faults_max(&self) -> usize {
        self.members.saturating_sub(1) / 3
    }
}
