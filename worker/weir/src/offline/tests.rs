//! Real folders, and what is said of them and done to them.

mod fixture;

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use weir_checkpoint::pointer::SnapshotKind;
use weir_cli::{Exit, JobCheck, JobGarbage, SnapshotChoice};
use weir_storage::{Fault, FaultyStore, ObjectPath, ObjectStore, Operation, StoreErrorKind};
use weir_types::{CheckpointId, Clock, Epoch, ManualClock, SystemClock};

use self::fixture::{State, begin, begun, move_pointer};
use super::*;

const HOUR: Duration = Duration::from_secs(3_600);

fn listed(state: &State, path: &str) -> StoredJob {
    let mut jobs = ls(state.request(path)).unwrap().jobs;
    assert_eq!(jobs.len(), 1, "{jobs:?}");
    jobs.remove(0)
}

fn checked(state: &State, path: &str) -> JobCheck {
    let store = state.request(path);
    let mut jobs = fsck(FsckRequest { store }).unwrap().jobs;
    assert_eq!(jobs.len(), 1, "{jobs:?}");
    jobs.remove(0)
}

/// All that is wrong with a job, each with the snapshot's number.
fn problems(state: &State) -> Vec<(u64, String)> {
    let job = checked(state, "wc");
    assert_eq!(job.problems, [""; 0]);
    let each = job.snapshots.into_iter();
    each.flat_map(|each| each.problems.into_iter().map(move |text| (each.id, text)))
        .collect()
}

fn order(state: &State, path: &str, delete: bool) -> GcRequest {
    GcRequest {
        store: state.request(path),
        delete,
        grace: HOUR,
    }
}

fn collected(state: &State, path: &str, delete: bool) -> JobGarbage {
    let mut jobs = gc(order(state, path, delete)).unwrap().jobs;
    assert_eq!(jobs.len(), 1, "{jobs:?}");
    jobs.remove(0)
}

fn paths(job: &JobGarbage) -> Vec<&str> {
    let garbage = job.garbage.iter();
    garbage.map(|object| object.path.as_str()).collect()
}

fn is_clean(state: &State) {
    assert_eq!(problems(state), []);
}

#[test]
fn a_job_is_listed_with_all_that_it_keeps() {
    let state = State::new();
    let job = listed(&state, "");
    assert_eq!(job, listed(&state, "wc"), "named by its own folder");
    assert_eq!((job.name.as_str(), job.state.as_str()), ("wc", "stopped"));
    assert_eq!((job.epoch, job.deployment), (1, 2));
    let seen: Vec<_> = job
        .snapshots
        .iter()
        .map(|each| (each.id, each.kind.as_str(), each.latest))
        .collect();
    assert_eq!(
        seen,
        [
            (1, "checkpoint", false),
            (2, "checkpoint", false),
            (3, "savepoint", true)
        ]
    );
    let savepoint = &job.snapshots[2];
    assert_eq!(
        savepoint.location,
        format!("{}/wc/savepoint-1-3", state.dir())
    );
    let size = |path: &str| fs::metadata(state.file(path)).unwrap().len();
    let want = size("wc/savepoint-1-3/keyed-1") + size("wc/savepoint-1-3/raw") + 3;
    assert_eq!(savepoint.state_size, Some(want));
}

#[test]
fn a_whole_job_has_no_problems_and_every_object_is_counted() {
    let state = State::new();
    is_clean(&state);
    let job = checked(&state, "");
    let objects: Vec<_> = job.snapshots.iter().map(|each| each.objects).collect();
    assert_eq!(objects, [2, 4, 3], "objects, and the metadata");
}

#[test]
fn a_damaged_object_is_named_for_each_snapshot_that_needs_it() {
    let state = State::new();
    let file = state.file("wc/shared/keyed-1");
    let mut bytes = fs::read(&file).unwrap();
    bytes[20] ^= 1;
    fs::write(&file, &bytes).unwrap();
    let found = problems(&state);
    assert_eq!(found.len(), 2, "{found:?}");
    for ((id, text), want) in found.iter().zip([1, 2]) {
        assert_eq!(*id, want);
        assert!(text.contains("`shared/keyed-1` was damaged"), "{text}");
        assert!(text.contains("`count`, subtask 0"), "{text}");
    }
}

