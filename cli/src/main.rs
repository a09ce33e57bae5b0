//! Use the marketplace.

fn main() -> std::process::ExitCode {
    // The same program is the supervisor of sandboxed jobs: where it is started as that, it never gets further.
    hansa_node_provider::backend::maybe_run_launcher();
    hansa_cli::main().into()
}
