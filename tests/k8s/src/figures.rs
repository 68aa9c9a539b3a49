//! The figures.

use std::time::Duration;

use serde_json::{Value, json};
use weir_tests_k8s::{
    Job, Pod, Stand, get, now, published_after, rest, secs, since, unix_ms, until_within,
};

use crate::measure::Measured;

/// One or more numbers under a name.
pub(crate) struct Figure {
    pub(crate) name: &'static str,
    pub(crate) measure: fn(usize) -> Vec<Measured>,
}

pub(crate) const FIGURES: &[Figure] = &[
    Figure {
        name: "start",
        measure: start,
    },
    Figure {
        name: "savepoint",
        measure: savepoint,
    },
    Figure {
        name: "upgrade-prewarm",
        measure: |count| vec![upgrade("PreWarm", 10.0, count)],
    },
    Figure {
        name: "upgrade-recreate",
        measure: |count| vec![upgrade("Recreate", 20.0, count)],
    },
    Figure {
        name: "leader-2",
        measure: |count| vec![leader(2, 10.0, count)],
    },
    Figure {
        name: "leader-1",
        measure: |count| vec![leader(1, 30.0, count)],
    },
    Figure {
        name: "taskmanager",
        measure: taskmanager,
    },
    Figure {
        name: "operator",
        measure: operator,
    },
    Figure {
        name: "memory",
        measure: memory,
    },
];

/// How long anything may take before it counts as broken.
const LIMIT: Duration = secs(120);

/// Seconds between two points in milliseconds.
fn seconds(from_ms: i64, to_ms: i64) -> f64 {
    f64::from(i32::try_from(to_ms - from_ms).unwrap_or(i32::MAX)) / 1000.0
}

/// A job of the given size that publishes.
fn running(test: &str, spec: &Value) -> Job {
    let job = Job::new(test).with(spec).started();
    job.goes_on(LIMIT);
    job
}

/// Whether the job has read anything, as its JobManager says.
fn has_read(job: &Job) -> bool {
    let service = format!(
        "/api/v1/namespaces/{}/services/{}-rest:rest/proxy",
        job.namespace, job.name
    );
    let jobs = get(&format!("{service}/jobs")).unwrap_or_default();
    let Some(id) = jobs.pointer("/jobs/0/id").and_then(Value::as_str) else {
        return false;
    };
    let job = get(&format!("{service}/jobs/{id}")).unwrap_or_default();
    let vertices = job["vertices"].as_array().cloned().unwrap_or_default();
    vertices.iter().any(|vertex| {
        let written = vertex.pointer("/metrics/write-records");
        written.and_then(Value::as_u64) > Some(0)
    })
}

fn start(count: usize) -> Vec<Measured> {
    /// One that takes longer is told of: it cannot be made to come again.
    const AT_MOST: f64 = 8.0;
    let values = (0..count).map(|_| {
        let job = Job::new("start");
        let begun = now();
        job.apply();
        until_within(LIMIT, "the first record", || has_read(&job));
        let took = since(begun).as_secs_f64();
        if took > AT_MOST {
            eprintln!("a start took {took:.1} s:\n{}", job.describe());
        }
        job.until_ready(LIMIT);
        took
    });
    let what = "`kubectl apply` → first record processed";
    vec![Measured::new(what, "s", AT_MOST, values.collect())]
}

fn savepoint(count: usize) -> Vec<Measured> {
    let job = running("savepoint", &json!({}));
    let values = (0..count).map(|number| {
        let nonce = format!("{number}");
        let begun = now();
        job.annotate("savepoint-nonce", &nonce);
        job.until(LIMIT, "the savepoint", |status| {
            let told = status.pointer("/savepoint/last/nonce");
            told.is_some_and(|told| *told == nonce)
        });
        since(begun).as_secs_f64()
    });
    let what = "savepoint annotation → recorded in status, small state";
    vec![Measured::new(what, "s", 2.0, values.collect())]
}

