//! Where this TaskManager's subtasks put their snapshots.

use std::sync::Arc;

use weir_checkpoint::align::AlignMode;
use weir_rpc::CheckpointSettings;
use weir_storage::{OptionError, StoreError, StoreOptions};
use weir_task::TaskCheckpoints;
use weir_types::Clock;

/// The job's state folder cannot be used here.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Its options make no sense.
    #[error(transparent)]
    Options(OptionError),
    /// It cannot be reached.
    #[error(transparent)]
    Store(StoreError),
}

/// Opens the job's state folder. Blocks.
pub(crate) fn open(
    settings: CheckpointSettings,
    clock: Arc<dyn Clock>,
) -> Result<TaskCheckpoints, OpenError> {
    let CheckpointSettings {
        folder,
        store,
        exactly_once,
        incremental,
        compress,
        local_recovery: _,
    } = settings;
    let mut options = StoreOptions::from_config(&store).map_err(OpenError::Options)?;
    options.clock = clock;
    let store = weir_storage::open(&folder, &options).map_err(OpenError::Store)?;
    let mut checkpoints = TaskCheckpoints::new(store);
    checkpoints.open_base = Arc::new(move |base| weir_storage::open(base, &options));
    checkpoints.incremental = incremental;
    checkpoints.compress = compress;
    if !exactly_once {
        checkpoints.mode = AlignMode::AtLeastOnce;
    }
    Ok(checkpoints)
}
