//! Where a subtask's state comes from when it starts again: the copies of its TaskManager, or the
//! store.

use std::fs;
use std::path::Path;

use weir_storage::StoreErrorKind;

use super::rig::{Job, Options};
use super::{each_once, keys};

/// Everything in objects, and deltas.
fn options() -> Options {
    Options {
        incremental: true,
        inline_max: 0,
        ..Options::default()
    }
}

fn damage_all(folder: &Path, how: impl Fn(&mut Vec<u8>)) -> usize {
    let copies = fs::read_dir(folder.join("copies")).unwrap();
    let copies = copies.map(|entry| entry.unwrap().path());
    let damaged = copies.filter_map(|copy| {
        // Those of the first checkpoint are being removed.
        let mut bytes = fs::read(&copy).ok()?;
        how(&mut bytes);
        fs::write(&copy, bytes).ok()
    });
    damaged.count()
}

/// A job with two checkpoints, the second a delta, that is killed behind them: what a further
/// attempt read from where, when `between` has been at the copies. It fails if a record was lost,
/// or counted twice.
fn killed(between: impl FnOnce(&mut Job, &Path)) -> (u64, u64) {
    let folder = tempfile::tempdir().unwrap();
    let mut job = Job::new(options());
    job.set_copies(Some(folder.path()));
    let mut all: Vec<u64> = (10_000..12_000).collect();
    let run = job.start(1, None);
    job.feed(&all);
    run.wait_for_records(2000);
    run.checkpoint(1);
    run.complete(1, false);
    let records = keys(0..100);
    job.feed(&records);
    all.extend(records);
    run.wait_for_records(2100);
    run.checkpoint(2);
    assert_eq!(run.chain_lengths(2), [2, 2], "the second is a delta");
    run.complete(2, false);
    let taken = run.metadata(2);
    let records = keys(100..200);
    job.feed(&records);
    all.extend(records);
    run.wait_for_records(2200);
    run.kill();

    between(&mut job, folder.path());
    let run = job.start(2, Some(&taken));
    run.wait_for_records(100);
    let restored = run.restored();
    job.fail_store(None);
    run.checkpoint(3);
    run.complete(3, false);
    assert_eq!(job.visible(), each_once(&all));
    run.kill();
    restored
}

#[test]
fn a_subtask_that_starts_again_where_it_ran_reads_nothing_from_the_store() {
    let (local, store) = killed(|job, _| job.fail_store(Some(StoreErrorKind::Unavailable)));
    assert!(local > 4000 && store == 0, "{local} and {store} bytes");
}

#[test]
fn another_process_has_no_copies_and_reads_the_store() {
    let (local, store) = killed(|job, _| job.set_copies(None));
    assert!(local == 0 && store > 4000, "{local} and {store} bytes");
}

#[test]
fn copies_that_are_cut_off_changed_or_gone_are_passed_over() {
    let (local, store) = killed(|_, folder| {
        assert!(damage_all(folder, |bytes| bytes.truncate(bytes.len() / 2)) > 3);
    });
    assert!(local == 0 && store > 4000, "{local} and {store} bytes");
    let (local, store) = killed(|_, folder| {
        damage_all(folder, |bytes| *bytes.last_mut().unwrap() ^= 1);
    });
    assert!(local == 0 && store > 4000, "{local} and {store} bytes");
    let (local, store) = killed(|_, folder| {
        fs::remove_dir_all(folder.join("copies")).unwrap();
    });
    assert!(local == 0 && store > 4000, "{local} and {store} bytes");
}

#[test]
fn at_another_parallelism_copies_serve_whoever_needs_them() {
    let (local, store) = killed(|job, _| {
        job.rescale(3);
        job.fail_store(Some(StoreErrorKind::Unavailable));
    });
    assert!(local > 4000 && store == 0, "{local} and {store} bytes");
}

#[test]
fn copies_of_a_checkpoint_that_is_not_the_one_restored_are_not_used() {
    let folder = tempfile::tempdir().unwrap();
    let mut job = Job::new(options());
    job.set_copies(Some(folder.path()));
    let records = keys(0..100);
    let run = job.start(1, None);
    job.feed(&records);
    run.wait_for_records(100);
    run.checkpoint(1);
    let first = run.metadata(1);
    run.complete(1, false);
    // It is given up: its number, and the place of its objects, say so.
    run.checkpoint(2);
    run.abort(2);
    run.kill();
    let run = job.start(2, Some(&first));
    run.wait_for_records(0);
    run.wait_until_restored();
    assert_eq!(run.restored().1, 0, "the copies of the first are there");
    run.kill();

    let run = job.start(3, None);
    run.wait_for_records(100);
    run.kill();
    let run = job.start(4, Some(&first));
    run.wait_until_restored();
    let (local, store) = run.restored();
    assert!(
        local == 0 && store > 0,
        "a start from nothing has left none: {local} and {store} bytes"
    );
    run.kill();
}

#[test]
fn a_savepoint_is_read_where_it_lies() {
    let folder = tempfile::tempdir().unwrap();
    let mut job = Job::new(options());
    job.set_copies(Some(folder.path()));
    let run = job.start(1, None);
    job.feed(&keys(0..100));
    run.wait_for_records(100);
    run.savepoint(1);
    let taken = run.metadata(1);
    run.complete(1, false);
    run.kill();
    let run = job.start(2, Some(&taken));
    run.wait_until_restored();
    let (local, store) = run.restored();
    assert!(local == 0 && store > 0, "{local} and {store} bytes");
    run.kill();
}
