//! Executing a block of transfers, signatures not counted: they were checked when the transfers came in.

use super::{broken, rounds};
use crate::bench::report::Report;
use crate::error::TestnetError;
use hansa_contracts_host::Host;
use hansa_ledger::action::{
    AccreditOrganisation, Action, AttestDeposit, SetKey, TransferCash, organisation_id,
};
use hansa_ledger::apply::{apply_block, build_block};
use hansa_ledger::genesis::{Genesis, GenesisContract, GenesisMember, GenesisOffice};
use hansa_ledger::id::{ChainId, OrganisationId};
use hansa_ledger::member::MemberCode;
use hansa_ledger::money::Money;
use hansa_ledger::name::Name;
use hansa_ledger::params::Params;
use hansa_ledger::possession::Possession;
use hansa_ledger::row::{OrganisationClass, Principal, Roles};
use hansa_ledger::state::State;
use hansa_ledger::time::TimeMs;
use hansa_ledger::transaction::{SignedTransaction, Transaction};
use hansa_ledger_signature::{Cache, SecretKey, Verified};
use std::path::Path;

/// Transfers in the block.
const TRANSFERS: usize = 1_000;

/// Organisations that pay each other, and keys of each.
const ORGANISATIONS: usize = 16;
const KEYS: usize = 16;

const MEMBERS: [&str; 4] = ["DE", "EE", "ES", "FR"];
const START: TimeMs = TimeMs(1_800_000_000_000);

pub(super) fn measure(report: &mut Report, _: &Path) -> Result<(), TestnetError> {
    let world = World::new()?;
    let transfers = world.transfers();
    let encoded: Vec<Vec<u8>> = transfers.iter().map(SignedTransaction::encode).collect();
    report.figure("size of a signed transfer", "B", &[encoded[0].len() as f64]);
    let decode = || {
        encoded
            .iter()
            .map(|bytes| SignedTransaction::decode(bytes, &world.genesis.params))
            .all(|one| one.is_ok())
    };
    report.figure("decode a transfer", "us", &rounds(TRANSFERS, || (), |()| decode()));
    let verify = |transfers: Vec<SignedTransaction>| Cache::new(TRANSFERS).verify_all(transfers);
    report.figure(
        "check a transfer's signature, in a batch",
        "us",
        &rounds(TRANSFERS, || transfers.clone(), verify),
    );
    let mut warm = Cache::new(TRANSFERS);
    let verified: Vec<_> =
        warm.verify_all(transfers.clone()).into_iter().collect::<Result<_, _>>().map_err(broken)?;
    let again = |transfers: Vec<SignedTransaction>| warm.verify_all(transfers);
    report.figure(
        "recognise a transfer that was checked before",
        "us",
        &rounds(TRANSFERS, || transfers.clone(), again),
    );

    let time = START.plus(10_000);
    let build =
        || build_block(&world.state, &world.host, world.chain, member(0), time, &verified, &mut || true);
    let (block, _) = build().map_err(broken)?;
    if block.transactions.len() != TRANSFERS {
        return Err(broken("the block does not hold all transfers"));
    }
    report.figure("build a block, per transfer", "us", &rounds(TRANSFERS, || (), |()| build().is_ok()));
    let apply = || apply_block(&world.state, &world.host, world.chain, &block.header, &verified);
    apply().map_err(broken)?;
    report.figure(
        "apply a block of 1,000, per transfer",
        "us",
        &rounds(TRANSFERS, || (), |()| apply().is_ok()),
    );
    Ok(())
}

fn member(index: usize) -> MemberCode {
    MEMBERS[index % MEMBERS.len()].parse().expect("these codes are those of member states")
}

fn name(text: &str) -> Name {
    Name::new(text).expect("the names of this file are short and lower case")
}

/// A federation in memory, with firms that have money and keys.
struct World {
    genesis: Genesis,
    chain: ChainId,
    host: Host,
    state: State,
    keys: Vec<Vec<SecretKey>>,
}

