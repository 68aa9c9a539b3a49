//! `force-delete`: a StreamJob goes although its savepoint cannot be had.

use std::io::Write;
use std::thread;
use std::time::Duration;

use anyhow::anyhow;
use serde_json::json;
use weir_types::{Clock, SystemClock};

use super::args::ForceDeleteArgs;
use super::client::{Kubectl, Refusal};
use super::names;
use super::objects::Job;
use crate::Failure;

/// How often it is looked whether it is gone.
const INTERVAL: Duration = Duration::from_millis(500);
/// How long the API server may take once nothing holds the job.
const LAST: Duration = Duration::from_secs(30);

/// Deletes the job. The operator is asked first; where none runs, its finalizer is taken off here.
pub(super) fn force(kubectl: &Kubectl, args: &ForceDeleteArgs) -> Result<String, Failure> {
    let name = args.name.as_str();
    let job = kubectl.job(name)?;
    let mark = format!("{}=true", names::FORCE_DELETE);
    kubectl.text(&["annotate", "--overwrite", names::RESOURCE, name, &mark])?;
    match kubectl.text(&["delete", names::RESOURCE, name, "--wait=false"]) {
        Ok(_) | Err(Refusal::NotFound(_)) => {}
        Err(refusal) => return Err(Failure::from(refusal)),
    }
    let uid = &job.metadata.uid;
    if gone(kubectl, name, uid, args.grace.get())? {
        return Ok(format!("`{name}` is deleted; its checkpoints stay"));
    }
    release(kubectl, name, uid)?;
    if gone(kubectl, name, uid, LAST)? {
        return Ok(format!(
            "`{name}` is deleted, without the operator: it did not let it go within {}. The \
             checkpoints stay",
            args.grace
        ));
    }
    let finalizers = match kubectl.json::<Job>(&["get", names::RESOURCE, name]) {
        Ok(job) => job.metadata.finalizers.join(", "),
        Err(_) => String::new(),
    };
    Err(Failure::failed(anyhow!(
        "`{name}` is still being deleted: finalizers of others hold it ({finalizers}). Whoever put \
         them there has to take them off"
    )))
}

/// Whether the job is gone within this time. Another one of its name does not count.
fn gone(kubectl: &Kubectl, name: &str, uid: &str, within: Duration) -> Result<bool, Failure> {
    let begun = SystemClock.now();
    loop {
        match kubectl.json::<Job>(&["get", names::RESOURCE, name]) {
            Ok(job) if job.metadata.uid == uid => {}
            Ok(_) | Err(Refusal::NotFound(_)) => return Ok(true),
            Err(refusal) => return Err(Failure::from(refusal)),
        }
        if SystemClock.now().since(begun) > within {
            return Ok(false);
        }
        thread::sleep(INTERVAL);
    }
}

/// Takes the operator's finalizer off, and leaves those of others.
fn release(kubectl: &Kubectl, name: &str, uid: &str) -> Result<(), Failure> {
    let job = match kubectl.json::<Job>(&["get", names::RESOURCE, name]) {
        Ok(job) if job.metadata.uid == uid => job,
        Ok(_) | Err(Refusal::NotFound(_)) => return Ok(()),
        Err(refusal) => return Err(Failure::from(refusal)),
    };
    let mut kept = job.metadata.finalizers;
    kept.retain(|finalizer| finalizer != names::FINALIZER);
    let text = format!(
        "no operator has let `{name}` go: taking off {}",
        names::FINALIZER
    );
    // With a closed stderr there is nobody to tell.
    drop(writeln!(std::io::stderr().lock(), "{text}"));
    let patch = json!({ "metadata": {
        "resourceVersion": job.metadata.resource_version,
        "finalizers": kept,
    } });
    let patch = format!("--patch={patch}");
    match kubectl.text(&["patch", names::RESOURCE, name, "--type=merge", &patch]) {
        Ok(_) | Err(Refusal::NotFound(_)) => Ok(()),
        Err(refusal) => Err(Failure::from(refusal)),
    }
}
