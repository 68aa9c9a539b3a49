//! The operator as a process, and what the API server's log says that it asked for.

use std::path::{Path, PathBuf};

use serde_json::Value;
use weir_controller::parse_rfc3339;
use weir_testkit::{Process, command};

use crate::managers;
use crate::server::Server;

/// The lease that operators of tests are elected by.
pub(crate) const LEASE_SECONDS: u64 = 3;

/// The program: that of these sources, unless another one is named.
pub(crate) fn binary() -> PathBuf {
    let named = std::env::var_os("WEIR_TEST_OPERATOR");
    named.map_or_else(|| env!("CARGO_BIN_EXE_weir-operator").into(), PathBuf::from)
}

/// Starts an operator that looks after one namespace, whose Lease is there too.
pub(crate) fn start(kubeconfig: &Path, name: &str, namespace: &str) -> Process {
    let duration = format!("{LEASE_SECONDS}s");
    let lease = [
        ("--lease-duration", duration.as_str()),
        ("--renew-deadline", "2s"),
        ("--retry-period", "500ms"),
    ];
    start_with(kubeconfig, name, namespace, &lease)
}

/// The same with other options, and the Lease's usual times.
pub(crate) fn start_with(
    kubeconfig: &Path,
    name: &str,
    namespace: &str,
    more: &[(&str, &str)],
) -> Process {
    let port = managers::port().to_string();
    let args = [
        ("--watch-namespaces", namespace),
        ("--lease-namespace", namespace),
        ("--lease-name", "operator"),
        ("--name", name),
        ("--metrics-address", "127.0.0.1:0"),
        ("--health-address", "127.0.0.1:0"),
        ("--log-format", "text"),
        ("--rest-port", &port),
    ];
    let args = args
        .iter()
        .chain(more)
        .flat_map(|(name, value)| [*name, *value]);
    let mut command = command(&binary(), args);
    command.env("KUBECONFIG", kubeconfig);
    Process::start(command)
}

/// A request of an operator, as the API server logged it.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) user: String,
    pub(crate) verb: String,
    pub(crate) resource: String,
    pub(crate) name: String,
    /// When it came, in milliseconds since 1970.
    pub(crate) at_ms: i64,
}

impl Request {
    pub(crate) fn changes(&self) -> bool {
        !matches!(self.verb.as_str(), "get" | "list" | "watch")
    }

    /// Whether it is about the election, or tells people something.
    pub(crate) fn is_aside(&self) -> bool {
        matches!(self.resource.as_str(), "leases" | "events")
    }
}

/// What operators have asked for in a namespace.
pub(crate) fn requests(server: &Server, namespace: &str) -> Vec<Request> {
    let events = server.audit().into_iter();
    let found = events.filter(|event| {
        let about = event["objectRef"]["namespace"].as_str();
        about == Some(namespace) && event["stage"] != "ResponseStarted"
    });
    found.filter_map(|event| request(&event)).collect()
}

fn request(event: &Value) -> Option<Request> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    Some(Request {
        user: text(&event["user"]["username"]),
        verb: text(&event["verb"]),
        resource: text(&event["objectRef"]["resource"]),
        name: text(&event["objectRef"]["name"]),
        at_ms: milliseconds(event["requestReceivedTimestamp"].as_str()?)?,
    })
}

/// A time with a fraction of a second, as the log has it.
fn milliseconds(time: &str) -> Option<i64> {
    let fraction = time.split('.').nth(1)?.get(..3)?;
    Some(parse_rfc3339(time)? + fraction.parse::<i64>().ok()?)
}
