//! From `--checkpoint-dir` and `--restore` to a job that this process leads: opens the job's state
//! folder, is elected, claims the job, and finds what it goes on from.
//!
//! The folder is `DIR/JOB`. Whatever stands in the way is found here, before anything is started. A
//! job that keeps no state outside has an election, too, if it runs in pods.

mod check;
mod named;
mod options;
mod refusals;
mod restore;
mod wish;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use weir_checkpoint::claim::ClaimRefused;
use weir_checkpoint::pointer::Pointer;
use weir_cli::{CheckpointArgs, Exit, Failure, RestoreChoice};
use weir_crd::{CheckpointSpec, LocalJob};
use weir_jobmanager::{
    CheckpointOptions, Claim, ClaimError, Claimed, FileElection, LeaderElection, Leadership,
};
use weir_storage::{ObjectStore, StoreError, StoreErrorKind, StoreOptions};
use weir_types::{Clock, Epoch, JobId, SystemClock};

use self::check::Types;
use self::named::{Successor, root_of};
use self::options::{absolute, options};
pub(crate) use self::refusals::LatestUnreadable;
use self::refusals::Words;
use self::wish::Wish;
use crate::job::JobFailed;
use crate::kubernetes::{Ended, LeaseElection, Pod};
use crate::program::{Adopt, Plan};
use crate::random;

pub(crate) use check::Check;

/// How often the pointer is looked at before a claim if it moves each time.
const LOOKS_MAX: u32 = 8;

/// What of a job matters for its state.
pub(crate) struct StateOf<'a> {
    /// The job's folder within the checkpoint folder.
    pub(crate) name: &'a str,
    pub(crate) checkpoint: &'a CheckpointSpec,
    pub(crate) savepoint_timeout: Duration,
    pub(crate) allow_non_restored_state: bool,
    pub(crate) local_recovery: bool,
}

impl<'a> From<&'a LocalJob> for StateOf<'a> {
    fn from(job: &'a LocalJob) -> Self {
        Self {
            name: state_name(job),
            checkpoint: &job.checkpoint,
            savepoint_timeout: job.savepoint_timeout.get(),
            allow_non_restored_state: job.allow_non_restored_state,
            local_recovery: job.local_recovery,
        }
    }
}

/// The job's folder within the checkpoint folder: its state id, by default its name.
pub(crate) fn state_name(job: &LocalJob) -> &str {
    job.state_id.as_deref().unwrap_or(&job.name)
}

/// How this process stands for election.
pub(crate) struct Candidate {
    /// In a pod: by the job's Lease.
    pub(crate) pod: Option<Pod>,
    /// Where; none: in the state folder if it is on this machine, else it is the only one.
    pub(crate) dir: Option<PathBuf>,
    /// The operation that started it; none: it goes on with whatever was there.
    pub(crate) deployment: Option<u64>,
}

/// What became of the wish to run a job.
pub(crate) enum Start {
    /// It keeps no state outside. This process leads it, if there may be others.
    WithoutCheckpoints(Option<Leadership>),
    /// This process leads it.
    Leads(Box<Lead>),
    /// There is nothing to run.
    Over(Exit),
}

/// A job that this process leads.
pub(crate) struct Lead {
    pub(crate) options: CheckpointOptions,
    pub(crate) id: JobId,
    pub(crate) epoch: Epoch,
    pub(crate) deployment: u64,
    /// Held while the job runs.
    pub(crate) leadership: Option<Leadership>,
}

/// Does all of it, and gives the plan for what the job goes on from. Blocks, for as long as another
/// process leads the job. `say` tells people.
pub(crate) fn lead(
    job: StateOf<'_>,
    args: &CheckpointArgs,
    plan: Plan,
    adopt: &Adopt<'_>,
    candidate: &Candidate,
    say: &dyn Fn(&str),
) -> Result<(Start, Plan), Failure> {
    let Some(dir) = &args.dir else {
        if args.restore.is_some() {
            let text =
                "`--restore` needs `--checkpoint-dir`: it says where the job's state is kept";
            return Err(Failure::usage(anyhow!(text)));
        }
        // Its pods are told apart by the Lease alone: no pointer keeps two leaders apart.
        let start = match &candidate.pod {
            Some(pod) => lead_by_lease(pod, say)?,
            None => Start::WithoutCheckpoints(None),
        };
        return Ok((start, plan));
    };
    names_what_to_go_back_to(args)?;
    let folder = Folder::open(dir, job.name, args)?;
    let leadership = match folder.elect(candidate, say)? {
        Elected::Alone => None,
        Elected::Leads(leadership) => Some(leadership),
        Elected::Over(ended) => return over(ended, say).map(|start| (start, plan)),
    };
    let successor = Successor {
        plan: &plan,
        adopt,
        allowed: args.allow_non_restored_state || job.allow_non_restored_state,
    };
    let Some((wish, claimed)) = folder.claim_as_wished(args, candidate, &successor, say)? else {
        return Ok((Start::Over(Exit::Finished), plan));
    };
    let words = Words::of(candidate);
    let restore = folder.restore(&claimed.pointer, wish.named, words, &plan, say)?;
    let plan = match &restore {
        Some(from) => {
            let (plan, differences) = successor.fits(&folder, from, say)?;
            for text in &differences {
                say(text);
            }
            plan
        }
        None => plan,
    };
    let pointer = &claimed.pointer;
    let (id, epoch, deployment) = (pointer.state_id, pointer.epoch, pointer.deployment);
    let options = options(&job, args, folder, claimed, restore);
    let lead = Box::new(Lead {
        options,
        id,
        epoch,
        deployment,
        leadership,
    });
    Ok((Start::Leads(lead), plan))
}

