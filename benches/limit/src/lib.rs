//! What the two programs share: the shape of the job, its random numbers, its figures.
//!
//! Two source tasks send chunks of 1,024 rows over bounded queues to two keyed tasks; a row goes to
//! the task that owns its key group. That is what an engine has to do too, and all that is done
//! here.

use std::hash::{BuildHasher, Hash};
use std::time::Instant;

use tokio::sync::mpsc;

/// Source tasks, and keyed tasks.
pub const PARALLELISM: usize = 2;
/// Rows that travel together.
pub const CHUNK: usize = 1_024;
/// Chunks that wait in a queue before its senders do.
pub const QUEUE: usize = 16;
/// Key groups over all keyed tasks, as Flink's default maximum parallelism.
const KEY_GROUPS: usize = 128;

/// Rows on their way to the keyed tasks, gathered into one chunk for each.
pub struct Exchange<T> {
    chunks: Vec<Vec<T>>,
    senders: Vec<mpsc::Sender<Vec<T>>>,
    hasher: foldhash::fast::FixedState,
}

impl<T> Exchange<T> {
    /// An exchange with nothing on its way.
    pub fn new(senders: &[mpsc::Sender<Vec<T>>]) -> Exchange<T> {
        Exchange {
            chunks: senders.iter().map(|_| Vec::with_capacity(CHUNK)).collect(),
            senders: senders.to_vec(),
            hasher: foldhash::fast::FixedState::with_seed(3),
        }
    }

    /// Sends a row to the task that owns its key, when a chunk is full.
    pub async fn send<K: Hash + ?Sized>(&mut self, key: &K, row: T) {
        let hash = self.hasher.hash_one(key);
        let task = (hash >> 32) as usize % KEY_GROUPS * self.chunks.len() / KEY_GROUPS;
        self.chunks[task].push(row);
        if self.chunks[task].len() == CHUNK {
            let chunk = std::mem::replace(&mut self.chunks[task], Vec::with_capacity(CHUNK));
            self.flush(task, chunk).await;
        }
    }

    /// Sends what is left.
    pub async fn finish(mut self) {
        for task in 0..self.chunks.len() {
            let chunk = std::mem::take(&mut self.chunks[task]);
            self.flush(task, chunk).await;
        }
    }

    async fn flush(&self, task: usize, chunk: Vec<T>) {
        self.senders[task]
            .send(chunk)
            .await
            .expect("a keyed task outlives its sources");
    }
}

/// splitmix64's finisher.
pub fn mix64(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// The `index`-th output of splitmix64 with this seed.
pub fn random_at(seed: u64, index: u64) -> u64 {
    mix64(seed.wrapping_add((index + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15)))
}

/// A runtime of as many threads as there are cores to measure on.
pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(PARALLELISM)
        .build()
        .expect("threads can be started")
}

/// Wall and processor time since the start of the job.
pub struct Stopwatch {
    wall: Instant,
    cpu_seconds: f64,
}

impl Stopwatch {
    /// Begins to measure.
    pub fn start() -> Stopwatch {
        Stopwatch {
            wall: Instant::now(),
            cpu_seconds: cpu_seconds(),
        }
    }

    /// One JSON object with the keys of the Flink benchmark.
    pub fn report(&self, workload: &str, events: u64, checksum: u64) {
        let seconds = self.wall.elapsed().as_secs_f64();
        let cpu = cpu_seconds() - self.cpu_seconds;
        println!(
            "{{\"engine\":\"hand-written\",\"workload\":\"{workload}\",\"events\":{events},\
             \"seconds\":{seconds:.3},\"events_per_s\":{:.0},\"job_cpu_seconds\":{cpu:.2},\
             \"cpu_s_per_m_events\":{:.4},\"peak_rss_mb\":{},\"checksum\":\"{checksum}\"}}",
            events as f64 / seconds,
            cpu / events as f64 * 1e6,
            peak_rss_mb(),
        );
    }
}

fn usage() -> libc::rusage {
    // SAFETY: getrusage fills in the struct it is given, and zeroes are a valid rusage.
    unsafe {
        let mut usage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_SELF, &mut usage);
        usage
    }
}

fn cpu_seconds() -> f64 {
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    let usage = usage();
    seconds(usage.ru_utime) + seconds(usage.ru_stime)
}

fn peak_rss_mb() -> i64 {
    usage().ru_maxrss / 1_024
}
