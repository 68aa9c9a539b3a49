//! The output folder: results are never mixed, never lost by accident, and never there by half.

use std::fs;
use std::net::TcpListener;

use weir_testkit::{Ended, Job, Process, Random, until};

use crate::harness::{Folder, book, done_in_one, weir};

const LEFTOVER: &str = ".part-1-0-0-000000.csv.inprogress";

fn run(folder: &Folder, more: &[&str]) -> Ended {
    let mut args = folder.job("wordcount", "in.txt");
    args.extend(more.iter().map(|arg| (*arg).to_owned()));
    done_in_one(&args)
}

/// A word count of the book that would take minutes, with files begun.
fn begun(folder: &Folder) -> Process {
    let mut args = folder.job("wordcount", "");
    args.extend([
        "--arg".to_owned(),
        format!("input={}", book().path.display()),
    ]);
    args.extend(["--arg", "rate=200"].map(str::to_owned));
    let process = Process::start(weir(["run".to_owned()].into_iter().chain(args)));
    until("files that are not finished", || {
        folder.names("out").len() == 2
    });
    process
}

#[test]
fn finished_results_are_replaced_only_on_request() {
    let folder = Folder::new();
    folder.write("in.txt", "old");
    run(&folder, &[]).expect(0, &[]);
    let before = folder.rows("out");
    folder.write("in.txt", "new new");
    folder.write("out/notes.txt", "mine");
    let path = folder.path("out").display().to_string();
    let refused = run(&folder, &[]);
    refused.expect(
        1,
        &[
            &path,
            "finished part files of another run",
            "part-",
            "overwrite=true",
        ],
    );
    fs::remove_file(folder.path("out/notes.txt")).expect("still there");
    assert_eq!(
        folder.rows("out"),
        before,
        "the refused run has changed nothing"
    );

    folder.write("out/_SUCCESS", "of another system");
    run(&folder, &["--arg", "overwrite=true"]).expect(0, &[]);
    assert_eq!(folder.counted(), [("new".to_owned(), 2)].into());
    assert!(
        folder.path("out/_SUCCESS").exists(),
        "only part files are removed"
    );
}

#[test]
fn leftovers_of_a_killed_run_are_removed_by_the_next() {
    let folder = Folder::new();
    folder.write("in.txt", "a b");
    let process = begun(&folder);
    process.signal("KILL");
    assert_eq!(process.wait().code, None, "it was killed");
    let leftovers = folder.names("out");
    assert!(
        leftovers.iter().all(|name| name.starts_with('.')),
        "{leftovers:?}"
    );
    assert!(!leftovers.is_empty());
    folder.write(&format!("out/{LEFTOVER}"), "of another run");

    run(&folder, &[]).expect(0, &[]);
    assert_eq!(
        folder.counted(),
        [("a".to_owned(), 1), ("b".to_owned(), 1)].into()
    );
    assert_eq!(
        folder.names("out"),
        folder.finished("out"),
        "the leftovers are gone"
    );
}

#[test]
fn a_run_that_fails_leaves_results_and_leftovers_of_others_alone() {
    let folder = Folder::new();
    folder.write(&format!("out/{LEFTOVER}"), "of another run");
    run(&folder, &[]).expect(1, &["no such file"]);
    folder.write("in.txt", "old");
    run(&folder, &[]).expect(0, &[]);
    let before = folder.rows("out");
    fs::remove_file(folder.path("in.txt")).expect("removed");
    run(&folder, &["--arg", "overwrite=true"]).expect(1, &["no such file"]);
    assert_eq!(
        folder.rows("out"),
        before,
        "there was nothing to replace the results with"
    );
}

#[test]
fn a_port_in_use_costs_no_results() {
    let folder = Folder::new();
    folder.write("in.txt", "old");
    run(&folder, &[]).expect(0, &[]);
    let before = folder.rows("out");
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let refused = run(&folder, &["--arg", "overwrite=true", "--rest", &address]);
    refused.expect(
        1,
        &[
            "error: listen for REST on ",
            &address,
            "Address already in use",
            "--rest",
        ],
    );
    assert_eq!(folder.rows("out"), before, "the job has not begun");
}

