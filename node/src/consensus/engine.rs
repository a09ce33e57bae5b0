//! Start the engine, watch it, stop it.

mod config;
mod fatal;
mod handle;

pub use config::{ConsensusConfig, Peer};
pub use fatal::{FatalReason, StartError};
pub use handle::{ConsensusHandle, Status, wal_lock as log_is_free};

use super::application::Application;
use super::codec::{LedgerCodec, PeerTips, peer_id};
use super::context::{Address, LedgerContext};
use super::host::missing::{Deliver, watch_proposals};
use super::host::{Hears, Host, HostParts, Offload};
use super::last_signed::{LastSigned, read_log};
use super::limits::{SAFETY_HANG_DELAY, START_TIMEOUT};
use super::pacing::Pacing;
use super::signing::{MemberSigner, MemberVerifier};
use handle::Running;
use malachitebft_app_channel::app::types::Keypair;
use malachitebft_app_channel::app::types::codec::Codec;
use malachitebft_app_channel::{
    Channels, ConsensusContext, EngineBuilder, EngineHandle, NetworkContext, NetworkIdentity, RequestContext,
    SyncContext, WalContext,
};
use malachitebft_core_types::ValueOrigin;
use malachitebft_engine::consensus::ConsensusMsg;
use std::sync::Arc;
use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;

/// How many questions about its state the engine queues.
const REQUESTS_MAX: usize = 16;

/// Starts consensus: the engine, the host that answers it, and the watch over both. Returns when the engine listens and knows
/// the height to go on from.
///
/// # Errors
/// [`StartError`] when the configuration is wrong, the address or the log is in use, or the engine does not come up.
pub async fn start(
    config: ConsensusConfig,
    application: Arc<dyn Application>,
) -> Result<ConsensusHandle, StartError> {
    start_hearing(config, application, |_| true).await
}

/// As [`start`], with the parts that the host hears of those that reach it.
pub(super) async fn start_hearing(
    config: ConsensusConfig,
    application: Arc<dyn Application>,
    hears: Hears,
) -> Result<ConsensusHandle, StartError> {
    let listen_address = config.check()?;
    handle::wal_lock(&config.wal_path)?;
    let last_signed = Arc::new(remember(&config, &application).await?);
    let signer = MemberSigner::new(config.chain_id, config.validator_key.clone(), Arc::clone(&last_signed));
    let verifier = MemberVerifier::new(config.chain_id);
    let tips = Arc::new(PeerTips::default());
    let codec = LedgerCodec::observing(Arc::clone(&tips));
    let (channels, engine) = build(&config, &signer, &verifier, codec).await?;

    let pacing = Pacing::new(signer.public_key());
    let watching = tokio::spawn(pacing.clone().watch_votes(verifier.clone(), channels.events.subscribe()));
    let (status_sender, status) = watch::channel(Status::default());
    let (ready_sender, ready) = oneshot::channel();
    let (fatal_sender, fatal) = oneshot::channel();
    let stop = CancellationToken::new();
    let host = Host::new(HostParts {
        application,
        offload: Offload::Pool,
        signer,
        verifier,
        pacing,
        tips,
        network: channels.network.clone(),
        status: status_sender,
        ready: ready_sender,
        stop: stop.clone(),
        deliver: deliver(&engine),
        hears,
    });
    let proposals = tokio::spawn(watch_proposals(channels.events.subscribe(), host.notices()));
    let actor = engine.actor.clone();
    let watch = tokio::spawn(watch_engine(host, channels, engine, stop.clone(), fatal_sender));
    let mut handle = ConsensusHandle {
        fatal,
        running: Running {
            status,
            stop,
            actor,
            tasks: vec![watch, watching, proposals],
            wal_path: config.wal_path,
            listen_address,
            last_signed,
        },
    };
    if let Ok(Ok(())) = tokio::time::timeout(START_TIMEOUT, ready).await {
        return Ok(handle);
    }
    let reason = handle
        .fatal
        .try_recv()
        .map_or_else(|_| "it did not begin to listen in time".to_owned(), |reason| reason.to_string());
    handle.stop().await;
    Err(StartError::NotListening { address: config.listen_address, reason })
}

/// Opens the memory of what was signed, before the engine touches its log.
async fn remember(
    config: &ConsensusConfig,
    application: &Arc<dyn Application>,
) -> Result<LastSigned, StartError> {
    let (config, application) = (config.clone(), Arc::clone(application));
    let opened = tokio::task::spawn_blocking(move || {
        let log = read_log(&config.wal_path, &config.validator_key.public_key())
            .map_err(|error| StartError::LogUnreadable { path: config.wal_path.clone(), error })?;
        let next = application.tip().height.saturating_add(1);
        Ok(LastSigned::open(&config.last_signed_path(), config.chain_id, next, &log)?)
    });
    opened.await.map_err(|error| StartError::Engine(error.to_string()))?
}

