//! Which accelerators of a site belong to which lease.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use hansa_ledger::name::Name;

type Taken = BTreeMap<(Name, Name), BTreeSet<u32>>;

/// The accelerators of all sites, by number from 0. Nothing is written down: jobs do not outlive the agent.
#[derive(Clone, Debug, Default)]
pub struct Accelerators {
    taken: Arc<Mutex<Taken>>,
}

/// The accelerators of one lease, given back when dropped.
#[derive(Debug)]
pub struct Allocation {
    all: Accelerators,
    place: (Name, Name),
    numbers: Vec<u32>,
}

impl Accelerators {
    /// Takes the lowest numbers that are free. The ledger sees to it that there are as many.
    #[must_use]
    pub fn take(&self, site: &Name, class: &Name, quantity: u32) -> Allocation {
        let place = (site.clone(), class.clone());
        let mut all = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = all.entry(place.clone()).or_default();
        let free = (0..=u32::MAX).filter(|number| !taken.contains(number));
        let numbers: Vec<u32> = free.take(quantity as usize).collect();
        taken.extend(&numbers);
        Allocation { all: self.clone(), place, numbers }
    }
}

impl Allocation {
    /// The numbers as jobs see them: `0,1,2`.
    #[must_use]
    pub fn text(&self) -> String {
        self.numbers.iter().map(u32::to_string).collect::<Vec<_>>().join(",")
    }
}

impl Drop for Allocation {
    fn drop(&mut self) {
        let mut all = self.all.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(taken) = all.get_mut(&self.place) {
            taken.retain(|number| !self.numbers.contains(number));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leases_of_one_place_share_nothing_and_give_back() {
        let name = |text: &str| Name::new(text).unwrap();
        let all = Accelerators::default();
        let first = all.take(&name("a"), &name("x"), 2);
        let second = all.take(&name("a"), &name("x"), 1);
        let elsewhere = all.take(&name("b"), &name("x"), 1);
        assert_eq!((first.text(), second.text(), elsewhere.text()), ("0,1".into(), "2".into(), "0".into()));
        drop(first);
        assert_eq!(all.take(&name("a"), &name("x"), 3).text(), "0,1,3");
    }
}
