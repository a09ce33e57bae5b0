//! Every resource: what it answers, and how it refuses.

use super::double::{centre, grant, key, name, spot, startup};
use super::{HttpLimits, Server};
use crate::http::ROUTES;
use hansa_ledger::action::TransferCash;
use hansa_ledger::id::{LeaseId, TransactionId};
use hansa_ledger::member::MemberCode;
use hansa_ledger::money::Money;
use hansa_ledger::rejection::Rejection;
use hansa_ledger::row::{AccountId, Roles};
use hansa_ledger::tables::{Accounts, Chains, Leases, Members};
use hansa_node_api::certificate::{CertificateError, genesis_validators};
use hansa_node_api::chain::TransactionStatus;
use hansa_node_api::filter::{GrantFilter, OrganisationFilter, PageFilter};
use hansa_node_api::organisation::MemberInfo;
use hansa_node_api::pass::{PASS_LIFE, ReadPass};
use hansa_node_api::proof::ProofError;
use hansa_node_api::{ApiError, Client, Fault};
use std::sync::atomic::Ordering;
use std::time::Duration;

#[test]
fn the_description_lists_every_route_and_nothing_else() {
    let description = serde_json::to_value(crate::http::openapi()).unwrap();
    let mut described: Vec<(String, String)> = Vec::new();
    for (path, methods) in description["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            assert!(operation["summary"].as_str().is_some_and(|text| !text.is_empty()), "{method} {path}");
            assert!(operation["responses"]["200"].is_object(), "{method} {path}");
            described.push((method.clone(), path.clone()));
        }
    }
    let mut routes: Vec<(String, String)> =
        ROUTES.iter().map(|(method, path)| ((*method).to_owned(), (*path).to_owned())).collect();
    described.sort();
    routes.sort();
    assert_eq!(described, routes);
    // Every schema that an answer refers to is there.
    let text = description.to_string();
    for part in text.split("\"#/components/schemas/").skip(1) {
        let schema = part.split('"').next().unwrap();
        assert!(description["components"]["schemas"][schema].is_object(), "{schema}");
    }
}

#[tokio::test]
async fn a_node_without_blocks_says_why_it_is_not_ready() {
    let server = Server::start(HttpLimits::default()).await;
    let health = server.client.ready().await.unwrap();
    assert_eq!((health.ok, health.reason.as_deref()), (false, Some("no block yet")));
    assert_eq!(server.ask("GET", "/health/ready").await, (503, "NotReady".to_owned()));
    assert_eq!(server.ask("GET", "/health/live").await.0, 200);
    assert_eq!(server.client.status().await.unwrap().height, 0);
    assert_eq!(server.ask("GET", "/v1/blocks/0").await, (404, "NotFound".to_owned()));
    assert_eq!(server.ask("GET", "/v1/proofs/chain/-").await, (503, "NotReady".to_owned()));
}

#[tokio::test]
async fn the_client_reads_what_the_ledger_holds() {
    let server = Server::start(HttpLimits::default()).await;
    let client = &server.client;
    server.open_market().await;

    let status = client.status().await.unwrap();
    assert_eq!((status.height, status.transactions, status.chain), (6, 6, server.double.chain));
    assert!(client.ready().await.unwrap().ok);
    assert_eq!(client.genesis().await.unwrap().chain_id(), server.double.chain);
    assert_eq!(client.params().await.unwrap(), server.double.genesis.params);
    assert_eq!(client.peers().await.unwrap().len(), 1);
    assert_eq!(client.metrics().await.unwrap(), "hansa_height 1\n");

    let members = client.members().await.unwrap();
    let codes: Vec<String> = members.iter().map(|member| member.code.to_string()).collect();
    assert_eq!(codes, ["DE", "EE", "ES", "EU", "FR"]);
    let issued = Money(105_000_000);
    assert_eq!((members[1].row.issued, members[1].issue_headroom), (issued, Money(1_000_000_000 - issued.0)));

    let home = OrganisationFilter { home: Some("EE".parse().unwrap()), ..Default::default() };
    let organisations = client.organisations(&home).await.unwrap();
    assert_eq!(organisations.iter().map(|one| one.row.name.clone()).collect::<Vec<_>>(), [name("kodu")]);
    let detail = client.organisation(&startup()).await.unwrap();
    assert_eq!((detail.cash, detail.escrowed, detail.key_list.len()), (Money(5_000_000), Money::ZERO, 1));
    assert_eq!(detail.grants, client.grants(&GrantFilter::default()).await.unwrap());
    assert_eq!((detail.grants[0].id, detail.grants[0].balance), (grant(), Money(100_000_000)));

    let info = client.key(&key("mare").public_key()).await.unwrap();
    assert_eq!((info.row.roles, info.row.nonce, info.next_nonce), (Roles::ALL, 1, 1));
    let contracts = client.contracts().await.unwrap();
    assert_eq!((contracts[0].hash, contracts[0].code.clone()), (spot(), None));
    let contract = client.contract(&spot()).await.unwrap();
    assert_eq!(contract.code.as_deref(), Some(hansa_contracts_bundle::SPOT));

    let block = client.block(Some(3)).await.unwrap();
    assert_eq!((block.id, block.header.height), (block.header.id(), 3));
    let content = block.content.unwrap();
    assert_eq!(content.receipts.root(), block.header.receipts_root);
    assert_eq!(block.transactions, [content.transactions[0].id()]);
    assert_eq!(client.block(None).await.unwrap().header.height, 6);
}

