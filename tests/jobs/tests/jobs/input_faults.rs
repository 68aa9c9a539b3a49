//! Input that cannot be read: the job ends with exit code 1 and says where, and leaves no output.

use std::fs::{self, File, Permissions};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use weir_testkit::{Ended, JobManager, Process, command};

use crate::harness::{Folder, book, done_in_one, test_programs, weir, weir_binary};

/// Runs a job that must fail, and come to nothing.
#[track_caller]
fn fails(folder: &Folder, args: &[String], parts: &[&str]) {
    let ended = done_in_one(args);
    ended.expect(1, &[&["error: job "], parts].concat());
    folder.expect_no_output();
}

#[track_caller]
fn file_fails(program: &str, name: &str, bytes: impl AsRef<[u8]>, parts: &[&str]) {
    let folder = Folder::new();
    let path = folder.write(name, bytes).display().to_string();
    fails(
        &folder,
        &folder.job(program, name),
        &[&[path.as_str()], parts].concat(),
    );
}

#[test]
fn input_that_is_not_there_is_told_with_its_path() {
    let folder = Folder::new();
    folder.write("a.txt", "a");
    for (input, part) in [
        ("missing.txt", "no such file: "),
        ("a.txt/b", "no such file: "),
        ("missing/*.txt", "no file matches "),
        ("[a", "read the file pattern "),
    ] {
        let path = folder.path(input).display().to_string();
        fails(
            &folder,
            &folder.job("wordcount", input),
            &[part, &path, "source `lines`"],
        );
    }
    for (input, part) in [
        ("/dev/null", "/dev/null is neither a file nor a folder"),
        (
            "s3://bucket/a.txt",
            "only local files can be read, not s3://bucket/a.txt",
        ),
    ] {
        let mut args = folder.job("wordcount", "");
        args.extend(["--arg".to_owned(), format!("input={input}")]);
        fails(&folder, &args, &[part]);
    }
}

#[test]
fn files_and_folders_that_may_not_be_read_are_told_with_their_path() {
    let folder = Folder::new();
    folder.write("in/closed.txt", "a");
    folder.write("closed/a.txt", "a");
    let binary = as_nobody(&folder);
    let mode = |path: &str, mode| {
        fs::set_permissions(folder.path(path), Permissions::from_mode(mode)).expect("permissions");
    };
    mode("in/closed.txt", 0o000);
    mode("closed", 0o000);
    for (input, part) in [
        ("in", "/2): read the source: open "),
        ("closed", "source `lines`: list the folder "),
        ("closed/a.txt", "source `lines`: look up "),
    ] {
        let mut args = folder.job("wordcount", input);
        args[0] = folder.path("job.yaml").display().to_string();
        let mut command = command(&binary, ["run".to_owned()].into_iter().chain(args));
        if fs::metadata(&binary).expect("the binary").uid() == 0 {
            command.uid(NOBODY).gid(NOBODY);
        }
        command.current_dir("/");
        let ended = Process::start(command).wait();
        let path = folder.path(input).display().to_string();
        ended.expect(
            1,
            &[
                "error: job wordcount failed: ",
                part,
                &path,
                "Permission denied",
            ],
        );
        folder.expect_no_output();
    }
    // So that the folder can be removed by whoever runs the test.
    mode("closed", 0o755);
}

/// Debian's user without any rights.
const NOBODY: u32 = 65_534;

/// A binary that another user can run, for tests that run as root: root may read everything.
fn as_nobody(folder: &Folder) -> PathBuf {
    let top = folder.path("");
    let binary = folder.path("weir");
    // Not by this process: while a file is open for writing it cannot be run, and a process that
    // another test is just starting holds all our files open for a moment.
    let copied = Command::new("cp").arg(weir_binary()).arg(&binary).status();
    assert!(copied.expect("cp runs").success(), "a copy of the binary");
    let manifest = weir_testkit::root().join("examples/wordcount.yaml");
    fs::copy(manifest, folder.path("job.yaml")).expect("a copy of the manifest");
    fs::create_dir(folder.path("out")).expect("an output folder");
    if fs::metadata(&top).expect("the folder").uid() == 0 {
        fs::set_permissions(&top, Permissions::from_mode(0o755)).expect("permissions");
        chown(folder.path("out"), Some(NOBODY), Some(NOBODY)).expect("another owner");
    }
    binary
}

#[test]
fn bytes_that_are_no_utf8_are_told_with_line_and_offset() {
    file_fails(
        "wordcount",
        "in.txt",
        b"good\nnot \xff good\n",
        &["line 2, byte offset 9: invalid UTF-8"],
    );
    file_fails(
        "wordcount",
        "in.txt",
        b"\xc3",
        &["line 1, byte offset 0: invalid UTF-8"],
    );
    // Far behind the place where a reader of its own began.
    let text = &book().text;
    let at = text[..2_700_000].rfind('e').expect("a letter");
    let mut bytes = text.as_bytes().to_vec();
    bytes[at] = 0xfe;
    let line = text[..at].matches('\n').count() + 1;
    let place = format!("line {line}, byte offset {at}: invalid UTF-8");
    file_fails("wordcount", "in.txt", bytes, &[&place]);
}

