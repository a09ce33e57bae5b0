//! Documents that people write: books, manifests, configurations, terms, units.

use super::Verdict;
use crate::world::genesis;
use hansa_cli_book::BookFile;
use hansa_cli_contract::{ReplayBundle, TermsFile, UsageFile, simulate, typed_params};
use hansa_cli_units as units;
use hansa_contracts_bundle::SPOT;
use hansa_ledger::genesis::Genesis;
use hansa_ledger::id::BlobHash;
use hansa_ledger::invariants::check_state;
use hansa_ledger::params::Params;
use hansa_ledger_signature::SecretKey;
use hansa_node::NodeConfig;
use hansa_node_api::job::{JobFile, JobLimits, JobOutput, Manifest, OutputFile, OutputManifest};
use hansa_node_api::keyfile::KeyFile;
use hansa_node_provider::Config;
use std::collections::BTreeMap;

const BOOK: &str = r#"{"params": {"tick": 1000, "k_bps": 0, "price_candidates": 64, "cap_bps": 2500,
"reserve_price_cap": 1000000, "slot_s": 900, "spot_slots": 96, "near_slots": 672, "chain_id": "hansa-test"},
"epoch": 7, "now_slot": 1000,
"offers": [{"id": "o1", "provider": "cineca", "seq": 1, "country": "IT", "class": "a100-64", "certs": ["iso27001"],
"tier": 2, "node_size": 4, "ask": 1200000, "pool": "public", "reserve_bps": 2000,
"calendar": [[1000, 64], [1200, 32], [1400, 0]]}],
"requests": [{"id": "r1", "org": "tallinn-speech", "group": "tallinn-speech", "seq": 1, "class": "a100-64",
"countries": ["IT", "FI"], "certs": [], "min_tier": 0, "qty": 8, "min_qty": 8, "dur_slots": 4,
"start_lo": 1001, "start_hi": 1010, "limit": 2000000, "lane": "any", "eligible": true,
"funding": "credit:EE", "usage": 0, "admitted_epoch": 6}],
"holds": [{"group": "big-gmbh", "class": "a100-64", "start": 1000, "end": 1100, "qty": 16}]}"#;

/// What is cleared is within what was offered and what was asked, and the same each time.
pub fn book(bytes: &[u8]) -> Verdict {
    let book = match BookFile::parse(bytes) {
        Ok(book) => book,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return Verdict::Refused;
        }
    };
    let result = book.simulate();
    assert_eq!(book.simulate(), result, "not the same again");
    let mut served = BTreeMap::new();
    for trade in &result.trades {
        let request =
            book.requests.iter().find(|one| one.id == trade.request).expect("of a request in the book");
        let offer = book.offers.iter().find(|one| one.id == trade.offer).expect("of an offer in the book");
        assert!((request.min_qty..=request.qty).contains(&trade.qty), "{trade:?}");
        assert!((request.start_lo..=request.start_hi).contains(&trade.start), "{trade:?}");
        assert!(trade.price <= request.limit, "over the limit: {trade:?}");
        assert_eq!(offer.class, request.class);
        assert!(served.insert(trade.request.as_str(), ()).is_none(), "served twice: {trade:?}");
    }
    // No slot of an offer is given out twice.
    for offer in &book.offers {
        let trades: Vec<_> = result.trades.iter().filter(|trade| trade.offer == offer.id).collect();
        for trade in &trades {
            let at = trade.start;
            let there = offer
                .calendar
                .iter()
                .rev()
                .find(|(slot, _)| *slot <= at)
                .map_or(0, |(_, quantity)| *quantity);
            let length =
                |id: &str| book.requests.iter().find(|one| one.id == id).map_or(0, |one| one.dur_slots);
            let busy: u64 = trades
                .iter()
                .filter(|other| {
                    other.start <= at
                        && u64::from(at) < u64::from(other.start) + u64::from(length(&other.request))
                })
                .map(|other| u64::from(other.qty))
                .sum();
            assert!(busy <= u64::from(there), "{busy} of {there} in slot {at} of {}", offer.id);
        }
    }
    Verdict::Accepted
}

