//! `weir-operator wait`: until a condition of a StreamJob holds. The chart's test runs it, as the
//! image has neither a shell nor kubectl.

use std::time::Duration;

use anyhow::{Context as _, bail};
use kube::core::DynamicObject;
use kube::{Api, Client};
use serde_json::Value;
use weir_types::{Clock, SystemClock};

use crate::args::WaitArgs;
use crate::reconcile::stream_jobs;

/// How often the StreamJob is looked at.
const INTERVAL: Duration = Duration::from_millis(500);

/// Waits until the condition holds, and prints what it says. An API server that does not answer for
/// a moment, and a StreamJob that is still to be made, are waited for, too.
pub async fn wait(args: WaitArgs) -> anyhow::Result<String> {
    let client = Client::try_default().await.context("find the API server")?;
    let api: Api<DynamicObject> = Api::namespaced_with(client, &args.namespace, &stream_jobs());
    let started = SystemClock.now();
    loop {
        let told = match api.get_opt(&args.name).await {
            Ok(Some(job)) => match told(&job, &args.condition) {
                (true, told) => return Ok(told),
                (false, told) => told,
            },
            Ok(None) => "there is no such StreamJob".to_owned(),
            Err(error) => format!("{error}"),
        };
        if SystemClock.now().since(started) > args.timeout.get() {
            bail!(
                "StreamJob {} in namespace {} is not {} after {}: {told}",
                args.name,
                args.namespace,
                args.condition,
                args.timeout
            );
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

/// Whether the condition holds of the spec as it is now, and what it says.
fn told(job: &DynamicObject, kind: &str) -> (bool, String) {
    let conditions = job
        .data
        .pointer("/status/conditions")
        .and_then(Value::as_array);
    let mut conditions = conditions.into_iter().flatten();
    let Some(condition) = conditions.find(|condition| condition["type"] == kind) else {
        return (false, "no operator has told of it yet".to_owned());
    };
    let seen = condition["observedGeneration"].as_i64().unwrap_or(0);
    let is_new = seen >= job.metadata.generation.unwrap_or(0);
    let message = condition["message"].as_str().unwrap_or_default();
    (condition["status"] == "True" && is_new, message.to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_condition_holds_only_of_the_spec_that_it_was_told_of() {
        let job = |status: &str, seen: i64| -> DynamicObject {
            let condition = json!({
                "type": "Ready", "status": status, "observedGeneration": seen, "message": "runs",
            });
            let job = json!({
                "apiVersion": "weir.dev/v1alpha1",
                "kind": "StreamJob",
                "metadata": { "name": "a", "generation": 2 },
                "status": { "conditions": [condition] },
            });
            serde_json::from_value(job).expect("an object")
        };
        assert_eq!(told(&job("True", 2), "Ready"), (true, "runs".to_owned()));
        assert!(!told(&job("True", 1), "Ready").0);
        assert!(!told(&job("False", 2), "Ready").0);
        assert!(!told(&job("True", 2), "Stable").0);
    }
}
