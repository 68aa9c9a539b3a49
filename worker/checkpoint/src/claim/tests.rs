//! Who may claim, as a table, and claims in doubt.

use super::*;
use crate::pointer::{SnapshotKind, SnapshotRef};

fn claimant(deployment: u64, from: Option<u64>) -> Claimant {
    Claimant {
        state_id: JobId(1),
        deployment,
        from_deployment: from,
        holder: "me".to_owned(),
    }
}

fn pointer(deployment: u64, run_state: RunState) -> Pointer {
    Pointer {
        state_id: JobId(1),
        deployment,
        epoch: Epoch(7),
        holder: "before".to_owned(),
        nonce: 5,
        run_state,
        last_id: CheckpointId(30),
        latest: None,
        retained: Vec::new(),
        roots: Vec::new(),
        forgotten: Vec::new(),
        branch: None,
        rewind: None,
    }
}

fn found(pointer: &Pointer, version: &str) -> ReadResult {
    ReadResult::Found {
        pointer: Box::new(pointer.clone()),
        version: version.to_owned(),
    }
}

fn begin(deployment: u64, from: Option<u64>) -> Claim {
    let (claim, first) = Claim::new(claimant(deployment, from), Nonces::new(3));
    assert_eq!(first, ClaimAction::Read { tries: 0 });
    claim
}

fn content(action: ClaimAction) -> Pointer {
    match action {
        ClaimAction::Swap { content, .. } => *content,
        other => panic!("{other:?}"),
    }
}

fn outcome(action: ClaimAction) -> ClaimOutcome {
    match action {
        ClaimAction::Done(outcome) => *outcome,
        other => panic!("{other:?}"),
    }
}

fn why(action: ClaimAction) -> String {
    match outcome(action) {
        ClaimOutcome::Refused(why) => why.to_string(),
        other => panic!("{other:?}"),
    }
}

fn written() -> SwapResult {
    SwapResult::Written {
        version: "new".to_owned(),
    }
}

#[test]
fn the_claim_takes_the_next_epoch_and_says_what_is_restored() {
    let mut claim = begin(1, None);
    let content = content(claim.on_read(found(&pointer(1, RunState::Running), "v"), true));
    assert_eq!((content.epoch, content.holder.as_str()), (Epoch(8), "me"));
    assert_eq!(content.last_id, CheckpointId(30), "numbers go on");
    assert_ne!(content.nonce, 5);
    let want = ClaimOutcome::Leads {
        pointer: Box::new(content),
        version: "new".to_owned(),
        task: LeaderTask::RunFromNothing,
    };
    assert_eq!(outcome(claim.on_swap(written())), want);
}

#[test]
fn an_empty_folder_is_a_new_job_and_a_folder_without_its_pointer_is_refused() {
    let new = content(begin(1, None).on_read(ReadResult::Missing, false));
    assert_eq!((new.epoch, new.latest), (Epoch(1), None));
    let text = why(begin(1, None).on_read(ReadResult::Missing, true));
    assert!(
        text.contains("the pointer") && text.contains("missing"),
        "{text}"
    );
}

#[test]
fn only_the_own_deployment_and_the_named_predecessor_are_claimed_from() {
    let claims = |found_deployment, own, from| {
        let found = found(&pointer(found_deployment, RunState::Running), "v");
        begin(own, from).on_read(found, true)
    };
    assert_eq!(content(claims(4, 4, None)).deployment, 4);
    assert_eq!(
        content(claims(4, 4, Some(3))).deployment,
        4,
        "it has handed over already"
    );
    assert_eq!(content(claims(3, 4, Some(3))).deployment, 4);
    for (found, own, from, says) in [
        (5, 4, Some(3), "older deployment 4"),
        (5, 4, Some(5), "older deployment 4"),
        (3, 5, Some(4), "may only follow deployment 4"),
        (3, 5, None, "may only follow no other"),
    ] {
        let text = why(claims(found, own, from));
        assert!(text.contains(says), "{text}");
    }
}

#[test]
fn another_jobs_folder_and_deleted_state_are_refused() {
    let mut other = pointer(1, RunState::Running);
    other.state_id = JobId(2);
    assert!(why(begin(1, None).on_read(found(&other, "v"), true)).contains("belongs to job"));
    let deleted = pointer(1, RunState::Deleted);
    assert!(why(begin(2, Some(1)).on_read(found(&deleted, "v"), true)).contains("deleted"));
    // The deployment that it was cancelled in has come to its end.
    let same = outcome(begin(1, None).on_read(found(&deleted, "v"), true));
    assert!(matches!(same, ClaimOutcome::Over { .. }), "{same:?}");
}

