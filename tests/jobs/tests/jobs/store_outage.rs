//! State of four times the memory, each key of it changing, while the store does not answer.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use weir_testkit::{HttpFaults, HttpProxy, Process, Random, Rest, S3Server, until};

use crate::harness::{Folder, weir};

/// Different words, of 500 bytes each.
const WORDS: u64 = 64_000;

/// How often each of them comes.
const ROUNDS: u64 = 5;

/// What the slot may take for its state: a quarter.
const MEMORY: u64 = 8 << 20;

/// What the process may take with that: queues, threads, code and RocksDB.
const PROCESS_MB_MAX: u64 = 220;

fn write_rounds(path: &Path) -> std::io::Result<()> {
    let mut input = BufWriter::new(File::create(path)?);
    for _ in 0..ROUNDS {
        for number in 0..WORDS {
            let end = if number % 10 == 9 { '\n' } else { ' ' };
            write!(input, "{number:0500}{end}")?;
        }
    }
    input.flush()
}

/// A word count that takes checkpoints in the bucket behind a proxy.
fn manifest(folder: &Folder) -> Vec<String> {
    let input = folder.path("input");
    write_rounds(&input).expect("written");
    let text = format!(
        "apiVersion: weir.dev/v1alpha1
kind: StreamJob
metadata:
  name: wordcount
spec:
  checkpoint:
    tolerableFailures: 1000
  job:
    program: wordcount
    parallelism: 1
    config:
      state.backend.rocksdb.memory.fixed-per-slot: {}Ki
      state.backend.rocksdb.predefined-options: disk-heavy
    args:
      rate: \"1000\"
      input: {}
      output: {}
",
        MEMORY >> 10,
        input.display(),
        folder.path("out").display()
    );
    let path = folder.write("wordcount.yaml", text);
    vec![path.display().to_string()]
}

fn start(folder: &Folder, manifest: &[String], proxy: &HttpProxy) -> Process {
    let mut command = weir(["run".to_owned()].iter().chain(manifest));
    command
        .args(["--state-backend", "rocksdb", "--rest", "127.0.0.1:0"])
        .args(["--checkpoint-interval", "500ms", "--restore", "latest"])
        .arg("--local-dir")
        .arg(folder.path("local"))
        .arg("--checkpoint-dir")
        .arg(format!("s3://{}/state", S3Server::BUCKET))
        .arg("--s3-endpoint")
        .arg(format!("http://{}", proxy.address()))
        .arg("--s3-path-style")
        .env("AWS_ACCESS_KEY_ID", S3Server::ACCESS_KEY)
        .env("AWS_SECRET_ACCESS_KEY", S3Server::SECRET_KEY);
    Process::start(command)
}

/// How many words have been counted since the process began.
fn counted(rest: Rest) -> u64 {
    let job = rest.job();
    let read = &job["vertices"][1]["metrics"]["read-records"];
    read.as_u64().unwrap_or(0)
}

fn completed(rest: Rest) -> u64 {
    let id = rest.json("/jobs")["jobs"][0]["id"].clone();
    let id = id.as_str().unwrap_or_default();
    let all = rest.json(&format!("/jobs/{id}/checkpoints"));
    all["counts"]["completed"].as_u64().unwrap_or(0)
}

/// Bytes of state in memory or on disk.
fn state_bytes(rest: Rest, place: &str) -> f64 {
    let text = rest.text("/metrics");
    let label = format!("place=\"{place}\"");
    let of_state = |line: &&str| line.starts_with("weir_state_size_bytes{");
    let lines = text.lines().filter(of_state);
    let lines = lines.filter(|line| line.contains(&label));
    let values = lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
    values.sum()
}

#[test]
fn every_key_changes_while_the_store_is_down_and_the_memory_holds_and_nothing_is_lost() {
    let Some(server) = S3Server::start() else {
        return;
    };
    let proxy = HttpProxy::start(server.address(), Random::printed());
    let folder = Folder::new();
    let manifest = manifest(&folder);

    let mut process = start(&folder, &manifest, &proxy);
    let rest = process.rest();
    until("a checkpoint with all words", || {
        counted(rest) > WORDS && completed(rest) > 0
    });
    proxy.set(HttpFaults {
        outage: true,
        ..HttpFaults::default()
    });
    let (before, stored) = (counted(rest), completed(rest));
    let (mut most, mut on_disk) = (0.0f64, 0.0f64);
    until("each word once more", || {
        assert!(!process.has_ended(), "{}", process.stderr());
        most = most.max(state_bytes(rest, "memory"));
        on_disk = on_disk.max(state_bytes(rest, "disk"));
        counted(rest) > before + WORDS + WORDS / 4
    });
    let stored_meanwhile = completed(rest) - stored;
    assert!(stored_meanwhile <= 1, "the outage is real");
    let limit = MEMORY as f64;
    assert!(0.0 < most && most <= limit, "{most} bytes in memory");
    // Compressed there: the words are numbers with many zeros.
    assert!(on_disk > 0.0, "{on_disk} bytes on disk");
    let most = process.memory_mb("VmHWM").expect("it runs");
    assert!(most < PROCESS_MB_MAX, "the process took {most} MiB");

    proxy.set(HttpFaults::default());
    let stored = completed(rest);
    until("a checkpoint after the outage", || completed(rest) > stored);
    process.kill_nine();
    let ended = start(&folder, &manifest, &proxy).wait();
    ended.expect(0, &["restoring checkpoint"]);
    let rows = folder.rows("out").concat();
    for round in 1..=ROUNDS {
        let end = format!(",{round}");
        let rows = rows.iter().filter(|row| row.ends_with(&end)).count();
        assert_eq!(rows as u64, WORDS, "words that were counted {round} times");
    }
    assert_eq!(rows.len() as u64, WORDS * ROUNDS);
}
