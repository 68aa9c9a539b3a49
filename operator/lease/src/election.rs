//! The state machine of one candidate.

use std::time::Duration;

use weir_types::Timestamp;

use crate::{LeaseRecord, Observed};

/// The timing of an election, and who stands in it.
#[derive(Clone, Debug)]
pub struct Settings {
    /// This process, unlike any other that ever was.
    pub identity: String,
    /// The beginning of the identities of processes that have surely ended, such as those that ran
    /// in this very pod before: nobody waits for them. Empty: there are none.
    pub predecessors: String,
    /// After this long without a change the Lease may be taken.
    pub duration: Duration,
    /// For this long after its last successful write a leader acts; less than `duration`.
    pub renew_deadline: Duration,
    /// The time between two attempts; less than `renew_deadline`.
    pub retry_period: Duration,
    /// What a leader does that cannot renew.
    pub on_silence: OnSilence,
    /// What a candidate does where there is no Lease.
    pub on_missing: OnMissing,
}

/// What a leader does that cannot renew because nobody answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnSilence {
    /// It stops acting before anybody else may begin.
    StepDown,
    /// It goes on until it sees another holder: something else keeps it from doing harm.
    GoOn,
}

/// What a candidate does where there is no Lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnMissing {
    /// It makes one.
    Create,
    /// It stands by: whoever makes the Lease opens the election by it. A leader whose Lease is
    /// gone takes it again once it is back, if nobody else has.
    StandBy,
}

/// What happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// Time has passed.
    Tick,
    /// The Lease has changed, as a watch has told: it may be worth a read before the next attempt.
    Changed,
    /// A read has ended: the Lease, or that there is none.
    Read(Option<Observed>),
    /// A read has failed.
    ReadFailed,
    /// A write has ended; the Lease as it is now.
    Written(Observed),
    /// A write has failed.
    WriteFailed(WriteError),
}

/// Why a write failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteError {
    /// The Lease had changed: nothing was written.
    Conflict,
    /// Nobody knows whether it was written.
    InDoubt,
}

/// What to do next. One action is under way at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Wait until then, then tell [`Event::Tick`].
    Wait(Timestamp),
    /// Read the Lease.
    Read,
    /// Write the Lease. The times for people are to be filled in by the driver: `renewed_at`
    /// always, `acquired_at` where it is empty.
    Write {
        /// The content.
        record: LeaseRecord,
        /// What it replaces; none: it must not exist.
        replaces: Option<String>,
    },
}

/// One candidate.
#[derive(Debug)]
pub struct Election {
    settings: Settings,
    /// The Lease as it was seen last, and since when it has been like that.
    seen: Option<(Observed, Timestamp)>,
    /// Whether the Lease was read to be missing, and is to be made.
    missing: bool,
    leads: Option<Leads>,
    /// A write under way or in doubt.
    sent: Option<Sent>,
    /// How often this process became leader.
    terms: u64,
    next_attempt: Timestamp,
    resigning: bool,
}

#[derive(Debug)]
struct Leads {
    /// When the last successful write was sent.
    confirmed: Timestamp,
    /// From when on it may act: a Lease that was made anew may follow one that somebody deleted
    /// while its holder acted.
    acts_from: Timestamp,
}

#[derive(Debug)]
struct Sent {
    at: Timestamp,
    transitions: u32,
    /// What it replaces.
    replaces: Option<String>,
}

impl Election {
    /// A candidate that begins now.
    pub fn new(settings: Settings, now: Timestamp) -> Self {
        Self {
            settings,
            seen: None,
            missing: false,
            leads: None,
            sent: None,
            terms: 0,
            next_attempt: now,
            resigning: false,
        }
    }

    /// Whether this process may act now. To be asked before each act.
    pub fn is_acting(&self, now: Timestamp) -> bool {
        let Some(leads) = &self.leads else {
            return false;
        };
        !self.resigning && now >= leads.acts_from && self.is_confirmed(leads, now)
    }

