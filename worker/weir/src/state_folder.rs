//! From `--checkpoint-dir` and `--restore` to a job that this process leads: opens the job's state
//! folder, is elected, claims the job, and finds what it goes on from.
//!
//! The folder is `DIR/JOB`. Whatever stands in the way is found here, before anything is started.

mod check;
mod refusals;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use weir_checkpoint::claim::Claimant;
use weir_checkpoint::collector::METADATA;
use weir_checkpoint::collector::upkeep::UpkeepOptions;
use weir_checkpoint::metadata::{self, CheckpointMetadata, OperatorMetadata};
use weir_checkpoint::pointer::{OperationId, Pointer, Root, RunState, SnapshotKind};
use weir_cli::{CheckpointArgs, Exit, Failure, RestoreChoice};
use weir_crd::{
    CheckpointCompression, CheckpointExternalized, CheckpointMode, CheckpointSpec, LocalJob,
};
use weir_jobmanager::{
    CheckpointOptions, Claim, ClaimError, Claimed, FileElection, LeaderElection, Leadership,
    RestoreFrom,
};
use weir_rpc::CheckpointSettings;
use weir_storage::{ObjectPath, ObjectStore, StoreOptions};
use weir_types::{Clock, Epoch, JobId, SystemClock};

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
    let (claimed, restore) = folder.restore(claimed, wish.named, plan, say)?;
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

/// What a process wants of a job.
struct Wish {
    claimant: Claimant,
    /// It begins anew: its checkpoints were deleted, or a person wants it to start from something
    /// else than them.
    anew: bool,
    /// A snapshot that a person named, if the job has not gone on from it yet.
    named: Option<Named>,
}

/// A snapshot that a person named.
struct Named {
    /// As the person did.
    path: String,
    /// What its objects' names are relative to.
    base: String,
    metadata: CheckpointMetadata,
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

    /// What to ask of the job, by what the pointer says now. None: it has finished.
    fn wish(
        &self,
        args: &CheckpointArgs,
        candidate: &Candidate,
        say: &dyn Fn(&str),
    ) -> Result<Option<Wish>, Failure> {
        let pointer =
            weir_jobmanager::read_pointer(self.store.as_ref()).map_err(Failure::failed)?;
        let choice = args.restore.as_ref();
        let Some(pointer) = pointer else {
            let named = self.named(choice)?;
            self.has_what_is_required(args, named.is_some())?;
            if choice == Some(&RestoreChoice::Latest) {
                say("the store has never held a checkpoint of this job: it starts with no state");
            }
            return Ok(Some(Wish {
                claimant: claimant(
                    JobId(random::bits()),
                    candidate.deployment.unwrap_or(1),
                    None,
                ),
                anew: false,
                named,
            }));
        };
        let goes_on = match choice {
            Some(RestoreChoice::Latest) => true,
            Some(RestoreChoice::Path(path)) => {
                let path = absolute(path)?;
                pointer.roots.iter().any(|root| root.path == path)
            }
            Some(RestoreChoice::None) | None => false,
        };
        // What a person says of a deployment's start is for its first process only: those after it
        // go on from what that one has stored.
        let goes_on = goes_on || candidate.deployment == Some(pointer.deployment);
        // A newer deployment of a person's that names its start leaves the newest state behind.
        let newer = candidate
            .deployment
            .is_some_and(|own| own > pointer.deployment);
        let leaves = newer && choice.is_some() && !goes_on;
        if pointer.latest.is_some() && !goes_on {
            if !leaves {
                return Err(Failure::usage(self.has_state(choice)));
            }
            self.can_be_left(&pointer)?;
        }
        if pointer.run_state == RunState::Finished && goes_on {
            say("the job has finished before: there is nothing left to do");
            return Ok(None);
        }
        let deleted = pointer.run_state == RunState::Deleted;
        // Whoever issues deployments has been told to start the job, and knows what became of it.
        let issued = candidate.deployment.is_some();
        if deleted && choice == Some(&RestoreChoice::Latest) && !issued {
            return Err(Failure::usage(self.was_deleted(&pointer)));
        }
        if deleted && (choice.is_none() || issued) {
            say("the job has ended, and its checkpoints were deleted: it starts with no state");
        }
        if pointer.latest.is_none() && choice == Some(&RestoreChoice::Latest) {
            say("no checkpoint of this job has completed yet: it starts with no state");
        }
        let runs = matches!(pointer.run_state, RunState::Running | RunState::Stopping(_));
        let same = if runs {
            pointer.deployment
        } else {
            pointer.deployment + 1
        };
        let deployment = candidate.deployment.unwrap_or(same);
        let from = (deployment > pointer.deployment).then_some(pointer.deployment);
        let named = match pointer.latest {
            Some(_) if !leaves => None,
            _ => self.named(choice)?,
        };
        let has_state = named.is_some() || (pointer.latest.is_some() && !leaves);
        self.has_what_is_required(args, has_state)?;
        Ok(Some(Wish {
            claimant: claimant(pointer.state_id, deployment, from),
            anew: deleted || leaves,
            named,
        }))
    }

