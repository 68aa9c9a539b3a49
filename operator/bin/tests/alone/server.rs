//! An API server without nodes, for the whole test program: `tests/k8s/api-server`.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use kube::{Api, Client, Config};
use serde_json::{Value, json};
use tokio::sync::OnceCell;
use weir_testkit::root;

/// The running API server. It ends when this program does, however that comes about: then the pipe
/// to its standard input is closed.
pub(crate) struct Server {
    dir: PathBuf,
    _process: Child,
}

static SERVER: OnceLock<Server> = OnceLock::new();
static DEFINED: OnceCell<()> = OnceCell::const_new();
static NAMESPACES: AtomicU32 = AtomicU32::new(0);

fn start() -> Server {
    let mut process = Command::new(root().join("tests/k8s/api-server"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("tests/k8s/api-server runs");
    let stdout = process.stdout.take().expect("a pipe");
    let mut line = String::new();
    let read = BufReader::new(stdout).read_line(&mut line);
    assert!(
        read.is_ok_and(|length| length > 0),
        "the API server does not start; what it says is above"
    );
    Server {
        dir: PathBuf::from(line.trim()),
        _process: process,
    }
}

/// The API server, with the definition of StreamJob.
pub(crate) async fn server() -> &'static Server {
    let server = tokio::task::spawn_blocking(|| SERVER.get_or_init(start))
        .await
        .expect("started");
    DEFINED
        .get_or_init(|| async { define(&server.client().await).await })
        .await;
    server
}

impl Server {
    /// The kubeconfig of a user: `admin`, `operator-a` or `operator-b`.
    pub(crate) fn kubeconfig(&self, user: &str) -> PathBuf {
        self.dir.join(format!("kubeconfig-{user}"))
    }

    /// What the operators asked for: a JSON object a line.
    pub(crate) fn audit(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.dir.join("audit.json")).unwrap_or_default();
        text.lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect()
    }

    /// A client of the administrator, for this test's own runtime.
    pub(crate) async fn client(&self) -> Client {
        client(&self.kubeconfig("admin")).await
    }
}

pub(crate) async fn client(kubeconfig: &Path) -> Client {
    let kubeconfig = Kubeconfig::read_from(kubeconfig).expect("a kubeconfig");
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await;
    Client::try_from(config.expect("a configuration")).expect("a client")
}

/// The definition of a newer version: it knows an operation and a step that this one does not.
fn definition() -> Value {
    let mut definition = weir_crd::custom_resource_definition();
    let status = "/spec/versions/0/schema/openAPIV3Schema/properties/status/properties/operation";
    for (field, word) in [("type", "Migrate"), ("step", "Folding")] {
        let known = format!("{status}/properties/{field}/enum");
        let known = definition.pointer_mut(&known);
        let known = known.and_then(Value::as_array_mut).expect("a list");
        known.push(json!(word));
    }
    definition
}

async fn define(client: &Client) {
    let kind = GroupVersionKind::gvk("apiextensions.k8s.io", "v1", "CustomResourceDefinition");
    let definitions: Api<DynamicObject> =
        Api::all_with(client.clone(), &ApiResource::from_gvk(&kind));
    let definition = definition();
    let params = PatchParams::apply("weir-tests").force();
    definitions
        .patch(weir_crd::CRD_NAME, &params, &Patch::Apply(&definition))
        .await
        .expect("the API server takes the definition");
    let jobs: Api<DynamicObject> = Api::all_with(client.clone(), &weir_operator::stream_jobs());
    for _ in 0..200 {
        if jobs.list(&Default::default()).await.is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    unreachable!("the resource is not served");
}

/// A new namespace: its name and its number, from 1.
pub(crate) async fn namespace(client: &Client) -> (String, u32) {
    let number = NAMESPACES.fetch_add(1, Ordering::Relaxed) + 1;
    let name = format!("t{number}");
    let namespace: Namespace =
        serde_json::from_value(json!({ "metadata": { "name": name } })).expect("a namespace");
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let made = namespaces.create(&PostParams::default(), &namespace).await;
    made.expect("a namespace");
    (name, number)
}
