//! Transactions on a living ledger, through whole blocks.

use super::Verdict;
use crate::corpus::golden;
use crate::samples;
use crate::scene::{Scene, demand};
use crate::world::{World, key, member, name};
use borsh::BorshDeserialize as _;
use hansa_ledger::action::{Action, AnnounceOutage, SetKey};
use hansa_ledger::apply::{BlockError, apply_block, build_block};
use hansa_ledger::deadline::next_deadline;
use hansa_ledger::invariants::check_state;
use hansa_ledger::market::Calendar;
use hansa_ledger::money::{Money, Price};
use hansa_ledger::rejection::Rejection;
use hansa_ledger::row::{Principal, Purse};
use hansa_ledger::state::State;
use hansa_ledger::tables::{LeasesLive, OffersOpen, RequestsOpen};
use hansa_ledger::time::{Slot, TimeMs};
use hansa_ledger::transaction::SignedTransaction;
use std::cell::OnceCell;

thread_local! {
    static SCENE: OnceCell<Scene> = const { OnceCell::new() };
}

fn fork() -> Scene {
    SCENE.with(|cell| cell.get_or_init(Scene::new).fork())
}

/// Steps of one input at most.
const STEPS_MAX: usize = 24;
/// Bytes of a step: kind, signer, four numbers, and which byte of the action is changed and how.
const STEP_BYTES: usize = 8;

/// Everybody who may sign here.
const SIGNERS: [&str; 24] = [
    "tallinn",
    "bsc",
    "cea",
    "tartu",
    "gone",
    "late",
    "berlin",
    "tallinn bidder",
    "tallinn treasurer",
    "bsc offerer",
    "bsc removed",
    "DE registrar",
    "EE registrar",
    "ES registrar",
    "FR registrar",
    "DE treasury",
    "DE treasury 2",
    "EE treasury",
    "FR treasury",
    "DE governance",
    "EE governance",
    "ES governance",
    "FR governance",
    "nobody",
];

/// Makes one block, executes it a second time from its header alone, and holds both to each other and to the invariants. Says
/// with which code each transaction ended; none where there was nothing to do.
fn block(world: &mut World, after_ms: u64, transactions: &[SignedTransaction]) -> Option<Vec<u16>> {
    let now = world.now.plus(after_ms);
    let verified: Vec<_> =
        transactions.iter().filter_map(|one| world.cache.verify(one.clone()).ok()).collect();
    let built =
        build_block(&world.state, &world.runtime, world.chain, member("DE"), now, &verified, &mut || true);
    let (block, outcome) = match built {
        Ok(built) => built,
        Err(BlockError::Needless) => return None,
        Err(error) => panic!("no block: {error}"),
    };
    assert!(block.transactions.len() <= verified.len());
    let included: Vec<_> =
        verified.into_iter().filter(|one| block.transactions.iter().any(|other| **one == *other)).collect();
    let again = apply_block(&world.twin, &world.runtime, world.chain, &block.header, &included).unwrap();
    assert_eq!((again.changes.rows(), &again.receipts), (outcome.changes.rows(), &outcome.receipts));
    for receipt in &outcome.receipts.transactions {
        let refused = Rejection::from_code(receipt.code);
        assert!(receipt.code == 0 || refused.is_some(), "code {} has no name", receipt.code);
        assert!(refused.is_none() || receipt.events.is_empty(), "a refused transaction tells of something");
    }
    let id = block.header.id();
    world.now = now;
    world.state.commit(outcome.changes, id);
    world.twin.commit(again.changes, id);
    check_state(&world.state).unwrap();
    assert_eq!(world.state.root(), block.header.state_root);
    Some(outcome.receipts.transactions.iter().map(|receipt| receipt.code).collect())
}

/// Holds the state to itself after it was stored and loaded.
fn reload(world: &World) {
    assert_eq!(State::load(world.rows(), world.state.tip()).unwrap().root(), world.state.root());
}

