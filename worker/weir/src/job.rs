//! What `run` and `jobmanager` have in common: options, REST, and following a job to its end.

use std::future::Future;
use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use tokio::runtime::{Builder, Runtime};
use weir_cli::progress::{Followed, Output, Progress};
use weir_cli::{CheckpointArgs, Exit, Failure};
use weir_crd::{FailoverStrategy as Failover, LocalJob, RestartPolicy};
use weir_graph::{StreamGraph, fingerprint};
use weir_jobmanager::{
    CheckpointOptions, FailoverStrategy, JobManagerOptions, JobResult, JobSpec, Leadership,
    RestartStrategy,
};
use weir_rest::{RestListener, RestServer};
use weir_rpc::DispatcherGateway;
use weir_types::{Clock, Fault, JobId, SystemClock};

use crate::program::Plan;
use crate::signals::{Asked, Signals, end_at_once};
use crate::state_folder::Lead;
use crate::{config, kubernetes, random};

/// Threads of the control plane. Its work is a few messages a second.
const CONTROL_THREADS: usize = 2;

/// How long threads of the runtime that still do something may hold up the end of the process.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(1);

/// How long clients of REST that have asked, or hold a connection open, may hold up the end.
const ANSWERS_TIMEOUT: Duration = Duration::from_secs(1);

/// How often it is looked whether another process has been elected.
const LEADERSHIP_CHECK: Duration = Duration::from_millis(100);

/// The job itself has failed, for good: not a process that was to run it.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct JobFailed(pub(crate) String);

impl JobFailed {
    pub(crate) fn new(job: &str, fault: &Fault) -> Self {
        Self(format!("job {job} failed: {fault}"))
    }
}

/// Runs `body` on a runtime of its own.
pub(crate) fn block_on<T>(body: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = runtime()
        .context("start threads")
        .map_err(Failure::failed)?;
    let result = runtime.block_on(body);
    runtime.shutdown_timeout(SHUTDOWN_TIMEOUT);
    result
}

pub(crate) fn runtime() -> std::io::Result<Runtime> {
    Builder::new_multi_thread()
        .worker_threads(CONTROL_THREADS)
        .thread_name("weir-control")
        .enable_all()
        .build()
}

/// The JobManager's options for a job, before it is led. They can be wrong only by the manifest.
pub(crate) fn options(
    job: &LocalJob,
    plan: &Plan,
    checkpoints: &CheckpointArgs,
) -> Result<JobManagerOptions, Failure> {
    let mut options =
        config::apply(&job.config, JobManagerOptions::default()).map_err(Failure::usage)?;
    options.restart = restart(job.restart_policy(checkpoints.dir.is_some()));
    options.failover = match job.failover_strategy {
        Failover::Full => FailoverStrategy::Full,
        Failover::Region => FailoverStrategy::Region,
        Failover::Individual => FailoverStrategy::Individual,
    };
    options.random_seed = random::word();
    weir_jobmanager::check_failover(options.failover, &plan.program.job_graph)
        .map_err(Failure::failed)?;
    Ok(options)
}

/// The same for a job that is led.
pub(crate) fn led(
    mut options: JobManagerOptions,
    plan: &Plan,
    lead: Option<&Lead>,
) -> JobManagerOptions {
    options.config = plan.spec.config.clone();
    if let Some(lead) = lead {
        options.epoch = lead.epoch;
        options.deployment = lead.deployment;
    }
    options
}

fn restart(policy: RestartPolicy) -> RestartStrategy {
    match policy {
        RestartPolicy::None => RestartStrategy::None,
        RestartPolicy::FixedDelay { attempts, delay } => {
            RestartStrategy::FixedDelay { attempts, delay }
        }
        RestartPolicy::FailureRate {
            max_failures,
            interval,
            delay,
        } => RestartStrategy::FailureRate {
            max_failures,
            interval,
            delay,
        },
        RestartPolicy::ExponentialDelay {
            attempts,
            initial_delay,
            max_delay,
            multiplier,
            jitter,
            reset_after,
        } => RestartStrategy::ExponentialDelay {
            attempts,
            initial_delay,
            max_delay,
            multiplier,
            jitter,
            reset_after,
        },
    }
}

/// The job as the JobManager takes it. `executable` is equal for equal executables.
pub(crate) fn spec(
    name: &str,
    plan: &Plan,
    executable: &str,
    state: Option<(JobId, CheckpointOptions)>,
) -> JobSpec {
    let (id, checkpoints) = match state {
        Some((id, checkpoints)) => (id, Some(checkpoints)),
        None => (JobId(random::bits()), None),
    };
    let Plan { program, spec } = plan;
    JobSpec {
        id,
        name: name.to_owned(),
        graph: program.graph.clone(),
        job_graph: program.job_graph.clone(),
        factories: program.factories.clone(),
        program: spec.clone(),
        fingerprint: fingerprint(&program.job_graph, &spec.args, &spec.config, executable),
        checkpoints,
    }
}

/// What a lead consists of: the job's side and this process's.
pub(crate) fn split(
    lead: Option<Lead>,
) -> (Option<(JobId, CheckpointOptions)>, Option<Leadership>) {
    match lead {
        Some(lead) => (Some((lead.id, lead.options)), lead.leadership),
        None => (None, None),
    }
}

