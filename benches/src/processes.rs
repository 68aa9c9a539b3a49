//! Runs a program on TaskManagers that are processes of their own.
//!
//! This binary is a Weir binary, too: called as `weir-bench jobmanager …` or
//! `weir-bench taskmanager …` it plays that part, and at its end says what its sinks added up. So
//! the figures include what a real deployment of processes costs, start and registration too.

use std::fs;
use std::io::{BufRead, BufReader, Lines, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, ExitCode, Stdio};

use anyhow::{Context, Result, bail};
use weir::ProgramEntry;
use weir::types::{Clock, SystemClock};

use crate::report::{cpu_seconds_with_children, peak_rss_mb};
use crate::sums::totals;

/// What marks the line with which a process says what it found.
const FINDINGS: &str = "findings";

/// What a run over several processes took and found.
pub(crate) struct Outcome {
    pub(crate) seconds: f64,
    /// Of all processes.
    pub(crate) cpu_seconds: f64,
    /// Of all processes, each at its own peak.
    pub(crate) peak_rss_mb: f64,
    pub(crate) rows: u64,
    pub(crate) sum: u64,
}

/// Plays one of the parts, with these programs, and says what this process found.
pub(crate) fn play(programs: &[ProgramEntry]) -> ExitCode {
    let code = weir::main(programs);
    let ((rows, sum), peak) = (totals(), peak_rss_mb().unwrap_or_default());
    let said = writeln!(std::io::stdout(), "{FINDINGS} {rows} {sum} {peak}");
    // The exit code is what matters, if nobody listens.
    drop(said);
    code
}

/// Runs the program of that name, which has the argument `input`.
pub(crate) fn run(
    scratch: &Path,
    program: &str,
    input: &Path,
    parallelism: u64,
    taskmanagers: u64,
) -> Result<Outcome> {
    if taskmanagers == 0 || !parallelism.is_multiple_of(taskmanagers) {
        bail!("--taskmanagers={taskmanagers}: want a divisor of the parallelism ({parallelism})");
    }
    let manifest = scratch.join(format!("{program}.yaml"));
    fs::write(&manifest, manifest_text(program, input, parallelism))?;
    let slots = (parallelism / taskmanagers).to_string();
    let (from, cpu) = (SystemClock.now(), cpu_seconds_with_children()?);
    let mut jobmanager = Process::start(&[
        "jobmanager".as_ref(),
        manifest.as_os_str(),
        "--rpc=127.0.0.1:0".as_ref(),
        "--rest=127.0.0.1:0".as_ref(),
    ])?;
    let first = jobmanager.lines.next().context("the JobManager ended")??;
    let address = first
        .strip_prefix("jobmanager rpc ")
        .with_context(|| format!("the JobManager said `{first}`"))?
        .to_owned();
    let workers: Vec<Process> = (0..taskmanagers)
        .map(|_| {
            let options = ["taskmanager", "--jobmanager", &address, "--slots", &slots];
            Process::start(&options.map(AsRef::as_ref))
        })
        .collect::<Result<_>>()?;
    let mut outcome = Outcome {
        seconds: 0.0,
        cpu_seconds: 0.0,
        peak_rss_mb: 0.0,
        rows: 0,
        sum: 0,
    };
    for process in workers.into_iter().chain([jobmanager]) {
        let (rows, sum, peak) = process.findings()?;
        outcome.rows += rows;
        outcome.sum = outcome.sum.wrapping_add(sum);
        outcome.peak_rss_mb += peak;
    }
    outcome.seconds = SystemClock.now().since(from).as_secs_f64();
    outcome.cpu_seconds = cpu_seconds_with_children()? - cpu;
    Ok(outcome)
}

fn manifest_text(program: &str, input: &Path, parallelism: u64) -> String {
    // A JSON text is a YAML text.
    let input = serde_json::json!(input);
    format!(
        "apiVersion: weir.dev/v1alpha1\nkind: StreamJob\nmetadata:\n  name: {program}\nspec:\n  \
         job:\n    program: {program}\n    args:\n      input: {input}\n    parallelism: \
         {parallelism}\n"
    )
}

/// A part that another process plays. It does not outlive this one's interest in it.
struct Process {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Process {
    fn start(args: &[&std::ffi::OsStr]) -> Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let stdout = child.stdout.take().context("the pipe of stdout")?;
        Ok(Self {
            child,
            lines: BufReader::new(stdout).lines(),
        })
    }

    /// Waits for the process's end. Rows, sum and peak memory.
    fn findings(mut self) -> Result<(u64, u64, f64)> {
        let mut found = None;
        for line in self.lines.by_ref() {
            let line = line?;
            if let Some(rest) = line.strip_prefix(FINDINGS) {
                found = Some(rest.to_owned());
            }
        }
        let status = self.child.wait()?;
        if !status.success() {
            bail!("a process of the job ended with {status}");
        }
        let found = found.context("a process of the job said nothing at its end")?;
        let mut words = found.split_ascii_whitespace();
        let mut word = || words.next().context("a process said too little");
        Ok((word()?.parse()?, word()?.parse()?, word()?.parse()?))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Neither can fail in a way that matters: it has ended, or ends now.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
