//! Who sees what: every route, for every kind of reader.

use super::double::{centre, demand, grant, key, market, name, rival, slot, spot, startup};
use super::{HttpLimits, Server, name_of};
use crate::http::Backend as _;
use crate::http::ROUTES;
use crate::http::visibility::is_public;
use futures::StreamExt as _;
use hansa_ledger::action::{CancelLease, PlaceRequest, PostOffer, TransferCash, WithdrawOffer, request_id};
use hansa_ledger::event::Event;
use hansa_ledger::id::{LeaseId, OfferId, RequestId, TransactionId};
use hansa_ledger::market::Calendar;
use hansa_ledger::member::MemberCode;
use hansa_ledger::money::{Money, Price};
use hansa_ledger::row::{
    AccountId, AidPart, Deadline, DeadlineKind, Demand, EntitlementKey, Office, PoolOwner, Principal, SiteKey,
};
use hansa_ledger::tables::{Classes, Requests};
use hansa_ledger::time::{Slot, TimeMs};
use hansa_node_api::filter::EventFilter;
use hansa_node_api::pass::{PASS_LIFE, ReadPass};
use hansa_node_api::{Client, EventCursor, EventInfo, EventMessage};
use serde_json::Value;
use std::time::Duration;

/// Who reads: the public, another start-up, the requester, the provider, an office of another member, the auditor.
const READERS: [Option<&str>; 6] =
    [None, Some("rivaal"), Some("kodu"), Some("mare"), Some("FR treasury"), Some("EU governance")];

/// A market in which something of everything has happened.
struct Scene {
    server: Server,
    open: RequestId,
    awarded: RequestId,
    lease: LeaseId,
    withdrawn: OfferId,
    offered: OfferId,
    /// The transaction of the open request, and the height of its block.
    placed: (TransactionId, u64),
}

impl Scene {
    async fn make() -> Self {
        let server = Server::start(HttpLimits::default()).await;
        let mut withdrawn = None;
        for (who, action) in market(server.double.chain).into_iter().chain(rival(server.double.chain)) {
            let done = server.send(who, action).await;
            withdrawn = withdrawn.or(offer_of(&done.receipt.events));
        }
        let withdrawn = withdrawn.unwrap();
        server.send("mare", WithdrawOffer { offer: withdrawn }).await;
        let offer = PostOffer {
            site: name("mare-1"),
            class: name("h100"),
            ask: Price(2_000_000),
            calendar: Calendar::constant(Slot(slot()), Slot(slot() + 100_000), 64),
            owner: None,
            reserve_bps: None,
            reserve_cycle_slots: None,
            contract: spot(),
            contract_params: vec![0; 16],
            parties: Vec::new(),
        };
        let offered = offer_of(&server.send("mare", offer).await.receipt.events).unwrap();
        let (signed, _) =
            server.account("kodu").send_signed(vec![PlaceRequest { demand: demand() }.into()]).await.unwrap();
        let awarded = request_id(signed.id(), 0);
        let mut due = None;
        server
            .double
            .read(&mut |state| due = state.get::<Classes>(&name("h100")).and_then(|class| class.batch_due));
        server.double.produce(due.unwrap().max(server.double.later()));
        let lease = LeaseId::derive(&awarded);
        server.send("mare", CancelLease { lease }).await;
        server.send("kodu", TransferCash { to: centre(), amount: Money(1_234) }).await;
        let cheap = Demand { limit: Price(1_000), ..demand() };
        let (signed, done) =
            server.account("kodu").send_signed(vec![PlaceRequest { demand: cheap }.into()]).await.unwrap();
        let open = request_id(signed.id(), 0);
        Self { server, open, awarded, lease, withdrawn, offered, placed: (signed.id(), done.height) }
    }

    async fn ask(&self, who: Option<&str>, path: &str) -> (u16, String) {
        let pass = who.map(|who| ReadPass::make(&key(who), self.server.double.chain, PASS_LIFE).to_bearer());
        self.server.ask_by(pass.as_ref().map(|pass| pass.as_str()), "GET", path).await
    }

