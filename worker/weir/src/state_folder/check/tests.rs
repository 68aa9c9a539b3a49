use std::path::Path;

use weir_checkpoint::handle::{KeyedHandle, OperatorSubtaskState, Stored};
use weir_checkpoint::keyed_file::{self, Compression};
use weir_checkpoint::metadata::{self, OperatorMetadata, sha256_hex};
use weir_checkpoint::pointer::{OperationId, POINTER, Root, SnapshotKind, SnapshotRef};
use weir_jobmanager::CheckpointOptions;
use weir_state::{KeyedBackend, StateValue};
use weir_storage::LocalStore;
use weir_types::{CheckpointId, Epoch, JobId, KeyGroupRange, OperatorId, SubtaskIndex};

use super::super::{Candidate, Start, lead};
use super::*;

/// A job `x` whose newest checkpoint has state of an operator that `wordcount` lacks.
pub(in crate::state_folder) fn leave_state(dir: &Path, run_state: RunState, uncommitted: bool) {
    leave(dir, run_state, gone(uncommitted));
}

/// State of an operator that `wordcount` lacks.
pub(in crate::state_folder) fn gone(uncommitted: bool) -> OperatorMetadata {
    OperatorMetadata {
        operator: OperatorId(99),
        name: "gone".to_owned(),
        uid: Some("gone".to_owned()),
        parallelism: 1,
        max_parallelism: 4,
        enumerator: None,
        subtasks: vec![(
            SubtaskIndex(0),
            OperatorSubtaskState {
                operator: OperatorId(99),
                keyed: Vec::new(),
                operator_state: None,
                raw: Some(Stored::Inline(vec![1])),
                uncommitted,
            },
        )],
        ended: Vec::new(),
    }
}

/// The same with state of `wordcount`'s own count, whose values have this type.
fn leave_counts<V: StateValue>(dir: &Path) {
    leave(dir, RunState::Running, counts::<V>());
}

/// State of `wordcount`'s own count, whose values have this type.
pub(in crate::state_folder) fn counts<V: StateValue>() -> OperatorMetadata {
    let plan =
        program::plan(&registry(), &job()).unwrap_or_else(|error| panic!("{}", error.text()));
    let mut vertices = plan.program.job_graph.vertices.iter();
    let vertex = vertices.find(|vertex| vertex.head().keyed).unwrap();
    let operator = vertex.head().operator_id;
    let range = KeyGroupRange::of_subtask(vertex.max_parallelism, 1, 0);
    let mut backend = KeyedBackend::<String>::new(vertex.max_parallelism, range);
    backend.value_state::<V>("aggregated").unwrap();
    let kind = weir_state::SnapshotKind::Full;
    backend.snapshot_begin(CheckpointId(7), kind).unwrap();
    let snapshot = backend.snapshot_finish().unwrap();
    let handle = KeyedHandle {
        stored: Stored::Inline(keyed_file::encode(&snapshot, Compression::None)),
        checkpoint: CheckpointId(7),
        base: None,
        range,
        max_parallelism: vertex.max_parallelism,
        states: snapshot
            .states
            .into_iter()
            .map(|state| state.meta)
            .collect(),
    };
    OperatorMetadata {
        operator,
        name: "count".to_owned(),
        uid: Some("count".to_owned()),
        parallelism: 1,
        max_parallelism: vertex.max_parallelism,
        enumerator: None,
        subtasks: vec![(
            SubtaskIndex(0),
            OperatorSubtaskState {
                operator,
                keyed: vec![handle],
                operator_state: None,
                raw: None,
                uncommitted: false,
            },
        )],
        ended: Vec::new(),
    }
}

/// Stores a checkpoint of job `x`. What its pointer says of it is for the caller to write.
pub(in crate::state_folder) fn store_checkpoint(
    dir: &Path,
    id: u64,
    operator: OperatorMetadata,
) -> SnapshotRef {
    let store = LocalStore::open(dir.join("x")).unwrap();
    let metadata = CheckpointMetadata {
        state_id: JobId(1),
        id: CheckpointId(id),
        epoch: Epoch(3),
        kind: SnapshotKind::Checkpoint,
        operation: None,
        triggered_ms: 1,
        completed_ms: 2,
        weir_version: "0.1.0".to_owned(),
        operators: vec![operator],
    };
    let bytes = metadata::encode(&metadata);
    let folder = format!("chk-3-{id}");
    let path = ObjectPath::new(format!("{folder}/_metadata")).unwrap();
    store.create(&path, &bytes).unwrap();
    SnapshotRef {
        id: CheckpointId(id),
        epoch: Epoch(3),
        kind: SnapshotKind::Checkpoint,
        path: folder,
        sha256: sha256_hex(&bytes),
        size: bytes.len() as u64,
        completed_ms: 2,
        operation: None,
    }
}

