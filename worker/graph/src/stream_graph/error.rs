//! Why a program's graph cannot run. Each text names the operators and what to change.

use weir_types::MAX_PARALLELISM_LIMIT;

/// A program's graph that cannot run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GraphError {
    /// There is nothing to run.
    #[error("job `{job}` has no operators: add a source and a sink")]
    Empty {
        /// The job's name.
        job: String,
    },

    /// An edge names a node that was never added.
    #[error("an edge names operator {node}, but the graph has only {nodes} operators")]
    UnknownNode {
        /// The id that the edge names.
        node: u32,
        /// How many there are.
        nodes: usize,
    },

    /// An edge leads to an input that its target does not have.
    #[error("`{source_name}` leads to input {input} of `{target}`, which has {inputs} input(s)")]
    UnknownInput {
        /// The operator that writes the edge.
        source_name: String,
        /// The operator that reads it.
        target: String,
        /// The input that the edge names.
        input: u8,
        /// How many inputs the reader has.
        inputs: usize,
    },

    /// An operator says that it is a source but has inputs, or the other way round.
    #[error("`{name}` has {inputs} input(s), which {role} cannot have")]
    InputCount {
        /// The operator.
        name: String,
        /// How many inputs it says it has.
        inputs: usize,
        /// What it says it is.
        role: &'static str,
    },

    /// Something reads a sink.
    #[error("`{target}` reads `{name}`, which is a sink and has no output")]
    OutputOfSink {
        /// The sink.
        name: String,
        /// The operator that reads it.
        target: String,
    },

    /// Nothing writes to an input.
    #[error("input {input} of `{name}` is not connected: give it a stream, or remove `{name}`")]
    NoInput {
        /// The operator.
        name: String,
        /// The input, from 0.
        input: usize,
    },

    /// Nothing reads an output.
    #[error("nothing reads the output of `{name}`: end it with a sink, or remove `{name}`")]
    NoConsumer {
        /// The operator.
        name: String,
    },

    /// The graph has a loop.
    #[error("the graph has a cycle through {}: a stream must not lead back", quoted(.names))]
    Cycle {
        /// The operators on it.
        names: Vec<String>,
    },

    /// A uid is an empty text.
    #[error("the uid of `{name}` is empty: give it a text, or leave `uid` out")]
    EmptyUid {
        /// The operator.
        name: String,
    },

    /// Two operators have the same uid.
    #[error("`{first}` and `{second}` both have the uid `{uid}`: give each operator its own uid")]
    DuplicateUid {
        /// The uid.
        uid: String,
        /// The first operator.
        first: String,
        /// The other one.
        second: String,
    },

    /// Two operators have the same id, though not the same uid.
    #[error("`{first}` and `{second}` have the same operator id {id}: give `{second}` another uid")]
    OperatorIdCollision {
        /// The id.
        id: String,
        /// The first operator.
        first: String,
        /// The other one.
        second: String,
    },

    /// A parallelism of 0 or over the limit.
    #[error(
        "parallelism {parallelism} of {what} is out of range: set it to 1..={MAX_PARALLELISM_LIMIT}"
    )]
    Parallelism {
        /// The operator or the job.
        what: String,
        /// What was set.
        parallelism: u32,
    },

    /// A max parallelism of 0 or over the limit.
    #[error(
        "max parallelism {max_parallelism} of {what} is out of range: \
         set it to 1..={MAX_PARALLELISM_LIMIT}"
    )]
    MaxParallelism {
        /// The operator or the job.
        what: String,
        /// What was set.
        max_parallelism: u32,
    },

    /// More subtasks than key groups.
    #[error(
        "parallelism {parallelism} of `{name}` is over its max parallelism {max_parallelism}: \
         lower the parallelism, or raise the max parallelism \
         (a job with state from before can only do the former)"
    )]
    ParallelismOverMax {
        /// The operator.
        name: String,
        /// Its subtasks.
        parallelism: u32,
        /// Its key groups.
        max_parallelism: u32,
    },

    /// An operator that has to be alone was made parallel.
    #[error("`{name}` cannot run in parallel, but its parallelism is {parallelism}: set it to 1")]
    NotParallel {
        /// The operator.
        name: String,
        /// What was set.
        parallelism: u32,
    },

    /// A forward edge between different parallelisms.
    #[error(
        "forward from `{source_name}` (parallelism {source_parallelism}) to `{target}` \
         (parallelism {target_parallelism}) needs equal parallelism: \
         set the same, or use rebalance, rescale, shuffle, broadcast or global"
    )]
    ForwardParallelism {
        /// The operator that writes the edge.
        source_name: String,
        /// Its subtasks.
        source_parallelism: u32,
        /// The operator that reads it.
        target: String,
        /// Its subtasks.
        target_parallelism: u32,
    },

    /// Operators of one co-location group that cannot lie together.
    #[error(
        "co-location group `{group}` needs equal parallelism, but `{first}` has {first_parallelism} \
         and `{second}` has {second_parallelism}: set the same"
    )]
    CoLocationParallelism {
        /// The group.
        group: String,
        /// One operator of it.
        first: String,
        /// Its subtasks.
        first_parallelism: u32,
        /// Another.
        second: String,
        /// Its subtasks.
        second_parallelism: u32,
    },

    /// Operators of one co-location group that may not share slots.
    #[error(
        "co-location group `{group}` needs one slot sharing group, but `{first}` is in `{first_slots}` \
         and `{second}` in `{second_slots}`: put them in the same"
    )]
    CoLocationSlotSharing {
        /// The group.
        group: String,
        /// One operator of it.
        first: String,
        /// Its slot sharing group.
        first_slots: String,
        /// Another.
        second: String,
        /// Its slot sharing group.
        second_slots: String,
    },
}

fn quoted(names: &[String]) -> String {
    names
        .iter()
        .map(|name| format!("`{name}`"))
        .collect::<Vec<_>>()
        .join(", ")
}
