//! How RocksDB is set up, and how the memory of a slot is shared out.

use std::path::PathBuf;

use rocksdb::{
    BlockBasedOptions, Cache, DBCompressionType, DataBlockIndexType, LogLevel, Options,
    WriteBufferManager,
};

/// What the state is like, in place of fifty options (Flink's `PredefinedOptions`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Profile {
    /// Most of the state fits into memory: RocksDB is written for checkpoints and hardly ever read.
    /// Nearly all memory goes to the tables; files are merged late and not compressed, and mapped
    /// into memory to be read: what of them is in memory belongs to the system's page cache.
    #[default]
    MemoryFirst,
    /// Most of the state lies on disk: RocksDB gets a third of the memory for its cache; files are
    /// merged early and compressed.
    DiskHeavy,
}

/// What a slot's state is kept with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RocksDbOptions {
    /// The local folder of the job. Nothing in it outlives the attempts it was made for.
    pub folder: PathBuf,
    /// The slot's managed memory, in bytes: tables, cache and write buffers together.
    pub memory: usize,
    /// What the state is like.
    pub profile: Profile,
    /// Threads that merge files, for each operator of a subtask.
    pub background_threads: u32,
}

impl RocksDbOptions {
    /// Options with the defaults for everything else.
    pub fn new(folder: impl Into<PathBuf>, memory: usize) -> Self {
        Self {
            folder: folder.into(),
            memory,
            profile: Profile::default(),
            background_threads: 2,
        }
    }
}

/// The memory that the databases of one slot share.
#[derive(Clone)]
pub(crate) struct SlotMemory {
    pub(crate) cache: Cache,
    buffers: WriteBufferManager,
}

impl SlotMemory {
    /// The caches, and how much memory is left for the tables.
    pub(crate) fn new(options: &RocksDbOptions) -> (Self, usize) {
        let percent = match options.profile {
            Profile::MemoryFirst => 10,
            Profile::DiskHeavy => 33,
        };
        let cached = options.memory / 100 * percent;
        let cache = Cache::new_lru_cache(cached);
        // Nothing is written but a few removed ranges after a restore; counted in the cache.
        let buffers = WriteBufferManager::new_write_buffer_manager_with_cache(
            cached / 4,
            false,
            cache.clone(),
        );
        (Self { cache, buffers }, options.memory - cached)
    }
}

/// What the bindings have no function for. A RocksDB that does not know it does without.
const NAMED: &str = "strict_bytes_per_sync=true";

fn named_options() -> Result<Options, rocksdb::Error> {
    Options::default().get_options_from_string(NAMED)
}

/// How a database is set up.
pub(crate) struct Setup {
    /// Options of the database and of its column families alike.
    pub(crate) options: Options,
    /// Files that are put into it are compressed as its own are.
    pub(crate) compress: bool,
}

/// How a database of a slot is set up.
pub(crate) fn database(options: &RocksDbOptions, memory: &SlotMemory) -> Setup {
    let mut db = named_options().unwrap_or_default();
    db.create_if_missing(true);
    db.set_write_buffer_manager(&memory.buffers);
    db.set_write_buffer_size(1 << 20);
    db.set_max_background_jobs(i32::try_from(options.background_threads).unwrap_or(i32::MAX));
    db.set_max_open_files(-1);
    db.set_stats_dump_period_sec(0);
    // It is stored anew with each checkpoint, and space reserved for it counts on a small disk.
    db.set_max_manifest_file_size(1 << 20);
    db.set_manifest_preallocation_size(64 << 10);
    // What it merges goes to the disk as it comes, and no faster than that takes it: whoever makes
    // a small file durable waits for what others have under way by then.
    db.set_bytes_per_sync(1 << 20);
    db.set_keep_log_file_num(1);
    db.set_log_level(LogLevel::Error);
    // All but the newest lies at one level: what was removed, or expired, goes with the first
    // merge.
    db.set_level_compaction_dynamic_level_bytes(true);
    // Small files are what a checkpoint after a merge need not upload again.
    db.set_target_file_size_base(32 << 20);
    let (compression, merge_at) = match options.profile {
        Profile::MemoryFirst => {
            // Files that are hardly larger than memory are read without a call or a copy.
            db.set_allow_mmap_reads(true);
            (DBCompressionType::None, 24)
        }
        Profile::DiskHeavy => (DBCompressionType::Lz4, 12),
    };
    db.set_compression_type(compression);
    // What is written when memory runs out is narrow, a few key groups: many such files cost a read
    // little, and to merge them late spares much writing.
    db.set_level_zero_file_num_compaction_trigger(merge_at);
    // The writer waits for nothing; readers have filters.
    db.set_level_zero_slowdown_writes_trigger(1 << 20);
    db.set_level_zero_stop_writes_trigger(1 << 20);
    let mut table = BlockBasedOptions::default();
    table.set_block_cache(&memory.cache);
    table.set_bloom_filter(10.0, false);
    table.set_data_block_index_type(DataBlockIndexType::BinaryAndHash);
    table.set_data_block_hash_ratio(0.75);
    table.set_format_version(5);
    db.set_block_based_table_factory(&table);
    Setup {
        options: db,
        compress: options.profile == Profile::DiskHeavy,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rocksdb_knows_the_options_that_are_named() {
        assert!(named_options().is_ok());
    }
}
