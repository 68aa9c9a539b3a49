//! Sees from the watches' cache that there is nothing to do with a job: then the API server is not
//! asked for anything. Only its JobManager is.
//!
//! Most jobs just run. Whatever is to be done with one is left to [`crate::reconcile`], which looks
//! at everything again, past the cache, before it acts.

use std::time::Duration;

use kube::ResourceExt;
use kube::core::DynamicObject;
use kube::runtime::controller::Action as Next;
use weir_controller::decide;

use crate::cache::hash_of;
use crate::observe::{Seen, job_view, raw_status};
use crate::reconcile::{Context, applier};

/// From this delay on, jobs are spread over a fifth of it, so that they are not looked at all at
/// once for ever after they all were once.
const SPREAD_FROM_MS: u64 = 5_000;

/// What is written down where a look is not enough.
const ACTS: &str = "the job needs more than a look";

/// When to look again; none if there may be something to do.
pub(crate) async fn look(job: &DynamicObject, context: &Context) -> Option<Next> {
    if !context.cache.is_complete() {
        return None;
    }
    let view = job_view(job);
    let now = context.clock.now();
    if context.cache.others.are_due(&view.status, now) {
        tracing::debug!("{ACTS}: another operator's Lease is to be looked at");
        return None;
    }
    let pods = context.cache.pods.of_job(&view.namespace, &view.name);
    let kept = context.cache.kept.of_job(&view.namespace, &view.name);
    let seen = Seen {
        resource_version: job.resource_version().unwrap_or_default(),
        pods: pods.into_iter().map(|(_, pod)| pod).collect(),
        kept: kept.into_iter().map(|(_, kept)| kept).collect(),
        raw_status: raw_status(job),
        job: view,
    };
    let mut fetched = seen.ask(context.rest_port, context.clock.unix_ms()).await;
    if context.cache.mounts.are_due(&fetched.observed, now) {
        tracing::debug!("{ACTS}: a pod does not come up");
        return None;
    }
    fetched.recall(&context.cache, now);
    let observed = &fetched.observed;
    if let Some(manager) = &observed.manager {
        let job = &observed.job;
        context.metrics.asked(&job.namespace, &job.name, manager);
    }
    let decision = decide(observed);
    let applier = applier(context, &fetched);
    let mut actions = decision.actions.iter();
    if let Some(action) = actions.find(|action| !applier.is_done(action)) {
        tracing::debug!(?action, "{ACTS}");
        return None;
    }
    if decision.status != observed.job.status {
        // News of a job that goes on as before. The version keeps it from being written over
        // anything newer.
        let same = decision.status.operation == observed.job.status.operation;
        if !same || !decision.events.is_empty() || applier.still_acts().is_err() {
            tracing::debug!(events = ?decision.events, "{ACTS}: its status changes");
            return None;
        }
        applier.write_status(&decision.status).await.ok()?;
    }
    Some(Next::requeue(spread(
        decision.look_again_ms,
        &observed.job.uid,
    )))
}

pub(crate) fn spread(delay_ms: u64, uid: &str) -> Duration {
    let more = match delay_ms >= SPREAD_FROM_MS {
        true => hash_of(&uid) % (delay_ms / 5),
        false => 0,
    };
    Duration::from_millis(delay_ms + more)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quiet_jobs_are_spread_and_busy_ones_are_not() {
        assert_eq!(spread(500, "a"), Duration::from_millis(500));
        let delays: Vec<_> = (0..100).map(|n| spread(10_000, &n.to_string())).collect();
        let (least, most) = (delays.iter().min(), delays.iter().max());
        assert!(least >= Some(&Duration::from_secs(10)));
        assert!(most < Some(&Duration::from_secs(12)));
        assert!(most > Some(&Duration::from_millis(11_500)), "{most:?}");
    }
}
