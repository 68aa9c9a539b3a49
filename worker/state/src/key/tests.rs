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
        ("u64 0", hash(&0u64), 0xE88D_2CD1_7C05_8B32),
        ("u64 42", hash(&42u64), 0x7E0E_7CF4_10AE_4FE3),
        ("u8 255", hash(&255u8), 0xD843_7F0A_40C8_6C9F),
        ("i32 -1", hash(&-1i32), 0x71EA_84D3_7772_43C5),
        ("i64 min", hash(&i64::MIN), 0xAE9B_348C_AB2C_D67C),
        ("u128", hash(&(1u128 << 100 | 7)), 0xC20E_E2AE_8F0B_D11D),
        ("true", hash(&true), 0xEDDE_968D_3723_7E9F),
        ("char", hash(&'ß'), 0xAF93_138B_2A6F_25CD),
        ("f64", hash(&1.5f64), 0x7400_A378_2A5A_37CD),
        ("f32", hash(&0.1f32), 0x4600_309D_E609_A1ED),
        ("empty text", hash(""), 0x3AFA_2490_B854_3013),
        ("short text", hash("weir"), 0x585E_2029_FC73_4250),
        (
            "long text",
            hash("a key that is longer than 24 bytes"),
            0x6492_515A_E28D_4312,
        ),
        ("none", hash(&None::<u32>), 0xE88D_2CD1_7C05_8B32),
        ("some", hash(&Some(3u32)), 0xB686_AAC0_D86A_D43C),
        ("unit", hash(&()), 0x02FE_35C7_4C84_F617),
        ("unit struct", hash(&Nothing), 0x02FE_35C7_4C84_F617),
        ("tuple", hash(&(1u32, "one", -1i64)), 0x09D7_4B10_6935_9D6F),
        (
            "struct",
            hash(&Place {
                city: "Ulm",
                zip: 89_073,
            }),
            0x391D_D137_6E31_F7B3,
        ),
        ("newtype", hash(&Meters(-5)), 0x6E15_2298_FB73_DF56),
        ("unit variant", hash(&Shape::Point), 0xE88D_2CD1_7C05_8B32),
        (
            "newtype variant",
            hash(&Shape::Circle(2)),
            0x5935_F079_9340_6360,
        ),
        (
            "struct variant",
            hash(&Shape::Square { side: 2 }),
            0xC6D4_1EB8_58C1_D637,
        ),
        (
            "tuple variant",
            hash(&Shape::Line(1, 2)),
            0xA502_72BF_5A03_8093,
        ),
        ("list", hash(&vec![1u16, 2, 3]), 0x6BE2_437D_BB52_B5A3),
        ("array", hash(&[1u16, 2, 3]), 0x7F7A_A9D3_0368_D92F),
        ("empty list", hash(&Vec::<u8>::new()), 0xE88D_2CD1_7C05_8B32),
        (
            "address",
            hash(&Ipv4Addr::new(10, 0, 0, 1)),
            0xCAC0_7E56_B780_535E,
        ),
    ];
    for (name, found, want) in vectors {
        assert_eq!(found, want, "{name}: {found:#018X}");
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
