//! Two operators may have been installed to look after the same namespaces. The first that looks at
//! a job takes it; the other one leaves it alone and says so, until the Lease of the first is
//! nobody's.

use super::EventKind;
use super::draft::Draft;

/// The operator that has the job, if that is another one.
pub(super) fn other(draft: &mut Draft<'_>) -> Option<String> {
    let operators = &draft.observed.operators;
    let own = operators.own.clone();
    if own.is_empty() {
        return None;
    }
    let is_gone = |name: &String| operators.gone.contains(name);
    let owner = draft.status.operator.clone();
    let others = owner.filter(|owner| *owner != own);
    if let Some(other) = others.clone().filter(|other| !is_gone(other)) {
        return Some(other);
    }
    if let Some(gone) = others {
        let text = format!("operator {gone} is gone: {own} looks after the job");
        draft.tell(EventKind::Normal, "ForeignOperator", text);
    }
    let refused = draft.status.refused_operator.clone();
    draft.status.refused_operator = refused.filter(|other| *other != own && !is_gone(other));
    draft.status.operator = Some(own);
    None
}
