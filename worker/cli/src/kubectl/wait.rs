//! Waiting for what was asked for, as `kubectl rollout status` does.
//!
//! The job is looked at again and again, through a kubectl that is done each time: whatever ends
//! this process leaves nothing behind, and what was asked for goes on in any case.

use std::io::Write;
use std::thread;
use std::time::Duration;

use anyhow::anyhow;
use weir_crd::{ConditionStatus, StreamJobStatus};
use weir_types::{Clock, SystemClock, Timestamp};

use super::args::WaitArgs;
use super::client::{Kubectl, Refusal};
use super::names;
use super::objects::Job;
use crate::{Failure, human};

/// How often the job is looked at.
const INTERVAL: Duration = Duration::from_millis(500);

/// After this long without a sign of the operator, somebody should look for it.
const SILENCE: Duration = Duration::from_secs(15);

/// A job that says for this long that it waits for a person is not waited for any more. Until then
/// it may say so of what was before.
const STALLED: Duration = Duration::from_secs(10);

/// What a look at the job has told.
pub(super) enum Look<T> {
    /// It is done.
    Done(T),
    /// The operator is at it.
    Goes,
    /// The operator has not begun.
    Unseen,
}

/// Looks at the job until `look` says that it is done.
pub(super) fn until<T>(
    kubectl: &Kubectl,
    name: &str,
    wait: WaitArgs,
    what: &str,
    look: impl Fn(&Job) -> Result<Look<T>, Failure>,
) -> Result<T, Failure> {
    let mut watch = Watch::new(name, what);
    loop {
        match kubectl.json::<Job>(&["get", names::RESOURCE, name]) {
            Ok(job) => match look(&job)? {
                Look::Done(done) => return Ok(done),
                Look::Goes => {
                    watch.told(doing(&job.status));
                    watch.stalled(&job.status)?;
                }
                Look::Unseen if watch.age() < SILENCE => watch.told("asked for".to_owned()),
                Look::Unseen => watch.told(silence(&job)),
            },
            Err(Refusal::NotFound(_)) => {
                let text = format!("`{name}` was deleted while it was waited for");
                return Err(Failure::failed(anyhow!(text)));
            }
            // A cluster that does not answer for a moment is no reason to give up.
            Err(refusal) => watch.told(format!("the cluster does not answer: {refusal}")),
        }
        if watch.age() > wait.timeout.get() {
            return Err(watch.late(wait));
        }
        thread::sleep(INTERVAL);
    }
}

/// What the operator is doing.
pub(super) fn doing(status: &StreamJobStatus) -> String {
    match &status.operation {
        Some(operation) => {
            let wait = match operation.message.as_str() {
                "" => String::new(),
                message => format!(": {message}"),
            };
            format!("{:?}, step {:?}{wait}", operation.kind, operation.step)
        }
        None => match (&status.retry, &status.last_error) {
            (Some(retry), Some(error)) => {
                format!("{}. Tried again after {}", error.message, retry.not_before)
            }
            _ => match condition(status, "Ready") {
                Some(ready) => ready.message.clone(),
                None => "the operator is to begin".to_owned(),
            },
        },
    }
}

pub(super) fn condition<'a>(
    status: &'a StreamJobStatus,
    kind: &str,
) -> Option<&'a weir_crd::Condition> {
    status
        .conditions
        .iter()
        .find(|condition| condition.kind == kind)
}

/// Why nothing happens, as far as can be seen from here.
fn silence(job: &Job) -> String {
    if job.says(names::PAUSED) {
        return format!(
            "the annotation {} keeps the operator away: remove it with `kubectl annotate sj/{} \
             {}-`",
            names::PAUSED,
            job.name(),
            names::PAUSED
        );
    }
    let refused = condition(&job.status, "Accepted")
        .filter(|accepted| accepted.status == ConditionStatus::False);
    if let Some(refused) = refused {
        return format!("the spec is refused: {}", refused.message);
    }
    match &job.status.operation {
        Some(_) => format!("something else comes first: {}", doing(&job.status)),
        None if job.status.retry.is_some() => doing(&job.status),
        None => "the operator has not answered yet. Does it run? `kubectl get pods -A -l \
                 app.kubernetes.io/component=operator`"
            .to_owned(),
    }
}

/// What is told on stderr, and since when.
struct Watch<'a> {
    name: &'a str,
    what: &'a str,
    started: Timestamp,
    stalled_since: Option<Timestamp>,
    last: String,
}

impl<'a> Watch<'a> {
    fn new(name: &'a str, what: &'a str) -> Self {
        Self {
            name,
            what,
            started: SystemClock.now(),
            stalled_since: None,
            last: String::new(),
        }
    }

    fn age(&self) -> Duration {
        SystemClock.now().since(self.started)
    }

    /// A line, if it is not the one before.
    fn told(&mut self, text: String) {
        if text != self.last {
            let (name, what, age) = (self.name, self.what, human::duration(self.age()));
            // With a closed stderr there is nobody to tell.
            drop(writeln!(
                std::io::stderr().lock(),
                "{name}: {what} ({age}): {text}"
            ));
            self.last = text;
        }
    }

    fn stalled(&mut self, status: &StreamJobStatus) -> Result<(), Failure> {
        let stalled = condition(status, "Stalled")
            .filter(|condition| condition.status == ConditionStatus::True);
        let Some(stalled) = stalled else {
            self.stalled_since = None;
            return Ok(());
        };
        let now = SystemClock.now();
        let since = *self.stalled_since.get_or_insert(now);
        if now.since(since) < STALLED {
            return Ok(());
        }
        Err(
            Failure::failed(anyhow!(stalled.message.clone())).context(format!(
                "`{}` waits for a person ({})",
                self.name, stalled.reason
            )),
        )
    }

    fn late(&self, wait: WaitArgs) -> Failure {
        let text = format!(
            "{} of `{}` is not done after {}; it goes on. Look with `kubectl weir status {}`, or \
             wait longer with --timeout",
            self.what, self.name, wait.timeout, self.name
        );
        match self.last.as_str() {
            "" => Failure::failed(anyhow!(text)),
            last => Failure::failed(anyhow!(last.to_owned())).context(text),
        }
    }
}