    /// What this reader sees at the path: of the entry that names `item`, if one is given.
    async fn seen(&self, who: Option<&str>, path: &str, item: &str, field: &str) -> char {
        let (status, body) = self.ask(who, path).await;
        if status != 200 {
            return match (status, name_of(&body).as_deref()) {
                (403, Some("ReadForbidden")) => 'f',
                (404, Some("NotFound")) => 'n',
                other => panic!("{path}: {other:?}"),
            };
        }
        let answer: Value = serde_json::from_str(&body).unwrap();
        let names =
            |entry: &&Value| entry.as_object().unwrap().values().any(|value| value.as_str() == Some(item));
        let entry = match item {
            "" => Some(&answer),
            _ => answer["items"].as_array().unwrap().iter().find(names),
        };
        match entry {
            None => '-',
            Some(entry) if entry.get(field).is_some() => 'w',
            Some(_) => 'p',
        }
    }

    fn proof(&self, table: &str, key: &impl borsh::BorshSerialize) -> String {
        format!("/v1/proofs/{table}/{}", hex::encode(borsh::to_vec(key).unwrap()))
    }
}

fn offer_of(events: &[Event]) -> Option<OfferId> {
    events.iter().find_map(|event| match event {
        Event::OfferPosted { offer, .. } => Some(*offer),
        _ => None,
    })
}

/// Each row: path, the entry of a list that is looked at, a field that only the whole form has, and what each reader of
/// [`READERS`] sees: `w` whole, `p` public, `-` no such entry, `f` forbidden, `n` not there.
#[tokio::test]
async fn each_reader_sees_its_own_whole_and_of_the_rest_what_is_public() {
    let scene = Scene::make().await;
    let Scene { open, awarded, lease, withdrawn, offered, placed: (_, height), .. } = &scene;
    let (kodu, mare, zeros) = (startup().to_string(), centre().to_string(), "0".repeat(64));
    let (offered_id, lease_id, open_id) = (offered.to_string(), lease.to_string(), open.to_string());
    let list = |path: &str, item: &str, field: &'static str, seen: &'static str| {
        (path.to_owned(), item.to_owned(), field, seen)
    };
    let one = |path: String, field: &'static str, seen: &'static str| (path, String::new(), field, seen);
    let table = [
        list("/v1/organisations", &kodu, "name", "ppwpww"),
        list("/v1/organisations", &mare, "sequence", "pppwww"),
        one(format!("/v1/organisations/{kodu}"), "cash", "ffwfww"),
        one(format!("/v1/keys/{}", key("kodu").public_key()), "nonce", "ffwfww"),
        one(format!("/v1/keys/{}", key("EE registrar").public_key()), "nonce", "ffffww"),
        list("/v1/grants", &grant().to_string(), "amount", "f-w-ww"),
        list("/v1/sites", &mare, "parts", "wwwwww"),
        one("/v1/orders".to_owned(), "items", "ffffww"),
        one("/v1/offices/EE".to_owned(), "", "pppppp"),
        list("/v1/offers", &offered_id, "contract_params", "pppwww"),
        list("/v1/offers", &withdrawn.to_string(), "contract_params", "---www"),
        one(format!("/v1/offers/{offered}"), "contract_params", "pppwww"),
        one(format!("/v1/offers/{withdrawn}"), "contract_params", "fffwww"),
        list("/v1/capacity", &offered_id, "provider_name", "pppwww"),
        list("/v1/requests", &open_id, "demand", "f-w-ww"),
        list("/v1/requests", &awarded.to_string(), "demand", "f-wwww"),
        one(format!("/v1/requests/{open}"), "demand", "ffwfww"),
        one(format!("/v1/requests/{awarded}"), "demand", "ffwwww"),
        one(format!("/v1/requests/{open}/why"), "sentence", "ffwfww"),
        one(format!("/v1/requests/{awarded}/why"), "sentence", "ffwwww"),
        list("/v1/leases", &lease_id, "requester", "ppwwww"),
        list(&format!("/v1/leases?organisation={kodu}"), &lease_id, "requester", "--wwww"),
        list(&format!("/v1/leases?requester={kodu}"), &lease_id, "requester", "--wwww"),
        list(&format!("/v1/leases?provider={mare}"), &lease_id, "requester", "--wwww"),
        one(format!("/v1/leases/{lease}"), "requester", "ffwwww"),
        one(format!("/v1/leases/{lease}/jobs"), "items", "ffwwww"),
        one(format!("/v1/leases/{lease}/settlement"), "payments", "ffwwww"),
        one(format!("/v1/blocks/{height}"), "content", "ppppww"),
        one("/v1/market/h100/book".to_owned(), "offers", "wwwwww"),
        one("/v1/market/h100/price".to_owned(), "market", "wwwwww"),
        one("/v1/market/h100/figures".to_owned(), "items", "wwwwww"),
        // What is not there is refused to strangers as what is another's.
        one(format!("/v1/organisations/{zeros}"), "", "ffffnn"),
        one(format!("/v1/keys/{zeros}"), "", "ffffnn"),
        one(format!("/v1/offers/{zeros}"), "", "ffffnn"),
        one(format!("/v1/requests/{zeros}"), "", "ffffnn"),
        one(format!("/v1/requests/{zeros}/why"), "", "ffffnn"),
        one(format!("/v1/leases/{zeros}"), "", "ffffnn"),
        one(format!("/v1/leases/{zeros}/jobs"), "", "ffffnn"),
        one(format!("/v1/leases/{zeros}/settlement"), "", "ffffnn"),
    ];
    for (path, item, field, expected) in &table {
        let mut seen = String::new();
        for who in READERS {
            seen.push(scene.seen(who, path, item, field).await);
        }
        assert_eq!(seen, *expected, "{path} {field}");
    }
    let hash = |who| async move { scene_lease(&scene, who).await["settlement"].clone() };
    let public = hash(None).await;
    assert!(public.as_str().is_some_and(|hash| hash.len() == 64), "{public}");
}

