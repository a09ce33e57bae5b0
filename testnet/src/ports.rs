//! Loopback ports that are free: bound at once, kept until the process that is to have them starts.

use crate::error::TestnetError;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

/// The ports of one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ports {
    /// The interface for programs.
    pub api: u16,
    /// Consensus.
    pub consensus: u16,
    /// Transactions, adverts and blobs.
    pub network: u16,
}

impl Ports {
    /// All of them.
    #[must_use]
    pub fn all(&self) -> [u16; 3] {
        [self.api, self.consensus, self.network]
    }
}

/// Ports held for nodes. Dropping it frees them.
#[derive(Debug)]
pub struct Reservation {
    ports: Vec<Ports>,
    held: Vec<TcpListener>,
}

impl Reservation {
    /// Holds three free ports for each of `nodes` nodes.
    ///
    /// # Errors
    /// When the machine has none left.
    pub fn choose(nodes: usize) -> Result<Self, TestnetError> {
        let (mut ports, mut held) = (Vec::with_capacity(nodes), Vec::with_capacity(nodes * 3));
        for _ in 0..nodes {
            let mut next = || -> Result<u16, TestnetError> {
                let (port, listener) = bind(0).map_err(|error| {
                    TestnetError::Refused(format!("there is no free port on the loopback interface: {error}"))
                })?;
                held.push(listener);
                Ok(port)
            };
            ports.push(Ports { api: next()?, consensus: next()?, network: next()? });
        }
        Ok(Self { ports, held })
    }

    /// Holds the same ports as before if all of them are free still.
    #[must_use]
    pub fn again(ports: &[Ports]) -> Option<Self> {
        let wanted: Vec<u16> = ports.iter().flat_map(Ports::all).collect();
        let distinct: BTreeSet<u16> = wanted.iter().copied().collect();
        if distinct.len() != wanted.len() || distinct.contains(&0) {
            return None;
        }
        let held = wanted
            .into_iter()
            .map(|port| bind(port).ok().map(|(_, held)| held))
            .collect::<Option<Vec<_>>>()?;
        Some(Self { ports: ports.to_vec(), held })
    }

    /// The ports, by node.
    #[must_use]
    pub fn ports(&self) -> &[Ports] {
        &self.ports
    }

    /// Frees the ports for the processes that are started now.
    pub fn release(self) {
        drop(self.held);
    }
}

fn bind(port: u16) -> std::io::Result<(u16, TcpListener)> {
    let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;
    Ok((listener.local_addr()?.port(), listener))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chosen_ports_are_distinct_held_and_free_after_release() {
        // What else runs on the machine may take a released port, or hold it while it starts a process: then others are tried.
        let mut tries = 0..20;
        let (ports, again) = loop {
            tries.next().expect("released ports can be taken again");
            let chosen = Reservation::choose(5).unwrap();
            let ports = chosen.ports().to_vec();
            let distinct: BTreeSet<u16> = ports.iter().flat_map(Ports::all).collect();
            assert_eq!(distinct.len(), 15);
            assert!(Reservation::again(&ports).is_none(), "held ports are not given twice");
            chosen.release();
            if let Some(again) = Reservation::again(&ports) {
                break (ports, again);
            }
        };
        assert_eq!(again.ports(), ports);
        let twice = [ports[0], ports[0]];
        drop(again);
        assert!(Reservation::again(&twice).is_none());
    }
}
