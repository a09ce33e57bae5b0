//! What a lease pays, to whom, when, and who decides: stakes, named parties, payments in between, disputes, fuel, replay.

mod attacks;
mod dispute;
mod fuel;
mod interim;
mod parties;
mod properties;
mod replay;
mod stake;
mod stage;
