//! The loop of a subtask whose chain begins with a source.

use std::sync::Arc;

use weir_graph::NodeId;
use weir_stream::Control;
use weir_stream::source::{AnySource, Poll, SplitAnswer, Turn};
use weir_types::{Timestamp, Watermark};

use super::{Phase, TaskError, TaskLoop};
use crate::mailbox::Mail;
use crate::pace::{Pace, Watch};
use crate::snapshot::Input;

/// Whether something waits for the answer to a split request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Request {
    None,
    Open,
    /// Ask again at this time.
    At(Timestamp),
}

impl TaskLoop {
    pub(super) fn run_source(
        &mut self,
        node: NodeId,
        mut source: Box<dyn AnySource>,
    ) -> Result<(), TaskError> {
        if self.phase == Phase::Reading {
            source.open(&self.chain.nodes[0].context)?;
        }
        let (mut request, mut pace) = (Request::None, Pace::default());
        loop {
            self.mailbox.hear_call();
            self.check_cancelled()?;
            while let Some(mail) = self.mailbox.take() {
                match mail {
                    Mail::Commit(commit) => {
                        if self.commit(commit)? {
                            self.leave();
                            return Ok(());
                        }
                    }
                    Mail::Split(to, answer) if to == node => {
                        request = self.take_answer(source.as_mut(), answer)?;
                    }
                    Mail::Split(..) => {}
                    Mail::Trigger(barrier, then) => {
                        self.trigger(barrier, then, Some(source.as_mut()))?;
                    }
                    Mail::Abort(id) => self.abort(id),
                }
            }
            self.fire_timers()?;
            self.copy(Input::Busy);
            if self.phase != Phase::Reading {
                self.idle(None)?;
                continue;
            }
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
            match self.turn(source.as_mut(), &mut pace)? {
                Poll::More => self.flush_if_due()?,
                Poll::Wait(rest) => {
                    self.flush()?;
                    if self.is_copying() {
                        self.copy(Input::Idle);
                    } else if !rest.is_zero() && self.mailbox.is_empty() {
                        self.wait(Some(rest));
                    }
                }
                Poll::NeedSplit => {
                    request = Request::Open;
                    self.events.request_split(self.attempt, node);
                }
                Poll::End => {
                    if self.end_source()? {
                        return Ok(());
                    }
                }
            }
        }
    }

    fn turn(&mut self, source: &mut dyn AnySource, pace: &mut Pace) -> Result<Poll, TaskError> {
        self.unflushed = true;
        let metrics = Arc::clone(&self.chain.metrics);
        let watch = Watch {
            cancel: &self.cancel,
            clock: &*self.clock,
            times: &metrics.times,
        };
        let is_called = self.mailbox.is_called();
        let mut out = self.chain.head_output();
        let (poll, records) = pace.turn(watch, |records_max| {
            let turn = Turn {
                records_max,
                is_called,
            };
            source.poll(turn, &mut out)
        })?;
        self.chain.metrics.operators[0].records_in.add(records);
        self.chain.metrics.records_in.add(records);
        Ok(poll)
    }

    /// The source reads nothing more: time comes to its end. True if the subtask does, too.
    pub(super) fn end_source(&mut self) -> Result<bool, TaskError> {
        self.chain.control(Control::Active)?;
        self.chain.control(Control::Watermark(Watermark::MAX))?;
        self.end_of_data()
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
}
