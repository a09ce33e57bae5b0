//! What a job may touch in the file system: Landlock rules, the same in every tier from 1 on.

use std::path::Path;

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, PathBeneath, PathFd, Ruleset, RulesetAttr as _,
    RulesetCreatedAttr as _, RulesetStatus, Scope,
};

use super::Plan;

/// What programs need to start: libraries, interpreters, the loader's cache, time zones, certificates of authorities.
/// Nothing that names users, hosts or services.
pub(super) const SYSTEM_PATHS: [&str; 13] = [
    "/usr",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/bin",
    "/sbin",
    "/etc/alternatives",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/localtime",
    "/etc/ssl/certs",
];

/// Devices without memory or effect.
pub(super) const DEVICES: [&str; 5] = ["/dev/full", "/dev/null", "/dev/random", "/dev/urandom", "/dev/zero"];

/// The newest rules we know; an older kernel enforces what it has, and one without Landlock is an error.
const LANDLOCK: ABI = ABI::V6;

/// Restrict this process, for ever: the working directory is the job's, the system is for reading, the rest is not there.
/// No TCP port can be bound or reached, no process outside can be signalled (as far as the kernel has those rules).
pub(super) fn restrict(plan: &Plan, proc: bool) -> Result<(), String> {
    let failed = |error: landlock::RulesetError| format!("Landlock refused the rules: {error}");
    let mut rules = Ruleset::default()
        .handle_access(AccessFs::from_all(LANDLOCK))
        .map_err(failed)?
        .handle_access(AccessNet::from_all(LANDLOCK))
        .map_err(failed)?
        .scope(Scope::from_all(LANDLOCK))
        .map_err(failed)?
        .create()
        .map_err(failed)?;

    let read = AccessFs::from_read(LANDLOCK);
    let device = AccessFs::ReadFile | AccessFs::WriteFile | AccessFs::IoctlDev;
    let own = AccessFs::from_all(LANDLOCK) & !(AccessFs::MakeBlock | AccessFs::MakeChar | AccessFs::IoctlDev);
    let system = SYSTEM_PATHS.iter().map(Path::new).chain(proc.then_some(Path::new("/proc")));
    let readable = system.chain(plan.readable.iter().map(AsRef::as_ref)).map(|path| (path, read));
    let devices = DEVICES.iter().map(Path::new).chain(plan.devices.iter().map(AsRef::as_ref));
    let own = std::iter::once((Path::new("."), own));
    for (path, access) in readable.chain(devices.map(|path| (path, device))).chain(own) {
        // A path this machine does not have needs no rule; the folder of the job always opens.
        let Ok(place) = PathFd::new(path) else { continue };
        let access = if path.is_dir() { access } else { access & AccessFs::from_file(LANDLOCK) };
        rules = rules.add_rule(PathBeneath::new(place, access)).map_err(failed)?;
    }
    let status = rules.restrict_self().map_err(failed)?;
    if status.ruleset == RulesetStatus::NotEnforced {
        return Err("this kernel does not enforce Landlock".to_owned());
    }
    Ok(())
}
