//! What a testnet says when it is up: members, addresses, funded keys, and what to type next.

use crate::layout::{Layout, State, UserRecord};
use hansa_ledger::money::{Money, PRICE_TICK_UEUR, Price};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::path::Path;

/// The banner for people.
pub(crate) fn text(layout: &Layout, state: &State, detached: bool) -> String {
    let mut text =
        format!("a federation of {} members is up: {}\n\nmembers\n", state.members.len(), state.chain);
    for member in &state.members {
        let _ = writeln!(text, "  {}  {}", member.code, state.api(member.code).unwrap_or_default());
    }
    text.push_str("\ncapacity\n");
    for provider in &state.providers {
        let capacity = &provider.capacity;
        let _ = writeln!(
            text,
            "  {}  {:>6} x {}  {} of {}, from {} EUR/h",
            capacity.country,
            capacity.accelerators,
            capacity.class,
            capacity.system,
            provider.name,
            capacity.ask
        );
    }
    if state.providers.is_empty() {
        text.push_str("  none: no system of these members is in operation and counted\n");
    }
    text.push_str("\nfunded keys (NOT ENCRYPTED, for this testnet only)\n");
    let width = state.users.iter().map(|user| user.name.as_str().len()).max().unwrap_or(0);
    for user in &state.users {
        let _ =
            writeln!(text, "  {:width$}  {}  {}  {}", user.name.as_str(), user.home, user.key, money(user));
    }
    let _ = write!(
        text,
        "\nkeys, data and logs are in `{}`\n\n{}",
        layout.folder().display(),
        next(layout, state)
    );
    let end = format!("hansa testnet down --dir {}", quoted(layout.folder()));
    match detached {
        true => {
            let _ = writeln!(text, "\nit runs on; end it with\n  {end}");
        }
        false => text.push_str("\nCtrl-C stops everything\n"),
    }
    text
}

/// The same for programs.
pub(crate) fn json(layout: &Layout, state: &State) -> Value {
    let pid = |name: &str| state.processes.get(name).map(|process| process.pid);
    let members = state.members.iter().map(|member| {
        let name = member.code.as_str();
        json!({ "member": member.code, "api": state.api(member.code), "ports": member.ports, "pid": pid(name), "log": layout.log(name) })
    });
    let providers = state.providers.iter().map(|provider| {
        let name = provider.name.as_str();
        json!({
            "provider": name, "organisation": provider.organisation, "capacity": provider.capacity,
            "pid": pid(name), "log": layout.log(name),
        })
    });
    let users = state.users.iter().map(|user| {
        json!({
            "name": user.name, "home": user.home, "class": user.class, "organisation": user.organisation,
            "key": user.key, "key_file": layout.user_key(&user.name), "grant": user.grant, "cash": user.cash,
        })
    });
    json!({
        "dir": layout.folder(),
        "home": layout.home(),
        "genesis": layout.genesis(),
        "chain": state.chain,
        "members": members.collect::<Vec<_>>(),
        "providers": providers.collect::<Vec<_>>(),
        "users": users.collect::<Vec<_>>(),
    })
}

fn money(user: &UserRecord) -> String {
    let grant = user.grant.as_ref().map(|grant| format!("grant {} of {} EUR", grant.reference, grant.amount));
    let cash = (user.cash != Money::ZERO).then(|| format!("{} EUR cash", user.cash));
    grant.into_iter().chain(cash).collect::<Vec<_>>().join(", ")
}

