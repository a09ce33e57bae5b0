use super::*;

/// Three members that all know each other, with a limit changed.
async fn federation(change: impl Fn(&mut NetworkLimits)) -> ([Plan; 3], [Arc<App>; 3], Vec<NetworkHandle>) {
    let plans = plans::<3>();
    let apps = [App::new(), App::new(), App::new()];
    let mut nodes = Vec::new();
    for (plan, app) in plans.iter().zip(&apps) {
        let mut config = plan.config(&[&plans[0], &plans[1], &plans[2]]);
        change(&mut config.limits);
        nodes.push(start(config, app.clone()).await.unwrap());
    }
    for node in &nodes {
        until_ready(node, 2).await;
    }
    (plans, apps, nodes)
}

#[tokio::test]
async fn a_bundle_reaches_every_member_directly_or_over_the_mesh() {
    for explicit_members_max in [8, 0] {
        let (_, apps, nodes) = federation(|limits| limits.explicit_members_max = explicit_members_max).await;
        for (index, node) in nodes.iter().enumerate() {
            let bundle = format!("bundle {index}").into_bytes();
            node.publish_transactions(bundle.clone().into()).unwrap();
            for (other, app) in apps.iter().enumerate().filter(|(other, _)| *other != index) {
                until(&format!("{other} hears {index}"), || app.heard(&bundle)).await;
            }
            assert!(!apps[index].heard(&bundle), "one's own does not come back");
        }
        for (app, node) in apps.iter().zip(&nodes) {
            assert_eq!(app.bundles().len(), 2, "each once");
            assert_eq!(app.connected.lock().unwrap().len(), 2);
            assert_eq!(node.counts().unheard, 0);
        }
        for node in &nodes {
            node.shutdown().await;
            assert_eq!(node.publish_advert(Bytes::new()), Err(PublishRefusal::Stopped));
        }
    }
}

#[tokio::test]
async fn only_accepted_bundles_are_forwarded_and_rejections_are_counted() {
    let [a, b, c] = plans();
    let apps = [App::new(), App::new(), App::new()];
    let node_a = a.start(&[&b], &apps[0]).await;
    let mut config = b.config(&[&a, &c]);
    config.limits.rejections_per_minute_max = 2;
    let node_b = start(config, apps[1].clone()).await.unwrap();
    let node_c = c.start(&[&b], &apps[2]).await;
    for (node, members) in [(&node_a, 1), (&node_b, 2), (&node_c, 1)] {
        until_ready(node, members).await;
    }
    for bundle in [&b"bad 1"[..], b"old 1", b"good 1"] {
        node_a.publish_transactions(Bytes::from_static(bundle)).unwrap();
    }
    // Bundles keep their order on the way, so what C hears before the good one is all that was forwarded before it.
    until("C hears the good one", || apps[2].heard(b"good 1")).await;
    assert_eq!(apps[2].bundles(), [b"good 1"]);
    assert_eq!(apps[1].bundles(), [&b"bad 1"[..], b"old 1", b"good 1"]);
    let counts = node_b.counts();
    assert_eq!((counts.accepted, counts.ignored, counts.rejected), (1, 1, 1));

    // A second rejection uses A's share up: what follows from it is not even judged, while C is still heard.
    node_a.publish_transactions(Bytes::from_static(b"bad 2")).unwrap();
    until("B rejects again", || node_b.counts().rejected == 2).await;
    node_a.publish_transactions(Bytes::from_static(b"good 2")).unwrap();
    until("B is over A's rate", || node_b.counts().over_rate == 1).await;
    node_c.publish_transactions(Bytes::from_static(b"good 3")).unwrap();
    until("A hears C", || apps[0].heard(b"good 3")).await;
    assert!(!apps[1].heard(b"good 2") && !apps[2].heard(b"good 2"));
}

#[tokio::test]
async fn a_node_of_another_chain_is_disconnected() {
    let [a, b, c] = plans();
    let apps = [App::new(), App::new(), App::new()];
    let node_a = a.start(&[&b, &c], &apps[0]).await;
    let mut config = b.config(&[&a]);
    config.chain_id = [2; 32];
    let node_b = start(config, apps[1].clone()).await.unwrap();
    let _node_c = c.start(&[&a], &apps[2]).await;
    until("both see it", || node_a.counts().wrong_chain > 0 && node_b.counts().wrong_chain > 0).await;
    until_ready(&node_a, 1).await;
    node_a.publish_transactions(Bytes::from_static(b"x")).unwrap();
    until("C hears A", || apps[2].heard(b"x")).await;
    assert_eq!(apps[1].bundles().len() + apps[1].connected.lock().unwrap().len(), 0);
    assert!(node_a.peers().iter().all(|peer| !peer.ready || peer.peer_id == c.member().peer_id));
}

