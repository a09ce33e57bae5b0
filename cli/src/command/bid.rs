//! `hansa bid`: ask for capacity, and run a job in it.

mod demand;
mod follow;
mod live;
mod quote;

use super::job::draft::{Draft, JobWish};
use crate::config::{Countersign, read_toml};
use crate::error::{Failure, Outcome};
use crate::session::{Session, short};
use crate::units::{Between, Duration, Limit, Moment, PurseName, SourceShare, Within, word};
use clap::Args;
use follow::{Follow, Seen};
use hansa_ledger::action::{PlaceRequest, request_id};
use hansa_ledger::market::LaneHint;
use hansa_ledger::member::MemberCode;
use hansa_ledger::name::Name;
use hansa_ledger::row::{Alternative, Purpose};
use hansa_node_api::EventCursor;
use serde::Deserialize;
use serde_json::json;
use std::path::{Path, PathBuf};

/// Ask for capacity, and run a job in it.
#[derive(Debug, Args)]
pub struct BidArguments {
    /// Read the bid from a TOML file with the names of these options; what is given here counts more
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    #[command(flatten)]
    wish: Wish,
    /// Only tell what would become of it: lane, earliest start, price, cost per source, or what stands in the way
    #[arg(long, conflicts_with = "wait")]
    dry_run: bool,
    /// Follow it to the end: award, job, usage, settlement, outputs
    #[arg(long)]
    wait: bool,
    /// With --wait: keep the lease when its job has ended, instead of ending it
    #[arg(long, requires = "wait")]
    keep: bool,
    /// With --wait: where the outputs go; `lease-ID` if not said
    #[arg(long, requires = "wait", value_name = "DIR")]
    into: Option<PathBuf>,
}

/// A bid as the user asks for it, on the command line or in a file.
#[derive(Clone, Debug, Default, Args, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
struct Wish {
    /// Resource class, as `hansa capacity list` names them
    #[arg(long)]
    class: Option<Name>,
    /// Accelerators; 1 if not said
    #[arg(long, value_name = "COUNT")]
    quantity: Option<u32>,
    /// Fewest accelerators that still help; all if not said
    #[arg(long, value_name = "COUNT")]
    min_quantity: Option<u32>,
    /// For how long: `2h`, `90m`
    #[arg(long, value_name = "TIME")]
    duration: Option<Duration>,
    /// Most per accelerator-hour: `3.50 EUR/h`
    #[arg(long, value_name = "PRICE")]
    limit: Option<Limit>,
    /// Start within this time from now; `24h` if no start is given
    #[arg(long, value_name = "TIME", group = "window")]
    within: Option<Within>,
    /// Start at this moment, or in the slot after it: `2027-01-31T12:00Z`
    #[arg(long, value_name = "MOMENT", group = "window")]
    start: Option<Moment>,
    /// Start between two moments: `2027-01-31T12:00Z..2027-02-01T12:00Z`
    #[arg(long, value_name = "FROM..TO", group = "window")]
    between: Option<Between>,
    /// A country it may run in; repeat it for each; anywhere if not said
    #[arg(long, value_name = "CC")]
    country: Vec<MemberCode>,
    /// Certificates the site must hold, as bits
    #[arg(long, value_name = "BITS")]
    certificate: Option<u32>,
    /// Least interconnect tier
    #[arg(long)]
    tier: Option<u8>,
    /// innovation, research, public-service or industrial; that of the grant if not said
    #[arg(long, value_parser = word::<Purpose>)]
    #[serde(deserialize_with = "purpose")]
    purpose: Option<Purpose>,
    /// Pay with this grant: its id or reference
    #[arg(long, value_name = "GRANT", group = "money")]
    grant: Option<PurseName>,
    /// Pay with cash
    #[arg(long, group = "money")]
    cash: bool,
    /// Pay a part: `grant:ID=80%`, `cash=20%`; repeat it for each source, in order
    #[arg(long, value_name = "PURSE=PART", group = "money")]
    source: Vec<SourceShare>,
    /// any (the open-access reserve where it is yours to use, else the market), reserve or market; any if not said
    #[arg(long, value_parser = word::<LaneHint>)]
    #[serde(deserialize_with = "lane")]
    lane: Option<LaneHint>,
    /// Accept reserve that nobody claimed, from which a short lease may be interrupted
    #[arg(long)]
    interruptible: bool,
    /// Another class that would do, with the most it may cost: `h100-80=3.50`; repeat it for each; one of all is awarded
    #[arg(long = "or", value_name = "CLASS=PRICE")]
    or: Vec<Other>,
    #[command(flatten)]
    job: JobWish,
}

