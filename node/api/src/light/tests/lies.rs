//! Every kind of lie about one row, and the number each is refused with.

use super::*;
use crate::client::ANSWER_BYTES_MAX;

/// What a lying node makes of the honest proof of a balance of 5 EUR.
type Lie = fn(&Federation, ProofInfo) -> Reply;

/// A proof whose header and certificate are others.
fn with_block(proof: ProofInfo, header: Header, signers: &[&str]) -> Reply {
    let certificate = certificate_of(&header, signers);
    Reply::json(&ProofInfo { header, certificate, ..proof })
}

fn key_of(holder: u8) -> Vec<u8> {
    borsh::to_vec(&cash(holder)).unwrap()
}

/// A state in which the account holds more.
fn richer(federation: &Federation) -> Federation {
    let mut other = federation.clone();
    let mut view = other.state.view();
    view.put::<Accounts>(cash(1), Account { home: "EE".parse().unwrap(), balance: Money(u64::MAX) });
    let (changes, tip) = (view.into_changes(other.state.trie()), other.state.tip());
    other.state.commit(changes, tip);
    other
}

const LIES: &[(&str, Distrust, Lie)] = &[
    ("an altered amount", Distrust::ProofWrong, |_, proof| {
        let row = Account { home: "EE".parse().unwrap(), balance: Money(6_000_000) };
        Reply::json(&ProofInfo { row: Some(borsh::to_vec(&row).unwrap()), ..proof })
    }),
    ("the row of another account", Distrust::OtherRow, |federation, _| {
        Reply::json(&federation.prove(Accounts::ID, &key_of(2)))
    }),
    ("the row of another account under the key that was asked", Distrust::ProofWrong, |federation, proof| {
        Reply::json(&ProofInfo { key: proof.key, ..federation.prove(Accounts::ID, &key_of(2)) })
    }),
    ("a row of another table", Distrust::OtherRow, |_, proof| {
        Reply::json(&ProofInfo { table_id: Members::ID, ..proof })
    }),
    ("a proof of another root", Distrust::ProofWrong, |federation, _| {
        Reply::json(&richer(federation).prove(Accounts::ID, &key_of(1)))
    }),
    ("a header with that root, which nobody signed", Distrust::CertificateWrong, |federation, _| {
        let richer = richer(federation);
        let mut proof = richer.prove(Accounts::ID, &key_of(1));
        proof.header.state_root = richer.state.root();
        Reply::json(&proof)
    }),
    ("a header with that root, which two of four signed", Distrust::CertificateFew, |federation, _| {
        let richer = richer(federation);
        with_block(richer.prove(Accounts::ID, &key_of(1)), richer.header(7, &ALL), &["DE", "EE"])
    }),
    ("signatures of two members and a stranger", Distrust::CertificateForeign, |_, proof| {
        with_block(proof.clone(), proof.header, &["DE", "EE", "AT"])
    }),
    ("one signature twice", Distrust::CertificateForeign, |_, proof| {
        with_block(proof.clone(), proof.header, &["DE", "EE", "EE"])
    }),
    ("more signatures than members", Distrust::CertificateWrong, |_, proof| {
        with_block(proof.clone(), proof.header, &["DE", "EE", "ES", "FR", "DE"])
    }),
    ("signatures of another round", Distrust::CertificateWrong, |_, proof| {
        let mut certificate: Certificate = borsh::from_slice(&proof.certificate).unwrap();
        certificate.round = 1;
        Reply::json(&ProofInfo { certificate: borsh::to_vec(&certificate).unwrap(), ..proof })
    }),
    ("no certificate", Distrust::CertificateWrong, |_, proof| {
        Reply::json(&ProofInfo { certificate: Vec::new(), ..proof })
    }),
    ("a set of members that it made up", Distrust::MembersUnknown, |federation, proof| {
        let made_up = ["AT", "BE", "BG", "CY"];
        let header = federation.header(8, &made_up);
        let certificate = certificate_of(&header, &made_up);
        let handover = Handover {
            from: 8,
            validators: validators(&made_up),
            header: Some(header.clone()),
            certificate: Some(certificate.clone()),
        };
        Reply::json(&ProofInfo { header, certificate, handovers: vec![handover], ..proof })
    }),
    ("a header of another federation with the same members", Distrust::OtherFederation, |_, proof| {
        let header = Header { chain: ChainId([7; 32]), ..proof.header.clone() };
        with_block(proof, header, &ALL)
    }),
    ("what was true a day ago", Distrust::Stale, |_, proof| {
        let header = Header { time: TimeMs(NOW.0 - 86_400_000), ..proof.header.clone() };
        with_block(proof, header, &ALL)
    }),
    ("what will be true tomorrow", Distrust::Ahead, |_, proof| {
        let header = Header { time: TimeMs(NOW.0 + 86_400_000), ..proof.header.clone() };
        with_block(proof, header, &ALL)
    }),
    ("that there is no such row", Distrust::ProofWrong, |_, proof| {
        Reply::json(&ProofInfo { row: None, ..proof })
    }),
    ("that there is no such row, by the leaf without it", Distrust::ProofWrong, |_, mut proof| {
        let gone = Digest(key_hash(Accounts::ID, &key_of(1)));
        proof.proof.rows.retain(|(key, _)| *key != gone);
        Reply::json(&ProofInfo { row: None, ..proof })
    }),
    ("not found", Distrust::Withheld, |_, _| Reply::fault(Fault::NotFound)),
    ("half of the answer", Distrust::Unreadable, |_, proof| {
        let mut bytes = serde_json::to_vec(&proof).unwrap();
        bytes.truncate(bytes.len() / 2);
        Reply::bytes(bytes)
    }),
    ("a page of the web", Distrust::Unreadable, |_, _| Reply {
        kind: "text/html",
        ..Reply::bytes(b"<html>log in</html>".to_vec())
    }),
    ("the right answer as another kind", Distrust::Unreadable, |_, proof| Reply {
        kind: "text/plain",
        ..Reply::json(&proof)
    }),
    ("a deep answer", Distrust::Unreadable, |_, _| Reply::bytes(b"[".repeat(1_000_000))),
    ("a deep answer in a field", Distrust::Unreadable, |_, _| {
        Reply::bytes([&b"{\"table\":"[..], &b"[".repeat(1_000_000)].concat())
    }),
    ("an endless answer", Distrust::Unreadable, |_, _| Reply {
        length: Some(u64::MAX / 2),
        ..Reply::bytes(b" ".repeat(1_000))
    }),
    ("a longer answer than any", Distrust::Unreadable, |_, _| Reply {
        length: Some(ANSWER_BYTES_MAX as u64 + 1),
        ..Reply::bytes(b" ".repeat(1_000))
    }),
    ("a number where an object belongs", Distrust::Unreadable, |_, _| Reply::bytes(b"7".to_vec())),
    ("a leaf of more rows than any", Distrust::ProofWrong, |_, mut proof| {
        proof.proof.rows = vec![(Digest([1; 32]), Digest([1; 32])); 10_000];
        Reply::json(&proof)
    }),
    ("a path longer than any", Distrust::ProofWrong, |_, mut proof| {
        proof.proof.siblings = vec![Digest([1; 32]); 10_000];
        Reply::json(&proof)
    }),
];

#[tokio::test]
async fn no_lie_is_believed() {
    let mut federation = Federation::new();
    federation.add(7, &ALL);
    for (name, reason, lie) in LIES {
        let light = light(None);
        let lying = federation.clone();
        let outcome = read(&light, 1, move |path| match path.starts_with("/v1/proofs/") {
            true => lie(&lying, lying.prove(Accounts::ID, &key_of(1))),
            false => lying.answer(path),
        })
        .await;
        let error = outcome.expect_err(name);
        assert_eq!(error.distrust(), Some(*reason), "{name}: {error}");
        assert_eq!((error.code(), error.name()), (Some(reason.code()), reason.name()), "{name}");
        assert!(!error.hint().is_empty() && light.verification().rows == 0, "{name}");
    }
    // The same node, honest again.
    let light = light(None);
    assert_eq!(read(&light, 1, move |path| federation.answer(path)).await.unwrap(), Some(Money(5_000_000)));
}