fn leave(dir: &Path, run_state: RunState, operator: OperatorMetadata) {
    let store = LocalStore::open(dir.join("x")).unwrap();
    let latest = store_checkpoint(dir, 7, operator);
    let pointer = Pointer {
        state_id: JobId(1),
        deployment: 4,
        epoch: Epoch(3),
        holder: "host".to_owned(),
        nonce: 1,
        run_state,
        last_id: CheckpointId(7),
        latest: Some(latest.clone()),
        retained: vec![latest],
        roots: Vec::new(),
        forgotten: Vec::new(),
        branch: None,
        rewind: None,
    };
    let register = ObjectPath::new(POINTER).unwrap();
    store
        .swap_register(&register, None, &pointer.encode())
        .unwrap();
}

/// Moves the pointer of job `x`, as a process that leads it does.
pub(in crate::state_folder) fn move_pointer(dir: &Path, change: impl FnOnce(&mut Pointer)) {
    let store = LocalStore::open(dir.join("x")).unwrap();
    let register = ObjectPath::new(POINTER).unwrap();
    let (bytes, version) = store.read_register(&register).unwrap().unwrap();
    let mut pointer = Pointer::decode(&bytes).unwrap();
    change(&mut pointer);
    pointer.nonce += 1;
    let bytes = pointer.encode();
    store
        .swap_register(&register, Some(&version), &bytes)
        .unwrap();
}

/// Job `x` completes a checkpoint.
pub(in crate::state_folder) fn complete(dir: &Path, id: u64) {
    let snapshot = store_checkpoint(dir, id, gone(false));
    move_pointer(dir, |pointer| pointer.complete(snapshot, 2));
}

/// A checkpoint of job `x`, by its folder.
pub(in crate::state_folder) fn folder_of(dir: &Path, id: u64) -> String {
    let folder = dir.join(format!("x/chk-3-{id}"));
    folder.to_str().unwrap().to_owned()
}

pub(in crate::state_folder) fn job() -> LocalJob {
    let manifest = "apiVersion: weir.dev/v1alpha1\nkind: StreamJob\nmetadata: {name: x}\nspec: \
                    {job: {program: wordcount, args: {input: a.txt, output: b}}}\n";
    let job = weir_crd::StreamJob::from_yaml("job.yaml", manifest).unwrap();
    job.resolve_local(&weir_crd::Overrides::default()).unwrap()
}

pub(in crate::state_folder) fn registry() -> Registry {
    let programs = weir_programs::all().into_iter();
    let programs: Vec<_> = programs
        .map(|entry| crate::ProgramEntry {
            name: entry.name,
            summary: entry.summary,
            build: entry.build,
        })
        .collect();
    Registry::new(&programs)
}

/// State of an operator that `wordcount` lacks may be left behind.
pub(in crate::state_folder) fn args(dir: Option<&Path>, restore: RestoreChoice) -> CheckpointArgs {
    CheckpointArgs {
        dir: dir.map(|dir| dir.to_str().unwrap().to_owned()),
        restore: Some(restore),
        allow_non_restored_state: true,
        ..CheckpointArgs::default()
    }
}

fn check(dir: Option<&Path>, restore: RestoreChoice, allow: bool) -> StateCheck {
    let args = CheckpointArgs {
        allow_non_restored_state: allow,
        ..args(dir, restore)
    };
    Check::new(&registry(), &job(), &args, Some(5)).run()
}

