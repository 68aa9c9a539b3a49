use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use weir_checkpoint::handle::{ObjectRef, Stored};
use weir_checkpoint::metadata::{CheckpointMetadata, OperatorMetadata};
use weir_checkpoint::pointer::RunState;
use weir_cli::Rewind;
use weir_storage::{Call, Fault, FaultyStore, Operation};
use weir_types::CheckpointId;

use super::check::tests::{
    args, complete, counts, folder_of, gone, job, leave_state, move_pointer, registry,
    store_checkpoint,
};
use super::*;
use crate::kubernetes::tests::FakeApi;
use crate::program;

fn plan() -> Plan {
    program::plan(&registry(), &job()).unwrap_or_else(|error| panic!("{}", error.text()))
}

fn adopts_nothing(plan: Plan, _: &CheckpointMetadata, _: &dyn Fn(&str)) -> Result<Plan, Failure> {
    Ok(plan)
}

/// A start by a person, from what was said.
fn start(args: &CheckpointArgs) -> Result<(Option<CheckpointId>, Vec<String>), String> {
    // In a folder of its own nobody waits for the end of the leader before.
    let election = tempfile::tempdir().unwrap();
    let candidate = Candidate {
        pod: None,
        dir: Some(election.path().to_owned()),
        deployment: None,
    };
    let told = RefCell::new(Vec::new());
    let say = |text: &str| told.borrow_mut().push(text.to_owned());
    let (registry, job) = (registry(), job());
    let adopt = program::adopting(&registry, &job);
    let started = lead((&job).into(), args, plan(), &adopt, &candidate, &say);
    match started.map(|(start, _)| start) {
        Ok(Start::Leads(lead)) => {
            let restored = lead.options.restore.map(|from| from.metadata.id);
            Ok((restored, told.into_inner()))
        }
        Ok(_) => Err("it does not lead".to_owned()),
        Err(failure) => Err(failure.text()),
    }
}

/// From the snapshot of this number in the job's own folder.
fn from(dir: &Path, id: u64, rewind: bool) -> CheckpointArgs {
    CheckpointArgs {
        rewind: rewind.then(Rewind::default),
        ..args(Some(dir), RestoreChoice::Path(folder_of(dir, id)))
    }
}

/// The same once more, by another name.
fn once_more(mut args: CheckpointArgs, name: &str) -> CheckpointArgs {
    let name = Some(name.to_owned());
    args.rewind = Some(Rewind { name });
    args
}

fn pointer(dir: &Path) -> Pointer {
    let folder = Folder::at(dir.to_str().unwrap(), "x", &CheckpointArgs::default());
    let folder = folder.unwrap_or_else(|failure| panic!("{}", failure.text()));
    let pointer = weir_jobmanager::read_pointer(folder.store.as_ref());
    pointer.unwrap().unwrap()
}

fn restored(args: &CheckpointArgs) -> Option<u64> {
    let started = start(args).unwrap_or_else(|text| panic!("{text}"));
    started.0.map(|id| id.0)
}

/// Its processes are started with the same words again, by whoever looks after them.
#[test]
fn the_newest_snapshot_may_be_named_by_its_path_and_the_same_words_go_on_from_there() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    leave_state(dir, RunState::Stopped(operation()), false);
    assert_eq!(restored(&from(dir, 7, false)), Some(7));
    assert_eq!(restored(&from(dir, 7, false)), Some(7));
    complete(dir, 8);
    let (again, told) = start(&from(dir, 7, false)).unwrap_or_else(|text| panic!("{text}"));
    assert_eq!(again, Some(CheckpointId(8)));
    assert!(
        told.iter()
            .any(|text| text.contains("goes on from its newest")),
        "{told:?}"
    );
    assert_eq!(restored(&args(Some(dir), RestoreChoice::Latest)), Some(8));
}

fn operation() -> weir_checkpoint::pointer::OperationId {
    weir_checkpoint::pointer::OperationId("stop-1".to_owned())
}

#[test]
fn a_person_goes_back_only_by_saying_so() {
    for run_state in [
        RunState::Running,
        RunState::Failed,
        RunState::Stopped(operation()),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        leave_state(dir, run_state, false);
        store_checkpoint(dir, 5, gone(false));
        let text = start(&from(dir, 5, false)).err().unwrap_or_default();
        for part in ["chk-3-5` is not the newest", "--rewind", "once more"] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert_eq!(restored(&from(dir, 5, true)), Some(5));
        // Killed before it has completed a checkpoint.
        assert_eq!(restored(&from(dir, 5, true)), Some(5));
        assert_eq!(restored(&from(dir, 5, false)), Some(5));
        assert_eq!(restored(&args(Some(dir), RestoreChoice::Latest)), Some(5));
        complete(dir, 8);
        assert_eq!(
            restored(&from(dir, 5, false)),
            Some(8),
            "the same words go on"
        );
    }
}

