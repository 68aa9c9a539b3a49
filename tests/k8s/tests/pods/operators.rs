//! The operator's own end: jobs run on without it, and the next one goes on where it was.

use serde_json::json;
use weir_tests_k8s::{Job, Stand, secs, until_within};

#[test]
fn an_operator_that_is_killed_or_deleted_amid_an_upgrade_is_succeeded_by_the_one_that_stands_by() {
    let _stand = Stand::alone();
    let mut job = Job::new("operator").started();
    job.goes_on(secs(20));
    for (revision, kill) in [("2", true), ("3", false)] {
        job.edit(&json!({ "job": { "env": [{ "name": "REVISION", "value": revision }] } }));
        job.until(secs(20), "an operation", |status| {
            !status["operation"].is_null()
        });
        let (acting, holder) = (Stand::acting(), Stand::holder());
        match kill {
            true => acting.kill_nine(),
            false => acting.delete(),
        }
        until_within(secs(40), "another operator acts", || {
            let now = Stand::holder();
            !now.is_empty() && now != holder
        });
        job.until_ready(secs(60));
        assert_eq!(job.told("/deployment"), revision);
        assert_eq!(
            job.told("/restore/checkpointId"),
            job.told("/savepoint/last/id")
        );
        job.goes_on(secs(20));
    }
    job.stops_exact();
}
