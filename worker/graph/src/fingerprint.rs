//! Whether two processes mean the same job.
//!
//! Closures never travel: each process builds the graph from the same program, arguments and
//! configuration. A TaskManager whose fingerprint differs from the JobManager's would run something
//! else, so it is refused, with a text that says what differs. The parts are hashed one by one for
//! that; the values of arguments and configuration are never shown, as they may be secret.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};
use weir_types::OperatorId;

use crate::explain::explain;
use crate::job_graph::JobGraph;

/// The hash of one part of a fingerprint.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PartHash(pub u128);

impl PartHash {
    fn of(text: &str) -> Self {
        // The same 128-bit hash as for ids.
        Self(OperatorId::from_text(text).0)
    }

    fn of_map(map: &BTreeMap<String, String>) -> Self {
        // Lengths, so that no two maps give the same text.
        let mut text = String::new();
        for (key, value) in map {
            text.push_str(&format!("{}:{key}{}:{value}", key.len(), value.len()));
        }
        Self::of(&text)
    }
}

impl fmt::Display for PartHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for PartHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PartHash({self})")
    }
}

/// What identifies a job's program and its settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Fingerprint {
    /// Operators, streams, parallelism, chains: all that the JobGraph holds.
    pub graph: PartHash,
    /// The program's arguments.
    pub args: PartHash,
    /// The configuration.
    pub config: PartHash,
    /// The executable file.
    pub executable: PartHash,
}

impl Fingerprint {
    /// What differs from `other`, for people; empty if nothing does.
    pub fn differences(&self, other: &Self) -> Vec<&'static str> {
        let parts = [
            (
                self.executable != other.executable,
                "the executable differs",
            ),
            (self.args != other.args, "the arguments differ"),
            (self.config != other.config, "the configuration differs"),
            (self.graph != other.graph, "the graph differs"),
        ];
        parts
            .into_iter()
            .filter(|(differs, _)| *differs)
            .map(|(_, text)| text)
            .collect()
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            graph,
            args,
            config,
            executable,
        } = self;
        write!(
            f,
            "{}",
            PartHash::of(&format!("{graph} {args} {config} {executable}"))
        )
    }
}

/// The fingerprint of a job. `executable_hash` is any text that is equal for equal executables.
pub fn fingerprint(
    graph: &JobGraph,
    args: &BTreeMap<String, String>,
    config: &BTreeMap<String, String>,
    executable_hash: &str,
) -> Fingerprint {
    let graph = serde_json::to_string(graph).expect("a job graph has only text keys");
    Fingerprint {
        graph: PartHash::of(&graph),
        args: PartHash::of_map(args),
        config: PartHash::of_map(config),
        executable: PartHash::of(executable_hash),
    }
}

/// The lines in which two graphs' dumps differ, as `- ours` and `+ theirs`; empty if equal.
pub fn diff_graphs(ours: &JobGraph, theirs: &JobGraph) -> String {
    let lines = diff_dumps(ours, theirs);
    if lines.is_empty() && ours != theirs {
        // A dump names neither operators nor streams by their place in the program.
        return "the program made its operators or streams in another order\n".to_owned();
    }
    lines
}

fn diff_dumps(ours: &JobGraph, theirs: &JobGraph) -> String {
    let (ours, theirs) = (explain(ours).to_string(), explain(theirs).to_string());
    let (ours, theirs): (Vec<_>, Vec<_>) = (ours.lines().collect(), theirs.lines().collect());
    let same_start = ours.iter().zip(&theirs).take_while(|(a, b)| a == b).count();
    let (ours, theirs) = (&ours[same_start..], &theirs[same_start..]);
    let same_end = ours
        .iter()
        .rev()
        .zip(theirs.iter().rev())
        .take_while(|(a, b)| a == b)
        .count();
    let mut diff = String::new();
    for (sign, lines) in [('-', ours), ('+', theirs)] {
        for line in &lines[..lines.len() - same_end] {
            diff.push_str(&format!("{sign} {line}\n"));
        }
    }
    diff
}

/// The keys in which two maps differ, for people, without values; empty if equal.
pub fn diff_maps(
    ours: &BTreeMap<String, String>,
    theirs: &BTreeMap<String, String>,
) -> Vec<String> {
    let keys: BTreeSet<&String> = ours.keys().chain(theirs.keys()).collect();
    keys.into_iter()
        .filter_map(|key| match (ours.get(key), theirs.get(key)) {
            (Some(a), Some(b)) if a == b => None,
            (Some(_), Some(_)) => Some(format!("`{key}` has another value")),
            (Some(_), None) => Some(format!("`{key}` is missing there")),
            (None, _) => Some(format!("`{key}` is missing here")),
        })
        .collect()
}

#[cfg(test)]
mod tests;
