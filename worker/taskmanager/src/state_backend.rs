//! What the keyed state of a job lies on, chosen by whoever knows the backends there are.

use std::sync::Arc;

use weir_rpc::JobInfo;
use weir_state::{HeapFactory, StateBackendFactory};
use weir_stream::BoxError;

/// What a TaskManager has for state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotResources {
    /// How many slots there are.
    pub slots: u32,
    /// The managed memory of each, in bytes.
    pub managed_bytes: u64,
}

/// Makes the state backends of a job's slots. Closures will do.
pub trait StateBackendProvider: Send + Sync + 'static {
    /// One for each slot, by the job's configuration. May block. What they have on the local disk
    /// goes when the last of them is dropped.
    fn open(
        &self,
        job: &JobInfo,
        resources: SlotResources,
    ) -> Result<Vec<Arc<dyn StateBackendFactory>>, BoxError>;
}

impl<F> StateBackendProvider for F
where
    F: Fn(&JobInfo, SlotResources) -> Result<Vec<Arc<dyn StateBackendFactory>>, BoxError>
        + Send
        + Sync
        + 'static,
{
    fn open(
        &self,
        job: &JobInfo,
        resources: SlotResources,
    ) -> Result<Vec<Arc<dyn StateBackendFactory>>, BoxError> {
        self(job, resources)
    }
}

/// All state in memory, whatever the job says.
#[derive(Clone, Copy, Debug)]
pub struct HeapOnly;

impl StateBackendProvider for HeapOnly {
    fn open(
        &self,
        _job: &JobInfo,
        resources: SlotResources,
    ) -> Result<Vec<Arc<dyn StateBackendFactory>>, BoxError> {
        let slot = |_| Arc::new(HeapFactory) as Arc<dyn StateBackendFactory>;
        Ok((0..resources.slots).map(slot).collect())
    }
}
