//! Measures the path that a keyed sum takes: two subtasks, uniform keys, chunks of 1,024 rows.
//!
//! `cargo run --release -p weir-state --example table_speed [KEYS_M] [UPDATES_M] [row-by-row]`

use std::hint::black_box;

use weir_state::{KeyedBackend, SnapshotKind, StateError, key_hash};
use weir_types::{CheckpointId, Clock, EventTime, KeyGroup, KeyGroupRange, SystemClock, Watermark};

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

#[expect(clippy::cast_precision_loss, reason = "a ratio for people")]
fn ratio(a: u64, b: u64) -> f64 {
    a as f64 / b as f64
}

fn process_file(name: &str, field: &str) -> String {
    let text = std::fs::read_to_string(format!("/proc/self/{name}")).unwrap_or_default();
    let line = text
        .lines()
        .find(|line| line.starts_with(field))
        .unwrap_or_default();
    line.trim_start_matches(field).trim().to_owned()
}

/// CPU time of this thread in nanoseconds.
fn thread_cpu_ns() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split(' ')
        .next()
        .and_then(|ns| ns.parse().ok())
        .unwrap_or(0)
}

/// The rows of a chunk that reach one subtask, with the hashes they were routed by.
fn fill(rows: &mut Vec<(u64, u64)>, subtask: u32, keys: u64, start: &mut u64) {
    let range = KeyGroupRange::of_subtask(MAX_PARALLELISM, SUBTASKS, subtask);
    rows.clear();
    while rows.len() < CHUNK {
        let key = mix(*start) % keys;
        *start += 1;
        let hash = key_hash(&key).unwrap_or_default();
        if range.contains(KeyGroup::of_hash(hash, MAX_PARALLELISM)) {
            rows.push((hash, key));
        }
    }
}

fn run(subtask: u32, keys: u64, updates: u64, row_by_row: bool) -> Result<(), StateError> {
    let range = KeyGroupRange::of_subtask(MAX_PARALLELISM, SUBTASKS, subtask);
    let mut backend = KeyedBackend::<u64>::new(MAX_PARALLELISM, range);
    let sum = backend.value_state::<u64>("sum")?;
    let (mut rows, mut hashes, mut start) = (Vec::new(), Vec::new(), u64::from(subtask) << 40);
    let before = thread_cpu_ns();
    for _ in 0..updates / CHUNK as u64 {
        fill(&mut rows, subtask, keys, &mut start);
        black_box(&rows);
    }
    let filling = thread_cpu_ns() - before;
    start = u64::from(subtask) << 40;
    let before = thread_cpu_ns();
    let table = backend.table_mut(&sum)?;
    for _ in 0..updates / CHUNK as u64 {
        fill(&mut rows, subtask, keys, &mut start);
        if row_by_row {
            for (hash, key) in &rows {
                black_box(table.upsert_with(*hash, key, &(), 1, |n| n, |sum, n| *sum += n)?);
            }
        } else {
            hashes.clear();
            hashes.extend(rows.iter().map(|(hash, _)| *hash));
            let rows = rows.iter().map(|(_, key)| (key, 1));
            let add = (|n| n, |sum: &mut u64, n| *sum += n);
            table.upsert_all(&hashes, &(), rows, add, |_, sum| {
                black_box(sum);
            })?;
        }
    }
    let cpu = thread_cpu_ns() - before - filling;
    let table = backend.table_mut(&sum)?;
    let (entries, bytes) = (table.len() as u64, table.bytes() as u64);
    println!(
        "subtask {subtask}: {:.1} ns of CPU per update; {entries} entries, {:.1} bytes each; {}",
        ratio(cpu, updates),
        ratio(bytes, entries),
        process_file("status", "VmHWM:"),
    );
    for (n, kind) in [(1, SnapshotKind::Full), (2, SnapshotKind::Incremental)] {
        snapshot(&mut backend, CheckpointId(n), kind, subtask)?;
        let table = backend.table_mut(&sum)?;
        for key in 0..keys {
            let hash = key_hash(&key).unwrap_or_default();
            if range.contains(KeyGroup::of_hash(hash, MAX_PARALLELISM)) {
                table.insert(hash, &key, &(), key)?;
            }
        }
    }
    Ok(())
}

/// Takes a snapshot in steps of 64 KiB.
fn snapshot(
    backend: &mut KeyedBackend<u64>,
    checkpoint: CheckpointId,
    kind: SnapshotKind,
    subtask: u32,
) -> Result<(), StateError> {
    let clock = SystemClock;
    let (cpu, start) = (thread_cpu_ns(), clock.now());
    backend.snapshot_begin(checkpoint, kind)?;
    let begin = clock.now().since(start);
    let (mut steps, mut before) = (Vec::new(), clock.now());
    let snapshot = loop {
        let done = backend.snapshot_step(64 << 10)?;
        let after = clock.now();
        steps.push(after.since(before));
        before = after;
        if let Some(snapshot) = done {
            break snapshot;
        }
    };
    backend.confirm(checkpoint);
    steps.sort();
    let blocks = snapshot.states.iter().flat_map(|state| &state.blocks);
    println!(
        "subtask {subtask}: {kind:?} snapshot of {} bytes: begin {begin:?}, {} steps, median {:?}, \
         99 % {:?}, longest {:?}; {} ms of CPU; {}",
        blocks.map(|block| block.bytes.len()).sum::<usize>(),
        steps.len(),
        steps[steps.len() / 2],
        steps[steps.len() * 99 / 100],
        steps[steps.len() - 1],
        (thread_cpu_ns() - cpu) / 1_000_000,
        process_file("status", "VmHWM:"),
    );
    Ok(())
}

/// Windows of 10,000 keys that end at the same time.
fn timer_burst() -> Result<(), StateError> {
    const KEYS: u64 = 10_000;
    let range = KeyGroupRange::of_subtask(MAX_PARALLELISM, 1, 0);
    let mut backend = KeyedBackend::<u64>::new(MAX_PARALLELISM, range);
    let timers = backend.timer_service::<(i64, i64)>("windows")?;
    for round in 0..3 {
        let clock = SystemClock;
        let start = clock.now();
        for key in 0..KEYS {
            backend.set_key(key)?;
            let window = (round * 1000, round * 1000 + 1000);
            timers.register_event_time_timer(&mut backend, &window, EventTime(window.1))?;
        }
        let registered = clock.now();
        let watermark = Watermark(EventTime::MAX);
        while let Some(timer) = timers.pop_event_time_timer(&mut backend, watermark)? {
            black_box(timer);
        }
        println!(
            "{KEYS} timers: registered in {:?}, fired in {:?}",
            registered.since(start),
            clock.now().since(registered)
        );
    }
    Ok(())
}

fn main() {
    let mut args = std::env::args().skip(1);
    let mut millions = |default: u64| {
        args.next()
            .and_then(|text| text.parse::<u64>().ok())
            .unwrap_or(default)
            * 1_000_000
    };
    let (keys, updates) = (millions(10), millions(50));
    let row_by_row = args.next().is_some_and(|word| word == "row-by-row");
    timer_burst().expect("the keys are plain numbers");
    std::thread::scope(|threads| {
        for subtask in 0..SUBTASKS {
            threads.spawn(move || {
                run(subtask, keys, updates / u64::from(SUBTASKS), row_by_row)
                    .expect("the keys are plain numbers")
            });
        }
    });
}
