//! Whatever happens, in whatever order: the job comes to an end, and nobody who is gone is told
//! anything.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

/// What happens next; numbers pick among what there is.
#[derive(Clone, Debug)]
enum Step {
    Register {
        id: u8,
        slots: u8,
    },
    Ready {
        id: u8,
    },
    Beat {
        id: u8,
    },
    Hang {
        id: u8,
    },
    Pass {
        ms: u16,
    },
    Prepare {
        fails: bool,
    },
    /// A task goes one step on.
    Progress {
        task: u8,
    },
    Fail {
        task: u8,
        missing_data: bool,
    },
    /// A report about an attempt that there never was.
    Stale {
        task: u8,
    },
    RequestSplit {
        task: u8,
    },
    Cancel,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..4u8, 0..4u8).prop_map(|(id, slots)| Step::Register { id, slots }),
        3 => (0..4u8).prop_map(|id| Step::Ready { id }),
        4 => (0..4u8).prop_map(|id| Step::Beat { id }),
        1 => (0..4u8).prop_map(|id| Step::Hang { id }),
        3 => (0..4000u16).prop_map(|ms| Step::Pass { ms }),
        3 => prop::bool::weighted(0.1).prop_map(|fails| Step::Prepare { fails }),
        20 => any::<u8>().prop_map(|task| Step::Progress { task }),
        1 => (any::<u8>(), any::<bool>())
            .prop_map(|(task, missing_data)| Step::Fail { task, missing_data }),
        2 => any::<u8>().prop_map(|task| Step::Stale { task }),
        2 => any::<u8>().prop_map(|task| Step::RequestSplit { task }),
        1 => Just(Step::Cancel),
    ]
}

/// What a TaskManager knows of one of its tasks.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Sim {
    Deployed,
    Initializing,
    Running,
    InputEnded,
    Committed,
    Canceling,
}

struct World {
    master: JobMaster,
    ms: u64,
    next_connection: u64,
    /// Open connections, by TaskManager.
    open: BTreeMap<u8, ConnectionId>,
    tasks: BTreeMap<ExecutionAttemptId, (u8, Sim)>,
    ever_deployed: BTreeSet<ExecutionAttemptId>,
    end: Option<JobResult>,
}

impl World {
    fn new() -> Self {
        let now = Now {
            at: Timestamp(0),
            unix_ms: 0,
        };
        let (master, _) = JobMaster::new(config(&wordcount(2)), None, now);
        Self {
            master,
            ms: 0,
            next_connection: 0,
            open: BTreeMap::new(),
            tasks: BTreeMap::new(),
            ever_deployed: BTreeSet::new(),
            end: None,
        }
    }

    fn event(&mut self, event: Event) {
        let unix_ms = i64::try_from(self.ms).expect("short");
        let now = Now {
            at: Timestamp(self.ms * 1_000_000),
            unix_ms,
        };
        for action in self.master.on_event(now, event) {
            self.check(action);
        }
    }

    /// Who is at the other end of an open connection.
    fn who(&self, connection: ConnectionId) -> u8 {
        let found = self.open.iter().find(|(_, open)| **open == connection);
        *found
            .unwrap_or_else(|| panic!("{connection:?} is not open"))
            .0
    }

    fn check(&mut self, action: Action) {
        match action {
            Action::Tell {
                connection,
                command,
            } => {
                let who = self.who(connection);
                let command = command.open(Epoch(1)).expect("the JobMaster's own epoch");
                self.command(who, command);
            }
            Action::HangUp { connection } => {
                self.open.retain(|_, open| *open != connection);
            }
            Action::End(result) => {
                assert_eq!(self.end, None, "the job ends once");
                let executions = self.master.graph.executions();
                assert!(
                    executions
                        .iter()
                        .all(|execution| execution.state.is_terminal())
                );
                assert_eq!(self.master.slots.allocated(), 0, "all slots are given back");
                if result == JobResult::Finished {
                    let finished =
                        |e: &weir_graph::ExecutionVertex| e.state == ExecutionState::Finished;
                    assert!(executions.iter().all(finished));
                }
                self.end = Some(result);
            }
            _ => {}
        }
    }

