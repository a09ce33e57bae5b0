//! The engine's consensus actor, driven directly: malachite's synchronous core, with every effect carried out on the simulated
//! network, clock and disk in the order and with the waits of `malachitebft-engine`.

mod desk;

use crate::disk::{Disk, DiskLog};
use crate::sync::Progress;
use crate::world::World;
use desk::Desk;
use hansa_node::consensus::context::{Address, Height, LedgerContext};
use hansa_node::consensus::signing::{MemberSigner, MemberVerifier};
use malachitebft_app_channel::AppMsg;
use malachitebft_app_channel::app::engine::host::HeightParams;
use malachitebft_app_channel::app::engine::util::events::TxEvent;
use malachitebft_app_channel::app::metrics::Metrics;
use malachitebft_app_channel::app::types::core::{Timeout, ValidatorSet as _, ValueOrigin, ValueResponse};
use malachitebft_app_channel::app::types::{LocallyProposedValue, PeerId, ProposedValue};
use malachitebft_app_channel::app::wal;
use malachitebft_core_consensus::{Input, Params, State, ValuePayload};
use malachitebft_core_types::ExtendedCommitCertificate;
use std::io;
use std::rc::Rc;
use tokio::sync::mpsc;

type Log = wal::log::Log<DiskLog>;

/// What reaches the engine.
pub enum Message {
    /// A height may start.
    Start(Height, HeightParams<LedgerContext>),
    /// A vote, proposal or certificate came from a peer.
    Input(Input<LedgerContext>),
    /// A part of a block came from a peer.
    Part(PeerId, hansa_node::consensus::host::PartMessage),
    /// A timer ran out; the number tells it from one that was set anew.
    Timeout(Timeout, u64),
    /// The application has a block to propose.
    Propose(LocallyProposedValue<LedgerContext>),
    /// A block was judged.
    Value(ProposedValue<LedgerContext>, ValueOrigin),
    /// A peer gave a decided block.
    Synced(PeerId, bytes::Bytes, ExtendedCommitCertificate<LedgerContext>),
}

/// What the engine is made of.
pub struct Parts {
    /// The world it lives in.
    pub world: Rc<World>,
    /// Which node of it this is.
    pub place: usize,
    /// Where it is told things.
    pub inbox: mpsc::UnboundedSender<Message>,
    /// Who answers it.
    pub host: mpsc::Sender<AppMsg<LedgerContext>>,
    /// The member's signer.
    pub signer: MemberSigner,
    /// The member's verifier.
    pub verifier: MemberVerifier,
    /// What it tells of votes and proposals that it receives.
    pub events: TxEvent<LedgerContext>,
    /// Where catching up is told of progress.
    pub progress: mpsc::UnboundedSender<Progress>,
    /// The disk of its log.
    pub disk: Disk,
}

/// Why the engine does not go on. The node is ended and started again by its operator.
#[derive(Debug)]
pub enum Halt {
    /// Its log cannot be opened.
    Log(io::Error),
    /// It stopped itself for safety's sake: the log cannot be written, or cannot be believed.
    Safety(String),
    /// The core refused an input that it should take.
    Core(String),
}

/// Runs the engine until it halts or is dropped.
pub async fn run(parts: Parts, mut inbox: mpsc::UnboundedReceiver<Message>) -> Halt {
    let log = match Log::open_with("consensus.wal", parts.disk.clone()) {
        Ok(log) => log,
        Err(error) => return Halt::Log(error),
    };
    let mut desk = Desk::new(parts, log);
    let mut core = None;
    let mut early = Vec::new();
    let metrics = Metrics::default();
    desk.ask_ready();
    while let Some(message) = inbox.recv().await {
        if core.is_none() && !matches!(message, Message::Start(..)) {
            if early.len() < 1_024 {
                early.push(message);
            }
            continue;
        }
        let starts = matches!(message, Message::Start(..));
        if let Err(halt) = handle(&mut core, &mut desk, &metrics, message).await {
            return halt;
        }
        if starts {
            for message in std::mem::take(&mut early) {
                if let Err(halt) = handle(&mut core, &mut desk, &metrics, message).await {
                    return halt;
                }
            }
        }
    }
    Halt::Core("nobody tells it anything any more".to_owned())
}

