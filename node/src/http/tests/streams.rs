//! The stream of events: order, filters, resuming, and what is lost.

use super::double::{centre, key, startup};
use super::{HttpLimits, Server};
use futures::StreamExt as _;
use hansa_ledger::action::TransferCash;
use hansa_ledger::event::Event;
use hansa_ledger::money::Money;
use hansa_node_api::client::EventStream;
use hansa_node_api::event::{EventCursor, EventInfo, EventMessage};
use hansa_node_api::filter::EventFilter;
use hansa_node_api::pass::{PASS_HEADER, PASS_LIFE, ReadPass};
use std::sync::atomic::Ordering;
use std::time::Duration;

async fn next(stream: &mut EventStream) -> EventMessage {
    let next = tokio::time::timeout(Duration::from_secs(10), stream.next()).await;
    next.expect("a message comes").expect("the stream goes on").unwrap()
}

async fn event(stream: &mut EventStream) -> EventInfo {
    match next(stream).await {
        EventMessage::Event(event) => *event,
        other => panic!("no event: {other:?}"),
    }
}

fn start() -> Option<EventCursor> {
    Some(EventCursor::after_block(0))
}

#[tokio::test]
async fn every_event_is_told_once_in_order_from_wherever_one_begins() {
    let server = Server::start(HttpLimits::default()).await;
    server.open_market().await;
    let mut expected = Vec::new();
    for height in 1..=6 {
        let block = server.client.block(Some(height)).await.unwrap();
        expected.extend(
            (0u32..)
                .zip(block.content.unwrap().receipts.events().cloned())
                .map(|(index, event)| (height, index, event)),
        );
    }
    assert!(expected.len() >= 8);
    for begin in 0..expected.len() {
        let (height, index, _) = &expected[begin];
        let since = EventCursor { height: *height, index: *index };
        let mut stream = server.client.events(EventFilter::default(), Some(since));
        for (height, index, told) in &expected[begin + 1..] {
            let info = event(&mut stream).await;
            assert_eq!((info.height, info.index, &info.event), (*height, *index, told));
            assert!(info.transaction.is_some());
        }
        // Then what is new.
        let amount = Money(begin as u64 + 1);
        server.send("kodu", TransferCash { to: centre(), amount }).await;
        let mut live = event(&mut stream).await;
        while !matches!(live.event, Event::CashTransferred { amount: moved, .. } if moved == amount) {
            assert!(live.height > 6, "{live:?}");
            live = event(&mut stream).await;
        }
    }
}

#[tokio::test]
async fn filters_leave_out_what_was_not_asked_for() {
    let server = Server::start(HttpLimits::default()).await;
    server.open_market().await;
    let kind = |kind: &str| EventFilter { kind: Some(kind.to_owned()), ..Default::default() };
    let of = |organisation| EventFilter { organisation: Some(organisation), ..Default::default() };
    let mut offers = server.client.events(kind("offer_posted, deposit_attested"), start());
    assert!(matches!(event(&mut offers).await.event, Event::DepositAttested { .. }));
    assert!(matches!(event(&mut offers).await.event, Event::OfferPosted { .. }));

    let told = [("startup", of(startup()), 4), ("centre", of(centre()), 4)];
    for (who, filter, count) in told {
        let filter = EventFilter { blocks: Some(true), ..filter };
        let mut stream = server.client.events(filter, start());
        let mut events = 0;
        loop {
            match next(&mut stream).await {
                EventMessage::Event(_) => events += 1,
                EventMessage::Block(mark) if mark.height == 6 => break,
                EventMessage::Block(_) => {}
                EventMessage::Reset(mark) => panic!("{mark:?}"),
            }
        }
        assert_eq!(events, count, "{who}");
    }
}

#[tokio::test]
async fn what_the_node_has_forgotten_is_told_as_a_reset() {
    let server = Server::start(HttpLimits::default()).await;
    server.open_market().await;
    server.double.forgotten.store(4, Ordering::SeqCst);
    let mut stream = server.client.events(EventFilter::default(), Some(EventCursor { height: 2, index: 0 }));
    assert!(matches!(next(&mut stream).await, EventMessage::Reset(mark) if mark.height == 6));
    server.send("kodu", TransferCash { to: centre(), amount: Money(1) }).await;
    assert_eq!(event(&mut stream).await.height, 7);
    // What is still kept is told.
    let mut kept = server.client.events(EventFilter::default(), Some(EventCursor::after_block(5)));
    assert_eq!(event(&mut kept).await.height, 6);
}

