//! `hansa lease verify`: trust nobody's word for a settlement.
//!
//! The lease and its settlement are proven against the state root of a block that more than two thirds of the members of the
//! user's own genesis signed. Then the contract is run again here, on the same facts, and must give the same split.

use crate::error::{Failure, Outcome};
use crate::session::Session;
use borsh::BorshDeserialize as _;
use hansa_contracts_abi::{CheckedSplit, Facts, Failure as ContractFailure, Party, Runtime as _, Split};
use hansa_contracts_abi::{check_split, fallback_split};
use hansa_contracts_host::Host;
use hansa_ledger::block::{Header, Validator};
use hansa_ledger::genesis::Genesis;
use hansa_ledger::id::{CodeHash, LeaseId};
use hansa_ledger::lease::{fallback, recipient, terms};
use hansa_ledger::row::{Lease, Payment, Settlement};
use hansa_ledger::tables::{Leases, Settlements};
use hansa_node_api::certificate::{self, genesis_validators};
use hansa_node_api::{Client, Fault};
use serde::Serialize;
use std::path::Path;

/// One thing that was checked and held.
#[derive(Clone, Debug, Serialize)]
struct Held {
    check: &'static str,
    detail: String,
}

/// What was verified.
#[derive(Debug, Serialize)]
struct Report {
    lease: LeaseId,
    verified: bool,
    height: u64,
    checks: Vec<Held>,
    payments: Vec<Payment>,
    refunds: Vec<Payment>,
}

pub(super) async fn run(session: &Session, lease: &str, genesis: Option<&Path>) -> Outcome {
    let genesis = session.genesis(genesis)?;
    let client = session.reader().await?;
    let id = session.find_lease(&client, lease).await?;
    let mut checks = Checks { genesis, held: Vec::new() };
    let progress = session.printer.progress("checking");
    let outcome = checks.run(&client, &id).await;
    progress.finish();
    let (header, settlement) = outcome?;
    let report = Report {
        lease: id,
        verified: true,
        height: header.height,
        checks: checks.held,
        payments: settlement.payments,
        refunds: settlement.refunds,
    };
    session.printer.data(&report, || {
        let rows =
            report.checks.iter().map(|held| ["ok".to_owned(), held.check.to_owned(), held.detail.clone()]);
        let table = session.printer.table(["", "CHECK", "FOUND"], rows);
        let money = super::money_table(session, &report.payments, &report.refunds);
        format!("{table}\n\n{money}\n\nlease {id} is settled as its contract says")
    });
    Ok(())
}

struct Checks {
    genesis: Genesis,
    held: Vec<Held>,
}

impl Checks {
    async fn run(&mut self, client: &Client, id: &LeaseId) -> Outcome<(Header, Settlement)> {
        let validators = genesis_validators(&self.genesis);
        let proof = client.proof::<Leases>(id).await?;
        self.same_chain(&proof.header)?;
        let lease = proof.verify::<Leases>(id, &validators).map_err(|error| doubt("the lease", &error))?;
        let lease = lease
            .ok_or_else(|| Failure::refused(format!("there is no lease `{id}`, proven by the members")))?;
        let proof = client.proof::<Settlements>(id).await?;
        self.same_chain(&proof.header)?;
        let header = proof.header.clone();
        let settlement =
            proof.verify::<Settlements>(id, &validators).map_err(|error| doubt("the settlement", &error))?;
        let settlement = settlement.ok_or_else(|| {
            Failure::refused(format!("lease `{id}` is not settled yet"))
                .hint("look at it: `hansa lease show`")
        })?;
        let members = certificate::follow(&validators, &proof.handovers, &header).map_or(0, |set| set.len());
        self.hold(
            "signatures",
            format!("block {} is signed by more than two thirds of {members} members", header.height),
        );
        self.hold("state proof", "lease and settlement stand under the state root of that block".to_owned());
        let facts = self.facts(&lease, &settlement)?;
        self.moment(client, &validators, &settlement, &facts).await?;
        let code = self.code(client, settlement.contract).await?;
        let checked = self.replay(&lease, &settlement, &facts, &code)?;
        self.money(&lease, &settlement, &checked)?;
        Ok((header, settlement))
    }

    fn same_chain(&self, header: &Header) -> Outcome {
        match header.chain == self.genesis.chain_id() {
            true => Ok(()),
            false => Err(Failure::refused("the node belongs to another federation than the trusted genesis")
                .hint("ask another node with `--node`, or give the right `--genesis`")),
        }
    }

