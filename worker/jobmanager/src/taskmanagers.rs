//! The TaskManagers that were taken in, and who is turned away (Flink's `ResourceManager`). Pure.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use weir_rpc::{ANY_DEPLOYMENT, ConnectionId, Registration, version_mismatch};
use weir_types::{Fault, FaultClass, TaskManagerId, Timestamp};

/// The most slots that one TaskManager may offer: each costs memory here and a thread per vertex
/// there.
const SLOTS_MAX: u32 = 4096;

/// A TaskManager that was taken in.
#[derive(Debug)]
pub(crate) struct TaskManager {
    pub(crate) id: TaskManagerId,
    pub(crate) name: String,
    pub(crate) connection: ConnectionId,
    pub(crate) slots: u32,
    pub(crate) data_address: Option<SocketAddr>,
    /// Whether it has built the program.
    pub(crate) ready: bool,
    pub(crate) last_seen: Timestamp,
    pub(crate) registered_at_ms: i64,
}

/// Where a TaskManager runs, as far as it has told: all those of a machine share its disks and its
/// memory. In a pod it is the pod, which nodes know by an address of its own.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Machine {
    /// The host of its data address.
    Host(IpAddr),
    /// It has no address: what it calls itself.
    Named(String),
}

impl TaskManager {
    /// The machine outlives the process: another one there is another TaskManager.
    pub(crate) fn machine(&self) -> Machine {
        match self.data_address {
            Some(address) => Machine::Host(address.ip().to_canonical()),
            None => Machine::Named(self.name.clone()),
        }
    }

    /// For people.
    fn place(&self) -> String {
        let name = &self.name;
        match self.data_address {
            Some(address) => format!("TaskManager `{name}` at {address}"),
            None => format!("TaskManager `{name}`"),
        }
    }
}

/// Whether a text names this as a whole, not as the beginning of a longer number.
fn names_word(text: &str, word: &str) -> bool {
    let is_part = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    text.match_indices(word).any(|(at, _)| {
        !is_part(text[..at].chars().next_back()) && !is_part(text[at + word.len()..].chars().next())
    })
}

/// All TaskManagers, by id.
#[derive(Debug)]
pub(crate) struct TaskManagers {
    deployment: u64,
    by_id: BTreeMap<TaskManagerId, TaskManager>,
}

impl TaskManagers {
    pub(crate) fn new(deployment: u64) -> Self {
        Self {
            deployment,
            by_id: BTreeMap::new(),
        }
    }

    /// The fault of a subtask that has lost the data of another TaskManager's, with the names of
    /// both machines. What the network says of the other end is its id and address, by which nobody
    /// finds a machine; and of its own end it says nothing.
    pub(crate) fn with_places(&self, mut fault: Fault, at: TaskManagerId) -> Fault {
        if fault.class != FaultClass::PartitionDataMissing {
            return fault;
        }
        let names = |other: &&TaskManager| {
            let address = other.data_address.map(|address| address.to_string());
            let by_address = address.is_some_and(|address| names_word(&fault.cause, &address));
            other.id != at && (by_address || names_word(&fault.cause, &other.id.to_string()))
        };
        let peers = self.by_id.values().filter(names).map(TaskManager::place);
        let peers: Vec<_> = peers.collect();
        let own = self.by_id.get(&at).map(TaskManager::place);
        if let (Some(own), false) = (own, peers.is_empty()) {
            fault.cause = format!("{} (between {own} and {})", fault.cause, peers.join(", "));
        }
        fault
    }

