//! The tables as pages of the documentation.

use super::{CONDITIONS, EVENTS};

fn made_from(file: &str) -> String {
    format!("<!-- Made from operator/controller/src/reasons/{file}; do not edit by hand. -->\n")
}

/// `docs/kubernetes/conditions.md`.
pub(super) fn conditions() -> String {
    let made = made_from("table.rs");
    let mut page = format!(
        "{made}
# Conditions of a StreamJob

`kubectl get sj NAME -o yaml` shows them under `status.conditions`, `kubectl weir status NAME` with
what they mean. Each names the generation of the spec that it was true of; `lastTransitionTime`
changes only with `status`. `kubectl wait --for=condition=Ready sj/NAME` waits for one.

A job that is stuck always has `Degraded` or `Stalled` with a message that says what a person can do.
"
    );
    for condition in CONDITIONS {
        let rows = condition.reasons.iter().map(|row| {
            format!(
                "| {} | `{}` | {} | {} |\n",
                row.status, row.reason, row.meaning, row.remedy
            )
        });
        let rows: String = rows.collect();
        let (kind, meaning) = (condition.kind, condition.meaning);
        page.push_str(&format!(
            "\n## {kind}\n\n{meaning}\n\n| status | reason | what is the case | what to do |\n\
             |---|---|---|---|\n{rows}"
        ));
    }
    page
}

/// `docs/kubernetes/events.md`.
pub(super) fn events() -> String {
    let rows = EVENTS
        .iter()
        .map(|row| format!("| `{}` | {} | {} |\n", row.reason, row.kind, row.meaning));
    let rows: String = rows.collect();
    let made = made_from("events.rs");
    format!(
        "{made}
# Events of a StreamJob

`kubectl describe sj NAME` shows the last ones, `kubectl events --for sj/NAME` all that the cluster
still has. Every change of the job makes one; while nothing changes there is none.

| reason | type | what has happened |
|---|---|---|
{rows}"
    )
}
