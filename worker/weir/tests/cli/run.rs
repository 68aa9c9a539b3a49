//! `weir run`: a job in one process.

use std::fs;

use serde_json::Value;
use weir_testkit::{Process, until};

use crate::harness::{Words, done, weir};

#[test]
fn the_counts_are_those_of_an_independent_count() {
    let words = Words::new(2_000);
    let mut args = words.args("run");
    args.extend(["--parallelism".to_owned(), "3".to_owned()]);
    let ended = done(args);
    ended.expect(0, &["job wordcount finished: 2,000 records read in "]);
    assert_eq!(ended.stdout, "", "stdout is for results");
    assert_eq!(words.counted(), words.expected());
    assert_eq!(words.finished().len(), 3, "one part file for each subtask");
}

#[test]
fn a_quiet_run_says_nothing() {
    let words = Words::new(1);
    let mut args = words.args("run");
    args.push("--quiet".to_owned());
    let ended = done(args);
    assert_eq!(
        (ended.code, ended.stdout.as_str(), ended.stderr.as_str()),
        (Some(0), "", "")
    );
}

#[test]
fn a_job_that_fails_tells_its_root_cause_and_nothing_else() {
    for (bytes, part) in [
        (
            &b"good\nnot \xff good\n"[..],
            "input.txt, line 2, byte offset 9: invalid UTF-8",
        ),
        (
            b"fine\n\xc3",
            "input.txt, line 2, byte offset 5: invalid UTF-8",
        ),
    ] {
        let words = Words::of_bytes(bytes);
        let mut args = words.args("run");
        args.push("--quiet".to_owned());
        let ended = done(args);
        ended.expect(1, &["error: job wordcount failed: ", part]);
        assert_eq!(ended.stderr.lines().count(), 1, "{}", ended.stderr);
        assert_eq!(
            words.finished(),
            Vec::<String>::new(),
            "nothing looks finished"
        );
    }
    let words = Words::new(1);
    fs::remove_file(words.path("input.txt")).expect("removed");
    let path = words.path("input.txt").display().to_string();
    let ended = done(words.args("run"));
    ended.expect(1, &["error: job wordcount failed: ", "no such file", &path]);
    assert_eq!(ended.stderr.matches(&path).count(), 1, "{}", ended.stderr);
}

#[test]
fn finished_results_are_not_written_over() {
    let words = Words::new(10);
    done(words.args("run")).expect(0, &[]);
    done(words.args("run")).expect(1, &["overwrite=true"]);
    let mut args = words.args("run");
    args.extend(["--arg".to_owned(), "overwrite=true".to_owned()]);
    done(args).expect(0, &[]);
    assert_eq!(words.counted(), words.expected());
}

/// A word count that would take minutes.
fn slow(words: &Words, command: &str) -> Vec<String> {
    let mut args = words.args(command);
    args.extend(["--arg".to_owned(), "rate=50".to_owned()]);
    args
}

#[test]
fn ctrl_c_and_sigterm_cancel_the_job_and_leave_nothing_that_looks_finished() {
    for name in ["INT", "TERM"] {
        let words = Words::new(100_000);
        let mut process = Process::start(weir(slow(&words, "run")));
        process.until_stderr("state=RUNNING");
        process.signal(name);
        process
            .wait()
            .expect(130, &["cancelling the job", "job wordcount cancelled: "]);
        assert_eq!(words.finished(), Vec::<String>::new());
    }
}

#[test]
fn progress_comes_in_lines_where_there_is_no_terminal() {
    let words = Words::new(100_000);
    let mut process = Process::start(weir(slow(&words, "run")));
    process.until_stderr("REST at http://127.0.0.1:");
    process.until_stderr("operators=\"count -> output\" state=RUNNING in=");
    let stderr = process.stderr();
    let line = stderr
        .lines()
        .find(|line| line.starts_with("progress "))
        .expect("a line");
    for part in [
        "t=",
        "operators=\"lines -> split\"",
        "in=",
        "out=",
        "rate=",
        "watermark=",
        "busy=",
        "backpressured=",
    ] {
        assert!(line.contains(part), "`{part}` is missing in {line}");
    }
}