#[tokio::test]
async fn a_stranger_neither_publishes_nor_asks_for_bodies() {
    let [a, b, stranger] = plans();
    let apps = [App::new(), App::new(), App::new()];
    apps[0].bodies.lock().unwrap().insert([7; 32], b"body".to_vec());
    let node_a = a.start(&[&b], &apps[0]).await;
    let node_b = b.start(&[&a], &apps[1]).await;
    // The stranger takes itself for a member; A does not.
    let node = stranger.start(&[&a], &apps[2]).await;
    until_ready(&node_b, 1).await;
    let strange = |peer: &PeerInfo| peer.peer_id == stranger.member().peer_id && peer.ready;
    until("A knows it as a stranger", || node_a.peers().iter().any(|peer| strange(peer) && !peer.member))
        .await;
    node.publish_transactions(Bytes::from_static(b"strange")).unwrap();
    until("it is not heard", || node.counts().unheard == 1).await;
    assert_eq!(node.send_transactions(a.member().peer_id, Bytes::from_static(b"strange")).await, None);
    let ask = async |node: &NetworkHandle| {
        let request = super::super::member::MemberRequest::Body([7; 32]);
        node.ask_member(a.member().peer_id, request).await
    };
    assert_eq!(ask(&node).await, None);
    assert_eq!(*apps[0].bodies_asked.lock().unwrap(), 0);
    assert!(ask(&node_b).await.is_some(), "while a member is answered");
    // And it hears nothing.
    node_a.publish_transactions(Bytes::from_static(b"secret")).unwrap();
    until("B hears", || apps[1].heard(b"secret")).await;
    assert_eq!((apps[0].bundles().len(), apps[2].bundles().len()), (0, 0));
}

#[tokio::test]
async fn a_body_is_fetched_from_whoever_has_the_right_one() {
    let (_, apps, nodes) = federation(|_| ()).await;
    let id = [7; 32];
    let fetch = |time_max| nodes[0].fetch_body(id, Duration::from_millis(time_max), |body| body == b"true");
    assert_eq!(fetch(5_000).await, None, "nobody has it");
    apps[1].bodies.lock().unwrap().insert(id, b"false".to_vec());
    assert_eq!(fetch(5_000).await, None, "a lie is no answer");
    apps[2].bodies.lock().unwrap().insert(id, b"true".to_vec());
    assert_eq!(fetch(5_000).await, Some(Bytes::from_static(b"true")));
}

#[tokio::test]
async fn a_flood_of_adverts_is_bounded_and_delays_no_transaction() {
    let [a, b] = plans();
    let apps = [App::new(), App::new()];
    let node_a = a.start(&[&b], &apps[0]).await;
    let mut config = b.config(&[&a]);
    config.limits.adverts_per_second_max = 1_000_000;
    config.limits.advert_checks_waiting_max = 4;
    let node_b = start(config, apps[1].clone()).await.unwrap();
    until_ready(&node_a, 1).await;
    until_ready(&node_b, 1).await;
    // B's application judges no advert at all for now.
    apps[1].advert_gate.forget_permits(Semaphore::MAX_PERMITS);
    for round in 0..20u32 {
        for number in 0..50u32 {
            let advert = [round.to_le_bytes(), number.to_le_bytes()].concat();
            while node_a.publish_advert(advert.clone().into()) == Err(PublishRefusal::QueueFull) {
                tokio::task::yield_now().await;
            }
        }
        let bundle = round.to_le_bytes().to_vec();
        node_a.publish_transactions(bundle.clone().into()).unwrap();
        until("the bundle passes the flood", || apps[1].heard(&bundle)).await;
    }
    // Kept are the queue's worth and the one that is being judged.
    until("all the rest is dropped", || node_b.counts().adverts_dropped == 1_000 - 5).await;
    assert_eq!(*apps[1].adverts.lock().unwrap(), 0);
    apps[1].advert_gate.add_permits(1_000);
    until("what was kept is judged", || *apps[1].adverts.lock().unwrap() == 5).await;
    assert_eq!(node_b.counts().over_rate, 0, "the queue did it, not the rate");
}

