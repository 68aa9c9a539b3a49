use super::*;

fn spec(more: &Value) -> StreamJobSpec {
    let mut value = json!({
        "job": { "program": "page-views", "args": { "rate": "1000" }, "env": [
            { "name": "MODE", "value": "fast" },
            { "name": "NODE", "valueFrom": { "fieldRef": { "fieldPath": "spec.nodeName" } } },
        ] },
        "checkpoint": { "interval": "5s" },
        "storage": { "s3": {
            "bucket": "weir",
            "prefix": "jobs",
            "endpoint": "http://s3:7070",
            "pathStyle": true,
            "credentials": { "secretRef": {
                "name": "weir-s3",
                "accessKeyIdKey": "access-key",
                "secretAccessKeyKey": "secret-key",
            } },
        } },
        "taskManager": { "replicas": 2 },
    });
    merge_template(&mut value, more);
    serde_json::from_value(value).expect("a spec")
}

fn built(spec: &StreamJobSpec) -> Objects {
    built_by(spec, spec)
}

/// Of a spec that was kept, with what the newest one says of what makes no revision.
fn built_by(kept: &StreamJobSpec, newest: &StreamJobSpec) -> Objects {
    let owner = Owner {
        name: "quickstart".to_owned(),
        namespace: "default".to_owned(),
        uid: "0f0e".to_owned(),
    };
    let deployment = Deployment {
        owner: &owner,
        number: 3,
        revision: "0123456789",
        spec: kept,
        surroundings: &Surroundings::from(newest),
        start_from: None,
        default_image: "localhost/weir:0.1.0",
    };
    deployment.objects()
}

fn all(objects: &Objects) -> Vec<&Value> {
    let applied = objects.applied.iter().chain(&objects.around);
    applied.chain(&objects.pods).collect()
}

#[test]
fn the_objects_of_a_job_are_those_of_the_golden_file() {
    insta::assert_json_snapshot!("quickstart", all(&built(&spec(&json!({})))));
}

#[test]
fn templates_add_to_the_operators_containers_and_never_take_its_labels() {
    let more = json!({
        "podTemplate": {
            "metadata": { "labels": { "team": "search", "weir.dev/job": "other" } },
            "spec": {
                "nodeSelector": { "disk": "ssd" },
                "containers": [
                    { "name": "main", "env": [{ "name": "MODE", "value": "slow" }] },
                    { "name": "side", "image": "side:1" },
                ],
            },
        },
        "taskManager": { "podTemplate": { "spec": { "priorityClassName": "high" } } },
    });
    let objects = built(&spec(&more));
    let (manager, worker) = (&objects.pods[0], &objects.pods[2]);
    assert_eq!(worker["metadata"]["labels"]["weir.dev/job"], "quickstart");
    assert_eq!(worker["metadata"]["labels"]["team"], "search");
    assert_eq!(worker["spec"]["priorityClassName"], "high");
    assert_eq!(manager["spec"].get("priorityClassName"), None);
    for pod in [manager, worker] {
        assert_eq!(pod["spec"]["nodeSelector"]["disk"], "ssd");
        let containers = pod["spec"]["containers"].as_array().expect("a list");
        assert_eq!(containers.len(), 2);
        let environment = containers[0]["env"].as_array().expect("a list");
        let modes: Vec<_> = environment.iter().filter(|v| v["name"] == "MODE").collect();
        assert_eq!(modes, [&json!({ "name": "MODE", "value": "slow" })]);
        assert!(environment.iter().any(|v| v["name"] == "POD_NAME"));
    }
}

#[test]
fn state_lies_on_the_volume_whose_size_the_spec_limits() {
    let size = json!({ "stateBackend": { "localSize": "3Gi" } });
    let pod = &built(&spec(&size)).pods[2];
    let container = &pod["spec"]["containers"][0];
    let args = container["args"].as_array().expect("a list");
    let folder = args
        .iter()
        .find_map(|arg| arg.as_str()?.strip_prefix("--local-dir="))
        .expect("a folder");
    let mounts = container["volumeMounts"].as_array().expect("a list");
    let mount = mounts.iter().find(|mount| mount["mountPath"] == folder);
    let volumes = pod["spec"]["volumes"].as_array().expect("a list");
    let is_it = |volume: &&Value| Some(&volume["name"]) == mount.map(|mount| &mount["name"]);
    let volume = volumes.iter().find(is_it).expect("a volume");
    assert_eq!(volume["emptyDir"]["sizeLimit"], "3Gi");
}

