//! The file of usage: what happens in a lease, step by step.

use crate::terms::TermsFile;
use crate::texts::{Seconds, Share, Units, When, moment_text};
use crate::{ContractError, file};
use hansa_contracts_abi::{Evidence, Party, Reading, Trigger, Window};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Steps in a file.
const STEPS_MAX: usize = 1_000;
/// Windows of a lease. More than a contract can be told of, so that this can be tried too.
const WINDOWS_MAX: usize = 10_000;

/// Why the contract is asked, as people write it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TriggerWord {
    /// The lease goes on.
    Interim,
    /// It ended, and its usage is agreed.
    Final,
    /// It ended, and nobody reported in time.
    Expired,
    /// The requester ended it early.
    CancelledByRequester,
    /// The provider ended it early.
    CancelledByProvider,
    /// The provider never came.
    NoShow,
    /// A dispute was decided: with `ruling`, the provider's part.
    Ruling,
}

/// Who stands behind a window, as people write it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SourceWord {
    /// Reported and countersigned.
    #[default]
    Both,
    /// Reported by the provider alone.
    Provider,
    /// Admitted by the requester alone.
    Requester,
}

/// Windows that are alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WindowLine {
    /// Position of the first.
    pub index: u32,
    /// How many; one if it is not said.
    #[serde(default = "one")]
    pub count: u32,
    /// Delivered in each.
    pub delivered: Units,
    /// Promised in each; what was delivered, if it is not said.
    pub committed: Option<Units>,
    /// How long the capacity was up in each; as long as the promise takes with all accelerators, if it is not said.
    pub up: Option<Seconds>,
    /// Who stands behind them.
    #[serde(default)]
    pub source: SourceWord,
    /// What the provider signed for each beside its usage; nothing, if it is not said.
    pub reading: Option<u32>,
}

/// Something that happens: the contract is asked.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StepLine {
    /// When.
    pub at: When,
    /// Why.
    pub trigger: TriggerWord,
    /// The provider's part of what is contested, for a ruling.
    pub ruling: Option<Share>,
    /// Windows that are new, or other than in the steps before: one with the same index takes the place of the earlier.
    #[serde(default)]
    pub windows: Vec<WindowLine>,
    /// Delivered since the start; the sum of all windows, if it is not said. More than that where the ledger leaves windows
    /// out that nobody contests.
    pub used: Option<Units>,
}

/// Usage as it is written: JSON, unknown fields refused by name.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UsageFile {
    /// What happens, in the order of time.
    pub steps: Vec<StepLine>,
}

/// A step with everything that a contract is told of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    pub now: u64,
    pub trigger: Trigger,
    pub word: TriggerWord,
    pub windows: Vec<Window>,
    pub readings: Vec<Reading>,
    pub cumulative: u128,
}

/// The windows of a lease by index, each with what was signed beside its usage.
type Windows = BTreeMap<u32, (Window, Option<u32>)>;

fn one() -> u32 {
    1
}

type Refusal = (String, String);

impl UsageFile {
    /// Reads usage. `file` is the name by which a refusal calls it.
    ///
    /// # Errors
    /// Names the first field that is wrong.
    pub fn parse(file: &str, bytes: &[u8], terms: &TermsFile) -> Result<Self, ContractError> {
        let usage: Self = file::from_json(file, bytes)?;
        usage.expand(terms).map_err(|(field, problem)| ContractError::field(file, field, problem))?;
        Ok(usage)
    }

    /// What the contract is told at each step: windows are carried on from step to step, as a ledger keeps them.
    pub(crate) fn expand(&self, terms: &TermsFile) -> Result<Vec<Step>, Refusal> {
        if self.steps.is_empty() || self.steps.len() > STEPS_MAX {
            let problem = format!("has {} entries, and must have from 1 to {STEPS_MAX}", self.steps.len());
            return Err(("steps".to_owned(), problem));
        }
        let mut windows = BTreeMap::new();
        let mut steps: Vec<Step> = Vec::new();
        for (at, line) in self.steps.iter().enumerate() {
            let step = line.expand(&format!("steps[{at}]"), terms, &mut windows, steps.last())?;
            steps.push(step);
        }
        Ok(steps)
    }
}

