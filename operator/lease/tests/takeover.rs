//! How long nobody acts when the one that does ends: told to, or killed.

use std::time::Duration;

use weir_lease::{
    Action, Election, Event, LeaseRecord, Observed, OnMissing, OnSilence, Settings, WriteError,
};
use weir_types::Timestamp;

/// Milliseconds of a request, there and back; drivers look at their clock as often.
const STEP: u64 = 50;
const DURATION: u64 = 15_000;

fn at(ms: u64) -> Timestamp {
    Timestamp(ms * 1_000_000)
}

fn election(name: &str) -> Election {
    let settings = Settings {
        identity: name.to_owned(),
        predecessors: String::new(),
        duration: Duration::from_millis(DURATION),
        renew_deadline: Duration::from_secs(10),
        retry_period: Duration::from_secs(2),
        on_silence: OnSilence::StepDown,
        on_missing: OnMissing::Create,
    };
    Election::new(settings, at(0))
}

fn lease(holder: &str, version: u64) -> Observed {
    Observed {
        record: LeaseRecord {
            holder: holder.to_owned(),
            duration_secs: 15,
            transitions: 1,
            acquired_at: String::new(),
            renewed_at: String::new(),
        },
        resource_version: version.to_string(),
    }
}

/// Two candidates and the API server. The second one is told of changes, or is not.
struct World {
    now: u64,
    lease: Option<Observed>,
    version: u64,
    told: bool,
    /// What the second one is told of, it learns when it waits.
    news: bool,
    /// Each with what it waits for, or what it will learn in the next step.
    first: (Election, Result<Event, Timestamp>),
    second: (Election, Result<Event, Timestamp>),
}

impl World {
    fn new(told: bool) -> Self {
        let mut world = Self {
            now: 0,
            lease: None,
            version: 0,
            told,
            news: false,
            first: (election("first"), Ok(Event::Tick)),
            second: (election("second"), Err(at(1_000))),
        };
        // Whoever makes the Lease waits for its duration, in case another one had it before.
        while !world.first.0.is_acting(at(world.now)) {
            world.step(true);
        }
        world
    }

    fn step(&mut self, first_lives: bool) {
        self.now += STEP;
        let before = self.version;
        if first_lives {
            let mut first = std::mem::replace(&mut self.first, (election(""), Err(at(0))));
            self.turn(&mut first);
            self.first = first;
        }
        let mut second = std::mem::replace(&mut self.second, (election(""), Err(at(0))));
        self.news |= self.told && self.version != before;
        if self.news && second.1.is_err() {
            self.news = false;
            second.1 = Ok(Event::Changed);
        }
        self.turn(&mut second);
        self.second = second;
        let both = self.first.0.is_acting(at(self.now)) && self.second.0.is_acting(at(self.now));
        assert!(!both || !first_lives, "both act at {}", self.now);
    }

    fn turn(&mut self, (election, next): &mut (Election, Result<Event, Timestamp>)) {
        let now = at(self.now);
        let event = match next {
            Err(until) if *until > now && !election.has_resigned() && election.leads() => {
                // A resignation is seen by the next look at the clock.
                if election.is_acting(now) {
                    return;
                }
                Event::Tick
            }
            Err(until) if *until > now => return,
            Err(_) => Event::Tick,
            Ok(event) => event.clone(),
        };
        *next = match election.on_event(now, event) {
            Action::Wait(until) => Err(until),
            Action::Read => Ok(Event::Read(self.lease.clone())),
            Action::Write { record, replaces } => {
                let current = self.lease.as_ref().map(|lease| &lease.resource_version);
                match current == replaces.as_ref() {
                    true => {
                        self.version += 1;
                        let resource_version = self.version.to_string();
                        let written = Observed {
                            record,
                            resource_version,
                        };
                        self.lease = Some(written.clone());
                        Ok(Event::Written(written))
                    }
                    false => Ok(Event::WriteFailed(WriteError::Conflict)),
                }
            }
        };
    }

    /// Milliseconds until the second one acts.
    fn takeover(&mut self, first_lives: bool) -> u64 {
        let start = self.now;
        while !self.second.0.is_acting(at(self.now)) {
            self.step(first_lives);
            assert!(self.now - start < 60_000, "nobody takes over");
        }
        self.now - start
    }
}

/// The moment of a failure falls anywhere between two renewals.
fn worst(told: bool, end: fn(&mut World) -> u64) -> u64 {
    let times = (0..45).map(|phase| {
        let mut world = World::new(told);
        for _ in 0..phase + 100 {
            world.step(true);
        }
        end(&mut world)
    });
    times.max().unwrap_or(0)
}

fn told_to_end(world: &mut World) -> u64 {
    world.first.0.resign(at(world.now));
    world.takeover(true)
}

fn killed(world: &mut World) -> u64 {
    world.takeover(false)
}

#[test]
fn a_lease_that_is_given_up_is_taken_at_once_by_who_is_told_and_else_with_the_next_read() {
    let took = worst(true, told_to_end);
    assert!(took <= 300, "{took} ms");
    let took = worst(false, told_to_end);
    assert!(took <= 2_300, "{took} ms");
}

#[test]
fn a_lease_whose_holder_was_killed_is_taken_when_it_expires() {
    let took = worst(true, killed);
    assert!(took <= DURATION + 300, "{took} ms");
    let took = worst(false, killed);
    assert!(took <= DURATION + 2_300, "{took} ms");
}

#[test]
fn a_change_makes_a_candidate_look_and_nobody_else() {
    let mut candidate = election("own");
    assert_eq!(candidate.on_event(at(0), Event::Tick), Action::Read);
    let held = Event::Read(Some(lease("other", 1)));
    let wait = candidate.on_event(at(10), held);
    assert_eq!(wait, Action::Wait(at(2_000)));
    assert_eq!(candidate.on_event(at(20), Event::Changed), Action::Read);
    let free = Event::Read(Some(lease("", 2)));
    let taken = candidate.on_event(at(30), free);
    let Action::Write { record, replaces } = taken else {
        unreachable!("{taken:?}");
    };
    assert_eq!(
        (record.holder.as_str(), replaces.as_deref()),
        ("own", Some("2"))
    );
    // While it is not known whether that write is in, and once it is.
    let doubt = Event::WriteFailed(WriteError::InDoubt);
    assert_eq!(candidate.on_event(at(40), doubt), Action::Wait(at(2_040)));
    assert_eq!(
        candidate.on_event(at(50), Event::Changed),
        Action::Wait(at(2_040))
    );
    assert_eq!(candidate.on_event(at(2_040), Event::Tick), Action::Read);
    let own = Observed {
        record: LeaseRecord {
            transitions: 2,
            ..lease("own", 3).record
        },
        ..lease("own", 3)
    };
    candidate.on_event(at(2_050), Event::Read(Some(own)));
    assert!(candidate.leads());
    let next = candidate.on_event(at(2_060), Event::Changed);
    assert!(matches!(next, Action::Wait(_)), "{next:?}");
    // Whoever has given it up does not come back for it.
    candidate.resign(at(2_070));
    candidate.on_event(at(2_070), Event::Tick);
    candidate.on_event(at(2_080), Event::Written(lease("", 4)));
    let next = candidate.on_event(at(2_090), Event::Changed);
    assert!(matches!(next, Action::Wait(_)), "{next:?}");
    assert!(candidate.has_resigned());
}
