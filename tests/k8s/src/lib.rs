//! Jobs on the test stand, as a person meets them: manifests through `kubectl`, the chart through
//! `helm`, output from the bucket. Nothing here knows the operator's or the runtime's code.
//!
//! ```text
//!   Job ──kubectl──▶ API server ◀── operator (chart) ──▶ pods ──▶ S3 server ──▶ folder
//!    │                                                    ▲                       │
//!    └── Pod::kill_nine, Stand::node ─────────────────────┘         Views ◀───────┘
//! ```
//!
//! The oracle is what `page-views` writes: the views of each window add up to a known number, and
//! each page is in a window once. Whatever was lost or counted twice shows in it.
//!
//! What goes wrong fails the test at the caller's line, with what the cluster says of the job; so
//! functions here assert instead of returning errors.

mod cluster;
mod job;
mod pods;
mod stand;
mod views;

pub use cluster::{delete, get, helm, kubectl, kubectl_with, list, try_kubectl};
pub use job::{Condition, Job, published_after};
pub use pods::{Pod, pods};
pub use stand::{Alone, Shared, Stand};
pub use views::{Part, Views};

use std::thread;
use std::time::Duration;

use weir_types::{Clock, SystemClock, Timestamp};

/// How often something that is waited for is looked at.
const POLL: Duration = Duration::from_millis(100);

/// Seconds, in short.
pub const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// The time now, for measuring.
pub fn now() -> Timestamp {
    SystemClock.now()
}

/// Milliseconds since 1970, as the times of files are told.
pub fn unix_ms() -> i64 {
    SystemClock.unix_ms()
}

/// The time since then.
pub fn since(then: Timestamp) -> Duration {
    SystemClock.now().since(then)
}

/// Waits until something is so, and says whether it came in time.
pub fn comes_within(limit: Duration, mut so: impl FnMut() -> bool) -> bool {
    let begun = now();
    loop {
        if so() {
            return true;
        }
        if since(begun) >= limit {
            return false;
        }
        thread::sleep(POLL);
    }
}

/// Waits until something is so, and fails the test if it does not come in time.
#[track_caller]
pub fn until_within(limit: Duration, what: &str, so: impl FnMut() -> bool) {
    assert!(
        comes_within(limit, so),
        "{what} did not come within {limit:?}"
    );
}

/// Does nothing for a while.
pub fn rest(time: Duration) {
    thread::sleep(time);
}
