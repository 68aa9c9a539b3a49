//! `kubectl weir`: the binary under another name, beside a kubectl that answers from recordings.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use tempfile::TempDir;
use weir_testkit::{Ended, Process, command, root};

/// Runs a program of this name, which is `weir`, where kubectl is the recorded one.
fn run(program: &str, args: &[&str], folder: &TempDir) -> Ended {
    let folder = folder.path();
    let recorded = root().join("worker/cli/testdata/kubectl/kubectl");
    // Both may be there from an earlier run.
    drop(symlink(recorded, folder.join("kubectl")));
    drop(symlink(env!("CARGO_BIN_EXE_weir"), folder.join(program)));
    let path = std::env::var("PATH").unwrap_or_default();
    let mut plugin = command(&folder.join(program), args);
    plugin.env("PATH", format!("{}:{path}", folder.display()));
    Process::start(plugin).wait()
}

#[test]
fn a_link_called_kubectl_weir_is_the_plugin_and_weir_kubectl_is_the_same() {
    let folder = tempfile::tempdir().expect("a folder");
    let job = root().join("worker/cli/testdata/kubectl/job.json");
    let job = fs::read_to_string(job).expect("a recording");
    let list = format!("{{\"items\": [{job}]}}");
    fs::write(folder.path().join("get-streamjobs.weir.dev.1"), list).expect("written");
    let plugin = run("kubectl-weir", &["status"], &folder);
    plugin.expect(0, &[]);
    assert!(plugin.stdout.contains("quickstart  Stable"), "{plugin:?}");
    let sub_command = run("weir", &["kubectl", "status"], &folder);
    assert_eq!(sub_command.stdout, plugin.stdout);
}

#[test]
fn the_plugin_has_its_own_help_and_none_of_the_other_commands() {
    let folder = tempfile::tempdir().expect("a folder");
    let help = run("kubectl-weir", &["savepoint", "--help"], &folder);
    help.expect(0, &[]);
    for part in [
        "Usage: kubectl weir savepoint [OPTIONS] <NAME>",
        "Examples:",
    ] {
        assert!(help.stdout.contains(part), "{}", help.stdout);
    }
    run("kubectl-weir", &["run", "job.yaml"], &folder).expect(2, &["unrecognized subcommand"]);
    run("kubectl-weir", &["status", "pod/a"], &folder).expect(2, &["want NAME or sj/NAME"]);
}

#[test]
fn where_there_is_no_kubectl_the_plugin_says_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut plugin = command(
        Path::new(env!("CARGO_BIN_EXE_weir")),
        ["kubectl", "status", "a"],
    );
    plugin.env("PATH", folder.path());
    Process::start(plugin)
        .wait()
        .expect(1, &["`kubectl` is not on the PATH"]);
}
