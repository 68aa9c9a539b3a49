//! The commands against a real REST server, whose Dispatcher plays a job.

mod played;

use std::sync::Arc;

use clap::Parser;
use tokio::task::spawn_blocking;
use weir_checkpoint::coordinator::Then;
use weir_graph::JobStatus;
use weir_rest::{RestListener, RestServer};
use weir_types::SystemClock;

use played::{JOB, Played};

use super::*;
use crate::args::{Cli, Command};

/// Gives a command line to a JobManager.
fn run(job: &Arc<Played>, line: &'static str) -> Result<String, String> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let any = "127.0.0.1:0".parse().expect("an address");
        let listener = RestListener::bind(any).await.expect("a port");
        let server = RestServer::start(listener, Arc::<Played>::clone(job), Arc::new(SystemClock));
        let rest = format!("--rest={}", server.address());
        let ended = spawn_blocking(move || {
            let words = ["weir"].into_iter().chain(line.split_whitespace());
            let cli = Cli::try_parse_from(words.chain([rest.as_str()])).expect("a command line");
            let result = match cli.command {
                Command::Savepoint(args) => savepoint(&args),
                Command::Stop(args) => stop(&args),
                Command::Cancel(args) => cancel(&args),
                other => panic!("{other:?}"),
            };
            result.map_err(|failure| failure.text())
        });
        ended.await.expect("the command")
    })
}

#[test]
fn a_savepoint_answers_with_its_folder_alone() {
    let job = Arc::new(Played::default());
    let text = run(&job, "savepoint --operation before-upgrade --quiet");
    assert_eq!(text.as_deref(), Ok("/state/words/savepoint-3-12"));
    let asked = job.asked();
    assert_eq!(asked.len(), 1);
    assert_eq!(
        (asked[0].operation.0.as_str(), asked[0].then),
        ("before-upgrade", Then::Continue)
    );
    assert_eq!(job.status(), JobStatus::Running, "the job goes on");
}

#[test]
fn stopping_ends_when_the_job_has() {
    for (line, then) in [("stop -q", Then::Stop), ("stop -q --drain", Then::Drain)] {
        let job = Arc::new(Played::default());
        let text = run(&job, line);
        assert_eq!(text.as_deref(), Ok("/state/words/savepoint-3-12"));
        assert_eq!(job.asked()[0].then, then);
        assert_eq!(
            job.status(),
            JobStatus::Finished,
            "its results are committed"
        );
    }
}

#[test]
fn cancelling_takes_a_savepoint_first_if_that_is_wanted() {
    let job = Arc::new(Played::default());
    let text = run(&job, "cancel");
    assert_eq!(text, Ok(format!("job {JOB} was asked to stop")));
    assert!(job.asked().is_empty());
    assert_eq!(job.status(), JobStatus::Cancelled);

    let job = Arc::new(Played::default());
    let text = run(&job, "cancel --savepoint");
    assert_eq!(text.as_deref(), Ok("/state/words/savepoint-3-12"));
    assert_eq!(
        (job.asked()[0].then, job.status()),
        (Then::Continue, JobStatus::Cancelled)
    );
}

#[test]
fn a_job_whose_savepoint_failed_is_not_cancelled() {
    let job = Arc::new(Played::failing("the store is full"));
    for line in ["cancel --savepoint", "savepoint -q", "stop -q"] {
        let error = run(&job, line).expect_err("no savepoint");
        assert!(error.contains("the job was not ended by this"), "{error}");
        assert!(error.contains("caused by: the store is full"), "{error}");
    }
    assert_eq!(job.status(), JobStatus::Running);
}

#[test]
fn a_job_that_fails_while_it_stops_is_told_with_its_savepoint() {
    let job = Arc::new(Played::default());
    job.end_with(JobStatus::Failed);
    let error = run(&job, "stop -q").expect_err("it failed");
    assert!(
        error.contains("failed after its savepoint /state/words/savepoint-3-12"),
        "{error}"
    );
    assert!(error.contains("rename `part-0`"), "{error}");
}

#[test]
fn the_answer_for_programs_names_the_operation() {
    let job = Arc::new(Played::default());
    let text = run(&job, "savepoint --operation x --format json -q").expect("a savepoint");
    let answer: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let expected = serde_json::json!({
        "operation": "x",
        "status": "COMPLETED",
        "id": 12,
        "location": "/state/words/savepoint-3-12",
        "completed-timestamp": 10_500,
    });
    assert_eq!(answer, expected);
}

#[test]
fn a_savepoint_is_deleted_by_what_a_person_has_of_it() {
    for which in ["4", "/state/words/savepoint-3-4", "old"] {
        let job = Arc::new(Played::keeping(&[(4, "old"), (9, "new")]));
        let line: &'static str = format!("savepoint delete {which}").leak();
        let text = run(&job, line);
        let told = "savepoint 4 is deleted: /state/words/savepoint-3-4";
        assert_eq!(text.as_deref(), Ok(told), "{which}");
        assert_eq!(job.kept(), ["new"], "it waits until that is so");
    }
    let job = Arc::new(Played::keeping(&[(4, "old"), (9, "new")]));
    let text = run(&job, "savepoint dispose old --format json").expect("an answer");
    let answer: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(answer["operation"], "old");
    assert_eq!(answer["deleted"], true);
}

#[test]
fn a_savepoint_that_must_stay_or_is_not_there_is_told_with_what_there_is() {
    let job = Arc::new(Played::keeping(&[(4, "old"), (9, "new")]));
    let error = run(&job, "savepoint delete 9").expect_err("it is the newest");
    assert!(
        error.contains("savepoint 9 (/state/words/savepoint-3-9) was not deleted"),
        "{error}"
    );
    assert!(error.contains("it is the newest"), "{error}");
    let error = run(&job, "savepoint delete 5").expect_err("there is none");
    assert!(error.contains("no savepoint `5`"), "{error}");
    assert!(
        error.contains("4  old  /state/words/savepoint-3-4"),
        "{error}"
    );
    assert_eq!(job.kept(), ["old", "new"]);
}

#[test]
fn a_job_without_checkpoints_is_told_how_to_have_them() {
    let job = Arc::new(Played::without_checkpoints());
    let error = run(&job, "stop").expect_err("no checkpoints");
    assert!(
        error.contains("--checkpoint-dir") && !error.contains("not known"),
        "{error}"
    );
}
