//! Subtasks of a small job, driven as a JobManager would drive them: which snapshot they take, what
//! they say of it, and what is visible after each has been killed and gone on.

mod local_copies;
mod rig;

use std::time::Duration;

use weir_checkpoint::align::AlignMode;
use weir_checkpoint::coordinator::{FailureKind, Then};
use weir_storage::StoreErrorKind;
use weir_types::{BarrierKind, CheckpointId};

use self::rig::{Heard, Job, Options};
use crate::TaskCommit;

/// What is visible in the end if each record counted once.
fn each_once(records: &[u64]) -> Vec<(u64, u64)> {
    let mut counts = std::collections::BTreeMap::<u64, u64>::new();
    let mut rows: Vec<_> = records
        .iter()
        .map(|key| {
            let count = counts.entry(*key).or_default();
            *count += 1;
            (*key, *count)
        })
        .collect();
    rows.sort_unstable();
    rows
}

fn keys(rows: std::ops::Range<u64>) -> Vec<u64> {
    rows.map(|n| n * n % 17).collect()
}

#[test]
fn a_snapshot_holds_what_lies_before_the_barriers_and_its_results_are_shown_with_it() {
    let job = Job::new(Options::default());
    let (before, after) = (keys(0..3000), keys(3000..4000));
    let run = job.start(1, None);
    job.feed(&before);
    run.wait_for_records(3000);
    run.checkpoint(1);
    job.feed(&after);
    run.wait_for_records(4000);
    assert_eq!(
        job.visible(),
        [],
        "nothing is shown before the checkpoint is complete"
    );
    run.complete(1, false);
    assert_eq!(job.visible(), each_once(&before));
    let taken = run.metadata(1);
    run.kill();

    let run = job.start(2, Some(&taken));
    run.wait_for_records(1000);
    run.checkpoint(2);
    run.complete(2, false);
    let all = [before, after].concat();
    assert_eq!(
        job.visible(),
        each_once(&all),
        "what came after the barrier was read again"
    );
    run.kill();
}

#[test]
fn an_attempt_that_starts_empty_aborts_what_the_one_before_has_prepared() {
    let job = Job::new(Options::default());
    let records = keys(0..100);
    let run = job.start(1, None);
    job.feed(&records);
    run.wait_for_records(100);
    run.checkpoint(1);
    run.kill();
    let run = job.start(2, None);
    run.wait_for_records(100);
    run.checkpoint(2);
    run.complete(2, false);
    assert_eq!(job.visible(), each_once(&records));
    run.kill();
}

#[test]
fn bounded_input_ends_with_a_last_checkpoint_after_which_all_is_committed() {
    let job = Job::new(Options::default());
    let records = keys(0..500);
    job.feed(&records);
    job.end_input();
    let run = job.start(1, None);
    run.wait_until("all report the end of input", |heard| {
        heard
            .iter()
            .filter(|heard| matches!(heard, Heard::EndOfInput(_)))
            .count()
            == job.subtasks()
    });
    run.checkpoint(1);
    assert!(run.states(1).iter().all(|state| state.ended));
    assert_eq!(job.visible(), []);
    run.complete(1, true);
    run.wait_finished();
    assert_eq!(job.visible(), each_once(&records));
}

#[test]
fn a_job_that_is_restored_after_its_end_only_commits() {
    let job = Job::new(Options::default());
    let records = keys(0..500);
    job.feed(&records);
    job.end_input();
    let run = job.start(1, None);
    run.wait_for_ends();
    run.checkpoint(1);
    let taken = run.metadata(1);
    run.kill();
    let run = job.start(2, Some(&taken));
    run.wait_for_ends();
    assert_eq!(job.visible(), each_once(&records));
    run.checkpoint(2);
    assert!(run.states(2).iter().all(|state| state.ended));
    run.complete(2, true);
    run.wait_finished();
    assert_eq!(job.visible(), each_once(&records));
    assert_eq!(run.records(), 0, "nothing is read or said again");
}

