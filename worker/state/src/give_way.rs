//! How the threads beside a subtask give way to its records while there are not enough processors
//! for both.
//!
//! What a snapshot costs beside the subtask's own thread takes processor time: sorting, checksums,
//! copies into the kernel. Where processors are idle that costs nobody anything. Where none is, and
//! the subtask has records to process, such a thread works in small pieces and rests in between, so
//! that throughput sinks by a few per cent for longer instead of by half. What it rests in all is
//! bounded: the checkpoint comes to its end.

use std::fmt;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

/// It looks around when it has worked for so long.
const PIECE: Duration = Duration::from_micros(200);

/// It rests up to so many times as long as it worked.
const REST: u32 = 120;

/// All that work for one snapshot rest no longer than this.
pub const REST_MAX: Duration = Duration::from_millis(2700);

/// Before the first look at a new piece of work, what the subtask did since the last one counts as
/// if it had taken so long.
const RECENT: Duration = Duration::from_millis(20);

/// For how long a subtask has run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    /// Waiting for input.
    pub idle: Duration,
    /// In all.
    pub all: Duration,
}

impl Spent {
    fn since(self, before: Self) -> Self {
        Self {
            idle: self.idle.saturating_sub(before.idle),
            all: self.all.saturating_sub(before.all),
        }
    }
}

/// Tells how busy a subtask is.
pub trait IdleTime: Send + Sync {
    /// For how long it has run until now.
    fn spent(&self) -> Spent;
}

/// How much may still be rested for one snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Allowance {
    /// How many times as long as the work each rest is: less if there is so much to do that the
    /// rests would not last to its end.
    times: u32,
    left: Duration,
}

impl Allowance {
    /// For work that takes about so long, rests included that are allowed for it.
    fn new(work: Duration, left: Duration) -> Self {
        let times = left.as_nanos() / work.as_nanos().max(1);
        Self {
            times: u32::try_from(times).unwrap_or(REST).clamp(1, REST),
            left,
        }
    }

    fn rest(&mut self, worked: Duration) -> Duration {
        let rest = (worked * self.times).min(self.left);
        self.left -= rest;
        rest
    }
}

/// What the latest looks saw.
///
/// A single one says little: it sees how many threads want to run at one moment, and of those that
/// hand records to each other one often waits for the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Looks {
    /// Whether more threads wanted to run than there are processors for; the latest one is the
    /// lowest bit.
    short: u8,
    count: u32,
    /// What the subtask did; what was long ago counts less.
    spent: Spent,
}

impl Looks {
    /// There were none yet, but this is known of the time before.
    fn begin(before: Spent) -> Self {
        let share = before.idle.as_secs_f64() / before.all.as_secs_f64().max(f64::MIN_POSITIVE);
        let spent = Spent {
            idle: RECENT.mul_f64(share.clamp(0.0, 1.0)),
            all: RECENT,
        };
        Self {
            spent,
            ..Self::default()
        }
    }

    fn add(&mut self, short: bool, since: Spent) {
        self.short = self.short << 1 | u8::from(short);
        self.count = (self.count + 1).min(u8::BITS);
        self.spent.idle = self.spent.idle * 7 / 8 + since.idle;
        self.spent.all = self.spent.all * 7 / 8 + since.all;
    }

    /// Whether the subtask is held up.
    fn say_busy(self) -> bool {
        let short = 2 * self.short.count_ones() >= self.count.max(1);
        short && 2 * self.spent.idle <= self.spent.all
    }
}

/// What a thread does between two pieces of work.
pub struct GiveWay {
    /// The subtask that it gives way to. None: to nobody.
    to: Option<Arc<dyn IdleTime>>,
    allowance: Allowance,
    looks: Looks,
    /// The thread's processor time when it last looked.
    worked: Duration,
    /// What the subtask had done then.
    seen: Spent,
    /// How many processors there are, once that was asked for this work: it takes reading files.
    processors: Option<usize>,
}

