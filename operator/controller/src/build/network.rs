//! Services, PodDisruptionBudgets and the NetworkPolicy.

use serde_json::{Value, json};

use super::{Deployment, port};
use crate::names;

/// What the job goes on without.
pub(super) fn around(deployment: &Deployment<'_>) -> Vec<Value> {
    let spec = deployment.surroundings;
    let mut objects = Vec::new();
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

/// What is switched off. A running job may have it from before.
pub(super) fn unwanted(deployment: &Deployment<'_>) -> Vec<(&'static str, &'static str, String)> {
    let spec = deployment.surroundings;
    let job = &deployment.owner.name;
    let mut unwanted = Vec::new();
    if !spec.ui.enabled && !spec.metrics.enabled {
        unwanted.push(("v1", "Service", names::rest(job)));
    }
    if !spec.pdb.enabled {
        for component in ["jobmanager", "taskmanager"] {
            let name = budget_name(deployment, component);
            unwanted.push(("policy/v1", "PodDisruptionBudget", name));
        }
    }
    if !spec.network_policy.enabled {
        unwanted.push(("networking.k8s.io/v1", "NetworkPolicy", job.clone()));
    }
    unwanted
}

fn budget_name(deployment: &Deployment<'_>, component: &str) -> String {
    let common = names::deployment(&deployment.owner.name, deployment.number);
    format!("{common}-{component}")
}

/// By which TaskManagers find the JobManagers, leader or not: by the name of each pod.
pub(super) fn jobmanagers(deployment: &Deployment<'_>) -> Value {
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
    let name = budget_name(deployment, component);
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

/// The job's own pods reach each other. REST answers everyone, as people's dashboards may be
/// anywhere, or those that the spec names; the operator always, as it could not look after the job.
fn policy(deployment: &Deployment<'_>) -> Value {
    let mut rest = json!({ "ports": [{ "port": "rest", "protocol": "TCP" }] });
    let named = &deployment.surroundings.network_policy.rest_from;
    if !named.is_empty() {
        let mut from = vec![json!({
            "namespaceSelector": {},
            "podSelector": { "matchLabels": { names::COMPONENT_LABEL: names::OPERATOR } },
        })];
        // Only values that serialize by construction.
        let peer = |peer| serde_json::to_value(peer).unwrap_or_default();
        from.extend(named.iter().map(peer));
        rest["from"] = Value::Array(from);
    }
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
            rest,
        ],
    });
    policy
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use weir_crd::StreamJobSpec;

    use super::super::{Deployment, Objects, Owner, Surroundings};

    fn objects(change: &Value) -> Objects {
        let mut spec = json!({"job": {"program": "p"}});
        let fields = change.as_object().expect("fields").clone();
        spec.as_object_mut().expect("a spec").extend(fields);
        let spec: StreamJobSpec = serde_json::from_value(spec).expect("a spec");
        let owner = Owner {
            name: "x".to_owned(),
            namespace: "default".to_owned(),
            uid: "u".to_owned(),
        };
        let deployment = Deployment {
            owner: &owner,
            number: 2,
            revision: "r",
            spec: &spec,
            surroundings: &Surroundings::from(&spec),
            start_from: None,
            default_image: "weir",
        };
        deployment.objects()
    }

    fn who_reaches_rest(change: &Value) -> Value {
        let made = objects(change).around;
        let policy = made.iter().find(|made| made["kind"] == "NetworkPolicy");
        policy.expect("a policy")["spec"]["ingress"][1].clone()
    }

    #[test]
    fn everyone_reaches_rest_unless_the_spec_names_who_may_and_the_operator_always_does() {
        let open = who_reaches_rest(&json!({}));
        assert_eq!(open["ports"][0]["port"], "rest");
        assert_eq!(open.get("from"), None);
        let peer = json!({"namespaceSelector": {"matchLabels": {"name": "monitoring"}}});
        let narrow = who_reaches_rest(&json!({"networkPolicy": {"restFrom": [peer]}}));
        assert_eq!(narrow["ports"], open["ports"]);
        let operator = json!({
            "namespaceSelector": {},
            "podSelector": {"matchLabels": {"weir.dev/component": "operator"}},
        });
        assert_eq!(narrow["from"], json!([operator, peer]));
    }

    #[test]
    fn what_is_switched_off_goes_and_nothing_is_both_made_and_removed() {
        let off = json!({"enabled": false});
        for (change, expected) in [
            (json!({}), &[][..]),
            (json!({"ui": off}), &[]),
            (json!({"ui": off, "metrics": off}), &["x-rest"]),
            (
                json!({"pdb": off}),
                &["x-d2-jobmanager", "x-d2-taskmanager"],
            ),
            (json!({"networkPolicy": off}), &["x"]),
        ] {
            let objects = objects(&change);
            let names: Vec<_> = objects
                .unwanted
                .iter()
                .map(|(.., name)| name.as_str())
                .collect();
            assert_eq!(names, expected, "{change}");
            for (version, kind, name) in &objects.unwanted {
                let mut all = objects.applied.iter().chain(&objects.around);
                let made = all.any(|made| {
                    made["apiVersion"] == *version
                        && made["kind"] == *kind
                        && made["metadata"]["name"] == **name
                });
                assert!(!made, "{kind} {name}");
            }
        }
    }
}
