//! The server on a loopback socket, over a node that makes a block of every transaction at once.

mod book;
mod bundles;
mod disputes;
mod double;
mod extension;
mod limits;
mod logs;
mod market;
mod offices;
mod passes;
mod quotes;
mod reads;
mod resources;
mod rights;
mod streams;
mod why;

use double::{Double, key};
use hansa_ledger::action::{Action, PlaceRequest, request_id};
use hansa_ledger::id::{OrganisationId, RequestId};
use hansa_ledger::row::Demand;
use hansa_ledger::tables::Classes;
use hansa_node_api::pass::PASS_HEADER;
use hansa_node_api::{Account, Client};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use super::backend::Backend as _;
use super::{HttpLimits, serve};

/// A server, and what it stands on.
struct Server {
    double: Arc<Double>,
    address: SocketAddr,
    client: Client,
    shutdown: CancellationToken,
    served: tokio::task::JoinHandle<std::io::Result<()>>,
}

impl Server {
    async fn start(limits: HttpLimits) -> Self {
        let double = Arc::new(Double::new());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let served = tokio::spawn(serve(listener, double.clone(), limits, shutdown.clone()));
        let client = Client::new(&format!("http://{address}")).unwrap();
        // A member sees all, so that the tests see what there is; who else sees what of it is tested in `reads`.
        let client = client.with_reader(key("EE registrar"), double.chain);
        Self { double, address, client, shutdown, served }
    }

    fn account(&self, name: &str) -> Account {
        Account::new(key(name), self.double.chain, self.client.clone())
    }

    async fn send(&self, name: &str, action: impl Into<Action>) -> hansa_node_api::chain::FinalTransaction {
        self.account(name).send(vec![action.into()]).await.unwrap()
    }

    /// A start-up with money in Estonia and a centre with an offer in Spain.
    async fn open_market(&self) -> (OrganisationId, OrganisationId) {
        for (name, action) in double::market(self.double.chain) {
            self.send(name, action).await;
        }
        (double::startup(), double::centre())
    }

    /// Runs the batch of the class that is due.
    fn run_batch(&self, class: &str) {
        let mut due = None;
        let class = double::name(class);
        self.double.read(&mut |state| due = state.get::<Classes>(&class).and_then(|class| class.batch_due));
        self.double.produce(due.expect("a batch is due").max(self.double.later()));
    }

    /// Places a request, and gives its id.
    async fn place(&self, who: &str, demand: Demand) -> RequestId {
        let sent = self.account(who).send_signed(vec![PlaceRequest { demand }.into()]).await;
        request_id(sent.unwrap().0.id(), 0)
    }

    /// Sends these bytes and gives the status and the body of the answer.
    async fn raw(&self, request: &[u8]) -> (u16, String) {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request).await.unwrap();
        let mut answer = Vec::new();
        // The server may close before it has read everything; what it said before that counts.
        let _ = stream.read_to_end(&mut answer).await;
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        let body = answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default();
        (status, body)
    }

    /// A client that reads as this key.
    fn reader(&self, name: &str) -> Client {
        self.client.clone().with_reader(key(name), self.double.chain)
    }

    /// Asks by this pass, and gives the status and the body of the answer.
    async fn ask_by(&self, pass: Option<&str>, method: &str, path: &str) -> (u16, String) {
        let pass = pass.map(|pass| format!("{PASS_HEADER}: {pass}\r\n")).unwrap_or_default();
        let head =
            format!("{method} {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n{pass}\r\n", self.address);
        self.raw(head.as_bytes()).await
    }

    /// Asks without a body, and gives the status and the error's name, or the whole body.
    async fn ask(&self, method: &str, path: &str) -> (u16, String) {
        let head = format!("{method} {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n", self.address);
        let (status, body) = self.raw(head.as_bytes()).await;
        (status, name_of(&body).unwrap_or(body))
    }
}

/// The name in an error of the API.
fn name_of(body: &str) -> Option<String> {
    let from = body.find('{')?;
    let error: hansa_node_api::ErrorBody = serde_json::from_str(body[from..].trim()).ok()?;
    assert!(!error.error.message.is_empty() && !error.error.hint.is_empty(), "{error:?}");
    Some(error.error.name)
}
