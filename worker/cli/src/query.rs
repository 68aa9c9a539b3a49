//! `list` and `info`: questions to a JobManager's REST.

use std::time::Duration;

use anyhow::anyhow;
use serde::Serialize;
use weir_rest::{ClientError, RestClient, dto};
use weir_types::JobId;

use crate::args::{Format, JobQueryArgs, ListArgs};
use crate::table::Table;
use crate::{Failure, human};

/// The JobManager's jobs.
pub(crate) fn list(args: &ListArgs) -> Result<String, Failure> {
    let jobs = RestClient::new(&args.answer.rest).jobs().map_err(failed)?;
    match args.answer.format {
        Format::Json => json(&jobs),
        Format::Text => Ok(jobs_text(&jobs)),
    }
}

/// One job, with what went wrong in it.
pub(crate) fn info(args: &JobQueryArgs) -> Result<String, Failure> {
    let client = RestClient::new(&args.answer.rest);
    let job = client.job(chosen(&client, args)?).map_err(failed)?;
    match args.answer.format {
        Format::Json => json(&job),
        Format::Text => Ok(job_text(&job)),
    }
}

/// The job that is meant: the one that is named, else the only one.
pub(crate) fn chosen(client: &RestClient, args: &JobQueryArgs) -> Result<JobId, Failure> {
    chosen_of(client, args.job, &args.answer.rest)
}

/// The same, of the JobManager at `rest`.
pub(crate) fn chosen_of(
    client: &RestClient,
    job: Option<JobId>,
    rest: &str,
) -> Result<JobId, Failure> {
    if let Some(id) = job {
        return Ok(id);
    }
    let jobs = client.jobs().map_err(failed)?.jobs;
    match jobs.as_slice() {
        [] => Err(Failure::failed(anyhow!(
            "the JobManager at {rest} has no job"
        ))),
        [job] => job.id.parse().map_err(Failure::failed),
        _ => {
            let ids: Vec<String> = jobs
                .iter()
                .map(|job| format!("{} ({}, {})", job.id, job.name, job.state))
                .collect();
            let count = ids.len();
            let ids = ids.join("\n  ");
            Err(Failure::usage(anyhow!(
                "there are {count} jobs; name one by its id:\n  {ids}"
            )))
        }
    }
}

pub(crate) fn failed(error: ClientError) -> Failure {
    Failure::failed(error)
}

pub(crate) fn json(answer: &impl Serialize) -> Result<String, Failure> {
    serde_json::to_string_pretty(answer).map_err(Failure::failed)
}

fn jobs_text(jobs: &dto::Jobs) -> String {
    let mut table = Table::new(&["ID", "NAME", "STATE", ">TASKS", "STARTED", ">DURATION", ""]);
    for job in &jobs.jobs {
        table.row([
            job.id.clone(),
            job.name.clone(),
            job.state.clone(),
            format!(
                "{}/{}",
                job.tasks.running + job.tasks.finished,
                job.tasks.total
            ),
            human::instant(job.start_time),
            human::duration(Duration::from_millis(job.duration)),
            waiting(job),
        ]);
    }
    table.to_string()
}

fn waiting(job: &dto::JobSummary) -> String {
    job.waiting_for.clone().unwrap_or_default()
}

fn job_text(job: &dto::Job) -> String {
    let summary = &job.summary;
    let tasks = summary.tasks;
    let mut lines = vec![
        format!("job {}", summary.name),
        format!("  id        {}", summary.id),
        format!("  state     {}", summary.state),
        format!("  epoch     {}", job.epoch),
        format!("  started   {}", human::instant(summary.start_time)),
        format!(
            "  duration  {}",
            human::duration(Duration::from_millis(summary.duration))
        ),
        format!(
            "  subtasks  {}: {} running, {} finished",
            tasks.total, tasks.running, tasks.finished
        ),
    ];
    if summary.waiting_for.is_some() {
        lines.push(format!("  {}", waiting(summary)));
    }
    lines.push(String::new());
    lines.extend(vertices(job).lines());
    lines.extend(job.vertices.iter().flat_map(dropped));
    if let Some(cause) = &job.root_exception {
        lines.push(String::new());
        lines.push(format!(
            "failed at {}: {}",
            human::instant(cause.timestamp),
            cause.exception
        ));
    }
    lines.join("\n")
}

