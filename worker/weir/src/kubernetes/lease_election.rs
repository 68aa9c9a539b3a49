//! Election by the job's Lease.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use weir_jobmanager::{ElectionError, LeaderElection, Leadership, Term};
use weir_lease::{Action, Election, Event, OnMissing, OnSilence, Settings, WriteError, micro_time};
use weir_types::{Clock, Timestamp};

use super::{Ended, Pod};

/// A wait is cut into pieces of this length, so that a pod that is told to end does so soon.
const SLICE: Duration = Duration::from_millis(50);

/// Election by the job's Lease.
pub(crate) struct LeaseElection {
    pod: Pod,
    nonce: u64,
    clock: Arc<dyn Clock>,
    ended: Option<Ended>,
}

impl LeaseElection {
    pub(crate) fn new(pod: Pod, nonce: u64, clock: Arc<dyn Clock>) -> Self {
        Self {
            pod,
            nonce,
            clock,
            ended: None,
        }
    }

    /// How the job has ended, if that is why there was no election.
    pub(crate) fn ended(self) -> Option<Ended> {
        self.ended
    }

    fn settings(&self) -> Settings {
        // Containers of one pod follow each other, so nobody waits for the one before.
        let predecessors = self.pod.identity();
        Settings {
            identity: format!("{predecessors}{:016x}", self.nonce),
            predecessors,
            duration: self.pod.duration,
            renew_deadline: self.pod.renew_deadline,
            retry_period: self.pod.retry_period,
            // The pointer keeps a leader from doing harm that does not know better.
            on_silence: OnSilence::GoOn,
            // The operator makes it, once the job may start.
            on_missing: OnMissing::StandBy,
        }
    }
}

impl LeaderElection for LeaseElection {
    fn campaign(
        &mut self,
        waiting: &mut dyn FnMut(&str) -> bool,
    ) -> Result<Option<Leadership>, ElectionError> {
        let mut marked = mark(&self.pod, false);
        let mut candidate = Candidate {
            election: Election::new(self.settings(), self.clock.now()),
            pod: self.pod.clone(),
            clock: Arc::clone(&self.clock),
            ended: None,
        };
        let mut event = Event::Tick;
        loop {
            let action = candidate.election.on_event(candidate.clock.now(), event);
            if candidate.election.leads() {
                return Ok(Some(lead(candidate, action)));
            }
            let holder = candidate.election.holder().unwrap_or_default();
            let holder = holder.split('_').next().unwrap_or_default().to_owned();
            if candidate.pod.is_leaving() || !waiting(&holder) {
                candidate.pod.left.store(true, Ordering::Release);
                return Ok(None);
            }
            event = candidate.perform(action);
            if candidate.ended.is_some() {
                self.ended = candidate.ended;
                return Ok(None);
            }
            if !marked && is_answer(&event) {
                marked = mark(&self.pod, false);
            }
        }
    }
}

/// Whether the API server has just answered: something else may be asked of it.
fn is_answer(event: &Event) -> bool {
    matches!(event, Event::Read(_) | Event::Written(_))
}

struct Candidate {
    election: Election,
    pod: Pod,
    clock: Arc<dyn Clock>,
    ended: Option<Ended>,
}

impl Candidate {
    fn perform(&mut self, action: Action) -> Event {
        let Pod {
            namespace, lease, ..
        } = &self.pod;
        match action {
            Action::Wait(until) => {
                self.wait(until);
                Event::Tick
            }
            Action::Read => match self.pod.read_lease() {
                Ok(found) => Event::Read(found.map(|lease| {
                    self.ended = lease.ended;
                    lease.observed
                })),
                Err(error) => {
                    tracing::warn!("read the Lease {lease}: {error:#}");
                    Event::ReadFailed
                }
            },
            Action::Write { replaces: None, .. } => Event::WriteFailed(WriteError::Conflict),
            Action::Write {
                mut record,
                replaces: Some(replaces),
            } => {
                let now = micro_time(self.clock.unix_ms());
                if record.acquired_at.is_empty() {
                    record.acquired_at.clone_from(&now);
                }
                record.renewed_at = now;
                let api = &self.pod.api;
                let written = api.write_lease(namespace, lease, &record, &replaces);
                match written {
                    Ok(observed) => Event::Written(observed),
                    Err(error) => Event::WriteFailed(error),
                }
            }
        }
    }

    fn wait(&self, until: Timestamp) {
        while self.clock.now() < until && !self.pod.is_leaving() {
            thread::sleep(SLICE);
        }
    }
}

/// Keeps the Lease on a thread of its own.
fn lead(mut candidate: Candidate, mut action: Action) -> Leadership {
    let (leadership, term) = Leadership::begin();
    let pod = candidate.pod.clone();
    let keep = move || {
        let mut marked = mark(&candidate.pod, true);
        let mut missing = false;
        loop {
            if candidate.pod.has_concluded() {
                // It is kept until it runs out: nobody is to take it before it says so.
                return candidate.pod.left.store(true, Ordering::Release);
            }
            if candidate.pod.is_leaving() || term.has_resigned() {
                return give_up(&mut candidate);
            }
            let event = candidate.perform(action);
            let gone = match &event {
                Event::Read(found) => found.is_none(),
                Event::Written(_) => false,
                _ => missing,
            };
            // What could not be marked is tried again as long as the API server answers.
            if !marked && is_answer(&event) {
                marked = mark(&candidate.pod, true);
                // That mark takes the other one off.
                missing &= !marked;
            }
            if gone != missing && mark_lease(&candidate.pod, gone) {
                missing = gone;
            }
            action = candidate.election.on_event(candidate.clock.now(), event);
            if !candidate.election.leads() {
                return lose(&candidate, &term);
            }
        }
    };
    let started = thread::Builder::new()
        .name("election".to_owned())
        .spawn(keep);
    if let Err(error) = started {
        tracing::warn!(%error, pod = pod.name(), "the Lease is not renewed: another JobManager may take over");
    }
    leadership
}

fn lose(candidate: &Candidate, term: &Term) {
    mark(&candidate.pod, false);
    term.lose();
}

/// Says that nobody holds the Lease. Tried once: whoever waits for it only waits a little longer.
fn give_up(candidate: &mut Candidate) {
    let clock = Arc::clone(&candidate.clock);
    candidate.election.resign(clock.now());
    let mut event = Event::Tick;
    for _ in 0..4 {
        let action = candidate.election.on_event(clock.now(), event);
        if candidate.election.has_resigned() {
            break;
        }
        event = match action {
            Action::Wait(_) => Event::Tick,
            action => candidate.perform(action),
        };
    }
    candidate.pod.left.store(true, Ordering::Release);
}

/// The label only leads clients to the leader's REST: without it the job runs all the same. False:
/// it is not there.
fn mark(pod: &Pod, leads: bool) -> bool {
    let marked = pod.api.mark_leader(&pod.namespace, &pod.name, leads);
    if let Err(error) = &marked {
        tracing::warn!("mark pod {} as leader or not: {error:#}", pod.name);
    }
    marked.is_ok()
}

/// Without the mark the Lease is made anew only once nobody leads any more. False: it is not there.
fn mark_lease(pod: &Pod, missing: bool) -> bool {
    if missing {
        tracing::warn!("the Lease {} is gone: the job goes on without", pod.lease);
    }
    let marked = pod.api.mark_lease(&pod.namespace, &pod.name, missing);
    if let Err(error) = &marked {
        tracing::warn!("mark pod {}: {error:#}", pod.name);
    }
    marked.is_ok()
}
