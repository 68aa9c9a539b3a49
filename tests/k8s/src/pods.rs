//! Pods, and what can happen to the processes in them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::cluster::{kubectl, list};

/// A pod as it was when it was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// `Running` and so on.
    pub phase: String,
    /// Whether it is ready.
    pub ready: bool,
    /// Whether it is being deleted.
    pub is_deleting: bool,
    /// Its node.
    pub node: String,
    /// How often its container was started again.
    pub restarts: i64,
    /// `jobmanager` or `taskmanager`, if it belongs to a job.
    pub component: String,
    /// Whether it bears the mark of the JobManager that leads.
    pub leads: bool,
    /// The number of its deployment; 0 if it belongs to none.
    pub deployment: i64,
}

/// The pods of a namespace that have these labels.
pub fn pods(namespace: &str, labels: &str) -> Vec<Pod> {
    let labels = labels.replace('=', "%3D").replace(',', "%2C");
    let path = format!("/api/v1/namespaces/{namespace}/pods?labelSelector={labels}");
    let found = list(&path).unwrap_or_default();
    found.iter().map(Pod::read).collect()
}

impl Pod {
    fn read(pod: &Value) -> Self {
        let text = |pointer: &str| {
            let found = pod.pointer(pointer).and_then(Value::as_str);
            found.unwrap_or_default().to_owned()
        };
        let conditions = pod.pointer("/status/conditions").and_then(Value::as_array);
        let ready = conditions.is_some_and(|conditions| {
            let is_ready = |condition: &&Value| condition["type"] == "Ready";
            let ready = conditions.iter().find(is_ready);
            ready.is_some_and(|ready| ready["status"] == "True")
        });
        let restarts = pod.pointer("/status/containerStatuses/0/restartCount");
        let deployment = text("/metadata/labels/weir.dev~1deployment");
        Self {
            namespace: text("/metadata/namespace"),
            name: text("/metadata/name"),
            uid: text("/metadata/uid"),
            phase: text("/status/phase"),
            ready,
            is_deleting: pod.pointer("/metadata/deletionTimestamp").is_some(),
            node: text("/spec/nodeName"),
            restarts: restarts.and_then(Value::as_i64).unwrap_or(0),
            component: text("/metadata/labels/weir.dev~1component"),
            leads: text("/metadata/labels/weir.dev~1leader") == "true",
            deployment: deployment.parse().unwrap_or(0),
        }
    }

    /// `kubectl delete pod`, without waiting for its end.
    #[track_caller]
    pub fn delete(&self) {
        kubectl(&[
            "delete",
            "pod",
            &self.name,
            "--namespace",
            &self.namespace,
            "--wait=false",
        ]);
    }

    /// Kills its program by the machine's kernel: nobody is told, nothing is cleaned up.
    #[track_caller]
    pub fn kill_nine(&self) {
        self.signal("KILL");
    }

    /// Sends its program a signal.
    #[track_caller]
    pub fn signal(&self, signal: &str) {
        let processes = self.processes();
        assert!(!processes.is_empty(), "{} has no process", self.name);
        for process in processes {
            let process = process.to_string();
            let kill = Command::new("kill").args(["-s", signal, &process]).status();
            assert!(kill.is_ok_and(|status| status.success()), "kill {process}");
        }
    }

    /// The memory that its program holds, in MiB.
    #[track_caller]
    pub fn resident_mib(&self) -> f64 {
        let pages = self.processes().into_iter().filter_map(|process| {
            let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
            let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
            line.split_whitespace().nth(1)?.parse::<f64>().ok()
        });
        pages.sum::<f64>() / 1024.0
    }

    /// The names of what is in a folder, as its program sees it.
    #[track_caller]
    pub fn names_in(&self, folder: &str) -> Vec<String> {
        let processes = self.processes();
        let process = processes.first().expect("the pod has a process");
        let seen = format!("/proc/{process}/root{folder}");
        let entries = fs::read_dir(&seen).unwrap_or_else(|error| unreachable!("{seen}: {error}"));
        let name = |entry: fs::DirEntry| entry.file_name().to_string_lossy().into_owned();
        let mut names: Vec<_> = entries.flatten().map(name).collect();
        names.sort_unstable();
        names
    }

    /// The processes of our programs in the pod's control group.
    fn processes(&self) -> Vec<u32> {
        let group = group(&self.uid);
        let mut found = Vec::new();
        if let Some(group) = group {
            collect(&group, &mut found);
        }
        found.sort_unstable();
        found.dedup();
        found
    }
}

/// A pod's control group, in any hierarchy.
fn group(uid: &str) -> Option<PathBuf> {
    let wanted = format!("pod{uid}");
    let mut open = vec![PathBuf::from("/sys/fs/cgroup")];
    // Hierarchy, node, kubepods, class, pod.
    for _ in 0..5 {
        let mut next = Vec::new();
        for folder in open {
            for entry in folders(&folder) {
                if entry
                    .file_name()
                    .is_some_and(|name| name == wanted.as_str())
                {
                    return Some(entry);
                }
                next.push(entry);
            }
        }
        open = next;
    }
    None
}

fn folders(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect()
}

fn collect(folder: &Path, found: &mut Vec<u32>) {
    let processes = fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
    let ours = processes.lines().filter_map(|line| {
        let program = fs::read_link(format!("/proc/{line}/exe")).ok()?;
        let name = program.file_name()?.to_str()?;
        let process = name.starts_with("weir").then(|| line.parse::<u32>());
        process?.ok()
    });
    found.extend(ours);
    for entry in folders(folder) {
        collect(&entry, found);
    }
}
