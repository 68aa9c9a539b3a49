//! What tests of whole processes share: they start them, watch them, hurt them, wait for them with
//! a time limit, and kill those that are left when a test ends.
//!
//! Nothing here knows the runtime: a process is known by its arguments, its output, its exit code,
//! its signals and its REST, as it is to a person. What goes wrong fails the test at the caller's
//! line, with what the process has said so far; so functions here assert instead of returning
//! errors.
//!
//! ```no_run
//! use weir_testkit::{Cluster, until};
//!
//! let binary = std::path::Path::new("target/debug/weir");
//! let mut cluster = Cluster::start(binary, &["examples/wordcount.yaml".to_owned()], 2, 1);
//! let rest = cluster.manager.rest;
//! until("records", || rest.job()["vertices"][1]["metrics"]["read-records"].as_u64() > Some(0));
//! cluster.taskmanagers[0].stop();
//! cluster.taskmanagers[0].cont();
//! cluster.taskmanagers[1].kill_nine();
//! cluster.manager.process.wait().expect(1, &["TaskManager"]);
//! ```

mod binary;
mod cluster;
mod http_proxy;
mod job;
mod memory_cgroup;
mod multiset;
mod process;
mod proxy;
mod random;
mod rest;
mod s3_server;
mod small_disk;

pub use binary::weir_binary;
pub use cluster::{Cluster, JobManager};
pub use http_proxy::{HttpFaults, HttpProxy};
pub use job::Job;
pub use memory_cgroup::MemoryCgroup;
pub use multiset::Multiset;
pub use process::{Ended, Process, command, root};
pub use proxy::{Proxy, Traffic};
pub use random::Random;
pub use rest::{Rest, request};
pub use s3_server::S3Server;
pub use small_disk::SmallDisk;

use std::thread;
use std::time::Duration;

use weir_types::{Clock, SystemClock};

/// Far more than anything takes on a quiet machine.
pub const TIME_LIMIT: Duration = Duration::from_secs(120);

/// How often something that is waited for is looked at.
const POLL: Duration = Duration::from_millis(10);

/// Waits until something is so, which takes less than [`TIME_LIMIT`] or fails the test.
#[track_caller]
pub fn until(what: &str, so: impl FnMut() -> bool) {
    until_within(TIME_LIMIT, what, so);
}

/// Waits until something is so, and fails the test if that takes longer than `limit`.
#[track_caller]
pub fn until_within(limit: Duration, what: &str, mut so: impl FnMut() -> bool) {
    let clock = SystemClock;
    let deadline = clock.now() + limit;
    while !so() {
        // Looked at once more after the deadline: the machine may have stood still meanwhile.
        if clock.now() >= deadline {
            assert!(so(), "{what} did not come within {limit:?}");
            return;
        }
        thread::sleep(POLL);
    }
}

#[cfg(test)]
mod tests;
