//! The shipped programs with their keyed state in RocksDB, and memory for a small part of it: the
//! same output as in memory, through kills, at other parallelisms, and back and forth between both
//! backends; nothing left on the local disk; a full disk told by its name; savepoints that memory
//! could not hold.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;

use weir_testkit::{Job, JobManager, Process, Random, Rest, SmallDisk, until};

use crate::harness::{Folder, weir};
use crate::three_ways::{Life, killed_so_often, runs_straight};

/// Far less than the words of a word count take.
const MEMORY: &str = "64Ki";

/// How many table files there are, at any depth.
fn table_files(folder: &Path) -> usize {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let of = |entry: fs::DirEntry| {
        let path = entry.path();
        let is_table = path.extension().is_some_and(|extension| extension == "sst");
        usize::from(is_table) + table_files(&path)
    };
    entries.map(of).sum()
}

#[track_caller]
fn expect_nothing_local(job: &Job) {
    let left = fs::read_dir(job.local()).expect("it was made").flatten();
    let left: Vec<_> = left.map(|entry| entry.file_name()).collect();
    assert!(left.is_empty(), "left on the local disk: {left:?}");
}

#[track_caller]
fn killed(make: fn(&mut Random, usize, usize) -> Job, lives: &[Life<'_>]) {
    let mut random = Random::printed();
    let job = make(&mut random, 2_000, 500).on_rocksdb(MEMORY);
    killed_so_often(&job, None, &mut random, lives);
    expect_nothing_local(&job);
}

#[test]
fn word_counts_come_out_straight() {
    let job = Job::wordcount(&mut Random::new(1), 20_000, 1_000);
    let job = job.at_full_speed().on_rocksdb(MEMORY);
    let command = weir(["run".to_owned()].iter().chain(job.args()));
    let process = Process::start(command);
    // There are no checkpoints: what is on disk is there because memory has no room for it.
    until("state on the local disk", || {
        table_files(&job.local()) > 0 || job.rows() == job.published()
    });
    process.wait().expect(0, &["finished"]);
    assert_eq!(job.wrong(), None);
    expect_nothing_local(&job);
}

#[test]
fn top_pages_and_alerts_come_out_straight() {
    for make in [Job::top_pages, Job::fraud_detection] {
        let job = make(&mut Random::new(1), 4_000, 1_000);
        let job = job.at_full_speed().on_rocksdb(MEMORY);
        runs_straight(&job);
        expect_nothing_local(&job);
    }
}

#[test]
fn word_counts_come_out_the_same_through_kills() {
    killed(Job::wordcount, &[&["--parallelism", "2"]]);
}

#[test]
fn word_counts_come_out_the_same_at_changing_parallelism() {
    let lives: [Life<'_>; 3] = [
        &["--parallelism", "1"],
        &["--parallelism", "3"],
        &["--parallelism", "2"],
    ];
    killed(Job::wordcount, &lives);
}

/// Windows, with timers: each life reads what the other backend wrote.
#[test]
fn top_pages_come_out_the_same_from_one_backend_to_the_other() {
    let lives: [Life<'_>; 3] = [
        &["--parallelism", "2"],
        &["--parallelism", "2", "--state-backend", "heap"],
        &["--parallelism", "3"],
    ];
    killed(Job::top_pages, &lives);
}

#[test]
fn alerts_come_out_the_same_from_one_backend_to_the_other() {
    let lives: [Life<'_>; 4] = [
        &["--parallelism", "1", "--state-backend", "heap"],
        &["--parallelism", "2"],
        &["--parallelism", "2"],
        &["--parallelism", "3", "--state-backend", "heap"],
    ];
    killed(Job::fraud_detection, &lives);
}

#[test]
fn a_savepoint_of_either_backend_is_restored_by_the_other() {
    let mut random = Random::new(3);
    let job = Job::wordcount(&mut random, 4_000, 1_000).on_rocksdb(MEMORY);
    for (backend, state) in [("rocksdb", "state"), ("heap", "state-2")] {
        let mut command = weir(["run".to_owned()].iter().chain(job.args()));
        command
            .args(["--state-backend", backend, "--checkpoint-interval", "200ms"])
            .args(["--rest", "127.0.0.1:0", "--checkpoint-dir"])
            .arg(job.path(state));
        if backend == "heap" {
            command.arg("--restore").arg(savepoint(&job.path("state")));
        }
        let mut process = Process::start(command);
        let before = job.published();
        until("output", || job.published() > before + 2_000);
        let rest = process.rest();
        let stopped = weir(["stop", "--rest", &rest.address.to_string()]);
        Process::start(stopped).wait().expect(0, &[]);
        process.wait().expect(0, &[]);
        assert_eq!(job.wrong_so_far(), None);
    }
    let mut command = weir(["run".to_owned()].iter().chain(job.args()));
    command
        .arg("--quiet")
        .arg("--checkpoint-dir")
        .arg(job.path("state-3"));
    command
        .arg("--restore")
        .arg(savepoint(&job.path("state-2")));
    Process::start(command).wait().expect(0, &[]);
    assert_eq!(job.wrong(), None);
}

/// With memory for all state, files hardly ever change: each holds what one checkpoint added.
#[test]
fn a_checkpoint_stores_only_new_files_also_after_a_restore() {
    let mut random = Random::new(5);
    let job = Job::wordcount(&mut random, 16_000, 2_000).on_rocksdb("64Mi");
    let start = || {
        let mut command = weir(["run".to_owned()].iter().chain(job.args()));
        command
            .args(["--checkpoint-interval", "300ms", "--restore", "latest"])
            .arg("--checkpoint-dir")
            .arg(job.path("state"));
        Process::start(command)
    };
    // Of the n-th checkpoint and later ones of a process: stored anew, and all of it.
    let sizes = |process: &mut Process, nth: u64| {
        let rest = process.rest();
        let mut sizes = (0, 0);
        until("checkpoints", || {
            let id = rest.json("/jobs")["jobs"][0]["id"].clone();
            let id = id.as_str().unwrap_or_default();
            let all = rest.json(&format!("/jobs/{id}/checkpoints"));
            let done = all["counts"]["completed"].as_u64().unwrap_or(0);
            let history = all["history"].as_array().cloned().unwrap_or_default();
            let first = history
                .iter()
                .rev()
                .filter(|one| one["status"] == "COMPLETED");
            let wanted = usize::try_from(nth - 1).expect("a small number");
            if let Some(one) = first.clone().nth(wanted) {
                let size = |key: &str| one[key].as_u64().expect("a number");
                sizes = (size("checkpointed-size"), size("state-size"));
            }
            done >= nth && sizes.1 > 0
        });
        sizes
    };
    let mut process = start();
    let (written, full) = sizes(&mut process, 8);
    assert!(written < full / 2, "{written} of {full} bytes stored anew");
    process.kill_nine();
    let mut process = start();
    let (written, full) = sizes(&mut process, 1);
    assert!(written < full / 2, "{written} of {full} bytes stored anew");
    process.wait().expect(0, &[]);
    assert_eq!(job.wrong(), None);
}

/// The one savepoint in a state folder.
fn savepoint(state: &Path) -> String {
    let folder = fs::read_dir(state.join("wordcount")).expect("a state folder");
    let names = folder.flatten().map(|entry| entry.path());
    let mut savepoints = names.filter(|path| path.to_string_lossy().contains("/savepoint-"));
    let savepoint = savepoints.next().expect("a savepoint");
    savepoint.display().to_string()
}

#[test]
fn a_taskmanager_that_is_killed_costs_nothing_and_leaves_nothing() {
    let mut random = Random::printed();
    let job = Job::wordcount(&mut random, 4_000, 1_000).on_rocksdb(MEMORY);
    let mut args = job.args().to_vec();
    let state = job.path("state").display().to_string();
    args.extend(["--checkpoint-interval", "100ms", "--checkpoint-dir", &state].map(str::to_owned));
    let manager = JobManager::start(crate::harness::weir_binary(), &args);
    let mut workers = vec![manager.taskmanager(1), manager.taskmanager(1)];
    for _ in 0..3 {
        let before = job.published();
        until("output", || job.published() > before + 500);
        assert!(table_files(&job.local()) > 0, "state on the local disk");
        workers.remove(0).kill_nine();
        workers.push(manager.taskmanager(1));
    }
    manager.process.wait().expect(0, &["finished"]);
    for worker in workers {
        worker.wait().expect(0, &["the job has ended"]);
    }
    assert_eq!(job.wrong(), None);
    expect_nothing_local(&job);
}

#[test]
fn a_full_disk_under_the_state_is_named_and_costs_nothing_once_there_is_room() {
    let mut random = Random::printed();
    let job = Job::wordcount(&mut random, 4_000, 1_000).on_rocksdb(MEMORY);
    let Some(disk) = SmallDisk::mount(&job.local(), 24 << 20) else {
        eprintln!("SKIPPED: nothing can be mounted here (needs root)");
        return;
    };
    let mut command = weir(["run".to_owned()].iter().chain(job.args()));
    command
        .args(["--checkpoint-interval", "100ms", "--checkpoint-dir"])
        .arg(job.path("state"));
    let mut process = Process::start(command);
    until("output", || job.published() > 1_000);
    let filler = job.local().join("filler");
    // The disk is full when this ends; that it fails is the point.
    drop(fs::write(&filler, vec![0; 32 << 20]));
    let rest = process.rest();
    let local = job.local().display().to_string();
    until("the cause in REST", || {
        let id = rest.json("/jobs")["jobs"][0]["id"].clone();
        let id = id.as_str().unwrap_or_default();
        let said = rest.text(&format!("/jobs/{id}/exceptions"));
        said.contains("the disk is full") && said.contains(&local)
    });
    fs::remove_file(filler).expect("removed");
    process.wait().expect(0, &[]);
    assert_eq!(job.wrong(), None);
    drop(disk);
}

/// Words of a thousand bytes: far more than [`LARGE_STATE_MEMORY_MB_MAX`].
const LARGE_WORDS: u64 = 240_000;

/// What a process may take whose slot has 16 MiB for its state: queues, threads, code, RocksDB, and
/// the pieces that a savepoint is written and read in.
const LARGE_STATE_MEMORY_MB_MAX: u64 = 250;

/// Each of the words in lines of ten, then many of them again, line by line.
fn write_large_words(path: &Path) -> std::io::Result<()> {
    let mut input = BufWriter::new(File::create(path)?);
    for number in 0..LARGE_WORDS {
        let end = if number % 10 == 9 { '\n' } else { ' ' };
        write!(input, "{number:01000}{end}")?;
    }
    for number in 0..60_000 {
        writeln!(input, "{number:01000}")?;
    }
    input.flush()
}

/// How many words have been counted.
fn counted(rest: Rest) -> u64 {
    let job = rest.job();
    let read = &job["vertices"][1]["metrics"]["read-records"];
    read.as_u64().unwrap_or(0)
}

#[test]
fn a_savepoint_of_much_more_state_than_memory_is_taken_and_restored_within_the_memory() {
    let folder = Folder::new();
    let input = folder.path("input");
    write_large_words(&input).expect("written");
    let args = [
        format!("input: {}", input.display()),
        "rate: \"6000\"".to_owned(),
    ];
    let job = [
        "parallelism: 1",
        "config:",
        "  state.backend.rocksdb.memory.fixed-per-slot: 16Mi",
        // Files that are mapped into memory would count in what the process takes.
        "  state.backend.rocksdb.predefined-options: disk-heavy",
    ];
    let manifest = folder.manifest("wordcount", &args.each_ref().map(String::as_str), &job);
    let start = |state: &str, more: &[&str]| {
        let mut command = weir(["run".to_owned()].iter().chain(&manifest));
        command.args(["--state-backend", "rocksdb", "--rest", "127.0.0.1:0"]);
        command.arg("--local-dir").arg(folder.path("local"));
        command.arg("--checkpoint-dir").arg(folder.path(state));
        command.args(more);
        Process::start(command)
    };

    let mut process = start("state", &["--checkpoint-interval", "0s"]);
    let rest = process.rest();
    until("all words", || counted(rest) > LARGE_WORDS);
    let stop = Process::start(weir(["stop", "--rest", &rest.address.to_string()]));
    let (ended, most) = process.wait_and_measure();
    ended.expect(0, &[]);
    stop.wait().expect(0, &[]);
    let savepoint = savepoint(&folder.path("state"));
    let files = fs::read_dir(&savepoint).expect("a folder").flatten();
    let sizes = files.map(|file| file.metadata().expect("a file").len());
    assert!(sizes.sum::<u64>() > LARGE_WORDS * 1_000);
    assert!(most < LARGE_STATE_MEMORY_MB_MAX, "{most} MiB to take it");

    let counts = |end: &str| {
        let rows = folder.rows("out").concat();
        rows.iter().filter(|row| row.ends_with(end)).count() as u64
    };
    let (before, more) = (counts(",2"), ["--checkpoint-interval", "1s", "--restore"]);
    let mut process = start("state-2", &[&more[..], &[&savepoint]].concat());
    until("counts that go on", || {
        assert!(!process.has_ended(), "{}", process.stderr());
        counts(",2") > before
    });
    let most = process.memory_mb("VmHWM").expect("it runs");
    process.kill_nine();
    assert_eq!(counts(",1"), LARGE_WORDS, "words that were counted anew");
    assert!(most < LARGE_STATE_MEMORY_MB_MAX, "{most} MiB to restore it");
}