/// What to type next: look around, bid, break something.
fn next(layout: &Layout, state: &State) -> String {
    let home = quoted(&layout.home());
    let folder = quoted(layout.folder());
    let mut text = format!("try\n  export HANSA_HOME={home}\n  hansa capacity list\n  hansa account show\n");
    let user = state.users.first();
    let abroad =
        state.providers.iter().find(|one| user.is_some_and(|user| user.home != one.capacity.country));
    if let (Some(provider), Some(grant)) = (abroad, user.and_then(|user| user.grant.as_ref())) {
        let ask = provider.capacity.ask.0;
        let limit = Price((ask + ask / 4) / PRICE_TICK_UEUR * PRICE_TICK_UEUR);
        let _ = writeln!(
            text,
            "  hansa bid --class {} --quantity 4 --duration 60s --limit \"{limit} EUR/h\" --within 60s --grant {} --run uname --arg=-a --wait",
            provider.capacity.class, grant.reference
        );
    }
    if let Some(member) = state.members.first() {
        let _ = writeln!(text, "  hansa testnet kill {} --dir {folder}", member.code);
    }
    let _ = writeln!(text, "  hansa testnet status --dir {folder}");
    text
}

/// The path as a shell takes it.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "/._-+:@,".contains(letter);
    if text.chars().all(plain) { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::genesis::{Plan, found, parse_members};
    use crate::ports::Ports;
    use hansa_ledger::id::ChainId;
    use hansa_ledger_signature::PublicKey;

    #[test]
    fn the_banner_names_members_keys_and_what_to_type_next() {
        let folder = tempfile::tempdir().unwrap();
        let at = Layout::new(&folder.path().join("t")).unwrap();
        let mut state = found(&at, &Plan::new(parse_members("4").unwrap(), 2).unwrap()).unwrap();
        let ports: Vec<Ports> = (1..=4).map(|n| Ports { api: 8000 + n, consensus: 1, network: 2 }).collect();
        crate::config::assign(&mut state, &ports);
        state.chain = ChainId([0xab; 32]);
        for (user, byte) in state.users.iter_mut().zip(1..) {
            user.key = PublicKey([byte; 32]);
        }
        let layout = Layout::new(Path::new("/net")).unwrap();
        let [one, two, three, four] = [1u8, 2, 3, 4].map(|byte| PublicKey([byte; 32]));
        let expected = format!(
            "a federation of 4 members is up: {}\n\n\
             members\n  FR  http://127.0.0.1:8001\n  DE  http://127.0.0.1:8002\n  ES  http://127.0.0.1:8003\n  EE  http://127.0.0.1:8004\n\n\
             capacity\n  DE   23752 x gh200-96  JUPITER Booster of jsc, from 1.92 EUR/h\n  ES    4480 x h100-64  MareNostrum 5 ACC of bsc, from 1.60 EUR/h\n\n\
             funded keys (NOT ENCRYPTED, for this testnet only)\n  \
             startup-ee   EE  {one}  grant innovation-1 of 5000.00 EUR\n  \
             sme-fr       FR  {two}  20000.00 EUR cash\n  \
             research-de  DE  {three}  grant research-1 of 50000.00 EUR\n  \
             public-es    ES  {four}  grant public-1 of 30000.00 EUR, 10000.00 EUR cash\n\n\
             keys, data and logs are in `/net`\n\n\
             try\n  export HANSA_HOME=/net/home\n  hansa capacity list\n  hansa account show\n  \
             hansa bid --class gh200-96 --quantity 4 --duration 60s --limit \"2.40 EUR/h\" --within 60s --grant innovation-1 --run uname --arg=-a --wait\n  \
             hansa testnet kill FR --dir /net\n  hansa testnet status --dir /net\n\n\
             it runs on; end it with\n  hansa testnet down --dir /net\n",
            "ab".repeat(32)
        );
        assert_eq!(text(&layout, &state, true), expected);
        assert!(text(&layout, &state, false).ends_with("\nCtrl-C stops everything\n"));
        let object = json(&layout, &state);
        assert_eq!(object["members"][3]["api"], "http://127.0.0.1:8004");
        assert_eq!(object["users"][0]["key_file"], "/net/home/keys/startup-ee.key");
        assert_eq!(object["chain"], "ab".repeat(32));
    }

    #[test]
    fn paths_are_written_as_a_shell_takes_them() {
        assert_eq!(quoted(Path::new("/a b/it's")), r"'/a b/it'\''s'");
    }
}
