//! Organisations, keys and sites.

use super::Row;
use crate::scene::Scene;
use crate::world::{key, member, name};
use hansa_ledger::action::{
    AccreditOrganisation, AccreditSite, Action, ConfirmSite, Registration, RemoveKey, RevokeOrganisation,
    SetKey, SitePart,
};
use hansa_ledger::id::{ChainId, OrganisationId};
use hansa_ledger::possession::Possession;
use hansa_ledger::rejection::Rejection::*;
use hansa_ledger::row::{Office, OrganisationClass, Pool, Principal, Roles};
use hansa_ledger::time::TimeMs;
use hansa_ledger_signature::PublicKey;

pub const NOBODY: OrganisationId = OrganisationId([7; 32]);

pub fn tables() -> Vec<(&'static str, Vec<Row>)> {
    vec![
        ("AccreditOrganisation", accredit()),
        ("RevokeOrganisation", revoke()),
        ("SetKey", set_key()),
        ("RemoveKey", remove_key()),
        ("AccreditSite", accredit_site()),
        ("ConfirmSite", confirm_site()),
    ]
}

/// The word of the newcomer's key that it acts for the Estonian organisation of this number.
fn proof_of_newcomer(scene: &Scene, number: &str) -> Possession {
    scene.world.proof("newcomer", Principal::Organisation(scene.world.organisation("EE", number)))
}

fn newcomer(scene: &Scene, change: impl FnOnce(&mut AccreditOrganisation)) -> Action {
    let mut action = AccreditOrganisation {
        register_number: "newcomer".to_owned(),
        owner: None,
        name: name("newcomer"),
        class: OrganisationClass::Sme,
        accredited_until: scene.world.now.plus(86_400_000),
        key: key("newcomer").public_key(),
        proof: Some(proof_of_newcomer(scene, "newcomer")),
    };
    let own = action.key;
    change(&mut action);
    if action.key != own {
        // Another key's word is nobody's to give, and is asked for last.
        action.proof = None;
    }
    action.into()
}

fn owner(number: &str) -> Option<Registration> {
    Some(Registration { country: member("DE"), number: number.to_owned() })
}

fn accredit() -> Vec<Row> {
    vec![
        (
            "no number",
            "EE registrar",
            |s| newcomer(s, |one| one.register_number = String::new()),
            RegisterNumberInvalid,
        ),
        (
            "a space in the number",
            "EE registrar",
            |s| newcomer(s, |one| one.register_number = "a b".to_owned()),
            RegisterNumberInvalid,
        ),
        (
            "letters beyond plain text",
            "EE registrar",
            |s| newcomer(s, |one| one.register_number = "é".to_owned()),
            RegisterNumberInvalid,
        ),
        (
            "a number too long",
            "EE registrar",
            |s| newcomer(s, |one| one.register_number = "1".repeat(65)),
            RegisterNumberInvalid,
        ),
        (
            "an owner without a number",
            "EE registrar",
            |s| newcomer(s, |one| one.owner = owner("")),
            RegisterNumberInvalid,
        ),
        (
            "a key of small order",
            "EE registrar",
            |s| newcomer(s, |one| one.key = PublicKey([0; 32])),
            KeyWeak,
        ),
        (
            "no point of the curve",
            "EE registrar",
            |s| newcomer(s, |one| one.key = PublicKey([2; 32])),
            KeyWeak,
        ),
        ("an organisation as registrar", "tallinn", |s| newcomer(s, |_| ()), NotRegistrar),
        ("the treasury as registrar", "EE treasury", |s| newcomer(s, |_| ()), NotRegistrar),
        ("a stranger as registrar", "stranger", |s| newcomer(s, |_| ()), UnknownKey),
        (
            "over before it begins",
            "EE registrar",
            |s| newcomer(s, |one| one.accredited_until = s.world.now),
            ValidityInvalid,
        ),
        (
            "past the end of time",
            "EE registrar",
            |s| newcomer(s, |one| one.accredited_until = TimeMs(u64::MAX)),
            ValidityInvalid,
        ),
        (
            "a number accredited before",
            "EE registrar",
            |s| newcomer(s, |one| one.register_number = "tallinn".to_owned()),
            OrganisationExists,
        ),
        (
            "a revoked number again",
            "EE registrar",
            |s| newcomer(s, |one| one.register_number = "gone".to_owned()),
            OrganisationExists,
        ),
        (
            "the key of another organisation",
            "EE registrar",
            |s| newcomer(s, |one| one.key = key("bsc").public_key()),
            KeyInUse,
        ),
        (
            "the key of an office",
            "EE registrar",
            |s| newcomer(s, |one| one.key = key("FR treasury").public_key()),
            KeyInUse,
        ),
        (
            "a key taken back",
            "EE registrar",
            |s| newcomer(s, |one| one.key = key("bsc removed").public_key()),
            KeyInUse,
        ),
        (
            "a key whose holder was not asked",
            "EE registrar",
            |s| newcomer(s, |one| one.proof = None),
            PossessionMissing,
        ),
        (
            "a key whose holder agreed to another organisation",
            "EE registrar",
            |s| newcomer(s, |one| one.proof = Some(proof_of_newcomer(s, "other"))),
            PossessionElsewhere,
        ),
        (
            "the number of the same text in another member's register",
            "FR registrar",
            |s| newcomer(s, |_| ()),
            PossessionElsewhere,
        ),
        (
            "another key's proof",
            "EE registrar",
            |s| newcomer(s, |one| one.proof = Some(elsewhere(s, "other key", s.world.chain))),
            PossessionInvalid,
        ),
        (
            "a proof for another federation",
            "EE registrar",
            |s| newcomer(s, |one| one.proof = Some(elsewhere(s, "newcomer", ChainId([1; 32])))),
            PossessionInvalid,
        ),
        (
            "a proof for another organisation under this one's name",
            "EE registrar",
            |s| {
                newcomer(s, |one| {
                    let other = proof_of_newcomer(s, "other");
                    one.proof =
                        Some(Possession { signature: other.signature, ..proof_of_newcomer(s, "newcomer") });
                })
            },
            PossessionInvalid,
        ),
    ]
}