/// What a process of a deployment starts from.
fn start(
    dir: &Path,
    restore: RestoreChoice,
    deployment: Option<u64>,
) -> Result<CheckpointOptions, String> {
    let (registry, job) = (registry(), job());
    let plan = program::plan(&registry, &job).unwrap_or_else(|error| panic!("{}", error.text()));
    // In a folder of its own nobody waits for the end of the leader before.
    let election = tempfile::tempdir().unwrap();
    let candidate = Candidate {
        pod: None,
        dir: Some(election.path().to_owned()),
        deployment,
    };
    let args = args(Some(dir), restore);
    let adopt = program::adopting(&registry, &job);
    let started = lead((&job).into(), &args, plan, &adopt, &candidate, &|_| {});
    match started.map(|(start, _)| start) {
        Ok(Start::Leads(lead)) => Ok(lead.options),
        Ok(_) => Err("it does not lead".to_owned()),
        Err(failure) => Err(failure.text()),
    }
}

/// The number of the snapshot that a process of a deployment goes on from.
fn restored(dir: &Path, restore: RestoreChoice, deployment: Option<u64>) -> Option<u64> {
    let options = start(dir, restore, deployment);
    let options = options.unwrap_or_else(|text| panic!("{deployment:?}: {text}"));
    options.restore.map(|from| from.metadata.id.0)
}

#[test]
fn a_program_that_lacks_an_operator_with_state_is_refused_unless_that_is_allowed() {
    let dir = tempfile::tempdir().unwrap();
    leave_state(dir.path(), RunState::Running, false);
    let found = check(Some(dir.path()), RestoreChoice::Latest, false);
    assert_eq!(found.verdict, StateVerdict::Failed, "{}", found.message);
    assert_eq!(found.reason, "StateIncompatible");
    assert!(found.message.contains("`gone`"), "{}", found.message);
    assert_eq!(found.snapshot, Some(CheckpointId(7)));
    assert_eq!(found.deployment, Some(4));
    let found = check(Some(dir.path()), RestoreChoice::Latest, true);
    assert_eq!(found.verdict, StateVerdict::Passed, "{}", found.message);
    assert_eq!(found.snapshot, Some(CheckpointId(7)));
}

/// A start finds that out when its subtasks restore their state: after the job has stopped.
#[test]
fn a_program_that_declares_another_type_of_state_is_refused_whatever_may_be_left_behind() {
    let dir = tempfile::tempdir().unwrap();
    leave_counts::<String>(dir.path());
    for allow in [false, true] {
        let found = check(Some(dir.path()), RestoreChoice::Latest, allow);
        assert_eq!(found.verdict, StateVerdict::Failed, "{}", found.message);
        assert_eq!(found.reason, "StateIncompatible");
        for word in ["`count`", "String", "u64", "another name"] {
            assert!(found.message.contains(word), "{word}: {}", found.message);
        }
        assert_eq!(found.snapshot, Some(CheckpointId(7)));
    }
    let dir = tempfile::tempdir().unwrap();
    leave_counts::<u64>(dir.path());
    let found = check(Some(dir.path()), RestoreChoice::Latest, false);
    assert_eq!(found.verdict, StateVerdict::Passed, "{}", found.message);
}

/// The check is repeated every few seconds, the newest checkpoint is another one each time.
#[test]
fn the_types_are_compared_again_only_when_they_are_others() {
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    leave_counts::<u64>(first.path());
    leave_counts::<String>(second.path());
    let mut check = Check::new(
        &registry(),
        &job(),
        &args(None, RestoreChoice::Latest),
        Some(5),
    );
    for (dir, verdict) in [
        (&first, StateVerdict::Passed),
        (&first, StateVerdict::Passed),
        (&second, StateVerdict::Failed),
        (&second, StateVerdict::Failed),
        (&first, StateVerdict::Passed),
    ] {
        check.args = args(Some(dir.path()), RestoreChoice::Latest);
        assert_eq!(check.run().verdict, verdict);
    }
}

#[test]
fn a_start_without_state_asks_only_whether_results_would_be_lost() {
    let stopped = || RunState::Stopped(OperationId("a".to_owned()));
    for (run_state, uncommitted, verdict) in [
        (RunState::Running, true, StateVerdict::Passed),
        (RunState::Failed, false, StateVerdict::Passed),
        (RunState::Failed, true, StateVerdict::Failed),
        (stopped(), true, StateVerdict::Passed),
    ] {
        let dir = tempfile::tempdir().unwrap();
        leave_state(dir.path(), run_state.clone(), uncommitted);
        let found = check(Some(dir.path()), RestoreChoice::None, false);
        assert_eq!(found.verdict, verdict, "{run_state:?}: {}", found.message);
    }
}