pub fn book_seeds() -> Vec<Vec<u8>> {
    let private = BOOK.replace("\"public\"", "\"private\"").replace("\"any\"", "\"market\"");
    let second = BOOK.replace("\"requests\": [", "\"requests\": [{\"id\": \"r2\", \"org\": \"x\", \"group\": \"y\", \"seq\": 2, \"class\": \"a100-64\", \"countries\": [], \"certs\": [], \"min_tier\": 0, \"qty\": 60, \"min_qty\": 4, \"dur_slots\": 9, \"start_lo\": 1000, \"start_hi\": 1300, \"limit\": 3000000, \"lane\": \"market\", \"eligible\": false, \"funding\": \"cash\", \"usage\": 5, \"admitted_epoch\": 6},");
    [BOOK.to_owned(), private, second].map(String::into_bytes).to_vec()
}

/// The canonical bytes of a manifest, or its JSON.
pub fn manifest(bytes: &[u8]) -> Verdict {
    let (job, output) = (Manifest::decode(bytes), OutputManifest::decode(bytes));
    assert!(job.is_err() || output.is_err(), "one kind passes for the other");
    if let Ok(job) = &job {
        assert_eq!(job.encode(), bytes, "another encoding");
    }
    if let Ok(output) = &output {
        assert_eq!(output.encode(), bytes, "another encoding");
    }
    let text = serde_json::from_slice::<Manifest>(bytes).ok();
    let text = text.filter(|manifest| manifest.check().is_ok());
    for good in job.iter().chain(&text) {
        assert_eq!(Manifest::decode(&good.encode()).as_ref(), Ok(good));
        assert_eq!(serde_json::from_str::<Manifest>(&serde_json::to_string(good).unwrap()).unwrap(), *good);
        let paths =
            good.files.iter().map(|file| &file.path).chain(good.outputs.iter().map(|file| &file.path));
        for path in paths {
            assert!(
                !path.starts_with('/')
                    && path.split('/').all(|part| part != ".." && part != "." && !part.is_empty()),
                "{path:?}"
            );
        }
    }
    if job.is_ok() || output.is_ok() || text.is_some() { Verdict::Accepted } else { Verdict::Refused }
}

pub fn manifest_seeds() -> Vec<Vec<u8>> {
    let file =
        |path: &str, executable| JobFile { path: path.into(), hash: BlobHash([7; 32]), size: 3, executable };
    let files = vec![file("bin/train", true), file("data.csv", false)];
    let outputs = vec![JobOutput { path: "out/report.json".into(), bytes_max: 1_000 }];
    let words = ["bin/train", "--data", "data.csv"].map(str::to_owned).to_vec();
    let job = Manifest::new(words, files, outputs, JobLimits::default()).unwrap();
    let left = OutputFile { path: "out/report.json".into(), hash: BlobHash([7; 32]), size: 4 };
    let left = OutputManifest::new(vec![left]).unwrap();
    vec![job.encode(), left.encode(), serde_json::to_vec(&job).unwrap()]
}

const NODE: &str = r#"member = "EE"
genesis = "genesis.toml"
data = "data"
consensus_listen = "/ip4/127.0.0.1/tcp/27000"
network_listen = "/ip4/127.0.0.1/tcp/27001"
history_blocks = 0

[keys]
consensus = "consensus.key"
network = "network.key"

[api]
listen = "127.0.0.1:8080"
hosts = ["node.example"]

[[peers]]
member = "ES"
consensus = "/ip4/192.0.2.1/tcp/27000"
network = "/ip6/2001:db8::1/tcp/27001"
"#;

const AGENT: &str = r#"nodes = ["http://127.0.0.1:1"]
data_dir = "data"
genesis = "genesis.toml"

[backend]
kind = "local"
allow_unsandboxed = true

[[inventory]]
site = "marenostrum"
class = "h100"
accelerators = 8
node_size = 4
ask = "2.50"
"#;

