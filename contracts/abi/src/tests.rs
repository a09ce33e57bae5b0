//! Golden bytes, the terms that are refused, and the wire.

use alloc::string::String;
use alloc::vec;
use std::format;

use crate::limits::IO_BYTES_MAX;
use crate::testing::facts;
use crate::*;

fn hex(value: &impl borsh::BorshSerialize) -> String {
    borsh::to_vec(value).unwrap().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn encodings_are_frozen() {
    // A published encoding never changes: recorded calls must stay replayable.
    let failures = [
        (Failure::Refused(Code(7)), "0007000000"),
        (Failure::OutOfFuel, "01"),
        (Failure::Trap, "02"),
        (Failure::BadOutput, "03"),
        (Failure::BadModule, "04"),
        (Failure::Unknown, "05"),
        (Failure::Quarantined, "06"),
        (Failure::InputTooLarge, "07"),
    ];
    for (failure, want) in failures {
        assert_eq!(hex(&failure), want, "{failure}");
    }
    let triggers = [
        (Trigger::Interim, "00"),
        (Trigger::Final, "01"),
        (Trigger::Expired, "02"),
        (Trigger::Cancelled { by: Party(1) }, "0301"),
        (Trigger::NoShow, "04"),
        (Trigger::Ruling { provider_bps: 258 }, "050201"),
    ];
    for (trigger, want) in triggers {
        assert_eq!(hex(&trigger), want, "{trigger:?}");
        assert_eq!(trigger.closes(), trigger != Trigger::Interim);
    }
    assert_eq!(hex(&Fallback::Refund), "00");
    assert_eq!(hex(&Fallback::PayCountersigned), "01");
    let money = |value: u8| format!("{value:02x}{}", "00".repeat(15));
    let facts_hex = format!(
        "0100 03000000 000102 00 0400000000000000 e803000000000000 d007000000000000 {} 0100000000000000 9600 0000 {} \
         00000000 00000000 00000000 {} 40420f{} {} {} 0100000000000000 b80b000000000000 01 00 00000000",
        money(10),
        money(0),
        money(0),
        "00".repeat(13),
        money(0),
        money(0)
    );
    assert_eq!(hex(&facts()), facts_hex.replace(' ', ""));
    assert_eq!(hex(&Reading { index: 1, value: 258 }), "0100000002010000");
    assert_eq!(hex(&Admission::Yes), "00");
    assert_eq!(hex(&Admission::No(258)), "0102010000");
    let claims = Claims { home: *b"DE", class: 1, sponsor: None, purpose: Some(2) };
    assert_eq!(hex(&claims), "444501000102");
    let split = Split {
        pay: vec![(Party(1), 2)],
        slash: 3,
        consume: 4,
        notes: vec![Note { code: 5, bytes: vec![6] }],
        state: vec![7],
    };
    let split_hex =
        format!("01000000 01{} {} {} 01000000 0500 01000000 06 01000000 07", money(2), money(3), money(4));
    assert_eq!(hex(&split), split_hex.replace(' ', ""));
}

#[test]
fn terms_that_nobody_could_settle_are_refused() {
    let check = |change: fn(&mut Terms)| {
        let mut terms = facts().terms;
        change(&mut terms);
        terms.check()
    };
    assert_eq!(check(|_| {}), Ok(()));
    assert_eq!(check(|terms| terms.parties.extend([Role::Sponsor, Role::Named])), Ok(()));
    assert_eq!(check(|terms| terms.parties.extend([Role::Named; 12])), Ok(()));
    assert_eq!(
        check(|terms| terms.parties.extend([[Role::Sponsor; 1].as_slice(), &[Role::Named; 12]].concat())),
        Ok(())
    );
    assert_eq!(check(|terms| terms.sponsor_bps = 10_000), Ok(()));
    let bad: [fn(&mut Terms); 13] = [
        |terms| terms.parties.truncate(2),
        |terms| terms.parties.swap(0, 1),
        |terms| terms.parties.push(Role::Provider),
        |terms| terms.parties.extend([Role::Named; 13]),
        |terms| terms.parties.extend([Role::Named, Role::Sponsor]),
        |terms| terms.parties.extend([Role::Sponsor; 2]),
        |terms| terms.sponsor_bps = 10_001,
        |terms| terms.start = terms.end + 1,
        |terms| terms.price.den = 0,
        |terms| terms.fee_bps = 10_001,
        |terms| terms.sla = vec![SlaStep { below_bps: 10_001, credit_bps: 0 }],
        |terms| terms.sla = vec![SlaStep { below_bps: 0, credit_bps: 10_001 }],
        |terms| terms.sla = vec![SlaStep { below_bps: 0, credit_bps: 0 }; 9],
    ];
    for (index, change) in bad.into_iter().enumerate() {
        assert_eq!(check(change), Err(Code::BAD_TERMS), "change {index}");
    }
    let terms = facts().terms;
    let capacities = [0, 1_000, 1_001, 2_000, u64::MAX].map(|now| terms.capacity(now));
    assert_eq!(capacities, [0, 0, 4, 4_000, 4_000]);
}

/// Answers with as many notes as it is told, or refuses with a code.
struct Talker;

impl Contract for Talker {
    type Params = (u32, u32);
    const META: Meta =
        Meta { name: "talker", version: "1.0.0", abi: ABI_VERSION, tariff: "Whatever it is told." };

    fn quote(params: &Self::Params, _: &Terms) -> Result<Quote, Code> {
        if params.1 == 1 { Err(Code(params.0)) } else { Ok(Quote { lock: params.0.into(), stake: 0 }) }
    }

    fn settle(params: &Self::Params, _: &Facts) -> Result<Split, Code> {
        let note = Note { code: 0, bytes: vec![0; 94] };
        Ok(Split { pay: vec![], slash: 0, consume: 0, notes: vec![note; params.0 as usize], state: vec![] })
    }

    fn admit(params: &Self::Params, _: &Terms, claims: &Claims) -> Result<Admission, Code> {
        match claims.class {
            0 => Ok(Admission::No(params.0)),
            1 => Ok(Admission::Yes),
            class => Err(Code(class.into())),
        }
    }
}

#[test]
fn the_wire_carries_answers_refusals_and_limits() {
    let native = Native::<Talker>::new([1; 32]);
    let params = |a: u32, b: u32| borsh::to_vec(&(a, b)).unwrap();
    let quote = |params: &[u8]| native.quote(&[1; 32], params, &facts().terms).result;
    assert_eq!(quote(&params(9, 0)), Ok(Quote { lock: 9, stake: 0 }));
    assert_eq!(quote(&params(1_000, 1)), Err(Failure::Refused(Code(1_000))));
    assert_eq!(quote(&params(0, 1)), Err(Failure::Refused(Code::NO_REASON)));
    assert_eq!(quote(&params(9, 0)[..7]), Err(Failure::Refused(Code::BAD_PARAMS)));
    assert_eq!(native.quote(&[2; 32], &params(9, 0), &facts().terms).result, Err(Failure::Unknown));
    let settle = |params: &[u8]| native.settle(&[1; 32], params, &facts()).result;
    // 44 bytes without notes, 100 for each: 40 notes fit into 4 KiB and 41 do not.
    assert!(settle(&params(40, 0)).is_ok());
    assert_eq!(settle(&params(41, 0)), Err(Failure::Refused(Code::OUTPUT_TOO_LARGE)));
    let room = IO_BYTES_MAX - wire::settle_input(&[], &facts()).unwrap().len();
    assert_eq!(settle(&vec![0; room]), Err(Failure::Refused(Code::BAD_PARAMS)));
    assert_eq!(settle(&vec![0; room + 1]), Err(Failure::InputTooLarge));
    let mut newer = facts();
    newer.abi += 1;
    let outcome = native.settle(&[1; 32], &params(0, 0), &newer);
    assert_eq!(outcome.result, Err(Failure::Refused(Code::UNSUPPORTED)));
    let admit = |class| {
        let claims = Claims { home: *b"DE", class, sponsor: Some(*b"EE"), purpose: None };
        native.admit(&[1; 32], &params(1_001, 0), &facts().terms, &claims).result
    };
    assert_eq!(admit(0), Ok(Admission::No(1_001)));
    assert_eq!(admit(1), Ok(Admission::Yes));
    assert_eq!(admit(7), Err(Failure::Refused(Code::BAD_PARAMS)));
    // Bytes left over after the facts, and a length beyond the buffer.
    let mut io = vec![0; IO_BYTES_MAX];
    let input = wire::settle_input(&params(0, 0), &facts()).unwrap();
    io[..input.len()].copy_from_slice(&input);
    for length in [input.len() as u32 - 1, input.len() as u32 + 1, IO_BYTES_MAX as u32 + 1, u32::MAX] {
        let (status, _) = wire::unpack(wire::serve_settle::<Talker>(&mut io.clone(), length));
        assert_eq!(Code(status), Code::BAD_INPUT);
    }
}

/// Has no say in who may have a lease.
struct Open;

impl Contract for Open {
    type Params = ();
    const META: Meta = Meta { name: "open", version: "1.0.0", abi: ABI_VERSION, tariff: "" };

    fn quote(_: &(), _: &Terms) -> Result<Quote, Code> {
        Err(Code::UNSUPPORTED)
    }

    fn settle(_: &(), _: &Facts) -> Result<Split, Code> {
        Err(Code::UNSUPPORTED)
    }
}

#[test]
fn a_native_contract_stands_for_its_code_and_admits_everybody_by_default() {
    let code = b"some module".as_slice();
    let hash = *blake3::hash(code).as_bytes();
    let native = Native::<Open>::new(hash);
    let claims = Claims { home: *b"DE", class: 9, sponsor: None, purpose: None };
    assert_eq!(native.admit(&hash, &[], &facts().terms, &claims).result, Ok(Admission::Yes));
    assert_eq!(native.load(code), Ok(hash));
    assert_eq!(native.load(b"another"), Err(ModuleRefusal::new(ModuleRule::Engine, 0)));
    let summary = native.validate(code).unwrap();
    assert_eq!((summary.bytes, summary.name.as_str(), summary.version.as_str()), (11, "open", "1.0.0"));
    assert_eq!(summary.tariff_hash, *blake3::hash(b"").as_bytes());
}