#[tokio::test]
async fn a_listener_that_lags_loses_nothing_that_is_kept() {
    let server = Server::start(HttpLimits::default()).await;
    server.open_market().await;
    let filter = EventFilter { blocks: Some(true), ..Default::default() };
    let mut stream = server.client.events(filter, Some(EventCursor::after_block(6)));
    server.double.idle(1);
    assert!(matches!(next(&mut stream).await, EventMessage::Block(mark) if mark.height == 7));
    // All at once, without giving the server a turn: far more than a listener may lag behind.
    server.double.idle(super::double::FOLLOW_BLOCKS as u64 * 3);
    for height in 8..=(7 + super::double::FOLLOW_BLOCKS as u64 * 3) {
        assert!(
            matches!(next(&mut stream).await, EventMessage::Block(mark) if mark.height == height),
            "{height}"
        );
    }
}

#[tokio::test]
async fn the_client_goes_on_where_it_was_after_the_node_comes_back() {
    let server = Server::start(HttpLimits::default()).await;
    server.open_market().await;
    let mut stream = server.client.events(EventFilter::default(), Some(EventCursor::after_block(5)));
    assert_eq!(event(&mut stream).await.height, 6);

    let Server { double, address, shutdown, served, .. } = server;
    shutdown.cancel();
    served.await.unwrap().unwrap();
    let lost = stream.next().await.unwrap().unwrap_err();
    assert!(lost.is_transient(), "{lost}");
    double.idle(1);
    let account = hansa_node_api::Account::new(
        super::double::key("kodu"),
        double.chain,
        hansa_node_api::Client::new(&format!("http://{address}")).unwrap(),
    );
    let signed = account.sign(0, vec![TransferCash { to: centre(), amount: Money(1) }.into()]);
    crate::http::Backend::submit(&*double, signed.encode()).await.unwrap();

    let listener = tokio::net::TcpListener::bind(address).await.unwrap();
    let again = tokio_util::sync::CancellationToken::new();
    tokio::spawn(crate::http::serve(listener, double, HttpLimits::default(), again));
    loop {
        match tokio::time::timeout(Duration::from_secs(10), stream.next()).await.unwrap().unwrap() {
            Ok(EventMessage::Event(info)) => break assert_eq!(info.transaction, Some(signed.id())),
            Ok(other) => panic!("{other:?}"),
            Err(error) => assert!(error.is_transient(), "{error}"),
        }
    }
}

#[tokio::test]
async fn a_silent_stream_says_that_it_lives() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let limits = HttpLimits { keep_alive: Duration::from_millis(50), ..HttpLimits::default() };
    let server = Server::start(limits).await;
    let mut stream = tokio::net::TcpStream::connect(server.address).await.unwrap();
    let request = format!("GET /v1/events HTTP/1.1\r\nhost: {}\r\n\r\n", server.address);
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut read = String::new();
    while !read.contains(": alive") {
        let mut piece = [0u8; 512];
        let count =
            tokio::time::timeout(Duration::from_secs(10), stream.read(&mut piece)).await.unwrap().unwrap();
        assert_ne!(count, 0);
        read.push_str(&String::from_utf8_lossy(&piece[..count]));
    }
}

#[tokio::test]
async fn the_server_itself_goes_on_right_after_the_last_event_id() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let server = Server::start(HttpLimits::default()).await;
    server.open_market().await;
    let pass = ReadPass::make(&key("EE registrar"), server.double.chain, PASS_LIFE).to_bearer();
    for (last, first) in [("1:0", "1:1"), ("1:1", "2:0"), ("1:end", "2:0")] {
        let mut stream = tokio::net::TcpStream::connect(server.address).await.unwrap();
        // The header counts more than the query.
        let head = format!("GET /v1/events?since=5:0 HTTP/1.1\r\nhost: {}\r\n", server.address);
        let head = format!("{head}{PASS_HEADER}: {}\r\n", &*pass);
        stream.write_all(format!("{head}last-event-id: {last}\r\n\r\n").as_bytes()).await.unwrap();
        let mut read = String::new();
        let told = loop {
            let mut piece = [0u8; 512];
            let count = tokio::time::timeout(Duration::from_secs(10), stream.read(&mut piece))
                .await
                .unwrap()
                .unwrap();
            assert_ne!(count, 0);
            read.push_str(&String::from_utf8_lossy(&piece[..count]));
            if let Some((_, rest)) = read.split_once("\nid: ")
                && let Some((id, _)) = rest.split_once('\n')
            {
                break id.trim().to_owned();
            }
        };
        assert_eq!(told, first, "after {last}");
    }
}
