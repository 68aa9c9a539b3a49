//! A status may hold what this version does not know: a newer one wrote it, or a person. What is
//! not known is kept, and what can't be read is told, so that nothing is done by half of a status.

use serde_json::{Map, Value};
use weir_crd::StreamJobStatus;

/// The status as far as it can be read, and what of it can't.
pub(crate) fn read(raw: &Value) -> (StreamJobStatus, Option<String>) {
    let whole = match raw {
        Value::Null => return (StreamJobStatus::default(), None),
        raw => serde_json::from_value(raw.clone()),
    };
    let error = match whole {
        Ok(status) => return (status, None),
        Err(error) => error,
    };
    let mut readable = Map::new();
    let mut unread = Vec::new();
    for (name, value) in raw.as_object().into_iter().flatten() {
        let alone = Value::Object([(name.clone(), value.clone())].into_iter().collect());
        match serde_json::from_value::<StreamJobStatus>(alone) {
            Ok(_) => {
                readable.insert(name.clone(), value.clone());
            }
            Err(error) => unread.push(format!("status.{name}: {error}")),
        }
    }
    let status = serde_json::from_value(Value::Object(readable)).unwrap_or_default();
    let text = match unread.is_empty() {
        true => error.to_string(),
        false => unread.join("; "),
    };
    (status, Some(text))
}

/// The status to write over `raw`, with what `raw` holds beyond what this version knows.
pub(crate) fn over(raw: &Value, status: &StreamJobStatus) -> Value {
    let mut new = serde_json::to_value(status).unwrap_or_default();
    let (known, _) = read(raw);
    let known = serde_json::to_value(known).unwrap_or_default();
    // Another operation is another object: nothing of the old one belongs to it.
    let id = |status: &Value| status.pointer("/operation/id").cloned();
    let same_operation = id(raw) == id(&new);
    let (Some(raw), Some(known)) = (raw.as_object(), known.as_object()) else {
        return new;
    };
    for (name, value) in raw {
        if name == "operation" && known.contains_key(name) && !same_operation {
            continue;
        }
        if let Some(fields) = new.as_object_mut() {
            keep(fields, name, value, known.get(name));
        }
    }
    new
}

/// Keeps a field that is not known, or what is not known below it.
fn keep(new: &mut Map<String, Value>, name: &str, value: &Value, known: Option<&Value>) {
    let Some(known) = known else {
        if !is_nothing(value) {
            new.entry(name).or_insert_with(|| value.clone());
        }
        return;
    };
    let (Some(value), Some(known)) = (value.as_object(), known.as_object()) else {
        return;
    };
    let Some(below) = new.get_mut(name).and_then(Value::as_object_mut) else {
        return;
    };
    for (name, value) in value {
        keep(below, name, value, known.get(name));
    }
}

/// What is left out when it is written.
fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn operation(id: &str) -> Value {
        json!({
            "id": id, "type": "Upgrade", "step": "Stopping", "reason": "r",
            "targetGeneration": 2, "startedAt": "a", "stepStartedAt": "b",
        })
    }

    #[test]
    fn what_a_newer_operator_wrote_survives_an_older_one() {
        let mut old = operation("o");
        old["newField"] = json!(7);
        let raw = json!({
            "deployment": 3,
            "newThing": { "a": 1 },
            "operation": old,
            "handled": { "savepoint": "1", "newNonce": "2" },
            "endedAt": "gone",
        });
        let (mut status, unread) = read(&raw);
        assert_eq!(unread, None);
        status.deployment = Some(4);
        status.ended_at = None;
        let written = over(&raw, &status);
        assert_eq!(written["deployment"], 4);
        assert_eq!(written["newThing"], json!({ "a": 1 }));
        assert_eq!(written["operation"]["newField"], 7);
        assert_eq!(written["handled"]["newNonce"], "2");
        assert_eq!(written.get("endedAt"), None, "what is known can be removed");
        // Nothing of an operation that has ended passes on to another one.
        status.operation = serde_json::from_value(operation("p")).expect("an operation");
        assert_eq!(over(&raw, &status)["operation"].get("newField"), None);
        status.operation = None;
        assert_eq!(over(&raw, &status).get("operation"), None);
    }

    #[test]
    fn a_step_that_nobody_here_knows_is_told_and_stays_as_it_is() {
        let mut unknown = operation("o");
        unknown["step"] = json!("Levitating");
        let raw = json!({ "deployment": 3, "operation": unknown, "epoch": "many" });
        let (status, unread) = read(&raw);
        let unread = unread.expect("it can't be read");
        assert!(unread.contains("Levitating"), "{unread}");
        assert!(unread.contains("status.epoch"), "{unread}");
        assert_eq!(
            (status.deployment, status.operation.as_ref()),
            (Some(3), None)
        );
        let written = over(&raw, &status);
        assert_eq!(written["operation"], raw["operation"]);
        assert_eq!(written["epoch"], "many");
    }

    #[test]
    fn a_status_that_is_read_and_written_stays_equal() {
        let raw = json!({ "deployment": 3, "handled": {}, "operation": operation("o") });
        let (status, _) = read(&raw);
        assert_eq!(over(&raw, &status), raw);
    }
}
