//! What the sink owes a job with checkpoints, whatever is killed in between.

use weir_stream::sink::SinkOperator;
use weir_stream::{Commit, Operator, OperatorError, OperatorSnapshot};
use weir_types::{AttemptNumber, CheckpointId, Epoch};

use super::*;

/// One attempt of one subtask.
struct Attempt {
    operator: SinkOperator<Pair, FileWriter<Pair>>,
    checkpoint: u64,
}

impl Attempt {
    /// Restores and opens it; `number` is the epoch.
    fn start(
        folder: &Path,
        number: u64,
        place: (u32, u32),
        snapshots: Vec<OperatorSnapshot>,
    ) -> Result<Self, OperatorError> {
        let sink = FileSink::csv(folder);
        if place.0 == 0 {
            // Once for the job, before its first subtask.
            sink.check(!snapshots.is_empty()).expect("may start");
        }
        let mut operator = SinkOperator::new(sink.make_writer());
        operator.restore(snapshots)?;
        let mut context = context(place.0, place.1);
        context.attempt.epoch = Epoch(number);
        operator.open(&context)?;
        let checkpoint = number * 100;
        Ok(Self {
            operator,
            checkpoint,
        })
    }

    fn write(&mut self, word: &str) {
        let rows = Box::new(Batch::new(vec![pair(word, 1)]));
        let out = &mut crate::testing::Rows::<()>(Vec::new());
        self.operator.process(0, rows, out).expect("writes");
    }

    fn snapshot(&mut self) -> (CheckpointId, OperatorSnapshot) {
        self.checkpoint += 1;
        let id = CheckpointId(self.checkpoint);
        (id, self.operator.snapshot(id).expect("prepares"))
    }

    fn commit(&mut self, id: CheckpointId) {
        let commit = Commit::Checkpoint(id);
        self.operator.commit(commit).expect("publishes");
    }

    /// What a process that is killed does not do.
    fn close(&mut self) {
        self.operator.close().expect("closes");
    }
}

/// The words that can be seen, sorted.
fn words(folder: &Path) -> Vec<String> {
    let mut words: Vec<String> = contents(folder)
        .into_iter()
        .filter(|(name, _)| !name.starts_with('.'))
        .flat_map(|(_, text)| text.lines().map(str::to_owned).collect::<Vec<_>>())
        .map(|line| line.trim_end_matches(",1").to_owned())
        .collect();
    words.sort();
    words
}

#[test]
fn results_become_visible_with_their_checkpoint_and_those_after_its_barrier_do_not() {
    let folder = folder();
    let mut sink = Attempt::start(folder.path(), 1, (0, 1), Vec::new()).expect("opens");
    sink.write("before");
    let (id, snapshot) = sink.snapshot();
    assert!(snapshot.uncommitted);
    sink.write("after");
    assert_eq!(words(folder.path()), [""; 0]);
    sink.commit(id);
    assert_eq!(words(folder.path()), ["before"]);
    sink.commit(id);
    sink.commit(CheckpointId(7));
    assert_eq!(
        words(folder.path()),
        ["before"],
        "late and repeated commits do nothing"
    );
    let (next, snapshot) = sink.snapshot();
    assert!(snapshot.uncommitted);
    sink.commit(next);
    assert_eq!(words(folder.path()), ["after", "before"]);
    let (_, snapshot) = sink.snapshot();
    assert!(!snapshot.uncommitted, "nothing was written since");
}

#[test]
fn a_lost_commit_is_made_up_for_by_the_next() {
    let folder = folder();
    let mut sink = Attempt::start(folder.path(), 1, (0, 1), Vec::new()).expect("opens");
    sink.write("a");
    let (_, first) = sink.snapshot();
    sink.write("b");
    let (second, snapshot) = sink.snapshot();
    assert!(first.uncommitted && snapshot.uncommitted);
    sink.commit(second);
    assert_eq!(words(folder.path()), ["a", "b"]);
}

/// Runs "a", a snapshot that may be committed, "b", a kill; then goes on from the snapshot.
fn killed(committed: bool, orderly: bool) -> (TempDir, Attempt) {
    let folder = folder();
    let mut sink = Attempt::start(folder.path(), 1, (0, 1), Vec::new()).expect("opens");
    sink.write("a");
    let (id, snapshot) = sink.snapshot();
    if committed {
        sink.commit(id);
    }
    sink.write("b");
    sink.snapshot();
    if orderly {
        sink.close();
    }
    drop(sink);
    let next = Attempt::start(folder.path(), 2, (0, 1), vec![snapshot]).expect("goes on");
    (folder, next)
}

