//! Rules for resources, pod templates and ports.

use serde_json::Value;

use super::Violations;
use crate::spec::{Object, ResourcesSpec, StreamJobSpec};

pub(super) fn pods(found: &mut Violations, spec: &StreamJobSpec) {
    for (path, resources) in [
        ("spec.jobManager.resources", &spec.job_manager.resources),
        ("spec.taskManager.resources", &spec.task_manager.resources),
    ] {
        check_resources(found, path, resources);
    }
    for (path, template) in [
        ("spec.podTemplate", &spec.pod_template),
        (
            "spec.jobManager.podTemplate",
            &spec.job_manager.pod_template,
        ),
        (
            "spec.taskManager.podTemplate",
            &spec.task_manager.pod_template,
        ),
    ] {
        if let Some(template) = template {
            pod_template(found, path, template);
        }
    }
    found.check(
        !(spec.ui.enabled && spec.metrics.enabled && spec.ui.port == spec.metrics.port),
        "spec.metrics.port",
        "is `spec.ui.port` too: choose another",
    );
}

fn check_resources(found: &mut Violations, path: &str, resources: &ResourcesSpec) {
    for (group, amounts) in [
        ("requests", &resources.requests),
        ("limits", &resources.limits),
    ] {
        for (name, amount) in amounts {
            let path = format!("{path}.{group}.{name}");
            found.check(amount.value() >= 0.0, &path, "must not be negative");
        }
    }
    for (name, request) in &resources.requests {
        let Some(limit) = resources.limits.get(name) else {
            continue;
        };
        found.check(
            request.value() <= limit.value(),
            &format!("{path}.requests.{name}"),
            format_args!("is {request}, more than the limit, which is {limit}"),
        );
    }
}

/// What a pod template must leave to the operator.
fn pod_template(found: &mut Violations, path: &str, template: &Object) {
    let Some(spec) = template.0.get("spec") else {
        return;
    };
    found.check(
        spec.get("hostNetwork").and_then(Value::as_bool) != Some(true),
        &format!("{path}.spec.hostNetwork"),
        "must not be `true`: the operator gives each pod ports of its own",
    );
    let containers = spec.get("containers").and_then(Value::as_array);
    for (index, container) in containers.into_iter().flatten().enumerate() {
        if container.get("name").and_then(Value::as_str) != Some("main") {
            continue;
        }
        for (field, instead) in [
            ("image", "set `spec.image`"),
            ("command", "the operator sets the command"),
            (
                "args",
                "the operator sets them; those of the program are in `spec.job.args`",
            ),
        ] {
            if container.get(field).is_some() {
                found.add(
                    format!("{path}.spec.containers[{index}].{field}"),
                    format!("must not be given for the container `main`: {instead}"),
                );
            }
        }
    }
}
