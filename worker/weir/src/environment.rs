//! `spec.job.env`: the variables that the processes of a job have.
//!
//! A process cannot safely change its own environment once it may have threads, so one that lacks a
//! variable starts itself again with it, before it has done anything.

use std::collections::BTreeMap;
use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::Context;
use weir_cli::Failure;

/// Returns once this process has all the variables.
pub(crate) fn ensure(wanted: &BTreeMap<String, String>) -> Result<(), Failure> {
    if missing(wanted).is_empty() {
        return Ok(());
    }
    let own = std::env::current_exe();
    let own = own
        .context("find this executable, to set spec.job.env")
        .map_err(Failure::failed)?;
    let error = Command::new(own)
        .args(std::env::args_os().skip(1))
        .envs(wanted)
        .exec();
    Err(Failure::failed(
        anyhow::Error::new(error).context("start again with spec.job.env"),
    ))
}

/// The variables that this process lacks or that have another value here.
pub(crate) fn missing(wanted: &BTreeMap<String, String>) -> Vec<&str> {
    let lacks = |name: &str, value: &str| std::env::var_os(name).is_none_or(|own| own != value);
    wanted
        .iter()
        .filter(|(name, value)| lacks(name, value))
        .map(|(name, _)| name.as_str())
        .collect()
}
