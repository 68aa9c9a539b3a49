use std::cell::RefCell;
use std::convert::Infallible;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use proptest::prelude::*;
use weir_state::{
    ColdError, FileSnapshot, GroupBlock, KeyedBackend, Records, SnapshotKind, Span, SpillFile,
    Spilled, SpilledBlock, SpilledState, StateSnapshot,
};
use weir_types::{CheckpointId, KeyGroupRange};

use super::*;
use crate::golden::{self, damage};

const RANGE: KeyGroupRange = KeyGroupRange { start: 2, end: 6 };

/// A snapshot of three states: one in all key groups, one in some, one empty.
fn snapshot(block_len: usize) -> KeyedSnapshot {
    let mut backend = KeyedBackend::<u64>::new(8, RANGE);
    backend.value_state::<u32>("all").unwrap();
    backend.list_state::<String>("empty").unwrap();
    backend.map_state::<u8, bool>("some").unwrap();
    backend
        .snapshot_begin(CheckpointId(4), SnapshotKind::Full)
        .unwrap();
    let mut snapshot = backend.snapshot_finish().unwrap();
    snapshot.base = Some(CheckpointId(3));
    let block = |group: u16, byte: u8| GroupBlock {
        group: KeyGroup(group),
        bytes: (0..block_len)
            .map(|n| byte ^ u8::try_from(n % 7).unwrap())
            .collect(),
    };
    snapshot.states[0].blocks = (2..=6).map(|group| block(group, 1)).collect();
    snapshot.states[2].blocks = vec![block(3, 2), block(6, 3)];
    snapshot.states[2].complete = false;
    snapshot
}

/// What reading some key groups must give.
fn cut(snapshot: &KeyedSnapshot, range: KeyGroupRange) -> KeyedSnapshot {
    let cut_state = |state: &StateSnapshot| StateSnapshot {
        meta: state.meta.clone(),
        complete: state.complete,
        blocks: state
            .blocks
            .iter()
            .filter(|block| range.contains(block.group))
            .cloned()
            .collect(),
    };
    KeyedSnapshot {
        range,
        states: snapshot.states.iter().map(cut_state).collect(),
        ..snapshot.clone()
    }
}

/// Reads from memory and notes what was asked for.
fn store<'a>(
    file: &'a [u8],
    reads: &'a RefCell<Vec<Range<u64>>>,
) -> impl FnMut(Range<u64>) -> Result<Vec<u8>, Infallible> + 'a {
    |range| {
        reads.borrow_mut().push(range.clone());
        Ok(
            file[usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap()]
                .to_vec(),
        )
    }
}

/// How much was read at a time.
fn lens(reads: &RefCell<Vec<Range<u64>>>) -> Vec<u64> {
    let reads = reads.borrow();
    reads.iter().map(|range| range.end - range.start).collect()
}

#[test]
fn files_of_version_1_stay_readable() {
    for (name, compression) in [
        ("keyed-file-v1-plain", Compression::None),
        ("keyed-file-v1-lz4", Compression::Lz4),
    ] {
        let value = snapshot(40);
        golden::check(name, &value, &encode(&value, compression), |bytes| {
            decode(bytes).unwrap()
        });
    }
}

#[test]
fn every_flipped_bit_and_every_cut_is_noticed() {
    for compression in [Compression::None, Compression::Lz4] {
        let file = encode(&snapshot(30), compression);
        golden::every_damage_is_noticed(&file, |bytes| decode(bytes).is_err());
    }
}

#[test]
fn a_small_file_is_read_at_once() {
    let snapshot = snapshot(40);
    let file = encode(&snapshot, Compression::None);
    let reads = RefCell::default();
    let mut read = store(&file, &reads);
    let mut reader = Reader::open(&mut read, file.len() as u64).unwrap();
    assert_eq!(reader.read_groups(RANGE).unwrap(), snapshot);
    assert_eq!(reader.checkpoint(), CheckpointId(4));
    assert_eq!(reader.base(), Some(CheckpointId(3)));
    assert_eq!(reader.states().count(), 3);
    let whole = 0..file.len() as u64;
    assert_eq!(reads.borrow().as_slice(), std::slice::from_ref(&whole));
}

#[test]
fn of_a_large_file_only_the_wanted_key_groups_are_read_and_those_at_once() {
    let snapshot = snapshot(100_000);
    let file = encode(&snapshot, Compression::None);
    let wanted = KeyGroupRange { start: 3, end: 4 };
    let reads = RefCell::default();
    let mut read = store(&file, &reads);
    let mut reader = Reader::open(&mut read, file.len() as u64).unwrap();
    assert_eq!(reader.read_groups(wanted).unwrap(), cut(&snapshot, wanted));
    assert_eq!(
        lens(&reads),
        [64 * 1024, 300_000],
        "the index, then two blocks of one state, one of the other"
    );
    let foreign = KeyGroupRange { start: 1, end: 4 };
    assert!(matches!(
        reader.read_groups(foreign),
        Err(KeyedFileError::Range { .. })
    ));
}

