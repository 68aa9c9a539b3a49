//! Manifests that are right: what is read from them, and that writing and reading is the same.

use std::collections::BTreeSet;

use crate::full::{FULL, Field, fields_of_full};
use schemars::generate::SchemaSettings;
use serde_json::{Value, json};
use weir_crd::{
    CheckpointExternalized, FailoverStrategy, ManifestDuration, RestartPolicy, RestartStrategyType,
    StreamJob, StreamJobSpec,
};

const SMALL: &str = "\
apiVersion: weir.dev/v1alpha1
kind: StreamJob
metadata:
  name: wordcount
spec:
  job:
    program: wordcount
    args:
      input: /tmp/in.txt
      output: /tmp/out
    parallelism: 2
";

fn read(text: &str) -> StreamJob {
    StreamJob::from_yaml("job.yaml", text).expect("a manifest")
}

fn property_paths(schema: &Value, path: &str, found: &mut BTreeSet<String>) {
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}{}{name}", if path.is_empty() { "" } else { "." });
        property_paths(property, &path, found);
        property_paths(&property["items"], &path, found);
        found.insert(path);
    }
}

#[test]
fn a_small_manifest_has_the_documented_defaults() {
    let job = read(SMALL);
    assert_eq!(job.metadata.name, "wordcount");
    assert_eq!(job.spec.job.program, "wordcount");
    assert_eq!(job.spec.job.args["input"], "/tmp/in.txt");
    assert_eq!(job.spec.job.parallelism, Some(2));
    assert_eq!(job.spec.job.max_parallelism_or_default(), 128);
    assert_eq!(
        job.spec.checkpoint.interval,
        ManifestDuration::from_secs(30)
    );
    assert_eq!(
        job.spec.checkpoint.externalized,
        CheckpointExternalized::RetainOnCancel
    );
    assert_eq!(job.spec.failover_strategy, FailoverStrategy::Region);
    assert_eq!(job.spec.storage, None);
    assert_eq!(job.spec.job_manager.replicas, 2);
    let other_fields = StreamJobSpec {
        job: job.spec.job.clone(),
        ..StreamJobSpec::default()
    };
    assert_eq!(
        job.spec, other_fields,
        "what a file leaves out is what the type's default says"
    );
}

#[test]
fn the_full_manifest_holds_every_field_of_the_schema() {
    let settings = SchemaSettings::openapi3().with(|settings| settings.inline_subschemas = true);
    let schema = settings
        .into_generator()
        .into_root_schema_for::<StreamJob>();
    let mut in_schema = BTreeSet::new();
    property_paths(schema.as_value(), "", &mut in_schema);
    let in_file: BTreeSet<_> = fields_of_full().iter().map(Field::path_in_schema).collect();
    // The other half of each "exactly one of", and the fields of the other restart strategies.
    let elsewhere = [
        "spec.restartStrategy.attempts",
        "spec.restartStrategy.delay",
        "spec.restartStrategy.interval",
        "spec.restartStrategy.maxFailures",
        "spec.storage.local",
        "spec.storage.local.path",
        "spec.storage.s3.credentials.workloadIdentity",
    ];
    let missing: Vec<_> = in_schema.difference(&in_file).collect();
    assert_eq!(missing, elsewhere);
    assert_eq!(
        in_file.difference(&in_schema).collect::<Vec<_>>(),
        Vec::<&String>::new()
    );
}

#[test]
fn a_written_manifest_reads_back_the_same() {
    for text in [FULL, SMALL] {
        let job = read(text);
        let json = serde_json::to_string_pretty(&job).expect("manifests can be written");
        assert_eq!(read(&json), job);
        assert_eq!(serde_json::from_str::<StreamJob>(&json).expect("JSON"), job);
    }
}