/// The settled lease in the list, as a reader sees it.
async fn scene_lease(scene: &Scene, who: Option<&str>) -> Value {
    let (_, body) = scene.ask(who, "/v1/leases").await;
    serde_json::from_str::<Value>(&body).unwrap()["items"][0].clone()
}

#[tokio::test]
async fn rows_are_proven_to_those_who_may_see_them_whole() {
    let scene = Scene::make().await;
    let Scene { open, awarded, lease, withdrawn, offered, .. } = &scene;
    let class = name("h100");
    let site = SiteKey { provider: centre(), site: name("mare-1"), class: class.clone() };
    let estonia: MemberCode = "EE".parse().unwrap();
    let group = {
        let mut group = None;
        scene.server.double.read(&mut |state| group = state.get::<Requests>(open).map(|row| row.group));
        group.unwrap()
    };
    let deadline = Deadline { due: TimeMs(1), kind: DeadlineKind::Batch, subject: [0; 32] };
    let table = [
        ("/v1/proofs/chain/-".to_owned(), "wwwwww"),
        ("/v1/proofs/params/-".to_owned(), "wwwwww"),
        (scene.proof("members", &estonia), "wwwwww"),
        (scene.proof("classes", &class), "wwwwww"),
        (scene.proof("contracts", &spot()), "wwwwww"),
        (scene.proof("contract_codes", &spot()), "wwwwww"),
        (scene.proof("contract_aliases", &name("spot")), "wwwwww"),
        (scene.proof("offers_open", &(&class, offered)), "wwwwww"),
        (scene.proof("leases_live", &(&class, lease)), "wwwwww"),
        (scene.proof("organisations", &startup()), "ffwfww"),
        (scene.proof("keys", &key("kodu").public_key()), "ffwfww"),
        (scene.proof("keys", &key("DE treasury").public_key()), "ffffww"),
        (scene.proof("accounts", &AccountId::Cash(startup())), "ffwfww"),
        (scene.proof("accounts", &AccountId::Grant(grant())), "ffwfww"),
        (scene.proof("accounts", &AccountId::Escrow(*open, 0)), "ffwfww"),
        (scene.proof("accounts", &AccountId::Escrow(*awarded, 0)), "ffwwww"),
        (scene.proof("accounts", &AccountId::Fees), "ffffww"),
        (scene.proof("accounts", &AccountId::Line(estonia, name("line-1"))), "ffffww"),
        (scene.proof("grants", &grant()), "ffwfww"),
        (scene.proof("deposits", &(estonia, name("d-1"))), "ffffww"),
        (scene.proof("sites", &site), "wwwwww"),
        (scene.proof("entitlements", &EntitlementKey { site, owner: PoolOwner::Private }), "wwwwww"),
        (scene.proof("outages", &[0u8; 32]), "wwwwww"),
        (scene.proof("offices", &(estonia, Office::Treasury)), "wwwwww"),
        (scene.proof("orders", &[0u8; 32]), "ffffww"),
        (scene.proof("proposals", &[0u8; 32]), "wwwwww"),
        (scene.proof("validator_sets", &1u64), "wwwwww"),
        (scene.proof("figures", &(&class, 1u64)), "wwwwww"),
        (scene.proof("waits", &[0u8; 32]), "wwwwww"),
        (scene.proof("proposers", &1u64), "wwwwww"),
        (scene.proof("aids", &(group, AidPart::Lease(*lease))), "ffwfww"),
        (scene.proof("offers", offered), "fffwww"),
        (scene.proof("offers", withdrawn), "fffwww"),
        (scene.proof("requests", open), "ffwfww"),
        (scene.proof("requests", awarded), "ffwwww"),
        (scene.proof("requests_open", &(&class, open)), "ffwfww"),
        (scene.proof("leases", lease), "ffwwww"),
        (scene.proof("jobs", &(lease, 0u32)), "ffwwww"),
        (scene.proof("settlements", lease), "ffwwww"),
        (scene.proof("interims", &(lease, 0u32)), "ffwwww"),
        (scene.proof("disputes", lease), "ffwwww"),
        (scene.proof("deadlines", &deadline), "ffffww"),
        (scene.proof("quotas", &Principal::Organisation(startup())), "ffwfww"),
        (scene.proof("usages", &(group, &class)), "ffwfww"),
        // Absence too, and what is no key of the table.
        (scene.proof("leases", &LeaseId([0; 32])), "ffffww"),
        (scene.proof("leases", &7u8), "ffffww"),
    ];
    for (path, expected) in &table {
        let mut seen = String::new();
        for who in READERS {
            seen.push(scene.seen(who, path, "", "row").await);
        }
        assert_eq!(seen, *expected, "{path}");
    }
    let tables: std::collections::BTreeSet<&str> =
        table.iter().filter_map(|(path, _)| path.split('/').nth(3)).collect();
    assert_eq!(
        tables.len(),
        hansa_ledger::tables::Tables::NAMES.len(),
        "every table stands in the list: {tables:?}"
    );
}

