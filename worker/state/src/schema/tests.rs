//! Each test declares a type twice, as two versions of a program would.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use proptest::prelude::*;
use serde::de::DeserializeOwned;

use super::*;
use crate::codec::encode;

mod old {
    use super::*;

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    pub(super) enum Kind {
        Plain,
        Tagged(u8),
        Pair(u16, String),
        Sized { width: u32, height: u32 },
    }

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    pub(super) struct Account {
        pub(super) id: u32,
        pub(super) balance: i32,
        pub(super) note: Option<String>,
        pub(super) history: Vec<(u8, f64)>,
        pub(super) limits: BTreeMap<String, u16>,
        pub(super) kind: Kind,
    }
}

mod new {
    use super::*;

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    pub(super) enum Kind {
        Added,
        Plain,
        Tagged(u64),
        Pair(u16, String),
        Sized {
            height: u64,
            width: u32,
            #[serde(default)]
            depth: u8,
        },
    }

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    pub(super) struct Account {
        #[serde(default = "euro")]
        pub(super) currency: String,
        pub(super) id: u64,
        pub(super) balance: i64,
        pub(super) history: Vec<(u8, f64)>,
        pub(super) limits: BTreeMap<String, u32>,
        pub(super) kind: Kind,
        pub(super) closed: Option<bool>,
    }

    pub(super) fn euro() -> String {
        "EUR".to_owned()
    }
}

fn change<A: DeserializeOwned, B: DeserializeOwned>() -> Result<Change, String> {
    compare(&Schema::of::<A>(), &Schema::of::<B>(), &probe::<B>)
}

fn migrated<A: Serialize + DeserializeOwned, B: DeserializeOwned>(value: &A) -> B {
    let mut bytes = Vec::new();
    encode(value, &mut bytes).unwrap();
    let mut rest = bytes.as_slice();
    let migrated = migrate_front(&Schema::of::<A>(), &mut rest).unwrap();
    assert_eq!(rest, [0u8; 0], "all is read");
    migrated
}

#[test]
fn a_schema_says_what_a_value_consists_of() {
    assert_eq!(
        Schema::of::<old::Account>().to_string(),
        "Account {id: u32, balance: i32, note: Option<String>, history: [(u8, f64)], \
         limits: Map<String, u16>, kind: enum Kind {Plain: (), Tagged: u8, Pair: (u16, String), \
         Sized:  {width: u32, height: u32}}}"
    );
    assert_eq!(
        Schema::of::<(NonZeroU32, Duration, HashMap<char, ()>)>().to_string(),
        "(u32, Duration {secs: u64, nanos: u32}, Map<char, ()>)"
    );
    assert!(
        Schema::of::<IpAddr>()
            .to_string()
            .starts_with("enum IpAddr {V4: (u8, u8")
    );
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Tree(Vec<Tree>);

#[derive(Debug, Deserialize)]
#[expect(dead_code, reason = "only its schema matters")]
struct Aliased {
    #[serde(alias = "old")]
    new: u8,
}

#[derive(Debug)]
struct Even;

impl<'de> Deserialize<'de> for Even {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match u8::deserialize(deserializer)? {
            2 => Ok(Self),
            _ => Err(serde::de::Error::custom("it must be 2")),
        }
    }
}

#[test]
fn a_type_that_cannot_be_traced_must_keep_its_name() {
    assert_eq!(Schema::of::<Tree>().to_string(), "Tree");
    assert_eq!(Schema::of::<Aliased>().to_string(), "Aliased");
    assert_eq!(Schema::of::<Vec<Even>>().to_string(), "Vec<Even>");
    assert_eq!(change::<Tree, Tree>(), Ok(Change::None));
    assert_eq!(
        change::<Vec<Tree>, Tree>().unwrap_err(),
        "it was `Vec<Tree>` (a type that cannot be traced) and is `Tree` (a type that cannot be traced)"
    );
}

