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
const REST: u32 = 72;

/// All that work for one snapshot rest no longer than this.
pub const REST_MAX: Duration = Duration::from_millis(2400);

/// Tells how busy a subtask is.
pub trait IdleTime: Send + Sync {
    /// How long it has waited for input in all.
    fn idle(&self) -> Duration;
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Looks {
    /// Whether more threads wanted to run than there are processors for; the latest one is the
    /// lowest bit.
    short: u8,
    count: u32,
    /// How long the subtask was idle, of how long; what was long ago counts less.
    idle: Duration,
    of: Duration,
}

impl Default for Looks {
    /// Nothing is known: a few milliseconds are taken to have been busy.
    fn default() -> Self {
        Self {
            short: 0,
            count: 0,
            idle: Duration::ZERO,
            of: Duration::from_millis(5),
        }
    }
}

impl Looks {
    fn add(&mut self, short: bool, idle: Duration, of: Duration) {
        self.short = self.short << 1 | u8::from(short);
        self.count = (self.count + 1).min(u8::BITS);
        self.idle = self.idle * 7 / 8 + idle;
        // A thread does not learn how long it waited for a processor.
        self.of = self.of * 7 / 8 + of.max(idle);
    }

    /// Whether the subtask is held up.
    fn say_busy(self) -> bool {
        2 * self.short.count_ones() >= self.count.max(1) && 2 * self.idle <= self.of
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
    /// How long the subtask had been idle then.
    idle: Duration,
    /// How long it rested behind that.
    rested: Duration,
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
    /// Gives way to a subtask during work that takes about so long, and rests no longer than `most`
    /// in all. To be made, and used, by the thread that works.
    pub fn new(to: Option<Arc<dyn IdleTime>>, work: Duration, most: Duration) -> Self {
        let idle = to.as_ref().map_or(Duration::ZERO, |to| to.idle());
        Self {
            to,
            allowance: Allowance::new(work, most),
            looks: Looks::default(),
            worked: thread_time(),
            idle,
            rested: Duration::ZERO,
        }
    }

    /// Gives way to nobody.
    pub fn to_nobody() -> Self {
        Self::new(None, Duration::ZERO, Duration::ZERO)
    }

    /// More work for the same snapshot, about so long.
    pub fn begin(&mut self, work: Duration) {
        self.allowance = Allowance::new(work, self.allowance.left);
        self.worked = thread_time();
        self.idle = self.to.as_ref().map_or(Duration::ZERO, |to| to.idle());
        self.rested = Duration::ZERO;
    }

    /// Rests, if there is a reason to.
    pub fn between(&mut self) {
        self.between_with(thread::sleep);
    }

    /// The same, by whatever way of resting: somebody may have to end it early.
    pub fn between_with(&mut self, rest: impl FnOnce(Duration)) {
        let Some(to) = &self.to else {
            return;
        };
        let worked = thread_time().saturating_sub(self.worked);
        if worked < PIECE {
            return;
        }
        let idle = to.idle();
        let idled = idle.saturating_sub(std::mem::replace(&mut self.idle, idle));
        let rested = std::mem::take(&mut self.rested);
        let short = processors_are_short();
        self.looks.add(short, idled, worked + rested);
        if self.looks.say_busy() {
            self.rested = self.allowance.rest(worked);
            rest(self.rested);
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
fn processors_are_short() -> bool {
    let Ok(load) = std::fs::read_to_string("/proc/loadavg") else {
        return false;
    };
    let processors = thread::available_parallelism().map_or(1, usize::from);
    runnable(&load).is_some_and(|runnable| runnable > processors)
}

/// How many threads run or want to, this one included (proc_loadavg(5)).
fn runnable(load: &str) -> Option<usize> {
    let (runnable, _all) = load.split(' ').nth(3)?.split_once('/')?;
    runnable.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_snapshot_is_stored_gently_and_a_large_one_rests_no_longer_than_allowed() {
        let piece = Duration::from_micros(200);
        let ms = Duration::from_millis;
        assert_eq!(Allowance::new(ms(25), REST_MAX).rest(piece), piece * REST);
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
        let mut way = GiveWay::new(None, Duration::from_millis(30), Duration::from_millis(60));
        way.begin(Duration::from_millis(30));
        assert_eq!(way.allowance.times, 2);
        assert_eq!(way.allowance.left, Duration::from_millis(60));
    }

    #[test]
    fn a_subtask_is_held_up_when_at_least_half_of_the_latest_looks_find_processors_short() {
        let says = |short: &[bool]| {
            let mut looks = Looks::default();
            let ms = Duration::from_millis(1);
            short
                .iter()
                .for_each(|short| looks.add(*short, Duration::ZERO, ms));
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
        let mut looks = Looks::default();
        let ms = Duration::from_millis;
        // A moment says nothing.
        looks.add(true, ms(1), ms(1));
        assert!(looks.say_busy());
        (0..10).for_each(|_| looks.add(true, ms(2), ms(2)));
        assert!(!looks.say_busy());
        (0..10).for_each(|_| looks.add(true, ms(0), ms(5)));
        assert!(looks.say_busy());
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

    /// A subtask that has been idle for as long as somebody says.
    #[derive(Default)]
    struct Subtask(std::sync::atomic::AtomicU64);

    impl IdleTime for Subtask {
        fn idle(&self) -> Duration {
            Duration::from_millis(self.0.load(std::sync::atomic::Ordering::Relaxed))
        }
    }

    /// Works for about half a millisecond.
    fn work() {
        let begun = thread_time();
        while thread_time() - begun < Duration::from_micros(500) {}
    }

    #[test]
    fn nobody_rests_for_a_subtask_that_waits_for_input_or_after_little_work() {
        let subtask = Arc::new(Subtask::default());
        let mut way = GiveWay::new(Some(Arc::clone(&subtask) as _), Duration::ZERO, REST_MAX);
        way.looks.short = u8::MAX;
        way.looks.count = u8::BITS;
        let mut rested = Duration::ZERO;
        way.between_with(|rest| rested += rest);
        assert_eq!(rested, Duration::ZERO, "after no work");
        work();
        subtask.0.store(1000, std::sync::atomic::Ordering::Relaxed);
        way.between_with(|rest| rested += rest);
        assert_eq!(rested, Duration::ZERO, "the subtask is idle");
        way.looks.idle = Duration::ZERO;
        work();
        way.between_with(|rest| rested += rest);
        assert!(rested >= PIECE * REST, "{rested:?}");
    }
}
