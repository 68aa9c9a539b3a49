//! From a job's program, arguments and configuration to its graph, the same in each process.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use weir_api::{Args, BoxError, BuiltProgram, EnvSettings, StreamEnv};
use weir_checkpoint::metadata::{CheckpointMetadata, OperatorMetadata};
use weir_cli::Failure;
use weir_crd::LocalJob;
use weir_graph::JobGraph;
use weir_rpc::{JobInfo, ProgramSpec};
use weir_task::Program;

use crate::config::{MAX_PARALLELISM, PARALLELISM, STATE_BACKEND};
use crate::registry::{Registry, UnknownProgram};
use crate::state_backend;

/// A program that cannot be built.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BuildError {
    #[error(transparent)]
    Unknown(#[from] UnknownProgram),
    /// The program's own error, one of its arguments, or of its graph.
    #[error("build program `{program}`")]
    Program {
        program: String,
        #[source]
        source: BoxError,
    },
    #[error("build program `{program}`: it panicked")]
    Panicked { program: String },
    #[error("the job's configuration has no number under `{key}`")]
    Config { key: &'static str },
}

/// A job that is ready to run.
#[derive(Clone)]
pub(crate) struct Plan {
    pub(crate) program: Arc<Program>,
    /// What other processes build the same from.
    pub(crate) spec: ProgramSpec,
}

/// Builds the job's program. All that can be wrong is the caller's to change.
pub(crate) fn plan(registry: &Registry, job: &LocalJob) -> Result<Plan, Failure> {
    let default = weir_crd::JobSpec::DEFAULT_MAX_PARALLELISM;
    let spec = spec(job, job.max_parallelism.unwrap_or(default));
    let program = build(registry, &job.name, &spec).map_err(Failure::usage)?;
    Ok(Plan { program, spec })
}

/// How a plan takes over what a snapshot says, telling people of it.
pub(crate) type Adopt<'a> =
    dyn Fn(Plan, &CheckpointMetadata, &dyn Fn(&str)) -> Result<Plan, Failure> + 'a;

/// By [`adopt`].
pub(crate) fn adopting<'a>(registry: &'a Registry, job: &'a LocalJob) -> Box<Adopt<'a>> {
    let adopting = move |plan: Plan, metadata: &CheckpointMetadata, say: &dyn Fn(&str)| {
        adopt(registry, job, plan, metadata, say)
    };
    Box::new(adopting)
}

/// The same for a job that goes on from a snapshot: where nobody has said how many key groups there
/// are, there are as many as in the snapshot (as in Flink), as keys are placed by that number. An
/// operator for which the program itself sets another number is not concerned; whether all fits is
/// found out when the state is dealt out.
pub(crate) fn adopt(
    registry: &Registry,
    job: &LocalJob,
    plan: Plan,
    metadata: &CheckpointMetadata,
    say: &dyn Fn(&str),
) -> Result<Plan, Failure> {
    if job.max_parallelism.is_some() || fits(&plan.program.job_graph, metadata) {
        return Ok(plan);
    }
    let former = metadata.operators.iter().filter(|former| has_keys(former));
    let numbers: BTreeSet<u32> = former.map(|former| former.max_parallelism).collect();
    for number in numbers {
        let spec = spec(job, number);
        let adopted = build(registry, &job.name, &spec).map_err(|error| {
            let text = format!(
                "take over max parallelism {number} of {} {}",
                metadata.kind.noun(),
                metadata.id
            );
            Failure::usage(anyhow::Error::new(error).context(text))
        })?;
        if fits(&adopted.job_graph, metadata) {
            say(&format!(
                "max parallelism {number} is taken over from the snapshot"
            ));
            return Ok(Plan {
                program: adopted,
                spec,
            });
        }
    }
    Ok(plan)
}

fn has_keys(former: &OperatorMetadata) -> bool {
    let mut states = former.subtasks.iter();
    states.any(|(_, state)| !state.keyed.is_empty())
}

/// Whether the number of key groups is the same for each operator that has keyed state.
fn fits(job_graph: &JobGraph, metadata: &CheckpointMetadata) -> bool {
    let mut vertices = job_graph.vertices.iter();
    vertices.all(|vertex| {
        vertex.operators.iter().all(|operator| {
            let mut formers = metadata.operators.iter();
            let former = formers.find(|former| former.operator == operator.operator_id);
            former.is_none_or(|former| {
                !has_keys(former) || former.max_parallelism == vertex.max_parallelism
            })
        })
    })
}

fn spec(job: &LocalJob, max_parallelism: u32) -> ProgramSpec {
    let graph_wide = [
        (PARALLELISM, job.parallelism),
        (MAX_PARALLELISM, max_parallelism),
    ];
    let mut config: BTreeMap<String, String> = job.config.clone();
    config.extend(graph_wide.map(|(key, number)| (key.to_owned(), number.to_string())));
    let backend = state_backend::name(job.state_backend);
    config.insert(STATE_BACKEND.to_owned(), backend.to_owned());
    ProgramSpec {
        program: job.program.clone(),
        args: job.args.clone(),
        config,
        environment: job.env.clone(),
    }
}

/// Builds a TaskManager's own copy.
pub(crate) fn of_job(registry: &Registry, job: &JobInfo) -> Result<Arc<Program>, BuildError> {
    build(registry, &job.name, &job.program)
}

fn build(
    registry: &Registry,
    job_name: &str,
    spec: &ProgramSpec,
) -> Result<Arc<Program>, BuildError> {
    let number = |key: &'static str| {
        let number = spec.config.get(key).and_then(|text| text.parse().ok());
        number.ok_or(BuildError::Config { key })
    };
    let settings = EnvSettings {
        job_name: job_name.to_owned(),
        parallelism: number(PARALLELISM)?,
        max_parallelism: Some(number(MAX_PARALLELISM)?),
        configuration: spec.config.clone(),
    };
    let entry = registry.find(&spec.program)?;
    let program = || spec.program.clone();
    let args = Args::new(spec.args.clone());
    let mut env = StreamEnv::new(&settings);
    let failed = |source| BuildError::Program {
        program: program(),
        source,
    };
    catch_unwind(AssertUnwindSafe(|| (entry.build)(&mut env, &args)))
        .map_err(|_| BuildError::Panicked { program: program() })?
        .map_err(failed)?;
    args.check_all_used()
        .map_err(|error| failed(error.into()))?;
    let built = env.build().map_err(|error| failed(error.into()))?;
    Ok(Arc::new(chained(built)))
}

/// Chains the operators.
pub(crate) fn chained(built: BuiltProgram) -> Program {
    let job_graph = JobGraph::from_stream_graph(&built.graph);
    Program {
        graph: built.graph,
        job_graph,
        factories: built.factories,
    }
}