fn names_what_to_go_back_to(args: &CheckpointArgs) -> Result<(), Failure> {
    let names_start = matches!(
        args.restore,
        Some(RestoreChoice::Path(_) | RestoreChoice::None)
    );
    if args.rewind.is_none() || names_start {
        return Ok(());
    }
    let text = "`--rewind` needs to be told what to go back to: `--restore PATH`, or \
                `--restore none`";
    Err(Failure::usage(anyhow!(text)))
}

/// What came of an election.
enum Elected {
    /// There is nobody else.
    Alone,
    Leads(Leadership),
    /// The job has ended.
    Over(Ended),
}

/// Leads a job that keeps no state outside.
fn lead_by_lease(pod: &Pod, say: &dyn Fn(&str)) -> Result<Start, Failure> {
    match elect_by_lease(pod, say)? {
        Elected::Alone => Ok(Start::WithoutCheckpoints(None)),
        Elected::Leads(leadership) => Ok(Start::WithoutCheckpoints(Some(leadership))),
        Elected::Over(ended) => over(ended, say),
    }
}

fn elect_by_lease(pod: &Pod, say: &dyn Fn(&str)) -> Result<Elected, Failure> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let mut election = LeaseElection::new(pod.clone(), random::word(), clock);
    if let Some(leadership) = campaign(&mut election, say)? {
        return Ok(Elected::Leads(leadership));
    }
    // Without the Lease nothing is claimed.
    let left = || Failure::failed(anyhow!("the pod was told to end before it led the job"));
    election.ended().map(Elected::Over).ok_or_else(left)
}

/// There is nothing to run: it ended before, and that is told once more.
fn over(ended: Ended, say: &dyn Fn(&str)) -> Result<Start, Failure> {
    let exit = match ended {
        Ended::Finished => Exit::Finished,
        Ended::Cancelled => Exit::Canceled,
        Ended::Failed(text) => return Err(Failure::failed(JobFailed(text))),
    };
    say("the job has ended before: there is nothing left to do");
    Ok(Start::Over(exit))
}

/// A job's state folder.
struct Folder {
    address: String,
    store: Arc<dyn ObjectStore>,
    store_options: StoreOptions,
    config: BTreeMap<String, String>,
}

impl Folder {
    fn open(dir: &str, job: &str, args: &CheckpointArgs) -> Result<Self, Failure> {
        let folder = Self::at(dir, job, args)?;
        weir_storage::probe(folder.store.as_ref())
            .context("check that the checkpoint folder can be used")
            .map_err(Failure::failed)?;
        Ok(folder)
    }

    /// The same without having asked whether the store is there.
    fn at(dir: &str, job: &str, args: &CheckpointArgs) -> Result<Self, Failure> {
        let store_options = StoreOptions::from_config(&args.store).map_err(Failure::usage)?;
        let address = format!("{}/{job}", absolute(dir)?.trim_end_matches('/'));
        let store = weir_storage::open(&address, &store_options).map_err(Failure::failed)?;
        Ok(Self {
            address,
            store,
            config: store_options.to_config(),
            store_options,
        })
    }

    fn elect(&self, candidate: &Candidate, say: &dyn Fn(&str)) -> Result<Elected, Failure> {
        if let Some(pod) = &candidate.pod {
            return elect_by_lease(pod, say);
        }
        let local = !self.address.contains("://");
        let dir = match &candidate.dir {
            Some(dir) => dir.clone(),
            None if local => PathBuf::from(&self.address),
            None => return Ok(Elected::Alone),
        };
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let mut election = FileElection::new(dir, holder(), random::word(), clock);
        let won = campaign(&mut election, say)?;
        Ok(won.map_or(Elected::Alone, Elected::Leads))
    }

