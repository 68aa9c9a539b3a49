//! Measures keyed sums over RocksDB: two subtasks, uniform keys, chunks of 1,024 rows, a checkpoint
//! of files every so many updates.
//!
//! `cargo run --release -p weir-state-rocksdb --example cold_speed -- \
//!     [KEYS_M] [UPDATES_M] [MEMORY_MB of all tables] [UPDATES_M between checkpoints] [disk-heavy]`

use std::path::PathBuf;
use std::time::Duration;

use weir_state::{
    BackendRequest, KeyedBackend, SnapshotKind, StateBackendFactory, TakenSnapshot, key_hash,
};
use weir_state_rocksdb::{Profile, RocksDbFactory, RocksDbOptions};
use weir_types::{AttemptNumber, CheckpointId, Clock, Epoch, ExecutionAttemptId, KeyGroup};
use weir_types::{KeyGroupRange, OperatorId, SubtaskIndex, SystemClock, VertexId};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Error = Box<dyn std::error::Error + Send + Sync>;

const MAX_PARALLELISM: u32 = 128;
const SUBTASKS: u32 = 2;
const CHUNK: usize = 1024;
const COPY_BYTES: usize = 256 << 10;

/// SplitMix64: the n-th number of a stream without state.
fn mix(n: u64) -> u64 {
    let mut z = n.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// CPU time of all threads, in milliseconds.
fn cpu_ms() -> u64 {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = text
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split(' ')
        .collect();
    let ticks = |nth: usize| {
        fields
            .get(nth)
            .and_then(|f| f.parse::<u64>().ok())
            .unwrap_or(0)
    };
    (ticks(12) + ticks(13)) * 10
}

#[derive(Clone)]
struct Work {
    folder: PathBuf,
    keys: u64,
    updates: u64,
    memory: usize,
    between: u64,
    profile: Profile,
}

fn fill(rows: &mut Vec<u64>, hashes: &mut Vec<u64>, range: KeyGroupRange, keys: u64, at: &mut u64) {
    rows.clear();
    hashes.clear();
    while rows.len() < CHUNK {
        let key = mix(*at) % keys;
        *at += 1;
        let hash = key_hash(&key).unwrap_or_default();
        if range.contains(KeyGroup::of_hash(hash, MAX_PARALLELISM)) {
            rows.push(key);
            hashes.push(hash);
        }
    }
}

fn subtask(work: &Work, subtask: u32, dry: bool) -> Result<(), Error> {
    let clock = SystemClock;
    let range = KeyGroupRange::of_subtask(MAX_PARALLELISM, SUBTASKS, subtask);
    let mut options = RocksDbOptions::new(&work.folder, work.memory);
    options.profile = work.profile;
    let setup = RocksDbFactory::new(options).open(&BackendRequest {
        operator: OperatorId(1),
        attempt: ExecutionAttemptId {
            epoch: Epoch(1),
            vertex: VertexId(1),
            subtask: SubtaskIndex(subtask),
            attempt: AttemptNumber(0),
        },
        max_parallelism: MAX_PARALLELISM,
        key_groups: range,
        files: Vec::new(),
    })?;
    let mut keyed = KeyedBackend::<u64>::open(MAX_PARALLELISM, range, Vec::new(), setup)?;
    let sum = keyed.value_state::<u64>("sum")?;
    let (mut rows, mut hashes, mut at) = (Vec::new(), Vec::new(), u64::from(subtask) << 40);
    let (mut checkpoint, mut began, mut done_at) = (0, clock.now(), 0);
    let (mut longest_freeze, mut longest_chunk, mut most) = (Duration::ZERO, Duration::ZERO, 0);
    for done in (0..work.updates / u64::from(SUBTASKS)).step_by(CHUNK) {
        fill(&mut rows, &mut hashes, range, work.keys, &mut at);
        if dry {
            std::hint::black_box(&rows);
            continue;
        }
        let start = clock.now();
        let table = keyed.table_mut(&sum)?;
        let add = (|n| n, |sum: &mut u64, n| *sum += n);
        table.upsert_all(
            &hashes,
            &(),
            rows.iter().map(|key| (key, 1)),
            add,
            |_, _| {},
        )?;
        longest_chunk = longest_chunk.max(clock.now().since(start));
        if done % (CHUNK as u64 * 64) == 0 {
            most = most.max(keyed.memory_bytes());
        }
        if keyed.snapshot_running().is_some() {
            if let Some(TakenSnapshot::Files(files)) = keyed.snapshot_poll(COPY_BYTES)? {
                let bytes: u64 = files.files.iter().map(|file| file.bytes).sum();
                eprintln!(
                    "subtask {subtask}: checkpoint {checkpoint} after {:?}: {} files, {} MB",
                    clock.now().since(began),
                    files.files.len(),
                    bytes >> 20
                );
                keyed.confirm(CheckpointId(checkpoint));
            }
        } else if done - done_at >= work.between / u64::from(SUBTASKS) {
            (checkpoint, began, done_at) = (checkpoint + 1, clock.now(), done);
            keyed.snapshot_begin(CheckpointId(checkpoint), SnapshotKind::Files)?;
            longest_freeze = longest_freeze.max(clock.now().since(began));
        }
    }
    if !dry {
        eprintln!(
            "subtask {subtask}: freeze at most {longest_freeze:?}, chunk at most {longest_chunk:?}, \
             tables at most {} MB, {:?}",
            most >> 20,
            keyed.cold_stats()
        );
    }
    Ok(())
}

fn run(work: &Work, dry: bool) -> Result<(u64, Duration), Error> {
    let (clock, before) = (SystemClock, cpu_ms());
    let start = clock.now();
    let threads = (0..SUBTASKS).map(|nth| {
        let work = work.clone();
        std::thread::spawn(move || subtask(&work, nth, dry))
    });
    let threads: Vec<_> = threads.collect();
    for thread in threads {
        thread.join().map_err(|_| "a subtask panicked")??;
    }
    Ok((cpu_ms() - before, clock.now().since(start)))
}

#[expect(clippy::cast_precision_loss, reason = "a ratio for people")]
fn main() -> Result<(), Error> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let number = |nth: usize, default: u64| {
        let given = args.get(nth).and_then(|arg| arg.parse().ok());
        given.unwrap_or(default)
    };
    let folder = std::env::temp_dir().join(format!("weir-cold-speed-{}", std::process::id()));
    let work = Work {
        folder: folder.clone(),
        keys: number(0, 10) * 1_000_000,
        updates: number(1, 50) * 1_000_000,
        memory: usize::try_from(number(2, 1024) << 20)? / SUBTASKS as usize,
        between: number(3, 20) * 1_000_000,
        profile: match args.get(4).map(String::as_str) {
            Some("disk-heavy") => Profile::DiskHeavy,
            _ => Profile::MemoryFirst,
        },
    };
    let (filling, _) = run(&work, true)?;
    let (cpu, wall) = run(&work, false)?;
    let per_million = cpu.saturating_sub(filling) as f64 / 1e3 / (work.updates as f64 / 1e6);
    println!(
        "{:.2} CPU s/M ({cpu} ms, {filling} of them for making rows), {wall:?}",
        per_million
    );
    std::fs::remove_dir_all(&folder).or_else(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Ok(()),
        _ => Err(error),
    })?;
    Ok(())
}
