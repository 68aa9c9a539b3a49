//! The end of a stream.

use weir_graph::NodeId;

use crate::node::{SharedEnv, node_settings};

/// A sink that was added to the graph, for its settings.
pub struct DataStreamSink {
    pub(crate) env: SharedEnv,
    pub(crate) node: NodeId,
}

impl DataStreamSink {
    node_settings!();
}