#[test]
fn whatever_was_killed_when_a_restored_sink_shows_each_record_once() {
    for (committed, orderly) in [(false, false), (true, false), (false, true), (true, true)] {
        let (folder, mut next) = killed(committed, orderly);
        assert_eq!(words(folder.path()), ["a"], "{committed} {orderly}");
        let hidden = names(folder.path());
        assert_eq!(
            hidden.len(),
            1,
            "nothing is left of the first attempt: {hidden:?}"
        );
        next.write("b");
        let (id, _) = next.snapshot();
        next.commit(id);
        assert_eq!(words(folder.path()), ["a", "b"]);
        next.close();
    }
}

#[test]
fn a_restored_sink_that_is_restored_again_from_the_same_checkpoint_shows_each_record_once() {
    let folder = folder();
    let mut sink = Attempt::start(folder.path(), 1, (0, 1), Vec::new()).expect("opens");
    sink.write("a");
    let (_, snapshot) = sink.snapshot();
    drop(sink);
    for epoch in 2..5 {
        let snapshots = vec![snapshot.clone()];
        let mut next = Attempt::start(folder.path(), epoch, (0, 1), snapshots).expect("goes on");
        next.write("not in any checkpoint");
        next.snapshot();
        assert_eq!(words(folder.path()), ["a"]);
    }
}

#[test]
fn at_another_parallelism_each_former_subtask_is_continued_by_one() {
    for (before, after) in [(3u32, 2u32), (2, 3), (3, 1)] {
        let folder = folder();
        let mut snapshots = Vec::new();
        for subtask in 0..before {
            let place = (subtask, before);
            let mut sink = Attempt::start(folder.path(), 1, place, Vec::new());
            let sink = sink.as_mut().expect("opens");
            sink.write(&format!("kept {subtask}"));
            snapshots.push(sink.snapshot().1);
            sink.write("lost");
        }
        for subtask in 0..after {
            let continued = (0..before).filter(|former| former % after == subtask);
            let mine = continued.map(|former| snapshots[former as usize].clone());
            let sink = FileSink::<Pair>::csv(folder.path());
            let mut operator = SinkOperator::new(sink.make_writer());
            operator.restore(mine.collect()).expect("restores");
            let mut context = context(subtask, after);
            context.attempt.attempt = AttemptNumber(1);
            operator.open(&context).expect("opens");
        }
        let want: Vec<_> = (0..before)
            .map(|subtask| format!("kept {subtask}"))
            .collect();
        assert_eq!(words(folder.path()), want);
        assert_eq!(
            names(folder.path()).len(),
            before as usize,
            "nothing is left over"
        );
    }
}

#[test]
fn a_published_file_with_another_content_is_an_error_that_names_it() {
    let (folder, mut sink) = {
        let folder = folder();
        let sink = Attempt::start(folder.path(), 1, (0, 1), Vec::new()).expect("opens");
        (folder, sink)
    };
    sink.write("a");
    let (id, snapshot) = sink.snapshot();
    sink.commit(id);
    drop(sink);
    let part = folder.path().join("part-1-0-0-000000.csv");
    for content in ["b,1\n", "a,1\na,1\n", ""] {
        fs::write(&part, content).expect("writes");
        let error = Attempt::start(folder.path(), 2, (0, 1), vec![snapshot.clone()]);
        let error = error.err().expect("is another file");
        let cause = crate::testing::root_cause(&error);
        assert!(
            cause.contains("part-1-0-0-000000.csv") && cause.contains("4 bytes"),
            "{cause}"
        );
    }
    fs::remove_file(&part).expect("removes");
    let error = Attempt::start(folder.path(), 2, (0, 1), vec![snapshot]);
    let cause = crate::testing::root_cause(&error.err().expect("is gone"));
    assert!(
        cause.contains("part-1-0-0-000000.csv") && cause.contains("gone"),
        "{cause}"
    );
}

#[test]
fn a_restored_run_leaves_the_results_of_its_past_alone() {
    let folder = folder();
    run(&FileSink::csv(folder.path()), vec![pair("old", 1)]);
    fs::write(
        folder.path().join(".part-1-0-0-000001.csv.inprogress"),
        "prepared",
    )
    .expect("writes");
    let before = contents(folder.path());
    let sink = FileSink::<Pair>::csv(folder.path()).overwrite(true);
    sink.check(true).expect("goes on");
    assert_eq!(contents(folder.path()), before);
}

#[test]
fn a_handle_that_leads_out_of_the_folder_is_refused() {
    let folder = folder();
    let mut writer = open(&FileSink::<Pair>::csv(folder.path()), &context(0, 1));
    let handle = handle::PartHandle {
        in_progress: ".part-1-0-0-000000.csv.inprogress".to_owned(),
        name: "../part-1-0-0-000000.csv".to_owned(),
        size: 0,
        checksum: 0,
    };
    let handle = crate::encoding::encode(&handle).expect("encodes");
    let error = writer.commit(&[handle]).expect_err("leads elsewhere");
    assert!(
        error.to_string().contains("is no name of a part file"),
        "{error}"
    );
}
