//! Tests of both broadcast operators.

use std::collections::BTreeMap;

use weir_state::ValueState;
use weir_types::EventTime;

use super::*;
use crate::OutputTag;
use crate::harness::{Event, HarnessOptions, TwoInputHarness};
use crate::ops::{
    BroadcastProcessFunction, BroadcastProcessOperator, ProcessOpenContext, ReadOnlyContext,
};

/// Sets the limit of a kind.
type Rule = (String, u64);
/// Who, what kind, how much.
type Spend = (u32, String, u64);

fn rule(kind: &str, limit: u64) -> Rule {
    (kind.to_owned(), limit)
}

fn spend(who: u32, kind: &str, amount: u64) -> Spend {
    (who, kind.to_owned(), amount)
}

/// Tells when somebody has spent more than the limit of the kind that was spent on last, and on a
/// timer at 100 how much each has spent.
#[derive(Clone, Default)]
struct Limit {
    limits: Option<BroadcastState<String, u64>>,
    spent: Option<ValueState<u64>>,
}

impl KeyedBroadcastProcessFunction<u32, Spend, Rule, String> for Limit {
    fn open(&mut self, context: &mut KeyedBroadcastOpenContext<'_, u32>) -> Result<(), BoxError> {
        self.limits = Some(context.broadcast_state("limits")?);
        self.spent = Some(context.value_state("spent")?);
        Ok(())
    }

    fn process(
        &mut self,
        record: Spend,
        context: &mut KeyedReadOnlyContext<'_, u32>,
        out: &mut Collector<'_, String>,
    ) -> Result<(), BoxError> {
        let spent = self.spent.expect("opened");
        let total = spent.get(context)?.copied().unwrap_or(0) + record.2;
        spent.set(context, total)?;
        context.register_event_time_timer(EventTime(100))?;
        let limits = self.limits.expect("opened");
        match context.broadcast(limits).get(&record.1)? {
            Some(limit) if total > *limit => out.collect(format!("{} over {limit}", record.0)),
            _ => {}
        }
        Ok(())
    }

    fn process_broadcast(
        &mut self,
        rule: Rule,
        context: &mut ProcessContext<'_>,
        _out: &mut Collector<'_, String>,
    ) -> Result<(), BoxError> {
        let limits = self.limits.expect("opened");
        if rule.1 == 0 {
            limits.remove(context, &rule.0)?;
        } else {
            limits.put(context, rule.0, rule.1)?;
        }
        Ok(())
    }

    fn on_timer(
        &mut self,
        _timestamp: i64,
        _domain: TimeDomain,
        context: &mut KeyedReadOnlyContext<'_, u32>,
        out: &mut Collector<'_, String>,
    ) -> Result<(), BoxError> {
        let total = self.spent.expect("opened").take(context)?.unwrap_or(0);
        let key = *context.current_key();
        let rules = context
            .broadcast(self.limits.expect("opened"))
            .iter()?
            .count();
        out.collect(format!("{key} spent {total} under {rules}"));
        Ok(())
    }
}

type Harness = TwoInputHarness<Spend, Rule, String>;

fn operator() -> impl Operator {
    KeyedBroadcastProcessOperator::new(|spend: &Spend| spend.0, Limit::default())
}

#[test]
fn the_keyed_side_sees_what_the_broadcast_side_has_set() {
    let mut harness = Harness::open(operator()).unwrap();
    harness.push_first(spend(1, "tea", 5), Some(1)).unwrap();
    harness.push_second(rule("tea", 7), None).unwrap();
    harness.push_first(spend(1, "tea", 1), Some(2)).unwrap();
    harness.push_first(spend(1, "tea", 2), Some(3)).unwrap();
    harness.push_first(spend(2, "tea", 7), Some(4)).unwrap();
    harness.push_second(rule("tea", 0), None).unwrap();
    harness.push_first(spend(2, "tea", 7), Some(5)).unwrap();
    assert_eq!(
        harness.take_events(),
        [Event::Record("1 over 7".to_owned(), Some(3))]
    );
    harness.watermark(0, 100).unwrap();
    harness.watermark(1, 100).unwrap();
    let mut told = harness.take_records();
    told.sort();
    assert_eq!(told, ["1 spent 8 under 0", "2 spent 14 under 0"]);
}

