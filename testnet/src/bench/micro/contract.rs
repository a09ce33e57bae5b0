//! Settling a lease by the `spot` contract in its virtual machine.

use super::{broken, rounds};
use crate::bench::report::Report;
use crate::error::TestnetError;
use hansa_contracts_abi::{
    ABI_VERSION, Ctx, Escrow, Evidence, Facts, Price, Role, Runtime as _, Terms, Trigger, Unit, Usage, Window,
};
use hansa_contracts_host::Host;
use std::path::Path;

/// Calls in a round.
const CALLS: usize = 2_000;

/// Parameters of the contract: no least fee.
const PARAMS: [u8; 16] = [0; 16];

pub(super) fn measure(report: &mut Report, _: &Path) -> Result<(), TestnetError> {
    let host = Host::new();
    let code = host.load(hansa_contracts_bundle::SPOT).map_err(broken)?;
    let facts = facts();
    let first = host.settle(&code, &PARAMS, &facts);
    first.result.map_err(broken)?;
    let settle = |()| (0..CALLS).all(|_| host.settle(&code, &PARAMS, &facts).result.is_ok());
    let times = rounds(CALLS, || (), settle);
    let per_second: Vec<f64> = times.iter().map(|time| 1_000_000.0 / time).collect();
    report.figure("settle a lease by contract", "us", &times);
    report.figure("settlements by contract", "per s", &per_second);
    report.figure("fuel of a settlement", "", &[first.fuel as f64]);
    Ok(())
}

/// Eight accelerators for a day, three windows used, countersigned.
fn facts() -> Facts {
    let window =
        |index| Window { index, delivered: 7_200, committed: 7_200, up_secs: 900, source: Evidence::Both };
    Facts {
        abi: ABI_VERSION,
        terms: Terms {
            parties: vec![Role::Requester, Role::Provider, Role::Operator],
            unit: Unit::AcceleratorSecond,
            units: 8,
            start: 1_700_000_000,
            end: 1_700_086_400,
            price: Price { num: 2_450_000, den: 3_600 },
            fee_bps: 150,
            sponsor_bps: 0,
            slash_max: 0,
            sla: Vec::new(),
        },
        usage: Usage { windows: (0..3).map(window).collect(), readings: Vec::new(), cumulative: 21_600 },
        escrow: Escrow { locked: 470_400_000, paid: 0, stake: 0 },
        ctx: Ctx { height: 10, now: 1_700_050_000, trigger: Trigger::Final, quota_left: None },
        state: Vec::new(),
    }
}