impl fmt::Debug for GiveWay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GiveWay")
            .field("allowance", &self.allowance)
            .field("looks", &self.looks)
            .finish_non_exhaustive()
    }
}

impl GiveWay {
    /// Gives way to this subtask. To be used by one thread, which says what it begins.
    pub fn new(to: Option<Arc<dyn IdleTime>>) -> Self {
        Self {
            to,
            allowance: Allowance::new(Duration::ZERO, Duration::ZERO),
            looks: Looks::default(),
            worked: Duration::ZERO,
            seen: Spent::default(),
            processors: None,
        }
    }

    /// The next snapshot's work may rest so long in all.
    pub fn allow(&mut self, most: Duration) {
        self.allowance.left = most;
    }

    /// Begins work that takes about so long.
    pub fn begin(&mut self, work: Duration) {
        self.allowance = Allowance::new(work, self.allowance.left);
        let since = self.since();
        if since.all > RECENT {
            self.looks = Looks::begin(since);
        } else {
            self.looks.spent.idle += since.idle;
            self.looks.spent.all += since.all;
        }
        self.processors = None;
        self.worked = thread_time();
    }

    /// What the subtask did since the last look.
    fn since(&mut self) -> Spent {
        let now = self.to.as_ref().map_or(self.seen, |to| to.spent());
        now.since(std::mem::replace(&mut self.seen, now))
    }

    /// Rests, if there is a reason to.
    pub fn between(&mut self) {
        self.between_with(thread::sleep);
    }

    /// The same, by whatever way of resting: somebody may have to end it early.
    pub fn between_with(&mut self, rest: impl FnOnce(Duration)) {
        if self.to.is_none() || self.allowance.left.is_zero() {
            return;
        }
        let worked = thread_time().saturating_sub(self.worked);
        if worked < PIECE {
            return;
        }
        let since = self.since();
        let count = || thread::available_parallelism().map_or(1, usize::from);
        let processors = *self.processors.get_or_insert_with(count);
        self.looks.add(more_want_to_run_than(processors), since);
        if self.looks.say_busy() {
            rest(self.allowance.rest(worked));
        }
        self.worked = thread_time();
    }
}

/// The processor time of this thread so far.
fn thread_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

/// Whether more threads want to run than there are processors for. Where nothing says so, no.
fn more_want_to_run_than(processors: usize) -> bool {
    let Ok(load) = std::fs::read_to_string("/proc/loadavg") else {
        return false;
    };
    runnable(&load).is_some_and(|runnable| runnable > processors)
}

