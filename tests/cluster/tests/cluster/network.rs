//! Networks that are cut: both ways, one way, for a moment, for longer than heartbeats may be
//! missed.

use std::thread;
use std::time::Duration;

use weir_testkit::{Random, Traffic};
use weir_tests_cluster::TASKMANAGERS;

use crate::{busy_one, in_a_folder, word_count};

/// Heartbeats that may be missed for two seconds, on a machine that is busy.
const NOTICED_MAX: Duration = Duration::from_secs(8);

#[test]
fn a_taskmanager_that_is_cut_off_from_the_jobmanager_is_replaced_and_taken_back() {
    let mut random = Random::printed();
    let mut party = in_a_folder(word_count(&mut random, 14));
    party.until_output();
    for kind in [Traffic::Cut, Traffic::CutToServer, Traffic::CutToClient] {
        let at = busy_one(&party);
        for link in party.links_of(at) {
            link.set_traffic(kind);
        }
        thread::sleep(random.millis(2_500, 3_500));
        if kind == Traffic::Cut {
            // Each side misses the other's heartbeats, and either may give up first: the leader, or
            // the TaskManager, whose tasks the others then miss.
            party.until_exception(NOTICED_MAX, &["heartbeat", "PartitionDataMissing"]);
        }
        party.until_progress(&format!("{kind:?}"));
        for link in party.links_of(at) {
            link.set_traffic(Traffic::Pass);
        }
        thread::sleep(random.millis(0, 500));
        party.restart_the_ended();
    }
    party.finish();
}

#[test]
fn connections_that_are_reset_are_made_again() {
    let mut random = Random::printed();
    let mut party = in_a_folder(word_count(&mut random, 8));
    party.until_output();
    for _ in 0..4 {
        thread::sleep(random.millis(200, 1_000));
        let at = random.below(TASKMANAGERS);
        party.links_of(at).for_each(|link| link.reset());
        party.until_progress("a reset");
        party.restart_the_ended();
    }
    party.finish();
}

#[test]
fn taskmanagers_that_do_not_reach_each_other_cost_nothing() {
    let mut random = Random::printed();
    let mut party = in_a_folder(word_count(&mut random, 12));
    party.until_output();
    for kind in [Traffic::Cut, Traffic::CutToServer, Traffic::CutToClient] {
        party.data_links().for_each(|link| link.set_traffic(kind));
        thread::sleep(random.millis(300, 500));
        let published = party.job.published();
        thread::sleep(random.millis(1_000, 2_000));
        if kind != Traffic::CutToServer {
            // Barriers do not come through: without a checkpoint nothing is published. (Where only
            // leave to send is held back, records come until it is used up.)
            assert_eq!(party.job.published(), published, "{kind:?} is real");
        }
        party
            .data_links()
            .for_each(|link| link.set_traffic(Traffic::Pass));
        party.restart_the_ended();
        party.until_progress(&format!("{kind:?} between TaskManagers"));
        assert_eq!(party.job.wrong_so_far(), None);
    }
    // What is reset instead is noticed at once.
    party.data_links().for_each(|link| link.reset());
    party.until_progress("a reset between TaskManagers");
    party.finish();
}