/// Another class that would do, and the most it may cost there.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
struct Other(Alternative);

impl std::str::FromStr for Other {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (class, limit) =
            text.split_once('=').ok_or_else(|| format!("`{text}` names no price; write `CLASS=PRICE`"))?;
        let limit: Limit = limit.parse()?;
        Ok(Self(Alternative { class: class.trim().parse()?, limit: limit.0 }))
    }
}

impl TryFrom<String> for Other {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

fn lane<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<LaneHint>, D::Error> {
    word(&String::deserialize(deserializer)?).map(Some).map_err(serde::de::Error::custom)
}

fn purpose<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Purpose>, D::Error> {
    word(&String::deserialize(deserializer)?).map(Some).map_err(serde::de::Error::custom)
}

impl BidArguments {
    pub(super) async fn run(self, session: &Session) -> Outcome {
        let wish = match &self.file {
            Some(path) => self.wish.clone().over(Wish::load(path)?),
            None => self.wish.clone(),
        };
        let draft = wish.job.draft(wish.duration.map(|duration| duration.slots(1))).await?;
        if self.dry_run {
            quote::run(session, &wish, draft.as_ref()).await
        } else {
            self.place(session, wish, draft).await
        }
    }

    async fn place(self, session: &Session, wish: Wish, draft: Option<Draft>) -> Outcome {
        // Everything that can be refused without a node or a passphrase is refused first.
        wish.check()?;
        let account = session.account().await?;
        let client = &account.client;
        let organisation = session.organisation(client).await?;
        let job = draft.as_ref().map(|draft| draft.manifest.hash());
        let demand = wish.demand(session, client, organisation, job).await?;
        if let Some(draft) = &draft {
            draft.upload(&account, session.printer).await?;
        }
        let sent = session.send(&account, vec![PlaceRequest { demand }.into()]).await?;
        let request = request_id(sent.signed.id(), 0);
        if !self.wait {
            session.tell_sent(&sent, json!({ "request": request }), &format!("placed request {request}"));
            session.printer.note(&format!("follow it: `hansa request why {}`", short(&request)));
            return Ok(());
        }
        let since = EventCursor::after_block(sent.done.height.saturating_sub(1));
        let follow = Follow {
            session,
            account: &account,
            organisation,
            request,
            job: draft.is_some(),
            keep: self.keep,
            into: self.into,
            policy: session.config()?.countersign.unwrap_or(Countersign::Ask),
            seen: Seen::default(),
        };
        follow.run(&sent, since).await
    }
}

impl Wish {
    fn load(path: &Path) -> Outcome<Self> {
        let mut wish: Self = read_toml(path)?;
        wish.job.move_to(path.parent().unwrap_or(Path::new(".")));
        Ok(wish)
    }

    /// This wish, and where it says nothing the other. A window or a way to pay counts as a whole.
    fn over(self, other: Self) -> Self {
        let windowed = self.within.is_some() || self.start.is_some() || self.between.is_some();
        let window = if windowed { self.clone() } else { other.clone() };
        let funded = self.grant.is_some() || self.cash || !self.source.is_empty();
        let money = if funded { self.clone() } else { other.clone() };
        let list = |one: Vec<_>, other: Vec<_>| if one.is_empty() { other } else { one };
        let job = JobWish {
            run: self.job.run.or(other.job.run),
            arg: if self.job.arg.is_empty() { other.job.arg } else { self.job.arg },
            input: if self.job.input.is_empty() { other.job.input } else { self.job.input },
            output: if self.job.output.is_empty() { other.job.output } else { self.job.output },
            wall: self.job.wall.or(other.job.wall),
            memory: self.job.memory.or(other.job.memory),
            disk: self.job.disk.or(other.job.disk),
            processes: self.job.processes.or(other.job.processes),
        };
        Self {
            class: self.class.or(other.class),
            quantity: self.quantity.or(other.quantity),
            min_quantity: self.min_quantity.or(other.min_quantity),
            duration: self.duration.or(other.duration),
            limit: self.limit.or(other.limit),
            within: window.within,
            start: window.start,
            between: window.between,
            country: list(self.country, other.country),
            certificate: self.certificate.or(other.certificate),
            tier: self.tier.or(other.tier),
            purpose: self.purpose.or(other.purpose),
            grant: money.grant,
            cash: money.cash,
            source: money.source,
            lane: self.lane.or(other.lane),
            interruptible: self.interruptible || other.interruptible,
            or: if self.or.is_empty() { other.or } else { self.or },
            job,
        }
    }

