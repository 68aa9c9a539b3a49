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
    body: Body,
}

enum Body {
    None,
    Text,
    Json(fn(&mut SchemaGenerator) -> Value),
}

fn schema<T: JsonSchema>(generator: &mut SchemaGenerator) -> Value {
    generator.subschema_for::<T>().to_value()
}

const fn get_json(
    path: &'static str,
    summary: &'static str,
    body: fn(&mut SchemaGenerator) -> Value,
) -> Endpoint {
    Endpoint {
        method: "get",
        path,
        summary,
        status: "200",
        body: Body::Json(body),
    }
}

const ENDPOINTS: [Endpoint; 10] = [
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
        body: Body::None,
    },
    Endpoint {
        method: "post",
        path: "/jobs/{id}/cancel",
        summary: "Cancel the job",
        status: "202",
        body: Body::None,
    },
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
        "/config",
        "The JobManager's configuration",
        schema::<dto::Config>,
    ),
    Endpoint {
        method: "get",
        path: "/metrics",
        summary: "All counters in OpenMetrics form, for Prometheus",
        status: "200",
        body: Body::Text,
    },
    Endpoint {
        method: "get",
        path: "/healthz",
        summary: "Answers `ok` while the process lives",
        status: "200",
        body: Body::Text,
    },
];

/// Method, path and summary of each endpoint.
pub(crate) fn paths() -> impl Iterator<Item = (String, &'static str, &'static str)> {
    ENDPOINTS
        .iter()
        .map(|end| (end.method.to_uppercase(), end.path, end.summary))
}

/// The OpenAPI 3.1 document.
pub fn document() -> Value {
    let mut settings = SchemaSettings::draft2020_12();
    settings.definitions_path = "/components/schemas".into();
    let mut generator = settings.into_generator();
    let error = schema::<dto::ErrorBody>(&mut generator);
    let mut paths = Map::new();
    for end in &ENDPOINTS {
        let mut response = json!({ "description": end.summary });
        match end.body {
            Body::None => {}
            Body::Text => response["content"] = json!({ "text/plain": {} }),
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
        if end.path.contains("{id}") {
            operation["parameters"] = json!([{
                "name": "id",
                "in": "path",
                "required": true,
                "description": "The job's id",
                "schema": { "type": "string", "pattern": "^[0-9a-f]{32}$" },
            }]);
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
