//! What the operator does with a job beside upgrades: savepoints by schedule, what is kept of them,
//! deletion, pausing, invalid edits, and doing nothing.

use std::time::Duration;

use serde_json::{Value, json};
use weir_crd::{ConditionStatus, OperationType, Phase, SnapshotState, Step, StreamJobStatus};
use weir_lease::{parse_rfc3339, rfc3339};

use super::super::{Outcome, decide};
use super::model::World;
use crate::annotation;
use crate::build::Surroundings;
use crate::observe::RunState;

/// A world whose job has proved itself.
fn stable(seed: u64, change: impl FnOnce(&mut World)) -> World {
    let mut world = World::new(seed);
    change(&mut world);
    run_until(&mut world, |world| {
        world.status.phase == Some(Phase::Stable)
    });
    world
}

fn turn(world: &mut World) {
    world.control(None);
    world.control(None);
    world.pass();
}

fn run_until(world: &mut World, done: impl Fn(&World) -> bool) {
    for _ in 0..2000 {
        if done(world) {
            return;
        }
        turn(world);
    }
    panic!("it never comes: {:#?}", world.status);
}

fn run_for(world: &mut World, seconds: u32) {
    for _ in 0..seconds {
        turn(world);
    }
}

fn annotate(world: &mut World, name: &str, value: &str) {
    world.annotations.insert(name.to_owned(), value.to_owned());
}

fn condition(world: &World, kind: &str) -> (ConditionStatus, String) {
    condition_in(&world.status, kind)
}

fn condition_in(status: &StreamJobStatus, kind: &str) -> (ConditionStatus, String) {
    let mut conditions = status.conditions.iter();
    let found = conditions.find(|condition| condition.kind == kind);
    let found = found.unwrap_or_else(|| panic!("no condition {kind}"));
    (found.status, found.reason.clone())
}

fn next_scheduled(world: &World) -> Option<i64> {
    let savepoint = world.status.savepoint.as_ref()?;
    parse_rfc3339(savepoint.next_scheduled.as_deref()?)
}

fn scheduled(world: &World) -> usize {
    let names = world.taken.keys();
    names.filter(|name| name.starts_with("scheduled-")).count()
}

#[test]
fn a_schedule_takes_a_savepoint_at_each_of_its_times_and_a_missed_one_once() {
    for seed in 0..20 {
        let mut world = stable(seed, |world| {
            world.edit("savepoint/schedule", json!("*/10 * * * *"));
            world.edit("savepoint/jitter", json!("30s"));
        });
        run_until(&mut world, |world| next_scheduled(world).is_some());
        let first = next_scheduled(&world).expect("a time");
        assert!(first > world.now_ms);
        assert!(
            (0..=30_000).contains(&(first % 600_000)),
            "put off by at most the jitter"
        );
        let before = scheduled(&world);
        run_until(&mut world, |world| scheduled(world) == before + 1);
        assert!(world.now_ms >= first, "not before its time");
        run_until(&mut world, |world| world.status.operation.is_none());
        assert_eq!(next_scheduled(&world), Some(first + 600_000));
        // The operator is away for more than an hour: one savepoint, not six.
        world.now_ms += 3_700_000;
        run_for(&mut world, 60);
        assert_eq!(scheduled(&world), before + 2, "seed {seed}");
        assert!(next_scheduled(&world).expect("a time") > world.now_ms);
        let last = world
            .status
            .savepoint
            .as_ref()
            .and_then(|savepoint| savepoint.last.clone());
        let last = last.expect("a savepoint");
        assert_eq!((last.state, last.nonce), (SnapshotState::Completed, None));
    }
}

