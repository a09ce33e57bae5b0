//! What else the engine's write-ahead log holds: judged blocks and certificates of prevotes.

use super::CodecError;
use super::consensus::polka_bounded;
use super::frame::codec;
use crate::consensus::context::LedgerContext;
use crate::consensus::limits::{LIVENESS_BYTES_MAX, VOTE_BYTES_MAX};
use malachitebft_core_consensus::ProposedValue;
use malachitebft_core_types::PolkaCertificate;

codec!(
    ProposedValue<LedgerContext>,
    ProposedValue<LedgerContext>,
    VOTE_BYTES_MAX,
    |message: &ProposedValue<LedgerContext>| message.clone(),
    Ok::<_, CodecError>
);

codec!(
    PolkaCertificate<LedgerContext>,
    PolkaCertificate<LedgerContext>,
    LIVENESS_BYTES_MAX,
    |message: &PolkaCertificate<LedgerContext>| message.clone(),
    |wire: PolkaCertificate<LedgerContext>| polka_bounded(&wire).map(|()| wire)
);
