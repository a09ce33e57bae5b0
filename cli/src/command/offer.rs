//! `hansa offer`: offer capacity.

use crate::error::{Failure, Outcome};
use crate::session::{Clock, Session, short};
use crate::units::{Limit, Moment, money, word_text};
use clap::{Args, Subcommand};
use hansa_ledger::action::{AmendOffer, PostOffer, WithdrawOffer};
use hansa_ledger::event::Event;
use hansa_ledger::market::Calendar;
use hansa_ledger::money::Money;
use hansa_ledger::name::Name;
use hansa_ledger::row::{OfferState, PoolOwner};
use hansa_node_api::Shown;
use hansa_node_api::filter::OfferFilter;
use hansa_node_api::market::OfferInfo;
use serde_json::json;

/// Offer capacity.
#[derive(Debug, Args)]
pub struct OfferArguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Post an offer of accredited capacity
    Post(Post),
    /// Change the price or the capacity of an offer; leases stay as they are
    Amend(Amend),
    /// Take an offer back; leases stay as they are
    Withdraw {
        /// Offer: id or beginning of it
        offer: String,
    },
    /// List open offers
    List {
        /// Only this class
        #[arg(long)]
        class: Option<Name>,
        /// Also those of yours that were withdrawn
        #[arg(long)]
        all: bool,
    },
}

#[derive(Debug, Args)]
struct Post {
    /// The accredited site
    #[arg(long)]
    site: Name,
    /// The resource class
    #[arg(long)]
    class: Name,
    /// Least price per accelerator-hour
    #[arg(long)]
    ask: Limit,
    #[command(flatten)]
    span: Span,
    /// Whose part of the site: a member, `EU` or `private`; may be left out where the site is one part
    #[arg(long)]
    owner: Option<PoolOwner>,
    /// The open-access reserve's share, in basis points; the federation's least for public capacity if not said
    #[arg(long, value_name = "BPS")]
    reserve_bps: Option<u16>,
    /// Meet the share over so many slots, everything in the first part of each such cycle; every slot has its share if not said
    #[arg(long, value_name = "SLOTS")]
    reserve_cycle_slots: Option<u32>,
    /// The contract that settles the leases: its name, or the hash of its code
    #[arg(long, default_value = "spot")]
    contract: String,
    /// What a lease costs at least, by the contract `spot`
    #[arg(long, default_value = "0", value_parser = money, value_name = "EUR")]
    minimum_fee: Money,
    /// The parameters of another contract: its own encoding, in hexadecimal
    #[arg(long, value_parser = bytes, value_name = "HEX", conflicts_with = "minimum_fee")]
    contract_params: Option<Bytes>,
    /// An organisation that the contract may pay besides the provider; give it again for more, in the contract's order
    #[arg(long = "party", value_name = "ORGANISATION")]
    parties: Vec<String>,
}

/// Capacity over one stretch of time.
#[derive(Debug, Args)]
struct Span {
    /// Accelerators
    #[arg(long)]
    quantity: Option<u32>,
    /// From when
    #[arg(long, default_value = "now")]
    from: Moment,
    /// Until when
    #[arg(long)]
    until: Option<Moment>,
}

#[derive(Debug, Args)]
struct Amend {
    /// Offer: id or beginning of it
    offer: String,
    /// New least price per accelerator-hour
    #[arg(long)]
    ask: Option<Limit>,
    #[command(flatten)]
    span: Span,
}

/// One argument, though of many bytes.
#[derive(Clone, Debug)]
struct Bytes(Vec<u8>);

fn bytes(text: &str) -> Result<Bytes, String> {
    hex::decode(text).map(Bytes).map_err(|error| format!("`{text}` is not hexadecimal: {error}"))
}

impl OfferArguments {
    pub(super) async fn run(self, session: &Session) -> Outcome {
        match self.verb {
            Verb::Post(post) => post.run(session).await,
            Verb::Amend(amend) => amend.run(session).await,
            Verb::Withdraw { offer } => {
                let offer = session.find_offer(&session.reader().await?, &offer).await?;
                let sent = session.act(WithdrawOffer { offer }).await?;
                session.tell_sent(&sent, json!({ "offer": offer }), &format!("withdrew {offer}"));
                Ok(())
            }
            Verb::List { class, all } => list(session, class, all).await,
        }
    }
}