#[tokio::test]
async fn a_transaction_tells_its_events_to_its_signer_and_to_whom_they_concern() {
    let scene = Scene::make().await;
    let (id, _) = scene.placed;
    for (who, events) in READERS.into_iter().zip([0, 0, 1, 0, 1, 1]) {
        let (status, body) = scene.ask(who, &format!("/v1/transactions/{id}")).await;
        let told: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(
            (status, &told["status"], &told["receipt"]["code"]),
            (200, &"final".into(), &0.into()),
            "{who:?}"
        );
        assert_eq!(told["receipt"]["events"].as_array().unwrap().len(), events, "{who:?}: {body}");
    }
}

/// Every event up to the last block.
async fn told(client: &Client, filter: EventFilter, tip: u64) -> Vec<EventInfo> {
    let filter = EventFilter { blocks: Some(true), ..filter };
    let mut stream = client.events(filter, Some(EventCursor::after_block(0)));
    let mut events = Vec::new();
    loop {
        let message = tokio::time::timeout(Duration::from_secs(10), stream.next()).await.unwrap();
        match message.unwrap().unwrap() {
            EventMessage::Event(info) => events.push(*info),
            EventMessage::Block(mark) if mark.height >= tip => return events,
            EventMessage::Block(_) => {}
            EventMessage::Reset(mark) => panic!("{mark:?}"),
        }
    }
}

