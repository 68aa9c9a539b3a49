use std::collections::BTreeMap;
use std::net::IpAddr;

use proptest::prelude::*;
use serde::{Deserialize, Serialize};

use super::*;
use crate::codec::{decode, encode};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Unit;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Newtype(i16);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Pair(u16, i8);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Choice {
    None,
    One(i128),
    Two(u128, bool),
    Named { text: String, letter: char },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct All {
    unsigned: (u8, u32, u64),
    signed: (i32, i64),
    floats: (f32, f64),
    unit: Unit,
    newtype: Newtype,
    pair: Pair,
    choices: Vec<Choice>,
    option: Option<Box<[u8]>>,
    map: BTreeMap<String, u64>,
    address: Option<IpAddr>,
}

fn choice() -> impl Strategy<Value = Choice> {
    prop_oneof![
        Just(Choice::None),
        any::<i128>().prop_map(Choice::One),
        any::<(u128, bool)>().prop_map(|(number, flag)| Choice::Two(number, flag)),
        any::<(String, char)>().prop_map(|(text, letter)| Choice::Named { text, letter }),
    ]
}

/// Integers of every length are as likely as each other.
fn integer() -> impl Strategy<Value = u64> {
    (any::<u64>(), 0u32..64).prop_map(|(number, shift)| number >> shift)
}

fn floats() -> impl Strategy<Value = (f32, f64)> {
    (prop::num::f32::NORMAL, prop::num::f64::NORMAL)
}

fn all() -> impl Strategy<Value = All> {
    let numbers = (any::<u8>(), any::<u32>(), integer());
    let signed = (any::<i32>(), integer().prop_map(u64::cast_signed));
    let small = (any::<i16>(), any::<(u16, i8)>());
    let choices = prop::collection::vec(choice(), 0..4);
    let option = prop::option::of(prop::collection::vec(any::<u8>(), 0..300));
    let map = prop::collection::btree_map(any::<String>(), integer(), 0..4);
    let address = any::<Option<IpAddr>>();
    let parts = (
        numbers,
        signed,
        floats(),
        small,
        choices,
        option,
        map,
        address,
    );
    let made = parts.prop_map(
        |(unsigned, signed, floats, (number, (first, second)), choices, option, map, address)| {
            All {
                unsigned,
                signed,
                floats,
                unit: Unit,
                newtype: Newtype(number),
                pair: Pair(first, second),
                choices,
                option: option.map(Vec::into_boxed_slice),
                map,
                address,
            }
        },
    );
    made.boxed()
}

fn written<T: Serialize>(value: &T) -> Vec<u8> {
    let mut out = b"before".to_vec();
    encode(value, &mut out).unwrap();
    assert_eq!(&out[..6], b"before");
    out.split_off(6)
}

proptest! {
    #[test]
    fn its_bytes_are_those_of_postcard(value in all()) {
        let bytes = written(&value);
        prop_assert_eq!(&bytes, &postcard::to_allocvec(&value).unwrap());
        prop_assert_eq!(decode::<All>(&bytes).unwrap(), value);
    }

    #[test]
    fn integers_of_every_length_are_those_of_postcard(value in integer()) {
        prop_assert_eq!(written(&value), postcard::to_allocvec(&value).unwrap());
        let signed = value.cast_signed();
        prop_assert_eq!(written(&signed), postcard::to_allocvec(&signed).unwrap());
    }
}

#[test]
fn integers_at_the_edges_of_a_length_are_those_of_postcard() {
    let edges = (0..64).flat_map(|bit| [(1u64 << bit) - 1, 1 << bit, (1 << bit) + 1]);
    for edge in edges.chain([u64::MAX]) {
        assert_eq!(
            written(&edge),
            postcard::to_allocvec(&edge).unwrap(),
            "{edge}"
        );
    }
}

#[test]
fn text_of_a_display_is_written_with_its_length() {
    struct Shown;
    impl Serialize for Shown {
        fn serialize<S: serde::Serializer>(
            &self,
            serializer: S,
        ) -> std::result::Result<S::Ok, S::Error> {
            serializer.collect_str(&format_args!("{}-{}", 12, "ab"))
        }
    }
    assert_eq!(written(&Shown), postcard::to_allocvec(&Shown).unwrap());
}

#[test]
fn what_has_no_length_or_refuses_is_an_error_with_its_cause() {
    struct Endless;
    impl Serialize for Endless {
        fn serialize<S: serde::Serializer>(
            &self,
            serializer: S,
        ) -> std::result::Result<S::Ok, S::Error> {
            serializer.collect_seq([1u8].iter().filter(|_| true))
        }
    }
    struct Refuses;
    impl Serialize for Refuses {
        fn serialize<S: serde::Serializer>(&self, _: S) -> std::result::Result<S::Ok, S::Error> {
            Err(ser::Error::custom("not today"))
        }
    }
    let error = encode(&Endless, &mut Vec::new()).unwrap_err().to_string();
    assert!(error.contains("does not tell its length first"), "{error}");
    let error = encode(&Refuses, &mut Vec::new()).unwrap_err().to_string();
    assert!(error.contains("not today"), "{error}");
}
