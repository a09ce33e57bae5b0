//! The way of an author, as it is documented: a new crate, its tests, its module, the check, a simulation.

use crate::common::{build, cargo, hansa, module, place, text};
use hansa_cli_contract::create;
use std::fs;
use std::path::Path;

#[test]
fn a_new_contract_builds_passes_its_tests_and_the_check_and_settles() {
    let place = place("author");
    let answer = hansa(&["new", "first-try", "--dir", text(&place)]).unwrap();
    let folder = place.join("first-try");
    assert!(answer.text.contains("cargo test"), "{}", answer.text);
    let said = cargo(&folder, &["test"]);
    assert!(said.contains("4 passed"), "{said}");
    let module = module(&folder, "first-try");
    let params = folder.join("params.json");
    let check = hansa(&["check", text(&module), "--params", text(&params)]).unwrap();
    assert_eq!(check.refusal, None, "{}", check.text);
    assert_eq!(check.value["name"], "first-try");
    assert_eq!(check.value["memory_pages"], 1);
    assert_eq!(check.value["tariff"], fs::read_to_string(folder.join("tariff.md")).unwrap());
    let calls = check.value["calls"].as_array().unwrap();
    assert!(calls.len() == 10 && calls.iter().all(|call| call["failed"] == false), "{calls:#?}");
    let [terms, usage] = ["terms.json", "usage.json"].map(|file| folder.join(file));
    let arguments = [
        "simulate",
        text(&module),
        "--params",
        text(&params),
        "--terms",
        text(&terms),
        "--usage",
        text(&usage),
    ];
    let simulated = hansa(&arguments).unwrap();
    let steps = simulated.value["steps"].as_array().unwrap();
    // 80 accelerator-hours are certain by noon; at the end 144, of which 100 at the full price and 44 at four fifths.
    assert_eq!(steps[0]["payments"][0]["paid"], "198.00");
    assert_eq!(steps[1]["payments"][0]["paid"], "334.62");
    assert_eq!(steps[1]["payments"][1]["paid"], "3.38");
    assert_eq!(simulated.value["quote"]["lock"], "434.00");
    assert_eq!(steps[1]["refund"], "96.00");
}

/// A contract that does another wrong thing at each trigger.
const FAULTY: &str = r#"
    fn settle(params: &Params, facts: &Facts) -> Result<Split, Code> {
        check(params, &facts.terms)?;
        let right = pay(facts, 1_000_000)?;
        let provider = |amount| Split { pay: alloc::vec![(Party::PROVIDER, amount)], ..right.clone() };
        match facts.ctx.trigger {
            Trigger::Interim => Err(Code(1_234)),
            // No fee for the operator.
            Trigger::Final => Ok(provider(1_000_000)),
            // More than there is.
            Trigger::Cancelled { by: Party::PROVIDER } => Ok(provider(u128::MAX)),
            Trigger::Expired => loop {
                core::hint::black_box(facts);
            },
            Trigger::NoShow => panic!("nobody came"),
            _ => Ok(right),
        }
    }

    fn admit(_: &Params, _: &Terms, claims: &hansa_contracts_abi::Claims) -> Result<hansa_contracts_abi::Admission, Code> {
        use hansa_contracts_abi::Admission;
        match (claims.home, claims.class, claims.sponsor, claims.purpose) {
            ([b'E', b'E'], 0, Some([b'D', b'E']), Some(1)) | ([b'F', b'R'], 3, None, None) => Ok(Admission::Yes),
            ([b'E', b'S'], ..) => Err(Code(1_001)),
            _ => Ok(Admission::No(77)),
        }
    }
}
"#;

/// Whom the contract admits, by the claims in the terms.
fn admission(module: &Path, folder: &Path) {
    let quote = |claims: serde_json::Value| {
        let path = folder.join("terms.json");
        let mut terms: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        terms["claims"] = claims;
        let path = folder.join("claims.json");
        fs::write(&path, terms.to_string()).unwrap();
        let params = folder.join("params.json");
        hansa(&["quote", text(module), "--params", text(&params), "--terms", text(&path)])
    };
    let admitted =
        quote(serde_json::json!({"home": "EE", "class": "start-up", "sponsor": "DE", "purpose": "research"}));
    assert!(admitted.unwrap().value["admit_fuel"].as_u64().unwrap() > 5_000);
    assert!(quote(serde_json::json!({"home": "FR", "class": "research"})).is_ok());
    let said = |claims| quote(claims).unwrap_err().message;
    assert_eq!(
        said(serde_json::json!({"home": "FR", "class": "large"})),
        "no lease would be made: the contract does not admit the requester, for its reason 77"
    );
    let cannot = said(serde_json::json!({"home": "ES", "class": "sme"}));
    assert!(
        cannot.starts_with("no lease would be made: the contract refused: the contract's own code 1001"),
        "{cannot}"
    );
    let half = said(serde_json::json!({"home": "FR", "class": "sme", "sponsor": "FR"}));
    assert_eq!(half, "claims.json: claims: names `sponsor` or `purpose` without the other");
    let unknown = said(serde_json::json!({"home": "FR", "class": "garage"}));
    assert!(unknown.starts_with("claims.json: claims.class: unknown variant `garage`"), "{unknown}");
}