#[test]
fn a_source_that_has_ended_takes_part_in_checkpoints_while_another_goes_on() {
    let job = Job::new(Options::default());
    let first = keys(0..200);
    let run = job.start(1, None);
    job.feed_to(0, &first);
    job.end_input_of(0);
    run.wait_for_records(200);
    run.wait_until("one source ends", |heard| {
        heard
            .iter()
            .any(|heard| matches!(heard, Heard::EndOfInput(_)))
    });
    run.checkpoint(1);
    run.complete(1, false);
    let taken = run.metadata(1);
    run.kill();

    let run = job.start(2, Some(&taken));
    let second = keys(200..300);
    job.feed_to(1, &second);
    job.end_input_of(1);
    run.wait_for_ends();
    run.checkpoint(2);
    run.complete(2, true);
    run.wait_finished();
    assert_eq!(job.visible(), each_once(&[first, second].concat()));
}

#[test]
fn commits_that_are_repeated_late_or_lost_show_each_record_once() {
    let job = Job::new(Options::default());
    let run = job.start(1, None);
    let mut all = Vec::new();
    for id in 1..=4 {
        let records = keys(id * 100..id * 100 + 100);
        job.feed(&records);
        all.extend(records);
        run.wait_for_records(id * 100);
        run.checkpoint(id);
        match id {
            1 => {} // lost
            2 => {
                run.complete(2, false);
                run.complete(2, false);
            }
            _ => {}
        }
    }
    run.complete(4, false);
    run.tell_all_commit(TaskCommit::Checkpoint {
        id: CheckpointId(3),
        last: false,
    });
    run.complete(4, false);
    assert_eq!(job.visible(), each_once(&all));
    run.kill();
}

#[test]
fn deltas_build_on_confirmed_checkpoints_and_aborted_ones_flow_back() {
    let job = Job::new(Options {
        incremental: true,
        ..Options::default()
    });
    let run = job.start(1, None);
    let mut all: Vec<u64> = (100_000..102_000).collect();
    // Many keys first, so that a delta is small beside them.
    job.feed(&all);
    let go_on = |all: &mut Vec<u64>, id: u64| {
        let records: Vec<u64> = (0..50).map(|n| id * 1000 + n).collect();
        job.feed(&records);
        all.extend(records);
        run.wait_for_records(all.len() as u64);
        run.checkpoint(id);
    };
    go_on(&mut all, 1);
    run.complete(1, false);
    assert_eq!(run.chain_lengths(1), [1, 1]);
    go_on(&mut all, 2);
    assert_eq!(run.chain_lengths(2), [2, 2]);
    run.abort(2);
    go_on(&mut all, 3);
    assert_eq!(
        run.chain_lengths(3),
        [2, 2],
        "on the first, not on the aborted one"
    );
    run.savepoint(4);
    assert_eq!(
        run.chain_lengths(4),
        [1, 1],
        "a savepoint stands for itself"
    );
    run.complete(4, false);
    go_on(&mut all, 5);
    assert_eq!(
        run.chain_lengths(5),
        [2, 2],
        "nothing builds on a savepoint"
    );
    let taken = run.metadata(5);
    run.complete(5, false);
    run.kill();

    // What was counted in any of them is in the state: a key's next record continues it.
    let run = job.start(2, Some(&taken));
    let again = all.clone();
    job.feed(&again);
    run.wait_for_records(again.len() as u64);
    run.checkpoint(6);
    assert_eq!(run.chain_lengths(6), [3, 3], "also on the restored one");
    run.complete(6, false);
    assert_eq!(job.visible(), each_once(&[all, again].concat()));
    run.kill();
}

