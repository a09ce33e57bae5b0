//! What ledger and contract say to each other, and the templates.

use super::Verdict;
use borsh::{BorshDeserialize, BorshSerialize};
use hansa_contracts_abi::testing::{Numbers, some_claims, some_facts};
use hansa_contracts_abi::wire::serve_settle;
use hansa_contracts_abi::{
    ABI_VERSION, Admission, Claims, Code, Contract, Facts, Failure, Fallback, ModuleMeta, Money, Native,
    Party, Quote, Runtime, Split, Terms, check_split, fallback_split, limits::IO_BYTES_MAX,
};
use hansa_contracts_bundle::builtin;
use hansa_contracts_coinvest::Coinvest;
use hansa_contracts_dispute::DisputedReserve;
use hansa_contracts_grant::Grant;
use hansa_contracts_host::Host;
use hansa_contracts_reserved::Reserved;
use hansa_contracts_spot::Spot;
use std::fmt::Debug;
use std::sync::LazyLock;

fn value<T: BorshSerialize + BorshDeserialize + PartialEq + Debug>(bytes: &[u8]) -> Verdict {
    let Ok(value) = T::try_from_slice(bytes) else { return Verdict::Refused };
    assert_eq!(borsh::to_vec(&value).unwrap(), bytes, "another encoding of {value:?}");
    Verdict::Accepted
}

const KINDS: [fn(&[u8]) -> Verdict; 7] = [
    value::<Facts>,
    value::<Terms>,
    value::<Split>,
    value::<Quote>,
    value::<Claims>,
    value::<Admission>,
    value::<ModuleMeta>,
];

/// First byte: the kind of value. The facts are read by the decoder of the guest too, which says of the same bytes the same.
pub fn values(bytes: &[u8]) -> Verdict {
    let Some((kind, bytes)) = bytes.split_first() else { return Verdict::Refused };
    let Some(read) = KINDS.get(usize::from(*kind)) else { return Verdict::Refused };
    let verdict = read(bytes);
    if *kind == 0 {
        let params = borsh::to_vec(&hansa_contracts_spot::Params::default()).unwrap();
        let input = [&(params.len() as u32).to_le_bytes()[..], &params, bytes].concat();
        if input.len() <= IO_BYTES_MAX {
            let mut io = vec![0; IO_BYTES_MAX];
            io[..input.len()].copy_from_slice(&input);
            let (status, _) =
                hansa_contracts_abi::wire::unpack(serve_settle::<Spot>(&mut io, input.len() as u32));
            let expected = Facts::try_from_slice(bytes).map_err(|_| Code::BAD_INPUT).and_then(|facts| {
                let known = if facts.abi == ABI_VERSION { Ok(()) } else { Err(Code::UNSUPPORTED) };
                known.and_then(|()| Spot::settle(&hansa_contracts_spot::Params::default(), &facts))
            });
            assert_eq!(status, expected.err().map_or(0, |code| code.0), "the two decoders disagree");
        }
    }
    if *kind == 6 {
        assert!(ModuleMeta::decode(bytes).is_none() || verdict == Verdict::Accepted);
    }
    verdict
}

pub fn value_seeds() -> Vec<Vec<u8>> {
    let mut numbers = Numbers::new(1);
    let mut seeds = Vec::new();
    let mut put = |kind: u8, bytes: Vec<u8>| seeds.push([vec![kind], bytes].concat());
    for _ in 0..6 {
        let facts = some_facts(&mut numbers);
        put(1, borsh::to_vec(&facts.terms).unwrap());
        put(0, borsh::to_vec(&facts).unwrap());
        put(4, borsh::to_vec(&some_claims(&mut numbers)).unwrap());
    }
    put(2, borsh::to_vec(&some_split()).unwrap());
    put(3, borsh::to_vec(&Quote { lock: 5, stake: 6 }).unwrap());
    put(5, borsh::to_vec(&Admission::Yes).unwrap());
    put(5, borsh::to_vec(&Admission::No(1_001)).unwrap());
    put(6, Spot::META.encode::<{ Spot::META.encoded_len() }>().to_vec());
    seeds
}

