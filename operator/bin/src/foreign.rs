//! Whether other operators, which a job's status names, still hold their Leases.
//!
//! A Lease counts as nobody's if it is not there, names nobody, or has not changed for a while on
//! this process's own clock. One that can't be read counts as held: whoever may not look must not
//! take over.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use kube::{Api, Client};
use weir_crd::StreamJobStatus;
use weir_types::Timestamp;

/// How often a Lease is looked at, however many jobs name it.
const LOOK: Duration = Duration::from_secs(10);

/// A Lease that has not changed for so long is nobody's: some times the default duration.
const SILENCE: Duration = Duration::from_secs(60);

/// What is known of other operators.
#[derive(Debug, Default)]
pub(crate) struct Others {
    own: OnceLock<String>,
    seen: Mutex<HashMap<String, Seen>>,
}

#[derive(Clone, Debug)]
struct Seen {
    /// None: there is no Lease, or nobody holds it.
    version: Option<String>,
    since: Timestamp,
    looked: Timestamp,
}

impl Others {
    /// This operator's own Lease, as `NAMESPACE/NAME`.
    pub(crate) fn identify(&self, own: String) {
        // It is told once in a process's life.
        drop(self.own.set(own));
    }

    pub(crate) fn own(&self) -> String {
        self.own.get().cloned().unwrap_or_default()
    }

    /// The others that the status names.
    fn named(&self, status: &StreamJobStatus) -> Vec<String> {
        let own = self.own();
        if own.is_empty() {
            return Vec::new();
        }
        let named = [&status.operator, &status.refused_operator];
        let named = named.into_iter().flatten().filter(|name| **name != own);
        named.cloned().collect()
    }

    /// Whether it is time to look at one of them.
    pub(crate) fn are_due(&self, status: &StreamJobStatus, now: Timestamp) -> bool {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        self.named(status).iter().any(|name| {
            let known = seen.get(name);
            known.is_none_or(|known| now.since(known.looked) >= LOOK)
        })
    }

    /// Those that are gone, as far as is known.
    pub(crate) fn gone(&self, status: &StreamJobStatus, now: Timestamp) -> BTreeSet<String> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let named = self.named(status).into_iter();
        named
            .filter(|name| seen.get(name).is_some_and(|seen| is_silent(seen, now)))
            .collect()
    }

    /// Looks at those that it is time for.
    pub(crate) async fn look(&self, client: &Client, status: &StreamJobStatus, now: Timestamp) {
        if !self.are_due(status, now) {
            return;
        }
        for name in self.named(status) {
            let Some((namespace, lease)) = name.split_once('/') else {
                continue;
            };
            let api: Api<Lease> = Api::namespaced(client.clone(), namespace);
            match api.get_opt(lease).await {
                Ok(found) => {
                    let holder = |lease: &Lease| lease.spec.as_ref()?.holder_identity.clone();
                    let held = |lease: &Lease| holder(lease).is_some_and(|name| !name.is_empty());
                    let found = found.filter(held);
                    let version = found.and_then(|found| found.metadata.resource_version);
                    self.note(name, version, now);
                }
                Err(error) => tracing::debug!(%error, name, "look at another operator's Lease"),
            }
        }
    }

    fn note(&self, name: String, version: Option<String>, now: Timestamp) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let known = seen.get(&name);
        let same = known.filter(|known| known.version == version);
        let since = same.map_or(now, |known| known.since);
        let looked = now;
        seen.insert(
            name,
            Seen {
                version,
                since,
                looked,
            },
        );
    }
}

fn is_silent(seen: &Seen, now: Timestamp) -> bool {
    seen.version.is_none() || now.since(seen.since) >= SILENCE
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: u64) -> Timestamp {
        Timestamp(secs * 1_000_000_000)
    }

    #[test]
    fn an_operator_is_gone_when_its_lease_is_not_there_or_has_not_changed_for_long() {
        let others = Others::default();
        let status = StreamJobStatus {
            operator: Some("a/weir".to_owned()),
            ..StreamJobStatus::default()
        };
        assert!(
            !others.are_due(&status, at(0)),
            "who has no name looks at nobody"
        );
        others.identify("b/weir".to_owned());
        assert!(others.are_due(&status, at(0)));
        let is_gone = |now| !others.gone(&status, at(now)).is_empty();
        assert!(!is_gone(0), "nothing is known yet");
        let note = |version: Option<&str>, now| {
            let version = version.map(str::to_owned);
            others.note("a/weir".to_owned(), version, at(now));
        };
        note(Some("1"), 0);
        assert!(!others.are_due(&status, at(9)) && others.are_due(&status, at(10)));
        note(Some("1"), 50);
        note(Some("2"), 59);
        assert!(!is_gone(118), "it was renewed");
        note(Some("2"), 119);
        assert!(is_gone(119));
        note(Some("3"), 120);
        assert!(!is_gone(120), "it is back");
        note(None, 121);
        assert!(is_gone(121));
    }
}
