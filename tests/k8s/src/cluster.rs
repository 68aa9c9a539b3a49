//! The cluster's API: `kubectl` and `helm` for what a person does, plain requests through `kubectl
//! proxy` for what is looked at again and again.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use serde_json::Value;

/// The file that says where the cluster is. No other variable is looked at, lest a test meets
/// somebody's real cluster.
pub(crate) fn kubeconfig() -> PathBuf {
    let path = std::env::var_os("WEIR_KUBECONFIG").map(PathBuf::from);
    let path = path.filter(|path| path.is_file());
    path.expect("needs the test stand: tests/k8s/with-stand tests/k8s/with-operator COMMAND")
}

/// The folder of the repository.
pub(crate) fn root() -> &'static Path {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.ancestors().nth(2).expect("the crate lies two below")
}

fn command(program: &str, args: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(args).env("KUBECONFIG", kubeconfig());
    command
}

/// Runs a command, with a text on its standard input.
fn run(mut command: Command, input: &str) -> Output {
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().expect("the command starts");
    let mut stdin = child.stdin.take().expect("it was asked for");
    // A command that does not read has other reasons to fail.
    drop(stdin.write_all(input.as_bytes()));
    drop(stdin);
    child.wait_with_output().expect("the command ends")
}

fn outcome(output: &Output) -> Result<String, String> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    match output.status.success() {
        true => Ok(text(&output.stdout)),
        false => Err(format!("{}{}", text(&output.stdout), text(&output.stderr))),
    }
}

/// What `kubectl` prints, or says against it.
pub fn try_kubectl(args: &[&str], input: &str) -> Result<String, String> {
    outcome(&run(command("kubectl", args), input))
}

/// What `kubectl` prints.
#[track_caller]
pub fn kubectl(args: &[&str]) -> String {
    kubectl_with(args, "")
}

/// What `kubectl` prints, with a text on its standard input.
#[track_caller]
pub fn kubectl_with(args: &[&str], input: &str) -> String {
    match try_kubectl(args, input) {
        Ok(said) => said,
        Err(said) => unreachable!("kubectl {}: {said}", args.join(" ")),
    }
}

/// What `helm` prints. `CHART` stands for the chart of this repository.
#[track_caller]
pub fn helm(args: &[&str]) -> String {
    let chart = root().join("charts/weir-operator");
    let chart = chart.to_str().expect("the path is UTF-8");
    let args: Vec<_> = args
        .iter()
        .map(|arg| if *arg == "CHART" { chart } else { arg })
        .collect();
    match outcome(&run(command("helm", &args), "")) {
        Ok(said) => said,
        Err(said) => unreachable!("helm {}: {said}", args.join(" ")),
    }
}

/// `kubectl proxy`, which ends with this process: a shell holds it, and ends it when its standard
/// input, which nobody writes to, is closed.
struct Proxy {
    address: String,
    agent: ureq::Agent,
    _holder: Child,
}

const HOLD: &str = "kubectl proxy --port=0 & read -r _; kill $!";

fn proxy() -> &'static Proxy {
    static PROXY: OnceLock<Proxy> = OnceLock::new();
    PROXY.get_or_init(|| {
        let mut command = command("bash", &["-c", HOLD]);
        let mut holder = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("a shell starts");
        let mut said = String::new();
        let stdout = holder.stdout.take().expect("it was asked for");
        BufReader::new(stdout)
            .read_line(&mut said)
            .expect("kubectl proxy says where it listens");
        let address = said.trim().rsplit(' ').next().unwrap_or_default();
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(Duration::from_secs(5)))
            .http_status_as_error(false)
            .proxy(None)
            .build();
        Proxy {
            address: address.to_owned(),
            agent: config.into(),
            _holder: holder,
        }
    })
}

/// What the API server has at a path. None: nothing, or it does not answer.
pub fn get(path: &str) -> Option<Value> {
    let proxy = proxy();
    let url = format!("http://{}{path}", proxy.address);
    let mut answer = proxy.agent.get(url).call().ok()?;
    let found = answer.status().is_success();
    let text = answer
        .body_mut()
        .with_config()
        .limit(64 << 20)
        .read_to_string()
        .ok()?;
    found.then(|| serde_json::from_str(&text).ok()).flatten()
}

/// The entries of a list that the API server has at a path; none if it does not answer.
pub fn list(path: &str) -> Option<Vec<Value>> {
    let mut found = get(path)?;
    Some(match found["items"].take() {
        Value::Array(items) => items,
        _ => Vec::new(),
    })
}

/// Deletes an object at a path at once, as an API client does.
pub fn delete(path: &str) {
    let proxy = proxy();
    let url = format!("http://{}{path}", proxy.address);
    drop(proxy.agent.delete(url).call());
}
