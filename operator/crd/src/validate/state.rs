//! Rules for checkpoints, savepoints, storage and the state backend.

use super::{Schedule, Violations, names};
use crate::spec::{ManifestDuration, SseType, StorageSpec, StreamJobSpec};

pub(super) fn state(found: &mut Violations, spec: &StreamJobSpec) {
    let checkpoint = &spec.checkpoint;
    let at_least = ManifestDuration::from_millis(100);
    found.check(
        checkpoint.interval.is_zero() || checkpoint.interval >= at_least,
        "spec.checkpoint.interval",
        "must be at least 100ms, or 0s for no checkpoints",
    );
    found.check(
        checkpoint.min_pause < ManifestDuration::from_mins(24 * 60),
        "spec.checkpoint.minPause",
        "must be less than 24h",
    );
    if let Some(schedule) = &spec.savepoint.schedule {
        found.result(
            "spec.savepoint.schedule",
            Schedule::parse(schedule).map(drop),
        );
    }
    if let Some(state_id) = &spec.state_id {
        found.result("spec.stateId", names::state_id(state_id));
    }
    if let Some(storage) = &spec.storage {
        check_storage(found, storage);
    }
    let local_size = &spec.state_backend.local_size;
    found.check(
        local_size.value() > 0.0,
        "spec.stateBackend.localSize",
        "must be more than 0",
    );
}

fn check_storage(found: &mut Violations, storage: &StorageSpec) {
    match (&storage.s3, &storage.local) {
        (Some(_), Some(_)) => found.add("spec.storage", "has both `s3` and `local`: remove one"),
        (None, None) => found.add("spec.storage", "needs one of `s3` and `local`"),
        _ => {}
    }
    let Some(s3) = &storage.s3 else {
        return;
    };
    let path = "spec.storage.s3.credentials";
    match (
        &s3.credentials.workload_identity,
        &s3.credentials.secret_ref,
    ) {
        (Some(_), Some(_)) => {
            found.add(
                path,
                "has both `workloadIdentity` and `secretRef`: remove one",
            );
        }
        (None, None) => found.add(path, "needs one of `workloadIdentity: {}` and `secretRef`"),
        _ => {}
    }
    found.check(
        s3.sse.key_id.is_none() || s3.sse.kind == SseType::Kms,
        "spec.storage.s3.sse.keyId",
        "needs `type: KMS`",
    );
    if let Some(endpoint) = &s3.endpoint {
        let host = endpoint
            .strip_prefix("https://")
            .or_else(|| endpoint.strip_prefix("http://"));
        found.check(
            host.is_some_and(|host| !host.is_empty()),
            "spec.storage.s3.endpoint",
            "must be a URL such as `https://s3.example.com`",
        );
    }
}
