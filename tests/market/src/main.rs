use hansa_tests_market::{measure, quarter};
fn main() {
    let a: Vec<String> = std::env::args().collect();
    let s = quarter::Scenario { seed: 1, days: a[1].parse().unwrap(), batch_slots: a[2].parse().unwrap(), organisations: 2000, load: a[3].parse().unwrap(), reserve_bps: a[4].parse().unwrap(), limit_first: std::env::var("LF").is_ok(), class: a.get(5).cloned() };
    let w = quarter::World::new(s).unwrap();
    eprintln!("{} requests", w.requests.len());
    let t = std::time::Instant::now();
    let o = quarter::run(&w).unwrap();
    let mut f = measure::figures(&w, &o);
    eprintln!("{:?}", t.elapsed());
    for m in &mut f.markets { m.price_by_day.clear(); m.utilisation_by_day.clear(); }
    println!("{}", serde_json::to_string_pretty(&f).unwrap());
}
