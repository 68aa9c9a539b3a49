//! What holds of who may reach the pods.

use super::{Rule, rule};

pub(super) const RULES: &[Rule] = &[
    rule(
        "peer-is-of-one-kind",
        "spec.networkPolicy.restFrom[]",
        "has(self.ipBlock) != (has(self.podSelector) || has(self.namespaceSelector))",
        "needs either an `ipBlock`, or one or both of `podSelector` and `namespaceSelector`",
    ),
    rule(
        "pod-label-has-values",
        "spec.networkPolicy.restFrom[].podSelector.matchExpressions[]",
        LABEL_VALUES,
        LABEL_VALUES_MESSAGE,
    ),
    rule(
        "namespace-label-has-values",
        "spec.networkPolicy.restFrom[].namespaceSelector.matchExpressions[]",
        LABEL_VALUES,
        LABEL_VALUES_MESSAGE,
    ),
];

const LABEL_VALUES: &str =
    "(self.operator in ['In', 'NotIn']) == (has(self.values) && self.values.size() > 0)";
const LABEL_VALUES_MESSAGE: &str =
    "`In` and `NotIn` need values, `Exists` and `DoesNotExist` have none";