/// Fails if a job could begin anew without a person's word, or with numbers that were given before.
#[test]
fn a_job_whose_checkpoints_were_deleted_begins_anew_if_a_person_says_so() {
    let deleted = pointer(1, RunState::Deleted);
    let asked = begin(2, Some(1))
        .anew(true)
        .on_read(found(&deleted, "v"), true);
    let ClaimAction::Swap { content, .. } = asked else {
        panic!("{asked:?}")
    };
    assert_eq!(content.run_state, RunState::Running);
    assert_eq!(content.epoch.0, deleted.epoch.0 + 1);
    assert_eq!(content.last_id, deleted.last_id);
}

/// Killed between two writes it would have no state, or that of an older wish.
#[test]
fn the_write_that_lets_go_of_the_newest_state_notes_what_the_job_begins_with() {
    let root = |issued: Option<u64>, path: &str| Root {
        operation: OperationId::of_restore(issued),
        path: path.to_owned(),
    };
    let mut running = pointer(1, RunState::Running);
    running.latest = Some(SnapshotRef {
        id: CheckpointId(30),
        epoch: Epoch(7),
        kind: SnapshotKind::Checkpoint,
        path: "chk-7-30".to_owned(),
        sha256: String::new(),
        size: 0,
        completed_ms: 0,
        operation: None,
    });
    running.roots = vec![root(None, "former"), root(Some(1), "issued")];
    for next in [None, Some(root(None, "next"))] {
        let mut claim = begin(2, Some(1)).anew(true).begins_with(next.clone());
        let content = content(claim.on_read(found(&running, "v"), true));
        assert_eq!(content.latest, None);
        let mut roots = vec![root(Some(1), "issued")];
        roots.extend(next.clone());
        assert_eq!(content.roots, roots);
        assert_eq!(content.begins_with(false), next.as_ref());
        assert_eq!(content.branch, Some(Epoch(8)), "this epoch begins it");
    }
    let goes_on = begin(2, Some(1)).on_read(found(&running, "v"), true);
    assert_eq!(content(goes_on).branch, None);
}

#[test]
fn a_job_that_begins_with_a_named_snapshot_says_so_from_its_first_write_on() {
    let root = |path: &str| Root {
        operation: OperationId::of_restore(Some(1)),
        path: path.to_owned(),
    };
    let begins = |path: &str| begin(1, None).begins_with(Some(root(path)));
    let first = content(begins("a").on_read(ReadResult::Missing, false));
    assert_eq!(first.begins_with(true), Some(&root("a")));
    // Its next process says the same words once more, or others: the newest ones count.
    let again = content(begins("a").on_read(found(&first, "v"), true));
    assert_eq!(again.roots, [root("a")]);
    let other = content(begins("b").on_read(found(&again, "v"), true));
    assert_eq!(other.roots, [root("a"), root("b")]);
    let back = content(begins("a").on_read(found(&other, "v"), true));
    assert_eq!(back.begins_with(true), Some(&root("a")));
}

/// What another leader has promised since it was looked would be lost.
#[test]
fn a_claim_that_was_decided_by_a_look_is_given_up_if_the_pointer_has_moved_since() {
    let looked_at = pointer(1, RunState::Running);
    let claims = |claim: &mut Claim, now: &Pointer| claim.on_read(found(now, "v"), true);
    let mut moved = looked_at.clone();
    moved.nonce += 1;
    let begin = || {
        let begun = begin(2, Some(1)).anew(true);
        begun.looked_at(Some(looked_at.nonce))
    };
    assert!(why(claims(&mut begin(), &moved)).contains("its pointer moves"));
    let mut claim = begin();
    let first = content(claims(&mut claim, &looked_at));
    claim.on_swap(SwapResult::Conflict);
    assert!(why(claims(&mut claim, &moved)).contains("its pointer moves"));
    // Its own write is none that it has to look at again.
    let mut claim = begin();
    claims(&mut claim, &looked_at);
    claim.on_swap(SwapResult::InDoubt(String::new()));
    let leads = outcome(claims(&mut claim, &first));
    assert!(matches!(leads, ClaimOutcome::Leads { .. }), "{leads:?}");
}

#[test]
fn the_claim_notes_what_a_person_has_the_job_go_back_to() {
    let rewind = Rewind {
        operation: OperationId::of_rewind(None),
        path: None,
    };
    let claim = || begin(2, Some(1)).rewind(Some(rewind.clone()));
    let running = pointer(1, RunState::Running);
    let noted = content(claim().on_read(found(&running, "v"), true)).rewind;
    assert_eq!(noted.as_ref(), Some(&rewind));
    let first = claim().on_read(ReadResult::Missing, false);
    assert_eq!(content(first).rewind, Some(rewind));
    let mut rewound = running;
    rewound.rewind = noted.clone();
    let next = begin(2, Some(1)).on_read(found(&rewound, "v"), true);
    assert_eq!(content(next).rewind, noted, "it stays noted");
}

