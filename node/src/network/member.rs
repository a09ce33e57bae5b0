//! What only members may do: the wrapper that keeps a behaviour from everyone else, and the requests between members.

use super::PeerId;
use crate::snapshot::wire::{SnapshotReply, SnapshotRequest};
use borsh::{BorshDeserialize, BorshSerialize};
use either::Either;
use hansa_node_api::peer::codec::FrameCodec;
use libp2p::Multiaddr;
use libp2p::core::Endpoint;
use libp2p::core::transport::PortUse;
use libp2p::swarm::{
    ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler, THandlerInEvent, THandlerOutEvent,
    ToSwarm, dummy,
};
use std::collections::BTreeSet;
use std::task::{Context, Poll};

/// Requests between members, framed.
pub(super) type MemberCodec = FrameCodec<MemberRequest, MemberReply>;

/// What a member asks another.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum MemberRequest {
    /// For the body of a block.
    Body([u8; 32]) = 1,
    /// To take a bundle of transactions: gossip is not kept for those who were away.
    Transactions(Vec<u8>) = 2,
    /// How far it is.
    Tip = 3,
    /// About its snapshots.
    Snapshot(SnapshotRequest) = 4,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum MemberReply {
    /// The body.
    Body(Vec<u8>) = 1,
    /// No such body here.
    Missing = 2,
    /// The bundle arrived; whether anything in it was new and good.
    Taken {
        /// The application's verdict.
        accepted: bool,
    } = 3,
    /// Too many requests at the moment.
    Busy = 4,
    /// How far it is.
    Tip {
        /// The height of its last block.
        height: u64,
    } = 5,
    /// About its snapshots.
    Snapshot(SnapshotReply) = 6,
}

/// A behaviour that exists on the connections of members only, or of everyone else only. Others cannot even negotiate its
/// protocols, so nothing they send reaches it, and it does not know that they are there.
pub(super) struct OnlyFor<B> {
    inner: B,
    members: BTreeSet<PeerId>,
    strangers: bool,
}

impl<B> OnlyFor<B> {
    pub(super) fn members(inner: B, members: BTreeSet<PeerId>) -> Self {
        Self { inner, members, strangers: false }
    }

    pub(super) fn strangers(inner: B, members: BTreeSet<PeerId>) -> Self {
        Self { inner, members, strangers: true }
    }

    fn admits(&self, peer: &PeerId) -> bool {
        self.members.contains(peer) != self.strangers
    }

    pub(super) fn inner_mut(&mut self) -> &mut B {
        &mut self.inner
    }
}

impl<B: NetworkBehaviour> NetworkBehaviour for OnlyFor<B> {
    type ConnectionHandler = Either<THandler<B>, dummy::ConnectionHandler>;
    type ToSwarm = B::ToSwarm;

    fn handle_established_inbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        if !self.admits(&peer) {
            return Ok(Either::Right(dummy::ConnectionHandler));
        }
        self.inner.handle_established_inbound_connection(connection, peer, local, remote).map(Either::Left)
    }

    fn handle_established_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        address: &Multiaddr,
        role: Endpoint,
        port_use: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        if !self.admits(&peer) {
            return Ok(Either::Right(dummy::ConnectionHandler));
        }
        self.inner
            .handle_established_outbound_connection(connection, peer, address, role, port_use)
            .map(Either::Left)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        // The inner behaviour has no handler on the others' connections, so it must not know of them.
        let peer = match &event {
            FromSwarm::ConnectionEstablished(event) => Some(event.peer_id),
            FromSwarm::ConnectionClosed(event) => Some(event.peer_id),
            FromSwarm::AddressChange(event) => Some(event.peer_id),
            _ => None,
        };
        if peer.is_none_or(|peer| self.admits(&peer)) {
            self.inner.on_swarm_event(event);
        }
    }

    fn on_connection_handler_event(
        &mut self,
        peer: PeerId,
        connection: ConnectionId,
        event: THandlerOutEvent<Self>,
    ) {
        match event {
            Either::Left(event) => self.inner.on_connection_handler_event(peer, connection, event),
            Either::Right(never) => match never {},
        }
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        self.inner.poll(context).map(|event| event.map_in(Either::Left))
    }
}
