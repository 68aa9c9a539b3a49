//! A job's pods, and what keeps them from being as they should be.

use serde::Serialize;

use crate::kubectl::names;
use crate::kubectl::objects::{Container, Pod};

/// What is told of a pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::kubectl) struct PodReport {
    pub(super) name: String,
    pub(super) component: String,
    /// The number of the deployment that it belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) deployment: Option<i64>,
    pub(super) leads: bool,
    pub(super) phase: String,
    pub(super) ready: bool,
    pub(super) restarts: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) node: Option<String>,
    /// What is wrong with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) trouble: Option<String>,
}

impl PodReport {
    pub(super) fn of(pod: &Pod) -> Self {
        let label = |name: &str| pod.metadata.labels.get(name).map(String::as_str);
        let conditions = &pod.status.conditions;
        let ready = conditions
            .iter()
            .any(|c| c.kind == "Ready" && c.status == "True");
        let restarts = pod
            .status
            .container_statuses
            .iter()
            .map(|c| c.restart_count);
        Self {
            name: pod.metadata.name.clone(),
            component: label(names::COMPONENT_LABEL).unwrap_or("other").to_owned(),
            deployment: label(names::DEPLOYMENT_LABEL).and_then(|number| number.parse().ok()),
            leads: label(names::LEADER_LABEL) == Some("true"),
            phase: pod.status.phase.clone(),
            ready,
            restarts: restarts.sum(),
            node: pod.spec.node_name.clone(),
            trouble: trouble(pod, ready),
        }
    }
}

/// What is wrong with a pod, the most telling first.
fn trouble(pod: &Pod, ready: bool) -> Option<String> {
    if pod.metadata.deletion_timestamp.is_some() {
        return Some("is being deleted".to_owned());
    }
    let status = &pod.status;
    let unscheduled = status
        .conditions
        .iter()
        .find(|condition| condition.kind == "PodScheduled" && condition.status == "False");
    if let Some(condition) = unscheduled {
        let reason = condition.reason.as_deref().unwrap_or("Unschedulable");
        return Some(said(reason, condition.message.as_deref()));
    }
    let containers = || {
        status
            .init_container_statuses
            .iter()
            .chain(&status.container_statuses)
    };
    if let Some(text) = containers().find_map(waiting) {
        return Some(text);
    }
    if status.phase == "Failed" {
        let ended = containers().find_map(|container| container.state.terminated.as_ref());
        let code = ended.map_or_else(String::new, |ended| {
            format!(", exit code {}", ended.exit_code)
        });
        return Some(format!("has failed{code}"));
    }
    if ready || status.phase == "Succeeded" {
        return None;
    }
    match status.phase.as_str() {
        "Pending" => Some("is starting".to_owned()),
        _ => Some("runs, but is not ready".to_owned()),
    }
}

/// Why a container does not start.
fn waiting(container: &Container) -> Option<String> {
    let waiting = container.state.waiting.as_ref()?;
    let reason = waiting.reason.as_deref()?;
    if matches!(reason, "ContainerCreating" | "PodInitializing") {
        return None;
    }
    let text = said(reason, waiting.message.as_deref());
    Some(match &container.last_state.terminated {
        Some(last) => {
            let why = last.reason.as_deref().unwrap_or("ended");
            format!("{text} (before: {why}, exit code {})", last.exit_code)
        }
        None => text,
    })
}

fn said(reason: &str, message: Option<&str>) -> String {
    match message {
        Some(message) => format!("{reason}: {message}"),
        None => reason.to_owned(),
    }
}