#[tokio::test]
async fn bad_questions_are_refused_in_one_shape() {
    let server = Server::start(HttpLimits::default()).await;
    server.open_market().await;
    server.double.forgotten.store(2, Ordering::SeqCst);
    let zeros = "0".repeat(64);
    let table = [
        ("/v1/organisations/xyz", 400, "RequestMalformed"),
        ("/v1/organisations/00", 400, "RequestMalformed"),
        ("/v1/keys/zz", 400, "RequestMalformed"),
        ("/v1/leases/%ff", 400, "RequestMalformed"),
        ("/v1/blocks/minus", 400, "RequestMalformed"),
        ("/v1/blocks/-1", 400, "RequestMalformed"),
        ("/v1/blocks/99", 404, "NotFound"),
        ("/v1/blocks/1", 410, "HistoryGone"),
        ("/v1/offers?class=H100", 400, "RequestMalformed"),
        ("/v1/offers?klass=h100", 400, "RequestMalformed"),
        ("/v1/offers?state=shut", 400, "RequestMalformed"),
        ("/v1/offers?limit=many", 400, "RequestMalformed"),
        ("/v1/offers?after=zz", 400, "RequestMalformed"),
        ("/v1/offers?after=00", 400, "RequestMalformed"),
        ("/v1/members?home=EE", 400, "RequestMalformed"),
        ("/v1/events?since=now", 400, "RequestMalformed"),
        ("/v1/events?lease=1", 400, "RequestMalformed"),
        ("/v1/proofs/money/00", 404, "NotFound"),
        ("/v1/proofs/chain/0g", 400, "RequestMalformed"),
        ("/v1/transactions/abc", 400, "RequestMalformed"),
        ("/v1/blobs/abc", 400, "RequestMalformed"),
        ("/v2/status", 404, "RouteUnknown"),
        ("/", 404, "RouteUnknown"),
    ];
    for (path, status, name) in table {
        assert_eq!(server.ask("GET", path).await, (status, name.to_owned()), "{path}");
    }
    let pass = ReadPass::make(&key("EE registrar"), server.double.chain, PASS_LIFE).to_bearer();
    for rest in [
        "organisations/{}",
        "keys/{}",
        "offers/{}",
        "requests/{}",
        "requests/{}/why",
        "leases/{}",
        "leases/{}/jobs",
        "leases/{}/settlement",
        "leases/{}/extension?slots=1",
        "contracts/{}",
    ] {
        let path = format!("/v1/{}", rest.replace("{}", &zeros));
        let (status, answer) = server.ask_by(Some(&*pass), "GET", &path).await;
        assert_eq!((status, super::name_of(&answer).as_deref()), (404, Some("NotFound")), "{path}");
    }
    assert_eq!(server.ask("DELETE", "/v1/status").await, (405, "MethodRefused".to_owned()));
    let wait = format!("/v1/transactions/{zeros}?wait=soon");
    assert_eq!(server.ask("GET", &wait).await, (400, "RequestMalformed".to_owned()));
}

#[tokio::test]
async fn long_lists_come_in_pages_that_meet_without_gap_or_overlap() {
    let server = Server::start(HttpLimits::default()).await;
    let client = &server.client;
    let all = client.members().await.unwrap();
    for limit in 1..7u32 {
        let filter = PageFilter { limit: Some(limit), ..Default::default() };
        let pages: Vec<MemberInfo> = client.list("/v1/members", &filter).await.unwrap();
        assert_eq!(pages, all, "by {limit}");
        let first = client.page::<MemberInfo>("/v1/members", &filter).await.unwrap();
        assert_eq!(first.items.len(), all.len().min(limit as usize));
        assert_eq!(first.next.is_some(), all.len() > limit as usize);
    }
}

