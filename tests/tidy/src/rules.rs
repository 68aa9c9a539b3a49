//! One file per kind of rule.

pub mod attributes;
pub mod budgets;
pub mod charts;
pub mod citations;
pub mod crates;
pub mod documents;
pub mod layout;
pub mod links;
pub mod manifests;
pub mod programs;
pub mod reachability;