fn some_split() -> Split {
    let note = hansa_contracts_abi::Note { code: 1, bytes: vec![7; 3] };
    let pay = vec![(Party::PROVIDER, 700), (Party::OPERATOR, 10)];
    Split { pay, slash: 3, consume: 4, notes: vec![note], state: vec![1, 2] }
}

/// The templates, loaded once.
struct Loaded {
    host: Host,
    codes: Vec<[u8; 32]>,
}

static LOADED: LazyLock<Loaded> = LazyLock::new(|| {
    let host = Host::new();
    let code = |name: &str| {
        let (_, module) = builtin().iter().find(|(one, _)| *one == name).unwrap();
        host.load(module).unwrap()
    };
    let codes = ["spot", "reserved", "grant", "coinvest", "dispute"].map(code).to_vec();
    Loaded { host, codes }
});

/// First byte: the template. Then parameters of a length of two bytes, then facts.
pub fn template(bytes: &[u8]) -> Verdict {
    let [which, low, high, bytes @ ..] = bytes else { return Verdict::Refused };
    let length = usize::from(u16::from_le_bytes([*low, *high]));
    let Some((params, facts)) = bytes.split_at_checked(length) else { return Verdict::Refused };
    let Ok(facts) = Facts::try_from_slice(facts) else { return Verdict::Refused };
    let at = usize::from(which % 5);
    match at {
        0 => same::<Spot>(at, params, &facts),
        1 => same::<Reserved>(at, params, &facts),
        2 => same::<Grant>(at, params, &facts),
        3 => same::<Coinvest>(at, params, &facts),
        _ => same::<DisputedReserve>(at, params, &facts),
    }
}

fn same<C: Contract>(at: usize, params: &[u8], facts: &Facts) -> Verdict {
    let Loaded { host, codes } = &*LOADED;
    let code = &codes[at];
    let native = Native::<C>::new(*code);
    let settled = host.settle(code, params, facts);
    assert!(settled.fuel <= host.fuel_per_call_max());
    assert_eq!(host.settle(code, params, facts), settled, "another answer or other fuel the second time");
    alike(&settled.result, &native.settle(code, params, facts).result, facts);
    let quoted = host.quote(code, params, &facts.terms).result;
    alike(&quoted, &native.quote(code, params, &facts.terms).result, facts);
    if let Ok(split) = &settled.result {
        // A template's answer may break a rule where no ledger hands out such facts; it never breaks the check.
        let _ = check_split(split, facts, &[], facts.escrow.locked);
    }
    Verdict::of(&settled.result)
}

/// The module answers as its source, but where it meets the bounds of the engine: with more windows than a ledger lists, or for
/// parameters that promise more than a module has memory for, which its source refuses.
fn alike<T: PartialEq + Debug>(module: &Result<T, Failure>, native: &Result<T, Failure>, facts: &Facts) {
    if matches!(module, Err(Failure::OutOfFuel | Failure::Trap)) {
        assert!(native.is_err() || facts.usage.windows.len() > 200, "{module:?}, natively {native:?}");
    } else {
        assert_eq!(module, native);
    }
}

pub fn template_seeds() -> Vec<Vec<u8>> {
    let mut numbers = Numbers::new(2);
    let params: [Vec<Vec<u8>>; 5] = [
        vec![borsh::to_vec(&hansa_contracts_spot::Params::default()).unwrap()],
        vec![sla_params()],
        vec![grant_params()],
        vec![vec![0; 40]],
        vec![sla_params()],
    ];
    let mut seeds = Vec::new();
    for (which, params) in (0u8..).zip(&params) {
        for params in params {
            for _ in 0..4 {
                let facts = borsh::to_vec(&some_facts(&mut numbers)).unwrap();
                let length = (params.len() as u16).to_le_bytes();
                seeds.push([&[which], &length[..], params, &facts].concat());
            }
        }
    }
    seeds
}