#[tokio::test]
async fn transactions_are_taken_in_both_forms_and_refused_with_the_ledgers_numbers() {
    let server = Server::start(HttpLimits::default()).await;
    server.open_market().await;
    let account = server.account("kodu");
    let transfer = |amount| vec![TransferCash { to: centre(), amount: Money(amount) }.into()];

    // As bytes, through the client: executed, or refused by the ledger with its receipt.
    let done = account.send(transfer(1_000_000)).await.unwrap();
    assert_eq!((done.height, done.receipt.code), (7, 0));
    let error = account.send(transfer(900_000_000)).await.unwrap_err();
    assert_eq!(error.rejection(), Some(Rejection::FundsInsufficient));
    assert_eq!(error.hint(), Rejection::FundsInsufficient.hint());

    // As JSON.
    let signed = account.sign(2, transfer(1));
    let json = serde_json::to_string(&signed).unwrap();
    let post = |kind: &str, body: &[u8]| {
        let head = format!(
            "POST /v1/transactions HTTP/1.1\r\nhost: {}\r\nconnection: close\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\r\n",
            server.address,
            body.len()
        );
        [head.as_bytes(), body].concat()
    };
    let (status, body) = server.raw(&post("application/json", json.as_bytes())).await;
    assert_eq!(status, 200, "{body}");
    let info = server.client.transaction(&signed.id()).await.unwrap();
    assert!(matches!(info.status, TransactionStatus::Final(done) if done.height == 9));

    let mut forged = account.sign(3, transfer(1));
    forged.signature.0[0] ^= 1;
    let elsewhere = {
        let mut other = account.clone();
        other.chain.0[0] ^= 1;
        other.sign(3, transfer(1))
    };
    let longer = [account.sign(3, transfer(1)).encode(), vec![0]].concat();
    let large = account.sign(3, (0..5_000).flat_map(|_| transfer(1)).collect()).encode();
    let bytes = "application/octet-stream";
    let table: [(&str, Vec<u8>, u16, &str); 12] = [
        (bytes, b"junk".to_vec(), 400, "Malformed"),
        (bytes, Vec::new(), 400, "Malformed"),
        (bytes, longer, 400, "Malformed"),
        (bytes, large, 413, "TransactionTooLarge"),
        (bytes, forged.encode(), 401, "BadSignature"),
        (bytes, elsewhere.encode(), 422, "WrongChain"),
        (bytes, signed.encode(), 409, "NonceUsed"),
        (bytes, account.sign(9, transfer(1)).encode(), 409, "NonceGap"),
        (bytes, server.account("nobody").sign(0, transfer(1)).encode(), 403, "UnknownKey"),
        (bytes, account.sign(3, Vec::new()).encode(), 400, "TooManyActions"),
        ("application/json", b"{}".to_vec(), 400, "RequestMalformed"),
        ("text/plain", json.into_bytes(), 415, "MediaType"),
    ];
    for (kind, body, status, name) in table {
        let (found, answer) = server.raw(&post(kind, &body)).await;
        assert_eq!((found, super::name_of(&answer).as_deref()), (status, Some(name)), "{answer}");
    }
    assert_eq!(server.client.status().await.unwrap().height, 9, "nothing refused came into a block");
}

#[tokio::test]
async fn waiting_ends_with_the_block_or_with_the_time() {
    let server = Server::start(HttpLimits::default()).await;
    server.open_market().await;
    server.double.instant.store(false, Ordering::SeqCst);
    let account = server.account("kodu");
    let signed = account.sign(0, vec![TransferCash { to: centre(), amount: Money(1) }.into()]);

    let error = server.client.submit_and_wait(&signed, Duration::from_millis(300)).await.unwrap_err();
    assert!(matches!(error, ApiError::NotFinal { id } if id == signed.id()), "{error}");
    assert_eq!(server.client.next_nonce(&account.public_key()).await.unwrap(), 1, "what waits is counted");
    let status = server.client.transaction(&signed.id()).await.unwrap().status;
    assert_eq!(status, TransactionStatus::Waiting);

    // Sent again, it is the same transaction.
    let (client, again) = (server.client.clone(), signed.clone());
    let waiting = tokio::spawn(async move { client.submit_and_wait(&again, Duration::from_secs(20)).await });
    server.double.produce(server.double.later());
    assert_eq!(waiting.await.unwrap().unwrap().receipt.code, 0);
    let unknown = server.client.transaction(&TransactionId([9; 32])).await.unwrap();
    assert_eq!(unknown.status, TransactionStatus::Unknown);
}