fn account() -> impl Strategy<Value = old::Account> {
    let kind = prop_oneof![
        Just(old::Kind::Plain),
        any::<u8>().prop_map(old::Kind::Tagged),
        any::<(u16, String)>().prop_map(|(n, text)| old::Kind::Pair(n, text)),
        any::<(u32, u32)>().prop_map(|(width, height)| old::Kind::Sized { width, height }),
    ];
    let history = prop::collection::vec(any::<(u8, i32)>(), 0..4);
    let limits = prop::collection::btree_map(any::<String>(), any::<u16>(), 0..4);
    let plain = any::<(u32, i32, Option<String>)>();
    (plain, history, limits, kind).prop_map(|((id, balance, note), history, limits, kind)| {
        old::Account {
            id,
            balance,
            note,
            history: history
                .into_iter()
                .map(|(a, b)| (a, f64::from(b)))
                .collect(),
            limits,
            kind,
        }
    })
}

proptest! {
    #[test]
    fn added_removed_reordered_and_widened_fields_are_found_by_their_names(old in account()) {
        assert_eq!(change::<old::Account, new::Account>(), Ok(Change::Rewrite));
        let kind = match old.kind.clone() {
            old::Kind::Plain => new::Kind::Plain,
            old::Kind::Tagged(tag) => new::Kind::Tagged(u64::from(tag)),
            old::Kind::Pair(n, text) => new::Kind::Pair(n, text),
            old::Kind::Sized { width, height } => {
                new::Kind::Sized { height: u64::from(height), width, depth: 0 }
            }
        };
        let want = new::Account {
            currency: new::euro(),
            id: u64::from(old.id),
            balance: i64::from(old.balance),
            history: old.history.clone(),
            limits: old.limits.iter().map(|(k, v)| (k.clone(), u32::from(*v))).collect(),
            kind,
            closed: None,
        };
        prop_assert_eq!(migrated::<_, new::Account>(&old), want);
        // The same type reads what it wrote in this way, too.
        prop_assert_eq!(migrated::<_, old::Account>(&old), old);
    }

    #[test]
    fn damaged_values_and_schemas_give_errors_and_never_panic(
        old in account(), bytes in prop::collection::vec(any::<u8>(), 0..60),
        at in any::<u16>(), byte in any::<u8>(),
    ) {
        let mut encoded = Vec::new();
        encode(&old, &mut encoded).unwrap();
        let at = usize::from(at) % encoded.len();
        let schema = Schema::of::<old::Account>();
        drop(migrate_front::<new::Account>(&schema, &mut &encoded[..at]));
        encoded[at] = byte;
        drop(migrate_front::<new::Account>(&schema, &mut encoded.as_slice()));
        drop(migrate_front::<new::Account>(&schema, &mut bytes.as_slice()));
        // A schema of garbage may compare as it likes.
        if let Ok((schema, _)) = postcard::take_from_bytes::<Schema>(&bytes) {
            drop(compare(&schema, &Schema::of::<u8>(), &|_, _| true));
        }
    }
}

#[test]
fn a_schema_reads_back() {
    let schema = Schema::of::<old::Account>();
    let bytes = postcard::to_allocvec(&schema).unwrap();
    assert_eq!(postcard::from_bytes::<Schema>(&bytes).unwrap(), schema);
    let cycle = vec![Node::Option(1), Node::Option(0)];
    assert!(Schema::try_from(cycle).is_err());
    let deep = (1..100).map(Node::Option).chain([Node::Leaf(Leaf::U8)]);
    assert!(Schema::try_from(deep.collect::<Vec<_>>()).is_err());
}