/// First byte: the signer. Second: how the envelope is wrong, if it is. Then a list of actions.
pub fn check(bytes: &[u8]) -> Verdict {
    let [signer, envelope, bytes @ ..] = bytes else { return Verdict::Refused };
    let Ok(actions) = Vec::<Action>::try_from_slice(bytes) else { return Verdict::Refused };
    let mut scene = fork();
    let world = &mut scene.world;
    let signer = SIGNERS[usize::from(*signer) % SIGNERS.len()];
    let mut transaction = world.envelope(signer, actions);
    match envelope {
        1 => transaction.nonce = transaction.nonce.wrapping_add(1),
        2 => transaction.nonce = transaction.nonce.wrapping_sub(1),
        3 => transaction.valid_until = TimeMs(0),
        4 => transaction.valid_until = TimeMs(u64::MAX),
        5 => transaction.chain.0[0] ^= 1,
        _ => {}
    }
    let mut signed = transaction.sign(&key(signer));
    if *envelope == 6 {
        signed.signature.0[0] ^= 1;
    }
    let shape = signed.check(&world.chain, world.params());
    let Ok(verified) = world.cache.verify(signed.clone()) else { return Verdict::Refused };
    assert_ne!(*envelope, 6, "a forged signature holds");
    let header = world.draft_header(1);
    match apply_block(&world.state, &world.runtime, world.chain, &header, std::slice::from_ref(&verified)) {
        Err(BlockError::Transaction { index: 0, .. }) => {
            // Nor does a proposer take it up.
            let codes = block(world, 1, &[signed]);
            assert!(codes.is_none_or(|codes| codes.is_empty()));
            return Verdict::Refused;
        }
        Err(BlockError::Header(_) | BlockError::TooLarge) => {}
        other => panic!("{:?}", other.map(|outcome| outcome.header)),
    }
    assert!(!(1..=6).contains(envelope), "a wrong envelope is taken");
    let before = world.rows();
    let codes = block(world, 1, &[signed]).unwrap_or_default();
    let taken = codes == [0];
    assert!(!taken || shape.is_ok(), "of a shape that is refused: {shape:?}");
    if !taken && !codes.is_empty() {
        // Its nonce and its quota, and the block's own row: money, leases and orders stand as they did, but for deadlines.
        let alone = {
            let mut other = fork();
            block(&mut other.world, 1, &[]).map(|_| other.world.rows())
        };
        let expected = alone.unwrap_or(before);
        let changed = world.rows().into_iter().filter(|row| !expected.contains(row)).count();
        assert!(changed <= 4, "a refused transaction left {changed} rows behind");
    }
    reload(world);
    if taken { Verdict::Accepted } else { Verdict::Refused }
}

pub fn check_seeds() -> Vec<Vec<u8>> {
    let scene = fork();
    let mut seeds = Vec::new();
    for number in 0..samples::actions().len() as u8 {
        let action = action(&scene, &[number, 0, 1, 0, 5, 0, 0, 0]);
        let signer = natural(&action, 0);
        let at = SIGNERS.iter().position(|one| *one == signer).unwrap() as u8;
        seeds.push([vec![at, 0], borsh::to_vec(&vec![action]).unwrap()].concat());
    }
    seeds
}

/// Who would do this.
fn natural(action: &Action, number: u8) -> &'static str {
    use Action::*;
    let of = |names: &[&'static str]| names[usize::from(number) % names.len()];
    match action {
        AccreditOrganisation(_) | RevokeOrganisation(_) => {
            of(&["EE registrar", "ES registrar", "FR registrar"])
        }
        AccreditSite(_) | ConfirmSite(_) => of(&["FR registrar", "ES registrar"]),
        IssueGrant(_) | AttestDeposit(_) => of(&["EE treasury", "FR treasury", "DE treasury"]),
        PostOffer(_) | AmendOffer(_) | WithdrawOffer(_) => of(&["bsc", "cea", "bsc offerer"]),
        StartLease(_) | ReportUsage(_) | ReportJob(_) | ClaimPayment(_) => of(&["bsc"]),
        AnnounceOutage(_) | EndOutage(_) => of(&["bsc", "cea"]),
        UploadContract(_) | DeprecateContract(_) | RenewContract(_) => of(&["cea", "EE treasury"]),
        ApproveOrder(_) | CancelOrder(_) => of(&["DE treasury 2", "DE treasury", "DE treasury 3"]),
        SetOfficeKey(_) | RemoveOfficeKey(_) | SetOfficeThreshold(_) => {
            of(&["EE governance", "FR governance"])
        }
        Propose(_)
        | Vote(_)
        | RotateKeys(_)
        | ApproveContract(_)
        | QuarantineContract(_)
        | ResumeContract(_)
        | SetAlias(_)
        | RuleDispute(_) => of(&["DE governance", "FR governance", "EE governance", "ES governance"]),
        EndLease(_) | CancelLease(_) => of(&["tallinn", "bsc"]),
        _ => of(&["tallinn", "tallinn", "tallinn bidder", "tallinn treasurer", "cea"]),
    }
}

