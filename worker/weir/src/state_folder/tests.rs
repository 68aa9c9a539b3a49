use std::cell::RefCell;
use std::path::Path;
use std::thread;

use weir_checkpoint::pointer::RunState;
use weir_types::CheckpointId;

use super::check::tests::{
    args, complete, folder_of, gone, job, leave_state, move_pointer, registry, store_checkpoint,
};
use super::*;
use crate::kubernetes::tests::FakeApi;

fn plan() -> Plan {
    program::plan(&registry(), &job()).unwrap_or_else(|error| panic!("{}", error.text()))
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
    match lead((&job()).into(), args, &plan(), &candidate, &say) {
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
        rewind,
        ..args(Some(dir), RestoreChoice::Path(folder_of(dir, id)))
    }
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
        assert_eq!(restored(&from(dir, 5, false)), Some(5));
        assert_eq!(restored(&args(Some(dir), RestoreChoice::Latest)), Some(5));
        complete(dir, 8);
        assert_eq!(
            restored(&from(dir, 5, false)),
            Some(8),
            "the same words go on"
        );
        assert_eq!(
            restored(&from(dir, 5, true)),
            Some(5),
            "it is said each time"
        );
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
    none.rewind = true;
    assert_eq!(restored(&none), None);
    // What was named before is left behind, too.
    complete(dir, 8);
    assert_eq!(restored(&from(dir, 8, false)), Some(8));
    assert_eq!(restored(&none), None);
    assert_eq!(restored(&args(Some(dir), RestoreChoice::Latest)), None);
    let mut latest = args(Some(dir), RestoreChoice::Latest);
    latest.rewind = true;
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
        let (_, told) = start(&args).unwrap_or_else(|text| panic!("{text}"));
        let left = |text: &&String| text.contains("`gone` (uid `gone`)");
        let left: Vec<_> = told.iter().filter(left).collect();
        // Where it is not allowed, the start is refused, which says it.
        assert_eq!(left.len(), usize::from(allowed), "{told:?}");
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
        let args = CheckpointArgs::default();
        match lead((&job()).into(), &args, &plan(), &candidate, say) {
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
