//! Faults at random, one after the other, all from one seed.

use std::thread;
use std::time::Duration;

use weir_testkit::{HttpFaults, Random, Traffic, until_within};
use weir_types::{Clock, SystemClock, Timestamp};

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
    /// The TaskManagers do not reach each other, or one way only.
    DataCut,
    /// The store answers with errors, late or not at all, some of the time.
    StoreErrors,
    /// The store does not answer at all.
    StoreOutage,
}

impl Fault {
    /// All that can happen where state is kept in a folder.
    pub const WITHOUT_STORE: [Self; 7] = [
        Self::TaskManagerKilled,
        Self::LeaderKilled,
        Self::TaskManagerStopped,
        Self::LeaderStopped,
        Self::LinkCut,
        Self::LinkReset,
        Self::DataCut,
    ];

    /// All.
    pub const ALL: [Self; 9] = [
        Self::TaskManagerKilled,
        Self::LeaderKilled,
        Self::TaskManagerStopped,
        Self::LeaderStopped,
        Self::LinkCut,
        Self::LinkReset,
        Self::DataCut,
        Self::StoreErrors,
        Self::StoreOutage,
    ];
}

/// How long an outage lasts that no patience of a store's client covers.
const LONG_OUTAGE: Duration = Duration::from_secs(30);

/// One in so many outages is that long.
const LONG_OUTAGES: usize = 4;

/// How often it is looked whether the job goes on.
const LOOK: Duration = Duration::from_millis(50);

/// Where faults come from.
pub struct Storm {
    random: Random,
}

/// From a fault to the first output after it: from the moment of a death or a reset, from the end
/// of what lasts.
pub struct Recovery {
    since: Timestamp,
    published: u64,
    took: Option<Duration>,
}

impl Recovery {
    fn begin(party: &Party) -> Self {
        Self {
            since: SystemClock.now(),
            published: party.job.published(),
            took: None,
        }
    }

    fn look(&mut self, party: &Party) -> bool {
        if self.took.is_none() {
            let now = party.job.published();
            if now > self.published || now == party.job.rows() {
                self.took = Some(SystemClock.now().since(self.since));
            }
        }
        self.took.is_some()
    }

    /// Waits for it.
    #[track_caller]
    pub fn wait(mut self, party: &Party, after: Fault) -> Duration {
        let limit = crate::party::RECOVERY_MAX;
        until_within(limit, &format!("output after {after:?}"), || {
            thread::sleep(LOOK);
            self.look(party)
        });
        self.took.expect("it was waited for")
    }
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
    pub fn inflict(&mut self, fault: Fault, party: &mut Party) -> Recovery {
        let worker = self.random.below(TASKMANAGERS);
        let recovery = match fault {
            Fault::TaskManagerKilled => {
                party.kill_taskmanager(worker);
                let recovery = self.watch(party, 1_500);
                party.start_taskmanager(worker);
                recovery
            }
            Fault::LeaderKilled => {
                let leader = party.leader();
                party.kill_jobmanager(leader);
                let recovery = self.watch(party, 1_500);
                party.start_jobmanager(leader);
                recovery
            }
            Fault::TaskManagerStopped => {
                party.taskmanager(worker).stop();
                self.pause(2_500, 5_000);
                party.taskmanager(worker).cont();
                Recovery::begin(party)
            }
            Fault::LeaderStopped => {
                let leader = party.leader();
                party.jobmanager(leader).stop();
                self.pause(4_000, 7_000);
                party.jobmanager(leader).cont();
                Recovery::begin(party)
            }
            Fault::LinkCut => {
                let kind = self.cut();
                let set = |kind| {
                    party
                        .links_of(worker)
                        .for_each(|link| link.set_traffic(kind))
                };
                set(kind);
                self.pause(200, 5_000);
                set(Traffic::Pass);
                Recovery::begin(party)
            }
            Fault::DataCut => {
                let kind = self.cut();
                let set = |kind| party.data_links().for_each(|link| link.set_traffic(kind));
                set(kind);
                self.pause(200, 5_000);
                set(Traffic::Pass);
                Recovery::begin(party)
            }
            Fault::LinkReset => {
                party.links_of(worker).for_each(|link| link.reset());
                Recovery::begin(party)
            }
            Fault::StoreErrors => {
                let errors = HttpFaults {
                    errors: 100,
                    slow: 50,
                    lost: 20,
                    outage: false,
                };
                let time = self.random.millis(1_000, 6_000);
                with_store(party, errors, time)
            }
            Fault::StoreOutage => {
                let outage = HttpFaults {
                    outage: true,
                    ..HttpFaults::default()
                };
                let time = match self.random.below(LONG_OUTAGES) {
                    0 => LONG_OUTAGE,
                    _ => self.random.millis(1_000, 6_000),
                };
                with_store(party, outage, time)
            }
        };
        party.restart_the_ended();
        recovery
    }

    fn cut(&mut self) -> Traffic {
        let kinds = [Traffic::Cut, Traffic::CutToServer, Traffic::CutToClient];
        kinds[self.random.below(kinds.len())]
    }

    /// So long at most, in which the job may go on already.
    fn watch(&mut self, party: &Party, most: u64) -> Recovery {
        let mut recovery = Recovery::begin(party);
        let end = recovery.since + self.random.millis(0, most);
        while SystemClock.now() < end {
            thread::sleep(LOOK);
            recovery.look(party);
        }
        recovery
    }

    fn pause(&mut self, least: u64, most: u64) {
        thread::sleep(self.random.millis(least, most));
    }
}

fn with_store(party: &Party, faults: HttpFaults, time: Duration) -> Recovery {
    if let Store::S3 { proxy, .. } = &party.store {
        proxy.set(faults);
        thread::sleep(time);
        proxy.set(HttpFaults::default());
    }
    Recovery::begin(party)
}
