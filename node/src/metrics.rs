//! Figures of this process for Prometheus.

use metrics::{counter, describe_counter, describe_gauge, gauge};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use std::sync::OnceLock;

/// The recorder belongs to the process, not to one node of it.
static RECORDER: OnceLock<PrometheusHandle> = OnceLock::new();

/// Installs the recorder, once for the process.
#[must_use]
pub fn install() -> PrometheusHandle {
    RECORDER
        .get_or_init(|| {
            let recorder = PrometheusBuilder::new().build_recorder();
            let handle = recorder.handle();
            // Where a recorder is installed already, this one stays readable and simply empty.
            let _ = metrics::set_global_recorder(recorder);
            describe();
            handle
        })
        .clone()
}

fn describe() {
    describe_gauge!("hansa_height", "height of the last final block");
    describe_gauge!("hansa_round", "consensus round of the height in hand");
    describe_gauge!("hansa_peers_connected", "members this node is connected to");
    describe_gauge!("hansa_mempool_transactions", "transactions that wait");
    describe_gauge!("hansa_mempool_bytes", "their size in bytes");
    describe_counter!("hansa_signature_checks_total", "signatures really checked");
    describe_counter!("hansa_fsyncs_total", "times the store waited for the disk");
    describe_counter!("hansa_gossip_rejected_total", "gossiped messages that were refused");
}

/// What the figures say at one moment.
#[derive(Clone, Copy, Debug)]
pub struct Figures {
    /// Height of the last final block.
    pub height: u64,
    /// Consensus round.
    pub round: u32,
    /// Members connected.
    pub peers_connected: usize,
    /// Transactions in wait.
    pub mempool_transactions: usize,
    /// Their bytes.
    pub mempool_bytes: usize,
    /// Signatures checked.
    pub signature_checks: u64,
    /// Fsyncs.
    pub fsyncs: u64,
    /// Messages refused.
    pub gossip_rejected: u64,
}

impl Figures {
    /// Hands the figures to the recorder.
    pub fn record(&self) {
        let real = |count: usize| u32::try_from(count).map_or(f64::INFINITY, f64::from);
        #[allow(clippy::cast_precision_loss, reason = "heights stay far below 2^53")]
        gauge!("hansa_height").set(self.height as f64);
        gauge!("hansa_round").set(f64::from(self.round));
        gauge!("hansa_peers_connected").set(real(self.peers_connected));
        gauge!("hansa_mempool_transactions").set(real(self.mempool_transactions));
        gauge!("hansa_mempool_bytes").set(real(self.mempool_bytes));
        counter!("hansa_signature_checks_total").absolute(self.signature_checks);
        counter!("hansa_fsyncs_total").absolute(self.fsyncs);
        counter!("hansa_gossip_rejected_total").absolute(self.gossip_rejected);
    }
}
