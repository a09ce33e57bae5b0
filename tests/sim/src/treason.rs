//! What a member that betrays makes of the messages it sends. Twins need nothing here: each does as the program says.

use crate::profile::Treason;
use crate::wire::Wire;
use crate::world::{World, key};
use bytes::Bytes;
use hansa_node::consensus::Application as _;
use hansa_node::consensus::context::{Address, BlockId, Height, Proposal, Vote};
use hansa_node::consensus::parts::{Fin, Init, Streamed, split};
use hansa_node::consensus::signing::{parts_bytes, signed_proposal_bytes, signed_vote_bytes};
use malachitebft_app_channel::app::types::SignedConsensusMsg;
use malachitebft_app_channel::app::types::core::{NilOrVal, Round};
use malachitebft_core_consensus::LivenessMsg;
use malachitebft_core_types::SignedMessage;
use malachitebft_sync::{RawDecidedValue, Response, ValueResponse};
use std::rc::Rc;
use std::time::Duration;

/// The message that goes over one link instead of the one that the program wanted to send; `None` for nothing.
pub fn twist(world: &World, from: usize, to: usize, wire: &Wire) -> Option<Wire> {
    if world.places[from].honest {
        return Some(wire.clone());
    }
    match world.profile.treason {
        Treason::Silent => None,
        Treason::Equivocate => Some(equivocate(world, from, to, wire)),
        Treason::Liar => Some(lie(world, from, wire)),
        Treason::None | Treason::Twin => Some(wire.clone()),
    }
}

/// Half of the members get another vote than was cast: for nothing instead of a block, or for a block that somebody proposed
/// instead of nothing.
fn equivocate(world: &World, from: usize, to: usize, wire: &Wire) -> Wire {
    let mut draws = world.treasons.borrow_mut();
    match wire {
        Wire::Consensus(SignedConsensusMsg::Proposal(proposal)) => {
            let message = &proposal.message;
            world.proposed.borrow_mut().push((message.height.0, message.value.0));
            if to == 0 && message.pol_round.is_nil() {
                second_proposal(world, from, message.height.0, message.round);
            }
            wire.clone()
        }
        Wire::Consensus(SignedConsensusMsg::Vote(vote)) if draws.chance(500) => {
            let vote = other_vote(world, from, &vote.message);
            Wire::Consensus(SignedConsensusMsg::Vote(vote))
        }
        Wire::Liveness(LivenessMsg::Vote(vote)) if draws.chance(500) => {
            Wire::Liveness(LivenessMsg::Vote(other_vote(world, from, &vote.message)))
        }
        _ => wire.clone(),
    }
}

fn other_vote(
    world: &World,
    from: usize,
    vote: &Vote,
) -> SignedMessage<hansa_node::consensus::context::LedgerContext, Vote> {
    let proposed = world.proposed.borrow();
    let known = proposed.iter().rev().find(|(height, _)| *height == vote.height.0);
    let value = match (&vote.value, known) {
        (NilOrVal::Nil, Some((_, id))) => NilOrVal::Val(BlockId(*id)),
        _ => NilOrVal::Nil,
    };
    let other = Vote { value, ..vote.clone() };
    let secret = key(&format!("{} consensus", world.places[from].code));
    let signature = secret.sign(&signed_vote_bytes(&world.genesis.chain_id().0, &other));
    SignedMessage::new(other, signature)
}

/// A moment after its proposal it makes another for the same turn, and sends it to half of the members.
fn second_proposal(world: &World, from: usize, height: u64, round: Round) {
    let (Some(world), Some(number)) = (world.this.upgrade(), round.as_u32()) else { return };
    tokio::task::spawn_local(async move {
        tokio::time::sleep(Duration::from_millis(3)).await;
        let Some(executor) = world.executor(from) else { return };
        let Ok(Some(built)) = executor.build(height, number, Duration::from_secs(1)) else { return };
        let chain = world.genesis.chain_id().0;
        let secret = key(&format!("{} consensus", world.places[from].code));
        let own = secret.public_key();
        let proposal = Proposal {
            height: Height(height),
            round,
            value: BlockId(built.id),
            pol_round: Round::Nil,
            proposer: Address(own),
        };
        let signature = secret.sign(&signed_proposal_bytes(&chain, &proposal));
        let fin = Fin {
            id: built.id,
            signature: secret.sign(&parts_bytes(&chain, height, round, Round::Nil, &built.id)),
        };
        let init = Init { height, round, pol_round: Round::Nil, proposer: own };
        let streamed = Streamed { init, fin, body: built.body };
        world.proposed.borrow_mut().push((height, built.id));
        world.note(format_args!("{from} proposes twice at {height}/{number}"));
        let signed = Wire::Consensus(SignedConsensusMsg::Proposal(SignedMessage::new(proposal, signature)));
        let parts: Vec<Wire> = split(&streamed).into_iter().map(Wire::Part).collect();
        for to in 0..world.places.len() {
            let chosen = to != from && world.treasons.borrow_mut().chance(500);
            if chosen {
                send_all(&world, from, to, &signed, &parts);
            }
        }
    });
}