#[tokio::test]
async fn each_reader_is_told_of_its_own_and_of_what_is_public() {
    let scene = Scene::make().await;
    let server = &scene.server;
    let tip = server.client.status().await.unwrap().height;
    let all = told(&server.reader("FR treasury"), EventFilter::default(), tip).await;
    assert_eq!(told(&server.reader("EU governance"), EventFilter::default(), tip).await, all);
    let transfers: Vec<TransactionId> = all
        .iter()
        .filter(|info| matches!(info.event, Event::CashTransferred { .. }))
        .filter_map(|info| info.transaction)
        .collect();
    let own = |who: &str| -> Vec<String> {
        match who {
            "kodu" => vec![
                startup().to_string(),
                scene.lease.to_string(),
                scene.open.to_string(),
                scene.awarded.to_string(),
                grant().to_string(),
            ],
            "mare" => vec![centre().to_string(), scene.lease.to_string()],
            _ => vec![hansa_ledger::action::organisation_id("EE".parse().unwrap(), "10002").to_string()],
        }
    };
    for who in ["kodu", "mare", "rivaal"] {
        let ids = own(who);
        let is_own = |info: &EventInfo| {
            let text = serde_json::to_string(&info.event).unwrap();
            ids.iter().any(|id| text.contains(id))
        };
        // What one's own transaction did is told whole, also where it names nobody.
        let signed =
            |info: &EventInfo| who == "kodu" && info.transaction.is_some_and(|id| transfers.contains(&id));
        let expected: Vec<EventInfo> = all
            .iter()
            .filter(|info| is_public(&info.event) || is_own(info) || signed(info))
            .cloned()
            .collect();
        assert_eq!(told(&server.reader(who), EventFilter::default(), tip).await, expected, "{who}");
        assert!(expected.len() < all.len());
    }
    let public = server.client.clone().without_reader();
    let expected: Vec<EventInfo> = all.iter().filter(|info| is_public(&info.event)).cloned().collect();
    assert!(expected.len() >= 5, "{expected:?}");
    assert_eq!(told(&public, EventFilter::default(), tip).await, expected);
    // A filter opens nothing.
    let of_kodu = EventFilter { organisation: Some(startup()), ..Default::default() };
    assert_eq!(told(&public, of_kodu, tip).await, []);
    let of_lease = EventFilter { lease: Some(scene.lease), ..Default::default() };
    assert_eq!(told(&public, of_lease, tip).await, []);
}

/// Fields that say what is somebody's.
const PRIVATE: &[&str] = &[
    "limit",
    "balance",
    "locked",
    "amount",
    "amount_max",
    "cash",
    "escrowed",
    "nonce",
    "next_nonce",
    "demand",
    "sources",
    "purse",
    "payments",
    "refunds",
    "paid",
    "requester",
    "holder",
    "group",
    "sequence",
    "accredited_until",
    "administrators",
    "key_list",
    "grants",
    "quota",
    "provider_name",
    "contract_params",
    "leased",
    "reported",
    "countersigned",
    "contested",
    "agreement",
    "request",
    "manifest",
    "outputs",
    "exit_code",
    "facts",
    "split",
    "budget_line",
    "reference",
    "purpose",
    "signature",
    "signer",
    "actions",
    "content",
    "roles",
];

