use super::*;

const MS: Duration = Duration::from_millis(1);
const COST: Cost = Cost {
    bytes: 1 << 20,
    took: Duration::from_millis(80),
};

fn at(ms: u64) -> Timestamp {
    Timestamp(ms * 1_000_000)
}

/// The subtask is idle all the time.
fn idle(now: Timestamp) -> Duration {
    now.since(at(0))
}

fn barrier(plan: &mut Plan, id: u64, now: Timestamp) {
    plan.on_barrier(CheckpointId(id), now, idle(now));
}

/// A plan that has seen checkpoints 1 and 2, a second and two after the beginning, of which the
/// second took as long as `cost` says.
fn after_two(cost: Cost) -> Plan {
    let mut plan = Plan::new(16 << 10);
    barrier(&mut plan, 1, at(1000));
    plan.on_delta(None, None);
    plan.on_complete(CheckpointId(1), at(1100), 0);
    assert_eq!(plan.due(), None, "nobody knows when the next one comes");
    barrier(&mut plan, 2, at(2000));
    plan.on_delta(Some(cost), None);
    plan.on_complete(CheckpointId(2), at(2100), 0);
    plan
}

/// How long before the barrier that comes at this time the parts begin.
fn leads(plan: &mut Plan, barrier: Timestamp) -> Vec<Duration> {
    let mut leads = Vec::new();
    while let Some(due) = plan.due() {
        let early = Timestamp(due.0 - 1);
        assert!(!plan.take(early, idle(due), true), "not yet");
        if plan.take(due, idle(due), true) {
            leads.push(barrier.since(due));
        }
    }
    leads
}

#[test]
fn each_part_begins_as_late_as_it_can_be_stored_in_time() {
    // Twice 80, one and a half times 20 and 5 ms, and the margin. The next one would fit into the
    // acknowledgement.
    let want = [161 * MS, 31 * MS, 17 * MS / 2];
    assert_eq!(leads(&mut after_two(COST), at(3000)), want);
}

#[test]
fn the_last_part_begins_about_as_long_before_the_barrier_however_much_changes() {
    for took in 3..=249 {
        let cost = Cost {
            bytes: 1 << 30,
            took: took * MS,
        };
        let leads = leads(&mut after_two(cost), at(3000));
        let last = *leads.last().unwrap();
        assert!((3 * MS..5 * MS).contains(&last), "{took} ms: {leads:?}");
    }
}

#[test]
fn each_part_has_the_time_that_the_quickest_of_the_last_checkpoint_took() {
    let mut plan = after_two(COST);
    let part = |ms| Cost {
        took: ms * MS,
        ..COST
    };
    let parts = [part(80), part(30), part(40)];
    let left = Some(Cost { bytes: 0, ..COST });
    plan.on_delta(left, AheadCost::of(parts));
    plan.on_complete(CheckpointId(2), at(2100), 0);
    assert_eq!(leads(&mut plan, at(3000)), [161 * MS, 31 * MS]);
    plan.on_delta(left, AheadCost::of([part(80), part(10)]));
    plan.on_complete(CheckpointId(2), at(2100), 0);
    let want = [161 * MS, 31 * MS, 17 * MS / 2];
    assert_eq!(leads(&mut plan, at(3000)), want);
}

#[test]
fn a_part_that_fits_into_the_acknowledgement_is_left_to_the_checkpoint() {
    let cost = |bytes| Cost { bytes, ..COST };
    let parts = |bytes| leads(&mut after_two(cost(bytes)), at(3000)).len();
    let inline_max = 16 << 10;
    assert_eq!(parts(inline_max), 0);
    assert_eq!(parts(inline_max + 1), 1);
    assert_eq!(parts(4 * inline_max + 4), 2);
    assert_eq!(parts(16 * inline_max + 16), 3);
}

#[test]
fn nothing_is_written_ahead_when_storing_takes_half_of_the_time_between_checkpoints() {
    let took = |took| Cost { took, ..COST };
    assert_eq!(leads(&mut after_two(took(250 * MS)), at(3000)).len(), 0);
    assert_ne!(leads(&mut after_two(took(249 * MS)), at(3000)).len(), 0);
}

#[test]
fn the_next_barrier_is_expected_once_the_newest_checkpoint_is_complete() {
    let mut plan = after_two(COST);
    barrier(&mut plan, 3, at(3000));
    assert_eq!(plan.due(), None, "it has come");
    plan.on_complete(CheckpointId(2), at(3100), 0);
    assert_eq!(plan.due(), None, "3 is under way");
    plan.on_complete(CheckpointId(3), at(3200), 0);
    assert_eq!(plan.due(), Some(at(3839)));
    plan.on_other();
    assert_eq!(plan.due(), None, "who knows what comes now");
    barrier(&mut plan, 4, at(4000));
    plan.on_complete(CheckpointId(4), at(4900), 0);
    assert_eq!(plan.due(), None, "it is too late for that");
}

#[test]
fn a_checkpoint_that_puts_off_the_next_one_does_not_put_off_its_part() {
    let mut plan = after_two(COST);
    barrier(&mut plan, 3, at(3000));
    // It took seven seconds.
    barrier(&mut plan, 4, at(10_000));
    plan.on_complete(CheckpointId(4), at(10_100), 0);
    assert_eq!(plan.due(), Some(at(10_839)));
    // Twice the same counts.
    barrier(&mut plan, 5, at(20_000));
    barrier(&mut plan, 6, at(30_000));
    plan.on_complete(CheckpointId(6), at(30_100), 0);
    assert_eq!(plan.due(), Some(at(39_839)));
}

