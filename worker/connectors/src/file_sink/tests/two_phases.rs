//! What the sink owes a job with checkpoints, whatever is killed in between, asked of each place.

use weir_stream::sink::SinkOperator;
use weir_stream::{Commit, Operator, OperatorError, OperatorSnapshot};
use weir_testkit::until;
use weir_types::{AttemptNumber, CheckpointId, Epoch};

use super::places::Place;
use super::*;

/// Makes a test of each function for each place.
macro_rules! contract {
    ($($test:ident,)*) => {
        mod folder { contract!(@tests in_a_folder, $($test,)*); }
        mod memory { contract!(@tests in_memory, $($test,)*); }
        mod s3 { contract!(@tests in_a_bucket, $($test,)*); }
    };
    (@tests $open:ident, $($test:ident,)*) => {
        $(
            #[test]
            fn $test() {
                if let Some(place) = super::Place::$open() {
                    super::$test(&place);
                }
            }
        )*
    };
}

contract!(
    results_become_visible_with_their_checkpoint_and_those_after_its_barrier_do_not,
    a_lost_commit_is_made_up_for_by_the_next,
    whatever_was_killed_when_a_restored_sink_shows_each_record_once,
    a_restored_sink_that_is_restored_again_from_the_same_checkpoint_shows_each_record_once,
    at_another_parallelism_each_former_subtask_is_continued_by_one,
    all_parts_of_a_checkpoint_become_visible,
    what_is_not_prepared_goes_with_its_subtask,
    another_file_of_the_name_is_left_alone_and_no_restart_is_tried,
    results_that_are_gone_are_missed_and_no_restart_is_tried,
    a_fresh_run_is_refused_where_results_are_unless_it_may_overwrite,
    a_restored_run_leaves_the_results_of_its_past_alone,
    a_final_commit_that_fails_half_way_leaves_nothing_of_its_own,
    what_other_subtasks_have_published_is_taken_back_on_request,
);

/// One attempt of one subtask.
pub(super) struct Attempt {
    operator: SinkOperator<Pair, FileWriter<Pair>>,
    checkpoint: u64,
}

impl Attempt {
    /// Restores and opens it; `number` is the epoch.
    pub(super) fn start(
        place: &Place,
        number: u64,
        subtask: (u32, u32),
        snapshots: Vec<OperatorSnapshot>,
    ) -> Result<Self, OperatorError> {
        Self::of(&place.sink(), number, subtask, snapshots)
    }

    fn of(
        sink: &FileSink<Pair>,
        number: u64,
        subtask: (u32, u32),
        snapshots: Vec<OperatorSnapshot>,
    ) -> Result<Self, OperatorError> {
        if subtask.0 == 0 {
            // Once for the job, before its first subtask.
            sink.check(!snapshots.is_empty()).expect("may start");
        }
        let mut operator = SinkOperator::new(sink.make_writer());
        operator.restore(snapshots)?;
        let mut context = context(subtask.0, subtask.1);
        context.attempt.epoch = Epoch(number);
        operator.open(&context)?;
        let checkpoint = number * 100;
        Ok(Self {
            operator,
            checkpoint,
        })
    }

    pub(super) fn write(&mut self, word: &str) {
        let rows = Box::new(Batch::new(vec![pair(word, 1)]));
        let out = &mut crate::testing::Rows::<()>(Vec::new());
        self.operator.process(0, rows, out).expect("writes");
    }

    pub(super) fn snapshot(&mut self) -> (CheckpointId, OperatorSnapshot) {
        self.checkpoint += 1;
        let id = CheckpointId(self.checkpoint);
        (id, self.operator.snapshot(id).expect("prepares"))
    }

    pub(super) fn commit(&mut self, id: CheckpointId) {
        self.try_commit(id).expect("publishes");
    }

    fn try_commit(&mut self, id: CheckpointId) -> Result<(), OperatorError> {
        self.operator.commit(Commit::Checkpoint(id))
    }

    /// What a process that is killed does not do.
    fn close(&mut self) {
        self.operator.close().expect("closes");
    }

    /// Nothing of it is cleaned up, nor does it do anything more.
    fn kill(self) {
        std::mem::forget(self);
    }
}

/// Whether the sink says that a restart cannot help.
fn suppresses_restarts(error: &OperatorError) -> bool {
    matches!(error, OperatorError::Sink(cause) if cause.is::<SuppressRestarts>())
}

fn results_become_visible_with_their_checkpoint_and_those_after_its_barrier_do_not(place: &Place) {
    let mut sink = Attempt::start(place, 1, (0, 1), Vec::new()).expect("opens");
    sink.write("before");
    let (id, snapshot) = sink.snapshot();
    assert!(snapshot.uncommitted);
    sink.write("after");
    assert_eq!(place.words(), [""; 0]);
    sink.commit(id);
    assert_eq!(place.words(), ["before"]);
    sink.commit(id);
    sink.commit(CheckpointId(7));
    assert_eq!(
        place.words(),
        ["before"],
        "late and repeated commits do nothing"
    );
    let (next, snapshot) = sink.snapshot();
    assert!(snapshot.uncommitted);
    sink.commit(next);
    assert_eq!(place.words(), ["after", "before"]);
    let (_, snapshot) = sink.snapshot();
    assert!(!snapshot.uncommitted, "nothing was written since");
}