async fn process(
    core: &mut State<LedgerContext>,
    desk: &mut Desk,
    metrics: &Metrics,
    input: Input<LedgerContext>,
) -> Result<(), Halt> {
    let result: Result<(), malachitebft_core_consensus::Error<LedgerContext>> = malachitebft_core_consensus::process!(
        input: input,
        state: core,
        metrics: metrics,
        with: effect => desk.perform(effect).await
    );
    match (desk.halt.take(), result) {
        (Some(halt), _) => Err(halt),
        (None, Err(error)) => Err(Halt::Core(format!("{error:?}"))),
        (None, Ok(())) => Ok(()),
    }
}

async fn handle(
    core: &mut Option<State<LedgerContext>>,
    desk: &mut Desk,
    metrics: &Metrics,
    message: Message,
) -> Result<(), Halt> {
    if let Message::Start(height, params) = message {
        return start(core, desk, metrics, height, params).await;
    }
    let Some(core) = core else { return Ok(()) };
    let input = match message {
        Message::Start(..) => return Ok(()),
        Message::Input(input) => {
            desk.tell(&input);
            input
        }
        Message::Part(from, part) => {
            desk.ask_part(from, part);
            return Ok(());
        }
        Message::Timeout(timeout, number) => {
            let before = desk.timers.len();
            desk.timers.retain(|timer| *timer != (timeout, number));
            if desk.timers.len() == before {
                return Ok(());
            }
            Input::TimeoutElapsed(timeout)
        }
        Message::Propose(value) => Input::Propose(malachitebft_core_consensus::LocallyProposedValue::new(
            value.height,
            value.round,
            value.value,
        )),
        Message::Value(value, origin) => {
            let (height, round, of) = (value.height.0, value.round.as_i64(), value.valid_round.as_i64());
            let block = hex::encode(&value.value.0[..6]);
            desk.parts.world.note(format_args!(
                "{} holds {block} of {height}/{round}, valid round {of}: {:?}",
                desk.parts.place, value.validity
            ));
            Input::ProposedValue(value, origin)
        }
        Message::Synced(peer, bytes, certificate) => {
            Input::SyncValueResponse(ValueResponse::new(peer, bytes, certificate))
        }
    };
    process(core, desk, metrics, input).await
}

async fn start(
    core: &mut Option<State<LedgerContext>>,
    desk: &mut Desk,
    metrics: &Metrics,
    height: Height,
    params: HeightParams<LedgerContext>,
) -> Result<(), Halt> {
    let address = Address(desk.parts.signer.public_key());
    let core = core.get_or_insert_with(|| {
        let own = Params {
            address,
            threshold_params: Default::default(),
            value_payload: ValuePayload::ProposalAndParts,
            enabled: true,
        };
        State::new(LedgerContext, height, params.validator_set.clone(), own, 10, 500)
    });
    desk.validates = params.validator_set.get_by_address(&address).is_some();
    let entries = desk.fetch_log(height).map_err(Halt::Log)?;
    desk.timeouts = params.timeouts;
    let input = Input::StartHeight(
        height,
        params.validator_set,
        false,
        params.target_time,
        params.vote_extension_policy,
    );
    process(core, desk, metrics, input).await?;
    if !entries.is_empty() {
        desk.recovering = true;
        core.index_wal_entries(entries.iter().flatten());
        for entry in entries {
            let entry = entry.map_err(|error| Halt::Safety(format!("its log is damaged: {error}")))?;
            process(core, desk, metrics, entry).await.map_err(|halt| match halt {
                Halt::Core(reason) => Halt::Safety(format!("its log cannot be replayed: {reason}")),
                other => other,
            })?;
        }
        core.reset_entries_index();
        desk.recovering = false;
    }
    let _ = desk.parts.progress.send(Progress::Started(height.0));
    Ok(())
}