#[test]
fn a_schedule_waits_while_another_operation_is_open_and_while_the_job_is_not_to_run() {
    let mut world = stable(1, |world| {
        world.edit("savepoint/schedule", json!("* * * * *"))
    });
    run_until(&mut world, |world| next_scheduled(world).is_some());
    world.edit("suspend", json!(true));
    run_until(&mut world, |world| {
        world.status.phase == Some(Phase::Suspended)
    });
    run_for(&mut world, 300);
    assert_eq!(next_scheduled(&world), None);
    let before = scheduled(&world);
    world.edit("suspend", json!(false));
    run_until(&mut world, |world| {
        world.status.phase == Some(Phase::Stable)
    });
    run_for(&mut world, 5);
    assert!(next_scheduled(&world).is_some());
    assert!(
        scheduled(&world) <= before + 3,
        "what was due while suspended is not made up for"
    );
    // While an upgrade is open, nothing else begins.
    world.edit("job/args/v", json!("1"));
    run_until(&mut world, |world| {
        let operation = world.status.operation.as_ref();
        operation.is_some_and(|operation| operation.kind == OperationType::Upgrade)
    });
    for _ in 0..200 {
        turn(&mut world);
        let operation = world.status.operation.as_ref();
        if operation.is_none_or(|operation| operation.kind != OperationType::Upgrade) {
            break;
        }
    }
    assert_eq!(world.status.phase, Some(Phase::Running));
}

#[test]
fn another_schedule_takes_effect_at_once_and_none_removes_the_time() {
    let mut world = stable(2, |world| {
        world.edit("savepoint/schedule", json!("0 0 1 1 *"));
        world.edit("savepoint/jitter", json!("0s"));
    });
    run_until(&mut world, |world| next_scheduled(world).is_some());
    let far = next_scheduled(&world).expect("a time");
    world.edit("savepoint/schedule", json!("0 * * * *"));
    run_for(&mut world, 2);
    let near = next_scheduled(&world).expect("a time");
    assert!(
        near < far && near - world.now_ms <= 3_600_000,
        "{}",
        rfc3339(near)
    );
    world.edit("savepoint/schedule", Value::Null);
    run_for(&mut world, 2);
    assert_eq!(next_scheduled(&world), None);
}

#[test]
fn two_nonces_set_quickly_are_both_done_in_order_and_an_old_one_does_nothing() {
    for seed in 0..50 {
        let mut world = stable(seed, |_| {});
        annotate(&mut world, annotation::SAVEPOINT_NONCE, "7");
        run_until(&mut world, |world| world.status.operation.is_some());
        annotate(&mut world, annotation::SAVEPOINT_NONCE, "8");
        let done = |world: &World| world.status.handled.savepoint.as_deref() == Some("8");
        run_until(&mut world, done);
        let history = |world: &World| {
            let savepoint = world.status.savepoint.clone().expect("savepoints");
            let nonces = savepoint
                .history
                .into_iter()
                .filter_map(|entry| entry.nonce);
            nonces.collect::<Vec<_>>()
        };
        assert_eq!(history(&world), ["8", "7"]);
        annotate(&mut world, annotation::SAVEPOINT_NONCE, "7");
        run_for(&mut world, 30);
        // The status is gone, the storage is not: neither acts a second time.
        world.forget_status();
        annotate(&mut world, annotation::SAVEPOINT_NONCE, "8");
        run_until(&mut world, |world| {
            world.status.phase == Some(Phase::Stable) && done(world)
        });
        let seven_and_eight = (
            world.taken.get("savepoint-7"),
            world.taken.get("savepoint-8"),
        );
        assert_eq!(seven_and_eight, (Some(&1), Some(&1)), "seed {seed}");
    }
}

#[test]
fn the_size_of_a_snapshot_and_how_long_it_took_are_recorded() {
    let mut world = stable(19, |_| {});
    annotate(&mut world, annotation::SAVEPOINT_NONCE, "7");
    annotate(&mut world, annotation::CHECKPOINT_NONCE, "8");
    run_until(&mut world, |world| {
        world.status.handled.checkpoint.is_some() && world.status.operation.is_none()
    });
    let savepoint = world.status.savepoint.clone().and_then(|it| it.last);
    let newest = world.status.checkpoint.clone().expect("a checkpoint");
    for entry in [savepoint, newest.last] {
        let entry = entry.expect("an entry");
        let size = entry.id.map(|id| 1_000 + id);
        assert_eq!((entry.size_bytes, entry.duration_ms), (size, Some(20)));
    }
    let size = newest.last_completed_id.map(|id| 1_000 + id);
    assert_eq!((newest.size_bytes, newest.duration_ms), (size, Some(20)));
}