#[test]
fn a_store_that_fails_declines_the_checkpoint_and_the_job_runs_on() {
    let job = Job::new(Options {
        inline_max: 0,
        ..Options::default()
    });
    let run = job.start(1, None);
    let records = keys(0..100);
    job.feed(&records);
    run.wait_for_records(100);
    job.fail_store(Some(StoreErrorKind::NoSpace));
    run.trigger(1, BarrierKind::Checkpoint, Then::Continue);
    run.wait_until("all decline, and say that the storage is at fault", |heard| {
        let of_storage = |heard: &&Heard| matches!(heard, Heard::Declined(_, _, why) if why.kind == FailureKind::Storage);
        heard.iter().filter(of_storage).count() == job.subtasks()
    });
    run.abort(1);
    job.fail_store(None);
    run.checkpoint(2);
    run.complete(2, false);
    assert_eq!(job.visible(), each_once(&records));
    run.kill();
}

#[test]
fn an_object_that_is_damaged_or_gone_fails_the_restore_and_is_named() {
    for damage in [rig::Damage::Gone, rig::Damage::Flipped] {
        let job = Job::new(Options {
            inline_max: 0,
            ..Options::default()
        });
        let run = job.start(1, None);
        job.feed(&keys(0..100));
        run.wait_for_records(100);
        run.checkpoint(1);
        let taken = run.metadata(1);
        run.kill();
        let object = job.damage(&taken, damage);
        let run = job.start(2, Some(&taken));
        let cause = run.wait_for_failure();
        assert!(cause.contains(&object), "{damage:?}: {cause}");
        let next_step = "`--restore PATH --rewind`";
        assert!(cause.contains(next_step), "{damage:?}: {cause}");
        run.kill();
    }
}

#[test]
fn a_barrier_waits_for_the_others_only_with_exactly_once() {
    for mode in [AlignMode::ExactlyOnce, AlignMode::AtLeastOnce] {
        let job = Job::new(Options {
            mode,
            ..Options::default()
        });
        let run = job.start(1, None);
        job.feed(&keys(0..10));
        run.wait_for_records(10);
        // Only the first source gets the barrier, then goes on.
        run.trigger_source(0, 1, BarrierKind::Checkpoint, Then::Continue);
        run.wait_until("the source acknowledges", |heard| {
            heard
                .iter()
                .any(|heard| matches!(heard, Heard::Acknowledged(..)))
        });
        job.feed_to(0, &[1; 5]);
        job.feed_to(1, &[1; 5]);
        let waits = mode == AlignMode::ExactlyOnce;
        run.wait_for_records(if waits { 15 } else { 20 });
        std::thread::sleep(Duration::from_millis(50));
        assert_eq!(run.records(), if waits { 15 } else { 20 }, "{mode:?}");
        run.trigger_source(1, 1, BarrierKind::Checkpoint, Then::Continue);
        run.wait_acknowledged(1);
        run.wait_for_records(20);
        let waited = run
            .metrics(1)
            .iter()
            .any(|metrics| metrics.alignment_us >= 50_000);
        let held_back = run
            .metrics(1)
            .iter()
            .any(|metrics| metrics.alignment_bytes > 0);
        assert!(waited, "{:?}", run.metrics(1));
        assert_eq!(held_back, waits, "{:?}", run.metrics(1));
        run.kill();
    }
}

#[test]
fn a_snapshot_that_is_copied_while_records_change_the_state_shows_it_as_it_was() {
    let job = Job::new(Options {
        incremental: true,
        ..Options::default()
    });
    let mut all: Vec<u64> = (0..200_000).collect();
    job.feed(&all);
    let run = job.start(1, None);
    run.wait_for_records(200_000);
    run.trigger(1, BarrierKind::Checkpoint, Then::Continue);
    let updates: Vec<u64> = (0..100_000).map(|n| n * 7919 % 200_000).collect();
    job.feed(&updates);
    all.extend(updates);
    run.wait_acknowledged(1);
    let taken = run.metadata(1);
    let written = run.metrics(1).iter().map(|m| m.written_bytes).max();
    assert!(
        written > Some(700_000),
        "several pieces were copied: {written:?}"
    );
    run.wait_for_records(300_000);
    run.kill();

    let run = job.start(2, Some(&taken));
    run.wait_until_quiet();
    run.checkpoint(2);
    run.complete(2, false);
    assert_eq!(job.visible(), each_once(&all));
    run.kill();
}