    /// Decides by the pointer what to ask of the job, finds out whether that can be, and claims it.
    /// None: there is nothing to run. Another leader may move the pointer meanwhile: then it is
    /// looked at again.
    fn claim_as_wished(
        &self,
        args: &CheckpointArgs,
        candidate: &Candidate,
        successor: &Successor<'_>,
        say: &dyn Fn(&str),
    ) -> Result<Option<(Wish, Claimed)>, Failure> {
        let mut types = Types::default();
        let told = RefCell::new(BTreeSet::new());
        let say_once = |text: &str| {
            if told.borrow_mut().insert(text.to_owned()) {
                say(text);
            }
        };
        let mut looks_left = LOOKS_MAX;
        loop {
            let Some(wish) = self.wish(args, candidate, &say_once)? else {
                return Ok(None);
            };
            if let Some(named) = &wish.named {
                let types = wish.anew.then_some(&mut types);
                self.can_begin_with(named, successor, types)?;
            }
            looks_left -= 1;
            match self.claim(&wish, candidate)? {
                Ok(claimed) => return Ok(Some((wish, claimed))),
                Err(ClaimError::Refused(ClaimRefused::Moved)) if looks_left > 0 => {}
                Err(error) => return Err(self.refused(error, Words::of(candidate))),
            }
        }
    }

    fn claim(
        &self,
        wish: &Wish,
        candidate: &Candidate,
    ) -> Result<Result<Claimed, ClaimError>, Failure> {
        let named = wish.named.as_ref();
        // Started again with the same words, it is to go on from what it has stored since.
        let path = named.map(|named| &named.path).or(wish.newest.as_ref());
        let begins_with = path.map(|path| root_of(path, candidate)).transpose()?;
        Ok(weir_jobmanager::claim(Claim {
            above: named.map_or(Epoch(0), |named| named.from.metadata.epoch),
            store: Arc::clone(&self.store),
            claimant: wish.claimant.clone(),
            anew: wish.anew,
            begins_with,
            rewind: wish.rewind.clone(),
            looked_at: wish.looked_at,
            seed: random::word(),
        }))
    }
}

/// Waits until this process is elected, and says once for whom it waits.
fn campaign(
    election: &mut dyn LeaderElection,
    say: &dyn Fn(&str),
) -> Result<Option<Leadership>, Failure> {
    let mut said = false;
    let won = election.campaign(&mut |other| {
        // It may not have been looked yet who leads.
        if !said && !other.is_empty() {
            say(&format!("standing by: {other} leads the job"));
            said = true;
        }
        true
    });
    won.map_err(Failure::failed)
}

/// What a job's state folder says of it.
#[derive(Default)]
pub(crate) struct Standing {
    /// Its address and the pointer in it; none if the job keeps no state, or has none yet.
    pub(crate) found: Option<(String, Pointer)>,
    /// What of it could not be had.
    pub(crate) trouble: Option<Trouble>,
}

/// Why a job's state can't be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// The store can't be asked.
    Unreachable,
    /// What it has can't be read: the pointer, or the newest snapshot, which may be gone, too.
    Unreadable,
}

/// Reads that without claiming anything.
pub(crate) fn read(job: &str, args: &CheckpointArgs) -> Standing {
    let Some(dir) = &args.dir else {
        return Standing::default();
    };
    let Ok(folder) = Folder::at(dir, job, args) else {
        return Standing::default();
    };
    let trouble = |trouble| Standing {
        found: None,
        trouble: Some(trouble),
    };
    match weir_jobmanager::read_pointer(folder.store.as_ref()) {
        Ok(found) => Standing {
            found: found.map(|pointer| (folder.address, pointer)),
            trouble: None,
        },
        Err(ClaimError::Store(_)) => trouble(Trouble::Unreachable),
        Err(_) => trouble(Trouble::Unreadable),
    }
}

/// What of a job's state could not be had by a start that failed so.
pub(crate) fn trouble_of(failure: &Failure) -> Option<Trouble> {
    if failure.is::<LatestUnreadable>() {
        return Some(Trouble::Unreadable);
    }
    // What is not there is told as such; a storage that is unfit is there.
    let kind = failure.find::<StoreError>().map(|error| error.kind)?;
    let fit = !matches!(kind, StoreErrorKind::NotFound | StoreErrorKind::Unsuitable);
    fit.then_some(Trouble::Unreachable)
}

fn holder() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    format!("process {} on {}", std::process::id(), host.trim())
}

#[cfg(test)]
mod tests;