#[tokio::test]
async fn a_key_used_from_two_places_wins_every_race_in_the_end() {
    let server = Server::start(HttpLimits::default()).await;
    server.open_market().await;
    let send = |amount| {
        let account = server.account("kodu");
        async move { account.send(vec![TransferCash { to: centre(), amount: Money(amount) }.into()]).await }
    };
    let (one, two) = tokio::join!(send(1), send(2));
    let (one, two) = (one.unwrap(), two.unwrap());
    assert_eq!((one.receipt.code, two.receipt.code), (0, 0));
    assert_ne!(one.receipt.transaction, two.receipt.transaction);
    let strange = server.account("nobody").send(Vec::new()).await.unwrap_err();
    assert_eq!(strange.rejection(), Some(Rejection::UnknownKey));
}

#[tokio::test]
async fn rows_and_their_absence_are_proven_to_whoever_knows_the_genesis() {
    let server = Server::start(HttpLimits::default()).await;
    server.open_market().await;
    let validators = genesis_validators(&server.double.genesis);
    let client = &server.client;

    let estonia: MemberCode = "EE".parse().unwrap();
    let proof = client.proof::<Members>(&estonia).await.unwrap();
    let row = proof.verify::<Members>(&estonia, &validators).unwrap().unwrap();
    assert_eq!(row.issued, Money(105_000_000));
    let account = AccountId::Cash(startup());
    let balance = client.proof::<Accounts>(&account).await.unwrap();
    assert_eq!(balance.verify::<Accounts>(&account, &validators).unwrap().unwrap().balance, Money(5_000_000));
    let chain = client.proof::<Chains>(&()).await.unwrap();
    assert_eq!(chain.verify::<Chains>(&(), &validators).unwrap().unwrap().height, 6);
    assert_eq!(client.proof_of("1", &[]).await.unwrap(), chain);
    let nothing = client.proof::<Leases>(&LeaseId([1; 32])).await.unwrap();
    assert_eq!(nothing.verify::<Leases>(&LeaseId([1; 32]), &validators), Ok(None));

    // Nothing of it can be changed.
    let mut richer = balance.clone();
    richer.row.as_mut().unwrap()[3] ^= 1;
    assert!(matches!(richer.verify::<Accounts>(&account, &validators), Err(ProofError::Path(_))));
    let mut hidden = balance.clone();
    hidden.row = None;
    assert!(matches!(hidden.verify::<Accounts>(&account, &validators), Err(ProofError::Path(_))));
    let mut other = balance.clone();
    other.header.state_root[0] ^= 1;
    let verdict = other.verify::<Accounts>(&account, &validators);
    assert_eq!(verdict, Err(ProofError::Certificate(CertificateError::OtherBlock)));
    let others = AccountId::Cash(centre());
    assert_eq!(balance.verify::<Accounts>(&others, &validators), Err(ProofError::OtherRow));
    let verdict = balance.verify::<Accounts>(&account, &validators[1..]);
    assert_eq!(verdict, Err(ProofError::Certificate(CertificateError::OtherMembers)));
}