#[test]
fn large_blocks_are_read_one_by_one_and_small_ones_together() {
    let mut snapshot = snapshot(100_000);
    for nth in [1, 4] {
        snapshot.states[0].blocks[nth].bytes = vec![5; 3_000_000];
    }
    let file = encode(&snapshot, Compression::None);
    let reads = RefCell::default();
    let mut read = store(&file, &reads);
    let mut reader = Reader::open(&mut read, file.len() as u64).unwrap();
    assert_eq!(reader.read_groups(RANGE).unwrap(), snapshot);
    assert_eq!(
        lens(&reads),
        [64 * 1024, 100_000, 3_000_000, 300_000, 3_000_000, 100_000]
    );
    // A damaged one is named wherever it lies.
    for at in [70_000, 1_000_000, file.len() - 1_000_000, file.len() - 1] {
        let mut damaged = file.clone();
        damaged[at] ^= 1;
        let error = decode(&damaged).unwrap_err();
        assert!(matches!(error, KeyedFileError::Block { .. }), "{error}");
    }
}

#[test]
fn compression_makes_files_smaller_and_spares_what_cannot_be() {
    let mut snapshot = snapshot(100_000);
    let plain = encode(&snapshot, Compression::None).len();
    let lz4 = encode(&snapshot, Compression::Lz4);
    assert!(lz4.len() * 20 < plain, "{} of {plain}", lz4.len());
    assert_eq!(decode(&lz4).unwrap(), snapshot);
    for block in snapshot
        .states
        .iter_mut()
        .flat_map(|state| &mut state.blocks)
    {
        block.bytes = b"short".to_vec();
    }
    let lz4 = encode(&snapshot, Compression::Lz4);
    assert_eq!(lz4, encode(&snapshot, Compression::None));
}

#[test]
fn a_store_that_fails_or_gives_too_little_is_named() {
    #[derive(Debug, thiserror::Error)]
    #[error("the store is away")]
    struct Away;

    let file = encode(&snapshot(100_000), Compression::None);
    let mut read = |_: Range<u64>| Err(Away);
    let error = Reader::open(&mut read, file.len() as u64).err().unwrap();
    assert_eq!(
        weir_types::causes(&error),
        "read bytes 0..65536 of a file of keyed state: the store is away"
    );
    let mut read =
        |range: Range<u64>| Ok::<_, Away>(file[..usize::try_from(range.end / 2).unwrap()].to_vec());
    let error = Reader::open(&mut read, file.len() as u64).err().unwrap();
    assert!(matches!(
        error,
        KeyedFileError::ShortRead { found: 32_768, .. }
    ));
}

#[test]
fn key_groups_are_read_one_at_a_time_with_an_index_that_was_read_once() {
    for compression in [Compression::None, Compression::Lz4] {
        let snapshot = snapshot(100_000);
        let file = encode(&snapshot, compression);
        let reads = RefCell::default();
        let mut read = store(&file, &reads);
        let contents = Contents::read(&mut read, file.len() as u64).unwrap();
        assert_eq!(contents.base(), Some(CheckpointId(3)));
        assert_eq!(contents.states().count(), 3);
        for group in RANGE.iter() {
            let wanted = KeyGroupRange {
                start: group.0,
                end: group.0,
            };
            let found = contents.read_groups(&mut read, wanted).unwrap();
            assert_eq!(found, cut(&snapshot, wanted));
            let blocks = if [3, 6].contains(&group.0) { 2 } else { 1 };
            assert_eq!(contents.bytes_of(group), blocks * 100_000);
        }
        assert_eq!(contents.bytes_of(KeyGroup(1)), 0);
    }
}

/// Bytes that play a file on the local disk.
#[derive(Debug)]
struct Disk(Vec<u8>);

impl SpillFile for Disk {
    fn read_at(&self, offset: u64, into: &mut [u8]) -> Result<(), ColdError> {
        let start = usize::try_from(offset).unwrap();
        into.copy_from_slice(&self.0[start..start + into.len()]);
        Ok(())
    }
}

