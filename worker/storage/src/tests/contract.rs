//! What [`ObjectStore`] promises, asked of each store. A difference between two stores shows here.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;

use super::{names, noise, path, write_large};
#[cfg(feature = "s3")]
use crate::s3::tests::on_a_server as in_a_bucket;
use crate::{LocalStore, MemoryStore, ObjectStore, StoreErrorKind, probe};

/// The contract, as tests of one kind of store. `$open` gives an empty store and whatever must live
/// as long as it.
macro_rules! contract {
    ($kind:ident, $open:ident) => {
        mod $kind {
            contract!(@tests $open,
                an_object_is_read_back_whole_and_in_parts,
                what_does_not_exist_is_not_found,
                a_range_beyond_the_end_is_an_error,
                a_repeated_write_is_fine_and_another_content_is_refused,
                a_large_object_exists_from_finish_on,
                a_large_object_does_not_replace_another,
                an_abandoned_large_object_leaves_nothing,
                a_listing_has_all_and_is_sorted,
                a_folder_is_a_store_of_its_own,
                deleting_twice_is_fine,
                a_register_moves_only_from_the_expected_version,
                a_register_is_listed_once_and_can_be_deleted,
                names_kept_for_versions_are_refused,
                racing_creates_have_one_winner,
                racing_swaps_have_one_winner_in_each_round,
                no_increment_of_a_register_is_lost,
                the_probe_accepts_it_and_leaves_nothing,
            );
        }
    };
    (@tests $open:ident, $($test:ident,)*) => {
        $(
            #[test]
            fn $test() {
                let Some((store, _alive)) = super::$open() else { return };
                super::$test(store);
            }
        )*
    };
}

contract!(memory, in_memory);
contract!(local, in_a_folder);
#[cfg(feature = "s3")]
contract!(s3, in_a_bucket);

fn in_memory() -> Option<(Store, ())> {
    Some((Arc::new(MemoryStore::new()), ()))
}

fn in_a_folder() -> Option<(Store, tempfile::TempDir)> {
    let folder = tempfile::tempdir().unwrap();
    let store = LocalStore::open(folder.path().join("a/b")).unwrap();
    Some((Arc::new(store), folder))
}

type Store = Arc<dyn ObjectStore>;

fn an_object_is_read_back_whole_and_in_parts(store: Store) {
    let bytes = noise(100_000, 1);
    for (name, bytes) in [
        ("a/b/object", &bytes[..]),
        ("empty", b""),
        ("x=1/y-2_3.z", b"z"),
    ] {
        store.create(&path(name), bytes).unwrap();
        assert_eq!(store.get(&path(name)).unwrap(), bytes);
    }
    let object = path("a/b/object");
    for range in [
        0..100_000,
        0..1,
        99_999..100_000,
        500..70_000,
        7..7,
        100_000..100_000,
    ] {
        let (start, end) = (usize::try_from(range.start), usize::try_from(range.end));
        let wanted = &bytes[start.unwrap()..end.unwrap()];
        assert_eq!(
            store.get_range(&object, range.clone()).unwrap(),
            wanted,
            "{range:?}"
        );
    }
    assert_eq!(store.get_range(&path("empty"), 0..0).unwrap(), b"");
}

fn what_does_not_exist_is_not_found(store: Store) {
    store.create(&path("folder/object"), b"1").unwrap();
    for name in ["nothing", "folder", "folder/object/below", "folder/nothing"] {
        let error = store.get(&path(name)).unwrap_err();
        assert_eq!(error.kind, StoreErrorKind::NotFound, "{name}: {error:?}");
        let error = store.get_range(&path(name), 0..1).unwrap_err();
        assert_eq!(error.kind, StoreErrorKind::NotFound, "{name}: {error:?}");
        assert_eq!(store.read_register(&path(name)).unwrap(), None, "{name}");
        assert!(error.to_string().contains(name), "{error}");
    }
    assert_eq!(names(&*store, "nothing"), [""; 0]);
}