    fn is_confirmed(&self, leads: &Leads, now: Timestamp) -> bool {
        match self.settings.on_silence {
            OnSilence::GoOn => true,
            OnSilence::StepDown => now.since(leads.confirmed) < self.settings.renew_deadline,
        }
    }

    /// Whether this process holds the Lease, as far as it knows.
    pub fn leads(&self) -> bool {
        self.leads.is_some()
    }

    /// How often this process became leader. Whoever may do something only with a newly acquired
    /// Lease compares this.
    pub fn term(&self) -> u64 {
        self.terms
    }

    /// Who holds the Lease, as far as this process knows.
    pub fn holder(&self) -> Option<&str> {
        let holder = self
            .seen
            .as_ref()
            .map(|(seen, _)| seen.record.holder.as_str());
        holder.filter(|holder| !holder.is_empty())
    }

    /// Gives the Lease up: whoever calls this has stopped acting. The next actions write that
    /// nobody holds it, if this process does.
    ///
    /// A Lease that was made anew a short while ago is kept until it expires: somebody may still
    /// act by the one before, and whoever takes one that is given up acts at once.
    pub fn resign(&mut self, now: Timestamp) {
        self.resigning = true;
        if self
            .leads
            .as_ref()
            .is_some_and(|leads| now < leads.acts_from)
        {
            self.leads = None;
        }
        self.next_attempt = now;
    }

    /// Whether there is nothing left to do after [`Election::resign`].
    pub fn has_resigned(&self) -> bool {
        self.resigning && self.leads.is_none()
    }

    /// Takes in what happened and says what to do next.
    pub fn on_event(&mut self, now: Timestamp, event: Event) -> Action {
        match event {
            Event::Tick => {}
            Event::Changed => self.on_changed(now),
            Event::Read(found) => self.on_read(now, found),
            Event::ReadFailed => self.pause(now),
            Event::Written(observed) => self.on_written(now, observed),
            Event::WriteFailed(WriteError::Conflict) => {
                self.sent = None;
                self.missing = false;
                return Action::Read;
            }
            Event::WriteFailed(WriteError::InDoubt) => {
                // `sent` stays: the next read tells whether it is in.
                self.missing = false;
                self.pause(now);
            }
        }
        self.step_down_if_late(now);
        self.next(now)
    }

    /// Whoever leads knows who changes the Lease. A watch is no read: what it brings may be old.
    fn on_changed(&mut self, now: Timestamp) {
        let waits = self.sent.is_none() && !self.missing && !self.resigning;
        if self.leads.is_none() && waits {
            self.next_attempt = now;
        }
    }

    fn pause(&mut self, now: Timestamp) {
        self.next_attempt = now + self.settings.retry_period;
    }

    fn step_down_if_late(&mut self, now: Timestamp) {
        let late = |leads: &Leads| !self.is_confirmed(leads, now);
        if self.leads.as_ref().is_some_and(late) {
            self.leads = None;
        }
    }

    fn on_written(&mut self, now: Timestamp, observed: Observed) {
        if let Some(sent) = self.sent.take() {
            self.confirm(&sent);
        }
        self.pause(now);
        match (self.resigning, observed.record.holder.is_empty()) {
            (true, true) => self.leads = None,
            // A renewal that was on its way.
            (true, false) => self.next_attempt = now,
            (false, _) => {}
        }
        self.missing = false;
        self.seen = Some((observed, now));
    }

    /// A write has succeeded.
    fn confirm(&mut self, sent: &Sent) {
        if self.resigning {
            return;
        }
        let acts_from = match &self.leads {
            Some(leads) => leads.acts_from,
            None => {
                self.terms += 1;
                let made = sent.replaces.is_none();
                match made && self.settings.on_silence == OnSilence::StepDown {
                    true => sent.at + self.settings.duration,
                    false => sent.at,
                }
            }
        };
        self.leads = Some(Leads {
            confirmed: sent.at,
            acts_from,
        });
    }

