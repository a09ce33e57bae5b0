//! Genesis and parameters as TOML, with everything that is wrong about them named.

use crate::world::{genesis, genesis_of_several, member};
use hansa_ledger::genesis::{Genesis, GenesisMember};
use hansa_ledger::member::MemberCode;
use hansa_ledger::params::Params;
use hansa_ledger_signature::PublicKey;

fn read(text: &str) -> Result<Params, String> {
    let params: Params = toml::from_str(text).map_err(|error| error.to_string())?;
    params.check().map(|()| params)
}

#[test]
fn every_parameter_out_of_its_bounds_is_refused_by_name() {
    let mut checked = 0;
    for [name, default, least, most] in Params::table() {
        assert!(
            read(&format!("{name} = {default}")).is_ok_and(|params| params == Params::default()),
            "{name}"
        );
        for inside in [&least, &most] {
            assert!(read(&format!("{name} = {inside}")).is_ok(), "{name} = {inside}");
        }
        let (least_number, most_number): (i64, i64) = (least.parse().unwrap(), most.parse().unwrap());
        for outside in [least_number - 1, most_number + 1] {
            let error = read(&format!("{name} = {outside}")).unwrap_err();
            let bounds = format!("parameter `{name}` is {outside}, and must be from {least} to {most}");
            // A number that its type cannot hold is refused where it stands.
            let untypable = outside < 0 || most_number == i64::from(u32::MAX) && outside > most_number;
            let in_place = error.starts_with("TOML parse error at line 1") && error.contains(&name);
            assert!(if untypable { in_place } else { error == bounds }, "{error}");
            checked += 1;
        }
    }
    assert_eq!(checked, 2 * Params::table().len());
}

#[test]
fn parameters_nobody_knows_and_values_of_another_kind_are_refused_where_they_stand() {
    for (text, part) in [
        ("slot_s = 1\nbatch = 5", "line 2, column 1"),
        ("slot_s = \"1\"", "line 1, column 10"),
        ("slot_s = 1.5", "line 1, column 10"),
        ("fee_bps = -1", "line 1, column 11"),
        ("fee_bps = 70000", "line 1, column 11"),
        ("slot_s = 1\nslot_s = 2", "line 2, column 1"),
        ("slot_s", "line 1"),
    ] {
        let error = read(text).unwrap_err();
        assert!(error.contains(part), "{text}: {error}");
    }
    assert_eq!(read(""), Ok(Params::default()));
    assert_eq!(Params::testnet().check(), Ok(()));
    assert_eq!(read(&toml::to_string(&Params::testnet()).unwrap()), Ok(Params::testnet()));
}

#[test]
fn a_genesis_reads_back_from_its_toml_with_the_same_chain_id() {
    let genesis = genesis(Params::testnet());
    let text = toml::to_string(&genesis).unwrap();
    let read: Genesis = toml::from_str(&text).unwrap();
    assert_eq!((&read, read.chain_id()), (&genesis, genesis.chain_id()));
    assert_eq!(read.state().unwrap().root(), genesis.state().unwrap().root());
    assert_eq!(read.state().unwrap().tip().0, genesis.chain_id().0);
    // For people: money in EUR, time as RFC 3339.
    assert!(
        text.contains("debit_cap = \"1000.00\"") && text.contains("time = \"2027-01-15T08:00:00Z\""),
        "{text}"
    );
}

#[test]
fn every_word_of_a_genesis_changes_the_chain_id() {
    let base = genesis(Params::testnet());
    let changes: [fn(&mut Genesis); 10] = [
        |one| one.name = crate::world::name("other"),
        |one| one.time.0 += 1,
        |one| one.vm_profile[0] = 1,
        |one| one.params.fee_bps += 1,
        |one| one.members.swap(0, 1),
        |one| one.members[0].debit_cap.0 += 1,
        |one| one.members[0].treasury.keys[0] = PublicKey([1; 32]),
        |one| one.members[0].treasury.threshold = 2,
        |one| one.contracts[0].code.push(0),
        |one| one.contracts.clear(),
    ];
    for (place, change) in changes.into_iter().enumerate() {
        let mut other = base.clone();
        change(&mut other);
        assert_ne!(other.chain_id(), base.chain_id(), "change {place}");
    }
}

