//! The job's regions: each is started, fails and is started again by itself, until the job has
//! begun to end.

use std::collections::{BTreeSet, VecDeque};

use weir_checkpoint::coordinator::{Event, Participant};
use weir_types::{CheckpointId, ExecutionAttemptId};

use super::Leader;
use crate::bug::Bug;
use crate::graph::{SINK, SOURCE, place_of, region_of};
use crate::message::ToTm;
use crate::plan::Ms;
use crate::world::World;

#[derive(Clone, Debug)]
pub(super) enum Phase {
    /// To be deployed from then on.
    Waiting(Ms),
    Deploying(BTreeSet<ExecutionAttemptId>),
    Running,
}

/// A region, and the enumerator of its source.
pub(super) struct Region {
    pub(super) phase: Phase,
    /// Its newest attempt; 0: there was none.
    pub(super) attempt: u32,
    /// Splits that no reader has.
    pub(super) splits: VecDeque<u8>,
    /// Readers that wait for one.
    pub(super) readers: VecDeque<ExecutionAttemptId>,
    /// The checkpoint for which the enumerator was asked last what it keeps, and whether it has
    /// said so. Until the sources are told, too, no split goes out.
    pub(super) asked: Option<(CheckpointId, bool)>,
}

impl Region {
    pub(super) fn new(now: Ms) -> Self {
        Self {
            phase: Phase::Waiting(now),
            attempt: 0,
            splits: VecDeque::new(),
            readers: VecDeque::new(),
            asked: None,
        }
    }

    /// From when on it is to be deployed, if it is.
    pub(super) fn waits(&self) -> Option<Ms> {
        match self.phase {
            Phase::Waiting(since) => Some(since),
            _ => None,
        }
    }
}

impl Leader {
    /// Something of these regions has failed: they start again, and maybe all.
    pub(super) fn fail(
        &mut self,
        world: &mut World,
        me: (usize, u32),
        mut failed: BTreeSet<usize>,
        reason: &str,
    ) {
        if self.ends_as_one(world) {
            failed.extend(0..self.regions.len());
        }
        failed.retain(|region| self.regions[*region].waits().is_none());
        if failed.is_empty() || self.ended.is_some() {
            return;
        }
        world.note(|| format!("jm {} restarts {failed:?} of the regions: {reason}", me.0));
        // What fails while others wait goes with them.
        let joined = self.regions.iter().filter_map(Region::waits).min();
        let from = joined.unwrap_or_else(|| world.now + world.rng.between(2, 10));
        for region in failed {
            self.regions[region].phase = Phase::Waiting(from);
            self.cancel_tasks(world, me, region);
        }
        world.restarts += 1;
        let others = self.regions.iter().any(|region| region.waits().is_none());
        world.partial_restarts += u32::from(others);
        self.stand_still();
        self.hand_out(world, me);
        let reason = reason.to_owned();
        self.feed(world, me, Event::Interrupted { reason });
    }

    /// Whether all goes back together, whatever has failed: sources that a drain has ended do not
    /// read on, and tasks that have finished, or are about to, take part in no other last
    /// checkpoint.
    fn ends_as_one(&self, world: &World) -> bool {
        let drains = self.coordinator.is_draining() && !world.has(Bug::DrainedApart);
        let ends = self.ending && !world.has(Bug::FinishedLeftBehind);
        drains || ends
    }

    pub(super) fn cancel_tasks(&mut self, world: &mut World, me: (usize, u32), region: usize) {
        let attempt = self.regions[region].attempt;
        self.send_all(world, me, &ToTm::Cancel { region, attempt });
        let stays = |attempt: &ExecutionAttemptId| region_of(attempt.vertex) != region;
        self.assigned.retain(|attempt, _| stays(attempt));
        self.done.retain(stays);
        self.finished.retain(stays);
        self.regions[region].readers.clear();
    }

    /// No checkpoint is under way any more.
    pub(super) fn stand_still(&mut self) {
        self.started = false;
        self.draining = false;
        self.ending = false;
        for region in &mut self.regions {
            region.asked = None;
        }
    }

    /// A task is deployed: its region runs with the last one, and the job with the last region.
    pub(super) fn deployed(
        &mut self,
        world: &mut World,
        me: (usize, u32),
        attempt: ExecutionAttemptId,
    ) {
        let region = region_of(attempt.vertex);
        let Phase::Deploying(waiting) = &mut self.regions[region].phase else {
            return;
        };
        if !waiting.remove(&attempt) || !waiting.is_empty() {
            return;
        }
        self.regions[region].phase = Phase::Running;
        for (attempt, tm) in self.assigned.clone() {
            if region_of(attempt.vertex) == region {
                self.send(world, me, tm, ToTm::Go(attempt));
            }
        }
        let runs = |region: &Region| matches!(region.phase, Phase::Running);
        if !self.regions.iter().all(runs) || !self.finished.is_empty() {
            return;
        }
        self.started = true;
        let participants = self.assigned.keys().map(|attempt| Participant {
            attempt: *attempt,
            source: place_of(attempt.vertex) == SOURCE,
            commits: place_of(attempt.vertex) == SINK,
        });
        let participants = participants.collect();
        self.feed(world, me, Event::Started { participants });
        self.end_if_all_is_done(world, me);
    }

    /// Tells the coordinator when all tasks have processed all their input.
    pub(super) fn end_if_all_is_done(&mut self, world: &mut World, me: (usize, u32)) {
        if self.started && self.done.len() == self.assigned.len() {
            self.feed(world, me, Event::EndOfInput);
        }
    }
}
