//! A newest checkpoint that turns out to be damaged.

use super::*;

fn damaged(job: &mut Job, id: u64) -> Vec<String> {
    job.on(Event::Damaged(CheckpointId(id)))
}

fn can_leave(job: &Job, id: u64) -> bool {
    job.coordinator.can_leave(CheckpointId(id))
}

fn restored(job: &Job) -> Option<u64> {
    let latest = job.coordinator.latest_metadata();
    latest.map(|latest| latest.id.0)
}

#[test]
fn the_one_before_becomes_the_newest_by_a_write_that_is_tried_until_it_is_in() {
    let mut job = Job::running(config());
    job.checkpoint(7);
    job.checkpoint(8);
    job.interrupt();
    assert!(can_leave(&job, 8));
    assert_eq!(damaged(&mut job, 8), ["pointer 7 Running"]);
    assert_eq!(job.refused(), ["say"]);
    assert!(job.coordinator.is_leaving(), "no restore may begin");
    assert_eq!(restored(&job), Some(8));
    assert_eq!(job.wait(500), ["pointer 7 Running"]);
    // Others find the same, meanwhile and later.
    assert_eq!(damaged(&mut job, 8), [""; 0]);
    assert_eq!(job.written(), ["say"]);
    assert_eq!(damaged(&mut job, 8), [""; 0]);
    assert!(!job.coordinator.is_leaving() && !job.coordinator.in_doubt());
    assert_eq!((job.latest(), restored(&job)), (7, Some(7)));
    assert!(!can_leave(&job, 7), "there is none before it");
    job.start();
    job.checkpoint(9);
    let retained = job.coordinator.pointer().retained.iter();
    let retained: Vec<_> = retained.map(|kept| kept.id.0).collect();
    assert_eq!(retained, [7, 9], "it takes no place, and numbers go on");
    assert!(can_leave(&job, 9));
}

#[test]
fn nothing_is_left_for_what_a_person_left_behind_or_what_is_not_known() {
    let mut job = Job::running(config());
    job.checkpoint(7);
    assert!(!can_leave(&job, 7), "there is none before it");
    job.checkpoint(8);
    let pointer = Pointer {
        epoch: Epoch(5),
        branch: Some(Epoch(5)),
        ..job.coordinator.pointer().clone()
    };
    let kept = |nth: usize| CheckpointMetadata::clone(&job.coordinator.kept[nth]);
    let (older, newest) = (kept(0), kept(1));
    let coordinator = |pointer: &Pointer| {
        let new = Coordinator::new(config(), pointer.clone(), 1);
        new.with_latest(newest.clone())
    };
    assert!(!coordinator(&pointer).can_leave(newest.id), "not known");
    let with_older = coordinator(&pointer).with_older([older.clone()]);
    assert!(!with_older.can_leave(newest.id), "of another branch");
    let one_branch = Pointer {
        branch: None,
        ..pointer
    };
    let with_older = coordinator(&one_branch).with_older([older]);
    assert!(with_older.can_leave(newest.id));
}

/// The job goes on from the newer one then.
#[test]
fn a_checkpoint_that_completes_meanwhile_is_what_is_restored() {
    let mut job = Job::running(config());
    job.checkpoint(7);
    job.checkpoint(8);
    job.wait(100);
    assert_eq!(job.until_pointer(9), ["pointer 9 Running"]);
    job.interrupt();
    assert_eq!(damaged(&mut job, 8), [""; 0], "one write at a time");
    job.written();
    assert!(!job.coordinator.is_leaving() && !job.coordinator.in_doubt());
    assert_eq!((job.latest(), restored(&job)), (9, Some(9)));
}
