//! What [`RecoverableWriter`] promises, asked of each store that keeps results out of sight.

use std::sync::Arc;
use std::time::Duration;

use weir_types::{Clock, SystemClock};

use super::{names, noise, path};
#[cfg(feature = "s3")]
use crate::s3::tests::recoverable_on_a_server as in_a_bucket;
use crate::{CommitRecoverable, MemoryStore, RecoverableWriter, StoreErrorKind};

type Store = Arc<dyn RecoverableWriter>;

macro_rules! contract {
    (@store $kind:ident, $open:ident, $($test:ident,)*) => {
        mod $kind {
            $(
                #[test]
                fn $test() {
                    let Some((store, _alive)) = super::$open() else { return };
                    super::$test(store);
                }
            )*
        }
    };
    ($($test:ident,)*) => {
        contract!(@store memory, in_memory, $($test,)*);
        #[cfg(feature = "s3")]
        contract!(@store s3, in_a_bucket, $($test,)*);
    };
}

contract!(
    an_object_is_seen_whole_and_from_its_commit_on,
    committing_again_is_fine_and_changes_nothing,
    the_first_of_a_name_gets_it_and_keeps_it,
    what_was_aborted_or_deleted_cannot_be_committed,
    an_abandoned_stream_leaves_nothing,
    what_is_not_committed_is_listed_by_folder,
    what_was_begun_is_shown_with_its_time_and_can_be_abandoned,
    names_that_no_object_can_have_are_refused,
);

fn in_memory() -> Option<(Store, ())> {
    Some((Arc::new(MemoryStore::new()), ()))
}

fn closed(store: &Store, name: &str, pieces: &[&[u8]]) -> CommitRecoverable {
    let mut stream = store.open(&path(name)).unwrap();
    for piece in pieces {
        stream.write(piece).unwrap();
    }
    stream.close_for_commit().unwrap()
}

fn uncommitted(store: &Store, folder: &str) -> Vec<String> {
    let listed = store.list_uncommitted(&path(folder)).unwrap();
    let mut names: Vec<_> = listed.into_iter().map(|one| one.path.to_string()).collect();
    names.sort();
    names
}

fn an_object_is_seen_whole_and_from_its_commit_on(store: Store) {
    let bytes = noise(20_000_000, 1);
    let pieces: Vec<_> = bytes.chunks(777_777).collect();
    let large = closed(&store, "a/large", &pieces);
    let small = closed(&store, "a/small", &[b"1", b"2"]);
    assert_eq!((large.size, small.size), (20_000_000, 2));
    assert_eq!(names(&*store, ""), [""; 0]);
    assert_eq!(uncommitted(&store, ""), ["a/large", "a/small"]);
    store.commit(&small).unwrap();
    assert_eq!(names(&*store, ""), ["a/small"]);
    store.commit(&large).unwrap();
    assert!(
        store.get(&path("a/large")).unwrap() == bytes,
        "the content is another"
    );
    assert_eq!(store.get(&path("a/small")).unwrap(), b"12");
    assert_eq!(uncommitted(&store, ""), [""; 0]);
}

fn committing_again_is_fine_and_changes_nothing(store: Store) {
    let prepared = closed(&store, "object", &[b"mine"]);
    for _ in 0..3 {
        store.commit(&prepared).unwrap();
        assert_eq!(store.get(&path("object")).unwrap(), b"mine");
    }
    // Aborting what was committed takes nothing away.
    store.abort(&prepared.uncommitted().unwrap()).unwrap();
    assert_eq!(store.get(&path("object")).unwrap(), b"mine");
    store.commit(&prepared).unwrap();
}