fn revoke() -> Vec<Row> {
    vec![
        (
            "another member's registrar",
            "EE registrar",
            |s| RevokeOrganisation { organisation: s.cea }.into(),
            NotRegistrar,
        ),
        (
            "an organisation as registrar",
            "tallinn",
            |s| RevokeOrganisation { organisation: s.tartu }.into(),
            NotRegistrar,
        ),
        (
            "governance as registrar",
            "EE governance",
            |s| RevokeOrganisation { organisation: s.tartu }.into(),
            NotRegistrar,
        ),
        (
            "nobody",
            "EE registrar",
            |_| RevokeOrganisation { organisation: NOBODY }.into(),
            OrganisationUnknown,
        ),
        (
            "revoked before",
            "EE registrar",
            |s| RevokeOrganisation { organisation: s.gone }.into(),
            OrganisationRevoked,
        ),
    ]
}

/// A proof for the newcomer, made by the key of another name or for another federation.
fn elsewhere(scene: &Scene, by: &str, chain: ChainId) -> Possession {
    let principal = Principal::Organisation(scene.world.organisation("EE", "newcomer"));
    Possession::prove(chain, &key(by), principal)
}

/// A new key, with a proof by a key of this name, for the principal that `of` picks.
fn set_proven(scene: &Scene, by: &str, of: fn(&Scene) -> Principal) -> Action {
    let proof = Some(scene.world.proof(by, of(scene)));
    SetKey { key: key("new").public_key(), roles: Roles::BID, amount_max: None, proof }.into()
}

fn set(of: &str, roles: Roles) -> Action {
    SetKey { key: key(of).public_key(), roles, amount_max: None, proof: None }.into()
}

fn set_key() -> Vec<Row> {
    vec![
        ("no role", "tallinn", |_| set("new", Roles(0)), RolesInvalid),
        ("an unknown role", "tallinn", |_| set("new", Roles(64)), RolesInvalid),
        (
            "a key of small order",
            "tallinn",
            |_| SetKey { key: PublicKey([0; 32]), roles: Roles::BID, amount_max: None, proof: None }.into(),
            KeyWeak,
        ),
        ("by a bidder", "tallinn bidder", |_| set("new", Roles::BID), RoleMissing),
        ("by an office", "EE registrar", |_| set("new", Roles::BID), RoleMissing),
        ("by a bidder for itself", "tallinn bidder", |_| set("tallinn bidder", Roles::ALL), RoleMissing),
        ("the key of another organisation", "tallinn", |_| set("bsc", Roles::BID), KeyInUse),
        ("the key of an office", "tallinn", |_| set("EE treasury", Roles::BID), KeyInUse),
        ("a key taken back", "bsc", |_| set("bsc removed", Roles::BID), KeyInUse),
        ("the last administrator demoted", "tallinn", |_| set("tallinn", Roles::BID), KeyLast),
        ("one key too many", "tallinn", |_| set("new", Roles::BID), TooManyKeys),
        ("by a revoked organisation", "gone", |_| set("new", Roles::BID), OrganisationRevoked),
        ("by an expired organisation", "late", |_| set("new", Roles::BID), OrganisationExpired),
        ("a key whose holder was not asked", "cea", |_| set("new", Roles::BID), PossessionMissing),
        (
            "a key whose holder agreed to another organisation",
            "cea",
            |s| set_proven(s, "new", |s| Principal::Organisation(s.tallinn)),
            PossessionElsewhere,
        ),
        (
            "a key whose holder agreed to an office",
            "cea",
            |s| set_proven(s, "new", |_| Principal::Office(member("FR"), Office::Treasury)),
            PossessionElsewhere,
        ),
        (
            "a proof by the administrator's own key",
            "cea",
            |s| set_proven(s, "cea", |s| Principal::Organisation(s.cea)),
            PossessionInvalid,
        ),
    ]
}