#[test]
fn savepoints_beyond_what_is_retained_go_and_those_that_are_needed_stay() {
    for delete in [true, false] {
        let mut world = stable(3, |world| {
            let retain = json!({"count": 2, "deleteData": delete});
            world.edit("savepoint/retain", retain);
        });
        for nonce in 1..=5 {
            annotate(&mut world, annotation::SAVEPOINT_NONCE, &nonce.to_string());
            let nonce = nonce.to_string();
            run_until(&mut world, |world| {
                world.status.handled.savepoint.as_ref() == Some(&nonce)
                    && world.status.operation.is_none()
            });
        }
        run_for(&mut world, 20);
        let expected: &[&str] = match delete {
            true => &["savepoint-1", "savepoint-2", "savepoint-3"],
            false => &[],
        };
        assert_eq!(world.forgotten, expected);
        let history = world
            .status
            .savepoint
            .as_ref()
            .map(|savepoint| savepoint.history.len());
        assert_eq!(history, Some(2));
    }
}

fn delete_all(world: &mut World) {
    world.deleting = true;
    world.generation += 1;
    run_until(world, |world| world.deleted || !world.finalizer);
}

#[test]
fn a_deletion_does_what_the_policy_says_wherever_the_job_stands() {
    type Bring = fn(&mut World);
    let stages: [(&str, Bring); 4] = [
        ("running", |_| {}),
        ("suspended", |world| {
            world.edit("suspend", json!(true));
            run_until(world, |world| world.status.phase == Some(Phase::Suspended));
        }),
        ("finished", |world| {
            world.end_job(RunState::Finished);
            run_until(world, |world| world.status.phase == Some(Phase::Finished));
        }),
        ("upgrading", |world| {
            world.edit("job/args/v", json!("1"));
            run_until(world, |world| world.status.operation.is_some());
        }),
    ];
    for (stage, bring) in stages {
        for savepoint in ["None", "BestEffort", "Required"] {
            for state in ["Retain", "Delete"] {
                if (savepoint, state) == ("Required", "Delete") {
                    continue;
                }
                let what = format!("{stage}, {savepoint}, {state}");
                let mut world = stable(4, |world| {
                    let on_delete = json!({"savepoint": savepoint, "state": state});
                    world.edit("onDelete", on_delete);
                });
                let needed = (savepoint, state) != ("None", "Retain");
                assert_eq!(world.finalizer, needed, "{what}");
                bring(&mut world);
                let stops = world.taken.len();
                delete_all(&mut world);
                let pointer = world.pointer.clone().expect("a pointer");
                let is_gone = pointer.run_state == RunState::Deleted;
                assert_eq!(is_gone, state == "Delete", "{what}");
                let runs = matches!(stage, "running" | "upgrading");
                if savepoint != "None" && runs {
                    assert!(world.taken.len() > stops, "{what}: no savepoint");
                }
                if savepoint != "None" && !is_gone && stage != "finished" {
                    assert!(matches!(pointer.run_state, RunState::Stopped(_)), "{what}");
                }
            }
        }
    }
}

#[test]
fn a_deletion_without_a_finalizer_needs_nothing() {
    let mut world = stable(5, |_| {});
    world.deleting = true;
    let decision = decide(&world.observed());
    assert_eq!(decision.actions, []);
}

#[test]
fn a_required_savepoint_keeps_the_job_until_it_is_had_or_a_person_insists() {
    for insists in [true, false] {
        let mut world = stable(6, |world| {
            world.edit("onDelete/savepoint", json!("Required"));
        });
        world.savepoints_fail = Some(1);
        world.deleting = true;
        world.generation += 1;
        run_until(&mut world, |world| {
            world.status.retry.is_some()
                && condition(world, "Stalled")
                    == (ConditionStatus::True, "SavepointRequired".into())
        });
        run_for(&mut world, 120);
        assert!(!world.deleted && world.finalizer);
        assert_eq!(condition(&world, "Stalled").0, ConditionStatus::True);
        assert!(world.pod_count() > 0, "the job goes on");
        if insists {
            annotate(&mut world, annotation::FORCE_DELETE, "true");
        } else {
            world.savepoints_fail = None;
        }
        run_until(&mut world, |world| world.deleted);
        let stopped = world
            .pointer
            .as_ref()
            .map(|pointer| pointer.run_state.clone());
        assert_eq!(matches!(stopped, Some(RunState::Stopped(_))), !insists);
    }
}

