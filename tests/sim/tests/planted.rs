//! A simulator is only worth as much as the bugs that it finds. Bugs of well-known systems are
//! planted one at a time; each must be found within so many seeds.

use std::panic::catch_unwind;

use weir_tests_sim::{BUGS, Bug, Plan, run};

/// The first seed that shows the bug.
fn first_found(bug: Bug, seeds: u64) -> Option<(u64, String)> {
    (0..seeds).find_map(|seed| {
        let mut plan = Plan::random(seed);
        plan.bug = Some(bug);
        let violation = match catch_unwind(|| run(plan)) {
            Ok(report) => report.violation,
            // What the product takes for a defect of its own is found, too.
            Err(_) => Some("panic".to_owned()),
        };
        violation.map(|violation| (seed, violation))
    })
}

#[test]
fn every_planted_bug_is_found() {
    let mut missed = Vec::new();
    for bug in BUGS {
        match first_found(bug, 1_000) {
            Some((seed, violation)) => {
                let violation: String = violation.chars().take(90).collect();
                eprintln!("{bug:?}: seed {seed}: {violation}");
            }
            None => missed.push(bug),
        }
    }
    assert!(missed.is_empty(), "not found: {missed:?}");
}
