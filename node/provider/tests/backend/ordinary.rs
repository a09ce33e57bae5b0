//! What a job may still do inside the sandbox; what it may not is in `probes`.

use hansa_node_provider::backend::JobEnd;

use crate::bench::{Bench, tiers};

/// What ordinary programs do still works inside: shells, pipes, threads, local time, temporary files, running what they wrote.
#[tokio::test]
async fn ordinary_work_goes_on() {
    let script = r#"set -e
        seq 1000 | sort -r | head -3 > sorted
        date > /dev/null; dd if=/dev/urandom of=random bs=1k count=4 2> /dev/null
        mkdir deep; cd deep; printf '#!/bin/sh\necho inner $1\n' > tool; chmod +x tool; ./tool works; cd ..
        mv deep/tool here; rm -r deep; ln here hard; cat < /dev/null
        test "$HOME" = "$(pwd)"; test -w "$HOME"; cat "$HOME/sorted"; env | grep -c . "#;
    for tier in tiers().await {
        let bench = Bench::new(tier).await;
        let (report, log) = bench.run(&bench.shell("work", script)).await;
        assert_eq!(report.end, JobEnd::Exited(0), "{tier:?}: {log}");
        assert!(log.starts_with("inner works\n999\n998\n997\n"), "{log}");
    }
}
