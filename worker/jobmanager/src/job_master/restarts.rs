//! What follows a failure: which subtasks stop, when they start again, and from what.
//!
//! ```text
//!   failure ──▶ Failover: which subtasks ──▶ RestartBackoff: when, or give up
//!                     │                              │
//!             they are cancelled              the delay passes
//!                     └──────────┬───────────────────┘
//!            all have ended, no pointer write is in doubt
//!                                ▼
//!     new attempts, restored from the newest completed checkpoint; sources' splits go back
//! ```
//!
//! No restore point is chosen while it is uncertain whether the newest checkpoint is complete.

use std::collections::{BTreeMap, BTreeSet};

use weir_graph::{
    ExecutionState, ExecutionVertexId, FailureRecord, FreeSlot, JobStatus, NodeId, SlotAssignment,
};
use weir_types::{Fault, FaultClass, FaultScope, SubtaskIndex, TaskManagerId, Timestamp};

use super::{Action, JobMaster, Now, Preparation};
use crate::restart_strategy::Verdict;

/// A restart that has begun.
#[derive(Debug)]
pub(crate) struct PendingRestart {
    subtasks: BTreeSet<ExecutionVertexId>,
    not_before: Timestamp,
}

impl JobMaster {
    /// Decides about what has failed.
    pub(super) fn on_failures(
        &mut self,
        now: Now,
        failures: &[FailureRecord],
        actions: &mut Vec<Action>,
    ) {
        let Some(first) = failures.first() else {
            return;
        };
        for failure in failures {
            self.block_machine(now, &failure.fault);
        }
        let mut faults = failures.iter().map(|failure| &failure.fault);
        let damaged = faults.any(|fault| fault.class == FaultClass::StateDamaged);
        let concerned = if damaged || self.ends_as_one() {
            self.failover.all()
        } else {
            self.failover.concerned(failures)
        };
        let cause = first_line(&first.fault.cause).to_owned();
        self.interrupt_checkpoints(now, &cause, actions);
        if damaged && !self.leave_damaged(now, actions) {
            let update = self.graph.give_up(now.unix_ms);
            self.follow(update, now, actions);
            return;
        }
        if let Some(pending) = &mut self.restart {
            pending.subtasks.extend(concerned.iter().copied());
        } else {
            let random = self.random.next();
            match self.backoff.on_failure(now.at, random) {
                Verdict::Restart(delay) => {
                    let whole = concerned.len() == self.graph.executions().len();
                    let what = if whole {
                        "the job".to_owned()
                    } else {
                        format!("{} of its subtasks", concerned.len())
                    };
                    actions.push(Action::Say(format!(
                        "restarting {what} in {delay:.1?}: {cause}"
                    )));
                    self.count_restart(first.fault.class);
                    self.restart = Some(PendingRestart {
                        subtasks: concerned.clone(),
                        not_before: now.at + delay,
                    });
                }
                Verdict::GiveUp(reason) => {
                    actions.push(Action::Say(format!("the job is not restarted: {reason}")));
                    let update = self.graph.give_up(now.unix_ms);
                    self.follow(update, now, actions);
                    return;
                }
            }
        }
        self.stopping_since = Some(now.at);
        if let Ok(update) = self.graph.begin_restart(&concerned, now.unix_ms) {
            self.follow(update, now, actions);
        }
    }

    /// Whether the job has begun to end, with checkpoints. Then it goes back as a whole, whatever
    /// its regions: sources that a drain has ended do not read on, and subtasks that have finished,
    /// or were told to, take part in no other last checkpoint.
    fn ends_as_one(&self) -> bool {
        let Some(checkpoints) = &self.checkpoints else {
            return false;
        };
        let mut executions = self.graph.executions().iter();
        checkpoints.coordinator.is_draining()
            || checkpoints.coordinator.is_closing()
            || executions.any(|execution| execution.state == ExecutionState::Finished)
    }

    fn count_restart(&mut self, class: FaultClass) {
        match self.restarts.iter_mut().find(|(of, _)| *of == class) {
            Some((_, count)) => *count += 1,
            None => self.restarts.push((class, 1)),
        }
    }

    /// When what has been stopped may start again, if nothing but time is in the way.
    pub(super) fn restart_due(&self) -> Option<Timestamp> {
        let pending = self.restart.as_ref()?;
        let waits = self.checkpoints.as_ref().is_some_and(|checkpoints| {
            let coordinator = &checkpoints.coordinator;
            coordinator.in_doubt() || coordinator.is_decided() || coordinator.is_leaving()
        });
        (!waits && self.graph.have_ended(&pending.subtasks)).then_some(pending.not_before)
    }

    /// Starts what has been stopped again, once it may.
    pub(super) fn restart_if_possible(&mut self, now: Now, actions: &mut Vec<Action>) {
        // A pointer write that was in doubt may have ended with the news that somebody else leads.
        if self.graph.status() != JobStatus::Restarting || self.result.is_some() {
            self.restart = None;
            return;
        }
        if self.restart_due().is_none_or(|due| now.at < due) {
            return;
        }
        let Some(pending) = self.restart.take() else {
            return;
        };
        self.stopping_since = None;
        if let Err(fault) = self.refresh_restore() {
            self.fail(now, fault, actions);
            return;
        }
        let Ok(update) = self.graph.restart(&pending.subtasks, now.unix_ms) else {
            return;
        };
        self.waiting_since = now.at;
        self.last_waiting_message = None;
        self.release_slots();
        self.rewind_sources(&pending.subtasks, actions);
        self.follow(update, now, actions);
        self.deploy_if_possible(now, actions);
    }

