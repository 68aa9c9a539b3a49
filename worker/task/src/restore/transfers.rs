//! Several reads at a time: a store far away answers each in tens of milliseconds, and gives no
//! single one all of what the line to it could carry.

use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

/// How many (Flink's `state.backend.rocksdb.checkpoint.transfer.thread.num`).
pub(super) const TRANSFERS: usize = 4;

/// What the function gives for each of some things, in their order. Of several errors it is the
/// first in this order; behind one no more is begun.
pub(super) fn side_by_side<'t, T: Sync, R: Send, E: Send>(
    things: &'t [T],
    each: impl Fn(&'t T) -> Result<R, E> + Sync,
) -> Result<Vec<R>, E> {
    if things.len() < 2 {
        return things.iter().map(each).collect();
    }
    let (next, failed) = (AtomicUsize::new(0), AtomicBool::new(false));
    let work = || {
        let mut done = Vec::new();
        while !failed.load(Ordering::Relaxed) {
            let nth = next.fetch_add(1, Ordering::Relaxed);
            let Some(thing) = things.get(nth) else {
                break;
            };
            let result = each(thing);
            if result.is_err() {
                failed.store(true, Ordering::Relaxed);
            }
            done.push((nth, result));
        }
        done
    };
    let mut done: Vec<_> = thread::scope(|scope| {
        let others: Vec<_> = (1..TRANSFERS.min(things.len()))
            .map_while(|_| {
                let thread = thread::Builder::new().name("state-restore".to_owned());
                // Without a thread the others do its work.
                thread.spawn_scoped(scope, work).ok()
            })
            .collect();
        let mut done = work();
        for other in others {
            match other.join() {
                Ok(its) => done.extend(its),
                Err(panic) => resume_unwind(panic),
            }
        }
        done
    });
    done.sort_by_key(|(nth, _)| *nth);
    done.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use super::*;

    #[test]
    fn results_come_in_order_whoever_is_the_first() {
        let things: Vec<usize> = (0..100).collect();
        let squares = side_by_side(&things, |n| {
            if n % 7 == 0 {
                thread::yield_now();
            }
            Ok::<_, ()>(n * n)
        });
        let want: Vec<usize> = things.iter().map(|n| n * n).collect();
        assert_eq!(squares, Ok(want));
        assert_eq!(side_by_side(&[7], |n| Ok::<_, ()>(n + 1)), Ok(vec![8]));
        assert_eq!(side_by_side(&[0; 0], |_| Err::<(), _>("none")), Ok(vec![]));
    }

    /// It would wait for ever if there were fewer.
    #[test]
    fn so_many_are_read_at_a_time() {
        let all = Barrier::new(TRANSFERS);
        let done = side_by_side(&[(); 2 * TRANSFERS], |()| {
            all.wait();
            Ok::<_, ()>(())
        });
        assert_eq!(done.map(|done| done.len()), Ok(2 * TRANSFERS));
    }

    #[test]
    fn behind_an_error_nothing_is_begun_and_the_first_is_told() {
        let (begun, all) = (AtomicUsize::new(0), Barrier::new(TRANSFERS));
        let things: Vec<usize> = (0..1000).collect();
        let failed = side_by_side(&things, |n| {
            begun.fetch_add(1, Ordering::Relaxed);
            if *n < TRANSFERS {
                all.wait();
            }
            Err::<(), _>(*n)
        });
        assert_eq!(failed, Err(0));
        assert_eq!(begun.into_inner(), TRANSFERS);
    }
}
