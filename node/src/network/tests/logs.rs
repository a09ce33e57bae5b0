//! Logs over real sockets: who may write, where it goes on, and what is refused.

use super::*;
use hansa_node_api::peer::client::PeerClient;
use hansa_node_api::peer::log::{
    LOG_PIECE_BYTES_MAX, LogCall, LogHeld, LogPart, LogRefusal, LogReply, LogTerms,
};
use hansa_node_api::peer::transfer::PeerError;
use libp2p::multiaddr::Protocol;

fn client(plan: &Plan) -> PeerClient {
    let member = plan.member();
    PeerClient::new(CHAIN, &member.address.with(Protocol::P2p(member.peer_id))).unwrap()
}

fn part(lease: [u8; 32], offset: u64, bytes: &[u8], ended: bool) -> LogPart {
    LogPart { lease, job: 7, offset, ended, bytes: bytes.to_vec() }
}

#[tokio::test]
async fn a_provider_appends_and_nobody_else() {
    let [a] = plans();
    let app = App::new();
    let _node = a.start(&[], &app).await;
    let (key, stranger) = (SecretKey::generate(), SecretKey::generate());
    app.allowed.lock().unwrap().push(key.public_key());
    let client = client(&a);
    let send = async |key: &SecretKey, part| match client.append_log(part, key).await {
        Ok(LogHeld { next_offset, open }) => Ok((next_offset, open)),
        Err(PeerError::LogRefused(refusal)) => Err(refusal),
        Err(other) => panic!("{other}"),
    };
    assert_eq!(send(&stranger, part(LEASE, 0, b"mine", false)).await, Err(LogRefusal::NotAllowed));
    assert_eq!(send(&key, part([6; 32], 0, b"mine", false)).await, Err(LogRefusal::NotAllowed));
    assert!(app.logs.leases().is_empty());

    // A gap is answered with what is held; so are pieces that come again.
    assert_eq!(send(&key, part(LEASE, 5, b"late", false)).await, Ok((0, true)));
    assert_eq!(send(&key, part(LEASE, 0, b"begun\n", false)).await, Ok((6, true)));
    assert_eq!(send(&key, part(LEASE, 0, b"begun\n", false)).await, Ok((6, true)));
    assert_eq!(send(&stranger, part(LEASE, 6, b"forged", true)).await, Err(LogRefusal::NotAllowed));
    let whole = vec![b'x'; LOG_PIECE_BYTES_MAX];
    let end = 6 + LOG_PIECE_BYTES_MAX as u64;
    assert_eq!(send(&key, part(LEASE, 6, &whole, true)).await, Ok((end, false)));
    assert_eq!(send(&key, part(LEASE, end, b"more", false)).await, Err(LogRefusal::Ended));
    let read = app.logs.read((LEASE, 7), 0, 1 << 20).await;
    assert_eq!(
        (&read.bytes[..6], read.bytes.len() as u64, read.complete),
        (b"begun\n".as_slice(), end, true)
    );

    // A longer piece does not even fit into a frame; the node lives.
    let long = client.append_log(part(LEASE, end, &vec![0; 2 * LOG_PIECE_BYTES_MAX], false), &key).await;
    assert!(long.is_err());
    assert_eq!(send(&key, part(LEASE, 0, b"", false)).await, Ok((end, false)));
    let member = a.member();
    let other_chain = PeerClient::new([2; 32], &member.address.with(Protocol::P2p(member.peer_id))).unwrap();
    let outcome = other_chain.append_log(part(LEASE, 0, b"", false), &key).await;
    assert!(matches!(outcome, Err(PeerError::WrongChain)), "{outcome:?}");
}

#[tokio::test]
async fn a_changed_or_stolen_piece_is_not_kept() {
    let [a, b] = plans();
    let app = App::new();
    let key = SecretKey::generate();
    app.allowed.lock().unwrap().push(key.public_key());
    let terms = LogTerms {
        chain_id: CHAIN,
        node: a.key.public_key(),
        lease: LEASE,
        job: 0,
        offset: 0,
        hash: [0; 32],
        ended: false,
        sender: key.public_key(),
        expires_ms: hansa_node_api::peer::now_ms() + 60_000,
    };
    let good = LogCall::sign(terms.clone(), b"loss 0.5\n".to_vec(), &key);
    let mut other_signer = good.clone();
    other_signer.terms.sender = SecretKey::generate().public_key();
    let mut other_bytes = good.clone();
    other_bytes.bytes[0] ^= 1;
    let too_long = LogCall::sign(terms.clone(), vec![0; LOG_PIECE_BYTES_MAX + 1], &key);
    let old = LogCall::sign(LogTerms { expires_ms: 1, ..terms }, b"x".to_vec(), &key);
    let serve = async |plan: &Plan, call: &LogCall| {
        super::super::serve::log(&*app, call.clone(), &CHAIN, &plan.key.public_key()).await
    };
    for (plan, call, refusal) in [
        (&b, &good, LogRefusal::WrongNode),
        (&a, &other_signer, LogRefusal::BadSignature),
        (&a, &other_bytes, LogRefusal::Malformed),
        (&a, &too_long, LogRefusal::TooLarge),
        (&a, &old, LogRefusal::Expired),
    ] {
        assert_eq!(serve(plan, call).await, LogReply::Refused(refusal));
    }
    assert!(app.logs.leases().is_empty());
    let held = LogHeld { next_offset: 9, open: true };
    assert_eq!(serve(&a, &good).await, LogReply::Held(held));
    assert_eq!(serve(&a, &good).await, LogReply::Held(held), "the same again is no second piece");
}