#[test]
fn two_runs_do_not_write_to_one_folder_at_the_same_time() {
    let folder = Folder::new();
    folder.write("in.txt", "a");
    let first = begun(&folder);
    let begun = folder.names("out");
    run(&folder, &["--arg", "overwrite=true"]).expect(1, &["another job writes to "]);
    assert_eq!(
        folder.names("out"),
        begun,
        "the first run's files are still there"
    );
    first.signal("INT");
    first.wait().expect(130, &["job wordcount cancelled"]);
}

/// Of two subtasks that publish one can, and does, and the other cannot.
#[test]
fn a_result_that_cannot_be_published_leaves_none_of_the_others_visible() {
    let folder = Folder::new();
    let text = (0..40).map(|n| format!("word-{n}\n")).collect::<String>();
    folder.write("in.txt", text);
    let mut args = folder.job("wordcount", "in.txt");
    args.extend(["--arg", "rate=20"].map(str::to_owned));
    let process = Process::start(weir(["run".to_owned()].into_iter().chain(args)));
    until("files that are not finished", || {
        folder.names("out").len() == 2
    });
    folder.write("out/part-1-1-0-000000.csv", "of another system\n");
    process.wait().expect(
        1,
        &["error: job wordcount failed: ", "part-1-1-0-000000.csv"],
    );
    assert_eq!(folder.names("out"), ["part-1-1-0-000000.csv"]);
    assert_eq!(folder.rows("out").concat(), ["of another system"]);
}

#[test]
fn ctrl_c_removes_what_was_begun() {
    let folder = Folder::new();
    let process = begun(&folder);
    process.signal("INT");
    process
        .wait()
        .expect(130, &["cancelling the job", "job wordcount cancelled: "]);
    folder.expect_no_output();
}

#[test]
fn an_output_that_cannot_be_a_folder_is_told_with_its_path() {
    let folder = Folder::new();
    let file = folder.write("in.txt", "a").display().to_string();
    for (output, part) in [
        (file.clone(), format!("{file} is not a folder")),
        (
            format!("{file}/out"),
            format!("create the folder {file}/out"),
        ),
        (
            "/proc/out".to_owned(),
            "create the folder /proc/out".to_owned(),
        ),
        (
            "hdfs://host/out".to_owned(),
            "only folders and `s3://bucket/prefix` can be written".to_owned(),
        ),
    ] {
        let arg = format!("output={output}");
        run(&folder, &["--arg", &arg]).expect(1, &["error: job wordcount failed: ", &part]);
    }
    assert_eq!(fs::read_to_string(file).expect("still there"), "a");
}

/// Restarting would meet the same file again and again.
#[test]
fn another_file_with_the_name_of_a_result_ends_the_job_with_what_to_do_and_then_nothing_is_lost() {
    let job = Job::wordcount(&mut Random::printed(), 3_000, 1_000);
    let start = || {
        let mut command = weir(["run".to_owned()].iter().chain(job.args()));
        command
            .args(["--checkpoint-interval", "700ms", "--restore", "latest"])
            .arg("--checkpoint-dir")
            .arg(job.path("state"));
        Process::start(command)
    };
    let process = start();
    let hidden = job.output().join(".part-1-0-0-000001.csv.inprogress");
    until("a part that is not published", || hidden.exists());
    let other = job.output().join("part-1-0-0-000001.csv");
    fs::write(&other, "not of this job\n").expect("written");
    process
        .wait()
        .expect(1, &["part-1-0-0-000001.csv", "move it away"]);
    assert_eq!(
        fs::read_to_string(&other).expect("it is there"),
        "not of this job\n"
    );
    // What the message says is all there is to do.
    fs::rename(&other, job.path("elsewhere")).expect("moved");
    start().wait().expect(0, &["finished"]);
    assert_eq!(job.wrong(), None);
}
