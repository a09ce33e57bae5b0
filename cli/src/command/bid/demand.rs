//! From a wish to the demand that the ledger knows.

use super::Wish;
use crate::error::{Failure, Outcome};
use crate::session::{Clock, Session};
use crate::units::{Duration, PurseName, Within, length};
use hansa_ledger::id::{BlobHash, OrganisationId};
use hansa_ledger::member::CountrySet;
use hansa_ledger::rejection::Rejection;
use hansa_ledger::row::{Demand, Purpose, Purse, Source};
use hansa_ledger::time::Slot;
use hansa_node_api::Client;
use hansa_node_api::filter::GrantFilter;

/// The window of a bid that names none: a day.
const WITHIN_DEFAULT: Within = Within(Duration(86_400_000));

impl Wish {
    /// The demand, for this organisation at the time of this federation.
    pub(super) async fn demand(
        &self,
        session: &Session,
        client: &Client,
        organisation: OrganisationId,
        job: Option<BlobHash>,
    ) -> Outcome<Demand> {
        self.check()?;
        let clock = session.clock(client).await?;
        let sources = self.sources(session, client, organisation).await?;
        let purpose = self.purpose(client, organisation, &sources).await?;
        self.demand_at(&clock, sources, purpose, job)
    }

    /// The demand, from what was found out for it.
    fn demand_at(
        &self,
        clock: &Clock,
        sources: Vec<Source>,
        purpose: Purpose,
        job: Option<BlobHash>,
    ) -> Outcome<Demand> {
        let (start_min, start_max) = self.window(clock)?;
        let quantity = self.quantity.unwrap_or(1);
        let class = self.class.clone().ok_or(Rejection::ClassUnknown)?;
        Ok(Demand {
            class,
            quantity,
            quantity_min: self.min_quantity.unwrap_or(quantity),
            slots: self.slots(clock)?,
            start_min,
            start_max,
            limit: self.limit.ok_or(Rejection::PriceInvalid)?.0,
            countries: CountrySet::of(self.country.iter().copied()).map_err(Failure::refused)?,
            certificates: self.certificate.unwrap_or(0),
            tier_min: self.tier.unwrap_or(0),
            purpose,
            sources,
            job,
            lane: self.lane.unwrap_or_default(),
            interruptible: self.interruptible,
            any_of: self.or.iter().map(|other| other.0.clone()).collect(),
        })
    }

    fn slots(&self, clock: &Clock) -> Outcome<u32> {
        let slots = self.duration.ok_or(Rejection::DurationInvalid)?.slots(clock.params.slot_s);
        let most = clock.params.lease_slots_max;
        u32::try_from(slots).ok().filter(|slots| *slots <= most).ok_or_else(|| {
            let longest = length(u64::from(most) * u64::from(clock.params.slot_s) * 1_000);
            Failure {
                hint: Some(format!("the longest lease here is {longest}")),
                ..Rejection::DurationInvalid.into()
            }
        })
    }

    /// The first and the last slot it may start in. The slot in hand is past, for a batch has to run first.
    pub(super) fn window(&self, clock: &Clock) -> Outcome<(Slot, Slot)> {
        let next = Slot(clock.slot().0.saturating_add(1));
        let (from, to) = match (self.within, self.start, self.between) {
            (_, Some(start), _) => {
                let slot = clock.slot_from(start.from(clock.now)).max(next);
                (slot, slot)
            }
            (_, _, Some(between)) => {
                let (from, to) = (between.0.from(clock.now), between.1.from(clock.now));
                (clock.slot_from(from).max(next), to.slot(clock.params.slot_s))
            }
            (within, None, None) => {
                let within = within.unwrap_or(WITHIN_DEFAULT).0;
                (next, clock.now.plus(within.0).slot(clock.params.slot_s).max(next))
            }
        };
        match self.is_past(clock) || to < from {
            true => Err(Rejection::WindowInvalid.into()),
            false => Ok((from, to)),
        }
    }

    /// Whether the moment that was named is over. Half a minute is nobody's mistake.
    fn is_past(&self, clock: &Clock) -> bool {
        let latest = self.start.or(self.between.map(|between| between.1));
        latest.is_some_and(|moment| moment.from(clock.now).plus(30_000) < clock.now)
    }

    async fn sources(
        &self,
        session: &Session,
        client: &Client,
        organisation: OrganisationId,
    ) -> Outcome<Vec<Source>> {
        let whole = |purse| vec![Source { purse, share_bps: 10_000 }];
        if self.cash {
            return Ok(whole(Purse::Cash));
        }
        if let Some(grant) = &self.grant {
            return Ok(whole(session.find_purse(client, organisation, grant).await?));
        }
        let mut sources = Vec::new();
        for source in &self.source {
            let purse: &PurseName = &source.purse;
            let purse = session.find_purse(client, organisation, purse).await?;
            sources.push(Source { purse, share_bps: source.share_bps });
        }
        Ok(sources)
    }

