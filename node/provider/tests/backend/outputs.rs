//! Outputs are read back without following the job anywhere.

use std::io::Read as _;
use std::os::unix::fs::symlink;

use hansa_node_provider::backend::{JobEnd, OutputError, Tier, collect_outputs};

use crate::bench::{Bench, output};

#[tokio::test]
async fn good_outputs_come_back_and_bad_ones_are_refused() {
    let bench = Bench::new(Tier::Sandboxed).await;
    std::fs::write(bench.path("secret"), "secret").unwrap();
    let script = "mkdir -p a/b; echo result > a/b/c; : > empty; head -c 100 /dev/zero > hundred; mkfifo pipe; mkdir folder; \
                  truncate -s 60M sparse; ln -s ../secret link; ln -s .. up; ln -s a alias; ln -s a/b/c inside; ln -s x x";
    let mut spec = bench.shell("job", script);
    let (report, log) = bench.run(&spec).await;
    assert_eq!(report.end, JobEnd::Exited(0), "{log}");
    // Even one the job did not make: the agent's side must hold by itself.
    symlink("/etc/passwd", spec.directory.join("absolute")).unwrap();

    spec.outputs = vec![output("a/b/c", 7), output("empty", 0), output("hundred", 100)];
    let mut collected = collect_outputs(&spec).unwrap();
    let found: Vec<_> = collected.iter().map(|output| (output.path.as_str(), output.bytes)).collect();
    assert_eq!(found, [("a/b/c", 7), ("empty", 0), ("hundred", 100)]);
    let mut text = String::new();
    collected[0].file.read_to_string(&mut text).unwrap();
    assert_eq!(text, "result\n");

    let outside = |path: &str| OutputError::Outside(path.to_owned());
    let cases = [
        ("missing", OutputError::Missing("missing".into())),
        ("a/missing/c", OutputError::Missing("a/missing/c".into())),
        ("empty/c", OutputError::Missing("empty/c".into())),
        ("hundred", OutputError::TooLarge { path: "hundred".into(), bytes: 100, bytes_max: 99 }),
        ("sparse", OutputError::TooLarge { path: "sparse".into(), bytes: 60 << 20, bytes_max: 99 }),
        ("pipe", OutputError::NotRegular("pipe".into())),
        ("folder", OutputError::NotRegular("folder".into())),
        ("link", outside("link")),
        ("absolute", outside("absolute")),
        ("inside", outside("inside")),
        ("x", outside("x")),
        ("up/secret", outside("up/secret")),
        ("alias/b/c", outside("alias/b/c")),
        ("../secret", outside("../secret")),
        ("a/../../secret", outside("a/../../secret")),
        ("/etc/passwd", outside("/etc/passwd")),
        ("", outside("")),
        (".", outside(".")),
    ];
    for (path, expected) in cases {
        spec.outputs = vec![output(path, 99)];
        assert_eq!(collect_outputs(&spec).map(|_| ()), Err(expected), "{path}");
    }
}
