//! `weir checkpoints`: of a running job, from its JobManager, or in a store, without one.

#[cfg(test)]
pub(crate) mod examples;
mod view;

use anyhow::anyhow;
use weir_rest::RestClient;
use weir_types::JobId;

use crate::args::{Format, InspectArgs, JobQueryArgs, LsArgs};
use crate::query::{chosen, chosen_of, failed, json};
use crate::{Engine, Failure, InspectRequest, SnapshotChoice, StoreRequest};

/// Lists checkpoints and savepoints.
pub(crate) fn ls(engine: &dyn Engine, args: &LsArgs) -> Result<String, Failure> {
    let format = args.query.answer.format;
    if let Some(dir) = &args.dir {
        let listing = engine.checkpoints_ls(StoreRequest {
            location: dir.clone(),
            options: args.store.options(),
            jobs: Vec::new(),
        })?;
        return match format {
            Format::Json => json(&listing),
            Format::Text => Ok(view::listing(&listing)),
        };
    }
    let checkpoints = of_job(&args.query)?;
    match format {
        Format::Json => json(&checkpoints),
        Format::Text => Ok(view::checkpoints(&checkpoints)),
    }
}

fn of_job(query: &JobQueryArgs) -> Result<weir_rest::dto::Checkpoints, Failure> {
    let client = RestClient::new(&query.answer.rest);
    client.checkpoints(chosen(&client, query)?).map_err(failed)
}

/// Shows one checkpoint or savepoint.
pub(crate) fn inspect(engine: &dyn Engine, args: &InspectArgs) -> Result<String, Failure> {
    match (number(&args.snapshot)?, &args.dir) {
        (Some(number), None) => of_jobmanager(args, number),
        (Some(number), Some(dir)) => {
            of_store(engine, args, dir.clone(), SnapshotChoice::Number(number))
        }
        (None, None) if args.job.is_none() => {
            of_store(engine, args, args.snapshot.clone(), SnapshotChoice::Here)
        }
        (None, _) => Err(Failure::usage(anyhow!(
            "`{}` is a folder, which says all: leave out --dir and --job, or name a number",
            args.snapshot
        ))),
    }
}

fn number(text: &str) -> Result<Option<u64>, Failure> {
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(None);
    }
    let wrong = |error| {
        Failure::usage(anyhow!(
            "checkpoint `{text}`: {error}; a folder of this name is `./{text}`"
        ))
    };
    text.parse().map(Some).map_err(wrong)
}

fn of_jobmanager(args: &InspectArgs, number: u64) -> Result<String, Failure> {
    let job = args.job.as_deref().map(str::parse::<JobId>).transpose();
    let job = job.map_err(|error| Failure::usage(anyhow!("--job without --dir: {error}")))?;
    let client = RestClient::new(&args.answer.rest);
    let id = chosen_of(&client, job, &args.answer.rest)?;
    let details = client.checkpoint_details(id, number).map_err(failed)?;
    match args.answer.format {
        Format::Json => json(&details),
        Format::Text => Ok(view::details(&details)),
    }
}

fn of_store(
    engine: &dyn Engine,
    args: &InspectArgs,
    location: String,
    which: SnapshotChoice,
) -> Result<String, Failure> {
    let report = engine.checkpoints_inspect(InspectRequest {
        store: StoreRequest {
            location,
            options: args.store.options(),
            jobs: args.job.iter().cloned().collect(),
        },
        which,
    })?;
    match args.answer.format {
        Format::Json => json(&report),
        Format::Text => Ok(view::report(&report)),
    }
}

#[cfg(test)]
mod tests;
