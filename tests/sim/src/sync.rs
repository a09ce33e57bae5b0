//! Catching up, in the way of the engine's sync actor but simpler: a status with each decision and each new connection, one
//! request at a time, and each block handed over when its height has started. What is given is checked by the node itself.

use crate::engine::Message;
use crate::wire::Wire;
use crate::world::World;
use hansa_node::consensus::context::{Height, LedgerContext};
use malachitebft_app_channel::AppMsg;
use malachitebft_app_channel::app::types::core::Height as _;
use malachitebft_sync::{RawDecidedValue, Request, Response, Status, ValueRequest, ValueResponse};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(4);

/// How many heights one request spans.
const SPAN: u64 = 16;

/// What catching up is told.
pub enum Progress {
    /// The engine has started a height.
    Started(u64),
    /// A peer says how far it is.
    Status(usize, Status<LedgerContext>),
    /// A peer wants blocks.
    Request(usize, u64, Request<LedgerContext>),
    /// A peer gives blocks.
    Response(usize, u64, Response<LedgerContext>),
    /// What was given for a height was of no use.
    Failed(u64),
    /// An answer has not come in time.
    Late(u64),
}

/// Says to all peers how far a node is.
pub fn announce(world: &World, place: usize) {
    let Some(status) = status(world, place) else { return };
    world.broadcast(place, &Wire::Status(status));
}

fn status(world: &World, place: usize) -> Option<Status<LedgerContext>> {
    let executor = world.executor(place)?;
    let height = hansa_node::consensus::Application::tip(executor.as_ref()).height;
    let lowest = hansa_node::consensus::Application::history_height_min(executor.as_ref());
    let peer_id = world.peer_id(place);
    (height > 0).then_some(Status { peer_id, tip_height: Height(height), history_min_height: Height(lowest) })
}

struct CatchUp {
    world: Rc<World>,
    place: usize,
    height: u64,
    tips: BTreeMap<usize, u64>,
    asked: Option<u64>,
    given: BTreeMap<u64, (usize, RawDecidedValue<LedgerContext>)>,
    handed: u64,
}

/// Runs it for one process of a node.
pub async fn run(world: Rc<World>, place: usize, mut progress: mpsc::UnboundedReceiver<Progress>) {
    let mut catch_up = CatchUp {
        world,
        place,
        height: 0,
        tips: BTreeMap::new(),
        asked: None,
        given: BTreeMap::new(),
        handed: 0,
    };
    while let Some(told) = progress.recv().await {
        catch_up.hear(told);
        catch_up.go_on();
    }
}

impl CatchUp {
    fn hear(&mut self, told: Progress) {
        match told {
            Progress::Started(height) => {
                self.height = height;
                self.given = self.given.split_off(&height);
            }
            Progress::Status(peer, status) => {
                self.tips.insert(peer, status.tip_height.0);
            }
            Progress::Request(peer, number, request) => self.answer(peer, number, request),
            Progress::Response(peer, number, Response::ValueResponse(response)) => {
                if self.asked == Some(number) {
                    self.asked = None;
                    let mut height = response.start_height;
                    if response.values.is_empty() {
                        self.tips.remove(&peer);
                    }
                    for value in response.values {
                        // What was decided while the answer was on its way is not needed any more, and would bar the next question.
                        if height.0 >= self.height {
                            self.given.insert(height.0, (peer, value));
                        }
                        height = height.increment();
                    }
                }
            }
            Progress::Failed(height) => {
                self.handed = 0;
                self.given.clear();
                let again = self.world.question();
                // It is asked for again, but not at once.
                self.asked = Some(again);
                self.after(Duration::from_millis(500), Progress::Late(again));
                self.height = self.height.max(height);
            }
            Progress::Late(number) => {
                if self.asked == Some(number) {
                    self.asked = None;
                }
            }
        }
    }

    fn go_on(&mut self) {
        if self.height == 0 {
            return;
        }
        if self.handed < self.height
            && let Some((peer, value)) = self.given.remove(&self.height)
        {
            self.handed = self.height;
            let peer = self.world.peer_id(peer);
            if let Some(running) = self.world.places[self.place].running.borrow().as_ref() {
                let message = Message::Synced(peer, value.value_bytes, value.certificate);
                let _ = running.inbox.send(message);
            }
            return;
        }
        let wanted = self.given.keys().next_back().map_or(self.height, |last| last + 1);
        if self.asked.is_some() || !self.given.is_empty() || self.handed >= self.height {
            return;
        }
        let able: Vec<usize> =
            self.tips.iter().filter(|(_, tip)| **tip >= wanted).map(|(peer, _)| *peer).collect();
        let Some(peer) = self.world.faults.borrow_mut().pick(&able).copied() else { return };
        let last = self.tips.get(&peer).copied().unwrap_or(wanted).min(wanted + SPAN - 1);
        let number = self.world.question();
        self.asked = Some(number);
        let request = Request::ValueRequest(ValueRequest::new(Height(wanted)..=Height(last)));
        self.world.note(format_args!("{} asks {peer} for {wanted} to {last}", self.place));
        self.world.send(self.place, peer, &Wire::Request(number, request));
        self.after(PATIENCE, Progress::Late(number));
    }

    fn after(&self, pause: Duration, told: Progress) {
        let world = Rc::clone(&self.world);
        let place = self.place;
        self.world.spawn(place, async move {
            tokio::time::sleep(pause).await;
            if let Some(running) = world.places[place].running.borrow().as_ref() {
                let _ = running.progress.send(told);
            }
        });
    }

    fn answer(&self, peer: usize, number: u64, request: Request<LedgerContext>) {
        let Request::ValueRequest(request) = request;
        let (reply, answer) = oneshot::channel();
        let start = *request.range.start();
        let question = AppMsg::GetDecidedValues { range: request.range, reply };
        if let Some(running) = self.world.places[self.place].running.borrow().as_ref()
            && running.host.try_send(question).is_err()
        {
            return;
        }
        let (world, place) = (Rc::clone(&self.world), self.place);
        self.world.spawn(place, async move {
            if let Ok(values) = answer.await {
                let response = Response::ValueResponse(ValueResponse::new(start, values));
                world.send(place, peer, &Wire::Response(number, response));
            }
        });
    }
}