#[test]
fn a_genesis_that_cannot_work_says_what_is_wrong() {
    type Spoil = fn(&mut Genesis);
    let rows: [(Spoil, &str); 18] = [
        (|one| one.members.truncate(3), "a federation has at least 4 members, this one has 3"),
        (|one| one.members.clear(), "a federation has at least 4 members, this one has 0"),
        (|one| one.members[1].code = member("DE"), "member DE stands twice"),
        (
            |one| one.members[1].code = MemberCode::EU,
            "`EU` is there by itself and has no vote; leave it out of the members",
        ),
        (
            |one| one.members[2].registrar.keys[0] = PublicKey([0; 32]),
            "a key of member ES is not a sound Ed25519 key",
        ),
        (
            |one| one.members[2].network_key = PublicKey([2; 32]),
            "a key of member ES is not a sound Ed25519 key",
        ),
        (
            |one| one.members[3].treasury = one.members[3].registrar.clone(),
            "a key of member FR is used twice; every office has its own",
        ),
        (
            |one| one.members[3].consensus_key = one.members[0].consensus_key,
            "a key of member FR is used twice; every office has its own",
        ),
        (
            |one| one.members[3].network_key = one.members[3].consensus_key,
            "a key of member FR is used twice; every office has its own",
        ),
        (
            |one| one.members[0].treasury.keys[2] = one.members[0].treasury.keys[0],
            "a key of member DE is used twice; every office has its own",
        ),
        (
            |one| one.members[1].governance.keys[0] = one.members[0].treasury.keys[1],
            "a key of member EE is used twice; every office has its own",
        ),
        (
            |one| one.members[0].treasury.keys[1] = PublicKey([0; 32]),
            "a key of member DE is not a sound Ed25519 key",
        ),
        (
            |one| one.members[0].treasury.threshold = 0,
            "the treasury of DE: the threshold is zero or above the number of the office's keys",
        ),
        (
            |one| one.members[0].treasury.threshold = 4,
            "the treasury of DE: the threshold is zero or above the number of the office's keys",
        ),
        (
            |one| one.members[2].registrar.keys.clear(),
            "the registrar of ES: the office would have fewer keys than it takes to act",
        ),
        (
            |one| one.members[2].governance.keys = (0..17).map(|byte| PublicKey([byte; 32])).collect(),
            "the governance of ES: the office has as many keys as it may have",
        ),
        (|one| one.contracts.clear(), "a federation needs at least one contract to settle leases"),
        (|one| one.params.slot_s = 0, "parameter `slot_s` is 0, and must be from 1 to 86400"),
    ];
    for (spoil, expected) in rows {
        let mut spoiled = genesis_of_several(Params::testnet());
        spoil(&mut spoiled);
        match spoiled.state() {
            Err(error) => assert_eq!(error, expected),
            Ok(_) => panic!("accepted: {expected}"),
        }
    }
}

#[test]
fn a_genesis_document_with_a_mistake_is_refused_where_it_stands() {
    let text = toml::to_string(&genesis(Params::testnet())).unwrap();
    for (from, to, part) in [
        ("code = \"DE\"", "code = \"XX\"", "`XX` is no member state"),
        ("debit_cap = \"1000.00\"", "debit_cap = 1000", "invalid type"),
        ("debit_cap = \"1000.00\"", "debit_cap = \"-1\"", "`-1` is no amount"),
        ("time = \"2027-01-15T08:00:00Z\"", "time = \"yesterday\"", "`yesterday` is no time"),
        ("slot_s = 1", "slot_seconds = 1", "unknown field"),
        ("name = \"test\"", "name = \"Test\"", "a name begins with a-z or 0-9"),
        ("name = \"test\"", "title = \"test\"", "unknown field"),
        ("vm_profile = \"00", "vm_profile = \"0", "line"),
        ("threshold = 1", "threshold = -1", "invalid value"),
        ("threshold = 1", "m = 1", "unknown field"),
    ] {
        assert!(text.contains(from), "{from}");
        let error = toml::from_str::<Genesis>(&text.replacen(from, to, 1)).unwrap_err().to_string();
        assert!(error.contains(part) && error.contains("line "), "{to}: {error}");
    }
    let without = text.replacen("members.registrar]", "members.office]", 1);
    assert_ne!(without, text);
    assert!(toml::from_str::<Genesis>(&without).is_err());
}

#[test]
fn every_member_has_its_offices_and_the_joint_undertaking_has_no_vote() {
    let genesis = genesis(Params::testnet());
    let state = genesis.state().unwrap();
    for GenesisMember { code, consensus_key, registrar, .. } in &genesis.members {
        let row = state.get::<hansa_ledger::tables::Members>(code).unwrap();
        assert_eq!((row.consensus_key, row.position, row.issued.0), (Some(*consensus_key), 0, 0));
        let office = state.get::<hansa_ledger::tables::Keys>(&registrar.keys[0]).unwrap();
        assert_eq!(
            office.principal,
            hansa_ledger::row::Principal::Office(*code, hansa_ledger::row::Office::Registrar)
        );
        // A key that signs votes signs no transactions.
        assert!(state.get::<hansa_ledger::tables::Keys>(consensus_key).is_none());
    }
    let voters = hansa_ledger::block::validators(&state, 1);
    assert_eq!(voters.iter().map(|one| one.member.as_str()).collect::<Vec<_>>(), ["DE", "EE", "ES", "FR"]);
    assert_eq!(state.rows::<hansa_ledger::tables::Members>().count(), 5);
}
