//! From the command line to a job: the manifest file, and what the command line says over it.

use std::fs;

use anyhow::Context;
use weir_crd::{LocalJob, Overrides, StreamJob};

use crate::Failure;
use crate::args::JobArgs;

/// Reads the manifest and applies the command line to it.
pub(crate) fn load(args: &JobArgs) -> Result<LocalJob, Failure> {
    let name = args.manifest.display().to_string();
    let bytes = fs::read(&args.manifest)
        .with_context(|| format!("read the manifest `{name}`"))
        .map_err(Failure::failed)?;
    let job = StreamJob::from_yaml_bytes(&name, &bytes).map_err(Failure::usage)?;
    let overrides = Overrides {
        args: args.args.iter().cloned().collect(),
        parallelism: args.parallelism,
        state_backend: args.state_backend.map(Into::into),
    };
    job.resolve_local(&overrides).map_err(Failure::usage)
}
