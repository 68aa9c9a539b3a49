//! Makes tiers for the operators of one slot.

use std::fmt;
use std::sync::Arc;

use weir_state::{BackendRequest, ColdError, ColdSetup, MemoryBudget, StateBackendFactory};

use crate::options::{RocksDbOptions, SlotMemory};
use crate::scratch::ScratchFolder;
use crate::tier::RocksDbTier;

/// RocksDB for the keyed state of one slot: one cache and one memory limit for all its operators.
pub struct RocksDbFactory {
    options: RocksDbOptions,
    memory: SlotMemory,
    tables: Arc<MemoryBudget>,
    /// What `options.folder` lies in, if it is to go with the last factory.
    _scratch: Option<Arc<ScratchFolder>>,
}

impl RocksDbFactory {
    /// A factory for a slot. Makes no folder yet.
    pub fn new(options: RocksDbOptions) -> Self {
        let (memory, tables) = SlotMemory::new(&options);
        Self {
            options,
            memory,
            tables: MemoryBudget::new(tables),
            _scratch: None,
        }
    }

    /// A factory for a slot whose folder is this one, whatever the options say.
    pub fn in_scratch(scratch: &Arc<ScratchFolder>, options: RocksDbOptions) -> Self {
        Self {
            _scratch: Some(Arc::clone(scratch)),
            ..Self::new(RocksDbOptions {
                folder: scratch.path().to_owned(),
                ..options
            })
        }
    }
}

impl fmt::Debug for RocksDbFactory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { options, .. } = self;
        f.debug_struct("RocksDbFactory")
            .field("options", options)
            .finish_non_exhaustive()
    }
}

impl StateBackendFactory for RocksDbFactory {
    fn open(&self, request: &BackendRequest) -> Result<Option<ColdSetup>, ColdError> {
        let share = self.tables.share();
        let tier = RocksDbTier::open(&self.options, &self.memory, request, share.bytes())?;
        Ok(Some(ColdSetup {
            tier: Arc::new(tier),
            memory: share,
        }))
    }
}