impl StepLine {
    fn expand(
        &self,
        path: &str,
        terms: &TermsFile,
        windows: &mut Windows,
        before: Option<&Step>,
    ) -> Result<Step, Refusal> {
        let refuse = |field: &str, problem: String| Err((format!("{path}{field}"), problem));
        let signed = terms.terms(0);
        let now = self.at.of(signed.start, signed.end);
        if let Some(before) = before {
            if before.trigger.closes() {
                return refuse(
                    "",
                    "comes after the lease was closed; only `interim` leaves it open".to_owned(),
                );
            }
            if now < before.now {
                return refuse(".at", format!("is before the step before, {}", moment_text(before.now)));
            }
        }
        for (number, line) in self.windows.iter().enumerate() {
            line.expand(&format!("{path}.windows[{number}]"), terms.accelerators, windows)?;
        }
        let listed = windows.values().map(|(window, _)| u128::from(window.delivered)).sum::<u128>();
        let cumulative = self.used.map_or(listed, |used| u128::from(used.0));
        if cumulative < listed {
            return refuse(".used", format!("is {cumulative}, and the windows alone have {listed}"));
        }
        if let Some(before) = before.filter(|before| cumulative < before.cumulative) {
            let problem = format!("is {cumulative}, and was {} in the step before", before.cumulative);
            return refuse(".used", problem);
        }
        let trigger = self.trigger().map_err(|problem| (format!("{path}.ruling"), problem))?;
        let readings = windows
            .iter()
            .filter_map(|(index, (_, reading))| reading.map(|value| Reading { index: *index, value }));
        let readings = readings.collect();
        let windows = windows.values().map(|(window, _)| *window).collect();
        Ok(Step { now, trigger, word: self.trigger, windows, readings, cumulative })
    }

    fn trigger(&self) -> Result<Trigger, String> {
        match (self.trigger, self.ruling) {
            (TriggerWord::Ruling, None) => {
                Err("is missing; say the provider's part, such as `50%`".to_owned())
            }
            (TriggerWord::Ruling, Some(part)) => Ok(Trigger::Ruling { provider_bps: part.0 }),
            (_, Some(_)) => Err("belongs to the trigger `ruling` alone".to_owned()),
            (TriggerWord::Interim, None) => Ok(Trigger::Interim),
            (TriggerWord::Final, None) => Ok(Trigger::Final),
            (TriggerWord::Expired, None) => Ok(Trigger::Expired),
            (TriggerWord::CancelledByRequester, None) => Ok(Trigger::Cancelled { by: Party::REQUESTER }),
            (TriggerWord::CancelledByProvider, None) => Ok(Trigger::Cancelled { by: Party::PROVIDER }),
            (TriggerWord::NoShow, None) => Ok(Trigger::NoShow),
        }
    }
}

impl WindowLine {
    fn expand(&self, path: &str, accelerators: u64, windows: &mut Windows) -> Result<(), Refusal> {
        let refuse = |field: &str, problem: String| Err((format!("{path}.{field}"), problem));
        let most = u32::try_from(WINDOWS_MAX).unwrap_or(u32::MAX);
        if self.count == 0 || self.count > most {
            return refuse("count", format!("is {}, and must be from 1 to {most}", self.count));
        }
        let Some(last) = self.index.checked_add(self.count.saturating_sub(1)) else {
            return refuse(
                "index",
                format!("is {}, and {} windows from there on are too many", self.index, self.count),
            );
        };
        let committed = self.committed.unwrap_or(self.delivered).0;
        let up = self.up.map_or_else(|| committed.div_ceil(accelerators.max(1)), |up| up.0);
        let Ok(up_secs) = u32::try_from(up) else {
            return refuse("up", format!("is {up} seconds, and may be at most {}", u32::MAX));
        };
        let source = match self.source {
            SourceWord::Both => Evidence::Both,
            SourceWord::Provider => Evidence::ProviderOnly,
            SourceWord::Requester => Evidence::RequesterOnly,
        };
        for index in self.index..=last {
            let window = Window { index, delivered: self.delivered.0, committed, up_secs, source };
            windows.insert(index, (window, self.reading));
        }
        if windows.len() > WINDOWS_MAX {
            return refuse(
                "count",
                format!("makes {} windows, and there may be {WINDOWS_MAX}", windows.len()),
            );
        }
        Ok(())
    }
}
