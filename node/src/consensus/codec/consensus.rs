//! Votes and proposals, and the certificates that keep rounds alive.

use super::CodecError;
use super::frame::codec;
use crate::consensus::context::{LedgerContext, Proposal, Vote};
use crate::consensus::limits::{LIVENESS_BYTES_MAX, MEMBERS_MAX, VOTE_BYTES_MAX};
use crate::consensus::signing::WITHHELD;
use borsh::{BorshDeserialize, BorshSerialize};
use hansa_ledger_signature::Signature;
use malachitebft_core_consensus::{LivenessMsg, SignedConsensusMsg};
use malachitebft_core_types::{PolkaCertificate, RoundCertificate, SignedMessage};
use std::io::{self, Write};

#[derive(BorshSerialize, BorshDeserialize)]
enum WireConsensus {
    Vote(Vote, #[borsh(serialize_with = "write_given")] Signature),
    Proposal(Proposal, #[borsh(serialize_with = "write_given")] Signature),
}

/// A signature that this member withheld goes nowhere.
fn write_given<W: Write>(signature: &Signature, writer: &mut W) -> io::Result<()> {
    if *signature == WITHHELD {
        return Err(io::Error::other("this member withholds its signature"));
    }
    signature.serialize(writer)
}

codec!(
    SignedConsensusMsg<LedgerContext>,
    WireConsensus,
    VOTE_BYTES_MAX,
    |message: &SignedConsensusMsg<LedgerContext>| match message {
        SignedConsensusMsg::Vote(vote) => {
            WireConsensus::Vote(vote.message.clone(), vote.signature)
        }
        SignedConsensusMsg::Proposal(proposal) => {
            WireConsensus::Proposal(proposal.message.clone(), proposal.signature)
        }
    },
    |wire: WireConsensus| Ok::<_, CodecError>(match wire {
        WireConsensus::Vote(vote, signature) => {
            SignedConsensusMsg::Vote(SignedMessage::new(vote, signature))
        }
        WireConsensus::Proposal(proposal, signature) => {
            SignedConsensusMsg::Proposal(SignedMessage::new(proposal, signature))
        }
    })
);

#[derive(BorshSerialize, BorshDeserialize)]
enum WireLiveness {
    Vote(Vote, #[borsh(serialize_with = "write_given")] Signature),
    Polka(PolkaCertificate<LedgerContext>),
    Skip(RoundCertificate<LedgerContext>),
}

codec!(
    LivenessMsg<LedgerContext>,
    WireLiveness,
    LIVENESS_BYTES_MAX,
    |message: &LivenessMsg<LedgerContext>| match message {
        LivenessMsg::Vote(vote) => WireLiveness::Vote(vote.message.clone(), vote.signature),
        LivenessMsg::PolkaCertificate(certificate) => WireLiveness::Polka(certificate.clone()),
        LivenessMsg::SkipRoundCertificate(certificate) => WireLiveness::Skip(certificate.clone()),
    },
    |wire: WireLiveness| match wire {
        WireLiveness::Vote(vote, signature) => {
            Ok(LivenessMsg::Vote(SignedMessage::new(vote, signature)))
        }
        WireLiveness::Polka(certificate) => {
            polka_bounded(&certificate)?;
            Ok(LivenessMsg::PolkaCertificate(certificate))
        }
        WireLiveness::Skip(certificate) => {
            // A member may appear with a prevote and a precommit.
            if certificate.round_signatures.len() > 2 * MEMBERS_MAX {
                return Err(CodecError::Bounds("a round certificate has two votes per member"));
            }
            Ok(LivenessMsg::SkipRoundCertificate(certificate))
        }
    }
);

pub(super) fn polka_bounded(certificate: &PolkaCertificate<LedgerContext>) -> Result<(), CodecError> {
    if certificate.polka_signatures.len() > MEMBERS_MAX {
        return Err(CodecError::Bounds("a certificate has one signature per member"));
    }
    Ok(())
}
