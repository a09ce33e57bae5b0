//! A peer is behind: give it decided blocks with their certificates.

use super::Host;
use crate::consensus::application::Application;
use crate::consensus::certificate::Certificate;
use crate::consensus::context::{Address, BlockId, Height, LedgerContext};
use crate::consensus::engine::FatalReason;
use crate::consensus::limits::{SYNC_HEIGHTS_MAX, SYNC_RESPONSE_BYTES_MAX};
use malachitebft_app_channel::Reply;
use malachitebft_core_types::{ExtendedCommitCertificate, ExtendedCommitSignature, Round};
use malachitebft_sync::RawDecidedValue;

/// What an answer may fill with blocks, so that it fits with its frame.
const ANSWER_BYTES_MAX: usize = SYNC_RESPONSE_BYTES_MAX - (64 << 10);

impl Host {
    /// Answers with the blocks from `start` on without a gap, bounded in number and bytes: peers choose the range freely.
    pub(super) async fn get_decided_values(
        &mut self,
        start: u64,
        end: u64,
        reply: Reply<Vec<RawDecidedValue<LedgerContext>>>,
    ) -> Result<(), FatalReason> {
        let values = self.blocking(move |application| decided_values(application, start, end)).await?;
        let _ = reply.send(values);
        Ok(())
    }
}

fn decided_values(
    application: &dyn Application,
    start: u64,
    end: u64,
) -> Vec<RawDecidedValue<LedgerContext>> {
    let mut values = Vec::new();
    let mut bytes = 0;
    for height in (start..=end).take(SYNC_HEIGHTS_MAX) {
        let (certificate, body) = match application.decided(height) {
            Ok(Some(decided)) => decided,
            Ok(None) => break,
            Err(error) => {
                tracing::error!(height, %error, "cannot read a decided block for a peer");
                break;
            }
        };
        let Ok(certificate) = Certificate::from_bytes(&certificate) else {
            tracing::error!(height, "the stored certificate of a block cannot be read");
            break;
        };
        bytes += body.len() + 128 * (certificate.signatures.len() + 1);
        if bytes > ANSWER_BYTES_MAX {
            break;
        }
        // The engine does not say which id it expects when it hands the bytes over, so they carry it.
        let mut value = Vec::with_capacity(32 + body.len());
        value.extend_from_slice(&certificate.id);
        value.extend_from_slice(&body);
        values.push(RawDecidedValue::new(value.into(), extended(&certificate)));
    }
    values
}

fn extended(certificate: &Certificate) -> ExtendedCommitCertificate<LedgerContext> {
    ExtendedCommitCertificate {
        height: Height(certificate.height),
        round: Round::new(certificate.round),
        value_id: BlockId(certificate.id),
        commit_signatures: certificate
            .signatures
            .iter()
            .map(|(signer, signature)| ExtendedCommitSignature::new(Address(*signer), *signature, None))
            .collect(),
    }
}
