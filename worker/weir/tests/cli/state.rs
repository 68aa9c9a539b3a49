//! What becomes of a job's checkpoints, as a person sees it: those that are not kept go while it
//! runs, a cancelled job may take all of them with it, and what one says decides how it is read.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use weir_testkit::{Ended, Process, until, until_within};

use crate::harness::{Words, done, weir};

/// A word count with state of its own, and a manifest that says more.
struct Counting {
    words: Words,
}

impl Counting {
    fn new() -> Self {
        // Words that differ, so that state is kept in objects of its own.
        let mut text = String::new();
        for number in 0..40_000 {
            text.push_str(&format!(
                "word-number-{number} word-number-{}\n",
                number / 2
            ));
        }
        Self {
            words: Words::of_bytes(text.as_bytes()),
        }
    }

    /// Starts it, with more fields of `spec.job` and of `spec`.
    fn start(&self, job: &str, spec: &str, rate: &str, more: &[&str]) -> Process {
        let manifest = fs::read_to_string(weir_testkit::root().join("examples/wordcount.yaml"));
        let fields = format!("parallelism: 2\n{job}  {spec}");
        let manifest = manifest
            .expect("an example")
            .replace("parallelism: 2", &fields);
        let path = self.words.path("job.yaml");
        fs::write(&path, manifest).expect("written");
        let mut args = self.words.args("run");
        args[1] = path.display().to_string();
        let rate = format!("rate={rate}");
        args.extend(["--arg", &rate].map(str::to_owned));
        args.extend(["--checkpoint-interval", "100ms", "--checkpoint-dir"].map(str::to_owned));
        args.push(self.words.path("state").display().to_string());
        args.extend(more.iter().map(|arg| (*arg).to_owned()));
        Process::start(weir(args))
    }

    fn folder(&self) -> PathBuf {
        self.words.path("state").join("wordcount")
    }

    /// What lies in the job's state folder, by the first part of its name.
    fn there(&self, start: &str) -> usize {
        let entries = fs::read_dir(self.folder()).into_iter().flatten().flatten();
        let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
        names.filter(|name| name.starts_with(start)).count()
    }

    fn newest(&self) -> u64 {
        let entries = fs::read_dir(self.folder()).into_iter().flatten().flatten();
        let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
        let numbers = names.filter_map(|name| name.rsplit_once('-')?.1.parse().ok());
        numbers.max().unwrap_or(0)
    }

    fn until_checkpoint(&self, number: u64) {
        until("checkpoints", || self.newest() >= number);
    }

    fn inspect(&self, number: u64) -> Ended {
        let (number, dir) = (number.to_string(), self.words.path("state"));
        let dir = dir.display().to_string();
        done(["checkpoints", "inspect", &number, "--dir", &dir])
    }
}

#[test]
fn checkpoints_that_are_not_kept_go_while_the_job_runs() {
    let job = Counting::new();
    let spec = "checkpoint: {retained: 2}\n";
    let mut process = job.start("", spec, "1000", &[]);
    job.until_checkpoint(25);
    // Those of a second or so, of which most are gone again.
    until_within(Duration::from_secs(20), "the old ones' end", || {
        job.there("chk-") < 20
    });
    process.kill_nine();
    let kept = done(["fsck", &job.words.path("state").display().to_string()]);
    kept.expect(0, &[]);
    assert!(kept.stdout.contains("ok"), "{}", kept.stdout);
}

#[test]
fn a_job_that_is_cancelled_takes_its_checkpoints_with_it_if_it_is_told_to() {
    let job = Counting::new();
    let spec = "checkpoint: {externalized: DeleteOnCancel}\n";
    let mut process = job.start("", spec, "1000", &[]);
    let rest = process.rest().address.to_string();
    job.until_checkpoint(3);
    done(["cancel", "--rest", &rest]).expect(0, &[]);
    process.wait().expect(130, &[]);
    assert_eq!(job.there("chk-"), 0);
    assert!(job.there("pointer") > 0, "it stays");
    let state = job.words.path("state").display().to_string();
    let listed = done(["checkpoints", "ls", "--dir", &state]);
    assert!(listed.stdout.contains("deleted"), "{}", listed.stdout);

    let again = job
        .start("", spec, "100000", &["--restore", "latest"])
        .wait();
    again.expect(2, &["cancelled", "DeleteOnCancel", "--restore none"]);
    // What was published is a person's to replace.
    let anew = ["--restore", "none", "--arg", "overwrite=true"];
    let again = job.start("", spec, "100000", &anew).wait();
    again.expect(0, &[]);
}

#[test]
fn a_process_that_is_told_to_end_keeps_its_checkpoints() {
    let job = Counting::new();
    let spec = "checkpoint: {externalized: DeleteOnCancel}\n";
    let process = job.start("", spec, "1000", &[]);
    job.until_checkpoint(3);
    process.signal("TERM");
    process.wait().expect(130, &[]);
    assert!(job.there("chk-") > 0);
    let again = job
        .start("", spec, "100000", &["--restore", "latest"])
        .wait();
    again.expect(0, &[]);
}

#[test]
fn the_number_of_key_groups_is_taken_over_unless_it_is_said() {
    let job = Counting::new();
    let mut process = job.start("    maxParallelism: 48\n", "", "1000", &[]);
    job.until_checkpoint(3);
    process.kill_nine();
    let latest = ["--restore", "latest"];
    let refused = job.start("    maxParallelism: 64\n", "", "100000", &latest);
    let parts = ["`count`", "max parallelism 48", "the program 64", "leave"];
    refused.wait().expect(1, &parts);
    let taken = job.start("", "", "100000", &latest).wait();
    taken.expect(0, &["max parallelism 48 is taken over"]);
    let shown = job.inspect(job.newest()).stdout;
    for part in ["  48  ", "keyed      compression none"] {
        assert!(shown.contains(part), "{shown}");
    }
}

#[test]
fn compressed_state_is_shown_as_such_and_read_by_a_job_that_compresses_none() {
    let job = Counting::new();
    let spec = "checkpoint: {compression: Lz4, retained: 1000}\n";
    let mut process = job.start("", spec, "2000", &[]);
    job.until_checkpoint(4);
    process.kill_nine();
    let shown = job.inspect(2).stdout;
    assert!(shown.contains("keyed      compression lz4"), "{shown}");
    let again = job.start("", "", "100000", &["--restore", "latest"]);
    again.wait().expect(0, &[]);
}