#[test]
fn a_job_without_state_starts_and_one_whose_state_is_incomplete_does_not() {
    let found = check(None, RestoreChoice::Latest, false);
    assert_eq!(found.verdict, StateVerdict::Passed);
    let dir = tempfile::tempdir().unwrap();
    let found = check(Some(dir.path()), RestoreChoice::Latest, false);
    assert_eq!(
        (found.verdict, found.snapshot),
        (StateVerdict::Passed, None)
    );
    leave_state(dir.path(), RunState::Running, false);
    std::fs::remove_file(dir.path().join("x/chk-3-7/_metadata")).unwrap();
    let found = check(Some(dir.path()), RestoreChoice::Latest, true);
    assert_eq!(found.verdict, StateVerdict::Failed);
    assert_eq!(found.reason, "LatestUnreadable", "{}", found.message);
    let missing = RestoreChoice::Path(dir.path().join("nowhere").to_str().unwrap().to_owned());
    let found = check(Some(dir.path()), missing, true);
    assert_eq!(found.reason, "SnapshotUnreadable", "{}", found.message);
}

#[test]
fn snapshots_without_a_pointer_are_no_reason_to_start_empty() {
    let dir = tempfile::tempdir().unwrap();
    let store = LocalStore::open(dir.path().join("x")).unwrap();
    let path = ObjectPath::new("chk-1-1/_metadata").unwrap();
    store.create(&path, b"something").unwrap();
    store_checkpoint(dir.path(), 5, gone(false));
    let named = RestoreChoice::Path(folder_of(dir.path(), 5));
    for choice in [RestoreChoice::Latest, RestoreChoice::None, named] {
        let found = check(Some(dir.path()), choice.clone(), true);
        assert_eq!(found.verdict, StateVerdict::Failed);
        assert_eq!(found.reason, "StateMissing");
        // The start says the same, and what helps.
        let text = start(dir.path(), choice, Some(5)).err().unwrap_or_default();
        assert!(
            text.contains("put the pointer back, give the job another folder"),
            "{text}"
        );
    }
}

#[test]
fn a_newer_deployment_may_begin_with_nothing_and_its_next_process_does_the_same() {
    let dir = tempfile::tempdir().unwrap();
    leave_state(dir.path(), RunState::Running, false);
    let refused = start(dir.path(), RestoreChoice::None, None);
    assert!(refused.is_err_and(|text| text.contains("holds state of this job")));
    for _ in 0..2 {
        let options = start(dir.path(), RestoreChoice::None, Some(5));
        let options = options.unwrap_or_else(|text| panic!("{text}"));
        assert!(options.restore.is_none());
        let pointer = &options.claimed.pointer;
        assert_eq!((pointer.deployment, &pointer.latest), (5, &None));
        let kept: Vec<u64> = pointer.retained.iter().map(|kept| kept.id.0).collect();
        assert_eq!(
            kept,
            [7],
            "what there was stays until there is something newer"
        );
    }
}

#[test]
fn results_that_are_still_to_be_published_are_not_left_behind() {
    let dir = tempfile::tempdir().unwrap();
    leave_state(dir.path(), RunState::Failed, true);
    let refused = start(dir.path(), RestoreChoice::None, Some(5));
    let text = refused.err().unwrap_or_default();
    assert!(text.contains("still to be published"), "{text}");
}

/// Whoever issues a deployment for it has been asked to, say by another `restartNonce`.
#[test]
fn a_job_that_has_finished_is_run_again_by_a_newer_deployment_only() {
    let dir = tempfile::tempdir().unwrap();
    leave_state(dir.path(), RunState::Finished, false);
    for deployment in [None, Some(3), Some(4)] {
        let over = start(dir.path(), RestoreChoice::Latest, deployment);
        let text = over.err().unwrap_or_default();
        assert_eq!(text, "it does not lead", "{deployment:?}");
    }
    let options = start(dir.path(), RestoreChoice::Latest, Some(5));
    let options = options.unwrap_or_else(|text| panic!("{text}"));
    let pointer = &options.claimed.pointer;
    assert_eq!(
        (pointer.deployment, &pointer.run_state),
        (5, &RunState::Running)
    );
    let from = options.restore.map(|from| from.metadata.id);
    assert_eq!(from, Some(CheckpointId(7)));
}

