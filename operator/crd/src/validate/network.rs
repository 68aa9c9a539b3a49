//! Rules for the peers of a NetworkPolicy: those of Kubernetes (`pkg/apis/networking/validation`).
//! It would refuse the policy as a whole, after the manifest was taken.

use std::net::IpAddr;

use super::{Violations, names};
use crate::manifest::quoted;
use crate::spec::{
    IpBlock, LabelOperator, LabelRequirement, LabelSelector, NetworkPeer, NetworkPolicySpec,
};

pub(super) fn network(found: &mut Violations, spec: &NetworkPolicySpec) {
    for (index, peer) in spec.rest_from.iter().enumerate() {
        let path = format!("spec.networkPolicy.restFrom[{index}]");
        check_peer(found, &path, peer);
    }
}

fn check_peer(found: &mut Violations, path: &str, peer: &NetworkPeer) {
    let selects = peer.pod_selector.is_some() || peer.namespace_selector.is_some();
    match &peer.ip_block {
        None => found.check(
            selects,
            path,
            "is empty: name an `ipBlock`, or one or both of `podSelector` and `namespaceSelector`",
        ),
        Some(block) => {
            found.check(
                !selects,
                path,
                "has both an `ipBlock` and a selector: make two peers of it",
            );
            check_block(found, &format!("{path}.ipBlock"), block);
        }
    }
    for (name, selector) in [
        ("podSelector", &peer.pod_selector),
        ("namespaceSelector", &peer.namespace_selector),
    ] {
        if let Some(selector) = selector {
            check_selector(found, &format!("{path}.{name}"), selector);
        }
    }
}

fn check_block(found: &mut Violations, path: &str, block: &IpBlock) {
    let field = format!("{path}.cidr");
    let range = match Range::parse(&block.cidr) {
        Ok(range) => range,
        Err(message) => return found.add(field, message),
    };
    for (index, except) in block.except.iter().enumerate() {
        let field = format!("{path}.except[{index}]");
        match Range::parse(except) {
            Err(message) => found.add(field, message),
            Ok(inner) => found.check(
                range.holds(&inner),
                &field,
                format_args!(
                    "is {except}, which is no part of {}: take it out",
                    block.cidr
                ),
            ),
        }
    }
}

fn check_selector(found: &mut Violations, path: &str, selector: &LabelSelector) {
    for (key, value) in &selector.match_labels {
        let path = format!("{path}.matchLabels");
        found.result(&path, names::label_key(key));
        found.result(&format!("{path}.{key}"), names::label_value(value));
    }
    for (index, requirement) in selector.match_expressions.iter().enumerate() {
        let path = format!("{path}.matchExpressions[{index}]");
        check_requirement(found, &path, requirement);
    }
}

fn check_requirement(found: &mut Violations, path: &str, requirement: &LabelRequirement) {
    found.result(&format!("{path}.key"), names::label_key(&requirement.key));
    let compares = matches!(
        requirement.operator,
        LabelOperator::In | LabelOperator::NotIn
    );
    let message = match compares {
        true => "is empty: `In` and `NotIn` need a value",
        false => "must be left out: `Exists` and `DoesNotExist` have no values",
    };
    found.check(
        compares != requirement.values.is_empty(),
        &format!("{path}.values"),
        message,
    );
    for (index, value) in requirement.values.iter().enumerate() {
        let path = format!("{path}.values[{index}]");
        found.result(&path, names::label_value(value));
    }
}

/// A range of addresses.
struct Range {
    address: IpAddr,
    bits: u32,
}

impl Range {
    fn parse(text: &str) -> Result<Self, String> {
        let parsed = text.split_once('/').and_then(|(address, bits)| {
            let address: IpAddr = address.parse().ok()?;
            let is_number = !bits.is_empty() && bits.bytes().all(|byte| byte.is_ascii_digit());
            let bits: u32 = bits.parse().ok().filter(|_| is_number)?;
            let most = if address.is_ipv4() { 32 } else { 128 };
            (bits <= most).then_some(Self { address, bits })
        });
        parsed.ok_or_else(|| {
            format!(
                "is {}; it must be a range of addresses, such as `10.0.0.0/8` or `2001:db8::/32`",
                quoted(text)
            )
        })
    }