#[test]
fn a_best_effort_gives_up_in_time() {
    let mut world = stable(7, |world| {
        world.edit(
            "onDelete",
            json!({"savepoint": "BestEffort", "timeout": "60s"}),
        );
    });
    world.mute = true;
    world.deleting = true;
    world.generation += 1;
    let begun = world.now_ms;
    run_until(&mut world, |world| world.deleted);
    assert!(world.now_ms - begun < 120_000);
}

#[test]
fn a_deletion_comes_to_its_end_wherever_the_controller_is_killed() {
    for at in 0..25 {
        for effects in 0..3 {
            let mut world = stable(at * 10 + effects as u64, |world| {
                let on_delete = json!({"savepoint": "BestEffort", "state": "Delete"});
                world.edit("onDelete", on_delete);
            });
            world.deleting = true;
            world.generation += 1;
            for second in 0..60 {
                world.control((second == at).then_some(effects));
                world.pass();
            }
            run_until(&mut world, |world| world.deleted);
            let state = world
                .pointer
                .as_ref()
                .map(|pointer| pointer.run_state.clone());
            assert_eq!(state, Some(RunState::Deleted), "killed in second {at}");
            for (name, times) in &world.taken {
                assert_eq!(*times, 1, "savepoint {name}");
            }
        }
    }
}

#[test]
fn a_paused_job_is_left_alone_and_still_watched() {
    let mut world = stable(8, |world| {
        world.edit("savepoint/schedule", json!("* * * * *"))
    });
    annotate(&mut world, annotation::PAUSED, "true");
    world.edit("job/args/v", json!("1"));
    for _ in 0..200 {
        let decision = decide(&world.observed());
        assert_eq!(
            decision.actions,
            [],
            "a paused job's pods and objects are not touched"
        );
        turn(&mut world);
    }
    assert_eq!(
        condition(&world, "ReconciliationPaused").0,
        ConditionStatus::True
    );
    world.annotations.remove(annotation::PAUSED);
    run_until(&mut world, |world| {
        world
            .status
            .operation
            .as_ref()
            .is_some_and(|op| op.step == Step::AwaitRunning)
    });
}

#[test]
fn nothing_is_written_while_nothing_but_time_goes_on() {
    for schedule in [None, Some("0 0 1 1 *")] {
        let mut world = stable(9, |world| world.edit("savepoint/schedule", json!(schedule)));
        run_for(&mut world, 60);
        let before = world.status.clone();
        // Checkpoints complete all the while.
        for _ in 0..600 {
            turn(&mut world);
            assert_eq!(world.status, before);
        }
        // Hours later too, as long as the newest checkpoint is young.
        for hours in 1..100 {
            let mut later = world.observed();
            later.now_ms += hours * 3_600_000;
            if schedule.is_some() && hours > 24 {
                break;
            }
            let latest = later
                .manager
                .as_mut()
                .and_then(|manager| manager.latest.as_mut());
            latest.expect("a checkpoint").at_ms = later.now_ms - 1000;
            let decision = decide(&later);
            assert_eq!(decision.status, before, "{hours} hours later");
            assert_eq!(decision.events, []);
        }
    }
}