    /// The facts that the contract was told, which must be those of the lease.
    fn facts(&mut self, lease: &Lease, settlement: &Settlement) -> Outcome<Facts> {
        let facts =
            Facts::try_from_slice(&settlement.facts).map_err(|_| differs("the facts cannot be read"))?;
        let same = facts.terms == terms(lease)
            && facts.escrow.locked == lease.locked.wide()
            && facts.usage.cumulative == u128::from(lease.reported)
            && is_told_readings(&facts, lease)
            && facts.ctx.height == settlement.height
            && settlement.contract == lease.agreement.contract
            && settlement.contract_params == lease.agreement.contract_params;
        if !same {
            return Err(differs("the facts told to the contract are not those of the lease"));
        }
        self.hold("facts", format!("terms, lock and {} accelerator-seconds as in the lease", lease.reported));
        Ok(facts)
    }

    /// The block that settled, with its time and its event. A node may have dropped a block that old.
    async fn moment(
        &mut self,
        client: &Client,
        validators: &[Validator],
        settlement: &Settlement,
        facts: &Facts,
    ) -> Outcome {
        let block = match client.header(settlement.height).await {
            Err(error) if error.fault() == Some(Fault::HistoryGone) => {
                self.hold(
                    "moment",
                    format!("block {} is no longer kept by this node; not checked", settlement.height),
                );
                return Ok(());
            }
            other => other?,
        };
        self.same_chain(&block.header)?;
        let handovers = client.handovers().await?;
        certificate::follow(validators, &handovers, &block.header)
            .and_then(|signers| certificate::verify(&block.header, &block.certificate, &signers))
            .map_err(|error| doubt("the block that settled", &error))?;
        if block.header.height != settlement.height || block.header.time.seconds() != facts.ctx.now {
            return Err(differs("the contract was told another time than that of the block"));
        }
        self.hold("moment", format!("settled in block {} at {}", settlement.height, block.header.time));
        Ok(())
    }

    /// The contract's code, by its hash: from the genesis, which is trusted, else from the node.
    async fn code(&mut self, client: &Client, hash: CodeHash) -> Outcome<Vec<u8>> {
        let is_it = |code: &[u8]| *blake3::hash(code).as_bytes() == hash.0;
        let own = self.genesis.contracts.iter().find(|contract| is_it(&contract.code));
        let (name, code) = match own {
            Some(contract) => (contract.name.to_string(), contract.code.clone()),
            None => {
                let info = client.contract(&hash).await?;
                (info.name.to_string(), info.code.unwrap_or_default())
            }
        };
        if !is_it(&code) {
            return Err(differs("the code of the contract has another hash than the lease names"));
        }
        if self.genesis.vm_profile != hansa_contracts_host::vm_profile() {
            return Err(Failure::refused("this program runs contracts by other rules than the federation")
                .hint("use the version of this program that the federation runs"));
        }
        self.hold("contract", format!("`{name}`, {} bytes with the hash the lease names", code.len()));
        Ok(code)
    }

    /// Runs the contract again. What it gives here must be what was recorded.
    fn replay(
        &mut self,
        lease: &Lease,
        settlement: &Settlement,
        facts: &Facts,
        code: &[u8],
    ) -> Outcome<CheckedSplit> {
        let host = Host::new();
        let loaded =
            host.load(code).map_err(|error| differs(&format!("the contract may not run: {error}")))?;
        let outcome = host.settle(&loaded, &settlement.contract_params, facts);
        let recorded =
            Split::try_from_slice(&settlement.split).map_err(|_| differs("the split cannot be read"))?;
        // What claims in between paid. `hansa_ledger::replay` runs those again too.
        let paid = settlement.paid_before.iter().map(|one| (Party(one.party), one.amount.wide()));
        let paid: Vec<(Party, u128)> = paid.collect();
        let failure = settlement.failure.as_deref().map(ContractFailure::try_from_slice).transpose();
        let failure = failure.map_err(|_| differs("the contract's failure cannot be read"))?;
        let given = outcome.result.and_then(|split| {
            check_split(&split, facts, &paid, lease.locked.wide())
                .map(|_| split)
                .map_err(ContractFailure::from)
        });
        // A block that had no fuel left settles by the fallback without a call, which spends nothing.
        let skipped = failure == Some(ContractFailure::OutOfFuel) && settlement.fuel == 0;
        if !skipped && (given.as_ref().err() != failure.as_ref() || outcome.fuel != settlement.fuel) {
            return Err(differs("the contract gives another outcome here than was recorded"));
        }
        let expected = match (&failure, given) {
            (None, Ok(split)) => split,
            _ => fallback_split(fallback(lease.agreement.fallback), facts, &paid),
        };
        if expected != recorded {
            return Err(differs("the contract gives another split here than was paid"));
        }
        let by = match &failure {
            None => format!("run again here with {} fuel, same split", outcome.fuel),
            Some(failure) => format!("fallback of the lease, since {failure}; same split"),
        };
        self.hold("settlement", by);
        check_split(&recorded, facts, &paid, lease.locked.wide())
            .map_err(|error| differs(&format!("the split breaks the rules: {error}")))
    }

