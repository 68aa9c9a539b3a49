//! Reading manifests from outside of the crate: right ones, wrong ones and hostile ones.

mod examples;
mod full;
mod hostile;
mod messages;
mod whole;