#[test]
fn an_invalid_edit_disturbs_nothing_that_runs() {
    let invalid = [
        ("job/program", json!("")),
        ("job/parallelism", json!(500)),
        ("job/maxParallelism", json!(64)),
        ("stateId", json!("other")),
        ("storage", json!({"s3": {"bucket": "b", "credentials": {}}})),
        ("checkpoint/interval", json!("1ms")),
        ("restore", json!({"from": "Path"})),
        ("upgrade", json!({"mode": "Stateless"})),
        ("savepoint/schedule", json!("daily")),
        ("ha/leaseDuration", json!("1s")),
        ("restartStrategy", json!({"attempts": 3})),
        (
            "onDelete",
            json!({"savepoint": "Required", "state": "Delete"}),
        ),
        ("podTemplate", json!({"spec": {"hostNetwork": true}})),
    ];
    for (field, value) in invalid {
        let mut world = stable(10, |_| {});
        let before = decide(&world.observed());
        world.edit(field, value);
        let decision = decide(&world.observed());
        assert_eq!(decision.actions, before.actions, "{field}");
        let accepted = decision
            .status
            .conditions
            .iter()
            .find(|c| c.kind == "Accepted");
        let accepted = accepted.expect("the condition");
        assert_eq!(accepted.status, ConditionStatus::False, "{field}");
        let name = field.split('/').next().expect("a name");
        assert!(
            accepted.message.contains(name),
            "{field}: {}",
            accepted.message
        );
        run_for(&mut world, 30);
        assert_eq!(world.status.operation, None, "{field}");
        assert_eq!(world.status.phase, Some(Phase::Stable), "{field}");
    }
    // What can't be read at all.
    let mut world = stable(11, |_| {});
    let before = decide(&world.observed());
    world.refused = Some("the spec can't be read: spec.job is missing".to_owned());
    world.generation += 1;
    assert_eq!(decide(&world.observed()).actions, before.actions);
    run_for(&mut world, 30);
    assert_eq!(world.status.phase, Some(Phase::Stable));
    assert!(world.told.contains(&"SpecRefused"));
}

#[test]
fn a_job_that_is_started_again_too_often_is_degraded() {
    let mut world = stable(12, |world| {
        let health = json!({"restartThreshold": 3, "restartWindow": "2m"});
        world.edit("health", health);
    });
    assert_eq!(
        condition(&world, "Degraded"),
        (ConditionStatus::False, "AsExpected".into())
    );
    for restarts in 1..=3 {
        world.restarts = restarts;
        run_for(&mut world, 10);
    }
    assert_eq!(
        condition(&world, "Degraded"),
        (ConditionStatus::True, "RestartLoop".into())
    );
    let restarts = world.status.restarts.clone().expect("counted");
    assert_eq!((restarts.total, restarts.recent.len()), (3, 3));
    assert!(world.told.contains(&"JobRestarted"));
    run_for(&mut world, 130);
    assert_eq!(
        condition(&world, "Degraded"),
        (ConditionStatus::False, "AsExpected".into())
    );
    assert_eq!(
        world
            .status
            .restarts
            .as_ref()
            .map(|restarts| restarts.total),
        Some(3)
    );
}

#[test]
fn checkpoints_that_do_not_complete_in_time_are_told() {
    let mut world = stable(13, |world| {
        world.edit("health/checkpointProgressWindow", json!("5m"));
    });
    run_for(&mut world, 5);
    let age = |world: &World| world.status.checkpoint.as_ref().and_then(|c| c.age.clone());
    assert_eq!(age(&world).as_deref(), Some("<5m"));
    let mut late = world.observed();
    late.now_ms += 301_000;
    let decision = decide(&late);
    let status = decision.status;
    let find = |kind: &str| {
        status
            .conditions
            .iter()
            .find(|c| c.kind == kind)
            .expect("there")
    };
    assert_eq!(find("CheckpointsHealthy").status, ConditionStatus::False);
    assert_eq!(find("Degraded").reason, "NoCheckpoints");
    assert_eq!(
        status.checkpoint.and_then(|c| c.age).as_deref(),
        Some(">5m")
    );
    assert!(
        decision
            .events
            .iter()
            .any(|event| event.reason == "CheckpointsUnhealthy")
    );
}