#[test]
fn state_splits_and_prepared_results_survive_another_parallelism() {
    let mut job = Job::new(Options {
        incremental: true,
        ..Options::default()
    });
    let mut all = Vec::new();
    let mut taken = None;
    for (nth, parallelism) in (1u64..).zip([2, 1, 3, 2]) {
        job.rescale(parallelism);
        let run = job.start(nth, taken.as_ref());
        let records = keys(nth * 1000..nth * 1000 + 500);
        // There are two feeds, whoever reads them.
        job.feed(&records);
        all.extend(records);
        run.wait_until_quiet();
        // The first is complete, so that the second is a delta; its commits are lost.
        run.checkpoint(nth * 10);
        run.complete(nth * 10, false);
        let records = keys(nth * 1000 + 500..nth * 1000 + 600);
        job.feed(&records);
        all.extend(records);
        run.wait_until_quiet();
        run.checkpoint(nth * 10 + 1);
        taken = Some(run.metadata(nth * 10 + 1));
        run.kill();
    }
    let run = job.start(9, taken.as_ref());
    assert_eq!(run.records(), 0);
    run.checkpoint(99);
    assert_eq!(job.visible(), each_once(&all));
    run.kill();
}

#[test]
fn an_abort_ends_an_alignment() {
    let job = Job::new(Options::default());
    let run = job.start(1, None);
    run.trigger_source(0, 1, BarrierKind::Checkpoint, Then::Continue);
    run.wait_until("the source acknowledges", |heard| {
        heard
            .iter()
            .any(|heard| matches!(heard, Heard::Acknowledged(..)))
    });
    job.feed_to(0, &[1; 5]);
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(run.records(), 0);
    run.abort(1);
    run.wait_for_records(5);
    run.checkpoint(2);
    run.complete(2, false);
    assert_eq!(job.visible(), each_once(&[1; 5]));
    run.kill();
}

#[test]
fn a_job_that_stops_processes_nothing_after_the_savepoint() {
    let job = Job::new(Options::default());
    let run = job.start(1, None);
    let before = keys(0..100);
    job.feed(&before);
    run.wait_for_records(100);
    run.trigger(1, BarrierKind::Savepoint, Then::Stop);
    run.wait_acknowledged(1);
    job.feed(&keys(100..200));
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(run.records(), 100);
    assert!(run.states(1).iter().all(|state| !state.ended));
    let taken = run.metadata(1);
    run.complete(1, true);
    run.wait_finished();
    assert_eq!(job.visible(), each_once(&before));

    let run = job.start(2, Some(&taken));
    run.wait_for_records(100);
    run.checkpoint(2);
    run.complete(2, false);
    assert_eq!(job.visible(), each_once(&keys(0..200)));
    run.kill();
}

#[test]
fn a_stop_that_fails_lets_the_job_go_on() {
    let job = Job::new(Options::default());
    let run = job.start(1, None);
    run.trigger(1, BarrierKind::Savepoint, Then::Stop);
    run.wait_acknowledged(1);
    job.feed(&keys(0..10));
    run.abort(1);
    run.wait_for_records(10);
    run.kill();
}

#[test]
fn a_job_that_is_drained_ends_its_input_before_the_savepoint() {
    let job = Job::new(Options::default());
    let run = job.start(1, None);
    let records = keys(0..100);
    job.feed(&records);
    run.wait_for_records(100);
    run.trigger(1, BarrierKind::Savepoint, Then::Drain);
    run.wait_acknowledged(1);
    assert!(run.states(1).iter().all(|state| state.ended));
    run.complete(1, true);
    run.wait_finished();
    assert_eq!(job.visible(), each_once(&records));
}
