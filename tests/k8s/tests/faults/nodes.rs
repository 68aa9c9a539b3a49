//! Two nodes, of which one is drained, falls silent, or comes back.

use serde_json::{Value, json};
use weir_tests_k8s::{Alone, Job, Stand, kubectl, secs, try_kubectl, until_within};

/// The second node, for as long as this lives.
struct SecondNode<'a>(&'a Alone);

impl<'a> SecondNode<'a> {
    fn new(stand: &'a Alone) -> Self {
        stand.run(&["node", "2"]);
        Self(stand)
    }
}

impl Drop for SecondNode<'_> {
    fn drop(&mut self) {
        drop(try_kubectl(&["uncordon", "node1"], ""));
        self.0.run(&["drop", "2"]);
    }
}

/// Two of each, spread over both nodes.
fn spread() -> Value {
    json!({
        "jobManager": { "replicas": 2 },
        "taskManager": { "replicas": 2, "slots": 1 },
    })
}

#[test]
#[ignore = "takes minutes: make k8s-faults"]
fn f20_a_node_that_is_drained_is_left_by_all_pods_and_the_job_goes_on() {
    let stand = Stand::alone();
    let _node = SecondNode::new(&stand);
    let mut job = Job::new("drain").with(&spread()).started();
    job.goes_on(secs(20));
    let on_second = |job: &Job| job.pods().iter().any(|pod| pod.node == "node2");
    assert!(on_second(&job), "no pod came to the second node");
    let args = [
        "drain",
        "node2",
        "--delete-emptydir-data",
        "--ignore-daemonsets",
    ];
    kubectl(&[&args[..], &["--force", "--timeout=120s"]].concat());
    assert!(!on_second(&job), "a pod stays");
    until_within(secs(60), "all pods on the first node", || {
        let pods = job.pods();
        pods.len() == 4 && pods.iter().all(|pod| pod.ready && pod.node == "node1")
    });
    job.goes_on(secs(30));
    job.until_ready(secs(30));
    job.stops_exact();
}

#[test]
#[ignore = "takes minutes: make k8s-faults"]
fn f21_a_node_that_falls_silent_is_replaced_and_its_pods_do_no_harm_while_they_run_on() {
    let stand = Stand::alone();
    let _node = SecondNode::new(&stand);
    // The pods with the leader's seat are on the node that falls silent.
    kubectl(&["cordon", "node1"]);
    let mut job = Job::new("silent")
        .with(&json!({ "taskManager": { "terminationGracePeriodSeconds": 5 } }))
        .started();
    kubectl(&["uncordon", "node1"]);
    job.goes_on(secs(20));
    let epoch = job.views().epoch();
    // The pods run on; nobody hears of them.
    stand.run(&["stop", "-s", "STOP", "kubelet-node2"]);
    until_within(
        secs(240),
        "output of another epoch from the first node",
        || {
            let views = job.views();
            views.epoch() > epoch && job.pods().iter().any(|pod| pod.node == "node1")
        },
    );
    job.goes_on(secs(40));
    stand.run(&["start", "kubelet-node2"]);
    job.goes_on(secs(40));
    job.until_ready(secs(60));
    job.stops_exact();
}
