//! `hansa chain`: look at blocks, transactions, proofs and events.

mod archive;

use crate::error::{Failure, Outcome};
use crate::printer::pairs;
use crate::session::{Session, short};
use archive::Place;
use clap::{Args, Subcommand};
use futures::StreamExt as _;
use hansa_ledger::id::TransactionId;
use hansa_ledger::root;
use hansa_node_api::certificate::genesis_validators;
use hansa_node_api::chain::{BlockInfo, TransactionInfo, TransactionStatus};
use hansa_node_api::filter::EventFilter;
use hansa_node_api::proof::ProofInfo;
use hansa_node_api::status::NodeStatus;
use hansa_node_api::{EventCursor, EventInfo, EventMessage};
use serde_json::json;
use std::path::PathBuf;

/// Look at blocks, transactions, proofs and events.
#[derive(Debug, Args)]
pub struct ChainArguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Show how the node and the federation are: height, members, positions, contracts
    Status,
    /// Show a block
    Block {
        /// Which; the last one if not said
        height: Option<u64>,
    },
    /// Show what has become of a transaction
    Tx {
        /// Its id
        id: TransactionId,
    },
    /// Show a row of the state with its proof, and check it if a genesis is trusted
    Proof {
        /// Table, by name or number, such as `leases`
        table: String,
        /// The row's key: its encoding in hexadecimal, which for most tables is the id; none for single rows
        #[arg(default_value = "")]
        row: String,
        /// The genesis you trust; else the setting `genesis`
        #[arg(long, value_name = "FILE")]
        genesis: Option<PathBuf>,
    },
    /// Show what has happened, one event per line
    Events(Events),
    /// Read and execute again everything that a stopped node keeps, and say whether it is sound
    Verify(Place),
    /// Write everything that a stopped node keeps, verified, to one file
    Export {
        #[command(flatten)]
        place: Place,
        /// The file, which must not exist
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Make a stopped node's ledger of such a file, verified; the node must have none
    Import {
        #[command(flatten)]
        place: Place,
        /// The file
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Write a stopped node's ledger anew, so that its free space goes back to the disk
    Compact(Place),
}

#[derive(Debug, Args)]
struct Events {
    /// Go on with what happens from now on
    #[arg(long, short)]
    follow: bool,
    /// Begin this many blocks back
    #[arg(long, default_value_t = 100, conflicts_with = "since", value_name = "BLOCKS")]
    last: u64,
    /// Begin after this event: `height:index`
    #[arg(long, value_name = "HEIGHT:INDEX")]
    since: Option<EventCursor>,
    /// Only these kinds, such as `lease_awarded`
    #[arg(long, value_delimiter = ',', value_name = "KIND")]
    kind: Vec<String>,
    /// Only those of this organisation: id, beginning of it, or name
    #[arg(long, value_name = "ORG")]
    organisation: Option<String>,
    /// Only those of this lease: id or beginning of it
    #[arg(long)]
    lease: Option<String>,
}

impl ChainArguments {
    pub(super) async fn run(self, session: &Session) -> Outcome {
        match self.verb {
            Verb::Status => status(session).await,
            Verb::Block { height } => {
                let block = session.reader().await?.block(height).await?;
                session.printer.data(&block, || block_text(session, &block));
                Ok(())
            }
            Verb::Tx { id } => {
                let info = session.reader().await?.transaction(&id).await?;
                session.printer.data(&info, || transaction_text(&info));
                Ok(())
            }
            Verb::Proof { table, row, genesis } => proof(session, &table, &row, genesis).await,
            Verb::Events(events) => events.run(session).await,
            Verb::Verify(place) => place.verify(session),
            Verb::Export { place, file } => place.export(session, &file),
            Verb::Import { place, file } => place.import(session, &file),
            Verb::Compact(place) => place.compact(session),
        }
    }
}

async fn status(session: &Session) -> Outcome {
    let client = session.client()?;
    let status = client.status().await?;
    client.note_unproven("how the node says that it is");
    let (peers, members, contracts) =
        (client.peers().await?, client.members().await?, client.contracts().await?);
    let data = json!({ "node": status, "peers": peers, "members": members, "contracts": contracts });
    session.printer.data(&data, || {
        let head = pairs(&[
            ("federation", status.federation.to_string()),
            ("chain", status.chain.to_string()),
            ("node of", status.member.to_string()),
            ("height", status.height.to_string()),
            ("block time", status.time.to_string()),
            ("state root", status.state_root.to_string()),
            (
                "transactions",
                format!("{} final, {} waiting", status.transactions, status.mempool_transactions),
            ),
            ("ready", status.unready_reason.clone().unwrap_or_else(|| "yes".to_owned())),
            ("version", format!("{}, rules {}", status.version, rules(&status))),
        ]);
        let rows = members.iter().map(|member| {
            let peer = peers.iter().find(|peer| peer.member == member.code);
            let reached = match peer {
                None if member.code == status.member => "this node",
                Some(peer) if peer.connected => "connected",
                Some(_) => "away",
                None => "no node",
            };
            [
                member.code.to_string(),
                reached.to_owned(),
                euro(member.row.position),
                format!("{} EUR", member.debit_headroom),
                format!("{} EUR", member.issue_headroom),
            ]
        });
        let members = session.printer.table(["MEMBER", "NODE", "POSITION", "MAY OWE", "MAY ISSUE"], rows);
        let rows =
            contracts.iter().map(|one| [one.name.to_string(), one.hash.to_string(), one.bytes.to_string()]);
        let contracts = session.printer.table(["CONTRACT", "HASH", "BYTES"], rows);
        format!("{head}\n\n{members}\n\n{contracts}")
    });
    Ok(())
}

/// The rules in force, and those to come.
fn rules(status: &NodeStatus) -> String {
    match &status.upgrade {
        Some(next) => {
            format!("{}, {} from height {} on", status.protocol_version, next.protocol_version, next.height)
        }
        None => status.protocol_version.to_string(),
    }
}

/// A position with its sign, in euro.
fn euro(ueur: i128) -> String {
    let amount = ueur.unsigned_abs();
    let sign = if ueur < 0 { "-" } else { "" };
    match u64::try_from(amount) {
        Ok(amount) => format!("{sign}{} EUR", hansa_ledger::money::Money(amount)),
        Err(_) => format!("{sign}{amount} uEUR"),
    }
}

fn block_text(session: &Session, block: &BlockInfo) -> String {
    let header = &block.header;
    let head = pairs(&[
        ("height", header.height.to_string()),
        ("block", block.id.to_string()),
        ("time", header.time.to_string()),
        ("proposer", header.proposer.to_string()),
        ("parent", header.parent.to_string()),
        ("state root", hex::encode(header.state_root)),
        ("left waiting", waiting_text(block)),
    ]);
    if block.transactions.is_empty() {
        return head;
    }
    let Some(content) = &block.content else {
        let rows = block.transactions.iter().map(|id| [id.to_string()]);
        return format!("{head}\n\n{}", session.printer.table(["TRANSACTION"], rows));
    };
    let head = format!(
        "{head}\n{}",
        pairs(&[("by itself", format!("{} events", content.receipts.deadlines.len()))])
    );
    let rows = content.transactions.iter().zip(&content.receipts.transactions).map(|(signed, receipt)| {
        let kinds: Vec<&str> = signed.transaction.actions.iter().map(|action| action.name()).collect();
        let outcome = match receipt.code {
            0 => "done".to_owned(),
            code => rejection_text(code),
        };
        [signed.id().to_string(), short(&signed.transaction.signer), kinds.join(","), outcome]
    });
    format!("{head}\n\n{}", session.printer.table(["TRANSACTION", "SIGNER", "ACTIONS", "OUTCOME"], rows))
}

/// What its proposer had seen and did not include; nothing where there was none.
fn waiting_text(block: &BlockInfo) -> String {
    match block.waiting.as_slice() {
        [] => String::new(),
        waiting => {
            let ids: Vec<String> = waiting.iter().map(short).collect();
            format!("{} transactions: {}", waiting.len(), ids.join(" "))
        }
    }
}

fn rejection_text(code: u16) -> String {
    let rejection = hansa_ledger::rejection::Rejection::from_code(code);
    rejection.map_or(format!("refused, code {code}"), |rejection| format!("{} ({code})", rejection.name()))
}

fn transaction_text(info: &TransactionInfo) -> String {
    match &info.status {
        TransactionStatus::Unknown => "the node does not know this transaction".to_owned(),
        TransactionStatus::Waiting => "it waits for a block".to_owned(),
        TransactionStatus::Final(done) => {
            let outcome = match done.receipt.code {
                0 => "done".to_owned(),
                code => rejection_text(code),
            };
            let events = done.receipt.events.iter();
            let lines: Vec<String> =
                events.map(|event| serde_json::to_string(event).unwrap_or_default()).collect();
            let head = pairs(&[
                ("block", done.height.to_string()),
                ("place", done.index.to_string()),
                ("time", done.time.to_string()),
                ("outcome", outcome),
            ]);
            format!("{head}\n{}", lines.join("\n"))
        }
    }
}

async fn proof(session: &Session, table: &str, row: &str, genesis: Option<PathBuf>) -> Outcome {
    let key = hex::decode(row).map_err(|error| {
        Failure::refused(format!("`{row}` is not hexadecimal: {error}")).hint("give the whole id")
    })?;
    let trusted = match (&genesis, session.config()?.genesis) {
        (None, None) => None,
        _ => Some(session.genesis(genesis.as_deref())?),
    };
    let client = session.reader().await?;
    let proof = client.proof_of(table, &key).await?;
    let verified = trusted.is_some() || client.is_trusting_nobody();
    if proof.key != key {
        return Err(
            Failure::failed("the node proves another row than the one asked for").hint("ask another node")
        );
    }
    if let Some(genesis) = &trusted {
        let refuse = |error: &dyn std::fmt::Display| {
            Failure::refused(format!("the proof does not hold: {error}"))
                .hint("ask another member's node with `--node`")
        };
        if proof.header.chain != genesis.chain_id() {
            return Err(refuse(&"it is of another federation than the trusted genesis"));
        }
        proof.verify_block(&genesis_validators(genesis)).map_err(|error| refuse(&error))?;
        verify_path(&proof).map_err(|error| refuse(&error))?;
    }
    let data = json!({ "verified": verified, "proof": proof });
    session.printer.data(&data, || {
        pairs(&[
            ("table", format!("{} ({})", proof.table, proof.table_id)),
            ("row", proof.row.as_ref().map_or("absent".to_owned(), hex::encode)),
            ("height", proof.header.height.to_string()),
            ("state root", hex::encode(proof.header.state_root)),
            (
                "path",
                format!("{} hashes, {} rows in the leaf", proof.proof.siblings.len(), proof.proof.rows.len()),
            ),
            ("verified", if verified { "by the members that are trusted" } else { "no" }.to_owned()),
        ])
    });
    if !verified {
        session
            .printer
            .note("nothing was verified: give `--genesis FILE`, or `hansa config set genesis FILE`");
    }
    Ok(())
}

fn verify_path(proof: &ProofInfo) -> Result<(), root::ProofError> {
    let value = proof.row.as_deref().map(root::value_hash);
    let key = root::key_hash(proof.table_id, &proof.key);
    root::verify(&proof.header.state_root, &key, value.as_ref(), &proof.proof)
}

impl Events {
    async fn run(self, session: &Session) -> Outcome {
        let client = session.reader().await?;
        let height = client.status().await?.height;
        let organisation = match &self.organisation {
            Some(text) => Some(session.find_organisation(&client, text).await?),
            None => None,
        };
        let lease = match &self.lease {
            Some(text) => Some(session.find_lease(&client, text).await?),
            None => None,
        };
        let kind = Some(self.kind.join(",")).filter(|kinds| !kinds.is_empty());
        let filter = EventFilter { organisation, lease, kind, blocks: Some(true), ..EventFilter::default() };
        let since = self.since.unwrap_or_else(|| EventCursor::after_block(height.saturating_sub(self.last)));
        if !self.follow && since >= EventCursor::after_block(height) {
            return Ok(());
        }
        let mut events = client.events(filter, Some(since));
        while let Some(message) = events.next().await {
            match message {
                Ok(EventMessage::Event(event)) => session.printer.data(&event, || event_text(&event)),
                Ok(EventMessage::Block(mark)) if !self.follow && mark.height >= height => return Ok(()),
                Ok(EventMessage::Block(_)) => {}
                Ok(EventMessage::Reset(mark)) => {
                    session.printer.warn(&format!("the node keeps no events before block {}", mark.height));
                }
                Err(error) if self.follow && error.is_transient() => session.printer.note(&error.to_string()),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

fn event_text(event: &EventInfo) -> String {
    let fields = serde_json::to_string(&event.event).unwrap_or_default();
    format!("{}  {}  {fields}", event.cursor(), event.time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_have_a_sign() {
        for (ueur, text) in [
            (0, "0.00 EUR"),
            (-1_500_000, "-1.50 EUR"),
            (i128::MAX, "170141183460469231731687303715884105727 uEUR"),
        ] {
            assert_eq!(euro(ueur), text);
        }
    }
}