    /// Gives back the slots in which nothing runs any more.
    fn release_slots(&mut self) {
        let live = self.graph.executions().iter();
        let used: BTreeSet<FreeSlot> = live
            .filter(|execution| execution.state.is_deployed())
            .filter_map(|execution| execution.slot)
            .collect();
        self.slots.release_unless(|slot| used.contains(&slot));
    }

    /// Sources go back to where the restored checkpoint has them. A source of which only a part
    /// is restarted takes back what that part was given since.
    fn rewind_sources(
        &mut self,
        restarted: &BTreeSet<ExecutionVertexId>,
        actions: &mut Vec<Action>,
    ) {
        let mut sources: BTreeMap<NodeId, (BTreeSet<SubtaskIndex>, u32)> = BTreeMap::new();
        for id in restarted {
            let vertex = self.graph.job().vertex(id.vertex);
            if let Some(vertex) = vertex.filter(|vertex| vertex.is_source()) {
                let entry = sources.entry(vertex.head().node);
                let (subtasks, _) = entry.or_insert((BTreeSet::new(), vertex.parallelism));
                subtasks.insert(id.subtask);
            }
        }
        for (node, (subtasks, parallelism)) in sources {
            if subtasks.len() == parallelism as usize {
                if let Some(checkpoints) = &mut self.checkpoints {
                    checkpoints.splits.forget(node);
                }
                self.preparations.insert(Preparation::Source(node));
                let restore = self.enumerator_restore(node);
                *self.source_lives.entry(node).or_insert(0) += 1;
                actions.push(Action::PrepareSource { node, restore });
            } else if let Some(checkpoints) = &mut self.checkpoints {
                let splits = checkpoints.take_back(node, &subtasks);
                actions.push(Action::AddSplitsBack { node, splits });
            }
        }
    }

    /// What the enumerator of a source goes on from.
    pub(super) fn enumerator_restore(&self, node: NodeId) -> Option<Vec<u8>> {
        let vertex = self.graph.job().vertex_of_node(node)?;
        let operator = vertex.operator(node)?.operator_id;
        let checkpoints = self.checkpoints.as_ref()?;
        checkpoints.restoring.enumerator(operator)
    }

    /// A machine that is at fault is used last for a while.
    fn block_machine(&mut self, now: Now, fault: &Fault) {
        if fault.class != FaultClass::Environment {
            return;
        }
        let at_fault = match fault.scope {
            FaultScope::TaskManager(id) => Some(id),
            FaultScope::Task(attempt) => self
                .execution(attempt)
                .and_then(|execution| execution.slot)
                .map(|slot| slot.task_manager),
            FaultScope::Job => None,
        };
        if let Some(at_fault) = at_fault.and_then(|id| self.task_managers.get(id)) {
            let until = now.at + self.config.block_time;
            self.blocked.insert(at_fault.machine(), until);
        }
    }

    /// Whether a TaskManager runs on a machine that was at fault.
    fn is_blocked(&self, id: TaskManagerId) -> bool {
        let task_manager = self.task_managers.get(id);
        task_manager.is_some_and(|it| self.blocked.contains_key(&it.machine()))
    }

    /// Which slots the waiting subtasks get, if there are enough: where others of the same slot
    /// still run, else where they ran before, else any that is free, those of machines at fault
    /// last.
    pub(super) fn place(&mut self, now: Now) -> Option<Vec<SlotAssignment>> {
        self.blocked.retain(|_, until| *until > now.at);
        let waiting = |id: &ExecutionVertexId| {
            let execution = self.graph.execution(*id);
            execution.is_some_and(|e| e.state == ExecutionState::Scheduled)
        };
        let mut free = self.slots.free();
        let (mut placed, mut homeless) = (Vec::new(), Vec::new());
        for mut request in self.graph.job().slot_requests() {
            let had = |id: &ExecutionVertexId| self.graph.execution(*id).and_then(|e| e.slot);
            let peer = request
                .subtasks
                .iter()
                .filter(|id| !waiting(id))
                .find_map(had);
            let peer = peer.filter(|slot| self.slots.is_allocated(*slot));
            let before = request.subtasks.iter().find_map(had);
            let before =
                before.filter(|slot| free.contains(slot) && !self.is_blocked(slot.task_manager));
            request.subtasks.retain(waiting);
            if request.subtasks.is_empty() {
                continue;
            }
            match peer.or(before) {
                Some(slot) => {
                    free.retain(|other| *other != slot);
                    placed.push(SlotAssignment { request, slot });
                }
                None => homeless.push(request),
            }
        }
        let good: Vec<FreeSlot> = free
            .iter()
            .copied()
            .filter(|slot| !self.is_blocked(slot.task_manager))
            .collect();
        let job = self.graph.job();
        let found = weir_graph::assign_requests(job, &homeless, &good)
            .or_else(|_| weir_graph::assign_requests(job, &homeless, &free));
        placed.extend(found.ok()?);
        Some(placed)
    }
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or(text)
}
