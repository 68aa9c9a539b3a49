//! Jobs in this process, by a program that brings its own graph.

use std::collections::BTreeMap;

use weir::api::{BuiltProgram, EnvSettings, StreamEnv};
use weir::connectors::{CollectSink, DatagenSource};
use weir::local::{JobResult, LocalOptions, run};

fn built(parallelism: u32, program: impl FnOnce(&mut StreamEnv)) -> BuiltProgram {
    let mut env = StreamEnv::new(&EnvSettings {
        parallelism,
        ..EnvSettings::default()
    });
    program(&mut env);
    env.build().expect("a graph")
}

#[test]
fn every_record_reaches_its_key_once() {
    const RECORDS: u64 = 100_000;
    for parallelism in [1, 4] {
        let sums = CollectSink::new();
        let sink = sums.clone();
        let program = built(parallelism, |env| {
            env.from_source(DatagenSource::new(|n| (n % 1_000, 1_u64)).count(RECORDS))
                .key_by(|(key, _)| *key)
                .reduce(|sum, (_, count)| sum.1 += count)
                .sink_to(sink);
        });
        let result = run(program, LocalOptions::default()).expect("it runs");
        assert_eq!(result, JobResult::Finished);
        let mut last: BTreeMap<u64, u64> = BTreeMap::new();
        for (key, sum) in sums.rows() {
            let last = last.entry(key).or_default();
            *last = sum.max(*last);
        }
        assert_eq!(last, (0..1_000).map(|key| (key, RECORDS / 1_000)).collect());
    }
}

#[test]
fn an_error_of_a_function_is_the_jobs_result() {
    let program = built(2, |env| {
        env.from_source(DatagenSource::new(|n| n).count(10_000))
            .try_map(|n| {
                if n == 5_000 {
                    Err("number 5000 is odd".into())
                } else {
                    Ok(n)
                }
            })
            .name("checked")
            .rebalance()
            .map(|n: u64| n + 1)
            .sink_to(CollectSink::new());
    });
    let result = run(program, LocalOptions::default()).expect("it runs");
    let JobResult::Failed(fault) = result else {
        panic!("it must fail: {result:?}")
    };
    assert!(fault.cause.contains("number 5000 is odd"), "{fault}");
    assert!(fault.cause.contains("checked"), "{fault}");
}

#[test]
fn operators_in_several_slot_sharing_groups_get_a_slot_each() {
    let rows = CollectSink::new();
    let sink = rows.clone();
    let program = built(2, |env| {
        env.from_source(DatagenSource::new(|n| n).count(100))
            .map(|n: u64| n * 2)
            .slot_sharing_group("other")
            .sink_to(sink);
    });
    assert_eq!(
        run(program, LocalOptions::default()).expect("it runs"),
        JobResult::Finished
    );
    let mut rows = rows.rows();
    rows.sort_unstable();
    assert_eq!(rows, (0..100).map(|n| n * 2).collect::<Vec<_>>());
}

#[test]
fn too_few_slots_are_waited_for_and_then_told() {
    let program = built(4, |env| {
        env.from_source(DatagenSource::new(|n| n).count(100))
            .sink_to(CollectSink::new());
    });
    let mut options = LocalOptions {
        slots: Some(3),
        ..LocalOptions::default()
    };
    options.jobmanager.slot_request_timeout = std::time::Duration::from_millis(300);
    let result = run(program, options).expect("it runs");
    let JobResult::Failed(fault) = result else {
        panic!("it must fail: {result:?}")
    };
    assert!(
        fault.cause.contains("needs 4, 1 TaskManager offers 3"),
        "{fault}"
    );
}