#[tokio::test]
async fn no_answer_to_the_public_holds_what_is_somebodys() {
    let scene = Scene::make().await;
    let Scene { open, awarded, lease, withdrawn, offered, placed: (placed, height), .. } = &scene;
    let zeros = "0".repeat(64);
    let mut answered = 0;
    for (method, route) in ROUTES.iter().filter(|(method, _)| *method == "get") {
        let ids: Vec<String> = match route.split('/').nth(2) {
            Some("organisations") => vec![startup().to_string(), centre().to_string()],
            Some("keys") => vec![key("kodu").public_key().to_string()],
            Some("offers") => vec![offered.to_string(), withdrawn.to_string()],
            Some("requests") => vec![open.to_string(), awarded.to_string()],
            Some("leases") => vec![lease.to_string()],
            Some("transactions") => vec![placed.to_string()],
            _ => vec![zeros.clone()],
        };
        let hash = if route.contains("contracts") { spot().to_string() } else { zeros.clone() };
        let paths: Vec<String> = match *route {
            "/v1/events" => Vec::new(),
            "/v1/proofs/{table}/{key}" => {
                let mut rows = vec![
                    "/v1/proofs/params/-".to_owned(),
                    scene.proof("accounts", &AccountId::Cash(startup())),
                ];
                rows.extend([scene.proof("leases", lease), scene.proof("members", &MemberCode::EU)]);
                rows
            }
            route => ids
                .iter()
                .map(|id| route.replace("{id}", id).replace("{key}", id).replace("{hash}", &hash))
                .map(|path| {
                    path.replace("{class}", "h100")
                        .replace("{height}", &height.to_string())
                        .replace("{n}", "0")
                        .replace("{member}", "EE")
                        .replace("{job}", "0")
                })
                .collect(),
        };
        for path in paths {
            assert!(!path.contains('{'), "{route} has a part that this test knows nothing of");
            let (status, body) = scene.ask(None, &path).await;
            assert!([200, 401, 403, 404].contains(&status), "{method} {path}: {status} {body}");
            if status == 200 && path != "/openapi.json" && path != "/metrics" {
                answered += 1;
                innocent(
                    &path,
                    "",
                    &serde_json::from_str(&body).unwrap_or_else(|_| panic!("{path}: {body}")),
                );
            }
        }
    }
    assert!(answered >= 22, "{answered}");
    let tip = scene.server.client.status().await.unwrap().height;
    for info in told(&scene.server.client.clone().without_reader(), EventFilter::default(), tip).await {
        innocent("/v1/events", "", &serde_json::to_value(&info).unwrap());
    }
    // What is asked by a body shows purses, and is for nobody but their owner.
    let quote = hansa_node_api::market::QuoteRequest { organisation: startup(), demand: demand() };
    for (who, code) in READERS.into_iter().zip([1030, 1030, 0, 1030, 0, 0]) {
        let client = match who {
            Some(who) => scene.server.reader(who),
            None => scene.server.client.clone().without_reader(),
        };
        let refused = client.quote(&quote).await.err().and_then(|error| error.code()).unwrap_or(0);
        assert_eq!(refused, code, "{who:?}");
    }
}

/// Panics where a field is private, or a value names an organisation.
fn innocent(path: &str, field: &str, value: &Value) {
    // Positions and limits of members are public aggregates, and so is what of a limit is taken up.
    let member = path == "/v1/members" && field == "locked";
    // Whose signature binds a member is for everybody to know.
    let office = path.starts_with("/v1/offices/");
    // How concentrated a class is, is told with the groups' pseudonyms.
    let figures = path.ends_with("/figures") && field == "group";
    let excused = member || office || figures;
    assert!(excused || !PRIVATE.contains(&field), "{path} shows `{field}`");
    match value {
        Value::Object(fields) => fields.iter().for_each(|(name, value)| innocent(path, name, value)),
        Value::Array(values) => values.iter().for_each(|value| innocent(path, "", value)),
        Value::String(text) => {
            for name in ["kodu", "mare", "rivaal"] {
                assert!(
                    text != name && !text.contains(&hex::encode(name)),
                    "{path} names `{name}` in `{field}`"
                );
            }
        }
        _ => {}
    }
}

/// What is done in the market here has to stay what [`Scene`] takes it for.
#[tokio::test]
async fn the_scene_has_an_open_request_and_a_settled_lease() {
    let scene = Scene::make().await;
    let client = &scene.server.client;
    assert!(client.settlement(&scene.lease).await.is_ok());
    assert_eq!(client.request_info(&scene.open).await.unwrap().row.lease, None);
    assert_eq!(client.request_info(&scene.awarded).await.unwrap().row.lease, Some(scene.lease));
}
