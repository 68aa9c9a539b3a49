//! State that is damaged, missing, or not to be used: a job that cannot go on exactly does not go
//! on at all.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde_json::Value;
use weir_testkit::{Job, Process, command, until};

use crate::harness::{Folder, test_programs};
use crate::three_ways::{ended_again, killed_in_the_middle};

const LATEST: [&str; 2] = ["--restore", "latest"];

/// All files below a folder, in order.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    let mut rest = vec![folder.to_owned()];
    while let Some(folder) = rest.pop() {
        for entry in fs::read_dir(folder).expect("a folder").flatten() {
            let path = entry.path();
            if path.is_dir() {
                rest.push(path);
            } else {
                all.push(path);
            }
        }
    }
    all.sort_unstable();
    all
}

fn name(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

/// A name, and what is left of a file.
type Way = (&'static str, fn(&[u8]) -> Vec<u8>);

const FLIPPED: Way = ("flipped", |bytes| {
    let mut bytes = bytes.to_vec();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
    bytes
});
const CUT: Way = ("cut", |bytes| bytes[..bytes.len() / 2].to_vec());
const EMPTIED: Way = ("emptied", |_| Vec::new());

/// Damages files in each of these ways, and expects each time that the job says so in one of these
/// ways and what to do next, that it publishes nothing, and that it goes on to exact output once
/// the files are whole again.
#[track_caller]
fn refused_while_damaged(
    which: impl Fn(&Path) -> bool,
    ways: &[Way],
    parts: &[&str],
    next_step: &str,
) {
    let job = killed_in_the_middle();
    let published = job.published();
    let found: Vec<PathBuf> = files(&job.path("state"))
        .into_iter()
        .filter(|path| which(path))
        .collect();
    assert!(!found.is_empty(), "{:?}", files(&job.path("state")));
    let whole: Vec<Vec<u8>> = found
        .iter()
        .map(|path| fs::read(path).expect("read"))
        .collect();
    for (way, damage) in ways {
        for (path, bytes) in found.iter().zip(&whole) {
            fs::write(path, damage(bytes)).expect("written");
        }
        let ended = ended_again(&job, &LATEST);
        ended.expect(1, &[next_step]);
        let named = parts.iter().any(|part| ended.stderr.contains(part));
        assert!(named, "{way}: none of {parts:?} in {}", ended.stderr);
        assert_eq!(job.published(), published, "{way}: {}", ended.stderr);
        assert_eq!(job.wrong_so_far(), None, "{way}");
        for (path, bytes) in found.iter().zip(&whole) {
            fs::write(path, bytes).expect("written");
        }
    }
    ended_again(&job, &LATEST).expect(0, &[]);
    assert_eq!(job.wrong(), None);
}

#[test]
fn a_damaged_pointer_is_refused() {
    refused_while_damaged(
        |path| name(path).starts_with("pointer"),
        &[FLIPPED, CUT, EMPTIED],
        &["read the pointer in"],
        "repair it, or give the job another `--checkpoint-dir`",
    );
}

#[test]
fn damaged_metadata_is_refused() {
    refused_while_damaged(
        |path| name(path) == "_metadata",
        &[FLIPPED, CUT, EMPTIED],
        &["its metadata has another checksum than the pointer says"],
        "repair the snapshot",
    );
}

fn is_state_object(path: &Path) -> bool {
    let name = name(path);
    let other = ["pointer", "leader", "."]
        .iter()
        .any(|start| name.starts_with(start));
    !other && name != "_metadata"
}

#[test]
fn damaged_state_objects_are_refused() {
    let parts = ["checksum", "damaged"];
    refused_while_damaged(
        is_state_object,
        &[FLIPPED],
        &parts,
        "`--restore PATH --rewind`",
    );
}

#[test]
fn state_objects_that_are_cut_off_are_refused() {
    let ways = [CUT, EMPTIED];
    refused_while_damaged(
        is_state_object,
        &ways,
        &["and should have"],
        "`--restore PATH --rewind`",
    );
}

/// When the metadata of each checkpoint was written that the pointer keeps, oldest first.
fn checkpoints(state: &Path) -> Vec<SystemTime> {
    let number = |path: &Path| name(path).strip_prefix("pointer.")?.parse::<u64>().ok();
    let newest = files(state)
        .into_iter()
        .filter(|path| number(path).is_some());
    let Some(pointer) = newest.max_by_key(|path| number(path)) else {
        return Vec::new();
    };
    let text = fs::read_to_string(&pointer).unwrap_or_default();
    let content: Value = serde_json::from_str(&text).unwrap_or_default();
    let retained = content["pointer"]["retained"].as_array();
    let folders = retained.into_iter().flatten().map(|kept| {
        let folder = kept["path"].as_str().expect("a path");
        pointer.with_file_name(folder)
    });
    folders
        .map(|folder| modified(&folder.join("_metadata")))
        .collect()
}

fn modified(path: &Path) -> SystemTime {
    let found = fs::metadata(path).expect("it is there");
    found.modified().expect("files have times")
}

/// Its size is right, so that only who reads it finds out.
#[test]
fn a_job_of_which_no_sink_commits_goes_back_from_objects_whose_bytes_have_changed() {
    let folder = Folder::new();
    let args = ["count: \"60000\"", "rate: \"10000\""];
    let manifest = folder.manifest("sums", &args, &[]);
    let text = fs::read_to_string(&manifest[0]).expect("a manifest");
    // Nothing of a checkpoint is part of the one before.
    let text = text + "  checkpoint:\n    incremental: false\n";
    fs::write(&manifest[0], text).expect("written");
    let state = folder.path("state");
    let start = || {
        let mut command = command(test_programs(), ["run"]);
        command
            .args(&manifest)
            .args(["--checkpoint-interval", "300ms", "--restore", "latest"])
            .arg("--checkpoint-dir")
            .arg(&state)
            .env("WEIR_LOG", "info");
        Process::start(command)
    };
    let mut process = start();
    until("three checkpoints", || {
        state.is_dir() && checkpoints(&state).len() >= 3
    });
    process.kill_nine();
    let written = checkpoints(&state);
    let before = written[written.len() - 2];
    let objects = files(&state).into_iter();
    let newest = objects.filter(|path| is_state_object(path) && modified(path) > before);
    let newest: Vec<_> = newest.collect();
    assert!(!newest.is_empty(), "{:?}", files(&state));
    for path in newest {
        let bytes = fs::read(&path).expect("read");
        fs::write(path, FLIPPED.1(&bytes)).expect("written");
    }
    let said = [
        "is damaged: the job goes back to checkpoint",
        "restarting the job",
    ];
    start().wait().expect(0, &said);
}

#[test]
fn state_that_is_gone_while_the_pointer_names_it_is_missed() {
    let job = killed_in_the_middle();
    let published = job.published();
    for path in files(&job.path("state")) {
        if name(&path) == "_metadata" {
            fs::remove_file(path).expect("removed");
        }
    }
    ended_again(&job, &LATEST).expect(1, &["_metadata", "repair the snapshot"]);
    assert_eq!(job.published(), published);
}

#[test]
fn a_pointer_that_is_gone_while_checkpoints_are_there_is_missed() {
    let job = killed_in_the_middle();
    let published = job.published();
    for path in files(&job.path("state")) {
        if name(&path).starts_with("pointer") {
            fs::remove_file(path).expect("removed");
        }
    }
    ended_again(&job, &LATEST).expect(1, &["pointer"]);
    assert_eq!(job.published(), published);
}

#[track_caller]
fn refused_and_unharmed(job: &Job, restore: &[&str], part: &str) {
    let published = job.published();
    ended_again(job, restore).expect(2, &[part]);
    assert_eq!(job.published(), published);
    ended_again(job, &LATEST).expect(0, &[]);
    assert_eq!(job.wrong(), None);
}

#[test]
fn state_that_is_there_is_not_passed_over() {
    refused_and_unharmed(&killed_in_the_middle(), &[], "--restore latest");
}

#[test]
fn state_that_is_there_is_not_left_behind_by_asking_for_none() {
    refused_and_unharmed(
        &killed_in_the_middle(),
        &["--restore", "none"],
        "--checkpoint-dir",
    );
}
