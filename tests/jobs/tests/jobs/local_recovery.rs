//! A TaskManager dies, and the subtasks of the one that lives start again in their process: from
//! the copies on its disk, unless there are none, or they are not what they should be.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use weir_testkit::{Job, JobManager, Process, Random, Rest, until};

/// All state in memory: nothing is evicted, and the records of the test do not wait for the disk.
const MEMORY: &str = "64Mi";

/// What the subtasks of the count have read when they started again: from local copies and from the
/// store, by subtask. None: some have not said so yet.
fn restored(rest: Rest) -> Option<Vec<(u64, u64)>> {
    let job = rest.job();
    let vertices = job["vertices"].as_array()?;
    let count = vertices.iter().find(|vertex| {
        let name = vertex["name"].as_str().unwrap_or_default();
        name.starts_with("count")
    })?;
    let subtasks = count["subtasks"].as_array()?.iter();
    let again: Vec<&Value> = subtasks
        .filter(|subtask| subtask["attempt"].as_u64() > Some(0))
        .collect();
    let bytes = again.iter().map(|subtask| {
        let of = |name: &str| subtask["metrics"][name].as_u64();
        Some((of("restored-local-bytes")?, of("restored-store-bytes")?))
    });
    let bytes: Vec<(u64, u64)> = bytes.collect::<Option<_>>()?;
    let told = bytes.len() == 2 && bytes.iter().all(|(local, store)| local + store > 0);
    told.then_some(bytes)
}

/// The copies of the processes that run.
fn copies(local: &Path) -> Vec<PathBuf> {
    let entries = |folder: &Path| {
        let found = fs::read_dir(folder).into_iter().flatten().flatten();
        found.map(|entry| entry.path()).collect::<Vec<_>>()
    };
    let processes = entries(local).into_iter();
    let copies = processes.flat_map(|process| entries(&process.join("copies")));
    copies.collect()
}

/// A word count on two TaskManagers of which the first dies: what its subtasks' successors read
/// from where, and what the other one has said. `before` is done with the job's local folder just
/// before the death.
#[track_caller]
fn one_dies(job: Job, before: impl FnOnce(&Path)) -> (Vec<(u64, u64)>, String) {
    let mut args = job.args().to_vec();
    let state = job.path("state").display().to_string();
    args.extend(["--checkpoint-interval", "500ms", "--checkpoint-dir", &state].map(str::to_owned));
    let manager = JobManager::start(crate::harness::weir_binary(), &args);
    let worker = || {
        let command = manager.taskmanager_command(&["--slots", "1"]);
        Process::start(command)
    };
    let mut workers = vec![worker(), worker()];
    until("output", || job.published() > 1_000);
    before(&job.local());
    workers.remove(0).kill_nine();
    workers.push(worker());
    let mut bytes = None;
    until("what was read", || {
        bytes = restored(manager.rest);
        bytes.is_some()
    });
    let metrics = manager.rest.text("/metrics");
    for family in [
        "weir_task_restored_bytes{",
        "weir_state_on_disk{",
        "weir_sink_commit_seconds_bucket{",
    ] {
        assert!(metrics.contains(family), "no {family}: {metrics}");
    }
    for place in ["memory", "disk"] {
        let label = format!("place=\"{place}\"}} ");
        until("how large the state is", || {
            let metrics = manager.rest.text("/metrics");
            let mut sizes = metrics
                .lines()
                .filter(|line| line.starts_with("weir_state_size_bytes{job="));
            sizes.any(|line| line.contains(&label) && !line.ends_with(" 0.0"))
        });
    }
    manager.process.wait().expect(0, &["finished"]);
    let mut said = workers.into_iter().map(|worker| {
        let ended = worker.wait();
        ended.expect(0, &["the job has ended"]);
        ended.stderr
    });
    let said = said.next().expect("the one that lives");
    assert_eq!(job.wrong(), None);
    (bytes.expect("it was waited for"), said)
}

fn word_count() -> Job {
    let mut random = Random::printed();
    Job::wordcount(&mut random, 5_000, 800).on_rocksdb(MEMORY)
}

#[test]
fn who_lives_reads_its_copies_and_who_replaces_the_dead_reads_the_store() {
    let (mut bytes, said) = one_dies(word_count(), |local| {
        assert!(!copies(local).is_empty(), "there are copies");
    });
    bytes.sort_unstable();
    let [(no_local, store), (local, _)] = bytes[..] else {
        unreachable!("there are two subtasks");
    };
    assert!(no_local == 0 && store > 0 && local > 0, "{bytes:?}");
    assert!(said.contains(" bytes from local copies"), "{said}");
}

#[test]
fn without_local_recovery_all_is_read_from_the_store() {
    let job = word_count().without_local_recovery();
    let (bytes, _) = one_dies(job, |local| {
        assert_eq!(copies(local), Vec::<PathBuf>::new())
    });
    let store = bytes.iter().all(|(local, store)| *local == 0 && *store > 0);
    assert!(store, "{bytes:?}");
}

/// The database itself has the same files: another file takes the copy's place.
fn replace(copy: &Path, damage: impl Fn(&mut Vec<u8>)) {
    // It may have gone since it was listed.
    if let Ok(mut bytes) = fs::read(copy) {
        damage(&mut bytes);
        fs::remove_file(copy).expect("removed");
        fs::write(copy, bytes).expect("written");
    }
}

#[test]
fn copies_that_were_cut_off_are_passed_over() {
    let (bytes, said) = one_dies(word_count(), |local| {
        for copy in copies(local) {
            replace(&copy, |bytes| bytes.truncate(bytes.len() / 2));
        }
    });
    assert!(said.contains("is not used: it has "), "{said}");
    // Those of the newest files may be younger than the damage.
    assert!(bytes.iter().all(|(_, store)| *store > 0), "{bytes:?}");
}

/// A database notices for itself, when it reads: the subtask fails once more, and then not again.
#[test]
fn copies_that_were_damaged_cost_one_more_restart() {
    let (bytes, said) = one_dies(word_count(), |local| {
        for copy in copies(local) {
            replace(&copy, |bytes| {
                bytes.iter_mut().for_each(|byte| *byte ^= 0x55)
            });
        }
    });
    assert!(
        bytes.iter().all(|(local, store)| local + store > 0),
        "{bytes:?}"
    );
    let twice = "a subtask that began with it has failed";
    assert!(said.contains(twice), "{said}");
}
