//! The API's description: one table of paths, and the schemas of the bodies.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};

use crate::dto;

struct Endpoint {
    method: &'static str,
    path: &'static str,
    summary: &'static str,
    status: &'static str,
    /// What it takes; none: nothing.
    request: Option<fn(&mut SchemaGenerator) -> Value>,
    body: Body,
}

enum Body {
    None,
    /// Of this type.
    Text(&'static str),
    Json(fn(&mut SchemaGenerator) -> Value),
}

/// The form of the metrics.
pub(crate) const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

const PLAIN: &str = "text/plain";

fn schema<T: JsonSchema>(generator: &mut SchemaGenerator) -> Value {
    generator.subschema_for::<T>().to_value()
}

const fn get(path: &'static str, summary: &'static str, body: Body) -> Endpoint {
    Endpoint {
        method: "get",
        path,
        summary,
        status: "200",
        request: None,
        body,
    }
}

const fn get_json(
    path: &'static str,
    summary: &'static str,
    body: fn(&mut SchemaGenerator) -> Value,
) -> Endpoint {
    get(path, summary, Body::Json(body))
}

/// Asks for a checkpoint or savepoint.
const fn post_operation(
    path: &'static str,
    summary: &'static str,
    request: fn(&mut SchemaGenerator) -> Value,
) -> Endpoint {
    Endpoint {
        method: "post",
        path,
        summary,
        status: "202",
        request: Some(request),
        body: Body::Json(schema::<dto::OperationAccepted>),
    }
}

const ENDPOINTS: &[Endpoint] = &[
    get("/", "What there is: this list", Body::Text(PLAIN)),
    get_json(
        "/overview",
        "Counts of TaskManagers, slots and jobs",
        schema::<dto::Overview>,
    ),
    get_json("/jobs", "All jobs", schema::<dto::Jobs>),
    get_json(
        "/jobs/{id}",
        "One job with vertices, subtasks and counters",
        schema::<dto::Job>,
    ),
    Endpoint {
        method: "patch",
        path: "/jobs/{id}",
        summary: "Cancel the job (with `?mode=cancel`, as in Flink)",
        status: "202",
        request: None,
        body: Body::None,
    },
    Endpoint {
        method: "post",
        path: "/jobs/{id}/cancel",
        summary: "Cancel the job",
        status: "202",
        request: None,
        body: Body::None,
    },
    post_operation(
        "/jobs/{id}/stop",
        "End the job with a savepoint",
        schema::<dto::StopRequest>,
    ),
    post_operation(
        "/jobs/{id}/savepoints",
        "Take a savepoint",
        schema::<dto::SavepointRequest>,
    ),
    get_json(
        "/jobs/{id}/savepoints/{operation}",
        "How a savepoint or checkpoint that was asked for is doing (`?wait-ms=N`: wait for its end)",
        schema::<dto::Operation>,
    ),
    Endpoint {
        method: "delete",
        path: "/jobs/{id}/savepoints/{operation}",
        summary: "Let go of the savepoint of an operation, and delete it; one that is needed stays",
        status: "202",
        request: None,
        body: Body::None,
    },
    post_operation(
        "/jobs/{id}/checkpoints",
        "Take a checkpoint now",
        schema::<dto::CheckpointRequest>,
    ),
    get_json(
        "/jobs/{id}/checkpoints",
        "The job's checkpoints and savepoints",
        schema::<dto::Checkpoints>,
    ),
    get_json(
        "/jobs/{id}/checkpoints/{number}",
        "One checkpoint or savepoint, by subtask",
        schema::<dto::CheckpointDetails>,
    ),
    get_json(
        "/jobs/{id}/exceptions",
        "What went wrong in the job",
        schema::<dto::Exceptions>,
    ),
    get_json(
        "/taskmanagers",
        "The registered TaskManagers",
        schema::<dto::TaskManagers>,
    ),
    get_json(
        "/standby",
        "Whether the JobManager leads, and whether its program can go on from the job's state",
        schema::<dto::Standby>,
    ),
    get_json(
        "/config",
        "The JobManager's configuration",
        schema::<dto::Config>,
    ),
    get(
        "/metrics",
        "All counters in OpenMetrics form, for Prometheus",
        Body::Text(OPENMETRICS),
    ),
    get(
        "/healthz",
        "Answers `ok` while the process lives",
        Body::Text(PLAIN),
    ),
    get_json(
        "/openapi.json",
        "This API's description, an OpenAPI 3.1 document",
        |_| json!({ "type": "object" }),
    ),
];

/// Method, path and summary of each endpoint.
pub(crate) fn paths() -> impl Iterator<Item = (String, &'static str, &'static str)> {
    ENDPOINTS
        .iter()
        .map(|end| (end.method.to_uppercase(), end.path, end.summary))
}

/// What stands in a path, and behind it.
fn parameters(end: &Endpoint) -> Vec<Value> {
    let path = end.path;
    let named = |name: &str, description: &str, schema: Value| {
        let place = if path.contains(&format!("{{{name}}}")) {
            "path"
        } else {
            "query"
        };
        json!({
            "name": name,
            "in": place,
            "required": place == "path",
            "description": description,
            "schema": schema,
        })
    };
    let mut parameters = Vec::new();
    if path.contains("{id}") {
        let schema = json!({ "type": "string", "pattern": "^[0-9a-f]{32}$" });
        parameters.push(named("id", "The job's id", schema));
    }
    if end.method == "patch" {
        let schema = json!({ "type": "string", "enum": ["cancel"], "default": "cancel" });
        parameters.push(named("mode", "What becomes of the job", schema));
    }
    if path.contains("{operation}") {
        let schema = json!({ "type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$" });
        parameters.push(named("operation", "The operation's name", schema));
    }
    if path.contains("{operation}") && end.method == "get" {
        let schema = json!({ "type": "integer", "minimum": 0 });
        let description = "How long to wait for its end, in milliseconds; at most 8000";
        parameters.push(named("wait-ms", description, schema));
    }
    if path.contains("{number}") {
        let schema = json!({ "type": "integer", "minimum": 1 });
        parameters.push(named("number", "The checkpoint's number", schema));
    }
    parameters
}

/// The OpenAPI 3.1 document.
pub fn document() -> Value {
    let mut settings = SchemaSettings::draft2020_12();
    settings.definitions_path = "/components/schemas".into();
    let mut generator = settings.into_generator();
    let error = schema::<dto::ErrorBody>(&mut generator);
    let mut paths = Map::new();
    for end in ENDPOINTS {
        let mut response = json!({ "description": end.summary });
        match end.body {
            Body::None => {}
            Body::Text(kind) => response["content"] = json!({ (kind): {} }),
            Body::Json(schema) => {
                response["content"] =
                    json!({ "application/json": { "schema": schema(&mut generator) } });
            }
        }
        let mut operation = json!({ "summary": end.summary });
        operation["responses"][end.status] = response;
        operation["responses"]["default"] = json!({
            "description": "What went wrong",
            "content": { "application/json": { "schema": error } },
        });
        if let Some(schema) = end.request {
            operation["requestBody"] = json!({
                "description": "May be left out",
                "content": { "application/json": { "schema": schema(&mut generator) } },
            });
        }
        let parameters = parameters(end);
        if !parameters.is_empty() {
            operation["parameters"] = json!(parameters);
        }
        let path = paths.entry(end.path).or_insert_with(|| json!({}));
        path[end.method] = operation;
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Weir JobManager",
            "version": "v1",
            "description": "Field names follow Flink's REST API where the thing is the same.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "paths": paths,
        "components": { "schemas": generator.take_definitions(true) },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `UPDATE_GENERATED=1 cargo test -p weir-rest` writes it anew.
    #[test]
    fn the_checked_in_description_is_the_current_one() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/openapi.json");
        let text = format!(
            "{}\n",
            serde_json::to_string_pretty(&document()).expect("writes")
        );
        if std::env::var_os("UPDATE_GENERATED").is_some() {
            std::fs::write(path, &text).expect("writes docs/openapi.json");
        }
        let checked_in = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            checked_in == text,
            "docs/openapi.json is stale: run with UPDATE_GENERATED=1"
        );
    }
}