/// Fails if a person who asks for a snapshot again did not get it, or if a process that only starts
/// again took the job back to it.
#[test]
fn a_newer_deployment_begins_from_the_same_snapshot_again_and_a_repeated_start_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    leave_state(dir, RunState::Running, false);
    store_checkpoint(dir, 5, gone(false));
    let again = |deployment| {
        let named = RestoreChoice::Path(folder_of(dir, 5));
        restored(dir, named, deployment)
    };
    for (deployment, own) in [(5, 8), (6, 9)] {
        for _ in 0..2 {
            assert_eq!(again(Some(deployment)), Some(5), "it has nothing else yet");
        }
        complete(dir, own);
        assert_eq!(again(Some(deployment)), Some(own));
        assert_eq!(again(None), Some(own), "nobody has asked anew");
    }
    move_pointer(dir, |pointer| pointer.run_state = RunState::Finished);
    assert_eq!(again(Some(7)), Some(5));
}

/// A JobManager that stands by has to look at what it will start from.
#[test]
fn the_check_reads_a_snapshot_that_is_named_once_more_and_not_what_came_after_it() {
    let dir = tempfile::tempdir().unwrap();
    leave_state(dir.path(), RunState::Running, false);
    store_checkpoint(dir.path(), 5, gone(false));
    let path = folder_of(dir.path(), 5);
    let root = Root {
        operation: OperationId::of_restore(Some(4)),
        path: path.clone(),
    };
    move_pointer(dir.path(), |pointer| pointer.roots.push(root));
    // By deployment 5, which is newer at first.
    for (deployment, snapshot) in [(4, 5), (5, 7), (6, 7)] {
        move_pointer(dir.path(), |pointer| pointer.deployment = deployment);
        let named = RestoreChoice::Path(path.clone());
        let found = check(Some(dir.path()), named, true);
        assert_eq!(found.verdict, StateVerdict::Passed, "{}", found.message);
        assert_eq!(found.snapshot, Some(CheckpointId(snapshot)), "{deployment}");
    }
}

/// Otherwise an edit of a spec whose first pods came to nothing would lose the state that a person
/// named.
#[test]
fn who_goes_on_from_a_deployment_that_stored_nothing_begins_with_what_that_one_was_told_to() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    leave_state(dir, RunState::Running, false);
    store_checkpoint(dir, 5, gone(false));
    let named = RestoreChoice::Path(folder_of(dir, 5));
    assert_eq!(restored(dir, named, Some(5)), Some(5));
    let found = check(Some(dir), RestoreChoice::Latest, true);
    assert_eq!(found.snapshot, Some(CheckpointId(5)), "{}", found.message);
    for _ in 0..2 {
        assert_eq!(restored(dir, RestoreChoice::Latest, Some(6)), Some(5));
    }
    complete(dir, 8);
    assert_eq!(restored(dir, RestoreChoice::Latest, Some(7)), Some(8));
    assert_eq!(restored(dir, RestoreChoice::None, Some(8)), None);
    assert_eq!(restored(dir, RestoreChoice::Latest, Some(9)), None);
}

/// Otherwise a job whose state was deleted or damaged could never be started again.
#[test]
fn state_that_is_gone_or_damaged_can_be_left_for_something_else_that_a_person_names() {
    for (none, damaged) in [(true, false), (false, false), (true, true), (false, true)] {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        leave_state(dir, RunState::Running, true);
        store_checkpoint(dir, 5, gone(false));
        let newest = dir.join("x/chk-3-7/_metadata");
        match damaged {
            true => std::fs::write(&newest, "WEIRMETA, and no more").unwrap(),
            false => std::fs::remove_file(&newest).unwrap(),
        }
        let goes_on = start(dir, RestoreChoice::Latest, Some(5));
        let text = goes_on.err().unwrap_or_default();
        for part in ["chk-3-7", "from: Path", "nonce"] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(!text.contains("--restore"), "a StreamJob has none: {text}");
        let (named, restored_from) = match none {
            true => (RestoreChoice::None, None),
            false => (RestoreChoice::Path(folder_of(dir, 5)), Some(5)),
        };
        assert_eq!(restored(dir, named, Some(6)), restored_from);
    }
}
