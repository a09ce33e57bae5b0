//! One relay: a listener, and a pair of pumps for each connection.

use super::{Counts, Passage, Settings, Way};
use crate::dice::Dice;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

/// The most bytes read at once.
const READ_BYTES_MAX: usize = 16 * 1024;

/// Reads that wait for their time, each way; beyond them the sender waits.
const READS_WAITING_MAX: usize = 256;

/// In which steps a throttled way hands on.
const THROTTLE_STEP: Duration = Duration::from_millis(50);

/// How long a listener rests after the system gave it no connection.
const ACCEPT_REST: Duration = Duration::from_millis(50);

/// A relay from one member's node to a port of another's.
pub(super) struct Relay {
    pub settings: watch::Receiver<Settings>,
    /// Which of the link's ways leads from the dialler to the target.
    pub forth: usize,
    pub target: watch::Receiver<Option<SocketAddr>>,
    pub dice: Dice,
    pub counts: Arc<Counts>,
}

/// What one end said, in order.
enum Said {
    Bytes(Vec<u8>),
    End,
    Broken(io::Error),
}

/// How the connections of a pair end.
enum Ending {
    /// Both ends have said all they had to say.
    Over,
    /// An end broke, or both are to.
    Reset,
    /// The target is to forget, and the dialler not to hear of it.
    Forgotten,
}

impl Relay {
    /// Serves until it is dropped.
    pub async fn run(mut self, listener: TcpListener) {
        let mut connections = JoinSet::new();
        let mut number = 0;
        loop {
            tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok((near, _)) => {
                        number += 1;
                        let target = *self.target.borrow_and_update();
                        let Some(target) = target else { continue };
                        let connection = Connection {
                            settings: self.settings.clone(),
                            forth: self.forth,
                            dice: self.dice.fork(number),
                            counts: self.counts.clone(),
                        };
                        connections.spawn(connection.relay(near, target));
                    }
                    // Out of descriptors, say: that passes.
                    Err(_) => sleep(ACCEPT_REST).await,
                },
                Some(_) = connections.join_next() => {}
            }
        }
    }
}

struct Connection {
    settings: watch::Receiver<Settings>,
    forth: usize,
    dice: Dice,
    counts: Arc<Counts>,
}

impl Connection {
    async fn relay(mut self, mut near: TcpStream, target: SocketAddr) {
        // Where a way is cut no connection comes about: the first packet or its answer is lost.
        let open = |settings: &Settings| settings.ways.iter().all(|way| way.passage == Passage::Open);
        let is_open = tokio::select! {
            waited = self.settings.wait_for(open) => waited.is_ok(),
            () = gone(&near) => false,
        };
        let far = if is_open { TcpStream::connect(target).await.ok() } else { None };
        let Some(mut far) = far else { return reset(&near) };
        self.counts.connections.fetch_add(1, Ordering::Relaxed);
        let began = *self.settings.borrow_and_update();
        let quick = near.set_nodelay(true).and_then(|()| far.set_nodelay(true));
        let ending = match quick {
            Ok(()) => self.pump_both(&mut near, &mut far, &began).await,
            Err(_) => Ending::Reset,
        };
        match ending {
            Ending::Over => {}
            Ending::Reset => {
                reset(&near);
                reset(&far);
            }
            Ending::Forgotten => {
                reset(&far);
                drop(far);
                // The dialler learns of it when it sends and the link is open.
                loop {
                    let read = tokio::select! {
                        read = near.readable() => read,
                        // A half that is forgotten is told no later than by the next reset of its link.
                        _ = self.settings.wait_for(|settings| settings.resets > began.resets) => break,
                    };
                    if read.is_err() || self.settings.wait_for(open).await.is_err() {
                        break;
                    }
                    let mut some = [0; 1];
                    match near.try_read(&mut some) {
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                        _ => break,
                    }
                }
                reset(&near);
            }
        }
    }

    async fn pump_both(&self, near: &mut TcpStream, far: &mut TcpStream, began: &Settings) -> Ending {
        let (near_read, near_write) = near.split();
        let (far_read, far_write) = far.split();
        let (forth, back) = (self.pump(self.forth), self.pump(1 - self.forth));
        let both =
            async { tokio::try_join!(forth.run(near_read, far_write), back.run(far_read, near_write)) };
        let mut settings = self.settings.clone();
        let told =
            settings.wait_for(|settings| settings.resets > began.resets || settings.forgets > began.forgets);
        tokio::select! {
            done = both => if done.is_ok() { Ending::Over } else { Ending::Reset },
            told = told => match told {
                Ok(settings) if settings.forgets > began.forgets => Ending::Forgotten,
                _ => Ending::Reset,
            },
        }
    }

