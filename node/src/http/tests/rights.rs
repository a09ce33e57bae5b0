//! Who gets which blob, over HTTP and in the name of a lease, on leases that the ledger really awarded.

use super::double::{Double, centre, demand, key, name, rival, startup};
use super::{HttpLimits, Server};
use crate::http::Backend as _;
use crate::rights::{MANIFESTS_MAX, blob_right, named_by_ledger};
use hansa_ledger::action::{Action, PlaceRequest, ReportJob, RunJob, StartLease, request_id};
use hansa_ledger::id::{BlobHash, LeaseId, OrganisationId};
use hansa_ledger::row::{Demand, Purse, Source};
use hansa_ledger::tables::{Classes, Keys, Leases};
use hansa_ledger::time::TimeMs;
use hansa_ledger::transaction::Transaction;
use hansa_node_api::Fault;
use hansa_node_api::job::{JobFile, JobLimits, Manifest};
use hansa_node_api::peer::now_ms;
use std::sync::atomic::Ordering;

impl Server {
    async fn put(&self, who: &str, content: &[u8]) -> BlobHash {
        self.client.put_blob_bytes(self.double.chain, &key(who), content.to_vec()).await.unwrap().hash
    }

    /// Why `who` does not get the blob over HTTP; none if it does.
    async fn refusal(&self, who: &str, hash: BlobHash) -> Option<Fault> {
        let got = self.client.get_blob_bytes(self.double.chain, &key(who), hash, 4_096).await;
        got.err().map(|error| error.fault().expect("the node answers"))
    }

    /// Whose quota it counts against when `who` gets the blob in the name of the lease; none if it is refused.
    async fn gets(&self, who: &str, lease: LeaseId, hash: BlobHash) -> Option<OrganisationId> {
        let double: &Double = &self.double;
        blob_right(double, &double.blobs, &key(who).public_key(), &lease, &hash, false).await
    }

    /// A lease that `who` pays in cash, with this job.
    pub(super) async fn lease(&self, who: &str, sources: Vec<Source>, job: BlobHash) -> LeaseId {
        let demand = Demand { sources, job: Some(job), ..demand() };
        let (signed, _) = self.account(who).send_signed(vec![PlaceRequest { demand }.into()]).await.unwrap();
        let mut due = None;
        self.double
            .read(&mut |state| due = state.get::<Classes>(&name("h100")).and_then(|class| class.batch_due));
        self.double.produce(due.expect("a batch is due").max(self.double.later()));
        let lease = LeaseId::derive(&request_id(signed.id(), 0));
        self.client.lease(&lease).await.expect("the batch awards it");
        lease
    }

    /// Does this in a block of that time.
    pub(super) async fn act_at(&self, who: &str, action: impl Into<Action>, time: TimeMs) {
        let mut nonce = 0;
        let signer = key(who);
        self.double.read(&mut |state| nonce = state.get::<Keys>(&signer.public_key()).unwrap().nonce);
        let transaction = Transaction {
            chain: self.double.chain,
            signer: signer.public_key(),
            nonce,
            valid_until: time.plus(60_000),
            actions: vec![action.into()],
        };
        self.double.instant.store(false, Ordering::SeqCst);
        self.double.submit(transaction.sign(&signer).encode()).await.unwrap();
        let record = self.double.produce(time);
        assert_eq!(record.receipts.transactions[0].code, 0);
        self.double.instant.store(true, Ordering::SeqCst);
    }
}

fn manifest(files: &[BlobHash]) -> Vec<u8> {
    let files = files.iter().enumerate().map(|(index, hash)| JobFile {
        path: format!("file-{index}"),
        hash: *hash,
        size: 1,
        executable: false,
    });
    Manifest::new(vec!["true".to_owned()], files.collect(), Vec::new(), JobLimits::default())
        .unwrap()
        .encode()
}

fn cash() -> Vec<Source> {
    vec![Source { purse: Purse::Cash, share_bps: 10_000 }]
}

pub(super) async fn open_market_of_two() -> Server {
    let server = Server::start(HttpLimits::default()).await;
    server.open_market().await;
    for (who, action) in rival(server.double.chain) {
        server.send(who, action).await;
    }
    server
}

