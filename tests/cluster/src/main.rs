//! `weir-soak MINUTES [folder|s3]`: jobs one after the other on a cluster that one fault after the
//! other hits, for so long, from a seed that is printed. The jobs take turns: three programs, both
//! state backends, and, where nothing else is asked for, state and output in folders and on S3.
//! Ends with a sum, whose last line belongs into `docs/reliability.md`, and with 1 if any output
//! was not exact.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{Command, ExitCode};
use std::thread;
use std::time::Duration;

use weir_testkit::{Job, Random, root};
use weir_tests_cluster::{Fault, Party, StateBackend, Store, Storm};
use weir_types::{Clock, SystemClock};

/// What happened so far.
#[derive(Default)]
struct Sum {
    jobs: usize,
    rows: u64,
    lost: u64,
    duplicated: u64,
    /// How often, and how long the job took to go on at most.
    faults: BTreeMap<Fault, (u64, Duration)>,
    failed: bool,
}

impl Sum {
    fn faults(&self) -> u64 {
        self.faults.values().map(|(count, _)| count).sum()
    }

    fn add(&mut self, fault: Fault, recovery: Duration) {
        let (count, most) = self.faults.entry(fault).or_default();
        *count += 1;
        *most = recovery.max(*most);
    }

    /// A row of the table in `docs/reliability.md`.
    fn row(&self, time: Duration) -> String {
        let mut faults = String::new();
        for (fault, (count, most)) in &self.faults {
            let separator = if faults.is_empty() { "" } else { ", " };
            let seconds = most.as_secs_f64();
            write!(faults, "{separator}{fault:?} {count} × ≤ {seconds:.1} s").expect("a text");
        }
        let verdict = if self.failed { " FAILED" } else { "" };
        format!(
            "| {}{verdict} | {:.0} | {} | {} | {} | {} | {} | {faults} |",
            commit(),
            time.as_secs_f64() / 60.0,
            self.jobs,
            self.rows,
            self.faults(),
            self.lost,
            self.duplicated,
        )
    }
}

/// The commit that was tested.
fn commit() -> String {
    let mut git = Command::new("git");
    git.args(["describe", "--always", "--dirty", "--exclude=*"]);
    match git.current_dir(root()).output() {
        Ok(said) if said.status.success() => String::from_utf8_lossy(&said.stdout).trim().into(),
        _ => "unknown".into(),
    }
}

fn main() -> io::Result<ExitCode> {
    let mut args = std::env::args().skip(1);
    let minutes: u64 = args.next().and_then(|text| text.parse().ok()).unwrap_or(10);
    let store = args.next();
    let mut random = Random::printed();
    let clock = SystemClock;
    let start = clock.now();
    let limit = Duration::from_secs(60 * minutes);
    let mut sum = Sum::default();
    while clock.now().since(start) < limit && !sum.failed {
        let s3 = match store.as_deref() {
            Some("folder") => false,
            Some("s3") => true,
            _ => sum.jobs % 2 == 1,
        };
        let seed = random.millis(0, 1_000_000_000);
        let seed = u64::try_from(seed.as_millis()).unwrap_or(0);
        let rest = limit.saturating_sub(clock.now().since(start));
        let run = AssertUnwindSafe(|| one_job(seed, s3, rest, &mut sum));
        sum.failed = catch_unwind(run).is_err();
        let mut out = io::stdout().lock();
        writeln!(
            out,
            "{:>5} s: {} jobs, {} rows, {} faults",
            clock.now().since(start).as_secs(),
            sum.jobs,
            sum.rows,
            sum.faults(),
        )?;
    }
    let mut out = io::stdout().lock();
    writeln!(out, "seed {}", random.seed())?;
    let verdict = match sum.failed {
        false => "exact: nothing lost, nothing twice",
        true => "FAILED, see above",
    };
    writeln!(out, "{} jobs, {} rows: {verdict}", sum.jobs, sum.rows)?;
    writeln!(out, "{}", sum.row(clock.now().since(start)))?;
    Ok(ExitCode::from(u8::from(sum.failed)))
}

/// How many seconds a job would take without faults; with them it is three times as long.
const SECONDS_MAX: u64 = 30;

/// Faults until the job has written everything.
fn one_job(seed: u64, s3: bool, rest: Duration, sum: &mut Sum) {
    let mut random = Random::new(seed);
    let seconds = (rest.as_secs() / 3).clamp(10, SECONDS_MAX);
    let seconds = usize::try_from(seconds).unwrap_or(10);
    // Twelve jobs have met every program in each backend, on each store.
    let job = match sum.jobs % 3 {
        0 => Job::wordcount(&mut random, 1_000 * seconds, 1_000),
        1 => Job::top_pages(&mut random, 400 * seconds, 400),
        _ => Job::fraud_detection(&mut random, 1_000 * seconds, 1_000),
    };
    let job = StateBackend::in_turn(sum.jobs / 2).of(job);
    let rows = job.rows();
    let store = if s3 {
        Store::s3(&random).expect("an S3 server")
    } else {
        Store::Folder(job.path("state"))
    };
    let job = store.with_output_of(job);
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
        let recovery = storm.inflict(fault, &mut party).wait(&party, fault);
        sum.add(fault, recovery);
    }
    party.wait_for_end();
    let (lost, duplicated) = party.job.lost_and_surplus();
    sum.jobs += 1;
    sum.rows += rows;
    sum.lost += lost;
    sum.duplicated += duplicated;
    party.expect_exact();
}