#[test]
fn a_subtask_that_is_hardly_ever_idle_writes_nothing_ahead() {
    let due = at(2839);
    for (idle_ms, writes) in [(0, false), (100, false), (200, true)] {
        let mut plan = after_two(COST);
        let idle = idle(at(2000)) + idle_ms * MS;
        assert_eq!(
            plan.take(due, idle, true),
            writes,
            "{idle_ms} ms since 2000"
        );
    }
}

#[test]
fn a_part_that_would_hold_up_the_barrier_is_left_out() {
    let mut plan = after_two(COST);
    let late = at(2920);
    assert!(!plan.take(late, idle(late), true), "80 ms before it");
    assert_eq!(plan.due(), None);
    assert!(after_two(COST).take(at(2910), idle(at(2910)), true));
}

#[test]
fn a_part_waits_until_the_one_before_it_is_stored() {
    let mut plan = after_two(COST);
    assert!(plan.take(at(2839), idle(at(2839)), true));
    let mut now = at(2969);
    assert_eq!(plan.due(), Some(now));
    for _ in 0..5 {
        assert!(!plan.take(now, idle(now), false));
        now = now + RETRY;
        assert_eq!(plan.due(), Some(now));
    }
    // 21 ms before the barrier, which it takes 20 to be stored.
    now = at(2979);
    assert!(plan.take(now, idle(now), true));
    now = at(2983) + 17 * MS / 2;
    assert_eq!(plan.due(), Some(now));
    assert!(plan.take(now, idle(now), true));
    assert_eq!(plan.due(), None, "there is no time for another one");
}

#[test]
fn after_a_part_that_was_not_copied_in_time_the_next_one_begins_earlier() {
    let mut plan = after_two(COST);
    plan.on_late(100 * MS);
    barrier(&mut plan, 3, at(3000));
    plan.on_complete(CheckpointId(3), at(3200), 0);
    assert_eq!(plan.due(), Some(at(4000 - 400 - 1)));
    // Faster counts by and by.
    plan.on_delta(Some(COST), None);
    plan.on_complete(CheckpointId(3), at(3200), 0);
    assert_eq!(plan.due(), Some(at(4000 - 280 - 1)));
}

#[test]
fn where_barriers_come_early_now_and_then_parts_begin_earlier() {
    let mut plan = after_two(COST);
    let mut next = |id, ms| {
        barrier(&mut plan, id, at(ms));
        plan.on_complete(CheckpointId(id), at(ms + 100), 0);
        let lead = plan.expected.unwrap().since(plan.due().unwrap());
        lead.as_millis() - 160
    };
    assert_eq!(next(3, 2995), 10, "expected at 3000");
    // 995 ms after the one before, as they do, until the least.
    let kept = (4..12).map(|id| next(id, 2995 + (id - 3) * 995));
    assert_eq!(kept.collect::<Vec<_>>(), [8, 7, 6, 5, 5, 4, 3, 3]);
    let kept = (12..30).map(|id| next(id, 2995 + (id - 3) * 995));
    assert_eq!(kept.last(), Some(1));
    // A checkpoint that somebody has asked for.
    assert_eq!(next(30, 29_500), 1);
}

#[test]
fn where_most_of_it_changes_again_writing_ahead_rests_twice_as_long_each_time() {
    let mut plan = after_two(COST);
    let mut id = 2;
    let mut rest = |left: u64| {
        let left = Cost {
            bytes: left,
            ..COST
        };
        plan.on_delta(Some(left), AheadCost::of([COST]));
        let mut rests = 0;
        loop {
            id += 1;
            barrier(&mut plan, id, at(id * 1000));
            plan.on_complete(CheckpointId(id), at(id * 1000 + 100), 0);
            if plan.due().is_some() {
                return rests;
            }
            rests += 1;
        }
    };
    let (half, more) = (COST.bytes / 2, COST.bytes / 2 + 1);
    let rests = [half, more, more, more, half, more].map(&mut rest);
    assert_eq!(rests, [0, 7, 15, 31, 0, 7]);
}

#[test]
fn a_first_part_with_other_things_begins_so_much_earlier_and_the_next_one_is_a_whole_one() {
    let plan = |extra: u64| {
        let mut plan = after_two(COST);
        plan.on_complete(CheckpointId(2), at(2100), extra);
        plan
    };
    let usual = [161 * MS, 31 * MS, 17 * MS / 2];
    // Twice as much again, and twice that; then half of the time is the most.
    for (extra, lead) in [(1, 481), (2, 500), (10, 500)] {
        let extra = extra * 2 * COST.bytes;
        let leads = leads(&mut plan(extra), at(3000));
        assert_eq!(leads[0], lead * MS);
        assert_eq!(leads[1..], usual);
    }
    // A little more.
    let leads = leads(&mut plan(COST.bytes / 10), at(3000));
    assert_eq!(leads[0].as_millis(), 176);
    assert_eq!(leads[1..], usual[1..]);
}

#[test]
fn what_a_first_part_with_other_things_takes_is_not_expected_of_the_next_one() {
    let mut plan = after_two(COST);
    let much = Cost {
        bytes: 8 * COST.bytes,
        took: 8 * COST.took,
    };
    for (id, extra) in [(2, 7 * COST.bytes), (3, 0)] {
        plan.on_complete(CheckpointId(id), at(id * 1000 + 100), extra);
        barrier(&mut plan, id + 1, at((id + 1) * 1000));
        let left = Some(Cost { bytes: 0, ..COST });
        let first = if extra > 0 { much } else { COST };
        plan.on_delta(left, AheadCost::of([first]));
    }
    plan.on_complete(CheckpointId(4), at(4100), 0);
    assert_eq!(plan.due(), Some(at(5000 - 161)));
}