#[test]
fn an_object_that_was_cut_off_or_is_missing_is_named() {
    let state = State::new();
    let file = state.file("wc/shared/raw-2");
    let bytes = fs::read(&file).unwrap();
    fs::write(&file, &bytes[1..]).unwrap();
    fs::remove_file(state.file("wc/savepoint-1-3/keyed-1")).unwrap();
    let found = problems(&state);
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].1.contains("`shared/raw-2` has"), "{found:?}");
    let missing = "`savepoint-1-3/keyed-1` is missing";
    assert!(found[1].1.contains(missing), "{found:?}");
}

#[test]
fn metadata_other_than_the_pointer_says_is_a_problem_and_stops_the_collection() {
    let state = State::new();
    state.orphan("wc/shared/orphan");
    let file = state.file("wc/chk-1-1/_metadata");
    fs::copy(state.file("wc/chk-1-2/_metadata"), &file).unwrap();
    let found = problems(&state);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].1.contains("chk-1-1/_metadata"), "{found:?}");
    let job = collected(&state, "wc", true);
    assert_eq!(paths(&job), [""; 0]);
    assert!(job.problems[0].contains("`chk-1-1`"), "{job:?}");
    assert!(state.file("wc/shared/orphan").exists());
}

#[test]
fn what_nothing_needs_is_told_and_deleted_only_on_order_and_only_if_it_is_old() {
    let state = State::new();
    let before = state.pointer("wc");
    state.orphan("wc/shared/orphan");
    state.orphan("wc/chk-1-9/part");
    state.orphan("wc/savepoint-1-3/leftover");
    state.orphan("wc/taskowned/sink");
    fs::write(state.file("wc/shared/young"), "12345").unwrap();
    let want = ["chk-1-9/part", "savepoint-1-3/leftover", "shared/orphan"];
    let job = collected(&state, "", false);
    assert_eq!(paths(&job), want);
    assert_eq!(job.problems, [""; 0]);
    assert_eq!((job.young_objects, job.young_size), (1, 5));
    assert_eq!(job.needed_objects, 8, "5 objects, 3 with metadata");
    assert!(want.iter().all(|path| state.file("wc").join(path).exists()));
    let job = collected(&state, "wc", true);
    assert_eq!(paths(&job), want);
    assert_eq!(job.problems, [""; 0]);
    assert!(!want.iter().any(|path| state.file("wc").join(path).exists()));
    assert!(state.file("wc/taskowned/sink").exists());
    assert!(state.file("wc/shared/young").exists());
    assert_eq!(state.pointer("wc"), before);
    is_clean(&state);
    assert_eq!(paths(&collected(&state, "wc", true)), [""; 0]);
}

#[test]
fn objects_that_only_a_forgotten_checkpoint_needed_go_and_shared_ones_stay() {
    let state = State::new();
    state.change("wc", |pointer| {
        pointer.retained.retain(|kept| kept.id != CheckpointId(2));
    });
    let job = collected(&state, "wc", true);
    let want = ["chk-1-2/_metadata", "shared/keyed-2", "shared/raw-2"];
    assert_eq!(paths(&job), want);
    is_clean(&state);
}

/// A store in which, at the first call that fits, the job's pointer moves.
fn moving(
    state: &State,
    fits: impl Fn(Operation, &str) -> bool + Send + Sync + 'static,
) -> Arc<FaultyStore> {
    let job = state.store("wc");
    let moved = AtomicBool::new(false);
    Arc::new(FaultyStore::new(state.store(""), move |call| {
        if fits(call.operation, call.path.as_str()) && !moved.swap(true, Ordering::SeqCst) {
            move_pointer(job.as_ref(), |pointer| pointer.epoch = Epoch(2));
        }
        Fault::None
    }))
}

#[test]
fn nothing_is_deleted_when_the_pointer_moves_after_marking() {
    let state = State::new();
    state.orphan("wc/shared/orphan");
    let store = moving(&state, |operation, path| {
        operation == Operation::Get && path == "wc/savepoint-1-3/_metadata"
    });
    let request = order(&state, "", true);
    let report = sweep::sweep(&State::place(store), &request, &SystemClock).unwrap();
    let job = &report.jobs[0];
    assert_eq!(paths(job), [""; 0]);
    assert!(job.problems[0].contains("1 objects left"), "{job:?}");
    assert!(state.file("wc/shared/orphan").exists());
}