/// One of the sample actions, with what is in this federation in place of the samples' ids, names and times.
fn action(scene: &Scene, step: &[u8]) -> Action {
    let [kind, _, a, b, c, d, at, by] = *step else { unreachable!("a step has eight bytes") };
    let all = samples::actions();
    let sample = all[usize::from(kind) % all.len()].clone();
    let mut bytes = borsh::to_vec(&sample).unwrap();
    let leases = leases(scene);
    for (mark, ids) in marks(scene) {
        put(&mut bytes, &[mark; 32], &ids, a);
    }
    let ninth = match &sample {
        Action::ApproveOrder(_) | Action::CancelOrder(_) => vec![scene.order.0, scene.second.0],
        _ => leases.clone(),
    };
    put(&mut bytes, &[9; 32], &ninth, b);
    let later = scene.world.now.plus(86_400_000 * (1 + u64::from(c))).0.to_le_bytes();
    put(&mut bytes, &1_800_000_000_123u64.to_le_bytes(), &[later], 0);
    let fitted = fit(scene, Action::try_from_slice(&bytes).unwrap_or(sample), [a, b, c, d]);
    if by == 0 {
        return fitted;
    }
    let mut bytes = borsh::to_vec(&fitted).unwrap();
    let at = 1 + usize::from(at) % bytes.len().max(2).saturating_sub(1);
    if let Some(byte) = bytes.get_mut(at) {
        *byte = byte.wrapping_add(by);
    }
    Action::try_from_slice(&bytes).unwrap_or(fitted)
}

/// Replaces each place that holds `mark` by one of `values`.
fn put<const N: usize>(bytes: &mut [u8], mark: &[u8; N], values: &[[u8; N]], choice: u8) {
    let Some(value) = values.get(usize::from(choice).checked_rem(values.len()).unwrap_or(0)) else { return };
    let mut at = 0;
    while at + N <= bytes.len() {
        if bytes[at..at + N] == mark[..] {
            bytes[at..at + N].copy_from_slice(value);
            at += N;
        } else {
            at += 1;
        }
    }
}

fn leases(scene: &Scene) -> Vec<[u8; 32]> {
    let live = scene.world.state.rows::<LeasesLive>().map(|((_, lease), ())| lease.0);
    [scene.active.0, scene.ended.0, scene.awarded.0, scene.settled.0].into_iter().chain(live).collect()
}

/// What the ids of the samples stand for.
fn marks(scene: &Scene) -> Vec<(u8, Vec<[u8; 32]>)> {
    let state = &scene.world.state;
    let organisations =
        vec![scene.tallinn.0, scene.bsc.0, scene.cea.0, scene.tartu.0, scene.gone.0, scene.late.0];
    let offers = state.rows::<OffersOpen>().map(|((_, offer), ())| offer.0);
    let requests = state.rows::<RequestsOpen>().map(|((_, request), ())| request.0);
    let codes = &scene.contracts;
    let codes = vec![scene.world.code.0, codes.waiting.0, codes.public.0, codes.stopped.0, codes.ended.0];
    let mut providers = organisations.clone();
    providers.rotate_left(1);
    vec![
        (1, organisations),
        (2, providers),
        (3, vec![scene.grant.0, scene.research.0, scene.expired.0]),
        (4, [scene.offer.0].into_iter().chain(offers).collect()),
        (5, [scene.waiting.0, scene.request.0].into_iter().chain(requests).collect()),
        (6, leases(scene)),
        (7, codes),
        (0x0b, vec![scene.open.0, scene.voted.0]),
    ]
}

