//! The producer's side of a channel to another process: its credit.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, OnceLock};

use super::connection::Connection;
use super::frame::{DATA_HEADER, Frame, Open, encode};
use crate::queue::ELEMENT_COST;
use crate::signal::lock;
use crate::{ChannelError, Control, Element, Signal};

/// Where a remote sender puts its frames. Made when the consumer's request comes in.
///
/// Credit is what the consumer has room for. A frame may be sent while there is any, and may
/// overdraw it: the consumer's queue holds at most its window and one fragment more, and a
/// fragment is never larger than the window.
pub(crate) struct Outlet {
    connection: Arc<Connection>,
    number: u32,
    window: u32,
    fragment: usize,
    state: Mutex<State>,
    /// The producer's thread, once there is one.
    signal: OnceLock<Arc<Signal>>,
}

struct State {
    credit: i64,
    failure: Option<ChannelError>,
}

impl Outlet {
    pub(crate) fn new(connection: Arc<Connection>, number: u32, open: &Open) -> Self {
        let state = State {
            credit: i64::from(open.window),
            failure: None,
        };
        Self {
            connection,
            number,
            window: open.window,
            fragment: open.fragment as usize,
            state: Mutex::new(state),
            signal: OnceLock::new(),
        }
    }

    pub(crate) fn number(&self) -> u32 {
        self.number
    }

    /// The most that one data frame may hold of a chunk.
    pub(crate) fn fragment(&self) -> usize {
        self.fragment
    }

    pub(crate) fn chunk_bytes_max(&self) -> usize {
        self.connection.limits().chunk_bytes_max
    }

    /// A buffer to encode into, perhaps a used one.
    pub(crate) fn buffer(&self) -> Vec<u8> {
        self.connection.outgoing.buffer()
    }

    /// The producer has come: it is notified from now on, and its controls go out.
    pub(crate) fn claim(&self, signal: &Arc<Signal>, held_back: VecDeque<Element>) {
        self.signal.get_or_init(|| Arc::clone(signal));
        for element in held_back {
            if let Some(control) = element.control() {
                // A broken connection shows at the producer's next send.
                drop(self.put_control(control));
            }
        }
    }

    /// Whether a frame may be sent now. A broken channel counts: the send says what is wrong.
    pub(crate) fn has_room(&self) -> bool {
        let state = lock(&self.state);
        state.credit > 0 || state.failure.is_some()
    }

    /// Sends a data frame. The caller has seen that there is room.
    pub(crate) fn send_data(&self, frame: Vec<u8>) -> Result<(), ChannelError> {
        let cost = (frame.len() - DATA_HEADER).saturating_add(ELEMENT_COST);
        let mut state = lock(&self.state);
        if let Some(cause) = &state.failure {
            return Err(cause.clone());
        }
        debug_assert!(state.credit > 0, "frames are only sent on credit");
        state.credit -= i64::try_from(cost).unwrap_or(i64::MAX);
        drop(state);
        self.connection.outgoing.send(frame)
    }

    /// Sends a control, unless the writer is so far behind that even watermarks have to wait.
    /// Barriers and the ends of data and input never do.
    pub(crate) fn send_control(&self, control: Control) -> Result<bool, ChannelError> {
        if let Some(cause) = &lock(&self.state).failure {
            return Err(cause.clone());
        }
        let must = matches!(
            control,
            Control::Barrier(_) | Control::EndOfData | Control::EndOfInput
        );
        if !must && self.connection.outgoing.is_congested() {
            return Ok(false);
        }
        self.put_control(control)?;
        Ok(true)
    }

    fn put_control(&self, control: Control) -> Result<(), ChannelError> {
        self.connection
            .outgoing
            .send(encode(self.number, &Frame::Control(control)))?;
        if control == Control::EndOfInput {
            // Nothing that happens to the connection matters to this channel any more.
            self.connection.remove_outlet(self.number);
        }
        Ok(())
    }

    /// The consumer gives credit back. Fails if it gives more than it got.
    pub(crate) fn add_credit(&self, bytes: u32) -> Result<(), &'static str> {
        let mut state = lock(&self.state);
        let was_empty = state.credit <= 0;
        state.credit += i64::from(bytes);
        if state.credit > i64::from(self.window) {
            return Err("it gave more credit than its window");
        }
        let wake = was_empty && state.credit > 0;
        drop(state);
        if wake {
            self.notify();
        }
        Ok(())
    }

    /// The channel is broken on the other side.
    pub(crate) fn fail(&self, cause: ChannelError) {
        lock(&self.state).failure.get_or_insert(cause);
        self.notify();
    }

    /// Tells the consumer that nothing more will come.
    pub(crate) fn refuse(&self, cause: ChannelError) {
        let mut state = lock(&self.state);
        if state.failure.is_some() {
            return;
        }
        state.failure = Some(cause.clone());
        drop(state);
        self.connection.remove_outlet(self.number);
        self.connection
            .outgoing
            .send_urgent(encode(self.number, &Frame::Error(cause)));
    }

    fn notify(&self) {
        if let Some(signal) = self.signal.get() {
            signal.notify();
        }
    }
}
