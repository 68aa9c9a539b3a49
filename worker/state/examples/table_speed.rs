//! Measures the path that a keyed sum takes: two subtasks, uniform keys, chunks of 1,024 rows.
//!
//! `cargo run --release -p weir-state --example table_speed [KEYS_M] [UPDATES_M] [prefetch]`

use std::hint::black_box;

use weir_state::{KeyedBackend, SnapshotKind, StateError, key_hash};
use weir_types::{CheckpointId, Clock, KeyGroup, KeyGroupRange, SystemClock};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const MAX_PARALLELISM: u32 = 128;
const SUBTASKS: u32 = 2;
const CHUNK: usize = 1024;

/// SplitMix64: the n-th number of a stream without state.
fn mix(n: u64) -> u64 {
    let mut z = n.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[expect(clippy::cast_precision_loss)]
fn ratio(a: u64, b: u64) -> f64 {
    a as f64 / b as f64
}

fn process_file(name: &str, field: &str) -> String {
    let text = std::fs::read_to_string(format!("/proc/self/{name}")).unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with(field)).unwrap_or_default();
    line.trim_start_matches(field).trim().to_owned()
}

/// CPU time of this thread in nanoseconds.
fn thread_cpu_ns() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split(' ').next().and_then(|ns| ns.parse().ok()).unwrap_or(0)
}

/// The chunks that reach one subtask. Made beforehand, so that making them is not measured.
fn chunk(subtask: u32, keys: u64, start: u64) -> Vec<(u64, u64)> {
    let range = KeyGroupRange::of_subtask(MAX_PARALLELISM, SUBTASKS, subtask);
    (start..)
        .map(|n| mix(n) % keys)
        .map(|key| (key_hash(&key).unwrap_or_default(), key))
        .filter(|(hash, _)| range.contains(KeyGroup::of_hash(*hash, MAX_PARALLELISM)))
        .take(CHUNK)
        .collect()
}

fn run(subtask: u32, keys: u64, updates: u64, prefetch: bool) -> Result<(), StateError> {
    let clock = SystemClock;
    let range = KeyGroupRange::of_subtask(MAX_PARALLELISM, SUBTASKS, subtask);
    let mut backend = KeyedBackend::<u64>::new(MAX_PARALLELISM, range);
    let sum = backend.value_state::<u64>("sum")?;
    let (mut cpu, mut done, mut hashes) = (0, 0, Vec::new());
    let mut start = u64::from(subtask) << 40;
    while done < updates {
        let rows = chunk(subtask, keys, start);
        start += 2 * CHUNK as u64 + 300;
        let before = thread_cpu_ns();
        let table = backend.table_mut(&sum)?;
        if prefetch {
            hashes.clear();
            hashes.extend(rows.iter().map(|(hash, _)| *hash));
            table.prefetch(&hashes);
        }
        for (_, key) in &rows {
            let hash = key_hash(key).map_err(|_| StateError::NoCurrentKey)?;
            black_box(table.upsert_with(hash, key, &(), 1, |n| n, |sum, n| *sum += n)?);
        }
        cpu += thread_cpu_ns() - before;
        done += rows.len() as u64;
    }
    let table = backend.table_mut(&sum)?;
    let (entries, bytes) = (table.len() as u64, table.bytes() as u64);
    println!(
        "subtask {subtask}: {:.1} ns of CPU per update; {entries} entries, {:.1} bytes each; {}",
        ratio(cpu, done),
        ratio(bytes, entries),
        process_file("status", "VmHWM:"),
    );

    let mut pauses = Vec::new();
    let cpu_before = thread_cpu_ns();
    let mut snapshot_bytes = 0;
    for (n, kind) in [(1, SnapshotKind::Full), (2, SnapshotKind::Incremental)] {
        let before = clock.now();
        backend.snapshot_begin(CheckpointId(n), kind)?;
        pauses.push(clock.now().since(before));
        loop {
            let before = clock.now();
            let snapshot = backend.snapshot_step(64 << 10)?;
            pauses.push(clock.now().since(before));
            let Some(snapshot) = snapshot else { continue };
            let blocks = snapshot.states.iter().flat_map(|state| &state.blocks);
            snapshot_bytes = blocks.map(|block| block.bytes.len()).sum();
            break;
        }
        println!(
            "subtask {subtask}: snapshot {n}: begin {:?}, longest step {:?}, {snapshot_bytes} bytes, \
             {:.1} ns of CPU per entry so far; {}",
            pauses[0],
            pauses[1..].iter().max(),
            ratio(thread_cpu_ns() - cpu_before, entries),
            process_file("status", "VmHWM:"),
        );
        pauses.clear();
        backend.confirm(CheckpointId(n));
        let table = backend.table_mut(&sum)?;
        for n in 0..if n == 1 { keys } else { 0 } {
            let hash = key_hash(&n).unwrap_or_default();
            if range.contains(KeyGroup::of_hash(hash, MAX_PARALLELISM)) {
                table.insert(hash, &n, &(), n)?;
            }
        }
    }
    Ok(())
}

fn main() {
    let mut args = std::env::args().skip(1);
    let mut millions = |default: u64| {
        args.next().and_then(|text| text.parse::<u64>().ok()).unwrap_or(default) * 1_000_000
    };
    let (keys, updates) = (millions(10), millions(50));
    let prefetch = args.next().is_some_and(|word| word == "prefetch");
    std::thread::scope(|threads| {
        for subtask in 0..SUBTASKS {
            threads.spawn(move || {
                run(subtask, keys, updates / u64::from(SUBTASKS), prefetch)
                    .expect("the keys are plain numbers")
            });
        }
    });
}