fn upgrade(strategy: &str, at_most: f64, count: usize) -> Measured {
    let mut job = running("upgrade", &json!({ "upgrade": { "strategy": strategy } }));
    let values = (0..count).map(|number| {
        let epoch = job.views().epoch();
        let revision = format!("{number}");
        job.edit(&json!({ "job": { "env": [{ "name": "REVISION", "value": revision }] } }));
        until_within(LIMIT, "output of the new epoch", || {
            job.views().epoch() > epoch
        });
        job.until_ready(LIMIT);
        job.goes_on(LIMIT);
        let times = job.published();
        let old = times.iter().filter(|part| part.epoch == epoch);
        let new = times.iter().filter(|part| part.epoch > epoch);
        let last = old.map(|part| part.at_ms).max().unwrap_or(0);
        let first = new.map(|part| part.at_ms).min().unwrap_or(0);
        seconds(last, first)
    });
    let what = format!("upgrade, {strategy}: last output of the old epoch → first of the new");
    let values = values.collect();
    job.stops_exact();
    Measured::new(&what, "s", at_most, values)
}

fn leader(replicas: u32, at_most: f64, count: usize) -> Measured {
    let mut job = running("leader", &json!({ "jobManager": { "replicas": replicas } }));
    let values = (0..count).map(|_| {
        until_within(LIMIT, "all JobManagers", || {
            let managers = job.component("jobmanager");
            managers.len() == replicas as usize && managers.iter().all(|pod| pod.ready)
        });
        rest(secs(3));
        let (leader, epoch) = (job.leader(), job.views().epoch());
        let begun = unix_ms();
        leader.delete();
        until_within(LIMIT, "output of the next epoch", || {
            job.views().epoch() > epoch
        });
        let first = published_after(&job, |part| part.epoch > epoch);
        seconds(begun, first)
    });
    let values = values.collect();
    job.stops_exact();
    let what = format!("JobManager leader's pod deleted → output resumes, {replicas} replicas");
    Measured::new(&what, "s", at_most, values)
}

fn taskmanager(count: usize) -> Vec<Measured> {
    // As after a first failure: those that follow soon would be delayed more and more.
    let restart = json!({ "type": "FixedDelay", "attempts": 1000, "delay": "1s" });
    let mut job = running("taskmanager", &json!({ "restartStrategy": restart }));
    let values = (0..count).map(|_| {
        job.goes_on(LIMIT);
        job.until_ready(LIMIT);
        rest(secs(2));
        let newest = |job: &Job| {
            let parts = job.published();
            parts.iter().map(|part| (part.epoch, part.attempt)).max()
        };
        let before = newest(&job);
        let begun = unix_ms();
        job.taskmanager().delete();
        until_within(LIMIT, "output of the next attempt", || {
            newest(&job) > before
        });
        let first = published_after(&job, |part| Some((part.epoch, part.attempt)) > before);
        seconds(begun, first)
    });
    let values = values.collect();
    job.stops_exact();
    let what = "TaskManager's pod deleted → output resumes";
    vec![Measured::new(what, "s", 10.0, values)]
}

/// Waits until both operators run: one that was killed often is started again late.
fn both_operators() {
    until_within(LIMIT, "both operators", || {
        let operators = Stand::operators();
        operators.len() == 2 && operators.iter().all(|pod| pod.ready)
    });
}

/// How long it takes until an operator holds the Lease again: the one that stands by, or the next
/// process in the pod of the one before.
fn takeover(end: impl Fn(&Pod)) -> f64 {
    both_operators();
    rest(secs(2));
    let (acting, term) = (Stand::acting(), Stand::term());
    let begun = now();
    end(&acting);
    until_within(LIMIT, "an operator acts again", || {
        let now = Stand::term();
        !now.0.is_empty() && now != term
    });
    let took = since(begun).as_secs_f64();
    // Its node would start it later and later.
    acting.delete();
    took
}

fn operator(count: usize) -> Vec<Measured> {
    let told = (0..count).map(|_| takeover(|acting| acting.signal("TERM")));
    let told = told.collect();
    let killed = (0..count).map(|_| takeover(Pod::kill_nine));
    let killed = killed.collect();
    vec![
        Measured::new("operator takeover, SIGTERM", "s", 2.0, told),
        Measured::new("operator takeover, kill -9", "s", 17.0, killed),
    ]
}

fn memory(_: usize) -> Vec<Measured> {
    let job = running("memory", &json!({}));
    both_operators();
    rest(secs(30));
    let operators = Stand::operators();
    let operators = operators.iter().map(|pod| pod.resident_mib()).collect();
    let manager = vec![job.leader().resident_mib()];
    vec![
        Measured::new("operator's idle memory", "MiB", 30.0, operators),
        Measured::new("JobManager's idle memory", "MiB", 40.0, manager),
    ]
}
