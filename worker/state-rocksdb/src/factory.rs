//! Makes tiers for the operators of one slot.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use weir_state::{
    BackendRequest, ColdError, ColdSetup, ColdSnapshot, ColdSnapshotKind, MemoryBudget,
    StateBackendFactory, StateSnapshot,
};
use weir_types::CheckpointId;

use crate::options::{RocksDbOptions, SlotMemory};
use crate::scratch::ScratchFolder;
use crate::tier::RocksDbTier;
use crate::writer::lock;

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

    fn scratch(&self) -> Result<Option<PathBuf>, ColdError> {
        Ok(Some(self.options.folder.clone()))
    }
}

/// All keyed state in memory, also what a database holds that a job goes on from. The database is
/// there while it is read, and no folder before that.
#[derive(Debug)]
pub struct ReadingHeapFactory {
    base: PathBuf,
    memory: usize,
    scratch: Mutex<Option<Arc<ScratchFolder>>>,
}

impl ReadingHeapFactory {
    /// Reads databases in a folder of this process in `base`, with so much memory.
    pub fn new(base: impl Into<PathBuf>, memory: usize) -> Self {
        Self {
            base: base.into(),
            memory,
            scratch: Mutex::default(),
        }
    }

    fn folder(&self) -> Result<Arc<ScratchFolder>, ColdError> {
        let mut scratch = lock(&self.scratch);
        if let Some(scratch) = &*scratch {
            return Ok(Arc::clone(scratch));
        }
        let made = Arc::new(ScratchFolder::create(&self.base)?);
        Ok(Arc::clone(scratch.insert(made)))
    }
}

impl StateBackendFactory for ReadingHeapFactory {
    fn open(&self, _request: &BackendRequest) -> Result<Option<ColdSetup>, ColdError> {
        Ok(None)
    }

    fn scratch(&self) -> Result<Option<PathBuf>, ColdError> {
        Ok(Some(self.folder()?.path().to_owned()))
    }

    fn read_files(
        &self,
        request: &BackendRequest,
    ) -> Result<Option<Vec<StateSnapshot>>, ColdError> {
        let options = RocksDbOptions::new(&self.base, self.memory);
        let factory = RocksDbFactory::in_scratch(&self.folder()?, options);
        let Some(ColdSetup { tier, .. }) = factory.open(request)? else {
            return Ok(None);
        };
        tier.snapshot_begin(CheckpointId(0), ColdSnapshotKind::Blocks)?;
        let mut blocks: BTreeMap<_, _> = match tier.snapshot_take(true)? {
            Some(ColdSnapshot::Blocks(blocks)) => blocks.into_iter().collect(),
            Some(ColdSnapshot::Files { .. }) | None => BTreeMap::new(),
        };
        let states = tier.restored().into_iter().map(|(meta, id)| StateSnapshot {
            meta,
            complete: false,
            blocks: blocks.remove(&id).unwrap_or_default(),
        });
        Ok(Some(states.collect()))
    }
}