#[test]
fn a_contract_that_fails_is_found_by_the_check_and_replaced_by_the_fallback() {
    let place = place("faulty");
    hansa(&["new", "faulty", "--dir", text(&place)]).unwrap();
    let folder = place.join("faulty");
    let module = rewritten(&folder, "faulty", |source| source, FAULTY);
    let params = folder.join("params.json");
    let check = hansa(&["check", text(&module), "--params", text(&params)]).unwrap();
    let failed: Vec<(&str, bool)> = check.value["calls"]
        .as_array()
        .unwrap()
        .iter()
        .map(|call| (call["answer"].as_str().unwrap(), call["failed"].as_bool().unwrap()))
        .collect();
    let wrong_fee = ("the ledger would not pay this: the operator does not receive exactly its fee", true);
    assert_eq!(
        failed[2..],
        [
            ("the contract refused: the contract's own code 1234", false),
            wrong_fee,
            ("the contract ran out of fuel", true),
            ("pays 1.00 EUR in all", false),
            ("the ledger would not pay this: the payments add up to more than is locked", true),
            ("the contract broke while it ran", true),
            ("pays 1.00 EUR in all", false),
            wrong_fee,
        ]
    );
    assert_eq!(check.value["calls"][4]["fuel"], check.value["fuel_limit"], "who runs out has used up all");
    let refusal = check.refusal.expect("the program ends with code 1").message;
    assert!(
        refusal.starts_with("the ledger would take the module, and it fails: settle, final: "),
        "{refusal}"
    );
    admission(&module, &folder);
    let usage = folder.join("usage.json");
    let simulate = |trigger: &str| {
        let steps = [
            serde_json::json!({"at": "1h", "trigger": "interim", "windows": [{"index": 0, "delivered": "8h"}]}),
            serde_json::json!({"at": "end", "trigger": trigger}),
        ];
        fs::write(&usage, serde_json::json!({ "steps": steps }).to_string()).unwrap();
        let terms = folder.join("terms.json");
        let answer = hansa(&[
            "simulate",
            text(&module),
            "--params",
            text(&params),
            "--terms",
            text(&terms),
            "--usage",
            text(&usage),
        ]);
        answer.unwrap()
    };
    for (trigger, reason, paid) in [
        (
            "final",
            "the contract gave an answer that breaks the rules: the operator does not receive exactly its fee",
            "19.80",
        ),
        ("expired", "the contract ran out of fuel", "19.80"),
        (
            "cancelled-by-provider",
            "the contract gave an answer that breaks the rules: the payments add up to more than is locked",
            "19.80",
        ),
        ("no-show", "the contract broke while it ran", ""),
    ] {
        let answer = simulate(trigger);
        let steps = answer.value["steps"].as_array().unwrap();
        // Before the end a contract that fails pays nothing, and the lease goes on.
        assert_eq!(steps[0]["payments"], serde_json::json!([]));
        assert_eq!(steps[0]["fallback"], serde_json::Value::Null);
        assert_eq!(steps[0]["failure"], "the contract refused: the contract's own code 1234");
        assert!(answer.text.contains("nothing is paid now, since the contract refused"), "{}", answer.text);
        // At the end the fallback pays what nobody contests: eight hours at 2.50 EUR, less the fee.
        assert_eq!(steps[1]["failure"], reason);
        assert_eq!(steps[1]["fallback"], "pay-countersigned");
        assert_eq!(steps[1]["payments"][0]["paid"].as_str().unwrap_or_default(), paid, "{trigger}");
    }
}