    fn command(&mut self, who: u8, command: TaskExecutorCommand) {
        match command {
            TaskExecutorCommand::Deploy(task) => {
                assert_eq!(self.end, None);
                assert!(
                    self.ever_deployed.insert(task.attempt),
                    "{} twice",
                    task.attempt
                );
                self.tasks.insert(task.attempt, (who, Sim::Deployed));
            }
            TaskExecutorCommand::Cancel(attempt) => {
                if let Some((home, sim)) = self.tasks.get_mut(&attempt) {
                    assert_eq!(*home, who, "a task is cancelled where it runs");
                    *sim = Sim::Canceling;
                }
            }
            TaskExecutorCommand::Commit { attempt, .. } => {
                for (_, sim) in self.tasks.values() {
                    assert!(matches!(sim, Sim::InputEnded | Sim::Committed), "{sim:?}");
                }
                if let Some((_, sim)) = self.tasks.get_mut(&attempt) {
                    *sim = Sim::Committed;
                }
            }
            TaskExecutorCommand::Dismissed { .. } => {}
            TaskExecutorCommand::Split { attempt, .. } => assert_eq!(self.tasks[&attempt].0, who),
            TaskExecutorCommand::Heartbeat => assert_eq!(self.end, None),
            TaskExecutorCommand::TriggerCheckpoint { .. }
            | TaskExecutorCommand::AbortCheckpoint { .. }
            | TaskExecutorCommand::JobEnded(_) => {}
        }
    }

    fn tell(&mut self, id: u8, message: TaskManagerMessage) {
        // A TaskManager that was hung up on does not know it yet: then nobody may listen to it.
        let connection = self
            .open
            .get(&id)
            .copied()
            .unwrap_or(ConnectionId(u64::MAX));
        self.event(Event::Message {
            connection,
            message: Box::new(Fenced::new(Epoch(1), message)),
        });
    }

    fn report(&mut self, attempt: ExecutionAttemptId, state: ExecutionState, fault: Option<Fault>) {
        let home = self.tasks.get(&attempt).map_or(0, |(home, _)| *home);
        if state.is_terminal() {
            self.tasks.remove(&attempt);
        }
        let metrics = None;
        self.tell(
            home,
            TaskManagerMessage::TaskState {
                attempt,
                state,
                fault,
                metrics,
            },
        );
    }

    fn hang(&mut self, id: u8) {
        if let Some(connection) = self.open.remove(&id) {
            self.tasks.retain(|_, (home, _)| *home != id);
            self.event(Event::Disconnected {
                connection,
                reason: "gone".to_owned(),
            });
        }
    }

    fn pick(&self, task: u8) -> Option<(ExecutionAttemptId, Sim)> {
        let count = self.tasks.len().max(1);
        self.tasks
            .iter()
            .nth(usize::from(task) % count)
            .map(|(&id, &(_, sim))| (id, sim))
    }

    fn progress(&mut self, attempt: ExecutionAttemptId, sim: Sim) {
        let commits = self
            .master
            .execution(attempt)
            .is_some_and(|execution| execution.commits);
        let next = match sim {
            Sim::Deployed => Sim::Initializing,
            Sim::Initializing => Sim::Running,
            Sim::Running if commits => Sim::InputEnded,
            Sim::InputEnded => return,
            Sim::Running | Sim::Committed => {
                return self.report(attempt, ExecutionState::Finished, None);
            }
            Sim::Canceling => return self.report(attempt, ExecutionState::Canceled, None),
        };
        if let Some((_, sim)) = self.tasks.get_mut(&attempt) {
            *sim = next;
        }
        match next {
            Sim::Initializing => self.report(attempt, ExecutionState::Initializing, None),
            Sim::Running => self.report(attempt, ExecutionState::Running, None),
            _ => {
                let home = self.tasks[&attempt].0;
                self.tell(home, TaskManagerMessage::EndOfInput { attempt });
            }
        }
    }

