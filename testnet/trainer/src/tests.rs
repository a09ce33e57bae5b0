//! Tests of the trainer: it learns, it repeats itself, it says what is wrong with bad data.

use super::*;

const SHIPPED: &str = include_str!("../data/breast_cancer.csv");

fn shipped() -> Table {
    data::parse(SHIPPED).unwrap()
}

#[test]
fn a_separable_set_is_recovered() {
    // The label is 1 exactly when 3a - 2b > 1; the third column is constant and must not disturb.
    let mut text = String::from("a,b,constant,label\n");
    for step in 0..400u32 {
        let (a, b) = (f64::from(step % 20) - 10.0, f64::from(step / 20) - 10.0);
        text.push_str(&format!("{a},{b},5,{}\n", u8::from(3.0 * a - 2.0 * b > 1.0)));
    }
    let training = train(&data::parse(&text).unwrap(), 400, 1, |_| {});
    assert!(training.held_out.accuracy >= 0.98, "{:?}", training.held_out);
    let [a, b, constant] = training.model.weights[..] else { panic!("three weights") };
    let ratio = (a / training.scale.deviation[0]) / (b / training.scale.deviation[1]);
    assert!((ratio + 1.5).abs() < 0.15, "the direction 3 : -2 should be found, not {ratio}");
    assert_eq!(constant, 0.0);
}

#[test]
fn the_shipped_data_are_learnt_for_any_seed() {
    for seed in [SEED_DEFAULT, 1] {
        let training = train(&shipped(), 80, seed, |_| {});
        assert!(training.held_out.accuracy >= 0.95, "seed {seed}: {:?}", training.held_out);
        assert!(training.fold_accuracy >= 0.95, "seed {seed}: {}", training.fold_accuracy);
        assert_eq!(training.samples.iter().sum::<usize>(), 569);
    }
}

#[test]
fn one_seed_gives_one_result() {
    let table = shipped();
    let (first, again) = (train(&table, 50, 11, |_| {}), train(&table, 50, 11, |_| {}));
    assert_eq!(json::weights(&table, &first), json::weights(&table, &again));
    assert_eq!(json::report(&table, &first, 50, 11), json::report(&table, &again, 50, 11));
    let other = train(&table, 50, 12, |_| {});
    assert_ne!(json::weights(&table, &first), json::weights(&table, &other));
}

#[test]
fn samples_held_back_are_not_trained_on_and_keep_the_proportion() {
    let table = shipped();
    let parts = data::split(&table.labels, FOLDS, 5);
    let mut all: Vec<usize> = parts.concat();
    all.sort_unstable();
    assert_eq!(all, (0..569).collect::<Vec<_>>());
    for part in &parts {
        let ones = part.iter().filter(|index| table.labels[**index] == 1.0).count() as f64;
        assert!((ones / part.len() as f64 - 357.0 / 569.0).abs() < 0.02);
    }
}

#[test]
fn bad_data_are_refused_with_line_and_column() {
    let good = "1,2,0\n1,2,1\n".repeat(10);
    let cases = [
        ("", "line 1, column 1: the file is empty"),
        ("label\n1\n", "line 1, column 1: one column only"),
        ("a,,label\n", "line 1, column 2: a column has no name"),
        ("a,b,label\n1,x,0\n", "line 2, column 2: `x` is not a number"),
        ("a,b,label\n1,2,0\n\n1,,0\n", "line 4, column 2: `` is not a number"),
        ("a,b,label\n1,inf,0\n", "line 2, column 2: `inf` is not a finite number"),
        ("a,b,label\n1,2\n", "line 2, column 2: 2 fields where the header names 3"),
        ("a,b,label\n1,2,3,4\n", "line 2, column 3: 4 fields where the header names 3"),
        ("a,b,label\n1,2,0.5\n", "line 2, column 3: the label is 0.5"),
        ("a,b,label\n1,2,0\n", "line 1, column 3: only 0 rows of one label"),
    ];
    for (text, expected) in cases {
        let message = data::parse(text).unwrap_err().to_string();
        assert!(message.starts_with(expected), "{text:?}: {message}");
    }
    assert_eq!(data::parse(&format!("a,b,label\n{good}")).unwrap().rows.len(), 20);
}

#[test]
fn arguments_are_read_or_refused() {
    let read = |line: &str| arguments(line.split_whitespace().map(str::to_owned));
    let full = read("--data d --weights w --report r --epochs 5 --seed 9").unwrap();
    assert_eq!((full.epochs, full.seed, full.data), (5, 9, PathBuf::from("d")));
    for bad in [
        "",
        "--data d",
        "--data",
        "--data d --weights w --report r --epochs 0",
        "--data d --weights w --report r --seed x",
        "--what d",
    ] {
        assert!(matches!(read(bad), Err(Failure::Input(_))), "{bad}");
    }
}

#[test]
fn the_whole_way_writes_both_files_and_failures_have_their_kind() {
    let folder = std::env::temp_dir().join(format!("hansa-trainer-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let data = folder.join("data.csv");
    std::fs::write(&data, SHIPPED).unwrap();
    let mut given = Arguments {
        data,
        weights: folder.join("weights.json"),
        report: folder.join("report.json"),
        epochs: 20,
        seed: 7,
    };
    run(&given).unwrap();
    let weights = std::fs::read_to_string(&given.weights).unwrap();
    assert!(weights.contains("\"name\": \"radius_mean\"") && weights.matches("\"weight\"").count() == 30);
    assert!(std::fs::read_to_string(&given.report).unwrap().contains("\"samples_held_back\": 113"));
    given.report = folder.join("missing").join("report.json");
    assert!(matches!(run(&given), Err(Failure::Output(_))));
    given.data = folder.join("missing.csv");
    assert!(matches!(run(&given), Err(Failure::Input(_))));
    std::fs::remove_dir_all(&folder).unwrap();
}
