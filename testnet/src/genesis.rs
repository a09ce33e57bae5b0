//! Making a federation: its genesis, every key in it, and the folders of its processes.

use crate::error::{TestnetError, file_error};
use crate::keyfile;
use crate::layout::{GrantRecord, Layout, MemberRecord, ProviderRecord, State, UserRecord, write_whole};
use crate::ports::Ports;
use crate::systems::{Capacity, capacities};
use hansa_ledger::action::organisation_id;
use hansa_ledger::genesis::{Genesis, GenesisContract, GenesisMember, GenesisOffice, MEMBERS_MIN};
use hansa_ledger::member::{COUNTRIES, MemberCode};
use hansa_ledger::money::{Money, UEUR_PER_EUR};
use hansa_ledger::name::Name;
use hansa_ledger::params::Params;
use hansa_ledger::row::{Office, OrganisationClass, Purpose};
use hansa_ledger::time::TimeMs;
use hansa_node_api::peer::now_ms;
use std::collections::BTreeSet;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

/// The order in which members join a testnet that only says how many it wants: the four of every example, then those with
/// systems of their own.
const ORDER: [&str; 14] =
    ["FR", "DE", "ES", "EE", "IT", "FI", "PL", "SE", "CZ", "LU", "SI", "PT", "BG", "DK"];

/// The home of the start-up where it is a member: it has no large system of its own, so its leases run abroad.
const STARTUP_HOME: &str = "EE";

/// The most each member may have issued and not redeemed.
const ISSUE_LIMIT: Money = Money(100_000_000 * UEUR_PER_EUR);

/// The most each member may owe the others.
const DEBIT_CAP: Money = Money(10_000_000 * UEUR_PER_EUR);

/// How many of its three keys a treasury takes: money enters the ledger by no single key.
const TREASURY_THRESHOLD: u32 = 2;

/// The name of the federation.
const FEDERATION: &str = "testnet";

/// What a federation is made of.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Its members.
    pub members: Vec<MemberCode>,
    /// What its providers offer.
    pub capacities: Vec<Capacity>,
}

impl Plan {
    /// A plan with these members, and at most `providers` providers: the largest systems that stand in them.
    ///
    /// # Errors
    /// When there are too few members, one stands twice, or one is no country.
    pub fn new(members: Vec<MemberCode>, providers: usize) -> Result<Self, TestnetError> {
        let refuse = |text: String| Err(TestnetError::Refused(text));
        if members.len() < MEMBERS_MIN {
            return refuse(format!(
                "a federation has at least {MEMBERS_MIN} members, so that one of them may fail; {} were asked for",
                members.len()
            ));
        }
        let mut distinct = BTreeSet::new();
        if let Some(member) = members.iter().find(|member| member.country_bit().is_none()) {
            return refuse(format!("`{member}` is no member state, and has no vote"));
        }
        if let Some(member) = members.iter().find(|member| !distinct.insert(**member)) {
            return refuse(format!("member {member} stands twice"));
        }
        let all = capacities().map_err(TestnetError::Refused)?;
        let mut chosen: Vec<Capacity> =
            all.into_iter().filter(|capacity| distinct.contains(&capacity.country)).collect();
        chosen.sort_by_key(|capacity| std::cmp::Reverse(capacity.accelerators));
        chosen.truncate(providers);
        Ok(Self { members, capacities: chosen })
    }
}

/// Reads `--members`: codes separated by commas, or how many.
///
/// # Errors
/// Says what is no member, or that there are not as many.
pub fn parse_members(text: &str) -> Result<Vec<MemberCode>, TestnetError> {
    let code = |text: &str| text.trim().parse::<MemberCode>().map_err(TestnetError::Refused);
    let Ok(count) = text.trim().parse::<usize>() else {
        return text.split(',').map(code).collect();
    };
    if count > COUNTRIES.len() {
        let most = COUNTRIES.len();
        return Err(TestnetError::Refused(format!("the federation has {most} member states, not {count}")));
    }
    let others = COUNTRIES.iter().filter(|country| !ORDER.contains(country));
    ORDER.iter().chain(others).take(count).map(|text| code(text)).collect()
}

/// The parameters: where there is another member, it confirms each site.
fn params(members: &[GenesisMember]) -> Params {
    Params { site_confirmations: u8::from(members.len() > 1), ..Params::testnet() }
}

