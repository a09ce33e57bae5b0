//! Bundles of transactions and adverts.

use super::double::{centre, key, startup};
use super::{HttpLimits, Server};
use hansa_ledger::action::TransferCash;
use hansa_ledger::money::Money;
use hansa_ledger::rejection::Rejection;
use hansa_node_api::bundle::{BUNDLE_TRANSACTIONS_MAX, decode};
use hansa_node_api::chain::TransactionStatus;
use hansa_node_api::peer::advert::{Advert, AdvertContent};
use hansa_node_api::peer::now_ms;
use hansa_node_api::{ApiError, Fault};

#[tokio::test]
async fn each_transaction_of_a_bundle_has_its_own_verdict() {
    let server = Server::start(HttpLimits::default()).await;
    server.open_market().await;
    let account = server.account("kodu");
    let pay = |nonce| account.sign(nonce, vec![TransferCash { to: centre(), amount: Money(1) }.into()]);
    let mut forged = pay(2);
    forged.signature = pay(3).signature;
    let bundle = [pay(0), pay(1), forged, pay(7), pay(2)];
    let verdicts = server.client.submit_bundle(&bundle).await.unwrap();
    let codes: Vec<_> = verdicts.iter().map(hansa_node_api::bundle::BundleVerdict::rejection).collect();
    assert_eq!(codes, [None, None, Some(Rejection::BadSignature), Some(Rejection::NonceGap), None]);
    for (transaction, verdict) in bundle.iter().zip(&verdicts) {
        assert_eq!(verdict.id, transaction.id());
        let status = server.client.transaction(&verdict.id).await.unwrap().status;
        assert_eq!(
            matches!(status, TransactionStatus::Final(_)),
            verdict.code == 0 || verdict.id == bundle[4].id()
        );
    }
}

#[tokio::test]
async fn a_bundle_that_is_none_is_refused_as_a_whole() {
    let server = Server::start(HttpLimits::default()).await;
    assert!(decode(&[]).is_err() && decode(&[0; 4]).is_err() && decode(&[1, 0, 0, 0, 9]).is_err());
    let count = u32::try_from(BUNDLE_TRANSACTIONS_MAX).unwrap() + 1;
    assert!(decode(&count.to_le_bytes()).is_err_and(|reason| reason.contains("4097")));
    let refused = server.client.submit_bundle(&[]).await;
    assert!(refused.is_err_and(|error| error.fault() == Some(Fault::RequestMalformed)));
    let account = server.account("kodu");
    let pay = account.sign(0, vec![TransferCash { to: centre(), amount: Money(1) }.into(); 64]);
    let refused = server.client.submit_bundle(&vec![pay; 1_000]).await;
    assert!(refused.is_err_and(|error| error.fault() == Some(Fault::BodyTooLarge)));
}

#[tokio::test]
async fn an_advert_is_taken_once_it_is_one() {
    let server = Server::start(HttpLimits::default()).await;
    let content = AdvertContent {
        chain_id: server.double.chain.0,
        provider: startup().0,
        site: "mare-1".to_owned(),
        class: "h100".to_owned(),
        free: 3,
        total: 4,
        tier: 1,
        price_ask_ueur: 2_500_000,
        issued_ms: now_ms(),
        lives_ms: 60_000,
        sequence: 1,
        signer: key("mare").public_key(),
    };
    server.client.advert(&Advert::sign(content.clone(), &key("mare"))).await.unwrap();
    assert_eq!(*server.double.adverts.lock().unwrap(), std::slice::from_ref(&content));
    let foreign = Advert::sign(AdvertContent { chain_id: [9; 32], ..content }, &key("mare"));
    let refused: Result<(), ApiError> = server.client.advert(&foreign).await;
    assert!(refused.is_err_and(|error| error.fault() == Some(Fault::RequestMalformed)));
}
