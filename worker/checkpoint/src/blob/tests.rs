use proptest::prelude::*;
use weir_state::OperatorStateBackend;

use super::*;
use crate::golden::{self, damage};

fn operator_state() -> OperatorSnapshot {
    let mut backend = OperatorStateBackend::new();
    let offsets = backend
        .union_list_state::<(String, u64)>("offsets")
        .unwrap();
    for n in 0..3 {
        offsets
            .add(&mut backend, (format!("split {n}"), n * 1000))
            .unwrap();
    }
    backend.snapshot().unwrap()
}

fn raw() -> RawState {
    let entry = |name: &str, bytes: &[u8]| (name.to_owned(), bytes.to_vec());
    [entry("reader", b"at 17"), entry("writer", b"")].into()
}

#[test]
fn blobs_of_version_1_stay_readable() {
    let value = operator_state();
    golden::check("operator-state-v1", &value, &encode(&value), |bytes| {
        decode(bytes).unwrap()
    });
    let value = raw();
    golden::check("raw-state-v1", &value, &encode(&value), |bytes| {
        decode(bytes).unwrap()
    });
}

#[test]
fn every_flipped_bit_and_every_cut_is_noticed() {
    golden::every_damage_is_noticed(&encode(&raw()), |bytes| decode::<RawState>(bytes).is_err());
    golden::every_damage_is_noticed(&encode(&operator_state()), |bytes| {
        decode::<OperatorSnapshot>(bytes).is_err()
    });
}

#[test]
fn one_kind_of_blob_is_not_taken_for_another() {
    let error = decode::<OperatorSnapshot>(&encode(&raw())).unwrap_err();
    let text = weir_types::causes(&error);
    assert!(
        text.contains("not the bytes of a operator state file"),
        "{text}"
    );
}

proptest! {
    #[test]
    fn damaged_blobs_give_errors(damage in damage()) {
        if let Some(damaged) = damage.apply(&encode(&operator_state())) {
            prop_assert!(decode::<OperatorSnapshot>(&damaged).is_err());
            drop(decode::<OperatorSnapshot>(&envelope::<OperatorSnapshot>().seal(&damaged)));
        }
    }
}
