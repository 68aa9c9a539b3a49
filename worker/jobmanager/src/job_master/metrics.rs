//! The newest counters of each subtask, and what its time went into since the ones before.

use std::collections::BTreeMap;
use std::time::Duration;

use weir_rpc::{IoMetrics, OperatorMetricsReport, StateFigure, TaskMetricsReport, TimeShares};
use weir_types::{AttemptNumber, ExecutionAttemptId, Timestamp};

/// Reports that come closer together say little about shares of time.
const SHARES_INTERVAL_MIN: Duration = Duration::from_millis(100);

/// Counters of all subtasks, by attempt.
#[derive(Debug, Default)]
pub(super) struct JobMetrics {
    tasks: BTreeMap<ExecutionAttemptId, TaskMetrics>,
}

#[derive(Debug)]
struct TaskMetrics {
    report: TaskMetricsReport,
    at: Timestamp,
    shares: TimeShares,
}

impl JobMetrics {
    /// Takes in a report. The attempt must be a current one: those before it are forgotten, however
    /// often the subtask is started again.
    pub(super) fn report(&mut self, report: TaskMetricsReport, at: Timestamp) {
        let first = ExecutionAttemptId {
            attempt: AttemptNumber(0),
            ..report.attempt
        };
        let former = self.tasks.range(first..report.attempt).next_back();
        if let Some(former) = former.map(|(former, _)| *former) {
            self.tasks.remove(&former);
        }
        match self.tasks.get_mut(&report.attempt) {
            None => {
                let shares = shares(None, &report);
                self.tasks
                    .insert(report.attempt, TaskMetrics { report, at, shares });
            }
            Some(task) => {
                if at.since(task.at) >= SHARES_INTERVAL_MIN {
                    task.shares = shares(Some(&task.report), &report);
                    task.at = at;
                    task.report = report;
                } else {
                    // Keep the times of the earlier report, so that the next shares cover both.
                    let TaskMetricsReport {
                        busy_ns,
                        idle_ns,
                        backpressured_ns,
                        ..
                    } = task.report;
                    task.report = TaskMetricsReport {
                        busy_ns,
                        idle_ns,
                        backpressured_ns,
                        ..report
                    };
                }
            }
        }
    }

    /// A subtask's counters.
    pub(super) fn io(&self, attempt: ExecutionAttemptId) -> IoMetrics {
        let Some(task) = self.tasks.get(&attempt) else {
            return IoMetrics::default();
        };
        let report = &task.report;
        IoMetrics {
            records_in: report.records_in,
            records_out: report.records_out,
            bytes_in: report.bytes_in,
            bytes_out: report.bytes_out,
            busy_ms: report.busy_ns / 1_000_000,
            idle_ms: report.idle_ns / 1_000_000,
            backpressured_ms: report.backpressured_ns / 1_000_000,
            restored_local_bytes: report.restored_local_bytes,
            restored_store_bytes: report.restored_store_bytes,
            queue_bytes: report.queue_bytes,
            event_time_lag_ms: report.event_time_lag_ms,
            watermark: report.watermark,
            shares: task.shares,
        }
    }

    /// What a subtask's state on disk says of itself.
    pub(super) fn state(&self, attempt: ExecutionAttemptId) -> &[StateFigure] {
        let task = self.tasks.get(&attempt);
        task.map_or(&[], |task| &task.report.state)
    }

    /// The counters of a subtask's operators.
    pub(super) fn operators(&self, attempt: ExecutionAttemptId) -> &[OperatorMetricsReport] {
        self.tasks
            .get(&attempt)
            .map_or(&[], |task| &task.report.operators)
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a share of time needs no 53 bits"
)]
fn shares(before: Option<&TaskMetricsReport>, now: &TaskMetricsReport) -> TimeShares {
    let since = |count: u64, before: Option<u64>| count.saturating_sub(before.unwrap_or(0)) as f64;
    let busy = since(now.busy_ns, before.map(|report| report.busy_ns));
    let idle = since(now.idle_ns, before.map(|report| report.idle_ns));
    let backpressured = since(
        now.backpressured_ns,
        before.map(|report| report.backpressured_ns),
    );
    let all = busy + idle + backpressured;
    if all <= 0.0 {
        return TimeShares::default();
    }
    TimeShares {
        busy: busy / all,
        idle: idle / all,
        backpressured: backpressured / all,
    }
}

