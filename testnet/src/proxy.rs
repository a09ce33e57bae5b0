//! Links between members that can be made bad: every connection of one member's node to another's goes through a relay of ours,
//! which delays, throttles, holds, discards, damages or resets what passes, as it is told while it runs.
//!
//! Whoever dials whom, it is through a relay: each node is told, as the address of every peer, the relay from it to that peer. Peers
//! are pinned by their keys and learn no other address of each other, so nothing passes beside the relays.

mod relay;
#[cfg(test)]
mod tests;

use crate::dice::Dice;
use crate::error::TestnetError;
use crate::layout::MemberRecord;
use hansa_ledger::member::MemberCode;
use relay::Relay;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// What becomes of the bytes that go one way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Passage {
    /// They pass.
    #[default]
    Open,
    /// They wait until the way is open again, as what a network loses is sent again: nothing is missing then.
    Held,
    /// They are gone, and nobody is told. When the way is open again the stream goes on with a gap.
    Lost,
}

/// How one way of a link is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Way {
    /// Whether anything passes.
    pub passage: Passage,
    /// How long it takes.
    pub delay: Duration,
    /// How much longer it may take, by chance; the order stays.
    pub jitter: Duration,
    /// The most bytes per second.
    pub bytes_per_second: Option<u32>,
    /// In one of how many reads of the relay, on average, one byte is changed.
    pub corrupt_one_in: Option<u32>,
}

/// The relays of one member's node to another's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// The port of the relay to its consensus port.
    pub consensus: u16,
    /// The port of the relay to its port for transactions, adverts and blobs.
    pub network: u16,
}

/// The relays from each member to each other: dialler, then peer.
pub type Routes = BTreeMap<MemberCode, BTreeMap<MemberCode, Route>>;

/// What a link is told: the way from the member whose code comes first, and the way back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Settings {
    ways: [Way; 2],
    /// Connections that stood when this grew are reset.
    resets: u64,
    /// Of connections that stood when this grew, one end is reset and the other hears nothing.
    forgets: u64,
}

/// What passed all relays.
#[derive(Debug, Default)]
struct Counts {
    connections: AtomicU64,
    bytes: AtomicU64,
    lost: AtomicU64,
    corrupted: AtomicU64,
}

/// What passed all relays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Connections that were made.
    pub connections: u64,
    /// Bytes handed on.
    pub bytes: u64,
    /// Bytes thrown away.
    pub lost: u64,
    /// Bytes changed.
    pub corrupted: u64,
}

type Link = (MemberCode, MemberCode);

/// The links between all members. Clones share them; the relays end with the last one.
#[derive(Clone, Debug)]
pub struct Links {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    settings: BTreeMap<Link, watch::Sender<Settings>>,
    /// Where the relays to each member's two ports lead; none before it is known.
    targets: BTreeMap<MemberCode, [watch::Sender<Option<SocketAddr>>; 2]>,
    routes: Routes,
    counts: Arc<Counts>,
    _relays: JoinSet<()>,
}

impl Links {
    /// Binds a relay from each member to each port of each other one; they lead nowhere yet. Chance comes from the seed.
    ///
    /// # Errors
    /// When the machine has no ports left.
    pub async fn bind(members: &[MemberCode], seed: u64) -> Result<Self, TestnetError> {
        let counts = Arc::new(Counts::default());
        let settings: BTreeMap<Link, _> =
            pairs(members).map(|pair| (pair, watch::channel(Settings::default()).0)).collect();
        let targets: BTreeMap<_, _> =
            members.iter().map(|code| (*code, [watch::channel(None).0, watch::channel(None).0])).collect();
        let (mut relays, mut routes, dice) = (JoinSet::new(), Routes::new(), Dice::new(seed));
        let mut number = 0;
        for (dialler, peer) in members.iter().flat_map(|one| members.iter().map(move |other| (*one, *other)))
        {
            if dialler == peer {
                continue;
            }
            let mut ports = [0; 2];
            for (port, target) in ports.iter_mut().zip(&targets[&peer]) {
                let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(no_port)?;
                *port = listener.local_addr().map_err(no_port)?.port();
                number += 1;
                relays.spawn(
                    Relay {
                        settings: settings[&link(dialler, peer)].subscribe(),
                        forth: usize::from(dialler > peer),
                        target: target.subscribe(),
                        dice: dice.fork(number),
                        counts: counts.clone(),
                    }
                    .run(listener),
                );
            }
            let route = Route { consensus: ports[0], network: ports[1] };
            routes.entry(dialler).or_default().insert(peer, route);
        }
        Ok(Self { inner: Arc::new(Inner { settings, targets, routes, counts, _relays: relays }) })
    }

