//! A TaskManager: it runs what the newest leader that it knows tells it to, and cancels everything
//! when it loses that leader.

use weir_types::{Epoch, ExecutionAttemptId};

use crate::graph::region_of;
use crate::message::{Event, FromTask, ToJm, ToTm};
use crate::plan::Ms;
use crate::task::Task;
use crate::world::{World, to_tm};

pub(crate) const TICK: Ms = 15;
pub(crate) const HEARTBEAT_TIMEOUT: Ms = 60;
/// A TaskManager waits longer for its leader than that for it: there may soon be another.
const LEADER_TIMEOUT: Ms = 100;

pub(crate) struct TaskManager {
    index: usize,
    pub(crate) life: u32,
    /// Its name towards JobManagers; a new one whenever it starts anew.
    pub(crate) reg: u64,
    /// The newest epoch that it has heard of: older ones are refused.
    epoch: Epoch,
    /// The JobManager's process that it works for.
    pub(crate) leader: Option<(usize, u32)>,
    last_heard: Ms,
    /// A call to the leader got lost.
    pub(crate) call_lost: bool,
}

impl TaskManager {
    pub(crate) fn new(index: usize) -> Self {
        Self {
            index,
            life: 0,
            reg: index as u64,
            epoch: Epoch(0),
            leader: None,
            last_heard: 0,
            call_lost: false,
        }
    }

    pub(crate) fn kill(world: &mut World, tm: usize) {
        Self::cancel(world, tm, |_| true, false);
        let life = world.tms[tm].life + 1;
        world.registrations += 1;
        world.tms[tm] = Self {
            life,
            reg: 1_000 + world.registrations,
            ..Self::new(tm)
        };
        let delay = world.rng.between(3, 40);
        world.push(
            delay,
            Event::Restart {
                jm: false,
                index: tm,
                life,
            },
        );
    }

    /// Cancels tasks, some of which notice it late and go on meanwhile.
    fn cancel_slowly(world: &mut World, tm: usize, which: impl Fn(&Task) -> bool) {
        let tasks = world.tasks.values();
        let tasks = tasks.filter(|task| task.tm == tm && which(task));
        let attempts: Vec<_> = tasks.map(|task| task.attempt).collect();
        for attempt in attempts {
            let delay = match world.rng.below(10) {
                0..2 => world.rng.below(150),
                2..5 => world.rng.below(30),
                _ => 0,
            };
            world.push(delay, Event::Cancelled(attempt));
        }
    }

    fn cancel(world: &mut World, tm: usize, which: impl Fn(&Task) -> bool, cleanly: bool) {
        let attempts = world
            .tasks
            .iter()
            .filter(|(_, task)| task.tm == tm && which(task));
        let attempts: Vec<_> = attempts.map(|(attempt, _)| *attempt).collect();
        for attempt in attempts {
            if let Some(task) = world.tasks.remove(&attempt)
                && cleanly
            {
                task.cancelled(world);
            }
        }
    }

    /// It works for nobody any more: all its tasks end, and it comes back under another name.
    fn forget_leader(world: &mut World, tm: usize) {
        Self::cancel(world, tm, |_| true, true);
        world.registrations += 1;
        let reg = 1_000 + world.registrations;
        let this = &mut world.tms[tm];
        this.leader = None;
        this.call_lost = false;
        this.reg = reg;
    }

    pub(crate) fn on_message(
        world: &mut World,
        tm: usize,
        from: Option<(usize, Epoch, u64)>,
        message: ToTm,
    ) {
        let Some((jm, epoch, reg)) = from else {
            return Self::tick(world, tm);
        };
        let this = &mut world.tms[tm];
        if reg != this.reg || epoch < this.epoch {
            return;
        }
        if epoch > this.epoch {
            if !matches!(message, ToTm::Registered) {
                return;
            }
            this.epoch = epoch;
            Self::cancel_slowly(world, tm, |task| task.attempt.epoch < epoch);
        }
        let Some(leads) = &world.jms[jm] else {
            return;
        };
        let leader = Some((jm, leads.life));
        let this = &mut world.tms[tm];
        if matches!(message, ToTm::Registered) {
            // The answer to a second request says nothing of calls since the first one's.
            if this.leader != leader {
                this.leader = leader;
                this.call_lost = false;
            }
        } else if this.leader.map(|(jm, _)| jm) != Some(jm) {
            return;
        }
        this.last_heard = world.now;
        Self::obey(world, tm, message);
    }

