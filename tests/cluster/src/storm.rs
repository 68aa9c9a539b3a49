//! Faults at random, one after the other, all from one seed.

use std::thread;

use weir_testkit::{HttpFaults, Random, Traffic};

use crate::{Party, Store, TASKMANAGERS};

/// Something bad that happens to a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// `kill -9` of a TaskManager, which comes back after a while.
    TaskManagerKilled,
    /// `kill -9` of the leading JobManager; another process takes its place.
    LeaderKilled,
    /// A TaskManager stands still for longer than its heartbeat may be missed.
    TaskManagerStopped,
    /// The leader stands still for longer than a takeover takes.
    LeaderStopped,
    /// A TaskManager and the JobManagers do not reach each other, or one way only.
    LinkCut,
    /// The connections of a TaskManager with the JobManagers are reset.
    LinkReset,
    /// The store answers with errors, late or not at all, some of the time.
    StoreErrors,
    /// The store does not answer at all.
    StoreOutage,
}

impl Fault {
    /// All that can happen where state is kept in a folder.
    pub const WITHOUT_STORE: [Self; 6] = [
        Self::TaskManagerKilled,
        Self::LeaderKilled,
        Self::TaskManagerStopped,
        Self::LeaderStopped,
        Self::LinkCut,
        Self::LinkReset,
    ];

    /// All.
    pub const ALL: [Self; 8] = [
        Self::TaskManagerKilled,
        Self::LeaderKilled,
        Self::TaskManagerStopped,
        Self::LeaderStopped,
        Self::LinkCut,
        Self::LinkReset,
        Self::StoreErrors,
        Self::StoreOutage,
    ];
}

/// Where faults come from.
pub struct Storm {
    random: Random,
}

impl Storm {
    /// Faults of this seed.
    pub fn new(random: Random) -> Self {
        Self { random }
    }

    /// One of those that can happen here.
    pub fn choose(&mut self, party: &Party) -> Fault {
        let faults: &[Fault] = match party.store {
            Store::Folder(_) => &Fault::WITHOUT_STORE,
            Store::S3 { .. } => &Fault::ALL,
        };
        faults[self.random.below(faults.len())]
    }

    /// Lets it happen, and repairs it. The job may still be recovering when this returns.
    #[track_caller]
    pub fn inflict(&mut self, fault: Fault, party: &mut Party) {
        let worker = self.random.below(TASKMANAGERS);
        match fault {
            Fault::TaskManagerKilled => {
                party.kill_taskmanager(worker);
                self.pause(0, 1_500);
                party.start_taskmanager(worker);
            }
            Fault::LeaderKilled => {
                let leader = party.leader();
                party.kill_jobmanager(leader);
                self.pause(0, 1_500);
                party.start_jobmanager(leader);
            }
            Fault::TaskManagerStopped => {
                party.taskmanager(worker).stop();
                self.pause(2_500, 5_000);
                party.taskmanager(worker).cont();
            }
            Fault::LeaderStopped => {
                let leader = party.leader();
                party.jobmanager(leader).stop();
                self.pause(4_000, 7_000);
                party.jobmanager(leader).cont();
            }
            Fault::LinkCut => {
                let kinds = [Traffic::Cut, Traffic::CutToServer, Traffic::CutToClient];
                let kind = kinds[self.random.below(kinds.len())];
                party
                    .links_of(worker)
                    .for_each(|link| link.set_traffic(kind));
                self.pause(200, 5_000);
                party
                    .links_of(worker)
                    .for_each(|link| link.set_traffic(Traffic::Pass));
            }
            Fault::LinkReset => party.links_of(worker).for_each(|link| link.reset()),
            Fault::StoreErrors => self.with_store(
                party,
                HttpFaults {
                    errors: 100,
                    slow: 50,
                    lost: 20,
                    outage: false,
                },
            ),
            Fault::StoreOutage => self.with_store(
                party,
                HttpFaults {
                    outage: true,
                    ..HttpFaults::default()
                },
            ),
        }
        party.restart_the_ended();
    }

    fn with_store(&mut self, party: &Party, faults: HttpFaults) {
        if let Store::S3 { proxy, .. } = &party.store {
            proxy.set(faults);
            self.pause(1_000, 6_000);
            proxy.set(HttpFaults::default());
        }
    }

    fn pause(&mut self, least: u64, most: u64) {
        thread::sleep(self.random.millis(least, most));
    }
}
