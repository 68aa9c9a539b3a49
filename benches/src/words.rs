//! Zipf words: the text of the word-count workload.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::rng::{at, below};

const SEED: u64 = 7;
const VOCABULARY: u32 = 100_000;
const FILES: u64 = 4;

fn word(index: u32) -> Vec<u8> {
    let mut x = index.wrapping_mul(0x9E37_79B1) & 0x00FF_FFFF;
    let mut word = Vec::new();
    loop {
        word.push(b'a' + u8::try_from(x % 26).unwrap_or(0));
        x /= 26;
        if x == 0 {
            return word;
        }
    }
}

/// The folder with `count` words in four files under `scratch`; made on first use.
pub(crate) fn folder(scratch: &Path, count: u64) -> io::Result<PathBuf> {
    let folder = scratch.join(format!("words-{count}"));
    let done = scratch.join(format!("words-{count}.done"));
    if !done.exists() {
        eprintln!("making {count} words in {}", folder.display());
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        fs::create_dir_all(&folder)?;
        write(&folder, count)?;
        File::create(done)?;
    }
    Ok(folder)
}

fn write(folder: &Path, count: u64) -> io::Result<()> {
    let vocabulary: Vec<Vec<u8>> = (0..VOCABULARY).map(word).collect();
    let mut total = 0;
    let cumulated: Vec<u64> = (0..u64::from(VOCABULARY))
        .map(|index| {
            total += (1 << 32) / (index + 1);
            total
        })
        .collect();
    let per_file = count / FILES / 10 * 10;
    let mut next = 0;
    for file in 0..FILES {
        let end = if file == FILES - 1 {
            count
        } else {
            next + per_file
        };
        let path = folder.join(format!("words-{file}.txt"));
        let mut out = BufWriter::with_capacity(1 << 20, File::create(path)?);
        while next < end {
            let x = below(at(SEED, next), total);
            out.write_all(&vocabulary[cumulated.partition_point(|sum| *sum <= x)])?;
            out.write_all(if next % 10 == 9 || next == end - 1 {
                b"\n"
            } else {
                b" "
            })?;
            next += 1;
        }
        out.flush()?;
    }
    Ok(())
}
