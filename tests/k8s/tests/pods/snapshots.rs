//! Savepoints and checkpoints that a person asks for.

use weir_tests_k8s::{Job, Stand, rest, secs};

#[test]
fn a_savepoint_nonce_takes_one_savepoint_and_never_a_second_one() {
    let _stand = Stand::shared();
    let mut job = Job::new("savepoint").started();
    job.annotate("savepoint-nonce", "7");
    job.until(secs(15), "savepoint 7", |status| {
        status
            .pointer("/savepoint/last/nonce")
            .is_some_and(|nonce| nonce == "7")
    });
    assert_eq!(job.told("/savepoint/last/state"), "Completed");
    let path = job.told("/savepoint/last/path");
    // The same nonce again is nothing new.
    job.annotate("savepoint-nonce", "8");
    job.until(secs(15), "savepoint 8", |status| {
        status
            .pointer("/savepoint/last/nonce")
            .is_some_and(|nonce| nonce == "8")
    });
    job.annotate("savepoint-nonce", "8");
    rest(secs(2));
    let history = job.status()["savepoint"]["history"].clone();
    assert_eq!(history.as_array().map(Vec::len), Some(2), "{history}");
    assert_ne!(job.told("/savepoint/last/path"), path);
    job.stops_exact();
}

#[test]
fn a_checkpoint_nonce_takes_a_checkpoint() {
    let _stand = Stand::shared();
    let job = Job::new("checkpoint").started();
    job.annotate("checkpoint-nonce", "a");
    job.until(secs(15), "checkpoint a", |status| {
        let last = status.pointer("/checkpoint/last/nonce");
        last.is_some_and(|nonce| nonce == "a")
    });
    assert_eq!(job.told("/checkpoint/last/state"), "Completed");
}