#[test]
fn deleting_stops_at_the_batch_before_which_the_pointer_moved() {
    let state = State::new();
    for nth in 0..150 {
        state.orphan(&format!("wc/shared/orphan-{nth}"));
    }
    let store = moving(&state, |operation, path| {
        operation == Operation::Delete && path.starts_with("wc/shared/")
    });
    let request = order(&state, "", true);
    let report = sweep::sweep(&State::place(store), &request, &SystemClock).unwrap();
    let job = &report.jobs[0];
    assert_eq!(job.garbage.len(), 100);
    assert!(job.problems[0].contains("50 objects left"), "{job:?}");
    let left = fs::read_dir(state.file("wc/shared")).unwrap().count();
    assert_eq!(left, 50 + 3);
}

#[test]
fn what_cannot_be_deleted_is_told_and_the_rest_goes() {
    let state = State::new();
    for name in ["a", "b", "c"] {
        state.orphan(&format!("wc/shared/{name}"));
    }
    let store = FaultyStore::new(state.store(""), |call| match call.operation {
        Operation::Delete if call.path.as_str() == "wc/shared/b" => {
            Fault::Fail(StoreErrorKind::Denied)
        }
        _ => Fault::None,
    });
    let request = order(&state, "", true);
    let place = State::place(Arc::new(store));
    let report = sweep::sweep(&place, &request, &SystemClock).unwrap();
    let job = &report.jobs[0];
    assert_eq!(paths(job), ["shared/a", "shared/c"]);
    assert_eq!(job.problems.len(), 1, "{job:?}");
    assert!(job.problems[0].contains("shared/b"), "{job:?}");
}

/// What killed writers have begun two hours ago, and something that was begun just now.
fn killed(state: &State) -> (Arc<dyn ObjectStore>, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::at(1_000_000));
    let timed: Arc<dyn Clock> = Arc::<ManualClock>::clone(&clock);
    let store = state.in_memory(timed);
    for name in [
        "wc/chk-1-9/large",
        "wc/savepoint-1-9/large",
        "wc/part-1-0-0-000001.csv",
        "wc/results/part-1-0-0-000001.csv",
        "results/part-1-0-0-000001.csv",
    ] {
        begin(&*store, name);
    }
    clock.advance(HOUR * 2);
    begin(&*store, "wc/chk-1-10/large");
    (store, clock)
}

#[test]
fn what_killed_writers_have_begun_is_told_and_deleted_only_on_order_and_only_if_it_is_old() {
    let state = State::new();
    let (store, clock) = killed(&state);
    let place = State::place(Arc::clone(&store));
    for delete in [false, true] {
        assert_eq!(begun(&*store).len(), 6, "telling removes nothing");
        let request = order(&state, "", delete);
        let report = sweep::sweep(&place, &request, &*clock).unwrap();
        assert_eq!(report.jobs.len(), 1, "{report:?}");
        let job = &report.jobs[0];
        assert_eq!(paths(job), ["chk-1-9/large", "savepoint-1-9/large"]);
        assert_eq!(job.problems, [""; 0]);
        assert_eq!((job.young_objects, job.needed_objects), (1, 8));
    }
    let stays = [
        "wc/part-1-0-0-000001.csv",
        "wc/results/part-1-0-0-000001.csv",
        "results/part-1-0-0-000001.csv",
        "wc/chk-1-10/large",
    ];
    assert_eq!(begun(&*store), stays);
    // Nothing of a job that is over is being written, and results are not the checkpoints'.
    let folders = place.folders().unwrap();
    let job = sweep::everything(&place, &folders[0], &*clock);
    assert_eq!(job.problems, [""; 0]);
    assert_eq!(begun(&*store), stays[..3]);
}

#[test]
fn what_a_killed_writer_left_in_a_folder_goes_once_it_is_old() {
    let state = State::new();
    let store = state.store("");
    begin(&*store, "wc/chk-1-9/large");
    begin(&*store, "wc/chk-1-10/large");
    state.age_all("wc/chk-1-9");
    let place = State::place(Arc::clone(&store));
    for delete in [false, true] {
        assert_eq!(begun(&*store).len(), 2, "telling removes nothing");
        let request = order(&state, "", delete);
        let report = sweep::sweep(&place, &request, &SystemClock).unwrap();
        let job = &report.jobs[0];
        assert_eq!(paths(job), ["chk-1-9/unfinished"]);
        assert_eq!(job.problems, [""; 0]);
    }
    assert_eq!(begun(&*store), ["wc/chk-1-10/unfinished"]);
    assert!(!state.file("wc/chk-1-9").exists());
}

