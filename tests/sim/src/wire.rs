//! What members send each other, in the node's own encodings.

use bytes::Bytes;
use hansa_ledger::transaction::SignedTransaction;
use hansa_node::consensus::codec::LedgerCodec;
use hansa_node::consensus::context::LedgerContext;
use hansa_node::consensus::host::PartMessage;
use malachitebft_app_channel::app::types::SignedConsensusMsg;
use malachitebft_app_channel::app::types::codec::Codec as _;
use malachitebft_core_consensus::LivenessMsg;
use malachitebft_sync::{Request, Response, Status};

/// A message as its sender has it.
#[derive(Clone, Debug)]
pub enum Wire {
    /// A vote or proposal.
    Consensus(SignedConsensusMsg<LedgerContext>),
    /// What keeps rounds alive.
    Liveness(LivenessMsg<LedgerContext>),
    /// A part of a block.
    Part(PartMessage),
    /// How far the sender is.
    Status(Status<LedgerContext>),
    /// Which decided blocks the sender wants; answers name the number.
    Request(u64, Request<LedgerContext>),
    /// They.
    Response(u64, Response<LedgerContext>),
    /// Transactions that the sender took in.
    Transactions(Vec<SignedTransaction>),
    /// Which body the sender wants.
    WantBody(u64, [u8; 32]),
    /// It, if it is there.
    Body(u64, Option<Bytes>),
}

/// A message as it travels.
#[derive(Clone, Debug)]
pub enum Packet {
    /// Of [`Wire::Consensus`].
    Consensus(Bytes),
    /// Of [`Wire::Liveness`].
    Liveness(Bytes),
    /// Of [`Wire::Part`].
    Part(Bytes),
    /// Of [`Wire::Status`].
    Status(Bytes),
    /// Of [`Wire::Request`].
    Request(u64, Bytes),
    /// Of [`Wire::Response`].
    Response(u64, Bytes),
    /// Of [`Wire::Transactions`].
    Transactions(Vec<Vec<u8>>),
    /// Of [`Wire::WantBody`].
    WantBody(u64, [u8; 32]),
    /// Of [`Wire::Body`].
    Body(u64, Option<Bytes>),
}

impl Wire {
    /// Encodes it; `None` for what the codec refuses to send, such as a signature that was withheld.
    #[must_use]
    pub fn encode(&self, codec: &LedgerCodec) -> Option<Packet> {
        match self {
            Self::Consensus(message) => codec.encode(message).ok().map(Packet::Consensus),
            Self::Liveness(message) => codec.encode(message).ok().map(Packet::Liveness),
            Self::Part(message) => codec.encode(message).ok().map(Packet::Part),
            Self::Status(message) => codec.encode(message).ok().map(Packet::Status),
            Self::Request(number, message) => {
                codec.encode(message).ok().map(|bytes| Packet::Request(*number, bytes))
            }
            Self::Response(number, message) => {
                codec.encode(message).ok().map(|bytes| Packet::Response(*number, bytes))
            }
            Self::Transactions(list) => {
                Some(Packet::Transactions(list.iter().map(SignedTransaction::encode).collect()))
            }
            Self::WantBody(number, id) => Some(Packet::WantBody(*number, *id)),
            Self::Body(number, body) => Some(Packet::Body(*number, body.clone())),
        }
    }
}
