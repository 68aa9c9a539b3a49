//! What only a store in files can get wrong.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use super::*;
use crate::tests::{names, path, write_large};

fn store() -> (LocalStore, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    (LocalStore::open(folder.path()).unwrap(), folder)
}

fn files(folder: &Path) -> Vec<String> {
    let name = |entry: io::Result<fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
    let mut all: Vec<_> = fs::read_dir(folder).unwrap().map(name).collect();
    all.sort();
    all
}

#[test]
fn a_crash_before_the_link_leaves_the_old_state() {
    let (store, folder) = store();
    let version = store.swap_register(&path("pointer"), None, b"old").unwrap();
    store.create(&path("object"), b"old").unwrap();
    // A process that is killed runs no destructors.
    let mut killed = store.temporary(&path("pointer")).unwrap();
    killed.write(b"new").unwrap();
    killed.flush().unwrap();
    std::mem::forget(killed);
    let mut killed = store.create_large(&path("large")).unwrap();
    killed.write(b"new").unwrap();
    std::mem::forget(killed);

    let restarted = LocalStore::open(folder.path()).unwrap();
    assert_eq!(
        files(folder.path()).len(),
        4,
        "the crashes left no trace, so this tests nothing"
    );
    assert_eq!(names(&restarted, ""), ["object", "pointer"]);
    let read = restarted.read_register(&path("pointer")).unwrap();
    assert_eq!(read, Some((b"old".to_vec(), version.clone())));
    restarted
        .swap_register(&path("pointer"), Some(&version), b"newer")
        .unwrap();
    assert_eq!(write_large(&restarted, "large", &[b"newer"]).unwrap(), 5);
}

#[test]
fn what_a_crash_left_is_removed_by_a_later_write_and_not_by_reads() {
    let (store, folder) = store();
    let mut left = Vec::new();
    for age_s in [0, 3_500, 3_700] {
        let killed = store.temporary(&path("object")).unwrap();
        let made = fs::metadata(killed.path()).unwrap().modified().unwrap();
        let old = made - Duration::from_secs(age_s);
        File::options()
            .write(true)
            .open(killed.path())
            .unwrap()
            .set_modified(old)
            .unwrap();
        left.push(killed.path().to_owned());
        std::mem::forget(killed);
    }
    let restarted = LocalStore::open(folder.path()).unwrap();
    assert_eq!(names(&restarted, ""), [""; 0]);
    restarted.get(&path("object")).unwrap_err();
    assert!(
        left.iter().all(|file| file.exists()),
        "a read removed a file"
    );
    restarted.create(&path("object"), b"1").unwrap();
    let exist: Vec<_> = left.iter().map(|file| file.exists()).collect();
    assert_eq!(exist, [true, true, false]);
}

/// A checkpoint that was given up is never written into again.
#[test]
fn what_a_crash_left_in_a_folder_of_its_own_is_found_and_removed_with_the_folder() {
    let (store, folder) = store();
    store.create(&path("chk-1-2/whole"), b"whole").unwrap();
    for name in ["chk-1-1/large", "chk-1-2/large"] {
        std::mem::forget(store.create_large(&path(name)).unwrap());
    }
    let mut found = store.list_unfinished(&path("")).unwrap();
    found.sort_by(|a, b| a.path.cmp(&b.path));
    let shown: Vec<_> = found.iter().map(|one| one.path.as_str()).collect();
    assert_eq!(shown, ["chk-1-1/unfinished", "chk-1-2/unfinished"]);
    let one = store.list_unfinished(&path("chk-1-2")).unwrap();
    assert_eq!(one, found[1..]);
    for one in &found {
        store.abandon(one).unwrap();
        store.abandon(one).unwrap();
    }
    assert_eq!(store.list_unfinished(&path("")).unwrap(), []);
    assert_eq!(files(folder.path()), ["chk-1-2"]);
    assert_eq!(files(&folder.path().join("chk-1-2")), ["whole"]);
}

#[test]
fn two_versions_of_a_register_stay() {
    let (store, folder) = store();
    let mut version = None;
    for count in 0..12 {
        let body = format!("{count}");
        let moved = store.swap_register(&path("pointer"), version.as_ref(), body.as_bytes());
        version = Some(moved.unwrap());
    }
    assert_eq!(files(folder.path()), ["pointer.11", "pointer.12"]);
    assert_eq!(version, Some(Version("12".into())));
}

