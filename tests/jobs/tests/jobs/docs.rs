//! The pages about the programs: their commands run, and print what the pages say. Of the README
//! those that go on after a kill.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};

use weir_testkit::{Process, command, root, until};

use crate::harness::{Folder, weir_binary};

/// A command of a page, and what it prints there.
struct Example {
    command: String,
    printed: String,
}

/// The examples of a page: blocks of `console`, in which `$ ` begins a command.
fn examples(page: &str) -> Vec<Example> {
    let mut examples: Vec<Example> = Vec::new();
    for block in page.split("```console\n").skip(1) {
        let (block, _) = block.split_once("```").expect("the block ends");
        for line in block.lines() {
            match (line.strip_prefix("$ "), examples.last_mut()) {
                (Some(command), _) => {
                    examples.push(Example {
                        command: command.to_owned(),
                        printed: String::new(),
                    });
                }
                (None, Some(example)) if example.command.ends_with('\\') => {
                    example.command.push('\n');
                    example.command.push_str(line);
                }
                (None, Some(example)) => example.printed.push_str(&format!("{line}\n")),
                (None, None) => unreachable!("output without a command: {line}"),
            }
        }
    }
    examples
}

/// Runs a page's examples one after the other, in a folder that has the repository's examples.
#[track_caller]
fn check(page: &str, least: usize) {
    let folder = Folder::new();
    for name in ["examples", "LICENSE"] {
        symlink(root().join(name), folder.path(name)).expect("a link");
    }
    let bin = weir_binary()
        .parent()
        .expect("a folder")
        .display()
        .to_string();
    let path = format!("{bin}:{}", std::env::var("PATH").unwrap_or_default());
    let text = fs::read_to_string(root().join(page)).expect("the page is there");
    let examples = examples(&text);
    assert!(
        examples.len() >= least,
        "{page} has {} examples",
        examples.len()
    );
    for Example { command, printed } in examples {
        let mut shell = Command::new("bash");
        shell
            .args(["-euo", "pipefail", "-c", &command])
            .current_dir(folder.path(""));
        shell
            .env("PATH", &path)
            .env("LC_ALL", "C")
            .env_remove("WEIR_LOG")
            .stdin(Stdio::null());
        let output = shell.output().expect("bash runs");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{page}: {command}\n{stderr}");
        let stdout = String::from_utf8(output.stdout).expect("text");
        assert_eq!(stdout, printed, "{page}: {command}\n{stderr}");
    }
}

#[test]
fn the_examples_of_wordcount_print_what_its_page_says() {
    check("docs/programs/wordcount.md", 4);
}

#[test]
fn the_examples_of_fraud_detection_print_what_its_page_says() {
    check("docs/programs/fraud-detection.md", 2);
}

#[test]
fn the_examples_of_top_pages_print_what_its_page_says() {
    check("docs/programs/top-pages.md", 2);
}

#[test]
fn the_examples_of_page_views_print_what_its_page_says() {
    check("docs/programs/page-views.md", 2);
}

/// The commands of the block after a text, without the comments behind them.
fn commands_after(page: &str, text: &str) -> Vec<String> {
    let after = page.split(text).nth(1).expect("the page says so");
    let block = after.split("```sh\n").nth(1).expect("a block");
    let (block, _) = block.split_once("```").expect("the block ends");
    let lines = block.replace("\\\n", "");
    let lines = lines.lines().map(|line| line.split(" # ").next());
    lines.flatten().map(|line| line.trim().to_owned()).collect()
}

#[test]
fn the_job_of_the_readme_can_be_killed_and_asked_while_it_runs() {
    const REST: &str = "127.0.0.1:8081";
    let folder = Folder::new();
    let page = fs::read_to_string(root().join("README.md")).expect("the page is there");
    let commands = commands_after(&page, "Kill it as you like");
    let [run, savepoint, ls] = &commands[..] else {
        unreachable!("{commands:?}");
    };
    assert!(run.contains(REST), "the others ask {REST}: {run}");
    // Other tests may use that port.
    let port = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr());
    let address = port.expect("a port").to_string();
    let bin = weir_binary().parent().expect("a folder").display();
    let start = |text: &str| {
        let text = text
            .replace(REST, &address)
            .replace("/tmp", &folder.path("").display().to_string());
        let text = format!("PATH={bin}:$PATH; exec {text}");
        Process::start(command(Path::new("bash"), ["-c", &text]))
    };
    let mut process = start(run);
    process.rest();
    let state = folder.path("state/wordcount");
    until("a checkpoint", || {
        let entries = fs::read_dir(&state).into_iter().flatten().flatten();
        let mut names = entries.map(|entry| entry.file_name());
        names.any(|name| name.to_string_lossy().starts_with("chk-"))
    });
    let taken = start(&format!("{savepoint} --rest {REST}")).wait();
    taken.expect(0, &[]);
    assert!(
        taken.stdout.contains("/wordcount/savepoint-"),
        "{}",
        taken.stdout
    );
    process.kill_nine();
    let listed = start(ls).wait();
    listed.expect(0, &[]);
    assert!(listed.stdout.contains("savepoint"), "{}", listed.stdout);
    start(run).wait().expect(0, &["restoring"]);
}