#[test]
fn every_new_subtask_gets_the_whole_broadcast_state_and_its_own_keys() {
    let mut before = Harness::open(operator()).unwrap();
    before.push_second(rule("tea", 7), None).unwrap();
    before.push_second(rule("ink", 9), None).unwrap();
    for who in 0..20 {
        before.push_first(spend(who, "tea", 1), Some(1)).unwrap();
    }
    let snapshot = before.snapshot().unwrap();
    let mut told = Vec::new();
    for subtask in 0..3 {
        let options = HarnessOptions {
            parallelism: 3,
            subtask,
            ..HarnessOptions::default()
        };
        let snapshots = vec![snapshot.clone()];
        let mut after = Harness::restore(Box::new(operator()), options, snapshots).unwrap();
        after.watermark(0, 100).unwrap();
        after.watermark(1, 100).unwrap();
        told.extend(after.take_records());
    }
    told.sort();
    let mut want: Vec<_> = (0..20)
        .map(|who| format!("{who} spent 1 under 2"))
        .collect();
    want.sort();
    assert_eq!(told, want);
}

/// Names what has a name; the rest goes aside. Keeps what it has seen in a list.
#[derive(Clone)]
struct Name {
    names: Option<BroadcastState<u64, String>>,
    unknown: OutputTag<u64>,
}

impl BroadcastProcessFunction<u64, (u64, String), String> for Name {
    fn open(&mut self, context: &mut ProcessOpenContext<'_>) -> Result<(), BoxError> {
        self.names = Some(context.broadcast_state("names")?);
        Ok(())
    }

    fn process(
        &mut self,
        record: u64,
        context: &mut ReadOnlyContext<'_>,
        out: &mut Collector<'_, String>,
    ) -> Result<(), BoxError> {
        let names = self.names.expect("opened");
        if let Some(name) = context.broadcast(names).get(&record)? {
            out.collect(name.clone());
        } else {
            context.side_output(&self.unknown, record);
        }
        Ok(())
    }

    fn process_broadcast(
        &mut self,
        (number, name): (u64, String),
        context: &mut ProcessContext<'_>,
        _out: &mut Collector<'_, String>,
    ) -> Result<(), BoxError> {
        Ok(self.names.expect("opened").put(context, number, name)?)
    }
}

#[test]
fn a_stream_without_keys_sees_broadcast_state_before_and_after_a_restore() {
    let unknown = OutputTag::new("unknown");
    let function = Name {
        names: None,
        unknown: unknown.clone(),
    };
    let make = || BroadcastProcessOperator::new(function.clone());
    let mut before = TwoInputHarness::<u64, (u64, String), String>::open(make()).unwrap();
    before.push_first(7, Some(1)).unwrap();
    before.push_second((7, "seven".to_owned()), None).unwrap();
    before.push_first(7, Some(2)).unwrap();
    assert_eq!(before.take_side(&unknown), [(7, Some(1))]);
    assert_eq!(before.take_records(), ["seven"]);
    let snapshot = before.snapshot().unwrap();
    let options = HarnessOptions {
        parallelism: 2,
        subtask: 1,
        ..HarnessOptions::default()
    };
    let mut after = TwoInputHarness::<u64, (u64, String), String>::restore(
        Box::new(make()),
        options,
        vec![snapshot],
    )
    .unwrap();
    after.push_first(7, None).unwrap();
    assert_eq!(after.take_records(), ["seven"]);
}

#[test]
fn names_of_broadcast_state_are_kept_apart() {
    let mut backend = OperatorStateBackend::new();
    let first = backend.broadcast_state::<u32, u32>("first").unwrap();
    let second = backend.broadcast_state::<u32, u32>("second").unwrap();
    first.put(&mut backend, 1, 10).unwrap();
    let mut view = ReadOnlyBroadcastState::new(first, &mut backend);
    let seen: BTreeMap<u32, u32> = view
        .iter()
        .unwrap()
        .map(|(key, value)| (*key, *value))
        .collect();
    assert_eq!(seen, BTreeMap::from([(1, 10)]));
    assert!(
        !ReadOnlyBroadcastState::new(second, &mut backend)
            .contains(&1)
            .unwrap()
    );
}
