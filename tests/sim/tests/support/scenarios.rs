//! Scenarios: plans by hand, run over a range of seeds for all that they leave open.

use std::panic::catch_unwind;

use weir_tests_sim::{Bug, Plan, Report, run};

pub(crate) const RUNS: u64 = 60;

/// Runs a scenario again and again; gives all reports of it.
pub(crate) fn scenario(change: impl Fn(&mut Plan)) -> Vec<Report> {
    let run_one = |seed| {
        let mut plan = Plan::quiet(seed);
        change(&mut plan);
        let report = run(plan);
        assert_eq!(report.violation, None, "seed {seed}");
        report
    };
    (0..RUNS).map(run_one).collect()
}

/// The same with a planted bug, which the scenario is there for: it must show.
pub(crate) fn finds(bug: Bug, change: impl Fn(&mut Plan)) {
    let shows = |seed| {
        let mut plan = Plan::quiet(seed);
        change(&mut plan);
        plan.bug = Some(bug);
        catch_unwind(|| run(plan)).map_or(true, |report| report.violation.is_some())
    };
    assert!((0..5 * RUNS).any(shows), "{bug:?} does not show");
}

pub(crate) fn some(reports: &[Report], wanted: impl Fn(&Report) -> bool) {
    let count = reports.iter().filter(|report| wanted(report)).count();
    assert!(
        count > reports.len() / 4,
        "it happened in {count} of {} runs only",
        reports.len()
    );
}