#[test]
fn a_job_that_is_over_is_not_run_again_but_by_a_new_deployment() {
    let stop = || OperationId("stop".to_owned());
    for state in [
        RunState::Stopped(stop()),
        RunState::Finished,
        RunState::Failed,
        RunState::Cancelled,
    ] {
        let found_state = pointer(1, state.clone());
        let again = outcome(begin(1, None).on_read(found(&found_state, "v"), true));
        let want = ClaimOutcome::Over {
            run_state: state,
            pointer: Box::new(found_state.clone()),
        };
        assert_eq!(again, want);
        let resumed = content(begin(2, Some(1)).on_read(found(&found_state, "v"), true));
        assert_eq!(resumed.run_state, RunState::Running);
    }
}

#[test]
fn a_stopping_job_only_finishes_its_commits() {
    let stop = OperationId("stop".to_owned());
    let mut claim = begin(1, None);
    let found = found(&pointer(1, RunState::Stopping(stop.clone())), "v");
    let kept = content(claim.on_read(found, true));
    assert_eq!(kept.run_state, RunState::Stopping(stop.clone()));
    let ClaimOutcome::Leads { task, .. } = outcome(claim.on_swap(written())) else {
        panic!();
    };
    assert_eq!(task, LeaderTask::FinishCommits(stop));
}

#[test]
fn a_claim_whose_answer_is_lost_is_found_again() {
    let mut claim = begin(1, None);
    let first = content(claim.on_read(found(&pointer(1, RunState::Running), "v"), true));
    claim.on_swap(SwapResult::InDoubt(String::new()));
    let second = content(claim.on_read(found(&pointer(1, RunState::Running), "v"), true));
    assert_ne!(first.nonce, second.nonce);
    assert!(matches!(
        claim.on_swap(SwapResult::Conflict),
        ClaimAction::Read { .. }
    ));
    let leads = outcome(claim.on_read(found(&first, "v1"), true));
    assert!(matches!(leads, ClaimOutcome::Leads { pointer, .. } if *pointer == first));
}

#[test]
fn the_old_leaders_last_checkpoint_is_not_lost_and_another_claimant_wins() {
    let mut claim = begin(1, None);
    claim.on_read(found(&pointer(1, RunState::Running), "v"), true);
    claim.on_swap(SwapResult::Conflict);
    let mut moved = pointer(1, RunState::Running);
    (moved.nonce, moved.last_id) = (6, CheckpointId(31));
    let again = content(claim.on_read(found(&moved, "v1"), true));
    assert_eq!(
        again.last_id,
        CheckpointId(31),
        "what the claim says counts, not the first read"
    );
    claim.on_swap(SwapResult::Conflict);
    (moved.nonce, moved.epoch) = (9, Epoch(8));
    let lost = outcome(claim.on_read(found(&moved, "v2"), true));
    assert!(matches!(
        lost,
        ClaimOutcome::Lost {
            epoch: Epoch(8),
            ..
        }
    ));
}

#[test]
fn two_claimants_of_an_empty_folder_do_not_both_win() {
    let (mut one, mut two) = (begin(1, None), begin(1, None));
    let first = content(one.on_read(ReadResult::Missing, false));
    two.on_read(ReadResult::Missing, false);
    let mut first = first;
    first.nonce += 1;
    two.on_swap(SwapResult::Conflict);
    let lost = outcome(two.on_read(found(&first, "v0"), true));
    assert!(matches!(
        lost,
        ClaimOutcome::Lost {
            epoch: Epoch(1),
            ..
        }
    ));
}

#[test]
fn a_refused_write_is_told() {
    let mut claim = begin(1, None);
    claim.on_read(found(&pointer(1, RunState::Running), "v"), true);
    let text = why(claim.on_swap(SwapResult::Failed("no credentials".to_owned())));
    assert!(text.contains("no credentials"), "{text}");
}

/// Results of the job that took the snapshot have its epoch in their names: a job that goes on from
/// it beside them, with a state folder of its own, wrote the same names again.
#[test]
fn a_job_that_goes_on_from_another_ones_snapshot_has_a_higher_epoch() {
    let fresh = begin(1, None)
        .above(Epoch(4))
        .on_read(ReadResult::Missing, false);
    assert_eq!(content(fresh).epoch, Epoch(5));
    let running = pointer(1, RunState::Running);
    let lower = begin(1, None)
        .above(Epoch(4))
        .on_read(found(&running, "a"), true);
    assert_eq!(content(lower).epoch, Epoch(8), "its own epoch was 7");
    let higher = begin(1, None)
        .above(Epoch(9))
        .on_read(found(&running, "a"), true);
    assert_eq!(content(higher).epoch, Epoch(10));
}
