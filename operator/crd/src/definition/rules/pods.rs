//! What holds of the pods: election among them, their resources and templates.

use super::{Rule, rule};

pub(super) const RULES: &[Rule] = &[
    rule(
        "lease-outlives-its-renewal",
        "spec.ha",
        "self.renewDeadline < self.leaseDuration",
        "ha.renewDeadline must be less than ha.leaseDuration",
    ),
    rule(
        "renewal-is-tried-again",
        "spec.ha",
        "self.retryPeriod > duration('0s') && self.retryPeriod < self.renewDeadline",
        "ha.retryPeriod must be more than 0s and less than ha.renewDeadline",
    ),
    rule(
        "jobmanager-memory-within-limit",
        "spec.jobManager.resources",
        RESOURCES,
        RESOURCES_MESSAGE,
    ),
    rule(
        "taskmanager-memory-within-limit",
        "spec.taskManager.resources",
        RESOURCES,
        RESOURCES_MESSAGE,
    ),
    rule(
        "no-host-network",
        "spec.podTemplate",
        HOST_NETWORK,
        HOST_NETWORK_MESSAGE,
    ),
    rule(
        "jobmanager-no-host-network",
        "spec.jobManager.podTemplate",
        HOST_NETWORK,
        HOST_NETWORK_MESSAGE,
    ),
    rule(
        "taskmanager-no-host-network",
        "spec.taskManager.podTemplate",
        HOST_NETWORK,
        HOST_NETWORK_MESSAGE,
    ),
    rule(
        "main-container-is-the-operators",
        "spec.podTemplate",
        MAIN_CONTAINER,
        MAIN_CONTAINER_MESSAGE,
    ),
    rule(
        "jobmanager-main-container-is-the-operators",
        "spec.jobManager.podTemplate",
        MAIN_CONTAINER,
        MAIN_CONTAINER_MESSAGE,
    ),
    rule(
        "taskmanager-main-container-is-the-operators",
        "spec.taskManager.podTemplate",
        MAIN_CONTAINER,
        MAIN_CONTAINER_MESSAGE,
    ),
];

const RESOURCES: &str = "['cpu', 'memory'].all(r, !has(self.requests) || !has(self.limits) || !(r in self.requests) || !(r in self.limits) || quantity(string(self.requests[r])).compareTo(quantity(string(self.limits[r]))) <= 0)";
const RESOURCES_MESSAGE: &str = "a request for cpu or memory is more than the limit: lower it";
const HOST_NETWORK: &str =
    "!has(self.spec) || !has(self.spec.hostNetwork) || !self.spec.hostNetwork";
const HOST_NETWORK_MESSAGE: &str =
    "spec.hostNetwork must not be true: the operator gives each pod ports of its own";
const MAIN_CONTAINER: &str = "!has(self.spec) || !has(self.spec.containers) || self.spec.containers.all(c, c.name != 'main' || (!has(c.image) && !has(c.command) && !has(c.args)))";
const MAIN_CONTAINER_MESSAGE: &str = "the container `main` must have neither image, command nor args: set spec.image and spec.job.args; the operator sets the rest";