fn remove(of: &str) -> Action {
    RemoveKey { key: key(of).public_key() }.into()
}

fn remove_key() -> Vec<Row> {
    vec![
        ("by a treasurer", "tallinn treasurer", |_| remove("tallinn bidder"), RoleMissing),
        ("nobody's key", "tallinn", |_| remove("new"), KeyUnknown),
        ("another's key", "tallinn", |_| remove("bsc"), KeyUnknown),
        ("an office's key", "tallinn", |_| remove("EE registrar"), KeyUnknown),
        ("a key taken back", "bsc", |_| remove("bsc removed"), KeyUnknown),
        ("the last administrator", "tallinn", |_| remove("tallinn"), KeyLast),
        ("the last of a revoked organisation", "gone", |_| remove("gone"), KeyLast),
    ]
}

fn site(scene: &Scene, change: impl FnOnce(&mut AccreditSite)) -> Action {
    let mut action = AccreditSite {
        provider: scene.bsc,
        site: name("site"),
        class: name("a100-64"),
        accelerators: 64,
        node_size: 4,
        tier: 2,
        certificates: 0b1,
        pool: Pool::Public,
        parts: Vec::new(),
    };
    change(&mut action);
    action.into()
}

fn accredit_site() -> Vec<Row> {
    vec![
        ("nodes of nothing", "ES registrar", |s| site(s, |one| one.node_size = 0), SiteInvalid),
        ("a node larger than the site", "ES registrar", |s| site(s, |one| one.node_size = 65), SiteInvalid),
        ("the provider itself", "bsc", |s| site(s, |_| ()), NotRegistrar),
        ("the treasury", "ES treasury", |s| site(s, |_| ()), NotRegistrar),
        ("nobody", "ES registrar", |s| site(s, |one| one.provider = NOBODY), OrganisationUnknown),
        ("a revoked provider", "EE registrar", |s| site(s, |one| one.provider = s.gone), OrganisationRevoked),
        (
            "an expired provider",
            "EE registrar",
            |s| site(s, |one| one.provider = s.late),
            OrganisationExpired,
        ),
        ("a site of another country", "FR registrar", |s| site(s, |_| ()), CountryInvalid),
        (
            "less than is offered",
            "ES registrar",
            |s| site(s, |one| one.accelerators = 63),
            OfferOverInventory,
        ),
        ("less than is leased", "ES registrar", |s| site(s, |one| one.accelerators = 0), OfferBelowLeases),
        (
            "more than can be counted",
            "ES registrar",
            |s| {
                site(s, |one| {
                    one.site = name("other");
                    one.accelerators = u32::MAX;
                })
            },
            SiteInvalid,
        ),
        ("parts that sum to more", "ES registrar", |s| parts(s, &[("ES", 60), ("EU", 5)]), SitePartsInvalid),
        ("parts that sum to less", "ES registrar", |s| parts(s, &[("ES", 63)]), SitePartsInvalid),
        ("an owner twice", "ES registrar", |s| parts(s, &[("ES", 32), ("ES", 32)]), SitePartsInvalid),
        ("a part of nothing", "ES registrar", |s| parts(s, &[("ES", 64), ("EU", 0)]), SitePartsInvalid),
        (
            "an owner that is no member",
            "ES registrar",
            |s| parts(s, &[("ES", 32), ("MT", 32)]),
            SitePartsInvalid,
        ),
        (
            "parts that can not be counted",
            "ES registrar",
            |s| parts(s, &[("ES", 64), ("EU", u32::MAX)]),
            SitePartsInvalid,
        ),
    ]
}

fn parts(scene: &Scene, parts: &[(&str, u32)]) -> Action {
    let part = |(owner, accelerators): &(&str, u32)| SitePart {
        owner: owner.parse().unwrap(),
        accelerators: *accelerators,
        commercial_ceiling_bps: 10_000,
    };
    site(scene, |one| one.parts = parts.iter().map(part).collect())
}

fn confirmed(scene: &Scene, site: &str, accelerators: u32) -> Action {
    ConfirmSite { provider: scene.bsc, site: name(site), class: name("a100-64"), accelerators }.into()
}

fn confirm_site() -> Vec<Row> {
    vec![
        ("no such site", "FR registrar", |s| confirmed(s, "other", 64), SiteUnknown),
        ("its own member", "ES registrar", |s| confirmed(s, "site", 64), SiteOwnConfirmation),
        ("another number", "FR registrar", |s| confirmed(s, "site", 65), SiteDiffers),
        ("the treasury", "FR treasury", |s| confirmed(s, "site", 64), NotRegistrar),
        ("the provider itself", "bsc", |s| confirmed(s, "site", 64), NotRegistrar),
    ]
}