fn send_all(world: &Rc<World>, from: usize, to: usize, signed: &Wire, parts: &[Wire]) {
    world.post(from, to, signed);
    for part in parts {
        world.post(from, to, part);
    }
}

/// Blocks for those who catch up: with too few signatures, for another block than was signed, or damaged.
fn lie(world: &World, from: usize, wire: &Wire) -> Wire {
    let mut draws = world.treasons.borrow_mut();
    match wire {
        Wire::Status(status) => {
            let mut status = status.clone();
            status.tip_height = Height(status.tip_height.0 + draws.between(0, 20));
            Wire::Status(status)
        }
        Wire::Response(number, Response::ValueResponse(response)) => {
            let mut values = response.values.clone();
            if values.is_empty()
                && let Some(forged) = forged(world, from, response.start_height.0)
            {
                values.push(forged);
            }
            for value in &mut values {
                spoil(value, draws.between(0, 4), draws.number());
            }
            Wire::Response(
                *number,
                Response::ValueResponse(ValueResponse::new(response.start_height, values)),
            )
        }
        Wire::Body(number, Some(body)) if draws.chance(500) => {
            let mut body = body.to_vec();
            if let Some(byte) = body.last_mut() {
                *byte ^= 1;
            }
            Wire::Body(*number, Some(Bytes::from(body)))
        }
        _ => wire.clone(),
    }
}

/// A block that nobody decided, good in itself, with the forger's own signature under it.
fn forged(
    world: &World,
    from: usize,
    height: u64,
) -> Option<RawDecidedValue<hansa_node::consensus::context::LedgerContext>> {
    use malachitebft_core_types::{ExtendedCommitCertificate, ExtendedCommitSignature};
    let executor = world.executor(from)?;
    let built = executor.build(height, 0, Duration::from_secs(1)).ok()??;
    let secret = key(&format!("{} consensus", world.places[from].code));
    let chain = world.genesis.chain_id().0;
    let bytes = hansa_node::consensus::certificate::precommit_bytes(&chain, height, 0, &built.id);
    let signature = secret.sign(&bytes);
    let own = ExtendedCommitSignature::new(Address(secret.public_key()), signature, None);
    // The others' signatures are not to be had, so they are its own under their names.
    let others = world.places.iter().map(|place| {
        let key = key(&format!("{} consensus", place.code)).public_key();
        ExtendedCommitSignature::new(Address(key), signature, None)
    });
    let commit_signatures =
        others.filter(|other| other.address != own.address).chain([own.clone()]).collect();
    let certificate = ExtendedCommitCertificate {
        height: Height(height),
        round: Round::new(0),
        value_id: BlockId(built.id),
        commit_signatures,
    };
    let mut value = built.id.to_vec();
    value.extend_from_slice(&built.body);
    Some(RawDecidedValue::new(value.into(), certificate))
}

fn spoil(value: &mut RawDecidedValue<hansa_node::consensus::context::LedgerContext>, how: u64, number: u64) {
    match how {
        0 => value.certificate.commit_signatures.truncate(1),
        1 => {
            let first = value.certificate.commit_signatures.first().cloned();
            for signature in &mut value.certificate.commit_signatures {
                if let Some(first) = &first {
                    *signature = first.clone();
                }
            }
        }
        2 => {
            let mut bytes = value.value_bytes.to_vec();
            let place = number as usize % bytes.len().max(1);
            if let Some(byte) = bytes.get_mut(place) {
                *byte ^= 1 << (number % 8);
            }
            value.value_bytes = bytes.into();
        }
        3 => value.certificate.value_id.0[0] ^= 1,
        _ => {}
    }
}
