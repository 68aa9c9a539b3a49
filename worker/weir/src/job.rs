//! What `run` and `jobmanager` have in common: options, REST, and following a job to its end.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use tokio::runtime::{Builder, Runtime};
use weir_cli::progress::{Followed, Output, Progress};
use weir_cli::{Exit, Failure};
use weir_crd::LocalJob;
use weir_graph::{StreamGraph, fingerprint};
use weir_jobmanager::{JobManagerOptions, JobResult, JobSpec};
use weir_rest::{RestListener, RestServer};
use weir_rpc::DispatcherGateway;
use weir_types::{Clock, JobId, SystemClock};

use crate::program::Plan;
use crate::signals::{Signals, end_at_once};
use crate::{config, random};

/// Threads of the control plane. Its work is a few messages a second.
const CONTROL_THREADS: usize = 2;

/// How long threads of the runtime that still do something may hold up the end of the process.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(1);

/// Whoever cancelled the job over REST is answered before the process ends.
const ANSWER_GRACE: Duration = Duration::from_millis(200);

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

/// The JobManager's options for a job. They can be wrong only by the manifest's configuration.
pub(crate) fn options(job: &LocalJob, plan: &Plan) -> Result<JobManagerOptions, Failure> {
    let mut options =
        config::apply(&job.config, JobManagerOptions::default()).map_err(Failure::usage)?;
    options.config = plan.spec.config.clone();
    Ok(options)
}

/// The job as the JobManager takes it. `executable` is equal for equal executables.
pub(crate) fn spec(name: &str, plan: &Plan, executable: &str) -> JobSpec {
    let Plan { program, spec } = plan;
    JobSpec {
        id: JobId(random::bits()),
        name: name.to_owned(),
        graph: program.graph.clone(),
        job_graph: program.job_graph.clone(),
        factories: program.factories.clone(),
        program: spec.clone(),
        fingerprint: fingerprint(&program.job_graph, &spec.args, &spec.config, executable),
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
    RestServer::start(listener, dispatcher, Arc::new(SystemClock))
}

/// A job that runs, and the person who watches it.
pub(crate) struct Watched {
    name: String,
    job: JobId,
    dispatcher: Arc<dyn DispatcherGateway>,
    progress: Progress,
    signals: Signals,
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
            signals: Signals::new()?,
        })
    }

    pub(crate) fn say(&self, text: &str) {
        self.progress.say(text);
    }

    /// Waits for the end of the job, shows its progress, and passes on the wish to cancel it.
    pub(crate) async fn until(
        mut self,
        ended: impl Future<Output = Result<JobResult, Failure>>,
    ) -> Result<Exit, Failure> {
        let result = self.follow(ended).await?;
        let exit = match &result {
            JobResult::Finished => Exit::Finished,
            JobResult::Canceled => Exit::Canceled,
            JobResult::Failed(fault) => {
                return Err(Failure::failed(anyhow!(
                    "job {} failed: {fault}",
                    self.name
                )));
            }
        };
        self.progress.finish(&result).await;
        if exit == Exit::Canceled {
            tokio::time::sleep(ANSWER_GRACE).await;
        }
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
                () = signals.next() => {
                    if asked {
                        end_at_once();
                    }
                    asked = true;
                    progress.say("cancelling the job; once more (Ctrl-C) to end at once");
                    if let Err(error) = self.dispatcher.cancel(self.job).await {
                        tracing::debug!(%error, "the job has ended by itself");
                    }
                }
            }
        }
    }
}