/// How many threads run or want to, this one included (proc_loadavg(5)).
fn runnable(load: &str) -> Option<usize> {
    let (runnable, _all) = load.split(' ').nth(3)?.split_once('/')?;
    runnable.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[test]
    fn a_small_snapshot_is_stored_gently_and_a_large_one_rests_no_longer_than_allowed() {
        let piece = Duration::from_micros(200);
        let ms = Duration::from_millis;
        assert_eq!(Allowance::new(ms(10), REST_MAX).rest(piece), piece * REST);
        for work in [Duration::ZERO, ms(250), ms(25_000)] {
            let mut allowance = Allowance::new(work, REST_MAX);
            let rested: Duration = (0..1_000_000).map(|_| allowance.rest(piece)).sum();
            assert_eq!(rested, REST_MAX, "of {work:?}");
        }
    }

    #[test]
    fn the_rests_of_a_large_snapshot_last_to_its_end() {
        let mut allowance = Allowance::new(REST_MAX / 2, REST_MAX);
        let piece = Duration::from_millis(1);
        for _ in 0..1200 {
            assert_eq!(allowance.rest(piece), piece * 2);
        }
    }

    #[test]
    fn more_work_for_the_same_snapshot_shares_what_is_left_to_rest() {
        let ms = Duration::from_millis;
        let mut way = GiveWay::new(None);
        way.allow(ms(60));
        way.begin(ms(30));
        assert_eq!(way.allowance.rest(ms(20)), ms(40));
        way.begin(ms(10));
        assert_eq!((way.allowance.times, way.allowance.left), (2, ms(20)));
        way.allow(ms(90));
        way.begin(ms(30));
        assert_eq!((way.allowance.times, way.allowance.left), (3, ms(90)));
    }

    fn spent(idle: u64, all: u64) -> Spent {
        Spent {
            idle: Duration::from_millis(idle),
            all: Duration::from_millis(all),
        }
    }

    #[test]
    fn a_subtask_is_held_up_when_at_least_half_of_the_latest_looks_find_processors_short() {
        let says = |short: &[bool]| {
            let mut looks = Looks::default();
            short
                .iter()
                .for_each(|short| looks.add(*short, spent(0, 1)));
            looks.say_busy()
        };
        assert!(says(&[true]));
        assert!(!says(&[false]));
        assert!(says(&[true, false]));
        assert!(!says(&[true, false, false]));
        // Of old ones nobody asks any more.
        let mut seen = vec![true; 100];
        seen.extend([false; 4]);
        assert!(says(&seen));
        seen.push(false);
        assert!(!says(&seen));
    }

    #[test]
    fn a_subtask_that_is_idle_for_most_of_the_time_is_not_held_up() {
        let mut looks = Looks::begin(spent(100, 5000));
        // A moment says nothing.
        looks.add(true, spent(1, 1));
        assert!(looks.say_busy());
        (0..10).for_each(|_| looks.add(true, spent(2, 2)));
        assert!(!looks.say_busy());
        (0..10).for_each(|_| looks.add(true, spent(0, 5)));
        assert!(looks.say_busy());
        // A moment of work in an idle time says nothing either.
        let mut looks = Looks::begin(spent(4000, 5000));
        looks.add(true, spent(0, 2));
        assert!(!looks.say_busy());
    }

    #[test]
    fn the_kernel_says_how_many_threads_want_to_run() {
        assert_eq!(runnable("0.47 2.32 2.69 3/345 12345\n"), Some(3));
        assert_eq!(runnable("0.47 2.32"), None);
        let load = std::fs::read_to_string("/proc/loadavg").unwrap();
        assert!(
            runnable(&load).is_some_and(|runnable| runnable >= 1),
            "{load}"
        );
    }

    /// A subtask that has spent its time as somebody says.
    #[derive(Default)]
    struct Subtask(Mutex<Spent>);

    impl IdleTime for Subtask {
        fn spent(&self) -> Spent {
            *self.0.lock().unwrap()
        }
    }

    /// Works for about half a millisecond; how long was rested then.
    fn work(way: &mut GiveWay) -> Duration {
        let begun = thread_time();
        while thread_time() - begun < Duration::from_micros(500) {}
        let mut rested = Duration::ZERO;
        way.looks.short = u8::MAX;
        way.between_with(|rest| rested += rest);
        rested
    }

    #[test]
    fn nobody_rests_for_an_idle_subtask_nor_without_leave_nor_after_little_work() {
        let subtask = Arc::new(Subtask::default());
        let mut way = GiveWay::new(Some(Arc::clone(&subtask) as _));
        way.looks.count = u8::BITS;
        way.begin(Duration::ZERO);
        assert_eq!(work(&mut way), Duration::ZERO, "no leave");
        way.allow(REST_MAX);
        way.begin(Duration::ZERO);
        assert!(work(&mut way) >= PIECE * REST);
        way.between_with(|_| panic!("after no work"));
        *subtask.0.lock().unwrap() = spent(900, 1000);
        assert_eq!(work(&mut way), Duration::ZERO, "it is idle");
        *subtask.0.lock().unwrap() = spent(900, 4000);
        way.begin(Duration::ZERO);
        way.looks.count = u8::BITS;
        assert!(work(&mut way) >= PIECE * REST, "it is not any more");
    }
}
