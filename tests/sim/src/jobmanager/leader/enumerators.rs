//! The sources' enumerators: a thread each, which is asked one thing after the other. What they
//! find out reaches the JobMaster as events, in order, a little later.

use std::collections::{BTreeMap, VecDeque};

use weir_graph::NodeId;
use weir_jobmanager::job_master::{Event, Preparation};
use weir_rpc::SplitResponse;
use weir_types::{CheckpointId, ExecutionAttemptId, Fault, FaultClass, SubtaskIndex};

use super::{Leader, Me};
use crate::bug::Bug;
use crate::graph::region_of_node;
use crate::message::ToJm;
use crate::plan::Ms;
use crate::world::{World, to_jm};

/// What an enumerator is asked.
enum Request {
    /// To begin.
    Make,
    Split(ExecutionAttemptId),
    Snapshot(CheckpointId),
    AddBack(Vec<u8>),
}

/// One life of a source's enumerator.
struct Enumerator {
    /// Splits that no reader has.
    splits: VecDeque<u8>,
    requests: VecDeque<Request>,
    restored: bool,
}

#[derive(Default)]
pub(super) struct Enumerators {
    /// By source and life. Older ones answer what they were asked.
    threads: BTreeMap<(NodeId, u32), Enumerator>,
    newest: BTreeMap<NodeId, u32>,
    last_report: Ms,
}

impl Leader {
    /// A source's enumerator is made, in place of the one before.
    pub(super) fn prepare(
        &mut self,
        world: &mut World,
        me: Me,
        (node, restore): (NodeId, Option<Vec<u8>>),
    ) {
        let newest = self.enumerators.newest.get(&node).copied();
        let life = newest.map_or(0, |life| life + 1);
        self.enumerators.newest.insert(node, life);
        let restored = restore.is_some();
        let mut splits = match restore {
            None => world.plan.splits_of(region_of_node(node)).collect(),
            Some(restore) => restore.into(),
        };
        // As after a failure of this region alone.
        let kept = self.keeps_enumerator(region_of_node(node));
        if (kept || world.has(Bug::SplitsNotGivenBack))
            && let Some(before) =
                newest.and_then(|life| self.enumerators.threads.get(&(node, life)))
        {
            splits = before.splits.clone();
        }
        world.note(|| format!("enumerator {node} life {life} has {splits:?}"));
        let thread = Enumerator {
            splits,
            requests: VecDeque::new(),
            restored,
        };
        self.enumerators.threads.insert((node, life), thread);
        let old = self.enumerators.threads.range((node, 0)..(node, life));
        let idle = old.filter(|(_, thread)| thread.requests.is_empty());
        for key in idle.map(|(key, _)| *key).collect::<Vec<_>>() {
            self.enumerators.threads.remove(&key);
        }
        self.ask(world, me, node, Request::Make);
    }

    /// `false`: there is nobody to ask.
    fn ask(&mut self, world: &mut World, me: Me, node: NodeId, request: Request) -> bool {
        let life = self.enumerators.newest.get(&node).copied().unwrap_or(0);
        let Some(thread) = self.enumerators.threads.get_mut(&(node, life)) else {
            return false;
        };
        thread.requests.push_back(request);
        if thread.requests.len() == 1 {
            let delay = world.rng.between(0, 6);
            world.push(delay, to_jm(me.0, me.1, ToJm::Enumerator(node, life)));
        }
        true
    }

    pub(super) fn find_split(
        &mut self,
        world: &mut World,
        me: Me,
        node: NodeId,
        attempt: ExecutionAttemptId,
    ) {
        if !self.ask(world, me, node, Request::Split(attempt)) {
            let life = self.enumerators.newest.get(&node).copied().unwrap_or(0);
            let response = Err(gone());
            let found = Event::SplitFound {
                attempt,
                node,
                life,
                response,
            };
            self.report(world, me, found);
        }
    }

    pub(super) fn ask_state(
        &mut self,
        world: &mut World,
        me: Me,
        (id, node): (CheckpointId, NodeId),
    ) {
        if !self.ask(world, me, node, Request::Snapshot(id)) {
            let result = Err("its enumerator is gone".to_owned());
            self.report(world, me, Event::EnumeratorState { id, node, result });
        }
    }

    pub(super) fn give_back(
        &mut self,
        world: &mut World,
        me: Me,
        node: NodeId,
        splits: Vec<(SubtaskIndex, Vec<u8>)>,
    ) {
        let splits: Vec<u8> = splits.into_iter().flat_map(|(_, split)| split).collect();
        if splits.is_empty() || world.has(Bug::SplitsNotGivenBack) {
            return;
        }
        if !self.ask(world, me, node, Request::AddBack(splits)) {
            let life = self.enumerators.newest.get(&node).copied().unwrap_or(0);
            let (what, result) = (Preparation::Source(node), Err(gone()));
            self.report(world, me, Event::Prepared { what, life, result });
        }
    }

    /// It is the turn of an enumerator's thread.
    pub(super) fn serve(&mut self, world: &mut World, me: Me, (node, life): (NodeId, u32)) {
        let Some(thread) = self.enumerators.threads.get_mut(&(node, life)) else {
            return;
        };
        let Some(request) = thread.requests.pop_front() else {
            return;
        };
        if !thread.requests.is_empty() {
            let delay = world.rng.between(0, 6);
            world.push(delay, to_jm(me.0, me.1, ToJm::Enumerator(node, life)));
        }
        match request {
            Request::Make => {
                let again = thread.restored || life > 0;
                let fails = again && world.fails_for(me.0, world.plan.errors_per_mille);
                if fails {
                    self.enumerators.threads.remove(&(node, life));
                }
                let result = if fails { Err(gone()) } else { Ok(()) };
                let what = Preparation::Source(node);
                self.report(world, me, Event::Prepared { what, life, result });
            }
            Request::Split(attempt) => {
                let split = thread.splits.pop_front();
                let response = split.map_or(SplitResponse::NoMore, |split| {
                    SplitResponse::Split(vec![split])
                });
                let found = Event::SplitFound {
                    attempt,
                    node,
                    life,
                    response: Ok(response),
                };
                self.report(world, me, found);
            }
            Request::Snapshot(id) => {
                let splits: Vec<u8> = thread.splits.iter().copied().collect();
                world.note(|| format!("enumerator {node} life {life} keeps {splits:?} in {id}"));
                let result = Ok(splits);
                let told = Event::EnumeratorState { id, node, result };
                if world.has(Bug::SplitsNotHeld) {
                    // It comes after what is handed out meanwhile, as if nobody waited for it.
                    let delay = world.rng.between(10, 20);
                    let report = ToJm::Report(Box::new(told));
                    world.push(delay, to_jm(me.0, me.1, report));
                } else {
                    self.report(world, me, told);
                }
            }
            Request::AddBack(splits) => thread.splits.extend(splits),
        }
    }

    /// A thread of this process has found something out.
    pub(super) fn report(&mut self, world: &mut World, me: Me, event: Event) {
        let at = world.now + world.rng.between(0, 8);
        let at = at.max(self.enumerators.last_report);
        self.enumerators.last_report = at;
        let report = ToJm::Report(Box::new(event));
        world.push(at - world.now, to_jm(me.0, me.1, report));
    }
}

fn gone() -> Fault {
    Fault::job(FaultClass::Recoverable, "the enumerator is gone")
}
