//! Services, PodDisruptionBudgets and the NetworkPolicy.

use serde_json::{Value, json};

use super::{Deployment, port};
use crate::names;

pub(super) fn objects(deployment: &Deployment<'_>) -> Vec<Value> {
    let spec = deployment.surroundings;
    let mut objects = vec![jobmanagers(deployment)];
    if spec.ui.enabled || spec.metrics.enabled {
        objects.push(rest(deployment));
    }
    if spec.pdb.enabled {
        objects.push(budget(
            deployment,
            "jobmanager",
            deployment.spec.job_manager.replicas,
        ));
        objects.push(budget(
            deployment,
            "taskmanager",
            deployment.task_managers(),
        ));
    }
    if spec.network_policy.enabled {
        objects.push(policy(deployment));
    }
    objects
}

/// By which TaskManagers find the JobManagers, leader or not: by the name of each pod.
fn jobmanagers(deployment: &Deployment<'_>) -> Value {
    let name = names::jobmanagers(&deployment.owner.name, deployment.number);
    let mut service = deployment.object("v1", "Service", &name);
    service["spec"] = json!({
        "clusterIP": "None",
        "publishNotReadyAddresses": true,
        "selector": {
            names::JOB_LABEL: deployment.owner.name,
            names::COMPONENT_LABEL: "jobmanager",
            names::DEPLOYMENT_LABEL: deployment.number.to_string(),
        },
        "ports": [
            { "name": "rpc", "port": port::RPC, "targetPort": "rpc", "protocol": "TCP" },
        ],
    });
    service
}

/// The REST interface of the JobManager that leads, which marks its own pod.
fn rest(deployment: &Deployment<'_>) -> Value {
    let spec = deployment.surroundings;
    let mut service = deployment.lasting("v1", "Service", &names::rest(&deployment.owner.name));
    let mut ports = Vec::new();
    for (enabled, name, number) in [
        (spec.ui.enabled, "rest", spec.ui.port),
        (spec.metrics.enabled, "metrics", spec.metrics.port),
    ] {
        if enabled {
            ports.push(json!({
                "name": name,
                "port": number,
                "targetPort": "rest",
                "protocol": "TCP",
            }));
        }
    }
    service["spec"] = json!({
        "type": "ClusterIP",
        "selector": {
            names::JOB_LABEL: deployment.owner.name,
            names::COMPONENT_LABEL: "jobmanager",
            names::LEADER_LABEL: "true",
        },
        "ports": ports,
    });
    service
}

/// An eviction leaves all but one of the pods. The pods have no controller of a kind that budgets
/// know, so the number is absolute.
fn budget(deployment: &Deployment<'_>, component: &str, pods: u32) -> Value {
    let name = format!(
        "{}-{component}",
        names::deployment(&deployment.owner.name, deployment.number)
    );
    let mut budget = deployment.object("policy/v1", "PodDisruptionBudget", &name);
    budget["spec"] = json!({
        "minAvailable": pods.saturating_sub(1),
        "unhealthyPodEvictionPolicy": "AlwaysAllow",
        "selector": { "matchLabels": {
            names::JOB_LABEL: deployment.owner.name,
            names::COMPONENT_LABEL: component,
            names::DEPLOYMENT_LABEL: deployment.number.to_string(),
        } },
    });
    budget
}

/// The job's own pods reach each other; REST answers everyone in the cluster, where the operator
/// and people's dashboards are.
fn policy(deployment: &Deployment<'_>) -> Value {
    let own = json!({ "matchLabels": { names::JOB_LABEL: deployment.owner.name } });
    let mut policy = deployment.lasting(
        "networking.k8s.io/v1",
        "NetworkPolicy",
        &deployment.owner.name,
    );
    policy["spec"] = json!({
        "podSelector": own,
        "policyTypes": ["Ingress"],
        "ingress": [
            { "from": [{ "podSelector": own }] },
            { "ports": [{ "port": "rest", "protocol": "TCP" }] },
        ],
    });
    policy
}
