use proptest::prelude::*;

use super::*;

fn meta(name: &str, mode: OperatorStateMode) -> OperatorStateMeta {
    let element_type = "u8".to_owned();
    OperatorStateMeta {
        name: name.to_owned(),
        mode,
        format_version: 1,
        element_type,
        element_schema: crate::Schema::of::<u8>(),
    }
}

/// One state; each part is a subtask's elements, given by their first byte.
fn snapshots(name: &str, mode: OperatorStateMode, parts: &[&[u8]]) -> Vec<OperatorSnapshot> {
    let one = |part: &&[u8]| {
        let elements = part.iter().map(|element| vec![*element]).collect();
        OperatorSnapshot {
            states: vec![OperatorStateSnapshot {
                meta: meta(name, mode),
                elements,
            }],
        }
    };
    parts.iter().map(one).collect()
}

fn elements(snapshots: &[OperatorSnapshot], state: usize) -> Vec<Vec<u8>> {
    let of = |snapshot: &OperatorSnapshot| snapshot.states[state].elements.concat();
    snapshots.iter().map(of).collect()
}

#[test]
fn split_state_is_dealt_out_in_even_runs() {
    let old = snapshots(
        "offsets",
        OperatorStateMode::Split,
        &[&[1, 2, 3], &[], &[4, 5]],
    );
    let new = repartition(&old, 2).unwrap();
    assert_eq!(elements(&new, 0), [vec![1, 2, 3], vec![4, 5]]);
    let new = repartition(&old, 7).unwrap();
    assert_eq!(
        elements(&new, 0),
        [vec![1], vec![2], vec![3], vec![4], vec![5], vec![], vec![]]
    );
}

#[test]
fn split_state_stays_where_it_is_at_the_same_parallelism() {
    let old = snapshots("offsets", OperatorStateMode::Split, &[&[1, 2, 3], &[]]);
    assert_eq!(repartition(&old, 2).unwrap(), old);
}

#[test]
fn a_second_short_list_goes_on_where_the_first_one_ended() {
    let mut old = snapshots("a", OperatorStateMode::Split, &[&[1]]);
    let more = snapshots("b", OperatorStateMode::Split, &[&[2, 3]]);
    old[0].states.extend(more[0].states.clone());
    let new = repartition(&old, 3).unwrap();
    assert_eq!(elements(&new, 0), [vec![1], vec![], vec![]]);
    assert_eq!(elements(&new, 1), [vec![], vec![2], vec![3]]);
}

#[test]
fn union_state_goes_to_everybody_as_a_whole_also_at_the_same_parallelism() {
    let old = snapshots("seen", OperatorStateMode::Union, &[&[1], &[2, 3]]);
    for parallelism in [1, 2, 5] {
        let new = repartition(&old, parallelism).unwrap();
        assert_eq!(elements(&new, 0), vec![vec![1, 2, 3]; parallelism]);
    }
}

#[test]
fn broadcast_state_is_copied_from_one_of_the_old_subtasks() {
    let old = snapshots("rules", OperatorStateMode::Broadcast, &[&[1, 2], &[1, 2]]);
    for parallelism in [1, 2, 3] {
        let new = repartition(&old, parallelism).unwrap();
        assert_eq!(elements(&new, 0), vec![vec![1, 2]; parallelism]);
    }
}

#[test]
fn subtasks_that_disagree_about_a_state_are_refused() {
    let mut old = snapshots("x", OperatorStateMode::Split, &[&[1]]);
    old.extend(snapshots("x", OperatorStateMode::Union, &[&[1]]));
    let error = repartition(&old, 1).unwrap_err().to_string();
    assert!(
        error.contains("`x`") && error.contains("Split") && error.contains("Union"),
        "{error}"
    );
}

/// The elements of several lists by hand: runs are taken off the front, longer ones first, and
/// given to one subtask after the other.
fn dealt_by_hand(lists: &[Vec<u8>], parallelism: usize) -> Vec<Vec<Vec<u8>>> {
    let mut first = 0;
    let mut all = Vec::new();
    for list in lists {
        let (short, longer) = (list.len() / parallelism, list.len() % parallelism);
        let mut dealt = vec![Vec::new(); parallelism];
        let mut list = list.iter().copied();
        for nth in 0..parallelism {
            let run = short + usize::from(nth < longer);
            dealt[(first + nth) % parallelism] = list.by_ref().take(run).collect();
        }
        first = (first + longer) % parallelism;
        all.push(dealt);
    }
    all
}

proptest! {
    #[test]
    fn each_subtask_finds_the_run_that_is_dealt_to_it(
        lists in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20), 1..5),
        parallelism in 2usize..8,
    ) {
        let mut old = vec![OperatorSnapshot::default()];
        for (list, name) in lists.iter().zip(["a", "b", "c", "d"]) {
            let more = snapshots(name, OperatorStateMode::Split, &[list]);
            old[0].states.extend(more[0].states.clone());
        }
        let new: Result<Vec<_>, _> =
            (0..parallelism).map(|subtask| own_part(&old, parallelism, subtask)).collect();
        let new = new.unwrap();
        for (state, want) in dealt_by_hand(&lists, parallelism).iter().enumerate() {
            prop_assert_eq!(&elements(&new, state), want);
        }
    }

    #[test]
    fn no_element_of_split_state_is_lost_or_doubled(
        parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..9), 1..6),
        parallelism in 1usize..8,
    ) {
        let slices: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
        let old = snapshots("offsets", OperatorStateMode::Split, &slices);
        let new = elements(&repartition(&old, parallelism).unwrap(), 0);
        prop_assert_eq!(new.concat(), parts.concat());
        if parallelism != parts.len() {
            let lengths = new.iter().map(Vec::len);
            prop_assert!(lengths.clone().max().unwrap() - lengths.min().unwrap() <= 1);
        }
    }
}
