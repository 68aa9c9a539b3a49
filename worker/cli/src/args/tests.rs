use std::time::Duration;

use clap::{CommandFactory, Parser};

use super::*;
use crate::{CheckpointArgs, RestoreChoice};

fn parsed(line: &str) -> Result<Command, String> {
    let words = std::iter::once("weir").chain(line.split_whitespace());
    let cli = Cli::try_parse_from(words).map_err(|error| error.to_string())?;
    Ok(cli.command)
}

fn refused(line: &str) -> String {
    match parsed(line) {
        Ok(command) => panic!("`{line}` is taken as {command:?}"),
        Err(text) => text,
    }
}

#[test]
fn the_definition_holds_together() {
    Cli::command().debug_assert();
}

#[test]
fn every_command_has_an_example() {
    fn check(command: &clap::Command) {
        let groups = ["checkpoints", "programs", "help"];
        let help = command
            .get_after_help()
            .map(ToString::to_string)
            .unwrap_or_default();
        let fine = help.contains("Example") || groups.contains(&command.get_name());
        assert!(fine, "{}", command.get_name());
        command.get_subcommands().for_each(check);
    }
    check(&Cli::command());
}

#[test]
fn checkpoint_options_become_a_request() {
    let line = "run job.yaml --checkpoint-dir s3://b/p --checkpoint-interval 100ms --restore latest \
                --allow-non-restored-state --s3-endpoint http://127.0.0.1:9000 --s3-path-style \
                --s3-region eu --s3-credentials-dir /run/s3";
    let Ok(Command::Run(args)) = parsed(line) else {
        panic!("a run");
    };
    let store = [
        ("s3.credentials-dir", "/run/s3"),
        ("s3.endpoint", "http://127.0.0.1:9000"),
        ("s3.path-style-access", "true"),
        ("s3.region", "eu"),
    ];
    let expected = CheckpointArgs {
        dir: Some("s3://b/p".to_owned()),
        interval: Some(Duration::from_millis(100)),
        restore: Some(RestoreChoice::Latest),
        rewind: None,
        allow_non_restored_state: true,
        require_state: false,
        store: store
            .map(|(key, text)| (key.to_owned(), text.to_owned()))
            .into(),
    };
    assert_eq!(args.checkpoints.request(), expected);
    let Ok(Command::Jobmanager(args)) = parsed("jobmanager job.yaml") else {
        panic!("a JobManager");
    };
    assert_eq!(args.checkpoints.request(), CheckpointArgs::default());
}

#[test]
fn options_that_need_a_checkpoint_folder_say_so() {
    for option in [
        "--restore latest",
        "--checkpoint-interval 1s",
        "--allow-non-restored-state",
    ] {
        let text = refused(&format!("run job.yaml {option}"));
        assert!(
            text.contains("--checkpoint-dir <DIR|URI>"),
            "{option}: {text}"
        );
    }
}

#[test]
fn several_jobmanagers_are_named_with_commas_or_one_by_one() {
    for line in [
        "taskmanager --jobmanager a:1,b:2",
        "taskmanager --jobmanager a:1 --jobmanager b:2",
    ] {
        let Ok(Command::Taskmanager(args)) = parsed(line) else {
            panic!("a TaskManager");
        };
        assert_eq!(args.jobmanagers, ["a:1", "b:2"]);
    }
    assert!(refused("taskmanager --jobmanager a:1,b").contains("want HOST:PORT"));
    assert!(refused("taskmanager").contains("--jobmanager <HOST:PORT>"));
}

#[test]
fn a_store_and_a_jobmanager_are_not_asked_at_once() {
    for line in [
        "checkpoints ls --dir state --rest 127.0.0.1:8081",
        "checkpoints ls --dir state 0123456789abcdef0123456789abcdef",
        "checkpoints inspect 1 --dir state --rest 127.0.0.1:8081",
    ] {
        assert!(refused(line).contains("cannot be used with"), "{line}");
    }
    assert!(parsed("checkpoints ls --dir state").is_ok());
}

#[test]
fn going_back_may_have_a_name_of_its_own() {
    let rewind = |words: &str| {
        let line = format!("run a.yaml --checkpoint-dir s --restore none {words}");
        match parsed(&line) {
            Ok(Command::Run(args)) => Ok(args.checkpoints.request().rewind),
            other => Err(format!("{other:?}")),
        }
    };
    let named = |name: Option<&str>| {
        let name = name.map(str::to_owned);
        Ok(Some(crate::Rewind { name }))
    };
    assert_eq!(rewind(""), Ok(None));
    assert_eq!(rewind("--rewind"), named(None));
    assert_eq!(rewind("--rewind --quiet"), named(None));
    assert_eq!(rewind("--rewind=monday"), named(Some("monday")));
    let bad = rewind("--rewind=a/b").unwrap_err();
    assert!(bad.contains("letters"), "{bad}");
}

#[test]
fn an_operation_has_a_name_that_fits_into_a_path() {
    assert!(parsed("savepoint --operation before-upgrade_1.2").is_ok());
    for bad in ["a/b", "a%20b", ".."] {
        let text = refused(&format!("stop --operation {bad}"));
        assert!(text.contains("letters"), "{text}");
    }
}

#[test]
fn garbage_younger_than_an_hour_stays_unless_said_otherwise() {
    let Ok(Command::Gc(args)) = parsed("gc state --job a --job b") else {
        panic!("gc");
    };
    assert_eq!(
        (args.grace.get(), args.delete),
        (Duration::from_secs(3600), false)
    );
    assert_eq!(args.place.request().jobs, ["a", "b"]);
}
