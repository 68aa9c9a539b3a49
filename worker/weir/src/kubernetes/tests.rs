//! Elections at an API server that is made up: a Lease, the labels of pods, and requests that fail.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use serde_json::{Value, json};
use tempfile::TempDir;
use weir_jobmanager::{LeaderElection, Leadership};
use weir_testkit::until;
use weir_types::SystemClock;

use super::*;

const MILLIS: Duration = Duration::from_millis(1);

/// What the server knows.
#[derive(Default)]
struct Objects {
    version: u64,
    lease: Value,
    /// Whether each pod is marked as the leader.
    leads: BTreeMap<String, bool>,
    /// So many changes of pods are still refused.
    refused: u32,
}

/// The server. Its thread goes with the process.
pub(crate) struct FakeApi {
    address: String,
    objects: Arc<Mutex<Objects>>,
    token: TempDir,
}

fn lock(objects: &Mutex<Objects>) -> MutexGuard<'_, Objects> {
    objects.lock().unwrap_or_else(PoisonError::into_inner)
}

impl FakeApi {
    /// With a Lease that nobody has.
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let lease = json!({ "metadata": { "ownerReferences": [{ "uid": "u" }] }, "spec": {} });
        let objects = Objects {
            lease,
            ..Objects::default()
        };
        let objects = Arc::new(Mutex::new(objects));
        let served = Arc::clone(&objects);
        thread::spawn(move || {
            for stream in listener.incoming() {
                // Whoever hangs up has its answer.
                drop(stream.and_then(|stream| answer(stream, &served)));
            }
        });
        let token = tempfile::tempdir().unwrap();
        std::fs::write(token.path().join("token"), "t").unwrap();
        Self {
            address,
            objects,
            token,
        }
    }

    pub(crate) fn pod(&self, name: &str) -> Pod {
        let token = self.token.path().join("token").display().to_string();
        Pod {
            name: name.to_owned(),
            uid: format!("uid-of-{name}"),
            namespace: "n".to_owned(),
            lease: "job-1".to_owned(),
            lease_owner: "u".to_owned(),
            duration: MILLIS * 900,
            renew_deadline: MILLIS * 600,
            retry_period: MILLIS * 100,
            api: Arc::new(Api::new(self.address.clone(), b"", token).unwrap()),
            leaving: Arc::default(),
            left: Arc::default(),
            concluded: Arc::default(),
        }
    }

    fn leads(&self, pod: &str) -> bool {
        lock(&self.objects).leads.get(pod) == Some(&true)
    }

    fn refuse(&self, changes_of_pods: u32) {
        lock(&self.objects).refused = changes_of_pods;
    }
}

fn answer(mut stream: TcpStream, objects: &Mutex<Objects>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut first = String::new();
    reader.read_line(&mut first)?;
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let line = line.trim().to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(text) = line.strip_prefix("content-length:") {
            length = text.trim().parse().unwrap_or(0);
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let body = serde_json::from_slice(&body).unwrap_or_default();
    let mut words = first.split_whitespace();
    let method = words.next().unwrap_or_default();
    let path = words.next().unwrap_or_default();
    let (status, object) = lock(objects).answer(method, path, &body);
    let text = object.to_string();
    write!(
        stream,
        "HTTP/1.1 {status} x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{text}",
        text.len()
    )
}

impl Objects {
    fn answer(&mut self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        if let Some((_, pod)) = path.split_once("/pods/") {
            if self.refused > 0 {
                self.refused -= 1;
                return (503, json!({}));
            }
            if let Some(mark) = body.pointer("/metadata/labels/weir.dev~1leader") {
                self.leads.insert(pod.to_owned(), mark == "true");
            }
            return (200, json!({}));
        }
        if method == "PATCH" {
            let version = self.version.to_string();
            let wanted = body.pointer("/metadata/resourceVersion");
            if wanted.is_some_and(|wanted| wanted != version.as_str()) {
                return (409, json!({}));
            }
            merge(&mut self.lease, body);
            self.version += 1;
        }
        self.lease["metadata"]["resourceVersion"] = Value::from(self.version.to_string());
        (200, self.lease.clone())
    }
}

/// JSON merge patch.
fn merge(target: &mut Value, patch: &Value) {
    match patch {
        Value::Object(fields) => {
            for (name, value) in fields {
                merge(&mut target[name], value);
            }
        }
        value => target.clone_from(value),
    }
}

fn election(pod: &Pod, nonce: u64) -> LeaseElection {
    LeaseElection::new(pod.clone(), nonce, Arc::new(SystemClock))
}

/// Stands for election until somebody else was seen to lead for so often.
fn campaign(election: &mut LeaseElection, looks: u32) -> Option<Leadership> {
    let mut seen = 0;
    let won = election.campaign(&mut |holder| {
        seen += u32::from(!holder.is_empty());
        seen <= looks
    });
    won.unwrap()
}

/// Otherwise clients would not find the leader for as long as it leads.
#[test]
fn a_mark_that_could_not_be_made_is_made_with_a_later_renewal() {
    let api = FakeApi::start();
    let (first, second) = (api.pod("jm-0"), api.pod("jm-1"));
    let held = campaign(&mut election(&first, 1), 0).unwrap();
    until("the mark", || api.leads("jm-0"));
    drop(held);
    until("the end", || first.has_left());
    // More than those of a campaign.
    api.refuse(6);
    let held = campaign(&mut election(&first, 2), 50);
    assert!(held.is_some());
    until("the mark", || api.leads("jm-0"));
    assert!(campaign(&mut election(&second, 3), 5).is_none());
    assert!(!api.leads("jm-1"));
}

#[test]
fn a_pod_that_stands_by_loses_the_mark_of_the_process_before_even_if_that_fails_at_first() {
    let api = FakeApi::start();
    let (first, second) = (api.pod("jm-0"), api.pod("jm-1"));
    let _held = campaign(&mut election(&first, 1), 0).unwrap();
    lock(&api.objects).leads.insert("jm-1".to_owned(), true);
    until("the leader's mark", || api.leads("jm-0"));
    api.refuse(2);
    assert!(campaign(&mut election(&second, 2), 20).is_none());
    assert!(!api.leads("jm-1"));
}

/// Nothing else says that the job is over: it has no storage.
#[test]
fn a_job_whose_end_its_lease_tells_is_led_by_nobody_again() {
    for ended in [
        Ended::Finished,
        Ended::Cancelled,
        Ended::Failed("job x failed: y".to_owned()),
    ] {
        let api = FakeApi::start();
        let (first, second) = (api.pod("jm-0"), api.pod("jm-1"));
        let held = campaign(&mut election(&first, 1), 0).unwrap();
        // It is not the other's to say.
        second.conclude(&Ended::Cancelled);
        let mut stands_by = election(&second, 2);
        assert!(campaign(&mut stands_by, 5).is_none());
        assert_eq!(stands_by.ended(), None);
        first.conclude(&ended);
        drop(held);
        // The container of the leader that is started again, and the one that stood by.
        for (pod, nonce) in [(api.pod("jm-0"), 3), (api.pod("jm-1"), 4)] {
            let mut again = election(&pod, nonce);
            assert!(campaign(&mut again, u32::MAX - 1).is_none());
            assert_eq!(again.ended().as_ref(), Some(&ended));
        }
    }
}
