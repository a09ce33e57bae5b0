//! Feed arbitrary bytes to everything that reads bytes of others.
//!
//! A [`Target`] takes bytes and panics when a promise is broken; what it promises stands in its module. The same targets are
//! replayed in CI over their seeds, the corpus and a bounded number of mutations (`tests/it`), and run for as long as one likes
//! by the program of this crate.
#![allow(clippy::unwrap_used)] // A panic is how a target tells that a promise is broken.

pub mod corpus;
mod mutate;
mod target;

pub use mutate::Mutator;
pub use target::{TARGETS, Target, Verdict};

// The federation in memory that the ledger's own tests run, and a moment of it at which everything there is exists.
#[allow(dead_code)]
#[path = "../../../ledger/tests/it/engine.rs"]
mod engine;
#[allow(dead_code)]
#[path = "../../../ledger/tests/it/wire/samples.rs"]
mod samples;
#[allow(dead_code)]
#[path = "../../../ledger/tests/it/scene.rs"]
mod scene;
#[allow(dead_code)]
#[path = "../../../ledger/tests/it/scripted.rs"]
mod scripted;
#[allow(dead_code)]
#[path = "../../../ledger/tests/it/world.rs"]
mod world;

/// What [`scene`] asks of the tests of votes.
mod governance {
    use crate::world::World;
    use hansa_ledger::action::{Propose, Vote};
    use hansa_ledger::event::Event;
    use hansa_ledger::id::ProposalId;
    use hansa_ledger::rejection::Rejection;
    use hansa_ledger::row::{Change, ParameterValue};

    pub fn parameter(name: &str, value: u64) -> Change {
        Change::Parameters { values: vec![ParameterValue { name: name.to_owned(), value }] }
    }

    pub fn propose(
        world: &mut World,
        code: &str,
        change: Change,
        after: u64,
    ) -> Result<ProposalId, Rejection> {
        let action = Propose { change, activate_after_ms: after };
        let events = world.act(&format!("{code} governance"), action)?;
        let made = events.iter().find_map(|event| match event {
            Event::ProposalMade { proposal, .. } => Some(*proposal),
            _ => None,
        });
        Ok(made.unwrap())
    }

    pub fn vote(world: &mut World, code: &str, proposal: ProposalId, approve: bool) -> Result<(), Rejection> {
        world.act(&format!("{code} governance"), Vote { proposal, approve }).map(|_| ())
    }
}

/// What [`scene`] asks of the tests of contracts.
mod contracts {
    use crate::engine::script;
    use crate::world::{World, name};
    use hansa_ledger::action::{ApproveContract, DeprecateContract, QuarantineContract, UploadContract};
    use hansa_ledger::id::CodeHash;
    use hansa_ledger::tables::Contracts;

    pub fn upload(world: &mut World, signer: &str, words: &str) -> CodeHash {
        let action = UploadContract { name: name("script"), code: script(words), budget_line: None };
        let code = CodeHash(*blake3::hash(&action.code).as_bytes());
        world.act(signer, action).unwrap();
        code
    }

    pub fn approve(world: &mut World, code: CodeHash, members: &[&str]) {
        for one in members {
            world.act(&format!("{one} governance"), ApproveContract { code }).unwrap();
        }
    }

    pub fn activate(world: &mut World, code: CodeHash) {
        approve(world, code, &["DE", "EE"]);
        let due = world.state.get::<Contracts>(&code).unwrap().active_from.unwrap();
        world.block(due.0 - world.now.0, &[]);
    }

    pub fn quarantine(world: &mut World, code: CodeHash, reason: &str) {
        for one in ["DE", "EE"] {
            let reason = reason.to_owned();
            world.act(&format!("{one} governance"), QuarantineContract { code, reason }).unwrap();
        }
    }

    pub fn archive(world: &mut World, signer: &str, code: CodeHash) {
        world.act(signer, DeprecateContract { code }).unwrap();
        world.block(1, &[]);
    }
}
