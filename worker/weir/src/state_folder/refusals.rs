//! Why a job may not start as it was asked for, and what to do about it.

use anyhow::anyhow;
use weir_checkpoint::pointer::Pointer;
use weir_cli::{CheckpointArgs, Failure, RestoreChoice};

use super::Folder;

impl Folder {
    /// Whether the job may start. Asked before the claim, which would leave a pointer behind.
    pub(super) fn has_what_is_required(
        &self,
        args: &CheckpointArgs,
        has_state: bool,
    ) -> Result<(), Failure> {
        if has_state || !args.require_state {
            return Ok(());
        }
        Err(Failure::failed(anyhow!(
            "there is no state to start with: {} holds no checkpoint or savepoint that the job goes \
             on from, and it must not start without one (`--require-state`). Bring the state back, \
             or say what to start from: a snapshot, or nothing (`none`)",
            self.address
        )))
    }

    pub(super) fn was_deleted(&self, pointer: &Pointer) -> anyhow::Error {
        let address = &self.address;
        let savepoint = pointer.retained.last().map_or_else(
            || "from a savepoint elsewhere by `--restore` and its folder".to_owned(),
            |kept| {
                format!(
                    "from its newest savepoint by `--restore {address}/{}`",
                    kept.path
                )
            },
        );
        anyhow!(
            "the job was cancelled, and its checkpoints in {address} were deleted with it \
             (`spec.checkpoint.externalized: DeleteOnCancel`), so there is no latest one: start \
             it with no state by `--restore none`, or {savepoint}"
        )
    }

    pub(super) fn has_state(&self, choice: Option<&RestoreChoice>) -> anyhow::Error {
        let address = &self.address;
        match choice {
            Some(RestoreChoice::Path(path)) => anyhow!(
                "{address} holds newer state of this job than `{path}`, whose results may be \
                 published already: give the job another `--checkpoint-dir` to go back to `{path}`"
            ),
            Some(_) => anyhow!(
                "{address} holds state of this job: give it another `--checkpoint-dir` to start \
                 with none"
            ),
            None => anyhow!(
                "{address} holds state of this job: go on from it with `--restore latest`, or give \
                 the job another `--checkpoint-dir`"
            ),
        }
    }
}
