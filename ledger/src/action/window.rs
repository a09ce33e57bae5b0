//! Reporting use together with a figure that the provider signs for it.

use super::lease::provided;
use super::{Context, Perform};
use crate::id::LeaseId;
use crate::params::Params;
use crate::rejection::Rejection;
use crate::row::data;
use crate::row::{LeaseState, MeterWindow};
use crate::tables::Leases;
use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};

data! {
    /// Usage of one lease, and a figure for the part of it since the window before.
    pub struct LeaseWindow {
        /// Which.
        pub lease: LeaseId,
        /// Cumulative accelerator-seconds since the provider began it.
        pub cumulative: u64,
        /// What the provider signs for that part besides: what it measures, and in which unit, is for the tariff of the
        /// lease's contract to say, such as the grams of CO2 that a kilowatt-hour caused.
        pub reading: u32,
    }

    /// Reports use of many leases as [`super::ReportUsage`] does, and closes a window of each with a figure that its contract
    /// is told. Windows that follow each other with the same figure are one. Signed by a provider key with the operate role.
    pub struct ReportWindows {
        /// Each lease once.
        pub windows: Vec<LeaseWindow>,
    }
}

/// The most windows of a lease. They stand in its row, and its contract has to be told all of them at once, within the fuel of
/// one call: a dispute over `reserved`, which judges each of them twice, takes 140.
pub const WINDOWS_MAX: usize = 128;

/// The most leases in one report, as in one of usage alone.
const LEASES_MAX: usize = 1_024;

impl Perform for ReportWindows {
    fn check(&self, _: &Params) -> Result<(), Rejection> {
        let distinct: std::collections::BTreeSet<_> =
            self.windows.iter().map(|window| window.lease).collect();
        let fits = (1..=LEASES_MAX).contains(&self.windows.len());
        if fits && distinct.len() == self.windows.len() { Ok(()) } else { Err(Rejection::ListInvalid) }
    }

    fn apply(&self, context: &mut Context<'_, '_>) -> Result<(), Rejection> {
        for LeaseWindow { lease: id, cumulative, reading } in self.windows.iter().cloned() {
            let lease = provided(context, &id)?;
            if lease.state != LeaseState::Active {
                return Err(Rejection::LeaseStateWrong);
            }
            context.report_usage(id, lease, cumulative, false)?;
            let mut lease = context.view.get::<Leases>(&id).cloned().ok_or(Rejection::LeaseUnknown)?;
            let window = MeterWindow { until: context.now, cumulative, reading };
            let full = lease.windows.len() >= WINDOWS_MAX;
            match lease.windows.last_mut() {
                Some(last) if last.reading == reading => *last = window,
                _ if full => return Err(Rejection::TooManyWindows),
                _ => lease.windows.push(window),
            }
            context.view.put::<Leases>(id, lease);
        }
        Ok(())
    }
}