#[test]
fn no_value_of_the_full_manifest_is_lost() {
    let job = serde_json::to_value(read(FULL)).expect("manifests can be written");
    for (pointer, expected) in [
        (
            "/spec/job/args",
            json!({"input": "a.txt", "limit": "100", "exact": "true", "ratio": "0.50", "none": ""}),
        ),
        (
            "/spec/job/env/1/valueFrom",
            json!({"fieldRef": {"fieldPath": "metadata.name"}}),
        ),
        ("/spec/upgrade/maxCheckpointAge", json!("1h30m")),
        (
            "/spec/storage/s3/credentials/secretRef/sessionTokenKey",
            json!("token"),
        ),
        (
            "/spec/taskManager/resources/requests",
            json!({"cpu": "1", "memory": "1Gi"}),
        ),
        (
            "/spec/taskManager/podTemplate/spec/containers/0/env/0/value",
            json!("1"),
        ),
        ("/spec/restartStrategy/jitter", json!(0.0)),
        ("/spec/ttlAfterFinished", json!("24h")),
        (
            "/metadata/annotations",
            json!({"weir.dev/savepoint-nonce": "7"}),
        ),
    ] {
        assert_eq!(job.pointer(pointer), Some(&expected), "{pointer}");
    }
    assert_eq!(job.get("status"), None);
}

#[test]
fn the_api_server_may_know_fields_that_this_version_does_not() {
    let mut object = serde_json::to_value(read(SMALL)).expect("manifests can be written");
    object["spec"]["upgrade"]["later"] = json!(1);
    object["metadata"]["uid"] = json!("x");
    assert_eq!(
        serde_json::from_value::<StreamJob>(object).expect("an object"),
        read(SMALL)
    );
}

#[test]
fn files_of_other_tools_are_read() {
    let job = read(SMALL);
    let crlf = SMALL.replace('\n', "\r\n");
    let between_empty_documents = format!("# rendered\n---\n{SMALL}---\n");
    let with_null_fields = format!("{SMALL}    maxParallelism:\n  image: ~\n  storage: null\n");
    let from_cluster =
        format!("{SMALL}status:\n  phase: Running\n  conditions: [{{type: Ready}}]\n").replace(
            "metadata:\n",
            "metadata:\n  uid: 1-2\n  generation: 3\n  creationTimestamp: 2026-01-01T00:00:00Z\n  \
         managedFields: [{manager: kubectl}]\n",
        );
    let with_byte_order_mark = format!("\u{feff}{SMALL}");
    let with_alias = SMALL.replace(
        "input: /tmp/in.txt",
        "input: &in /tmp/in.txt\n      again: *in",
    );
    for text in [
        crlf,
        between_empty_documents,
        with_null_fields,
        from_cluster,
        with_byte_order_mark,
    ] {
        assert_eq!(read(&text), job, "{text}");
    }
    assert_eq!(read(&with_alias).spec.job.args["again"], "/tmp/in.txt");
    assert_eq!(
        StreamJob::from_yaml_bytes("job.yaml", SMALL.as_bytes()),
        Ok(job)
    );
}

#[test]
fn restart_strategies_have_flinks_defaults() {
    let policy = |strategy: &str, checkpoints_on| {
        let job = read(&format!("{SMALL}  restartStrategy: {strategy}\n"));
        job.spec.restart_strategy.policy(checkpoints_on)
    };
    let secs = std::time::Duration::from_secs;
    let exponential = |attempts| RestartPolicy::ExponentialDelay {
        attempts,
        initial_delay: secs(1),
        max_delay: secs(60),
        multiplier: 1.5,
        jitter: 0.1,
        reset_after: secs(3600),
    };
    assert_eq!(policy("{}", true), exponential(None));
    assert_eq!(policy("{}", false), RestartPolicy::None);
    assert_eq!(policy("{type: ExponentialDelay}", false), exponential(None));
    assert_eq!(
        policy("{type: ExponentialDelay, attempts: 7}", true),
        exponential(Some(7))
    );
    assert_eq!(policy("{type: None}", true), RestartPolicy::None);
    assert_eq!(
        policy("{type: FixedDelay, attempts: 3}", true),
        RestartPolicy::FixedDelay {
            attempts: 3,
            delay: secs(1)
        }
    );
    assert_eq!(
        policy(
            "{type: FailureRate, maxFailures: 2, interval: 5m, delay: 10s}",
            true
        ),
        RestartPolicy::FailureRate {
            max_failures: 2,
            interval: secs(300),
            delay: secs(10)
        }
    );
    assert_eq!(
        read(SMALL).spec.restart_strategy.kind,
        None::<RestartStrategyType>
    );
}
