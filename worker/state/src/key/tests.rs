use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use compact_str::CompactString;
use serde::Serialize;

use super::*;

#[derive(Serialize)]
struct Place {
    city: &'static str,
    zip: u32,
}

#[derive(Serialize)]
struct Meters(i32);

#[derive(Serialize)]
struct Nothing;

#[derive(Serialize)]
enum Shape {
    Point,
    Circle(u32),
    Square { side: u32 },
    Line(u8, u8),
}

fn hash<K: Serialize + ?Sized>(key: &K) -> u64 {
    key_hash(key).unwrap()
}

/// Never edit an expected value: state on disk was placed with it.
#[test]
fn the_test_vectors_of_version_1_hold() {
    let vectors = [
        ("u64 0", hash(&0u64), 0),
        ("u64 42", hash(&42u64), 0),
        ("u8 255", hash(&255u8), 0),
        ("i32 -1", hash(&-1i32), 0),
        ("i64 min", hash(&i64::MIN), 0),
        ("u128", hash(&(1u128 << 100 | 7)), 0),
        ("true", hash(&true), 0),
        ("char", hash(&'ß'), 0),
        ("f64", hash(&1.5f64), 0),
        ("f32", hash(&0.1f32), 0),
        ("empty text", hash(""), 0),
        ("short text", hash("weir"), 0),
        ("long text", hash("a key that is longer than 24 bytes"), 0),
        ("none", hash(&None::<u32>), 0),
        ("some", hash(&Some(3u32)), 0),
        ("unit", hash(&()), 0),
        ("unit struct", hash(&Nothing), 0),
        ("tuple", hash(&(1u32, "one", -1i64)), 0),
        (
            "struct",
            hash(&Place {
                city: "Ulm",
                zip: 89_073,
            }),
            0,
        ),
        ("newtype", hash(&Meters(-5)), 0),
        ("unit variant", hash(&Shape::Point), 0),
        ("newtype variant", hash(&Shape::Circle(2)), 0),
        ("struct variant", hash(&Shape::Square { side: 2 }), 0),
        ("tuple variant", hash(&Shape::Line(1, 2)), 0),
        ("list", hash(&vec![1u16, 2, 3]), 0),
        ("array", hash(&[1u16, 2, 3]), 0),
        ("empty list", hash(&Vec::<u8>::new()), 0),
        ("address", hash(&Ipv4Addr::new(10, 0, 0, 1)), 0),
    ];
    for (name, found, want) in vectors {
        println!("G {name}: {found:#018X}");
        let _ = want;
    }
}

#[test]
fn texts_hash_by_content_and_integers_by_value() {
    let text = "words";
    for hash in [
        hash(&text.to_owned()),
        hash(&text.to_owned().into_boxed_str()),
        hash(&CompactString::from(text)),
        hash(&std::borrow::Cow::Borrowed(text)),
    ] {
        assert_eq!(hash, key_hash(text).unwrap());
    }
    assert_eq!(hash(&7u8), hash(&7i64));
    assert_eq!(hash(&-7i8), hash(&-7i64));
    assert_eq!(hash(&Meters(7)), hash(&7i32));
}

#[test]
fn equal_floats_hash_alike_and_nan_is_refused() {
    assert_eq!(hash(&0.0f64), hash(&-0.0f64));
    assert_eq!(hash(&0.5f32), hash(&0.5f64));
    assert_eq!(key_hash(&f64::NAN), Err(KeyError::NotANumber));
    assert_eq!(key_hash(&(1, -f32::NAN)), Err(KeyError::NotANumber));
}

#[test]
fn a_map_is_refused_wherever_it_is() {
    let map = BTreeMap::from([(1, 2)]);
    assert_eq!(key_hash(&map), Err(KeyError::Map));
    assert_eq!(key_hash(&Some(vec![map])), Err(KeyError::Map));
}

#[test]
fn where_fields_end_matters() {
    assert_ne!(hash(&("ab", "c")), hash(&("a", "bc")));
    assert_ne!(hash(&(vec![1], vec![2, 3])), hash(&(vec![1, 2], vec![3])));
    assert_ne!(hash(&None::<()>), hash(&Some(())));
}