/// Waits for the end of the job, or until another process has been elected to lead it.
pub(crate) async fn while_leading(
    leadership: Option<Leadership>,
    ended: impl Future<Output = Result<JobResult, Failure>>,
) -> Result<JobResult, Failure> {
    let Some(leadership) = leadership else {
        return ended.await;
    };
    let lost = async {
        while !leadership.is_lost() {
            tokio::time::sleep(LEADERSHIP_CHECK).await;
        }
    };
    tokio::select! {
        result = ended => result,
        // The job is left as it is: its new leader has it.
        () = lost => Err(Failure::failed(anyhow!(
            "another process has been elected to lead the job: this one steps down"
        ))),
    }
}

/// Tells people what happens before the job runs: those who watch it, or those who read the log.
pub(crate) fn say(output: &Output, job: &str, text: &str) {
    if output.quiet {
        tracing::info!("{job}: {text}");
    } else {
        // With a closed stderr there is nobody to tell.
        drop(writeln!(std::io::stderr().lock(), "{job}: {text}"));
    }
}

/// Opens the port of REST. To be called before the job is started.
pub(crate) async fn bind_rest(address: SocketAddr) -> Result<RestListener, Failure> {
    RestListener::bind(address).await.map_err(Failure::failed)
}

/// Starts REST.
pub(crate) fn serve_rest(
    listener: RestListener,
    dispatcher: Arc<dyn DispatcherGateway>,
) -> RestServer {
    let listener = listener.in_namespace(kubernetes::namespace());
    RestServer::start(listener, dispatcher, Arc::new(SystemClock))
}

/// A job that runs, and the person who watches it.
pub(crate) struct Watched {
    name: String,
    job: JobId,
    dispatcher: Arc<dyn DispatcherGateway>,
    progress: Progress,
    /// None: signals are somebody else's business.
    signals: Option<Signals>,
}

impl Watched {
    pub(crate) fn new(
        graph: &StreamGraph,
        job: JobId,
        dispatcher: Arc<dyn DispatcherGateway>,
        output: Output,
    ) -> Result<Self, Failure> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let prints = graph.nodes.iter().any(|node| node.kind.contains("print"));
        let followed = Followed {
            dispatcher: Arc::clone(&dispatcher),
            job,
            clock,
            prints,
        };
        Ok(Self {
            name: graph.job_name.clone(),
            job,
            dispatcher,
            progress: Progress::new(output, followed),
            signals: None,
        })
    }

    /// A signal cancels the job.
    pub(crate) fn cancelled_by_signals(mut self) -> Result<Self, Failure> {
        self.signals = Some(Signals::new()?);
        Ok(self)
    }

    pub(crate) fn say(&self, text: &str) {
        self.progress.say(text);
    }

    /// Waits for the end of the job, shows its progress, and passes on the wish to cancel it.
    /// Then closes REST.
    pub(crate) async fn until(
        mut self,
        ended: impl Future<Output = Result<JobResult, Failure>>,
        server: RestServer,
    ) -> Result<Exit, Failure> {
        let exit = self.exit_of(ended).await;
        // Whoever cancelled the job over REST is answered before the process ends.
        server.shutdown(ANSWERS_TIMEOUT).await;
        exit
    }

    async fn exit_of(
        &mut self,
        ended: impl Future<Output = Result<JobResult, Failure>>,
    ) -> Result<Exit, Failure> {
        let result = self.follow(ended).await?;
        let exit = match &result {
            JobResult::Finished => Exit::Finished,
            JobResult::Canceled => Exit::Canceled,
            JobResult::Failed(fault) => {
                return Err(Failure::failed(JobFailed::new(&self.name, fault)));
            }
        };
        self.progress.finish(&result).await;
        Ok(exit)
    }

    async fn follow(
        &mut self,
        ended: impl Future<Output = Result<JobResult, Failure>>,
    ) -> Result<JobResult, Failure> {
        let (progress, signals) = (&self.progress, &mut self.signals);
        let mut ended = std::pin::pin!(ended);
        let mut shown = std::pin::pin!(progress.follow());
        let mut asked = false;
        loop {
            // Each branch goes on where it was, or loses nothing.
            tokio::select! {
                result = &mut ended => return result,
                () = &mut shown => {}
                signal = next(signals) => {
                    if asked {
                        end_at_once();
                    }
                    asked = true;
                    progress.say("cancelling the job; once more (Ctrl-C) to end at once");
                    let told = match signal {
                        Asked::Interrupt => self.dispatcher.cancel(self.job),
                        Asked::Terminate => self.dispatcher.cancel_and_keep(self.job),
                    };
                    if let Err(error) = told.await {
                        tracing::debug!(%error, "the job has ended by itself");
                    }
                }
            }
        }
    }
}

/// Waits for a signal, for ever if none are listened to.
async fn next(signals: &mut Option<Signals>) -> Asked {
    match signals {
        Some(signals) => signals.next().await,
        None => std::future::pending().await,
    }
}
