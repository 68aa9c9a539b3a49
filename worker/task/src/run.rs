//! The life of a subtask: one thread, one loop over control mail, timers and input (Flink's
//! `StreamTask` and its mailbox).
//!
//! Between two chunks the thread looks at its mail and its timers. It waits in two places only:
//! here, when there is nothing to do, and in a result partition, when there is no room downstream;
//! both end at once when the subtask is cancelled. What routers gather is sent off as soon as the
//! input is empty, or when the buffer time-out has passed while input keeps coming.

use std::sync::Arc;
use std::time::Duration;

use weir_network::{CancelToken, Control as Wire, Element, GateError, InputGate, SendError};
use weir_stream::source::{AnySource, Poll, SplitAnswer};
use weir_stream::watermark_valve::{CombinedWatermark, ValveOutput, WatermarkValve};
use weir_stream::{Commit, Control, OperatorError};
use weir_types::{Clock, ExecutionAttemptId, Timestamp, Watermark};

use crate::chain::OperatorChain;
use crate::deployment::TaskEvents;
use crate::mailbox::{Mail, Mailbox};
use crate::setup::{ChannelPlace, Intake};

/// Why a subtask's loop ended early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TaskError {
    /// It was told to stop.
    #[error("cancelled")]
    Cancelled,
    /// An operator could not go on.
    #[error(transparent)]
    Operator(OperatorError),
    /// A channel broke.
    #[error(transparent)]
    Gate(#[from] GateError),
    /// Something came that this version cannot have sent.
    #[error("{0}")]
    Protocol(String),
}

impl From<OperatorError> for TaskError {
    fn from(error: OperatorError) -> Self {
        match error {
            OperatorError::Send(SendError::Cancelled { .. }) => Self::Cancelled,
            error => Self::Operator(error),
        }
    }
}

/// Whether something waits for the answer to a split request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Request {
    None,
    Open,
    /// Ask again at this time.
    At(Timestamp),
}

/// A subtask while it runs.
pub(crate) struct TaskLoop {
    pub(crate) attempt: ExecutionAttemptId,
    pub(crate) chain: OperatorChain,
    pub(crate) mailbox: Mailbox,
    pub(crate) cancel: CancelToken,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) events: Arc<dyn TaskEvents>,
    pub(crate) buffer_timeout: Duration,
    pub(crate) waits_for_commit: bool,
    pub(crate) last_flush: Timestamp,
    pub(crate) unflushed: bool,
}

impl TaskLoop {
    /// Runs to the end of all input.
    pub(crate) fn run(&mut self, intake: Intake) -> Result<(), TaskError> {
        self.last_flush = self.clock.now();
        match intake {
            Intake::Source { node, source } => self.run_source(node, source)?,
            Intake::Gate {
                gate,
                places,
                valves,
            } => self.run_gate(gate, &places, valves)?,
        }
        self.chain.end_chained_inputs()?;
        for partition in &mut self.chain.partitions {
            partition
                .broadcast(Wire::EndOfInput)
                .map_err(OperatorError::from)?;
        }
        if self.waits_for_commit {
            self.events.end_of_input(self.attempt);
            while !self.committed()? {
                self.wait(None);
            }
        }
        Ok(())
    }

