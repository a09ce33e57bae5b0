//! What a job may ask of the kernel: a filter on system calls. Refused calls fail with EPERM, so that programs which
//! only try something go on without it.

use std::collections::BTreeMap;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen as Width, SeccompCmpOp as Compare, SeccompCondition,
    SeccompFilter, SeccompRule, TargetArch, apply_filter, sock_filter,
};

use super::Plan;
use crate::backend::Tier;

/// Refused whatever the arguments: other processes' memory, mounts and namespaces, keys, kernel code and tracing, the
/// clock, the machine's state, and ways round these rules (io_uring does I/O without system calls).
const REFUSED: &[i64] = &[
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_kcmp,
    libc::SYS_pidfd_getfd,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_open_tree,
    libc::SYS_move_mount,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_setns,
    libc::SYS_unshare,
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_fanotify_init,
    libc::SYS_lookup_dcookie,
    libc::SYS_kexec_load,
    libc::SYS_kexec_file_load,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_syslog,
    libc::SYS_acct,
    libc::SYS_quotactl,
    libc::SYS_nfsservctl,
    libc::SYS_vhangup,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_adjtimex,
    libc::SYS_clock_adjtime,
    libc::SYS_name_to_handle_at,
    libc::SYS_open_by_handle_at,
    libc::SYS_move_pages,
    libc::SYS_migrate_pages,
    // Memory that nobody counts and that a process may leave behind, for itself or for another job.
    libc::SYS_shmget,
    libc::SYS_msgget,
    libc::SYS_semget,
    libc::SYS_mq_open,
    libc::SYS_memfd_create,
    libc::SYS_memfd_secret,
    // Without these two, a socket inherited or made by socketpair could still be sent somewhere.
    libc::SYS_connect,
    libc::SYS_bind,
    // These take open files along: a removed one would be held by a message, where nobody can look.
    libc::SYS_sendmsg,
    libc::SYS_sendmmsg,
];

#[cfg(target_arch = "x86_64")]
const REFUSED_HERE: &[i64] = &[
    libc::SYS_iopl,
    libc::SYS_ioperm,
    libc::SYS_modify_ldt,
    libc::SYS_uselib,
    libc::SYS_ustat,
    libc::SYS_sysfs,
    libc::SYS__sysctl,
];
#[cfg(not(target_arch = "x86_64"))]
const REFUSED_HERE: &[i64] = &[];

const NAMESPACE_FLAGS: [i32; 7] = [
    libc::CLONE_NEWNS,
    libc::CLONE_NEWCGROUP,
    libc::CLONE_NEWUTS,
    libc::CLONE_NEWIPC,
    libc::CLONE_NEWUSER,
    libc::CLONE_NEWPID,
    libc::CLONE_NEWNET,
];

/// Filters ready to be put on: making them allocates, and putting them on comes after the memory limit.
pub(super) struct Filters(Vec<BpfProgram>);

impl Filters {
    pub(super) fn new(plan: &Plan) -> Result<Filters, String> {
        let filters = vec![
            compile(refused(plan)?, libc::EPERM)?,
            // The flags of clone3 lie in memory a filter cannot read. ENOSYS makes the C library use clone instead.
            // The same holds for the mode openat2 gives a file, and openat takes its place.
            compile(
                BTreeMap::from([(libc::SYS_clone3, Vec::new()), (libc::SYS_openat2, Vec::new())]),
                libc::ENOSYS,
            )?,
            other_numbers(),
        ];
        Ok(Filters(filters))
    }

    pub(super) fn apply(&self) -> Result<(), String> {
        self.0
            .iter()
            .try_for_each(|filter| apply_filter(filter))
            .map_err(|error| format!("this kernel refused the system-call filter: {error}"))
    }
}

