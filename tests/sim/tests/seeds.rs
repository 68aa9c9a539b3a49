//! Random runs. `SEEDS` says how many; a failing one is shown step by step with
//! `cargo run -p weir-tests-sim -- --trace SEED`.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use weir_tests_sim::{Plan, run};

/// Enough for a few hundred runs of every kind of trouble.
const SEEDS: u64 = 100_000;
const THREADS: usize = 2;

#[test]
fn no_record_is_lost_or_repeated_in_any_run() {
    let seeds = std::env::var("SEEDS")
        .ok()
        .and_then(|text| text.parse().ok());
    let seeds = seeds.unwrap_or(SEEDS);
    let next = AtomicU64::new(0);
    let failed = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds {
                        return;
                    }
                    let report = std::panic::catch_unwind(|| run(Plan::random(seed)));
                    let violation =
                        report.map_or_else(|_| Some("panic".to_owned()), |r| r.violation);
                    if let Some(violation) = violation {
                        failed.lock().unwrap().push((seed, violation));
                    }
                }
            });
        }
    });
    let mut failed = failed.into_inner().unwrap();
    failed.sort();
    let shown: Vec<_> = failed.iter().take(5).collect();
    assert!(
        failed.is_empty(),
        "{} of {seeds} seeds fail: {shown:#?}",
        failed.len()
    );
}

#[test]
fn the_same_seed_gives_the_same_run() {
    for seed in 0..300 {
        let (one, two) = (run(Plan::random(seed)), run(Plan::random(seed)));
        assert_eq!(one, two, "seed {seed}");
    }
    let hashes = (0..300).map(|seed| run(Plan::random(seed)).trace_hash);
    let hashes: std::collections::BTreeSet<u64> = hashes.collect();
    assert_eq!(hashes.len(), 300, "different seeds give different runs");
}

/// A simulator in which nothing happens finds nothing.
#[test]
fn the_runs_are_full_of_trouble_and_of_progress() {
    let reports: Vec<_> = (0..1_000).map(|seed| run(Plan::random(seed))).collect();
    let share = |wanted: &dyn Fn(&weir_tests_sim::Report) -> bool| {
        reports.iter().filter(|report| wanted(report)).count()
    };
    assert!(share(&|r| r.completed >= 3) > 800, "checkpoints complete");
    assert!(share(&|r| r.epochs >= 2) > 300, "leaders change");
    assert!(share(&|r| r.restarts >= 1) > 300, "jobs are restarted");
    assert!(share(&|r| r.partial_restarts >= 1) > 100, "regions are");
}
