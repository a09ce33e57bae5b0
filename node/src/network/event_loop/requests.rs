//! What the event loop does with gossip and requests.

use super::*;

impl EventLoop {
    pub(super) fn on_gossip(&mut self, event: gossipsub::Event) {
        match event {
            gossipsub::Event::Message { propagation_source, message_id, message } => {
                let kind = self.topics.kind(&message.topic);
                let taken = kind.is_some_and(|kind| {
                    let bytes = Bytes::from(message.data);
                    let origin = Origin::Gossip { id: message_id.clone() };
                    self.within_rate(propagation_source, kind, bytes.len())
                        && self.check(kind, Check { from: propagation_source, bytes, origin }).is_none()
                });
                if !taken {
                    self.swarm.behaviour_mut().gossip.inner_mut().report_message_validation_result(
                        &message_id,
                        &propagation_source,
                        MessageAcceptance::Ignore,
                    );
                }
            }
            gossipsub::Event::Subscribed { peer_id, topic } => self.on_hearing(peer_id, &topic, true),
            gossipsub::Event::Unsubscribed { peer_id, topic } => self.on_hearing(peer_id, &topic, false),
            gossipsub::Event::SlowPeer { peer_id, .. } => {
                tracing::debug!(peer = %peer_id, "a member takes messages too slowly; some were dropped");
            }
            _ => {}
        }
    }

    fn on_hearing(&mut self, peer_id: PeerId, topic: &gossipsub::TopicHash, hears: bool) {
        match self.topics.kind(topic) {
            Some(Kind::Transactions) => self.change_peer(peer_id, |peer| peer.hears_transactions = hears),
            Some(Kind::Advert) => self.change_peer(peer_id, |peer| peer.hears_adverts = hears),
            None => {}
        }
    }

    fn within_rate(&mut self, from: PeerId, kind: Kind, bytes: usize) -> bool {
        let now = Instant::now();
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let within = self.peers.get_mut(&from).is_some_and(|peer| {
            peer.rejections.has(1, now)
                && match kind {
                    Kind::Transactions => peer.bundles.take(1, now) && peer.bundle_bytes.take(bytes, now),
                    Kind::Advert => peer.adverts.take(1, now),
                }
        });
        if !within {
            count(&self.counters.over_rate);
        }
        within
    }

    /// Queues a message for the application, or gives it back when too many wait.
    fn check(&mut self, kind: Kind, check: Check) -> Option<Check> {
        let (queue, dropped) = match kind {
            Kind::Transactions => (&self.checks.transactions, &self.counters.transactions_dropped),
            Kind::Advert => (&self.checks.adverts, &self.counters.adverts_dropped),
        };
        let refused = queue.try_send(check).err()?;
        count(dropped);
        Some(refused.into_inner())
    }

    pub(super) fn on_verdict(&mut self, verdict: Verdict) {
        let Verdict { from, origin, acceptance } = verdict;
        let (counter, reported) = match acceptance {
            Acceptance::Accept => (&self.counters.accepted, MessageAcceptance::Accept),
            Acceptance::Ignore => (&self.counters.ignored, MessageAcceptance::Ignore),
            Acceptance::Reject => (&self.counters.rejected, MessageAcceptance::Reject),
        };
        count(counter);
        if acceptance == Acceptance::Reject
            && let Some(peer) = self.peers.get_mut(&from)
        {
            peer.rejections.take(1, Instant::now());
        }
        let accepted = acceptance == Acceptance::Accept;
        match origin {
            Origin::Gossip { id } => {
                self.swarm
                    .behaviour_mut()
                    .gossip
                    .inner_mut()
                    .report_message_validation_result(&id, &from, reported);
            }
            Origin::Request { answer, bundle } => {
                if accepted {
                    // It was new here, so it may be new to others that were away from its sender.
                    self.publish(&self.topics.transactions.clone(), bundle);
                }
                self.on_answer(
                    from,
                    Answer::Member { reply: MemberReply::Taken { accepted }, channel: answer },
                );
            }
        }
    }

    /// Whether a request of this peer is served now; counts it in if so.
    fn begin_serving(&mut self, from: PeerId) -> bool {
        let Some(peer) = self.peers.get_mut(&from) else { return false };
        if !peer.requests.take(1, Instant::now()) {
            count(&self.counters.over_rate);
            return false;
        }
        if self.serving >= self.limits.requests_served_max
            || peer.serving >= self.limits.requests_served_per_peer_max
        {
            count(&self.counters.busy);
            return false;
        }
        peer.serving += 1;
        self.serving += 1;
        true
    }

    pub(super) fn on_member_request(&mut self, event: RequestEvent<MemberRequest, MemberReply>) {
        match event {
            RequestEvent::Message { peer, message: Message::Request { request, channel, .. }, .. } => {
                self.serve_member(peer, request, channel)
            }
            RequestEvent::Message { message: Message::Response { request_id, response }, .. } => {
                self.give_member_answer(request_id, Some(response))
            }
            RequestEvent::OutboundFailure { request_id, error, .. } => {
                tracing::debug!(%error, "a member did not answer");
                self.give_member_answer(request_id, None);
            }
            _ => {}
        }
    }

    fn give_member_answer(&mut self, id: OutboundRequestId, reply: Option<MemberReply>) {
        if let Some(answer) = self.member_answers.remove(&id) {
            // Whoever asked may have given up.
            let _ = answer.send(reply);
        }
    }

