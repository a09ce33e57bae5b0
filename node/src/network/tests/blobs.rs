use super::*;
use futures::StreamExt as _;
use hansa_node_api::peer::blob::{BlobCall, BlobDirection, BlobRefusal, BlobReply, BlobTerms};
use hansa_node_api::peer::client::{PeerClient, blob_behaviour};
use hansa_node_api::peer::slice::{PIECE_BYTES_MAX, extract};
use hansa_node_api::peer::transfer::{BlobTransport as _, PeerError, Transfer};
use libp2p::multiaddr::Protocol;
use libp2p::request_response::{self, ProtocolSupport};
use libp2p::swarm::SwarmEvent;
use libp2p::{noise, tcp, yamux};
use std::io::Cursor;

const PIECE: usize = PIECE_BYTES_MAX as usize;

fn content(length: usize, seed: u8) -> Vec<u8> {
    (0..length).map(|index| (index % 247) as u8 ^ seed).collect()
}

fn client(plan: &Plan) -> PeerClient {
    let member = plan.member();
    PeerClient::new(CHAIN, &member.address.with(Protocol::P2p(member.peer_id))).unwrap()
}

fn nothing(_: u64, _: u64) {}

#[tokio::test]
async fn a_blob_is_fetched_by_those_who_may_and_by_no_one_else() {
    let [a, b] = plans();
    let apps = [App::new(), App::new()];
    let _node_a = a.start(&[&b], &apps[0]).await;
    let node_b = b.start(&[&a], &apps[1]).await;
    let (key, stranger) = (SecretKey::generate(), SecretKey::generate());
    apps[0].allowed.lock().unwrap().push(key.public_key());
    let folder = tempfile::tempdir().unwrap();
    let into = folder.path().join("blob");
    for size in [0, 1, PIECE, 2 * PIECE + 5] {
        let bytes = content(size, 0);
        let hash = apps[0].blobs.put([size as u8; 32], None, bytes.as_slice(), 0).await.unwrap().hash;
        let seen = Mutex::new(Vec::new());
        let progress = |done, total| seen.lock().unwrap().push((done, total));
        let got = client(&a).get_blob(hash, LEASE, &key, &into, progress).await.unwrap();
        assert_eq!(got, size as u64);
        assert_eq!(std::fs::read(&into).unwrap(), bytes);
        assert_eq!(seen.lock().unwrap().last(), Some(&(size as u64, size as u64)));
        // A node fetches the same way.
        let transfer = Transfer { hash, lease: LEASE, key: &key };
        until_ready(&node_b, 1).await;
        let got = node_b.fetch_blob(a.member().peer_id, transfer, &into, nothing).await.unwrap();
        assert_eq!(got, size as u64);
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");

    let elsewhere = folder.path().join("other");
    let hash = hash_of(&content(1, 0));
    let refused = async |hash, lease, key: &SecretKey| match client(&a)
        .get_blob(hash, lease, key, &elsewhere, nothing)
        .await
    {
        Err(PeerError::Refused(refusal)) => refusal,
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(hash, LEASE, &stranger).await, BlobRefusal::NotAllowed);
    assert_eq!(refused(hash, [6; 32], &key).await, BlobRefusal::NotAllowed);
    assert_eq!(refused([9; 32], LEASE, &key).await, BlobRefusal::NotFound);
    assert!(!elsewhere.exists());
    let member = a.member();
    let address = member.address.with(Protocol::P2p(member.peer_id));
    let other_chain = PeerClient::new([2; 32], &address).unwrap();
    let outcome = other_chain.get_blob(hash, LEASE, &key, &elsewhere, nothing).await;
    assert!(matches!(outcome, Err(PeerError::WrongChain)), "{outcome:?}");
}

#[tokio::test]
async fn a_blob_is_sent_verified_bounded_and_within_the_quota() {
    let [a] = plans();
    let app = App::new();
    let _node = a.start(&[], &app).await;
    let key = SecretKey::generate();
    app.allowed.lock().unwrap().push(key.public_key());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("output");
    let client = client(&a);
    let mut kept = 0;
    for size in [0, 1, PIECE, 2 * PIECE + 5] {
        let bytes = content(size, 1);
        std::fs::write(&path, &bytes).unwrap();
        let hash = hash_of(&bytes);
        for _ in 0..2 {
            let sent = client.put_blob(&path, hash, LEASE, &key, nothing).await.unwrap();
            assert_eq!(sent, size as u64);
        }
        kept += size as u64;
        assert_eq!(app.blobs.size(&hash), Some(size as u64));
        assert_eq!(app.blobs.used(&key.public_key().0), kept);
        client.get_blob(hash, LEASE, &key, &folder.path().join("back"), nothing).await.unwrap();
        assert_eq!(std::fs::read(folder.path().join("back")).unwrap(), bytes);
    }
    let refused = async |size, key: &SecretKey| {
        let bytes = content(size, 2);
        std::fs::write(&path, &bytes).unwrap();
        match client.put_blob(&path, hash_of(&bytes), LEASE, key, nothing).await {
            Err(PeerError::Refused(refusal)) => refusal,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(refused((4 << 20) + 1, &key).await, BlobRefusal::TooLarge);
    assert_eq!(refused(4 << 20, &key).await, BlobRefusal::QuotaExceeded);
    assert_eq!(refused(5, &SecretKey::generate()).await, BlobRefusal::NotAllowed);
    let outcome = client.put_blob(&path, [3; 32], LEASE, &key, nothing).await;
    assert!(matches!(outcome, Err(PeerError::Corrupt { source_name: "the file", .. })), "{outcome:?}");
    assert_eq!(app.blobs.used(&key.public_key().0), kept);
}

#[tokio::test]
async fn a_broken_fetch_goes_on_where_it_stopped() {
    let [a] = plans();
    let bytes = content(4 * PIECE - 9, 3);
    let key = SecretKey::generate();
    let apps = [App::new(), App::new()];
    for app in &apps {
        app.allowed.lock().unwrap().push(key.public_key());
        app.blobs.put([1; 32], None, bytes.as_slice(), 0).await.unwrap();
    }
    // The first node serves two pieces and then nothing more.
    apps[0].blob_gate.forget_permits(Semaphore::MAX_PERMITS - 2);
    let node = a.start(&[], &apps[0]).await;
    let folder = tempfile::tempdir().unwrap();
    let into = folder.path().join("blob");
    let client = client(&a);
    let fetch = client.get_blob(hash_of(&bytes), LEASE, &key, &into, nothing);
    let restart = async {
        until("the third piece is asked for", || apps[0].offsets.lock().unwrap().len() == 3).await;
        node.shutdown().await;
        a.start(&[], &apps[1]).await
    };
    let (fetched, _node) = tokio::join!(fetch, restart);
    assert_eq!(fetched.unwrap(), bytes.len() as u64);
    assert_eq!(std::fs::read(&into).unwrap(), bytes);
    assert_eq!(*apps[1].offsets.lock().unwrap(), [2 * PIECE as u64, 3 * PIECE as u64]);

    // A leftover on disk that is damaged is noticed and fetched anew; a good one is used.
    let partial = folder.path().join(format!(".{}.partial", hex::encode(hash_of(&bytes))));
    for (leftover, asked) in [(bytes[..PIECE + 1].to_vec(), 3), (vec![0; 2 * PIECE], 2 + 4)] {
        std::fs::write(&partial, leftover).unwrap();
        apps[1].offsets.lock().unwrap().clear();
        client.get_blob(hash_of(&bytes), LEASE, &key, &into, nothing).await.unwrap();
        assert_eq!(std::fs::read(&into).unwrap(), bytes);
        assert_eq!(apps[1].offsets.lock().unwrap().len(), asked);
    }
}

/// A signed call of `key` to the node of `plan`.
fn call(plan: &Plan, key: &SecretKey, direction: BlobDirection, bytes: &[u8]) -> BlobCall {
    let (outboard, hash) = bao::encode::outboard(bytes);
    let put = direction == BlobDirection::Put;
    let terms = BlobTerms {
        chain_id: CHAIN,
        node: plan.key.public_key(),
        direction,
        hash: *hash.as_bytes(),
        offset: 0,
        length: PIECE_BYTES_MAX,
        total: if put { bytes.len() as u64 } else { 0 },
        lease: LEASE,
        requester: key.public_key(),
        expires_ms: hansa_node_api::peer::now_ms() + 60_000,
    };
    let cut = || extract(Cursor::new(bytes), Cursor::new(outboard), 0, PIECE_BYTES_MAX).unwrap();
    BlobCall { request: BlobRequest::sign(terms, key), slice: if put { cut() } else { Vec::new() } }
}

#[tokio::test]
async fn a_false_piece_is_not_written_and_a_stolen_request_is_worth_nothing() {
    let [a, b] = plans();
    let app = App::new();
    let key = SecretKey::generate();
    app.allowed.lock().unwrap().push(key.public_key());
    let bytes = content(5_000, 6);
    let serve = async |plan: &Plan, call: &BlobCall| {
        super::super::serve::blob(&*app, call.clone(), &CHAIN, &plan.key.public_key()).await
    };
    let put = call(&a, &key, BlobDirection::Put, &bytes);
    let mut other_signer = put.clone();
    other_signer.request.terms.requester = SecretKey::generate().public_key();
    for (plan, call, refusal) in
        [(&b, &put, BlobRefusal::WrongNode), (&a, &other_signer, BlobRefusal::BadSignature)]
    {
        assert_eq!(serve(plan, call).await, BlobReply::Refused(refusal));
    }
    assert!(app.offsets.lock().unwrap().is_empty(), "nobody was asked about them");
    let mut changed = put.clone();
    *changed.slice.last_mut().unwrap() ^= 1;
    assert_eq!(serve(&a, &changed).await, BlobReply::Refused(BlobRefusal::Malformed));
    let get = call(&a, &key, BlobDirection::Get, &bytes);
    assert_eq!(serve(&a, &get).await, BlobReply::Refused(BlobRefusal::NotFound));
    assert_eq!(app.blobs.used(&key.public_key().0), 0, "no upload was begun");
    let whole = BlobReply::Stored { next_offset: 5_000, complete: true };
    assert_eq!(serve(&a, &put).await, whole);
    assert!(matches!(serve(&a, &get).await, BlobReply::Piece { total: 5_000, .. }));
}

#[tokio::test]
async fn strangers_are_bounded_and_do_not_take_the_members_places() {
    let [a, b] = plans();
    let apps = [App::new(), App::new()];
    let mut config = a.config(&[&b]);
    config.limits.strangers_max = 1;
    let node_a = start(config.clone(), apps[0].clone()).await.unwrap();
    let get = call(&a, &SecretKey::generate(), BlobDirection::Get, b"x");
    let clients = [client(&a), client(&a)];
    let refused = BlobReply::Refused(BlobRefusal::NotAllowed);
    assert_eq!(clients[0].call(get.clone()).await.unwrap(), refused);
    let second = clients[1].call(get.clone()).await;
    assert!(matches!(second, Err(PeerError::Unreachable { .. })), "{second:?}");
    assert_eq!(clients[0].call(get.clone()).await.unwrap(), refused, "the first stays");
    let _node_b = b.start(&[&a], &apps[1]).await;
    until_ready(&node_a, 1).await;
    drop(clients);
    until("its place is free", || node_a.peers().iter().all(|peer| peer.member)).await;
    assert_eq!(client(&a).call(get.clone()).await.unwrap(), refused);
    node_a.shutdown().await;
    // Above its bound of memory a node takes no connection at all.
    config.limits.memory_bytes_max = 1;
    let _node_a = start(config, apps[0].clone()).await.unwrap();
    let outcome = client(&a).call(get).await;
    assert!(matches!(outcome, Err(PeerError::Unreachable { .. })), "{outcome:?}");
}

/// A server that has the blob but changes one byte of the content in its second piece.
async fn lying_server(plan: &Plan, bytes: Vec<u8>) {
    let secret = libp2p::identity::Keypair::ed25519_from_bytes(*plan.key.to_bytes()).unwrap();
    let mut swarm = libp2p::SwarmBuilder::with_existing_identity(secret)
        .with_tokio()
        .with_tcp(tcp::Config::default(), noise::Config::new, yamux::Config::default)
        .unwrap()
        .with_behaviour(|_| blob_behaviour(&CHAIN, ProtocolSupport::Inbound, 8))
        .unwrap()
        .build();
    swarm.listen_on(plan.address.clone()).unwrap();
    let (outboard, _) = bao::encode::outboard(&bytes);
    tokio::spawn(async move {
        loop {
            if let SwarmEvent::Behaviour(request_response::Event::Message {
                message: request_response::Message::Request { request, channel, .. },
                ..
            }) = swarm.select_next_some().await
            {
                let offset = request.request.terms.offset;
                let mut slice =
                    extract(Cursor::new(&bytes), Cursor::new(&outboard), offset, PIECE_BYTES_MAX).unwrap();
                if offset > 0 {
                    let last = slice.len() - 1;
                    slice[last] ^= 1;
                }
                let reply = BlobReply::Piece { total: bytes.len() as u64, slice };
                swarm.behaviour_mut().send_response(channel, reply).unwrap();
            }
        }
    });
}

#[tokio::test]
async fn a_lying_server_is_caught_in_the_piece_it_changes() {
    let [a] = plans();
    let bytes = content(3 * PIECE, 4);
    lying_server(&a, bytes.clone()).await;
    let folder = tempfile::tempdir().unwrap();
    let into = folder.path().join("blob");
    let seen = Mutex::new(Vec::new());
    let progress = |done, _| seen.lock().unwrap().push(done);
    let key = SecretKey::generate();
    let outcome = client(&a).get_blob(hash_of(&bytes), LEASE, &key, &into, progress).await;
    assert!(matches!(outcome, Err(PeerError::Corrupt { source_name: "the node", .. })), "{outcome:?}");
    assert!(!into.exists());
    // Only the piece that was true has been written.
    assert_eq!(*seen.lock().unwrap(), [PIECE as u64]);
    let partial = folder.path().join(format!(".{}.partial", hex::encode(hash_of(&bytes))));
    assert_eq!(std::fs::read(partial).unwrap(), bytes[..PIECE]);
}
