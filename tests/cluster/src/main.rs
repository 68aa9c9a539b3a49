//! `weir-soak MINUTES [folder|s3]`: jobs one after the other on a cluster that one fault after the
//! other hits, for so long, from a seed that is printed. Ends with a sum, and with 1 if any output
//! was not exact.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use weir_testkit::{Job, Random};
use weir_tests_cluster::{Fault, Party, Store, Storm};
use weir_types::{Clock, SystemClock};

/// What happened so far.
#[derive(Default)]
struct Sum {
    jobs: u64,
    rows: u64,
    faults: BTreeMap<Fault, u64>,
}

fn main() -> io::Result<ExitCode> {
    let mut args = std::env::args().skip(1);
    let minutes: u64 = args.next().and_then(|text| text.parse().ok()).unwrap_or(10);
    let store = args.next();
    let mut random = Random::printed();
    let clock = SystemClock;
    let start = clock.now();
    let limit = Duration::from_secs(60 * minutes);
    let (mut sum, mut failed) = (Sum::default(), 0);
    while clock.now().since(start) < limit && failed == 0 {
        let s3 = match store.as_deref() {
            Some("folder") => false,
            Some("s3") => true,
            _ => sum.jobs % 2 == 1,
        };
        let seed = random.millis(0, 1_000_000_000);
        let seed = u64::try_from(seed.as_millis()).unwrap_or(0);
        let rest = limit.saturating_sub(clock.now().since(start));
        let run = AssertUnwindSafe(|| one_job(seed, s3, rest, &mut sum));
        failed += u64::from(catch_unwind(run).is_err());
        let mut out = io::stdout().lock();
        writeln!(
            out,
            "{:>5} s: {} jobs exact, {} rows, {} faults",
            clock.now().since(start).as_secs(),
            sum.jobs,
            sum.rows,
            sum.faults.values().sum::<u64>(),
        )?;
    }
    let mut out = io::stdout().lock();
    writeln!(out, "seed {}, {minutes} minutes", random.seed())?;
    for (fault, count) in &sum.faults {
        writeln!(out, "  {count:>5} x {fault:?}")?;
    }
    let verdict = if failed == 0 {
        "exact: nothing lost, nothing twice"
    } else {
        "FAILED, see above"
    };
    writeln!(out, "{} jobs, {} rows: {verdict}", sum.jobs, sum.rows)?;
    Ok(ExitCode::from(u8::from(failed > 0)))
}

/// Faults until the job, which lasts about two minutes, has written everything.
fn one_job(seed: u64, s3: bool, rest: Duration, sum: &mut Sum) {
    let mut random = Random::new(seed);
    let seconds = usize::try_from(rest.as_secs().clamp(20, 90)).unwrap_or(20);
    let kind = random.below(3);
    let job = match kind {
        0 => Job::top_pages(&mut random, 400 * seconds, 400),
        1 => Job::fraud_detection(&mut random, 1_000 * seconds, 1_000),
        _ => Job::wordcount(&mut random, 1_000 * seconds, 1_000),
    };
    let rows = job.rows();
    let store = if s3 {
        Store::s3(&random).expect("an S3 server")
    } else {
        Store::Folder(job.path("state"))
    };
    let mut party = Party::start(job, store);
    let mut storm = Storm::new(random.clone());
    party.until_output();
    while !party.is_complete() {
        thread::sleep(random.millis(500, 4_000));
        if party.is_complete() {
            break;
        }
        let fault = storm.choose(&party);
        eprintln!(
            "seed {seed}: {fault:?}, {} of {rows} rows",
            party.job.published()
        );
        storm.inflict(fault, &mut party);
        party.until_progress(&format!("{fault:?}"));
        *sum.faults.entry(fault).or_insert(0) += 1;
    }
    party.finish();
    sum.jobs += 1;
    sum.rows += rows;
}