    /// What was said, else what the first grant is for. Cash without a word is for industrial use, which claims no favour.
    async fn purpose(
        &self,
        client: &Client,
        organisation: OrganisationId,
        sources: &[Source],
    ) -> Outcome<Purpose> {
        if let Some(purpose) = self.purpose {
            return Ok(purpose);
        }
        let first = sources.iter().find_map(|source| match source.purse {
            Purse::Grant(grant) => Some(grant),
            Purse::Cash => None,
        });
        let Some(grant) = first else { return Ok(Purpose::Industrial) };
        let filter = GrantFilter { holder: Some(organisation), ..GrantFilter::default() };
        let grants = client.grants(&filter).await?;
        let row = grants.into_iter().find(|one| one.id == grant);
        Ok(row.ok_or(Rejection::GrantUnknown)?.row.purpose)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hansa_ledger::params::Params;
    use hansa_ledger::time::TimeMs;

    #[test]
    fn windows_are_whole_slots_after_the_one_in_hand() {
        // 2027-01-31T12:00:10Z, in slots of 15 minutes: slot 2,001,552 is in hand.
        let clock = Clock { params: Params::default(), now: TimeMs(1_801_396_810_000) };
        assert_eq!(clock.slot(), Slot(2_001_552));
        let wish = |change: fn(&mut Wish)| {
            let mut wish = Wish::default();
            change(&mut wish);
            wish.window(&clock)
                .map(|(from, to)| (from.0 - 2_001_552, to.0 - 2_001_552))
                .map_err(|error| error.refusal)
        };
        let past = Err(Some((403, "WindowInvalid".to_owned())));
        assert_eq!(wish(|_| ()), Ok((1, 96)));
        assert_eq!(wish(|wish| wish.within = "1m".parse().ok()), Ok((1, 1)), "never earlier than it can be");
        assert_eq!(wish(|wish| wish.within = "30m".parse().ok()), Ok((1, 2)));
        assert_eq!(wish(|wish| wish.start = "now".parse().ok()), Ok((1, 1)));
        assert_eq!(wish(|wish| wish.start = "2027-01-31T12:30Z".parse().ok()), Ok((2, 2)));
        assert_eq!(wish(|wish| wish.start = "2027-01-31T12:31Z".parse().ok()), Ok((3, 3)));
        assert_eq!(wish(|wish| wish.start = "2027-01-31T11:00Z".parse().ok()), past);
        assert_eq!(wish(|wish| wish.between = "now..in 1h".parse().ok()), Ok((1, 4)));
        assert_eq!(wish(|wish| wish.between = "in 2h..in 1h".parse().ok()), past);
        assert_eq!(wish(|wish| wish.between = "2027-01-30..2027-01-31".parse().ok()), past);
    }

    #[test]
    fn lanes_alternatives_and_interruption_are_asked_for_as_typed() {
        #[derive(clap::Parser)]
        struct Line {
            #[command(flatten)]
            wish: Wish,
        }
        let clock = Clock { params: Params::default(), now: TimeMs(1_801_396_810_000) };
        let typed = |words: &str| -> Result<Wish, String> {
            let base = "bid --class h200 --duration 2h --limit 3.50 --cash";
            let words = base.split(' ').chain(words.split(' ').filter(|word| !word.is_empty()));
            <Line as clap::Parser>::try_parse_from(words)
                .map(|line| line.wish)
                .map_err(|error| error.to_string())
        };
        let asked = |wish: &Wish| -> serde_json::Value {
            let sources = vec![Source { purse: Purse::Cash, share_bps: 10_000 }];
            let demand = wish.demand_at(&clock, sources, Purpose::Industrial, None).unwrap();
            let json = serde_json::to_value(demand).unwrap();
            serde_json::json!([json["lane"], json["interruptible"], json["any_of"]])
        };
        for (words, expected) in [
            ("", serde_json::json!(["any", false, []])),
            ("--lane reserve", serde_json::json!(["reserve", false, []])),
            ("--lane market --interruptible", serde_json::json!(["market", true, []])),
            (
                "--or h100-80=2.20 --or a100=1.10",
                serde_json::json!(["any", false, [{ "class": "h100-80", "limit": "2.20" }, { "class": "a100", "limit": "1.10" }]]),
            ),
        ] {
            assert_eq!(asked(&typed(words).unwrap()), expected, "{words}");
        }
        // A file says the same, and what is typed counts more.
        let file = "class = 'h200'\nduration = '2h'\nlimit = '3.50'\ncash = true\nlane = 'reserve'\ninterruptible = true\nor = ['a100=1.10']\n";
        let file: Wish = toml::from_str(file).unwrap();
        let alternative = serde_json::json!([{ "class": "a100", "limit": "1.10" }]);
        assert_eq!(asked(&file), serde_json::json!(["reserve", true, alternative]));
        let both = typed("--lane any").unwrap().over(file);
        assert_eq!(asked(&both), serde_json::json!(["any", true, alternative]));
        for (words, said) in [
            ("--lane fast", "unknown variant `fast`"),
            ("--or a100", "`a100` names no price; write `CLASS=PRICE`"),
            ("--or a100=1,10", "`1,10` is no price"),
            ("--or A100=1.10", "A100"),
        ] {
            let error = typed(words).unwrap_err();
            assert!(error.contains(said), "{words}: {error}");
        }
    }
}
