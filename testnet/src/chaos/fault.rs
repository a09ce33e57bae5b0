//! What breaks, when, and for how long: drawn from a seed, so that a run can be had again.

use crate::dice::Dice;
use hansa_ledger::member::MemberCode;
use serde::Serialize;
use std::collections::VecDeque;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

macro_rules! kinds {
    ($($name:ident = $word:literal, $text:literal;)*) => {
        /// A kind of fault.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Kind {
            $(#[doc = $text] $name,)*
        }

        impl Kind {
            /// Every kind.
            pub const ALL: &'static [Kind] = &[$(Kind::$name,)*];

            /// Its word.
            #[must_use]
            pub fn word(self) -> &'static str {
                match self { $(Self::$name => $word,)* }
            }

            /// What it does.
            #[must_use]
            pub fn text(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

kinds! {
    KillOne = "kill-one", "one node is killed with SIGKILL and started again later";
    KillProposer = "kill-proposer", "the node whose turn it is to propose is killed, and started again later";
    KillSome = "kill-some", "as many nodes as may fail are killed at once, and started again later";
    KillAll = "kill-all", "all nodes are killed at once, and started again";
    Pause = "pause", "one node stands still (SIGSTOP), for up to longer than every timeout";
    Delay = "delay", "every link takes longer, by chance, in both ways";
    Throttle = "throttle", "the links of one node carry few bytes per second";
    OneWay = "one-way", "what one node says to the others waits; what they say arrives";
    Lossy = "lossy", "what one node says to the others is lost without a word, and the streams have gaps";
    Blackhole = "blackhole", "all that passes the links of one node is lost without a word";
    Corrupt = "corrupt", "bytes on the links of one node are changed";
    Reset = "reset", "connections of one node are reset again and again";
    HalfOpen = "half-open", "one end of each connection of one node is gone, and the other hears nothing of it";
    PartitionHalf = "partition-half", "the members fall apart into parts of which none can decide";
    PartitionFew = "partition-few", "as many members as may fail are cut off together";
    Clock = "clock", "the clock of one node is an hour ahead or behind";
    DiskFull = "disk-full", "the disk of one node fills";
    SecondProcess = "second-process", "a second process is started on the data of one node";
    Twin = "twin", "a copy of one node runs beside it with the same keys, and each sees a part of the others";
    EquivocateVotes = "equivocate-votes", "a member signs two votes where it may sign one";
    EquivocateProposals = "equivocate-proposals", "a member proposes two blocks in one round";
    DropVotes = "drop-votes", "a member keeps its votes to itself";
    DropProposals = "drop-proposals", "a member keeps its proposals to itself";
    DropInbound = "drop-inbound", "a member does as if no proposal reached it";
    NilPrecommits = "nil-precommits", "a member precommits for nothing, whatever it prevoted";
    Amnesia = "amnesia", "a member forgets what it is locked on, and prevotes for whatever is proposed";
}

impl Kind {
    /// Whether the rest can go on deciding meanwhile.
    #[must_use]
    pub fn leaves_a_quorum(self) -> bool {
        !matches!(self, Self::KillAll | Self::PartitionHalf)
    }

    /// What makes a node lie like that, in the form of the engine's own configuration; none for honest failures.
    #[must_use]
    pub fn lie(self) -> Option<&'static str> {
        match self {
            Self::EquivocateVotes => Some("equivocate_votes"),
            Self::EquivocateProposals => Some("equivocate_proposals"),
            Self::DropVotes => Some("drop_votes"),
            Self::DropProposals => Some("drop_proposals"),
            Self::DropInbound => Some("drop_inbound_proposals"),
            Self::NilPrecommits => Some("force_precommit_nil"),
            Self::Amnesia => Some("ignore_locks"),
            _ => None,
        }
    }

    /// Whether a member signs two things where it may sign one.
    #[must_use]
    pub fn signs_twice(self) -> bool {
        matches!(self, Self::Twin | Self::EquivocateVotes | Self::EquivocateProposals)
    }

    /// The kinds that this program can do: nodes that lie are compiled only with the feature `byzantine`.
    #[must_use]
    pub fn usual() -> Vec<Kind> {
        let possible = |kind: &Kind| cfg!(feature = "byzantine") || kind.lie().is_none();
        Self::ALL.iter().copied().filter(possible).collect()
    }

    /// Shortest and longest time it lasts, in milliseconds.
    fn lasts_ms(self) -> (u64, u64) {
        match self {
            Self::KillOne | Self::KillSome | Self::KillProposer => (2_500, 5_000),
            Self::KillAll => (0, 1_500),
            Self::Pause => (4_000, 31_000),
            Self::PartitionHalf | Self::PartitionFew | Self::Blackhole | Self::Lossy | Self::OneWay => {
                (4_000, 10_000)
            }
            Self::DiskFull | Self::Clock | Self::Twin => (5_000, 9_000),
            Self::SecondProcess => (0, 0),
            kind if kind.lie().is_some() => (6_000, 10_000),
            _ => (3_000, 6_000),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.word())
    }
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.iter().copied().find(|kind| kind.word() == text).ok_or_else(|| {
            let words: Vec<&str> = Self::ALL.iter().map(|kind| kind.word()).collect();
            format!("there is no fault `{text}`; choose from {}", words.join(", "))
        })
    }
}

/// One fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What kind.
    pub kind: Kind,
    /// Whom it hits; of a partition, the first part. Of [`Kind::KillProposer`] nobody yet: that shows when it happens.
    pub members: Vec<MemberCode>,
    /// How long it lasts.
    pub lasts: Duration,
    /// A number within the kind's range: how strong it is.
    pub strength: u64,
}

