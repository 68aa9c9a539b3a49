use super::reckoning::TOOK_MIN;
use super::*;

const MS: Duration = Duration::from_millis(1);
const US: Duration = Duration::from_micros(1);
const COST: Cost = Cost {
    bytes: 1 << 20,
    took: Duration::from_millis(80),
};

fn at(ms: u64) -> Timestamp {
    at_us(ms * 1000)
}

fn at_us(us: u64) -> Timestamp {
    Timestamp(us * 1000)
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

/// Parts that began so many milliseconds after another moment, and took what they did.
fn parts(all: &[(u64, Cost)]) -> Option<AheadCost> {
    AheadCost::of(all.iter().map(|(ms, cost)| (at(*ms), *cost)))
}

/// In 80 ms 80 MB are stored, of which a byte changes in a nanosecond.
fn steady() -> Plan {
    let mut plan = after_two(Cost {
        bytes: 80_000_000,
        ..COST
    });
    plan.reckoning.rate = Some(1_000_000_000);
    plan
}

#[test]
fn each_part_begins_as_late_as_it_can_be_stored_in_time() {
    let mut plan = steady();
    // Storing takes 79 ms of 80 MB, and one more of anything: of what changes in so long.
    let took = |lead: u64| MS + Duration::from_nanos(lead * 79 / 80);
    let own = |before: u64| took(before) * 5 / 4 + 500 * US;
    let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap();
    let all = leads(&mut plan, at(3000));
    // Twice 80 and the margin. All changes in 80 ms: one behind it has as much to store.
    let first = 160 * MS + 500 * US;
    assert_eq!(all, [first, 100 * MS + 500 * US]);
    // A tenth of that.
    plan = steady();
    plan.reckoning.rate = Some(100_000_000);
    let [begins, second, third, last] = leads(&mut plan, at(3000))[..] else {
        panic!("four parts");
    };
    assert_eq!(begins, first);
    let behind = |before: Duration| own(nanos(before) / 10);
    // The one behind it has its time, too.
    assert_eq!(second, behind(first) + behind(behind(first)));
    assert_eq!(third, behind(second) + behind(behind(second)));
    assert_eq!(last, behind(third));
    assert!((2 * MS..3 * MS).contains(&last), "{last:?}");
}

#[test]
fn the_last_part_begins_about_as_long_before_the_barrier_however_much_changes() {
    // Up to a quarter of the time that it takes to change.
    for took in 3..=62 {
        let cost = Cost {
            bytes: 1 << 30,
            took: took * MS,
        };
        let leads = leads(&mut after_two(cost), at(3000));
        let last = *leads.last().unwrap();
        assert!((1750 * US..5 * MS).contains(&last), "{took} ms: {leads:?}");
    }
}

#[test]
fn each_part_has_the_time_that_the_store_takes_whatever_it_holds() {
    let part = |bytes, ms| Cost {
        bytes,
        took: ms * MS,
    };
    let left = Some(Cost { bytes: 0, ..COST });
    let mut plan = after_two(COST);
    let first = part(COST.bytes, 80);
    // A quarter of the bytes is for 20 ms of 30, an eighth for 10 of 40.
    let all = [
        (0, first),
        (50, part(COST.bytes / 4, 30)),
        (70, part(COST.bytes / 8, 40)),
    ];
    plan.on_delta(left, parts(&all));
    assert_eq!(plan.reckoning.took_min, 10 * MS);
    plan.on_delta(left, parts(&all[..1]));
    assert_eq!(plan.reckoning.took_min, 10 * MS, "nothing was learned");
    plan.on_delta(left, parts(&[all[0], (50, part(0, 25))]));
    assert_eq!(plan.reckoning.took_min, 25 * MS);
    plan.on_delta(left, parts(&[all[0], (50, part(0, 0))]));
    assert_eq!(plan.reckoning.took_min, TOOK_MIN);
}

#[test]
fn after_a_part_that_was_not_stored_in_time_later_ones_begin_earlier_for_some_checkpoints() {
    let mut plan = after_two(COST);
    plan.on_missed();
    plan.on_missed();
    assert_eq!(plan.reckoning.took_min, 4 * MS);
    let left = Some(Cost { bytes: 0, ..COST });
    let quick = Cost { bytes: 1, took: MS };
    let mut next = || {
        plan.on_delta(left, parts(&[(0, COST), (50, quick)]));
        plan.reckoning.took_min.as_micros()
    };
    assert_eq!([next(), next(), next()], [4000, 3000, 2250]);
    for _ in 0..20 {
        next();
    }
    assert_eq!(next(), TOOK_MIN.as_micros());
    // However often: all of it took no longer.
    for _ in 0..100 {
        plan.on_missed();
    }
    assert_eq!(plan.reckoning.took_min, COST.took);
}

#[test]
fn what_changes_in_a_short_time_is_learned_from_the_parts_behind_the_first() {
    let part = |bytes| Cost { bytes, ..COST };
    let rate = |all: &[(u64, Cost)]| parts(all).unwrap().rate;
    assert_eq!(rate(&[(0, part(9000))]), None);
    assert_eq!(rate(&[(0, part(9000)), (100, part(500))]), Some(5000));
    let more = [(0, part(9000)), (100, part(500)), (150, part(400))];
    assert_eq!(rate(&more), Some(8000));
    // It came in a burst.
    assert_eq!(rate(&[(0, part(9000)), (1, part(500))]), Some(50_000));
    let mut plan = after_two(COST);
    let left = Some(Cost { bytes: 0, ..COST });
    let mut learns = |bytes| {
        plan.on_delta(left, parts(&[(0, COST), (100, part(bytes))]));
        plan.reckoning.rate.unwrap()
    };
    // More counts at once, less by and by.
    assert_eq!(
        [500, 900, 500, 500].map(&mut learns),
        [5000, 9000, 7000, 6000]
    );
}

#[test]
fn a_part_that_fits_into_the_acknowledgement_is_left_to_the_checkpoint() {
    let cost = |bytes| Cost { bytes, ..COST };
    let parts = |bytes| {
        let mut plan = after_two(cost(bytes));
        // What changes in 160 ms is a quarter.
        plan.reckoning.rate = Some(bytes * 1000 / 642);
        leads(&mut plan, at(3000)).len()
    };
    let inline_max = 16 << 10;
    assert_eq!(parts(inline_max), 0);
    assert_eq!(parts(inline_max + 1), 1);
    assert_eq!(parts(3 * inline_max), 1);
    assert_eq!(parts(5 * inline_max), 2);
}

#[test]
fn nothing_is_written_ahead_when_storing_takes_half_of_the_time_between_checkpoints() {
    let took = |took| Cost { took, ..COST };
    assert_eq!(leads(&mut after_two(took(500 * MS)), at(3000)).len(), 0);
    for took in [took(499 * MS), took(250 * MS)] {
        assert_eq!(leads(&mut after_two(took), at(3000))[0], 500 * MS);
    }
}

#[test]
fn a_part_with_little_time_that_is_not_stored_is_in_vain_and_one_with_enough_is_not() {
    let next = |took, begins: bool| {
        let mut plan = after_two(Cost { took, ..COST });
        if begins {
            let due = plan.due().unwrap();
            assert!(plan.take(due, idle(due), true));
        }
        barrier(&mut plan, 3, at(3000));
        plan.on_delta(Some(COST), None);
        plan.rest
    };
    assert_eq!(next(400 * MS, true), REST_FIRST);
    assert_eq!(next(400 * MS, false), 0);
    assert_eq!(next(80 * MS, true), 0);
}

#[test]
fn what_was_far_more_counts_for_the_time_of_as_much() {
    let mut plan = after_two(Cost {
        bytes: 10 * COST.bytes,
        took: 400 * MS,
    });
    let quick = Cost {
        took: 10 * MS,
        ..COST
    };
    plan.on_delta(Some(quick), None);
    assert_eq!(plan.reckoning.whole().unwrap().took, 25 * MS);
    plan.on_delta(Some(COST), None);
    assert_eq!(plan.reckoning.whole(), Some(COST));
}

#[test]
fn the_next_barrier_is_expected_once_the_newest_checkpoint_is_complete() {
    let mut plan = after_two(COST);
    barrier(&mut plan, 3, at(3000));
    assert_eq!(plan.due(), None, "it has come");
    plan.on_complete(CheckpointId(2), at(3100), 0);
    assert_eq!(plan.due(), None, "3 is under way");
    plan.on_complete(CheckpointId(3), at(3200), 0);
    assert_eq!(plan.due(), Some(at_us(3_839_500)));
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
    assert_eq!(plan.due(), Some(at_us(10_839_500)));
    // Twice the same counts.
    barrier(&mut plan, 5, at(20_000));
    barrier(&mut plan, 6, at(30_000));
    plan.on_complete(CheckpointId(6), at(30_100), 0);
    assert_eq!(plan.due(), Some(at_us(39_839_500)));
}

#[test]
fn a_subtask_that_is_hardly_ever_idle_writes_nothing_ahead() {
    let due = at(2840);
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
    let first = plan.due().unwrap();
    assert!(plan.take(first, idle(first), true));
    let mut now = plan.due().unwrap();
    assert!(now > first);
    let mut waits = Vec::new();
    while let Some(due) = plan.due() {
        assert!(!plan.take(due, idle(due), false));
        waits.push(due.since(now));
        now = due;
    }
    // Ever shorter, as less is left.
    assert!(waits[1..].is_sorted_by(|a, b| a >= b), "{waits:?}");
    assert!(waits[1..].iter().all(|wait| *wait >= RETRY_MIN));
    // Until it would hold the barrier up: it holds what has come since the first.
    let took = plan.expect(Some(now.since(first))).unwrap().took;
    assert!(at(3000).since(now) < took + MARGIN_MIN / 2);
    assert!(at(3000).since(now) > took / 2);
}

#[test]
fn after_a_part_that_was_not_copied_in_time_the_next_one_begins_earlier() {
    let mut plan = after_two(COST);
    plan.on_late(100 * MS);
    barrier(&mut plan, 3, at(3000));
    plan.on_complete(CheckpointId(3), at(3200), 0);
    assert_eq!(plan.due(), Some(at_us(3_599_500)));
    // Faster counts by and by.
    plan.on_delta(Some(COST), None);
    plan.on_complete(CheckpointId(3), at(3200), 0);
    assert_eq!(plan.due(), Some(at_us(3_719_500)));
}

#[test]
fn where_barriers_come_early_now_and_then_parts_begin_earlier() {
    let mut plan = after_two(COST);
    let mut next = |id, ms| {
        barrier(&mut plan, id, at(ms));
        plan.on_complete(CheckpointId(id), at(ms + 100), 0);
        let lead = plan.expected.unwrap().since(plan.due().unwrap());
        lead.as_micros() - 160_000
    };
    assert_eq!(next(3, 2995), 5000, "expected at 3000");
    // 995 ms after the one before, as they do, until the least.
    let kept = (4..10).map(|id| next(id, 2995 + (id - 3) * 995));
    assert_eq!(kept.collect::<Vec<_>>(), [2500, 1250, 625, 500, 500, 500]);
    // A checkpoint that somebody has asked for.
    assert_eq!(next(10, 9500), 500);
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
        plan.on_delta(Some(left), parts(&[(0, COST)]));
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
fn a_first_part_with_other_things_begins_so_much_earlier_and_the_next_one_holds_what_has_come_since()
 {
    let plan = |extra: u64| {
        let mut plan = after_two(COST);
        plan.on_complete(CheckpointId(2), at(2100), extra);
        plan
    };
    // Twice as much again, and twice that; then half of the time is the most.
    for (extra, lead) in [(1, 480), (2, 500), (10, 500)] {
        let extra = extra * 2 * COST.bytes;
        let leads = leads(&mut plan(extra), at(3000));
        assert!((lead * MS..=lead * MS + 500 * US).contains(&leads[0]));
        // All that changes comes in a quarter of a second at most.
        let whole = 100 * MS + 500 * US;
        assert!(leads[1] > whole && leads[1] < 2 * whole, "{leads:?}");
    }
    // A little more.
    let leads = leads(&mut plan(COST.bytes / 10), at(3000));
    assert_eq!(leads[0].as_millis(), 176);
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
        plan.on_delta(left, parts(&[(0, first)]));
    }
    plan.on_complete(CheckpointId(4), at(4100), 0);
    assert_eq!(plan.due(), Some(at_us(4_839_500)));
}
