//! The gate: as long as there is no Lease, no JobManager stands for election and none claims.
//!
//! The operator makes the Lease once nothing else of the job runs. Until then a JobManager finds
//! out whether its program can go on from the job's state, and tells so over REST, so that a job is
//! stopped only for one that can take its place.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::anyhow;
use weir_cli::Failure;
use weir_rpc::{StandbyState, StateCheck, StateVerdict};

use super::Pod;
use crate::standby::Standby;

/// How often it is looked whether there is a Lease. The upgrade waits for it.
const LOOK: Duration = Duration::from_millis(200);

/// How often it is looked whether the pod is to end.
const SLICE: Duration = Duration::from_millis(50);

/// How long after a check the next one begins: after one that has told something, and after one
/// that has not. The job that runs meanwhile takes new checkpoints.
const CHECKED_PAUSE: Duration = Duration::from_secs(5);
const UNCHECKED_PAUSE: Duration = Duration::from_secs(2);

/// Waits until the gate is open. `check` is repeated meanwhile, on a thread of its own: a storage
/// that does not answer holds nothing up.
pub(crate) fn wait(
    pod: &Pod,
    standby: &Standby,
    say: &dyn Fn(&str),
    check: impl FnMut() -> StateCheck + Send + 'static,
) -> Result<(), Failure> {
    let is_over = Arc::new(AtomicBool::new(false));
    let mut check = Some(check);
    loop {
        match pod.read_lease() {
            Ok(Some(_)) => {
                is_over.store(true, Ordering::Release);
                standby.stand(StandbyState::Candidate);
                return Ok(());
            }
            Ok(None) => {
                if let Some(check) = check.take() {
                    say(&format!("standing by until there is a Lease {}", pod.lease));
                    standby.stand(StandbyState::Gated);
                    repeat(check, standby.clone(), Arc::clone(&is_over));
                }
            }
            // Nobody knows whether the gate is open: it counts as closed.
            Err(error) => tracing::warn!("look for the Lease {}: {error:#}", pod.lease),
        }
        let mut waited = Duration::ZERO;
        while waited < LOOK {
            if pod.is_leaving() {
                is_over.store(true, Ordering::Release);
                pod.left.store(true, Ordering::Release);
                let text = "the pod was told to end before the job was to start";
                return Err(Failure::failed(anyhow!(text)));
            }
            thread::sleep(SLICE);
            waited += SLICE;
        }
    }
}

fn repeat(
    mut check: impl FnMut() -> StateCheck + Send + 'static,
    standby: Standby,
    is_over: Arc<AtomicBool>,
) {
    let mut last = None;
    let work = move || {
        while !is_over.load(Ordering::Acquire) {
            let found = check();
            if last.as_ref() != Some(&found) {
                tracing::info!(
                    verdict = ?found.verdict, snapshot = ?found.snapshot,
                    "checked the job's state: {}", found.message
                );
            }
            let pause = match found.verdict {
                StateVerdict::Passed | StateVerdict::Failed => CHECKED_PAUSE,
                StateVerdict::Pending | StateVerdict::Unreachable => UNCHECKED_PAUSE,
            };
            standby.found(found.clone());
            last = Some(found);
            thread::sleep(pause);
        }
    };
    let started = thread::Builder::new()
        .name("state-check".to_owned())
        .spawn(work);
    if let Err(error) = started {
        tracing::warn!(%error, "the job's state is not checked before the job starts");
    }
}