impl Fault {
    /// As a line of JSON tells it.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        #[derive(Serialize)]
        struct Told<'a> {
            kind: &'a str,
            members: &'a [MemberCode],
            lasts_ms: u128,
            strength: u64,
        }
        let told = Told {
            kind: self.kind.word(),
            members: &self.members,
            lasts_ms: self.lasts.as_millis(),
            strength: self.strength,
        };
        serde_json::to_value(told).unwrap_or_default()
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let members: Vec<&str> = self.members.iter().map(MemberCode::as_str).collect();
        write!(formatter, "{} {}", self.kind, members.join(" "))?;
        if !self.lasts.is_zero() {
            write!(formatter, " for {:.1} s", self.lasts.as_secs_f64())?;
        }
        Ok(())
    }
}

/// Faults without end, the same for one seed, federation and choice of kinds. Each kind comes once before any comes again.
#[derive(Debug)]
pub struct Schedule {
    dice: Dice,
    members: Vec<MemberCode>,
    kinds: Vec<Kind>,
    bag: VecDeque<Kind>,
}

impl Schedule {
    /// The faults of a seed.
    #[must_use]
    pub fn new(seed: u64, members: &[MemberCode], kinds: &[Kind]) -> Self {
        Self { dice: Dice::new(seed), members: members.to_vec(), kinds: kinds.to_vec(), bag: VecDeque::new() }
    }

    fn kind(&mut self) -> Option<Kind> {
        if self.bag.is_empty() {
            let order = self.dice.choose(self.kinds.len(), self.kinds.len());
            self.bag = order.into_iter().map(|at| self.kinds[at]).collect();
        }
        self.bag.pop_front()
    }
}

impl Iterator for Schedule {
    type Item = Fault;

    fn next(&mut self) -> Option<Fault> {
        let kind = self.kind()?;
        let all = self.members.len();
        let count = match kind {
            Kind::KillProposer => 0,
            Kind::KillAll | Kind::Delay => all,
            Kind::KillSome | Kind::PartitionFew => faulty_max(all),
            kind if kind.lie().is_some() => faulty_max(all),
            Kind::PartitionHalf => all / 2,
            _ => 1,
        };
        let members = self.dice.choose(all, count).into_iter().map(|at| self.members[at]).collect();
        let (low, high) = kind.lasts_ms();
        let lasts = Duration::from_millis(self.dice.between(low, high));
        Some(Fault { kind, members, lasts, strength: self.dice.below(1_000) })
    }
}

/// How many of so many members may fail: less than a third.
#[must_use]
pub fn faulty_max(members: usize) -> usize {
    members.saturating_sub(1) / 3
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(count: usize) -> Vec<MemberCode> {
        ["FR", "DE", "ES", "EE", "IT", "PL", "FI"]
            .iter()
            .take(count)
            .map(|code| code.parse().unwrap())
            .collect()
    }

    #[test]
    fn a_seed_gives_one_schedule_in_which_every_kind_has_its_turn() {
        let some = |seed| Schedule::new(seed, &members(4), Kind::ALL).take(40).collect::<Vec<_>>();
        assert_eq!(some(5), some(5));
        assert_ne!(some(5), some(6));
        let mut first: Vec<Kind> = some(5)[..Kind::ALL.len()].iter().map(|fault| fault.kind).collect();
        first.sort_unstable();
        assert_eq!(first, Kind::ALL);
        assert_eq!(Schedule::new(1, &members(4), &[]).next(), None);
    }

    #[test]
    fn no_more_fail_than_may_unless_the_kind_says_so() {
        for count in [4, 7] {
            for fault in Schedule::new(9, &members(count), Kind::ALL).take(300) {
                let hit = fault.members.len();
                match fault.kind {
                    Kind::KillAll | Kind::Delay => assert_eq!(hit, count),
                    // Neither part is more than two thirds.
                    Kind::PartitionHalf => assert!(3 * hit.max(count - hit) <= 2 * count, "{fault}"),
                    _ => assert!(3 * hit < count, "{fault}"),
                }
                let (low, high) = fault.kind.lasts_ms();
                assert!((u128::from(low)..=u128::from(high)).contains(&fault.lasts.as_millis()), "{fault}");
            }
        }
    }

    #[test]
    fn words_lead_back_to_their_kinds() {
        for kind in Kind::ALL {
            assert_eq!(kind.word().parse(), Ok(*kind));
        }
        assert!("flood".parse::<Kind>().unwrap_err().contains("kill-one"));
    }
}
