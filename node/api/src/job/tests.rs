use super::*;

fn file(path: &str, executable: bool) -> JobFile {
    JobFile { path: path.to_owned(), hash: BlobHash([7; 32]), size: 3, executable }
}

fn output(path: &str, bytes_max: u64) -> JobOutput {
    JobOutput { path: path.to_owned(), bytes_max }
}

fn words(text: &str) -> Vec<String> {
    text.split(' ').map(str::to_owned).collect()
}

fn manifest() -> Manifest {
    let files = vec![file("bin/train", true), file("data.csv", false)];
    let outputs = vec![output("report.json", 1_000), output("weights.bin", 2_000)];
    Manifest::new(words("bin/train --data data.csv"), files, outputs, JobLimits::default()).unwrap()
}

/// What the check says after a change of a good manifest; empty when it accepts.
fn verdict(change: impl Fn(&mut Manifest)) -> String {
    let mut changed = manifest();
    change(&mut changed);
    changed.check().map_or_else(|error| error.to_string(), |()| String::new())
}

#[test]
fn the_encoding_is_fixed_and_reads_back() {
    let small = Manifest::new(
        words("./a b"),
        vec![file("a", true)],
        vec![output("o", 5)],
        JobLimits { wall_s: 1, memory_bytes: 8 << 20, disk_bytes: 2, processes: 3 },
    )
    .unwrap();
    let expected = [
        hex::encode("hansa/job/1\0"),
        format!("02000000{}{}{}{}", "03000000", hex::encode("./a"), "01000000", hex::encode("b")),
        format!("01000000{}{}{}{}01", "01000000", hex::encode("a"), "07".repeat(32), "0300000000000000"),
        format!("01000000{}{}{}", "01000000", hex::encode("o"), "0500000000000000"),
        "0100000000000000000080000000000002000000000000000300000000000000".to_owned(),
    ];
    assert_eq!(hex::encode(small.encode()), expected.concat());
    assert_eq!(small.hash().to_string(), "b6b8916f8e052451d0ff4f9591f2b8b8fb775d2dcfc0e0438c18750dfdbdd2cb");

    let left = OutputManifest::new(vec![OutputFile { path: "o".into(), hash: BlobHash([7; 32]), size: 4 }]);
    let left = left.unwrap();
    let expected = [
        hex::encode("hansa/job-output/1\0"),
        format!("01000000{}{}{}{}", "01000000", hex::encode("o"), "07".repeat(32), "0400000000000000"),
    ];
    assert_eq!(hex::encode(left.encode()), expected.concat());

    assert_eq!(Manifest::decode(&small.encode()), Ok(small.clone()));
    assert_eq!(OutputManifest::decode(&left.encode()), Ok(left.clone()));
    let json = serde_json::to_string(&small).unwrap();
    assert_eq!(serde_json::from_str::<Manifest>(&json).unwrap(), small);
    assert!(OutputManifest::decode(&small.encode()).is_err(), "one kind does not pass for the other");
}

#[test]
fn bytes_cut_or_left_over_are_refused() {
    let bytes = manifest().encode();
    for length in 0..bytes.len() {
        assert!(Manifest::decode(&bytes[..length]).is_err(), "{length}");
    }
    let longer = [bytes.as_slice(), &[0]].concat();
    assert!(matches!(Manifest::decode(&longer), Err(ManifestError::Malformed(_))));
    let huge = vec![0; MANIFEST_BYTES_MAX + 1];
    assert_eq!(Manifest::decode(&huge), Err(ManifestError::TooLarge { bytes: MANIFEST_BYTES_MAX + 1 }));
}

