//! State that is damaged, missing, or not to be used: a job that cannot go on exactly does not go
//! on at all.

use std::fs;
use std::path::{Path, PathBuf};

use weir_testkit::Job;

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
