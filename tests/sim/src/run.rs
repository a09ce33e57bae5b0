//! One seed from its beginning to its verdict.

use crate::checks::Counts;
use crate::profile::Profile;
use crate::world::World;
use hansa_node::consensus::Application as _;
use serde::Serialize;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Once;
use std::time::Duration;
use tokio::sync::mpsc;

/// What came of a seed.
#[derive(Clone, Debug, Serialize)]
pub struct Verdict {
    /// The seed.
    pub seed: u64,
    /// What it did to the federation.
    pub profile: Profile,
    /// What failed, if anything.
    pub failure: Option<String>,
    /// The hash of all that happened, the same for the same seed.
    pub hash: String,
    /// How much happened.
    pub counts: Counts,
    /// The simulated time, in milliseconds.
    pub simulated_ms: u64,
}

/// How a seed is run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// So many members, instead of as many as the seed draws.
    pub members: Option<usize>,
    /// Prints what happens.
    pub told: bool,
}

thread_local! {
    /// What panicked on this thread since the seed began.
    static PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// A panic anywhere in a federation is a failure of its seed, whoever catches it.
fn watch_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            PANIC.with(|first| first.borrow_mut().get_or_insert(panic.to_string()).shrink_to_fit());
            usual(panic);
        }));
    });
    PANIC.with(|first| first.borrow_mut().take());
}

/// Runs one seed.
#[must_use]
pub fn run(seed: u64, options: Options) -> Verdict {
    watch_panics();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime without threads, sockets and files can always be made");
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, live(seed, options))
}

async fn live(seed: u64, options: Options) -> Verdict {
    let profile = Profile::draw(seed, options.members);
    let (incidents, mut met) = mpsc::unbounded_channel();
    let world = World::new(seed, profile, options.told, incidents);
    world.note(format_args!("seed {seed}: {:?}", world.profile));
    let watching = Rc::clone(&world);
    tokio::task::spawn_local(async move {
        while let Some((place, life, incident)) = met.recv().await {
            watching.meet(place, life, incident);
        }
    });
    let story = async {
        for place in 0..world.places.len() {
            world.start(place);
        }
        crate::story::tell(&world).await;
    };
    tokio::select! {
        biased;
        () = world.until_failure() => {}
        () = story => {}
    }
    let (hash, _) = world.trace.borrow().hash();
    let simulated_ms = world.trace.borrow().now_ms();
    let counts = world.checks.borrow().counts;
    let panic = PANIC.with(|first| first.borrow_mut().take());
    let failure = panic.or(world.failure());
    // What still runs holds the world, and the world what still runs.
    for place in &world.places {
        place.running.borrow_mut().take();
    }
    Verdict { seed, profile: world.profile.clone(), failure, hash, counts, simulated_ms }
}

/// Waits until all honest nodes hold a height, or so long; says whether they do.
pub async fn reach(world: &Rc<World>, height: u64, patience: Duration) -> bool {
    let until = tokio::time::Instant::now() + patience;
    loop {
        let low = world
            .honest()
            .filter(|place| world.executor(*place).is_none_or(|executor| executor.tip().height < height));
        if low.count() == 0 {
            return true;
        }
        if tokio::time::Instant::now() >= until {
            return false;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