/// Members approve a hash: whoever builds the same source has to find the same one, wherever it lies.
#[test]
fn the_same_source_makes_the_same_module_in_any_folder() {
    let place = place("twice");
    let module = |folder: &str| {
        hansa(&["new", "twice", "--dir", text(&place.join(folder))]).unwrap();
        // The checkout inside of the contract's folder, as the page has it: then all of the source moves together.
        let sdk = place.join(folder).join("twice/sdk");
        copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../contracts/abi"), &sdk.join("contracts/abi"));
        for file in ["Cargo.toml", "Cargo.lock"] {
            fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(file), sdk.join(file)).unwrap();
        }
        let manifest = place.join(folder).join("twice/Cargo.toml");
        let named: Vec<String> = fs::read_to_string(&manifest)
            .unwrap()
            .lines()
            .map(|line| match line.split_once("path = \"") {
                Some((before, after)) => {
                    let (_, after) = after.split_once('"').unwrap();
                    format!("{before}path = \"sdk/contracts/abi\"{after}\n")
                }
                None => format!("{line}\n"),
            })
            .collect();
        fs::write(&manifest, named.concat()).unwrap();
        let config = place.join(folder).join("twice/.cargo/config.toml");
        let linked = fs::read_to_string(&config).unwrap();
        fs::write(&config, format!("{linked}\n[net]\noffline = true\n")).unwrap();
        let answer = build(&place.join(folder).join("twice"));
        let module = fs::read(answer.value["module"].as_str().unwrap()).unwrap();
        assert_eq!(answer.value["code_hash"], blake3::hash(&module).to_string());
        assert!(answer.text.ends_with(answer.value["code_hash"].as_str().unwrap()), "{}", answer.text);
        module
    };
    let first = module("here");
    assert!(first == module("somewhere/else"), "the two modules differ");
    let holds = |text: &str| first.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(
        !holds(text(&place)) && !holds(".cargo/registry") && !holds(".rustup"),
        "the module holds a path"
    );
    assert!(
        hansa(&["build", text(&place)])
            .unwrap_err()
            .message
            .ends_with("is no contract: it has no Cargo.toml")
    );
    // What does not compile makes no module.
    fs::write(place.join("here/twice/src/lib.rs"), "nonsense").unwrap();
    let failed = hansa(&["build", text(&place.join("here/twice"))]).unwrap_err();
    assert_eq!(failed.message, "the contract does not build");
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().flatten() {
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if from.is_dir() {
            copy(&from, &to);
        } else {
            fs::copy(from, to).unwrap();
        }
    }
}

#[test]
fn a_name_that_cannot_be_one_and_a_folder_that_exists_are_refused() {
    let place = tempfile::tempdir().unwrap();
    let name = |name: &str| create(name, place.path(), None).unwrap_err().message;
    for wrong in ["", "Carbon", "1st", "a b", "a_b", "-a", "a-", "a--b", "../a", "käse", &"a".repeat(49)] {
        assert_eq!(name(wrong), format!("`{wrong}` is no name of a contract"));
    }
    assert!(name("borsh").contains("something that the contract uses"));
    fs::create_dir(place.path().join("there")).unwrap();
    assert!(name("there").ends_with("exists already"));
    let nowhere = create("sound", place.path(), Some(place.path())).unwrap_err();
    assert!(nowhere.message.ends_with("is no checkout of the source of hansa"), "{nowhere}");
    assert!(!place.path().join("sound").exists(), "a refusal leaves nothing behind");
}

#[test]
fn a_contract_inside_of_the_checkout_names_it_relatively() {
    // A checkout of which only the part is there that is looked at.
    let checkout = tempfile::tempdir().unwrap();
    let abi = checkout.path().join("contracts/abi");
    fs::create_dir_all(&abi).unwrap();
    fs::write(abi.join("Cargo.toml"), "[package]\nname = \"hansa-contracts-abi\"\n").unwrap();
    for sdk in [checkout.path(), abi.as_path()] {
        let name = if sdk == abi { "second" } else { "first" };
        let folder = create(name, &checkout.path().join("contracts"), Some(sdk)).unwrap();
        let manifest = fs::read_to_string(folder.join("Cargo.toml")).unwrap();
        assert!(manifest.contains("{ path = \"../../contracts/abi\" }"), "{manifest}");
        assert!(!manifest.contains("{{"), "{manifest}");
    }
}

/// A contract that remembers, slashes and draws on an allowance: one byte of state, 1 EUR of stake and 100 units each time.
const REMEMBERING: &str = r#"
    fn settle(params: &Params, facts: &Facts) -> Result<Split, Code> {
        check(params, &facts.terms)?;
        let mut state = facts.state.clone();
        state.push(0xaa);
        let note = hansa_contracts_abi::Note { code: 5, bytes: facts.escrow.stake.to_le_bytes().to_vec() };
        let split = pay(facts, facts.escrow.paid.saturating_add(1_000_000))?;
        Ok(Split { slash: 1_000_000, consume: 100, state, notes: alloc::vec![note], ..split })
    }
}
"#;

