//! How the uploader gives way to records while there are not enough processors for both.
//!
//! What it does for a snapshot takes processor time: checksums, copies into the kernel. Where
//! processors are idle that costs nobody anything. Where none is, and its subtask has records to
//! process all the time, it works in small pieces and rests in between, so that throughput sinks by
//! a few per cent for longer instead of by half. What it rests in all is bounded: the checkpoint
//! comes to its end.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use weir_types::Clock;

use crate::metrics::TaskMetrics;

/// It looks around when it has worked for so long.
const PIECE: Duration = Duration::from_micros(200);

/// It rests up to so many times as long as it worked.
const REST: u32 = 32;

/// It rests no longer than this for one snapshot.
const REST_MAX: Duration = Duration::from_millis(1500);

/// About how long it works on a byte, in thousandths of a nanosecond.
const PICOSECONDS_PER_BYTE: u64 = 2500;

/// How much may still be rested for one snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Allowance {
    /// How many times as long as the work each rest is: less if there is so much to do that the
    /// rests would not last to its end.
    times: u32,
    left: Duration,
}

impl Allowance {
    fn new(bytes: u64) -> Self {
        let work = Duration::from_nanos(bytes.saturating_mul(PICOSECONDS_PER_BYTE) / 1000);
        let times = REST_MAX.as_nanos() / work.as_nanos().max(1);
        Self {
            times: u32::try_from(times).unwrap_or(REST).clamp(1, REST),
            left: REST_MAX,
        }
    }

    fn rest(&mut self, worked: Duration) -> Duration {
        let rest = (worked * self.times).min(self.left);
        self.left -= rest;
        rest
    }
}

/// What one snapshot's uploader does between two pieces of work.
pub(super) struct GiveWay {
    /// The subtask that it gives way to. None: to nobody.
    to: Option<(Arc<TaskMetrics>, Arc<dyn Clock>)>,
    allowance: Allowance,
    /// The thread's processor time when it last looked.
    worked: Duration,
    /// How long the subtask had been idle then.
    idle_ns: u64,
}

impl GiveWay {
    /// While so many bytes are stored.
    pub(super) fn new(metrics: &Arc<TaskMetrics>, clock: &Arc<dyn Clock>, bytes: u64) -> Self {
        Self {
            to: Some((Arc::clone(metrics), Arc::clone(clock))),
            allowance: Allowance::new(bytes),
            worked: thread_time(),
            idle_ns: metrics.times.spent(clock.now()).idle_ns,
        }
    }

    #[cfg(test)]
    pub(super) fn to_nobody() -> Self {
        Self {
            to: None,
            allowance: Allowance::new(0),
            worked: Duration::ZERO,
            idle_ns: 0,
        }
    }

    /// Rests, if there is a reason to.
    pub(super) fn between(&mut self) {
        let Some((metrics, clock)) = &self.to else {
            return;
        };
        let worked = thread_time().saturating_sub(self.worked);
        if worked < PIECE {
            return;
        }
        let idle_ns = metrics.times.spent(clock.now()).idle_ns;
        let busy = idle_ns == std::mem::replace(&mut self.idle_ns, idle_ns);
        if busy && processors_are_short() {
            thread::sleep(self.allowance.rest(worked));
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
        assert_eq!(Allowance::new(10 << 20).rest(piece), piece * REST);
        for bytes in [1 << 10, 100 << 20, 10 << 30] {
            let mut allowance = Allowance::new(bytes);
            let rested: Duration = (0..1_000_000).map(|_| allowance.rest(piece)).sum();
            assert_eq!(rested, REST_MAX, "of {bytes} bytes");
        }
    }

    #[test]
    fn the_rests_of_a_large_snapshot_last_to_its_end() {
        // 300 MB take 750 ms.
        let mut allowance = Allowance::new(300_000_000);
        let piece = Duration::from_millis(1);
        for _ in 0..750 {
            assert_eq!(allowance.rest(piece), piece * 2);
        }
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
}