    fn pump(&self, at: usize) -> Pump {
        Pump {
            settings: self.settings.clone(),
            at,
            dice: self.dice.fork(at as u64 + 1),
            counts: self.counts.clone(),
        }
    }
}

/// What carries one way of one connection.
struct Pump {
    settings: watch::Receiver<Settings>,
    at: usize,
    dice: Dice,
    counts: Arc<Counts>,
}

impl Pump {
    /// Until the end that speaks has ended, which the other one is told; or an end broke.
    async fn run(mut self, mut from: ReadHalf<'_>, mut to: WriteHalf<'_>) -> io::Result<()> {
        let (said, mut heard) = mpsc::channel(READS_WAITING_MAX);
        let (settings, at, mut jitter) = (self.settings.clone(), self.at, self.dice.fork(1));
        let read = async move {
            loop {
                let mut bytes = vec![0; READ_BYTES_MAX];
                let what = match from.read(&mut bytes).await {
                    Ok(0) => Said::End,
                    Ok(count) => {
                        bytes.truncate(count);
                        Said::Bytes(bytes)
                    }
                    Err(error) => Said::Broken(error),
                };
                let way = settings.borrow().ways[at];
                let extra = jitter.below(u64::try_from(way.jitter.as_micros()).unwrap_or(u64::MAX));
                let due = Instant::now() + way.delay + Duration::from_micros(extra);
                let over = !matches!(what, Said::Bytes(_));
                if said.send((due, what)).await.is_err() || over {
                    return;
                }
            }
        };
        let write = async {
            while let Some((due, what)) = heard.recv().await {
                sleep_until(due).await;
                match what {
                    Said::Bytes(bytes) => self.hand_on(bytes, &mut to).await?,
                    Said::End => {
                        self.until(Passage::Open).await?;
                        return to.shutdown().await;
                    }
                    Said::Broken(error) => {
                        self.until(Passage::Open).await?;
                        return Err(error);
                    }
                }
            }
            Ok(())
        };
        tokio::select! {
            written = write => written,
            never = async { read.await; std::future::pending().await } => never,
        }
    }

    async fn hand_on(&mut self, mut bytes: Vec<u8>, to: &mut WriteHalf<'_>) -> io::Result<()> {
        let way = self.until_not_held().await?;
        if way.passage == Passage::Lost {
            self.counts.lost.fetch_add(bytes.len() as u64, Ordering::Relaxed);
            return Ok(());
        }
        if let Some(one_in) = way.corrupt_one_in
            && self.dice.below(u64::from(one_in)) == 0
        {
            let at = self.dice.index(bytes.len());
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= u8::try_from(self.dice.between(1, 255)).unwrap_or(1);
                self.counts.corrupted.fetch_add(1, Ordering::Relaxed);
            }
        }
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            // Looked at for each step, so that what ends the throttle does not wait for it.
            let rate = self.settings.borrow().ways[self.at].bytes_per_second;
            let step = rate.map_or(rest.len(), |rate| (rate as usize / 20).clamp(1, rest.len()));
            let (now, later) = rest.split_at(step);
            to.write_all(now).await?;
            self.counts.bytes.fetch_add(now.len() as u64, Ordering::Relaxed);
            if rate.is_some() {
                sleep(THROTTLE_STEP).await;
            }
            rest = later;
        }
        Ok(())
    }

    async fn until_not_held(&mut self) -> io::Result<Way> {
        let at = self.at;
        let free = |settings: &Settings| settings.ways[at].passage != Passage::Held;
        self.settings.wait_for(free).await.map(|settings| settings.ways[at]).map_err(ended)
    }

    async fn until(&mut self, passage: Passage) -> io::Result<()> {
        let at = self.at;
        let wanted = |settings: &Settings| settings.ways[at].passage == passage;
        self.settings.wait_for(wanted).await.map(|_| ()).map_err(ended)
    }
}

/// The links were taken down.
fn ended(_: watch::error::RecvError) -> io::Error {
    io::ErrorKind::ConnectionAborted.into()
}

/// Until the end that dialled has gone; what it said before stays unread.
async fn gone(stream: &TcpStream) {
    let mut some = [0; 1];
    loop {
        match stream.peek(&mut some).await {
            Ok(0) | Err(_) => return,
            // It has spoken and waits for an answer: whether it is still there shows in a while.
            Ok(_) => sleep(THROTTLE_STEP).await,
        }
        // Behind unread bytes the end cannot be seen by a look; an error can.
        if matches!(stream.take_error(), Ok(Some(_)) | Err(_)) {
            return;
        }
    }
}

/// Lets a connection end with a reset as soon as it is dropped.
fn reset(stream: &TcpStream) {
    // Where the system refuses, the end is an orderly one.
    let _ = stream.set_zero_linger();
}
