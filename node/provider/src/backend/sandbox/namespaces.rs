//! Tier 2: a machine of the job's own, as far as names go: users, processes, mounts, network, IPC, host name.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use nix::sched::{CloneFlags, unshare};
use rustix::fs::StatVfsMountFlags;
use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_bind_recursive, mount_change,
    mount_remount, unmount,
};
use rustix::process::{chdir, getgid, getuid, pivot_root};
use rustix::thread::{CapabilitySet, capabilities, configure_capability_in_ambient_set, set_capabilities};

use super::Plan;
use super::files::{DEVICES, SYSTEM_PATHS};

/// Where the job's root is put together; the mount is seen by this job only.
const NEW_ROOT: &str = "/tmp";
const OLD_ROOT: &str = "/.machine";

/// What the stages after this one need to mount and to give everything up; the job itself gets none of it.
const KEPT: [CapabilitySet; 2] = [CapabilitySet::SYS_ADMIN, CapabilitySet::SETPCAP];

fn failed<E: Into<io::Error>>(what: &str) -> impl FnOnce(E) -> String {
    move |error| format!("{what}: {}", error.into())
}

/// Put the processes started from now on into namespaces of their own. The account keeps its number inside.
pub(super) fn prepare() -> Result<(), String> {
    let (uid, gid) = (getuid().as_raw(), getgid().as_raw());
    let flags = CloneFlags::CLONE_NEWUSER
        | CloneFlags::CLONE_NEWPID
        | CloneFlags::CLONE_NEWNET
        | CloneFlags::CLONE_NEWIPC
        | CloneFlags::CLONE_NEWUTS;
    unshare(flags).map_err(failed("this system allows no namespaces to ordinary users"))?;
    fs::write("/proc/self/setgroups", "deny").map_err(failed("cannot fix the groups of the namespace"))?;
    fs::write("/proc/self/uid_map", format!("{uid} {uid} 1")).map_err(failed("cannot map the user"))?;
    fs::write("/proc/self/gid_map", format!("{gid} {gid} 1")).map_err(failed("cannot map the group"))?;
    let mut sets = capabilities(None).map_err(failed("cannot read capabilities"))?;
    for capability in KEPT {
        sets.inheritable |= capability;
    }
    set_capabilities(None, sets).map_err(failed("the namespace gives no rights within itself"))?;
    for capability in KEPT {
        configure_capability_in_ambient_set(capability, true)
            .map_err(failed("the namespace gives no rights within itself"))?;
    }
    Ok(())
}

/// Build a root with the system (read-only), a few devices and the job's folder at its usual path; go there.
/// True if it also has a `/proc` of its own, which some containers do not allow.
pub(super) fn build_root(plan: &Plan) -> Result<bool, String> {
    unshare(CloneFlags::CLONE_NEWNS).map_err(failed("this system allows no mount namespace"))?;
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
        .map_err(failed("cannot detach from the machine's mounts"))?;
    let quiet = MountFlags::NOSUID | MountFlags::NODEV;
    mount("tmpfs", NEW_ROOT, "tmpfs", quiet, c"size=1m,mode=755")
        .map_err(failed("cannot mount a new root"))?;
    let old = format!("{NEW_ROOT}{OLD_ROOT}");
    fs::create_dir(&old).map_err(failed("cannot make a folder in the new root"))?;
    pivot_root(NEW_ROOT, &old).map_err(failed("cannot change the root"))?;

    for path in SYSTEM_PATHS.iter().map(Path::new).chain(plan.readable.iter().map(AsRef::as_ref)) {
        show(path, true)?;
    }
    for path in DEVICES.iter().map(Path::new).chain(plan.devices.iter().map(AsRef::as_ref)) {
        show(path, false)?;
    }
    let proc = fs::create_dir("/proc").is_ok()
        && mount("proc", "/proc", "proc", quiet | MountFlags::NOEXEC, None).is_ok();

    // The working directory still is the job's folder on the machine, wherever that lies and whoever may look there.
    fs::create_dir_all(&plan.directory).map_err(failed("cannot make the job's folder in the new root"))?;
    mount_bind_recursive(".", &plan.directory).map_err(failed("cannot show the job's folder"))?;
    read_only(&plan.directory, MountFlags::empty())?;
    chdir(&plan.directory).map_err(failed("cannot go to the job's folder"))?;
    unmount(OLD_ROOT, UnmountFlags::DETACH).map_err(failed("cannot let go of the machine's root"))?;
    fs::remove_dir(OLD_ROOT).map_err(failed("cannot tidy the new root"))?;
    mount_remount("/", MountFlags::BIND | MountFlags::RDONLY | quiet, "")
        .map_err(failed("cannot make the new root read-only"))?;
    Ok(proc)
}

/// Show a path of the machine at the same place in the new root. What the machine does not have is left out.
fn show(path: &Path, read_only_wanted: bool) -> Result<(), String> {
    let source = PathBuf::from(format!("{OLD_ROOT}{}", path.display()));
    let Ok(metadata) = fs::symlink_metadata(&source) else { return Ok(()) };
    let what = format!("cannot show `{}` to the job", path.display());
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(failed(&what))?;
    }
    if metadata.is_symlink() {
        let target = fs::read_link(&source).map_err(failed(&what))?;
        return symlink(target, path).map_err(failed(&what));
    }
    if metadata.is_dir() {
        fs::create_dir_all(path).map_err(failed(&what))?;
    } else {
        fs::write(path, "").map_err(failed(&what))?;
    }
    mount_bind_recursive(&source, path).map_err(failed(&what))?;
    if read_only_wanted { read_only(path, MountFlags::RDONLY | MountFlags::NODEV) } else { Ok(()) }
}

/// Add flags to a mount. Those it has must be repeated: a namespace may not take the machine's away.
fn read_only(path: &Path, wanted: MountFlags) -> Result<(), String> {
    let what = format!("cannot protect `{}`", path.display());
    let present = rustix::fs::statvfs(path).map_err(failed(&what))?.f_flag;
    let pairs = [
        (StatVfsMountFlags::RDONLY, MountFlags::RDONLY),
        (StatVfsMountFlags::NODEV, MountFlags::NODEV),
        (StatVfsMountFlags::NOEXEC, MountFlags::NOEXEC),
    ];
    let kept = pairs
        .iter()
        .filter(|(flag, _)| present.contains(*flag))
        .fold(wanted, |flags, (_, flag)| flags | *flag);
    mount_remount(path, MountFlags::BIND | MountFlags::NOSUID | kept, "").map_err(failed(&what))
}
