//! The API server and the operators.

use serde_json::json;
use weir_tests_k8s::{Job, Stand, helm, kubectl, rest, secs, until_within};

use crate::revision;

#[test]
#[ignore = "takes minutes: make k8s-faults"]
fn f24_jobs_run_on_while_the_api_server_is_down_for_two_minutes_and_are_looked_after_again() {
    let stand = Stand::alone();
    let mut job = Job::new("api-down")
        .with(&json!({
            "jobManager": { "replicas": 2 },
            "rollback": { "readinessTimeout": "2m" },
        }))
        .started();
    job.goes_on(secs(20));
    let epoch = job.views().epoch();
    stand.run(&["stop", "apiserver"]);
    for _ in 0..8 {
        rest(secs(14));
        job.goes_on(secs(10));
    }
    stand.run(&["start", "apiserver"]);
    job.goes_on(secs(20));
    assert_eq!(job.views().epoch(), epoch, "the leader has changed");
    until_within(secs(60), "the API server", || !job.object().is_null());
    kubectl(&[
        "wait",
        "--for=condition=Ready",
        "node/node1",
        "--timeout=60s",
    ]);
    job.edit(&revision("2"));
    job.until_ready(secs(120));
    job.stops_exact();
}

#[test]
#[ignore = "takes minutes: make k8s-faults"]
fn f23_an_operator_that_stands_still_is_succeeded_and_acts_no_more_when_it_wakes() {
    let _stand = Stand::alone();
    let mut job = Job::new("operator-still").started();
    let acting = Stand::acting();
    let holder = Stand::holder();
    acting.signal("STOP");
    until_within(secs(40), "another operator acts", || {
        let now = Stand::holder();
        !now.is_empty() && now != holder
    });
    job.edit(&revision("2"));
    job.until_ready(secs(60));
    acting.signal("CONT");
    rest(secs(5));
    assert_ne!(Stand::holder(), holder, "it took the Lease back");
    job.goes_on(secs(20));
    assert_eq!(job.told("/deployment"), "2");
    job.stops_exact();
}

/// Waits until the job says that the operator in `weir-second` leaves it alone.
#[track_caller]
fn tells_of_the_second(job: &Job) {
    let told = job.until_condition("Accepted", false, secs(40));
    assert_eq!(told.reason, "ForeignOperator", "{told:?}");
    assert!(told.message.contains("weir-second/"), "{told:?}");
}

#[test]
#[ignore = "takes minutes: make k8s-faults"]
fn f26_two_releases_do_not_both_look_after_a_job() {
    let _stand = Stand::alone();
    let mut job = Job::new("two-operators").started();
    // What a run that failed has left.
    let gone = ["--ignore-not-found", "--timeout=60s"];
    kubectl(&[&["delete", "namespace", "weir-second"][..], &gone].concat());
    kubectl(&["create", "namespace", "weir-second"]);
    let args = ["install", "second", "CHART", "--namespace", "weir-second"];
    helm(
        &[
            &args[..],
            &["--set", "crds.enabled=false,replicaCount=1", "--wait"],
        ]
        .concat(),
    );
    tells_of_the_second(&job);
    job.edit(&revision("2"));
    job.until_ready(secs(60));
    job.goes_on(secs(20));
    rest(secs(5));
    assert_eq!(job.told("/deployment"), "2");
    tells_of_the_second(&job);
    helm(&["uninstall", "second", "--namespace", "weir-second"]);
    kubectl(&["delete", "namespace", "weir-second", "--wait=false"]);
    // Its Lease was given up, or is looked at for a while before it counts as nobody's.
    job.until_condition("Accepted", true, secs(120));
    job.stops_exact();
}

#[test]
#[ignore = "takes minutes: make k8s-faults"]
fn f15_without_an_operator_jobs_run_on_and_a_streamjob_without_finalizer_can_be_deleted() {
    let _stand = Stand::alone();
    let job = Job::new("no-operator").started();
    kubectl(&["scale", "deployment", "weir-operator", "--replicas=0"]);
    until_within(secs(30), "no operator", || Stand::operators().is_empty());
    job.leader().kill_nine();
    job.goes_on(secs(40));
    job.delete();
    until_within(secs(40), "the pods have gone", || job.all_pods().is_empty());
    job.is_exact();
    kubectl(&["scale", "deployment", "weir-operator", "--replicas=2"]);
    kubectl(&[
        "rollout",
        "status",
        "deployment/weir-operator",
        "--timeout=60s",
    ]);
}