/// TOML: a node's configuration, an agent's, a genesis, parameters, or a key file.
pub fn config(bytes: &[u8]) -> Verdict {
    let Ok(text) = std::str::from_utf8(bytes) else { return Verdict::Refused };
    let mut accepted = false;
    if let Ok(config) = toml::from_str::<NodeConfig>(text) {
        let again = toml::to_string(&config).unwrap();
        let read: NodeConfig = toml::from_str(&again).unwrap();
        assert_eq!(toml::to_string(&read).unwrap(), again);
        accepted = true;
    }
    match Config::parse(text) {
        Ok(config) => {
            assert!(!config.nodes.is_empty() && config.inventory.iter().all(|entry| entry.params().is_ok()));
            accepted = true;
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    if let Ok(genesis) = toml::from_str::<Genesis>(text) {
        accepted |= check_genesis(&genesis);
    }
    if let Ok(params) = toml::from_str::<Params>(text) {
        // An empty document is the defaults, and says nothing.
        accepted |= !text.is_empty() && params.check().is_ok();
    }
    match KeyFile::from_text(text) {
        Ok(file) => {
            let again = file.to_text();
            assert_eq!(KeyFile::from_text(&again).unwrap().to_text(), again);
            if let Ok(key) = file.open(None) {
                let plain = KeyFile::seal(&key, None).unwrap();
                assert_eq!(plain.to_text(), again, "another file of one key");
                accepted = true;
            }
        }
        Err(error) => {
            // A file may hold a secret, so no part of it that is long enough to be one is quoted.
            let said = error.to_string();
            assert!(!said.is_empty() && said.len() < 200, "{said}");
        }
    }
    if accepted { Verdict::Accepted } else { Verdict::Refused }
}

/// A genesis that is taken gives a sound state, and is the same federation after it was written down.
fn check_genesis(genesis: &Genesis) -> bool {
    let Ok(state) = genesis.state() else { return false };
    check_state(&state).unwrap();
    let text = toml::to_string(genesis).unwrap();
    let again: Genesis = toml::from_str(&text).unwrap();
    assert_eq!((again.chain_id(), again.state().unwrap().root()), (genesis.chain_id(), state.root()));
    true
}

pub fn config_seeds() -> Vec<Vec<u8>> {
    let key = KeyFile::seal(&SecretKey::from_bytes([7; 32]), None).unwrap().to_text().to_string();
    let genesis = toml::to_string(&genesis(Params::testnet())).unwrap();
    let params = "slot_s = 1\nfee_bps = 150\n".to_owned();
    [NODE.to_owned(), AGENT.to_owned(), key, genesis, params].map(String::into_bytes).to_vec()
}

const TERMS: &str = r#"{"accelerators": 4, "start": "2027-01-31T12:00Z", "length": "10h", "price": "3.60 EUR/h", "fee": "1.5%",
"sponsor": "80%", "named": 2, "stake": "12 EUR", "sla": [{"below": "99.5%", "credit": "10%"}], "locked": "100 EUR"}"#;

const USAGE: &str = r#"{"steps": [{"at": "1h", "trigger": "interim", "windows": [{"index": 0, "count": 3, "delivered": 3600}]},
{"at": "end", "trigger": "final"}]}"#;

const TYPED: &str = r#"[{"u128": "5"}, {"u16": 3}, {"list": [{"u8": 1}]}, {"text": "a"}, {"none": true}]"#;

/// First byte: terms and usage (two texts with a NUL between), typed parameters, or a bundle of settlements.
pub fn terms(bytes: &[u8]) -> Verdict {
    let Some((kind, bytes)) = bytes.split_first() else { return Verdict::Refused };
    let refused = |error: hansa_cli_contract::ContractError| {
        assert!(!error.message.is_empty() && !error.message.contains('\n'), "{}", error.message);
        Verdict::Refused
    };
    match kind % 3 {
        0 => {
            let mut texts = bytes.splitn(2, |byte| *byte == 0);
            let first = texts.next().unwrap_or_default();
            let terms = match TermsFile::parse("terms.json", first) {
                Ok(terms) => terms,
                Err(error) => return refused(error),
            };
            let Some(second) = texts.next() else { return Verdict::Accepted };
            let usage = match UsageFile::parse("usage.json", second, &terms) {
                Ok(usage) => usage,
                Err(error) => return refused(error),
            };
            match simulate(SPOT, &[0; 16], &terms, &usage) {
                Ok(simulation) => {
                    assert!(simulation.steps.len() <= usage.steps.len());
                    Verdict::Accepted
                }
                Err(error) => refused(error),
            }
        }
        1 => match typed_params("params.json", bytes) {
            Ok(params) => {
                assert_eq!(typed_params("params.json", bytes).unwrap(), params);
                Verdict::Accepted
            }
            Err(error) => refused(error),
        },
        _ => match ReplayBundle::parse("bundle.json", bytes) {
            Ok(bundle) => {
                let again = serde_json::to_vec(&bundle).unwrap();
                assert_eq!(ReplayBundle::parse("bundle.json", &again).unwrap(), bundle);
                let _ = bundle.replay();
                Verdict::Accepted
            }
            Err(error) => refused(error),
        },
    }
}