#[test]
fn on_taskmanagers_bad_input_fails_the_job_in_the_same_way() {
    let folder = Folder::new();
    folder.write("in.txt", b"good\nnot \xff good\n");
    let manager = JobManager::start(weir_binary(), &folder.job("wordcount", "in.txt"));
    let workers = [manager.taskmanager(1), manager.taskmanager(1)];
    let place = "in.txt, line 2, byte offset 9: invalid UTF-8";
    manager
        .process
        .wait()
        .expect(1, &["error: job wordcount failed: ", place]);
    for worker in workers {
        worker.wait().expect(0, &["the job has ended: failed"]);
    }
    folder.expect_no_output();
}

#[test]
fn malformed_csv_is_told_with_line_and_field() {
    for (row, part) in [
        (
            "1,2000,abc",
            "line 2, byte offset 11: malformed CSV: field 3: invalid float literal",
        ),
        (
            "-1,2000,5",
            "line 2, byte offset 11: malformed CSV: field 1: invalid digit",
        ),
        (
            "1,,5",
            "line 2, byte offset 11: malformed CSV: field 2: cannot parse integer",
        ),
        (
            "1,2000",
            "line 2, byte offset 11: malformed CSV: 2 fields, but the first row has 3",
        ),
        (
            "1,2000,5,6",
            "line 2, byte offset 11: malformed CSV: 4 fields, but",
        ),
        (
            "1,\"2000,5",
            "line 2, byte offset 11: malformed CSV: the quoted field 2 is never closed",
        ),
        ("1,2\"0,5", "line 2, byte offset 11: malformed CSV: "),
    ] {
        let text = format!("1,1000,0.5\n{row}\n1,3000,7\n");
        file_fails("fraud-detection", "in.csv", text, &[part]);
    }
    let bytes = b"1,1000,0.5\n1,2000,\xe4\n";
    file_fails(
        "fraud-detection",
        "in.csv",
        bytes,
        &["line 2, byte offset 18: invalid UTF-8"],
    );
}

#[test]
fn a_log_line_of_another_kind_is_told_with_what_is_missing() {
    let log = "::1 - - [21/Nov/2026:02:12:14 +0000] \"GET / HTTP/1.1\" 200 5 \"-\" \"-\"\nhello\n";
    let part = "line 2, byte offset 68: no access log line in combined format: the time";
    file_fails("top-pages", "in.log", log, &[part]);
    let log = "::1 - - [21/Nov/2026:24:12:14 +0000] \"GET / HTTP/1.1\" 200 5\n";
    file_fails(
        "top-pages",
        "in.log",
        log,
        &["`21/Nov/2026:24:12:14 +0000` is no time such as"],
    );
}

fn points(folder: &Folder, lines: &str, more: &[&str]) -> Ended {
    let input = format!("input: {}", folder.write("in.jsonl", lines).display());
    let manifest = folder.manifest("points", &[&[input.as_str()], more].concat(), &[]);
    let args = ["run".to_owned()].into_iter().chain(manifest);
    Process::start(command(test_programs(), args)).wait()
}

#[test]
fn malformed_json_is_told_with_line_and_reason() {
    let good = r#"{"x":1,"y":"one"}"#;
    for (line, part) in [
        ("{\"x\":2,", "line 2, byte offset 18: malformed JSON: EOF"),
        (
            "{\"x\":\"2\",\"y\":\"\"}",
            "malformed JSON: invalid type: string",
        ),
        ("{\"x\":2}", "malformed JSON: missing field `y`"),
        ("[1]]", "malformed JSON: "),
        ("no", "malformed JSON: expected"),
    ] {
        let folder = Folder::new();
        let ended = points(&folder, &format!("{good}\n{line}\n"), &[]);
        ended.expect(
            1,
            &[
                "error: job points failed: ",
                "in.jsonl, line 2, byte offset 18: ",
                part,
            ],
        );
        folder.expect_no_output();
    }
    let folder = Folder::new();
    points(
        &folder,
        &format!("{good}\nno\n\n{good}\n"),
        &["bad-records: skip"],
    )
    .expect(0, &["skipped a bad record", "1 bad record"]);
    assert_eq!(folder.rows("out").concat(), ["1,one", "1,one"]);
}

#[test]
fn a_line_of_100_mb_is_refused_or_skipped_without_being_held_in_memory() {
    let folder = Folder::new();
    let mut file = File::create(folder.path("in.txt")).expect("a file");
    let block = vec![b'x'; 1 << 20];
    file.write_all(b"first line\n").expect("written");
    for _ in 0..100 {
        file.write_all(&block).expect("written");
    }
    file.write_all(b"\nlast line\n").expect("written");
    drop(file);

    let run = |more: &[&str]| {
        let mut args = folder.job("wordcount", "in.txt");
        args.extend(more.iter().map(|arg| (*arg).to_owned()));
        let args = ["run".to_owned()].into_iter().chain(args);
        let (ended, most_mb) = Process::start(weir(args)).wait_and_measure();
        assert!(most_mb < 150, "the process used {most_mb} MiB");
        ended
    };
    let place = "in.txt, line 2, byte offset 11: the line is longer than 16777216 bytes";
    run(&[]).expect(1, &["error: job wordcount failed: ", place]);
    folder.expect_no_output();
    run(&["--arg", "bad-records=skip"]).expect(0, &["skipped a bad record", place, "1 bad record"]);
    let mut rows = folder.rows("out").concat();
    rows.sort_unstable();
    assert_eq!(rows, ["first,1", "last,1", "line,1", "line,2"]);
}
