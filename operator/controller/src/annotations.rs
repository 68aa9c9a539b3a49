//! Requests that a person makes by annotations. The value is the request's identity: the same one
//! never acts twice.

use std::collections::BTreeMap;

/// The annotations' names.
pub mod annotation {
    /// Another value takes a savepoint.
    pub const SAVEPOINT_NONCE: &str = "weir.dev/savepoint-nonce";
    /// Another value takes a checkpoint.
    pub const CHECKPOINT_NONCE: &str = "weir.dev/checkpoint-nonce";
    /// Another value returns to the last stable revision, or to that of `rollback-to`.
    pub const ROLLBACK_NONCE: &str = "weir.dev/rollback-nonce";
    /// The revision to return to.
    pub const ROLLBACK_TO: &str = "weir.dev/rollback-to";
    /// `true`: the operator leaves the job alone.
    pub const PAUSED: &str = "weir.dev/paused";
    /// The id of an operation that is to be given up.
    pub const ABORT_OPERATION: &str = "weir.dev/abort-operation";
    /// `true`: a deletion does not wait for a savepoint.
    pub const FORCE_DELETE: &str = "weir.dev/force-delete";
}

/// The longest nonce.
const NONCE_CHARS_MAX: usize = 63;

/// What is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Requests {
    /// A savepoint.
    pub savepoint: Option<String>,
    /// A checkpoint.
    pub checkpoint: Option<String>,
    /// A rollback.
    pub rollback: Option<String>,
    /// Where to.
    pub rollback_to: Option<String>,
    /// The job is left alone.
    pub paused: bool,
    /// An operation is to be given up.
    pub abort: Option<String>,
    /// A deletion does not wait for a savepoint.
    pub force_delete: bool,
    /// What is wrong with the annotations.
    pub refused: Vec<String>,
}

impl Requests {
    /// Reads a job's annotations. What makes no sense is told and otherwise passed over.
    pub fn read(annotations: &BTreeMap<String, String>) -> Self {
        let mut requests = Self::default();
        let text = |name: &str| {
            annotations
                .get(name)
                .filter(|value| !value.is_empty())
                .cloned()
        };
        let mut nonce = |name: &str| {
            let value = text(name)?;
            if value.chars().count() <= NONCE_CHARS_MAX {
                return Some(value);
            }
            let refused = format!("{name} has more than {NONCE_CHARS_MAX} characters: shorten it");
            requests.refused.push(refused);
            None
        };
        let (savepoint, checkpoint, rollback) = (
            nonce(annotation::SAVEPOINT_NONCE),
            nonce(annotation::CHECKPOINT_NONCE),
            nonce(annotation::ROLLBACK_NONCE),
        );
        let mut switch = |name: &str| match annotations.get(name).map(String::as_str) {
            None | Some("false") => false,
            Some("true") => true,
            Some(_) => {
                requests
                    .refused
                    .push(format!("{name} must be `true` or `false`"));
                false
            }
        };
        let (paused, force_delete) = (switch(annotation::PAUSED), switch(annotation::FORCE_DELETE));
        Self {
            savepoint,
            checkpoint,
            rollback,
            rollback_to: text(annotation::ROLLBACK_TO),
            paused,
            abort: text(annotation::ABORT_OPERATION),
            force_delete,
            refused: requests.refused,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn annotations_become_requests_and_nonsense_is_told() {
        let read = |pairs: &[(&str, &str)]| {
            let pairs = pairs
                .iter()
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
            Requests::read(&pairs.collect())
        };
        let requests = read(&[
            (annotation::SAVEPOINT_NONCE, "7"),
            (annotation::PAUSED, "true"),
            ("other", "x"),
        ]);
        assert_eq!(requests.savepoint.as_deref(), Some("7"));
        assert!(requests.paused && !requests.force_delete);
        assert_eq!(requests.refused, Vec::<String>::new());
        let long = "x".repeat(64);
        let requests = read(&[
            (annotation::SAVEPOINT_NONCE, &long),
            (annotation::PAUSED, "yes"),
        ]);
        assert_eq!(requests.savepoint, None);
        assert_eq!(requests.refused.len(), 2);
    }
}