/// Puts figures right that no id stands for: slots, names, amounts, and proofs of keys.
fn fit(scene: &Scene, mut action: Action, [a, b, c, d]: [u8; 4]) -> Action {
    let world = &scene.world;
    let now = world.now.slot(world.params().slot_s).0;
    let calendar = Calendar::constant(Slot(now), Slot(now + 20 + 8 * u32::from(c)), 1 + u32::from(d) % 64);
    match &mut action {
        Action::PlaceRequest(place) => {
            let purse =
                [Purse::Grant(scene.grant), Purse::Cash, Purse::Grant(scene.research)][usize::from(a % 3)];
            let mut wanted = demand(world, purse);
            wanted.quantity = 1 + u32::from(b) % 12;
            wanted.quantity_min = wanted.quantity.min(2);
            wanted.slots = 1 + u32::from(c) % 40;
            wanted.limit = Price(100_000 * u64::from(d));
            place.demand = wanted;
        }
        Action::PostOffer(post) => {
            let own = world.offer_of(1 + u32::from(a) % 64, 50 + u64::from(b));
            *post = own;
            post.calendar = calendar;
        }
        Action::AmendOffer(amend) => {
            amend.ask = (a & 1 == 0).then(|| Price(10_000 * (50 + u64::from(b))));
            amend.calendar = (a & 2 == 0).then_some(calendar);
        }
        Action::AnnounceOutage(outage) => {
            let start = Slot(now + u32::from(a));
            let end = Slot(start.0 + 1 + u32::from(b));
            let accelerators = 1 + u32::from(c) % 64;
            *outage = AnnounceOutage {
                site: name("site"),
                owner: None,
                start,
                end,
                accelerators,
                ..outage.clone()
            };
        }
        Action::AccreditSite(site) => (site.site, site.accelerators) = (name("site"), 4 * u32::from(d)),
        Action::ConfirmSite(site) => (site.site, site.accelerators) = (name("site"), u32::from(d)),
        Action::AccreditOrganisation(new) => {
            new.register_number = format!("new-{a}");
            let id = world.organisation("EE", &new.register_number);
            new.key = key(&new.register_number).public_key();
            new.proof = Some(world.proof(&new.register_number, Principal::Organisation(id)));
            new.name = name(&new.register_number);
        }
        Action::SetKey(set) => {
            let proof = world.proof("fresh", Principal::Organisation(scene.tallinn));
            *set = SetKey { key: key("fresh").public_key(), proof: Some(proof), ..set.clone() };
        }
        Action::SetOfficeKey(set) => {
            set.key = key("fresh").public_key();
            set.proof = world.proof("fresh", Principal::Office(member("EE"), set.office));
        }
        Action::IssueGrant(grant) => (grant.reference, grant.amount) = (name(&format!("g-{a}")), amount(d)),
        Action::AttestDeposit(deposit) => {
            (deposit.reference, deposit.amount) = (name(&format!("d-{a}")), amount(d));
        }
        Action::TransferCash(transfer) => transfer.amount = amount(d),
        Action::RedeemCash(redeem) => redeem.amount = amount(d),
        Action::ReportUsage(report) => report.usages.iter_mut().for_each(|one| one.cumulative = u64::from(d)),
        Action::CountersignUsage(report) => {
            report.usages.truncate(1);
            report.usages.iter_mut().for_each(|one| one.cumulative = u64::from(d));
        }
        Action::ContestUsage(contest) => contest.admitted = u64::from(d),
        Action::EndLease(end) => end.cumulative = (a & 1 == 0).then_some(u64::from(d)),
        Action::OpenDispute(open) => open.usage = u64::from(d),
        _ => {}
    }
    action
}

fn amount(d: u8) -> Money {
    Money(10_000u64.saturating_mul(u64::from(d)))
}

/// Steps of eight bytes. Up to 199 an action, on top of it a wait: for the next deadline, or for so long.
pub fn apply(bytes: &[u8]) -> Verdict {
    let mut scene = fork();
    let mut taken = 0;
    for step in bytes.chunks_exact(STEP_BYTES).take(STEPS_MAX) {
        if step[0] < 200 {
            let action = action(&scene, step);
            let signer = match step[1] {
                number @ 0..=191 => natural(&action, number),
                number => SIGNERS[usize::from(number) % SIGNERS.len()],
            };
            let world = &mut scene.world;
            let signed = world.envelope(signer, vec![action]).sign(&key(signer));
            let bytes = signed.encode();
            let Ok(signed) = SignedTransaction::decode(&bytes, world.params()) else { continue };
            taken += block(world, 1, &[signed]).unwrap_or_default().iter().filter(|code| **code == 0).count();
        } else {
            let world = &mut scene.world;
            let wait = match (step[0] < 230, next_deadline(&world.state)) {
                (true, Some(due)) => due.0.saturating_sub(world.now.0).max(1),
                _ => 1 + u64::from(step[2]) * 40 + u64::from(step[3]),
            };
            let _ = block(world, wait, &[]);
        }
    }
    reload(&scene.world);
    if taken > 0 { Verdict::Accepted } else { Verdict::Refused }
}

