//! Why a job may not start as it was asked for, and what to do about it.

use anyhow::anyhow;
use weir_checkpoint::pointer::Pointer;
use weir_cli::{CheckpointArgs, Failure, RestoreChoice};
use weir_jobmanager::ClaimError;

use super::{Candidate, Folder};

/// Where a person says what the job begins with, and so what a next step is told in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Words {
    Options,
    /// A StreamJob's, which an operator turns into options and deployments.
    Spec,
}

impl Words {
    pub(super) fn of(candidate: &Candidate) -> Self {
        Self::of_issued(candidate.pod.is_some() || candidate.deployment.is_some())
    }

    /// By whether somebody issues deployments.
    pub(super) fn of_issued(issued: bool) -> Self {
        if issued { Self::Spec } else { Self::Options }
    }

    /// How to begin with this snapshot, though the job has state.
    fn named(self, path: &str) -> String {
        match self {
            Self::Options => format!("`--restore {path} --rewind`"),
            Self::Spec => format!(
                "`spec.restore` (`from: Path`, `path: {path}`, and another `nonce` than before)"
            ),
        }
    }

    /// How to begin with no state.
    fn none(self) -> &'static str {
        match self {
            Self::Options => "`--restore none`",
            Self::Spec => "`spec.restore` (`from: None`, and another `nonce` than before)",
        }
    }

    /// How to keep the state in another place.
    fn elsewhere(self) -> &'static str {
        match self {
            Self::Options => "another `--checkpoint-dir`",
            Self::Spec => "another `spec.stateId`",
        }
    }
}

/// The newest snapshot, or an object of it, is damaged or missing.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct LatestUnreadable(pub(crate) String);

impl Folder {
    /// A claim, or reading what it needs, was refused. Adds the next steps that depend on where a
    /// person says what the job begins with.
    pub(super) fn refused(&self, error: ClaimError, words: Words) -> Failure {
        let address = &self.address;
        match error {
            ClaimError::LatestUnreadable { .. } => Failure::failed(LatestUnreadable(format!(
                "{error}, or name another by {}. `weir checkpoints ls --dir {address}` shows what \
                 there is",
                words.named("PATH")
            ))),
            ClaimError::Damaged { .. } => Failure::failed(anyhow!(
                "{error}, or give the job {} and name a snapshot to begin with",
                words.elsewhere()
            )),
            error => Failure::failed(error),
        }
    }

    /// Whether the job may start. Asked before the claim, which would leave a pointer behind.
    pub(super) fn has_what_is_required(
        &self,
        args: &CheckpointArgs,
        has_state: bool,
        words: Words,
    ) -> Result<(), Failure> {
        if has_state || !args.require_state {
            return Ok(());
        }
        let (why, how) = match words {
            Words::Options => (
                "`--require-state`",
                "say what to start from: a snapshot, or nothing (`none`)".to_owned(),
            ),
            Words::Spec => (
                "`spec.restore.requireState`",
                format!(
                    "say what to start from: a snapshot by {}, or nothing by {}",
                    words.named("PATH"),
                    words.none()
                ),
            ),
        };
        Err(Failure::failed(anyhow!(
            "there is no state to start with: {} holds no checkpoint or savepoint that the job goes \
             on from, and it must not start without one ({why}). Bring the state back, or {how}",
            self.address
        )))
    }

    pub(super) fn was_deleted(&self, pointer: &Pointer, words: Words) -> anyhow::Error {
        let address = &self.address;
        let path = pointer
            .retained
            .last()
            .map(|kept| format!("{address}/{}", kept.path));
        let savepoint = match (path, words) {
            (Some(path), Words::Options) => {
                format!("from its newest savepoint by `--restore {path}`")
            }
            (Some(path), Words::Spec) => {
                format!("from its newest savepoint by {}", words.named(&path))
            }
            (None, Words::Options) => {
                "from a savepoint elsewhere by `--restore` and its folder".to_owned()
            }
            (None, Words::Spec) => {
                format!("from a savepoint elsewhere by {}", words.named("PATH"))
            }
        };
        anyhow!(
            "the job was cancelled, and its checkpoints in {address} were deleted with it \
             (`spec.checkpoint.externalized: DeleteOnCancel`), so there is no latest one: start \
             it with no state by {}, or {savepoint}",
            words.none()
        )
    }

    pub(super) fn has_state(&self, choice: Option<&RestoreChoice>, words: Words) -> anyhow::Error {
        let address = &self.address;
        if words == Words::Spec {
            return anyhow!(
                "{address} holds state of this job: go on from it by `spec.restore` (`from: \
                 Latest`), go back by {}, or give the job {}",
                words.named("PATH"),
                words.elsewhere()
            );
        }
        match choice {
            Some(RestoreChoice::Path(path)) => anyhow!(
                "{address} holds state of this job, and `{path}` is not the newest of it: go on \
                 from the newest with `--restore latest`; go back to `{path}` all the same with \
                 `--rewind`, which publishes results since then once more; or give the job another \
                 `--checkpoint-dir`"
            ),
            Some(_) => anyhow!(
                "{address} holds state of this job: start with none all the same with `--rewind`, \
                 which publishes its results once more, or give it another `--checkpoint-dir`"
            ),
            None => anyhow!(
                "{address} holds state of this job: go on from it with `--restore latest`, or give \
                 the job another `--checkpoint-dir`"
            ),
        }
    }

    /// The newest snapshot promises what this sink has not published.
    pub(super) fn promises(&self, snapshot: &str, sink: &str, words: Words) -> anyhow::Error {
        let first = match words {
            Words::Options => {
                "go on from it with `--restore latest` and stop it with a savepoint first (`weir \
                 stop`)"
            }
            Words::Spec => "go on from it and stop it with a savepoint first",
        };
        anyhow!(
            "{snapshot} holds results of the sink `{sink}` that are still to be published; they \
             would be lost if the job began with something else: {first}, or give the job {}",
            words.elsewhere()
        )
    }
}
