//! What a lease pays, to whom, when, and who decides: stakes, named parties, payments in between, disputes, fuel, replay.

mod attacks;
mod dispute;
mod fuel;
mod interim;
mod parties;
mod properties;
mod replay;
mod stage;
mod stake;
mod windows;

use hansa_ledger::rejection::Rejection;

/// Refusals that take more than one action, and are met here.
pub const MET: [Rejection; 7] = [
    Rejection::StakeUnfunded,
    Rejection::InterimNotAllowed,
    Rejection::InterimTooSoon,
    Rejection::TooManyInterims,
    Rejection::DisputeOpen,
    Rejection::RulingGiven,
    Rejection::TooManyWindows,
];