/// Whoever looks after its processes starts them with the same words each time.
#[test]
fn a_job_goes_back_once_for_each_name_and_then_the_same_words_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    leave_state(dir, RunState::Running, false);
    store_checkpoint(dir, 5, gone(false));
    let mut none = args(Some(dir), RestoreChoice::None);
    none.rewind = Some(Rewind::default());
    let wishes = [
        (from(dir, 5, true), Some(5)),
        (once_more(from(dir, 5, true), "monday"), Some(5)),
        (once_more(from(dir, 5, true), "tuesday"), Some(5)),
        (none.clone(), None),
        (once_more(none, "monday"), None),
        // The last wish is another one by now.
        (from(dir, 5, true), Some(5)),
    ];
    for (own, (back, to)) in (8..).zip(wishes) {
        for _ in 0..2 {
            assert_eq!(restored(&back), to, "it has nothing else yet");
        }
        complete(dir, own);
        let (again, told) = start(&back).unwrap_or_else(|text| panic!("{text}"));
        assert_eq!(again, Some(CheckpointId(own)), "{back:?}");
        assert!(told.iter().any(|text| text.contains("--rewind=ID")));
    }
    move_pointer(dir, |pointer| pointer.run_state = RunState::Finished);
    let over = start(&from(dir, 5, true)).err();
    assert_eq!(over.as_deref(), Some("it does not lead"), "nothing is left");
}

/// What is the newest when a person goes back to it is not the newest when its process is started
/// again, and neither is a snapshot that a new job has begun with.
#[test]
fn going_back_to_the_newest_state_or_in_an_empty_folder_is_done_once_too() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    leave_state(dir, RunState::Running, false);
    assert_eq!(restored(&from(dir, 7, true)), Some(7));
    complete(dir, 8);
    assert_eq!(restored(&from(dir, 7, true)), Some(8));
    assert_eq!(pointer(dir).branch, None, "nothing was left behind");
    let other = tempfile::tempdir().unwrap();
    let begin = CheckpointArgs {
        dir: args(Some(other.path()), RestoreChoice::Latest).dir,
        ..from(dir, 7, true)
    };
    assert_eq!(restored(&begin), Some(7));
    complete(other.path(), 8);
    assert_eq!(restored(&begin), Some(8));
}

/// Otherwise the job would have lost its newest state to a start that came to nothing.
#[test]
fn going_back_to_what_the_job_cannot_begin_with_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    leave_state(dir, RunState::Running, false);
    store_checkpoint(dir, 9, counts::<String>());
    store_checkpoint(dir, 3, lacks_an_object());
    store_checkpoint(dir, 5, gone(false));
    let before = pointer(dir);
    let no_place = CheckpointArgs {
        allow_non_restored_state: false,
        ..from(dir, 5, true)
    };
    for (args, parts) in [
        (no_place, ["`gone`", "no operator with that id"]),
        (from(dir, 9, true), ["`count`", "String"]),
        (
            from(dir, 3, true),
            ["`shared/lost` is missing", "nothing has changed"],
        ),
        (from(dir, 4, true), ["chk-3-4", "name the folder"]),
    ] {
        let text = start(&args).err().unwrap_or_default();
        for part in parts {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert_eq!(pointer(dir), before);
    }
}

fn lacks_an_object() -> OperatorMetadata {
    let mut operator = gone(false);
    operator.subtasks[0].1.raw = Some(Stored::Object(ObjectRef {
        path: "shared/lost".to_owned(),
        size: 1,
        checksum: 0,
    }));
    operator
}

/// In a bucket nobody is elected: the job may run on until it is claimed.
#[test]
fn what_a_running_job_promises_between_the_look_and_the_claim_is_not_left_behind() {
    for (uncommitted, promises) in [(true, true), (false, false)] {
        let dir = tempfile::tempdir().unwrap();
        let own = dir.path().to_owned();
        leave_state(&own, RunState::Running, false);
        store_checkpoint(&own, 5, gone(false));
        let args = from(&own, 5, true);
        let mut folder = Folder::at(own.to_str().unwrap(), "x", &args)
            .unwrap_or_else(|failure| panic!("{}", failure.text()));
        let reads = AtomicU32::new(0);
        let inner = Arc::clone(&folder.store);
        folder.store = Arc::new(FaultyStore::new(inner, move |call: &Call| {
            let reads_pointer = call.operation == Operation::ReadRegister;
            // Before the claim reads it, after it was looked at.
            if reads_pointer && reads.fetch_add(1, Ordering::Relaxed) == 1 {
                let newest = store_checkpoint(&own, 8, gone(uncommitted));
                move_pointer(&own, |pointer| pointer.complete(newest, 2));
            }
            Fault::None
        }));
        let candidate = Candidate {
            pod: None,
            dir: None,
            deployment: None,
        };
        let successor = Successor {
            plan: &plan(),
            adopt: &adopts_nothing,
            allowed: true,
        };
        let claimed = folder.claim_as_wished(&args, &candidate, &successor, &|_| {});
        let text = claimed.as_ref().err().map(Failure::text);
        let says = text
            .as_ref()
            .is_some_and(|t| t.contains("still to be published"));
        assert_eq!(says, promises, "{text:?}");
        let pointer = pointer(dir.path());
        let kept: Vec<u64> = pointer.retained.iter().map(|kept| kept.id.0).collect();
        assert_eq!(kept, [7, 8]);
        assert_eq!(pointer.latest.is_some(), promises, "it is claimed anew");
    }
}

