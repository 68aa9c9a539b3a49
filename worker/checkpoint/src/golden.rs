//! Golden files: bytes that were written once and must be readable for ever, each beside what they
//! say, as JSON. A file that has been released is never changed.

use std::fmt::Debug;
use std::fs;
use std::path::PathBuf;

use proptest::prelude::*;
use serde::Serialize;
use serde::de::DeserializeOwned;

fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("testdata")
        .join(name)
}

/// Compares with the golden files `<name>.bin` and `<name>.json`. If there are none yet, as for a
/// new version, it writes them and fails: somebody has to look at them and check them in.
pub(crate) fn check<T: Serialize + DeserializeOwned + PartialEq + Debug>(
    name: &str,
    value: &T,
    bytes: &[u8],
    decode: impl Fn(&[u8]) -> T,
) {
    let (bin, json) = (file(&format!("{name}.bin")), file(&format!("{name}.json")));
    if !bin.exists() && !json.exists() {
        fs::write(&bin, bytes).unwrap();
        fs::write(&json, serde_json::to_string_pretty(value).unwrap() + "\n").unwrap();
        panic!("{name} was not there and has been written: look at it and run again");
    }
    let golden = fs::read(&bin).unwrap();
    let expected: T = serde_json::from_str(&fs::read_to_string(&json).unwrap()).unwrap();
    assert_eq!(
        decode(&golden),
        expected,
        "{name}.bin says something else now"
    );
    assert_eq!(*value, expected, "the test's value is not the golden one");
    assert!(
        bytes == golden,
        "{name}.bin is written with other bytes now"
    );
}

/// Damages bytes in every way that has one place: each bit flipped, each end cut off, a byte more.
pub(crate) fn every_damage_is_noticed(bytes: &[u8], is_error: impl Fn(&[u8]) -> bool) {
    for cut in 0..bytes.len() {
        assert!(is_error(&bytes[..cut]), "cut off at {cut}");
    }
    let mut damaged = bytes.to_vec();
    for bit in 0..bytes.len() * 8 {
        damaged[bit / 8] ^= 1 << (bit % 8);
        assert!(is_error(&damaged), "bit {bit} flipped");
        damaged[bit / 8] ^= 1 << (bit % 8);
    }
    damaged.push(0);
    assert!(is_error(&damaged), "one byte more");
}

/// Damages that have several places: spans overwritten, moved or removed.
pub(crate) fn damage() -> impl Strategy<Value = Damage> {
    let at = || any::<prop::sample::Index>();
    prop_oneof![
        (at(), prop::collection::vec(any::<u8>(), 1..20))
            .prop_map(|(at, with)| Damage::Put(at, with)),
        (at(), at()).prop_map(|(from, to)| Damage::Remove(from, to)),
        prop::collection::vec(any::<u8>(), 0..200).prop_map(Damage::Garbage),
    ]
}

#[derive(Clone, Debug)]
pub(crate) enum Damage {
    Put(prop::sample::Index, Vec<u8>),
    Remove(prop::sample::Index, prop::sample::Index),
    Garbage(Vec<u8>),
}

impl Damage {
    /// The damaged bytes; none if they are the same.
    pub(crate) fn apply(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        let mut damaged = bytes.to_vec();
        match self {
            Self::Put(at, with) => {
                let at = at.index(bytes.len());
                let end = bytes.len().min(at + with.len());
                damaged[at..end].copy_from_slice(&with[..end - at]);
            }
            Self::Remove(from, to) => {
                let (a, b) = (from.index(bytes.len()), to.index(bytes.len()));
                drop(damaged.drain(a.min(b)..a.max(b)));
            }
            Self::Garbage(garbage) => damaged.clone_from(garbage),
        }
        (damaged != bytes).then_some(damaged)
    }
}
