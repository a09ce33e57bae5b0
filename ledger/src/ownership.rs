//! Another beneficial owner: what an organisation holds, asks, offers and has had follows it into the owner's group.

use crate::action::BlockInHand;
use crate::demand::{day_of, decayed};
use crate::event::Event;
use crate::id::{GroupId, OrganisationId};
use crate::name::Name;
use crate::row::{AidEntry, AidPart, GroupUsage, LeaseState};
use crate::tables::{Aids, Leases, Offers, OffersOpen, Organisations, Requests, RequestsOpen, Usages};
use std::collections::BTreeSet;

impl BlockInHand<'_> {
    /// Moves an organisation, whose row says `to` already, out of the group `from`.
    ///
    /// The account of the group that it leaves, usage and aid, is added to that of the group it joins, so that nobody sheds
    /// what it has had by moving, nor by splitting off; whoever stays behind keeps the account as well.
    pub(crate) fn move_organisation(&mut self, id: OrganisationId, from: GroupId, to: GroupId) {
        let stays = self.view.range::<Organisations>(..).any(|(_, row)| row.group == from);
        self.move_leases(id, from, to);
        self.move_requests(id, to);
        self.move_offers(id, to);
        self.merge_usage(from, to, stays);
        self.merge_aid(from, to, stays);
        self.emit(Event::OrganisationMoved { organisation: id, from, to });
    }

    fn move_leases(&mut self, id: OrganisationId, from: GroupId, to: GroupId) {
        let own: Vec<_> = self
            .view
            .range::<Leases>(..)
            .filter(|(_, row)| row.requester == id && row.group != to)
            .map(|(lease, row)| (*lease, row.clone()))
            .collect();
        for (lease, mut row) in own {
            let aid = (from, AidPart::Lease(lease));
            if let Some(entry) = self.view.get::<Aids>(&aid).cloned() {
                self.view.remove::<Aids>(&aid);
                self.view.put::<Aids>((to, AidPart::Lease(lease)), entry);
            }
            if row.state != LeaseState::Settled {
                row.group = to;
                self.view.put::<Leases>(lease, row);
            }
        }
    }

    fn move_requests(&mut self, id: OrganisationId, to: GroupId) {
        let open: BTreeSet<_> =
            self.view.range::<RequestsOpen>(..).map(|((_, request), ())| *request).collect();
        for request in open {
            let own = self.view.get::<Requests>(&request).filter(|row| row.organisation == id).cloned();
            if let Some(mut row) = own {
                row.group = to;
                self.view.put::<Requests>(request, row);
            }
        }
    }

    fn move_offers(&mut self, id: OrganisationId, to: GroupId) {
        let open: Vec<_> = self.view.range::<OffersOpen>(..).map(|((_, offer), ())| *offer).collect();
        for offer in open {
            let Some(mut row) = self.view.get::<Offers>(&offer).cloned() else { continue };
            let before = row.clone();
            if row.provider == id {
                row.group = to;
            }
            for party in row.parties.iter_mut().filter(|party| party.organisation == id) {
                party.group = to;
            }
            if row != before {
                self.view.put::<Offers>(offer, row);
            }
        }
    }

    fn merge_usage(&mut self, from: GroupId, to: GroupId, stays: bool) {
        let (day, decay) = (day_of(self.now), self.params.usage_decay_q32);
        let first = Name::new("0").expect("a digit is a name");
        let rows = self.view.range::<Usages>((from, first)..).take_while(|((of, _), _)| *of == from);
        let rows: Vec<_> = rows.map(|((_, class), row)| (class.clone(), row.clone())).collect();
        for (class, row) in rows {
            let key = (to, class.clone());
            let had = self.view.get::<Usages>(&key).map_or(0, |row| decayed(row, day, decay));
            let accelerator_seconds = had.saturating_add(decayed(&row, day, decay));
            self.view.put::<Usages>(key, GroupUsage { accelerator_seconds, day });
            if !stays {
                self.view.remove::<Usages>(&(from, class));
            }
        }
    }

    fn merge_aid(&mut self, from: GroupId, to: GroupId, stays: bool) {
        let all = (from, AidPart::Quarter(0))..;
        let rows = self.view.range::<Aids>(all).take_while(|((of, _), _)| *of == from);
        let rows: Vec<_> = rows.map(|((_, part), entry)| (*part, entry.clone())).collect();
        for (part, entry) in rows {
            match (part, entry) {
                (AidPart::Quarter(quarter), AidEntry::Sum(sum)) => {
                    self.move_sum(to, quarter, |had| had.saturating_add(sum.0));
                }
                (_, entry) if !stays => self.view.put::<Aids>((to, part), entry),
                _ => {}
            }
            if !stays {
                self.view.remove::<Aids>(&(from, part));
            }
        }
    }
}