#[expect(clippy::reversed_empty_ranges, reason = "that is one of the mistakes")]
fn a_range_beyond_the_end_is_an_error(store: Store) {
    store.create(&path("object"), b"12345").unwrap();
    for range in [0..6, 5..6, 100..200, 6..6, 3..2] {
        let read = store.get_range(&path("object"), range.clone());
        assert_eq!(
            read.unwrap_err().kind,
            StoreErrorKind::Truncated,
            "{range:?}"
        );
    }
}

fn a_repeated_write_is_fine_and_another_content_is_refused(store: Store) {
    let object = path("object");
    store.create(&object, b"first").unwrap();
    store.create(&object, b"first").unwrap();
    for other in [&b"other"[..], b"", b"first and more"] {
        let error = store.create(&object, other).unwrap_err();
        assert_eq!(error.kind, StoreErrorKind::AlreadyExists);
    }
    assert_eq!(store.get(&object).unwrap(), b"first");
}

fn a_large_object_exists_from_finish_on(store: Store) {
    let bytes = noise(20_000_000, 2);
    let mut writer = store.create_large(&path("large")).unwrap();
    for piece in bytes.chunks(777_777) {
        writer.write(piece).unwrap();
    }
    assert_eq!(names(&*store, ""), [""; 0]);
    assert_eq!(
        store.get(&path("large")).unwrap_err().kind,
        StoreErrorKind::NotFound
    );
    assert_eq!(writer.finish().unwrap(), 20_000_000);
    assert!(
        store.get(&path("large")).unwrap() == bytes,
        "the content is another"
    );
    assert_eq!(
        write_large(&*store, "small", &[b"a", b"", b"bc"]).unwrap(),
        3
    );
    assert_eq!(store.get(&path("small")).unwrap(), b"abc");
    assert_eq!(write_large(&*store, "empty", &[]).unwrap(), 0);
    assert_eq!(store.get(&path("empty")).unwrap(), b"");
}

fn a_large_object_does_not_replace_another(store: Store) {
    let (first, other) = (noise(9_000_000, 3), noise(9_000_000, 4));
    write_large(&*store, "large", &[&first]).unwrap();
    for _ in 0..2 {
        let error = write_large(&*store, "large", &[&other]).unwrap_err();
        assert_eq!(error.kind, StoreErrorKind::AlreadyExists);
    }
    let error = write_large(&*store, "large", &[b"small"]).unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::AlreadyExists);
    assert!(
        store.get(&path("large")).unwrap() == first,
        "it was replaced"
    );
    assert_eq!(write_large(&*store, "large", &[&first]).unwrap(), 9_000_000);
}

fn an_abandoned_large_object_leaves_nothing(store: Store) {
    let mut writer = store.create_large(&path("folder/large")).unwrap();
    writer.write(&noise(9_000_000, 5)).unwrap();
    drop(writer);
    assert_eq!(names(&*store, ""), [""; 0]);
    store.create(&path("folder/large"), b"free").unwrap();
}

fn a_listing_has_all_and_is_sorted(store: Store) {
    let mut all = vec![
        "a".to_owned(),
        "a.b".into(),
        "a-b".into(),
        "ab/c".into(),
        "b/c/d".into(),
    ];
    all.extend((0..30).map(|i| format!("many/{i}")));
    for name in &all {
        store.create(&path(name), name.as_bytes()).unwrap();
    }
    all.sort();
    assert_eq!(names(&*store, ""), all);
    assert_eq!(names(&*store, "b"), ["b/c/d"]);
    assert_eq!(names(&*store, "a"), [""; 0], "an object is no folder");
    let listed = store.list(&path("ab")).unwrap();
    assert_eq!(listed[0].size, 4);
    let clock = weir_types::SystemClock;
    let age_ms = weir_types::Clock::unix_ms(&clock) - listed[0].modified_ms;
    assert!(
        (-5_000..120_000).contains(&age_ms),
        "its age is {age_ms} ms"
    );
}

