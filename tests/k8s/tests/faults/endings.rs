//! Jobs that are over, and processes that come back too late.

use serde_json::json;
use weir_tests_k8s::{Job, Stand, rest, secs, until_within};

use crate::revision;

#[test]
#[ignore = "takes minutes: make k8s-faults"]
fn f31_a_job_that_has_finished_is_never_run_again() {
    let _stand = Stand::shared();
    let job = Job::new("finished").with(&json!({ "job": { "args": { "count": "5000" } } }));
    job.apply();
    job.until(secs(90), "the end", |status| status["phase"] == "Finished");
    until_within(secs(60), "no pods", || job.all_pods().is_empty());
    let wrong = job.views().wrong(1000, false);
    assert!(
        wrong.is_empty() && job.views().newest() == 5000,
        "{wrong:?}"
    );
    // Applied again, and its status lost: it has finished.
    job.apply();
    rest(secs(5));
    assert_eq!(
        (job.told("/phase").as_str(), job.all_pods()),
        ("Finished", vec![])
    );
    job.delete();
    job.apply();
    job.until(secs(90), "the end again", |status| {
        status["phase"] == "Finished"
    });
    assert_eq!(job.views().newest(), 5000);
}

#[test]
#[ignore = "takes minutes: make k8s-faults"]
fn f22_a_leader_that_stands_still_is_succeeded_and_ends_when_it_wakes() {
    let _stand = Stand::shared();
    let mut job = Job::new("leader-still")
        .with(&json!({ "jobManager": { "replicas": 2 } }))
        .started();
    job.goes_on(secs(20));
    let (leader, epoch) = (job.leader(), job.views().epoch());
    leader.signal("STOP");
    until_within(secs(40), "output of another epoch", || {
        job.views().epoch() > epoch
    });
    rest(secs(5));
    leader.signal("CONT");
    rest(secs(5));
    job.goes_on(secs(20));
    job.until_ready(secs(60));
    job.stops_exact();
}

#[test]
#[ignore = "takes minutes: make k8s-faults"]
fn f18_a_status_that_somebody_edits_does_not_bring_the_job_back_to_older_state() {
    let _stand = Stand::shared();
    let mut job = Job::new("status").started();
    job.goes_on(secs(20));
    job.edit(&revision("2"));
    job.until_ready(secs(60));
    job.goes_on(secs(20));
    // As a restore from a backup of etcd does.
    let patch = json!({ "status": null }).to_string();
    let args = [
        "patch",
        "sj",
        "views",
        "--subresource=status",
        "--type=merge",
        "-p",
        &patch,
    ];
    job.kubectl(&args);
    job.until_ready(secs(120));
    assert_ne!(job.told("/restore/checkpointId"), "", "it started empty");
    job.goes_on(secs(30));
    job.stops_exact();
}
