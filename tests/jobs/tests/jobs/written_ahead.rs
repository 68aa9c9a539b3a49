//! Jobs whose state is written ahead of their checkpoints, three ways as any: a rate at which a
//! checkpoint has more to store than an acknowledgement holds, and time between them in which
//! subtasks are idle.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use weir_testkit::{Job, Process, Random, until};

use crate::harness::{kill, weir};

const KILLS: usize = 3;

/// How many objects were written ahead of a checkpoint, at any depth.
fn written_ahead(folder: &Path) -> usize {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let of = |entry: fs::DirEntry| {
        let name = entry.file_name();
        let ahead = name.to_str().is_some_and(|name| name.contains("-ahead"));
        usize::from(ahead) + written_ahead(&entry.path())
    };
    entries.map(of).sum()
}

#[track_caller]
fn go_on(job: &Job, parallelism: &str) -> Process {
    let mut command = weir(["run".to_owned()].iter().chain(job.args()));
    command
        .args(["--quiet", "--checkpoint-interval", "250ms"])
        .args(["--parallelism", parallelism, "--restore", "latest"])
        .arg("--checkpoint-dir")
        .arg(job.path("state"));
    Process::start(command)
}

/// Kills it again and again, each time once something was written ahead, and some time later.
#[track_caller]
fn killed(job: &Job, random: &mut Random, parallelisms: &[&str]) {
    for nth in 0..KILLS {
        let mut process = go_on(job, parallelisms[nth % parallelisms.len()]);
        let before = written_ahead(&job.path("state"));
        until("something written ahead", || {
            // What was written is removed, too: any change will do.
            written_ahead(&job.path("state")) != before || process.code().is_some()
        });
        thread::sleep(random.millis(0, 600));
        kill(process, job, nth);
    }
    let last = parallelisms[KILLS % parallelisms.len()];
    go_on(job, last).wait().expect(0, &[]);
    assert_eq!(job.wrong(), None);
}

/// Enough lines for the kills: each costs a start and some checkpoints.
fn wordcount(random: &mut Random) -> Job {
    Job::wordcount(random, 40_000, 4_000)
}

#[test]
fn word_counts_come_out_the_same_through_kills() {
    let mut random = Random::printed();
    killed(&wordcount(&mut random), &mut random, &["2"]);
}

#[test]
fn word_counts_come_out_the_same_at_changing_parallelism() {
    let mut random = Random::printed();
    killed(&wordcount(&mut random), &mut random, &["1", "3", "2"]);
}

#[test]
fn word_counts_on_rocksdb_come_out_the_same_at_changing_parallelism() {
    let mut random = Random::printed();
    let job = wordcount(&mut random).on_rocksdb("64Mi");
    killed(&job, &mut random, &["2", "1", "3"]);
}

/// What no checkpoint continues is removed with those of its number: nothing piles up.
#[test]
fn what_is_written_ahead_goes_with_its_checkpoints() {
    let mut random = Random::new(3);
    let job = Job::wordcount(&mut random, 24_000, 4_000);
    let mut process = go_on(&job, "2");
    let mut most = 0;
    while process.code().is_none() {
        most = most.max(written_ahead(&job.path("state")));
        thread::sleep(Duration::from_millis(20));
    }
    process.wait().expect(0, &[]);
    assert!(most > 0, "nothing was written ahead");
    // Full ones come every ten checkpoints, and two subtasks write up to three rounds for each.
    assert!(most < 2 * 11 * 3 * 2, "{most} objects");
}