#[test]
fn what_was_begun_and_cannot_be_listed_or_abandoned_is_told_and_the_rest_goes() {
    let state = State::new();
    state.orphan("wc/shared/orphan");
    for (failing, gone, problem) in [
        (
            Operation::ListUnfinished,
            &["shared/orphan"][..],
            "what killed writers have left behind is not known",
        ),
        (
            Operation::Abandon,
            &["savepoint-1-9/large", "shared/orphan"][..],
            "chk-1-9/large",
        ),
    ] {
        let (store, clock) = killed(&state);
        let store = FaultyStore::new(store, move |call| {
            if call.operation == failing && !call.path.as_str().contains("savepoint") {
                Fault::Fail(StoreErrorKind::Denied)
            } else {
                Fault::None
            }
        });
        let place = State::place(Arc::new(store));
        let request = order(&state, "", true);
        let report = sweep::sweep(&place, &request, &*clock).unwrap();
        let job = &report.jobs[0];
        assert_eq!(paths(job), gone);
        assert_eq!(job.problems.len(), 1, "{job:?}");
        assert!(job.problems[0].contains(problem), "{job:?}");
    }
}

#[test]
fn a_folder_without_a_pointer_is_a_problem_and_nothing_in_it_is_deleted() {
    let state = State::new();
    state.add_job("other");
    fs::remove_file(state.file("wc/pointer.1")).unwrap();
    for path in ["", "wc"] {
        let jobs = ls(state.request(path)).unwrap().jobs;
        let job = jobs.iter().find(|job| job.name == "wc").unwrap();
        let problem = job.problem.as_ref().unwrap();
        assert!(problem.contains("no pointer"), "{problem}");
        let store = state.request(path);
        let jobs = fsck(FsckRequest { store }).unwrap().jobs;
        let job = jobs.iter().find(|job| job.name == "wc").unwrap();
        assert_eq!(job.problems.len(), 1, "{job:?}");
        let jobs = gc(order(&state, path, true)).unwrap().jobs;
        let job = jobs.iter().find(|job| job.name == "wc").unwrap();
        assert_eq!(paths(job), [""; 0]);
        assert_eq!(job.problems.len(), 1, "{job:?}");
    }
    assert!(state.file("wc/shared/keyed-1").exists());
}

#[test]
fn a_damaged_pointer_is_a_problem_and_nothing_is_deleted_there_or_beside_it() {
    let state = State::new();
    state.add_job("other");
    state.orphan("other/shared/orphan");
    fs::write(state.file("wc/pointer.1"), "{}").unwrap();
    let listing = ls(state.request("")).unwrap();
    assert!(listing.jobs[0].problem.is_none());
    assert!(listing.jobs[1].problem.is_some());
    let report = gc(order(&state, "", true)).unwrap();
    for job in &report.jobs {
        assert_eq!(paths(job), [""; 0]);
        assert_eq!(job.problems.len(), 1, "{job:?}");
    }
    assert_eq!(paths(&collected(&state, "other", true)), ["shared/orphan"]);
}

#[test]
fn garbage_is_deleted_for_its_age_on_the_stores_clock_however_far_this_machines_is_ahead() {
    let state = State::new();
    let clock = Arc::new(ManualClock::at(1_000_000));
    let timed: Arc<dyn Clock> = Arc::<ManualClock>::clone(&clock);
    let store = state.in_memory(timed);
    let orphan = ObjectPath::new("wc/shared/orphan").unwrap();
    store.create(&orphan, b"of a checkpoint under way").unwrap();
    let place = State::place(Arc::clone(&store));
    let ahead = ManualClock::at(1_000_000 + 3_600_000 * 24);
    let gc = || sweep::sweep(&place, &order(&state, "", true), &ahead).unwrap();
    let young = &gc().jobs[0];
    assert_eq!((paths(young), &*young.problems), (vec![], &[][..]));
    assert_eq!(young.young_objects, 1);
    clock.advance(HOUR + Duration::from_millis(1));
    assert_eq!(paths(&gc().jobs[0]), ["shared/orphan"]);
    let left = store.list(&ObjectPath::default()).unwrap();
    let probes = left
        .iter()
        .filter(|info| info.path.as_str().contains("_probe"));
    assert_eq!(probes.count(), 0, "{left:?}");
}

