//! Time-outs, waiting for slots, and deployment.

use weir_checkpoint::coordinator;
use weir_graph::{ExecutionState, ExecutionVertexId, FreeSlot, JobStatus};
use weir_rpc::{
    InputGateDescriptor, ProducerDescriptor, RemoteProducer, TaskDeploymentDescriptor,
    TaskExecutorCommand,
};
use weir_types::{ExecutionAttemptId, Fault, FaultClass, TaskManagerId};

use super::{Action, JobMaster, Now};

impl JobMaster {
    pub(super) fn tick(&mut self, now: Now, actions: &mut Vec<Action>) {
        self.lose_the_silent(now, actions);
        if self.result.is_some() {
            return;
        }
        if now.at.since(self.last_beat) >= self.config.heartbeat_interval {
            self.last_beat = now.at;
            let connections: Vec<_> = self.task_managers.iter().map(|tm| tm.connection).collect();
            actions.extend(
                connections
                    .into_iter()
                    .map(|c| self.tell(c, TaskExecutorCommand::Heartbeat)),
            );
        }
        self.lose_those_that_do_not_stop(now, actions);
        self.tell_coordinator(now, coordinator::Event::Tick, actions);
        self.restart_if_possible(now, actions);
        self.deploy_if_possible(now, actions);
        self.wait_for_slots(now, actions);
        self.end_if_over(now, actions);
    }

    fn lose_the_silent(&mut self, now: Now, actions: &mut Vec<Action>) {
        let limit = self.config.heartbeat_timeout;
        for id in self.task_managers.silent(now.at, limit) {
            self.lose(
                now,
                id,
                &format!("no heartbeat for {}", seconds(limit)),
                actions,
            );
        }
    }

    fn lose_those_that_do_not_stop(&mut self, now: Now, actions: &mut Vec<Action>) {
        let limit = self.config.cancellation_timeout;
        let Some(since) = self.stopping_since else {
            return;
        };
        if now.at.since(since) <= limit {
            return;
        }
        let stuck: Vec<(TaskManagerId, String)> = self
            .graph
            .executions()
            .iter()
            .filter(|execution| execution.state == ExecutionState::Canceling)
            .filter_map(|execution| {
                Some((execution.slot?.task_manager, execution.task_name.clone()))
            })
            .collect();
        for (id, task) in stuck {
            let reason = format!("{task} did not stop within {}", seconds(limit));
            self.lose(now, id, &reason, actions);
        }
    }

    fn wait_for_slots(&mut self, now: Now, actions: &mut Vec<Action>) {
        let Some(waiting_for) = self.waiting_for_slots() else {
            return;
        };
        let limit = self.config.slot_request_timeout;
        if now.at.since(self.waiting_since) >= limit {
            let cause = format!("no slots within {}: {waiting_for}", seconds(limit));
            self.fail(now, Fault::job(FaultClass::Recoverable, cause), actions);
            return;
        }
        // The first second is for TaskManagers that are just starting.
        let since = self.last_waiting_message.unwrap_or(self.waiting_since);
        let rest = match self.last_waiting_message {
            Some(_) => self.config.waiting_message_interval,
            None => self
                .config
                .waiting_message_interval
                .min(std::time::Duration::from_secs(1)),
        };
        if now.at.since(since) >= rest {
            self.last_waiting_message = Some(now.at);
            actions.push(Action::Say(waiting_for));
        }
    }

    /// What the job is waiting for, if it is waiting for slots.
    pub(super) fn waiting_for_slots(&self) -> Option<String> {
        if !self.is_waiting() {
            return None;
        }
        let needed = self.graph.job().slots_needed();
        let offered = self.slots.total();
        if offered >= needed {
            return None;
        }
        let offers = match self.task_managers.iter().filter(|tm| tm.ready).count() {
            0 => "no TaskManager has registered".to_owned(),
            1 => format!("1 TaskManager offers {offered}"),
            count => format!("{count} TaskManagers offer {offered}"),
        };
        let missing = needed - offered;
        let (more, plural) = (
            if offered > 0 { "more " } else { "" },
            if missing == 1 { "" } else { "s" },
        );
        let start = match &self.config.rpc_address {
            Some(address) => {
                format!("start `weir taskmanager --jobmanager {address}` or lower the parallelism")
            }
            None => "give the TaskManager more slots or lower the parallelism".to_owned(),
        };
        Some(format!(
            "waiting for {missing} {more}slot{plural}: needs {needed}, {offers}; {start}"
        ))
    }

