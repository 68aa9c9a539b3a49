//! The custom resource definition at a real API server, named by `KUBECONFIG`: it is taken, and it
//! judges every example as the readers of manifests do. `make k8s-test` runs this with the test
//! stand.

use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use kube::{Api, Client};
use serde_json::{Map, Value};

const EXAMPLES: &str = include_str!("../../crd/tests/rules/testdata/examples.json");
const WRONG: &str = include_str!("../../crd/tests/rules/testdata/wrong.json");

/// JSON merge patch (RFC 7396).
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(fields) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let target = target.as_object_mut().expect("it is an object now");
    for (name, value) in fields {
        if value.is_null() {
            target.remove(name);
        } else {
            merge(target.entry(name).or_insert(Value::Null), value);
        }
    }
}

struct Server {
    jobs: Api<DynamicObject>,
    base: Value,
}

impl Server {
    async fn with_definition(base: Value) -> Self {
        let client = Client::try_default().await.expect("an API server");
        let kind = GroupVersionKind::gvk("apiextensions.k8s.io", "v1", "CustomResourceDefinition");
        let definitions: Api<DynamicObject> =
            Api::all_with(client.clone(), &ApiResource::from_gvk(&kind));
        let definition = weir_crd::custom_resource_definition();
        let params = PatchParams::apply("weir-tests").force();
        definitions
            .patch(weir_crd::CRD_NAME, &params, &Patch::Apply(&definition))
            .await
            .expect("the API server takes the definition");
        let kind = GroupVersionKind::gvk(weir_crd::GROUP, weir_crd::VERSION, "StreamJob");
        let jobs = Api::namespaced_with(client, "default", &ApiResource::from_gvk(&kind));
        let server = Self { jobs, base };
        // The resource is served a moment after its definition is taken.
        for _ in 0..100 {
            if server.jobs.list(&Default::default()).await.is_ok() {
                return server;
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
        unreachable!("the resource is not served");
    }

    fn job(&self, name: &str, patch: &Value) -> DynamicObject {
        let mut job = self.base.clone();
        job["metadata"]["name"] = Value::from(name);
        merge(&mut job, patch);
        serde_json::from_value(job).expect("an object")
    }

    /// What the API server says to an example; nothing is kept.
    async fn judge(&self, name: &str, before: Option<&Value>, patch: &Value) -> Result<(), String> {
        let try_out = PostParams {
            dry_run: true,
            ..PostParams::default()
        };
        let mut job = self.job(name, patch);
        let judged = match before {
            None => self.jobs.create(&try_out, &job).await,
            Some(before) => {
                let before = self.job(name, before);
                let there = self.jobs.create(&PostParams::default(), &before).await;
                let there = there.expect("the object before is fine");
                job.metadata.resource_version = there.metadata.resource_version;
                let judged = self.jobs.replace(name, &try_out, &job).await;
                let deleted = self.jobs.delete(name, &DeleteParams::default()).await;
                deleted.expect("deleted");
                judged
            }
        };
        judged.map(drop).map_err(|error| error.to_string())
    }
}

#[tokio::test]
#[ignore = "needs an API server: set KUBECONFIG"]
async fn the_api_server_judges_every_example_as_the_rules_say() {
    let examples: Value = serde_json::from_str(EXAMPLES).expect("JSON");
    let server = Server::with_definition(examples["base"].clone()).await;
    for rule in weir_crd::rules() {
        let example = &examples["rules"][rule.name];
        let before = example.get("before");
        let accepted = server.judge(rule.name, before, &example["accepted"]).await;
        assert_eq!(accepted, Ok(()), "{}", rule.name);
        let rejected = server.judge(rule.name, before, &example["rejected"]).await;
        let said = rejected.expect_err(rule.name);
        assert!(said.contains(rule.message), "{}: {said}", rule.name);
    }
}

/// Sets what a JSON pointer names, also where it is missing from its object.
fn set(job: &mut Value, pointer: &str, value: &Value) -> bool {
    if let Some(place) = job.pointer_mut(pointer) {
        *place = value.clone();
        return true;
    }
    let (parent, name) = pointer.rsplit_once('/').expect("a path");
    match job.pointer_mut(parent) {
        Some(Value::Object(parent)) => {
            parent.insert(name.to_owned(), value.clone());
            true
        }
        _ => false,
    }
}

#[tokio::test]
#[ignore = "needs an API server: set KUBECONFIG"]
async fn the_api_server_refuses_each_field_that_is_wrong_by_its_name() {
    let wrong: Value = serde_json::from_str(WRONG).expect("JSON");
    let mut full = wrong["full"].clone();
    full["metadata"] = serde_json::json!({ "namespace": "default" });
    let server = Server::with_definition(full).await;
    let mut missed = Vec::new();
    for field in wrong["wrong"].as_array().expect("a list") {
        let pointer = field["pointer"].as_str().expect("a pointer");
        let mut job = server.base.clone();
        if !set(&mut job, pointer, &field["value"]) {
            continue;
        }
        let name = pointer
            .split('/')
            .rfind(|name| name.parse::<usize>().is_err())
            .expect("a name");
        match server.judge("wrong", None, &job).await {
            Err(said) if said.contains(name) => {}
            judged => missed.push(format!("{pointer}: {judged:?}")),
        }
    }
    assert_eq!(missed, Vec::<String>::new());
}