pub fn terms_seeds() -> Vec<Vec<u8>> {
    let hash = "07".repeat(32);
    let bundle = format!(
        r#"{{"format":"hansa-settlement","version":1,"chain":"{hash}","lease":"{hash}","vm_profile":"{hash}","contract":"{hash}",
"code":"0061736d01000000","params":"00","fallback":0,"settlements":[{{"height":5,"block":null,"facts":"00","split":"00","fuel":7}}]}}"#
    );
    vec![
        [b"\0", TERMS.as_bytes(), b"\0", USAGE.as_bytes()].concat(),
        [b"\0", TERMS.as_bytes()].concat(),
        [b"\x01", TYPED.as_bytes()].concat(),
        [b"\x01", &b"[]"[..]].concat(),
        [b"\x02", bundle.as_bytes()].concat(),
    ]
}

/// A text, as each kind of unit. What is shown is read again as the same, where it is shown exactly.
pub fn units(bytes: &[u8]) -> Verdict {
    let Ok(text) = std::str::from_utf8(bytes) else { return Verdict::Refused };
    let mut accepted = false;
    if let Ok(money) = units::money(text) {
        assert_eq!(units::money(&money.to_string()), Ok(money), "{text:?}");
        accepted = true;
    }
    if let Ok(price) = units::price(text) {
        assert!(price.is_on_tick(), "{text:?}");
        assert_eq!(units::price(&price.to_string()), Ok(price), "{text:?}");
        accepted = true;
    }
    if let Ok(bps) = units::percent(text) {
        assert!((1..=10_000).contains(&bps));
        assert_eq!(units::percent(&units::percent_text(bps)), Ok(bps), "{text:?}");
        accepted = true;
    }
    if let Ok(length) = text.parse::<units::Duration>() {
        assert!(length.0 > 0 && length.slots(1) >= length.0 / 1_000);
        let shown: units::Duration = units::length(length.0).parse().unwrap();
        assert!(shown.0 <= length.0, "{text:?} is shown longer than it is");
        accepted = true;
    }
    if let Ok(size) = text.parse::<units::Size>() {
        assert!(size.0 > 0 && !units::bytes(size.0).is_empty());
        accepted = true;
    }
    accepted |= text.parse::<units::Moment>().is_ok() | text.parse::<units::Between>().is_ok();
    accepted |=
        text.parse::<units::Within>().is_ok() | units::source(text).is_ok() | units::grant(text).is_ok();
    accepted |= units::word::<hansa_ledger::row::Purpose>(text).is_ok();
    if accepted { Verdict::Accepted } else { Verdict::Refused }
}

pub fn unit_seeds() -> Vec<Vec<u8>> {
    let texts = [
        "3.50 EUR/h",
        "3.5",
        "12.000001 EUR",
        "80%",
        "12.5%",
        "1h30m",
        "90m",
        "2d 5s",
        "4GiB",
        "512 MiB",
        "10MB",
        "now",
        "in 2h",
        "2027-01-31T12:00Z",
        "2027-01-31",
        "at 2027-01-31T12:00Z..in 3h",
        "within 2h",
        "cash=20%",
        "grant:ee-2027=80%",
        "innovation",
        "public-service",
    ];
    texts.map(|text| text.as_bytes().to_vec()).to_vec()
}