    /// Whether some of the job is still to be deployed.
    pub(super) fn is_waiting(&self) -> bool {
        self.graph.status() == JobStatus::Running
            && self
                .graph
                .executions()
                .iter()
                .any(|e| e.state == ExecutionState::Scheduled)
    }

    /// Deploys what is waiting once its sources and sinks are ready and there are slots for all of
    /// it: what is pipelined can only run together.
    pub(super) fn deploy_if_possible(&mut self, now: Now, actions: &mut Vec<Action>) {
        if !self.preparations.is_empty() || !self.is_waiting() || self.result.is_some() {
            return;
        }
        let Some(assignments) = self.place(now) else {
            return;
        };
        if let Some(fault) = self.unconnected(assignments.iter().map(|a| a.slot)) {
            self.fail(now, fault, actions);
            return;
        }
        for assignment in &assignments {
            if !self.slots.is_allocated(assignment.slot) {
                self.slots.allocate(assignment.slot);
            }
        }
        let update = self.graph.deploy(&assignments, now.unix_ms);
        let update = update.expect("subtasks that are scheduled can be deployed");
        let deployed: Vec<ExecutionAttemptId> = update
            .executions
            .iter()
            .map(|&(attempt, _)| attempt)
            .collect();
        for attempt in deployed {
            if let Some(task) = self.descriptor(attempt) {
                let command = TaskExecutorCommand::Deploy(Box::new(task));
                self.tell_attempt(attempt, command, actions);
            }
        }
        self.follow(update, now, actions);
    }

    /// TaskManagers that have to exchange records need an address.
    fn unconnected(&self, slots: impl Iterator<Item = FreeSlot>) -> Option<Fault> {
        let mut homes: Vec<_> = slots
            .filter_map(|slot| self.task_managers.get(slot.task_manager))
            .collect();
        homes.dedup_by_key(|home| home.id);
        let mute = homes.iter().find(|home| home.data_address.is_none())?;
        homes.iter().any(|home| home.id != mute.id).then(|| {
            let name = &mute.name;
            Fault::job(
                FaultClass::NonRecoverable,
                format!(
                    "TaskManager `{name}` has no address for records and cannot work with others: \
                     give it a data address"
                ),
            )
        })
    }

    fn descriptor(&self, attempt: ExecutionAttemptId) -> Option<TaskDeploymentDescriptor> {
        let slot = self.execution(attempt)?.slot?;
        let mut inputs = Vec::new();
        for gate in self
            .graph
            .job()
            .input_gates(attempt.vertex, attempt.subtask)
        {
            let mut producers = Vec::with_capacity(gate.channels.len());
            for channel in &gate.channels {
                let id = ExecutionVertexId {
                    vertex: gate.producer,
                    subtask: channel.producer,
                };
                let producer = self.graph.execution(id)?;
                let home = producer.slot?.task_manager;
                let remote = if home == slot.task_manager {
                    None
                } else {
                    let home = self.task_managers.get(home)?;
                    Some(RemoteProducer {
                        taskmanager: home.id,
                        address: home.data_address?,
                    })
                };
                producers.push(ProducerDescriptor {
                    attempt: producer.attempt,
                    remote,
                });
            }
            inputs.push(InputGateDescriptor {
                edge: gate.edge,
                producers,
            });
        }
        Some(TaskDeploymentDescriptor {
            attempt,
            slot: slot.slot,
            inputs,
            restore: self.restore_of(ExecutionVertexId {
                vertex: attempt.vertex,
                subtask: attempt.subtask,
            }),
        })
    }
}

/// A time span for people.
fn seconds(span: std::time::Duration) -> String {
    if span.as_secs() > 0 && span.subsec_millis() == 0 {
        format!("{} s", span.as_secs())
    } else {
        format!("{} ms", span.as_millis())
    }
}
