//! Which savepoints are kept.
//!
//! The list of the status is shortened here; the savepoints themselves are the job's, in its
//! storage, and only the JobManager that leads can let go of one. So with `deleteData` it is told
//! to, again and again, until it does not name the savepoint any more: what is not deleted is never
//! lost sight of. (Flink's operator drops its entry first, and what then fails stays for ever.)

use weir_crd::SnapshotRetention;
use weir_lease::parse_rfc3339;

use super::Action;
use super::draft::Draft;
use super::snapshots::HISTORY;
use crate::observe::SnapshotView;

/// No operation is open, and the job is to run.
pub(super) fn run(draft: &mut Draft<'_>, deployment: i64) {
    let Ok(wanted) = &draft.wanted else {
        return;
    };
    let retain = wanted.spec.savepoint.retain.clone();
    let now = draft.observed.now_ms;
    shorten(draft, &retain);
    if !retain.delete_data {
        return;
    }
    let Some(manager) = draft.manager(deployment) else {
        return;
    };
    let latest = manager.latest.as_ref().map(|latest| latest.id);
    let needed =
        |savepoint: &SnapshotView| Some(savepoint.id) == latest || is_start(draft, savepoint);
    let gone: Vec<_> = surplus(&manager.savepoints, &retain, now)
        .filter(|savepoint| !needed(savepoint))
        .filter_map(|savepoint| savepoint.operation.clone())
        .collect();
    for operation in gone {
        draft.act(Action::Forget { operation });
    }
}

/// Whether the job was started from it, or would be.
fn is_start(draft: &Draft<'_>, savepoint: &SnapshotView) -> bool {
    let status = &draft.status;
    let wanted = draft.wanted.as_ref().ok();
    let places = [
        wanted.and_then(|wanted| wanted.spec.restore.path.as_deref()),
        status
            .start_from
            .as_ref()
            .and_then(|start| start.path.as_deref()),
        status
            .restore
            .as_ref()
            .and_then(|restore| restore.path.as_deref()),
    ];
    let own = savepoint.path.trim_end_matches('/');
    places
        .into_iter()
        .flatten()
        .any(|place| place.trim_end_matches("/_metadata").trim_end_matches('/') == own)
}

/// Those that the retention gives up, of all that are there, oldest first.
fn surplus<'a>(
    savepoints: &'a [SnapshotView],
    retain: &SnapshotRetention,
    now_ms: i64,
) -> impl Iterator<Item = &'a SnapshotView> {
    let count = usize::try_from(retain.count).unwrap_or(usize::MAX);
    let beyond = savepoints.len().saturating_sub(count);
    let retain = retain.clone();
    savepoints
        .iter()
        .enumerate()
        .filter_map(move |(index, savepoint)| {
            let goes = index < beyond || is_old(&retain, savepoint.at_ms, now_ms);
            goes.then_some(savepoint)
        })
}

fn is_old(retain: &SnapshotRetention, at_ms: i64, now_ms: i64) -> bool {
    let Some(age) = retain.age else {
        return false;
    };
    i64::try_from(age.get().as_millis()).is_ok_and(|age| now_ms - at_ms > age)
}

/// The status lists what is kept. The last one stays, as it says what was done last.
fn shorten(draft: &mut Draft<'_>, retain: &SnapshotRetention) {
    let now = draft.observed.now_ms;
    let Some(savepoint) = &mut draft.status.savepoint else {
        return;
    };
    let count = usize::try_from(retain.count).unwrap_or(usize::MAX);
    savepoint.history.truncate(count.min(HISTORY));
    savepoint.history.retain(|entry| {
        let at = parse_rfc3339(&entry.at).unwrap_or(now);
        !is_old(retain, at, now)
    });
}

#[cfg(test)]
mod tests {
    use weir_crd::ManifestDuration;

    use super::*;

    fn view(id: i64, at_ms: i64) -> SnapshotView {
        SnapshotView {
            id,
            path: format!("/s/savepoint-1-{id}"),
            at_ms,
            operation: Some(format!("savepoint-{id}")),
            size_bytes: None,
            duration_ms: None,
        }
    }

    fn given_up(count: u32, age_secs: Option<u64>, ages_secs: &[i64]) -> Vec<i64> {
        let retain = SnapshotRetention {
            count,
            age: age_secs.map(ManifestDuration::from_secs),
            delete_data: true,
        };
        let now = 1_000_000_000;
        let all: Vec<_> = (1..)
            .zip(ages_secs)
            .map(|(id, age)| view(id, now - age * 1000))
            .collect();
        surplus(&all, &retain, now).map(|kept| kept.id).collect()
    }

    #[test]
    fn what_is_too_much_or_too_old_is_given_up_the_oldest_first() {
        for (count, age, ages, expected) in [
            (10, None, &[30, 20, 10][..], &[][..]),
            (2, None, &[30, 20, 10], &[1]),
            (1, None, &[30, 20, 10], &[1, 2]),
            (10, Some(20), &[30, 20, 10], &[1]),
            (10, Some(5), &[30, 20, 10], &[1, 2, 3]),
            (2, Some(15), &[30, 20, 10], &[1, 2]),
            (1, None, &[], &[]),
        ] {
            assert_eq!(
                given_up(count, age, ages),
                expected,
                "{count} {age:?} {ages:?}"
            );
        }
    }

    #[test]
    fn no_more_is_kept_than_may_be_and_no_more_is_given_up_than_must() {
        let mut word = 1_u64;
        let mut below = |bound: u64| {
            word = word.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (word >> 33) % bound
        };
        for _ in 0..10_000 {
            let count = 1 + below(8);
            let age = (below(2) == 0).then(|| 1 + below(100));
            let mut ages: Vec<_> = (0..below(12)).map(|_| below(200)).collect();
            ages.sort_unstable_by(|a, b| b.cmp(a));
            let old = ages
                .iter()
                .filter(|of| age.is_some_and(|age| **of > age))
                .count();
            let beyond = ages
                .len()
                .saturating_sub(usize::try_from(count).expect("small"));
            let signed: Vec<_> = ages
                .iter()
                .map(|age| i64::try_from(*age).expect("small"))
                .collect();
            let gone = given_up(u32::try_from(count).expect("small"), age, &signed);
            // Oldest first, so what goes is the beginning of the list.
            let expected: Vec<_> = (1..).take(old.max(beyond)).collect();
            assert_eq!(gone, expected, "{count} {age:?} {ages:?}");
        }
    }
}