fn compile(rules: BTreeMap<i64, Vec<SeccompRule>>, errno: i32) -> Result<BpfProgram, String> {
    let failed = |error: seccompiler::BackendError| format!("cannot make the system-call filter: {error}");
    let here = TargetArch::try_from(std::env::consts::ARCH).map_err(failed)?;
    let refusal = SeccompAction::Errno(errno.unsigned_abs());
    SeccompFilter::new(rules, SeccompAction::Allow, refusal, here).map_err(failed)?.try_into().map_err(failed)
}

/// Calls younger than the list above are not there: whoever wrote the list has not judged them, and programs fall back on
/// older ones. On x86_64 this also closes the x32 numbering, which reaches the same calls under other numbers.
fn other_numbers() -> BpfProgram {
    const LOAD_NUMBER: u16 = 0x20;
    const JUMP_IF_AT_LEAST: u16 = 0x35;
    const RETURN: u16 = 0x06;
    // The one after mseal of Linux 6.10. Numbers from 424 on are the same on every machine.
    const UNKNOWN_FIRST: u32 = 463;
    const ALLOW: u32 = 0x7fff_0000;
    const ERRNO: u32 = 0x0005_0000;
    vec![
        sock_filter { code: LOAD_NUMBER, jt: 0, jf: 0, k: 0 },
        sock_filter { code: JUMP_IF_AT_LEAST, jt: 0, jf: 1, k: UNKNOWN_FIRST },
        sock_filter { code: RETURN, jt: 0, jf: 0, k: ERRNO | libc::ENOSYS.unsigned_abs() },
        sock_filter { code: RETURN, jt: 0, jf: 0, k: ALLOW },
    ]
}

fn refused(plan: &Plan) -> Result<BTreeMap<i64, Vec<SeccompRule>>, String> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> =
        REFUSED.iter().chain(REFUSED_HERE).map(|call| (*call, Vec::new())).collect();
    let local = libc::AF_UNIX.unsigned_abs().into();
    let mut add = |call: i64, conditions: Vec<Condition>| -> Result<(), String> {
        rules.entry(call).or_default().push(rule(conditions)?);
        Ok(())
    };
    for flag in NAMESPACE_FLAGS {
        add(libc::SYS_clone, vec![(0, Width::Dword, has(flag), bits(flag))])?;
    }
    // A thread with open files of its own: files it removed would be held where the supervisor does not look.
    let (thread, files) = (libc::CLONE_THREAD, libc::CLONE_FILES);
    add(
        libc::SYS_clone,
        vec![(0, Width::Dword, has(thread), bits(thread)), (0, Width::Dword, has(files), 0)],
    )?;
    let apart = libc::CLOSE_RANGE_UNSHARE.into();
    add(libc::SYS_close_range, vec![(2, Width::Dword, Compare::MaskedEq(apart), apart)])?;
    if plan.tier >= Tier::Namespaced {
        // A namespace holds no socket but the job's own, so local ones are harmless there.
        add(libc::SYS_socket, vec![(0, Width::Dword, Compare::Ne, local)])?;
    } else {
        // Landlock before ABI 9 does not keep a job from the machine's local sockets, some of which start programs.
        add(libc::SYS_socket, vec![(0, Width::Dword, Compare::Ge, 0)])?;
    }
    add(libc::SYS_socketpair, vec![(0, Width::Dword, Compare::Ne, local)])?;
    // A datagram socket of a pair can be aimed elsewhere with each message; a stream cannot.
    for kind in [libc::SOCK_DGRAM, libc::SOCK_RAW] {
        add(libc::SYS_socketpair, vec![(1, Width::Dword, Compare::MaskedEq(0xf), bits(kind))])?;
    }
    add(libc::SYS_sendto, vec![(4, Width::Qword, Compare::Ne, 0)])?;
    // Typing into the agent's terminal.
    for request in [libc::TIOCSTI, libc::TIOCLINUX] {
        add(libc::SYS_ioctl, vec![(1, Width::Dword, Compare::Eq, request)])?;
    }
    // Other personalities switch off address randomisation and the like; 0 is the usual one, all ones only asks.
    add(
        libc::SYS_personality,
        vec![(0, Width::Dword, Compare::Ne, 0), (0, Width::Dword, Compare::Ne, 0xffff_ffff)],
    )?;
    for (call, conditions) in watchers(plan).into_iter().chain(set_id()) {
        add(call, conditions)?;
    }
    add(libc::SYS_kill, vec![(0, Width::Dword, Compare::Eq, bits(-1))])?;
    Ok(rules)
}

