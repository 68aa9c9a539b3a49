//! A JobManager and a TaskManager in one process, over gateways without sockets: what `weir run`
//! does, for programs and tests that bring their own graph.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use weir_api::BuiltProgram;
pub use weir_checkpoint::handle::SnapshotMetrics;
use weir_checkpoint::metadata::CheckpointMetadata;
use weir_cli::{CheckpointArgs, RestoreChoice};
use weir_crd::CheckpointSpec;
use weir_jobmanager::{JobManager, JobSpec, StartError};
pub use weir_rpc::{CheckpointDetails, CheckpointState, JobCheckpoints};
use weir_rpc::{DispatcherGateway, JobInfo, ProgramSpec};
use weir_stream::BoxError;
use weir_task::Program;
use weir_taskmanager::{TaskManager, TaskManagerError, TaskManagerOptions};
use weir_types::{JobId, TaskManagerId};

pub use weir_jobmanager::{JobManagerOptions, JobResult, RestartStrategy};

use crate::program::{Plan, chained};
use crate::state_folder::{self, Candidate, Lead, Start, StateOf};
use crate::{job, random, state_backend};

/// How long the TaskManager may take to go home once the job has ended.
const GOODBYE_TIMEOUT: Duration = Duration::from_secs(5);

/// A job did not run to an end of its own.
#[derive(Debug, thiserror::Error)]
pub enum LocalError {
    /// No threads.
    #[error("start threads")]
    Threads(#[source] std::io::Error),
    /// The JobManager did not start.
    #[error(transparent)]
    JobManager(#[from] StartError),
    /// The TaskManager gave up.
    #[error(transparent)]
    TaskManager(#[from] TaskManagerError),
    /// Its state cannot be had.
    #[error("{0}")]
    State(String),
    /// It has come to its end before.
    #[error("the job has finished before")]
    Over,
    /// The TaskManager panicked, which is a defect of this program.
    #[error("the TaskManager panicked")]
    Panicked,
}

/// How a job runs in one process.
#[derive(Clone, Default)]
pub struct LocalOptions {
    /// How many slots there are; by default as many as the job needs.
    pub slots: Option<u32>,
    /// How the JobManager works.
    pub jobmanager: JobManagerOptions,
    /// How the job takes checkpoints; none: it does not.
    pub state: Option<LocalState>,
    /// The job's configuration, as `spec.job.config` has it, with `state.backend.type`.
    pub config: BTreeMap<String, String>,
    /// Where keyed state lies that memory has no room for; by default where the job says.
    pub local_dir: Option<PathBuf>,
}

/// How a job in one process takes checkpoints. It goes on from the newest one that it finds.
#[derive(Clone, Debug)]
pub struct LocalState {
    /// Where: a folder, or the address of a bucket. The job gets a folder of its own in it.
    pub dir: String,
    /// From one checkpoint's start to the next.
    pub interval: Duration,
    /// Whether a checkpoint holds only what changed since the one before.
    pub incremental: bool,
    /// Whether copies of the newest checkpoint are kept for subtasks that start again.
    pub local_recovery: bool,
}

/// Runs a program to its end. A job that failed is a result, not an error.
pub fn run(built: BuiltProgram, options: LocalOptions) -> Result<JobResult, LocalError> {
    run_observed(built, options).map(|(result, _)| result)
}

/// The same; also tells of the job's checkpoints, if it takes any.
pub fn run_observed(
    built: BuiltProgram,
    options: LocalOptions,
) -> Result<(JobResult, Option<JobCheckpoints>), LocalError> {
    let runtime = job::runtime().map_err(LocalError::Threads)?;
    let plan = Plan {
        program: Arc::new(chained(built)),
        spec: ProgramSpec {
            config: options.config.clone(),
            ..ProgramSpec::default()
        },
    };
    let name = plan.program.graph.job_name.clone();
    let lead = match &options.state {
        Some(state) => lead(&name, state, plan.clone())?,
        None => None,
    };
    let mut options = options;
    if let Some(lead) = &lead {
        options.jobmanager.epoch = lead.epoch;
        options.jobmanager.deployment = lead.deployment;
    }
    let (state, _leadership) = job::split(lead);
    runtime.block_on(async {
        let mut cluster = LocalCluster::start(&plan, job::spec(&name, &plan, "", state), options)?;
        cluster.start_taskmanager();
        let result = cluster.wait().await?;
        let checkpoints = cluster.dispatcher().checkpoints(cluster.job()).await;
        Ok((result, checkpoints.ok()))
    })
}

/// Claims the job and finds what it goes on from.
fn lead(name: &str, state: &LocalState, plan: Plan) -> Result<Option<Lead>, LocalError> {
    let checkpoint = CheckpointSpec {
        incremental: state.incremental,
        ..CheckpointSpec::default()
    };
    let job = StateOf {
        name,
        checkpoint: &checkpoint,
        savepoint_timeout: checkpoint.timeout.get(),
        allow_non_restored_state: false,
        local_recovery: state.local_recovery,
    };
    let args = CheckpointArgs {
        dir: Some(state.dir.clone()),
        interval: Some(state.interval),
        restore: Some(RestoreChoice::Latest),
        ..CheckpointArgs::default()
    };
    let candidate = Candidate {
        pod: None,
        dir: None,
        deployment: None,
    };
    // Its program is not built by a manifest, which might leave its numbers to the snapshot.
    let adopt = |plan: Plan, _: &CheckpointMetadata, _: &dyn Fn(&str)| Ok(plan);
    let say = |text: &str| tracing::info!("{text}");
    match state_folder::lead(job, &args, plan, &adopt, &candidate, &say) {
        Ok((Start::Leads(lead), _)) => Ok(Some(*lead)),
        Ok((Start::WithoutCheckpoints(_), _)) => Ok(None),
        Ok((Start::Over(_), _)) => Err(LocalError::Over),
        Err(failure) => Err(LocalError::State(failure.text())),
    }
}

/// A job in this process.
pub(crate) struct LocalCluster {
    jobmanager: JobManager,
    job: JobId,
    program: Arc<Program>,
    options: TaskManagerOptions,
    taskmanager: Option<JoinHandle<Result<JobResult, TaskManagerError>>>,
}

impl LocalCluster {
    /// Starts the JobManager; the job waits for its TaskManager.
    pub(crate) fn start(
        plan: &Plan,
        spec: JobSpec,
        options: LocalOptions,
    ) -> Result<Self, LocalError> {
        let needed = plan.program.job_graph.slots_needed();
        let slots = options
            .slots
            .unwrap_or_else(|| u32::try_from(needed).unwrap_or(u32::MAX));
        let id = TaskManagerId(random::bits());
        let mut taskmanager = TaskManagerOptions::new(id, "local", slots);
        taskmanager.data_bind = None;
        taskmanager.state_backends = Arc::new(state_backend::provider(options.local_dir));
        taskmanager.deployment = options.jobmanager.deployment;
        taskmanager.clock = Arc::clone(&options.jobmanager.clock);
        let job = spec.id;
        let jobmanager = JobManager::start(options.jobmanager, spec)?;
        Ok(Self {
            jobmanager,
            job,
            program: Arc::clone(&plan.program),
            options: taskmanager,
            taskmanager: None,
        })
    }

    pub(crate) fn start_taskmanager(&mut self) {
        let program = Arc::clone(&self.program);
        // It is the same process: there is nothing to build a second time.
        let provider = move |_: &JobInfo| Ok::<_, BoxError>(Arc::clone(&program));
        let (options, gateway) = (self.options.clone(), self.jobmanager.gateway());
        let run = TaskManager::run(options, gateway, Arc::new(provider));
        self.taskmanager = Some(tokio::spawn(run));
    }

    pub(crate) fn job(&self) -> JobId {
        self.job
    }

    pub(crate) fn dispatcher(&self) -> Arc<dyn DispatcherGateway> {
        self.jobmanager.dispatcher()
    }

    /// Waits for the end of the job, and until everything is released.
    pub(crate) async fn wait(&mut self) -> Result<JobResult, LocalError> {
        let Some(mut taskmanager) = self.taskmanager.take() else {
            return Ok(self.jobmanager.wait().await);
        };
        tokio::select! {
            result = self.jobmanager.wait() => {
                if tokio::time::timeout(GOODBYE_TIMEOUT, taskmanager).await.is_err() {
                    tracing::warn!("the job's threads have not all ended");
                }
                Ok(result)
            }
            ended = &mut taskmanager => match ended {
                Ok(Ok(_)) => Ok(self.jobmanager.wait().await),
                Ok(Err(error)) => Err(error.into()),
                Err(_) => Err(LocalError::Panicked),
            },
        }
    }
}