    /// What was paid must be what the split says, and all of the lock must be accounted for.
    fn money(&mut self, lease: &Lease, settlement: &Settlement, checked: &CheckedSplit) -> Outcome {
        let sum = |payments: &[Payment]| payments.iter().map(|payment| payment.amount.wide()).sum::<u128>();
        let held = |party: Party| -> u128 {
            let of = settlement.held.iter().filter(|one| one.party == party.0);
            of.map(|one| one.amount.wide()).sum()
        };
        let mut due = 0u128;
        for (party, amount) in &checked.transfers {
            // What is the requester's or the sponsor's stays in the escrow and returns with the rest.
            let Some((account, _)) = recipient(lease, *party) else { continue };
            let paid = settlement.payments.iter().filter(|payment| payment.to == account);
            let paid: u128 = paid.map(|payment| payment.amount.wide()).sum();
            if paid + held(*party) != *amount {
                return Err(differs("the payments are not those of the split"));
            }
            if held(*party) > *amount * u128::from(lease.agreement.holdback_bps) / 10_000 {
                return Err(differs("more of the pay was held back than agreed"));
            }
            due += *amount;
        }
        // What was held back went its way after the settlement.
        let back: u128 = settlement.held.iter().map(|one| one.amount.wide()).sum();
        let paid = sum(&settlement.payments) + back;
        if paid != due {
            return Err(differs("the payments are not those of the split"));
        }
        let before = settlement.paid_before.iter().filter(|one| recipient(lease, Party(one.party)).is_some());
        let before: u128 = before.map(|one| one.amount.wide()).sum();
        if before + paid + sum(&settlement.refunds) != lease.locked.wide() {
            return Err(differs("payments, refunds and what was held back are not together what was locked"));
        }
        self.hold(
            "money",
            format!("payments and refunds are together the {} EUR that were locked", lease.locked),
        );
        Ok(())
    }

    fn hold(&mut self, check: &'static str, detail: String) {
        self.held.push(Held { check, detail });
    }
}

fn doubt(what: &str, error: &dyn std::fmt::Display) -> Failure {
    Failure::refused(format!("{what} is not proven: {error}"))
        .hint("ask another member's node with `--node`, and compare your genesis with theirs")
}

fn differs(what: &str) -> Failure {
    Failure::refused(format!("the settlement does not hold: {what}"))
        .hint("keep this output and tell your member's governance office")
}

