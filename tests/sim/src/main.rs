//! `weir-sim [--seeds N] [--from SEED] [--threads N]`: runs seeds and says which of them fail.
//! `weir-sim --trace SEED`: shows what happens in one run.
//! `--bug NAME` plants one of the bugs in the runs.

use std::io::{self, Write};
use std::panic::catch_unwind;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use weir_tests_sim::{BUGS, Plan, run, run_traced};

fn text(name: &str) -> Option<String> {
    let mut arguments = std::env::args().skip_while(|argument| argument != name);
    arguments.nth(1)
}

fn argument(name: &str) -> Option<u64> {
    text(name)?.parse().ok()
}

fn plan(seed: u64) -> Plan {
    let bug = text("--bug");
    let bug = bug.and_then(|name| BUGS.into_iter().find(|bug| format!("{bug:?}") == name));
    Plan {
        bug,
        ..Plan::random(seed)
    }
}

fn main() -> io::Result<ExitCode> {
    let mut out = io::stdout().lock();
    if let Some(seed) = argument("--trace") {
        let report = run_traced(plan(seed));
        writeln!(out, "{:#?}", plan(seed))?;
        for line in &report.trace {
            writeln!(out, "{line}")?;
        }
        writeln!(out, "{:?}, {} steps", report.violation, report.steps)?;
        return Ok(ExitCode::from(u8::from(report.violation.is_some())));
    }
    let seeds = argument("--seeds").unwrap_or(10_000);
    let from = argument("--from").unwrap_or(0);
    let threads = argument("--threads").unwrap_or(2);
    let next = AtomicU64::new(from);
    let work = || {
        let mut failed = Vec::new();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= from + seeds {
                return failed;
            }
            let report = catch_unwind(|| run(plan(seed)));
            match report.map(|report| report.violation) {
                Ok(None) => {}
                Ok(Some(violation)) => failed.push((seed, violation)),
                Err(_) => failed.push((seed, "panic, see above".to_owned())),
            }
        }
    };
    let mut failed = thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let ended = running.into_iter().map(|thread| thread.join());
        ended
            .flat_map(|failed| failed.unwrap_or_else(|_| vec![(u64::MAX, "panic".to_owned())]))
            .collect::<Vec<_>>()
    });
    failed.sort();
    for (seed, violation) in failed.iter().take(20) {
        writeln!(out, "seed {seed}: {violation}")?;
    }
    writeln!(out, "{seeds} seeds from {from}, {} failed", failed.len())?;
    Ok(ExitCode::from(u8::from(!failed.is_empty())))
}