/// `script` gives the process a terminal.
#[test]
fn progress_on_a_terminal_is_a_table_in_place_and_the_last_line_stays() {
    let words = Words::new(700);
    let mut args = words.args("run");
    args.extend(["--arg".to_owned(), "rate=400".to_owned()]);
    let line: Vec<String> = std::iter::once(env!("CARGO_BIN_EXE_weir").to_owned())
        .chain(args)
        .map(|arg| format!("'{arg}'"))
        .collect();
    let line = format!("stty cols 200; {}", line.join(" "));
    let mut script = std::process::Command::new("script");
    script
        .args(["--quiet", "--return", "--command", &line, "/dev/null"])
        .env("TERM", "xterm")
        .current_dir(weir_testkit::root());
    let ended = Process::start(script).wait();
    let shown = &ended.stdout;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    for part in ["B-PRES", "count -> output", "lines -> split", "RUNNING"] {
        assert!(shown.contains(part), "`{part}` is missing in {shown}");
    }
    assert!(
        !shown.contains("progress t="),
        "lines are for logs: {shown}"
    );
    let last = shown.lines().last().unwrap_or_default();
    let last = last.rsplit('\u{1b}').next().unwrap_or_default();
    assert!(
        last.contains("job wordcount finished: 700 records read in "),
        "{shown:?}"
    );
}

#[test]
fn the_process_has_the_variables_that_the_job_lists() {
    let words = Words::new(100_000);
    let manifest = fs::read_to_string(weir_testkit::root().join("examples/wordcount.yaml"));
    let env = "parallelism: 2\n    env:\n    - {name: WEIR_TEST_MODE, value: \"a b\"}";
    let path = words.path("job.yaml");
    fs::write(
        &path,
        manifest.expect("an example").replace("parallelism: 2", env),
    )
    .expect("written");
    let mut args = slow(&words, "run");
    args[1] = path.display().to_string();
    let process = Process::start(weir(args));
    let environ = format!("/proc/{}/environ", process.id());
    until("the variable", || {
        let bytes = fs::read(&environ).unwrap_or_default();
        bytes
            .split(|byte| *byte == 0)
            .any(|entry| entry == b"WEIR_TEST_MODE=a b")
    });
}

/// A quiet run whose log is for programs; what it says is read line by line.
#[track_caller]
fn logged(words: &Words, more: &[&str]) -> (Option<i32>, Vec<Value>) {
    let mut command = weir(words.args("run"));
    command
        .arg("--quiet")
        .args(more)
        .env("WEIR_LOG", "info")
        .env("WEIR_LOG_FORMAT", "json");
    let ended = Process::start(command).wait();
    let lines = ended.stderr.lines().map(|line| {
        let parsed: Result<Value, _> = serde_json::from_str(line);
        let line = parsed.unwrap_or_else(|error| unreachable!("{error}: {line}"));
        for field in ["timestamp", "level", "message"] {
            assert!(line[field].is_string(), "{field}: {line}");
        }
        line
    });
    (ended.code, lines.collect())
}

/// Whoever collects logs reads each line alone.
#[test]
fn the_log_and_the_error_at_the_end_are_lines_of_json_where_that_is_wanted() {
    let words = Words::new(1);
    let state = words.path("state").display().to_string();
    let (code, lines) = logged(&words, &["--restore", "latest", "--checkpoint-dir", &state]);
    assert_eq!(code, Some(0), "{lines:?}");
    let message = |line: &Value| line["message"].as_str().unwrap_or_default().to_owned();
    let told = |line: &Value| message(line).contains("it starts with no state");
    assert!(lines.iter().any(told), "{lines:?}");

    let words = Words::of_bytes(b"good\n\xff\n");
    let (code, lines) = logged(&words, &[]);
    assert_eq!(code, Some(1), "{lines:?}");
    let last = lines.last().expect("a line");
    assert_eq!(last["level"], "ERROR", "{last}");
    assert!(
        message(last).starts_with("job wordcount failed: "),
        "{last}"
    );

    let mut command = weir(["explain", "examples/wordcount.yaml"]);
    command.env("WEIR_LOG_FORMAT", "xml");
    let refused = Process::start(command).wait();
    refused.expect(2, &["WEIR_LOG_FORMAT: `xml`", "`json`"]);
}
