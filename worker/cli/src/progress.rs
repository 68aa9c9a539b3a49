//! What a person sees while a job runs, and the line at its end. All of it goes to stderr.
//!
//! On a terminal a table is kept up to date in place; elsewhere each operator gets a line every few
//! seconds. A [`Progress`] only looks: it asks the Dispatcher, and decides nothing about the job.
//! It runs on the caller's task until its future is dropped.

mod lines;
mod model;
mod recovery;
mod view;

use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::time::Duration;

use indicatif::MultiProgress;
use weir_rpc::{DispatcherGateway, JobDetails, JobResult};
use weir_types::{Clock, JobId, Timestamp};

use crate::human;
use crate::progress::model::Model;
use crate::progress::recovery::Recovery;
use crate::progress::view::View;

/// Where progress goes, and whether there is to be any.
#[derive(Clone)]
pub struct Output {
    /// The terminal, shared with the log.
    pub terminal: MultiProgress,
    /// Show errors only.
    pub quiet: bool,
}

/// What is followed.
#[derive(Clone)]
pub struct Followed {
    /// Who knows about the job.
    pub dispatcher: Arc<dyn DispatcherGateway>,
    /// The job.
    pub job: JobId,
    /// Where time comes from.
    pub clock: Arc<dyn Clock>,
    /// Whether the job itself writes to stdout: a table on the same terminal would be torn apart.
    pub prints: bool,
}

/// Follows one job.
pub struct Progress {
    output: Output,
    followed: Followed,
    in_place: bool,
    started: Timestamp,
}

/// The table comes after this time, so that a short job does not flicker.
const VIEW_FIRST: Duration = Duration::from_millis(250);
const VIEW_INTERVAL: Duration = Duration::from_millis(500);
/// A job that waits is to say so soon.
const LINES_FIRST: Duration = Duration::from_millis(1500);
const LINES_INTERVAL: Duration = Duration::from_secs(5);

impl Progress {
    /// Nothing is shown yet.
    pub fn new(output: Output, followed: Followed) -> Self {
        let torn = followed.prints && std::io::stdout().is_terminal();
        let in_place = std::io::stderr().is_terminal() && !torn;
        let started = followed.clock.now();
        Self {
            output,
            followed,
            in_place,
            started,
        }
    }

    /// Shows how the job is doing, until it is dropped.
    pub async fn follow(&self) {
        if self.output.quiet {
            std::future::pending::<()>().await;
        }
        let (first, interval) = if self.in_place {
            (VIEW_FIRST, VIEW_INTERVAL)
        } else {
            (LINES_FIRST, LINES_INTERVAL)
        };
        let mut view = View::new(self.output.terminal.clone());
        let mut model = Model::new(self.started);
        tokio::time::sleep(first).await;
        while let Some(job) = self.details().await {
            let now = self.followed.clock.now();
            let rows = model.rows(&job, now);
            let age = now.since(self.started);
            let recovery = self.recovery(&job).await;
            if self.in_place {
                view.show(view::texts(&job, &rows, &recovery, age));
            } else {
                self.say(&lines::of(&job, &rows, &recovery, age));
            }
            tokio::time::sleep(interval).await;
        }
        // The JobManager is going down; whoever waits for the job hears it, too.
        std::future::pending::<()>().await;
    }

    /// The job as it is now.
    pub async fn details(&self) -> Option<JobDetails> {
        self.followed.dispatcher.job(self.followed.job).await.ok()
    }

    /// What the job would go on from.
    async fn recovery(&self, job: &JobDetails) -> Recovery {
        let followed = &self.followed;
        // A job without checkpoints has no answer.
        let checkpoints = followed.dispatcher.checkpoints(followed.job).await.ok();
        Recovery::of(job, checkpoints.as_ref(), followed.clock.unix_ms())
    }

    /// A remark, above the table if there is one.
    pub fn say(&self, text: &str) {
        if self.output.quiet {
            return;
        }
        self.output.terminal.suspend(|| {
            // With a closed stderr there is nobody to tell.
            drop(writeln!(std::io::stderr().lock(), "{text}"));
        });
    }

    /// The line at the end of a job that did not fail.
    pub async fn finish(&self, result: &JobResult) {
        if let Some(job) = self.details().await {
            self.say(&summary(&job, result));
        }
    }
}

/// `job wordcount finished: 789,645 records read in 0.52 s (1.52 M/s)`.
fn summary(job: &JobDetails, result: &JobResult) -> String {
    let sources = job
        .vertices
        .iter()
        .filter(|vertex| vertex.inputs.is_empty());
    let read: u64 = sources
        .filter_map(|vertex| vertex.operators.first())
        .map(|source| source.records_in)
        .sum();
    let operators = || job.vertices.iter().flat_map(|vertex| &vertex.operators);
    let skipped: u64 = operators().map(|operator| operator.skipped_records).sum();
    let late: u64 = operators().map(|operator| operator.late_records).sum();
    let time = run_time(job);
    let mut text = format!(
        "job {} {result}: {} read in {}",
        job.overview.name,
        human::counted(read, "record"),
        human::duration(time)
    );
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    if read > 0 && !time.is_zero() {
        text.push_str(&format!(
            " ({})",
            human::rate(read as f64 / time.as_secs_f64())
        ));
    }
    for (count, what, fate) in [
        (skipped, "bad record", "skipped"),
        (late, "late record", "left out"),
    ] {
        if count > 0 {
            text.push_str(&format!(", {} {fate}", human::counted(count, what)));
        }
    }
    text
}

/// How long the job has worked, without the time that it waited for slots.
fn run_time(job: &JobDetails) -> Duration {
    let overview = &job.overview;
    let first = job
        .vertices
        .iter()
        .filter_map(|vertex| vertex.started_at_ms)
        .min();
    let waited = first.map_or(0, |first| first.saturating_sub(overview.started_at_ms));
    let waited = u64::try_from(waited).unwrap_or(0);
    Duration::from_millis(overview.duration_ms.saturating_sub(waited))
}

#[cfg(test)]
mod tests;