    /// Whether all results that the newest state promises are published. Those that are not would
    /// be lost if the job began with something else.
    fn can_be_left(&self, pointer: &Pointer) -> Result<(), Failure> {
        let Some(latest) = &pointer.latest else {
            return Ok(());
        };
        if matches!(pointer.run_state, RunState::Stopped(_) | RunState::Finished) {
            return Ok(());
        }
        let metadata = weir_jobmanager::read_snapshot(self.store.as_ref(), latest);
        let metadata = metadata.map_err(|cause| Failure::failed(anyhow!(cause)));
        let metadata = metadata.map_err(|error| {
            let (address, path) = (&self.address, &latest.path);
            error.context(format!(
                "find out whether {address}/{path} holds results that are still to be published"
            ))
        })?;
        let promised = |operator: &&OperatorMetadata| {
            let mut states = operator.subtasks.iter();
            states.any(|(_, state)| state.uncommitted)
        };
        match metadata.operators.iter().find(promised) {
            None => Ok(()),
            Some(sink) => Err(Failure::usage(anyhow!(
                "{} {} holds results of the sink `{}` that are still to be published; they would \
                 be lost if the job began with something else: stop it with a savepoint first, \
                 or give it another state id",
                noun(metadata.kind),
                metadata.id,
                sink.name
            ))),
        }
    }