#[test]
fn state_stake_and_allowance_are_carried_from_settlement_to_settlement() {
    let place = place("remembering");
    hansa(&["new", "remembering", "--dir", text(&place)]).unwrap();
    let folder = place.join("remembering");
    let module = rewritten(
        &folder,
        "remembering",
        |source| {
            source
                .replace("terms.price.num, den)?, stake: 0 })", "terms.price.num, den)?, stake: 2_500_000 })")
        },
        REMEMBERING,
    );
    let simulate = |changes: &[(&str, &str)]| {
        let mut terms = serde_json::json!({
            "accelerators": 1, "start": "2027-01-31T12:00Z", "length": "100h", "price": "2.50 EUR/h", "fee": "0%", "quota": 1_000,
        });
        for (field, value) in changes {
            terms[*field] = (*value).into();
        }
        let steps: Vec<serde_json::Value> =
            ["1h", "2h", "3h"].iter().map(|at| serde_json::json!({"at": at, "trigger": "interim"})).collect();
        let [terms_path, usage] = ["terms.json", "usage.json"].map(|name| folder.join(name));
        fs::write(&terms_path, terms.to_string()).unwrap();
        fs::write(&usage, serde_json::json!({ "steps": steps }).to_string()).unwrap();
        let params = folder.join("params.json");
        let arguments = [
            "simulate",
            text(&module),
            "--params",
            text(&params),
            "--terms",
            text(&terms_path),
            "--usage",
            text(&usage),
        ];
        hansa(&arguments).unwrap().value
    };
    // What the contract asks for is held, and 1 EUR less each time; there are not three in 2.50 EUR.
    let value = simulate(&[("fallback", "refund")]);
    assert_eq!(value["quote"]["stake"], "2.50");
    let column = |name: &str| {
        value["steps"].as_array().unwrap().iter().map(|step| step[name].clone()).collect::<Vec<_>>()
    };
    assert_eq!(column("state"), ["aa", "aaaa", "aaaa"]);
    assert_eq!(column("slash"), ["1.00", "1.00", "0.00"]);
    assert_eq!(column("consume"), [100, 100, 0]);
    let stakes: Vec<String> =
        [2_500_000u128, 1_500_000].map(|stake| hex::encode(stake.to_le_bytes())).to_vec();
    let noted: Vec<&str> = value["steps"].as_array().unwrap()[..2]
        .iter()
        .map(|step| step["notes"][0]["bytes"].as_str().unwrap())
        .collect();
    assert_eq!(noted, stakes);
    let over = "the contract gave an answer that breaks the rules: more is slashed than the stake or the terms allow";
    assert_eq!(column("failure")[2], over);
    // Enough stake for three, and then an allowance for two.
    let value = simulate(&[("stake", "100 EUR")]);
    assert_eq!(value["steps"][2]["failure"], serde_json::Value::Null);
    assert_eq!(value["steps"][2]["state"], "aaaaaa");
    let value = simulate(&[("stake", "100 EUR"), ("quota", "250s")]);
    let over =
        "the contract gave an answer that breaks the rules: more is consumed than is left on the allowance";
    assert_eq!(value["steps"][2]["failure"], over);
    // What is locked can be less than the contract asked for: then there is not enough for the third.
    let value = simulate(&[("stake", "100 EUR"), ("locked", "2.50 EUR")]);
    assert_eq!(value["locked"], "2.50");
    let over =
        "the contract gave an answer that breaks the rules: the payments add up to more than is locked";
    assert_eq!(value["steps"][2]["failure"], over);
}

/// Builds the module of a new contract whose `settle`, and whatever follows it in the trait, is this.
fn rewritten(
    folder: &Path,
    name: &str,
    change: impl Fn(String) -> String,
    settle: &str,
) -> std::path::PathBuf {
    let source = fs::read_to_string(folder.join("src/lib.rs")).unwrap();
    let (head, rest) = source.split_once("    /// Who has earned how much by now").unwrap();
    let (_, rest) = rest.split_once("\n}\n").unwrap();
    // The functions that nobody calls now are no mistake here.
    let source = change(format!("#![allow(dead_code)]\n{head}{settle}{rest}"));
    fs::write(folder.join("src/lib.rs"), source).unwrap();
    module(folder, name)
}
