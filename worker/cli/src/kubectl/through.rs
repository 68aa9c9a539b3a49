//! `logs` and `ui`: kubectl does it, and is told which pods and ports are meant.

use std::io::Write;
use std::thread;
use std::time::Duration;

use anyhow::anyhow;
use weir_crd::Phase;
use weir_types::{Clock, SystemClock};

use super::args::{LogsArgs, UiArgs};
use super::client::Kubectl;
use super::names;
use super::objects::{Job, List, Pod};
use crate::{Exit, Failure};

/// The container that is the job's process; a pod template may add others.
const MAIN: &str = "main";

/// A connection that held for this long was a good one.
const HELD: Duration = Duration::from_secs(3);
/// How soon, and how often, another connection is made.
const AGAIN: Duration = Duration::from_secs(1);
const ATTEMPTS: u32 = 30;

/// Shows the logs of the processes that are meant.
pub(super) fn logs(kubectl: &Kubectl, args: &LogsArgs) -> Result<Exit, Failure> {
    let job = kubectl.job(&args.name)?;
    let selector = selector(args);
    let chosen = format!("--selector={selector}");
    let pods: List<Pod> = kubectl.json(&["get", "pods", &chosen])?;
    if pods.items.is_empty() {
        return Err(no_pods(&job, args));
    }
    let mut words = vec!["logs".to_owned(), chosen, format!("--container={MAIN}")];
    words.push(format!("--tail={}", args.tail));
    // kubectl refuses to follow more than five at once unless it is told.
    words.push(format!("--max-log-requests={}", pods.items.len().max(5)));
    if pods.items.len() > 1 {
        words.push("--prefix".to_owned());
    }
    words.extend(args.since.map(|since| format!("--since={since}")));
    words.extend(args.follow.then(|| "--follow".to_owned()));
    words.extend(args.previous.then(|| "--previous".to_owned()));
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    kubectl.hand_over(&words)
}

fn selector(args: &LogsArgs) -> String {
    let job = format!("{}={}", names::JOB_LABEL, args.name);
    let component = names::COMPONENT_LABEL;
    if args.all {
        job
    } else if args.taskmanagers {
        format!("{job},{component}=taskmanager")
    } else if args.jobmanagers {
        format!("{job},{component}=jobmanager")
    } else {
        format!("{job},{component}=jobmanager,{}=true", names::LEADER_LABEL)
    }
}

fn no_pods(job: &Job, args: &LogsArgs) -> Failure {
    let name = job.name();
    let rests = |phase: Phase| phase.is_terminal() || phase == Phase::Suspended;
    let text = match job.status.phase {
        Some(phase) if rests(phase) => format!("`{name}` is {phase:?} and has no pods"),
        _ if !(args.all || args.taskmanagers || args.jobmanagers) => format!(
            "no JobManager of `{name}` leads: see them all with `kubectl weir logs {name} \
             --jobmanagers`, or what is wrong with `kubectl weir status {name}`"
        ),
        _ => format!("`{name}` has no such pods: look with `kubectl weir status {name}`"),
    };
    Failure::failed(anyhow!(text))
}

/// Leads a port of this machine to the JobManager that leads, until Ctrl-C.
pub(super) fn ui(kubectl: &Kubectl, args: &UiArgs) -> Result<Exit, Failure> {
    let job = kubectl.job(&args.name)?;
    let name = job.name();
    if !job.spec.ui.enabled {
        return Err(Failure::failed(anyhow!(
            "spec.ui.enabled of `{name}` is false: there is no Service to reach"
        )));
    }
    let service = format!("service/{}", names::rest(name));
    let ports = match args.port {
        0 => ":rest".to_owned(),
        port => format!("{port}:rest"),
    };
    if args.port != 0 {
        say(&format!(
            "the REST interface of `{name}`: http://127.0.0.1:{}/jobs, or `weir info --rest \
             127.0.0.1:{}`. Ctrl-C ends it",
            args.port, args.port
        ));
    }
    let mut failures = 0;
    loop {
        let begun = SystemClock.now();
        let exit = kubectl.hand_over(&["port-forward", &service, &ports])?;
        if exit == Exit::Canceled {
            return Ok(exit);
        }
        // kubectl ends when the pod that it leads to does; another one leads by then, or will.
        let held = SystemClock.now().since(begun) >= HELD;
        failures = if held { 1 } else { failures + 1 };
        let never = failures == 1 && !held;
        if never || failures > ATTEMPTS {
            return Err(Failure::failed(anyhow!(
                "`{name}` was not reached: is a JobManager up, and the port free? Look with \
                 `kubectl weir status {name}`, or choose another port with --port"
            )));
        }
        say("the connection has ended; making another one");
        thread::sleep(AGAIN);
    }
}

fn say(text: &str) {
    // With a closed stderr there is nobody to tell.
    drop(writeln!(std::io::stderr().lock(), "{text}"));
}