impl World {
    fn new() -> Result<Self, TestnetError> {
        let offices: Vec<[SecretKey; 5]> =
            MEMBERS.iter().map(|_| std::array::from_fn(|_| SecretKey::generate())).collect();
        let members = offices.iter().enumerate().map(|(index, keys)| GenesisMember {
            code: member(index),
            consensus_key: keys[0].public_key(),
            network_key: keys[1].public_key(),
            issue_limit: Money(1_000_000_000_000),
            debit_cap: Money(1_000_000_000_000),
            registrar: GenesisOffice::single(keys[2].public_key()),
            treasury: GenesisOffice::single(keys[3].public_key()),
            governance: GenesisOffice::single(keys[4].public_key()),
        });
        let genesis = Genesis {
            name: name("bench"),
            time: START,
            vm_profile: hansa_contracts_host::vm_profile(),
            params: Params::testnet(),
            members: members.collect(),
            contracts: vec![GenesisContract {
                name: name("spot"),
                code: hansa_contracts_bundle::SPOT.to_vec(),
            }],
        };
        let keys = (0..ORGANISATIONS).map(|_| (0..=KEYS).map(|_| SecretKey::generate()).collect()).collect();
        let host = Host::new();
        host.load(hansa_contracts_bundle::SPOT).map_err(broken)?;
        let state = genesis.state().map_err(broken)?;
        let mut world = Self { chain: genesis.chain_id(), genesis, host, state, keys };
        world.found(&offices)?;
        Ok(world)
    }

    /// Accredits the firms, gives them money, and registers their keys.
    fn found(&mut self, offices: &[[SecretKey; 5]]) -> Result<(), TestnetError> {
        let (mut first, mut second) = (Vec::new(), Vec::new());
        for (index, keys) in offices.iter().enumerate() {
            let firms = (0..ORGANISATIONS).filter(|firm| firm % MEMBERS.len() == index);
            let (mut accredit, mut deposit): (Vec<Action>, Vec<Action>) = (Vec::new(), Vec::new());
            for firm in firms {
                let accreditation = AccreditOrganisation {
                    register_number: firm.to_string(),
                    owner: None,
                    name: name(&format!("firm-{firm}")),
                    class: OrganisationClass::Sme,
                    accredited_until: START.plus(86_400_000),
                    key: self.keys[firm][0].public_key(),
                    proof: Some(self.proof(firm, &self.keys[firm][0])),
                };
                accredit.push(accreditation.into());
                let reference = name(&format!("opening-{firm}"));
                deposit.push(
                    AttestDeposit {
                        organisation: organisation(firm),
                        amount: Money(1_000_000_000),
                        reference,
                    }
                    .into(),
                );
                let set = self.keys[firm][1..].iter().map(|key| {
                    let proof = Some(self.proof(firm, key));
                    let (key, roles) = (key.public_key(), Roles::TREASURY);
                    SetKey { key, roles, amount_max: None, proof }.into()
                });
                second.push(self.sign(&self.keys[firm][0], 0, set.collect()));
            }
            first.push(self.sign(&keys[2], 0, accredit));
            second.push(self.sign(&keys[3], 0, deposit));
        }
        self.produce(first, START.plus(1_000))?;
        self.produce(second, START.plus(2_000))
    }

    /// The word of a key that it acts for a firm.
    fn proof(&self, firm: usize, key: &SecretKey) -> Possession {
        Possession::prove(self.chain, key, Principal::Organisation(organisation(firm)))
    }

    fn sign(&self, key: &SecretKey, nonce: u64, actions: Vec<Action>) -> SignedTransaction {
        let valid_until = START.plus(3_600_000);
        Transaction { chain: self.chain, signer: key.public_key(), nonce, valid_until, actions }.sign(key)
    }

    fn produce(&mut self, transactions: Vec<SignedTransaction>, time: TimeMs) -> Result<(), TestnetError> {
        let verified: Vec<Verified<SignedTransaction>> = Cache::new(1_000)
            .verify_all(transactions)
            .into_iter()
            .collect::<Result<_, _>>()
            .map_err(broken)?;
        let (block, outcome) =
            build_block(&self.state, &self.host, self.chain, member(0), time, &verified, &mut || true)
                .map_err(broken)?;
        if let Some(refused) = outcome.receipts.transactions.iter().find(|receipt| receipt.code != 0) {
            return Err(broken(format!("the federation cannot be set up: code {}", refused.code)));
        }
        self.state.commit(outcome.changes, block.header.id());
        Ok(())
    }

    /// Payments in which all keys take turns.
    fn transfers(&self) -> Vec<SignedTransaction> {
        let transfer = |index: usize| {
            let (round, turn) = (index / (ORGANISATIONS * KEYS), index % (ORGANISATIONS * KEYS));
            let (firm, key) = (turn % ORGANISATIONS, turn / ORGANISATIONS);
            let to = organisation(firm + 1 + round);
            let action = TransferCash { to, amount: Money(1) };
            self.sign(&self.keys[firm][1 + key], round as u64, vec![action.into()])
        };
        (0..TRANSFERS).map(transfer).collect()
    }
}

fn organisation(firm: usize) -> OrganisationId {
    let firm = firm % ORGANISATIONS;
    organisation_id(member(firm), &firm.to_string())
}