fn a_folder_is_a_store_of_its_own(store: Store) {
    let inner = store.within(&path("outer")).within(&path("inner"));
    inner.create(&path("object"), b"1").unwrap();
    inner.swap_register(&path("register"), None, b"2").unwrap();
    store.create(&path("outer/innermost"), b"3").unwrap();
    assert_eq!(store.get(&path("outer/inner/object")).unwrap(), b"1");
    assert_eq!(names(&*inner, ""), ["object", "register"]);
    assert_eq!(
        names(&*store, "outer"),
        [
            "outer/inner/object",
            "outer/inner/register",
            "outer/innermost"
        ]
    );
    assert!(
        inner.location().ends_with("outer/inner"),
        "{}",
        inner.location()
    );
    assert_eq!(store.within(&path("")).location(), store.location());
}

fn deleting_twice_is_fine(store: Store) {
    store.create(&path("folder/object"), b"1").unwrap();
    store.create(&path("folder/other"), b"1").unwrap();
    store.delete(&path("folder/object")).unwrap();
    store.delete(&path("folder/object")).unwrap();
    store.delete(&path("nothing/at/all")).unwrap();
    assert_eq!(names(&*store, ""), ["folder/other"]);
    store.delete(&path("folder/other")).unwrap();
    store.create(&path("folder/object"), b"2").unwrap();
    assert_eq!(store.get(&path("folder/object")).unwrap(), b"2");
}

fn a_register_moves_only_from_the_expected_version(store: Store) {
    let register = path("job/pointer");
    let conflict = |expected, bytes: &[u8]| {
        let swapped = store.swap_register(&register, expected, bytes);
        assert_eq!(swapped.unwrap_err().kind, StoreErrorKind::Conflict);
    };
    assert_eq!(store.read_register(&register).unwrap(), None);
    let first = store.swap_register(&register, None, b"one").unwrap();
    conflict(None, b"another one");
    let second = store
        .swap_register(&register, Some(&first), b"two")
        .unwrap();
    assert_ne!(first, second);
    conflict(Some(&first), b"another two");
    conflict(None, b"yet another");
    assert_eq!(
        store.read_register(&register).unwrap(),
        Some((b"two".to_vec(), second.clone()))
    );
    let mut current = second;
    for round in 0..20 {
        let body = format!("round {round}");
        current = store
            .swap_register(&register, Some(&current), body.as_bytes())
            .unwrap();
        let read = store.read_register(&register).unwrap();
        assert_eq!(read, Some((body.into_bytes(), current.clone())));
    }
    conflict(Some(&first), b"stale");
}

fn a_register_is_listed_once_and_can_be_deleted(store: Store) {
    let mut version = store.swap_register(&path("pointer"), None, b"0").unwrap();
    for bytes in [&b"01"[..], b"012", b"0123"] {
        version = store
            .swap_register(&path("pointer"), Some(&version), bytes)
            .unwrap();
    }
    let listed = store.list(&path("")).unwrap();
    assert_eq!(listed.len(), 1, "{listed:?}");
    assert_eq!((listed[0].path.as_str(), listed[0].size), ("pointer", 4));
    store.delete(&path("pointer")).unwrap();
    assert_eq!(store.read_register(&path("pointer")).unwrap(), None);
    let swapped = store.swap_register(&path("pointer"), Some(&version), b"back");
    assert_eq!(swapped.unwrap_err().kind, StoreErrorKind::Conflict);
    assert_eq!(names(&*store, ""), [""; 0]);
}

fn names_kept_for_versions_are_refused(store: Store) {
    for name in ["pointer.1", "a/b.007", ""] {
        let name = path(name);
        let refused = [
            store.create(&name, b"1").unwrap_err(),
            store.create_large(&name).err().unwrap(),
            store.swap_register(&name, None, b"1").unwrap_err(),
        ];
        for error in refused {
            assert_eq!(error.kind, StoreErrorKind::Unsuitable, "{name}");
        }
    }
}

