//! When to dial which member again.

use super::{Member, Multiaddr, NetworkLimits, PeerId};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Knows of each member when it is to be dialled next.
#[derive(Debug)]
pub(super) struct Redial {
    local: PeerId,
    pause_min: Duration,
    pause_max: Duration,
    targets: BTreeMap<PeerId, Target>,
}

#[derive(Debug)]
struct Target {
    address: Multiaddr,
    failures: u32,
    /// Nothing while connected or being dialled.
    due: Option<Instant>,
}

impl Redial {
    pub(super) fn new(local: PeerId, members: &[Member], limits: &NetworkLimits, now: Instant) -> Self {
        let others = members.iter().filter(|member| member.peer_id != local);
        let target = |member: &Member| {
            let target = Target { address: member.address.clone(), failures: 0, due: Some(now) };
            (member.peer_id, target)
        };
        let (pause_min, pause_max) = (limits.redial_pause_min, limits.redial_pause_max);
        Self { local, pause_min, pause_max, targets: others.map(target).collect() }
    }

    pub(super) fn is_member(&self, peer: &PeerId) -> bool {
        self.targets.contains_key(peer)
    }

    pub(super) fn address(&self, peer: &PeerId) -> Option<&Multiaddr> {
        self.targets.get(peer).map(|target| &target.address)
    }

    /// When the next dial is due.
    pub(super) fn next(&self) -> Option<Instant> {
        self.targets.values().filter_map(|target| target.due).min()
    }

    /// Whom to dial now; they are not given again before [`Redial::lost`].
    pub(super) fn take_due(&mut self, now: Instant) -> Vec<(PeerId, Multiaddr)> {
        let due = self.targets.iter_mut().filter(|(_, target)| target.due.is_some_and(|due| due <= now));
        due.map(|(peer, target)| {
            target.due = None;
            (*peer, target.address.clone())
        })
        .collect()
    }

    /// A connection stands; the pause stays long until the member has shown that it is on our chain.
    pub(super) fn connected(&mut self, peer: &PeerId) {
        if let Some(target) = self.targets.get_mut(peer) {
            target.due = None;
        }
    }

    /// The member is on our chain and listens.
    pub(super) fn ready(&mut self, peer: &PeerId) {
        if let Some(target) = self.targets.get_mut(peer) {
            target.failures = 0;
        }
    }

    /// A dial failed or the last connection closed.
    pub(super) fn lost(&mut self, peer: &PeerId, now: Instant) {
        let Some(target) = self.targets.get_mut(peer) else { return };
        let pause = self.pause_min.saturating_mul(1 << target.failures.min(16)).min(self.pause_max);
        // Each pair waits a little differently, so that two restarted nodes do not meet in the middle for ever.
        let seed = blake3::hash(
            &[self.local.to_bytes(), peer.to_bytes(), target.failures.to_le_bytes().to_vec()].concat(),
        );
        let jitter = pause.mul_f64(f64::from(seed.as_bytes()[0]) / 1_024.0);
        target.failures = target.failures.saturating_add(1);
        target.due = Some(now + pause + jitter);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_to_their_bound_and_start_again_after_success() {
        let now = Instant::now();
        let (local, peer) = (PeerId::random(), PeerId::random());
        let address: Multiaddr = "/ip4/127.0.0.1/tcp/1".parse().unwrap();
        let member = |peer_id| Member { peer_id, address: address.clone() };
        let limits = NetworkLimits {
            redial_pause_min: Duration::from_millis(100),
            redial_pause_max: Duration::from_secs(1),
            ..NetworkLimits::default()
        };
        let mut redial = Redial::new(local, &[member(local), member(peer)], &limits, now);
        assert!(!redial.is_member(&local), "nobody dials itself");
        assert_eq!(redial.take_due(now), [(peer, address.clone())]);
        assert_eq!(redial.take_due(now), [], "not twice");
        for pause in [100u64, 200, 400, 800, 1_000, 1_000] {
            redial.lost(&peer, now);
            let due = redial.next().unwrap() - now;
            let pause = Duration::from_millis(pause);
            assert!(due >= pause && due <= pause + pause / 4, "{due:?} for {pause:?}");
        }
        redial.connected(&peer);
        assert_eq!(redial.next(), None);
        redial.lost(&peer, now);
        assert!(redial.next().unwrap() - now >= Duration::from_secs(1), "connected is not enough");
        redial.ready(&peer);
        redial.lost(&peer, now);
        assert!(redial.next().unwrap() - now < Duration::from_millis(126));
    }
}
