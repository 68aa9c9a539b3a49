use super::*;
use crate::golden::assert_golden;
use crate::{GarbageObject, JobCheck, SnapshotCheck};

fn checked(problems: &[&str]) -> FsckReport {
    FsckReport {
        jobs: vec![JobCheck {
            name: "wordcount".to_owned(),
            problems: Vec::new(),
            snapshots: vec![
                SnapshotCheck {
                    id: 11,
                    kind: "checkpoint".to_owned(),
                    location: "/state/wordcount/chk-3-11".to_owned(),
                    objects: 1200,
                    size: 3 << 20,
                    problems: Vec::new(),
                },
                SnapshotCheck {
                    id: 12,
                    kind: "savepoint".to_owned(),
                    location: "/state/wordcount/savepoint-3-12".to_owned(),
                    objects: 2,
                    size: 1536,
                    problems: problems.iter().map(|text| (*text).to_owned()).collect(),
                },
            ],
        }],
    }
}

#[test]
fn damage_is_told_by_snapshot_and_counted() {
    let report = checked(&["`state-0`: has 17 bytes, 1,000 were written"]);
    assert_eq!(report.problems(), 1);
    assert_golden("fsck", &fsck_text("/state", &report));
    assert_eq!(checked(&[]).problems(), 0);
    assert_eq!(
        fsck_text("/state", &FsckReport::default()),
        "/state holds no job"
    );
}

fn garbage_of(count: u64, deleted: bool) -> GcReport {
    let object = |number| GarbageObject {
        path: format!("shared/{number}"),
        size: 512,
        modified: 1_000,
    };
    GcReport {
        deleted,
        jobs: vec![JobGarbage {
            name: "wordcount".to_owned(),
            needed_objects: 1200,
            needed_size: 3 << 20,
            young_objects: 4,
            young_size: 1536,
            garbage: (0..count).map(object).collect(),
            problems: Vec::new(),
        }],
    }
}

#[test]
fn what_could_go_is_told_with_the_option_that_lets_it_go() {
    assert_golden("gc", &gc_text("/state", &garbage_of(2, false)));
    let text = gc_text("/state", &garbage_of(2, true));
    assert!(
        text.contains("DELETED") && !text.contains("--delete"),
        "{text}"
    );
}

#[test]
fn only_the_first_of_very_many_are_named() {
    let text = gc_text("/state", &garbage_of(1_020, false));
    assert!(
        text.contains("not needed: 1,000 more in wordcount\n"),
        "{text}"
    );
    assert_eq!(
        text.matches("not needed: wordcount/shared/").count(),
        PATHS_MAX
    );
}