    fn register(&mut self, id: u8, slots: u8) {
        let connection = ConnectionId(self.next_connection);
        self.next_connection += 1;
        let registration = registration(u128::from(id), u32::from(slots));
        let known = self.open.contains_key(&id);
        if !known {
            self.open.insert(id, connection);
        }
        self.event(Event::Register {
            connection,
            registration,
        });
        let accepted = self.master.task_managers.of_connection(connection);
        let accepted = accepted.is_some();
        assert!(!(known && accepted), "two TaskManagers with one id");
        if !known && !accepted {
            self.open.remove(&id);
        }
    }

    fn prepare(&mut self, fails: bool) {
        let Some(&what) = self.master.preparations.first() else {
            return;
        };
        let fault = Fault::job(FaultClass::NonRecoverable, "missing");
        let result = if fails { Err(fault) } else { Ok(()) };
        let life = self.master.life_of(what.node());
        self.event(Event::Prepared { what, life, result });
    }

    fn stale(&mut self, task: u8) {
        let Some((attempt, _)) = self.pick(task) else {
            return;
        };
        let before = self.master.graph.status();
        let message = TaskManagerMessage::TaskState {
            attempt: ExecutionAttemptId {
                attempt: AttemptNumber(5),
                ..attempt
            },
            state: ExecutionState::Failed,
            fault: None,
            metrics: None,
        };
        self.tell(self.tasks[&attempt].0, message);
        assert_eq!(
            self.master.graph.status(),
            before,
            "a stale attempt changes nothing"
        );
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Register { id, slots } => self.register(id, slots),
            Step::Ready { id } => {
                // Each says it once; saying it again must do no harm.
                self.tell(
                    id,
                    TaskManagerMessage::Ready {
                        fingerprint: fingerprint(),
                    },
                );
            }
            Step::Beat { id } => self.tell(id, TaskManagerMessage::Heartbeat { tasks: Vec::new() }),
            Step::Hang { id } => self.hang(id),
            Step::Pass { ms } => {
                self.ms += u64::from(ms);
                self.event(Event::Tick);
            }
            Step::Prepare { fails } => self.prepare(fails),
            Step::Progress { task } => {
                if let Some((attempt, sim)) = self.pick(task) {
                    self.progress(attempt, sim);
                }
            }
            Step::Fail { task, missing_data } => {
                let Some((attempt, _)) = self.pick(task) else {
                    return;
                };
                let class = if missing_data {
                    FaultClass::PartitionDataMissing
                } else {
                    FaultClass::Recoverable
                };
                let fault = Fault::task(class, attempt, "it failed");
                self.report(attempt, ExecutionState::Failed, Some(fault));
            }
            Step::Stale { task } => self.stale(task),
            Step::RequestSplit { task } => {
                let Some((attempt, _)) = self.pick(task) else {
                    return;
                };
                let home = self.tasks[&attempt].0;
                let node = self.master.graph.job().vertices[0].head().node;
                self.tell(home, TaskManagerMessage::RequestSplit { attempt, node });
            }
            Step::Cancel => self.event(Event::Cancel),
        }
    }

    /// Everybody does what is asked of them: the job must end.
    fn settle(&mut self) {
        self.event(Event::Cancel);
        for _ in 0..200 {
            if self.end.is_some() {
                return;
            }
            self.ms += 500;
            self.event(Event::Tick);
            for (attempt, (_, sim)) in self.tasks.clone() {
                self.progress(attempt, sim);
            }
        }
        panic!("the job does not end: {}", self.master.graph.status());
    }
}

proptest! {
    #[test]
    fn whatever_happens_the_job_ends_and_the_lost_are_left_alone(
        steps in prop::collection::vec(step(), 0..150)
    ) {
        let mut world = World::new();
        for step in steps {
            world.step(step);
        }
        world.settle();
    }
}