#[test]
fn a_folder_for_state_that_the_job_names_itself_is_left_to_it() {
    let own = json!({ "job": { "config": { "state.backend.rocksdb.localdir": "/ssd" } } });
    let pod = &built(&spec(&own)).pods[2];
    let args = pod["spec"]["containers"][0]["args"].to_string();
    assert!(!args.contains("--local-dir"), "{args}");
}

#[test]
fn templates_with_tolerations_of_their_own_still_leave_a_silent_node_soon() {
    let more =
        |tolerations: Value| json!({ "podTemplate": { "spec": { "tolerations": tolerations } } });
    let spot = json!({ "key": "spot", "operator": "Exists" });
    let patient = json!({
        "key": "node.kubernetes.io/unreachable",
        "operator": "Exists",
        "effect": "NoExecute",
        "tolerationSeconds": 60,
    });
    for (theirs, not_ready, unreachable) in [
        (Value::Null, 10, 10),
        (json!([]), 10, 10),
        (json!([spot]), 10, 10),
        (json!([spot, patient]), 10, 60),
        (json!([{ "operator": "Exists" }]), 0, 0),
    ] {
        let kept = theirs.as_array().map_or(0, Vec::len);
        let spec = spec(&more(theirs.clone()));
        for pod in built(&spec).pods {
            let found = pod["spec"]["tolerations"].as_array().expect("a list");
            assert_eq!(
                found[..kept],
                theirs.as_array().map_or(&[][..], |all| all)[..]
            );
            for (key, secs) in [("not-ready", not_ready), ("unreachable", unreachable)] {
                let key = format!("node.kubernetes.io/{key}");
                let of_key: Vec<_> = found.iter().filter(|one| one["key"] == key).collect();
                assert_eq!(of_key.len(), usize::from(secs > 0), "{key} in {found:?}");
                if secs == 0 {
                    continue;
                }
                assert_eq!(of_key[0]["tolerationSeconds"], secs, "{key} in {found:?}");
            }
        }
    }
}

#[test]
fn every_pod_passes_the_restricted_standard() {
    for pod in built(&spec(&json!({}))).pods {
        let spec = &pod["spec"];
        assert_eq!(spec["securityContext"]["runAsNonRoot"], true);
        assert_eq!(
            spec["securityContext"]["seccompProfile"]["type"],
            "RuntimeDefault"
        );
        assert_eq!(spec.get("hostNetwork"), None);
        for container in spec["containers"].as_array().expect("containers") {
            let context = &container["securityContext"];
            assert_eq!(context["allowPrivilegeEscalation"], false);
            assert_eq!(context["readOnlyRootFilesystem"], true);
            assert_eq!(context["capabilities"]["drop"], json!(["ALL"]));
        }
        for volume in spec["volumes"].as_array().expect("volumes") {
            let kinds = ["emptyDir", "configMap", "secret", "projected"];
            assert!(
                kinds.iter().any(|kind| volume.get(kind).is_some()),
                "{volume}"
            );
        }
    }
}

#[test]
fn only_jobmanagers_have_a_token_and_may_only_touch_their_own() {
    let objects = built(&spec(&json!({})));
    for pod in &objects.pods {
        let worker = pod["metadata"]["labels"]["weir.dev/component"] == "taskmanager";
        assert_eq!(pod["spec"]["automountServiceAccountToken"], false);
        assert_eq!(pod.to_string().contains("serviceAccountToken\":{"), !worker);
    }
    let role = objects
        .applied
        .iter()
        .find(|object| object["kind"] == "Role")
        .expect("a Role");
    for rule in role["rules"].as_array().expect("rules") {
        assert!(rule.get("resourceNames").is_some(), "{rule}");
        assert_eq!(rule["verbs"], json!(["get", "patch"]), "{rule}");
        assert_ne!(rule["resources"], json!(["secrets"]));
    }
}

#[test]
fn everything_is_owned_and_labelled_and_no_name_comes_twice() {
    let objects = built(&spec(&json!({})));
    let mut names = std::collections::BTreeSet::new();
    for object in all(&objects) {
        let metadata = &object["metadata"];
        assert_eq!(metadata["ownerReferences"][0]["uid"], "0f0e");
        assert_eq!(metadata["labels"]["weir.dev/job"], "quickstart");
        assert_eq!(metadata["labels"]["app.kubernetes.io/managed-by"], "weir");
        assert!(names.insert((object["kind"].to_string(), metadata["name"].to_string())));
    }
}

#[test]
fn names_of_the_longest_job_fit_into_labels() {
    let job = "x".repeat(45);
    for name in [
        crate::names::jobmanager(&job, 99_999, 2),
        crate::names::taskmanager(&job, 99_999, 32_767),
        crate::names::deployment(&job, 99_999),
        crate::names::revision(&job, "0123456789"),
        crate::names::service_account(&job),
    ] {
        assert!(name.len() <= 63, "{name}");
    }
}

