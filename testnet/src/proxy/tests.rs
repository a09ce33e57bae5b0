//! Relays over real sockets.

use super::{Links, Passage, Way};
use crate::layout::MemberRecord;
use crate::ports::Ports;
use hansa_ledger::member::MemberCode;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

/// How long something that must come may take on a busy machine.
const SOON: Duration = Duration::from_secs(10);

/// How long is waited for something that must not come.
const NEVER: Duration = Duration::from_millis(150);

/// Two members, and what stands in the place of the second one's consensus port.
struct Pair {
    links: Links,
    one: MemberCode,
    other: MemberCode,
    listener: TcpListener,
}

impl Pair {
    async fn new() -> Self {
        let (one, other) = ("DE".parse().unwrap(), "FR".parse().unwrap());
        let links = Links::bind(&[one, other], 1).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let consensus = listener.local_addr().unwrap().port();
        links.aim(&[MemberRecord { code: other, ports: Ports { api: 1, consensus, network: 1 } }]);
        Self { links, one, other, listener }
    }

    async fn dial(&self) -> TcpStream {
        let port = self.links.routes()[&self.one][&self.other].consensus;
        TcpStream::connect(("127.0.0.1", port)).await.unwrap()
    }

    /// Both ends of a connection through the relay.
    async fn connect(&self) -> (TcpStream, TcpStream) {
        let near = self.dial().await;
        let (far, _) = timeout(SOON, self.listener.accept()).await.expect("the relay dials").unwrap();
        (near, far)
    }

    fn way(&self, way: Way) {
        self.links.set_way(self.one, self.other, way);
    }
}

async fn says(from: &mut TcpStream, to: &mut TcpStream, text: &str) {
    from.write_all(text.as_bytes()).await.unwrap();
    assert_eq!(hears(to, text.len()).await, text.as_bytes());
}

async fn hears(to: &mut TcpStream, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    timeout(SOON, to.read_exact(&mut bytes)).await.expect("it comes").unwrap();
    bytes
}

async fn hears_nothing(to: &mut TcpStream) {
    assert!(timeout(NEVER, to.read_u8()).await.is_err(), "something came");
}

/// What a reset connection gives: an error, not an orderly end.
async fn is_reset(stream: &mut TcpStream) {
    let read = timeout(SOON, stream.read_u8()).await.expect("it ends");
    assert_eq!(read.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn what_is_held_comes_later_and_what_is_lost_does_not() {
    let pair = Pair::new().await;
    let (mut near, mut far) = pair.connect().await;
    says(&mut near, &mut far, "forth").await;
    says(&mut far, &mut near, "back").await;

    pair.way(Way { passage: Passage::Held, ..Way::default() });
    near.write_all(b"held").await.unwrap();
    says(&mut far, &mut near, "one way only").await;
    hears_nothing(&mut far).await;
    pair.links.heal();
    assert_eq!(hears(&mut far, 4).await, b"held");

    pair.way(Way { passage: Passage::Lost, ..Way::default() });
    near.write_all(b"lost").await.unwrap();
    says(&mut far, &mut near, "one way only").await;
    while pair.links.traffic().lost < 4 {
        tokio::task::yield_now().await;
    }
    pair.links.heal();
    says(&mut near, &mut far, "with a gap").await;

    near.shutdown().await.unwrap();
    assert_eq!(timeout(SOON, far.read(&mut [0; 1])).await.unwrap().unwrap(), 0, "an end is an end");
}

#[tokio::test]
async fn no_connection_comes_about_over_a_cut_link_before_it_heals() {
    let pair = Pair::new().await;
    let cut = Way { passage: Passage::Held, ..Way::default() };
    pair.links.part(&[vec![pair.one], vec![pair.other]], cut);
    let mut near = pair.dial().await;
    near.write_all(b"early").await.unwrap();
    assert!(timeout(NEVER, pair.listener.accept()).await.is_err());
    pair.links.heal();
    let (mut far, _) = timeout(SOON, pair.listener.accept()).await.unwrap().unwrap();
    assert_eq!(hears(&mut far, 5).await, b"early");
}

#[tokio::test]
async fn a_slow_way_is_slow_and_keeps_its_order() {
    let pair = Pair::new().await;
    let (mut near, mut far) = pair.connect().await;
    let delay = Duration::from_millis(120);
    pair.way(Way { delay, jitter: Duration::from_millis(30), ..Way::default() });
    let began = Instant::now();
    for number in 0..20_u8 {
        near.write_all(&[number]).await.unwrap();
        near.flush().await.unwrap();
        tokio::task::yield_now().await;
    }
    assert_eq!(hears(&mut far, 20).await, (0..20).collect::<Vec<_>>());
    assert!(began.elapsed() >= delay, "{:?}", began.elapsed());

    pair.way(Way { bytes_per_second: Some(20_000), ..Way::default() });
    let began = Instant::now();
    near.write_all(&[7; 5_000]).await.unwrap();
    assert_eq!(hears(&mut far, 5_000).await, [7; 5_000]);
    assert!(began.elapsed() >= Duration::from_millis(150), "{:?}", began.elapsed());
}

#[tokio::test]
async fn bytes_are_changed_and_counted() {
    let pair = Pair::new().await;
    let (mut near, mut far) = pair.connect().await;
    pair.way(Way { corrupt_one_in: Some(1), ..Way::default() });
    near.write_all(b"whole").await.unwrap();
    assert_ne!(hears(&mut far, 5).await, b"whole");
    assert!(pair.links.traffic().corrupted > 0);
    says(&mut far, &mut near, "the other way").await;
    pair.links.heal();
    says(&mut near, &mut far, "whole").await;
}

#[tokio::test]
async fn connections_are_reset_at_both_ends_and_can_be_made_again() {
    let pair = Pair::new().await;
    let (mut near, mut far) = pair.connect().await;
    says(&mut near, &mut far, "before").await;
    pair.links.reset(pair.other, pair.one);
    is_reset(&mut near).await;
    is_reset(&mut far).await;
    let (mut near, mut far) = pair.connect().await;
    says(&mut near, &mut far, "after").await;
    // What breaks at one end breaks at the other.
    near.set_zero_linger().unwrap();
    drop(near);
    is_reset(&mut far).await;
}

#[tokio::test]
async fn an_end_that_was_forgotten_learns_of_it_when_it_speaks() {
    let pair = Pair::new().await;
    let (mut near, mut far) = pair.connect().await;
    says(&mut near, &mut far, "before").await;
    pair.links.half_open(pair.one, pair.other);
    is_reset(&mut far).await;
    hears_nothing(&mut near).await;
    near.write_all(b"is anybody there").await.unwrap();
    is_reset(&mut near).await;
}

#[tokio::test]
async fn nobody_behind_a_relay_is_a_refusal() {
    let pair = Pair::new().await;
    let address = pair.listener.local_addr().unwrap();
    drop(pair.listener);
    assert!(TcpStream::connect(address).await.is_err());
    let port = pair.links.routes()[&pair.one][&pair.other].consensus;
    let mut near = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    is_reset(&mut near).await;
}