    fn tick(world: &mut World, tm: usize) {
        let (now, this) = (world.now, &world.tms[tm]);
        debug_assert_eq!(this.index, tm, "it stands at its place");
        let lost = now.saturating_sub(this.last_heard) > LEADER_TIMEOUT || this.call_lost;
        if this.leader.is_some() && lost {
            Self::forget_leader(world, tm);
        }
        let this = &world.tms[tm];
        let (life, reg, leader) = (this.life, this.reg, this.leader);
        if let Some(leader) = leader {
            world.send_up(tm, leader, ToJm::Heartbeat { tm, reg });
        }
        if let Some(holder) = world.lease.holder
            && leader != Some(holder)
        {
            world.send_up(tm, holder, ToJm::Register { tm, reg });
        }
        world.push(TICK, to_tm(tm, life, ToTm::Tick));
    }

    fn obey(world: &mut World, tm: usize, message: ToTm) {
        match message {
            ToTm::Tick | ToTm::Registered | ToTm::Ping => {}
            ToTm::Deploy(deployment) => {
                let attempt = deployment.attempt;
                match Task::new(tm, &deployment, world) {
                    Ok(task) => {
                        world.tell(&task, FromTask::Deployed);
                        world.tasks.insert(attempt, task);
                    }
                    Err(why) => {
                        world.note(|| format!("task {attempt} is not restored: {why}"));
                        let this = &world.tms[tm];
                        let (reg, told) = (this.reg, FromTask::Failed);
                        if let Some(leader) = this.leader {
                            world.send_up(
                                tm,
                                leader,
                                ToJm::Task {
                                    reg,
                                    tm,
                                    attempt,
                                    told,
                                },
                            );
                        }
                    }
                }
            }
            ToTm::Go(attempt) => Self::with(world, tm, attempt, |task, world| {
                task.go(world);
                Ok(())
            }),
            ToTm::Cancel { region, attempt } => {
                let meant = |id: ExecutionAttemptId| {
                    region_of(id.vertex) == region && id.attempt.0 <= attempt
                };
                Self::cancel_slowly(world, tm, |task| meant(task.attempt));
            }
            ToTm::Trigger {
                attempt,
                barrier,
                then,
            } => Self::with(world, tm, attempt, |task, world| {
                task.trigger(world, barrier, then);
                Ok(())
            }),
            ToTm::Abort { attempt, id } => Self::with(world, tm, attempt, |task, world| {
                task.aborted(world, id);
                Ok(())
            }),
            ToTm::Complete { attempt, id, last } => {
                Self::with(world, tm, attempt, |task, world| {
                    task.completed(world, id, last)
                })
            }
            ToTm::Assign { attempt, split } => Self::with(world, tm, attempt, |task, world| {
                task.assign(world, split);
                Ok(())
            }),
        }
    }

    /// Lets the task do something that this is for.
    fn with(
        world: &mut World,
        tm: usize,
        attempt: ExecutionAttemptId,
        work: impl Fn(&mut Task, &mut World) -> Result<(), String>,
    ) {
        let tasks = world.tasks.values().filter(|task| task.tm == tm);
        let here: Vec<_> = tasks.map(|task| task.attempt).collect();
        let meant: Vec<_> = world.taken_for(attempt, here.into_iter()).collect();
        for attempt in meant {
            world.with_task(attempt, &work);
        }
    }
}