#[tokio::test]
async fn a_requester_opens_nothing_of_another_by_naming_its_manifest() {
    let server = open_market_of_two().await;
    let secret = server.put("kodu", b"what kodu trains on").await;
    let job = server.put("kodu", &manifest(&[secret])).await;
    let lease = server.lease("kodu", demand().sources, job).await;
    for hash in [secret, job] {
        assert_eq!(server.gets("kodu", lease, hash).await, Some(startup()));
        assert_eq!(server.gets("mare", lease, hash).await, Some(startup()), "the provider has to run it");
        assert_eq!(server.gets("rivaal", lease, hash).await, None);
        assert_eq!(server.refusal("kodu", hash).await, None);
        assert_eq!(server.refusal("mare", hash).await, None);
        assert_eq!(server.refusal("rivaal", hash).await, Some(Fault::BlobForbidden));
    }

    // The manifest's hash is on the ledger: the rival runs it in a lease of its own, and one that lists the file itself.
    let theirs = server.lease("rivaal", cash(), job).await;
    let listing = server.put("rivaal", &manifest(&[secret, BlobHash([9; 32])])).await;
    server.send("rivaal", RunJob { lease: theirs, manifest: listing }).await;
    server.send("rivaal", RunJob { lease: theirs, manifest: secret }).await;
    for hash in [secret, job] {
        for who in ["rivaal", "mare"] {
            assert_eq!(server.gets(who, theirs, hash).await, None, "{who}");
        }
        assert_eq!(server.refusal("rivaal", hash).await, Some(Fault::BlobUnknown));
        assert_eq!(server.refusal("kodu", hash).await, None);
    }
    assert!(server.gets("mare", theirs, listing).await.is_some());

    // Who has the content has it by right.
    assert_eq!(server.put("rivaal", b"what kodu trains on").await, secret);
    assert!(server.gets("mare", theirs, secret).await.is_some());
    assert_eq!(server.refusal("rivaal", secret).await, None);
    assert_eq!(server.refusal("rivaal", job).await, Some(Fault::BlobUnknown));
}

#[tokio::test]
async fn a_provider_opens_nothing_by_what_it_reports() {
    let server = open_market_of_two().await;
    let (input, secret) =
        (server.put("kodu", b"for mare").await, server.put("kodu", b"for somebody else").await);
    let job = server.put("kodu", &manifest(&[input])).await;
    let elsewhere = server.put("kodu", &manifest(&[secret])).await;
    let lease = server.lease("kodu", demand().sources, job).await;
    let mut start = TimeMs(0);
    server.double.read(&mut |state| start = state.get::<Leases>(&lease).unwrap().agreement.start);
    server.act_at("mare", StartLease { lease }, start.max(server.double.later())).await;
    let report = ReportJob { lease, job: 0, exit_code: Some(0), outputs: Some(elsewhere), failure: None };
    server.act_at("mare", report, server.double.later()).await;
    for hash in [secret, elsewhere] {
        assert_eq!(server.gets("mare", lease, hash).await, None);
        assert!(server.refusal("mare", hash).await.is_some());
        assert_eq!(server.gets("kodu", lease, hash).await, Some(startup()));
    }
    assert_eq!(
        server.gets("mare", lease, input).await,
        Some(startup()),
        "an ended job may have to be run again"
    );
}

#[tokio::test]
async fn no_more_manifests_are_read_than_a_request_is_worth() {
    let server = open_market_of_two().await;
    let file = server.put("kodu", b"data").await;
    let first = server.put("kodu", &manifest(&[file])).await;
    let lease = server.lease("kodu", demand().sources, BlobHash([7; 32])).await;
    let account = server.account("kodu");
    let jobs = |count: usize, seed: usize| -> Vec<Action> {
        let hash = |index: usize| BlobHash(*blake3::hash(&(seed + index).to_le_bytes()).as_bytes());
        (0..count).map(|index| RunJob { lease, manifest: hash(index) }.into()).collect()
    };
    // With the demand's own job one fewer than the limit wait in front of it.
    for seed in 0..(MANIFESTS_MAX - 2) / 2 {
        account.send(jobs(2, 1_000 + seed * 2)).await.unwrap();
    }
    account.send(vec![RunJob { lease, manifest: first }.into()]).await.unwrap();
    assert!(server.gets("mare", lease, file).await.is_some(), "the last within the limit");
    let second_file = server.put("kodu", b"more data").await;
    let second = server.put("kodu", &manifest(&[second_file])).await;
    account
        .send(vec![RunJob { lease, manifest: second }.into(), RunJob { lease, manifest: first }.into()])
        .await
        .unwrap();
    assert!(server.gets("mare", lease, second_file).await.is_none(), "its turn has not come");
    assert!(server.refusal("mare", second_file).await.is_some());
    assert!(server.gets("kodu", lease, second_file).await.is_some(), "its own needs no manifest");
}

#[tokio::test]
async fn only_its_owner_keeps_a_blob_alive_by_naming_it() {
    let server = open_market_of_two().await;
    let secret = server.put("kodu", b"old data").await;
    let job = server.put("kodu", &manifest(&[secret])).await;
    let listing = server.put("rivaal", &manifest(&[secret, BlobHash([9; 32])])).await;
    let theirs = server.lease("rivaal", cash(), job).await;
    server.send("rivaal", RunJob { lease: theirs, manifest: listing }).await;
    let double: &Double = &server.double;
    let named = named_by_ledger(double, &double.blobs, now_ms(), 1_000).await;
    assert_eq!(named.into_iter().collect::<Vec<_>>(), [listing]);
    server.lease("kodu", demand().sources, job).await;
    let named = named_by_ledger(double, &double.blobs, now_ms(), 1_000).await;
    assert_eq!(named, [secret, job, listing].into());
    let provider = double.blobs.owns(&centre().0, &secret.0);
    assert!(!provider, "running a job gives its provider no account");
}