fn a_lost_commit_is_made_up_for_by_the_next(place: &Place) {
    let mut sink = Attempt::start(place, 1, (0, 1), Vec::new()).expect("opens");
    sink.write("a");
    let (_, first) = sink.snapshot();
    sink.write("b");
    let (second, snapshot) = sink.snapshot();
    assert!(first.uncommitted && snapshot.uncommitted);
    sink.commit(second);
    assert_eq!(place.words(), ["a", "b"]);
}

/// Runs "a", a snapshot that may be committed, "b", a kill; then goes on from the snapshot.
fn killed(place: &Place, committed: bool, orderly: bool) -> Attempt {
    let mut sink = Attempt::start(place, 1, (0, 1), Vec::new()).expect("opens");
    sink.write("a");
    let (id, snapshot) = sink.snapshot();
    if committed {
        sink.commit(id);
    }
    sink.write("b");
    sink.snapshot();
    sink.write("c");
    match orderly {
        true => sink.close(),
        false => sink.kill(),
    }
    Attempt::start(place, 2, (0, 1), vec![snapshot]).expect("goes on")
}

fn whatever_was_killed_when_a_restored_sink_shows_each_record_once(place: &Place) {
    for (committed, orderly) in [(false, false), (true, false), (false, true), (true, true)] {
        let place = &place.another();
        let mut next = killed(place, committed, orderly);
        assert_eq!(place.words(), ["a"], "{committed} {orderly}");
        assert_eq!(place.hidden(), 0, "nothing is left of the first attempt");
        next.write("b");
        let (id, _) = next.snapshot();
        next.commit(id);
        assert_eq!(place.words(), ["a", "b"]);
        next.close();
    }
}

fn a_restored_sink_that_is_restored_again_from_the_same_checkpoint_shows_each_record_once(
    place: &Place,
) {
    let mut sink = Attempt::start(place, 1, (0, 1), Vec::new()).expect("opens");
    sink.write("a");
    let (_, snapshot) = sink.snapshot();
    sink.kill();
    for epoch in 2..5 {
        let snapshots = vec![snapshot.clone()];
        let mut next = Attempt::start(place, epoch, (0, 1), snapshots).expect("goes on");
        next.write("not in any checkpoint");
        next.snapshot();
        assert_eq!(place.words(), ["a"]);
        next.kill();
    }
}

fn at_another_parallelism_each_former_subtask_is_continued_by_one(place: &Place) {
    for (before, after) in [(3u32, 2u32), (2, 3), (3, 1)] {
        let place = &place.another();
        let mut snapshots = Vec::new();
        for subtask in 0..before {
            let sink = Attempt::start(place, 1, (subtask, before), Vec::new());
            let mut sink = sink.expect("opens");
            sink.write(&format!("kept {subtask}"));
            snapshots.push(sink.snapshot().1);
            sink.write("lost");
            sink.kill();
        }
        for subtask in 0..after {
            let continued = (0..before).filter(|former| former % after == subtask);
            let mine = continued.map(|former| snapshots[former as usize].clone());
            let mut operator = SinkOperator::new(place.sink().make_writer());
            operator.restore(mine.collect()).expect("restores");
            let mut context = context(subtask, after);
            context.attempt.attempt = AttemptNumber(1);
            operator.open(&context).expect("opens");
        }
        let want: Vec<_> = (0..before)
            .map(|subtask| format!("kept {subtask}"))
            .collect();
        assert_eq!(place.words(), want);
        assert_eq!(place.hidden(), 0, "nothing is left over");
    }
}

fn all_parts_of_a_checkpoint_become_visible(place: &Place) {
    let sink = place.sink().roll_bytes(0);
    let mut sink = Attempt::of(&sink, 1, (0, 1), Vec::new()).expect("opens");
    for word in ["a", "b", "c"] {
        sink.write(word);
    }
    let (id, _) = sink.snapshot();
    assert_eq!(place.words(), [""; 0]);
    sink.commit(id);
    assert_eq!(place.words(), ["a", "b", "c"]);
}

fn what_is_not_prepared_goes_with_its_subtask(place: &Place) {
    let sink = place.sink().roll_bytes(0);
    let mut sink = Attempt::of(&sink, 1, (0, 1), Vec::new()).expect("opens");
    sink.write("full");
    sink.write("another");
    sink.close();
    assert_eq!(place.words(), [""; 0]);
    until("an empty place", || place.hidden() == 0);
}

