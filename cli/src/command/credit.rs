//! `hansa credit`: issue grants, attest deposits, transfer and redeem cash.

use crate::error::Outcome;
use crate::session::Session;
use crate::units::{Moment, money, word};
use clap::{Args, Subcommand};
use hansa_ledger::action::{AttestDeposit, IssueGrant, RedeemCash, TransferCash, grant_id};
use hansa_ledger::event::Event;
use hansa_ledger::money::Money;
use hansa_ledger::name::Name;
use hansa_ledger::row::Purpose;
use serde_json::json;

/// Issue grants, attest deposits, transfer and redeem cash.
#[derive(Debug, Args)]
pub struct CreditArguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Issue a grant; signed by the holder's home treasury
    Issue(Issue),
    /// Attest that an organisation paid money in; signed by its home treasury
    Deposit {
        /// Whose cash it becomes: id, beginning of it, or name
        organisation: String,
        /// How much
        #[arg(value_parser = money)]
        amount: Money,
        /// The bank's reference; counts once
        #[arg(long)]
        reference: Name,
    },
    /// Move cash to another organisation
    Transfer {
        /// To whom: id, beginning of it, or name
        to: String,
        /// How much
        #[arg(value_parser = money)]
        amount: Money,
    },
    /// Take cash out; the home member pays it out
    Redeem {
        /// How much
        #[arg(value_parser = money)]
        amount: Money,
    },
}

#[derive(Debug, Args)]
struct Issue {
    /// Who may spend it: id, beginning of it, or name
    organisation: String,
    /// How much
    #[arg(value_parser = money)]
    amount: Money,
    /// Your reference; counts once
    #[arg(long)]
    reference: Name,
    /// The budget line that pays
    #[arg(long)]
    line: Name,
    /// innovation, research, public-service or industrial
    #[arg(long, value_parser = word::<Purpose>)]
    purpose: Purpose,
    /// Until when: a moment, or `in 90d`
    #[arg(long)]
    expires: Moment,
}

impl CreditArguments {
    pub(super) async fn run(self, session: &Session) -> Outcome {
        match self.verb {
            Verb::Issue(issue) => issue.run(session).await,
            Verb::Deposit { organisation, amount, reference } => {
                let client = session.reader().await?;
                let organisation = session.find_organisation(&client, &organisation).await?;
                let sent = session.act(AttestDeposit { organisation, amount, reference }).await?;
                let made = json!({ "organisation": organisation, "amount": amount });
                let text = format!("attested {amount} EUR for {organisation}");
                session.tell_office(&client, &sent, made, &text).await
            }
            Verb::Transfer { to, amount } => {
                let to = session.find_organisation(&session.reader().await?, &to).await?;
                let sent = session.act(TransferCash { to, amount }).await?;
                session.tell_sent(
                    &sent,
                    json!({ "to": to, "amount": amount }),
                    &format!("moved {amount} EUR to {to}"),
                );
                Ok(())
            }
            Verb::Redeem { amount } => {
                let sent = session.act(RedeemCash { amount }).await?;
                session.tell_sent(&sent, json!({ "amount": amount }), &format!("redeemed {amount} EUR"));
                Ok(())
            }
        }
    }
}

impl Issue {
    async fn run(self, session: &Session) -> Outcome {
        let account = session.account().await?;
        let holder = session.find_organisation(&account.client, &self.organisation).await?;
        let action = IssueGrant {
            holder,
            reference: self.reference.clone(),
            budget_line: self.line,
            purpose: self.purpose,
            amount: self.amount,
            expires: self.expires.from(session.clock(&account.client).await?.now),
        };
        let sent = session.send(&account, vec![action.into()]).await?;
        // A grant is named by its issuer and reference, so it is known before the other keys of the treasury approve.
        let grant = sent.done.receipt.events.iter().find_map(|event| match event {
            Event::GrantIssued { grant, .. } => Some(*grant),
            Event::OrderPlaced { member, .. } => Some(grant_id(*member, &self.reference)),
            _ => None,
        });
        let text =
            grant.map_or_else(String::new, |grant| format!("issued grant {grant} of {} EUR", self.amount));
        let made = json!({ "grant": grant, "holder": holder, "amount": self.amount });
        session.tell_office(&account.client, &sent, made, &text).await
    }
}
