//! The pages about the programs: their commands run, and print what the pages say.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::{Command, Stdio};

use weir_testkit::root;

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