/// Makes the folder of a federation: genesis, keys, and the record. The ports are not chosen yet.
///
/// # Errors
/// When the folder holds something else, or cannot be written.
pub fn found(layout: &Layout, plan: &Plan) -> Result<State, TestnetError> {
    let folder = layout.folder();
    if folder
        .read_dir()
        .is_ok_and(|mut entries| entries.any(|entry| entry.is_ok_and(|entry| entry.file_name() != "lock")))
    {
        return Err(TestnetError::Refused(format!(
            "`{}` holds something else than a testnet; choose an empty folder with `--dir`",
            folder.display()
        )));
    }
    make_folder(folder)?;
    let members =
        plan.members.iter().map(|code| make_member(layout, *code)).collect::<Result<Vec<_>, _>>()?;
    let genesis = Genesis {
        name: name(FEDERATION),
        time: TimeMs(now_ms()),
        vm_profile: hansa_contracts_host::vm_profile(),
        params: params(&members),
        members,
        contracts: hansa_contracts_bundle::builtin()
            .iter()
            .map(|(title, code)| GenesisContract { name: name(title), code: code.to_vec() })
            .collect(),
    };
    genesis.state().map_err(|reason| TestnetError::Broken(format!("the genesis breaks a rule: {reason}")))?;
    let text = toml::to_string(&genesis)
        .map_err(|error| TestnetError::Broken(format!("the genesis cannot be written as TOML: {error}")))?;
    write_whole(&layout.genesis(), &text)?;
    let providers =
        plan.capacities.iter().map(|capacity| make_provider(layout, capacity)).collect::<Result<_, _>>()?;
    make_folder(&layout.home())?;
    make_private_folder(&layout.home().join("keys"))?;
    let users = user_plans(&plan.members)
        .into_iter()
        .map(|user| make_user(layout, user))
        .collect::<Result<_, _>>()?;
    let no_ports = Ports { api: 0, consensus: 0, network: 0 };
    let members = plan.members.iter().map(|code| MemberRecord { code: *code, ports: no_ports }).collect();
    let state = State::new(genesis.chain_id(), members, providers, users);
    layout.write_state(&state)?;
    Ok(state)
}

fn make_member(layout: &Layout, code: MemberCode) -> Result<GenesisMember, TestnetError> {
    let folder = layout.member(code);
    make_folder(&folder)?;
    let node_key = |name: &str| keyfile::create(&folder.join(name)).map(|key| key.public_key());
    let office = |office, threshold| {
        let files = layout.office_keys(code, office).into_iter();
        let keys = files.map(|file| keyfile::create(&file).map(|key| key.public_key()));
        Ok::<_, TestnetError>(GenesisOffice { threshold, keys: keys.collect::<Result<_, _>>()? })
    };
    Ok(GenesisMember {
        code,
        consensus_key: node_key("consensus.key")?,
        network_key: node_key("network.key")?,
        issue_limit: ISSUE_LIMIT,
        debit_cap: DEBIT_CAP,
        registrar: office(Office::Registrar, 1)?,
        treasury: office(Office::Treasury, TREASURY_THRESHOLD)?,
        governance: office(Office::Governance, 1)?,
    })
}

fn make_provider(layout: &Layout, capacity: &Capacity) -> Result<ProviderRecord, TestnetError> {
    make_folder(&layout.provider(&capacity.operator))?;
    let key = keyfile::create(&layout.provider_key(&capacity.operator))?;
    let register_number = register_number(&capacity.operator);
    Ok(ProviderRecord {
        name: capacity.operator.clone(),
        organisation: organisation_id(capacity.country, &register_number),
        register_number,
        key: key.public_key(),
        capacity: capacity.clone(),
    })
}

fn make_user(layout: &Layout, plan: UserPlan) -> Result<UserRecord, TestnetError> {
    let UserPlan { kind, home, class, grant, cash_eur } = plan;
    let name = name(&format!("{kind}-{}", home.as_str().to_ascii_lowercase()));
    let key = keyfile::create(&layout.user_key(&name))?;
    let register_number = register_number(&name);
    Ok(UserRecord {
        organisation: organisation_id(home, &register_number),
        register_number,
        key: key.public_key(),
        home,
        class,
        grant,
        cash: Money(cash_eur * UEUR_PER_EUR),
        name,
    })
}

struct UserPlan {
    kind: &'static str,
    home: MemberCode,
    class: OrganisationClass,
    grant: Option<GrantRecord>,
    cash_eur: u64,
}