/// A life of a lease with a dispute, a round of the market, a week of the offices, and a contract's way in.
pub fn apply_seeds() -> Vec<Vec<u8>> {
    let all = samples::actions();
    let kind = |name: &str| all.iter().position(|action| action.name() == name).unwrap() as u8;
    let lists: [&[(&str, [u8; 5])]; 5] = [
        &[
            ("ReportUsage", [0, 0, 0, 0, 9]),
            ("ContestUsage", [0, 0, 0, 0, 5]),
            ("EndLease", [0, 0, 0, 0, 9]),
            ("OpenDispute", [0, 0, 0, 0, 4]),
            ("RuleDispute", [1, 0, 0, 0, 0]),
            ("RuleDispute", [0, 0, 0, 0, 0]),
            ("wait", [0, 0, 0, 0, 0]),
            ("wait", [0, 0, 0, 0, 0]),
        ],
        &[
            ("CancelRequest", [0, 0, 0, 0, 0]),
            ("PlaceRequest", [0, 0, 3, 9, 40]),
            ("PlaceRequest", [0, 1, 7, 20, 60]),
            ("AmendOffer", [0, 0, 90, 90, 40]),
            ("wait", [0, 0, 0, 0, 0]),
            ("wait", [0, 0, 0, 0, 0]),
            ("StartLease", [0, 4, 0, 0, 0]),
            ("ExtendLease", [0, 0, 0, 0, 0]),
            ("AnnounceOutage", [0, 3, 9, 30, 0]),
            ("wait", [0, 0, 0, 0, 0]),
            ("CancelLease", [0, 2, 0, 0, 0]),
        ],
        &[
            ("AccreditOrganisation", [0, 1, 0, 0, 0]),
            ("IssueGrant", [0, 1, 0, 0, 90]),
            ("AttestDeposit", [0, 1, 0, 0, 90]),
            ("TransferCash", [0, 1, 0, 0, 1]),
            ("RedeemCash", [0, 1, 0, 0, 1]),
            ("SetKey", [0, 0, 0, 0, 0]),
            ("SetOfficeKey", [0, 0, 0, 0, 0]),
            ("ApproveOrder", [0, 0, 0, 0, 0]),
            ("RevokeOrganisation", [0, 3, 0, 0, 0]),
        ],
        &[
            ("Vote", [0, 0, 0, 0, 0]),
            ("Vote", [1, 0, 0, 0, 0]),
            ("Propose", [0, 0, 0, 0, 0]),
            ("UploadContract", [1, 0, 0, 0, 0]),
            ("ApproveContract", [0, 1, 0, 0, 0]),
            ("ApproveContract", [1, 1, 0, 0, 0]),
            ("QuarantineContract", [0, 0, 0, 0, 0]),
            ("QuarantineContract", [1, 0, 0, 0, 0]),
            ("wait", [0, 0, 0, 0, 0]),
        ],
        &[
            ("CountersignUsage", [0, 0, 0, 0, 4]),
            ("ClaimPayment", [0, 0, 0, 0, 0]),
            ("RunJob", [0, 0, 0, 0, 0]),
            ("ReportJob", [0, 0, 0, 0, 0]),
            ("ObjectLease", [0, 0, 0, 0, 0]),
            ("EndLease", [1, 0, 0, 0, 4]),
            ("CountersignUsage", [0, 0, 0, 0, 4]),
            ("wait", [0, 0, 0, 0, 0]),
        ],
    ];
    let step = |(name, [signer, a, b, c, d]): &(&str, [u8; 5])| match *name {
        "wait" => [210, 0, 0, 0, 0, 0, 0, 0],
        name => [kind(name), *signer, *a, *b, *c, *d, 0, 0],
    };
    let mut seeds: Vec<Vec<u8>> = lists.iter().map(|list| list.iter().flat_map(step).collect()).collect();
    // Golden bytes as steps: numbers of every size where nobody expects them.
    seeds.extend(golden("block").into_iter().map(|bytes| bytes[..160.min(bytes.len())].to_vec()));
    seeds
}
