use super::*;
use crate::golden::assert_golden;
use crate::kubectl::tests::{NOW_MS, job, recorded};

fn report(state: &str, pods: &str) -> Report {
    let pods: List<Pod> = serde_json::from_value(recorded(pods)).expect("pods");
    let told: List<Event> = serde_json::from_value(recorded("events.json")).expect("events");
    let job = job(state);
    let mut events = told.items;
    events.retain(|event| event.involved_object.uid == job.metadata.uid);
    events.sort_by_key(|event| std::cmp::Reverse(event.at_ms()));
    Report {
        pods: pods.items.iter().map(PodReport::of).collect(),
        revisions: vec![
            (
                "3f2a91c07d".to_owned(),
                Some("2026-01-31T11:49:40Z".to_owned()),
            ),
            (
                "91b0c2d4e6".to_owned(),
                Some("2026-01-31T11:00:02Z".to_owned()),
            ),
        ],
        events,
        checkpoints: None,
        job,
    }
}

#[test]
fn the_newest_checkpoint_is_told_as_the_jobmanager_says() {
    let mut report = report("running", "pods.json");
    let mut all = crate::checkpoints::examples::checkpoints();
    all.counts.failed = 2;
    report.checkpoints = Some(all);
    let page = text(&report, NOW_MS);
    let line = page.lines().find(|line| line.contains("checkpoint "));
    let line = line.expect("a line");
    assert!(
        line.contains(" ago, 2 failed since this JobManager took over  "),
        "{line}"
    );
}

#[test]
fn a_job_that_is_well_fits_on_a_few_lines() {
    assert_golden(
        "kubectl-status-running",
        &text(&report("running", "pods.json"), NOW_MS),
    );
}

#[test]
fn what_needs_attention_comes_first_and_what_is_wrong_with_pods_is_said() {
    let page = text(&report("stuck", "troubled-pods.json"), NOW_MS);
    assert_golden("kubectl-status-stuck", &page);
}

#[test]
fn a_status_that_the_pods_contradict_is_not_believed() {
    let contradicts =
        |report: &Report| text(report, NOW_MS).contains("no JobManager leads, though");
    let mut report = report("running", "pods.json");
    assert!(!contradicts(&report));
    report.pods.retain(|pod| !pod.leads);
    assert!(contradicts(&report));
}

#[test]
fn pods_that_are_warmed_up_are_not_counted_among_those_that_run() {
    let mut report = report("stopping", "pods.json");
    let mut warmed = report.pods[0].clone();
    (warmed.deployment, warmed.leads, warmed.ready) = (Some(3), false, false);
    report.pods.push(warmed);
    let page = text(&report, NOW_MS);
    let expected = "2 of 2 JobManagers ready, quickstart-j2-0 leads; 2 of 2 TaskManagers ready, \
                    parallelism 2; 1 pod of other deployments";
    assert!(page.contains(expected), "{page}");
}

#[test]
fn an_open_operation_is_told_with_its_step_and_since_when() {
    let page = text(&report("stopping", "pods.json"), NOW_MS);
    for part in [
        "operation: Upgrade, because the spec has changed",
        "step        Stopping for 17 s; begun 20 s ago",
        "mode        Savepoint, Recreate",
    ] {
        assert!(page.contains(part), "`{part}` is missing in\n{page}");
    }
}

#[test]
fn a_job_that_rests_needs_no_attention_for_not_being_ready() {
    for state in ["suspended", "finished"] {
        let mut job = job(state);
        for condition in &mut job.status.conditions {
            if condition.kind == "Ready" {
                condition.status = ConditionStatus::False;
            }
        }
        assert_eq!(unexpected(&job), Vec::<&Condition>::new(), "{state}");
    }
}

#[test]
fn many_jobs_are_a_line_each() {
    let jobs = ["running", "stopping", "stuck", "suspended", "finished"].map(job);
    assert_golden("kubectl-status-many", &lines(&jobs, true));
}

#[test]
fn an_age_has_no_fractions_and_is_never_negative() {
    for (age, expected) in [(-5_000, "0 s"), (59_900, "59 s"), (187_000, "3m 07s")] {
        assert_eq!(age_ms(NOW_MS - age, NOW_MS), expected);
    }
    assert_eq!(age_ms(NOW_MS - 5 * 86_400_000, NOW_MS), "5 days");
    assert_eq!(age("yesterday", NOW_MS), "yesterday");
}