#[test]
fn what_makes_no_revision_takes_effect_at_once() {
    let mut world = stable(17, |world| {
        world.edit("health/checkpointProgressWindow", json!("5m"));
    });
    run_for(&mut world, 5);
    let revision = world.status.current_revision.clone();
    world.edit("health/checkpointProgressWindow", json!("1h"));
    world.edit("ui/port", json!(9000));
    let mut late = world.observed();
    late.now_ms += 301_000;
    let status = decide(&late).status;
    let (healthy, _) = condition_in(&status, "CheckpointsHealthy");
    assert_eq!(healthy, ConditionStatus::True);
    assert_eq!(
        status.checkpoint.and_then(|c| c.age).as_deref(),
        Some("<1h")
    );
    let endpoint = status.job_manager.and_then(|it| it.rest_endpoint);
    let endpoint = endpoint.expect("an endpoint");
    assert!(endpoint.ends_with(":9000"), "{endpoint}");
    world.edit("ui/enabled", json!(false));
    let status = decide(&world.observed()).status;
    let endpoint = status.job_manager.and_then(|it| it.rest_endpoint);
    assert_eq!(endpoint, None);
    assert_eq!(status.current_revision, revision);
    assert_eq!(status.operation, None);
}

/// What stands around the pods is made of what is accepted here.
#[test]
fn a_spec_that_is_refused_changes_nothing_of_what_makes_no_revision() {
    let mut world = stable(26, |_| {});
    world.edit("ui/port", json!(9000));
    world.edit("networkPolicy/enabled", json!(false));
    run_for(&mut world, 5);
    let accepted = Surroundings::accepted(&world.observed()).expect("it is accepted");
    assert_eq!(
        (accepted.ui.port, accepted.network_policy.enabled),
        (9000, false)
    );
    let kept = world.status.current_revision.as_ref();
    let kept = &world.observed().revisions[kept.expect("one runs")];
    assert_ne!(Surroundings::from(kept), accepted, "the kept one is older");
    world.edit("ui/port", json!(7000));
    world.edit("job/maxParallelism", json!(64));
    run_for(&mut world, 5);
    assert_eq!(condition(&world, "Accepted").0, ConditionStatus::False);
    assert_eq!(Surroundings::accepted(&world.observed()), None);
    let manager = world.status.job_manager.clone().expect("it is told");
    let endpoint = manager.rest_endpoint.expect("an endpoint");
    assert!(endpoint.ends_with(":9000"), "{endpoint}");
    world.edit("job/maxParallelism", Value::Null);
    run_for(&mut world, 5);
    let accepted = Surroundings::accepted(&world.observed()).expect("it is accepted");
    assert_eq!(accepted.ui.port, 7000);
}

#[test]
fn a_job_proves_itself_by_the_newest_bounds() {
    let mut world = World::new(18);
    world.edit("rollback/minStable", json!("1h"));
    run_for(&mut world, 120);
    assert_eq!(world.status.phase, Some(Phase::Running));
    world.edit("rollback/minStable", json!("20s"));
    run_for(&mut world, 5);
    assert_eq!(world.status.phase, Some(Phase::Stable));
}

#[test]
fn one_answer_that_is_late_is_no_news_and_a_jobmanager_that_stays_silent_is() {
    let mut world = stable(16, |_| ());
    run_for(&mut world, 5);
    let mut observed = world.observed();
    observed.manager = None;
    let decision = decide(&observed);
    assert_eq!(decision.status, world.status, "nothing is written");
    observed.silent_for = Duration::from_secs(20);
    let status = decide(&observed).status;
    assert_eq!(
        condition_in(&status, "CheckpointsHealthy"),
        (ConditionStatus::Unknown, "NoJobManager".to_owned())
    );
    // What it says next is believed.
    observed.job.status = status;
    observed.silent_for = Duration::ZERO;
    observed.manager = world.observed().manager;
    let status = decide(&observed).status;
    let (healthy, _) = condition_in(&status, "CheckpointsHealthy");
    assert_eq!(healthy, ConditionStatus::True);
}

#[test]
fn a_finished_job_is_deleted_after_its_time_and_never_runs_again() {
    let mut world = stable(14, |world| world.edit("ttlAfterFinished", json!("1m")));
    world.end_job(RunState::Finished);
    run_until(&mut world, |world| {
        world.status.phase == Some(Phase::Finished)
    });
    let claims = world.claims.len();
    let ended = world.now_ms;
    run_until(&mut world, |world| world.deleted);
    assert!(world.now_ms - ended >= 59_000);
    assert_eq!(world.claims.len(), claims);
}