#[tokio::test]
async fn a_member_over_its_rate_is_not_judged() {
    let [a, b] = plans();
    let apps = [App::new(), App::new()];
    let node_a = a.start(&[&b], &apps[0]).await;
    let mut config = b.config(&[&a]);
    config.limits.bundle_bytes_per_second_max = 1_000;
    let node_b = start(config, apps[1].clone()).await.unwrap();
    until_ready(&node_a, 1).await;
    until_ready(&node_b, 1).await;
    node_a.publish_transactions(vec![1; 900].into()).unwrap();
    node_a.publish_transactions(vec![2; 1_001].into()).unwrap();
    until("one is cut", || node_b.counts().over_rate == 1).await;
    until("the other is judged", || apps[1].heard(&[1; 900])).await;
    assert!(!apps[1].heard(&[2; 1_001]));
}

#[tokio::test]
async fn an_oversize_message_is_refused_on_both_sides() {
    let [a, b] = plans();
    let apps = [App::new(), App::new()];
    let mut config = a.config(&[&b]);
    config.limits.bundle_bytes_max = 1 << 20;
    let node_a = start(config, apps[0].clone()).await.unwrap();
    let node_b = b.start(&[&a], &apps[1]).await;
    until_ready(&node_a, 1).await;
    until_ready(&node_b, 1).await;
    let limit = NetworkLimits::default().bundle_bytes_max;
    let over = Bytes::from(vec![1; limit + 1]);
    assert_eq!(node_b.publish_transactions(over), Err(PublishRefusal::TooLarge));
    let advert = Bytes::from(vec![1; 513]);
    assert_eq!(node_b.publish_advert(advert), Err(PublishRefusal::TooLarge));
    // A believes in larger bundles; B cuts it off and goes on hearing what fits.
    node_a.publish_transactions(vec![2; 4 * limit].into()).unwrap();
    let mut number = 0u32;
    let mut look = tokio::time::interval(Duration::from_millis(20));
    tokio::time::timeout(Duration::from_secs(30), async {
        while apps[1].bundles().is_empty() {
            look.tick().await;
            number += 1;
            node_a.publish_transactions(number.to_le_bytes().to_vec().into()).unwrap();
        }
    })
    .await
    .expect("B hears A again");
    assert!(apps[1].bundles().iter().all(|bundle| bundle.len() == 4));
}

#[tokio::test]
async fn a_member_that_restarts_is_found_again_and_given_what_it_missed() {
    let [a, b, nobody] = plans();
    let apps = [App::new(), App::new()];
    let node_a = a.start(&[&b], &apps[0]).await;
    let node_b = b.start(&[&a], &apps[1]).await;
    until_ready(&node_a, 1).await;
    node_b.shutdown().await;
    until("A sees it go", || node_a.peers().is_empty()).await;
    let missed = Bytes::from_static(b"missed");
    node_a.publish_transactions(missed.clone()).unwrap();
    until("nobody hears", || node_a.counts().unheard == 1).await;
    // B no longer knows where A is, so that it is A that has to dial.
    let lost = Plan { key: a.key.clone(), address: nobody.address.clone() };
    let _node_b = b.start(&[&lost], &apps[1]).await;
    let peer = b.member().peer_id;
    until("A is told of it again", || apps[0].connections(peer) == 2).await;
    assert_eq!(node_a.send_transactions(peer, missed).await, Some(true));
    assert_eq!(node_a.send_transactions(peer, Bytes::from_static(b"bad")).await, Some(false));
    assert_eq!(apps[1].bundles(), [&b"missed"[..], b"bad"]);
    node_a.publish_transactions(Bytes::from_static(b"new")).unwrap();
    until("gossip flows again", || apps[1].heard(b"new")).await;
}

#[tokio::test]
async fn a_port_in_use_and_a_name_as_address_are_refused_with_a_reason() {
    let [a, b] = plans();
    let app = App::new();
    let _node = a.start(&[], &app).await;
    let mut config = b.config(&[]);
    config.listen = vec![a.address.clone()];
    let error = start(config, app.clone()).await.unwrap_err();
    assert!(matches!(error, NetworkError::Listen { .. }), "{error}");
    let mut config = b.config(&[&a]);
    config.members[0].address = "/dns/example.org/tcp/1".parse().unwrap();
    let error = start(config, app).await.unwrap_err();
    assert!(matches!(error, NetworkError::Address(_)), "{error}");
}
