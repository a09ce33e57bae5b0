//! Topics, message ids, and the queues between gossip and the application.

use super::member::MemberReply;
use super::{Acceptance, NetworkApplication, NetworkLimits, PeerId};
use bytes::Bytes;
use libp2p::gossipsub::{IdentTopic, Message, MessageId, TopicHash};
use libp2p::request_response::ResponseChannel;
use std::sync::Arc;
use tokio::sync::mpsc;

/// The two topics of a chain.
pub(super) struct Topics {
    pub(super) transactions: IdentTopic,
    pub(super) adverts: IdentTopic,
}

/// Which of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Transactions,
    Advert,
}

impl Topics {
    pub(super) fn new(chain_id: &[u8; 32]) -> Self {
        let topic = |name| IdentTopic::new(format!("/hansa/{}/{name}/1", hex::encode(chain_id)));
        Self { transactions: topic("transactions"), adverts: topic("adverts") }
    }

    pub(super) fn kind(&self, topic: &TopicHash) -> Option<Kind> {
        if *topic == self.transactions.hash() {
            Some(Kind::Transactions)
        } else if *topic == self.adverts.hash() {
            Some(Kind::Advert)
        } else {
            None
        }
    }
}

/// BLAKE3 of topic and content. The topic is part of it: otherwise somebody's bundle, sent first as a worthless advert, would
/// count as seen and be dropped where it belongs.
pub(super) fn message_id(message: &Message) -> MessageId {
    let topic = message.topic.as_str().as_bytes();
    let mut hasher = blake3::Hasher::new();
    hasher.update(&(topic.len() as u64).to_le_bytes()).update(topic).update(&message.data);
    MessageId(hasher.finalize().as_bytes().to_vec())
}

/// How a message came, and so where its verdict goes.
#[derive(Debug)]
pub(super) enum Origin {
    /// By gossip: the verdict decides whether it is forwarded.
    Gossip { id: MessageId },
    /// By request of a member: the verdict is the answer.
    Request { answer: ResponseChannel<MemberReply>, bundle: Bytes },
}

/// A message that waits for the application.
#[derive(Debug)]
pub(super) struct Check {
    pub(super) from: PeerId,
    pub(super) bytes: Bytes,
    pub(super) origin: Origin,
}

/// What the application made of it.
#[derive(Debug)]
pub(super) struct Verdict {
    pub(super) from: PeerId,
    pub(super) origin: Origin,
    pub(super) acceptance: Acceptance,
}

/// The ends of the two queues that the event loop holds. Each kind has its own queue and its own worker: however many adverts
/// come, transactions do not wait behind them.
pub(super) struct Checks {
    pub(super) transactions: mpsc::Sender<Check>,
    pub(super) adverts: mpsc::Sender<Check>,
    pub(super) verdicts: mpsc::Receiver<Verdict>,
}

/// Starts the workers. They end with the queues.
pub(super) fn start_checks(
    application: &Arc<dyn NetworkApplication>,
    limits: &NetworkLimits,
    tasks: &mut tokio::task::JoinSet<()>,
) -> Checks {
    let (transactions, transactions_queue) = mpsc::channel(limits.transaction_checks_waiting_max);
    let (adverts, adverts_queue) = mpsc::channel(limits.advert_checks_waiting_max);
    let (verdicts_sender, verdicts) = mpsc::channel(limits.transaction_checks_waiting_max);
    for (kind, queue) in [(Kind::Transactions, transactions_queue), (Kind::Advert, adverts_queue)] {
        tasks.spawn(check_all(application.clone(), kind, queue, verdicts_sender.clone()));
    }
    Checks { transactions, adverts, verdicts }
}

async fn check_all(
    application: Arc<dyn NetworkApplication>,
    kind: Kind,
    mut queue: mpsc::Receiver<Check>,
    verdicts: mpsc::Sender<Verdict>,
) {
    while let Some(Check { from, bytes, origin }) = queue.recv().await {
        let acceptance = match kind {
            Kind::Transactions => application.transactions(Some(from), bytes).await,
            Kind::Advert => application.advert(bytes).await,
        };
        if verdicts.send(Verdict { from, origin, acceptance }).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_differ_by_topic_and_by_content_alone() {
        let topics = Topics::new(&[1; 32]);
        let id = |topic: &IdentTopic, data: &[u8]| {
            message_id(&Message {
                source: Some(PeerId::random()),
                data: data.to_vec(),
                sequence_number: Some(7),
                topic: topic.hash(),
            })
        };
        assert_eq!(id(&topics.transactions, b"x"), id(&topics.transactions, b"x"));
        assert_ne!(id(&topics.transactions, b"x"), id(&topics.adverts, b"x"));
        assert_ne!(id(&topics.transactions, b"x"), id(&topics.transactions, b"y"));
        assert_eq!(topics.kind(&Topics::new(&[2; 32]).adverts.hash()), None);
    }
}
