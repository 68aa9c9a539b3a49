//! What the plugin calls things by in the cluster. The operator has the same names; a test compares
//! them. They stand here a second time so that a job's binary does without the operator's code.

/// The resource, with its group: another group's `streamjobs` is not meant.
pub(super) const RESOURCE: &str = "streamjobs.weir.dev";

/// The label that names the job.
pub(super) const JOB_LABEL: &str = "weir.dev/job";
/// The label that says what a pod is.
pub(super) const COMPONENT_LABEL: &str = "weir.dev/component";
/// The label that numbers the deployment that a pod belongs to.
pub(super) const DEPLOYMENT_LABEL: &str = "weir.dev/deployment";
/// The label that the JobManager which leads puts on its own pod.
pub(super) const LEADER_LABEL: &str = "weir.dev/leader";
/// The annotation that names the revision that a ControllerRevision keeps.
pub(super) const REVISION_ANNOTATION: &str = "weir.dev/revision";

/// Another value takes a savepoint.
pub(super) const SAVEPOINT_NONCE: &str = "weir.dev/savepoint-nonce";
/// Another value returns to an earlier revision.
pub(super) const ROLLBACK_NONCE: &str = "weir.dev/rollback-nonce";
/// The revision to return to.
pub(super) const ROLLBACK_TO: &str = "weir.dev/rollback-to";
/// `true`: the operator leaves the job alone.
pub(super) const PAUSED: &str = "weir.dev/paused";
/// `true`: a deletion does not wait for a savepoint.
pub(super) const FORCE_DELETE: &str = "weir.dev/force-delete";

/// The finalizer that holds a deletion up until its savepoint is complete.
pub(super) const FINALIZER: &str = "weir.dev/savepoint-on-delete";

/// The Service of a job's REST interface.
pub(super) fn rest(job: &str) -> String {
    format!("{job}-rest")
}

#[cfg(test)]
mod tests {
    use weir_controller::{annotation, names};

    use super::*;

    #[test]
    fn plugin_and_operator_call_things_by_the_same_names() {
        assert_eq!(RESOURCE, weir_crd::CRD_NAME);
        assert_eq!(
            [
                JOB_LABEL,
                COMPONENT_LABEL,
                DEPLOYMENT_LABEL,
                LEADER_LABEL,
                REVISION_ANNOTATION
            ],
            [
                names::JOB_LABEL,
                names::COMPONENT_LABEL,
                names::DEPLOYMENT_LABEL,
                names::LEADER_LABEL,
                names::REVISION_ANNOTATION,
            ]
        );
        assert_eq!(
            [
                SAVEPOINT_NONCE,
                ROLLBACK_NONCE,
                ROLLBACK_TO,
                PAUSED,
                FORCE_DELETE
            ],
            [
                annotation::SAVEPOINT_NONCE,
                annotation::ROLLBACK_NONCE,
                annotation::ROLLBACK_TO,
                annotation::PAUSED,
                annotation::FORCE_DELETE,
            ]
        );
        assert_eq!(FINALIZER, weir_controller::FINALIZER);
        assert_eq!(rest("a"), names::rest("a"));
    }
}