fn racing_creates_have_one_winner(store: Store) {
    for round in 0..3 {
        let object = path(&format!("race-{round}"));
        let (winners, start) = (AtomicUsize::new(0), Barrier::new(16));
        thread::scope(|scope| {
            for writer in 0..16 {
                let (store, object, winners, start) = (&store, &object, &winners, &start);
                scope.spawn(move || {
                    let body = format!("{writer}");
                    start.wait();
                    match store.create(object, body.as_bytes()) {
                        Ok(()) => {
                            winners.fetch_add(1, Ordering::SeqCst);
                            assert_eq!(store.get(object).unwrap(), body.as_bytes());
                        }
                        Err(error) => assert_eq!(error.kind, StoreErrorKind::AlreadyExists),
                    }
                });
            }
        });
        assert_eq!(winners.into_inner(), 1);
    }
}

fn racing_swaps_have_one_winner_in_each_round(store: Store) {
    let register = path("register");
    let mut version = None;
    for round in 0..8 {
        let start = Barrier::new(16);
        let won: Vec<_> = thread::scope(|scope| {
            let racers: Vec<_> = (0..16)
                .map(|writer| {
                    let (store, register, start) = (&store, &register, &start);
                    let expected = version.as_ref();
                    scope.spawn(move || {
                        let body = format!("{round} {writer}");
                        start.wait();
                        match store.swap_register(register, expected, body.as_bytes()) {
                            Ok(version) => Some((body.into_bytes(), version)),
                            Err(error) => {
                                assert_eq!(error.kind, StoreErrorKind::Conflict, "{error:?}");
                                None
                            }
                        }
                    })
                })
                .collect();
            racers
                .into_iter()
                .filter_map(|racer| racer.join().unwrap())
                .collect()
        });
        assert_eq!(won.len(), 1, "round {round}");
        assert_eq!(
            store.read_register(&register).unwrap().as_ref(),
            won.first()
        );
        version = won.into_iter().next().map(|(_, version)| version);
    }
}

/// Writers that do not wait for each other. One that is told `InDoubt` stops, and may have counted.
fn no_increment_of_a_register_is_lost(store: Store) {
    let register = path("counter");
    let (told, doubts) = (AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        for writer in 0..6 {
            let (store, register, told, doubts) = (&store, &register, &told, &doubts);
            scope.spawn(move || {
                let mut mine = 0;
                while mine < 5 {
                    let read = store.read_register(register).unwrap();
                    let (count, version) = match &read {
                        None => (0, None),
                        Some((bytes, version)) => {
                            let text = std::str::from_utf8(bytes).unwrap();
                            let (count, _) = text.split_once(' ').unwrap();
                            (count.parse::<usize>().unwrap(), Some(version))
                        }
                    };
                    let body = format!("{} by {writer} as {mine}", count + 1);
                    match store.swap_register(register, version, body.as_bytes()) {
                        Ok(_) => {
                            mine += 1;
                            told.fetch_add(1, Ordering::SeqCst);
                        }
                        Err(error) if error.kind == StoreErrorKind::Conflict => {}
                        Err(error) => {
                            assert_eq!(error.kind, StoreErrorKind::InDoubt, "{error:?}");
                            doubts.fetch_add(1, Ordering::SeqCst);
                            return;
                        }
                    }
                }
            });
        }
    });
    let (bytes, _) = store.read_register(&register).unwrap().unwrap();
    let text = String::from_utf8(bytes).unwrap();
    let count: usize = text.split_once(' ').unwrap().0.parse().unwrap();
    let (told, doubts) = (told.into_inner(), doubts.into_inner());
    assert!(
        (told..=told + doubts).contains(&count),
        "{count}: {told} told, {doubts} in doubt"
    );
}

fn the_probe_accepts_it_and_leaves_nothing(store: Store) {
    probe(&*store).unwrap();
    probe(&*store).unwrap();
    assert_eq!(names(&*store, ""), [""; 0]);
}