#[test]
fn the_columns_of_kubectl_get_are_filled() {
    let mut world = stable(15, |world| {
        world.edit("savepoint/schedule", json!("0 3 * * *"))
    });
    run_for(&mut world, 5);
    let mut object = serde_json::to_value(&world.status).expect("JSON");
    object = json!({
        "metadata": {"creationTimestamp": "2026-01-01T00:00:00Z"},
        "spec": serde_json::to_value(world.spec()).expect("JSON"),
        "status": object,
    });
    let definition = weir_crd::custom_resource_definition();
    let version = &definition["spec"]["versions"][0];
    let columns = version["additionalPrinterColumns"]
        .as_array()
        .expect("columns");
    let names: Vec<_> = columns
        .iter()
        .map(|column| column["name"].as_str().unwrap_or(""))
        .collect();
    let expected = [
        "Phase",
        "Ready",
        "Par",
        "Last-Ckpt",
        "Restarts",
        "Age",
        "JobId",
        "Epoch",
        "Mode",
        "Message",
    ];
    assert_eq!(names, expected);
    let at = |path: &str| {
        if let Some((_, rest)) = path.split_once("?(@.type=='") {
            let (kind, field) = rest.split_once("')].").expect("a path");
            let conditions = object["status"]["conditions"]
                .as_array()
                .expect("conditions");
            let found = conditions
                .iter()
                .find(|condition| condition["type"] == kind);
            return found.map_or(Value::Null, |found| found[field].clone());
        }
        object
            .pointer(&path.replace('.', "/"))
            .cloned()
            .unwrap_or_default()
    };
    for column in columns {
        let path = column["jsonPath"].as_str().expect("a path");
        assert_ne!(at(path), Value::Null, "{path} is never filled");
    }
    let scale = &version["subresources"]["scale"];
    for path in ["statusReplicasPath", "labelSelectorPath"] {
        let path = scale[path].as_str().expect("a path");
        assert_ne!(at(path), Value::Null, "{path} is never filled");
    }
}

#[test]
fn how_operations_end_is_counted() {
    let mut world = stable(16, |_| {});
    assert_eq!(world.ended, [(OperationType::Deploy, Outcome::Completed)]);
    world.edit("job/args/v", json!("1"));
    run_until(&mut world, |world| {
        world.status.phase == Some(Phase::Stable)
    });
    annotate(&mut world, annotation::SAVEPOINT_NONCE, "1");
    run_until(&mut world, |world| world.status.handled.savepoint.is_some());
    world.savepoints_fail = Some(1);
    annotate(&mut world, annotation::SAVEPOINT_NONCE, "2");
    run_until(&mut world, |world| world.ended.len() == 4);
    world.savepoints_fail = None;
    world.mute = true;
    annotate(&mut world, annotation::SAVEPOINT_NONCE, "3");
    run_until(&mut world, |world| world.status.operation.is_some());
    let id = world
        .status
        .operation
        .as_ref()
        .map(|operation| operation.id.clone());
    annotate(&mut world, annotation::ABORT_OPERATION, &id.expect("open"));
    run_until(&mut world, |world| world.status.operation.is_none());
    assert_eq!(
        world.ended[1..],
        [
            (OperationType::Upgrade, Outcome::Completed),
            (OperationType::Savepoint, Outcome::Completed),
            (OperationType::Savepoint, Outcome::Failed),
            (OperationType::Savepoint, Outcome::Aborted),
        ]
    );
}

#[test]
fn a_job_that_runs_is_not_told_to_recover_again_and_again_while_its_node_finds_it_not_ready() {
    let world = stable(1, |_| {});
    let mut observed = world.observed();
    for pod in &mut observed.pods {
        pod.ready = false;
    }
    // Readiness is told once; from then on there is nothing to write.
    observed.job.status = decide(&observed).status;
    assert_eq!(observed.job.status.phase, Some(Phase::Stable));
    assert_eq!(decide(&observed).status, observed.job.status);
    // Without an answer, it counts.
    observed.manager = None;
    assert_eq!(decide(&observed).status.phase, Some(Phase::Recovering));
}
