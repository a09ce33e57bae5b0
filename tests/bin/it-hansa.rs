//! The program `hansa`, once more: tests are given the path of a binary only if it is of their own crate.

fn main() -> std::process::ExitCode {
    hansa_node_provider::backend::maybe_run_launcher();
    hansa_cli::main().into()
}
