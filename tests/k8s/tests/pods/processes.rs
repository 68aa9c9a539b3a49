//! Processes that are killed and pods that are deleted: the job goes on, its output is exact.

use serde_json::json;
use weir_tests_k8s::{Job, Stand, get, secs, until_within};

#[test]
fn a_jobmanager_that_is_killed_is_restarted_by_its_node_and_goes_on() {
    let _stand = Stand::shared();
    let mut job = Job::new("kill-jobmanager").started();
    job.goes_on(secs(20));
    for _ in 0..2 {
        let leader = job.leader();
        leader.kill_nine();
        // A node waits for 10 s before it starts a container that died again, and looks at times.
        until_within(secs(60), "the container starts again", || {
            job.leader().restarts > leader.restarts
        });
        job.goes_on(secs(40));
    }
    job.stops_exact();
}

#[test]
fn a_leader_that_is_killed_is_succeeded_by_the_jobmanager_that_stands_by() {
    let _stand = Stand::shared();
    let mut job = Job::new("kill-leader")
        .with(&json!({ "jobManager": { "replicas": 2 } }))
        .started();
    job.goes_on(secs(20));
    let epoch = job.views().epoch();
    job.leader().kill_nine();
    until_within(secs(40), "output of another epoch", || {
        job.views().epoch() > epoch
    });
    job.stops_exact();
}

#[test]
fn a_leader_whose_pod_is_deleted_hands_over_and_the_pod_comes_back() {
    let _stand = Stand::shared();
    let mut job = Job::new("delete-leader")
        .with(&json!({ "jobManager": { "replicas": 2 } }))
        .started();
    job.goes_on(secs(20));
    let (epoch, leader) = (job.views().epoch(), job.leader());
    leader.delete();
    until_within(secs(40), "output of another epoch", || {
        job.views().epoch() > epoch
    });
    until_within(secs(40), "the pod comes back", || {
        let managers = job.component("jobmanager");
        managers.len() == 2
            && managers
                .iter()
                .all(|pod| pod.ready && pod.uid != leader.uid)
    });
    job.stops_exact();
}

#[test]
fn a_taskmanager_that_is_killed_or_deleted_is_replaced() {
    let _stand = Stand::shared();
    let mut job = Job::new("taskmanager").started();
    job.goes_on(secs(20));
    job.taskmanager().kill_nine();
    job.goes_on(secs(40));
    let before = job.taskmanager();
    before.delete();
    until_within(secs(40), "another pod", || {
        let now = job.component("taskmanager");
        now.iter().any(|pod| pod.ready && pod.uid != before.uid)
    });
    job.goes_on(secs(40));
    assert_eq!(job.told("/deployment"), "1");
    job.stops_exact();
}

#[test]
fn all_pods_at_once_can_be_deleted() {
    let _stand = Stand::shared();
    let mut job = Job::new("delete-all").started();
    job.goes_on(secs(20));
    for pod in job.pods() {
        pod.delete();
    }
    job.goes_on(secs(60));
    job.until_ready(secs(30));
    job.stops_exact();
}

/// How many records the job's source has read, as REST says behind its Service.
fn records_read(job: &Job) -> Option<u64> {
    let namespace = &job.namespace;
    let jobs = format!("/api/v1/namespaces/{namespace}/services/views-rest:rest/proxy/jobs");
    let id = get(&jobs)?.pointer("/jobs/0/id")?.as_str()?.to_owned();
    let details = get(&format!("{jobs}/{id}"))?;
    details
        .pointer("/vertices/0/metrics/read-records")?
        .as_u64()
}

/// No pointer keeps the leaders of such a job apart: each JobManager would run it.
#[test]
fn of_two_jobmanagers_of_a_job_without_storage_one_leads_and_the_other_takes_over() {
    let _stand = Stand::shared();
    let job = Job::new("no-storage")
        .with(&json!({
            "job": { "args": { "output": "/tmp/views", "overwrite": "true" } },
            "checkpoint": { "interval": "0s" },
            "storage": null,
            "jobManager": { "replicas": 2 },
        }))
        .started();
    let goes_on = || {
        let mut before = None;
        until_within(secs(60), "records", || {
            let now = records_read(&job);
            before = before.or(now);
            now > before
        });
    };
    let leads = || {
        let mut managers = job.component("jobmanager");
        managers.retain(|pod| pod.leads);
        managers
    };
    goes_on();
    let leaders = leads();
    assert_eq!(leaders.len(), 1, "{leaders:?}");
    leaders[0].delete();
    until_within(
        secs(60),
        "another one leads",
        || matches!(&leads()[..], [leader] if leader.uid != leaders[0].uid),
    );
    goes_on();
    assert_eq!(leads().len(), 1);
}