/// One user of each kind, spread over the members: public money for all but the firm that has its own.
fn user_plans(members: &[MemberCode]) -> Vec<UserPlan> {
    let at = |index: usize| members[index % members.len()];
    let startup_home = members.iter().find(|code| code.as_str() == STARTUP_HOME);
    let grant = |reference: &str, line: &str, purpose, eur: u64| {
        let amount = Money(eur * UEUR_PER_EUR);
        Some(GrantRecord { reference: name(reference), budget_line: name(line), purpose, amount })
    };
    use OrganisationClass as Class;
    vec![
        UserPlan {
            kind: "startup",
            home: startup_home.copied().unwrap_or_else(|| at(members.len() - 1)),
            class: Class::StartUp,
            grant: grant("innovation-1", "startup-vouchers", Purpose::Innovation, 5_000),
            cash_eur: 0,
        },
        UserPlan { kind: "sme", home: at(0), class: Class::Sme, grant: None, cash_eur: 20_000 },
        UserPlan {
            kind: "research",
            home: at(1),
            class: Class::Research,
            grant: grant("research-1", "open-science", Purpose::Research, 50_000),
            cash_eur: 0,
        },
        UserPlan {
            kind: "public",
            home: at(2),
            class: Class::Public,
            grant: grant("public-1", "digital-services", Purpose::PublicService, 30_000),
            cash_eur: 10_000,
        },
    ]
}

fn register_number(name: &Name) -> String {
    format!("TESTNET-{}", name.as_str().to_ascii_uppercase())
}

fn name(text: &str) -> Name {
    Name::new(text).expect("the names of this file are short, lower case, and begin with a letter")
}

/// Jobs may run under an account of their own and must be able to reach their folder; what is secret is closed by itself.
fn make_folder(path: &Path) -> Result<(), TestnetError> {
    std::fs::create_dir_all(path).map_err(file_error("make the folder", path))
}

fn make_private_folder(path: &Path) -> Result<(), TestnetError> {
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(file_error("make the folder", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codes(text: &str) -> Vec<MemberCode> {
        parse_members(text).unwrap()
    }

    #[test]
    fn members_are_named_or_counted_and_wrong_ones_refused() {
        assert_eq!(codes("FR,DE, es ,EE"), codes("4"));
        let all = codes("27");
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), 27);
        for text in ["28", "XX", "FR,DE,XX,EE", ""] {
            assert!(parse_members(text).is_err(), "{text}");
        }
        for text in ["3", "FR,DE,ES", "FR,DE,ES,FR", "FR,DE,ES,EU"] {
            assert!(Plan::new(codes(text), 2).is_err(), "{text}");
        }
    }

    #[test]
    fn providers_are_the_largest_systems_of_the_members() {
        let names = |members: &str, providers| -> Vec<String> {
            let plan = Plan::new(codes(members), providers).unwrap();
            plan.capacities.iter().map(|capacity| format!("{} {}", capacity.country, capacity.site)).collect()
        };
        assert_eq!(names("4", 2), ["DE jupiter-booster", "ES marenostrum-5-acc"]);
        assert_eq!(names("4", 9).len(), 3, "Estonia has no count of its own");
        assert_eq!(names("AT,BE,HU,LV", 2), [""; 0]);
    }

    #[test]
    fn a_founded_federation_is_accepted_and_read_back() {
        let folder = tempfile::tempdir().unwrap();
        for (members, at) in [("4", "four"), ("27", "all")] {
            let layout = Layout::new(&folder.path().join(at)).unwrap();
            assert!(!layout.exists() && layout.read_state().is_err());
            let plan = Plan::new(codes(members), 2).unwrap();
            let state = found(&layout, &plan).unwrap();
            let genesis = layout.read_genesis().unwrap();
            assert_eq!(genesis.chain_id(), state.chain);
            genesis.state().expect("the ledger accepts the genesis");
            assert_eq!(genesis.params, Params { site_confirmations: 1, ..Params::testnet() });
            assert_eq!(layout.read_state().unwrap(), state);
            assert!(found(&layout, &plan).is_err(), "a testnet is not written over");
            for member in &genesis.members {
                for (office, row) in member.offices() {
                    let read = |file: &std::path::PathBuf| keyfile::read(file).unwrap().public_key();
                    let keys: Vec<_> = layout.office_keys(member.code, office).iter().map(read).collect();
                    assert_eq!(keys, row.keys, "{office}");
                }
                let treasury = &member.treasury;
                assert_eq!((treasury.threshold, treasury.keys.len()), (2, 3));
            }
            for user in &state.users {
                assert_eq!(keyfile::read(&layout.user_key(&user.name)).unwrap().public_key(), user.key);
                assert_eq!(user.organisation, organisation_id(user.home, &user.register_number));
            }
            assert_eq!(state.users[0].name.as_str(), "startup-ee");
            assert_eq!((state.users[0].cash, state.users[0].grant.is_some()), (Money::ZERO, true));
            assert_eq!(state.process("fr").unwrap(), "FR");
            assert!(state.process("nobody").is_err());
        }
    }
}
