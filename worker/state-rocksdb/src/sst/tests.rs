//! What we write, read by RocksDB.

use std::collections::BTreeMap;

use proptest::prelude::*;
use rocksdb::Options;

use super::*;
use crate::options::{Profile, RocksDbOptions, SlotMemory, database};

type Entries = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

struct Rig {
    db: Db,
    place: Place,
    compress: bool,
    next: u64,
    /// Last: the database is closed before it goes.
    folder: tempfile::TempDir,
}

impl Rig {
    fn new(profile: Profile) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = RocksDbOptions {
            profile,
            ..RocksDbOptions::new(folder.path(), 64 << 20)
        };
        let setup = database(&options, &SlotMemory::new(&options).0);
        Self {
            db: open(&setup.options, folder.path()),
            place: Place::new(folder.path()),
            compress: setup.compress,
            next: 0,
            folder,
        }
    }

    fn put(&mut self, entries: &Entries) {
        let folder = self.folder.path();
        let mut files = SortedFiles::new(folder, &self.place, self.compress, &mut self.next);
        for (key, value) in entries {
            files.add(key, value.as_deref()).unwrap();
        }
        let family = self.db.cf_handle("default").unwrap();
        files.ingest(&self.db, &family).unwrap();
    }

    fn all(&self) -> BTreeMap<Vec<u8>, Vec<u8>> {
        let mut found = BTreeMap::new();
        let mut entries = self.db.raw_iterator();
        entries.seek_to_first();
        while let Some((key, value)) = entries.item() {
            assert!(found.insert(key.to_vec(), value.to_vec()).is_none());
            entries.next();
        }
        entries.status().unwrap();
        found
    }
}

fn open(options: &Options, folder: &Path) -> Db {
    let family = rocksdb::ColumnFamilyDescriptor::new("default", options.clone());
    Db::open_cf_descriptors(options, folder.join("db"), [family]).unwrap()
}

fn merged<'a>(rounds: impl IntoIterator<Item = &'a Entries>) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut all: Entries = BTreeMap::new();
    all.extend(rounds.into_iter().flat_map(Clone::clone));
    all.into_iter()
        .filter_map(|(key, value)| Some((key, value?)))
        .collect()
}

fn keys() -> impl Strategy<Value = Vec<u8>> {
    let any = prop::collection::vec(any::<u8>(), 0..40);
    // Many that begin alike, and some of which others are the beginning.
    let alike = (0..4u8, prop::collection::vec(0..3u8, 0..20));
    let alike = alike.prop_map(|(front, rest)| [vec![front; 9], rest].concat());
    prop_oneof![any, alike]
}

fn entries() -> impl Strategy<Value = Entries> {
    let value = prop_oneof![
        4 => prop::collection::vec(any::<u8>(), 0..60).prop_map(Some),
        1 => (0..20_000usize).prop_map(|len| Some(vec![7; len])),
        1 => Just(None),
    ];
    prop::collection::btree_map(keys(), value, 1..300)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn rocksdb_reads_what_was_written_whatever_keys_and_values_are(
        rounds in prop::collection::vec(entries(), 1..4),
        others in prop::collection::vec(keys(), 50),
        compress in any::<bool>(),
    ) {
        let profile = if compress { Profile::DiskHeavy } else { Profile::MemoryFirst };
        let mut rig = Rig::new(profile);
        for round in &rounds {
            rig.put(round);
        }
        let want = merged(&rounds);
        prop_assert_eq!(&rig.all(), &want);
        for key in rounds.iter().flat_map(BTreeMap::keys).chain(&others) {
            prop_assert_eq!(rig.db.get(key).unwrap(), want.get(key).cloned());
            let mut from = rig.db.raw_iterator();
            from.seek(key);
            let behind = want.range(key.clone()..).next();
            prop_assert_eq!(from.item(), behind.map(|(key, value)| (&key[..], &value[..])));
        }
        // RocksDB's own files, made of these.
        rig.db.compact_range(None::<&[u8]>, None::<&[u8]>);
        prop_assert_eq!(rig.all(), want);
    }
}

fn numbered(entries: u64) -> Entries {
    let entry = |n: u64| {
        let key = [
            &[0, 7][..],
            &n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes(),
        ]
        .concat();
        (key, Some(n.to_le_bytes().to_vec()))
    };
    (0..entries).map(entry).collect()
}

/// Of keys that are not there, about one in a hundred may be looked for in a block.
#[test]
fn rocksdb_asks_the_filter_of_a_file() {
    let mut rig = Rig::new(Profile::MemoryFirst);
    rig.put(&numbered(20_000));
    let looked = |rig: &Rig, at: u64| {
        for n in at..at + 10_000 {
            let key = [
                &[0, 7][..],
                &n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes(),
            ]
            .concat();
            assert_eq!(rig.db.get(key).unwrap().is_some(), n < 20_000);
        }
    };
    rocksdb::perf::set_perf_stats(rocksdb::perf::PerfStatsLevel::EnableCount);
    let mut figures = rocksdb::perf::PerfContext::default();
    figures.reset();
    looked(&rig, 1_000_000);
    let stopped = figures.metric(rocksdb::PerfMetric::BloomSstMissCount);
    let passed = figures.metric(rocksdb::PerfMetric::BloomSstHitCount);
    assert!(
        stopped > 9_700 && stopped + passed == 10_000,
        "{stopped} {passed}"
    );
    figures.reset();
    looked(&rig, 0);
    assert_eq!(figures.metric(rocksdb::PerfMetric::BloomSstMissCount), 0);
    rocksdb::perf::set_perf_stats(rocksdb::perf::PerfStatsLevel::Disable);
}

#[test]
fn a_block_that_was_damaged_is_told_and_never_read() {
    let mut rig = Rig::new(Profile::DiskHeavy);
    rig.put(&numbered(20_000));
    let files = rig.db.live_files().unwrap();
    let [file] = &files[..] else {
        panic!("one file: {}", files.len());
    };
    let path = rig
        .folder
        .path()
        .join("db")
        .join(file.name.trim_start_matches('/'));
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[5000] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let mut entries = rig.db.raw_iterator();
    entries.seek_to_first();
    while entries.valid() {
        entries.next();
    }
    let error = entries.status().unwrap_err().to_string();
    assert!(error.contains("checksum mismatch"), "{error}");
}
