//! Candidates that make no Lease: whoever makes it opens the election by it.

use std::time::Duration;

use weir_lease::{
    Action, Election, Event, LeaseRecord, Observed, OnMissing, OnSilence, Settings, WriteError,
};
use weir_types::Timestamp;

fn election() -> Election {
    let settings = Settings {
        identity: "own".to_owned(),
        predecessors: String::new(),
        duration: Duration::from_secs(4),
        renew_deadline: Duration::from_secs(3),
        retry_period: Duration::from_millis(500),
        on_silence: OnSilence::GoOn,
        on_missing: OnMissing::StandBy,
    };
    Election::new(settings, Timestamp(0))
}

fn lease(holder: &str, transitions: u32, version: &str) -> Observed {
    Observed {
        record: LeaseRecord {
            holder: holder.to_owned(),
            duration_secs: 4,
            transitions,
            acquired_at: String::new(),
            renewed_at: String::new(),
        },
        resource_version: version.to_owned(),
    }
}

fn at(ms: u64) -> Timestamp {
    Timestamp(ms * 1_000_000)
}

/// A candidate that has taken the vacant Lease of version 1.
fn leader() -> Election {
    let mut election = election();
    assert_eq!(election.on_event(at(0), Event::Tick), Action::Read);
    let action = election.on_event(at(1), Event::Read(Some(lease("", 0, "1"))));
    let Action::Write { record, replaces } = action else {
        unreachable!("{action:?}");
    };
    assert_eq!(replaces.as_deref(), Some("1"));
    election.on_event(
        at(502),
        Event::Written(lease("own", record.transitions, "2")),
    );
    assert!(election.leads());
    election
}

#[test]
fn without_a_lease_nobody_stands_for_election() {
    let mut election = election();
    for round in 0..20 {
        let now = round * 500;
        assert_eq!(election.on_event(at(now), Event::Tick), Action::Read);
        let next = election.on_event(at(now + 1), Event::Read(None));
        assert_eq!(next, Action::Wait(at(now + 500)));
        assert!(!election.leads());
    }
}

#[test]
fn a_leader_goes_on_without_its_lease_and_takes_it_again_in_the_same_term() {
    let mut election = leader();
    let renewal = election.on_event(at(1_002), Event::Tick);
    assert!(matches!(renewal, Action::Write { .. }), "{renewal:?}");
    let gone = Event::WriteFailed(WriteError::Conflict);
    assert_eq!(election.on_event(at(1_003), gone), Action::Read);
    for round in 0..20 {
        let now = 1_600 + round * 600;
        election.on_event(at(now), Event::Read(None));
        assert!(election.leads());
        assert_eq!(election.on_event(at(now + 500), Event::Tick), Action::Read);
    }
    let again = election.on_event(at(20_000), Event::Read(Some(lease("", 0, "9"))));
    assert!(election.leads(), "nobody else holds it");
    let Action::Write { record, replaces } = again else {
        unreachable!("{again:?}");
    };
    assert_eq!(
        (record.holder.as_str(), replaces.as_deref()),
        ("own", Some("9"))
    );
    election.on_event(at(20_700), Event::Written(lease("own", 1, "10")));
    assert!(election.leads());
    assert_eq!(election.term(), 1, "nothing may be claimed anew");
}

#[test]
fn a_leader_whose_lease_is_made_anew_and_taken_by_another_steps_down() {
    let mut election = leader();
    election.on_event(at(2_000), Event::Read(None));
    assert!(election.leads());
    election.on_event(at(3_000), Event::Read(Some(lease("other", 1, "12"))));
    assert!(!election.leads());
}

#[test]
fn who_resigns_without_a_lease_has_nothing_to_give_up() {
    let mut election = leader();
    election.resign(at(2_000));
    election.on_event(at(2_001), Event::Read(None));
    assert!(election.has_resigned());
}
