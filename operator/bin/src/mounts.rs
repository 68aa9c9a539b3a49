//! Why a pod's container is not being made. Its node says so in Events of the pod and nowhere else:
//! in the status a volume that can't be mounted looks like an image that is being fetched.
//!
//! Events are read only of a pod that has been so for a while, and of one pod of a job: what holds
//! up one holds up the others.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use k8s_openapi::api::core::v1::Event;
use kube::api::ListParams;
use kube::{Api, Client};
use weir_controller::{Observed, PodView, Trouble};
use weir_types::Timestamp;

use crate::cache::Key;

/// A container is made within this time, unless something is missing or its image is large.
const PATIENCE_MS: i64 = 3_000;

/// How often the Events of a job's pods are read.
const LOOK: Duration = Duration::from_secs(5);

/// A node has few words for a pod that does not come up.
const EVENTS_MAX: u32 = 100;

/// What a node says of a pod that it can't make the container of.
const REASONS: &[&str] = &[
    "FailedMount",
    "FailedAttachVolume",
    "FailedCreatePodSandBox",
];

/// What nodes have said, by job.
#[derive(Debug, Default)]
pub(crate) struct Mounts {
    seen: Mutex<HashMap<Key, Seen>>,
}

#[derive(Clone, Debug)]
struct Seen {
    pod: String,
    looked: Timestamp,
    said: Option<Trouble>,
}

impl Mounts {
    /// Whether it is time to read Events of one of the job's pods.
    pub(crate) fn are_due(&self, observed: &Observed, now: Timestamp) -> bool {
        let Some(pod) = stuck(observed) else {
            return false;
        };
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let known = seen.get(&key(observed));
        known.is_none_or(|known| known.pod != pod.name || now.since(known.looked) >= LOOK)
    }

    /// Reads them, if it is time.
    pub(crate) async fn look(&self, client: &Client, observed: &Observed, now: Timestamp) {
        let Some(pod) = stuck(observed).filter(|_| self.are_due(observed, now)) else {
            return;
        };
        let api: Api<Event> = Api::namespaced(client.clone(), &observed.job.namespace);
        let own = format!("involvedObject.kind=Pod,involvedObject.name={}", pod.name);
        let params = ListParams::default().fields(&own).limit(EVENTS_MAX);
        let said = match api.list(&params).await {
            Ok(events) => said(&events.items, pod),
            Err(error) => {
                tracing::debug!(%error, pod = pod.name, "read the Events of a pod");
                None
            }
        };
        self.note(key(observed), pod.name.clone(), said, now);
    }

    fn note(&self, job: Key, pod: String, said: Option<Trouble>, looked: Timestamp) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.insert(job, Seen { pod, looked, said });
    }

    /// Adds what is known to the job's pods.
    pub(crate) fn recall(&self, observed: &mut Observed) {
        let key = key(observed);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if stuck(observed).is_none() {
            seen.remove(&key);
            return;
        }
        let Some(known) = seen.get(&key) else {
            return;
        };
        let mut pods = observed.pods.iter_mut();
        let pod = pods.find(|pod| pod.name == known.pod && pod.creating_since_ms.is_some());
        if let Some(pod) = pod {
            pod.trouble = pod.trouble.take().or_else(|| known.said.clone());
        }
    }

    /// A job is gone.
    pub(crate) fn forget(&self, job: &Key) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.remove(job);
    }
}

fn key(observed: &Observed) -> Key {
    let job = &observed.job;
    (job.namespace.clone(), job.name.clone())
}

/// A pod whose container should be there by now.
fn stuck(observed: &Observed) -> Option<&PodView> {
    let mut pods = observed.pods.iter();
    pods.find(|pod| {
        let since = pod.creating_since_ms;
        let long = since.is_some_and(|since| observed.now_ms - since >= PATIENCE_MS);
        long && pod.trouble.is_none() && pod.deleting_since_ms.is_none()
    })
}

/// What the node said last, if that is a complaint. Events of an earlier pod of the same name are
/// older than this one.
fn said(events: &[Event], pod: &PodView) -> Option<Trouble> {
    let since = pod.creating_since_ms?;
    let of_this = events.iter().filter(|event| at_ms(event) >= since);
    let last = of_this.max_by_key(|event| at_ms(event))?;
    let reason = last.reason.clone()?;
    REASONS.contains(&reason.as_str()).then(|| Trouble {
        reason,
        message: last.message.clone().unwrap_or_default(),
    })
}

/// When an Event was told the last time, in milliseconds since 1970.
fn at_ms(event: &Event) -> i64 {
    let series = event.series.as_ref();
    let series = series.and_then(|series| series.last_observed_time.as_ref());
    let times = [
        series.map(|time| time.0.as_millisecond()),
        event
            .last_timestamp
            .as_ref()
            .map(|time| time.0.as_millisecond()),
        event
            .event_time
            .as_ref()
            .map(|time| time.0.as_millisecond()),
    ];
    times.into_iter().flatten().max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use weir_controller::Component;

    use super::*;

    fn pod() -> PodView {
        PodView {
            name: "x-j1-0".to_owned(),
            component: Component::JobManager,
            deployment: 1,
            revision: None,
            ready: false,
            over: false,
            deleting_since_ms: None,
            ended: None,
            trouble: None,
            // 2026-01-01T00:00:00Z
            creating_since_ms: Some(1_767_225_600_000),
            made_ms: 0,
            has_address: false,
            lease_missing: false,
            standby: None,
        }
    }

    fn event(second: u32, reason: &str) -> Event {
        let time = format!("2026-01-01T00:00:{second:02}Z");
        let event = json!({
            "metadata": {}, "involvedObject": {}, "reason": reason, "message": reason,
            "lastTimestamp": time,
        });
        serde_json::from_value(event).expect("an Event")
    }

    #[test]
    fn the_last_word_of_the_node_counts_if_it_is_a_complaint_of_this_pod() {
        let mut earlier = event(0, "FailedMount");
        let time = "2025-12-31T23:59:50Z";
        earlier.last_timestamp = serde_json::from_value(json!(time)).expect("a time");
        let said = |events: &[Event]| said(events, &pod()).map(|said| said.reason);
        assert_eq!(said(&[]), None);
        assert_eq!(
            said(&[earlier.clone()]),
            None,
            "of a pod that was there before"
        );
        let mount = || event(4, "FailedMount");
        let scheduled = || event(1, "Scheduled");
        assert_eq!(
            said(&[mount(), scheduled(), earlier]).as_deref(),
            Some("FailedMount")
        );
        assert_eq!(
            said(&[mount(), event(9, "Pulling")]),
            None,
            "it was mounted"
        );
    }
}