    /// Refuses what is missing or contradicts itself, before anything is asked of a node.
    fn check(&self) -> Outcome {
        let missing =
            |what: &str, hint: &str| Err(Failure::refused(format!("the bid names no {what}")).hint(hint));
        if self.class.is_none() {
            return missing("class", "give `--class`, as `hansa capacity list` names them");
        }
        if self.duration.is_none() {
            return missing("duration", "give `--duration 2h`");
        }
        if self.limit.is_none() {
            return missing("limit price", "give `--limit \"3.50 EUR/h\"`");
        }
        let ways = [self.grant.is_some(), self.cash, !self.source.is_empty()];
        match ways.iter().filter(|way| **way).count() {
            0 => missing(
                "money to pay with",
                "give `--grant ID`, `--cash`, or `--source PURSE=PART` for each source",
            ),
            1 => self.check_shares(),
            _ => Err(Failure::refused("the bid names more than one way to pay")
                .hint("give one of `grant`, `cash` and `source`")),
        }?;
        let windows = [self.within.is_some(), self.start.is_some(), self.between.is_some()];
        if windows.iter().filter(|window| **window).count() > 1 {
            return Err(Failure::refused("the bid names more than one window to start in")
                .hint("give one of `within`, `start` and `between`"));
        }
        Ok(())
    }

    fn check_shares(&self) -> Outcome {
        let sum: u32 = self.source.iter().map(|source| u32::from(source.share_bps)).sum();
        if self.source.is_empty() || sum == 10_000 {
            return Ok(());
        }
        let sum = format!("{}.{:02}%", sum / 100, sum % 100);
        Err(Failure::refused(format!("the sources pay {sum} together")).hint("give parts that sum to 100%"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Wish, String> {
        toml::from_str(text).map_err(|error| error.message().to_owned())
    }

    #[test]
    fn a_file_and_flags_make_one_bid() {
        let file = read(
            "class = 'h200'\nquantity = 4\nduration = '2h'\nlimit = '3.50 EUR/h'\nwithin = 'within 24h'\n\
             country = ['ES', 'FI']\ngrant = 'ai-2026'\npurpose = 'public-service'\n\
             [job]\nrun = 'train'\narg = ['--data', 'd.csv']\nmemory = '2GiB'\n",
        )
        .unwrap();
        assert_eq!(file.check(), Ok(()));
        assert_eq!(file.purpose, Some(Purpose::PublicService));
        let flags = Wish {
            quantity: Some(8),
            start: Some("2027-01-31T12:00Z".parse().unwrap()),
            cash: true,
            ..Wish::default()
        };
        let both = flags.over(file);
        assert_eq!((both.quantity, both.within, both.start.is_some()), (Some(8), None, true));
        assert_eq!((both.grant.is_none(), both.cash, both.country.len()), (true, true, 2));
        assert_eq!(both.job.arg, ["--data", "d.csv"]);
        assert_eq!(both.check(), Ok(()));
    }

    #[test]
    fn mistakes_are_told_before_a_node_is_asked() {
        let base = "class = 'a'\nduration = '2h'\nlimit = '1'\n";
        for (more, said) in [
            ("cash = true\n", ""),
            ("", "the bid names no money to pay with"),
            ("cash = true\ngrant = 'x'\n", "more than one way to pay"),
            ("source = ['cash=20%', 'grant:x=70%']\n", "the sources pay 90.00% together"),
            ("source = ['cash=20%', 'grant:x=80%']\n", ""),
            ("cash = true\nwithin = '1h'\nstart = 'now'\n", "more than one window"),
        ] {
            let verdict = read(&format!("{base}{more}")).unwrap().check();
            let text = verdict.map_or_else(|failure| failure.message, |()| String::new());
            assert!(text.contains(said) && text.is_empty() == said.is_empty(), "{more}: {text}");
        }
        assert_eq!(Wish::default().check().unwrap_err().message, "the bid names no class");
        for (text, said) in [
            ("klass = 'a'\n", "unknown field `klass`"),
            ("duration = '2 fortnights'\n", "`2 fortnights` is no length of time"),
            ("purpose = 'fun'\n", "unknown variant `fun`"),
            ("[job]\nrum = 'x'\n", "unknown field `rum`"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(said), "{text}: {error}");
        }
    }
}