    /// Whether another one is a part of it, and not all of it.
    fn holds(&self, inner: &Self) -> bool {
        let same_kind = self.address.is_ipv4() == inner.address.is_ipv4();
        let width = if self.address.is_ipv4() { 32 } else { 128 };
        let number = |address: IpAddr| match address {
            IpAddr::V4(address) => u128::from(u32::from(address)),
            IpAddr::V6(address) => u128::from(address),
        };
        let start = |address| number(address).checked_shr(width - self.bits).unwrap_or(0);
        same_kind && inner.bits > self.bits && start(self.address) == start(inner.address)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// What is found wrong with peers: the fields, without what they have in common.
    fn wrong(peers: &Value) -> Vec<(String, String)> {
        let spec = json!({ "restFrom": peers });
        let spec: NetworkPolicySpec = serde_json::from_value(spec).expect("a policy");
        let mut found = Violations::default();
        network(&mut found, &spec);
        let short = |path: String| {
            let rest = path.strip_prefix("spec.networkPolicy.restFrom");
            rest.expect("the field").to_owned()
        };
        let found = found.0.into_iter();
        found.map(|it| (short(it.path), it.message)).collect()
    }

    #[test]
    fn peers_that_kubernetes_takes_are_taken() {
        for peer in [
            json!({ "podSelector": {} }),
            json!({ "namespaceSelector": {}, "podSelector": { "matchLabels": { "a": "" } } }),
            json!({ "ipBlock": { "cidr": "0.0.0.0/0", "except": ["10.0.0.0/8"] } }),
            json!({ "ipBlock": { "cidr": "2001:db8::/32", "except": ["2001:db8:1::/48"] } }),
            json!({ "namespaceSelector": { "matchExpressions": [
                { "key": "example.com/team", "operator": "In", "values": ["a", "b-1"] },
                { "key": "gone", "operator": "DoesNotExist" },
            ] } }),
        ] {
            assert_eq!(wrong(&json!([peer])), [], "{peer}");
        }
    }

    #[test]
    fn peers_that_kubernetes_refuses_are_refused_by_field_and_with_the_fix() {
        let block =
            |cidr: &str, except: &[&str]| json!({ "ipBlock": { "cidr": cidr, "except": except } });
        let requires = |key: &str, operator: &str, values: &[&str]| {
            let requirement = json!({ "key": key, "operator": operator, "values": values });
            json!({ "podSelector": { "matchExpressions": [requirement] } })
        };
        for (peer, field, fix) in [
            (json!({}), "[1]", "name an `ipBlock`"),
            (
                json!({ "ipBlock": { "cidr": "10.0.0.0/8" }, "podSelector": {} }),
                "[1]",
                "two peers",
            ),
            (block("10.0.0.0", &[]), "[1].ipBlock.cidr", "such as"),
            (block("10.0.0.0/33", &[]), "[1].ipBlock.cidr", "such as"),
            (block("10.0.0/8", &[]), "[1].ipBlock.cidr", "such as"),
            (block("all/+8", &[]), "[1].ipBlock.cidr", "such as"),
            (
                block("10.0.0.0/8", &["x"]),
                "[1].ipBlock.except[0]",
                "such as",
            ),
            (
                block("10.0.0.0/8", &["11.0.0.0/16"]),
                "[1].ipBlock.except[0]",
                "take it out",
            ),
            (
                block("10.0.0.0/8", &["10.0.0.0/8"]),
                "[1].ipBlock.except[0]",
                "take it out",
            ),
            (
                block("0.0.0.0/0", &["::/1"]),
                "[1].ipBlock.except[0]",
                "take it out",
            ),
            (
                json!({ "podSelector": { "matchLabels": { "a b": "c" } } }),
                "[1].podSelector.matchLabels",
                "letters",
            ),
            (
                json!({ "namespaceSelector": { "matchLabels": { "a": "b c" } } }),
                "[1].namespaceSelector.matchLabels.a",
                "letters",
            ),
            (
                requires("a", "In", &[]),
                "[1].podSelector.matchExpressions[0].values",
                "need a value",
            ),
            (
                requires("a", "Exists", &["b"]),
                "[1].podSelector.matchExpressions[0].values",
                "left out",
            ),
            (
                requires("/a", "Exists", &[]),
                "[1].podSelector.matchExpressions[0].key",
                "letters",
            ),
            (
                requires("a", "NotIn", &["-"]),
                "[1].podSelector.matchExpressions[0].values[0]",
                "letters",
            ),
        ] {
            let found = wrong(&json!([{ "podSelector": {} }, peer]));
            let [(path, message)] = &found[..] else {
                panic!("{peer}: {found:?}");
            };
            assert_eq!(path, field, "{peer}");
            assert!(message.contains(fix), "{peer}: {message}");
        }
    }
}