/// Puts the engine together; its actors run when this returns.
async fn build(
    config: &ConsensusConfig,
    signer: &MemberSigner,
    verifier: &MemberVerifier,
    codec: LedgerCodec,
) -> Result<(Channels<LedgerContext>, EngineHandle), StartError> {
    let network_key = config.network_key.to_bytes();
    let keypair = Keypair::ed25519_from_bytes(*network_key)
        .map_err(|error| StartError::NetworkKey(error.to_string()))?;
    let proof = signer.validator_proof(peer_id(&config.network_key.public_key()).to_bytes());
    let proof = codec.encode(&proof).map_err(|error| StartError::NetworkKey(error.to_string()))?;
    let address = Address(signer.public_key());
    let identity =
        NetworkIdentity::new_validator(config.moniker.clone(), keypair, address.0.to_string(), proof);
    let consensus =
        ConsensusContext::new_validator(address, Box::new(verifier.clone()), Box::new(signer.clone()));
    let builder = EngineBuilder::new(LedgerContext, config.engine_config())
        .with_default_wal(WalContext::new(config.wal_path.clone(), codec.clone()));
    #[cfg(feature = "byzantine")]
    if let Some(lies) = super::byzantine::read(config)? {
        let network = super::byzantine::network(config, lies, identity, codec.clone());
        return builder
            .with_byzantine_network(network)
            .await
            .map_err(|report| StartError::Engine(format!("{report:#}")))?
            .with_default_sync(SyncContext::new(codec))
            .with_default_consensus(consensus)
            .with_default_request(RequestContext::new(REQUESTS_MAX))
            .build()
            .await
            .map_err(|report| StartError::Engine(format!("{report:#}")));
    }
    builder
        .with_default_network(NetworkContext::new(identity, codec.clone()))
        .with_default_sync(SyncContext::new(codec))
        .with_default_consensus(consensus)
        .with_default_request(RequestContext::new(REQUESTS_MAX))
        .build()
        .await
        .map_err(|report| StartError::Engine(format!("{report:#}")))
}

/// Hands judged blocks to the engine's consensus actor, in the message that the connector makes of an answer. The channels have no
/// message for a block that no part is waiting for.
fn deliver(engine: &EngineHandle) -> Deliver {
    let actors = engine.actor.get_children();
    let consensus = actors
        .into_iter()
        .find(|actor| actor.is_message_type_of::<ConsensusMsg<LedgerContext>>() == Some(true));
    Box::new(move |value| {
        let message = ConsensusMsg::ReceivedProposedValue(value, ValueOrigin::Consensus);
        let sent = consensus.as_ref().is_some_and(|actor| actor.send_message(message).is_ok());
        if !sent {
            tracing::warn!("the engine did not take a block whose parts were lost");
        }
    })
}

/// Runs the host until it or the engine ends, and says why if nobody asked for it.
async fn watch_engine(
    host: Host,
    mut channels: Channels<LedgerContext>,
    mut engine: EngineHandle,
    stop: CancellationToken,
    fatal: oneshot::Sender<FatalReason>,
) {
    let ended = tokio::select! {
        ended = host.run(&mut channels.consensus) => Some(ended),
        _ = &mut engine.handle => None,
    };
    // Without its channel the engine waits for no more answers.
    drop(channels);
    let reason = match ended {
        Some(Err(reason)) => {
            // The node must not sign a thing after a failure to keep what it signed before.
            handle::end_engine(&engine.actor).await;
            Some(reason)
        }
        Some(Ok(())) if stop.is_cancelled() => None,
        // The channel closed. If the engine follows, it ended; if it stays, it refuses to go on for safety's sake.
        Some(Ok(())) => match tokio::time::timeout(SAFETY_HANG_DELAY, &mut engine.handle).await {
            Ok(_) => Some(FatalReason::EngineEnded),
            Err(_) => Some(FatalReason::SafetyHang),
        },
        None => (!stop.is_cancelled()).then_some(FatalReason::EngineEnded),
    };
    if let Some(reason) = reason {
        match &reason {
            FatalReason::SafetyHang => tracing::error!(
                alarm = "consensus_safety_hang",
                "the engine stopped itself because its log cannot be written or read; a person must look at the disk and at the log before the node is started again"
            ),
            reason => tracing::error!(alarm = "consensus_ended", %reason, "consensus ended"),
        }
        // Nobody listens any more only if the node is already going down.
        let _ = fatal.send(reason);
    }
    stop.cancelled().await;
}
