//! `kubectl` as a child process: its contexts, its ways to log in, its port-forward.

use std::fmt;
use std::io;
use std::process::{Command, Output, Stdio};

use anyhow::anyhow;
use serde::de::DeserializeOwned;

use super::args::ClusterArgs;
use super::names;
use super::objects::{Job, List};
use crate::suggest::nearest;
use crate::{Exit, Failure};

/// A question that has not been answered by then is asked again, or given up.
const REQUEST_TIMEOUT: &str = "--request-timeout=20s";

/// How to reach the cluster.
#[derive(Clone, Debug)]
pub(super) struct Kubectl {
    program: String,
    flags: Vec<String>,
}

/// Why kubectl did not do what it was asked for.
#[derive(Debug)]
pub(super) enum Refusal {
    /// The object is not there.
    NotFound(String),
    /// Somebody else has written meanwhile.
    Conflict(String),
    /// Anything else, in kubectl's words.
    Other(String),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::NotFound(text) | Self::Conflict(text) | Self::Other(text)) = self;
        f.write_str(text)
    }
}

impl std::error::Error for Refusal {}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::failed(refusal)
    }
}

impl Kubectl {
    pub(super) fn new(cluster: &ClusterArgs) -> Self {
        Self::of_program("kubectl", cluster)
    }

    pub(super) fn of_program(program: &str, cluster: &ClusterArgs) -> Self {
        let flags = [
            ("--kubeconfig", &cluster.kubeconfig),
            ("--context", &cluster.context),
            ("--namespace", &cluster.namespace),
        ];
        let flags = flags
            .into_iter()
            .filter_map(|(flag, value)| value.as_ref().map(|value| format!("{flag}={value}")));
        Self {
            program: program.to_owned(),
            flags: flags.collect(),
        }
    }

    /// What kubectl writes to standard output.
    pub(super) fn text(&self, args: &[&str]) -> Result<String, Refusal> {
        let mut command = Command::new(&self.program);
        command.args(&self.flags).arg(REQUEST_TIMEOUT).args(args);
        let output = command.stdin(Stdio::null()).output();
        let output = output.map_err(|error| Refusal::Other(self.missing(&error)))?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        Err(refusal(args, &output))
    }

    /// The same, read as JSON.
    pub(super) fn json<T: DeserializeOwned>(&self, args: &[&str]) -> Result<T, Refusal> {
        let text = self.text(&[args, &["--output=json"]].concat())?;
        parsed(args, &text)
    }

    /// A path of the API, read as JSON.
    pub(super) fn raw<T: DeserializeOwned>(&self, path: &str) -> Result<T, Refusal> {
        let args = ["get", "--raw", path];
        parsed(&args, &self.text(&args)?)
    }

    /// Lets kubectl have the terminal until it ends.
    pub(super) fn hand_over(&self, args: &[&str]) -> Result<Exit, Failure> {
        let status = Command::new(&self.program)
            .args(&self.flags)
            .args(args)
            .status();
        let status = status.map_err(|error| Failure::failed(anyhow!(self.missing(&error))))?;
        Ok(match status.code() {
            Some(0) => Exit::Finished,
            Some(130) | None => Exit::Canceled,
            Some(_) => Exit::Failed,
        })
    }

    /// The job of this name; if there is none, the failure says which there are.
    pub(super) fn job(&self, name: &str) -> Result<Job, Failure> {
        match self.json(&["get", names::RESOURCE, name]) {
            Ok(job) => Ok(job),
            Err(Refusal::NotFound(_)) => Err(self.no_such_job(name)),
            Err(refusal) => Err(Failure::from(refusal)),
        }
    }

    fn no_such_job(&self, name: &str) -> Failure {
        let here: Vec<Job> = self.jobs(&[]);
        let mut text = format!("there is no StreamJob `{name}` in this namespace");
        if let Some(near) = nearest(name, here.iter().map(Job::name)) {
            text.push_str(&format!(": did you mean `{near}`?"));
        } else if !here.is_empty() {
            let all: Vec<&str> = here.iter().map(Job::name).collect();
            text.push_str(&format!(". There are: {}", all.join(", ")));
        } else {
            let elsewhere = self.jobs(&["--all-namespaces"]);
            let same = elsewhere.iter().find(|job| job.name() == name);
            if let Some(job) = same {
                let namespace = &job.metadata.namespace;
                text.push_str(&format!(", but in another one: add `-n {namespace}`"));
            } else if elsewhere.is_empty() {
                text.push_str(", nor any other. Apply one: `kubectl apply -f JOB.yaml`");
            } else {
                let all = elsewhere
                    .iter()
                    .take(10)
                    .map(|job| format!("\n  {} -n {}", job.name(), job.metadata.namespace));
                text.push_str(&format!(
                    ". Elsewhere there are:{}",
                    all.collect::<String>()
                ));
            }
        }
        Failure::failed(anyhow!(text))
    }

    /// Those that there are; none if they may not be listed.
    fn jobs(&self, flags: &[&str]) -> Vec<Job> {
        let args = [&["get", names::RESOURCE], flags].concat();
        self.json(&args)
            .map_or_else(|_| Vec::new(), |list: List<Job>| list.items)
    }

    fn missing(&self, error: &io::Error) -> String {
        match error.kind() {
            io::ErrorKind::NotFound => format!(
                "`{}` is not on the PATH: this command asks the cluster through it; install \
                 kubectl 1.29 or newer",
                self.program
            ),
            _ => format!("run `{}`: {error}", self.program),
        }
    }
}

fn parsed<T: DeserializeOwned>(args: &[&str], text: &str) -> Result<T, Refusal> {
    serde_json::from_str(text).map_err(|error| {
        Refusal::Other(format!(
            "the answer to `kubectl {}` cannot be read: {error}. Is the operator newer than this \
             program ({})?",
            args.join(" "),
            env!("CARGO_PKG_VERSION")
        ))
    })
}

fn refusal(args: &[&str], output: &Output) -> Refusal {
    let text = String::from_utf8_lossy(&output.stderr);
    let text = text.trim();
    let told = text
        .trim_start_matches("Error from server ")
        .trim_start_matches("error: ");
    if text.contains("doesn't have a resource type") {
        return Refusal::Other(
            "this cluster knows no StreamJobs: install Weir first, `helm install weir \
             charts/weir-operator`, or name another cluster with `--context`"
                .to_owned(),
        );
    }
    if text.contains("(NotFound)") {
        return Refusal::NotFound(told.to_owned());
    }
    if text.contains("(Conflict)") {
        return Refusal::Conflict(told.to_owned());
    }
    if text.contains("(Forbidden)") {
        return Refusal::Other(format!(
            "{told}. The roles `view` and `edit` of the namespace include StreamJobs: ask for one \
             of them"
        ));
    }
    Refusal::Other(match told {
        "" => format!("`kubectl {}` failed and did not say why", args.join(" ")),
        told => told.to_owned(),
    })
}
