//! Revisions: which changes of a spec replace the running job, and which do not.
//!
//! A revision is a hash over what the job's processes are made of. A field that only says how the
//! operator treats the job (how upgrades go, what is kept, what happens at deletion) is not in it:
//! a change of it takes effect at once and restarts nothing. Each field's class is decided by name
//! below; a new field does not compile until it is.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use weir_crd::StreamJobSpec;

/// Hexadecimal digits of a revision.
const DIGITS: usize = 10;

/// What a spec's processes are made of, as hashes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revision {
    /// Of all of it.
    pub whole: String,
    /// Of all but the parallelism and the number of TaskManagers: two specs that differ only in
    /// those are two sizes of one job.
    pub shape: String,
}

/// A spec's revision.
pub fn revision(spec: &StreamJobSpec) -> Revision {
    let StreamJobSpec {
        job,
        image,
        image_pull_policy,
        image_pull_secrets,
        state_version,
        suspend: _,
        restart_nonce: _,
        upgrade: _,
        restore: _,
        state_id,
        checkpoint,
        savepoint,
        storage,
        state_backend,
        job_manager,
        task_manager,
        pod_template,
        ha,
        restart_strategy,
        failover_strategy,
        rollback: _,
        health: _,
        on_delete: _,
        ttl_after_finished: _,
        service_account_name,
        // What surrounds the pods is changed without touching them.
        ui: _,
        network_policy: _,
        pdb: _,
        metrics: _,
        // Taken over at the next start.
        logging: _,
    } = spec;
    let mut job = job.clone();
    let mut task_manager = task_manager.clone();
    let size = json!([
        job.parallelism.take(),
        task_manager.replicas.take(),
        task_manager.slots
    ]);
    let shape = json!([
        job,
        image,
        image_pull_policy,
        image_pull_secrets,
        state_version,
        state_id,
        checkpoint,
        savepoint.timeout,
        storage,
        state_backend,
        job_manager,
        task_manager,
        pod_template,
        ha,
        restart_strategy,
        failover_strategy,
        service_account_name,
    ]);
    Revision {
        whole: hash(&json!([size, shape])),
        shape: hash(&shape),
    }
}

/// The maps of JSON values are sorted, so equal values have equal texts.
fn hash(value: &Value) -> String {
    let digest = Sha256::digest(value.to_string());
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    hex.chars().take(DIGITS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(change: &Value) -> StreamJobSpec {
        let mut value = json!({"job": {"program": "p"}, "taskManager": {"replicas": 2}});
        for (name, fields) in change.as_object().expect("fields") {
            match (value.get_mut(name), fields) {
                (Some(Value::Object(own)), Value::Object(fields)) => own.extend(fields.clone()),
                _ => value[name] = fields.clone(),
            }
        }
        serde_json::from_value(value).expect("a spec")
    }

    #[test]
    fn what_only_concerns_the_operator_is_no_new_revision() {
        let base = revision(&spec(&json!({})));
        for change in [
            json!({"suspend": true}),
            json!({"restartNonce": 1}),
            json!({"upgrade": {"mode": "LastState"}}),
            json!({"logging": {"level": "debug"}}),
            json!({"savepoint": {"schedule": "0 3 * * *"}}),
            json!({"rollback": {"enabled": false}}),
            json!({"onDelete": {"savepoint": "Required"}}),
            json!({"pdb": {"enabled": false}}),
        ] {
            assert_eq!(revision(&spec(&change)), base, "{change}");
        }
    }

    #[test]
    fn another_size_is_the_same_shape_and_anything_else_is_not() {
        let base = revision(&spec(&json!({})));
        for (change, same_shape) in [
            (json!({"job": {"parallelism": 2}}), true),
            (json!({"taskManager": {"replicas": 3}}), true),
            (json!({"image": "x"}), false),
            (json!({"job": {"args": {"a": "b"}}}), false),
            (json!({"checkpoint": {"interval": "1s"}}), false),
            (json!({"jobManager": {"replicas": 1}}), false),
        ] {
            let other = revision(&spec(&change));
            assert_ne!(other.whole, base.whole, "{change}");
            assert_eq!(other.shape == base.shape, same_shape, "{change}");
        }
    }
}