/// The sums over a vertex's subtasks; of shares and lags the largest, of watermarks the smallest.
pub(super) fn sum(subtasks: impl Iterator<Item = IoMetrics>) -> IoMetrics {
    let mut sum = IoMetrics::default();
    let mut watermark = None;
    for (index, subtask) in subtasks.enumerate() {
        sum.records_in += subtask.records_in;
        sum.records_out += subtask.records_out;
        sum.bytes_in += subtask.bytes_in;
        sum.bytes_out += subtask.bytes_out;
        sum.busy_ms += subtask.busy_ms;
        sum.idle_ms += subtask.idle_ms;
        sum.backpressured_ms += subtask.backpressured_ms;
        sum.restored_local_bytes += subtask.restored_local_bytes;
        sum.restored_store_bytes += subtask.restored_store_bytes;
        sum.queue_bytes += subtask.queue_bytes;
        sum.event_time_lag_ms = sum.event_time_lag_ms.max(subtask.event_time_lag_ms);
        sum.shares.busy = sum.shares.busy.max(subtask.shares.busy);
        sum.shares.idle = sum.shares.idle.max(subtask.shares.idle);
        sum.shares.backpressured = sum.shares.backpressured.max(subtask.shares.backpressured);
        // A subtask without a watermark holds the vertex back: `None` is less than any.
        watermark = if index == 0 {
            subtask.watermark
        } else {
            watermark.min(subtask.watermark)
        };
    }
    sum.watermark = watermark;
    sum
}

#[cfg(test)]
mod tests {
    use weir_types::{Epoch, EventTime, SubtaskIndex, VertexId};

    use super::*;

    fn report(records_in: u64, busy_ms: u64, idle_ms: u64) -> TaskMetricsReport {
        TaskMetricsReport {
            attempt: ExecutionAttemptId {
                epoch: Epoch(1),
                vertex: VertexId(1),
                subtask: SubtaskIndex(0),
                attempt: AttemptNumber(0),
            },
            records_in,
            records_out: 0,
            bytes_in: 0,
            bytes_out: 0,
            busy_ns: busy_ms * 1_000_000,
            idle_ns: idle_ms * 1_000_000,
            backpressured_ns: 0,
            restored_local_bytes: 0,
            restored_store_bytes: 0,
            queue_bytes: 0,
            event_time_lag_ms: None,
            watermark: None,
            operators: Vec::new(),
            state: Vec::new(),
        }
    }

    #[test]
    fn shares_are_those_of_the_last_interval_and_counters_those_of_the_last_report() {
        let mut metrics = JobMetrics::default();
        let attempt = report(0, 0, 0).attempt;
        metrics.report(report(5, 1000, 0), Timestamp(0));
        metrics.report(report(9, 1250, 750), Timestamp(1_000_000_000));
        let io = metrics.io(attempt);
        assert_eq!(
            (io.records_in, io.shares.busy, io.shares.idle),
            (9, 0.25, 0.75)
        );
    }

    /// Fails if a final report, right after a heartbeat, replaced the shares by those of an
    /// instant.
    #[test]
    fn a_report_right_after_another_updates_the_counters_only() {
        let mut metrics = JobMetrics::default();
        metrics.report(report(5, 500, 500), Timestamp(0));
        metrics.report(report(7, 501, 500), Timestamp(1_000_000));
        let io = metrics.io(report(0, 0, 0).attempt);
        assert_eq!((io.records_in, io.shares.busy), (7, 0.5));
    }

    #[test]
    fn the_counters_of_former_attempts_are_forgotten() {
        let mut metrics = JobMetrics::default();
        for attempt in 0..100 {
            let mut next = report(5, 500, 500);
            next.attempt.attempt = AttemptNumber(attempt);
            metrics.report(next, Timestamp(0));
            let mut other = report(5, 500, 500);
            other.attempt.subtask = SubtaskIndex(1);
            metrics.report(other, Timestamp(0));
        }
        assert_eq!(metrics.tasks.len(), 2);
    }

    #[test]
    fn a_vertex_queues_what_its_subtasks_do_and_lags_as_the_last_of_them() {
        let subtask = |queue_bytes, event_time_lag_ms| IoMetrics {
            queue_bytes,
            event_time_lag_ms,
            ..IoMetrics::default()
        };
        let subtasks = [subtask(5, Some(20)), subtask(6, None), subtask(0, Some(-3))];
        let sum = sum(subtasks.into_iter());
        assert_eq!((sum.queue_bytes, sum.event_time_lag_ms), (11, Some(20)));
    }

    #[test]
    fn a_subtask_without_a_watermark_holds_its_vertex_back() {
        let with = IoMetrics {
            watermark: Some(EventTime(5)),
            ..IoMetrics::default()
        };
        let without = IoMetrics::default();
        assert_eq!(sum([with, with].into_iter()).watermark, Some(EventTime(5)));
        assert_eq!(sum([with, without].into_iter()).watermark, None);
    }
}