    /// Says where the members' nodes listen.
    pub fn aim(&self, members: &[MemberRecord]) {
        for member in members {
            if let Some([consensus, network]) = self.inner.targets.get(&member.code) {
                consensus.send_replace(Some(SocketAddr::from((Ipv4Addr::LOCALHOST, member.ports.consensus))));
                network.send_replace(Some(SocketAddr::from((Ipv4Addr::LOCALHOST, member.ports.network))));
            }
        }
    }

    /// The ports of the relays.
    #[must_use]
    pub fn routes(&self) -> &Routes {
        &self.inner.routes
    }

    /// Every pair of members, once.
    #[must_use]
    pub fn pairs(&self) -> Vec<(MemberCode, MemberCode)> {
        self.inner.settings.keys().copied().collect()
    }

    /// Makes the way from one member to another like this.
    pub fn set_way(&self, from: MemberCode, to: MemberCode, way: Way) {
        self.change(from, to, |settings| settings.ways[usize::from(from > to)] = way);
    }

    /// Makes both ways between two members like this.
    pub fn set(&self, one: MemberCode, other: MemberCode, way: Way) {
        self.change(one, other, |settings| settings.ways = [way; 2]);
    }

    /// Makes each way between members of different groups like this.
    pub fn part(&self, groups: &[Vec<MemberCode>], way: Way) {
        let group = |code: MemberCode| groups.iter().position(|group| group.contains(&code));
        for (one, other) in self.pairs() {
            if group(one) != group(other) {
                self.set(one, other, way);
            }
        }
    }

    /// Ends every connection between two members, as a firewall does that tells both.
    pub fn reset(&self, one: MemberCode, other: MemberCode) {
        self.change(one, other, |settings| settings.resets += 1);
    }

    /// Lets one end of every connection between two members be gone while the other hears nothing of it; when that one sends again
    /// and the link is open, it is told.
    pub fn half_open(&self, one: MemberCode, other: MemberCode) {
        self.change(one, other, |settings| settings.forgets += 1);
    }

    /// Makes every link good again.
    pub fn heal(&self) {
        for settings in self.inner.settings.values() {
            settings.send_modify(|settings| settings.ways = [Way::default(); 2]);
        }
    }

    /// What passed so far.
    #[must_use]
    pub fn traffic(&self) -> Traffic {
        let counts = &self.inner.counts;
        Traffic {
            connections: counts.connections.load(Ordering::Relaxed),
            bytes: counts.bytes.load(Ordering::Relaxed),
            lost: counts.lost.load(Ordering::Relaxed),
            corrupted: counts.corrupted.load(Ordering::Relaxed),
        }
    }

    fn change(&self, one: MemberCode, other: MemberCode, change: impl FnOnce(&mut Settings)) {
        if let Some(settings) = self.inner.settings.get(&link(one, other)) {
            settings.send_modify(change);
        }
    }
}

fn no_port(error: std::io::Error) -> TestnetError {
    TestnetError::Refused(format!("there is no free port on the loopback interface: {error}"))
}

/// The name of the link between two members.
fn link(one: MemberCode, other: MemberCode) -> Link {
    (one.min(other), one.max(other))
}

fn pairs(members: &[MemberCode]) -> impl Iterator<Item = Link> + '_ {
    let each = members.iter().enumerate();
    each.flat_map(|(at, one)| members[at + 1..].iter().map(|other| link(*one, *other)))
}