    fn named(&self, choice: Option<&RestoreChoice>) -> Result<Option<Named>, Failure> {
        match choice {
            Some(RestoreChoice::Path(path)) => read_named(path, &self.store_options).map(Some),
            _ => Ok(None),
        }
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

    /// What the job goes on from.
    fn restore(
        &self,
        claimed: Claimed,
        named: Option<Named>,
        plan: &Plan,
        say: &dyn Fn(&str),
    ) -> Result<(Claimed, Option<RestoreFrom>), Failure> {
        if let Some(named) = named {
            return self.restore_named(claimed, named, say);
        }
        let mut vertices = plan.program.job_graph.vertices.iter();
        let transactional = vertices.any(|vertex| vertex.commits);
        let found =
            weir_jobmanager::restore_point(self.store.as_ref(), &claimed.pointer, transactional);
        let Some((metadata, warning)) = found.map_err(Failure::failed)? else {
            return Ok((claimed, None));
        };
        if let Some(warning) = warning {
            say(&warning);
        }
        say(&format!(
            "restoring {} {}",
            noun(metadata.kind),
            metadata.id
        ));
        let from = RestoreFrom::latest(&self.address, metadata);
        Ok((claimed, Some(from)))
    }

    /// A snapshot that a person named, by its folder or its `_metadata`.
    fn restore_named(
        &self,
        claimed: Claimed,
        named: Named,
        say: &dyn Fn(&str),
    ) -> Result<(Claimed, Option<RestoreFrom>), Failure> {
        let Named {
            path,
            base,
            metadata,
        } = named;
        let root = Root {
            operation: OperationId("restore".to_owned()),
            path: absolute(&path)?,
        };
        let seed = random::word();
        let claimed = weir_jobmanager::record_root(self.store.as_ref(), claimed, root, seed);
        let claimed: Claimed = claimed.map_err(Failure::failed)?;
        say(&format!(
            "restoring {} {} of {path}",
            noun(metadata.kind),
            metadata.id
        ));
        let from = RestoreFrom {
            metadata: Arc::new(metadata),
            base,
            own: false,
            lineage: false,
        };
        Ok((claimed, Some(from)))
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

/// The folder of a snapshot that a person named, by it or by its `_metadata`.
fn snapshot_folder(path: &str) -> Result<String, Failure> {
    absolute(path.trim_end_matches("/_metadata").trim_end_matches('/'))
}

/// Reads what a snapshot that a person named says of itself.
fn read_named(path: &str, options: &StoreOptions) -> Result<Named, Failure> {
    let folder = snapshot_folder(path)?;
    let read = || -> anyhow::Result<CheckpointMetadata> {
        let store = weir_storage::open(&folder, options)?;
        let bytes = store.get(&ObjectPath::new(METADATA)?)?;
        Ok(metadata::decode(&bytes)?)
    };
    let metadata = read()
        .with_context(|| format!("restore `{path}`: name the folder of a checkpoint or savepoint"))
        .map_err(Failure::failed)?;
    let base = match metadata.kind {
        SnapshotKind::Savepoint => folder,
        // A checkpoint shares objects with others of its job.
        SnapshotKind::Checkpoint => match folder.rsplit_once('/') {
            Some((parent, _)) => parent.to_owned(),
            None => folder,
        },
    };
    Ok(Named {
        path: path.to_owned(),
        base,
        metadata,
    })
}

pub(crate) fn noun(kind: SnapshotKind) -> &'static str {
    match kind {
        SnapshotKind::Checkpoint => "checkpoint",
        SnapshotKind::Savepoint => "savepoint",
    }
}

fn claimant(state_id: JobId, deployment: u64, from_deployment: Option<u64>) -> Claimant {
    Claimant {
        state_id,
        deployment,
        from_deployment,
        holder: holder(),
    }
}

fn holder() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    format!("process {} on {}", std::process::id(), host.trim())
}

/// Folders mean the same to all processes of a job, wherever they were started.
fn absolute(dir: &str) -> Result<String, Failure> {
    if dir.contains("://") {
        return Ok(dir.to_owned());
    }
    let path = std::path::absolute(dir.trim_start_matches("file:"))
        .with_context(|| format!("find the folder `{dir}`"))
        .map_err(Failure::usage)?;
    let path = path.to_str().map(str::to_owned);
    path.ok_or_else(|| Failure::usage(anyhow!("the folder `{dir}` has a name that is not UTF-8")))
}

fn options(
    job: &StateOf<'_>,
    args: &CheckpointArgs,
    folder: Folder,
    claimed: Claimed,
    restore: Option<RestoreFrom>,
) -> CheckpointOptions {
    let spec = job.checkpoint;
    CheckpointOptions {
        store: folder.store,
        settings: CheckpointSettings {
            folder: folder.address,
            store: folder.config,
            exactly_once: spec.mode == CheckpointMode::ExactlyOnce,
            incremental: spec.incremental,
            compress: spec.compression == CheckpointCompression::Lz4,
            local_recovery: job.local_recovery,
        },
        claimed,
        restore,
        allow_non_restored_state: args.allow_non_restored_state || job.allow_non_restored_state,
        interval: args.interval.unwrap_or_else(|| spec.interval.get()),
        timeout: spec.timeout.get(),
        savepoint_timeout: job.savepoint_timeout,
        min_pause: spec.min_pause.get(),
        max_concurrent: spec.max_concurrent,
        tolerable_failures: spec.tolerable_failures,
        retained: spec.retained,
        delete_on_cancel: spec.externalized == CheckpointExternalized::DeleteOnCancel,
        upkeep: upkeep(spec.timeout.get().max(job.savepoint_timeout)),
        seed: random::word(),
    }
}

/// What the running job may delete: nothing that the longest snapshot could still need.
fn upkeep(longest: Duration) -> UpkeepOptions {
    let usual = UpkeepOptions::default();
    UpkeepOptions {
        grace: usual.grace.max(longest.saturating_mul(2)),
        ..usual
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_relative_folder_is_made_absolute_and_an_address_is_left_alone() {
        let here = std::env::current_dir().unwrap();
        let want = here.join("state").to_str().unwrap().to_owned();
        assert_eq!(absolute("state").unwrap(), want);
        assert_eq!(absolute("s3://bucket/a").unwrap(), "s3://bucket/a");
    }
}
