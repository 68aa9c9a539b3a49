//! Counters of a subtask, as they travel with a heartbeat. All count from the start of the attempt
//! and only grow, but for what is told of now: watermark, lag, queues and state.

use weir_graph::NodeId;
use weir_types::{EventTime, ExecutionAttemptId};

use crate::view::Durations;

/// One subtask's counters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskMetricsReport {
    /// Whose.
    pub attempt: ExecutionAttemptId,
    /// Records taken from the exchange.
    pub records_in: u64,
    /// Records given to the exchange.
    pub records_out: u64,
    /// Bytes taken from the exchange.
    pub bytes_in: u64,
    /// Bytes given to the exchange.
    pub bytes_out: u64,
    /// Time spent working.
    pub busy_ns: u64,
    /// Time waited for input.
    pub idle_ns: u64,
    /// Time waited for room downstream.
    pub backpressured_ns: u64,
    /// Bytes of the state that it began with which came from copies on the local disk.
    pub restored_local_bytes: u64,
    /// Those that came from the store.
    pub restored_store_bytes: u64,
    /// Bytes that wait in its input queues.
    pub queue_bytes: u64,
    /// Of a source: how old its newest record was when it went out.
    pub event_time_lag_ms: Option<i64>,
    /// The watermark; none before the first.
    pub watermark: Option<EventTime>,
    /// The chain's operators, its head first.
    pub operators: Vec<OperatorMetricsReport>,
    /// What the keyed state of its operators that lies on disk says of itself.
    pub state: Vec<StateFigure>,
}

/// A figure of an operator's keyed state on disk. Some grow only, some go up and down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateFigure {
    /// The operator's place in the program.
    pub node: NodeId,
    /// The figure's name.
    pub name: String,
    /// The figure.
    pub value: u64,
}

/// One operator's counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OperatorMetricsReport {
    /// Its place in the program.
    pub node: NodeId,
    /// Records it was given; for a source, records it read.
    pub records_in: u64,
    /// Records it passed on.
    pub records_out: u64,
    /// Records that came too late and were dropped.
    pub late_records: u64,
    /// Records that could not be read and were skipped.
    pub skipped_records: u64,
    /// About how much memory its keyed state takes.
    pub state_bytes: u64,
    /// Of a sink: how long it took to make results visible.
    pub commits: Durations,
}
