//! Processes that are killed and pods that are deleted: the job goes on, its output is exact.

use serde_json::json;
use weir_tests_k8s::{Job, Stand, secs, until_within};

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