impl Post {
    async fn run(self, session: &Session) -> Outcome {
        let account = session.account().await?;
        let clock = session.clock(&account.client).await?;
        let calendar = self.span.calendar(&clock)?.ok_or_else(|| {
            Failure::refused("the offer says not how much or not until when")
                .hint("give `--quantity` and `--until`")
        })?;
        let contract = session.find_contract(&account.client, &self.contract).await?;
        // The parameters of `spot` are one figure: the least that is due, in uEUR, as 16 bytes.
        let spot_params = || u128::from(self.minimum_fee.0).to_le_bytes().to_vec();
        let contract_params = self.contract_params.map_or_else(spot_params, |params| params.0);
        let mut parties = Vec::new();
        for party in &self.parties {
            parties.push(session.find_organisation(&account.client, party).await?);
        }
        let action = PostOffer {
            site: self.site,
            class: self.class,
            ask: self.ask.0,
            calendar,
            owner: self.owner,
            reserve_bps: self.reserve_bps,
            reserve_cycle_slots: self.reserve_cycle_slots,
            contract,
            contract_params,
            parties,
        };
        let sent = session.send(&account, vec![action.into()]).await?;
        let offer = sent.done.receipt.events.iter().find_map(|event| match event {
            Event::OfferPosted { offer, .. } => Some(*offer),
            _ => None,
        });
        let text = offer.map_or_else(String::new, |offer| format!("posted offer {offer}"));
        session.tell_sent(&sent, json!({ "offer": offer }), &text);
        Ok(())
    }
}

impl Amend {
    async fn run(self, session: &Session) -> Outcome {
        let account = session.account().await?;
        let offer = session.find_offer(&account.client, &self.offer).await?;
        let calendar = self.span.calendar(&session.clock(&account.client).await?)?;
        if self.ask.is_none() && calendar.is_none() {
            return Err(Failure::refused("nothing is to be changed")
                .hint("give `--ask`, or `--quantity` and `--until`"));
        }
        let action = AmendOffer { offer, ask: self.ask.map(|ask| ask.0), calendar };
        let sent = session.send(&account, vec![action.into()]).await?;
        session.tell_sent(&sent, json!({ "offer": offer }), &format!("amended offer {offer}"));
        Ok(())
    }
}

impl Span {
    /// The calendar, if it was asked for.
    fn calendar(&self, clock: &Clock) -> Outcome<Option<Calendar>> {
        let (quantity, until) = match (self.quantity, self.until) {
            (None, None) => return Ok(None),
            (Some(quantity), Some(until)) => (quantity, until),
            _ => {
                return Err(
                    Failure::refused("only one of `--quantity` and `--until` is given").hint("give both")
                );
            }
        };
        let (from, until) =
            (clock.slot_from(self.from.from(clock.now)), until.from(clock.now).slot(clock.params.slot_s));
        match from < until && quantity > 0 {
            true => Ok(Some(Calendar::constant(from, until, quantity))),
            false => Err(Failure::refused(
                "there is no whole slot between `--from` and `--until`, or nothing is offered",
            )
            .hint(format!("a slot of this federation has {} seconds", clock.params.slot_s))),
        }
    }
}

async fn list(session: &Session, class: Option<Name>, all: bool) -> Outcome {
    let client = session.reader().await?;
    let state = if all { None } else { Some(OfferState::Open) };
    let offers = client.offers_shown(&OfferFilter { class, state, ..OfferFilter::default() }).await?;
    let clock = session.clock(&client).await?;
    session.printer.data(&offers, || {
        let rows = offers.iter().map(|one| {
            let (id, class, site, country, ask, free, state, free_now) = match one {
                Shown::Whole(OfferInfo { id, row: one, free_now }) => {
                    let free = one.market.plus(&one.reserve);
                    (id, &one.class, &one.site, one.country, one.ask, free, one.state, free_now)
                }
                Shown::Public(one) => {
                    let (id, free_now, free) = (&one.id, &one.free_now, one.market.plus(&one.reserve));
                    (id, &one.class, &one.site, one.country, one.ask, free, one.state, free_now)
                }
            };
            let end = free.points().last().map(|(slot, _)| clock.begins(*slot).to_string());
            [
                short(id),
                class.to_string(),
                site.to_string(),
                country.to_string(),
                format!("{ask} EUR/h"),
                free_now.to_string(),
                end.unwrap_or_default(),
                word_text(&state),
            ]
        });
        session.printer.table(["OFFER", "CLASS", "SITE", "COUNTRY", "ASK", "FREE", "UNTIL", "STATE"], rows)
    });
    Ok(())
}