    fn on_read(&mut self, now: Timestamp, found: Option<Observed>) {
        let Some(found) = found else {
            self.missing = self.settings.on_missing == OnMissing::Create;
            self.seen = None;
            self.sent = None;
            // Somebody deleted it. Whoever must be sure to lead is so no more, and whoever resigns
            // has nothing left to give up.
            let needs_it = self.settings.on_silence == OnSilence::StepDown;
            if needs_it || (self.resigning && !self.missing) {
                self.leads = None;
            }
            return;
        };
        self.missing = false;
        let changed = self
            .seen
            .as_ref()
            .is_none_or(|(seen, _)| seen.resource_version != found.resource_version);
        let own = found.record.holder == self.settings.identity;
        if let Some(sent) = self.sent.take() {
            // In doubt: it is in if the Lease is ours and no longer what it was to replace.
            let replaced = sent.replaces.as_deref() != Some(found.resource_version.as_str());
            if own && replaced && found.record.transitions == sent.transitions {
                self.confirm(&sent);
            }
        }
        // A Lease that was made anew bears no name yet: that is no other holder.
        let vacant = found.record.holder.is_empty()
            && self.settings.on_silence == OnSilence::GoOn
            && !self.resigning;
        if !own && !vacant {
            self.leads = None;
        }
        if changed {
            // One that was given up is taken at once.
            if found.record.holder.is_empty() && self.leads.is_none() && !self.resigning {
                self.next_attempt = now;
            }
            self.seen = Some((found, now));
        }
    }

    fn next(&mut self, now: Timestamp) -> Action {
        if self.has_resigned() {
            return Action::Wait(now + self.settings.retry_period);
        }
        if now < self.next_attempt {
            return Action::Wait(self.next_attempt);
        }
        if self.sent.is_some() {
            self.pause(now);
            return Action::Read;
        }
        if self.missing {
            return self.write(now, None, 0, String::new());
        }
        let Some((seen, since)) = &self.seen else {
            self.pause(now);
            return Action::Read;
        };
        let record = &seen.record;
        let version = Some(seen.resource_version.clone());
        if record.holder == self.settings.identity && self.leads.is_some() {
            let (transitions, acquired) = (record.transitions, record.acquired_at.clone());
            return self.write(now, version, transitions, acquired);
        }
        let theirs = Duration::from_secs(record.duration_secs.into()).max(self.settings.duration);
        let gone = !self.settings.predecessors.is_empty()
            && record.holder.starts_with(&self.settings.predecessors);
        // A Lease that bears this process's name although it does not lead was written by a write
        // in doubt, or expired meanwhile: it is waited for like anybody's.
        let own = record.holder == self.settings.identity;
        let free = record.holder.is_empty() || (gone && !own) || now.since(*since) >= theirs;
        if free && !self.resigning {
            let transitions = record.transitions.saturating_add(1);
            return self.write(now, version, transitions, String::new());
        }
        let expires = *since + theirs;
        self.pause(now);
        // Not only with the attempt after it.
        if !self.resigning && expires > now {
            self.next_attempt = self.next_attempt.min(expires);
        }
        Action::Read
    }

    fn write(
        &mut self,
        now: Timestamp,
        replaces: Option<String>,
        transitions: u32,
        acquired_at: String,
    ) -> Action {
        self.sent = Some(Sent {
            at: now,
            transitions,
            replaces: replaces.clone(),
        });
        self.next_attempt = now + self.settings.retry_period;
        let holder = match self.resigning {
            true => String::new(),
            false => self.settings.identity.clone(),
        };
        let secs = self.settings.duration.as_millis().div_ceil(1000).max(1);
        Action::Write {
            record: LeaseRecord {
                holder,
                duration_secs: u32::try_from(secs).unwrap_or(u32::MAX),
                transitions,
                acquired_at,
                renewed_at: String::new(),
            },
            replaces,
        }
    }
}
