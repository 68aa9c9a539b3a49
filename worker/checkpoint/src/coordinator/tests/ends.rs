//! The end of input, failures for good and cancellations.

use super::*;

#[test]
fn the_end_of_input_leads_to_a_last_checkpoint_and_finishes_after_its_commits() {
    let mut job = Job::running(config());
    job.wait(100);
    job.enumerated(7);
    assert_eq!(job.on(Event::EndOfInput), ["abort 7", "enumerator 8"]);
    assert_eq!(job.enumerated(8), ["trigger 8 Stop x2"]);
    assert_eq!(job.ack_all(8), ["metadata chk-4-8"]);
    assert_eq!(job.metadata(8), ["pointer 8 Running"]);
    assert_eq!(job.written(), ["complete 8 last x1"]);
    assert_eq!(job.commit(8), ["pointer 8 Finished"]);
    assert_eq!(job.written(), ["end finished"]);
    assert_eq!(job.wait(1_000), [""; 0]);
}

#[test]
fn a_job_without_sinks_that_commit_finishes_at_once() {
    let mut job = Job::new(config());
    job.attempt = 1;
    let participants = job.all().map(|attempt| Participant {
        attempt,
        source: attempt.vertex == VertexId(SOURCE),
        commits: false,
    });
    job.on(Event::Started {
        participants: participants.to_vec(),
    });
    job.on(Event::EndOfInput);
    job.until_pointer(7);
    assert_eq!(job.written(), ["complete 7 last x0", "pointer 7 Finished"]);
    assert_eq!(job.written(), ["end finished"]);
}

#[test]
fn a_last_checkpoint_that_fails_is_taken_again() {
    let mut job = Job::running(CoordinatorConfig {
        tolerable_failures: 5,
        ..config()
    });
    job.on(Event::EndOfInput);
    let [one, ..] = job.all();
    assert_eq!(job.decline(7, one), ["abort 7"]);
    assert_eq!(job.coordinator.next_wakeup(), Some(Timestamp(500_000_000)));
    assert_eq!(job.wait(500), ["enumerator 8"]);
    job.until_pointer(8);
    assert_eq!(job.refused(), ["pointer 8 Running"]);
    assert_eq!(job.refused(), ["pointer 8 Running"]);
    assert_eq!(job.refused(), ["abort 8"]);
    assert_eq!(job.wait(500), ["enumerator 9"]);
}

#[test]
fn a_job_that_fails_in_its_last_commit_takes_its_last_checkpoint_again() {
    let mut job = Job::running(config());
    job.on(Event::EndOfInput);
    job.until_pointer(7);
    job.written();
    job.interrupt();
    assert_eq!(job.start(), [""; 0]);
    assert_eq!(job.on(Event::EndOfInput), ["enumerator 8"]);
}

#[test]
fn the_record_that_the_job_has_finished_is_tried_until_it_is_in() {
    let mut job = Job::running(config());
    job.on(Event::EndOfInput);
    job.until_pointer(7);
    job.written();
    job.commit(7);
    assert_eq!(job.refused(), ["say"]);
    assert_eq!(job.wait(499), [""; 0]);
    assert_eq!(job.wait(1), ["pointer 7 Finished"]);
    assert_eq!(job.written(), ["end finished"]);
}

#[test]
fn a_cancelled_job_says_so_in_the_pointer_after_what_is_in_doubt() {
    let mut job = Job::running(config());
    job.wait(100);
    job.until_pointer(7);
    assert_eq!(job.on(Event::Ended(RunState::Cancelled)), [""; 0]);
    assert_eq!(job.written(), ["pointer 7 Cancelled"]);
    assert_eq!(job.written(), ["recorded"]);
    assert_eq!(job.latest(), 7);
}

#[test]
fn an_ended_job_answers_who_waits() {
    let mut job = Job::running(config());
    job.on(savepoint("a", Then::Continue));
    job.on(savepoint("b", Then::Continue));
    let ended = job.on(Event::Ended(RunState::Failed));
    assert_eq!(
        ended,
        [
            "abort 7",
            "answer a error",
            "answer b error",
            "pointer 0 Failed"
        ]
    );
    assert_eq!(job.written(), ["recorded"]);
}

#[test]
fn a_waiting_savepoint_is_taken_before_the_last_checkpoint() {
    let mut job = Job::running(config());
    job.on(savepoint("a", Then::Continue));
    assert_eq!(job.on(Event::EndOfInput), [""; 0]);
    job.until_pointer(7);
    assert_eq!(
        job.written(),
        ["complete 7 x1", "answer a 7", "enumerator 8"]
    );
}

/// Everything is committed: that the job has finished is recorded, not that a subtask failed then.
#[test]
fn a_failure_after_the_last_commits_does_not_change_how_the_job_ended() {
    let mut job = Job::running(config());
    job.on(Event::EndOfInput);
    job.until_pointer(7);
    job.written();
    assert!(!job.coordinator.is_decided());
    assert_eq!(job.commit(7), ["pointer 7 Finished"]);
    assert!(job.coordinator.is_decided());
    job.interrupt();
    assert_eq!(job.on(Event::Ended(RunState::Failed)), [""; 0]);
    assert_eq!(job.refused(), ["say"]);
    assert_eq!(job.wait(500), ["pointer 7 Finished"]);
    assert_eq!(job.written(), ["end finished"]);
}
