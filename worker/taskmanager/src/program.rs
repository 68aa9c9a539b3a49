//! How a TaskManager gets its copy of the job's program, and whether it is the right one.

use std::sync::Arc;

use weir_graph::{Fingerprint, fingerprint};
use weir_rpc::JobInfo;
use weir_stream::BoxError;
use weir_task::Program;

/// Builds programs. Implemented by whoever knows the registered ones; closures will do.
pub trait ProgramProvider: Send + Sync + 'static {
    /// The program of a job, built from its name, arguments and configuration alone. Runs user
    /// code.
    fn build(&self, job: &JobInfo) -> Result<Arc<Program>, BoxError>;
}

impl<F> ProgramProvider for F
where
    F: Fn(&JobInfo) -> Result<Arc<Program>, BoxError> + Send + Sync + 'static,
{
    fn build(&self, job: &JobInfo) -> Result<Arc<Program>, BoxError> {
        self(job)
    }
}

/// The program cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    /// The provider failed.
    #[error("build program `{program}`")]
    Build {
        /// The program.
        program: String,
        /// Why.
        #[source]
        source: BoxError,
    },
    /// The provider, or the program, panicked.
    #[error("build program `{program}`: it panicked")]
    Panicked {
        /// The program.
        program: String,
    },
    /// What was built is not what the JobManager runs.
    #[error(
        "program `{program}` is not the same here and on the JobManager ({differences}): run the \
         same executable on both"
    )]
    Differs {
        /// The program.
        program: String,
        /// In what.
        differences: String,
    },
}

/// Builds the job's program on a thread of its own, and compares it with the JobManager's.
pub(crate) async fn build(
    provider: &Arc<dyn ProgramProvider>,
    job: &JobInfo,
    executable: &str,
) -> Result<(Arc<Program>, Fingerprint), ProgramError> {
    let name = || job.program.program.clone();
    let (builder, info) = (Arc::clone(provider), job.clone());
    let built = tokio::task::spawn_blocking(move || builder.build(&info)).await;
    let program = built
        .map_err(|_| ProgramError::Panicked { program: name() })?
        .map_err(|source| ProgramError::Build {
            program: name(),
            source,
        })?;
    let (args, config) = (&job.program.args, &job.program.config);
    let ours = fingerprint(&program.job_graph, args, config, executable);
    let differences = job.fingerprint.differences(&ours);
    if !differences.is_empty() {
        let differences = differences.join(", ");
        return Err(ProgramError::Differs {
            program: name(),
            differences,
        });
    }
    Ok((program, ours))
}
