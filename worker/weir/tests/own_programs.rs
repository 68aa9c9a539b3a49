//! A job binary with programs of its own: what `weir::main` makes of it.
//!
//! This file is both the binary and its test, so it brings its own `main`: started with a
//! sub-command it is the job binary, else it runs the checks below, each of which starts it again.

#![expect(clippy::panic, reason = "a test, and programs that panic")]

use std::panic::catch_unwind;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::Duration;

use tempfile::TempDir;
use weir::ProgramEntry;
use weir::api::{Args, BoxError, StreamEnv};
use weir::connectors::{BlackholeSink, CollectionSource, PrintSink};
use weir_testkit::{Ended, JobManager, Process, command};

fn main() -> ExitCode {
    let commands = ["run", "jobmanager", "taskmanager", "programs"];
    if std::env::args()
        .nth(1)
        .is_some_and(|first| commands.contains(&first.as_str()))
    {
        return weir::main(&[
            program("lengths", lengths),
            program("panics", panics),
            program("panics-when-built", |_, _| panic!("no graph today")),
            program("stuck", stuck),
        ]);
    }
    run_tests()
}

fn program(name: &'static str, build: weir::api::ProgramFn) -> ProgramEntry {
    ProgramEntry {
        name,
        summary: "for tests",
        build,
    }
}

fn lengths(env: &mut StreamEnv, args: &Args) -> Result<(), BoxError> {
    let most = args.parsed_or("most", usize::MAX)?;
    let words = ["to", "be", "or", "nota"].map(str::to_owned);
    env.from_source(CollectionSource::new(words))
        .map(move |word| word.len().min(most))
        .sink_to(PrintSink::display());
    Ok(())
}

fn panics(env: &mut StreamEnv, _args: &Args) -> Result<(), BoxError> {
    env.from_source(CollectionSource::new(1..=10_u64))
        .map(|number| {
            assert!(number != 7, "{number} is unlucky");
            number
        })
        .name("check")
        .sink_to(BlackholeSink::new());
    Ok(())
}

fn stuck(env: &mut StreamEnv, _args: &Args) -> Result<(), BoxError> {
    env.from_source(CollectionSource::new(1..=10_u64))
        .map(|number| {
            std::thread::sleep(Duration::from_secs(600));
            number
        })
        .sink_to(BlackholeSink::new());
    Ok(())
}

/// A manifest of one of the programs above, in a folder of its own.
fn manifest(program: &str) -> (TempDir, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("job.yaml");
    let text = format!(
        "apiVersion: weir.dev/v1alpha1\nkind: StreamJob\nmetadata: {{name: mine}}\n\
         spec: {{job: {{program: {program}}}}}\n"
    );
    std::fs::write(&path, text).expect("written");
    let path = path.display().to_string();
    (folder, path)
}

fn own(args: &[&str]) -> Command {
    let binary: PathBuf = std::env::current_exe().expect("this binary");
    command(&binary, args)
}

fn run(program: &str, more: &[&str]) -> Ended {
    let (_folder, path) = manifest(program);
    Process::start(own(&[&["run", &path], more].concat())).wait()
}

fn a_job_binary_runs_its_own_programs_and_prints_their_results() {
    let listed = Process::start(own(&["programs"])).wait();
    assert!(listed.stdout.contains("lengths") && !listed.stdout.contains("wordcount"));
    let ended = run("lengths", &["--arg", "most=3"]);
    ended.expect(0, &["job mine finished: 4 records read"]);
    assert_eq!(ended.stdout, "2\n2\n2\n3\n");
    run("wordcount", &[]).expect(2, &["unknown program `wordcount`", "lengths, panics"]);
}

fn a_panic_of_a_function_fails_the_job_with_message_and_place() {
    let ended = run("panics", &["--quiet"]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    for part in [
        "error: job mine failed: ",
        "check",
        "tests/own_programs.rs:",
        "7 is unlucky",
    ] {
        assert!(
            ended.stderr.contains(part),
            "`{part}` is missing in {}",
            ended.stderr
        );
    }
    assert_eq!(
        ended.stderr.lines().count(),
        1,
        "no backtrace: {}",
        ended.stderr
    );
}

fn a_panic_of_a_function_leaves_its_taskmanager_alive() {
    let (_folder, path) = manifest("panics");
    let manager = JobManager::of_command(own(&["jobmanager", &path]));
    let worker = Process::start(manager.taskmanager_command(&[]));
    assert_eq!(manager.process.wait().code, Some(1));
    assert_eq!(worker.wait().code, Some(0), "it heard how the job ended");
}

fn a_panic_while_the_graph_is_built_is_an_error_of_the_program() {
    let ended = run("panics-when-built", &[]);
    assert_eq!(ended.code, Some(2), "{ended:?}");
    for part in [
        "no graph today",
        "error: build program `panics-when-built`: it panicked",
    ] {
        assert!(
            ended.stderr.contains(part),
            "`{part}` is missing in {}",
            ended.stderr
        );
    }
}

fn a_second_signal_ends_a_job_that_does_not_stop() {
    let (_folder, path) = manifest("stuck");
    let mut process = Process::start(own(&["run", &path]));
    process.until_stderr("state=RUNNING");
    process.signal("INT");
    process.until_stderr("cancelling the job");
    process.signal("INT");
    process.wait().expect(130, &[]);
}

/// Prints what the standard test harness would.
fn run_tests() -> ExitCode {
    let tests: [(&str, fn()); 5] = [
        (
            "a_job_binary_runs_its_own_programs_and_prints_their_results",
            a_job_binary_runs_its_own_programs_and_prints_their_results,
        ),
        (
            "a_panic_of_a_function_fails_the_job_with_message_and_place",
            a_panic_of_a_function_fails_the_job_with_message_and_place,
        ),
        (
            "a_panic_of_a_function_leaves_its_taskmanager_alive",
            a_panic_of_a_function_leaves_its_taskmanager_alive,
        ),
        (
            "a_panic_while_the_graph_is_built_is_an_error_of_the_program",
            a_panic_while_the_graph_is_built_is_an_error_of_the_program,
        ),
        (
            "a_second_signal_ends_a_job_that_does_not_stop",
            a_second_signal_ends_a_job_that_does_not_stop,
        ),
    ];
    let (mut passed, mut failed) = (0, 0);
    println!("\nrunning {} tests", tests.len());
    for (name, test) in tests {
        let ok = catch_unwind(test).is_ok();
        println!("test {name} ... {}", if ok { "ok" } else { "FAILED" });
        *if ok { &mut passed } else { &mut failed } += 1;
    }
    let result = if failed == 0 { "ok" } else { "FAILED" };
    println!(
        "\ntest result: {result}. {passed} passed; {failed} failed; 0 ignored; 0 measured; \
         0 filtered out; finished in 0.00s\n"
    );
    if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
