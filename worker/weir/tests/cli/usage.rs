//! What makes no sense is refused with exit code 2, before anything is started.

use std::fs;
use std::net::TcpListener;

use crate::harness::{Words, done};

#[test]
fn help_and_version_are_answers_and_no_command_is_not() {
    let help = done(["--help"]);
    assert_eq!((help.code, help.stderr.as_str()), (Some(0), ""));
    for part in [
        "weir run examples/wordcount.yaml",
        "Exit codes:",
        "WEIR_LOG",
    ] {
        assert!(help.stdout.contains(part), "{}", help.stdout);
    }
    assert_eq!(
        done(["--version"]).stdout,
        format!("weir {}\n", env!("CARGO_PKG_VERSION"))
    );
    for command in [
        "run",
        "jobmanager",
        "taskmanager",
        "explain",
        "list",
        "info",
        "cancel",
    ] {
        let help = done([command, "--help"]);
        assert!(
            help.code == Some(0) && help.stdout.contains("Example"),
            "{command}: {help:?}"
        );
    }
    done::<&str>([]).expect(2, &["Usage: weir <COMMAND>"]);
}

#[test]
fn wrong_words_are_told_with_what_is_wanted() {
    let job = "examples/wordcount.yaml";
    for (args, part) in [
        (vec!["runn", job], "a similar subcommand exists: 'run'"),
        (vec!["run"], "<JOB.yaml>"),
        (vec!["run", job, "--arg", "input"], "want NAME=VALUE"),
        (vec!["run", job, "--parallelism", "0"], "1..=32768"),
        (vec!["run", job, "--rest", "8081"], "want HOST:PORT"),
        (
            vec!["jobmanager", job, "--rpc", "127.0.0.1"],
            "want HOST:PORT",
        ),
        (vec!["taskmanager"], "--jobmanager <HOST:PORT>"),
        (
            vec!["taskmanager", "--jobmanager", "a:1", "--id", "7"],
            "32 hexadecimal digits",
        ),
        (
            vec!["taskmanager", "--jobmanager", "a:1", "--slots", "0"],
            "1..=1024",
        ),
        (
            vec![
                "taskmanager",
                "--jobmanager",
                "a:1",
                "--reconnect-timeout",
                "60",
            ],
            "add a unit",
        ),
        (vec!["info", "wordcount"], "32 hexadecimal digits"),
        (
            vec!["list", "--format", "xml"],
            "possible values: text, json",
        ),
    ] {
        done(args).expect(2, &["error: ", part]);
    }
}

/// A word count's manifest with one text replaced, and how `weir run` takes it.
fn run_changed(from: &str, to: &str) -> weir_testkit::Ended {
    let words = Words::new(1);
    let manifest = fs::read_to_string(weir_testkit::root().join("examples/wordcount.yaml"));
    let manifest = manifest.expect("an example").replace(from, to);
    let path = words.path("job.yaml");
    fs::write(&path, manifest).expect("written");
    let mut args = words.args("run");
    args[1] = path.display().to_string();
    let ended = done(args);
    assert!(
        ended.code != Some(2) || !words.path("out").exists(),
        "nothing was started"
    );
    ended
}

#[test]
fn an_unknown_field_is_told_with_its_place_and_the_nearest() {
    run_changed("parallelism: 2", "paralelism: 2").expect(
        2,
        &[
            "job.yaml:16:5: unknown field `paralelism` in `spec.job`",
            "did you mean `parallelism`?",
        ],
    );
    run_changed("parallelism: 2", "parallelism: two").expect(2, &["job.yaml:16:18: "]);
}

#[test]
fn an_unknown_program_is_told_with_the_known_ones() {
    run_changed("program: wordcount", "program: wordcuont").expect(
        2,
        &[
            "error: unknown program `wordcuont`: did you mean `wordcount`?",
            "fraud-detection, page-views, top-pages, wordcount",
        ],
    );
}

#[test]
fn an_option_that_nobody_knows_is_refused() {
    let config = "parallelism: 2\n    config: {slot.request.timout: 5s}";
    run_changed("parallelism: 2", config).expect(2, &["did you mean `slot.request.timeout`?"]);
    let config = "parallelism: 2\n    config: {parallelism.default: \"3\"}";
    run_changed("parallelism: 2", config).expect(2, &["set `spec.job.parallelism` instead"]);
}

#[test]
fn fields_that_only_kubernetes_needs_have_no_effect() {
    let spec = "spec:\n  image: registry.example.com/weir:1\n  taskManager: {slots: 2}";
    run_changed("spec:", spec).expect(0, &["finished"]);
}

#[test]
fn arguments_of_the_program_are_checked() {
    let words = Words::new(1);
    for (arg, part) in [
        (
            "inptu=x",
            "unknown argument `inptu`; the program takes: bad-records, input, output",
        ),
        (
            "bad-records=maybe",
            "argument `bad-records`: `maybe` is not BadRecords",
        ),
    ] {
        let mut args = words.args("run");
        args.extend(["--arg".to_owned(), arg.to_owned()]);
        done(args).expect(2, &["error: build program `wordcount`", part]);
    }
    assert!(!words.path("out").exists(), "nothing was started");
}

#[test]
fn a_manifest_that_is_not_there_is_told_with_its_path() {
    let ended = done(["run", "no/such/job.yaml"]);
    ended.expect(
        1,
        &[
            "error: read the manifest `no/such/job.yaml`",
            "No such file",
        ],
    );
}

#[test]
fn a_port_in_use_is_told_with_the_option_that_chooses_another() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    for (command, option) in [
        ("run", "--rest"),
        ("jobmanager", "--rpc"),
        ("jobmanager", "--rest"),
    ] {
        let words = Words::new(1);
        let mut args = words.args(command);
        if option == "--rest" && command == "jobmanager" {
            args.extend(["--rpc".to_owned(), "127.0.0.1:0".to_owned()]);
        }
        args.extend([option.to_owned(), address.clone()]);
        let ended = done(args);
        ended.expect(
            1,
            &[
                "error: listen for ",
                &address,
                "Address already in use",
                option,
            ],
        );
        assert_eq!(
            words.finished(),
            Vec::<String>::new(),
            "nothing was counted"
        );
    }
    let mut args = vec!["taskmanager", "--jobmanager", "127.0.0.1:9"];
    args.extend(["--data", &address]);
    done(args).expect(
        1,
        &[
            "error: listen for ",
            &address,
            "Address already in use",
            "--data",
        ],
    );
}