#[test]
fn paths_stay_inside_and_have_one_spelling() {
    let long = "a/".repeat(300);
    let long_name = "n".repeat(256);
    for (path, good) in [
        ("a", true),
        ("a/b.c/..d", true),
        (".hidden", true),
        ("", false),
        ("/etc/passwd", false),
        ("..", false),
        ("a/../b", false),
        ("./a", false),
        ("a//b", false),
        ("a/", false),
        ("a\\b", false),
        ("a\0b", false),
        ("a\nb", false),
        (long.as_str(), false),
        (long_name.as_str(), false),
    ] {
        assert_eq!(check_path(path).is_ok(), good, "{path:?}");
        let job = Manifest::new(words("true"), vec![file(path, false)], vec![], JobLimits::default());
        assert_eq!(job.is_ok(), good, "file {path:?}");
        let job = Manifest::new(words("true"), vec![], vec![output(path, 1)], JobLimits::default());
        assert_eq!(job.is_ok(), good, "output {path:?}");
    }
}

#[test]
fn every_rule_refuses_what_breaks_it() {
    assert_eq!(verdict(|_| ()), "");
    for (change, expected) in [
        ((|job| job.argv.clear()) as fn(&mut Manifest), "the job names no program to run"),
        (|job| job.argv[0].clear(), "the job names no program to run"),
        (|job| job.argv[1].push('\0'), "argument 1 of the job holds a zero byte"),
        (|job| job.argv[2] = "x".repeat(ARGUMENT_BYTES_MAX + 1), "argument 2 of the job"),
        (
            |job| job.argv.resize(ARGUMENTS_MAX + 1, "x".into()),
            "lists 1025 words of the command, and may list 1024",
        ),
        (|job| job.files.resize(FILES_MAX + 1, file("x", false)), "lists 257 files, and may list 256"),
        (|job| job.outputs.resize(OUTPUTS_MAX + 1, output("x", 1)), "lists 65 outputs, and may list 64"),
        (|job| job.files.swap(0, 1), "the files are not sorted by path, or `bin/train` stands twice"),
        (|job| job.outputs[1].path = "report.json".into(), "`report.json` stands twice"),
        (|job| job.outputs[0].path = "bin".into(), "`bin` would have to be a file and a folder"),
        (
            |job| job.files[0].executable = false,
            "the program `bin/train` is not one of the job's executable files",
        ),
        (|job| job.argv[0] = "../train".into(), "the program `../train` is not one"),
        (|job| job.outputs[0].path = LOG_PATH.into(), "the path `hansa-job.log` is kept for the job's log"),
        (|job| job.limits.wall_s = 0, "the limit wall_s is 0, and must be at least 1"),
        (|job| job.limits.memory_bytes = 1, "the limit memory_bytes is 1, and must be at least 8388608"),
        (|job| job.limits.disk_bytes = 0, "the limit disk_bytes is 0"),
        (|job| job.limits.processes = 0, "the limit processes is 0"),
        (|job| job.argv.resize(ARGUMENTS_MAX, "x".repeat(400)), "bytes, and may have 262144"),
    ] {
        let said = verdict(change);
        assert!(!said.is_empty() && said.contains(expected), "expected {expected:?}, got {said:?}");
    }
}

#[test]
fn outputs_are_compared_with_what_was_asked() {
    let job = manifest();
    let left = |files: &[(&str, u64)]| {
        let files = files.iter().map(|(path, size)| OutputFile {
            path: (*path).to_owned(),
            hash: BlobHash([1; 32]),
            size: *size,
        });
        OutputManifest::new(files.collect()).unwrap().answers(&job)
    };
    assert_eq!(left(&[("weights.bin", 2_000), ("report.json", 0)]), Ok(()));
    assert_eq!(left(&[("weights.bin", 1), ("report.json", 0), (LOG_PATH, LOG_BYTES_MAX)]), Ok(()));
    let log_too_long = left(&[("weights.bin", 1), ("report.json", 0), (LOG_PATH, LOG_BYTES_MAX + 1)]);
    assert_eq!(log_too_long, Err(ManifestError::OutputUnasked(LOG_PATH.into())));
    assert_eq!(left(&[("report.json", 0)]), Err(ManifestError::OutputMissing("weights.bin".into())));
    assert_eq!(left(&[("other", 0)]), Err(ManifestError::OutputUnasked("other".into())));
    let error = left(&[("report.json", 1_001), ("weights.bin", 1)]).unwrap_err();
    assert_eq!(error.to_string(), "the output `report.json` has 1001 bytes, and may have 1000");
}
