//! Operator state through a snapshot and a restore.

use std::collections::BTreeMap;

use weir_state::{OperatorStateBackend, StateError, repartition};

#[test]
fn lists_and_broadcast_state_come_back_at_another_parallelism() {
    let old: Vec<_> = [[1u64, 2], [3, 4]]
        .into_iter()
        .map(|offsets| {
            let mut state = OperatorStateBackend::new();
            state
                .list_state("offsets")
                .unwrap()
                .set(&mut state, offsets)
                .unwrap();
            let seen = state.union_list_state::<u64>("seen").unwrap();
            seen.add(&mut state, offsets[0]).unwrap();
            let rules = state.broadcast_state::<String, u8>("rules").unwrap();
            rules.put(&mut state, "a".into(), 0).unwrap();
            rules.put(&mut state, "a".into(), 1).unwrap();
            rules.put(&mut state, "b".into(), 2).unwrap();
            rules.put(&mut state, "c".into(), 3).unwrap();
            assert_eq!(rules.remove(&mut state, &"c".into()).unwrap(), Some(3));
            state.snapshot().unwrap()
        })
        .collect();
    let new = repartition(&old, 3).unwrap();
    let mut offsets = Vec::new();
    for snapshot in new {
        let mut state = OperatorStateBackend::restored(snapshot);
        let own = state.list_state::<u64>("offsets").unwrap();
        offsets.extend(own.get(&mut state).unwrap().to_vec());
        let seen = state.union_list_state::<u64>("seen").unwrap();
        assert_eq!(seen.get(&mut state).unwrap(), [1, 3]);
        let rules = state.broadcast_state::<String, u8>("rules").unwrap();
        let entries = rules
            .iter(&mut state)
            .unwrap()
            .map(|(k, v)| (k.clone(), *v));
        let want = BTreeMap::from([("a".to_owned(), 1), ("b".to_owned(), 2)]);
        assert_eq!(entries.collect::<BTreeMap<_, _>>(), want);
        assert!(!rules.contains(&mut state, &"c".into()).unwrap());
    }
    assert_eq!(offsets, [1, 2, 3, 4]);
}

#[test]
fn a_state_nobody_asks_for_stays_in_snapshots() {
    let mut state = OperatorStateBackend::new();
    state
        .list_state("offsets")
        .unwrap()
        .set(&mut state, [1u8, 2])
        .unwrap();
    let snapshot = state.snapshot().unwrap();
    let restored = OperatorStateBackend::restored(snapshot.clone());
    assert_eq!(restored.snapshot().unwrap(), snapshot);
}

#[test]
fn a_state_of_another_type_or_mode_is_refused() {
    let mut state = OperatorStateBackend::new();
    let list = state.list_state::<u8>("offsets").unwrap();
    list.set(&mut state, [1, 2]).unwrap();
    assert!(matches!(
        state.list_state::<u16>("offsets"),
        Err(StateError::Register { .. })
    ));
    assert!(matches!(
        state.union_list_state::<u8>("offsets"),
        Err(StateError::Register { .. })
    ));
    let mut restored = OperatorStateBackend::restored(state.snapshot().unwrap());
    let error = restored
        .list_state::<String>("offsets")
        .unwrap_err()
        .to_string();
    assert!(error.contains("`offsets`") && error.contains("`u8`") && error.contains("`String`"));
    let mut damaged = state.snapshot().unwrap();
    damaged.states[0].elements[0].push(0);
    let mut restored = OperatorStateBackend::restored(damaged);
    assert!(matches!(
        restored.list_state::<u8>("offsets"),
        Err(StateError::Decode { .. })
    ));
}

#[test]
fn a_handle_of_another_backend_is_refused() {
    let list = OperatorStateBackend::new()
        .list_state::<u8>("offsets")
        .unwrap();
    let mut other = OperatorStateBackend::new();
    assert!(matches!(
        list.get(&mut other),
        Err(StateError::ForeignHandle { .. })
    ));
}
