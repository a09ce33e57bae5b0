//! Figures that a provider signs beside its usage, and how its contract is told of them.

use super::stage::{Setup, Stage};
use hansa_contracts_abi::{Evidence, Facts, Reading};
use hansa_ledger::action::{LeaseUsage, LeaseWindow, ReportUsage, ReportWindows, WINDOWS_MAX};
use hansa_ledger::event::Event;
use hansa_ledger::rejection::Rejection;

impl Stage {
    /// The provider reports use so much later, with a figure.
    fn window(&mut self, after_ms: u64, cumulative: u64, reading: u32) -> Result<Vec<Event>, Rejection> {
        let windows = vec![LeaseWindow { lease: self.lease, cumulative, reading }];
        self.after(after_ms, "bsc", ReportWindows { windows })
    }
}

/// Delivered, committed, seconds up and evidence of each window, and the figures.
#[allow(clippy::type_complexity)]
fn told(facts: &[u8]) -> (Vec<(u64, u64, u32, Evidence)>, Vec<(u32, u32)>) {
    let usage = borsh::from_slice::<Facts>(facts).unwrap().usage;
    let indices: Vec<usize> = usage.windows.iter().map(|one| one.index as usize).collect();
    assert_eq!(indices, (0..usage.windows.len()).collect::<Vec<_>>());
    let delivered: u128 = usage.windows.iter().map(|one| u128::from(one.delivered)).sum();
    assert_eq!(delivered, usage.cumulative);
    let windows = usage.windows.iter().map(|one| (one.delivered, one.committed, one.up_secs, one.source));
    let readings = usage.readings.iter().map(|Reading { index, value }| (*index, *value));
    (windows.collect(), readings.collect())
}

#[test]
fn usage_is_told_by_the_windows_that_its_readings_close() {
    let mut stage = Stage::active(&Setup::default());
    // The same figure again goes on with its window, and use reported without one waits for the next.
    stage.window(4_000, 4, 320).unwrap();
    stage.window(2_000, 6, 320).unwrap();
    let usages = vec![LeaseUsage { lease: stage.lease, cumulative: 8 }];
    stage.after(1_000, "bsc", ReportUsage { usages }).unwrap();
    stage.window(1_000, 10, 90).unwrap();
    stage.countersign(7).unwrap();
    stage.claim(1).unwrap();
    // Two accelerators for six seconds, and for two.
    let both = Evidence::Both;
    let claimed = told(&stage.interims()[0].facts);
    assert_eq!(claimed, (vec![(6, 12, 6, both), (1, 4, 2, both)], vec![(0, 320), (1, 90)]));

    stage.end(1_998, 12).unwrap();
    stage.open("one", 7).unwrap();
    // What is contested is a window of its own with the same figure, and the same time is promised once. What was reported
    // without a figure comes last, with all that was promised until the end.
    let contested = Evidence::ProviderOnly;
    let windows =
        vec![(6, 12, 6, both), (1, 4, 2, both), (3, 0, 2, contested), (0, 24, 2, both), (2, 0, 2, contested)];
    let disputed = (windows, vec![(0, 320), (1, 90), (2, 90)]);
    assert_eq!(told(&stage.interims()[1].facts), disputed);
    for code in ["DE", "FR", "IT"] {
        stage.rule(code, 5_000).unwrap();
    }
    assert_eq!(told(&stage.settlement().facts), disputed);
    stage.check_closed();
}

#[test]
fn windows_are_bounded_and_use_is_reported_all_the_same() {
    let mut stage = Stage::active(&Setup::default());
    let most = u32::try_from(WINDOWS_MAX).unwrap();
    for number in 0..most {
        stage.window(1, 0, number).unwrap();
    }
    assert_eq!(stage.window(4_000, 4, most), Err(Rejection::TooManyWindows));
    assert_eq!(stage.row().reported, 0, "what is refused leaves no trace");
    stage.window(1, 4, most - 1).unwrap();
    let usages = vec![LeaseUsage { lease: stage.lease, cumulative: 6 }];
    stage.after(1, "bsc", ReportUsage { usages }).unwrap();
    assert_eq!((stage.row().windows.len(), stage.row().reported), (WINDOWS_MAX, 6));
    // The contract can be told all of them.
    stage.end(1, 8).unwrap();
    stage.countersign(8).unwrap();
    let settlement = stage.settlement();
    assert_eq!(settlement.failure, None);
    assert_eq!(told(&settlement.facts).1.len(), WINDOWS_MAX);
    stage.check_closed();
}
