//! The Lease object, as far as election looks at it.

use serde_json::{Value, json};

/// What a Lease says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseRecord {
    /// Who holds it; empty if nobody does.
    pub holder: String,
    /// How long after the last change it holds, in seconds.
    pub duration_secs: u32,
    /// How often the holder has changed.
    pub transitions: u32,
    /// When the holder got it, for people.
    pub acquired_at: String,
    /// When the holder renewed it: it makes each write differ.
    pub renewed_at: String,
}

/// A Lease as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observed {
    /// Its content.
    pub record: LeaseRecord,
    /// Its version.
    pub resource_version: String,
}

impl LeaseRecord {
    /// The object to write. With a version it replaces exactly that one.
    pub fn to_object(&self, namespace: &str, name: &str, resource_version: Option<&str>) -> Value {
        let mut object = json!({
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": { "name": name, "namespace": namespace },
            "spec": {
                "holderIdentity": self.holder,
                "leaseDurationSeconds": self.duration_secs,
                "leaseTransitions": self.transitions,
                "acquireTime": self.acquired_at,
                "renewTime": self.renewed_at,
            },
        });
        if let Some(version) = resource_version {
            object["metadata"]["resourceVersion"] = Value::from(version);
        }
        object
    }

    /// The same as a merge patch, for a Lease that somebody else has made and labelled.
    pub fn to_patch(&self, resource_version: &str) -> Value {
        let mut patch = self.to_object("", "", None);
        patch["metadata"] = json!({ "resourceVersion": resource_version });
        patch
    }
}

impl Observed {
    /// Reads an object of the API. None if it is no Lease. One that lacks fields has no holder.
    pub fn from_object(object: &Value) -> Option<Self> {
        let version = object.pointer("/metadata/resourceVersion")?.as_str()?;
        let spec = object.get("spec").unwrap_or(&Value::Null);
        let text = |key: &str| {
            let text = spec.get(key).and_then(Value::as_str);
            text.unwrap_or_default().to_owned()
        };
        let number = |key: &str| {
            let number = spec.get(key).and_then(Value::as_u64);
            number.and_then(|n| u32::try_from(n).ok()).unwrap_or(0)
        };
        Some(Self {
            record: LeaseRecord {
                holder: text("holderIdentity"),
                duration_secs: number("leaseDurationSeconds"),
                transitions: number("leaseTransitions"),
                acquired_at: text("acquireTime"),
                renewed_at: text("renewTime"),
            },
            resource_version: version.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_that_is_written_is_read_again() {
        let record = LeaseRecord {
            holder: "a".to_owned(),
            duration_secs: 15,
            transitions: 2,
            acquired_at: "2026-01-01T00:00:00.000000Z".to_owned(),
            renewed_at: "2026-01-01T00:00:05.000000Z".to_owned(),
        };
        let object = record.to_object("default", "weir", Some("7"));
        let read = Observed::from_object(&object).expect("a Lease");
        assert_eq!(read.record, record);
        assert_eq!(read.resource_version, "7");
        let bare = json!({"metadata": {"resourceVersion": "1"}});
        assert_eq!(
            Observed::from_object(&bare).expect("a Lease").record.holder,
            ""
        );
        assert_eq!(Observed::from_object(&json!({})), None);
        let patch = record.to_patch("7");
        assert_eq!(patch["metadata"], json!({ "resourceVersion": "7" }));
        assert_eq!(Observed::from_object(&patch), Some(read));
    }
}
