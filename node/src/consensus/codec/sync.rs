//! What members tell each other to catch up: where they stand, which heights they want, decided blocks with certificates.

use super::frame::{self, codec};
use super::peer::read_peer_id;
use super::{CodecError, LedgerCodec};
use crate::consensus::context::{Address, BlockId, Height, LedgerContext};
use crate::consensus::limits::{
    BODY_BYTES_MAX, MEMBERS_MAX, SMALL_MESSAGE_BYTES_MAX, SYNC_HEIGHTS_MAX, SYNC_RESPONSE_BYTES_MAX,
};
use bytes::Bytes;
use hansa_ledger_signature::Signature;
use malachitebft_app_channel::app::types::PeerId;
use malachitebft_app_channel::app::types::codec::{Codec, HasEncodedLen};
use malachitebft_core_types::{ExtendedCommitCertificate, ExtendedCommitSignature, Round};
use malachitebft_sync::{RawDecidedValue, Request, Response, Status, ValueRequest, ValueResponse};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// The id that a value of sync carries before its body.
const VALUE_ID_BYTES: usize = 32;

type WireStatus = (Vec<u8>, Height, Height);

/// How far the peers say they are. A claim, never a proof: it may end a pause early and nothing else.
#[derive(Debug, Default)]
pub struct PeerTips(Mutex<BTreeMap<PeerId, u64>>);

impl PeerTips {
    /// Whether some peer says that it has a block above `height`.
    #[must_use]
    pub fn any_above(&self, height: u64) -> bool {
        let tips = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tips.values().any(|tip| *tip > height)
    }

    fn note(&self, peer: PeerId, height: u64) {
        let mut tips = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if tips.len() < MEMBERS_MAX || tips.contains_key(&peer) {
            tips.insert(peer, height);
        }
    }
}

impl Codec<Status<LedgerContext>> for LedgerCodec {
    type Error = CodecError;

    fn decode(&self, bytes: Bytes) -> Result<Status<LedgerContext>, CodecError> {
        let (peer_id, tip_height, history_min_height): WireStatus =
            frame::read(&bytes, SMALL_MESSAGE_BYTES_MAX)?;
        let status = Status { peer_id: read_peer_id(&peer_id)?, tip_height, history_min_height };
        if self.encode(&status)? != bytes {
            return Err(CodecError::NotCanonical);
        }
        self.tips.note(status.peer_id, tip_height.0);
        Ok(status)
    }

    fn encode(&self, status: &Status<LedgerContext>) -> Result<Bytes, CodecError> {
        let wire: WireStatus = (status.peer_id.to_bytes(), status.tip_height, status.history_min_height);
        frame::write(&wire, SMALL_MESSAGE_BYTES_MAX)
    }
}

type WireRequest = (Height, Height);

codec!(
    Request<LedgerContext>,
    WireRequest,
    SMALL_MESSAGE_BYTES_MAX,
    |request: &Request<LedgerContext>| {
        let Request::ValueRequest(request) = request;
        (*request.range.start(), *request.range.end())
    },
    |(start, end): WireRequest| {
        match end.0.checked_sub(start.0) {
            Some(span) if span < SYNC_HEIGHTS_MAX as u64 => {
                Ok(Request::ValueRequest(ValueRequest::new(start..=end)))
            }
            _ => Err(CodecError::Bounds("a request spans 1 to 16 heights")),
        }
    }
);

type WireCertificate = (Height, Round, BlockId, Vec<(Address, Signature)>);
type WireResponse = (Height, Vec<(Vec<u8>, WireCertificate)>);

fn wire_value(value: &RawDecidedValue<LedgerContext>) -> (Vec<u8>, WireCertificate) {
    let certificate = &value.certificate;
    let signatures =
        certificate.commit_signatures.iter().map(|signed| (signed.address, signed.signature)).collect();
    (value.value_bytes.to_vec(), (certificate.height, certificate.round, certificate.value_id, signatures))
}

fn value_bounded(
    (bytes, (height, round, value_id, signatures)): (Vec<u8>, WireCertificate),
) -> Result<RawDecidedValue<LedgerContext>, CodecError> {
    if bytes.len() > BODY_BYTES_MAX + VALUE_ID_BYTES {
        return Err(CodecError::Bounds("a block body has 2 MiB at most"));
    }
    if signatures.len() > MEMBERS_MAX {
        return Err(CodecError::Bounds("a certificate has one signature per member"));
    }
    let commit_signatures = signatures
        .into_iter()
        .map(|(address, signature)| ExtendedCommitSignature::new(address, signature, None))
        .collect();
    Ok(RawDecidedValue::new(
        bytes.into(),
        ExtendedCommitCertificate { height, round, value_id, commit_signatures },
    ))
}

codec!(
    Response<LedgerContext>,
    WireResponse,
    SYNC_RESPONSE_BYTES_MAX,
    |response: &Response<LedgerContext>| -> WireResponse {
        let Response::ValueResponse(response) = response;
        (response.start_height, response.values.iter().map(wire_value).collect())
    },
    |(start_height, values): WireResponse| {
        if values.len() > SYNC_HEIGHTS_MAX {
            return Err(CodecError::Bounds("an answer has 16 blocks at most"));
        }
        let values = values.into_iter().map(value_bounded).collect::<Result<_, _>>()?;
        Ok(Response::ValueResponse(ValueResponse::new(start_height, values)))
    }
);

impl HasEncodedLen<Response<LedgerContext>> for LedgerCodec {
    fn encoded_len(&self, message: &Response<LedgerContext>) -> Result<usize, CodecError> {
        // The engine measures before it cuts to size, so this may be over what is ever sent.
        let Response::ValueResponse(response) = message;
        let values: usize = response
            .values
            .iter()
            .map(|value| {
                let round = if value.certificate.round.is_defined() { 5 } else { 1 };
                4 + value.value_bytes.len()
                    + 8
                    + round
                    + 32
                    + 4
                    + 96 * value.certificate.commit_signatures.len()
            })
            .sum();
        Ok(1 + 8 + 4 + values)
    }
}