/// Whether the contract was told the figures that the provider signed: each window may have been cut by what was contested.
fn is_told_readings(facts: &Facts, lease: &Lease) -> bool {
    let mut told: Vec<u32> = facts.usage.readings.iter().map(|reading| reading.value).collect();
    // Windows that follow each other in a lease have different figures.
    told.dedup();
    told.into_iter().eq(lease.windows.iter().map(|window| window.reading))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::lease::tests::lease;
    use hansa_contracts_bundle::SPOT;
    use hansa_ledger::id::{GrantId, RequestId};
    use hansa_ledger::lease::facts;
    use hansa_ledger::money::Money;
    use hansa_ledger::row::{AccountId, Closing, MeterWindow};
    use hansa_ledger::time::TimeMs;

    /// A lease that `spot` has settled: half of its time was used.
    fn settled() -> (Lease, Settlement) {
        let code = CodeHash(*blake3::hash(SPOT).as_bytes());
        let mut lease = lease();
        lease.agreement.contract = code;
        lease.agreement.contract_params = vec![0; 16];
        (lease.started_at, lease.ended_at) = (Some(TimeMs(0)), Some(TimeMs(500_000)));
        lease.reported = 500;
        let facts = facts(&lease, Closing::Final, 7, 600);
        let host = Host::new();
        let outcome = host.settle(&host.load(SPOT).unwrap(), &lease.agreement.contract_params, &facts);
        let split = outcome.result.unwrap();
        let checked = check_split(&split, &facts, &[], lease.locked.wide()).unwrap();
        let from = AccountId::Escrow(RequestId([1; 32]), 0);
        let pay = |party| {
            let to = if party == Party::PROVIDER { AccountId::Cash(lease.provider) } else { AccountId::Fees };
            let due: u128 =
                checked.transfers.iter().filter(|(one, _)| *one == party).map(|(_, amount)| *amount).sum();
            Payment { from: from.clone(), to, amount: Money::try_from(due).unwrap() }
        };
        let payments = vec![pay(Party::PROVIDER), pay(Party::OPERATOR)];
        let back = lease.locked.0 - payments.iter().map(|one| one.amount.0).sum::<u64>();
        let refund =
            Payment { from: from.clone(), to: AccountId::Grant(GrantId([9; 32])), amount: Money(back) };
        let settlement = Settlement {
            contract: code,
            contract_params: lease.agreement.contract_params.clone(),
            facts: borsh::to_vec(&facts).unwrap(),
            split: borsh::to_vec(&split).unwrap(),
            fuel: outcome.fuel,
            failure: None,
            height: 7,
            payments,
            refunds: vec![refund],
            paid_before: Vec::new(),
            held: Vec::new(),
            accounts: Vec::new(),
            fallback: lease.agreement.fallback,
            stake: Vec::new(),
            interims: 0,
        };
        (lease, settlement)
    }

    /// What the checks that need no node say; empty when all hold.
    fn judge(lease: &Lease, settlement: &Settlement) -> String {
        let genesis = "name = 'test'\ntime = '2027-01-31T12:00:00Z'\nmembers = []\ncontracts = []\n";
        let genesis = toml::from_str(&format!("{genesis}vm_profile = '{}'\n", "0".repeat(64))).unwrap();
        let mut checks = Checks { genesis, held: Vec::new() };
        let outcome = checks.facts(lease, settlement).and_then(|facts| {
            let checked = checks.replay(lease, settlement, &facts, SPOT)?;
            checks.money(lease, settlement, &checked)
        });
        outcome.map_or_else(|failure| failure.message, |()| String::new())
    }

    #[test]
    fn a_settlement_holds_as_it_was_made_and_in_no_other_form() {
        let (lease, good) = settled();
        assert_eq!(judge(&lease, &good), "");
        assert!(good.payments.iter().all(|payment| payment.amount > Money::ZERO), "{:?}", good.payments);
        let failed = borsh::to_vec(&ContractFailure::Trap).unwrap();
        let moved = |settlement: &mut Settlement, amount: u64| {
            settlement.payments[0].amount.0 += amount;
            settlement.refunds[0].amount.0 -= amount;
        };
        let signed = MeterWindow { until: TimeMs(400_000), cumulative: 500, reading: 320 };
        type Change<'a> = &'a dyn Fn(&mut Lease, &mut Settlement);
        let table: [(Change<'_>, &str); 10] = [
            (&|lease, _| lease.windows.push(signed.clone()), "facts told to the contract"),
            (&|lease, _| lease.reported += 1, "facts told to the contract are not those of the lease"),
            (&|lease, _| lease.locked.0 += 1, "facts told to the contract"),
            (&|lease, _| lease.agreement.price.0 += 1_000, "facts told to the contract"),
            (&|_, settlement| settlement.height += 1, "facts told to the contract"),
            (&|_, settlement| settlement.fuel += 1, "another outcome here than was recorded"),
            (&|_, settlement| settlement.failure = Some(failed.clone()), "another outcome here"),
            (
                &|_, settlement| {
                    settlement.split.pop();
                },
                "the split cannot be read",
            ),
            (&|_, settlement| moved(settlement, 1), "the payments are not those of the split"),
            (&|_, settlement| settlement.refunds[0].amount.0 -= 1, "not together what was locked"),
        ];
        for (at, (change, said)) in table.into_iter().enumerate() {
            let (mut lease, mut settlement) = (lease.clone(), good.clone());
            change(&mut lease, &mut settlement);
            let verdict = judge(&lease, &settlement);
            assert!(verdict.contains(said), "row {at}: {verdict:?}");
        }
        let mut other = good.clone();
        let mut split = Split::try_from_slice(&other.split).unwrap();
        split.pay[0].1 += 1;
        other.split = borsh::to_vec(&split).unwrap();
        assert!(judge(&lease, &other).contains("another split here than was paid"));
    }
}
