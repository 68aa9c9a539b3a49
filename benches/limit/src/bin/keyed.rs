//! keyed [EVENTS [KEYS]]: a running sum per key in memory, as `benches/flink` defines it; by
//! default 50 million updates of 10 million keys.

use hashbrown::HashMap;
use limit::{Exchange, PARALLELISM, QUEUE, Stopwatch, mix64, random_at, runtime};
use tokio::sync::mpsc;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Key and value.
type Row = (u64, u64);

fn main() {
    let mut arguments = std::env::args()
        .skip(1)
        .map(|text| text.parse().expect("a number"));
    let events = arguments.next().unwrap_or(50_000_000);
    let keys = arguments.next().unwrap_or(10_000_000);
    runtime().block_on(job(events, keys));
}

async fn job(events: u64, keys: u64) {
    let stopwatch = Stopwatch::start();
    let mut senders = Vec::new();
    let mut sums = Vec::new();
    for _ in 0..PARALLELISM {
        let (sender, receiver) = mpsc::channel(QUEUE);
        senders.push(sender);
        sums.push(tokio::spawn(sum(receiver)));
    }
    for index in 0..PARALLELISM as u64 {
        tokio::spawn(generate(index, events, keys, Exchange::new(&senders)));
    }
    drop(senders);
    let (mut updates, mut checksum) = (0, 0u64);
    for task in sums {
        let (own_updates, own_checksum) = task.await.expect("a keyed task does not panic");
        updates += own_updates;
        checksum = checksum.wrapping_add(own_checksum);
    }
    stopwatch.report("keyed", updates, checksum);
}

async fn generate(index: u64, events: u64, keys: u64, mut exchange: Exchange<Row>) {
    for event in (index..events).step_by(PARALLELISM) {
        let key = (random_at(11, event) >> 1) % keys;
        exchange.send(&key, (key, 1 + key % 7)).await;
    }
    exchange.finish().await;
}

async fn sum(mut rows: mpsc::Receiver<Vec<Row>>) -> (u64, u64) {
    let hasher = foldhash::fast::FixedState::with_seed(7);
    let mut sums: HashMap<u64, u64, _> = HashMap::with_hasher(hasher);
    let (mut updates, mut checksum) = (0, 0u64);
    while let Some(chunk) = rows.recv().await {
        for (key, value) in chunk {
            let sum = sums.entry(key).or_insert(0);
            *sum = sum.wrapping_add(value);
            checksum = checksum.wrapping_add(mix64(key ^ mix64(*sum)));
            updates += 1;
        }
    }
    (updates, checksum)
}