    fn committed(&mut self) -> Result<bool, TaskError> {
        if self.cancel.is_cancelled() {
            return Err(TaskError::Cancelled);
        }
        while let Some(mail) = self.mailbox.take() {
            if let Mail::Commit(commit) = mail {
                self.chain.commit(commit)?;
                if commit == Commit::Final {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    fn run_source(
        &mut self,
        node: weir_graph::NodeId,
        mut source: Box<dyn AnySource>,
    ) -> Result<(), TaskError> {
        source.open(&self.chain.nodes[0].context)?;
        let mut request = Request::None;
        loop {
            if self.cancel.is_cancelled() {
                return Err(TaskError::Cancelled);
            }
            while let Some(mail) = self.mailbox.take() {
                match mail {
                    Mail::Commit(commit) => self.chain.commit(commit)?,
                    Mail::Split(to, answer) if to == node => {
                        request = self.take_answer(source.as_mut(), answer)?;
                    }
                    Mail::Split(..) => {}
                }
            }
            self.fire_timers()?;
            let waits = match request {
                Request::Open => Some(None),
                Request::At(time) => {
                    let rest = time.since(self.clock.now());
                    if rest.is_zero() {
                        request = Request::None
                    }
                    (!rest.is_zero()).then_some(Some(rest))
                }
                Request::None => None,
            };
            if let Some(rest) = waits {
                self.idle(rest)?;
                continue;
            }
            self.unflushed = true;
            let mut out = self.chain.head_output();
            let (poll, records) = source.poll(&mut out)?;
            self.chain.metrics.operators[0].records_in.add(records);
            self.chain.metrics.records_in.add(records);
            match poll {
                Poll::More => self.flush_if_due()?,
                Poll::Wait(rest) => {
                    self.flush()?;
                    if !rest.is_zero() && self.mailbox.is_empty() {
                        self.wait(Some(rest));
                    }
                }
                Poll::NeedSplit => {
                    request = Request::Open;
                    self.events.request_split(self.attempt, node);
                }
                Poll::End => break,
            }
        }
        self.chain.control(Control::Active)?;
        self.chain.control(Control::Watermark(Watermark::MAX))?;
        Ok(())
    }

    fn take_answer(
        &self,
        source: &mut dyn AnySource,
        answer: SplitAnswer,
    ) -> Result<Request, TaskError> {
        match answer {
            SplitAnswer::Split(split) => source.add_split(split)?,
            SplitAnswer::NoMore => source.no_more_splits(),
            SplitAnswer::NotYet(rest) => return Ok(Request::At(self.clock.now() + rest)),
        }
        Ok(Request::None)
    }

    fn run_gate(
        &mut self,
        mut gate: InputGate,
        places: &[ChannelPlace],
        mut valves: Vec<WatermarkValve>,
    ) -> Result<(), TaskError> {
        let mut open = vec![0usize; valves.len()];
        for place in places {
            open[place.input] += 1;
        }
        let mut inputs = CombinedWatermark::new(valves.len());
        while !gate.is_finished() {
            if self.cancel.is_cancelled() {
                return Err(TaskError::Cancelled);
            }
            while let Some(mail) = self.mailbox.take() {
                if let Mail::Commit(commit) = mail {
                    self.chain.commit(commit)?;
                }
            }
            self.fire_timers()?;
            let Some((channel, element)) = gate.poll()? else {
                self.idle(None)?;
                continue;
            };
            self.unflushed = true;
            let ChannelPlace { input, index } = places[channel];
            let said = match element {
                Element::Chunk(chunk) => {
                    self.chain.metrics.records_in.add(chunk.rows() as u64);
                    self.chain.metrics.bytes_in.add(chunk.bytes() as u64);
                    self.chain.process(input, chunk)?;
                    self.flush_if_due()?;
                    continue;
                }
                Element::Watermark(watermark) => valves[input].watermark(index, watermark),
                Element::Idle => valves[input].activity(index, false),
                Element::Active => valves[input].activity(index, true),
                Element::EndOfInput => {
                    open[input] -= 1;
                    if open[input] == 0 {
                        self.chain.end_head_input(input)?;
                    }
                    continue;
                }
                Element::Barrier(barrier) => {
                    let text = format!("barrier {} came, but checkpoints are off", barrier.id);
                    return Err(TaskError::Protocol(text));
                }
            };
            self.pass_on(&mut inputs, input, said)?;
        }
        Ok(())
    }

    /// What one input's valve says goes into the minimum over all inputs, and from there into the
    /// chain.
    fn pass_on(
        &mut self,
        inputs: &mut CombinedWatermark,
        input: usize,
        said: ValveOutput,
    ) -> Result<(), TaskError> {
        for control in said.controls() {
            let said = match control {
                Control::Watermark(watermark) => inputs.watermark(input, watermark),
                Control::Idle => inputs.activity(input, false),
                Control::Active => inputs.activity(input, true),
            };
            for control in said.controls() {
                self.chain.control(control)?;
            }
        }
        Ok(())
    }

    fn fire_timers(&mut self) -> Result<(), TaskError> {
        if let Some(due) = self.chain.next_processing_time() {
            let now = self.clock.unix_ms();
            if due <= now {
                self.unflushed = true;
                self.chain.processing_time(now)?;
            }
        }
        Ok(())
    }

    /// There is nothing to do: sends off what is gathered, or waits. Never both in one turn:
    /// sending may use up the notification that mail or input has come, so the caller has to
    /// look at both again before the wait.
    fn idle(&mut self, rest: Option<Duration>) -> Result<(), TaskError> {
        if self.unflushed {
            return self.flush();
        }
        self.wait(rest);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), TaskError> {
        self.chain.flush()?;
        self.unflushed = false;
        self.last_flush = self.clock.now();
        Ok(())
    }

    fn flush_if_due(&mut self) -> Result<(), TaskError> {
        let now = self.clock.now();
        if now.since(self.last_flush) >= self.buffer_timeout {
            self.flush()?;
        }
        Ok(())
    }

    /// Waits for mail, input, the next timer, or the end of `rest`.
    fn wait(&mut self, rest: Option<Duration>) {
        let timer = self.chain.next_processing_time().map(|due| {
            let ms = due.saturating_sub(self.clock.unix_ms());
            Duration::from_millis(u64::try_from(ms).unwrap_or(0))
        });
        let limit = match (rest, timer) {
            (Some(rest), Some(timer)) => Some(rest.min(timer)),
            (rest, timer) => rest.or(timer),
        };
        self.chain.metrics.times.idle_from(self.clock.now());
        self.cancel.signal().wait(limit);
        self.chain.metrics.times.idle_until(self.clock.now());
    }
}
