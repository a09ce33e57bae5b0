//! How the program ends: six numbers that scripts can rely on.

/// The exit code of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done.
    Done = 0,
    /// The user's input, or a refusal of the ledger: the same command will fail again. For a node or an agent also a port, a key
    /// file, a configuration or a data directory that cannot be used as it is.
    Refused = 1,
    /// Ours, or nobody can be reached: the same command may succeed later. For a node also a full disk, at the start or with a
    /// block in hand: nothing is lost, and with room it goes on.
    Failed = 2,
    /// A node that must not be started again before a person has looked: its store is broken or in doubt, or it may have signed
    /// what it cannot remember.
    Halted = 3,
    /// A node of a federation that follows other rules from the next height on: it signed everything before, and goes on where it
    /// stands once a program is installed that knows them.
    Outdated = 4,
    /// Ctrl-C, as shells write it.
    Interrupted = 130,
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::Exit;

    /// The unit that is shipped starts a node again exactly where that is safe and may help.
    #[test]
    fn the_service_unit_follows_the_exit_codes() {
        let unit = include_str!("../../node/systemd/hansa-node.service");
        let value = |name: &str| {
            let mut lines = unit.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix('='));
            let value = lines.next().unwrap_or_else(|| panic!("{name} is not set"));
            assert_eq!(lines.next(), None, "{name} is set twice");
            value.to_owned()
        };
        let codes = |exits: &[Exit]| exits.iter().map(|exit| (*exit as u8).to_string()).collect::<Vec<_>>();
        assert_eq!(value("Restart"), "on-failure");
        let prevented: Vec<String> =
            value("RestartPreventExitStatus").split_whitespace().map(str::to_owned).collect();
        assert_eq!(prevented, codes(&[Exit::Refused, Exit::Halted, Exit::Outdated]));
        assert!(value("ExecStart").ends_with("hansa node run --config /etc/hansa/node.toml"));
        assert_eq!(value("LimitCORE"), "0", "a core dump would hold the validator key");
    }
}
