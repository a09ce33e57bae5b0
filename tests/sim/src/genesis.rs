//! The beginning of every simulated federation.

use crate::profile::Profile;
use crate::world::{START, key};
use hansa_ledger::genesis::{Genesis, GenesisContract, GenesisMember, GenesisOffice};
use hansa_ledger::money::Money;
use hansa_ledger::name::Name;
use hansa_ledger::params::Params;

/// The members, as many as there are, in this order.
pub const CODES: [&str; 7] = ["DE", "EE", "ES", "FR", "IT", "PL", "SE"];

/// A name, which the program itself has chosen.
#[must_use]
pub fn name(text: &str) -> Name {
    Name::new(text).expect("names in the simulator are names")
}

/// Windows of seconds, so that leases live and end within a run.
#[must_use]
pub fn params() -> Params {
    Params {
        heartbeat_ms: 4_000,
        reserve_bps_min: 0,
        cap_bps: 10_000,
        lease_start_window_ms: 3_000,
        lease_report_window_ms: 3_000,
        lease_challenge_window_ms: 3_000,
        dispute_window_ms: 3_000,
        governance_voting_ms: 10_000,
        interim_interval_ms: 2_000,
        audit_window_ms: 3_000,
        ..Params::testnet()
    }
}

/// The genesis of a seed's federation.
#[must_use]
pub fn genesis(profile: &Profile) -> Genesis {
    let office = |name: String| GenesisOffice::single(key(&name).public_key());
    let members = CODES.iter().take(profile.members).enumerate().map(|(number, code)| GenesisMember {
        code: code.parse().expect("the codes above are codes"),
        consensus_key: key(&format!("{code} consensus")).public_key(),
        network_key: key(&format!("network {number}")).public_key(),
        issue_limit: Money(1_000_000_000_000),
        debit_cap: Money(1_000_000_000),
        registrar: office(format!("{code} registrar")),
        treasury: office(format!("{code} treasury")),
        governance: office(format!("{code} governance")),
    });
    Genesis {
        name: name("simulated"),
        time: START,
        vm_profile: hansa_contracts_host::vm_profile(),
        params: params(),
        members: members.collect(),
        contracts: vec![GenesisContract { name: name("spot"), code: hansa_contracts_bundle::SPOT.to_vec() }],
    }
}