/// Never edit the expected bytes: snapshots with such schemas exist.
#[test]
fn the_bytes_of_version_1_stay_what_they_are() {
    let hex = |schema: &Schema| -> String {
        let bytes = postcard::to_allocvec(schema).unwrap();
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    };
    let nodes = [
        Node::Tuple(vec![1, 2, 3, 4]),
        Node::Opaque("T".to_owned()),
        Node::Option(5),
        Node::Seq(6),
        Node::Map(7, 8),
        Node::Leaf(Leaf::Unit),
        Node::Leaf(Leaf::Bytes),
        Node::Leaf(Leaf::I8),
        Node::Struct(
            "S".to_owned(),
            vec![Named {
                name: "f".to_owned(),
                node: 9,
            }],
        ),
        Node::Enum(
            "E".to_owned(),
            vec![Named {
                name: "V".to_owned(),
                node: 10,
            }],
        ),
        Node::Leaf(Leaf::U128),
    ];
    let schema = Schema::try_from(nodes.to_vec()).unwrap();
    assert_eq!(
        hex(&schema),
        "0b05040102030400015402050306040708010001100102060153010166090701450101560a010b"
    );
    let leaves = Schema::of::<(
        ((), bool, i8, i16, i32, i64, i128),
        (u8, u16, u32, u64, u128),
        (f32, f64, char, String),
    )>();
    assert_eq!(
        hex(&leaves),
        "14050301090f050702030405060708010001010102010301040105010605050a0b0c0d0e010701080109010a010b050410111213010c010d010e010f"
    );
}

#[test]
fn what_has_the_same_bytes_needs_no_rewriting() {
    #[derive(Deserialize)]
    struct Id(#[expect(dead_code, reason = "only its schema matters")] u64);
    assert_eq!(change::<u64, Id>(), Ok(Change::None));
    assert_eq!(change::<String, Box<str>>(), Ok(Change::None));

    mod later {
        #[derive(serde::Deserialize)]
        #[expect(dead_code, reason = "only its schema matters")]
        pub(super) enum Shape {
            Dot,
            Line(u8),
            Circle,
        }
    }
    #[derive(Deserialize)]
    #[expect(dead_code, reason = "only its schema matters")]
    enum Shape {
        Dot,
        Line(u8),
    }
    assert_eq!(change::<Shape, later::Shape>(), Ok(Change::None));
    assert_eq!(
        change::<later::Shape, Shape>().unwrap_err(),
        "variant `Circle` was removed"
    );
}

/// Declares one version of a struct named `Record` in a module of its own.
macro_rules! record {
    ($module:ident { $($fields:tt)* } $(#[$meta:meta])*) => {
        mod $module {
            #[derive(serde::Serialize, serde::Deserialize)]
            $(#[$meta])*
            pub(super) struct Record { $($fields)* }
        }
    };
}

record!(base { a: u32, b: Vec<Option<i16>> });
record!(required { a: u32, b: Vec<Option<i16>>, c: u8 });
record!(narrower { a: u16, b: Vec<Option<i16>> });
record!(signed { a: i64, b: Vec<Option<i16>> });
record!(deeper { a: u32, b: Vec<Option<String>> });
record!(strict { a: u32 } #[serde(deny_unknown_fields)]);
record!(renamed { a: u32, #[serde(rename = "bees")] b: Vec<Option<i16>> });

#[test]
fn everything_else_is_refused_with_its_place() {
    type Base = base::Record;
    let cases = [
        (
            change::<Base, required::Record>(),
            "field `c` was added without a default (`#[serde(default)]`)",
        ),
        (
            change::<Base, narrower::Record>(),
            "at `a`: it was u32 and is u16",
        ),
        (
            change::<Base, signed::Record>(),
            "at `a`: it was u32 and is i64",
        ),
        (
            change::<Base, deeper::Record>(),
            "at `b[]?`: it was i16 and is String",
        ),
        (
            change::<Base, strict::Record>(),
            "field `b` was removed and the type refuses unknown fields",
        ),
        (
            change::<Base, renamed::Record>(),
            "field `bees` was added without a default (`#[serde(default)]`)",
        ),
        (change::<Base, u32>(), "it was struct `Record` and is u32"),
        (change::<f32, f64>(), "it was f32 and is f64"),
        (
            change::<(u8, u8), (u8, u8, u8)>(),
            "it was a tuple of 2 and is a tuple of 3",
        ),
        (
            change::<BTreeMap<u8, u8>, BTreeMap<u16, u8>>(),
            "the keys of a map have changed, which they must not",
        ),
    ];
    for (change, want) in cases {
        assert_eq!(change.unwrap_err(), want);
    }
}