fn sla_params() -> Vec<u8> {
    let step = |below_bps, credit_bps| hansa_contracts_abi::SlaStep { below_bps, credit_bps };
    borsh::to_vec(&hansa_contracts_reserved::Params {
        sla: vec![step(9_900, 1_000), step(9_000, 3_000)],
        period_windows: 2,
        credit_cap_bps: 5_000,
        stake_bps: 1_000,
    })
    .unwrap()
}

fn grant_params() -> Vec<u8> {
    borsh::to_vec(&hansa_contracts_grant::Params {
        co_payment_bps: 2_000,
        expiry: u64::MAX,
        beyond: hansa_contracts_grant::Beyond::Nothing,
        members: vec![],
        classes: vec![],
        purposes: vec![],
    })
    .unwrap()
}

/// First: how much was paid before, and the quote. Then a split of a length of two bytes, then facts.
pub fn split(bytes: &[u8]) -> Verdict {
    let [paid, quote, low, high, bytes @ ..] = bytes else { return Verdict::Refused };
    let length = usize::from(u16::from_le_bytes([*low, *high]));
    let Some((split, facts)) = bytes.split_at_checked(length) else { return Verdict::Refused };
    let (Ok(split), Ok(mut facts)) = (Split::try_from_slice(split), Facts::try_from_slice(facts)) else {
        return Verdict::Refused;
    };
    // What the ledger hands out: as much paid as it paid, never more than is locked, which is never more than it can hold.
    facts.escrow.locked = facts.escrow.locked.min(u128::from(u64::MAX));
    let paid = (facts.escrow.locked * u128::from(*paid) / 512).min(facts.escrow.locked);
    let before: Vec<(Party, Money)> = if paid > 0 { vec![(Party::PROVIDER, paid)] } else { vec![] };
    facts.escrow.paid = paid;
    let quote = facts.escrow.locked.saturating_add(u128::from(*quote));
    let checked = check_split(&split, &facts, &before, quote);
    if let Ok(checked) = &checked {
        let moved: Money = checked.transfers.iter().map(|(_, amount)| amount).sum();
        assert_eq!(paid + moved + checked.refund + checked.held, facts.escrow.locked, "minted or stranded");
        assert!(checked.transfers.iter().all(|(party, _)| usize::from(party.0) < facts.terms.parties.len()));
        assert!(checked.slash <= facts.escrow.stake.min(facts.terms.slash_max), "over the stake");
        assert_eq!(if facts.ctx.trigger.closes() { checked.held } else { checked.refund }, 0);
    }
    // What was paid before came from splits that passed; those that are made up here need not have.
    if paid == 0 && facts.terms.check().is_ok() {
        for fallback in [Fallback::Refund, Fallback::PayCountersigned] {
            let own = fallback_split(fallback, &facts, &before);
            let passed = check_split(&own, &facts, &before, quote);
            assert!(passed.is_ok(), "the fallback {fallback:?} breaks a rule: {passed:?}, {facts:?}");
        }
    }
    Verdict::of(&checked)
}

pub fn split_seeds() -> Vec<Vec<u8>> {
    let mut numbers = Numbers::new(3);
    let mut seeds = Vec::new();
    for _ in 0..200 {
        let mut facts = some_facts(&mut numbers);
        facts.escrow.paid = 0;
        let split = match Spot::settle(&hansa_contracts_spot::Params::default(), &facts) {
            Ok(split) if seeds.len() < 12 => split,
            _ => continue,
        };
        let (split, facts) = (borsh::to_vec(&split).unwrap(), borsh::to_vec(&facts).unwrap());
        seeds.push([&[0, 200], &(split.len() as u16).to_le_bytes()[..], &split, &facts].concat());
    }
    seeds
}