#[tokio::test]
async fn blobs_come_and_go_by_signed_requests_only() {
    let server = Server::start(HttpLimits::default()).await;
    server.open_market().await;
    let (client, chain) = (&server.client, server.double.chain);
    let folder = tempfile::tempdir().unwrap();
    let (input, output) = (folder.path().join("input"), folder.path().join("output"));
    std::fs::write(&input, vec![5u8; 900]).unwrap();

    let heard = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(0));
    let hears = heard.clone();
    let progress = move |sent, total| {
        assert_eq!(total, 900);
        hears.store(sent, Ordering::SeqCst);
    };
    let info = client.put_blob(chain, &key("kodu"), &input, progress).await.unwrap();
    assert_eq!((info.bytes, heard.load(Ordering::SeqCst)), (900, 900));
    let got =
        client.get_blob(chain, &key("kodu"), info.hash, &output, |_, total| assert_eq!(total, 900)).await;
    assert_eq!(got.unwrap(), info);
    assert_eq!(std::fs::read(&output).unwrap(), vec![5u8; 900]);
    assert_eq!(client.get_blob_bytes(chain, &key("kodu"), info.hash, 900).await.unwrap().len(), 900);
    assert!(matches!(
        client.get_blob_bytes(chain, &key("kodu"), info.hash, 899).await,
        Err(ApiError::Answer { .. })
    ));

    // Who may not, does not, and nothing is left behind.
    let refused = |outcome: Result<_, ApiError>| {
        outcome.map(|_: hansa_node_api::client::blob::BlobInfo| ()).unwrap_err().fault()
    };
    let missing = folder.path().join("missing");
    let (mare, nobody, office) = (key("mare"), key("nobody"), key("EE registrar"));
    assert_eq!(
        refused(client.get_blob(chain, &mare, info.hash, &missing, |_, _| {}).await),
        Some(Fault::BlobForbidden)
    );
    assert_eq!(
        refused(client.get_blob(chain, &nobody, info.hash, &missing, |_, _| {}).await),
        Some(Fault::KeyRefused)
    );
    assert_eq!(refused(client.put_blob_bytes(chain, &office, vec![1]).await), Some(Fault::KeyRefused));
    let mut elsewhere = chain;
    elsewhere.0[0] ^= 1;
    let kodu = key("kodu");
    assert_eq!(refused(client.put_blob_bytes(elsewhere, &kodu, vec![1]).await), Some(Fault::SignatureWrong));
    assert_eq!(refused(client.put_blob_bytes(chain, &kodu, vec![1; 1_025]).await), Some(Fault::BlobTooLarge));
    for size in [1_000u64, 1_001, 1_002] {
        client.put_blob_bytes(chain, &kodu, vec![1; size as usize]).await.unwrap();
    }
    assert_eq!(refused(client.put_blob_bytes(chain, &kodu, vec![2; 1_000]).await), Some(Fault::BlobQuota));
    assert!(!missing.exists());
    let path = format!("/v1/blobs/{}", info.hash);
    assert_eq!(server.ask("GET", &path).await, (401, "SignatureMissing".to_owned()));
    assert_eq!(server.ask("PUT", &path).await, (401, "SignatureMissing".to_owned()));
}

#[tokio::test]
async fn a_blob_with_another_hash_or_an_old_signature_is_refused() {
    use hansa_ledger::id::BlobHash;
    use hansa_ledger::time::TimeMs;
    use hansa_node_api::peer::now_ms;
    use hansa_node_api::signed::{LIFE_MS_MAX, RequestTerms, empty_body};
    let server = Server::start(HttpLimits::default()).await;
    server.open_market().await;
    let hash = BlobHash(*blake3::hash(b"truth").as_bytes());
    let path = format!("/v1/blobs/{hash}");
    let request = |method: &str, expires: u64, body: BlobHash, content: &str| {
        let terms = RequestTerms {
            chain: server.double.chain,
            method: method.to_owned(),
            path: path.clone(),
            body,
            expires: TimeMs(expires),
        };
        let headers: String =
            terms.sign(&key("kodu")).iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        format!(
            "{method} {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n{headers}content-length: {}\r\n\r\n{content}",
            server.address,
            content.len()
        )
    };
    let soon = now_ms() + 60_000;
    let table = [
        (request("PUT", soon, hash, "lie"), 422, "BlobHashMismatch"),
        (request("PUT", now_ms() - 1, hash, "truth"), 401, "SignatureExpired"),
        (request("PUT", now_ms() + LIFE_MS_MAX + 60_000, hash, "truth"), 401, "SignatureExpired"),
        (request("PUT", soon, empty_body(), "truth"), 401, "SignatureWrong"),
        (request("GET", soon, empty_body(), ""), 403, "BlobForbidden"),
    ];
    for (request, status, name) in table {
        let (found, answer) = server.raw(request.as_bytes()).await;
        assert_eq!((found, super::name_of(&answer).as_deref()), (status, Some(name)), "{answer}");
    }
    assert_eq!(server.raw(request("PUT", soon, hash, "truth").as_bytes()).await.0, 200);
}

#[tokio::test]
async fn a_node_that_is_not_there_is_told_apart_from_one_that_refuses() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let client = Client::new(&format!("http://{closed}")).unwrap();
    let error = client.status().await.unwrap_err();
    assert!(matches!(error, ApiError::Unreachable { .. }), "{error}");
    assert!(error.is_transient() && error.hint().contains("check that the node runs"));
    for address in ["", "127.0.0.1:1", "https://127.0.0.1", "http://", "http://h/?q=1"] {
        assert!(matches!(Client::new(address), Err(ApiError::Address { .. })), "{address}");
    }
}
