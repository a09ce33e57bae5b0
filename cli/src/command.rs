//! The verbs: one file each.

mod account;
mod bench;
pub mod bid;
mod capacity;
mod chain;
mod config;
mod contract;
mod credit;
mod demo;
mod governance;
mod job;
mod key;
mod lease;
mod market;
mod node;
mod offer;
mod office;
mod org;
mod provider;
mod request;
mod site;
mod submit;
mod testnet;

use crate::error::Outcome;
use crate::session::Session;
use clap::Subcommand;

/// Declares the verbs: a line makes its word, its arguments and its dispatch.
macro_rules! verbs {
    ($($(#[doc = $doc:literal])* $verb:ident($arguments:ty),)*) => {
        /// What to do.
        #[derive(Debug, Subcommand)]
        pub enum Command {
            $($(#[doc = $doc])* $verb($arguments),)*
        }

        impl Command {
            /// Does it.
            ///
            /// # Errors
            /// Why it could not be done.
            pub async fn run(self, session: &Session) -> Outcome {
                match self {
                    // Boxed, for the futures of some verbs are large and only one runs.
                    $(Self::$verb(arguments) => Box::pin(arguments.run(session)).await,)*
                }
            }
        }
    };
}

verbs! {
    /// Make and list the keys you sign with
    Key(key::KeyArguments),
    /// Show and change your settings
    Config(config::ConfigArguments),
    /// Show what an organisation holds: balances, grants, keys, quota, open requests
    Account(account::AccountArguments),
    /// Accredit organisations and manage their keys
    Org(org::OrgArguments),
    /// Approve what offices of members have proposed, and manage their keys
    Office(office::OfficeArguments),
    /// Accredit capacity at sites
    Site(site::SiteArguments),
    /// Issue grants, attest deposits, transfer and redeem cash
    Credit(credit::CreditArguments),
    /// List what can be had
    Capacity(capacity::CapacityArguments),
    /// Look at the market: classes, books, prices, what batches have decided
    Market(market::MarketArguments),
    /// Offer capacity
    Offer(offer::OfferArguments),
    /// Write, check, try and replay contracts
    Contract(contract::ContractArguments),
    /// Ask for capacity, and run a job in it
    Bid(Box<bid::BidArguments>),
    /// Follow your requests, and learn why they wait
    Request(request::RequestArguments),
    /// Run jobs in a lease
    Job(job::JobArguments),
    /// Follow, end, pay and verify leases
    Lease(lease::LeaseArguments),
    /// Propose changes of the federation, and vote on them
    Governance(governance::GovernanceArguments),
    /// Sign and send any transaction from JSON
    Submit(submit::SubmitArguments),
    /// Look at blocks, transactions, proofs and events
    Chain(chain::ChainArguments),
    /// Run a member's node
    Node(node::NodeArguments),
    /// Turn leases into work on this machine
    Provider(provider::ProviderArguments),
    /// Run a federation on this machine
    Testnet(testnet::TestnetArguments),
    /// Watch a federation on this machine settle one real job, end to end
    Demo(demo::DemoArguments),
    /// Measure this program on this machine
    Bench(bench::BenchArguments),
}
