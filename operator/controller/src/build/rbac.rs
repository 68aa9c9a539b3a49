//! What the job's pods may ask of the API server: JobManagers elect their leader by one Lease and
//! mark their own pods. TaskManagers have no token at all.

use serde_json::{Value, json};

use super::Deployment;
use crate::names;

pub(super) fn objects(deployment: &Deployment<'_>) -> Vec<Value> {
    let account = account(deployment);
    let name = names::deployment(&deployment.owner.name, deployment.number);
    let pods: Vec<_> = (0..deployment.spec.job_manager.replicas)
        .map(|index| names::jobmanager(&deployment.owner.name, deployment.number, index))
        .collect();
    let group = "rbac.authorization.k8s.io";
    let mut role = deployment.object(&format!("{group}/v1"), "Role", &name);
    role["rules"] = json!([
        {
            "apiGroups": ["coordination.k8s.io"],
            "resources": ["leases"],
            "resourceNames": [name],
            // Not `create`: the operator makes it, once the job is to start.
            "verbs": ["get", "patch"],
        },
        { "apiGroups": [""], "resources": ["pods"], "resourceNames": pods, "verbs": ["get", "patch"] },
    ]);
    let mut binding = deployment.object(&format!("{group}/v1"), "RoleBinding", &name);
    binding["roleRef"] = json!({ "apiGroup": group, "kind": "Role", "name": name });
    binding["subjects"] = json!([{
        "kind": "ServiceAccount",
        "name": account,
        "namespace": deployment.owner.namespace,
    }]);
    let mut objects = vec![role, binding];
    if deployment.spec.service_account_name.is_none() {
        let mut own = deployment.lasting("v1", "ServiceAccount", &account);
        own["automountServiceAccountToken"] = Value::Bool(false);
        objects.insert(0, own);
    }
    objects
}

/// The name of the pods' service account.
pub(super) fn account(deployment: &Deployment<'_>) -> String {
    let named = deployment.spec.service_account_name.clone();
    named.unwrap_or_else(|| names::service_account(&deployment.owner.name))
}