/// Rules that keep a job from the processes that watch it.
fn watchers(plan: &Plan) -> Vec<(i64, Vec<Condition>)> {
    // In a namespace of its own a job sees none of them but the first process, whose number is 1.
    let guarded = if plan.tier >= Tier::Namespaced { vec![1] } else { plan.guarded.clone() };
    let mut rules = vec![
        // Limits of other processes: a supervisor without processor time watches nothing.
        (libc::SYS_prlimit64, vec![(0, Width::Dword, Compare::Ne, 0)]),
        // The pace of other processes, of groups and of accounts.
        (libc::SYS_setpriority, vec![(0, Width::Dword, Compare::Ne, 0)]),
        (libc::SYS_setpriority, vec![(1, Width::Dword, Compare::Ne, 0)]),
    ];
    // The agent may run under the job's account. Newer Landlock keeps signals inside; this also holds before ABI 6.
    for pid in guarded {
        let calls = [
            libc::SYS_kill,
            libc::SYS_tkill,
            libc::SYS_tgkill,
            libc::SYS_rt_sigqueueinfo,
            libc::SYS_rt_tgsigqueueinfo,
            libc::SYS_pidfd_open,
            libc::SYS_sched_setaffinity,
            libc::SYS_sched_setattr,
            libc::SYS_sched_setparam,
            libc::SYS_sched_setscheduler,
        ];
        rules.extend(calls.map(|call| (call, vec![(0, Width::Dword, Compare::Eq, bits(pid))])));
        rules.push((libc::SYS_kill, vec![(0, Width::Dword, Compare::Eq, bits(-pid))]));
    }
    rules
}

/// Rules against files that give whoever starts them the job's account, which may be the agent's.
fn set_id() -> Vec<(i64, Vec<Condition>)> {
    const CREATE: u64 = libc::O_CREAT as u64;
    let mut rules = Vec::new();
    for bit in [u64::from(libc::S_ISUID), u64::from(libc::S_ISGID)] {
        let mode = |argument: u8| (argument, Width::Dword, Compare::MaskedEq(bit), bit);
        let create = |argument: u8| (argument, Width::Dword, Compare::MaskedEq(CREATE), CREATE);
        rules.extend([
            (libc::SYS_fchmod, vec![mode(1)]),
            (libc::SYS_fchmodat, vec![mode(2)]),
            (libc::SYS_fchmodat2, vec![mode(2)]),
            (libc::SYS_mknodat, vec![mode(2)]),
            (libc::SYS_openat, vec![create(2), mode(3)]),
        ]);
        #[cfg(target_arch = "x86_64")]
        rules.extend([
            (libc::SYS_chmod, vec![mode(1)]),
            (libc::SYS_creat, vec![mode(1)]),
            (libc::SYS_mknod, vec![mode(1)]),
            (libc::SYS_open, vec![create(1), mode(2)]),
        ]);
    }
    rules
}

/// Index of the argument, how wide it is compared, how, and with what.
type Condition = (u8, Width, Compare, u64);

fn rule(conditions: Vec<Condition>) -> Result<SeccompRule, String> {
    conditions
        .into_iter()
        .map(|(argument, width, compare, value)| SeccompCondition::new(argument, width, compare, value))
        .collect::<Result<Vec<_>, _>>()
        .and_then(SeccompRule::new)
        .map_err(|error| format!("cannot make the system-call filter: {error}"))
}

fn bits(value: i32) -> u64 {
    u64::from(u32::from_ne_bytes(value.to_ne_bytes()))
}

fn has(flag: i32) -> Compare {
    Compare::MaskedEq(bits(flag))
}