    fn serve_member(&mut self, from: PeerId, request: MemberRequest, channel: ResponseChannel<MemberReply>) {
        if !self.begin_serving(from) {
            // An error means that the member has gone.
            let _ = self.swarm.behaviour_mut().member.inner_mut().send_response(channel, MemberReply::Busy);
            return;
        }
        match request {
            MemberRequest::Body(id) => {
                let (application, answers) = (self.application.clone(), self.answers.clone());
                let body_bytes_max = self.limits.body_bytes_max;
                self.tasks.spawn(async move {
                    let reply = serve::body(&*application, id, body_bytes_max).await;
                    // An error means that the network stops.
                    let _ = answers.send((from, Answer::Member { reply, channel })).await;
                });
            }
            MemberRequest::Snapshot(request) => {
                let (application, answers) = (self.application.clone(), self.answers.clone());
                self.tasks.spawn(async move {
                    let reply = serve::snapshot(&*application, request).await;
                    // An error means that the network stops.
                    let _ = answers.send((from, Answer::Member { reply, channel })).await;
                });
            }
            MemberRequest::Tip => {
                let reply = MemberReply::Tip { height: self.tip.load(Ordering::Relaxed) };
                self.on_answer(from, Answer::Member { reply, channel });
            }
            MemberRequest::Transactions(bundle) => {
                let bundle = Bytes::from(bundle);
                let refused = if self.within_rate(from, Kind::Transactions, bundle.len()) {
                    let bytes = bundle.clone();
                    let origin = Origin::Request { answer: channel, bundle };
                    match self.check(Kind::Transactions, Check { from, bytes, origin }) {
                        Some(Check { origin: Origin::Request { answer, .. }, .. }) => Some(answer),
                        _ => None,
                    }
                } else {
                    Some(channel)
                };
                if let Some(channel) = refused {
                    self.on_answer(from, Answer::Member { reply: MemberReply::Busy, channel });
                }
            }
        }
    }

    pub(super) fn on_blob_request(&mut self, event: RequestEvent<BlobCall, BlobReply>) {
        match event {
            RequestEvent::Message { peer, message: Message::Request { request, channel, .. }, .. } => {
                if !self.begin_serving(peer) {
                    let busy = BlobReply::Refused(BlobRefusal::Busy);
                    // An error means that the peer has gone.
                    let _ = self.swarm.behaviour_mut().blob.send_response(channel, busy);
                    return;
                }
                let (application, answers) = (self.application.clone(), self.answers.clone());
                let (chain_id, node) = (self.chain_id, self.node);
                self.tasks.spawn(async move {
                    let reply = serve::blob(&*application, request, &chain_id, &node).await;
                    let answer = Answer::Blob { reply: Box::new(reply), channel };
                    // An error means that the network stops.
                    let _ = answers.send((peer, answer)).await;
                });
            }
            RequestEvent::Message { message: Message::Response { request_id, response }, .. } => {
                self.give_blob_answer(request_id, Ok(response))
            }
            RequestEvent::OutboundFailure { request_id, error, .. } => {
                self.give_blob_answer(request_id, Err(call_failure(&error)));
            }
            _ => {}
        }
    }

    pub(super) fn on_log_request(&mut self, event: RequestEvent<LogCall, LogReply>) {
        let RequestEvent::Message { peer, message: Message::Request { request, channel, .. }, .. } = event
        else {
            return;
        };
        if !self.begin_serving(peer) {
            // An error means that the peer has gone.
            let _ =
                self.swarm.behaviour_mut().log.send_response(channel, LogReply::Refused(LogRefusal::Busy));
            return;
        }
        let (application, answers) = (self.application.clone(), self.answers.clone());
        let (chain_id, node) = (self.chain_id, self.node);
        self.tasks.spawn(async move {
            let reply = serve::log(&*application, request, &chain_id, &node).await;
            // An error means that the network stops.
            let _ = answers.send((peer, Answer::Log { reply, channel })).await;
        });
    }

    fn give_blob_answer(&mut self, id: OutboundRequestId, reply: Result<BlobReply, PeerError>) {
        if let Some(answer) = self.blob_answers.remove(&id) {
            // Whoever asked may have given up.
            let _ = answer.send(reply);
        }
    }

    /// Sends an answer and gives its place free.
    pub(super) fn on_answer(&mut self, to: PeerId, answer: Answer) {
        self.serving = self.serving.saturating_sub(1);
        if let Some(peer) = self.peers.get_mut(&to) {
            peer.serving = peer.serving.saturating_sub(1);
        }
        count(&self.counters.served);
        let behaviour = self.swarm.behaviour_mut();
        // An error means that the peer has gone or given up: there is nobody to answer.
        match answer {
            Answer::Member { reply, channel } => {
                let _ = behaviour.member.inner_mut().send_response(channel, reply);
            }
            Answer::Blob { reply, channel } => {
                let _ = behaviour.blob.send_response(channel, *reply);
            }
            Answer::Log { reply, channel } => {
                let _ = behaviour.log.send_response(channel, reply);
            }
        }
    }

    pub(super) fn ask(&mut self, command: Command) {
        match command {
            Command::AskMember { peer, request, answer } => {
                if !self.redial.is_member(&peer) || !self.swarm.is_connected(&peer) {
                    // Whoever asked may have given up.
                    let _ = answer.send(None);
                    return;
                }
                let member = self.swarm.behaviour_mut().member.inner_mut();
                let id = member.send_request(&peer, request);
                self.member_answers.insert(id, answer);
            }
            Command::AskBlob { peer, call, answer } => {
                let addresses = self.redial.address(&peer).cloned().into_iter().collect();
                let blob = &mut self.swarm.behaviour_mut().blob;
                let id = blob.send_request_with_addresses(&peer, *call, addresses);
                self.blob_answers.insert(id, answer);
            }
            Command::Stop => {}
        }
    }
}
