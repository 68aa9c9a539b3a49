//! What an outsider sees of a party: who leads, what went wrong, how far the output is.

use std::thread;
use std::time::Duration;

use serde_json::Value;
use weir_testkit::{Rest, until_within};
use weir_types::{Clock, SystemClock};

use super::{JOBMANAGERS, Party, RECOVERY_MAX};

impl Party {
    /// The seat of the leader, which is known by its REST. None while there is none.
    pub fn find_leader(&self) -> Option<usize> {
        let epoch = |at: &usize| self.rest(*at)?.ask("/overview")?["epoch"].as_u64();
        let seats = (0..JOBMANAGERS).filter_map(|at| Some((epoch(&at)?, at)));
        seats.max().map(|(_, at)| at)
    }

    /// The same; waits for one.
    #[track_caller]
    pub fn leader(&self) -> usize {
        let mut found = None;
        until_within(RECOVERY_MAX, "a leader", || {
            found = self.find_leader();
            found.is_some()
        });
        found.expect("it was found")
    }

    pub(super) fn rest(&self, at: usize) -> Option<Rest> {
        self.seats[at].manager.as_ref().map(|manager| manager.rest)
    }

    /// What the leader says went wrong, newest first.
    #[track_caller]
    pub fn exceptions(&self) -> String {
        self.ask_job("/exceptions")
            .map(|answer| answer.to_string())
            .unwrap_or_default()
    }

    /// What the leader says about the job.
    pub fn ask_job(&self, path: &str) -> Option<Value> {
        let rest = self.rest(self.find_leader()?)?;
        let jobs = rest.ask("/jobs")?;
        let id = jobs["jobs"][0]["id"].as_str()?;
        rest.ask(&format!("/jobs/{id}{path}"))
    }

    /// Waits until one of these stands among what the leader says went wrong.
    #[track_caller]
    pub fn until_exception(&self, limit: Duration, parts: &[&str]) {
        let mut seen = String::new();
        let clock = SystemClock;
        let deadline = clock.now() + limit;
        while !parts.iter().any(|part| seen.contains(part)) {
            assert!(
                clock.now() < deadline,
                "one of {parts:?} within {limit:?} in {seen}"
            );
            seen = self.exceptions();
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// When the leader noticed something with this text that went wrong at `since` or later, by the
    /// wall clock in milliseconds; waits for it. What else the machine is busy with, and how often
    /// the leader is asked, does not count.
    #[track_caller]
    pub fn noticed_ms(&self, limit: Duration, part: &str, since_ms: i64) -> i64 {
        let mut found = None;
        until_within(limit, &format!("`{part}` among what went wrong"), || {
            let answer = self.ask_job("/exceptions").unwrap_or_default();
            let entries = answer["entries"].as_array().into_iter().flatten();
            let of_part = entries.filter(|entry| {
                let text = entry["exception"].as_str();
                text.is_some_and(|text| text.contains(part))
            });
            let times = of_part.filter_map(|entry| entry["timestamp"].as_i64());
            found = times.filter(|ms| *ms >= since_ms).min();
            found.is_some()
        });
        found.expect("it was found")
    }

    /// How many checkpoints the leader has completed.
    pub fn checkpoints(&self) -> u64 {
        let answer = self.ask_job("/checkpoints");
        answer
            .and_then(|answer| answer["counts"]["completed"].as_u64())
            .unwrap_or(0)
    }

    /// Waits until more output is published than now, or all of it.
    #[track_caller]
    pub fn until_progress(&self, after: &str) {
        let (before, all) = (self.job.published(), self.job.rows());
        until_within(RECOVERY_MAX, &format!("output after {after}"), || {
            let now = self.job.published();
            now > before || now == all
        });
    }

    /// Waits until the job's first output is there.
    #[track_caller]
    pub fn until_output(&self) {
        until_within(RECOVERY_MAX, "the first output", || {
            self.job.published() > 0
        });
    }

    /// Whether all output is there: a fault that comes now hits nothing.
    pub fn is_complete(&self) -> bool {
        self.job.published() >= self.job.rows()
    }
}