    /// Takes a TaskManager in, or says why not.
    pub(crate) fn register(
        &mut self,
        connection: ConnectionId,
        registration: Registration,
        now: Timestamp,
        now_ms: i64,
    ) -> Result<TaskManagerId, String> {
        if let Some(reason) = version_mismatch(&registration) {
            return Err(reason);
        }
        let Registration {
            id,
            name,
            deployment,
            slots,
            data_address,
            ..
        } = registration;
        if deployment != self.deployment && deployment != ANY_DEPLOYMENT {
            return Err(format!(
                "it belongs to deployment {deployment}, this JobManager to deployment {}: start it \
                 with the JobManager of its own deployment",
                self.deployment
            ));
        }
        if slots == 0 || slots > SLOTS_MAX {
            return Err(format!(
                "it offers {slots} slots: give it between 1 and {SLOTS_MAX}"
            ));
        }
        if let Some(other) = self.by_id.get(&id) {
            return Err(format!(
                "a TaskManager with id {id} (`{}`) is already registered: give each TaskManager \
                 an id of its own",
                other.name
            ));
        }
        let task_manager = TaskManager {
            id,
            name,
            connection,
            slots,
            data_address,
            ready: false,
            last_seen: now,
            registered_at_ms: now_ms,
        };
        self.by_id.insert(id, task_manager);
        Ok(id)
    }

    pub(crate) fn get(&self, id: TaskManagerId) -> Option<&TaskManager> {
        self.by_id.get(&id)
    }

    pub(crate) fn get_mut(&mut self, id: TaskManagerId) -> Option<&mut TaskManager> {
        self.by_id.get_mut(&id)
    }

    pub(crate) fn of_connection(&mut self, connection: ConnectionId) -> Option<&mut TaskManager> {
        self.by_id
            .values_mut()
            .find(|task_manager| task_manager.connection == connection)
    }

    pub(crate) fn remove(&mut self, id: TaskManagerId) -> Option<TaskManager> {
        self.by_id.remove(&id)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &TaskManager> {
        self.by_id.values()
    }

    pub(crate) fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Those that have been silent for longer than they may.
    pub(crate) fn silent(&self, now: Timestamp, limit: Duration) -> Vec<TaskManagerId> {
        let silent = self
            .iter()
            .filter(|task_manager| now.since(task_manager.last_seen) > limit);
        silent.map(|task_manager| task_manager.id).collect()
    }
}

#[cfg(test)]
mod tests {
    use weir_rpc::{PROTOCOL_VERSION, VERSION};
    use weir_types::FaultScope;

    use super::*;

    fn taken_in() -> TaskManagers {
        let mut all = TaskManagers::new(1);
        for (id, port) in [(1, 401), (2, 4_010), (3, 402)] {
            let registration = Registration {
                protocol: PROTOCOL_VERSION,
                version: VERSION.to_owned(),
                id: TaskManagerId(id),
                name: format!("machine-{id}"),
                deployment: 1,
                slots: 1,
                data_address: Some(SocketAddr::from(([10, 0, 0, 1], port))),
            };
            all.register(ConnectionId(id as u64), registration, Timestamp(0), 0)
                .expect("it fits");
        }
        all
    }

    fn told(class: FaultClass, cause: &str) -> String {
        let fault = Fault {
            class,
            scope: FaultScope::Job,
            cause: cause.to_owned(),
        };
        taken_in().with_places(fault, TaskManagerId(3)).cause
    }

    /// Fails if 10.0.0.1:4010 were taken for 10.0.0.1:401.
    #[test]
    fn lost_data_is_told_with_the_names_and_addresses_of_both_machines() {
        let cause = "connect to TaskManager 9 at 10.0.0.1:4010: connection refused";
        assert_eq!(
            told(FaultClass::PartitionDataMissing, cause),
            format!(
                "{cause} (between TaskManager `machine-3` at 10.0.0.1:402 and TaskManager \
                 `machine-2` at 10.0.0.1:4010)"
            )
        );
    }

    #[test]
    fn other_faults_are_told_as_they_are() {
        let cause = "parse what 10.0.0.1:401 sent";
        assert_eq!(told(FaultClass::Recoverable, cause), cause);
        let cause = "the producer stopped: it was cancelled";
        assert_eq!(told(FaultClass::PartitionDataMissing, cause), cause);
    }
}