fn vertices(job: &dto::Job) -> Table {
    let mut table = Table::new(&[
        "OPERATORS",
        "STATE",
        ">SUBTASKS",
        ">IN",
        ">OUT",
        ">BYTES IN",
        ">BYTES OUT",
        "WATERMARK",
        ">BUSY",
        ">IDLE",
        ">BACK-PRESSURED",
    ]);
    for vertex in &job.vertices {
        let metrics = &vertex.metrics;
        table.row([
            vertex.name.clone(),
            vertex.status.clone(),
            vertex.parallelism.to_string(),
            human::count(records_in(vertex)),
            human::count(metrics.write_records),
            human::bytes(metrics.read_bytes),
            human::bytes(metrics.write_bytes),
            metrics
                .current_input_watermark
                .map_or_else(|| "-".to_owned(), human::instant),
            human::percent(metrics.busy_ratio),
            human::percent(metrics.idle_ratio),
            human::percent(metrics.backpressured_ratio),
        ]);
    }
    table
}

/// What came in through the exchange; of a source, what it has read.
fn records_in(vertex: &dto::Vertex) -> u64 {
    match vertex.operators.first() {
        Some(source) if vertex.inputs.is_empty() => source.read_records,
        _ => vertex.metrics.read_records,
    }
}

/// What each operator left out.
fn dropped(vertex: &dto::Vertex) -> Vec<String> {
    let of = |operator: &dto::Operator| {
        let counts = [
            (operator.late_records, "late"),
            (operator.skipped_records, "bad"),
        ];
        let texts = counts
            .iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, what)| {
                let records = human::counted(*count, &format!("{what} record"));
                format!("{}: {records} left out", operator.name)
            });
        texts.collect::<Vec<_>>()
    };
    vertex.operators.iter().flat_map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job() -> dto::Job {
        let text = r#"{
            "id": "0123456789abcdef0123456789abcdef", "name": "wordcount", "state": "FAILED",
            "start-time": 0, "end-time": 2500, "duration": 2500,
            "tasks": {"total": 2, "running": 0, "finished": 1},
            "epoch": 1,
            "vertices": [{
                "id": "0", "name": "source: file -> words", "parallelism": 2,
                "max-parallelism": 128, "status": "FINISHED", "start-time": 0, "end-time": 2000,
                "inputs": [], "operators": [{"id": "0", "name": "source: file",
                    "read-records": 1200, "write-records": 1200, "late-records": 0,
                    "skipped-records": 3}],
                "metrics": {"read-records": 0, "write-records": 34567, "read-bytes": 0,
                    "write-bytes": 2048, "accumulated-busy-time": 0, "accumulated-idle-time": 0,
                    "accumulated-backpressured-time": 0, "busy-ratio": 0.25, "idle-ratio": 0.5,
                    "backpressured-ratio": 0.25},
                "backpressure-level": "low", "subtasks": []
            }],
            "root-exception": {"timestamp": 2000, "exception": "open `a.txt`: no such file",
                "class": "NonRecoverable", "root-cause": true}
        }"#;
        serde_json::from_str(text).expect("a job")
    }

    #[test]
    fn a_job_is_shown_with_its_counters_and_why_it_failed() {
        let text = job_text(&job());
        for part in [
            "  state     FAILED",
            "  duration  2.50 s",
            "source: file -> words  FINISHED         2  1,200  34,567",
            "source: file: 3 bad records left out",
            "failed at 1970-01-01T00:00:02Z: open `a.txt`: no such file",
        ] {
            assert!(text.contains(part), "`{part}` is missing in\n{text}");
        }
    }

    #[test]
    fn a_waiting_job_says_for_what_it_waits() {
        let mut summary = job().summary;
        summary.waiting_for = Some("waiting for 2 more slots".to_owned());
        let text = jobs_text(&dto::Jobs {
            jobs: vec![summary],
        });
        assert!(text.contains("wordcount  FAILED    1/2"), "{text}");
        assert!(
            text.trim_end().ends_with("waiting for 2 more slots"),
            "{text}"
        );
    }
}