#[test]
fn a_person_starts_with_no_state_beside_state_only_by_saying_so() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    leave_state(dir, RunState::Running, false);
    let mut none = args(Some(dir), RestoreChoice::None);
    let text = start(&none).err().unwrap_or_default();
    assert!(text.contains("--rewind"), "{text}");
    none.rewind = Some(Rewind::default());
    assert_eq!(restored(&none), None);
    // What was named before is left behind, too.
    complete(dir, 8);
    assert_eq!(restored(&from(dir, 8, false)), Some(8));
    assert_eq!(restored(&once_more(none, "again")), None);
    assert_eq!(restored(&args(Some(dir), RestoreChoice::Latest)), None);
    let mut latest = args(Some(dir), RestoreChoice::Latest);
    latest.rewind = Some(Rewind::default());
    let text = start(&latest).err().unwrap_or_default();
    assert!(text.contains("`--rewind` needs"), "{text}");
}

/// They are promised, and nothing else has them.
#[test]
fn nobody_goes_back_before_the_results_of_the_newest_state_are_published() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    leave_state(dir, RunState::Failed, true);
    store_checkpoint(dir, 5, gone(false));
    let text = start(&from(dir, 5, true)).err().unwrap_or_default();
    for part in ["still to be published", "--restore latest", "weir stop"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    move_pointer(dir, |pointer| {
        pointer.run_state = RunState::Stopped(operation())
    });
    assert_eq!(restored(&from(dir, 5, true)), Some(5));
}

#[test]
fn damaged_state_is_left_behind_with_a_warning_once_a_person_names_something_else() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    leave_state(dir, RunState::Running, true);
    store_checkpoint(dir, 5, gone(false));
    std::fs::write(dir.join("x/chk-3-7/_metadata"), "damaged").unwrap();
    let (_, told) = start(&from(dir, 5, true)).unwrap_or_else(|text| panic!("{text}"));
    let warned = |text: &String| text.contains("chk-3-7") && text.contains("may be missing");
    assert!(told.iter().any(warned), "{told:?}");
}

#[test]
fn each_operator_that_loses_its_state_or_has_none_is_told() {
    let dir = tempfile::tempdir().unwrap();
    leave_state(dir.path(), RunState::Running, false);
    for allowed in [true, false] {
        let mut args = args(Some(dir.path()), RestoreChoice::Latest);
        args.allow_non_restored_state = allowed;
        let started = start(&args);
        if !allowed {
            let text = started.err().unwrap_or_default();
            assert!(text.contains("`gone` (uid `gone`)"), "{text}");
            continue;
        }
        let (_, told) = started.unwrap_or_else(|text| panic!("{text}"));
        let left = |text: &&String| text.contains("`gone` (uid `gone`) in checkpoint 7 is left");
        assert_eq!(told.iter().filter(left).count(), 1, "{told:?}");
        let empty = |text: &&String| text.contains("(uid `count`) starts with no state");
        assert_eq!(told.iter().filter(empty).count(), 1, "{told:?}");
    }
}

/// Otherwise each of its pods would run the job.
#[test]
fn of_two_pods_of_a_job_without_storage_one_leads_and_the_other_waits_for_its_end() {
    let api = FakeApi::start();
    let start = |pod: &str, say: &dyn Fn(&str)| {
        let candidate = Candidate {
            pod: Some(api.pod(pod)),
            dir: None,
            deployment: Some(1),
        };
        let (args, adopt) = (CheckpointArgs::default(), adopts_nothing);
        let started = lead((&job()).into(), &args, plan(), &adopt, &candidate, say);
        match started.map(|(start, _)| start) {
            Ok(Start::WithoutCheckpoints(leadership)) => leadership,
            Ok(_) => panic!("it has nothing to go on from"),
            Err(failure) => panic!("{}", failure.text()),
        }
    };
    let first = start("jm-0", &|_| {}).unwrap();
    thread::scope(|scope| {
        let (told, waits) = std::sync::mpsc::sync_channel(1);
        let second = scope.spawn(move || {
            start("jm-1", &|text: &str| told.send(text.to_owned()).unwrap()).unwrap()
        });
        let text = waits.recv().unwrap();
        assert!(text.contains("standing by: jm-0 leads"), "{text}");
        assert!(!first.is_lost() && !second.is_finished());
        drop(first);
        assert!(!second.join().unwrap().is_lost());
    });
}