#[test]
fn nothing_is_deleted_if_the_stores_clock_cannot_be_asked() {
    let state = State::new();
    let memory = state.in_memory(Arc::new(ManualClock::at(1_000_000)));
    let orphan = ObjectPath::new("wc/shared/orphan").unwrap();
    memory.create(&orphan, b"").unwrap();
    let store: Arc<dyn ObjectStore> =
        Arc::new(FaultyStore::new(memory, |call| match call.operation {
            Operation::Create => Fault::Fail(StoreErrorKind::Denied),
            _ => Fault::None,
        }));
    let late = ManualClock::at(1_000_000 + 3_600_000 * 24);
    let place = State::place(store);
    let sweep = |delete| sweep::sweep(&place, &order(&state, "", delete), &late).unwrap();
    assert_eq!(paths(&sweep(false).jobs[0]), ["shared/orphan"]);
    let job = &sweep(true).jobs[0];
    assert_eq!(paths(job), [""; 0]);
    assert!(job.problems[0].contains("what time it is"), "{job:?}");
}

#[test]
fn a_snapshot_is_found_by_number_and_by_folder() {
    let state = State::new();
    let by = |path: &str, which| {
        let store = state.request(path);
        inspect(InspectRequest { store, which })
    };
    let report = by("", SnapshotChoice::Number(2)).unwrap();
    assert_eq!(report, by("wc/chk-1-2", SnapshotChoice::Here).unwrap());
    assert_eq!(
        report,
        by("wc/chk-1-2/_metadata", SnapshotChoice::Here).unwrap()
    );
    assert_eq!((report.id, report.objects), (2, 3));
    assert_eq!(report.compression.as_deref(), Some("none"));
    let operator = &report.operators[0];
    assert_eq!(operator.enumerator_size, 3);
    assert_eq!(operator.states.len(), 1, "{operator:?}");
    let sum = &operator.states[0];
    assert_eq!(
        (
            sum.name.as_str(),
            sum.kind.as_str(),
            sum.value_type.as_str()
        ),
        ("sum", "value", "u64 by u32")
    );
    assert_eq!(operator.subtasks[0].keyed_files, 2);
    for (path, which) in [
        ("", SnapshotChoice::Number(9)),
        ("", SnapshotChoice::Here),
        ("wc/chk-1-2", SnapshotChoice::Number(2)),
    ] {
        assert_eq!(by(path, which).unwrap_err().exit(), Exit::Usage, "{path}");
    }
    state.add_job("other");
    let error = by("", SnapshotChoice::Number(2)).unwrap_err();
    assert!(error.text().contains("other, wc"), "{}", error.text());
}

fn copy(state: &State, from: &str, to: &str) {
    fs::create_dir_all(state.file(to)).unwrap();
    for entry in fs::read_dir(state.file(from)).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), state.file(to).join(entry.file_name())).unwrap();
    }
}

#[test]
fn a_savepoint_that_was_copied_elsewhere_stands_by_itself() {
    let state = State::new();
    copy(&state, "wc/savepoint-1-3", "copies/mine");
    for path in ["copies/mine", "copies/mine/_metadata", "copies"] {
        let job = checked(&state, path);
        assert_eq!(job.name, "mine");
        assert_eq!(job.snapshots[0].problems, [""; 0]);
        assert_eq!(job.snapshots[0].objects, 3);
    }
    let store = state.request("copies/mine");
    let which = SnapshotChoice::Here;
    let report = inspect(InspectRequest { store, which }).unwrap();
    assert_eq!((report.id, report.kind.as_str()), (3, "savepoint"));
    let job = collected(&state, "copies", true);
    assert_eq!((paths(&job), job.needed_objects), (vec![], 3));
    fs::remove_file(state.file("copies/mine/raw")).unwrap();
    let job = checked(&state, "copies/mine");
    let problem = &job.snapshots[0].problems[0];
    assert!(problem.starts_with("`raw` is missing"), "{problem}");
    let error = ls(state.request("copies/mine")).unwrap_err();
    assert_eq!(error.exit(), Exit::Usage);
}

#[test]
fn a_checkpoint_by_its_folder_is_checked_with_the_objects_that_it_shares() {
    let state = State::new();
    let job = checked(&state, "wc/chk-1-2");
    assert_eq!(job.snapshots[0].problems, [""; 0]);
    assert_eq!(job.snapshots[0].objects, 4);
}

