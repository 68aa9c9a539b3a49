//! All reasons of conditions and events in one place, with what they mean and what to do about
//! them. `docs/kubernetes/conditions.md` and `docs/kubernetes/events.md` are made from these
//! tables; tests compare the two, and look for reasons that stand in the code and not here.

mod events;
#[cfg(test)]
mod pages;
mod table;

pub use events::EVENTS;
pub use table::CONDITIONS;

/// A condition of the status.
#[derive(Clone, Copy, Debug)]
pub struct ConditionRow {
    /// Its type.
    pub kind: &'static str,
    /// What it says when it is `True`.
    pub meaning: &'static str,
    /// Why it is what it is.
    pub reasons: &'static [ReasonRow],
}

/// A reason of a condition.
#[derive(Clone, Copy, Debug)]
pub struct ReasonRow {
    /// The condition's status with this reason.
    pub status: &'static str,
    /// The reason.
    pub reason: &'static str,
    /// What is the case.
    pub meaning: &'static str,
    /// What to do about it.
    pub remedy: &'static str,
}

/// A reason of events.
#[derive(Clone, Copy, Debug)]
pub struct EventRow {
    /// The reason.
    pub reason: &'static str,
    /// `Normal`, `Warning`, or both.
    pub kind: &'static str,
    /// What has happened, and what follows.
    pub meaning: &'static str,
}

#[cfg(test)]
mod tests;