fn the_first_of_a_name_gets_it_and_keeps_it(store: Store) {
    let (first, second) = (
        closed(&store, "object", &[b"same"]),
        closed(&store, "object", &[b"same"]),
    );
    store.commit(&second).unwrap();
    // Of equal content, but it is not the one: what it was would be there twice otherwise.
    for _ in 0..2 {
        let error = store.commit(&first).unwrap_err();
        assert_eq!(error.kind, StoreErrorKind::AlreadyExists, "{error:?}");
    }
    store.create(&path("taken"), b"another's").unwrap();
    let prepared = closed(&store, "taken", &[b"mine"]);
    let error = store.commit(&prepared).unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::AlreadyExists, "{error:?}");
    assert_eq!(store.get(&path("taken")).unwrap(), b"another's");
    // It is not lost: once there is room it can be committed.
    store.delete(&path("taken")).unwrap();
    store.commit(&prepared).unwrap();
    assert_eq!(store.get(&path("taken")).unwrap(), b"mine");
}

fn what_was_aborted_or_deleted_cannot_be_committed(store: Store) {
    let aborted = closed(&store, "aborted", &[b"1"]);
    for _ in 0..2 {
        store.abort(&aborted.uncommitted().unwrap()).unwrap();
    }
    let deleted = closed(&store, "deleted", &[b"1"]);
    store.commit(&deleted).unwrap();
    store.delete(&path("deleted")).unwrap();
    for prepared in [aborted, deleted] {
        let error = store.commit(&prepared).unwrap_err();
        assert_eq!(error.kind, StoreErrorKind::NotFound, "{error:?}");
    }
    assert_eq!(names(&*store, ""), [""; 0]);
}

fn an_abandoned_stream_leaves_nothing(store: Store) {
    let mut stream = store.open(&path("large")).unwrap();
    stream.write(&noise(20_000_000, 2)).unwrap();
    assert_eq!(uncommitted(&store, ""), ["large"]);
    drop(stream);
    for _ in 0..500 {
        if uncommitted(&store, "").is_empty() {
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("it stays");
}

fn what_is_not_committed_is_listed_by_folder(store: Store) {
    let inner: Store = store;
    for name in ["a/b", "a/c/d", "ab", "a/b"] {
        closed(&inner, name, &[b"1"]);
    }
    assert_eq!(uncommitted(&inner, ""), ["a/b", "a/b", "a/c/d", "ab"]);
    assert_eq!(uncommitted(&inner, "a"), ["a/b", "a/b", "a/c/d"]);
    assert_eq!(uncommitted(&inner, "a/c"), ["a/c/d"]);
    assert_eq!(uncommitted(&inner, "nothing"), [""; 0]);
    for one in inner.list_uncommitted(&path("a")).unwrap() {
        inner.abort(&one).unwrap();
    }
    assert_eq!(uncommitted(&inner, ""), ["ab"]);
}

fn what_was_begun_is_shown_with_its_time_and_can_be_abandoned(store: Store) {
    let begun = |folder: &str| store.list_unfinished(&path(folder)).unwrap();
    for name in ["a/b", "a/c", "ab"] {
        closed(&store, name, &[b"1"]);
    }
    let found = begun("a");
    let mut names_found: Vec<_> = found.iter().map(|one| one.path.as_str()).collect();
    names_found.sort_unstable();
    assert_eq!(names_found, ["a/b", "a/c"]);
    let now_ms = SystemClock.unix_ms();
    for one in &found {
        let age_ms = now_ms - one.begun_ms;
        assert!(
            (-5_000..120_000).contains(&age_ms),
            "its age is {age_ms} ms"
        );
        for _ in 0..2 {
            store.abandon(one).unwrap();
        }
    }
    assert_eq!(begun("a"), []);
    assert_eq!(uncommitted(&store, ""), ["ab"]);
    // What was committed meanwhile stays what it is.
    let prepared = closed(&store, "object", &[b"mine"]);
    let found = begun("");
    store.commit(&prepared).unwrap();
    for one in &found {
        store.abandon(one).unwrap();
    }
    assert_eq!(begun(""), []);
    assert_eq!(names(&*store, ""), ["object"]);
}

fn names_that_no_object_can_have_are_refused(store: Store) {
    for bad in ["", "pointer.1"] {
        let error = store.open(&path(bad)).err().unwrap();
        assert_eq!(error.kind, StoreErrorKind::Unsuitable, "{bad}");
    }
    let mut prepared = closed(&store, "object", &[b"1"]);
    prepared.path = "../object".into();
    let error = store.commit(&prepared).unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Unsuitable, "{error:?}");
}
