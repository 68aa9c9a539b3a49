//! The settings that every operator of a program can be given.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use weir_graph::{ChainingStrategy, NodeId, NodeSpec};

use crate::env::Inner;

/// A program's graph while it is being built, shared by all its streams.
pub(crate) type SharedEnv = Rc<RefCell<Inner>>;

/// Changes one node of the graph.
pub(crate) fn change(env: &SharedEnv, node: NodeId, change: impl FnOnce(&mut NodeSpec)) {
    change(env.borrow_mut().node_mut(node));
}

pub(crate) fn set_chaining(env: &SharedEnv, node: NodeId, strategy: ChainingStrategy) {
    change(env, node, |node| node.chaining = strategy);
}

pub(crate) fn set_buffer_timeout(env: &SharedEnv, node: NodeId, timeout: Duration) {
    let ms = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
    change(env, node, |node| node.buffer_timeout_ms = Some(ms));
}

/// Writes the setters of a stream or sink, each with the attributes given.
macro_rules! node_settings {
    ($(#[$attribute:meta])*) => {
        /// Gives the operator a stable name for its state: set it for every operator with state,
        /// so that a later version of the program finds the state again.
        $(#[$attribute])*
        pub fn uid(self, uid: impl Into<String>) -> Self {
            let uid = uid.into();
            crate::node::change(&self.env, self.node, |node| node.uid = Some(uid));
            self
        }

        /// Names the operator for people.
        $(#[$attribute])*
        pub fn name(self, name: impl Into<String>) -> Self {
            let name = name.into();
            crate::node::change(&self.env, self.node, |node| node.name = name);
            self
        }

        /// How many subtasks the operator has; by default as many as the job's parallelism says.
        $(#[$attribute])*
        pub fn set_parallelism(self, parallelism: u32) -> Self {
            crate::node::change(&self.env, self.node, |node| node.parallelism = Some(parallelism));
            self
        }

        /// How many key groups the operator has. It can never change once there is state.
        $(#[$attribute])*
        pub fn set_max_parallelism(self, max_parallelism: u32) -> Self {
            crate::node::change(&self.env, self.node, |node| {
                node.max_parallelism = Some(max_parallelism);
            });
            self
        }

        /// Never chains the operator to the one before it.
        $(#[$attribute])*
        pub fn start_new_chain(self) -> Self {
            crate::node::set_chaining(&self.env, self.node, weir_graph::ChainingStrategy::Head);
            self
        }

        /// Never chains the operator to the one before or behind it.
        $(#[$attribute])*
        pub fn disable_chaining(self) -> Self {
            crate::node::set_chaining(&self.env, self.node, weir_graph::ChainingStrategy::Never);
            self
        }

        /// Subtasks of one group may share a slot; another group gets slots of its own. By
        /// default an operator is in the group of its inputs, else in `default`.
        $(#[$attribute])*
        pub fn slot_sharing_group(self, group: impl Into<String>) -> Self {
            let group = group.into();
            crate::node::change(&self.env, self.node, |node| node.slot_sharing_group = Some(group));
            self
        }

        /// Subtasks with the same index of all operators in one group share a slot.
        $(#[$attribute])*
        pub fn co_location_group(self, group: impl Into<String>) -> Self {
            let group = group.into();
            crate::node::change(&self.env, self.node, |node| node.co_location_group = Some(group));
            self
        }

        /// The longest time that records may wait to be sent while input keeps coming. Without
        /// input they are sent at once.
        $(#[$attribute])*
        pub fn buffer_timeout(self, timeout: std::time::Duration) -> Self {
            crate::node::set_buffer_timeout(&self.env, self.node, timeout);
            self
        }
    };
}
pub(crate) use node_settings;
