//! `weir-bench WORKLOAD [--key=value…]`: runs one workload and prints one JSON object.
//! `benches/run` builds and calls it.

mod dip;
mod failover;
mod growth;
mod latency;
mod processes;
mod recovery;
mod report;
mod rng;
mod run;
mod seq;
mod sums;
mod wide;
mod words;
mod workloads;

use std::process::ExitCode;

use anyhow::{Result, bail};

use report::Flags;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const USAGE: &str = "usage: weir-bench WORKLOAD [--key=value…], with the workloads and their keys
  wordcount  --words=50M --parallelism=2 --input=DIR --taskmanagers=0 (N processes; 0: this one)
  keyed      --keys=10M --events=50M --parallelism=2 --backend=heap
  latency    --mode=record|window --rate=100K --secs=30 --warmup-s=10 --keys=10K --window-ms=1000
  recovery   --keys=10M --updates=100M --checkpoint-ms=4000
  dip        --keys=1M --events=200M --rate=0 --checkpoint-ms=2000
  growth     --small-mb=1000 --large-mb=4000 --rounds=8 --checkpoint-ms=5000 --dirty-keys=N
  failover   --keys=9500K --checkpoint-ms=5000
  startup    --events=2
all but wordcount and startup: --backend=heap|rocksdb --memory=SIZE (of a slot)
those but failover: --checkpoint-ms=N --checkpoint-dir=DIR --incremental=true --local-recovery=true";

fn main() -> ExitCode {
    let part = std::env::args().nth(1).unwrap_or_default();
    if ["jobmanager", "taskmanager"].contains(&part.as_str()) {
        return processes::play(&workloads::PROGRAMS);
    }
    match work() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn work() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let workload = args.next().unwrap_or_default();
    let flags = Flags::parse(args)?;
    let report = match workload.as_str() {
        "wordcount" => workloads::wordcount(&flags)?,
        "keyed" => workloads::keyed(&flags)?,
        "latency" => latency::run(&flags)?,
        "recovery" => recovery::run(&flags)?,
        "dip" => dip::run(&flags)?,
        "growth" => growth::run(&flags)?,
        "failover" => failover::run(&flags)?,
        "startup" => workloads::startup(&flags)?,
        _ => bail!("{USAGE}"),
    };
    report.print();
    Ok(())
}