/// The same snapshot on the disk, state by state; one block is in memory.
fn spilled(snapshot: &KeyedSnapshot, damage: impl FnOnce(&mut [u8])) -> FileSnapshot {
    let mut disk = b"something else".to_vec();
    let mut states = Vec::new();
    for (nth, state) in snapshot.states.iter().enumerate() {
        let blocks = state.blocks.iter().enumerate().map(|(at, block)| {
            let records = if (nth, at) == (2, 0) {
                Records::InMemory(block.bytes.clone())
            } else {
                let offset = disk.len() as u64;
                disk.extend_from_slice(&block.bytes);
                Records::OnDisk(Span {
                    offset,
                    len: block.bytes.len() as u64,
                    checksum: hash_bytes(&block.bytes),
                })
            };
            SpilledBlock {
                group: block.group,
                records,
            }
        });
        let blocks = blocks.collect();
        states.push(SpilledState {
            meta: state.meta.clone(),
            complete: state.complete,
            blocks,
        });
    }
    damage(&mut disk);
    FileSnapshot {
        checkpoint: snapshot.checkpoint,
        max_parallelism: snapshot.max_parallelism,
        range: snapshot.range,
        states: snapshot.states.iter().map(|s| s.meta.clone()).collect(),
        folder: PathBuf::new(),
        files: Vec::new(),
        spilled: Some(Arc::new(Spilled {
            file: Arc::new(Disk(disk)),
            states,
        })),
    }
}

/// The file of a spilled snapshot, and the most bytes that came at a time.
fn written(
    snapshot: &FileSnapshot,
    compression: Compression,
) -> Result<(Vec<u8>, usize), ColdError> {
    let spilled = snapshot.spilled.as_ref().unwrap();
    let file = SpilledFile::new(snapshot, spilled, compression)?;
    let (mut bytes, mut most) = (Vec::new(), 0);
    file.write::<ColdError>(&mut |piece| {
        most = most.max(piece.len());
        bytes.extend_from_slice(piece);
        Ok(())
    })?;
    assert_eq!(file.size(), bytes.len() as u64);
    Ok((bytes, most))
}

#[test]
fn a_snapshot_on_the_local_disk_becomes_the_very_same_file_piece_by_piece() {
    for compression in [Compression::None, Compression::Lz4] {
        for block_len in [0, 40, 100_000, 3_000_000] {
            let mut snapshot = snapshot(block_len);
            snapshot.base = None;
            let spilled = spilled(&snapshot, |_| {});
            let (bytes, most) = written(&spilled, compression).unwrap();
            assert!(bytes == encode(&snapshot, compression), "{block_len}");
            // The one that is in memory comes as it is.
            assert!(most <= block_len.max(1 << 20), "{most} bytes at a time");
            let entries = spilled.read_spilled().unwrap().unwrap();
            assert!(entries == snapshot, "{block_len}");
        }
    }
}

#[test]
fn a_snapshot_that_is_damaged_on_the_local_disk_is_never_written_as_if_it_were_whole() {
    for compression in [Compression::None, Compression::Lz4] {
        let spilled = spilled(&snapshot(40), |disk| *disk.last_mut().unwrap() ^= 1);
        let error = written(&spilled, compression).unwrap_err();
        assert!(error.to_string().contains("damaged"), "{error}");
        assert!(spilled.read_spilled().is_err());
    }
}

proptest! {
    #[test]
    fn what_is_written_reads_back_by_any_range(
        lens in prop::collection::vec(0usize..200, 5), start in 2u16..=6, len in 0u16..5, lz4: bool,
    ) {
        let mut snapshot = snapshot(9);
        for (block, len) in snapshot.states[0].blocks.iter_mut().zip(lens) {
            block.bytes = vec![5; len];
        }
        let compression = if lz4 { Compression::Lz4 } else { Compression::None };
        let file = encode(&snapshot, compression);
        let wanted = KeyGroupRange { start, end: (start + len).min(6) };
        let reads = RefCell::default();
        let mut read = store(&file, &reads);
        let mut reader = Reader::open(&mut read, file.len() as u64).unwrap();
        prop_assert_eq!(reader.read_groups(wanted).unwrap(), cut(&snapshot, wanted));
    }

    #[test]
    fn damaged_files_give_errors(damage in damage(), lz4: bool) {
        let compression = if lz4 { Compression::Lz4 } else { Compression::None };
        if let Some(damaged) = damage.apply(&encode(&snapshot(30), compression)) {
            prop_assert!(decode(&damaged).is_err());
        }
    }

    /// The checksum is right, so the index has to be looked at.
    #[test]
    fn a_foreign_index_never_panics(damage in damage()) {
        let sealed = encode(&snapshot(30), Compression::Lz4);
        let len = usize::try_from(index::V1.sealed_len(&sealed).unwrap()).unwrap();
        let body = index::V1.open(&sealed[..len]).unwrap();
        if let Some(damaged) = damage.apply(body) {
            let mut file = index::V1.seal(&damaged);
            file.extend_from_slice(&sealed[len..]);
            drop(decode(&file));
        }
    }
}