#[test]
fn a_snapshot_outside_that_the_job_began_with_is_listed_and_checked() {
    let state = State::new();
    copy(&state, "wc/savepoint-1-3", "copies/mine");
    let outside = state.file("copies/mine").to_str().unwrap().to_owned();
    state.add_root("wc", &outside);
    let job = listed(&state, "wc");
    assert_eq!(job.snapshots.len(), 4);
    assert_eq!(job.snapshots[0].location, outside);
    fs::remove_file(state.file("copies/mine/raw")).unwrap();
    let found = problems(&state);
    assert_eq!(found.len(), 1, "{found:?}");
    // Once the job has its own, a person may delete it.
    fs::remove_dir_all(state.file("copies")).unwrap();
    is_clean(&state);
    assert_eq!(collected(&state, "wc", true).problems, [""; 0]);
}

#[test]
fn what_another_job_began_with_stays_however_it_was_named() {
    for named in ["{dir}/wc/chk-1-2", "wc/chk-1-2/_metadata"] {
        let state = State::new();
        state.add_job("other");
        state.add_root("other", &named.replace("{dir}", &state.dir()));
        state.change("wc", |pointer| {
            pointer.retained.retain(|kept| kept.id != CheckpointId(2));
        });
        let mut request = order(&state, "", true);
        request.store.jobs = vec!["wc".to_owned()];
        let report = gc(request).unwrap();
        assert_eq!(report.jobs.len(), 1);
        assert_eq!(paths(&report.jobs[0]), [""; 0], "{named}");
        let job = checked(&state, "wc/chk-1-2");
        assert_eq!(job.snapshots[0].problems, [""; 0], "{named}");
    }
}

#[test]
fn a_job_that_is_not_there_is_a_mistake_and_an_empty_folder_has_no_jobs() {
    let state = State::new();
    let mut request = state.request("");
    request.jobs = vec!["wordcount".to_owned()];
    let error = ls(request).unwrap_err();
    assert_eq!(error.exit(), Exit::Usage);
    assert!(error.text().contains("it holds wc"), "{}", error.text());
    assert_eq!(ls(state.request("nothing")).unwrap().jobs, []);
}

fn clear_order(state: &State, deployment: Option<u64>) -> ClearRequest {
    let store = state.request("wc");
    ClearRequest { store, deployment }
}

fn folders_of_checkpoints(state: &State) -> Vec<String> {
    let listing = state.store("wc").list(&ObjectPath::default()).unwrap();
    let paths = listing
        .into_iter()
        .map(|object| object.path.as_str().to_owned());
    paths
        .filter(|path| path.starts_with("chk-") || path.starts_with("shared"))
        .collect()
}

#[test]
fn clearing_leaves_savepoints_and_a_pointer_that_says_so() {
    let state = State::new();
    assert_ne!(folders_of_checkpoints(&state), [""; 0]);
    for _ in 0..2 {
        let report = clear(clear_order(&state, None)).unwrap();
        assert_eq!(report.jobs[0].problems, [""; 0]);
        let pointer = state.pointer("wc");
        assert_eq!(pointer.run_state, RunState::Deleted);
        assert_eq!((pointer.epoch, pointer.deployment), (Epoch(2), 3));
        assert_eq!(pointer.latest, None);
        assert_eq!(folders_of_checkpoints(&state), [""; 0]);
        let kinds = pointer.retained.iter().map(|kept| kept.kind);
        assert!(kinds.clone().all(|kind| kind == SnapshotKind::Savepoint));
        assert_ne!(kinds.count(), 0, "savepoints are a person's");
        is_clean(&state);
    }
}

#[test]
fn a_job_that_may_run_is_cleared_only_for_a_newer_deployment() {
    let state = State::new();
    state.change("wc", |pointer| pointer.run_state = RunState::Running);
    let before = state.pointer("wc");
    let said = clear(clear_order(&state, None)).unwrap_err().text();
    assert!(said.contains("the job is not over"), "{said}");
    let said = clear(clear_order(&state, Some(1))).unwrap_err().text();
    assert!(said.contains("deployment 2 has it"), "{said}");
    assert_eq!(state.pointer("wc"), before);
    assert_ne!(folders_of_checkpoints(&state), [""; 0]);
    clear(clear_order(&state, Some(7))).unwrap();
    let pointer = state.pointer("wc");
    assert_eq!(
        (pointer.deployment, pointer.run_state),
        (7, RunState::Deleted)
    );
    // Killed before the objects went, it is done again.
    state.orphan("wc/chk-1-9/left");
    clear(clear_order(&state, Some(7))).unwrap();
    assert_eq!(folders_of_checkpoints(&state), [""; 0]);
}
