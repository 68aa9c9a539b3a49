//! Makes tiers for the operators of one slot.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use weir_state::{
    BackendRequest, ColdError, ColdImporter, ColdSetup, ColdStateId, ColdTier, GroupBlock,
    MemoryBudget, NextGroups, SnapshotFile, StateBackendFactory, StateMeta, StateSnapshot,
    append_entry, group_prefix,
};
use weir_types::KeyGroupRange;

use crate::import::import;
use crate::options::{self, RocksDbOptions, SlotMemory};
use crate::removal::Removals;
use crate::scratch::ScratchFolder;
use crate::shared::lock;
use crate::tier::RocksDbTier;

/// RocksDB for the keyed state of one slot: one cache and one memory limit for all its operators.
pub struct RocksDbFactory {
    options: RocksDbOptions,
    memory: SlotMemory,
    tables: Arc<MemoryBudget>,
    removals: Arc<Removals>,
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
            removals: Arc::default(),
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
        let tier = RocksDbTier::open(
            &self.options,
            (&self.memory, &self.removals),
            request,
            share.bytes(),
        )?;
        Ok(Some(ColdSetup {
            tier: Arc::new(tier),
            memory: share,
        }))
    }

    fn scratch(&self) -> Result<Option<PathBuf>, ColdError> {
        Ok(Some(self.options.folder.clone()))
    }

    fn importer(&self) -> Option<&dyn ColdImporter> {
        Some(self)
    }
}

impl ColdImporter for RocksDbFactory {
    fn import(
        &self,
        folder: &Path,
        states: &[StateMeta],
        next: NextGroups<'_>,
    ) -> Result<(PathBuf, Vec<SnapshotFile>), ColdError> {
        let setup = options::database(&self.options, &self.memory);
        import(setup, folder, states, next)
    }
}

/// All that a tier has of a state.
fn blocks_of(
    tier: &dyn ColdTier,
    state: ColdStateId,
    groups: KeyGroupRange,
) -> Result<Vec<GroupBlock>, ColdError> {
    let mut blocks = Vec::new();
    for group in groups.iter() {
        let prefix = group_prefix(group);
        let mut bytes = Vec::new();
        tier.scan(state, &prefix, &prefix, &mut |key, value| {
            let text = key.get(prefix.len()..).unwrap_or_default();
            append_entry(text, value, &mut bytes);
            Ok(true)
        })?;
        if !bytes.is_empty() {
            blocks.push(GroupBlock { group, bytes });
        }
    }
    Ok(blocks)
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
        let states = tier.restored().into_iter().map(|(meta, id)| {
            Ok(StateSnapshot {
                meta,
                complete: false,
                blocks: blocks_of(&*tier, id, request.key_groups)?,
            })
        });
        states.collect::<Result<Vec<_>, ColdError>>().map(Some)
    }
}
