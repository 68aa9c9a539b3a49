//! `savepoint`, `stop` and `cancel`: orders to a JobManager, and waiting for what becomes of them.
//!
//! What goes to stdout is the savepoint's folder and nothing else, so that a script can take it.
//! The operation's name is chosen here, before anybody is asked: whatever gets lost on the way, the
//! person knows the name to ask again with.

mod delete;
mod watch;

use std::thread;
use std::time::Duration;

use anyhow::anyhow;
use weir_graph::JobStatus;
use weir_rest::{ClientError, RestClient, dto, new_operation};
use weir_types::JobId;

use crate::Failure;
use crate::args::{CancelArgs, Format, JobQueryArgs, SavepointArgs, SavepointCommand, StopArgs};
use crate::query::{chosen, failed, json};
use crate::snapshot::watch::Watch;

/// How long one question waits for the end of an operation.
const WAIT: Duration = Duration::from_millis(500);

/// How often a job is looked at that is about to end.
const END_INTERVAL: Duration = Duration::from_millis(50);

/// Takes a savepoint, or deletes one.
pub(crate) fn savepoint(args: &SavepointArgs) -> Result<String, Failure> {
    if let Some(SavepointCommand::Delete(args)) = &args.command {
        return delete::delete(args);
    }
    let order = Order::new(&args.query, args.operation.id.clone(), args.operation.quiet)?;
    let done = order.savepoint()?;
    answer(&args.query, &done)
}

/// Stops a job with a savepoint.
pub(crate) fn stop(args: &StopArgs) -> Result<String, Failure> {
    let order = Order::new(&args.query, args.operation.id.clone(), args.operation.quiet)?;
    let request = dto::StopRequest {
        drain: args.drain,
        operation: Some(order.operation.clone()),
    };
    let asked = order.client.stop(order.job, &request);
    asked.map_err(|error| order.unsure("stop", error))?;
    let done = order.wait("stop")?;
    order.until_ended(&done)?;
    answer(&args.query, &done)
}

/// Cancels a job, after a savepoint if one is wanted.
pub(crate) fn cancel(args: &CancelArgs) -> Result<String, Failure> {
    let order = Order::new(&args.query, None, !args.savepoint)?;
    let id = order.job;
    if !args.savepoint {
        order.client.cancel(id).map_err(failed)?;
        return match args.query.answer.format {
            Format::Json => json(&serde_json::json!({ "id": id.to_string(), "requested": true })),
            Format::Text => Ok(format!("job {id} was asked to stop")),
        };
    }
    let done = order.savepoint()?;
    order.client.cancel(id).map_err(|error| {
        let savepoint = done.location.as_deref().unwrap_or_default();
        Failure::failed(error).context(format!("cancel the job (the savepoint is {savepoint})"))
    })?;
    order.until_ended(&done)?;
    answer(&args.query, &done)
}

/// What goes to stdout.
fn answer(query: &JobQueryArgs, done: &dto::Operation) -> Result<String, Failure> {
    match query.answer.format {
        Format::Json => json(done),
        Format::Text => Ok(done.location.clone().unwrap_or_default()),
    }
}

/// An operation on one job.
struct Order {
    client: RestClient,
    job: JobId,
    operation: String,
    quiet: bool,
}

impl Order {
    fn new(query: &JobQueryArgs, operation: Option<String>, quiet: bool) -> Result<Self, Failure> {
        let client = RestClient::new(&query.answer.rest);
        let job = chosen(&client, query)?;
        Ok(Self {
            client,
            job,
            operation: operation.unwrap_or_else(new_operation),
            quiet,
        })
    }

    /// Takes a savepoint, after which the job goes on.
    fn savepoint(&self) -> Result<dto::Operation, Failure> {
        let request = dto::SavepointRequest {
            operation: Some(self.operation.clone()),
            then: dto::AfterSavepoint::Continue,
        };
        let asked = self.client.savepoint(self.job, &request);
        asked.map_err(|error| self.unsure("savepoint", error))?;
        self.wait("savepoint")
    }

    /// Waits for the savepoint.
    fn wait(&self, command: &str) -> Result<dto::Operation, Failure> {
        let mut watch = Watch::new(&self.operation, self.quiet);
        loop {
            let status = self.client.operation(self.job, &self.operation, WAIT);
            let status = status.map_err(|error| self.unsure(command, error))?;
            match status.status {
                dto::SnapshotStatus::Completed => return Ok(status),
                dto::SnapshotStatus::Failed => {
                    let cause = status
                        .cause
                        .unwrap_or_else(|| "for an unknown cause".to_owned());
                    return Err(Failure::failed(anyhow!(cause)).context(format!(
                        "there is no savepoint of job {}; the job was not ended by this",
                        self.job
                    )));
                }
                dto::SnapshotStatus::InProgress => {
                    // How far it is, is for the display only.
                    watch.show(self.client.checkpoints(self.job).ok().as_ref());
                }
            }
        }
    }

    /// Waits until the job has ended. A JobManager that is gone has nothing left to do.
    fn until_ended(&self, done: &dto::Operation) -> Result<(), Failure> {
        loop {
            let job = match self.client.job(self.job) {
                Ok(job) => job,
                Err(ClientError::Unreachable { .. } | ClientError::Refused(_)) => return Ok(()),
                Err(error) => return Err(failed(error)),
            };
            let state = |status: JobStatus| job.summary.state == status.to_string();
            if state(JobStatus::Finished) || state(JobStatus::Cancelled) {
                return Ok(());
            }
            if state(JobStatus::Failed) {
                let cause = job.root_exception.map(|cause| cause.exception);
                let cause = cause.unwrap_or_else(|| "for an unknown cause".to_owned());
                let savepoint = done.location.as_deref().unwrap_or_default();
                return Err(Failure::failed(anyhow!(cause))
                    .context(format!("the job failed after its savepoint {savepoint}")));
            }
            thread::sleep(END_INTERVAL);
        }
    }

    /// The answer is missing, so what became of the order is not known; unless the JobManager
    /// itself said no.
    fn unsure(&self, command: &str, error: ClientError) -> Failure {
        if matches!(error, ClientError::Refused(_)) {
            return failed(error);
        }
        Failure::failed(error).context(format!(
            "whether the savepoint was taken is not known: ask again with `weir {command} {} \
             --operation {}`, or see `weir checkpoints ls --dir FOLDER`",
            self.job, self.operation
        ))
    }
}

#[cfg(test)]
mod tests;