#[test]
fn what_surrounds_the_pods_can_be_switched_off() {
    let off = json!({
        "ui": { "enabled": false },
        "metrics": { "enabled": false },
        "pdb": { "enabled": false },
        "networkPolicy": { "enabled": false },
        "serviceAccountName": "mine",
    });
    let objects = built(&spec(&off));
    assert_eq!(
        kinds(&objects.applied),
        ["ConfigMap", "Role", "RoleBinding", "Service"]
    );
    assert_eq!(kinds(&objects.around), Vec::<String>::new());
}

fn kinds(objects: &[Value]) -> Vec<String> {
    let kinds = objects.iter().map(|object| object["kind"].as_str());
    kinds
        .map(|kind| kind.unwrap_or_default().to_owned())
        .collect()
}

/// The first of the two is applied before pods are made.
#[test]
fn what_pods_need_is_told_from_what_the_job_goes_on_without() {
    let objects = built(&spec(&json!({})));
    assert_eq!(
        kinds(&objects.applied),
        [
            "ConfigMap",
            "ServiceAccount",
            "Role",
            "RoleBinding",
            "Service"
        ]
    );
    assert_eq!(
        kinds(&objects.around),
        [
            "Service",
            "PodDisruptionBudget",
            "PodDisruptionBudget",
            "NetworkPolicy"
        ]
    );
}

#[test]
fn a_job_without_storage_is_told_of_none() {
    let mut spec = spec(&json!({ "checkpoint": { "interval": "0s" } }));
    spec.storage = None;
    let pod = &built(&spec).pods[0];
    let args = pod["spec"]["containers"][0]["args"].to_string();
    assert!(
        !args.contains("--checkpoint-dir") && !args.contains("--restore"),
        "{args}"
    );
}

#[test]
fn what_makes_no_revision_is_as_the_newest_spec_says_when_a_pod_is_made() {
    let kept = spec(&json!({ "restore": { "requireState": true } }));
    let newest = spec(&json!({ "logging": { "level": "debug", "format": "text" } }));
    let objects = built_by(&kept, &newest);
    for pod in &objects.pods {
        let container = &pod["spec"]["containers"][0];
        let environment = container["env"].as_array().expect("a list");
        for (name, value) in [("WEIR_LOG", "debug"), ("WEIR_LOG_FORMAT", "text")] {
            let found = environment.iter().find(|variable| variable["name"] == name);
            assert_eq!(found.expect("a variable")["value"], value);
        }
        let args = container["args"].to_string();
        assert!(!args.contains("--require-state"), "{args}");
    }
    // The ConfigMap's content can't be changed: it is that of the revision.
    let before = built(&kept);
    assert_eq!(objects.applied[0]["kind"], "ConfigMap");
    assert_eq!(objects.applied[0]["data"], before.applied[0]["data"]);
}

#[test]
fn the_configmap_has_written_down_what_is_in_force_and_in_no_revision() {
    let kept = spec(&json!({}));
    let newest = spec(&json!({
        "ui": { "port": 9000 },
        "metrics": { "enabled": false },
        "pdb": { "enabled": false },
        "networkPolicy": { "restFrom": [{ "ipBlock": { "cidr": "10.0.0.0/8" } }] },
        "logging": { "level": "debug" },
        "restore": { "requireState": true },
    }));
    let objects = built_by(&kept, &newest);
    let annotations = &objects.applied[0]["metadata"]["annotations"];
    let text = annotations[crate::names::SURROUNDINGS_ANNOTATION].as_str();
    let read = text.and_then(Surroundings::read).expect("it can be read");
    assert_eq!(read, Surroundings::from(&newest));
    assert_ne!(read, Surroundings::from(&kept));
    assert_eq!(Surroundings::read("{}"), None);
}

#[test]
fn the_configmap_names_the_image_of_a_job_that_names_none() {
    let own = spec(&json!({ "image": "own:2" }));
    for (spec, image, known) in [
        (
            spec(&json!({})),
            "localhost/weir:0.1.0",
            json!("localhost/weir:0.1.0"),
        ),
        (own, "own:2", Value::Null),
    ] {
        let objects = built(&spec);
        let annotations = &objects.applied[0]["metadata"]["annotations"];
        assert_eq!(annotations[crate::names::IMAGE_ANNOTATION], known);
        for pod in &objects.pods {
            assert_eq!(pod["spec"]["containers"][0]["image"], image);
        }
    }
}
