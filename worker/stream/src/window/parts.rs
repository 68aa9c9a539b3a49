//! What a window operator is made of.

use std::time::Duration;

use crate::OutputTag;

/// What a program may say about a window operator beside its parts.
#[derive(Debug)]
pub struct WindowOptions<T> {
    /// For how long after the watermark has passed a window's end its pane is kept, and fires
    /// again for each further record.
    pub allowed_lateness: Duration,
    /// Where records go whose windows are all over. Without it they are dropped and counted.
    pub late_output: Option<OutputTag<T>>,
}

impl<T> Default for WindowOptions<T> {
    fn default() -> Self {
        Self {
            allowed_lateness: Duration::ZERO,
            late_output: None,
        }
    }
}

impl<T> Clone for WindowOptions<T> {
    fn clone(&self) -> Self {
        Self {
            allowed_lateness: self.allowed_lateness,
            late_output: self.late_output.clone(),
        }
    }
}

/// The parts of a window operator.
pub struct WindowParts<S, A, G, P, F> {
    /// Gives each record its key.
    pub selector: S,
    /// Gives each record its windows.
    pub assigner: A,
    /// Says when panes fire.
    pub trigger: G,
    /// What panes keep.
    pub pane: P,
    /// What becomes of a pane's contents.
    pub function: F,
}
