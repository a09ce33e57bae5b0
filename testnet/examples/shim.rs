//! Temporary.
use std::path::PathBuf;
use hansa_ledger_signature::SecretKey;
fn key(path: &std::path::Path) -> SecretKey {
    let text = std::fs::read_to_string(path).unwrap();
    let line = text.lines().find_map(|l| l.strip_prefix("secret = \"")).unwrap();
    let mut b = [0u8; 32];
    hex::decode_to_slice(line.trim_end_matches('"'), &mut b).unwrap();
    SecretKey::from_bytes(b)
}
async fn term() {
    let mut s = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()).unwrap();
    s.recv().await;
}
fn main() {
    hansa_node_provider::backend::maybe_run_launcher();
    tracing_subscriber::fmt().with_env_filter(tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into())).with_ansi(false).with_writer(std::io::stderr).init();
    let rt = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    rt.block_on(main2());
}
async fn main2() {
    let a: Vec<String> = std::env::args().skip(1).collect();
    let has = |f: &str| a.iter().any(|x| x == f);
    let val = |f: &str| a.iter().position(|x| x == f).map(|i| PathBuf::from(&a[i + 1]));
    let mut out = std::io::stdout();
    let folder = val("--dir");
    let v = hansa_testnet::VerbOptions { folder: folder.clone().unwrap_or("hansa-testnet".into()), json: has("--json") };
    let r = match a.iter().take(2).map(String::as_str).collect::<Vec<_>>()[..] {
        ["node", _] => {
            let c = hansa_node::NodeConfig::load(&val("--config").unwrap()).unwrap();
            let keys = hansa_node::NodeKeys { consensus: key(&c.keys.consensus), network: key(&c.keys.network) };
            match hansa_node::start(c, keys).await { Ok(n) => { n.run(term()).await.unwrap(); } Err(e) => { eprintln!("error: {e}"); std::process::exit(2) } }
            Ok(())
        }
        ["provider", _] => {
            let c = hansa_node_provider::Config::load(&val("--config").unwrap()).unwrap();
            if let Err(e) = hansa_node_provider::run(c, key(&val("--key").unwrap()), term()).await { eprintln!("error: {e}"); std::process::exit(2) }
            Ok(())
        }
        ["demo", ..] => hansa_testnet::demo(&hansa_testnet::DemoOptions { folder, keep: has("--keep"), json: has("--json"), quiet: has("-q"), allow_unsandboxed: has("--allow-unsandboxed"), executable: None }, &mut out).await,
        ["up", ..] => hansa_testnet::up(&hansa_testnet::UpOptions { folder: v.folder.clone(), members: val("--members").map(|p| p.display().to_string()), providers: 2, detach: has("--detach"), json: has("--json"), quiet: has("-q"), allow_unsandboxed: has("--allow-unsandboxed"), executable: None }, &mut out).await,
        ["status", ..] => hansa_testnet::status(&v, &mut out).await,
        ["down", ..] => hansa_testnet::down(&v, &mut out).await,
        ["kill", m] => hansa_testnet::kill(&v, m, &mut out).await,
        ["restart", m] => hansa_testnet::restart(&v, m, None, &mut out).await,
        ["logs", m] => hansa_testnet::logs(&v, m, has("--follow"), &mut out).await,
        _ => panic!("usage"),
    };
    if let Err(e) = r { eprintln!("error: {e}"); if let Some(h) = e.hint() { eprintln!("\nhint: {h}"); } std::process::exit(e.exit_code().into()); }
}
