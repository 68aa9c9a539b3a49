//! From `--checkpoint-dir` and `--restore` to a job that this process leads: opens the job's state
//! folder, is elected, claims the job, and finds what it goes on from.
//!
//! The folder is `DIR/JOB`. Whatever stands in the way is found here, before anything is started.

mod check;
mod options;
mod refusals;
mod restore;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use weir_checkpoint::pointer::{Pointer, SnapshotKind};
use weir_cli::{CheckpointArgs, Exit, Failure};
use weir_crd::{CheckpointSpec, LocalJob};
use weir_jobmanager::{
    CheckpointOptions, Claim, ClaimError, Claimed, FileElection, LeaderElection, Leadership,
};
use weir_storage::{ObjectStore, StoreOptions};
use weir_types::{Clock, Epoch, JobId, SystemClock};

use self::options::{absolute, options};
use self::restore::Wish;
use crate::kubernetes::{LeaseElection, Pod};
use crate::program::{self, Plan};
use crate::random;
use crate::registry::Registry;

pub(crate) use check::Check;

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
    /// It keeps no state outside.
    WithoutCheckpoints,
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

impl Start {
    /// The plan for what the job goes on from; see [`program::adopt`].
    pub(crate) fn adopted(
        &self,
        registry: &Registry,
        job: &LocalJob,
        plan: Plan,
        say: &dyn Fn(&str),
    ) -> Result<Plan, Failure> {
        match self {
            Self::Leads(lead) => match &lead.options.restore {
                Some(from) => program::adopt(registry, job, plan, &from.metadata, say),
                None => Ok(plan),
            },
            Self::WithoutCheckpoints | Self::Over(_) => Ok(plan),
        }
    }
}

/// Does all of it. Blocks, for as long as another process leads the job. `say` tells people.
pub(crate) fn lead(
    job: StateOf<'_>,
    args: &CheckpointArgs,
    plan: &Plan,
    candidate: &Candidate,
    say: &dyn Fn(&str),
) -> Result<Start, Failure> {
    let Some(dir) = &args.dir else {
        if args.restore.is_some() {
            let text =
                "`--restore` needs `--checkpoint-dir`: it says where the job's state is kept";
            return Err(Failure::usage(anyhow!(text)));
        }
        return Ok(Start::WithoutCheckpoints);
    };
    let folder = Folder::open(dir, job.name, args)?;
    let leadership = folder.elect(candidate, say)?;
    let Some(wish) = folder.wish(args, candidate, say)? else {
        return Ok(Start::Over(Exit::Finished));
    };
    let claimed = folder.claim(&wish)?;
    let (claimed, restore) = folder.restore(claimed, wish.named, candidate, plan, say)?;
    let pointer = &claimed.pointer;
    let (id, epoch, deployment) = (pointer.state_id, pointer.epoch, pointer.deployment);
    let options = options(&job, args, folder, claimed, restore);
    Ok(Start::Leads(Box::new(Lead {
        options,
        id,
        epoch,
        deployment,
        leadership,
    })))
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

    fn elect(
        &self,
        candidate: &Candidate,
        say: &dyn Fn(&str),
    ) -> Result<Option<Leadership>, Failure> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        if let Some(pod) = &candidate.pod {
            let mut election = LeaseElection::new(pod.clone(), random::word(), clock);
            let won = campaign(&mut election, say)?;
            // Without the Lease nothing is claimed.
            let ended =
                || Failure::failed(anyhow!("the pod was told to end before it led the job"));
            return won.map(Some).ok_or_else(ended);
        }
        let local = !self.address.contains("://");
        let dir = match &candidate.dir {
            Some(dir) => dir.clone(),
            None if local => PathBuf::from(&self.address),
            None => return Ok(None),
        };
        let mut election = FileElection::new(dir, holder(), random::word(), clock);
        campaign(&mut election, say)
    }

    fn claim(&self, wish: &Wish) -> Result<Claimed, Failure> {
        let named = wish.named.as_ref();
        let claim = Claim {
            above: named.map_or(Epoch(0), |named| named.metadata.epoch),
            store: Arc::clone(&self.store),
            claimant: wish.claimant.clone(),
            anew: wish.anew,
            seed: random::word(),
        };
        weir_jobmanager::claim(claim).map_err(Failure::failed)
    }
}

/// Waits until this process is elected, and says once for whom it waits.
fn campaign(
    election: &mut dyn LeaderElection,
    say: &dyn Fn(&str),
) -> Result<Option<Leadership>, Failure> {
    let mut said = false;
    let won = election.campaign(&mut |other| {
        if !said {
            say(&format!("standing by: {other} leads the job"));
            said = true;
        }
        true
    });
    won.map_err(Failure::failed)
}

/// The address of a job's state folder and the pointer in it; none if the job keeps no state, has
/// none yet, or nobody can make sense of it. An error: the store can't be asked.
pub(crate) fn read(
    job: &str,
    args: &CheckpointArgs,
) -> Result<Option<(String, Pointer)>, ClaimError> {
    let Some(dir) = &args.dir else {
        return Ok(None);
    };
    let Ok(folder) = Folder::at(dir, job, args) else {
        return Ok(None);
    };
    match weir_jobmanager::read_pointer(folder.store.as_ref()) {
        Ok(pointer) => Ok(pointer.map(|pointer| (folder.address, pointer))),
        Err(error @ ClaimError::Store(_)) => Err(error),
        Err(_) => Ok(None),
    }
}

pub(crate) fn noun(kind: SnapshotKind) -> &'static str {
    match kind {
        SnapshotKind::Checkpoint => "checkpoint",
        SnapshotKind::Savepoint => "savepoint",
    }
}

fn holder() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    format!("process {} on {}", std::process::id(), host.trim())
}