fn another_file_of_the_name_is_left_alone_and_no_restart_is_tried(place: &Place) {
    let mut sink = Attempt::start(place, 1, (0, 1), Vec::new()).expect("opens");
    sink.write("mine");
    let (id, snapshot) = sink.snapshot();
    place.put("part-1-0-0-000000.csv", "another's,1\n");
    for _ in 0..2 {
        let error = sink.try_commit(id).err();
        // A commit that failed is over for the operator: the runtime fails the subtask.
        let error = match error {
            Some(error) => error,
            None => Attempt::start(place, 2, (0, 1), vec![snapshot.clone()])
                .err()
                .expect("is another's"),
        };
        assert!(suppresses_restarts(&error), "{error:?}");
        let cause = crate::testing::root_cause(&error);
        let told = cause.contains("part-1-0-0-000000.csv") && cause.contains("move it away");
        assert!(told, "{cause}");
        assert_eq!(place.words(), ["another's"]);
    }
    // What the text says helps.
    place.remove("part-1-0-0-000000.csv");
    Attempt::start(place, 3, (0, 1), vec![snapshot]).expect("goes on");
    assert_eq!(place.words(), ["mine"]);
}

fn results_that_are_gone_are_missed_and_no_restart_is_tried(place: &Place) {
    let mut sink = Attempt::start(place, 1, (0, 1), Vec::new()).expect("opens");
    sink.write("a");
    let (id, snapshot) = sink.snapshot();
    sink.commit(id);
    sink.kill();
    place.remove("part-1-0-0-000000.csv");
    let error = Attempt::start(place, 2, (0, 1), vec![snapshot]);
    let error = error.err().expect("is gone");
    assert!(suppresses_restarts(&error), "{error:?}");
    let cause = crate::testing::root_cause(&error);
    assert!(cause.contains("part-1-0-0-000000.csv"), "{cause}");
}

fn a_fresh_run_is_refused_where_results_are_unless_it_may_overwrite(place: &Place) {
    run(&place.sink(), vec![pair("old", 1)]);
    place.put("part-of-another-system", "x,1\n");
    let error = place.sink().check(false).expect_err("holds results");
    let error = error.to_string();
    assert!(
        error.contains("overwrite=true") && error.contains("part-1-0-0"),
        "{error}"
    );
    assert_eq!(place.words(), ["old", "x"]);
    place.sink().overwrite(true).check(false).expect("may");
    assert_eq!(place.words(), ["x"], "only part files are removed");
}

fn a_restored_run_leaves_the_results_of_its_past_alone(place: &Place) {
    let mut sink = Attempt::start(place, 1, (0, 1), Vec::new()).expect("opens");
    sink.write("old");
    let (id, _) = sink.snapshot();
    sink.commit(id);
    sink.write("prepared");
    let (_, snapshot) = sink.snapshot();
    sink.kill();
    place.sink().overwrite(true).check(true).expect("goes on");
    assert_eq!(place.words(), ["old"]);
    assert_eq!(place.hidden(), 1);
    Attempt::start(place, 2, (0, 1), vec![snapshot]).expect("goes on");
    assert_eq!(place.words(), ["old", "prepared"]);
}

/// Without checkpoints: the first of its two parts is published, the second cannot be.
fn a_final_commit_that_fails_half_way_leaves_nothing_of_its_own(place: &Place) {
    let sink = place.sink().roll_bytes(0);
    let mut sink = Attempt::of(&sink, 1, (0, 1), Vec::new()).expect("opens");
    sink.write("first");
    sink.write("second");
    place.put("part-1-0-0-000001.csv", "another's,1\n");
    let error = sink.operator.commit(Commit::Final).expect_err("is taken");
    let cause = crate::testing::root_cause(&error);
    assert!(cause.contains("part-1-0-0-000001.csv"), "{cause}");
    sink.close();
    assert_eq!(place.words(), ["another's"]);
    assert_eq!(place.hidden(), 0, "nothing is left over");
}

fn what_other_subtasks_have_published_is_taken_back_on_request(place: &Place) {
    let published = [0, 1].map(|subtask| {
        let mut sink = Attempt::start(place, 1, (subtask, 2), Vec::new()).expect("opens");
        sink.write(&format!("of {subtask}"));
        sink
    });
    for mut sink in published {
        sink.operator.commit(Commit::Final).expect("publishes");
        sink.close();
    }
    place.put("part-of-another-system", "x,1\n");
    assert_eq!(place.words(), ["of 0", "of 1", "x"]);
    let first = context(0, 2).attempt;
    let mut restarted = first;
    restarted.attempt = AttemptNumber(1);
    place.sink().withdraw(&[restarted]).expect("finds nothing");
    assert_eq!(place.words(), ["of 0", "of 1", "x"]);
    place.sink().withdraw(&[first]).expect("takes it back");
    assert_eq!(place.words(), ["of 1", "x"]);
}
