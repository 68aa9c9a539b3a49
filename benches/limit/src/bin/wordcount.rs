//! wordcount DIR: the running count of every word of the files in DIR, as `benches/flink` defines
//! it.

use std::io::BufRead;
use std::path::PathBuf;

use compact_str::CompactString;
use hashbrown::HashMap;
use limit::{CHUNK, Exchange, PARALLELISM, QUEUE, Stopwatch, runtime};
use tokio::sync::mpsc;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Row = (CompactString, u64);

fn main() {
    let dir = std::env::args().nth(1).expect("usage: wordcount DIR");
    let mut files: Vec<PathBuf> = std::fs::read_dir(&dir)
        .expect("the folder can be read")
        .map(|entry| entry.expect("the folder can be read").path())
        .filter(|path| path.is_file())
        .collect();
    files.sort();
    runtime().block_on(job(files));
}

async fn job(files: Vec<PathBuf>) {
    let stopwatch = Stopwatch::start();
    let mut senders = Vec::new();
    let mut counters = Vec::new();
    for _ in 0..PARALLELISM {
        let (sender, receiver) = mpsc::channel(QUEUE);
        senders.push(sender);
        counters.push(tokio::spawn(count(receiver)));
    }
    for index in 0..PARALLELISM {
        let own = files
            .iter()
            .skip(index)
            .step_by(PARALLELISM)
            .cloned()
            .collect();
        tokio::spawn(read(own, Exchange::new(&senders)));
    }
    drop(senders);
    let (mut words, mut checksum) = (0, 0u64);
    for counter in counters {
        let (own_words, own_checksum) = counter.await.expect("a counter does not panic");
        words += own_words;
        checksum = checksum.wrapping_add(own_checksum);
    }
    stopwatch.report("wordcount", words, checksum);
}

async fn read(files: Vec<PathBuf>, mut exchange: Exchange<Row>) {
    let mut line = String::new();
    for path in files {
        let file = std::fs::File::open(&path).expect("the file can be opened");
        let mut reader = std::io::BufReader::with_capacity(1 << 20, file);
        loop {
            line.clear();
            if reader.read_line(&mut line).expect("the file is UTF-8 text") == 0 {
                break;
            }
            for word in line.split_ascii_whitespace() {
                exchange.send(word, (CompactString::new(word), 1)).await;
            }
        }
    }
    exchange.finish().await;
}

/// Counts words and takes the checksum of the updates, which are gathered first as a sink gets
/// them.
async fn count(mut rows: mpsc::Receiver<Vec<Row>>) -> (u64, u64) {
    let hasher = foldhash::fast::FixedState::with_seed(7);
    let mut counts: HashMap<CompactString, u64, _> = HashMap::with_hasher(hasher);
    let mut updates: Vec<Row> = Vec::with_capacity(CHUNK);
    let (mut words, mut checksum) = (0, 0u64);
    while let Some(chunk) = rows.recv().await {
        updates.clear();
        for (word, more) in chunk {
            let count = counts.entry_ref(word.as_str()).or_insert(0);
            *count += more;
            updates.push((word, *count));
        }
        for (word, count) in &updates {
            let hash = word.bytes().fold(0i32, |hash, byte| {
                hash.wrapping_mul(31).wrapping_add(i32::from(byte as i8))
            });
            checksum = checksum.wrapping_add((i64::from(hash) as u64).wrapping_mul(*count));
            words += 1;
        }
    }
    (words, checksum)
}