#[test]
fn a_writer_that_stood_still_while_others_moved_on_does_not_win() {
    let (store, folder) = store();
    let pointer = path("pointer");
    let mut version = store.swap_register(&pointer, None, b"1").unwrap();
    for count in 2..=4 {
        let body = format!("{count}");
        version = store
            .swap_register(&pointer, Some(&version), body.as_bytes())
            .unwrap();
    }
    assert_eq!(files(folder.path()), ["pointer.3", "pointer.4"]);
    // What a writer leaves that expected version 1 and was slow: `pointer.2` is free again.
    fs::write(folder.path().join("pointer.2"), "stale").unwrap();
    assert_eq!(store.read_register(&pointer).unwrap().unwrap().0, b"4");
    let stale = store.swap_register(&pointer, Some(&Version("2".into())), b"5");
    assert_eq!(stale.unwrap_err().kind, StoreErrorKind::Conflict);
    assert_eq!(names(&store, ""), ["pointer"]);
    store.swap_register(&pointer, Some(&version), b"5").unwrap();
    assert_eq!(files(folder.path()), ["pointer.4", "pointer.5"]);
}

#[test]
fn registers_whose_names_begin_alike_are_told_apart() {
    let (store, _folder) = store();
    for (name, count) in [("a", 3), ("a.b", 12), ("ab", 1), ("a.1b", 2)] {
        let mut version = None;
        for _ in 0..count {
            version = Some(
                store
                    .swap_register(&path(name), version.as_ref(), name.as_bytes())
                    .unwrap(),
            );
        }
    }
    for (name, count) in [("a", "3"), ("a.b", "12"), ("ab", "1"), ("a.1b", "2")] {
        let read = store.read_register(&path(name)).unwrap();
        assert_eq!(
            read,
            Some((name.as_bytes().to_vec(), Version(count.into())))
        );
    }
    assert_eq!(names(&store, ""), ["a", "a.1b", "a.b", "ab"]);
}

#[test]
fn a_folder_is_removed_with_its_last_object() {
    let (store, folder) = store();
    store.create(&path("a/b/c/object"), b"1").unwrap();
    store.create(&path("a/other"), b"1").unwrap();
    store.delete(&path("a/b/c/object")).unwrap();
    assert_eq!(files(folder.path()), ["a"]);
    assert_eq!(files(&folder.path().join("a")), ["other"]);
    store.delete(&path("a/other")).unwrap();
    assert!(folder.path().exists(), "the store itself stays");
}

#[test]
fn creating_and_deleting_in_one_folder_at_once_does_not_fail() {
    let (store, _folder) = store();
    std::thread::scope(|scope| {
        for writer in 0..4 {
            let store = &store;
            scope.spawn(move || {
                for _ in 0..50 {
                    let object = path(&format!("folder/object-{writer}"));
                    store.create(&object, b"1").unwrap();
                    store.delete(&object).unwrap();
                }
            });
        }
    });
}

#[test]
fn a_file_of_others_is_not_listed() {
    let (store, folder) = store();
    store.create(&path("object"), b"1").unwrap();
    fs::write(folder.path().join("with space"), "1").unwrap();
    fs::write(folder.path().join("~backup"), "1").unwrap();
    assert_eq!(names(&store, ""), ["object"]);
}

#[test]
fn a_file_system_without_room_says_so() {
    // The kernel's own full device, so that no file system must be filled.
    let full = File::options().write(true).open("/dev/full").unwrap();
    let error = io::Write::write_all(&mut &full, b"1").unwrap_err();
    assert_eq!(kind_of(&error), StoreErrorKind::NoSpace);
    let quota = io::Error::from_raw_os_error(122);
    assert_eq!(kind_of(&quota), StoreErrorKind::NoSpace);
}

#[test]
fn a_folder_that_may_not_be_written_to_is_denied() {
    let error = io::Error::from(io::ErrorKind::PermissionDenied);
    assert_eq!(kind_of(&error), StoreErrorKind::Denied);
    let (store, folder) = store();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o500)).unwrap();
    // The superuser may write everywhere.
    if File::create(folder.path().join("may")).is_err() {
        let error = store.create(&path("object"), b"1").unwrap_err();
        assert_eq!(error.kind, StoreErrorKind::Denied);
    }
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
}

#[test]
fn a_store_whose_folder_vanishes_makes_it_again() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("store");
    let store = LocalStore::open(&root).unwrap();
    assert!(!root.exists(), "opening alone makes nothing");
    store.create(&path("a/object"), b"1").unwrap();
    fs::remove_dir_all(&root).unwrap();
    assert_eq!(names(&store, ""), [""; 0]);
    store.create(&path("a/object"), b"2").unwrap();
    assert_eq!(store.get(&path("a/object")).unwrap(), b"2");
}
